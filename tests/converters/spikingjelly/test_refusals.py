"""What NIR or SpikingJelly can't hold is refused: where it is, what is wrong, what to do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
from spikingjelly.activation_based import layer, neuron, surrogate
from torch import nn

from nir_exchange import spikingjelly
from nir_runtime.errors import (
    ExportRefused,
    ImportRefused,
    InvalidArgument,
    InvalidFile,
    InvalidGraph,
    NirExchangeError,
    TimeStepWarning,
)

IMAGE = torch.rand(2, 3, 8, 8)


class Twice(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lif = neuron.LIFNode()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lif(self.lif(x))


class Calls(nn.Module):
    """A forward that calls a function."""

    def __init__(self, function: Callable[[torch.Tensor], Any]) -> None:
        super().__init__()
        self.function = function
        self.lif = neuron.LIFNode()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lif(self.function(x))


LAYERS: dict[str, tuple[nn.Module, str]] = {
    "padding_mode": (
        layer.Conv2d(3, 4, 3, padding=1, padding_mode="reflect"),
        "0: padding_mode is 'reflect': NIR's Conv2d pads with zeros",
    ),
    "ceil_mode": (layer.AvgPool2d(3, ceil_mode=True), "0: ceil_mode is True: NIR's windows lie"),
    "count_include_pad": (
        layer.AvgPool2d(3, padding=1, count_include_pad=False),
        "0: NIR's padding counts in the mean",
    ),
    "divisor_override": (
        layer.AvgPool2d(3, divisor_override=2),
        "0: divisor_override is 2: NIR divides by the size of the window",
    ),
    "flatten the batch": (layer.Flatten(0), "0: it joins the batch to the features"),
    "flatten to the batch": (layer.Flatten(-4, 2), "0: it joins the batch to the features"),
    "primitive instead of spikes": (
        neuron.IFNode(surrogate_function=surrogate.Sigmoid(spiking=False)),
        "0: the layer passes the surrogate's primitive on",
    ),
    "unsayable": (neuron.QIFNode(), "0: QIFNode: its potential obeys an equation that none of"),
    "unmapped": (nn.PReLU(), "0: torch.nn.PReLU has no mapping to NIR"),
    "shape": (layer.Conv2d(4, 4, 3), "0: weight takes 4 input channels, and (3, 8, 8) arrives"),
    "no Affine on the last axis of many": (layer.Linear(8, 2), "0: "),
    "stateful layer called twice": (Twice(), "0.lif: is called more than once in a forward"),
    "activation": (Calls(torch.relu), "0: forward calls torch.relu, which no node stands for"),
    "mean": (Calls(lambda x: x.mean(1)), "0: forward calls torch.Tensor.mean"),
    "constant": (Calls(lambda x: x + 0.5), "0: forward calls torch.Tensor.add, which adds"),
    "squared": (Calls(lambda x: x * x), "0: forward calls torch.Tensor.mul, which multiplies"),
    "indexed": (Calls(lambda x: x[:, 0]), "0: forward calls torch.Tensor.__getitem__"),
}


@pytest.mark.parametrize("name", LAYERS)
def test_export_refuses(name: str) -> None:
    net, problem = LAYERS[name]
    with pytest.raises(ExportRefused) as refused:
        spikingjelly.export_to_nir(nn.Sequential(net), IMAGE)
    assert str(refused.value.problems[0]).startswith(problem)
    assert refused.value.problems[0].advice


def test_a_subclass_is_not_its_base() -> None:
    class Mine(neuron.LIFNode):
        pass

    with pytest.raises(ExportRefused, match="Mine is a subclass of LIFNode, and may compute"):
        spikingjelly.export_to_nir(nn.Sequential(Mine()), IMAGE)


def test_all_unmapped_layers_at_once() -> None:
    net = nn.Sequential(
        layer.BatchNorm3d(3), nn.Sequential(layer.MaxPool3d(2), neuron.QIFNode()), layer.Flatten()
    )
    with pytest.raises(ExportRefused) as refused:
        spikingjelly.export_to_nir(net, IMAGE)
    assert [problem.place for problem in refused.value.problems] == ["0", "1.0", "1.1"]


def test_refused_layers_of_any_kind_at_once() -> None:
    net = nn.Sequential(
        layer.Conv2d(3, 4, 3, padding_mode="circular", padding=1),
        neuron.LIFNode(surrogate_function=surrogate.ATan(spiking=False)),
        layer.AvgPool2d(2, ceil_mode=True),
    )
    with pytest.raises(ExportRefused) as refused:
        spikingjelly.export_to_nir(net, IMAGE)
    assert [problem.place for problem in refused.value.problems] == ["0", "1", "2"]


def test_layers_of_two_step_modes() -> None:
    net = nn.Sequential(neuron.IFNode(), neuron.IFNode(step_mode="m"))
    with pytest.raises(ExportRefused, match="1: is in step_mode='m' and takes 2 axes"):
        spikingjelly.export_to_nir(net, IMAGE)


@pytest.mark.parametrize("dt", [0, -1e-4, float("nan"), float("inf"), "1e-4", True])
def test_dt_that_is_none(dt: Any) -> None:
    net = nn.Sequential(neuron.IFNode())
    graph = spikingjelly.export_to_nir(net, IMAGE)
    with pytest.raises(InvalidArgument, match="dt: is "):
        spikingjelly.export_to_nir(net, IMAGE, dt=dt)
    with pytest.raises(InvalidArgument, match="dt: is "):
        spikingjelly.import_from_nir(graph, dt=dt)


def test_dt_that_contradicts_the_graph() -> None:
    graph = spikingjelly.export_to_nir(nn.Sequential(neuron.LIFNode(2.0)), IMAGE, dt=1e-4)
    with pytest.raises(ImportRefused) as refused, pytest.warns(TimeStepWarning):
        spikingjelly.import_from_nir(graph, dt=1e-3)
    (problem,) = refused.value.problems
    assert problem.place == "/node/nodes/_0/tau"
    assert problem.what == (
        "tau = 0.0002 at dt = 0.001 gives the layer tau = 0.2, and neuron.LIFNode needs tau > 1"
    )
    assert problem.advice == "choose dt below 0.0002"
    spikingjelly.import_from_nir(graph, dt=1.9e-4 / 1.9)


@pytest.mark.parametrize(
    "example", [torch.rand(3), torch.rand(0, 3, 8, 8), "x", None, torch.rand(2, 4, 8, 8)]
)
def test_example_input_of_the_wrong_shape(example: Any) -> None:
    net = nn.Sequential(layer.Conv2d(3, 4, 3), neuron.IFNode())
    with pytest.raises(NirExchangeError, match=r"example_input|input channels"):
        spikingjelly.export_to_nir(net, example)


# --- graphs ---------------------------------------------------------------------------------


def lif(size: int = 3, **fields: Any) -> nir.LIF:
    defaults = {
        "tau": np.full(size, 1e-3), "r": np.ones(size), "v_leak": np.zeros(size),
        "v_threshold": np.ones(size), "v_reset": np.zeros(size),
    }  # fmt: skip
    return nir.LIF(**{**defaults, **fields})


def graph(node: Any, edges: list[tuple[str, str]] | None = None, size: int = 3) -> nir.NIRGraph:
    nodes = {
        "in": nir.Input({"input": np.array([size])}),
        "lif": node,
        "out": nir.Output({"output": np.array([3])}),
    }
    edges = [("in", "lif"), ("lif", "out")] if edges is None else edges
    return nir.NIRGraph(nodes, edges, type_check=False)


class Unknown(nir.ir.node.NIRNode):
    def __init__(self) -> None:
        self.input_type = {"input": np.array([3])}
        self.output_type = {"output": np.array([3])}
        self.metadata = {}


def without(name: str) -> nir.NIRGraph:
    held = graph(lif())
    del held.nodes[name]
    held.edges = [edge for edge in held.edges if name not in edge]
    return held


GRAPHS: dict[str, tuple[nir.NIRGraph, str]] = {
    "dangling edge": (
        graph(lif(), [("in", "lif"), ("lif", "out"), ("lif", "x")]),
        "/node/edges: the edge 'lif' -> 'x' names 'x', and the graph has no such node",
    ),
    "duplicate edge": (graph(lif(), [("in", "lif"), ("in", "lif"), ("lif", "out")]), "/node/edges"),
    "no input": (without("in"), "/node/nodes: the graph has no Input node"),
    "no output": (without("out"), "/node/nodes: the graph has no Output node"),
    "unknown node": (graph(Unknown()), "/node/nodes/lif: Unknown is not a primitive of NIR"),
    "nan": (graph(lif(tau=np.array([1e-3, np.nan, 1e-3]))), "/node/nodes/lif/tau: is NaN or"),
    "infinite": (graph(lif(r=np.array([1, np.inf, 1.0]))), "/node/nodes/lif/r: is NaN or infinite"),
    "negative tau": (graph(lif(tau=np.full(3, -1e-3))), "/node/nodes/lif/tau"),
    "wrong shape": (graph(lif(), size=4), "/node/nodes/lif: it takes (3,), and (4,) arrives"),
}


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs_that_mean_nothing(name: str) -> None:
    held, problem = GRAPHS[name]
    with pytest.raises(InvalidGraph) as refused:
        spikingjelly.import_from_nir(held)
    assert str(refused.value.problems[0]).startswith(problem)


def test_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "x.nir"
    path.write_text("not HDF5")
    with pytest.raises(InvalidFile, match="is not an HDF5 file"):
        spikingjelly.import_from_nir(path)
    with pytest.raises(FileNotFoundError):
        spikingjelly.import_from_nir(tmp_path / "missing.nir")
    net = nn.Sequential(neuron.IFNode())
    with pytest.raises(InvalidArgument, match="save_path: there is no folder"):
        spikingjelly.export_to_nir(net, IMAGE, tmp_path / "missing" / "x.nir")
    with pytest.raises(InvalidArgument, match="step_mode: is 'x'"):
        spikingjelly.import_from_nir(graph(lif()), step_mode="x")  # type: ignore[arg-type]

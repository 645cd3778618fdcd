"""The tutorial's network: names, edges, types, shapes, formulas, the module's print, the spikes."""

from __future__ import annotations

import itertools
from pathlib import Path

import nir
import numpy as np
import pytest
import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import fx, nn

from nir_exchange import spikingjelly
from nir_runtime.errors import AnnotatedWarning, ExportRefused, ImportRefused
from tests.graphs import assert_same_graph, spikes

DT = 1e-4


def network(step_mode: str = "s") -> nn.Sequential:
    pool = nn.AvgPool2d((2, 2)) if step_mode == "s" else layer.AvgPool2d((2, 2))
    net = nn.Sequential(
        layer.Conv2d(3, 16, 3, 1, 1),
        neuron.IFNode(),
        pool,
        layer.Flatten(),
        nn.Linear(4096, 10),
        neuron.ParametricLIFNode(10.0, decay_input=False, v_reset=None),
    )
    functional.set_step_mode(net, step_mode)
    return net


@pytest.fixture(scope="module")
def net() -> nn.Sequential:
    torch.manual_seed(0)
    return network()


@pytest.fixture(scope="module")
def path(net: nn.Sequential, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tutorial") / "example.h5"
    with pytest.warns(AnnotatedWarning) as warned:
        spikingjelly.export_to_nir(net, torch.rand(8, 3, 32, 32), path, dt=DT)
    assert len(warned) == 1
    assert "5: NIR has no field for a reset by subtraction" in str(warned[0].message)
    assert warned[0].filename == __file__
    return path


@pytest.fixture
def graph(path: Path) -> nir.NIRGraph:
    return nir.read(path)


def test_names_and_edges_in_order(graph: nir.NIRGraph) -> None:
    names = ["input_1", "_0", "_1", "_2", "_3", "_4", "_5", "output"]
    assert graph.edges == list(itertools.pairwise(names))
    assert set(graph.nodes) == set(names)
    types = [type(graph.nodes[name]).__name__ for name in names]
    assert types == ["Input", "Conv2d", "IF", "AvgPool2d", "Flatten", "Affine", "LIF", "Output"]


def test_shapes_have_neither_batch_nor_time(graph: nir.NIRGraph) -> None:
    shapes = {
        name: (tuple(node.input_type["input"]), tuple(node.output_type["output"]))
        for name, node in graph.nodes.items()
    }
    assert shapes == {
        "input_1": ((3, 32, 32), (3, 32, 32)),
        "_0": ((3, 32, 32), (16, 32, 32)),
        "_1": ((16, 32, 32), (16, 32, 32)),
        "_2": ((16, 32, 32), (16, 16, 16)),
        "_3": ((16, 16, 16), (4096,)),
        "_4": ((4096,), (10,)),
        "_5": ((10,), (10,)),
        "output": ((10,), (10,)),
    }


def test_formulas(net: nn.Sequential, graph: nir.NIRGraph) -> None:
    conv, integrate, pool, flatten, affine, plif = (graph.nodes[f"_{k}"] for k in range(6))
    assert tuple(conv.input_shape) == (32, 32)
    assert tuple(conv.stride) == tuple(conv.padding) == tuple(conv.dilation) == (1, 1)
    assert conv.groups == 1
    assert np.array_equal(conv.weight, net[0].weight.detach().numpy())
    assert np.array_equal(integrate.r, np.full((16, 32, 32), 1 / DT))
    assert np.array_equal(integrate.v_threshold, np.ones((16, 32, 32)))
    assert np.array_equal(integrate.v_reset, np.zeros((16, 32, 32)))
    assert tuple(pool.kernel_size) == tuple(pool.stride) == (2, 2)
    assert tuple(pool.padding) == (0, 0)
    assert (flatten.start_dim, flatten.end_dim) == (0, -1)
    assert np.array_equal(affine.bias, net[4].bias.detach().numpy())
    tau = 1 / net[5].w.sigmoid().item()
    assert np.array_equal(plif.tau, np.full(10, tau * DT))
    assert np.array_equal(plif.r, np.full(10, tau))
    assert np.array_equal(plif.v_leak, np.zeros(10))
    assert np.array_equal(plif.v_reset, np.zeros(10))
    assert plif.metadata == {"reset": "subtract"}


def test_the_imported_module(path: Path) -> None:
    module = spikingjelly.import_from_nir(path, dt=DT)
    assert isinstance(module, fx.GraphModule)
    text = str(module)
    assert text.startswith("GraphModule(\n")
    for line in (
        "(_0): Conv2d(3, 16, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), step_mode=s)",
        "(_1): IFNode(",
        "(_2): AvgPool2d(kernel_size=(2, 2), stride=(2, 2), padding=(0, 0), step_mode=s)",
        "(_3): Flatten(start_dim=1, end_dim=-1, step_mode=s)",
        "(_4): Linear(in_features=4096, out_features=10, bias=True)",
        "(_5): LIFNode(",
        "v_threshold=1.0, v_reset=None, detach_reset=False, step_mode=s, tau=",
        "def forward(self, input, state = None):",
        "input_1 = input",
    ):
        assert line in text
    assert module.get_submodule("_5").tau == pytest.approx(10.0, rel=1e-7)
    y, state = module(torch.rand(9, 3, 32, 32))
    assert y.shape == (9, 10)
    assert set(state) == {"_1", "_5"}


@pytest.mark.parametrize("mode", ["s", "m"])
def test_spikes_are_identical(mode: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    net = network(mode)
    x = torch.rand(100, 2, 3, 32, 32) * 2
    path = tmp_path / "net.nir"
    with pytest.warns(AnnotatedWarning):
        spikingjelly.export_to_nir(net, x if mode == "m" else x[0], path, dt=DT)
    imported = spikingjelly.import_from_nir(path, dt=DT, step_mode=mode)  # type: ignore[arg-type]
    expected = spikes(net, x, mode)
    assert 0 < expected.mean() < 1
    assert torch.equal(spikes(imported, x, mode), expected)


def test_exporting_again_gives_the_same_graph(path: Path) -> None:
    module = spikingjelly.import_from_nir(path, dt=DT)
    with pytest.warns(AnnotatedWarning):
        again = spikingjelly.export_to_nir(module, torch.rand(8, 3, 32, 32), dt=DT)
    held = spikingjelly.import_from_nir(again, dt=DT)
    with pytest.warns(AnnotatedWarning):
        third = spikingjelly.export_to_nir(held, torch.rand(8, 3, 32, 32), dt=DT)
    assert_same_graph(again, third)


def test_strict_refuses_what_only_metadata_says(net: nn.Sequential, path: Path) -> None:
    with pytest.raises(ExportRefused, match="5: NIR has no field for a reset by subtraction"):
        spikingjelly.export_to_nir(net, torch.rand(8, 3, 32, 32), dt=DT, strict=True)
    with pytest.raises(ImportRefused, match="/node/nodes/_5: "):
        spikingjelly.import_from_nir(path, dt=DT, strict=True)

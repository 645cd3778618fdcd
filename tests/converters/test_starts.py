"""Where a network's state starts is read from the live layers: annotated, or refused.

A graph starts at a reset. What a reset would not bring about (a membrane left over from a run, a
potential that was set) is refused; a start of a layer's own, to which a reset leads, is annotated.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import nir
import numpy as np
import pytest
import snntorch
import torch
from snntorch import utils
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

from nir_exchange import reference, spikingjelly
from nir_exchange import snntorch as snntorch_converter
from nir_runtime.errors import AnnotatedWarning, ExportRefused
from tests.graphs import spikes

DT, SIZE = 1e-4, 4
LEFT = "left over from a run, or was set"


def data() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 2 * torch.rand(40, 2, SIZE, generator=generator, dtype=torch.float64)


def export(net: nn.Module, converter: Any = spikingjelly) -> nir.NIRGraph:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AnnotatedWarning)
        graph: nir.NIRGraph = converter.export_to_nir(net, data()[0], dt=DT)
    return graph


NEURONS: dict[str, Callable[[], nn.Module]] = {
    "IF": lambda: neuron.IFNode(v_threshold=1.5),
    "IF, soft": lambda: neuron.IFNode(v_threshold=1.5, v_reset=None),
    "LIF": lambda: neuron.LIFNode(3.0, v_threshold=0.7),
    "LIF, elsewhere": lambda: neuron.LIFNode(3.0, v_threshold=0.7, v_reset=-0.25),
    "PLIF": lambda: neuron.ParametricLIFNode(3.0, v_threshold=0.7),
    "CUBA": lambda: neuron.CUBALIFNode(0.5, 0.5, v_threshold=1.5),
    "half": lambda: neuron.HalfThresholdIFNode(1.5),
    "simple": lambda: neuron.SimpleIFNode(1.5, 0.0),
}


@pytest.mark.parametrize("name", NEURONS)
def test_a_reset_value_is_annotated(name: str) -> None:
    """The network after a reset, the reference of its graph, and what comes back."""
    net = NEURONS[name]().double()
    net.set_reset_value("v", 0.375)
    functional.reset_net(net)
    graph = export(net)
    (told,) = [n.metadata["v_initial"] for n in graph.nodes.values() if hasattr(n, "v_threshold")]
    assert told == 0.375
    with pytest.raises(ExportRefused, match="v starts elsewhere"):
        spikingjelly.export_to_nir(net, data()[0], dt=DT, strict=True)
    expected = spikes(net, data(), "s")
    assert 0 < expected.sum() < expected.numel()
    for target in (reference, spikingjelly):
        imported = target.import_from_nir(graph, dt=DT, dtype=torch.float64)
        assert torch.equal(spikes(imported, data(), "s"), expected)


@pytest.mark.parametrize("shape", [(), (1,), (SIZE,), (1, SIZE), (2, SIZE)])
def test_a_tensor_to_reset_to_is_refused(shape: tuple[int, ...]) -> None:
    """SpikingJelly drops it where it isn't of the input's shape, and starts at v_reset."""
    net = neuron.IFNode(v_threshold=1.5).double()
    net.set_reset_value("v", torch.full(shape, 0.75, dtype=torch.float64))
    functional.reset_net(net)
    with pytest.raises(ExportRefused, match="a number is needed"):
        export(net)
    net(torch.zeros(2, SIZE, dtype=torch.float64))
    assert torch.equal(net.v, torch.full((2, SIZE), 0.75 if shape == (2, SIZE) else 0.0).double())


def test_a_reset_potential_that_was_changed_afterwards() -> None:
    """The layer starts where it did, and is reset to the new one."""
    net = neuron.LIFNode(3.0, v_threshold=0.7).double()
    net.v_reset = -0.5
    graph = export(net)
    (node,) = (n for n in graph.nodes.values() if isinstance(n, nir.LIF))
    assert (node.v_reset == -0.5).all()
    assert node.metadata["v_initial"] == 0.0
    expected = spikes(net, data(), "s")
    imported = reference.import_from_nir(graph, dt=DT, dtype=torch.float64)
    assert torch.equal(spikes(imported, data(), "s"), expected)


@pytest.mark.parametrize("name", NEURONS)
def test_a_membrane_left_over_is_refused(name: str) -> None:
    """Until the network is reset."""
    net = nn.Sequential(NEURONS[name]()).double()
    before = export(net)
    spikes(net, data()[:2] / 4, "s")
    with pytest.raises(ExportRefused, match=f"0: [vc] is {LEFT}.*\n.*reset the network"):
        export(net)
    functional.reset_net(net)
    assert set(export(net).edges) == set(before.edges)


@pytest.mark.parametrize("value", [0.25, -1, torch.tensor(0.25), torch.rand(2, SIZE)])
def test_a_membrane_that_was_set_is_refused(value: Any) -> None:
    net = neuron.IFNode()
    net.v = value
    with pytest.raises(ExportRefused, match=LEFT):
        export(net)


@pytest.mark.parametrize("value", [0.0, torch.zeros(2, SIZE), torch.zeros(7, 3), None])
def test_a_membrane_at_its_start_is_no_obstacle(value: Any) -> None:
    net = neuron.IFNode()
    net.v = value
    spikingjelly.export_to_nir(net, data()[0], dt=DT, strict=True)


def test_a_queue_left_over_is_refused() -> None:
    net = nn.Sequential(layer.Delay(3), neuron.IFNode())
    net[0](data()[0])
    with pytest.raises(ExportRefused, match=f"0: queue is {LEFT}"):
        export(net)
    functional.reset_net(net)
    export(net)


@pytest.mark.parametrize(
    "make",
    [
        lambda: layer.ElementWiseRecurrentContainer(neuron.IFNode(), torch.add),
        lambda: layer.LinearRecurrentContainer(neuron.IFNode(), SIZE, SIZE),
    ],
)
def test_what_containers_feed_back_at_first(make: Callable[[], Any]) -> None:
    net = make().double()
    export(net)
    net.y = torch.ones(2, SIZE, dtype=torch.float64)
    with pytest.raises(ExportRefused, match="y is fed back in the first step"):
        export(net)
    net.reset()
    net.set_reset_value("y", torch.ones(2, SIZE, dtype=torch.float64))
    with pytest.raises(ExportRefused, match="y is fed back in the first step"):
        export(net)


HIDDEN = {"init_hidden": True}
SNNTORCH: dict[str, Callable[[], Any]] = {
    "Leaky": lambda: snntorch.Leaky(0.9, **HIDDEN),
    "Lapicque": lambda: snntorch.Lapicque(R=1.0, C=5.0, **HIDDEN),
    "Synaptic": lambda: snntorch.Synaptic(0.5, 0.9, reset_delay=False, **HIDDEN),
    "RLeaky": lambda: snntorch.RLeaky(0.9, linear_features=SIZE, **HIDDEN),
    "RSynaptic": lambda: snntorch.RSynaptic(0.5, 0.9, linear_features=SIZE, **HIDDEN),
}


@pytest.mark.parametrize("name", SNNTORCH)
def test_buffers_of_snntorch_that_are_left_over(name: str) -> None:
    net = nn.Sequential(SNNTORCH[name]())
    export(net, snntorch_converter)
    spikes(net, data()[:3].float(), "s")
    with pytest.raises(ExportRefused, match="left over from a run"):
        export(net, snntorch_converter)
    utils.reset(net)
    if name == "RSynaptic":  # snnTorch's reset leaves its last spikes
        net[0].reset_mem()
    export(net, snntorch_converter)


def test_a_state_that_the_caller_keeps_is_none_of_the_layers() -> None:
    """A forward that passes states on starts them itself, whatever the layer had last."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.leaky = snntorch.Leaky(0.9)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            mem, out = self.leaky.reset_mem(), []
            for step in x:
                spk, mem = self.leaky(step, mem)
                out.append(spk)
            return torch.stack(out)

    net = Net()
    net(data().float())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AnnotatedWarning)
        snntorch_converter.export_to_nir(net, data().float(), dt=DT)


def test_a_state_that_nobody_gives_is_the_layers() -> None:
    """snnTorch's layers go on from their own, where they are given none."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.leaky = snntorch.Leaky(0.9)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            mem, out = None, []
            for step in x:
                spk, mem = self.leaky(step, mem)
                out.append(spk)
            return torch.stack(out)

    net = Net()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AnnotatedWarning)
        snntorch_converter.export_to_nir(net, data().float(), dt=DT)
    net.leaky.mem = torch.full((2, SIZE), -3.0)
    with pytest.raises(ExportRefused, match="leaky: mem is left over"):
        snntorch_converter.export_to_nir(net, data().float(), dt=DT)


@pytest.mark.parametrize("target", [spikingjelly, snntorch_converter, reference])
def test_imports_that_have_run(target: Any) -> None:
    """Layers as they are, normalized ones, cells, and cycles: until they are reset."""
    fields = {"tau": 3 * DT, "r": 2.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0}

    def neurons(**changed: Any) -> nir.LIF:
        given = {**fields, **changed}
        return nir.LIF(**{key: np.full(SIZE, value) for key, value in given.items()})

    weight = nir.Linear(np.eye(SIZE) / 2)
    nodes = {
        "input": nir.Input(np.array([SIZE])), "plain": neurons(r=3.0), "other": neurons(),
        "leaky": nir.LI(np.full(SIZE, 5 * DT), np.ones(SIZE), np.zeros(SIZE)), "weight": weight,
        "loop": neurons(v_leak=0.5), "output": nir.Output(np.array([SIZE])),
    }  # fmt: skip
    edges = [("input", "plain"), ("plain", "other"), ("other", "leaky"), ("leaky", "loop"),
             ("loop", "weight"), ("weight", "loop"), ("loop", "output")]  # fmt: skip
    imported = target.import_from_nir(nir.NIRGraph(nodes, edges), dt=DT, dtype=torch.float64)
    export(imported, target)
    spikes(imported, data()[:3], "s")
    with pytest.raises(ExportRefused) as refused:
        export(imported, target)
    places = {problem.place for problem in refused.value.problems}
    assert {"plain", "other", "leaky"} <= places
    assert any("loop" in place or "recurrent" in place for place in places)

"""What the caller of an export or import may choose."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import pytest
import torch
from spikingjelly.activation_based import functional, neuron
from torch import nn

from nir_exchange import reference, spikingjelly
from nir_runtime.contract import dynamics
from nir_runtime.contract import reference as modules
from nir_runtime.errors import (
    FaintInputWarning,
    InvalidArgument,
)
from nir_runtime.frameworks.spikingjelly import Cell
from tests.graphs import spikes
from tests.nodes import single

DT = 1e-3


@pytest.mark.parametrize("option", ["soft_reset", "ties"])
def test_options_that_are_none(option: str) -> None:
    arguments: dict[str, Any] = {option: "x"}
    with pytest.raises(InvalidArgument, match=f"{option}: is 'x'"):
        spikingjelly.export_to_nir(nn.Sequential(neuron.IFNode()), torch.rand(2, 3), **arguments)


# --- ties -----------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_ties_are_exact_with_integer_weights(dtype: torch.dtype) -> None:
    torch.manual_seed(2)
    net = nn.Sequential(nn.Linear(4, 50, bias=False), neuron.IFNode(2.0)).to(dtype)
    with torch.no_grad():
        net[0].weight.copy_(torch.randint(-2, 3, (50, 4)))
    x = torch.randint(0, 2, (100, 3, 4)).to(dtype)
    dt = 2.0**-10  # r * dt is 1 without rounding, so that v meets the threshold exactly
    expected = spikes(net, x, "s")
    functional.reset_net(net)
    kept = spikingjelly.export_to_nir(net, x[0], dt=dt)
    exact = spikingjelly.export_to_nir(net, x[0], dt=dt, ties="exact")

    def contract(graph: nir.NIRGraph) -> torch.Tensor:
        return spikes(reference.import_from_nir(graph, dt=dt, dtype=dtype), x, "s")

    assert (contract(kept) != expected).any()
    assert torch.equal(contract(exact), expected)

    back = spikingjelly.import_from_nir(exact, dt=dt, dtype=dtype)
    assert back.get_submodule("_1").v_threshold == 2.0
    functional.reset_net(net)
    assert torch.equal(spikes(back, x, "s"), expected)


def test_neurons_of_the_reference_keep_their_threshold() -> None:
    """They fire above it in whatever network they are: alone, in a cell, and behind an import."""
    torch.manual_seed(3)
    shape, dt = np.ones(50), 2.0**-10

    def integer(inputs: int) -> nn.Linear:
        linear = nn.Linear(inputs, 50, bias=False)
        with torch.no_grad():
            linear.weight.copy_(torch.randint(-2, 3, (50, inputs)))
        return linear

    node = nir.IF(r=shape / dt, v_threshold=shape * 2, v_reset=shape)  # no SpikingJelly layer's
    imported = reference.import_from_nir(single(node, 50), dt=dt).get_submodule("node")
    own = modules.IF(1 / dt, 2.0, 0.0, dt=dt)
    hosted = Cell(dynamics.IF(1 / dt, 2.0, 0.0, dt=dt))
    for neurons in (imported, own, hosted):
        net = nn.Sequential(integer(4), neurons)
        x = torch.randint(0, 2, (100, 3, 4)).float()
        graph = spikingjelly.export_to_nir(net, x[0], dt=dt, ties="exact")
        assert np.all(graph.nodes["_1"].v_threshold == 2.0)
        expected = spikes(net, x, "s")
        contract = reference.import_from_nir(graph, dt=dt)
        assert torch.equal(spikes(contract, x, "s"), expected)
        graph.nodes["_1"].v_threshold = np.nextafter(np.float32(2), np.float32(0)) * shape
        lowered = reference.import_from_nir(graph, dt=dt)
        assert (spikes(lowered, x, "s") != expected).any(), "no input meets the threshold"


# --- imports --------------------------------------------------------------------------------


def test_learn_tau() -> None:
    size = 3
    node = nir.LIF(
        tau=np.full(size, 7e-3), r=np.full(size, 2.0), v_leak=np.zeros(size),
        v_threshold=np.ones(size), v_reset=np.zeros(size),
    )  # fmt: skip
    module = spikingjelly.import_from_nir(
        single(node, size), dt=DT, dtype=torch.float64, step_mode="m", learn_tau=True
    )
    plif = module.get_submodule("node.neuron")
    assert type(plif) is neuron.ParametricLIFNode
    assert plif.w.dtype == torch.float64
    x = torch.randn(100, 2, size, dtype=torch.float64) * 2
    contract = reference.import_from_nir(single(node, size), dt=DT, dtype=torch.float64)
    assert torch.equal(spikes(module, x, "m"), spikes(contract, x, "s"))
    module(x)[0].sum().backward()
    assert plif.w.grad is not None


def test_an_if_written_per_step() -> None:
    node = nir.IF(r=np.ones(3), v_threshold=np.ones(3))
    x = torch.rand(50, 2, 3)
    with pytest.warns(FaintInputWarning, match="node: 0.0001"):
        quiet = spikingjelly.import_from_nir(single(node, 3), dt=1e-4)
    module = spikingjelly.import_from_nir(single(node, 3), dt=1e-4, if_gain="per_step")
    assert type(module.get_submodule("node")) is neuron.IFNode
    assert spikes(quiet, x, "s").sum() == 0
    assert torch.equal(spikes(module, x, "s"), spikes(nn.Sequential(neuron.IFNode()), x, "s"))
    with pytest.raises(InvalidArgument, match="if_gain: is 'x'"):
        spikingjelly.import_from_nir(single(node, 3), if_gain="x")  # type: ignore[arg-type]

"""Any NIR graph comes in, and spikes as the reference does, in float64, over 100 steps."""

from __future__ import annotations

import nir
import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from spikingjelly.activation_based import functional, neuron

from nir_exchange import reference, spikingjelly
from tests.graphs import assert_same_graph, spikes
from tests.nodes import DT, neurons, single

SIZE = 4


@given(neurons(SIZE), st.sampled_from(["s", "m"]), st.integers(0, 2**32 - 1))
def test_any_neuron(node: nir.NIRNode, mode: str, seed: int) -> None:
    graph = single(node, SIZE)
    x = torch.randn(
        (100, 3, SIZE), generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )
    ours = reference.import_from_nir(graph, dt=DT, dtype=torch.float64)
    theirs = spikingjelly.import_from_nir(
        graph,
        dt=DT,
        dtype=torch.float64,
        step_mode=mode,  # type: ignore[arg-type]
    )
    expected, actual = spikes(ours, x, "s"), spikes(theirs, x, mode)
    assert torch.allclose(actual, expected, rtol=1e-9, atol=1e-9)
    functional.reset_net(theirs)
    assert torch.equal(spikes(theirs, x, mode), actual)


@given(neurons(SIZE))
def test_exporting_again_gives_the_node_back(node: nir.NIRNode) -> None:
    graph = single(node, SIZE)
    module = spikingjelly.import_from_nir(graph, dt=DT)
    again = spikingjelly.export_to_nir(module, torch.zeros(2, SIZE), dt=DT)
    third = spikingjelly.import_from_nir(again, dt=DT)
    assert_same_graph(again, spikingjelly.export_to_nir(third, torch.zeros(2, SIZE), dt=DT))


def test_native_layers_where_one_computes_the_same() -> None:
    """The module's print shows which layer was taken."""
    shape = np.ones(3)
    plain = nir.LIF(tau=shape * 1e-2, r=shape, v_leak=shape * 0, v_threshold=shape)
    scaled = nir.LIF(tau=shape * 1e-2, r=shape * 3, v_leak=shape * 0.1, v_threshold=shape)
    varied = nir.LIF(tau=np.array([1e-2, 2e-2, 3e-2]), r=shape, v_leak=shape * 0, v_threshold=shape)
    taken = [
        spikingjelly.import_from_nir(single(node, 3), dt=DT).get_submodule("node")
        for node in (plain, scaled, varied)
    ]
    assert type(taken[0]) is neuron.LIFNode
    assert type(taken[1].get_submodule("neuron")) is neuron.LIFNode
    assert "dynamics" in dict(taken[2].named_children())

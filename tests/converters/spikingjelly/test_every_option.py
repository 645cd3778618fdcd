"""Every primitive comes in and every neuron goes out with any combination of the options.

In double precision and over 100 steps, against the contract.
"""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

from nir_exchange import reference, spikingjelly
from nir_runtime.contract.primitives import PRIMITIVES
from tests.graphs import spikes
from tests.interpreter import interpret
from tests.nodes import (
    DT,
    NEURONS,
    convolutions,
    elementwise,
    flattens,
    inputs_for,
    matrices,
    neurons,
    pools,
    single,
)
from tests.whole import assert_close, outputs

modes = st.sampled_from(["s", "m"])
seeds = st.integers(0, 2**32 - 1)
SHAPES: dict[str, Any] = {"Conv1d": (2, 5), "Conv2d": (2, 5, 4), "Flatten": (2, 5, 4)}
SHAPES |= {"SumPool2d": (2, 5, 4), "AvgPool2d": (2, 5, 4)}
KINDS = [kind.__name__ for kind in PRIMITIVES if kind not in (nir.Input, nir.Output)]


@st.composite
def primitives(draw: st.DrawFn, kind: str) -> nir.NIRGraph:
    """A graph of one node of a kind."""
    shape = SHAPES.get(kind) or draw(st.sampled_from([(3,), (2, 5), (2, 3, 2)]))
    if kind in NEURONS:
        return single(draw(neurons(shape, [kind])), shape)
    makers = {"Affine": matrices, "Linear": matrices, "SumPool2d": pools, "AvgPool2d": pools}
    makers |= {"Conv1d": convolutions, "Conv2d": convolutions, "Flatten": flattens}
    drawn = makers.get(kind, elementwise)(shape).filter(lambda d: type(d[0]).__name__ == kind)
    node, leaving = draw(drawn)
    graph = single(node, shape)
    graph.nodes["output"] = nir.Output({"output": np.array(leaving)})
    return graph


@pytest.mark.filterwarnings("ignore:an input of 1 moves")
@pytest.mark.parametrize("kind", KINDS)
@given(
    data=st.data(), mode=modes, learn_tau=st.booleans(), seed=seeds,
    if_gain=st.sampled_from(["as_written", "per_step"]), strict=st.booleans(),
)  # fmt: skip
def test_a_primitive_comes_in(
    kind: str, data: st.DataObject, mode: str, learn_tau: bool, if_gain: str, strict: bool,
    seed: int,
) -> None:  # fmt: skip
    graph = data.draw(primitives(kind))
    x = inputs_for(graph, 100, 2, seed)
    module = spikingjelly.import_from_nir(
        graph, dt=DT, dtype=torch.float64, step_mode=mode,  # type: ignore[arg-type]
        learn_tau=learn_tau, if_gain=if_gain, strict=strict,  # type: ignore[arg-type]
    )  # fmt: skip
    if kind == "IF" and if_gain == "per_step":
        node: Any = graph.nodes["node"]
        node.r = node.r / DT
    assert_close(outputs(module, graph, x, mode), interpret(graph, x, DT))


@st.composite
def spiking(draw: st.DrawFn) -> nn.Module:
    """A neuron of SpikingJelly's with any of its options."""
    threshold, tau = draw(st.floats(0.2, 2.0)), draw(st.floats(1.1, 20.0))
    reset, decays = draw(st.one_of(st.none(), st.floats(-0.5, 0.15))), draw(st.booleans())
    share = draw(st.floats(0.0, 0.95))
    made = {
        "IF": lambda: neuron.IFNode(threshold, reset),
        "LIF": lambda: neuron.LIFNode(tau, decays, threshold, reset),
        "PLIF": lambda: neuron.ParametricLIFNode(tau, decays, threshold, reset),
        "CUBA": lambda: neuron.CUBALIFNode(share, 1 - 1 / tau, threshold, reset),
    }
    return made[draw(st.sampled_from(sorted(made)))]()


@pytest.mark.filterwarnings("ignore:exact only for a reader")
@given(
    node=spiking(), linear=st.booleans(), bias=st.booleans(), mode=modes, seed=seeds,
    soft_reset=st.sampled_from(["annotate", "decompose"]), ties=st.sampled_from(["keep", "exact"]),
)  # fmt: skip
def test_a_neuron_goes_out(
    node: nn.Module, linear: bool, bias: bool, mode: str, seed: int, soft_reset: str, ties: str
) -> None:
    torch.manual_seed(seed)
    before = layer.Linear(5, 4, bias=bias) if linear else layer.Conv1d(2, 3, 2, bias=bias)
    net = nn.Sequential(before, node).double()
    functional.set_step_mode(net, mode)
    x = torch.randn(100, 2, *((5,) if linear else (2, 5)), dtype=torch.float64) * 3
    graph = spikingjelly.export_to_nir(
        net,
        x if mode == "m" else x[0],
        dt=DT,
        soft_reset=soft_reset,
        ties=ties,  # type: ignore[arg-type]
    )
    contract = reference.import_from_nir(graph, dt=DT, dtype=torch.float64)
    assert torch.equal(spikes(contract, x, "s"), spikes(net, x, mode))

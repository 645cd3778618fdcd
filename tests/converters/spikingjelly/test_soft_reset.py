"""A reset by subtraction: annotated, written in NIR's own primitives, or refused."""

from __future__ import annotations

import warnings

import nir
import numpy as np
import pytest
import torch
from hypothesis import event, given
from hypothesis import strategies as st
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

from nir_exchange import reference, spikingjelly
from nir_runtime.errors import ExportRefused
from nir_runtime.reports.report import Grade
from tests.graphs import spikes
from tests.interpreter import interpret
from tests.nodes import any_graphs, every_level, inputs_for, single
from tests.whole import assert_close, outputs

DT = 1e-3


def soft(kind: str, tau: float, theta: float) -> nn.Module:
    return {
        "IF": lambda: neuron.IFNode(theta, None),
        "LIF": lambda: neuron.LIFNode(tau, True, theta, None),
        "LIF, input not decayed": lambda: neuron.LIFNode(tau, False, theta, None),
        "PLIF": lambda: neuron.ParametricLIFNode(tau, True, theta, None),
        "CUBA": lambda: neuron.CUBALIFNode(1 - 1 / tau, 0.6, theta, None),
    }[kind]()


KINDS = ["IF", "LIF", "LIF, input not decayed", "PLIF", "CUBA"]


@given(
    st.sampled_from(KINDS), st.floats(1.2, 30.0), st.floats(0.1, 2.0), st.sampled_from(["s", "m"]),
    st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_decomposed_it_is_exact_in_nirs_own_primitives(
    kind: str, tau: float, theta: float, mode: str, seed: int
) -> None:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(3, 5), soft(kind, tau, theta), nn.Linear(5, 2)).double()
    functional.set_step_mode(net, mode)
    x = torch.randn(100, 2, 3, dtype=torch.float64) * 3
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graph = spikingjelly.export_to_nir(
            net, x if mode == "m" else x[0], dt=DT, soft_reset="decompose", strict=True
        )
    assert all("reset" not in node.metadata for node in graph.nodes.values())
    expected = spikes(net, x, mode)
    contract = reference.import_from_nir(graph, dt=DT, dtype=torch.float64)
    assert torch.allclose(spikes(contract, x, "s"), expected, rtol=1e-9, atol=1e-9)
    again = spikingjelly.import_from_nir(graph, dt=DT, dtype=torch.float64, step_mode=mode)
    assert torch.allclose(spikes(again, x, mode), expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_annotated_it_is_exact_for_the_reference_too(kind: str) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 5), soft(kind, 3.0, 0.7)).double()
    x = torch.randn(100, 2, 3, dtype=torch.float64) * 3
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = spikingjelly.export_to_nir(net, x[0], dt=DT)
    contract = reference.import_from_nir(graph, dt=DT, dtype=torch.float64)
    assert torch.equal(spikes(contract, x, "s"), spikes(net, x, "s"))


def test_refused() -> None:
    net = nn.Sequential(soft("IF", 2.0, 1.0))
    with pytest.raises(ExportRefused, match="0: NIR has no field for a reset by subtraction"):
        spikingjelly.export_to_nir(net, torch.rand(2, 3), soft_reset="refuse")


# --- on cycles ------------------------------------------------------------------------------


@given(
    st.sampled_from(KINDS), st.sampled_from(["linear", "elementwise"]), st.booleans(),
    st.sampled_from(["s", "m"]), st.integers(0, 2**32 - 1),
)  # fmt: skip
def test_in_a_recurrent_container_it_is_exact_too(
    kind: str, way: str, last: bool, mode: str, seed: int
) -> None:
    torch.manual_seed(seed)
    inside = [nn.Linear(4, 4), soft(kind, 3.0, 0.7)]
    body = nn.Sequential(*(inside if last else [*inside, nn.Linear(4, 4)]))
    if way == "linear":
        block: nn.Module = layer.LinearRecurrentContainer(body, 4, 4)
    else:
        block = layer.ElementWiseRecurrentContainer(body, lambda y, x: x + y)
    net = nn.Sequential(block, nn.Linear(4, 2)).double()
    functional.set_step_mode(net, mode)
    x = torch.randn(100, 2, 4, dtype=torch.float64) * 2
    graph = spikingjelly.export_to_nir(
        net, x if mode == "m" else x[0], dt=DT, soft_reset="decompose", strict=True
    )
    expected = spikes(net, x, mode)
    contract = reference.import_from_nir(graph, dt=DT, dtype=torch.float64)
    assert torch.allclose(spikes(contract, x, "s"), expected, rtol=1e-9, atol=1e-9)


ELSEWHERE = "walked in another order"


@pytest.mark.filterwarnings("ignore:exact only for a reader")
@given(any_graphs(), st.integers(0, 2**32 - 1))
def test_in_any_graph_it_is_exact_or_refused(graph: nir.NIRGraph, seed: int) -> None:
    source = np.random.default_rng(seed)
    for level in every_level(graph):
        for node in level.nodes.values():
            if isinstance(node, (nir.IF, nir.LIF, nir.CubaLIF)) and source.random() < 0.7:
                node.metadata["reset"] = "subtract"
    x = inputs_for(graph, 100, 2, seed)
    module = reference.import_from_nir(graph, dt=DT, dtype=torch.float64)
    example = tuple(torch.from_numpy(x[name])[0] for name in sorted(x))
    explained = reference.explain(module, example, DT, soft_reset="decompose")
    if explained.grade is Grade.REFUSED:
        event("refused")
        assert any(ELSEWHERE in note for entry in explained.entries for note in entry.notes)
        return
    made = reference.export_to_nir(module, example, dt=DT, soft_reset="decompose")
    assert all("reset" not in node.metadata for node in made.nodes.values())
    assert_close(interpret(made, x, DT), outputs(module, graph, x, "s"))


@pytest.mark.filterwarnings("ignore:exact only for a reader")
def test_where_several_nodes_would_be_cut_elsewhere_it_is_refused() -> None:
    """The walk goes to `a` and so to `q` first; in the parts of `n`, first to `z`."""
    scale, one = nir.Scale(np.ones(3)), np.ones(3)
    lif = {"tau": one * 5e-3, "r": one, "v_leak": one * 0, "v_threshold": one}
    nodes = {
        "in": nir.Input({"input": np.array([3])}), "out": nir.Output({"output": np.array([3])}),
        "n": nir.LIF(**lif, metadata={"reset": "subtract"}), "q": nir.LIF(**lif),
        "z": nir.LIF(**lif), "a": scale,
    }  # fmt: skip
    edges = [("in", "n"), ("n", "a"), ("a", "n"), ("a", "q"), ("q", "z"), ("z", "q"), ("n", "z")]
    graph = nir.NIRGraph(nodes, [*edges, ("z", "out")], type_check=False)
    module = reference.import_from_nir(graph, dt=DT, dtype=torch.float64)
    with pytest.raises(ExportRefused, match=f"n: resets by subtraction on a .*{ELSEWHERE}"):
        reference.export_to_nir(module, torch.zeros(2, 3), dt=DT, soft_reset="decompose")
    explained = reference.explain(module, torch.zeros(2, 3), DT, soft_reset="decompose")
    (entry,) = (entry for entry in explained.entries if entry.grade is Grade.REFUSED)
    assert entry.place.endswith(".n")


def test_a_neuron_that_starts_above_its_threshold_is_refused() -> None:
    fires = {"v_threshold": np.full(3, -0.1), "v_reset": np.zeros(3)}
    starting = nir.IF(r=np.ones(3), metadata={"reset": "subtract"}, **fires)
    module = reference.import_from_nir(single(starting, 3), dt=DT)
    with pytest.raises(ExportRefused, match="node: resets by subtraction and has a threshold"):
        reference.export_to_nir(module, torch.zeros(2, 3), dt=DT, soft_reset="decompose")

"""The reference against an interpreter of the contract that shares no code with it."""

from __future__ import annotations

import nir
import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from nir_exchange import reference
from tests.interpreter import interpret
from tests.nodes import DT, any_graphs, inputs_for, shuffled, without_input_shapes
from tests.whole import assert_close, outputs

seeds = st.integers(0, 2**32 - 1)


@given(any_graphs(), st.booleans(), seeds)
def test_any_graph_computes_the_contract(graph: nir.NIRGraph, forget: bool, seed: int) -> None:
    x = inputs_for(graph, 100, 2, seed)
    graph = without_input_shapes(graph) if forget else graph
    module = reference.import_from_nir(graph, dt=DT, dtype=torch.float64)
    assert_close(outputs(module, graph, x, "s"), interpret(graph, x, DT))


@given(any_graphs(), seeds)
def test_the_order_in_which_a_graph_is_stored_changes_nothing(
    graph: nir.NIRGraph, seed: int
) -> None:
    x = inputs_for(graph, 100, 2, seed)
    one, other = (
        reference.import_from_nir(each, dt=DT, dtype=torch.float64)
        for each in (graph, shuffled(graph, seed))
    )
    ours, theirs = outputs(one, graph, x, "s"), outputs(other, graph, x, "s")
    for name, values in ours.items():
        assert np.array_equal(values, theirs[name])

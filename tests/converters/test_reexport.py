"""An imported graph goes out as the graph that it was: the same names, edges and numbers.

Nodes that no Output depends on are left out, as in any export, and nested graphs are dissolved.
"""

from __future__ import annotations

import warnings
from typing import Any

import nir
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nir_exchange import reference, snntorch, spikingjelly
from nir_runtime.contract import shapes
from nir_runtime.contract.nesting import thin_copy
from nir_runtime.errors import AnnotatedWarning, ImportRefused, InvalidArgument, InvalidGraph
from tests.interpreter import interpret
from tests.nodes import DT, graphs, inputs_for, single
from tests.whole import assert_close, needed

modes = st.sampled_from(["s", "m"])
seeds = st.integers(0, 2**32 - 1)
targets = pytest.mark.parametrize("target", [reference, spikingjelly])


def again(target: Any, graph: nir.NIRGraph, mode: str) -> nir.NIRGraph:
    """Imported and exported."""
    x = inputs_for(graph, 3, 2, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AnnotatedWarning)
        module = target.import_from_nir(graph, dt=DT, dtype=torch.float64, step_mode=mode)
        examples = [torch.from_numpy(x[name]) for name in sorted(x)]
        given = tuple(examples if mode == "m" else (example[0] for example in examples))
        return target.export_to_nir(module, given, dt=DT)


def assert_same(actual: nir.NIRNode, expected: nir.NIRNode, name: str) -> None:
    """The same kind, and the same numbers to 12 digits."""
    assert type(actual) is type(expected), name
    for field, value in vars(expected).items():
        held = getattr(actual, field)
        if isinstance(value, (np.ndarray, int, float, tuple)):
            np.testing.assert_allclose(held, value, rtol=1e-12, atol=0, err_msg=f"{name}.{field}")
        elif isinstance(value, str):
            assert held == value, f"{name}.{field}"


@targets
@given(graph=graphs(nested=0), mode=modes)
def test_names_edges_and_numbers_come_back(target: Any, graph: nir.NIRGraph, mode: str) -> None:
    expected = thin_copy(graph)
    shapes.infer(expected)
    kept = needed(expected)
    made = again(target, graph, mode)
    assert set(made.nodes) == kept
    assert len(made.edges) == len(set(made.edges))
    assert set(made.edges) == {(s, t) for s, t in expected.edges if t in kept}
    for name, node in made.nodes.items():
        assert_same(node, expected.nodes[name], name)


@targets
@given(graph=graphs(), mode=modes, seed=seeds)
def test_any_graph_means_the_same_again(
    target: Any, graph: nir.NIRGraph, mode: str, seed: int
) -> None:
    x = inputs_for(graph, 50, 1, seed)
    assert_close(interpret(again(target, graph, mode), x, DT), interpret(graph, x, DT))


# --- metadata and options that mean nothing -------------------------------------------------


@pytest.mark.parametrize(
    ("start", "what"),
    [
        ("soon", "is not an array of numbers"),
        (np.ones(3), r"has the shape \(3,\), and the features \(4,\)"),
        (float("nan"), "is NaN or infinite"),
    ],
)
def test_a_start_that_means_nothing(start: Any, what: str) -> None:
    ones = np.ones(4)
    graph = single(nir.LIF(ones * 1e-2, ones, ones * 0, ones, ones * 0), 4)
    graph.nodes["node"].metadata["v_initial"] = start
    with pytest.raises(InvalidGraph, match=f"/node/nodes/node/metadata/v_initial: {what}"):
        reference.import_from_nir(graph, dt=1e-3)


@pytest.mark.parametrize("target", [reference, spikingjelly])
def test_a_reset_that_nothing_follows(target: Any) -> None:
    """One problem, of which the reference is no way out."""
    ones = np.ones(4)
    graph = single(nir.LIF(ones * 1e-2, ones, ones * 0, ones, ones * 0), 4)
    graph.nodes["node"].metadata["reset"] = "somehow"
    with pytest.raises(ImportRefused) as refused:
        target.import_from_nir(graph, dt=1e-3)
    assert str(refused.value) == (
        "/node/nodes/node/metadata: the node's metadata says more: reset\n"
        "    take out of the metadata what no layer follows"
    )
    assert target.explain(graph, dt=1e-3).entries[0].notes == (
        "metadata: the node's metadata says more: reset",
        "take out of the metadata what no layer follows",
    )


@pytest.mark.parametrize(
    ("node", "metadata"),
    [
        (nir.Scale(np.ones(4)), {"reset": "subtract", "scale_initial": "uniform"}),
        (nir.I(np.ones(4)), {"reset": "never", "r_initial": 0.5, "i_initial": [1.0, 2.0]}),
    ],
)
def test_metadata_of_others(node: nir.NIRNode, metadata: dict[str, Any]) -> None:
    """What is no state and no reset of a node changes nothing, whatever it is called."""
    node.metadata.update(metadata)
    x = torch.ones(1, 4)
    expected = reference.import_from_nir(single(type(node)(np.ones(4)), 4))(x)[0]
    assert torch.equal(spikingjelly.import_from_nir(single(node, 4))(x)[0], expected)


def test_a_switch_that_is_neither_on_nor_off() -> None:
    graph = single(nir.Scale(np.ones(4)), 4)
    with pytest.raises(InvalidArgument, match="init_hidden: is 'yes'"):
        snntorch.import_from_nir(graph, init_hidden="yes")  # type: ignore[arg-type]

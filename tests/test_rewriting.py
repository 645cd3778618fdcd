"""Graphs in another form compute what they did, step by step; each form is what it is called."""

from __future__ import annotations

import itertools
from collections.abc import Mapping

import nir
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nir_runtime.contract.nesting import flatten, thin_copy
from nir_runtime.errors import InvalidGraph
from nir_runtime.graphs.acceptance import refusal
from nir_runtime.graphs.changes import Rewritten
from nir_runtime.graphs.rewriting import Wishes, rewrite
from tests.interpreter import interpret
from tests.nodes import (
    DT,
    NAMES,
    Sized,
    any_graphs,
    convolutions,
    has_stateless_cycle,
    inputs_for,
    matrices,
    neurons,
    randoms,
)  # fmt: skip
from tests.whole import assert_close

Array = npt.NDArray[np.float64]
seeds = st.integers(0, 2**32 - 1)

EXACT = [
    Wishes(),
    Wishes(sizes=False),
    Wishes(flatten=True),
    Wishes(fold=True),
    Wishes(flatten=True, fold=True),
]


@given(any_graphs(), st.sampled_from(EXACT), seeds)
def test_any_graph_computes_what_it_did(graph: nir.NIRGraph, wishes: Wishes, seed: int) -> None:
    x = inputs_for(graph, 100, 2, seed)
    before = interpret(graph, x, DT)
    rewritten = rewrite(graph, wishes).graph
    assert_close(interpret(rewritten, x, DT), before)
    if wishes.flatten:
        assert not any(isinstance(node, nir.NIRGraph) for node in rewritten.nodes.values())


# --- repairing ------------------------------------------------------------------------------


@given(any_graphs(), seeds)
def test_what_old_files_lack_is_completed(graph: nir.NIRGraph, seed: int) -> None:
    x = inputs_for(graph, 100, 2, seed)
    repaired = rewrite(old(graph), Wishes()).graph
    assert_close(interpret(repaired, x, DT), interpret(graph, x, DT))
    if not refusal(rewrite(graph, Wishes()).graph):
        assert refusal(repaired) == ""


def old(graph: nir.NIRGraph) -> nir.NIRGraph:
    """The graph without what can be left out: 0 or 1 where it is the default, and repetitions."""
    graph = thin_copy(graph)
    for node in flatten(graph)[0].nodes.values():
        if hasattr(node, "input_shape"):
            node.input_shape = None
        for name, value in list(vars(node).items()):
            if isinstance(value, np.ndarray) and name not in ("weight", "bias"):
                same = np.all(value == value.flat[0])
                number = np.array(value.flat[0])
                missing = same and LATER.get(name) == number
                setattr(node, name, None if missing else number if same else value)
    return graph


LATER = {"v_reset": 0.0, "w_in": 1.0}
"""Fields that older versions of nir had not, and what files without them mean."""


def chain(*nodes: nir.NIRNode, size: int | tuple[int, ...] = 3) -> nir.NIRGraph:
    """in -> 0 -> 1 ... -> out, unchecked."""
    named = {str(number): node for number, node in enumerate(nodes)}
    shape = np.array(size if isinstance(size, tuple) else (size,))
    every = {"in": nir.Input(shape), **named, "out": nir.Output(None)}
    names = list(every)
    return nir.NIRGraph(every, list(itertools.pairwise(names)), type_check=False)


def changes(rewritten: Rewritten) -> dict[str, str]:
    return {change.place: change.what for change in rewritten.changes}


def lif(**fields: object) -> nir.LIF:
    """A node as `files.read` leaves it: of one number for all, and without what is missing."""
    node: nir.LIF = object.__new__(nir.LIF)
    own = {"tau": 0.01, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": None}
    vars(node).update({**own, **fields}, input_type=None, output_type=None, metadata={})
    return node


def test_an_old_file_is_completed() -> None:
    conv = nir.Conv2d(None, np.ones((2, 1, 3, 3)), 1, 0, 1, 1, np.ones(2))
    rewritten = rewrite(chain(conv, lif(tau=np.full((2, 4, 4), 0.01)), size=(1, 6, 6)), Wishes())
    assert changes(rewritten) == {
        "0/input_shape": "was missing: (6, 6)",
        "1/r": "was one number for all: 1 for each of (2, 4, 4)",
        "1/v_leak": "was one number for all: 0 for each of (2, 4, 4)",
        "1/v_threshold": "was one number for all: 1 for each of (2, 4, 4)",
        "1/v_reset": "was missing: 0 for each of (2, 4, 4)",
        "out/output_type": "was missing: (2, 4, 4) arrives",
    }
    assert refusal(rewritten.graph) == ""


def test_ends_are_added_where_there_are_none() -> None:
    nodes = {"dense": nir.Linear(np.ones((2, 3))), "lif": lif()}
    graph = nir.NIRGraph(nodes, [("dense", "lif")], type_check=False)
    rewritten = rewrite(graph, Wishes())
    assert changes(rewritten)["input_dense"] == "added: an Input before dense"
    assert changes(rewritten)["output_lif"] == "added: an Output behind lif"
    assert list(graph.nodes) == ["dense", "lif"]
    assert rewritten.graph.nodes["input_dense"].input_type["input"] == [3]
    assert refusal(rewritten.graph) == ""


def test_what_can_not_be_repaired_is_refused() -> None:
    with pytest.raises(InvalidGraph, match=r"\(3,\), and \(2,\) arrives|takes"):
        rewrite(chain(nir.Linear(np.ones((2, 3))), nir.Linear(np.ones((2, 3)))), Wishes())


def test_nir_takes_convolutions_in_groups_again() -> None:
    conv = nir.Conv2d((4, 4), np.ones((4, 1, 3, 3)), 1, 0, 1, 2, np.ones(4))
    graph = chain(conv, size=(2, 4, 4))
    assert "type mismatch" in refusal(graph)
    assert refusal(rewrite(graph, Wishes()).graph) == ""


def test_what_nir_refuses_all_the_same() -> None:
    conv = nir.Conv2d(None, np.ones((1, 1, 3, 5)), 1, 0, 1, 1, np.ones(1))
    graph = rewrite(chain(conv, nir.Scale(np.ones((1, 8, 6))), size=(1, 10, 10)), Wishes()).graph
    assert "type mismatch" in refusal(graph)


# --- folding --------------------------------------------------------------------------------


@st.composite
def foldable(draw: st.DrawFn) -> nir.NIRGraph:
    """A chain, mostly of linear nodes, with some edges that skip nodes or lead back."""
    shape = draw(st.sampled_from([(3,), (2, 4, 4), (2, 6)]))
    names = iter(draw(st.permutations(NAMES)))
    nodes: dict[str, nir.NIRNode] = {next(names): nir.Input(np.array(shape))}
    shapes = [shape]
    for _ in range(draw(st.integers(2, 8))):
        node, shape = draw(linear(shape) | neurons(shape).map(lambda n: (n, np.shape(n.r))))
        nodes[next(names)] = node
        shapes.append(shape)
    nodes[next(names)] = nir.Output(np.array(shape))
    order = list(nodes)
    edges = list(itertools.pairwise(order))
    for _ in range(draw(st.integers(0, 2))):
        source, target = draw(st.tuples(*[st.integers(1, len(order) - 2)] * 2))
        edge = order[source], order[target]
        arriving = shapes[target - 1]
        if shapes[source] == arriving and not has_stateless_cycle(nodes, [*edges, edge]):
            edges += [edge] * (edge not in edges)
    return nir.NIRGraph(nodes, edges, type_check=False)


@st.composite
def linear(draw: st.DrawFn, shape: tuple[int, ...]) -> Sized:
    """What can be folded, for features of any shape."""
    channels, *others = shape
    source = draw(randoms())
    number = source.uniform(0.3, 1, size=(channels, *(1,) * len(others)))
    kind = draw(st.sampled_from(["scale", "scale of channels", "norm", "weights", "weights"]))
    if kind == "scale":
        return nir.Scale(source.uniform(0.3, 1, size=shape)), shape
    if kind == "scale of channels":
        return nir.Scale(np.broadcast_to(number, shape)), shape
    if kind == "weights":
        return draw(convolutions(shape) if others else matrices(shape))
    bias = source.normal(size=channels) * 0.1
    if not others:
        return nir.Affine(np.diag(number), bias), shape
    cls = {1: nir.Conv1d, 2: nir.Conv2d}[len(others)]
    return cls(None, number[:, None], 1, 0, 1, channels, bias), shape


@given(foldable(), seeds)
def test_a_folded_graph_computes_what_it_did(graph: nir.NIRGraph, seed: int) -> None:
    x = inputs_for(graph, 100, 2, seed)
    before = interpret(graph, x, DT)
    assert_close(interpret(rewrite(graph, Wishes(fold=True)).graph, x, DT), before)


THREE = np.array([2.0, 0.5, -4.0])
MATRIX = np.arange(6.0).reshape(2, 3)
KERNEL = np.arange(12.0).reshape(3, 1, 2, 2)


def bare(*nodes: nir.NIRNode, size: int | tuple[int, ...] = 3) -> list[nir.NIRNode]:
    """What is left between Input and Output when a chain is folded."""
    graph = rewrite(chain(*nodes, size=size), Wishes(fold=True)).graph
    return [n for n in graph.nodes.values() if not isinstance(n, (nir.Input, nir.Output))]


def conv(weight: Array, bias: Array, groups: int = 1, padding: int = 0) -> nir.Conv2d:
    return nir.Conv2d(None, weight, 1, padding, 1, groups, bias)


def test_scales_go_into_matrices() -> None:
    behind = np.array([3.0, -1.0])
    (node,) = bare(nir.Scale(THREE), nir.Linear(MATRIX), nir.Scale(behind))
    assert isinstance(node, nir.Linear)
    assert np.array_equal(node.weight, behind[:, None] * MATRIX * THREE)
    (node,) = bare(nir.Affine(MATRIX, behind), nir.Scale(behind))
    assert np.array_equal(node.bias, behind**2)


def test_scales_go_into_convolutions_where_they_are_one_number_for_each_channel() -> None:
    per_channel = np.broadcast_to(THREE[:, None, None], (3, 3, 3))
    (node,) = bare(conv(KERNEL, THREE), nir.Scale(per_channel), size=(1, 4, 4))
    assert np.array_equal(node.weight, KERNEL * THREE[:, None, None, None])
    assert np.array_equal(node.bias, THREE**2)
    (node,) = bare(nir.Scale(per_channel), conv(KERNEL, THREE, groups=3), size=(3, 3, 3))
    assert np.array_equal(node.weight, KERNEL * THREE[:, None, None, None])
    differing = per_channel + np.eye(3)
    assert len(bare(conv(KERNEL, THREE), nir.Scale(differing), size=(1, 4, 4))) == 2


def test_scales_go_into_neurons_after_all_else() -> None:
    (node,) = bare(nir.Scale(THREE), lif(r=np.full(3, 2.0)))
    assert isinstance(node, nir.LIF)
    assert np.array_equal(node.r, 2 * THREE)
    matrix, neuron = bare(nir.Linear(MATRIX.T), nir.Scale(THREE), lif(r=np.full(3, 2.0)), size=2)
    assert np.array_equal(matrix.weight, MATRIX.T * THREE[:, None])
    assert np.array_equal(neuron.r, np.full(3, 2.0))


def test_batch_norms_go_into_what_is_before() -> None:
    norm = nir.Affine(np.diag([2.0, 4.0]), np.array([1.0, -1.0]))
    (node,) = bare(nir.Affine(MATRIX, np.ones(2)), norm)
    assert np.array_equal(node.weight, MATRIX * [[2.0], [4.0]])
    assert np.array_equal(node.bias, [3.0, 3.0])
    gain = THREE.reshape(3, 1, 1, 1)
    (node,) = bare(conv(KERNEL, THREE), conv(gain, THREE, groups=3), size=(1, 4, 4))
    assert np.array_equal(node.weight, KERNEL * gain)
    assert np.array_equal(node.bias, THREE**2 + THREE)
    padded = conv(gain, THREE, groups=3, padding=1)
    assert len(bare(conv(KERNEL, THREE), padded, size=(1, 4, 4))) == 2


def test_matrices_are_multiplied_only_where_that_is_smaller() -> None:
    wide, narrow = np.ones((9, 1)), np.ones((1, 9))
    assert len(bare(nir.Linear(narrow), nir.Linear(wide), size=9)) == 2
    (node,) = bare(nir.Linear(wide), nir.Linear(narrow), size=1)
    assert np.array_equal(node.weight, [[9.0]])


def test_whole_numbers_are_not_cut_off() -> None:
    (node,) = bare(nir.Linear(np.ones((3, 3), dtype=int)), nir.Scale(np.full(3, 0.5)))
    assert np.array_equal(node.weight, np.full((3, 3), 0.5))


def test_nodes_that_others_read_stay() -> None:
    graph = chain(nir.Linear(np.ones((3, 3))), nir.Scale(THREE))
    graph.edges.append(("0", "out"))
    assert rewrite(graph, Wishes(fold=True)).graph.nodes.keys() == graph.nodes.keys()


def test_metadata_is_kept_or_the_pair_stays() -> None:
    one, other = nir.Scale(THREE), nir.Linear(MATRIX)
    one.metadata, other.metadata = {"a": 1}, {"b": 2}
    (node,) = bare(one, other)
    assert node.metadata == {"a": 1, "b": 2}
    other.metadata = {"a": 2}
    assert len(bare(one, other)) == 2
    other.metadata, other.unknown_fields = {}, {"colour": "red"}
    assert len(bare(one, other)) == 2


def test_what_is_on_a_cycle_is_folded_where_the_cut_stays() -> None:
    nodes = {
        "in": nir.Input(np.array([3])),
        "lif": lif(),
        "back": nir.Scale(THREE),
        "more": nir.Linear(np.eye(3)),
        "out": nir.Output(None),
    }
    edges = [("in", "lif"), ("lif", "back"), ("back", "more"), ("more", "lif"), ("lif", "out")]
    graph = nir.NIRGraph(nodes, edges, type_check=False)
    x: Mapping[str, Array] = inputs_for(graph, 100, 2, 0)
    rewritten = rewrite(graph, Wishes(fold=True))
    assert changes(rewritten)["back"] == "folded into more"
    complete = rewrite(graph, Wishes()).graph
    assert_close(interpret(rewritten.graph, x, DT), interpret(complete, x, DT))


# --- flattening -----------------------------------------------------------------------------


def test_subgraphs_are_dissolved_with_their_metadata() -> None:
    inner = chain(nir.Scale(THREE), nir.Scale(THREE))
    inner.metadata = {"made": "by hand"}
    rewritten = rewrite(chain(inner), Wishes(flatten=True))
    assert list(rewritten.graph.nodes) == ["in", "out", "0.0", "0.1"]
    assert rewritten.graph.metadata == {"0": {"made": "by hand"}}
    assert changes(rewritten)["0"] == "dissolved: 2 of its 4 nodes are left, as 0.…"


# --- numbers --------------------------------------------------------------------------------


@given(any_graphs(), seeds)
def test_numbers_go_into_another_type_and_back(graph: nir.NIRGraph, seed: int) -> None:
    single = rewrite(graph, Wishes(dtype="float32")).graph
    double = rewrite(single, Wishes(dtype="float64")).graph
    complete = rewrite(graph, Wishes()).graph
    for name, node in flatten(complete)[0].nodes.items():
        for field, value in vars(node).items():
            if isinstance(value, np.ndarray) and value.dtype.kind == "f":
                cast = getattr(flatten(single)[0].nodes[name], field)
                again = getattr(flatten(double)[0].nodes[name], field)
                assert (cast.dtype, again.dtype) == (np.float32, np.float64)
                assert np.array_equal(again, value.astype(np.float32))


def test_how_far_off_they_are_is_said() -> None:
    rewritten = rewrite(
        chain(nir.Scale(np.full(3, 0.1)), nir.Scale(THREE)), Wishes(dtype="float16")
    )
    assert changes(rewritten)["0/scale"] == (
        "float64 -> float16, off by up to 0.00024 of the largest"
    )
    assert changes(rewritten)["1/scale"] == "float64 -> float16, the same numbers"


@pytest.mark.parametrize(
    ("number", "lost"), [(1e6, "as large as 1e\\+06"), (1e-9, "as small as 1e-09")]
)
def test_numbers_that_the_type_can_not_hold(number: float, lost: str) -> None:
    with pytest.raises(InvalidGraph, match=lost):
        rewrite(chain(lif(r=np.full(3, number))), Wishes(dtype="float16"))


def test_very_small_weights_become_0() -> None:
    graph = rewrite(chain(nir.Linear(np.diag([1.0, 1e-9, 1.0]))), Wishes(dtype="float16")).graph
    assert np.array_equal(graph.nodes["0"].weight, np.diag([1.0, 0.0, 1.0]))


# --- omitting -------------------------------------------------------------------------------


def test_sizes_are_left_out() -> None:
    layer = nir.Conv2d((4, 4), np.ones((2, 1, 3, 3)), 1, 0, 1, 1, np.ones(2))
    flat = nir.Flatten({"input": np.array([2, 2, 2])}, 0, -1)
    rewritten = rewrite(chain(layer, flat, size=(1, 4, 4)), Wishes(sizes=False))
    assert rewritten.graph.nodes["0"].input_shape is None
    assert rewritten.graph.nodes["1"].input_type == {"input": None}
    why = "left out: it follows from the graph"
    assert (changes(rewritten)["0/input_shape"], changes(rewritten)["1/input_type"]) == (why, why)
    assert refusal(rewritten.graph) == ""


def test_fields_that_nir_does_not_know_are_left_out() -> None:
    scale, inner = nir.Scale(THREE), chain(nir.Scale(THREE))
    scale.unknown_fields = inner.unknown_fields = {"colour": "red"}
    inner.nodes["0"].unknown_fields = {"size": 3}
    graph = chain(scale, inner)
    assert "fields that nir doesn't know: ['colour']" in refusal(rewrite(graph, Wishes()).graph)
    rewritten = rewrite(graph, Wishes(unknown=False))
    why = "left out: nir doesn't know it"
    said = {place: what for place, what in changes(rewritten).items() if what == why}
    assert said.keys() == {"0/colour", "1/colour", "1.0/size"}
    assert refusal(rewritten.graph) == ""
    assert scale.unknown_fields == {"colour": "red"}

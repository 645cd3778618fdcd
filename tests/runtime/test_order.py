from __future__ import annotations

import itertools
import random
from collections.abc import Iterable, Iterator

import nir
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nir_runtime.contract.nesting import Edge, flatten, without_ports
from nir_runtime.contract.order import Plan, plan
from nir_runtime.contract.shapes import infer
from nir_runtime.errors import InvalidGraph

from .counting import calls_made
from .handmade import chain, graph, lif, shaped_input


def scale() -> nir.Scale:
    return nir.Scale(np.ones(4))


def network(*edges: str, shuffled: int | None = None) -> nir.NIRGraph:
    """A graph of its edges, `"i a"`. Capitals have state; i... are Inputs, o... are Outputs."""
    pairs = [tuple(edge.split()) for edge in edges]
    names = list(dict.fromkeys(name for pair in pairs for name in pair))
    if shuffled is not None:
        random.Random(shuffled).shuffle(pairs)
        random.Random(shuffled + 1).shuffle(names)
    return graph({name: _node(name) for name in names}, *pairs)


def _node(name: str) -> nir.NIRNode:
    if name.startswith("i"):
        return shaped_input((4,))
    if name.startswith("o"):
        return nir.Output({"output": None})
    return lif() if name[0].isupper() else scale()


def planned(*edges: str, shuffled: int | None = None) -> Plan:
    return plan(infer(network(*edges, shuffled=shuffled)))


def delayed(*edges: str) -> set[str]:
    return {f"{source} {target}" for source, target in planned(*edges).delayed}


# The contract's examples


def test_neuron_and_weight() -> None:
    assert delayed("i A", "A w", "w A", "A o") == {"A w"}


def test_two_neurons_and_two_weights() -> None:
    cycle = ("A w1", "w1 B", "B w2", "w2 A", "B o")
    assert delayed("i A", *cycle) == {"B w2"}
    assert delayed("i w1", *cycle) == {"A w1"}
    assert delayed("i B", *cycle) == {"A w1"}
    assert delayed("i w2", *cycle) == {"B w2"}


def test_a_self_loop() -> None:
    assert delayed("i A", "A A", "A o") == {"A A"}


# More of them


def test_a_graph_without_cycles_delays_nothing() -> None:
    assert delayed("i A", "i w", "w A", "A B", "w B", "B o") == set()


def test_every_source_of_the_weight_that_closes_is_delayed() -> None:
    """w closes two cycles; both its sources are the last nodes with state before the closing."""
    assert delayed("i A", "A B", "A w", "B w", "w A", "B o") == {"A w", "B w"}


def test_an_input_of_the_weight_that_closes_is_not_delayed() -> None:
    assert delayed("i A", "i w", "A w", "w A", "A o") == {"A w"}


def test_a_neuron_before_the_cycle_is_not_delayed() -> None:
    assert delayed("i A", "i B", "B w", "A w", "w A", "A o") == {"A w"}


def test_a_stretch_of_several_nodes_without_state() -> None:
    assert delayed("i A", "A p", "p q", "q r", "r A", "q o") == {"A p"}
    assert delayed("i A", "A p", "p q", "A q", "q A", "p o") == {"A p", "A q"}


def test_nested_loops() -> None:
    inner_and_outer = ("i A", "A B", "B B", "B C", "C B", "C A", "C o")
    assert delayed(*inner_and_outer) == {"B B", "C B", "C A"}


def test_two_inputs_are_walked_in_the_order_of_their_names() -> None:
    assert delayed("i1 A", "i2 B", "A B", "B A", "A o") == {"B A"}
    assert delayed("i2 A", "i1 B", "A B", "B A", "A o") == {"A B"}


def test_a_cycle_that_no_input_reaches() -> None:
    assert delayed("A B", "B A", "B o", "i o") == {"B A"}


def test_the_order_of_execution_follows_names_in_branches() -> None:
    made = planned("i b", "i a", "a join", "b join", "join o", "i c")
    assert list(made.order) == ["i", "a", "b", "join", "o", "c"]
    assert made.sources["join"] == ["a", "b"]


def test_a_cycle_is_one_component_between_others() -> None:
    made = planned("i p", "p A", "A w", "w B", "B v", "v A", "B q", "q o")
    assert made.components == (("i",), ("p",), ("v", "A", "w", "B"), ("q",), ("o",))
    assert [made.recurs(component) for component in made.components] == [
        False,
        False,
        True,
        False,
        False,
    ]


def test_a_delay_is_a_node_with_state() -> None:
    made = network("i p", "p p2", "p2 p", "p o")
    made.nodes["p2"] = nir.Delay(np.full(4, 1e-3))
    assert plan(infer(made)).delayed == {("p2", "p")}


def test_a_cycle_through_a_nested_graph_is_cut_as_if_its_nodes_were_outside() -> None:
    made = graph(
        {"i": shaped_input((4,)), "sub": chain(lif()), "w": scale(), "o": nir.Output(None)},
        ("i", "sub"),
        ("sub", "w"),
        ("w", "sub"),
        ("sub", "o"),
    )
    cut = plan(without_ports(infer(made)))
    assert cut.delayed == {("sub._0", "w")}
    assert list(cut.order) == ["i", "w", "sub._0", "o"]


# Cycles that mean nothing


def test_a_cycle_without_state_is_refused_with_its_nodes() -> None:
    with pytest.raises(InvalidGraph) as raised:
        planned("i a", "a b", "b c", "c a", "c A", "A a", "A o", "i x", "x x", "x o")
    assert [str(problem).splitlines()[0] for problem in raised.value.problems] == [
        "/node/nodes/a: a cycle without a node that has state: 'a', 'b', 'c'",
        "/node/nodes/x: a cycle without a node that has state: 'x'",
    ]


def test_a_long_cycle_is_not_listed_in_full() -> None:
    names = [f"n{index:03}" for index in range(100)]
    edges = [f"{a} {b}" for a, b in zip(names, [*names[1:], names[0]], strict=True)]
    with pytest.raises(InvalidGraph, match="'n011' and 88 more"):
        planned("i n000", "n050 o", *edges)


# Any graph


@st.composite
def random_edges(draw: st.DrawFn) -> tuple[str, ...]:
    """Up to eight nodes; edges between any of them, as long as every cycle holds state."""
    names = draw(st.lists(st.sampled_from("ABCDEpqrs"), min_size=2, max_size=8, unique=True))
    pairs = draw(st.lists(st.tuples(*[st.sampled_from(names)] * 2), max_size=20, unique=True))
    kept = [(a, b) for a, b in pairs if a.isupper() or b.isupper() or a < b]
    entered = draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    fed = {b for _, b in kept} | set(entered)
    entered += [name for name in names if name not in fed]
    ways = [(a, b) for a, b in kept] + [("i", name) for name in entered] + [(names[0], "o")]
    return tuple(f"{a} {b}" for a, b in ways)


@given(random_edges(), st.integers(0, 10**6))
def test_the_plan_does_not_depend_on_the_order_of_storing(
    edges: tuple[str, ...], seed: int
) -> None:
    one, other = planned(*edges), planned(*edges, shuffled=seed)
    assert one.components == other.components
    assert one.delayed == other.delayed
    assert one.sources == other.sources


@given(random_edges())
def test_a_node_is_computed_behind_what_it_needs(edges: tuple[str, ...]) -> None:
    made = planned(*edges)
    position = {name: index for index, name in enumerate(made.order)}
    assert len(position) == len(list(made.order))
    for name, sources in made.sources.items():
        for source in sources:
            assert position[source] < position[name] or (source, name) in made.delayed


@given(random_edges())
def test_components_are_the_nodes_that_reach_each_other(edges: tuple[str, ...]) -> None:
    made = planned(*edges)
    pairs = [tuple(edge.split()) for edge in edges]
    for component in made.components:
        for name in component:
            mutual = {n for n in _reached(name, pairs) if name in _reached(n, pairs)}
            assert set(component) == mutual | {name}


@given(random_edges())
def test_what_is_delayed_leaves_a_node_with_state_on_a_cycle_that_it_closes(
    edges: tuple[str, ...],
) -> None:
    """Literally: for each delayed edge, a closing edge ahead of it with no state in between."""
    made = planned(*edges)
    pairs = [tuple(edge.split()) for edge in edges]
    closing = set(_closing(pairs))
    expected = {
        (source, target)
        for source, target in pairs
        if source.isupper()
        and source in _reached(target, pairs)
        and (
            (source, target) in closing
            or any(end in closing for end in _stateless_ends(target, source, pairs))
        )
    }
    assert made.delayed == expected


def _reached(name: str, pairs: Iterable[Edge]) -> set[str]:
    """All nodes on ways of at least one edge from a node."""
    pairs = list(pairs)
    reached: set[str] = set()
    frontier = {name}
    while frontier:
        frontier = {b for a, b in pairs if a in frontier} - reached
        reached |= frontier
    return reached


def _closing(pairs: Iterable[Edge]) -> Iterator[Edge]:
    """The walk of the docstring, by recursion."""
    pairs = sorted(pairs)
    seen: set[str] = set()

    def walk(name: str, path: tuple[str, ...]) -> Iterator[Edge]:
        seen.add(name)
        for target in (b for a, b in pairs if a == name):
            if target in (*path, name):
                yield name, target
            elif target not in seen:
                yield from walk(target, (*path, name))

    for root in ["i", *sorted({name for pair in pairs for name in pair})]:
        if root not in seen:
            yield from walk(root, ())


def _stateless_ends(name: str, back: str, pairs: Iterable[Edge]) -> Iterator[Edge]:
    """The edges out of the stretch without state that starts at a node, on a way to `back`."""
    pairs = list(pairs)
    stretch, frontier = set(), {name} if name.islower() else set()
    while frontier:
        stretch |= frontier
        frontier = {b for a, b in pairs if a in frontier and b.islower()} - stretch
    return ((a, b) for a, b in pairs if a in stretch and (b == back or back in _reached(b, pairs)))


# Cost


def ring(length: int) -> nir.NIRGraph:
    """A chain of loops: every third node is fed back, and the end to the start."""
    names = [f"N{index:06}" for index in range(length)]
    forward = [f"{a} {b}" for a, b in itertools.pairwise(names)]
    back = [f"{b} {a}" for a, b in zip(names[::3], names[2::3], strict=False)]
    return network("i N000000", *forward, *back, f"{names[-1]} N000000", f"{names[-1]} o")


def test_ten_times_the_nodes_take_ten_times_the_work() -> None:
    few, many = flatten(ring(300))[0], flatten(ring(3000))[0]
    assert calls_made(lambda: plan(many)) < 10.5 * calls_made(lambda: plan(few))


def test_thousands_of_nodes_without_recursion() -> None:
    assert len(plan(flatten(ring(5000))[0]).components) == 3

"""The order in which nodes are computed within a step, and where cycles are cut.

**The walk** goes depth first from the Inputs, in the order of their names, to each node's targets,
in the order of theirs. (What no Input reaches is walked last, from each such node in the order of
names.) An edge *closes* a cycle if it leads back to a node on the path just walked.

**The cut.** Going backward from a closing edge through nodes without state, one comes to nodes
with state: the last ones before the closing. The edges by which they enter that stretch are
*delayed*: what they carry is the previous step's value, zero at the first. If the closing edge
itself leaves a node with state, it is the delayed one. Only edges on a cycle are delayed.

    LIF -> Affine -> LIF                     LIF -> Affine is delayed
    A -> W1 -> B -> W2 -> A, entered at A    B -> W2 is delayed, and nothing else
    A -> A                                   A -> A is delayed

Every cycle holds a closing edge, and so, if it holds a node with state, a delayed one: what is left
has an order. A cycle without state has no meaning in discrete time and is refused. The result
depends on edges and names alone, not on the order in which nodes or edges are stored, and takes
time in proportion to their number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from nir_runtime.contract.nesting import Edge, Flat, neighbours
from nir_runtime.contract.primitives import is_stateful
from nir_runtime.errors import InvalidGraph, Problem

Neighbours = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Plan:
    """How to compute one step of a graph.

    Attributes:
        components: all nodes in the order of computation, grouped: nodes that feed each other are
            in one group and have to take each step together; any other node is a group alone.
        sources: the nodes whose outputs a node sums, in the order of the sum.
        delayed: the edges that carry the previous step's value.
    """

    components: tuple[tuple[str, ...], ...]
    sources: Mapping[str, Sequence[str]]
    delayed: frozenset[Edge]

    @property
    def order(self) -> Iterator[str]:
        """All nodes, each behind those whose value of the same step it needs."""
        return (name for component in self.components for name in component)

    def recurs(self, component: Sequence[str]) -> bool:
        """Whether the component's nodes depend on their own previous step."""
        return len(component) > 1 or (component[0], component[0]) in self.delayed


@dataclass(frozen=True)
class _Walk:
    """A depth-first walk.

    Attributes:
        left: the nodes in the order in which the walk left them for good.
        closing: the edges that led back to a node on the path.
    """

    left: list[str]
    closing: set[Edge]


def plan(flat: Flat) -> Plan:
    """Order the nodes of a graph and cut its cycles.

    Raises:
        InvalidGraph: cycles without a node that has state, with their nodes.
    """
    closing = _walk(_roots(flat, sorted(flat.inputs)), flat.targets).closing
    if not closing:
        order = _order(flat, flat.targets)
        return Plan(tuple((name,) for name in order), flat.sources, frozenset())
    components = _components(_order(flat, flat.targets), flat.sources)
    delayed = _delayed(flat, closing, components)
    instant = neighbours(flat.nodes, (edge for edge in flat.edges if edge not in delayed))
    order = _order(flat, instant)
    _refuse_cycles(flat, order, instant)
    rank = {name: position for position, name in enumerate(order)}
    ordered = tuple(tuple(sorted(component, key=rank.__getitem__)) for component in components)
    return Plan(ordered, flat.sources, frozenset(delayed))


def _roots(flat: Flat, inputs: Iterable[str]) -> list[str]:
    return [*inputs, *sorted(flat.nodes)]


def _walk(roots: Iterable[str], targets: Neighbours) -> _Walk:
    """Walk from each root that an earlier root's walk did not reach."""
    walk = _Walk([], set())
    unfinished: dict[str, bool] = {}  # True on the path, False once left
    for root in roots:
        if root in unfinished:
            continue
        unfinished[root] = True
        path = [(root, iter(targets[root]))]
        while path:
            name, following = path[-1]
            for target in following:
                if target not in unfinished:
                    unfinished[target] = True
                    path.append((target, iter(targets[target])))
                    break
                if unfinished[target]:
                    walk.closing.add((name, target))
            else:
                unfinished[name] = False
                walk.left.append(name)
                path.pop()
    return walk


def _order(flat: Flat, targets: Neighbours) -> list[str]:
    """The nodes with sources before targets; of branches, the first in name goes first.

    The last node that a depth-first walk leaves comes first. So that walk goes by descending names.
    """
    roots = _roots(flat, sorted(flat.inputs, reverse=True))
    descending = {name: names[::-1] for name, names in targets.items()}
    return _walk(roots, descending).left[::-1]


def _components(order: Iterable[str], sources: Neighbours) -> list[list[str]]:
    """The strongly connected components, sources first (Kosaraju's algorithm)."""
    components: list[list[str]] = []
    found: set[str] = set()
    for first in order:
        if first in found:
            continue
        found.add(first)
        component = [first]
        for name in component:  # it grows on the way
            fresh = [source for source in sources[name] if source not in found]
            found.update(fresh)
            component += fresh
        components.append(component)
    return components


def _delayed(flat: Flat, closing: set[Edge], components: list[list[str]]) -> set[Edge]:
    """The edges from a node with state into a stretch without that ends in a closing edge."""
    component = {name: number for number, names in enumerate(components) for name in names}
    stateful = {name for name, node in flat.nodes.items() if is_stateful(node)}
    delayed = {edge for edge in closing if edge[0] in stateful}
    stretch = sorted({source for source, _ in closing if source not in stateful})
    seen = set(stretch)
    for name in stretch:  # it grows on the way
        for source in flat.sources[name]:
            if component[source] != component[name]:
                continue
            if source in stateful:
                delayed.add((source, name))
            elif source not in seen:
                seen.add(source)
                stretch.append(source)
    return delayed


def _refuse_cycles(flat: Flat, order: Iterable[str], targets: Neighbours) -> None:
    """Raise if a cycle is left: it has no node with state that could have been cut."""
    backward = ((target, source) for source, names in targets.items() for target in names)
    sources = neighbours(flat.nodes, backward)
    left = [c for c in _components(order, sources) if len(c) > 1 or c[0] in targets[c[0]]]
    if left:
        raise InvalidGraph(_stateless(flat, component) for component in left)


def _stateless(flat: Flat, component: list[str]) -> Problem:
    named = ", ".join(repr(name) for name in sorted(component)[:_NAMED])
    more = f" and {len(component) - _NAMED} more" if len(component) > _NAMED else ""
    return Problem(
        flat.places[min(component)],
        f"a cycle without a node that has state: {named}{more}",
        "put a neuron or a Delay on the cycle",
    )


_NAMED = 12
"""How many nodes of a cycle a message names."""

"""Graphs inside graphs: a thin copy of one, and the flat view that all later steps work on.

An edge of NIR names a node and not a port of it. A nested graph is therefore entered through its
one Input and left through its one Output, its ports; in the flat view both are nodes that pass on
what they are given.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import nir
import numpy as np

from nir_runtime.errors import Problem

Edge = tuple[str, str]

DEEPEST = 64
"""How many levels of nesting are followed; a graph that holds itself has no end."""


@dataclass(frozen=True)
class Flat:
    """A graph with its nested graphs dissolved.

    Attributes:
        nodes: by name; a node `lif` of the nested graph `sub` is called `sub.lif`. None is a graph.
        places: each node's path in a file, `/node/nodes/sub/nodes/lif`.
        edges: between these names, each once.
        inputs, outputs: the Input and Output nodes of the outermost graph, in the graph's order.
    """

    nodes: dict[str, nir.NIRNode]
    places: dict[str, str]
    edges: tuple[Edge, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    @cached_property
    def sources(self) -> dict[str, list[str]]:
        """For each node the nodes whose outputs it sums, in the order of their names."""
        return neighbours(self.nodes, ((target, source) for source, target in self.edges))

    @cached_property
    def targets(self) -> dict[str, list[str]]:
        """For each node the nodes that its output goes to, in the order of their names."""
        return neighbours(self.nodes, self.edges)


@dataclass(frozen=True)
class _Level:
    """One graph of the nesting, its path in a file, and what its nodes are called when flat."""

    graph: nir.NIRGraph
    place: str
    names: dict[str, str]

    def ports(self, kind: type[nir.NIRNode]) -> tuple[str, ...]:
        """The flat names of this graph's Inputs, or of its Outputs."""
        return tuple(self.names[n] for n, node in self.graph.nodes.items() if type(node) is kind)


def neighbours(names: Iterable[str], edges: Iterable[Edge]) -> dict[str, list[str]]:
    """For each name the seconds of the edges that it is the first of, sorted."""
    found: dict[str, list[str]] = {name: [] for name in names}
    for first, second in edges:
        found[first].append(second)
    for seconds in found.values():
        seconds.sort()
    return found


def subgraphs(graph: nir.NIRGraph) -> dict[str, nir.NIRGraph]:
    """The graphs in a graph, at any level, by the name that one's nodes start with when flat."""
    return {name: level.graph for name, level in _levels(graph, "", []).items() if name}


def thin_copy(graph: nir.NIRGraph) -> nir.NIRGraph:
    """Copies of the graph and of all nodes in it, sharing their arrays and metadata."""
    outer = copy.copy(graph)
    pending = [(outer, 0)]
    while pending:
        level, depth = pending.pop()
        level.nodes = {name: copy.copy(node) for name, node in level.nodes.items()}
        if depth < DEEPEST:
            pending += [(n, depth + 1) for n in level.nodes.values() if type(n) is nir.NIRGraph]
    return outer


def flatten(graph: nir.NIRGraph, place: str = "/node") -> tuple[Flat, list[Problem]]:
    """The flat view of a graph, and all that is wrong with its edges, inputs and outputs.

    Edges with a problem are left out of the view. Time grows as nodes and edges do.
    """
    problems: list[Problem] = []
    nodes: dict[str, nir.NIRNode] = {}
    places: dict[str, str] = {}
    edges: list[Edge] = []
    levels = _levels(graph, place, problems)
    for level in levels.values():
        for local, node in level.graph.nodes.items():
            if type(node) is not nir.NIRGraph:
                nodes[level.names[local]] = node
                places[level.names[local]] = f"{level.place}/nodes/{local}"
        edges += _edges(level, levels, problems)
        problems += _unnamed(level)
        problems += _missing_ports(level)
        problems += _unfed(level)
    inputs, outputs = levels[""].ports(nir.Input), levels[""].ports(nir.Output)
    return Flat(nodes, places, tuple(edges), inputs, outputs), problems


def without_ports(flat: Flat) -> Flat:
    """The view without the nested graphs' Inputs and Outputs: what they pass on goes straight on.

    A port that sums several values for several nodes stays, and so does one whose removal would
    make the same edge twice; it becomes a Scale by 1, which passes on what it gets. Nothing else
    grows with the number of ways through ports. The graph must be complete (`shapes.infer`).
    """
    ends = {*flat.inputs, *flat.outputs}
    sources, targets = _linked(flat.sources), _linked(flat.targets)
    for name in sorted(flat.nodes):  # which of two ports stays must not depend on the storage
        if type(flat.nodes[name]) in (nir.Input, nir.Output) and name not in ends:
            _dissolve(name, sources, targets)
    left = {name: node for name, node in flat.nodes.items() if name in targets}
    return Flat(
        nodes={name: node if name in ends else _passing(node) for name, node in left.items()},
        places={name: place for name, place in flat.places.items() if name in targets},
        edges=tuple((name, target) for name, found in targets.items() for target in found),
        inputs=flat.inputs,
        outputs=flat.outputs,
    )


def _passing(node: nir.NIRNode) -> nir.NIRNode:
    """The node, or a Scale by 1 in place of a port."""
    if type(node) not in (nir.Input, nir.Output):
        return node
    scale = nir.Scale(scale=np.ones(tuple(node.input_type["input"])))
    scale.input_type, scale.output_type = node.input_type, node.output_type
    return scale


_Links = dict[str, dict[str, None]]
"""For each node others, in order, each once."""


def _linked(neighbours: dict[str, list[str]]) -> _Links:
    return {name: dict.fromkeys(others) for name, others in neighbours.items()}


def _dissolve(port: str, sources: _Links, targets: _Links) -> None:
    """Join a port's sources with its targets, where that makes no more edges than it had."""
    before, behind = sources[port], targets[port]
    if port in behind or (len(before) > 1 and len(behind) > 1):
        return
    if any(target in targets[source] for source in before for target in behind):
        return
    for source in before:
        del targets[source][port]
        targets[source].update(behind)
    for target in behind:
        del sources[target][port]
        sources[target].update(before)
    del sources[port], targets[port]


def _levels(graph: nir.NIRGraph, place: str, problems: list[Problem]) -> dict[str, _Level]:
    """All graphs of the nesting by the flat name of their node; the outermost, "", is first."""
    levels: dict[str, _Level] = {}
    taken: set[str] = set()
    pending = deque([(graph, place, "", 0)])
    while pending:
        graph, place, name, depth = pending.popleft()
        names = _flat_names(graph, name, taken)
        levels[name] = _Level(graph, place, names)
        inner = sorted(local for local, node in graph.nodes.items() if type(node) is nir.NIRGraph)
        if inner and depth == DEEPEST:
            what = f"graphs are nested more than {DEEPEST} deep"
            problems.append(Problem(place, what, "dissolve the innermost graphs"))
            continue
        for local in inner:
            at = f"{place}/nodes/{local}"
            pending.append((graph.nodes[local], at, names[local], depth + 1))
    return levels


def _flat_names(graph: nir.NIRGraph, prefix: str, taken: set[str]) -> dict[str, str]:
    """A name for each node that no node of another graph has; the outermost graph's stay."""
    names: dict[str, str] = {}
    for local in sorted(graph.nodes):
        name = f"{prefix}.{local}" if prefix else local or "_"  # "" is the outermost graph
        while name in taken:
            name += "_"
        taken.add(name)
        names[local] = name
    return names


def _edges(level: _Level, levels: dict[str, _Level], problems: list[Problem]) -> Iterator[Edge]:
    """The edges of one graph between flat names."""
    seen: set[Edge] = set()
    for first, second in level.graph.edges:
        edge = (first, second)
        try:
            if edge in seen:
                raise _WrongEdge("is there twice", "NIR has no weights on edges: use a Scale node")
            seen.add(edge)
            yield _exit(first, level, levels), _entry(second, level, levels)
        except _WrongEdge as wrong:
            what, advice = wrong.args
            at = f"{level.place}/edges"
            problems.append(Problem(at, f"the edge {first!r} -> {second!r} {what}", advice))


class _WrongEdge(Exception):
    """What an edge does that it can't, and what to do about it."""


def _exit(local: str, level: _Level, levels: dict[str, _Level]) -> str:
    """The flat node whose output leaves along an edge that starts at `local`."""
    node = level.graph.nodes.get(local)
    if type(node) is nir.Output:
        raise _WrongEdge("starts at an Output, which sends nothing on", "start it one node before")
    return _port(local, node, nir.Output, level, levels)


def _entry(local: str, level: _Level, levels: dict[str, _Level]) -> str:
    """The flat node that an edge to `local` leads into."""
    node = level.graph.nodes.get(local)
    if type(node) is nir.Input:
        raise _WrongEdge("leads into an Input, which takes nothing", "lead it one node further")
    return _port(local, node, nir.Input, level, levels)


def _port(
    local: str,
    node: nir.NIRNode | None,
    kind: type[nir.NIRNode],
    level: _Level,
    levels: dict[str, _Level],
) -> str:
    if node is None:
        raise _WrongEdge(f"names {local!r}, and the graph has no such node", "")
    if type(node) is not nir.NIRGraph:
        return level.names[local]
    inner = levels.get(level.names[local])
    ports = inner.ports(kind) if inner else ()
    if len(ports) != 1:
        what = f"can't say which of the {len(ports)} {kind.__name__} nodes of {local!r} it means"
        raise _WrongEdge(what, f"give the nested graph one {kind.__name__}")
    return ports[0]


def _unnamed(level: _Level) -> Iterator[Problem]:
    if "" in level.graph.nodes:
        what = "a node is called '', which no file can hold"
        yield Problem(f"{level.place}/nodes", what, "give it a name")


def _missing_ports(level: _Level) -> Iterator[Problem]:
    kinds = {type(node) for node in level.graph.nodes.values()}
    for kind in (nir.Input, nir.Output):
        if kind not in kinds:
            what = f"the graph has no {kind.__name__} node"
            yield Problem(f"{level.place}/nodes", what, f"add an nir.{kind.__name__} and its edges")


def _unfed(level: _Level) -> Iterator[Problem]:
    fed = {target for _, target in level.graph.edges}
    for local, node in level.graph.nodes.items():
        if local not in fed and type(node) is not nir.Input:
            what = "no edge leads into it"
            yield Problem(f"{level.place}/nodes/{local}", what, "add an edge, or remove the node")

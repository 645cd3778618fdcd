"""From a graph to what its picture shows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np

from nir_runtime.contract import order, shapes
from nir_runtime.contract.nesting import Edge, Flat, thin_copy, without_ports
from nir_runtime.contract.order import Plan
from nir_runtime.graphs.drawing import captions
from nir_runtime.graphs.drawing.picture import Arrow, Box, Frame, Picture
from nir_runtime.graphs.drawing.repetitions import Run, runs

Path = tuple[str, ...]
"""The names of the frames that a node is in, the outermost first."""

_TIMES = "× "
"""What the name of a frame around repetitions begins with: `× 12`, and what makes it unique."""


def compose(graph: nir.NIRGraph, most: int) -> tuple[Picture, int]:
    """What the picture of a graph shows, and how many nodes the graph has.

    The ports of nested graphs are left out: an edge leads from the node before the graph to the
    one in it that it reaches.

    Args:
        graph: the graph; stays as it is.
        most: how many nodes are drawn one by one; of a graph that has more, repetitions are drawn
            once, and repetitions of those, until so many are left or nothing repeats.

    Raises:
        InvalidGraph: the graph means nothing.
    """
    graph = thin_copy(graph)
    flat = without_ports(shapes.infer(graph))
    plan = order.plan(flat)
    drawn = _whole(flat, plan, _paths(graph, flat))
    while len(drawn.members) > most:
        repeated = _runs(flat, drawn)
        if not repeated:
            break
        drawn = _merged(drawn, repeated)
    return _Composition(flat, plan, drawn).picture(), len(flat.nodes)


# --- what is drawn --------------------------------------------------------------------------


@dataclass(frozen=True)
class _Drawn:
    """The nodes and edges that are drawn, each for itself and perhaps for others like it.

    Attributes:
        members: by the nodes that are drawn, in the order of execution, all that each stands for.
        edges: between them, with all that each stands for.
        paths: the frames that each is in.
    """

    members: Mapping[str, tuple[str, ...]]
    edges: Mapping[Edge, tuple[Edge, ...]]
    paths: Mapping[str, Path]


def _whole(flat: Flat, plan: Plan, paths: Mapping[str, Path]) -> _Drawn:
    """All nodes and edges, each for itself."""
    names = tuple(plan.order)
    edges = ((source, target) for source in names for target in flat.targets[source])
    return _Drawn({name: (name,) for name in names}, {edge: (edge,) for edge in edges}, paths)


def _paths(graph: nir.NIRGraph, flat: Flat) -> dict[str, Path]:
    """The graphs that each node is in."""
    at: dict[str, Path] = {}
    pending: list[tuple[nir.NIRGraph, str, Path]] = [(graph, "/node", ())]
    while pending:
        level, place, path = pending.pop()
        for name, node in level.nodes.items():
            at[f"{place}/nodes/{name}"] = path
            if type(node) is nir.NIRGraph:
                pending.append((node, f"{place}/nodes/{name}", (*path, name)))
    return {name: at[place] for name, place in flat.places.items()}


# --- repetitions ----------------------------------------------------------------------------


def _runs(flat: Flat, drawn: _Drawn) -> list[Run]:
    """The repetitions in what is drawn, none of which takes in a frame by half."""
    inside: dict[Path, set[str]] = defaultdict(set)
    for name in drawn.members:
        for depth in range(len(drawn.paths[name]) + 1):
            inside[drawn.paths[name][:depth]].add(name)

    def whole(run: Run) -> bool:
        common = _common(drawn, run)
        for names in run.repetitions:
            entered = {drawn.paths[name][: len(common) + 1] for name in names} - {common}
            if any(not inside[path].issubset(names) for path in entered):
                return False
        return True

    alike = {
        name: (_alike(flat.nodes[name]), len(members), len(drawn.paths[name]))
        for name, members in drawn.members.items()
    }
    return runs(tuple(drawn.members), drawn.edges, alike, whole)


def _alike(node: Any) -> Hashable:
    """What nodes share that are drawn as one: the kind, and how a kernel slides."""
    kind = type(node).__name__
    if isinstance(node, (nir.Conv1d, nir.Conv2d)):
        return kind, np.shape(node.weight)[2:], node.stride
    return kind, getattr(node, "kernel_size", None), node.metadata.get("reset")


def _common(drawn: _Drawn, run: Run) -> Path:
    """The frames that all of a run is in."""
    common: list[str] = []
    paths = (drawn.paths[name] for names in run.repetitions for name in names)
    for names in zip(*paths, strict=False):
        if len(set(names)) > 1:
            break
        common.append(names[0])
    return tuple(common)


def _merged(drawn: _Drawn, repeated: Iterable[Run]) -> _Drawn:
    """What is drawn where the first of a run's repetitions stands for all."""
    paths = dict(drawn.paths)
    first_of = {name: name for name in drawn.members}
    turns: dict[str, tuple[str, int]] = {name: (name, 0) for name in drawn.members}
    for run in repeated:
        frame, common = run.repetitions[0][0], len(_common(drawn, run))
        for turn, names in enumerate(run.repetitions):
            first_of |= dict(zip(names, run.repetitions[0], strict=True))
            turns |= dict.fromkeys(names, (frame, turn))
        for name in run.repetitions[0]:
            path, again = drawn.paths[name], f"{_TIMES}{len(run.repetitions)}\n{frame}"
            paths[name] = (*path[:common], again, *path[common:])
    members: dict[str, tuple[str, ...]] = defaultdict(tuple)
    for name, alike in drawn.members.items():
        members[first_of[name]] += alike
    edges: dict[Edge, tuple[Edge, ...]] = defaultdict(tuple)
    for (source, target), parallel in drawn.edges.items():
        (run_left, turn_left), (run_entered, turn_entered) = turns[source], turns[target]
        if run_left != run_entered or turn_left == turn_entered:  # else it joins two repetitions
            edges[first_of[source], first_of[target]] += parallel
    return _Drawn(dict(members), dict(edges), paths)


# --- composing ------------------------------------------------------------------------------


@dataclass
class _Level:
    """A frame in the making."""

    name: str
    boxes: list[Box] = field(default_factory=list)
    levels: dict[str, _Level] = field(default_factory=dict)

    def frame(self) -> Frame:
        frames = tuple(level.frame() for level in self.levels.values())
        repeated = self.name.startswith(_TIMES) and "\n" in self.name
        title = self.name.partition("\n")[0] if repeated else self.name
        return Frame(_short(title), repeated, tuple(self.boxes), frames)


@dataclass(frozen=True)
class _Composition:
    """What is drawn of a graph, on its way into a picture."""

    flat: Flat
    plan: Plan
    drawn: _Drawn

    def picture(self) -> Picture:
        whole = _Level("")
        keys = {name: f"n{number}" for number, name in enumerate(self.drawn.members)}
        for name, key in keys.items():
            self._level(whole, self.drawn.paths[name]).boxes.append(self._box(name, key))
        return Picture(whole.frame(), tuple(self._arrows(keys)))

    def _level(self, whole: _Level, path: Path) -> _Level:
        level = whole
        for name in path:
            level = level.levels.setdefault(name, _Level(name))
        return level

    def _box(self, name: str, key: str) -> Box:
        """What is said of a node, or of all those that it stands for."""
        members = self.drawn.members[name]
        nodes = [self.flat.nodes[member] for member in members]
        places = [self.flat.places[member] for member in members]
        said = (captions.lines(node) for node in nodes)
        return Box(
            key=key,
            kind=type(nodes[0]).__name__,
            name=_from_to([_short(place.rpartition("/nodes/")[2]) for place in places]),
            lines=tuple(map(_from_to, zip(*said, strict=False))),
            family=captions.family(nodes[0]),
        )

    def _arrows(self, keys: Mapping[str, str]) -> Iterator[Arrow]:
        for (source, target), edges in self.drawn.edges.items():
            yield Arrow(
                source=keys[source],
                target=keys[target],
                label=_from_to([captions.shape(self._features(first)) for first, _ in edges]),
                delayed=any(edge in self.plan.delayed for edge in edges),
            )

    def _features(self, name: str) -> captions.Shape:
        return tuple(int(size) for size in self.flat.nodes[name].output_type["output"])


def _from_to(values: Sequence[str]) -> str:
    """What all have in common, or the first and the last: `tau = 1 ms … 2 ms`."""
    first, last = values[0], values[-1]
    if len(set(values)) == 1:
        return first
    field, equals, _ = first.partition(" = ")
    return f"{first} … {last.removeprefix(field + equals) if equals else last}"


def _short(name: str) -> str:
    """A name without its middle, if it is very long."""
    return name if len(name) <= _LONG else f"{name[: _LONG // 2]}…{name[-_LONG // 2 :]}"


_LONG = 40
"""How many characters of a name are shown."""

"""What is in a graph: its nodes in the order of execution, their shapes, numbers and sizes."""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nir
import numpy as np

from nir_runtime import files
from nir_runtime.arguments import wrong_graph
from nir_runtime.contract import order, origin, shapes
from nir_runtime.contract.nesting import Edge, Flat, flatten, subgraphs, thin_copy
from nir_runtime.errors import InvalidArgument, InvalidGraph, Problem
from nir_runtime.graphs.fields import Field, fields
from nir_runtime.reports.tables import Row, Table

Shape = tuple[int, ...]

NEURONS = (nir.I, nir.IF, nir.LI, nir.LIF, nir.CubaLI, nir.CubaLIF)
"""The nodes that are neurons; a Delay has state and is none."""


@dataclass(frozen=True)
class NodeInfo:
    """A node.

    Attributes:
        name: in the flat view: a node `lif` of the subgraph `sub` is `sub.lif`.
        kind: `LIF`.
        place: its path in a file.
        input_shape, output_shape: the features that it takes and gives; None if the graph is wrong.
        fields: its parameters, weights and settings, as they are stored.
        neurons, weights: how many it has.
        sources, targets: the nodes before and behind it.
        metadata: of the node.
    """

    name: str
    kind: str
    place: str
    input_shape: Shape | None
    output_shape: Shape | None
    fields: tuple[Field, ...]
    neurons: int
    weights: int
    sources: tuple[str, ...]
    targets: tuple[str, ...]
    metadata: Mapping[str, Any]

    @property
    def shape(self) -> str:
        """What it takes and gives, as people read it."""
        if self.input_shape is None:
            return "?"
        if self.input_shape == self.output_shape:
            return str(self.input_shape)
        return f"{self.input_shape} -> {self.output_shape}"

    @property
    def row(self) -> Row:
        """In a table of nodes."""
        said = ", ".join(str(field) for field in self.fields if not field.is_neutral)
        known = ", ".join(f"{key}: {value}" for key, value in self.metadata.items())
        details = (said, f"metadata {known}" if known else "")
        return Row((self.name, self.kind, self.shape), tuple(line for line in details if line))

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.parts()))

    def _repr_html_(self) -> str:
        return _html(self.parts())

    def parts(self) -> Iterator[str | Table]:
        """What people read of it."""
        yield f"{self.name}: {self.kind}, {self.shape}"
        rows = (Row((f.name, f.shown, *f.stored, f.spread)) for f in self.fields)
        if self.fields:
            yield Table(("field", "value", "shape", "type", "mean and deviation"), tuple(rows))
        yield "\n".join(self._remarks())

    def _remarks(self) -> Iterator[str]:
        yield f"at {self.place}"
        yield f"from {', '.join(self.sources) or 'nowhere'}; to {', '.join(self.targets) or 'none'}"
        yield from _counted(self.neurons, self.weights)
        yield from (f"metadata {key}: {value}" for key, value in self.metadata.items())

    def to_dict(self) -> dict[str, Any]:
        """The same in JSON's own types."""
        return {
            "name": self.name,
            "type": self.kind,
            "place": self.place,
            "input_shape": self.input_shape,
            "output_shape": self.output_shape,
            "fields": {field.name: field.to_dict() for field in self.fields},
            "neurons": self.neurons,
            "weights": self.weights,
            "sources": self.sources,
            "targets": self.targets,
            "metadata": plain(self.metadata),
        }


@dataclass(frozen=True)
class FileInfo:
    """A file.

    Attributes:
        path: of it.
        version: of nir, that wrote it; None if the file doesn't say.
        size: in bytes.
    """

    path: str
    version: str | None
    size: int

    def __str__(self) -> str:
        written = f"written as by nir {self.version}" if self.version else "of no known version"
        return f"{self.path}: {written}, {self.size:,} bytes"


@dataclass(frozen=True)
class Cycle:
    """Nodes that depend on their own previous step.

    Attributes:
        nodes: in the order of execution.
        delayed: the edges that carry the previous step's value.
    """

    nodes: tuple[str, ...]
    delayed: tuple[Edge, ...]

    def __str__(self) -> str:
        late = ", ".join(f"{source} -> {target}" for source, target in self.delayed)
        return f"cycle: {', '.join(self.nodes)}; the previous step's value goes {late}"


@dataclass(frozen=True)
class Info:
    """A graph.

    Attributes:
        nodes: of it and its subgraphs, in the order of execution where it has one.
        edges: how many there are.
        cycles: the nodes that feed each other.
        subgraphs: the names of graphs in the graph, each with the number of its nodes.
        metadata: of the graph.
        origin: what the metadata say of where the graph comes from, its time step included: a line.
        dt: the time step that the graph carries, in seconds; None if it says none.
        problems: what is wrong with it; shapes are unknown then.
        file: where it is stored; None if it is not.
    """

    nodes: tuple[NodeInfo, ...]
    edges: int
    cycles: tuple[Cycle, ...]
    subgraphs: Mapping[str, int]
    metadata: Mapping[str, Any]
    origin: str
    dt: float | None
    problems: tuple[Problem, ...]
    file: FileInfo | None

    @property
    def neurons(self) -> int:
        """How many neurons all nodes have."""
        return sum(node.neurons for node in self.nodes)

    @property
    def weights(self) -> int:
        """How many weights all nodes have."""
        return sum(node.weights for node in self.nodes)

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.parts()))

    def _repr_html_(self) -> str:
        return _html(self.parts())

    def parts(self) -> Iterator[str | Table]:
        """What people read of it."""
        yield "\n".join(map(str, filter(None, (self.file, self.origin))))
        rows = tuple(node.row for node in self.nodes)
        yield Table(("node", "type", "shape"), rows, details="numbers")
        yield "\n".join(self._remarks())

    def _remarks(self) -> Iterator[str]:
        count = f"{len(self.nodes):,} nodes, {self.edges:,} edges"
        yield ", ".join((count, *_counted(self.neurons, self.weights)))
        yield from map(str, self.cycles)
        yield from (f"subgraph {name}: {size} nodes" for name, size in self.subgraphs.items())
        others = (item for item in self.metadata.items() if item[0] not in origin.KEYS)
        yield from (f"metadata {key}: {value}" for key, value in others)
        if self.problems:
            yield str(InvalidGraph(self.problems))

    def to_dict(self) -> dict[str, Any]:
        """The same in JSON's own types."""
        return {
            "file": vars(self.file) if self.file is not None else None,
            "nodes": [node.to_dict() for node in self.nodes],
            "edges": self.edges,
            "neurons": self.neurons,
            "weights": self.weights,
            "cycles": [{"nodes": c.nodes, "delayed": c.delayed} for c in self.cycles],
            "subgraphs": dict(self.subgraphs),
            "metadata": plain(self.metadata),
            "dt": self.dt,
            "problems": [vars(problem) for problem in self.problems],
        }


def info(graph: nir.NIRGraph | str | Path, advance: Callable[[], None] = lambda: None) -> Info:
    """Say what is in a graph, or in a NIR file.

    Args:
        graph: the graph, or the path of a file. Neither is changed.
        advance: called after each node, for who shows progress.

    Raises:
        InvalidArgument: it is neither.
        OSError: the file can't be opened.
        InvalidFile, InvalidGraph: it holds no graph. One that means nothing is described all the
            same, with its problems.
    """
    if problems := list(wrong_graph(graph)):
        raise InvalidArgument(problems)
    if isinstance(graph, nir.NIRGraph):
        return _described(graph, None, advance)
    path = Path(graph)
    file = FileInfo(str(path), files.version(path), path.stat().st_size)
    return _described(files.read(path), file, advance)


def _described(graph: nir.NIRGraph, file: FileInfo | None, advance: Callable[[], None]) -> Info:
    stored, problems = flatten(graph)
    names: tuple[str, ...] = tuple(stored.nodes)
    cycles: tuple[Cycle, ...] = ()
    complete = None
    try:
        complete = shapes.infer(thin_copy(graph))
        plan = order.plan(complete)
        names, cycles = tuple(plan.order), tuple(_cycles(plan))
    except InvalidGraph as invalid:
        problems = list(invalid.problems)
    return Info(
        nodes=tuple(_each(names, stored, complete, advance)),
        edges=len(stored.edges),
        cycles=cycles,
        subgraphs={name: len(inner.nodes) for name, inner in subgraphs(graph).items()},
        metadata=dict(graph.metadata or {}),
        origin=origin.told(graph),
        dt=origin.readable(graph),
        problems=tuple(problems),
        file=file,
    )


def _each(
    names: tuple[str, ...], stored: Flat, complete: Flat | None, advance: Callable[[], None]
) -> Iterator[NodeInfo]:
    for name in names:
        yield _node(name, stored, complete)
        advance()


def _node(name: str, stored: Flat, complete: Flat | None) -> NodeInfo:
    node = stored.nodes[name]
    shape_in = shape_out = None
    if complete is not None:
        whole = complete.nodes[name]
        shape_in = tuple(int(n) for n in whole.input_type["input"])
        shape_out = tuple(int(n) for n in whole.output_type["output"])
    return NodeInfo(
        name=name,
        kind=type(node).__name__,
        place=stored.places[name],
        input_shape=shape_in,
        output_shape=shape_out,
        fields=tuple(fields(node)),
        neurons=math.prod(shape_out) if shape_out and isinstance(node, NEURONS) else 0,
        weights=int(np.size(node.weight)) if hasattr(node, "weight") else 0,
        sources=tuple(stored.sources[name]),
        targets=tuple(stored.targets[name]),
        metadata=dict(node.metadata or {}),
    )


def _cycles(plan: order.Plan) -> Iterator[Cycle]:
    for component in plan.components:
        if plan.recurs(component):
            members = set(component)
            yield Cycle(component, tuple(e for e in sorted(plan.delayed) if members.issuperset(e)))


def _counted(neurons: int, weights: int) -> Iterator[str]:
    if neurons:
        yield f"{neurons:,} neurons"
    if weights:
        yield f"{weights:,} weights"


def _html(parts: Iterator[str | Table]) -> str:
    return "\n".join(
        f"<pre>{html.escape(part)}</pre>" if isinstance(part, str) else part._repr_html_()
        for part in parts
    )


def plain(value: Any) -> Any:
    """Metadata in JSON's own types."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, (np.ndarray, np.generic)):
        return plain(value.tolist())
    return value if isinstance(value, (str, int, bool, type(None))) else _number(value)


def _number(value: Any) -> Any:
    """A number; those that JSON doesn't have, and all else, as text."""
    return value if isinstance(value, float) and math.isfinite(value) else str(value)

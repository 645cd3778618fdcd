"""Shapes of NIR graphs, and whether a graph makes sense.

A graph's shapes follow from its Inputs and its parameters, without a forward pass::

    Affine, Linear        (*lead, i) -> (*lead, o)            with weight[*lead, o, i]
    Conv1d, Conv2d        (groups * c, *n) -> (o, *m)         with weight[o, c, *k]
                          m = (n + 2 padding - dilation (k - 1) - 1) // stride + 1
    SumPool2d, AvgPool2d  (c, *n) -> (c, *m)                  likewise, with dilation 1
    Flatten               (*a, *b, *c) -> (*a, prod(b), *c)   where b is start_dim ... end_dim
    all others            unchanged

nir 1.0.8 has an inference of its own, which is wrong for rectangular kernels and for groups, knows
no scalar parameters, and looks at every edge once for every node.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator

import nir
import numpy as np

from nir_runtime.contract.nesting import Flat, flatten
from nir_runtime.contract.primitives import (
    PRIMITIVES,
    Primitive,
    Shape,
    ShapeMismatch,
    telling,
    wrong_array,
)
from nir_runtime.errors import InvalidGraph, Problem
from nir_runtime.values import fits

__all__ = ["ShapeMismatch", "infer", "output_shape"]


def output_shape(node: nir.NIRNode, input_shape: Shape) -> Shape:
    """The features that `node` sends on when features of `input_shape` arrive.

    Raises:
        ShapeMismatch: the node does not take them.
    """
    primitive = PRIMITIVES.get(type(node))
    if primitive is None:
        raise ShapeMismatch(f"{type(node).__name__} is not a primitive of NIR")
    return primitive.gives(node, tuple(int(size) for size in input_shape))


def infer(graph: nir.NIRGraph, place: str = "/node") -> Flat:
    """Check a graph and complete it in place; return its flat view.

    Afterwards every node has an `input_type` and an `output_type`, every neuron's parameters have
    the neuron's shape (as views, where they were scalars), no field is missing, and strides and
    the like are integers (Conv1d) or tuples of integers. No array is written to.
    One pass over nodes and edges: ten times the nodes take ten times the time.

    Raises:
        InvalidGraph: all that is wrong, each with its place, such as `/node/nodes/lif/tau`.
    """
    flat, problems = flatten(graph, place)
    sound = _sound_nodes(flat, problems)
    shapes = _Propagation(flat, sound)
    shapes.run()
    problems += shapes.mismatches
    problems += _contradictions(flat, shapes)
    problems += _wrong_starts(flat, shapes)
    if problems := problems or _unknown(flat, shapes):
        raise InvalidGraph(problems)
    for name, primitive in sound.items():
        node, arriving = flat.nodes[name], shapes.arriving[name]
        primitive.settle(node, arriving)
        node.input_type = {"input": np.array(arriving, dtype=np.int64)}
        node.output_type = {"output": np.array(shapes.leaving[name], dtype=np.int64)}
    _complete_graphs(graph)
    return flat


def _sound_nodes(flat: Flat, problems: list[Problem]) -> dict[str, Primitive]:
    """The nodes whose fields make sense; what is wrong with the others goes to `problems`."""
    sound: dict[str, Primitive] = {}
    for name, node in flat.nodes.items():
        place = flat.places[name]
        primitive = PRIMITIVES.get(type(node))
        if primitive is None:
            known = ", ".join(sorted(kind.__name__ for kind in PRIMITIVES))
            what = f"{type(node).__name__} is not a primitive of NIR"
            problems.append(Problem(place, what, f"NIR has {known} and NIRGraph"))
            continue
        findings = [Problem(f"{place}/{field}", what) for field, what in primitive.findings(node)]
        problems += findings
        if not findings:
            sound[name] = primitive
    return sound


class _Propagation:
    """Shapes on their way along the edges; every node is settled once.

    First is what fields demand: the shape of an Input, of a weight, of a neuron. It goes forward
    along the edges. Where that ends, a node that keeps shapes takes the one that a node behind it
    has; and where no neighbour knows, the one that its own fields suggest.

    Attributes:
        arriving, leaving: the features that reach a node, and those that it sends on.
        mismatches: where a node does not take what arrives.
    """

    def __init__(self, flat: Flat, sound: dict[str, Primitive]) -> None:
        self.arriving: dict[str, Shape] = {}
        self.leaving: dict[str, Shape] = {}
        self.mismatches: list[Problem] = []
        self._flat = flat
        self._sound = sound
        self._settled: deque[str] = deque()

    def run(self) -> None:
        """Settle all nodes that can be."""
        for name, primitive in self._sound.items():
            self._settle(name, primitive.demands(self._flat.nodes[name]))
        self._spread()
        for name, suggested in self._suggestions():
            self._settle(name, suggested)
            self._spread()

    def _suggestions(self) -> list[tuple[str, Shape]]:
        """What nodes that nobody told suggest; what could be a mere scalar comes last."""
        unsettled = (name for name in self._sound if name not in self.arriving)
        suggested = ((n, self._sound[n].suggests(self._flat.nodes[n])) for n in unsettled)
        stated = [(name, shape) for name, shape in suggested if shape is not None]
        return sorted(stated, key=lambda suggestion: math.prod(suggestion[1]) == 1)

    def _settle(self, name: str, arriving: Shape | None) -> None:
        """Let features arrive at a node, unless it is settled or can't be."""
        if arriving is None or name in self.arriving or name not in self._sound:
            return
        self.arriving[name] = arriving
        self._settled.append(name)
        try:
            self.leaving[name] = self._sound[name].gives(self._flat.nodes[name], arriving)
        except ShapeMismatch as mismatch:
            self.mismatches.append(Problem(self._flat.places[name], str(mismatch)))

    def _spread(self) -> None:
        """Carry all news forward along the edges, and where that ends, one node backward."""
        sources, targets = self._flat.sources, self._flat.targets
        behind: deque[str] = deque()
        while self._settled or behind:
            if self._settled:
                name = self._settled.popleft()
                behind.append(name)
                for target in targets[name]:
                    self._settle(target, self.leaving.get(name))
            else:
                name = behind.popleft()
                for source in sources[name]:
                    if source in self._sound and self._sound[source].keeps:
                        self._settle(source, self.arriving[name])


def _contradictions(flat: Flat, shapes: _Propagation) -> Iterator[Problem]:
    """The edges along which other features leave than arrive."""
    for source, target in flat.edges:
        left, arrived = shapes.leaving.get(source), shapes.arriving.get(target)
        if left is not None and arrived is not None and left != arrived:
            what = f"it takes {arrived}, and {left} arrives from {source!r}"
            yield Problem(flat.places[target], what)


def _wrong_starts(flat: Flat, shapes: _Propagation) -> Iterator[Problem]:
    """The states that a node's metadata can't mean to start with."""
    for name, arriving in shapes.arriving.items():
        node = flat.nodes[name]
        starts = telling(node) if node.metadata else ()
        for key in (key for key in starts if key.endswith("_initial")):
            start = node.metadata[key]
            wrong = wrong_array(start)
            if not wrong and not fits(np.asarray(start), arriving):
                wrong = f"has the shape {np.shape(start)}, and the features {arriving}"
            if wrong:
                yield Problem(f"{flat.places[name]}/metadata/{key}", wrong)


def _unknown(flat: Flat, shapes: _Propagation) -> list[Problem]:
    """The nodes whose shape follows from nothing."""
    return [
        Problem(place, "neither it nor its neighbours say its shape", "give the Input its shape")
        for name, place in flat.places.items()
        if name not in shapes.leaving
    ]


def _complete_graphs(graph: nir.NIRGraph) -> None:
    """Give the graph and all graphs in it the types that their Inputs and Outputs have."""
    pending = [graph]
    while pending:
        level = pending.pop()
        nodes = level.nodes.items()
        level.input_type = {n: i.input_type["input"] for n, i in nodes if type(i) is nir.Input}
        level.output_type = {n: o.output_type["output"] for n, o in nodes if type(o) is nir.Output}
        pending += [node for _, node in nodes if type(node) is nir.NIRGraph]

"""Two nodes that are one linear map, as one: fewer nodes, the same numbers but for rounding.

====================================  ===========================================================
a node, and the only one behind it    what is left
====================================  ===========================================================
Scale, Scale                          a Scale by the product
Scale, Affine or Linear               W' = W * scale
Scale, Conv1d or Conv2d               W' = W * scale            where it has one number a channel
Scale, I, IF, LI or LIF               r' = r * scale
Scale, CubaLI or CubaLIF              w_in' = w_in * scale
Affine or Linear, Scale               W' = scale * W, b' = scale * b
Conv1d or Conv2d, Scale               likewise                  where it has one number a channel
Affine or Linear, twice               W' = W2 W1, b' = W2 b1 + b2   where that is no larger
Conv, depthwise Conv of size 1        W' = gain * W, b' = gain * b + offset
====================================  ===========================================================

A batch norm in evaluation mode is a diagonal Affine, or a depthwise convolution of size 1. One
behind a Scale is folded too, since the pairs are tried again until none is left.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Set
from typing import Any

import nir
import numpy as np

from nir_runtime.composing import (
    CONVOLUTIONS,
    MATRICES,
    Array,
    behind,
    changed,
    followed_by,
    gain_and_offset,
    kind_of,
    product,
)
from nir_runtime.contract import order, shapes
from nir_runtime.contract.nesting import neighbours, subgraphs, thin_copy
from nir_runtime.graphs.changes import Change, Rewritten

GAINS = {
    nir.I: "r",
    nir.IF: "r",
    nir.LI: "r",
    nir.LIF: "r",
    nir.CubaLI: "w_in",
    nir.CubaLIF: "w_in",
}
"""What a neuron multiplies its input by."""


def folded(graph: nir.NIRGraph) -> Rewritten:
    """The graph with all pairs of nodes folded that the table above has, in subgraphs too.

    Pairs on cycles stay, if without them the cycles would be cut elsewhere: that would change what
    the graph means.

    Raises:
        InvalidGraph: the graph means nothing.
    """
    plan = order.plan(shapes.infer(thin_copy(graph)))
    cycles = {name for group in plan.components if plan.recurs(group) for name in group}
    for kept in (frozenset[str](), cycles):
        folding = _Folding(graph, kept)
        if folding.cut == {(folding.now(a), folding.now(b)) for a, b in plan.delayed}:
            return Rewritten(folding.graph, tuple(folding.changes))
    return Rewritten(thin_copy(graph), ())


class _Folding:
    """A graph with as few nodes as pairs can be folded.

    Attributes:
        graph: a copy, which shares what was not folded.
        changes: one for each pair.
        cut: the edges that carry the previous step's value.
    """

    def __init__(self, graph: nir.NIRGraph, kept: Set[str]) -> None:
        self.graph = thin_copy(graph)
        self.changes: list[Change] = []
        self._kept = kept
        self._became: dict[str, str] = {}
        shapes.infer(self.graph)
        self._fold("", self.graph)
        for name, level in subgraphs(self.graph).items():
            self._fold(f"{name}.", level)
        self.cut = order.plan(shapes.infer(self.graph)).delayed

    def now(self, name: str) -> str:
        """What a node is called that may have become part of another."""
        while name in self._became:
            name = self._became[name]
        return name

    def _fold(self, prefix: str, level: nir.NIRGraph) -> None:
        """Fold the pairs of one level; those with neurons last, since weights are better hosts."""
        kept = {name for name in level.nodes if prefix + name in self._kept}
        pairs = _Pairs(level, kept)
        for rules in (LINEAR, NEURAL):
            for gone, name in pairs.joined(rules):
                self._became[prefix + gone] = prefix + name
                self.changes.append(Change(prefix + gone, f"folded into {prefix + name}"))
        level.nodes, level.edges = pairs.nodes, pairs.edges


class _Pairs:
    """The nodes of one level, of which pairs are joined."""

    def __init__(self, level: nir.NIRGraph, kept: Set[str]) -> None:
        self.nodes: dict[str, nir.NIRNode] = dict(level.nodes)
        self._kept = kept
        self._targets = neighbours(level.nodes, level.edges)
        self._sources = neighbours(level.nodes, ((b, a) for a, b in level.edges))

    @property
    def edges(self) -> list[tuple[str, str]]:
        return [(source, target) for source in self.nodes for target in self._targets[source]]

    def joined(self, rules: Rules) -> Iterator[tuple[str, str]]:
        """Join all pairs that the rules have; gives who is gone, and whose part it is now."""
        pending = deque(self.nodes)
        while pending:
            first = pending.popleft()
            second = self._only_target(first)
            made = None if second is None else _merged(self.nodes[first], self.nodes[second], rules)
            if second is None or made is None:
                continue
            gone, name = (first, second) if _is_guest(made, self.nodes[first]) else (second, first)
            self._join(first, second, name)
            self.nodes[name] = made
            del self.nodes[gone]
            pending.append(name)
            pending.extend(self._sources[name])
            yield gone, name

    def _only_target(self, first: str) -> str | None:
        """The node behind one, if both have no other neighbour between them, and may be joined."""
        targets = self._targets[first] if first in self.nodes else []
        if len(targets) != 1 or self._sources[targets[0]] != [first]:
            return None
        return None if self._kept & {first, targets[0]} else targets[0]

    def _join(self, first: str, second: str, name: str) -> None:
        """Let one name have the sources of the first and the targets of the second."""
        both = (first, second)
        sources, targets = self._sources, self._targets
        before = [name if n in both else n for n in sources.pop(first)]
        behind = [name if n in both else n for n in targets.pop(second)]
        del sources[second], targets[first]
        sources[name], targets[name] = before, behind
        for source in before:
            targets[source] = [name if n in both else n for n in targets[source]]
        for target in behind:
            sources[target] = [name if n in both else n for n in sources[target]]


def _is_guest(made: nir.NIRNode, first: nir.NIRNode) -> bool:
    """Whether the first of two nodes lives on in the second, rather than the other way round."""
    return type(first) is nir.Scale and type(made) is not nir.Scale


# --- rules ----------------------------------------------------------------------------------

Rule = Callable[[nir.NIRNode, nir.NIRNode], "nir.NIRNode | None"]
Rules = tuple[Rule, ...]


def _merged(first: nir.NIRNode, second: nir.NIRNode, rules: Rules) -> nir.NIRNode | None:
    """One node for two, the first before the second; None if no rule has it.

    Nor is there one if it could not hold all that they say besides.
    """
    if not _agree(first.metadata, second.metadata) or _is_extended(first) or _is_extended(second):
        return None
    for rule in rules:
        made = rule(first, second)
        if made is not None:
            both = {**first.metadata, **second.metadata}
            bias = {"bias"} & (both.keys() - made.metadata.keys())  # of a convolution that has one
            return changed(made, metadata={k: v for k, v in both.items() if k not in bias})
    return None


def _is_extended(node: nir.NIRNode) -> bool:
    """Whether a node has fields that nir doesn't know, and which may mean anything."""
    return bool(getattr(node, "unknown_fields", None))


def _agree(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return all(np.array_equal(one[key], other[key]) for key in one.keys() & other.keys())


def _scale_before(first: nir.NIRNode, second: nir.NIRNode) -> nir.NIRNode | None:
    if type(first) is not nir.Scale:
        return None
    scale = np.asarray(first.scale, dtype=np.float64)
    if type(second) is nir.Scale:
        return changed(second, scale=(scale * second.scale).astype(kind_of(second.scale)))
    gain = _for_each_channel(scale) if isinstance(second, CONVOLUTIONS) else scale
    if gain is None or not isinstance(second, (*CONVOLUTIONS, *MATRICES)):
        return None
    return behind(gain, second)


def _scale_behind(first: nir.NIRNode, second: nir.NIRNode) -> nir.NIRNode | None:
    if type(second) is not nir.Scale:
        return None
    scale = np.asarray(second.scale, dtype=np.float64)
    gain = _for_each_channel(scale) if isinstance(first, CONVOLUTIONS) else scale
    if gain is None or not isinstance(first, (*CONVOLUTIONS, *MATRICES)):
        return None
    return followed_by(first, gain)


def _matrices(first: nir.NIRNode, second: nir.NIRNode) -> nir.NIRNode | None:
    """Two matrices as one that is no larger than they are."""
    if not (isinstance(first, MATRICES) and isinstance(second, MATRICES)):
        return None
    one, other = np.shape(first.weight), np.shape(second.weight)
    if len(one) != 2 or len(other) != 2 or other[0] * one[1] > math.prod(one) + math.prod(other):
        return None
    return product(first, second)


def _channels_behind(first: nir.NIRNode, second: nir.NIRNode) -> nir.NIRNode | None:
    """A convolution before one that multiplies each channel by a number, as a batch norm does."""
    if not isinstance(first, CONVOLUTIONS) or type(first) is not type(second):
        return None
    channels = len(second.weight)
    alone = np.size(second.weight) == channels == int(np.asarray(second.groups).item())
    still = isinstance(second.padding, str) or not np.any(second.padding)
    if not alone or not still or np.any(np.asarray(second.stride) != 1):
        return None
    return followed_by(first, *gain_and_offset(second))


def _scale_of_neurons(first: nir.NIRNode, second: nir.NIRNode) -> nir.NIRNode | None:
    field = GAINS.get(type(second))
    if type(first) is not nir.Scale or field is None:
        return None
    held = getattr(second, field)
    scaled = (np.asarray(first.scale, dtype=np.float64) * held).astype(kind_of(held))
    return changed(second, **{field: scaled})


def _for_each_channel(scale: Array) -> Array | None:
    """[channels] of a scale [channels, ...] that is the same for each position; else None."""
    each = scale.reshape(len(scale), -1)
    return each[:, 0] if np.all(each == each[:, :1]) else None


LINEAR: Rules = (_scale_before, _scale_behind, _matrices, _channels_behind)
NEURAL: Rules = (_scale_of_neurons,)

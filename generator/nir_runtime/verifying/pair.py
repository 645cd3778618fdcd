"""Two networks, and what in them corresponds to what: by the names of nodes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from nir_runtime.errors import InvalidArgument, Problem
from nir_runtime.verifying.sides import Side

Value = TypeVar("Value")


@dataclass(frozen=True)
class Pair:
    """Two networks that take the same inputs.

    Attributes:
        sides: the networks.
        inputs: by the Inputs of the first, those of the second.
        nodes: what both have and can be looked into, in the order of execution.
        outputs: by the Outputs of the first, those of the second.
        apart: which nodes only one of them has, or shows, in words.
        alone: which Outputs only one of them has, or in another shape, in words.
    """

    sides: tuple[Side, Side]
    inputs: Mapping[str, str]
    nodes: tuple[str, ...]
    outputs: Mapping[str, str]
    apart: tuple[str, ...]
    alone: tuple[str, ...]

    @property
    def labels(self) -> tuple[str, str]:
        """What both are called."""
        first, second = (side.label for side in self.sides)
        return (first, second) if first != second else (f"{first} (a)", f"{second} (b)")

    @property
    def ends(self) -> tuple[tuple[str, str], ...]:
        """What sends on what is compared, by the names on both sides: nodes, then Outputs."""
        return (*((name, name) for name in self.nodes), *self.outputs.items())

    @property
    def spiking(self) -> tuple[str, ...]:
        """The nodes that fire."""
        return tuple(name for name in self.nodes if self.fires(name, name))

    def fires(self, first: str, second: str) -> bool:
        """Whether what is sent on are spikes, on both sides."""
        return self.sides[0].fires(first) and self.sides[1].fires(second)

    def kind(self, first: str, second: str) -> str:
        """The kind of a node; of both, if they differ."""
        nodes = self.sides[0].flat.nodes[first], self.sides[1].flat.nodes[second]
        return " / ".join(dict.fromkeys(type(node).__name__ for node in nodes))

    def renamed(self, x: Mapping[str, Value]) -> dict[str, Value]:
        """What the first is given, by the Inputs of the second."""
        return {self.inputs[name]: value for name, value in x.items()}


def pair_of(a: Side, b: Side) -> Pair:
    """Two networks side by side.

    Raises:
        InvalidArgument: they don't take the same inputs, or have nothing in common.
    """
    inputs = _matched(a.inputs, b.inputs)
    problems = list(_wrong_inputs(a, b, inputs))
    matched = _matched(a.outputs, b.outputs)
    outputs = {m: n for m, n in matched.items() if a.shape(m) == b.shape(n)}
    nodes = tuple(name for name in a.nodes if _shown(a, b, name))
    if not problems and not outputs and not nodes:
        what = "no node of one has the name and the shape of a node of the other"
        problems = [Problem("b", what, "compare networks that belong together")]
    if problems:
        raise InvalidArgument(problems)
    apart, alone = tuple(_apart(a, b, nodes)), tuple(_alone(a, b, matched))
    return Pair((a, b), inputs, nodes, outputs, apart, alone)


def _matched(a: Sequence[str], b: Sequence[str]) -> dict[str, str]:
    """Those with the same names; the others in their order, as far as both have some."""
    first = [name for name in a if name not in b]
    second = [name for name in b if name not in a]
    others = dict(zip(first, second, strict=False))
    return {name: others.get(name, name) for name in a if name in b or name in others}


def _wrong_inputs(a: Side, b: Side, inputs: Mapping[str, str]) -> Iterator[Problem]:
    if len(a.inputs) != len(b.inputs):
        what = f"takes {len(b.inputs)} inputs, and a takes {len(a.inputs)}"
        yield Problem("b", what, "compare networks that take the same")
    for first, second in inputs.items():
        if a.shape(first) != b.shape(second):
            what = f"takes {b.shape(second)} at {second!r}, and a takes {a.shape(first)}"
            yield Problem("b", what, "compare networks that take the same")


def _shown(a: Side, b: Side, name: str) -> bool:
    """Whether both let a node be looked into, and it sends on the same shape."""
    return name in a.layers and name in b.layers and a.shape(name) == b.shape(name)


def _apart(a: Side, b: Side, nodes: Sequence[str]) -> Iterator[str]:
    both = set(a.nodes) & set(b.nodes)
    for which, side in (("first", a), ("second", b)):
        if alone := [name for name in side.nodes if name not in both]:
            yield f"only the {which} has {listed(alone)}"
    if unlike := [name for name in a.nodes if name in both and a.shape(name) != b.shape(name)]:
        yield f"not compared, as the shapes differ: {listed(unlike)}"
    if hidden := [name for name in a.nodes if name in both and name not in {*nodes, *unlike}]:
        yield f"not compared, as no layer's output is theirs: {listed(hidden)}"


def _alone(a: Side, b: Side, matched: Mapping[str, str]) -> Iterator[str]:
    """What one network gives, and the other doesn't."""
    for which, side, partners in (("first", a, matched), ("second", b, {*matched.values()})):
        if lone := [name for name in side.outputs if name not in partners]:
            yield f"only the {which} has the Outputs {listed(lone)}"
    for first, second in matched.items():
        if a.shape(first) != b.shape(second):
            shapes = f"{a.shape(first)} in the first and {b.shape(second)} in the second"
            yield f"the Output {first} has the shape {shapes}"


def listed(names: Sequence[str]) -> str:
    """Names, as far as they are few."""
    more = f" and {len(names) - _FEW} more" if len(names) > _FEW else ""
    return ", ".join(names[:_FEW]) + more


_FEW = 8
"""How many nodes are named."""

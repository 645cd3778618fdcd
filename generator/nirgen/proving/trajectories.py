"""A layer and its nodes, run side by side from their starts, step by step, on exact numbers.

States are not drawn but reached, so that each is one that the layer can be in; inputs are placed
just above the threshold, just below it, and exactly at it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from nirgen.mapping.expressions import Expression, Name, NotComputable, solve
from nirgen.mapping.steps import INPUT, OUTPUT
from nirgen.proving.arithmetic import Arithmetic, Compiled
from nirgen.proving.draws import Source
from nirgen.proving.systems import Chain, System

STEPS = 8
NEAR = Fraction(1, 10**9)
"""How far from the threshold an input is placed that hardly reaches it."""

FAR = (1, 1, 1, 30, 10**4)
"""How many times further away one is placed that leaves no doubt, in case something has a bound."""

Values = Mapping[str, Any]


@dataclass(frozen=True)
class Counterexample:
    """A step in which the two differ, as a person would check it.

    Attributes:
        layer: what the layer's formulas are given: parameters, and `dt`.
        fields: the node's.
        before: the state of both before the step.
        x: the input of that step.
        results: what both give: the output, and NIR's state variables.
        read: the names that the layer's step reads.
    """

    layer: Values
    fields: Values
    before: tuple[Values, Values]
    x: Any
    results: tuple[Values, Values]
    read: frozenset[str]

    def told(self, others: Iterable[str]) -> frozenset[str]:
        """What of the layer has to be told: what its step and other formulas read."""
        return self.read | frozenset(others) | {"dt"}


@dataclass
class Machine:
    """A system with its values and its state."""

    system: System
    values: dict[str, Any]
    arithmetic: Arithmetic
    _lines: list[tuple[str, Expression, Compiled]] = field(init=False)

    def __post_init__(self) -> None:
        compiled = self.arithmetic.compiled
        lines = self.system.step.lines
        self._lines = [(line.name, line.formula, compiled(line.formula)) for line in lines]

    @property
    def state(self) -> dict[str, Any]:
        return {name: self.values[name] for name in self.system.state}

    def step(self, x: Any) -> Any:
        """The output for an input; the state moves on."""
        values = self.values
        values[INPUT] = x
        run = self.arithmetic.run
        for name, formula, compiled in self._lines:
            values[name] = run(formula, compiled, values)
        return values[OUTPUT]


@dataclass
class Nodes:
    """A chain of nodes with their values and states."""

    before: list[Machine]
    node: Machine
    then: list[Machine]
    feedback: list[Machine]
    last: Any

    @classmethod
    def of(cls, chain: Chain, given: Values, start: Values, arithmetic: Arithmetic) -> Nodes:
        def machine(system: System) -> Machine:
            fields = {n: arithmetic.value(f, given) for n, f in system.fields.items()}
            return Machine(system, {**fields, "dt": given["dt"]}, arithmetic)

        nodes = cls(
            [machine(system) for system in chain.before],
            machine(chain.node),
            [machine(system) for system in chain.then],
            [machine(system) for system in chain.feedback],
            arithmetic.number(0),
        )
        nodes.node.values |= start
        return nodes

    def step(self, x: Any) -> Any:
        for machine in self.before:
            x = machine.step(x)
        if self.feedback:
            back = self.last
            for machine in self.feedback:
                back = machine.step(back)
            x = x + back
        y = self.node.step(x)
        for machine in self.then:
            y = machine.step(y)
        self.last = y
        return y

    def snapshot(self) -> tuple[Any, dict[str, Any]]:
        return self.last, self.node.state

    def restore(self, snapshot: tuple[Any, dict[str, Any]]) -> None:
        self.last = snapshot[0]
        self.node.values |= snapshot[1]


@dataclass
class Race:
    """Two sides that get the same inputs.

    Attributes:
        layer: the layer, or what stands for it.
        nodes: the nodes.
        relation: what the nodes' state must be, by the layer's values; empty where only the outputs
            are compared.
        inputs: what the layer gets, of the nodes' input.
        ties: how often they differed where both were at their threshold exactly.
        tied: whether both were, in the last step.
    """

    layer: Machine
    nodes: Nodes
    relation: Mapping[str, Expression]
    inputs: Callable[[Any], Any]
    arithmetic: Arithmetic
    ties: int = 0
    tied: bool = False

    def run(self, source: Source, steps: int = STEPS) -> Counterexample | None:
        """Some steps; the first in which the two differ, unless they do so at a tie only."""
        for _ in range(steps):
            x = self._input(source)
            before = self.layer.state, self.nodes.snapshot()
            results = self._results(x)
            if self._agree(results):
                continue
            after = self.layer.state, self.nodes.snapshot()
            if self.tied and self._agree(self._decided_otherwise(x, before)):
                self.ties += 1
                return None
            self.layer.values |= after[0]
            return self._counterexample(x, before, results)
        return None

    def _results(self, x: Any, otherwise: bool = False) -> tuple[dict[str, Any], dict[str, Any]]:
        """What both give; `otherwise`, if the layer decides otherwise what is exactly equal."""
        self.arithmetic.differences.clear()
        self.arithmetic.otherwise = otherwise
        try:
            own = {OUTPUT: self.layer.step(self.inputs(x))}
        finally:
            self.arithmetic.otherwise = False
        tied = self.arithmetic.tied
        for name, formula in self.relation.items():
            own[name] = self.arithmetic.value(formula, self.layer.values)
        self.arithmetic.differences.clear()
        nodes = {OUTPUT: self.nodes.step(x)}
        self.tied = tied and self.arithmetic.tied
        nodes |= {name: self.nodes.node.values[name] for name in self.relation}
        return own, nodes

    def _agree(self, results: tuple[Values, Values]) -> bool:
        own, nodes = results
        return all(self.arithmetic.same(own[name], nodes[name]) for name in own)

    def _decided_otherwise(self, x: Any, before: Any) -> tuple[Values, Values]:
        """The same step, if the layer were to fire at its threshold, or not, as it doesn't."""
        self.layer.values |= before[0]
        self.nodes.restore(before[1])
        return self._results(x, otherwise=True)

    def _input(self, source: Source) -> Any:
        root = self._at_threshold() if source.chance(0.75) else None
        if root is None:
            return source.number()
        near = self.arithmetic.number(NEAR)
        far = abs(source.number(1, 4)) * source.random.choice(FAR) * (1 + abs(root)) / 4
        return root + source.random.choice((0, near, -near, far, -far))

    def _at_threshold(self) -> Any:
        """The input that brings the nodes exactly to their threshold; None where none does."""
        before = self.nodes.snapshot()
        distances = []
        for x in (0, 1):
            self.arithmetic.differences.clear()
            self.nodes.step(self.arithmetic.number(x))
            distances.append(list(self.arithmetic.differences))
            self.nodes.restore(before)
        for zero, one in zip(*distances, strict=False):
            if zero != one:
                return zero / (zero - one)
        return None

    def _counterexample(
        self, x: Any, before: Any, results: tuple[Values, Values]
    ) -> Counterexample:
        own = self.layer.system
        given = {n: v for n, v in self.layer.values.items() if n not in own.step.assigned}
        fields = self.nodes.node.values
        node = self.nodes.node.system
        fields = {n: v for n, v in fields.items() if n not in node.step.assigned and n != INPUT}
        given.pop(INPUT, None)
        states = before[0], before[1][1]
        return Counterexample(given, fields, states, x, results, own.step.read)


def layer_start(
    relation: Mapping[str, Expression],
    held: Mapping[str, str],
    start: Values,
    given: Values,
    arithmetic: Arithmetic,
) -> dict[str, Any]:
    """The layer's own variables where NIR's are `start`.

    Raises:
        NotComputable: the relation can't be turned round there.
    """
    found: dict[str, Any] = {}
    for variable, formula in relation.items():
        own = held[variable]
        solved = solve(formula, own, Name("start"))
        value = start[variable]
        if solved is not None:
            value = arithmetic.value(solved, {**given, "start": value})
        elif not arithmetic.same(arithmetic.value(formula, {**given, own: value}), value):
            raise NotComputable(f"`{own}` doesn't follow from {variable}")
        found[own] = value
    return found


def spare(system: System, found: Values, arithmetic: Arithmetic) -> Iterator[tuple[str, Any]]:
    """What of a layer's state no relation gives: the last output, which is nothing at first."""
    nothing = False if system.step.is_comparison else arithmetic.number(0)
    yield from ((name, nothing) for name in system.state if name not in found)

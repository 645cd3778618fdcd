"""A mapping read backwards: how a layer's parameters follow from a node's fields.

A mapping states a node's fields by formulas over the layer's parameters. Backwards, each
parameter is solved from the first formula that allows it; the formulas left over are conditions
that a node must meet, and they tell the cases apart.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial, reduce
from itertools import product

from nirgen.mapping import expressions
from nirgen.mapping.expressions import (
    Binary,
    Expression,
    Literal,
    Name,
    Not,
    conjuncts,
    holds,
    names,
)
from nirgen.mapping.model import NODE, Binding, Case, Choice, LayerMapping, Node, Variant
from nirgen.mapping.source import Constant


@dataclass(frozen=True)
class Solved:
    """A parameter, the formula that gives it, and all bindings that it solves alone."""

    parameter: str
    formula: Expression
    equations: tuple[Binding, ...]

    @property
    def exact(self) -> bool:
        """Whether the node's field is the parameter itself, without arithmetic."""
        return isinstance(self.formula, Name)


@dataclass(frozen=True)
class Inversion:
    """What some bindings give (in an order that can be computed) and what they demand besides.

    `restated` are the demands that state a parameter solved elsewhere as it is: where such a
    node's field agrees, it is the parameter to the last bit.
    """

    solved: tuple[Solved, ...] = ()
    demands: tuple[Binding, ...] = ()
    unsolved: tuple[Binding, ...] = ()

    @property
    def restated(self) -> tuple[Binding, ...]:
        return tuple(demand for demand in self.demands if isinstance(demand.formula, Name))


@dataclass(frozen=True)
class CaseInverse:
    """One case backwards: parameters that its guard fixes, and what is left of the guard.

    `otherwise` says that it is for nodes of which metadata tells none of the other cases.
    """

    case: Case
    given: Mapping[str, Constant]
    inversion: Inversion
    guard: Expression | None
    otherwise: bool = False


@dataclass(frozen=True)
class ChoiceInverse:
    """The cases of a choice that an import makes of a kind of node."""

    choice: Choice
    cases: tuple[CaseInverse, ...]

    @property
    def told(self) -> tuple[CaseInverse, ...]:
        """The cases that metadata tells, those of which it says most first."""
        told = (case for case in self.cases if case.case.metadata)
        return tuple(sorted(told, key=lambda case: -len(case.case.metadata)))

    @property
    def plain(self) -> tuple[CaseInverse, ...]:
        """The cases that only the node's numbers tell."""
        return tuple(case for case in self.cases if not case.case.metadata)

    def is_told_alone(self, case: CaseInverse) -> bool:
        """Whether what a case annotates tells it from all others: its numbers needn't."""
        same = (other for other in self.cases if other.case.metadata == case.case.metadata)
        return bool(case.case.annotate) and len(list(same)) == 1


@dataclass(frozen=True)
class MappingInverse:
    """A layer's mapping from one NIR node.

    `starts` are the layers' parameters that say where a state variable starts, by the variable:
    what the node's metadata says of it, or None.
    """

    node: str
    shared: Inversion
    choices: tuple[ChoiceInverse, ...]
    starts: Mapping[str, str]

    def guard_left(self, case: CaseInverse) -> Expression | None:
        """What of a case's guard depends on the node: parts whose names all cases give are done.

        A part over constants holds for every choice of imported cases, or else it stays.
        """
        given: dict[str, set[Constant]] = {}
        for each in (case for choice in self.choices for case in choice.cases):
            for name, value in each.given.items():
                given.setdefault(name, set()).add(value)
        parts = () if case.guard is None else conjuncts(case.guard)
        left = [part for part in parts if not _holds_always(part, {**given, **_own(case)})]
        return reduce(partial(Binary, "and"), left) if left else None

    def unsolved(self) -> Iterable[Binding]:
        yield from self.shared.unsolved
        for choice in self.choices:
            for case in choice.cases:
                yield from case.inversion.unsolved


def _own(case: CaseInverse) -> dict[str, set[Constant]]:
    return {name: {value} for name, value in case.given.items()}


def _holds_always(part: Expression, given: Mapping[str, set[Constant]]) -> bool:
    """Whether a condition holds for all values that its names are given."""
    spoken_of = sorted(names(part))
    if not set(spoken_of) <= set(given):
        return False
    values = product(*(sorted(given[name], key=repr) for name in spoken_of))
    return all(holds(part, dict(zip(spoken_of, each, strict=True))) for each in values)


def invert(mapping: LayerMapping, node: Node) -> MappingInverse:
    """How an import finds the layer's parameters in a node of the kind `node`."""
    parameters = mapping.parameters_read() - frozenset(mapping.derive) - frozenset(mapping.fix)
    shared = _invert(_solvable(mapping.part.bind, node), parameters, ())
    known = frozenset(solved.parameter for solved in shared.solved)
    choices = (_invert_choice(c, node, parameters, known) for c in mapping.choices)
    starts = {
        variable: start.name
        for variable, start in mapping.part.start.items()
        if isinstance(start, Name) and start.name in parameters - known
    }
    return MappingInverse(node.name, shared, tuple(choices), starts)


def _invert_choice(
    choice: Choice, node: Node, parameters: frozenset[str], known: frozenset[str]
) -> ChoiceInverse:
    cases = [c for c in choice.cases if c.node in (None, node.name) and c.imported]
    told = any(case.metadata for case in cases)
    inverted = (_invert_case(case, node, parameters, known) for case in cases)
    return ChoiceInverse(
        choice, tuple(replace(c, otherwise=told and not c.case.metadata) for c in inverted)
    )


def _invert_case(
    case: Case, node: Node, parameters: frozenset[str], known: frozenset[str]
) -> CaseInverse:
    given = given_by(case.when)
    inversion = _invert(_solvable(case.part.bind, node), parameters, known | frozenset(given))
    return CaseInverse(case, given, inversion, _guard_left(case.when))


def given_by(guard: Expression) -> Mapping[str, Constant]:
    """The parameters that a guard fixes: `decay_input`, `not decay_input`, `v_reset is None`."""
    match guard:
        case Binary("and", left, right):
            return {**given_by(left), **given_by(right)}
        case Binary("==", Name(name), Literal(int() | float() as number)):
            return {name: number}
        case Name(name):
            return {name: True}
        case Not(Name(name)):
            return {name: False}
        case Binary("is", Name(name), Literal(None)):
            return {name: None}
        case Binary("==", Name(name), Literal(str() as word)):
            return {name: word}
    return {}


def is_possible(variant: Variant) -> bool:
    """Whether the guards of its cases can hold together: none gives a parameter another value."""
    given: dict[str, Constant] = {}
    for case in variant.cases:
        for name, value in given_by(case.when).items():
            if given.setdefault(name, value) != value:
                return False
    return True


def _guard_left(guard: Expression) -> Expression | None:
    """What of a guard must be checked once the parameters are known."""
    match guard:
        case Binary("and", left, right):
            both = [part for part in map(_guard_left, (left, right)) if part is not None]
            return Binary("and", *both) if len(both) == 2 else next(iter(both), None)
        case Binary("is not", Name(_), Literal(None)):
            return None
    return None if given_by(guard) else guard


def _solvable(bindings: Iterable[Binding], node: Node) -> tuple[Binding, ...]:
    """The bindings that say something of the layer, and not of its place in a graph."""
    return tuple(
        binding
        for binding in bindings
        if binding.field in node.fields and node.fields[binding.field].kind != "shape"
    )


def _invert(
    bindings: tuple[Binding, ...], parameters: frozenset[str], known: Collection[str]
) -> Inversion:
    solved: list[Solved] = []
    found = set(known)
    left = list(bindings)
    while True:
        step = next(_steps(left, parameters - found), None)
        if step is None:
            break
        binding, unknown, formula = step
        left.remove(binding)
        found.add(unknown)
        solved.append(Solved(unknown, formula, _alone(bindings, unknown, parameters)))
    demands = tuple(b for b in left if not names(b.formula) & (parameters - found))
    unsolved = tuple(b for b in left if names(b.formula) & (parameters - found))
    return Inversion(tuple(solved), demands, unsolved)


def _steps(
    bindings: Iterable[Binding], unknowns: frozenset[str]
) -> Iterator[tuple[Binding, str, Expression]]:
    """Bindings with one unknown, and the unknown's formula over the node's fields."""
    for binding in bindings:
        here = names(binding.formula) & unknowns
        if len(here) == 1:
            (unknown,) = here
            field = Name(NODE + binding.field)
            formula = expressions.solve(binding.formula, unknown, field)
            if formula is not None:
                yield binding, unknown, formula


def _alone(
    bindings: Iterable[Binding], unknown: str, parameters: frozenset[str]
) -> tuple[Binding, ...]:
    """The bindings that name no other parameter: equations for this unknown."""
    return tuple(b for b in bindings if names(b.formula) & parameters == {unknown})

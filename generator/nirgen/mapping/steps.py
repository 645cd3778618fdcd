"""Steps: what a layer or a node computes in one time step, as lines of the formula language.

A line assigns: `v = v + dt/tau * (v_leak - v + r * x)`. `x` is the input and `y` the output. A name
that is read before its line has assigned it is what the step before has left: the state, or the
last output. Lines are parsed into frozen trees, like all formulas, and never executed.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nirgen.mapping import expressions
from nirgen.mapping.expressions import Binary, Conditional, Expression, Name, names, show
from nirgen.mapping.problems import Location, Problems

INPUT, OUTPUT = "x", "y"


@dataclass(frozen=True)
class Line:
    """`name = formula`, and where it stands."""

    name: str
    formula: Expression
    at: Location


_ORDER = frozenset({">", "<", ">=", "<="})


def _compares(formula: Expression) -> bool:
    return isinstance(formula, Binary) and formula.symbol in _ORDER


@dataclass(frozen=True)
class Step:
    """The lines of a step, in order; none where a layer or a node has none."""

    lines: tuple[Line, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.lines)

    @property
    def assigned(self) -> tuple[str, ...]:
        """The names that its lines assign, each once."""
        return tuple(dict.fromkeys(line.name for line in self.lines))

    @property
    def read(self) -> frozenset[str]:
        """The names that have a value before the step: parameters, the input, the state."""
        read: set[str] = set()
        known: set[str] = set()
        for line in self.lines:
            read |= names(line.formula) - known
            known.add(line.name)
        return frozenset(read)

    @property
    def kept(self) -> tuple[str, ...]:
        """The names whose values a step takes over from the one before."""
        return tuple(name for name in self.assigned if name in self.read and name != INPUT)

    @property
    def is_comparison(self) -> bool:
        """Whether its output compares: it fires."""
        return bool(self._compared())

    @property
    def fires_at_threshold(self) -> bool:
        """Whether its output is a comparison that holds where both sides are equal."""
        return bool(self._compared() & {">=", "<="})

    def _compared(self) -> set[str]:
        """How its output compares, or what it is a multiple of."""
        compared = {line.name: line.formula for line in self.lines if _compares(line.formula)}
        formulas = [line.formula for line in self.lines if line.name == OUTPUT]
        formulas += [compared[name] for f in formulas for name in names(f) if name in compared]
        parts = (part for formula in formulas for part in expressions.walk(formula))
        return {part.symbol for part in parts if isinstance(part, Binary)} & _ORDER

    def until_output(self) -> tuple[Line, ...]:
        """The lines before the first that assigns the output."""
        found = [number for number, line in enumerate(self.lines) if line.name == OUTPUT]
        return self.lines[: found[0]] if found else self.lines

    def from_output(self) -> tuple[Line, ...]:
        """The lines from the first that assigns the output."""
        return self.lines[len(self.until_output()) :]


def parse(text: str, at: Location, problems: Problems) -> Step:
    """The step of a text whose first line stands at a place."""
    lines = []
    first = text.lstrip("\n").count("\n") - text.count("\n")
    for number, line in enumerate(text.splitlines(), first):
        place = Location(at.file, at.line + number, at.column)
        code = _without_comment(line)
        if code.strip():
            lines.append(_line(code, place, problems))
    return Step(tuple(line for line in lines if line is not None))


def _without_comment(line: str) -> str:
    return line.partition("#")[0].rstrip()


def _line(text: str, at: Location, problems: Problems) -> Line | None:
    at = at.shifted(len(text) - len(text.lstrip()))
    text = text.strip()
    try:
        tree = ast.parse(text)
    except SyntaxError as error:
        problems.add(
            at.shifted(max((error.offset or 1) - 1, 0)), f"not a line: {error.msg}: `{text}`"
        )
        return None
    match tree.body:
        case [ast.Assign(targets=[ast.Name(id=name)])]:
            shift = text.index("=") + 1
            shift += len(text[shift:]) - len(text[shift:].lstrip())
            formula = expressions.parse(text[shift:], at.shifted(shift), problems, of_step=True)
            return None if formula is None else Line(name, formula, at)
    problems.add(at, f"`{text}` is not a line of a step", "a line assigns, such as `v = v + x`")
    return None


# --- for people -----------------------------------------------------------------------------


def for_people(step: Step, state: Iterable[str] = ()) -> Iterator[str]:
    """The lines as they stand in documentation: `v <- v_reset where y`, `y = v > v_threshold`.

    An arrow changes what has a value already: what `state` names, or a line before.
    """
    kept = {*state, *step.kept} - {OUTPUT}
    for line in step.lines:
        sign = "<-" if line.name in kept else "="
        kept.add(line.name)
        yield f"{line.name} {sign} {', '.join(_ways(line.name, line.formula))}"


def _ways(name: str, formula: Expression) -> Iterator[str]:
    """`a if p else b` as `a where p, else b`; what leaves the name as it is goes without saying."""
    match formula:
        case Conditional(test, then, other):
            told = f"({show(then)})" if isinstance(then, Conditional) else show(then)
            yield f"{told} where {show(test)}"
            if other != Name(name):
                rest = list(_ways(name, other))
                yield f"else {rest[0]}"
                yield from rest[1:]
        case _:
            yield show(formula)

"""The formula that would be right, where a wrong one is refused.

Below its threshold a neuron is linear, so that for a state and an input of 0 or 1 the two steps
give an equation for each field of the node, which is solved. What comes out is tried like any
other formula: only what is proved is proposed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from itertools import combinations, permutations, product

from nirgen.mapping.expressions import (
    Binary,
    Call,
    Conditional,
    Expression,
    Literal,
    Name,
    Negative,
    Not,
    NotComputable,
    conjuncts,
    names,
    solve,
    substitute,
    walk,
)
from nirgen.mapping.inverse import given_by
from nirgen.mapping.model import NODE, Binding, Node, Normalization, Variant
from nirgen.mapping.steps import INPUT, OUTPUT, Step
from nirgen.proving.draws import Layer, Shapes, Source
from nirgen.proving.systems import Pair, System

Holds = Callable[[Pair, Layer], bool]
"""Whether a layer and its node agree, as far as one run tells."""

TRIED = 8
_ORDER = ("<", "<=", ">", ">=")


Mended = tuple[tuple[Binding, Expression], ...]
"""Bindings, and the formulas that would be right; none where nothing was found."""


def mended(variant: Variant, pair: Pair, shapes: Shapes, source: Source, holds: Holds) -> Mended:
    """The one binding that can be mended, or the two that are exchanged."""
    layers = [shapes.draw(variant, source) for _ in range(TRIED)]
    drawn = [layer for layer in layers if layer is not None]
    bindings = [b for b in variant.bind if b.field in pair.chain.node.fields]
    for stated in bindings:
        found = dict.fromkeys(_candidates(stated, variant, pair, shapes))
        for formula in sorted(found, key=_size):
            changed = _with(pair, {stated.field: formula})
            if _is_another(formula, stated.formula, drawn, source) and _holds_for_all(
                holds, changed, drawn
            ):
                return ((stated, formula),)
    for one, other in combinations(bindings, 2):
        exchanged = {one.field: other.formula, other.field: one.formula}
        if _holds_for_all(holds, _with(pair, exchanged), drawn):
            return (one, other.formula), (other, one.formula)
    return ()


def _is_another(
    formula: Expression, stated: Expression, layers: list[Layer], source: Source
) -> bool:
    """Whether two formulas are not the same, written otherwise."""
    for layer in layers:
        with suppress(NotComputable):
            values = (source.arithmetic.value(f, layer.parameters) for f in (formula, stated))
            if not source.arithmetic.same(*values):
                return True
    return False


def mended_form(
    form: Normalization, node: Node, holds: Callable[[Normalization], bool]
) -> tuple[str, Expression] | None:
    """The one formula of a normalization that can be mended, and how; None where none can."""
    factors = list(_factors(node))
    for name, stated, put in _stated(form):
        for formula in sorted(dict.fromkeys(_near(stated, factors)), key=_size):
            if holds(put(formula)):
                return name, formula
    return None


Put = Callable[[Expression], Normalization]


def _stated(form: Normalization) -> Iterator[tuple[str, Expression, Put]]:
    """The formulas of a normalization, and how others are put in their places."""
    yield "gain", form.gain, lambda formula: replace(form, gain=formula)
    yield "shift", form.shift, lambda formula: replace(form, shift=formula)
    for name, stated in form.layer.items():
        yield name, stated, partial(_with_parameter, form, name)
    for variable, stated in form.start.items():
        yield f"{variable} at first", stated, partial(_with_start, form, variable)


def _with_parameter(form: Normalization, name: str, formula: Expression) -> Normalization:
    return replace(form, layer={**form.layer, name: formula})


def _with_start(form: Normalization, variable: str, formula: Expression) -> Normalization:
    return replace(form, start={**form.start, variable: formula})


def _holds_for_all(holds: Holds, pair: Pair, layers: list[Layer]) -> bool:
    """Whether a formula is right for all layers for which both sides can be computed."""
    tried = 0
    for layer in layers:
        with suppress(NotComputable):
            if not holds(pair, layer):
                return False
            tried += 1
    return tried > len(layers) / 2


def _with(pair: Pair, formulas: Mapping[str, Expression]) -> Pair:
    node = replace(pair.chain.node, fields={**pair.chain.node.fields, **formulas})
    return replace(pair, chain=replace(pair.chain, node=node))


# --- what may be right ----------------------------------------------------------------------


def _candidates(
    stated: Binding, variant: Variant, pair: Pair, shapes: Shapes
) -> Iterator[Expression]:
    """What the steps say of a field, and what is near to what the mapping says."""
    as_read: dict[Expression, Expression]
    as_read = {formula: Name(name) for name, formula in shapes.mapping.read.items()}
    if shapes.mapping.time_step is not None:
        as_read[Name(shapes.mapping.time_step)] = Name("dt")
    factors = [Name(name) for name in sorted(filter(shapes.is_number, pair.layer.step.read))]
    for formula in (*_solved(stated.field, variant, pair), *_near(stated.formula, factors)):
        yield _replaced(formula, as_read)


def _size(formula: Expression) -> int:
    return sum(1 for _ in walk(formula))


def _replaced(formula: Expression, by: Mapping[Expression, Expression]) -> Expression:
    """The formula with parts of it replaced."""
    if formula in by:
        return by[formula]
    match formula:
        case Negative(operand):
            return Negative(_replaced(operand, by))
        case Not(operand):
            return Not(_replaced(operand, by))
        case Binary(symbol, left, right):
            return Binary(symbol, _replaced(left, by), _replaced(right, by))
        case Call(function, arguments):
            return Call(function, tuple(_replaced(argument, by) for argument in arguments))
        case Conditional(test, then, other):
            return Conditional(*(_replaced(part, by) for part in (test, then, other)))
    return formula


def _near(formula: Expression, factors: Sequence[Expression]) -> Iterator[Expression]:
    """What differs by a factor from a formula, one too many or one too few; and simple formulas."""
    one = Literal(1)
    yield from (Literal(0), one, Binary("/", one, formula), Negative(formula))
    yield Binary("-", one, formula)
    yield from _without_a_factor(formula)
    for factor in (Name("dt"), *factors):
        yield from (factor, Binary("/", one, factor), Binary("-", one, factor))
        yield Binary("*", formula, factor)
        yield Binary("/", formula, factor)
        yield Binary("/", factor, formula)
    differences = [factor for factor in factors if isinstance(factor, Binary)]
    yield from (Binary("/", a, b) for a, b in permutations(differences, 2))


def _without_a_factor(formula: Expression) -> Iterator[Expression]:
    match formula:
        case Binary("*", left, right):
            yield from (left, right)
            yield from (Binary("*", less, right) for less in _without_a_factor(left))
            yield from (Binary("*", left, less) for less in _without_a_factor(right))
        case Binary("/", left, right):
            yield left
            yield from (Binary("/", less, right) for less in _without_a_factor(left))
            yield from (Binary("/", left, less) for less in _without_a_factor(right))


def _factors(node: Node) -> Iterator[Expression]:
    """What the formulas of a normalization are made of: fields, steps of time, differences."""
    yield from (Name(name) for name in node.fields)
    seconds = [name for name, field in node.fields.items() if field.unit == "s"]
    yield from (Binary("/", Name("dt"), Name(name)) for name in seconds)
    volts = [name for name, field in node.fields.items() if field.unit == "V"]
    yield from (Binary("-", Name(a), Name(b)) for a, b in permutations(volts, 2))


def _solved(field: str, variant: Variant, pair: Pair) -> Iterator[Expression]:
    """The field from the equations that states and inputs of 0 and 1 give."""
    unknown = NODE + field
    state = tuple(pair.relation)
    for variable, sides in _equations(field, variant, pair).items():
        own, node = sides
        for values in product((0, 1), repeat=len(state) + 1):
            at = dict(zip((INPUT, *(_before(name) for name in state)), values, strict=True))
            by = {name: Literal(value) for name, value in at.items()}
            left, right = (simplified(substitute(side, by)) for side in (own, node))
            found = solve(right, unknown, left)
            if found is not None:
                told = simplified(found)
                if not names(told) & {OUTPUT, unknown, variable}:
                    yield told


def _equations(
    field: str, variant: Variant, pair: Pair
) -> dict[str, tuple[Expression, Expression]]:
    """After a step without a spike: each state variable of the node, by the layer and by itself."""
    fields = {name: formula for name, formula in pair.chain.node.fields.items() if name != field}
    start = {name: Name(_before(name)) for name in pair.relation}
    node = _composed(pair.chain.node.step, {**fields, field: Name(NODE + field), **start}, {})
    # Nothing comes back from the last output, and a linear map before passes its input on.
    own_start: dict[str, Expression] = {OUTPUT: Literal(0)}
    own_start |= _linear(pair.chain.feedback, 0) | _linear(pair.chain.before, 1)
    for name, formula in pair.relation.items():
        held = pair.held[name]
        own_start[held] = solve(formula, held, start[name]) or start[name]
    given = {n: Literal(v) for c in variant.cases for n, v in given_by(c.when).items()}
    own = _composed(pair.layer.step, {**given, **own_start}, _told(variant))
    return {
        name: (simplified(substitute(formula, own)), node[name])
        for name, formula in pair.relation.items()
        if pair.held[name] in own and name in node
    }


def _linear(systems: tuple[System, ...], gain: int) -> dict[str, Expression]:
    """The weights of linear maps: all of one gain, and without bias."""
    return {
        formula.name: Literal(0 if field == "bias" else gain)
        for system in systems
        for field, formula in system.fields.items()
        if isinstance(formula, Name)
    }


def _before(variable: str) -> str:
    return f"{variable} before"


def _composed(
    step: Step, given: Mapping[str, Expression], true: Mapping[Expression, Expression]
) -> dict[str, Expression]:
    """What a step makes of each name, where nothing fires; `true` tells what parts of it are."""
    known = dict(given)
    for line in step.lines:
        known[line.name] = simplified(substitute(_replaced(line.formula, true), known))
    return known


def _told(variant: Variant) -> dict[Expression, Expression]:
    """What guards say of None."""
    told: dict[Expression, Expression] = {}
    for case in variant.cases:
        for guard in conjuncts(case.when):
            match guard:
                case Binary("is not", left, Literal(None)):
                    told[Binary("is", left, Literal(None))] = Literal(False)
    return told


# --- algebra --------------------------------------------------------------------------------


def simplified(formula: Expression) -> Expression:
    """The same, shorter; a comparison of order is false: nothing fires."""
    match formula:
        case Negative(operand):
            return _negative(simplified(operand))
        case Not(operand):
            inner = simplified(operand)
            return Literal(not inner.value) if isinstance(inner, Literal) else Not(inner)
        case Call(function, arguments):
            return Call(function, tuple(simplified(argument) for argument in arguments))
        case Conditional(test, then, other):
            chosen = simplified(test)
            if isinstance(chosen, Literal):
                return simplified(then if chosen.value else other)
            yes, no = simplified(then), simplified(other)
            return yes if yes == no else Conditional(chosen, yes, no)
        case Binary(symbol, left, right):
            if symbol in _ORDER:
                return Literal(False)
            return _shorter(symbol, simplified(left), simplified(right))
    return formula


def _negative(operand: Expression) -> Expression:
    match operand:
        case Negative(inner):
            return inner
        case Binary("-", left, right):
            return _shorter("-", right, left)
        case Literal(int() | float() as value):
            return Literal(-value)
    return Negative(operand)


def _shorter(symbol: str, left: Expression, right: Expression) -> Expression:
    match symbol, left, right:
        case "and", Literal(value), other:
            return other if value else Literal(False)
        case "and", other, Literal(value):
            return other if value else Literal(False)
        case "or", Literal(value), other:
            return Literal(True) if value else other
        case "or", other, Literal(value):
            return Literal(True) if value else other
        case "==" | "is", Literal(a), Literal(b):
            return Literal(a == b)
        case "!=" | "is not", Literal(a), Literal(b):
            return Literal(a != b)
        case "is", Binary(), Literal(None):
            return Literal(False)
        case (("+" | "-" | "*" | "@"), Literal(a), Literal(b)) if _are_numbers(a, b):
            sign = {"+": 1, "-": -1}.get(symbol)
            return Literal(a * b if sign is None else a + sign * b)  # type: ignore[operator]
        case "+", Literal(0 | False), other:
            return other
        case "-", Literal(0 | False), other:
            return _negative(other)
        case (("+" | "-"), other, Literal(0 | False)):
            return other
        case (("*" | "@"), Literal(0 | False), _):
            return Literal(0)
        case (("*" | "@"), _, Literal(0 | False)):
            return Literal(0)
        case "/", Literal(0), _:
            return Literal(0)
        case (("*" | "@"), Literal(1), other):
            return other
        case (("*" | "@" | "/"), other, Literal(1)):
            return other
        case (("*" | "@"), Literal(-1), other):
            return _negative(other)
        case (("*" | "@" | "/"), other, Literal(-1)):
            return _negative(other)
        case "+", other, Negative(inner):
            return _shorter("-", other, inner)
        case "-", other, Negative(inner):
            return _shorter("+", other, inner)
        case "-", Binary("+", a, b), other if a == other:
            return b
        case "-", Binary("+", a, b), other if b == other:
            return a
        case "-", Binary("-", a, b), other if a == other:
            return _negative(b)
        case "-", a, Binary("-", b, c) if a == b:
            return c
        case "-", a, b if a == b:
            return Literal(0)
        case "/", a, b if a == b:
            return Literal(1)
        case "/", a, Binary("/", b, c):
            return _shorter("/", _shorter("*", a, c), b)
        case "*", a, Binary("/", Literal(1), b):
            return _shorter("/", a, b)
        case "/", Binary("*", a, b), c if a == c:
            return b
        case "/", Binary("*", a, b), c if b == c:
            return a
        case "*", Binary("/", a, b), c if b == c:
            return a
        case "/", Binary("/", a, b), c if a == c:
            return _shorter("/", Literal(1), b)
    return Binary(symbol, left, right)


def _are_numbers(*values: object) -> bool:
    return all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in values)

"""Values to try formulas on: drawn from the declared domains, the same ones every time."""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from nirgen.mapping.expressions import (
    Binary,
    Call,
    Expression,
    Literal,
    Name,
    Negative,
    conjuncts,
    evaluate,
    holds,
    walk,
)
from nirgen.mapping.model import LayerMapping, Node, Normalization, Parameter

SAMPLES = 200


@dataclass(frozen=True)
class Interval:
    """The values of a parameter for which its mapping holds."""

    low: float = -math.inf
    high: float = math.inf

    def draw(self, random: random.Random) -> float:
        """A value inside, over many orders of magnitude, and now and then a round one."""
        if self == Interval() and random.random() < 0.2:
            return random.choice((-1.0, 0.0, 1.0))
        if math.isfinite(self.low) and math.isfinite(self.high):
            return random.uniform(self.low, self.high)
        magnitude = math.exp(random.uniform(math.log(1e-3), math.log(1e3)))
        if math.isfinite(self.low):
            return self.low + magnitude
        if math.isfinite(self.high):
            return self.high - magnitude
        return random.choice((-1.0, 1.0)) * magnitude


def interval(domain: Expression) -> Interval:
    """The interval of a domain such as `0 <= c_decay < 1` or `tau > 1`."""
    low, high = -math.inf, math.inf
    for part in walk(domain):
        match part:
            case Binary("<" | "<=", Name(_), bound) | Binary(">" | ">=", bound, Name(_)):
                high = min(high, _number(bound))
            case Binary(">" | ">=", Name(_), bound) | Binary("<" | "<=", bound, Name(_)):
                low = max(low, _number(bound))
    return Interval(low, high)


def is_empty(own: Interval, domain: Expression, name: str) -> bool:
    """Whether no number is within."""
    return own.low > own.high or (own.low == own.high and not holds(domain, {name: own.low}))


def includes_low(domain: Expression) -> bool:
    """Whether the domain's lower bound belongs to it."""
    bounds = (part for part in walk(domain) if isinstance(part, Binary))
    return any(
        (bound.symbol == ">=" and isinstance(bound.left, Name))
        or (bound.symbol == "<=" and isinstance(bound.right, Name))
        for bound in bounds
    )


def is_always_within(name: str, mapping: LayerMapping) -> bool:
    """Whether a parameter is read clamped, with both bounds in its domain."""
    match mapping.read.get(name):
        case Call("clamp", (_, low, high)):
            domain = mapping.domain[name]
            return all(evaluate(domain, {name: evaluate(bound, {})}) for bound in (low, high))
    return False


def is_domain_of(domain: Expression, name: str) -> bool:
    """Whether an expression bounds `name` by numbers or excludes None, and says nothing else."""
    match domain:
        case Binary("is not", Name(left), Literal(None)):
            return left == name
        case Binary("and", left, right):
            return is_domain_of(left, name) and is_domain_of(right, name)
        case Binary("<" | "<=" | ">" | ">=", Name(left), right):
            return left == name and not math.isnan(_number(right))
        case Binary("<" | "<=" | ">" | ">=", left, Name(right)):
            return right == name and not math.isnan(_number(left))
    return False


def _number(expression: Expression) -> float:
    match expression:
        case Literal(int() | float() as value):
            return float(value)
        case Negative(Literal(int() | float() as value)):
            return -float(value)
    return math.nan


def samples(mapping: LayerMapping, signature: Mapping[str, Parameter]) -> Iterator[dict[str, Any]]:
    """Values of the layer's parameters and surroundings that the mapping doesn't reject."""
    source = random.Random(mapping.file)
    parameters = {
        name: parameter
        for name, parameter in signature.items()
        if name in mapping.parameters_read() and _can_be_drawn(parameter)
    }
    for _ in range(SAMPLES):
        values: dict[str, Any] = _surroundings(source)
        for name, parameter in parameters.items():
            if name in mapping.fix:
                values[name] = mapping.fix[name].value
            else:
                values[name] = _draw(parameter, mapping.domain.get(name), source)
        if not _rejected(mapping, values):
            yield values


def at_bounds(mapping: LayerMapping, drawn: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Some of the samples again, with a parameter at each bound of its domain, or close to it."""
    for name, domain in mapping.domain.items():
        for value in _outermost(interval(domain)):
            if holds(domain, {name: value}):
                moved = ({**values, name: value} for values in drawn[:20] if name in values)
                yield from (values for values in moved if not _rejected(mapping, values))


def _outermost(own: Interval) -> Iterator[float]:
    """The bounds of an interval, and what is a thousandth of its width inside of them."""
    finite = [bound for bound in (own.low, own.high) if math.isfinite(bound)]
    yield from finite
    if len(finite) == 2:
        yield own.low + 1e-3 * (own.high - own.low)
        yield own.high - 1e-3 * (own.high - own.low)


def node_samples(form: Normalization, node: Node) -> Iterator[dict[str, Any]]:
    """Values of a node's fields, and of dt, for which a normalization holds, as far as it tells.

    Where it demands that two fields are equal, they are.
    """
    source = random.Random(f"{form.at.file}: {form.node}")
    for _ in range(SAMPLES):
        values: dict[str, Any] = {"dt": _surroundings(source)["dt"]}
        for name, field in node.fields.items():
            domain = field.domain
            values[name] = (interval(domain) if domain is not None else Interval()).draw(source)
        for part in conjuncts(form.when):
            match part:
                case Binary("==", Name(name), other) if name in node.fields:
                    values[name] = evaluate(other, values)
        if holds(form.when, values):
            yield values


def _surroundings(source: random.Random) -> dict[str, Any]:
    shape = tuple(source.randint(1, 6) for _ in range(source.randint(1, 4)))
    return {
        "dt": math.exp(source.uniform(math.log(1e-6), math.log(1e-1))),
        "shape": shape,
        "input_type": {"input": shape},
        "rank": len(shape),
        "channels": shape[0],
        "length": shape[-1],
        "spatial_shape": shape[1:],
        "batch_axes": source.choice((1, 2)),
        "binary": source.random() < 0.5,
        "training": source.random() < 0.5,
    }


def _can_be_drawn(parameter: Parameter) -> bool:
    if parameter.kept is not None and parameter.required:
        return False  # a tensor of its own
    known = ("Literal", "float", "Tensor", "bool", "int", "str")
    return any(word in parameter.type for word in known)


def _draw(parameter: Parameter, domain: Expression | None, source: random.Random) -> Any:
    kinds = parameter.type
    optional = ("None" in kinds or "Optional" in kinds) and domain is None
    if optional and source.random() < 0.3:
        return None
    words = re.findall(r"'(\w+)'", kinds)
    if words:
        return source.choice(words)
    if "float" in kinds or "Tensor" in kinds:
        return interval(domain).draw(source) if domain is not None else Interval().draw(source)
    if kinds == "bool":
        return source.random() < 0.5
    if "tuple[int, int]" in kinds and source.random() < 0.5:
        return source.randint(0, 3), source.randint(0, 3)
    if "tuple[int]" in kinds and source.random() < 0.5:
        return (source.randint(0, 3),)
    if "str" in kinds and source.random() < 0.3:
        return "same"
    if kinds == "str":
        return parameter.default
    return source.randint(*_whole(domain))


def _whole(domain: Expression | None) -> tuple[int, int]:
    """The whole numbers to draw from: ten of them, within a domain where there is one."""
    bounds = Interval() if domain is None else interval(domain)
    if math.isfinite(bounds.low):
        first = math.floor(bounds.low) + 1
        return first, min(first + 9, max(first, math.ceil(min(bounds.high, first + 9)) - 1))
    last = math.ceil(bounds.high) - 1 if math.isfinite(bounds.high) else 5
    return last - 9, last


def _rejected(mapping: LayerMapping, values: Mapping[str, Any]) -> bool:
    return any(holds(rejection.when, values) for rejection in mapping.reject)

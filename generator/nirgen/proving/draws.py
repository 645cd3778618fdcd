"""Exact values to try formulas on: from the declared domains, their edges and what guards name.

Numbers have few digits, so that a counterexample can be checked by hand.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from nirgen.mapping.expressions import (
    Binary,
    Expression,
    Literal,
    Name,
    NotComputable,
    calls,
    conjuncts,
    names,
    show,
    walk,
)
from nirgen.mapping.inverse import given_by
from nirgen.mapping.model import Choice, LayerMapping, Node, Parameter, Variant
from nirgen.mapping.samples import interval
from nirgen.proving.arithmetic import COMPUTABLE, Arithmetic, Meaningless

ATTEMPTS = 60
TIME_STEPS = tuple(Fraction(text) for text in ("1e-4", "1e-3", "0.002", "0.01", "0.125"))


@dataclass(frozen=True)
class Layer:
    """A layer: its parameters as the mapping speaks of them, and as the live layer has them."""

    parameters: Mapping[str, Any]
    live: Mapping[str, Any]


class Source:
    """Draws values, the same ones every time."""

    def __init__(self, seed: str, arithmetic: Arithmetic) -> None:
        self.random = random.Random(seed)
        self.arithmetic = arithmetic

    def number(self, low: float = -8, high: float = 8) -> Any:
        """A number with few digits."""
        size = self.random.choice((1, 2, 4, 5, 8, 10))
        value = Fraction(self.random.randint(int(low * size), int(high * size)), size)
        return self.arithmetic.number(value)

    def time_step(self) -> Any:
        return self.arithmetic.number(self.random.choice(TIME_STEPS))

    def chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def within(self, domain: Expression | None, others: Iterable[Any] = ()) -> Any:
        """A number of a domain: an edge of it now and then, or what another parameter has."""
        known = list(others)
        if known and self.chance(0.15):
            return self.random.choice(known)
        if domain is None:
            return self._anywhere()
        bounds = interval(domain)
        low, high = (_finite(bound) for bound in (bounds.low, bounds.high))
        if low is None and high is None:
            return self._anywhere()
        if self.chance(0.2):
            edges = [edge for edge in (low, high) if edge is not None]
            return self.arithmetic.number(self.random.choice(edges))
        return self.arithmetic.number(self._inside(low, high))

    def _anywhere(self) -> Any:
        if self.chance(0.2):
            return self.arithmetic.number(Fraction(self.random.choice((-1, 0, 1))))
        return self.number()

    def _inside(self, low: Fraction | None, high: Fraction | None) -> Fraction:
        if low is not None and high is not None:
            return low + (high - low) * Fraction(self.random.randint(1, 15), 16)
        far = Fraction(self.random.randint(1, 40), self.random.choice((4, 8, 10)))
        far *= self.random.choice((1, 1, 1, 10, 100))
        if low is not None:
            return low + far
        assert high is not None
        return high - far


def _finite(bound: float) -> Fraction | None:
    return None if bound in (float("inf"), float("-inf")) else Fraction(str(bound))


# --- layers ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class Shapes:
    """What layers of a mapping may be like: what is drawn, and what must hold of it.

    Attributes:
        wanted: the names that must be given.
        tensors: those that are one weight of a linear map.
        domains: of parameters that are a node's field as they are, that field's.
        named: what guards compare parameters with.
    """

    mapping: LayerMapping
    signature: Mapping[str, Parameter]
    wanted: frozenset[str]
    tensors: frozenset[str]
    domains: Mapping[str, Expression]
    named: Mapping[str, list[Any]]

    def is_number(self, name: str) -> bool:
        """Whether a name is a parameter that numbers are drawn for."""
        parameter = self.signature.get(name)
        return parameter is not None and ("float" in parameter.type or "Tensor" in parameter.type)

    def draw(self, variant: Variant, source: Source) -> Layer | None:
        """A layer of a variant; None where chance found none."""
        forced = _forced(variant)
        if forced is None or not self._is_possible(variant, forced, source.arithmetic):
            return None
        for _ in range(ATTEMPTS):
            layer = self._attempt(forced, source)
            if layer is None:
                continue
            if self._is_mapped(layer, source.arithmetic) and all(
                holds(case.when, layer.parameters, source.arithmetic) for case in variant.cases
            ):
                return layer
        return None

    def any(self, source: Source) -> Layer | None:
        """A layer of which the mapping speaks, whatever its cases; None where chance found none."""
        layer = self._attempt({}, source)
        if layer is None or not self._is_mapped(layer, source.arithmetic):
            return None
        return layer

    def are_contradictory(self, variant: Variant, arithmetic: Arithmetic) -> bool:
        """Whether no layer is of all cases of a variant, as their guards say."""
        forced = _forced(variant)
        return forced is None or not self._is_possible(variant, forced, arithmetic)

    def _is_possible(
        self, variant: Variant, forced: Mapping[str, Any], arithmetic: Arithmetic
    ) -> bool:
        """Whether no guard is false of what other guards demand."""
        values = {name: arithmetic.number(value) for name, value in forced.items()}
        guards = [guard for case in variant.cases for guard in conjuncts(case.when)]
        told = [guard for guard in guards if names(guard) and names(guard) <= set(values)]
        return all(holds(guard, values, arithmetic) for guard in told)

    def _attempt(self, forced: Mapping[str, Any], source: Source) -> Layer | None:
        live = _surroundings(source)
        readable = {n: f for n, f in self.mapping.read.items() if _is_computable(f, source)}
        own = {name for formula in readable.values() for name in names(formula)}
        for name in sorted((self.wanted | own) - set(live)):
            if name in readable and name not in own:
                continue
            live[name] = self._draw(name, forced, live, source)
            if name in readable and name in forced and source.chance(0.5):
                live[name] = live[name] + source.number(-1, 1)  # which the layer reads as another
        parameters = dict(live)
        try:
            for name, formula in readable.items():
                parameters[name] = source.arithmetic.value(formula, live)
        except Meaningless:
            raise
        except NotComputable:  # no layer has such attributes
            return None
        return Layer(parameters, live)

    def _draw(
        self, name: str, forced: Mapping[str, Any], known: Mapping[str, Any], source: Source
    ) -> Any:
        number = source.arithmetic.number
        if name in self.mapping.fix:
            return number(self.mapping.fix[name].value)
        if name == self.mapping.time_step or self.mapping.derive.get(name) == Name("dt"):
            return known["dt"]
        if name in forced:
            return number(forced[name])
        parameter = self.signature.get(name)
        if parameter is None or name in self.tensors or (parameter.kept and parameter.required):
            return source.number()  # one weight of a linear map, or an attribute of the layer
        if name in self.mapping.read and self.is_number(name) and source.chance(0.3):
            return source.number()  # outside of the domain, into which the layer moves it
        others = [v for n, v in known.items() if n in self.signature and not _is_word(v)]
        domain = self.mapping.domain.get(name, self.domains.get(name))
        named = [value for value in self.named.get(name, ()) if source.chance(0.3)]
        if named and not _is_word(named[0]):
            return number(named[0])
        return _of_type(parameter, domain, others, source)

    def _is_mapped(self, layer: Layer, arithmetic: Arithmetic) -> bool:
        """Whether the mapping's formulas hold of a layer, and it is not rejected."""
        values = layer.parameters
        domains = [(n, d) for n, d in self.mapping.domain.items() if n in values]
        if not all(holds(domain, values, arithmetic) for _, domain in domains):
            return False
        return not any(holds(r.when, values, arithmetic) for r in self.mapping.reject)


def _forced(variant: Variant) -> dict[str, Any] | None:
    """What the guards of a variant's cases demand; None where two demand different things."""
    forced: dict[str, Any] = {}
    for case in variant.cases:
        for name, value in given_by(case.when).items():
            if forced.setdefault(name, value) != value:
                return None
    return forced


def named(mapping: LayerMapping) -> dict[str, list[Any]]:
    """What formulas compare parameters with, by parameter."""
    found: dict[str, list[Any]] = {}
    for part in (part for formula in mapping.formulas() for part in walk(formula)):
        match part:
            case Binary(_, Name(name), Literal(value)):
                found.setdefault(name, []).append(value)
    return found


def wanted(mapping: LayerMapping, read: Iterable[str]) -> frozenset[str]:
    """The names that a layer must give: what is computed with, and what guards speak of."""
    guards = [case.when for choice in mapping.choices for case in choice.cases]
    guards += [*(rejection.when for rejection in mapping.reject), *mapping.domain.values()]
    spoken_of = {name for guard in guards for name in names(guard)}
    return frozenset(read) | spoken_of


def _is_computable(formula: Expression, source: Source) -> bool:
    try:
        source.arithmetic.compiled(formula)
    except NotComputable:
        return False
    return True


def _surroundings(source: Source) -> dict[str, Any]:
    return {
        "dt": source.time_step(),
        "rank": source.random.randint(1, 3),
        "batch_axes": source.random.choice((1, 2)),
        "binary": source.chance(0.5),
        "training": source.chance(0.5),
    }


def _is_word(value: Any) -> bool:
    return value is None or isinstance(value, (bool, str))


def _of_type(
    parameter: Parameter, domain: Expression | None, others: list[Any], source: Source
) -> Any:
    kinds = parameter.type
    if ("None" in kinds or "Optional" in kinds) and domain is None and source.chance(0.3):
        return None
    words = re.findall(r"'(\w+)'", kinds)
    if words:
        return source.random.choice(words)
    if "float" in kinds or "Tensor" in kinds:
        return source.within(domain, others)
    if kinds == "bool":
        return source.chance(0.5)
    if "int" in kinds:
        return source.arithmetic.number(source.random.randint(1, 9))
    return source.arithmetic.number(parameter.default)


def is_true(guard: Expression, layer: Layer, arithmetic: Arithmetic) -> bool:
    """Whether a guard is true of a layer; what only the runtime can tell is not.

    Raises:
        Meaningless: it is no condition.
    """
    try:
        value = arithmetic.value(guard, layer.parameters)
    except Meaningless:
        if names(guard) <= set(layer.parameters):
            raise
        return False
    except NotComputable:
        return False
    if not isinstance(value, bool):
        raise Meaningless(f"`{show(guard)}` is no condition")
    return value


def can_tell(choice: Choice, layer: Layer) -> bool:
    """Whether all guards of a choice are of what was drawn."""
    known = set(layer.parameters)
    return all(
        names(case.when) <= known and not calls(case.when) - COMPUTABLE for case in choice.cases
    )


def holds(guard: Expression, values: Mapping[str, Any], arithmetic: Arithmetic) -> bool:
    """Whether a guard is true; what only the runtime can tell is not."""
    try:
        return bool(arithmetic.value(guard, values))
    except NotComputable:
        return False


# --- nodes ----------------------------------------------------------------------------------


def node(kind: Node, when: Expression, source: Source) -> dict[str, Any] | None:
    """A node's fields of which a guard holds, and `dt`; None where chance found none."""
    equal = [
        (part.left.name, part.right.name)
        for part in conjuncts(when)
        if isinstance(part, Binary)
        and part.symbol == "=="
        and isinstance(part.left, Name)
        and isinstance(part.right, Name)
    ]
    for _ in range(ATTEMPTS):
        values: dict[str, Any] = {"dt": source.time_step()}
        for name, field in kind.fields.items():
            known = [value for other, value in values.items() if other != "dt"]
            values[name] = source.within(field.domain, known)
            if field.unit == "s" and source.chance(0.8):
                values[name] = values["dt"] * (1 + abs(source.number()))  # a time constant of steps
        for left, right in equal:
            values[left] = values[right]
        if holds(when, values, source.arithmetic) and are_within(kind, values, source.arithmetic):
            return values
    return None


def are_within(kind: Node, values: Mapping[str, Any], arithmetic: Arithmetic) -> bool:
    """Whether a node's fields are what `nir.yaml` allows."""
    domains = [field.domain for field in kind.fields.values() if field.domain is not None]
    return all(holds(domain, values, arithmetic) for domain in domains)

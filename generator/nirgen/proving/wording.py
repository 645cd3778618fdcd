"""Counterexamples in words, as a person would check them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any

from nirgen.mapping.expressions import Expression, Literal, names, show
from nirgen.mapping.model import LayerMapping, Normalization, Variant
from nirgen.mapping.problems import Location
from nirgen.mapping.steps import OUTPUT
from nirgen.proving.repair import Mended
from nirgen.proving.trajectories import Counterexample

Told = tuple[Location, str, str]


def refusal(
    mapping: LayerMapping,
    variant: Variant,
    failure: Counterexample,
    mended: Mended,
) -> Told:
    """A variant whose layer and node differ: where, what, and what would be right."""
    layer, node = mapping.layers[0], variant.node
    reset = variant.metadata.get("reset")
    node = f"{node} with reset {reset!r}" if reset is not None else node
    what = f"{layer} does not compute the {node} that it becomes"
    told = failure.told(name for binding in variant.bind for name in names(binding.formula))
    lines = list(_example(layer, node, failure, told))
    places = mapping.places
    at = places.get("bind", places.get("cases", places.get("step", mapping.at)))
    if mended:
        at = mended[0][0].at
        right = " and ".join(f"`{stated.field}: {show(formula)}`" for stated, formula in mended)
        lines.append(f"{right} would be right")
    return at, what, "\n    ".join(lines)


def refused_form(
    mapping: LayerMapping,
    form: Normalization,
    failure: Counterexample,
    mended: tuple[str, Expression] | None,
) -> Told:
    """A normalization whose layer is not the node."""
    layer = mapping.layers[0]
    what = f"{layer} behind `gain * x + shift` does not compute the {form.node} of `normalize`"
    lines = list(_example(layer, form.node, failure, failure.told(())))
    if mended is not None:
        lines.append(f"`{mended[0]}: {show(mended[1])}` would be right")
    return form.at, what, "\n    ".join(lines)


def _example(layer: str, node: str, failure: Counterexample, told: Iterable[str]) -> Iterable[str]:
    own, nodes = failure.before
    yield f"{layer}: {values(failure.layer, told)}"
    yield f"{node}: {values(failure.fields, set(failure.fields) - {'dt'})}"
    before = f"before the step: {_both(own, nodes)}; " if own or nodes else ""
    yield f"{before}input x = {number(failure.x)}"
    first, second = (_spiking(results) for results in failure.results)
    yield f"the layer then gives {values(first, first)}"
    yield f"the node then gives  {values(second, second)}"


def _spiking(results: Mapping[str, Any]) -> dict[str, Any]:
    """Results in which a spike is 1."""
    return {n: Fraction(v) if isinstance(v, bool) else v for n, v in results.items()}


def _both(layer: Mapping[str, Any], node: Mapping[str, Any]) -> str:
    layer = _spiking(layer)
    told = values(layer, layer)
    same = layer.keys() == node.keys() and all(layer[n] == node[n] for n in layer)
    return told if same else f"{told} in the layer, {values(node, node)} in the node"


def values(held: Mapping[str, Any], wanted: Iterable[str]) -> str:
    """`tau = 2.5, v_reset = None`; the output comes first."""
    order = sorted(set(wanted) & set(held), key=lambda name: (name != OUTPUT, name))
    return ", ".join(f"{name} = {number(held[name])}" for name in order)


def given(formula: Expression, value: Any) -> str:
    """A formula and its value: `2 * v_reset = 7`."""
    return number(value) if isinstance(formula, Literal) else f"{show(formula)} = {number(value)}"


def number(value: Any) -> str:
    """A number in a few digits; `~` before one that has more."""
    if value is None or isinstance(value, (bool, str)):
        return repr(value)
    if isinstance(value, (Fraction, Decimal)):
        text = f"{float(value):.6g}"
        exact = text not in ("inf", "-inf") and Fraction(text) == Fraction(value)
        return text if exact else f"~{text}"
    return str(value)

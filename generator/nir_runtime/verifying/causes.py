"""Why two networks differ, where that can be seen."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from nir_runtime.arrays import distinct
from nir_runtime.contract.primitives import PRIMITIVES, Elementwise
from nir_runtime.reports.shown import show
from nir_runtime.verifying.comparing import Index, Place
from nir_runtime.verifying.sides import Side

CLOSE = 1e-5
"""How near a potential must be to its threshold, as a part of it, for rounding to be the reason."""

SAME = 1e-6
"""Up to what relative difference parameters are the same; they may come from single precision."""


def at_threshold(sides: tuple[Side, Side], name: str, place: Place, silent: float | None) -> str:
    """Why one side's neuron fired and the other's didn't, if its potential was at the threshold.

    Args:
        sides: the networks.
        name: the node.
        place: where its spikes differ.
        silent: the membrane potential of the side that didn't fire; None if it can't be seen.
    """
    fired = sides[0 if place.values[0] > place.values[1] else 1]
    quiet = sides[1 if fired is sides[0] else 0]
    threshold = _at(getattr(quiet.flat.nodes[name], "v_threshold", None), place.neuron)
    if silent is None or threshold is None:
        return ""
    if silent == threshold and fired.target.fires == ">=":
        return (
            f"a tie: v is exactly v_threshold = {threshold:g}, where {fired.target.name} fires and "
            f'{quiet.target.name} doesn\'t; ties="exact" in an export makes them fire alike'
        )
    if math.isclose(silent, threshold, rel_tol=CLOSE):
        return (
            f"rounding: v is {abs(silent - threshold):.2g} away from v_threshold = {threshold:g}, "
            "and sums were taken in another order"
        )
    return ""


def parameters(sides: tuple[Side, Side], name: str) -> str:
    """What the two sides' nodes of a name differ in."""
    a, b = (side.flat.nodes[name] for side in sides)
    if type(a) is not type(b):
        return f"it is {_a(type(a).__name__)} in the first and {_a(type(b).__name__)} in the second"
    return "; ".join([*_fields(a, b), *_resets(a, b)])


def _fields(a: Any, b: Any) -> Iterator[str]:
    for field in _names(a):
        left, right = getattr(a, field, None), getattr(b, field, None)
        if not _alike(left, right):
            yield f"{field} is {_shown(left)} in the first and {_shown(right)} in the second"


def _names(node: Any) -> tuple[str, ...]:
    primitive = PRIMITIVES[type(node)]
    if isinstance(primitive, Elementwise):
        return primitive.fields
    return tuple(
        name for name in vars(node) if name not in ("metadata", "input_type", "output_type")
    )


def _alike(a: Any, b: Any) -> bool:
    try:
        left, right = (np.asarray(distinct(v), dtype=np.float64) for v in (a, b))
    except (TypeError, ValueError):
        return bool(np.all(a == b))
    if left.shape != right.shape:
        left, right = (np.asarray(v, dtype=np.float64) for v in (a, b))
    return left.shape == right.shape and bool(np.allclose(left, right, rtol=SAME, atol=0))


def _shown(value: Any) -> str:
    array = np.asarray(value)
    text = show(value)
    return f"{text} (shape {array.shape})" if array.ndim > 1 else text


def _resets(a: Any, b: Any) -> Iterator[str]:
    ways = [str(node.metadata.get("reset", "set")) for node in (a, b)]
    if ways[0] != ways[1]:
        told = (_RESETS.get(way, f"as its metadata says, {way!r},") for way in ways)
        yield "the first resets {}, the second {}".format(*told)


_RESETS = {
    "set": "to v_reset",
    "subtract": "by subtraction",
    "subtract_next": "by subtraction in the step after",
    "subtract_carried": "by subtraction that is carried into the next step",
}
"""What the metadata may say of a reset, in words."""


def _at(values: Any, neuron: Index) -> float | None:
    if values is None:
        return None
    array = np.asarray(values, dtype=np.float64)
    return float(array.ravel()[0]) if array.size == 1 else float(array[neuron])


def _a(kind: str) -> str:
    return f"an {kind}" if kind[0] in "AIL" and kind not in ("Linear",) else f"a {kind}"

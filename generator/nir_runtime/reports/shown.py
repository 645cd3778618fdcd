"""Formulas with the numbers that they gave, as people read them. Known without torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from nir_runtime.arrays import distinct
from nir_runtime.reports.report import Formula

UNKNOWN = object()
"""The value of a formula whose number is not at hand."""

_CONSTANTS = ("True", "False", "None")


def shown(name: str, text: str, value: Any) -> Iterator[Formula]:
    """A formula with its number; nothing, if that would say that a thing is itself."""
    text = text.replace("node.", "")
    number = "" if value is UNKNOWN or text in _CONSTANTS else show(value)
    if number or text != name:
        yield Formula(name, text, "" if number == text else number)


def show(value: Any) -> str:
    """A value in short: one number where all are equal, a range where they are not."""
    if value is None or isinstance(value, (bool, str)):
        return repr(value)
    if isinstance(value, Mapping):  # a node's input type
        return ", ".join(show(tuple(shape)) for shape in value.values())
    if isinstance(value, (tuple, list)):
        return show(value[0]) if len(value) == 1 else f"({', '.join(map(show, value))})"
    array = distinct(value)
    if not array.size or array.dtype.kind not in "fiu":
        return str(value)
    low, high = float(array.min()), float(array.max())
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"

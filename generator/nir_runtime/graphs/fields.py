"""The fields of a node: arrays, told by their range, and settings."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np

from nir_runtime.arrays import Array, distinct, slabs
from nir_runtime.reports.shown import show

DERIVED = frozenset({"input_type", "output_type", "metadata"})
NEUTRAL = {"stride": 1, "padding": 0, "dilation": 1, "groups": 1}
"""Settings that change nothing."""

FOLLOWS = "input_shape"
"""The setting that says what the node's shape says already."""


@dataclass(frozen=True)
class Range:
    """The numbers of an array.

    Attributes:
        shape, dtype: of it.
        low, high, mean, deviation: of its elements; NaN where one is NaN.
    """

    shape: tuple[int, ...]
    dtype: str
    low: float
    high: float
    mean: float
    deviation: float


@dataclass(frozen=True)
class Field:
    """A field of a node.

    Attributes:
        name: of it.
        value: a setting: a number, some, or a word; None for an array, and for what is missing.
        range: of an array; None for a setting.
    """

    name: str
    value: Any = None
    range: Range | None = None

    @property
    def is_neutral(self) -> bool:
        """Whether it is a setting that changes nothing, or is said elsewhere."""
        if self.range is not None or self.name not in NEUTRAL:
            return self.name == FOLLOWS
        values = self.value if isinstance(self.value, tuple) else (self.value,)
        return all(value == NEUTRAL[self.name] for value in values)

    @property
    def shown(self) -> str:
        """The value, or the range, as people read it."""
        if self.range is None:
            return "missing" if self.value is None else show(self.value)
        low, high = self.range.low, self.range.high
        return f"{low:g}" if low == high else f"{low:g} to {high:g}"

    @property
    def stored(self) -> tuple[str, str]:
        """Shape and type of an array."""
        return (str(self.range.shape), self.range.dtype) if self.range else ("", "")

    @property
    def spread(self) -> str:
        """Mean and deviation of an array whose numbers differ."""
        if self.range is None or self.range.low == self.range.high:
            return ""
        return f"{self.range.mean:.3g}, {self.range.deviation:.3g}"

    def __str__(self) -> str:
        shape = f" {self.stored[0]}" if self.name == "weight" else ""
        return f"{self.name}{shape} {self.shown}"

    def to_dict(self) -> Any:
        """The same in JSON's own types."""
        if self.range is None:
            return list(self.value) if isinstance(self.value, tuple) else self.value
        numbers = {n: getattr(self.range, n) for n in ("low", "high", "mean", "deviation")}
        finite = {n: value if math.isfinite(value) else str(value) for n, value in numbers.items()}
        return {"shape": self.range.shape, "dtype": self.range.dtype, **finite}


def names_of_fields(kind: type[nir.NIRNode]) -> tuple[str, ...]:
    """What a kind of node has besides its types and metadata."""
    return tuple(f.name for f in dataclasses.fields(kind) if f.name not in DERIVED)


def fields(node: nir.NIRNode) -> Iterator[Field]:
    """A node's fields, in the order of its class, and those that nir doesn't know."""
    for name in names_of_fields(type(node)):
        yield _field(name, getattr(node, name, None))
    for name, value in getattr(node, "unknown_fields", {}).items():
        yield _field(name, value)


def _field(name: str, value: Any) -> Field:
    if isinstance(value, (float, np.ndarray, np.generic)):
        array = np.asarray(value)
        if array.size and array.dtype.kind in "fiu":
            return Field(name, range=_range(array))
        return Field(name, str(value))
    if isinstance(value, (int, str, tuple, type(None))):
        return Field(name, value)
    return Field(name, str(value))


def _range(array: Array) -> Range:
    few = distinct(array)
    low, high = float(few.min()), float(few.max())
    mean, deviation = (low, 0.0) if low == high else _mean_and_deviation(few)
    return Range(array.shape, array.dtype.name, low, high, mean, deviation)


def _mean_and_deviation(array: Array) -> tuple[float, float]:
    """Of an array that may be as large as the memory: little of it is copied at a time."""
    with np.errstate(all="ignore"):
        mean = float(array.mean(dtype=np.float64))
        parts = (np.square(part - mean, dtype=np.float64) for part in slabs(array, _AT_ONCE))
        return mean, math.sqrt(sum(float(part.sum()) for part in parts) / array.size)


_AT_ONCE = 1 << 22
"""Bytes of an array that are copied at a time."""

"""Arrays without copies of them: what they repeat, and their parts."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]


class Unshared(np.ndarray):
    """An array that nobody else has: a tensor may take its memory over instead of copying it."""


def distinct(array: Any) -> Array:
    """An array without the repetitions that a broadcast made: a view with the same values."""
    values: Array = np.asarray(array)
    if 0 not in values.strides:
        return values
    return values[tuple(slice(1) if stride == 0 else slice(None) for stride in values.strides)]


def constant(array: Array) -> Any:
    """The one number that all elements are, bit by bit; None if they differ, or there are none.

    Reads an array up to the first element that differs, and of a broadcast one each element once.
    """
    values = distinct(array)
    if values.size == 0 or values.dtype.kind not in "fiu":
        return None
    first = values[(slice(1),) * values.ndim]
    repeated = first.tobytes()  # NaN is not equal to itself, and 0.0 is to -0.0
    parts = slabs(values, _COMPARED_AT_ONCE)
    if all(part.tobytes() == repeated * part.size for part in parts):
        return first.ravel()[0]
    return None


def is_mapped(array: Array) -> bool:
    """Whether an array is a view of a file, whose numbers come into memory when they are used."""
    base: Any = array
    while isinstance(base, np.ndarray):
        base = base.base
    return isinstance(base, mmap.mmap)


def slabs(array: Array, size: int) -> Iterator[Array]:
    """Parts of an array, in the order of its elements: views of at most `size` bytes."""
    if array.nbytes <= size or array.ndim == 0:
        yield array
        return
    rows = size * len(array) // array.nbytes
    for start in range(0, len(array), rows or 1):
        if rows:
            yield array[start : start + rows]
        else:
            yield from slabs(array[start], size)


_COMPARED_AT_ONCE = 1 << 16
"""Bytes that are compared before it is looked whether they were all equal."""

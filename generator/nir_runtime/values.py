"""A node's numbers: one for all neurons or several, and in which precision."""

from __future__ import annotations

import functools
import math
from typing import Any

import nir
import numpy as np
import numpy.typing as npt

from nir_runtime.arrays import distinct


def uniform(array: Any) -> float | None:
    """The one value of an array whose elements are all equal; None if they are not."""
    values = distinct(array)
    first = values.flat[0]
    if values.size == 1:
        return float(first)
    return float(first) if bool((values == first).all()) else None


def compact(values: npt.ArrayLike) -> Any:
    """One number where all are equal, else the array."""
    array = np.asarray(values)
    return array if uniform(array) is None else float(array.flat[0])


def fits(array: npt.NDArray[Any], shape: tuple[int, ...]) -> bool:
    """Whether an array has one element, or broadcasts to `shape` without enlarging it."""
    try:
        return array.size == 1 or np.broadcast_shapes(array.shape, shape) == shape
    except ValueError:
        return False


def says(node: nir.NIRNode, /, **metadata: Any) -> bool:
    """Whether a node's metadata says exactly this."""
    held = node.metadata
    return all(key in held and np.array_equal(held[key], value) for key, value in metadata.items())


def resolution(node: nir.NIRNode) -> float:
    """The relative precision in which a node's numbers were computed.

    That is the finest in which one of its fields is stored, but at least single precision: half
    precision is for storing, and what is stored in it is what is meant.
    """
    arrays = [value for value in vars(node).values() if isinstance(value, np.ndarray)]
    kinds = {array.dtype for array in arrays if array.dtype.kind == "f"} or {np.dtype(np.float64)}
    return min(_epsilon(kind) for kind in (*kinds, np.dtype(np.float32)))


@functools.cache
def _epsilon(kind: np.dtype[Any]) -> float:
    return float(np.finfo(kind).eps)


def agree(a: npt.ArrayLike, b: npt.ArrayLike, resolution: float) -> bool:
    """Whether all of `a` and `b` are equal up to a few units of the relative `resolution`."""
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=8 * resolution, abs_tol=0.0)
    return bool(np.all(np.isclose(distinct(a), distinct(b), rtol=8 * resolution, atol=0.0)))

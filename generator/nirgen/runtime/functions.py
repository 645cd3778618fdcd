"""The functions of the mapping language, as generated converters call them.

`nirgen.mapping.functions` declares each with its inverse; a test holds the two lists together.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt
import torch


def sigmoid(value: torch.Tensor | float) -> float:
    """1 / (1 + exp(-x)), in the precision in which the layer itself computes it."""
    return float(torch.as_tensor(value).sigmoid())


def logit(value: float) -> float:
    """The inverse of `sigmoid`: log(p / (1 - p))."""
    return math.log(value / (1.0 - value))


def exp(value: float) -> float:
    """e to the power of `value`."""
    return math.exp(value)


def log(value: float) -> float:
    """The natural logarithm."""
    return math.log(value)


def pair(size: Any) -> tuple[int, int]:
    """(height, width) of one number or of a sequence of two."""
    first, second = (size, size) if np.ndim(size) == 0 else size
    return int(first), int(second)


def single(size: Any) -> int:
    """The one size of a number or of a sequence of one."""
    return int(size if np.ndim(size) == 0 else size[0])


def pair_or_word(padding: Any) -> tuple[int, int] | str:
    """`pair`, or a word such as `same` as it is."""
    return padding if isinstance(padding, str) else pair(padding)


def single_or_word(padding: Any) -> int | str:
    """`single`, or a word such as `same` as it is."""
    return padding if isinstance(padding, str) else single(padding)


def any_nonzero(size: Any) -> bool:
    """Whether a number, or one of a pair, is other than zero."""
    return bool(np.any(size))


def size(array: npt.NDArray[Any], axis: int) -> int:
    """The size of an array along an axis."""
    return int(array.shape[axis])


def sizes_from(array: npt.NDArray[Any], axis: int) -> tuple[int, ...]:
    """The sizes of an array from an axis on."""
    return tuple(array.shape[axis:])


def zeros(count: int) -> npt.NDArray[np.float32]:
    """An array of `count` zeros."""
    return np.zeros(count, dtype=np.float32)


def spiking(surrogate_function: object) -> bool:
    """Whether a surrogate function passes spikes on, and not its primitive.

    Functions without a switch pass spikes.
    """
    return bool(getattr(surrogate_function, "spiking", True))

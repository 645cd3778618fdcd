"""The functions of the mapping language, as generated converters call them.

`nirgen.mapping.functions` declares each with its inverse; a test holds the two lists together.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nir_runtime import numbers, surrogates
from nir_runtime.contract.dynamics import spike


def sigmoid(value: Any) -> Any:
    """1 / (1 + exp(-x)); of a tensor, in the precision in which the layer itself computes it."""
    held = value if isinstance(value, torch.Tensor) else torch.tensor(value, dtype=torch.float64)
    of_each = held.detach().sigmoid()
    return float(of_each) if of_each.numel() == 1 else numbers.as_array(of_each)


def logit(value: Any) -> Any:
    """The inverse of `sigmoid`: log(p / (1 - p)); infinite at 0 and 1, and nan outside."""
    with np.errstate(divide="ignore"):
        odds = np.divide(_plain(value), 1.0 - _plain(value))
    return log(odds if np.ndim(odds) else float(odds))


def sqrt(value: Any) -> Any:
    """The square root; nan below 0."""
    return _each(math.sqrt, np.sqrt, value)


def float32(value: Any) -> Any:
    """A number, or each element of an array, in single precision."""
    return np.float64(np.float32(_plain(value)))


def exp(value: Any) -> Any:
    """e to the power of `value`; infinite where that is too large for a number."""
    return _each(math.exp, np.exp, value)


def log(value: Any) -> Any:
    """The natural logarithm; -inf of 0, and nan below, which no domain holds."""
    return _each(math.log, np.log, value)


def _each(of_number: Callable[[float], float], of_array: Callable[[Any], Any], value: Any) -> Any:
    """A function of a number, as Python has it, or of each element of an array or tensor."""
    plain = _plain(value)
    if np.ndim(plain) == 0:
        with contextlib.suppress(ArithmeticError, ValueError):
            return of_number(float(plain))
    with np.errstate(all="ignore"):  # inf and nan are values, which bounds refuse
        found = of_array(np.asarray(plain, dtype=np.float64))
    return found if np.ndim(found) else float(found)


def _plain(value: Any) -> Any:
    return numbers.as_array(value) if isinstance(value, torch.Tensor) else value


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


def half(size: Any) -> tuple[int, int]:
    """Half of (height, width), rounded down."""
    high, wide = pair(size)
    return high // 2, wide // 2


def clamp(value: Any, low: float, high: float) -> Any:
    """A number, or the elements of a tensor or array, moved into low <= x <= high."""
    if isinstance(value, torch.Tensor):
        return value.clamp(low, high)
    return np.clip(value, low, high) if np.ndim(value) else min(max(value, low), high)


def every(condition: Any) -> bool:
    """Whether a condition holds for all neurons."""
    return bool(np.all(condition))


def any_nonzero(size: Any) -> bool:
    """Whether a number, or one of several, is other than zero."""
    return bool(np.any(_plain(size)))


def size(array: npt.NDArray[Any], axis: int) -> int:
    """The size of an array along an axis."""
    return int(array.shape[axis])


def sizes_from(array: npt.NDArray[Any], axis: int) -> tuple[int, ...]:
    """The sizes of an array from an axis on."""
    return tuple(array.shape[axis:])


def zeros(count: int) -> npt.NDArray[np.float32]:
    """An array of `count` zeros."""
    return np.zeros(count, dtype=np.float32)


def features(input_type: Any) -> tuple[int, ...]:
    """The shape in a node's `input_type`, {"input": shape}."""
    return tuple(int(size) for size in input_type["input"])


def diagonal(vector: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """[n] -> [n, n], zero off the diagonal."""
    return np.diag(vector)


def depthwise(gain: npt.NDArray[Any], axes: int) -> npt.NDArray[Any]:
    """[channels] -> [channels, 1, 1...]: a kernel of size one over so many axes."""
    return gain.reshape(-1, 1, *(1,) * axes)


def turned(weight: npt.NDArray[Any], groups: int) -> npt.NDArray[Any]:
    """[in, out / groups, *k] -> [out, in / groups, *k], mirrored along the axes of the kernel.

    The weight of a transposed convolution as that of the convolution that it is at stride 1.
    """
    into, out, *kernel = weight.shape
    grouped = weight.reshape(groups, into // groups, out, *kernel).swapaxes(1, 2)
    convolving = grouped.reshape(groups * out, into // groups, *kernel)
    return np.flip(convolving, axis=tuple(range(2, convolving.ndim)))


def remaining_padding(kernel_size: Any, padding: Any, dilation: Any) -> tuple[int, ...]:
    """The padding of that convolution: dilation * (kernel_size - 1) - padding along each axis."""
    sizes = zip(kernel_size, padding, dilation, strict=True)
    return tuple(d * (k - 1) - p for k, p, d in sizes)


def least(sizes: tuple[int, ...]) -> int:
    """The smallest of some numbers."""
    return min(sizes)


def mean_kernel(channels: int, length: Any) -> npt.NDArray[np.float64]:
    """[channels, 1, length]: the kernel of a mean over a window of each channel."""
    window = single(length)
    return np.full((channels, 1, window), 1 / window)


def mean_of_groups(count: int, group: int) -> npt.NDArray[np.float64]:
    """[count / group, count]: the matrix that means each `group` consecutive elements."""
    return np.kron(np.eye(count // group), np.full((1, group), 1 / group))


def divides(output_size: Any, spatial_shape: tuple[int, ...]) -> bool:
    """Whether windows of one size, side by side, give an adaptive pooling's output."""
    return all(size % wanted == 0 for size, wanted in _outputs(output_size, spatial_shape))


def window(output_size: Any, spatial_shape: tuple[int, ...]) -> tuple[int, ...]:
    """The size along each axis of the windows of an adaptive pooling that `divides`."""
    return tuple(size // wanted for size, wanted in _outputs(output_size, spatial_shape))


def standardized(weight: npt.NDArray[Any], gain: npt.NDArray[Any], eps: float) -> npt.NDArray[Any]:
    """[out, *] to the same: (weight - mean) / sqrt(variance * n + eps) * gain.

    Mean and (unbiased) variance are of the n weights of each output.
    """
    axes, count = tuple(range(1, weight.ndim)), math.prod(weight.shape[1:])
    centred = weight - weight.mean(axis=axes, keepdims=True)
    spread = np.sqrt(weight.var(axis=axes, ddof=1, keepdims=True) * count + eps)
    standard: npt.NDArray[Any] = centred / spread * gain
    return standard


def _outputs(output_size: Any, spatial_shape: tuple[int, ...]) -> list[tuple[int, int]]:
    """(input, output) for each axis; an output of None is the input's own size."""
    several = isinstance(output_size, (tuple, list))
    wanted = output_size if several else (output_size,) * len(spatial_shape)
    pairs = zip(spatial_shape, wanted, strict=True)
    return [(size, size if out is None else int(out)) for size, out in pairs]


def reset_of(state_function: Any, value: Any) -> str:
    """The reset that a layer of snnTorch runs with, by its state function and its number.

    Raises:
        ValueError: they differ: the layer's `reset_mechanism` was set after it was made, which
            changes one of them only.
    """
    words = {"_base_sub": "subtract", "_base_zero": "zero", "_base_int": "none"}
    word = words.get(state_function.__name__, "a function of its own")
    if word != ("subtract", "zero", "none")[int(value)]:
        raise ValueError(
            f"its reset_mechanism was changed after it was made with {word!r}, and only in part; "
            "make the layer anew"
        )
    return word


def is_step(surrogate: Any) -> bool:
    """Whether a surrogate function gives 1 above 0 and 0 elsewhere, as far as trying it tells."""
    return surrogates.is_step(surrogate, at_zero=False, keeps_precision=False)


def is_heaviside(surrogate: Any) -> bool:
    """Whether it gives 1 at 0 and above, and 0 below, in the precision that it is given."""
    return surrogates.is_step(surrogate, at_zero=True, keeps_precision=True)


def step_in(dtype: torch.dtype) -> Any:
    """A surrogate step function that keeps a precision; None, a framework's own, for float32.

    1 above 0 and 0 elsewhere; backward as arctan(pi x) / pi.
    """
    if dtype == torch.float32:
        return None
    return functools.partial(spike, threshold=torch.zeros(()))


def spiking(surrogate_function: object) -> bool:
    """Whether a surrogate function passes spikes on, and not its primitive.

    Functions without a switch pass spikes.
    """
    return bool(getattr(surrogate_function, "spiking", True))

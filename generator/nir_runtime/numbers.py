"""Numbers on their way between Python, tensors and the arrays of a node."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from nir_runtime.arrays import Unshared
from nir_runtime.values import uniform

Equation = tuple[Callable[[Any], Any], Any]
"""A function of one unknown, and the value it must have."""


def as_number(value: object) -> float | None:
    """A float of a number or of a tensor or array with one element; None of anything else."""
    if isinstance(value, bool):
        return None
    if isinstance(value, (int, float, np.integer, np.floating)):
        return float(value)
    if isinstance(value, (torch.Tensor, np.ndarray)) and math.prod(value.shape) == 1:
        return float(value.item())
    return None


def as_values(value: object) -> npt.NDArray[np.float64] | None:
    """Numbers in double precision; None of anything else."""
    if isinstance(value, torch.Tensor):
        value = as_array(value)
    if isinstance(value, (int, float, np.ndarray)) and not isinstance(value, bool):
        return np.asarray(value, dtype=np.float64)
    return None


def describe(value: object) -> str:
    """A value as a message names it: short, whatever it is."""
    if isinstance(value, (torch.Tensor, np.ndarray)):
        if math.prod(value.shape) == 1:
            return repr(value.item())
        return f"an array of shape {tuple(value.shape)}"
    return repr(value)


def shown(value: npt.ArrayLike) -> str:
    """Numbers as a message tells them: the one, or that there are several."""
    array = np.asarray(value)
    return f"{float(array.flat[0]):g}" if uniform(array) is not None else "one for each neuron"


def as_array(tensor: torch.Tensor) -> npt.NDArray[Any]:
    """A tensor's values; a view of its memory where NumPy can have one."""
    if tensor.dtype == torch.bfloat16:  # which NumPy lacks; single precision holds all its numbers
        tensor = tensor.float()
    array: npt.NDArray[Any] = tensor.detach().cpu().numpy()
    return array


def as_tensor(
    array: Any, dtype: torch.dtype | None, device: torch.device | str | None
) -> torch.Tensor:
    """A tensor of an array's values, never through a third precision.

    Its memory is its own: the array's, where that is unshared and in the form that torch has, or
    else a copy.

    Raises:
        OverflowError: a number is too large for `dtype`.
    """
    if isinstance(array, Unshared) and array.flags.carray and array.dtype.isnative:
        return _holding(torch.from_numpy(array).to(device=device, dtype=dtype), array)
    values = np.asarray(array)
    if min(values.strides, default=0) < 0 or not values.dtype.isnative:  # torch has neither
        values = values.astype(values.dtype.newbyteorder("="), order="C")
    return _holding(torch.tensor(values, dtype=dtype, device=device), values)


def _holding(tensor: torch.Tensor, values: npt.NDArray[Any]) -> torch.Tensor:
    """A tensor of an array's values, if it has them all; a look at it, where its type reaches less
    far than the array's."""
    if not tensor.is_floating_point() or tensor.is_meta or not tensor.numel():
        return tensor
    if values.dtype.kind == "f" and np.finfo(values.dtype).max <= torch.finfo(tensor.dtype).max:
        return tensor
    if not all(math.isfinite(float(end)) for end in torch.aminmax(tensor.detach())):
        demand_room(float(np.abs(values).max()), tensor.dtype)
    return tensor


def demand_room(value: float, dtype: torch.dtype) -> None:
    """Raise an OverflowError for a number that is too large for a type."""
    most = torch.finfo(dtype).max
    if most < abs(value) < math.inf:
        raise OverflowError(f"{value:g} does not fit {dtype}, which ends at {most:g}")


def is_nothing(held: object) -> bool:
    """Whether what a layer holds is no state yet: nothing, or nothing in it."""
    if held is None:
        return True
    if isinstance(held, (torch.Tensor, np.ndarray)):
        return math.prod(held.shape) == 0
    return isinstance(held, (list, tuple, dict)) and not held


def is_everywhere(held: object, start: npt.ArrayLike) -> bool:
    """Whether a state is at its start, in its own precision, in all samples and neurons."""
    if isinstance(held, (list, tuple)):
        return all(is_nothing(each) or is_everywhere(each, start) for each in held)
    if isinstance(held, torch.Tensor):
        wanted = torch.as_tensor(np.asarray(start), dtype=held.dtype, device=held.device)
        return bool((held.detach() == wanted).all()) if wanted.ndim <= held.ndim else False
    values = as_values(held)
    return values is not None and bool(np.all(values == start))


def invert(guess: Any, *equations: Equation) -> Any:
    """The number near `guess` that solves all equations to the last bit, where one exists.

    Solving `tau * dt = 0.001` by a division may miss the `tau` that was exported by a rounding,
    and exporting again would then miss the file's number. Of all numbers that solve exactly, the
    one with the fewest decimal digits is the one that a person wrote. Where none solves exactly
    (the file was written in another precision, or by another formula), `guess` is as good.

    Of arrays, each element is such a number.

    Raises:
        ArithmeticError: the formula that gives the guess has no value.
    """
    if np.isnan(guess).any():
        raise ArithmeticError("a formula of the layer's parameters has no value for the node")
    if np.ndim(guess):
        return _inverted(np.asarray(guess), equations)
    for candidate in _near(guess):
        if all(_holds(equation, candidate) for equation in equations):
            return candidate
    return guess


def _inverted(guess: npt.NDArray[Any], equations: Iterable[Equation]) -> npt.NDArray[Any]:
    """The elements of `guess`, those that don't solve their equations solved one by one."""
    functions = [function for function, _ in equations]
    values = [np.broadcast_to(value, guess.shape) for _, value in equations]
    if uniform(guess) is not None and all(uniform(value) is not None for value in values):
        ones = [(f, float(v.flat[0])) for f, v in zip(functions, values, strict=True)]
        return np.broadcast_to(invert(float(guess.flat[0]), *ones), guess.shape)
    held = np.logical_and.reduce(
        [function(guess) == value for function, value in zip(functions, values, strict=True)]
    )
    solved = np.array(guess, dtype=np.float64)
    for place in zip(*np.nonzero(~held), strict=True):
        ones = [(f, float(value[place])) for f, value in zip(functions, values, strict=True)]
        solved[place] = invert(float(guess[place]), *ones)
    return solved


def _holds(equation: Equation, candidate: float) -> bool:
    function, value = equation
    try:
        return function(candidate) == value
    except (ArithmeticError, ValueError):
        return False


def _near(guess: float) -> Iterable[float]:
    for digits in range(1, 17):
        yield float(f"{guess:.{digits}g}")
    yield guess
    # A rounding of the guess itself, or of the one that it was subtracted from (1 - dt/tau).
    for step in (math.ulp(guess), math.ulp(0.5)):
        for count in range(1, 5):
            yield guess - count * step
            yield guess + count * step

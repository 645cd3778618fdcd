"""What a forward may do to a signal's axes: flatten features, and merge time and batch."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import nir
import torch
from torch import Tensor

from nir_runtime.exports.refusing import NO_AXES, TIME_LOOP, Unsupported
from nir_runtime.exports.signals import Leading, Signal
from nir_runtime.sites import Shape


def flatten(input: Signal, start_dim: int = 0, end_dim: int = -1) -> Signal:
    """Features merged by `torch.flatten`, or time and batch by `flatten(0, 1)`."""
    axes, rank = len(input.leading.shape), input.dim()
    start, end = start_dim % rank, end_dim % rank
    if (start, end) == (0, 1) and axes == 2:
        return input.alias(input.leading.forms[1])
    if start < axes <= end:
        raise _unsupported(input, tuple(_shape_of(input, lambda x: x.flatten(start, end))))
    return _reshaped(input, lambda x: x.flatten(start_dim, end_dim))


def unflatten(input: Signal, dim: int, sizes: Sequence[int]) -> Signal:
    """Time and batch taken apart again, by `unflatten(0, (T, N))`; anything else is refused."""
    return _reshaped(input, lambda x: torch.unflatten(x, dim, sizes))


def reshape(input: Signal, *shape: Any) -> Signal:
    """Features merged by a `reshape`; any other reshaping is refused."""
    return _reshaped(input, lambda x: x.reshape(*shape))


def view(input: Signal, *size: Any) -> Signal:
    """Features merged by a `view`; any other reshaping is refused."""
    return _reshaped(input, lambda x: x.view(*size))


def squeeze(input: Signal, *dim: Any) -> Signal:
    """Features of size 1 dropped by a `squeeze`; nothing where the axis has another size."""
    return _reshaped(input, lambda x: x.squeeze(*dim))


class TimeTaken(Exception):
    """A forward takes steps out of an input that was thought to be one: it has an axis of time."""


def select(input: Signal, dim: int, index: Any) -> Signal:
    """One step of a sequence, in a loop over time; refused of anything else."""
    leading = input.leading
    taken = dim == 0 and isinstance(index, int) and not leading.merged and not leading.inside
    single = len(leading.sizes) == 1
    if taken and single and len(input.features) > 1 and _is_given(input):
        raise TimeTaken
    if not taken or single:
        raise Unsupported("takes a part of a signal", f"NIR passes on whole signals; {TIME_LOOP}")
    step = None if leading.looped else range(leading.sizes[0])[index]
    return input.alias(replace(leading, inside=True, step=step))


def _is_given(x: Signal) -> bool:
    return x.recorder.is_input(x) and not x.uncertain


def is_whole(index: object) -> bool:
    """Whether an index takes an axis as it is."""
    return index is Ellipsis or (isinstance(index, slice) and index == slice(None))


def stack(tensors: Sequence[Signal], dim: int = 0) -> Signal:
    """The steps that a loop over time took, as a sequence again; refused of anything else."""
    first = tensors[0]
    if dim == 0 and first.leading.looped and first.leading.inside and len(tensors) == 1:
        return first.alias(Leading(first.leading.sizes, looped=True))
    if dim != 0 or not _are_steps(tensors):
        raise Unsupported(
            "adds an axis", f"stack the steps of one signal, all of them in order; {NO_AXES}"
        )
    sizes = first.leading.sizes if first.leading.inside else (len(tensors), *first.leading.sizes)
    return first.alias(Leading(sizes))


def _are_steps(tensors: Sequence[Any]) -> bool:
    """Whether these are all steps that a loop took of one signal, in order."""
    first = tensors[0]
    if not all(isinstance(x, Signal) and x.recorder.alike(x, first) for x in tensors):
        return False
    whole = first.leading.sizes[0] if first.leading.inside else max(2, len(tensors))
    return [x.leading.step for x in tensors] == list(range(whole))


def _shape_of(x: Signal, reshaping: Callable[[Tensor], Tensor]) -> Shape:
    return tuple(reshaping(torch.empty(x.shape, device="meta")).shape)


def _reshaped(x: Signal, reshaping: Callable[[Tensor], Tensor]) -> Signal:
    """The signal reshaped, through a Flatten node where its features change."""
    shape = _shape_of(x, reshaping)
    for leading in x.leading.forms:
        axes = len(leading.shape)
        if shape[:axes] == leading.shape:
            if shape[axes:] == x.features:
                return x.alias(leading)
            if merged := _merged(x.features, shape[axes:]):
                return _flattened(x.alias(leading), shape[axes:], *merged)
    raise _unsupported(x, shape)


def _flattened(x: Signal, features: Shape, start: int, end: int) -> Signal:
    node = nir.Flatten(input_type={"input": None}, start_dim=start, end_dim=end)
    return x.recorder.insert("flatten", node, x, features)


def _unsupported(x: Signal, shape: Shape) -> Unsupported:
    return Unsupported(
        f"reshapes {tuple(x.shape)} into {shape}; NIR can only flatten features, "
        f"here the axes behind the first {len(x.leading.shape)}",
        f"use nn.Flatten, or keep the shape; {TIME_LOOP}",
        about_shape=True,
    )


def _merged(before: Shape, after: Shape) -> tuple[int, int] | None:
    """The first and last of the axes that were merged into one; None if it was anything else.

    The last is -1 where nothing stands behind it.
    """
    width = len(before) - len(after) + 1
    if width < 2 or not after:
        return None
    differ = (i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b)
    start = min(next(differ, len(after) - 1), len(after) - 1)
    end = start + width
    if after != (*before[:start], math.prod(before[start:end]), *before[end:]):
        return None
    return start, -1 if end == len(before) else end - 1

"""What networks are given to compare them: the caller's numbers, or random ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from nir_runtime.errors import InvalidArgument, Problem

Tensor = torch.Tensor
Shape = tuple[int, ...]

SCALES = tuple(4.0**k for k in range(13))
"""What random numbers are multiplied by, as far as is needed: 1, 4, 16, ... 4^12."""

TRIAL = 40
"""For how many steps a scale is tried."""


def drawn(shapes: Mapping[str, Shape], steps: int, batch: int, seed: int) -> dict[str, Tensor]:
    """Normal numbers for each Input, of mean 0.5 and deviation 1, [T, N, *features]."""
    source = np.random.default_rng(seed)
    return {
        name: torch.from_numpy(source.normal(0.5, 1.0, size=(steps, batch, *shapes[name])))
        for name in sorted(shapes)
    }


def fitting_scale(fires: Callable[[float], int], neurons: int) -> float:
    """The smallest scale at which most nodes fire.

    Args:
        fires: how many nodes fire with an input of a scale.
        neurons: how many can.
    """
    best, most = SCALES[0], -1
    for scale in SCALES:
        count = fires(scale)
        if count > most:
            best, most = scale, count
        if count == neurons:
            break
    return best


def given(x: Any, shapes: Mapping[str, Shape]) -> dict[str, Tensor]:
    """The caller's inputs, by name.

    Args:
        x: one array or tensor [T, N, *features], several in the order of `shapes`, or a dictionary
            by name.
        shapes: the features of each Input.

    Raises:
        InvalidArgument: these can't be the inputs.
    """
    by_name = _by_name(x, tuple(shapes))
    problems = [p for name, value in by_name.items() for p in _wrong(name, value, shapes)]
    if not problems and len({tuple(v.shape[:2]) for v in by_name.values()}) > 1:
        what = "differ in their first two axes, of time and batch"
        problems = [Problem("x", what, "give all inputs the same")]
    if problems:
        raise InvalidArgument(problems)
    return by_name


def _by_name(x: Any, names: Sequence[str]) -> dict[str, Tensor]:
    if isinstance(x, Mapping):
        if set(x) != set(names):
            what = f"has {', '.join(sorted(map(repr, x)))}"
            raise InvalidArgument(Problem("x", what, f"the Inputs are {_listed(names)}"))
        return {name: tensor(x[name]) for name in names}
    several = tuple(x) if isinstance(x, (tuple, list)) else (x,)
    if len(several) != len(names):
        what = f"is {len(several)} array{'s' if len(several) != 1 else ''}"
        raise InvalidArgument(Problem("x", what, f"the Inputs are {_listed(names)}"))
    return {name: tensor(value) for name, value in zip(names, several, strict=True)}


def tensor(value: Any) -> Tensor:
    """Numbers as a tensor.

    Raises:
        InvalidArgument: these are none.
    """
    if isinstance(value, torch.Tensor):
        return value.detach()
    array = np.asarray(value)
    if array.dtype.kind not in "fiub":
        raise InvalidArgument(Problem("x", f"holds {array.dtype}", "give numbers"))
    return torch.from_numpy(array.astype(np.float64))


def _wrong(name: str, value: Tensor, shapes: Mapping[str, Shape]) -> Iterator[Problem]:
    features = shapes[name]
    place = "x" if len(shapes) == 1 else f"x, {name}"
    if value.dim() != 2 + len(features) or tuple(value.shape[2:]) != features:
        wanted = ", ".join(["time", "batch", *map(str, features)])
        yield Problem(place, f"has shape {tuple(value.shape)}", f"give it [{wanted}]")
    elif 0 in value.shape:
        yield Problem(place, f"is empty, of shape {tuple(value.shape)}", "give every axis a size")
    elif not bool(torch.isfinite(value).all()):
        yield Problem(place, "is NaN or infinite in some elements", "give finite numbers")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(map(repr, names))

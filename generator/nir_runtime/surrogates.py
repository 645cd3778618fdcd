"""Whether a neuron's surrogate function sends on spikes: judged by what it gives, not by its name.

A surrogate function is anything that a framework calls with the distance to the threshold. It may
be a layer's own (`torch.sigmoid`, several levels), know how often it was called, or draw random
numbers. Tried on numbers of all magnitudes, in several shapes and both precisions, it must give a
step each time, in the precision that it gets, and stay as it was.
"""

from __future__ import annotations

import copy
import types
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn

MAGNITUDES = (
    1e-30,
    1e-6,
    1e-3,
    0.1,
    0.25,
    0.5,
    0.75,
    1.0,
    1.5,
    2.0,
    3.0,
    5.0,
    10.0,
    1e3,
    1e9,
    1e30,
)
"""The distances from the threshold that are tried, on both sides."""


def is_step(surrogate: Any, *, at_zero: bool, keeps_precision: bool) -> bool:
    """Whether a surrogate function gives 1 above 0 and 0 below.

    Args:
        surrogate: the function.
        at_zero: what it must give at 0.
        keeps_precision: whether its result must be of its input's type. (snnTorch's own functions
            give float32 whatever they are given.)
    """
    key = _key(surrogate, at_zero, keeps_precision)
    if key is None:
        return _gives_steps(surrogate, at_zero, keeps_precision)
    if key not in _judged:
        if len(_judged) >= _MOST:
            _judged.clear()
        _judged[key] = _gives_steps(surrogate, at_zero, keeps_precision)
    return _judged[key]


_judged: dict[tuple[Any, ...], bool] = {}
"""What was found of functions that differ in nothing from one that was tried."""

_MOST = 1024


def _gives_steps(surrogate: Any, at_zero: bool, keeps_precision: bool) -> bool:
    """Whether it does when it is tried, without leaving a trace."""
    try:
        tried = copy.deepcopy(surrogate)
        before = copy.deepcopy(_held(tried))
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            for x in _inputs():
                y = tried(x.clone())
                if not isinstance(y, torch.Tensor) or y.shape != x.shape:
                    return False
                if not y.is_floating_point() or (keeps_precision and y.dtype != x.dtype):
                    return False
                if not torch.equal(y, ((x >= 0) if at_zero else (x > 0)).to(y.dtype)):
                    return False
        return _same(_held(tried), before)
    except Exception:  # anybody's function, which may raise anything where it isn't one of numbers
        return False


def _inputs() -> Iterator[torch.Tensor]:
    """A row, a batch of images, and neurons alone: a function of each element gives the same."""
    above = torch.tensor(MAGNITUDES, dtype=torch.float64)
    values = torch.cat([-above, torch.tensor([0.0, -0.0]), above])
    for dtype in (torch.float32, torch.float64):
        x = values.to(dtype)
        yield x.unsqueeze(0)
        yield x.flip(0).reshape(2, 1, 17, 1)
        yield above.to(dtype).unsqueeze(1)
        yield -above.to(dtype).unsqueeze(0)
        yield torch.zeros(3, 2, dtype=dtype)


def _held(surrogate: Any) -> dict[str, Any]:
    """What a function or an object remembers, as far as it can be seen."""
    held = dict(getattr(surrogate, "__dict__", {}))
    for position, cell in enumerate(getattr(surrogate, "__closure__", None) or ()):
        held[f"closure {position}"] = cell.cell_contents
    return held


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a.shape == b.shape and torch.equal(a, b)
    if isinstance(a, nn.Module) and isinstance(b, nn.Module):
        return _same(vars(a), vars(b))
    same = a == b
    return bool(same) if isinstance(same, bool) else a is b


_PLAIN = (bool, int, float, str, type(None))


def _key(surrogate: Any, *rest: bool) -> tuple[Any, ...] | None:
    """What tells a function from others, where that is its code and plain numbers; else None."""
    if isinstance(surrogate, types.FunctionType):
        cells = [cell.cell_contents for cell in surrogate.__closure__ or ()]
        known = [*cells, *(surrogate.__defaults__ or ()), *(surrogate.__kwdefaults__ or {}).items()]
        if surrogate.__dict__ or not all(isinstance(value, _PLAIN) for value in known):
            return None
        # Names that a function looks up elsewhere may mean something else the next time.
        return (surrogate.__code__, surrogate.__module__, *known, *rest) if cells else None
    if isinstance(surrogate, nn.Module):
        held = vars(surrogate).items()
        own = {k: v for k, v in held if not isinstance(v, (dict, set)) or len(v) > 0}
        if all(isinstance(value, (*_PLAIN, tuple)) for value in own.values()):
            return (type(surrogate), type(surrogate).forward, repr(own), *rest)
    return None

"""What an export leaves behind in the objects of a user.

Not looked at is what a forward reaches otherwise than through its modules: globals, closures,
attributes of classes and functions. An export can't put these back.
"""

from __future__ import annotations

import collections
import contextlib
import random
import types
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn.modules import module as global_hooks

_DEEP = (list, tuple, set, frozenset, dict, collections.deque)
_NOT_ONES_OWN = (type, types.ModuleType, types.FunctionType)


@contextlib.contextmanager
def residue(net: nn.Module | None, example: torch.Tensor) -> Iterator[list[str]]:
    """Afterwards, the list has what is not as it was before; also if something is raised."""
    before, left = _state(net, example), list[str]()
    try:
        yield left
    finally:
        after = _state(net, example)
        left += sorted(
            key for key in before.keys() | after.keys() if before.get(key) != after.get(key)
        )


def _state(net: nn.Module | None, example: torch.Tensor) -> dict[str, Any]:
    """All that can be reached from a network, by path, and the process's own state."""
    found: dict[str, Any] = {
        "torch's random numbers": torch.random.get_rng_state().numpy().tobytes(),
        "numpy's random numbers": repr(np.random.get_state()),
        "random's numbers": random.getstate(),
        "nn.Module.__call__": id(nn.Module.__call__),
        "grad mode": torch.is_grad_enabled(),
        "default dtype": torch.get_default_dtype(),
        "autocast": torch.is_autocast_enabled("cpu"),
        "inference mode": torch.is_inference_mode_enabled(),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
    }
    for name, value in vars(global_hooks).items():
        if name.startswith("_global_"):
            found[name] = tuple(map(id, value.values())) if isinstance(value, dict) else value
    seen: dict[int, Any] = {}
    _walk("net", net, found, seen)
    _walk("example_input", example, found, seen)
    found["kept alive"] = None  # `seen` keeps all objects, so that no id is used twice
    found["_seen"] = _Alive(seen)
    return found


class _Alive:
    """Objects that must not be freed while ids are compared; equal to any other."""

    def __init__(self, seen: dict[int, Any]) -> None:
        self.seen = seen

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Alive)

    __hash__ = None  # type: ignore[assignment]


def _walk(path: str, value: Any, found: dict[str, Any], seen: dict[int, Any]) -> None:
    if isinstance(value, (int, float, complex, str, bytes, bool, type(None), torch.dtype)):
        found[path] = repr(value)
        return
    found[path] = id(value)
    if id(value) in seen:
        return
    seen[id(value)] = value
    if isinstance(value, torch.Tensor) and type(value) not in (torch.Tensor, nn.Parameter):
        found[path] = (id(value), type(value).__name__)
    elif isinstance(value, torch.Tensor):
        shown = value.detach()
        found[f"{path} numbers"] = (
            tuple(value.shape), value.dtype, value.requires_grad,
            shown.reshape(-1).contiguous().view(torch.uint8).numpy().tobytes()
            if shown.numel() else b"",
        )  # fmt: skip
    elif isinstance(value, np.ndarray):
        found[f"{path} numbers"] = (value.shape, str(value.dtype), value.tobytes())
    elif isinstance(value, np.random.Generator):
        found[f"{path} state"] = repr(value.bit_generator.state)
    elif isinstance(value, torch.Generator):
        found[f"{path} state"] = value.get_state().numpy().tobytes()
    elif isinstance(value, random.Random):
        found[f"{path} state"] = value.getstate()
    elif isinstance(value, _DEEP):
        _walk_container(path, value, found, seen)
    elif isinstance(value, types.MethodType):
        found[path] = (id(value.__func__), id(value.__self__))
    elif hasattr(value, "__dict__") and not isinstance(value, _NOT_ONES_OWN):
        found[f"{path}.__class__"] = id(type(value))
        _walk_container(path, vars(value), found, seen)
    slots = [s for base in type(value).__mro__ for s in _slots(base)]
    for slot in slots:
        if hasattr(value, slot) and type(value).__module__.startswith("tests."):
            _walk(f"{path}.{slot}", getattr(value, slot), found, seen)


def _slots(base: type) -> tuple[str, ...]:
    slots = vars(base).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _walk_container(path: str, value: Any, found: dict[str, Any], seen: dict[int, Any]) -> None:
    found[f"{path} size"] = len(value)
    if isinstance(value, Mapping):
        found[f"{path} keys"] = [key if isinstance(key, str) else id(key) for key in value]
        for key, item in value.items():
            if key not in ("__dict__", "__weakref__", "__doc__"):
                _walk(f"{path}.{key}" if isinstance(key, str) else f"{path}[{id(key)}]", item,
                      found, seen)  # fmt: skip
        return
    for k, item in enumerate(value):
        _walk(f"{path}[{k}]", item, found, seen)

"""Classes, functions and lines of code, as messages name them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import Any

import torch


def bare_name(function: Callable[..., Any]) -> str:
    """`add` of both torch.add and torch.Tensor.add; `T` of a property's getter."""
    name: str = getattr(function, "__name__", str(function))
    if name in ("__get__", "__set__"):
        name = getattr(getattr(function, "__self__", None), "__name__", name)
    return name


def full_name(function: Callable[..., Any]) -> str:
    """`torch.nn.functional.relu`."""
    return torch.overrides.resolve_name(function) or bare_name(function)


def class_name(cls: type) -> str:
    """A class as users import it: torch.nn.Linear, not torch.nn.modules.linear.Linear."""
    parts = cls.__module__.split(".")
    packages = (".".join(parts[:k]) for k in range(1, len(parts) + 1))
    public = (p for p in packages if getattr(sys.modules.get(p), cls.__name__, None) is cls)
    return f"{next(public, cls.__module__)}.{cls.__qualname__}"


def within(module: str, packages: Sequence[str]) -> bool:
    """Whether a module, by its dotted name, is one of these or inside one of them."""
    return any(module == package or module.startswith(f"{package}.") for package in packages)


def calling_line(packages: Sequence[str]) -> str:
    """Where the running code was called from outside of these packages: `model.py:31`."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and _is_in(frame, packages):
        frame = frame.f_back
    return _line(frame, frame.f_lineno) if frame else "in compiled code"


def raising_line(error: BaseException, packages: Sequence[str]) -> str:
    """The innermost line outside of these packages that an error went through; "" if none."""
    line, step = "", error.__traceback__
    while step is not None:
        if not _is_in(step.tb_frame, packages):
            line = _line(step.tb_frame, step.tb_lineno)
        step = step.tb_next
    return line


def _is_in(frame: FrameType, packages: Sequence[str]) -> bool:
    return within(frame.f_globals.get("__name__", ""), packages)


def _line(frame: FrameType, number: int) -> str:
    return f"{Path(frame.f_code.co_filename).name}:{number}"

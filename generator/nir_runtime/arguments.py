"""Arguments that every conversion takes, and what is wrong with them. Known without torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import nir
import numpy as np

from nir_runtime.errors import Problem

DEFAULT_DT = 1e-4
"""The time step at which a graph is imported that says none, in seconds."""


def as_dt(value: object) -> float | None:
    """A time step in seconds; None if the value is none."""
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value[()]
    if isinstance(value, bool) or not isinstance(value, (int, float, np.integer, np.floating)):
        return None
    try:
        dt = float(value)
    except OverflowError:
        return None
    return dt if math.isfinite(dt) and dt > 0 else None


def wrong_dt(dt: object) -> Iterator[Problem]:
    """What is wrong with a time step; nothing with None, which leaves it to others."""
    if dt is not None and (isinstance(dt, np.ndarray) or as_dt(dt) is None):
        advice = "give the time step in seconds, a positive finite number: 1e-4"
        yield Problem("dt", f"is {described(dt)}", advice)


def described(value: object) -> str:
    """A value that may be anything, in a message."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # of the value's own class; or an int of thousands of digits
        return f"of the type {type(value).__name__}"
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


_LONGEST = 60
"""How much of a value a message shows."""


def wrong_graph(graph: object) -> Iterator[Problem]:
    """What is wrong with a graph, or the path of a file that holds one."""
    if not isinstance(graph, (nir.NIRGraph, str, Path)):
        yield Problem("graph", f"is a {type(graph).__name__}", "give a nir.NIRGraph or a path")

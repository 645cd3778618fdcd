"""Arguments that every conversion takes, and what is wrong with them. Known without torch."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import nir
import numpy as np

from nir_runtime.errors import Problem


def wrong_dt(dt: object) -> Iterator[Problem]:
    """What is wrong with a time step."""
    number = isinstance(dt, (int, float, np.integer, np.floating)) and not isinstance(dt, bool)
    if not (number and math.isfinite(dt) and dt > 0):  # type: ignore[arg-type, operator]
        advice = "give the time step in seconds, a positive finite number: 1e-4"
        yield Problem("dt", f"is {dt!r}", advice)


def wrong_graph(graph: object) -> Iterator[Problem]:
    """What is wrong with a graph, or the path of a file that holds one."""
    if not isinstance(graph, (nir.NIRGraph, str, Path)):
        yield Problem("graph", f"is a {type(graph).__name__}", "give a nir.NIRGraph or a path")

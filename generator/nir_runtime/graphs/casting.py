"""Numbers in another type, and how far off they are then."""

from __future__ import annotations

from collections.abc import Iterator

import nir
import numpy as np

from nir_runtime.arrays import Array, distinct
from nir_runtime.contract.nesting import flatten, thin_copy
from nir_runtime.errors import InvalidGraph, Problem
from nir_runtime.graphs.changes import Change, Rewritten
from nir_runtime.graphs.fields import names_of_fields

WEIGHTS = ("weight", "bias", "scale")
"""What is summed, so that very small numbers don't count."""

SAME = ", the same numbers"


def cast(graph: nir.NIRGraph, dtype: str) -> Rewritten:
    """The graph with all floating-point fields in another type. Whole numbers stay what they are.

    Args:
        graph: a complete graph.
        dtype: "float16", "float32" or "float64".

    Raises:
        InvalidGraph: numbers that the type can't hold: they would be infinite, or 0.
    """
    kind, whole = np.dtype(dtype), thin_copy(graph)
    changes: list[Change] = []
    problems: list[Problem] = []
    flat = flatten(whole)[0]
    for name, node in flat.nodes.items():
        for field, array in _floats(node):
            if array.dtype == kind:
                continue
            few = distinct(array)
            with np.errstate(over="ignore"):
                made = few.astype(kind)
            if lost := _lost(field, few, made):
                advice = "choose a type that holds more"
                problems.append(Problem(f"{flat.places[name]}/{field}", lost, advice))
                continue
            setattr(node, field, np.broadcast_to(made, array.shape))
            changes.append(Change(f"{name}/{field}", f"{array.dtype} -> {kind}{_off(few, made)}"))
    if problems:
        raise InvalidGraph(problems)
    return Rewritten(whole, tuple(changes))


def _floats(node: nir.NIRNode) -> Iterator[tuple[str, Array]]:
    for name in names_of_fields(type(node)):
        value = getattr(node, name, None)
        if isinstance(value, (float, np.ndarray, np.floating)):
            array = np.asarray(value)
            if array.dtype.kind == "f":
                yield name, array


def _lost(field: str, few: Array, made: Array) -> str:
    """What became infinite; or 0, where that is not as good as any other small number."""
    if not np.isfinite(made).all():
        return f"has numbers as large as {np.abs(few).max():g}, which {made.dtype} can't hold"
    vanished = (made == 0) & (few != 0)
    if field not in WEIGHTS and vanished.any():
        least = np.abs(few[vanished]).min()
        return f"has numbers as small as {least:g}, which {made.dtype} makes 0"
    return ""


def _off(few: Array, made: Array) -> str:
    """How far off the numbers are, relative to the largest."""
    if np.can_cast(few.dtype, made.dtype):
        return ""
    worst = float(np.abs(made - few).max())
    return f", off by up to {worst / np.abs(few).max():.2g} of the largest" if worst else SAME

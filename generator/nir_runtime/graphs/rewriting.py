"""A graph in another form that means the same: repaired, flat, smaller, in other numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import nir

from nir_runtime.graphs.casting import cast
from nir_runtime.graphs.changes import Change, Rewritten
from nir_runtime.graphs.dissolving import dissolved
from nir_runtime.graphs.folding import folded
from nir_runtime.graphs.omitting import without_misread_sizes, without_sizes, without_unknown
from nir_runtime.graphs.repairing import repaired

Step = Callable[[nir.NIRGraph], Rewritten]


@dataclass(frozen=True)
class Wishes:
    """What is to become of a graph, besides being repaired.

    Attributes:
        flatten: dissolve the graphs in it.
        fold: make one node of two linear ones, where it is exact but for rounding.
        dtype: the type of all floating-point numbers; None leaves them as they are.
        sizes: whether nodes state the sizes that follow from the graph.
        unknown: whether fields that nir doesn't know are kept.
    """

    flatten: bool = False
    fold: bool = False
    dtype: str | None = None
    sizes: bool = True
    unknown: bool = True


def rewrite(graph: nir.NIRGraph, wishes: Wishes) -> Rewritten:
    """The graph as it is wished for, with all that changed. What was given stays as it is.

    Raises:
        InvalidGraph: the graph means nothing and can't be repaired, or its numbers don't go into
            the type.
    """
    changes: list[Change] = []
    for step in _steps(wishes):
        rewritten = step(graph)
        graph = rewritten.graph
        changes += rewritten.changes
    return Rewritten(graph, tuple(changes))


def _steps(wishes: Wishes) -> list[Step]:
    """Sizes come last, because every other step completes them."""
    steps: list[Step] = [repaired]
    if wishes.flatten:
        steps.append(dissolved)
    if wishes.fold:
        steps.append(folded)
    if wishes.dtype is not None:
        steps.append(partial(cast, dtype=wishes.dtype))
    if not wishes.unknown:
        steps.append(without_unknown)
    steps.append(without_misread_sizes if wishes.sizes else without_sizes)
    return steps

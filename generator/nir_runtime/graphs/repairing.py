"""What old files and other tools leave out: completed, so that every reader of NIR takes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import nir
import numpy as np

from nir_runtime.contract import shapes
from nir_runtime.contract.nesting import flatten, thin_copy
from nir_runtime.graphs.changes import Change, Rewritten
from nir_runtime.graphs.fields import names_of_fields


def repaired(graph: nir.NIRGraph) -> Rewritten:
    """The graph with all that a reader would have to guess.

    - Missing fields: v_reset and biases are 0, w_in is 1, as nir has them.
    - One number for all neurons becomes one for each; in a file that takes no more space.
    - Strides and the like, one number for both axes, become pairs.
    - The sizes that convolutions and Flattens work on, and the shapes of Outputs.
    - An Input or Output, if there is none: before the nodes that nothing leads into, and behind
      those that lead nowhere, as nir adds them.

    Raises:
        InvalidGraph: what can't be repaired.
    """
    whole = thin_copy(graph)
    added = (*_with_ends(whole, nir.Input), *_with_ends(whole, nir.Output))
    before, _ = flatten(thin_copy(whole))
    after = shapes.infer(whole)
    completed = (
        Change(f"{name}/{field}", what)
        for name, node in after.nodes.items()
        for field, what in _differences(before.nodes[name], node)
    )
    return Rewritten(whole, (*added, *completed))


def _with_ends(graph: nir.NIRGraph, kind: type[nir.NIRNode]) -> Iterator[Change]:
    """Add Inputs before, or Outputs behind, the nodes that have nothing there, if none is there."""
    if any(type(node) is kind for node in graph.nodes.values()):
        return
    inward = kind is nir.Input
    joined = {target if inward else source for source, target in graph.edges}
    graph.edges = list(graph.edges)
    for name in [name for name in graph.nodes if name not in joined]:
        end = f"{kind.__name__.lower()}_{name}"
        while end in graph.nodes:
            end += "_"
        graph.nodes[end] = kind({"input": None} if inward else {"output": None})
        graph.edges.append((end, name) if inward else (name, end))
        yield Change(end, f"added: an {kind.__name__} {'before' if inward else 'behind'} {name}")


def _differences(before: nir.NIRNode, after: nir.NIRNode) -> Iterator[tuple[str, str]]:
    """The fields that were completed, and how."""
    for name in names_of_fields(type(after)):
        what = _difference(getattr(before, name, None), getattr(after, name))
        if what:
            yield name, what
    for types, kind in (("input_type", nir.Flatten), ("output_type", nir.Output)):
        if isinstance(after, kind):
            (shape,) = getattr(after, types).values()
            (stated,) = (getattr(before, types) or {"": None}).values()
            if stated is None or tuple(np.ravel(stated)) != tuple(shape):
                stood = "missing" if stated is None else str(tuple(int(n) for n in stated))
                yield types, f"was {stood}: {tuple(int(n) for n in shape)} arrives"


def _difference(before: Any, after: Any) -> str:
    if after is None or before is after:
        return ""
    if before is None:
        return f"was missing: {_told(after)}"
    if np.shape(before) != np.shape(after):
        return f"was one number for all: {_told(after)}"
    return ""


def _told(value: Any) -> str:
    if isinstance(value, np.ndarray):
        number = value.ravel()[0]
        return f"{number:g}" + (f" for each of {value.shape}" if value.ndim else "")
    return str(value)

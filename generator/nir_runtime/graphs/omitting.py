"""What a file need not say: sizes that follow from the graph, and fields that nir doesn't know."""

from __future__ import annotations

from collections.abc import Iterator

import nir
import numpy as np

from nir_runtime.contract.nesting import flatten, subgraphs, thin_copy
from nir_runtime.graphs.changes import Change, Rewritten

CONVOLUTIONS = (nir.Conv1d, nir.Conv2d)


def without_sizes(graph: nir.NIRGraph) -> Rewritten:
    """The graph without the sizes that convolutions and Flattens work on; readers infer them."""
    return _without(graph, (*CONVOLUTIONS, nir.Flatten), "left out: it follows from the graph")


def without_misread_sizes(graph: nir.NIRGraph) -> Rewritten:
    """The graph without the sizes of convolutions in groups.

    Where one is stated, nir 1.0.8 works out a wrong shape from it, and refuses the graph. Where
    none is, it takes the shape that arrives.
    """
    return _without(graph, CONVOLUTIONS, "left out: nir would forget the groups, and refuse", 2)


def _without(
    graph: nir.NIRGraph, kinds: tuple[type[nir.NIRNode], ...], why: str, groups: int = 1
) -> Rewritten:
    whole = thin_copy(graph)
    changes = []
    for name, node in flatten(whole)[0].nodes.items():
        if isinstance(node, kinds) and int(np.asarray(getattr(node, "groups", 1))) >= groups:
            changes += [Change(f"{name}/{field}", why) for field in _drop(node)]
    return Rewritten(whole, tuple(changes))


def _drop(node: nir.NIRNode) -> Iterator[str]:
    """Leave out a node's size; gives the field's name, if it was there."""
    if isinstance(node, nir.Flatten):
        if node.input_type["input"] is not None:
            node.input_type = {"input": None}
            yield "input_type"
    elif node.input_shape is not None:
        node.input_shape = None
        yield "input_shape"


def without_unknown(graph: nir.NIRGraph) -> Rewritten:
    """The graph without the fields that nir doesn't know, for which `nir.read` refuses a file."""
    whole = thin_copy(graph)
    named = {"": whole, **subgraphs(whole), **flatten(whole)[0].nodes}
    changes = []
    for name, node in named.items():
        for field in vars(node).pop("unknown_fields", {}):
            changes.append(Change(f"{name}/{field}", "left out: nir doesn't know it"))
    return Rewritten(whole, tuple(changes))

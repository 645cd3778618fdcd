"""Whether nir itself takes a graph, with the check that `nir.read` makes."""

from __future__ import annotations

import nir
import numpy as np

from nir_runtime.graphs.fields import names_of_fields

MANY = 2000
"""From how many nodes on nir is not asked: its check looks at every edge for every node."""


def refusal(graph: nir.NIRGraph) -> str:
    """What nir's own check has against a graph; empty if it has nothing, or wasn't asked.

    nir 1.0.8 works out wrong shapes of some graphs that make sense, such as those with kernels that
    are not square. `nir.read(path, type_check=False)` reads them all the same.
    """
    if len(graph.nodes) > MANY:
        return ""
    try:
        _made_by_nir(graph)
    except Exception as error:  # nir raises whatever it comes upon
        return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
    return ""


def _made_by_nir(node: nir.NIRNode) -> nir.NIRNode:
    """The node as nir's constructors make it, with the shapes that they work out."""
    if isinstance(node, nir.NIRGraph):
        nodes = {name: _made_by_nir(inner) for name, inner in node.nodes.items()}
        return nir.NIRGraph(nodes, list(node.edges))
    if unknown := getattr(node, "unknown_fields", None):
        raise ValueError(f"{type(node).__name__} has fields that nir doesn't know: {[*unknown]}")
    if isinstance(node, nir.Input):
        return nir.Input(dict(node.input_type))
    if isinstance(node, nir.Output):
        return nir.Output(dict(node.output_type))
    own = {name: _hollow(getattr(node, name)) for name in names_of_fields(type(node))}
    if isinstance(node, nir.Flatten):
        own["input_type"] = dict(node.input_type)
    return type(node)(**own)


def _hollow(value: object) -> object:
    """An array of the same shape that takes no space: the check is of shapes alone."""
    if isinstance(value, np.ndarray) and value.ndim:
        return np.broadcast_to(np.zeros((), value.dtype), value.shape)
    return value

"""Graphs in a graph, dissolved: all nodes on one level."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import nir

from nirgen.graphs.changes import Change, Rewritten
from nirgen.runtime.contract import shapes
from nirgen.runtime.contract.nesting import Flat, thin_copy, without_ports


def dissolved(graph: nir.NIRGraph) -> Rewritten:
    """The graph without graphs in it. A node `lif` of the subgraph `sub` is called `sub.lif`.

    The Inputs and Outputs of subgraphs vanish; one that sums several values for several nodes
    becomes a Scale by 1. Metadata of a subgraph goes to the graph's, under the subgraph's name.

    Raises:
        InvalidGraph: the graph means nothing.
    """
    whole = thin_copy(graph)
    flat = without_ports(shapes.infer(whole))
    subgraphs = dict(_subgraphs(whole))
    if not subgraphs:
        return Rewritten(whole, ())
    metadata = dict(whole.metadata)
    for name, inner in subgraphs.items():
        if inner.metadata:
            metadata.setdefault(name, dict(inner.metadata))
    changes = (Change(name, _what(name, inner, flat)) for name, inner in subgraphs.items())
    return Rewritten(graph_of(flat, whole, metadata), tuple(changes))


def _subgraphs(graph: nir.NIRGraph, prefix: str = "") -> Iterator[tuple[str, nir.NIRGraph]]:
    for name, node in graph.nodes.items():
        if type(node) is nir.NIRGraph:
            yield prefix + name, node
            yield from _subgraphs(node, f"{prefix}{name}.")


def _what(name: str, inner: nir.NIRGraph, flat: Flat) -> str:
    kept = [n for n in flat.nodes if n.startswith(f"{name}.")]
    return f"dissolved: {len(kept)} of its {len(inner.nodes)} nodes are left, as {name}.…"


def graph_of(flat: Flat, like: nir.NIRGraph, metadata: dict[str, object]) -> nir.NIRGraph:
    """The graph of a flat view's nodes and edges, otherwise like another one."""
    made = copy.copy(like)
    made.nodes, made.edges, made.metadata = dict(flat.nodes), list(flat.edges), metadata
    shapes.infer(made)
    return made

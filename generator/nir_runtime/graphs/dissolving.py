"""Graphs in a graph, dissolved: all nodes on one level."""

from __future__ import annotations

import copy

import nir

from nir_runtime.contract import origin, shapes
from nir_runtime.contract.nesting import Flat, subgraphs, thin_copy, without_ports
from nir_runtime.graphs.changes import Change, Rewritten


def dissolved(graph: nir.NIRGraph) -> Rewritten:
    """The graph without graphs in it. A node `lif` of the subgraph `sub` is called `sub.lif`.

    The Inputs and Outputs of subgraphs vanish; one that sums several values for several nodes
    becomes a Scale by 1. Metadata of a subgraph goes to the graph's, under the subgraph's name; the
    time step that only subgraphs carry becomes the graph's.

    Raises:
        InvalidGraph: the graph means nothing.
    """
    whole = thin_copy(graph)
    flat = without_ports(shapes.infer(whole))
    inside = subgraphs(whole)
    if not inside:
        return Rewritten(whole, ())
    metadata, changes = dict(whole.metadata), []
    dt = origin.readable(whole)
    if dt is not None:
        metadata.setdefault(origin.DT, dt)
    for name, inner in inside.items():
        kept = sum(node.startswith(f"{name}.") for node in flat.nodes)
        what = f"dissolved: {kept} of its {len(inner.nodes)} nodes are left, as {name}.…"
        own = origin.readable(inner)
        if own is not None and (dt is None or not origin.is_near(own, dt)):
            what += f"; it was for dt = {own:.9g}, and the graph is not"
        if inner.metadata and (name in metadata or name in origin.KEYS):
            what += "; its metadata is lost, since the graph has other metadata of that name"
        elif inner.metadata:
            metadata[name] = dict(inner.metadata)
        changes.append(Change(name, what))
    return Rewritten(_graph_of(flat, whole, metadata), tuple(changes))


def _graph_of(flat: Flat, like: nir.NIRGraph, metadata: dict[str, object]) -> nir.NIRGraph:
    """The graph of a flat view's nodes and edges, otherwise like another one."""
    made = copy.copy(like)
    made.nodes, made.edges, made.metadata = dict(flat.nodes), list(flat.edges), metadata
    shapes.infer(made)
    return made

"""A reset by subtraction in NIR's own primitives.

NIR has no field for it, but it has an integrator, a threshold and an edge that goes back. Leaving
v_threshold on the membrane where a spike took it off is an error that decays with the membrane, so
it is undone by an input one step later: with a = dt/tau,

    LIF   -v_threshold * (1 - a) / (a * r)
    IF    -v_threshold / (dt * r)

A reset that subtracts in the step after, as snnTorch's does, comes after the leak: it is the input
-v_threshold / (a * r).

The synapse of a CubaLIF is a leaky integrator of its own in front of the membrane. There are two
thresholds: the one that the input comes from has the spikes of the step before, since the contract
cuts the cycle in front of it; the other has those of the step. Where the neuron is itself on a
cycle that the contract cuts behind it, what goes around comes from the first.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np

from nir_runtime.contract import order, shapes
from nir_runtime.contract.nesting import Edge, Flat
from nir_runtime.errors import ExportRefused, Problem
from nir_runtime.sites import SAYABLE

ADVICE = 'export with soft_reset="annotate"'


def decomposed(graph: nir.NIRGraph, flat: Flat, dt: float) -> nir.NIRGraph:
    """The graph with every neuron whose metadata says a reset by subtraction in primitives.

    Args:
        graph: a graph whose shapes are known; stays as it is.
        flat: the same, as shape inference returned it.
        dt: the time step, in seconds.

    Raises:
        ExportRefused: such a neuron has a threshold below zero; or is on a cycle that the contract
            would cut elsewhere, if the neuron were several nodes.
    """
    soft = [name for name, node in graph.nodes.items() if node.metadata.get("reset") in SAYABLE]
    if not soft:
        return graph
    _demand_silence(soft, graph)
    plan = order.plan(flat)
    instant = {source for source, target in graph.edges if (source, target) not in plan.delayed}
    parts = {
        name: _parts(name, graph.nodes[name], dt, graph.nodes, sends=name in instant)
        for name in soft
    }
    nodes: dict[str, nir.NIRNode] = {}
    for name, node in graph.nodes.items():
        nodes |= parts[name].nodes if name in parts else {name: node}
    edges = [_moved(edge, parts, plan.delayed) for edge in graph.edges]
    for part in parts.values():
        edges += part.edges
    result = nir.NIRGraph(nodes, edges, dict(graph.metadata), type_check=False)
    cut = {_moved(edge, parts, plan.delayed) for edge in plan.delayed if edge[0] not in parts}
    cut |= {part.cut for part in parts.values()}
    if order.plan(shapes.infer(result)).delayed != cut:
        raise ExportRefused(_cut_elsewhere(soft, plan))
    return result


@dataclass(frozen=True)
class _Parts:
    """What one neuron becomes.

    Attributes:
        entry: the node that takes what the neuron took.
        before: the node that has the spikes of the step before; a node of the neuron's name has
            those of the step, unless nothing needs them.
        nodes, edges: the nodes, and the edges between them.
        cut: the edge that is delayed.
    """

    entry: str
    before: str
    nodes: dict[str, nir.NIRNode]
    edges: tuple[Edge, ...]
    cut: Edge


def _moved(edge: Edge, parts: dict[str, _Parts], delayed: Collection[Edge]) -> Edge:
    """An edge of the graph between the nodes that neurons become."""
    source, target = edge
    if source in parts and edge in delayed:
        source = parts[source].before
    return source, parts[target].entry if target in parts else target


def _parts(name: str, node: Any, dt: float, taken: Collection[str], *, sends: bool) -> _Parts:
    """A neuron in primitives; `sends` says whether its spikes are needed in the step itself."""
    membrane, spike, back = (_free(f"{name}_{part}", taken) for part in ("v", "spike", "reset"))
    before = spike if sends else name
    nodes: dict[str, nir.NIRNode] = {}
    edges: list[Edge] = []
    entry = membrane
    if isinstance(node, nir.CubaLIF):
        entry = _free(f"{name}_i", taken)
        nodes[entry] = nir.LI(tau=node.tau_syn, r=node.w_in, v_leak=np.zeros_like(node.v_leak))
        edges.append((entry, membrane))
    nodes[membrane] = _membrane(node)
    nodes[before] = nir.Threshold(_threshold(node))
    nodes[back] = nir.Scale(-node.v_threshold * _input_of_one_volt(node, dt))
    edges += [(membrane, before), (before, back), (back, membrane)]
    if sends:
        nodes[name] = nir.Threshold(_threshold(node))
        edges.append((membrane, name))
    return _Parts(entry, before, nodes, tuple(edges), (membrane, before))


def _membrane(node: Any) -> nir.NIRNode:
    """The membrane: of an IF above where it starts, since NIR's I starts at zero."""
    if isinstance(node, nir.IF):
        return nir.I(node.r)
    tau = node.tau_mem if isinstance(node, nir.CubaLIF) else node.tau
    metadata = {key: told for key, told in node.metadata.items() if key == "v_initial"}
    return nir.LI(tau=tau, r=node.r, v_leak=node.v_leak, metadata=metadata)


def _threshold(node: Any) -> Any:
    """Where the membrane fires."""
    if isinstance(node, nir.IF):
        return node.v_threshold - node.metadata.get("v_initial", node.v_reset)
    return node.v_threshold


def _input_of_one_volt(node: Any, dt: float) -> Any:
    """The input that moves the membrane as much as one volt did, when it was to be subtracted."""
    if isinstance(node, nir.IF):
        return 1 / (dt * node.r)
    share = dt / (node.tau_mem if isinstance(node, nir.CubaLIF) else node.tau)
    left = 1 if node.metadata["reset"] == "subtract_next" else 1 - share
    return left / (share * node.r)


def _free(name: str, taken: Collection[str]) -> str:
    while name in taken:
        name += "_"
    return name


def _demand_silence(soft: list[str], graph: nir.NIRGraph) -> None:
    """Before the first step the threshold reads zero, and must not have fired."""
    problems = [
        Problem(
            name,
            "resets by subtraction and has a threshold below "
            f"{'where it starts' if isinstance(graph.nodes[name], nir.IF) else 'zero'}, and a "
            "spike before the first step would be subtracted",
            ADVICE,
        )
        for name in soft
        if np.any(_threshold(graph.nodes[name]) < 0)
    ]
    if problems:
        raise ExportRefused(problems)


def _cut_elsewhere(soft: list[str], plan: order.Plan) -> Iterator[Problem]:
    on_cycles = {name for part in plan.components if plan.recurs(part) for name in part}
    for name in soft:
        if name in on_cycles:
            yield Problem(
                name,
                "resets by subtraction on a cycle that shares nodes with others, and as several "
                "nodes it would be walked in another order, and the cycles cut elsewhere",
                f"{ADVICE}, or rename the nodes that follow it",
            )

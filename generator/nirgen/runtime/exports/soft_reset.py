"""A reset by subtraction in NIR's own primitives.

NIR has no field for it, but it has an integrator, a threshold and an edge that goes back. Leaving
v_threshold on the membrane where a spike took it off is an error that decays with the membrane, so
it is undone by an input one step later: with a = dt/tau,

    LIF   -v_threshold * (1 - a) / (a * r)
    IF    -v_threshold / (dt * r)

The synapse of a CubaLIF is a leaky integrator of its own in front of the membrane. The threshold
that the input comes from stands apart from the one whose spikes go on: the contract delays what
goes around the cycle, and only that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import nir
import numpy as np

from nirgen.runtime.contract import order
from nirgen.runtime.contract.nesting import Flat
from nirgen.runtime.errors import ExportRefused, Problem

Edge = tuple[str, str]


def decomposed(graph: nir.NIRGraph, flat: Flat, dt: float) -> nir.NIRGraph:
    """The graph with every neuron whose metadata says `reset: subtract` in primitives.

    Args:
        graph: a graph whose shapes are known; stays as it is.
        flat: the same, as shape inference returned it.
        dt: the time step, in seconds.

    Raises:
        ExportRefused: such a neuron is part of a cycle, whose delay would move.
    """
    soft = [name for name, node in graph.nodes.items() if node.metadata.get("reset") == "subtract"]
    if not soft:
        return graph
    _demand_outside_of_cycles(soft, flat)
    parts = {name: _parts(name, graph.nodes[name], dt, graph.nodes) for name in soft}
    nodes: dict[str, nir.NIRNode] = {}
    edges: list[Edge] = []
    for name, node in graph.nodes.items():
        nodes |= parts[name].nodes if name in parts else {name: node}
    for source, target in graph.edges:
        edges.append((source, parts[target].entry if target in parts else target))
    for part in parts.values():
        edges += part.edges
    return nir.NIRGraph(nodes, edges, dict(graph.metadata), type_check=False)


@dataclass(frozen=True)
class _Parts:
    """What one neuron becomes; the last of its nodes has its name."""

    entry: str
    nodes: dict[str, nir.NIRNode]
    edges: tuple[Edge, ...]


def _parts(name: str, node: Any, dt: float, taken: Any) -> _Parts:
    membrane, spike, back = (_free(f"{name}_{part}", taken) for part in ("v", "spike", "reset"))
    nodes: dict[str, nir.NIRNode] = {}
    edges: list[Edge] = []
    entry = membrane
    if isinstance(node, nir.CubaLIF):
        entry = _free(f"{name}_i", taken)
        nodes[entry] = nir.LI(tau=node.tau_syn, r=node.w_in, v_leak=np.zeros_like(node.v_leak))
        edges.append((entry, membrane))
    nodes[membrane] = _membrane(node)
    nodes[spike] = nir.Threshold(node.v_threshold)
    nodes[back] = nir.Scale(-node.v_threshold * _input_of_one_volt(node, dt))
    nodes[name] = nir.Threshold(node.v_threshold)
    edges += [(membrane, spike), (spike, back), (back, membrane), (membrane, name)]
    return _Parts(entry, nodes, tuple(edges))


def _membrane(node: Any) -> nir.NIRNode:
    """The membrane, which starts where the neuron's does."""
    metadata = {key: held for key, held in node.metadata.items() if key == "v_initial"}
    if isinstance(node, nir.IF):
        return nir.I(node.r, metadata=metadata)
    tau = node.tau_mem if isinstance(node, nir.CubaLIF) else node.tau
    return nir.LI(tau=tau, r=node.r, v_leak=node.v_leak, metadata=metadata)


def _input_of_one_volt(node: Any, dt: float) -> Any:
    """The input that moves the membrane as much as one volt did, one step before."""
    if isinstance(node, nir.IF):
        return 1 / (dt * node.r)
    share = dt / (node.tau_mem if isinstance(node, nir.CubaLIF) else node.tau)
    return (1 - share) / (share * node.r)


def _free(name: str, taken: Any) -> str:
    while name in taken:
        name += "_"
    return name


def _demand_outside_of_cycles(soft: list[str], flat: Flat) -> None:
    problems = list(_in_cycles(set(soft), flat))
    if problems:
        raise ExportRefused(problems)


def _in_cycles(soft: set[str], flat: Flat) -> Iterator[Problem]:
    plan = order.plan(flat)
    for component in plan.components:
        if plan.recurs(component):
            for name in sorted(soft.intersection(component)):
                yield Problem(
                    name,
                    "resets by subtraction inside of a cycle, and a cycle of its own for the "
                    "reset would move the delay of the other",
                    'export with soft_reset="annotate"',
                )

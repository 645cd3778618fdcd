"""The contract once more, in NumPy and double precision, one step after the other.

Written from the table of the design and from the definition of a cut
(`nir_runtime.contract.order`), for tests alone. It shares no code with the runtime and is in no
hurry: what is linear is a matrix, filled position by position, and whatever can be searched for is
searched for.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import nir
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Shape = tuple[int, ...]
Edge = tuple[str, str]
Nodes = Mapping[str, Any]
Step = Callable[[Array], Array]

PORTS = (nir.Input, nir.Output)
STATEFUL = (nir.I, nir.IF, nir.LI, nir.LIF, nir.CubaLI, nir.CubaLIF, nir.Delay)


def interpret(graph: nir.NIRGraph, inputs: Mapping[str, Array], dt: float) -> dict[str, Array]:
    """What each Output gives, [T, N, *features], for what each Input gets, [T, N, *features]."""
    nodes, edges = flat(graph)
    delayed = cut(nodes, edges)
    order = ordered(nodes, edges, delayed)
    shapes = arriving(nodes, edges)
    count, batch = next(iter(inputs.values())).shape[:2]
    steps = {name: step_of(nodes[name], shapes[name], dt) for name in order}
    before: dict[str, Array] = {}
    every: list[dict[str, Array]] = []
    for t in range(count):
        now: dict[str, Array] = {}
        for name in order:
            x = np.zeros((batch, *shapes[name]))
            for source, target in sorted(edges):
                # What is of the step before the first is zero: it adds nothing.
                if target == name and (source, name) not in delayed:
                    x = x + now[source]
                elif target == name and before:
                    x = x + before[source]
            now[name] = steps[name](inputs[name][t] if name in inputs else x)
        every.append(now)
        before = now
    outputs = [name for name, node in graph.nodes.items() if type(node) is nir.Output]
    return {name: np.stack([now[name] for now in every]) for name in outputs}


# The graph


def flat(graph: nir.NIRGraph) -> tuple[dict[str, Any], set[Edge]]:
    """All nodes, with `sub.lif` for `lif` in `sub`, and the edges between them."""
    nodes: dict[str, Any] = {}
    entries: dict[str, str] = {}
    exits: dict[str, str] = {}
    levels: list[tuple[str, nir.NIRGraph]] = [("", graph)]
    edges: set[Edge] = set()
    named: list[tuple[nir.NIRGraph, dict[str, str]]] = []
    for prefix, level in levels:  # it grows on the way
        called: dict[str, str] = {}
        for local in sorted(level.nodes):
            name = f"{prefix}.{local}" if prefix else local
            while name in nodes:
                name += "_"
            called[local], nodes[name] = name, level.nodes[local]
        for local, name in called.items():
            if type(level.nodes[local]) is nir.Input:
                entries[prefix] = name
            if type(level.nodes[local]) is nir.Output:
                exits[prefix] = name
            if type(level.nodes[local]) is nir.NIRGraph:
                levels.append((name, level.nodes[local]))
        named.append((level, called))
    for level, called in named:
        for source, target in level.edges:
            a, b = called[source], called[target]
            edges.add((exits[a] if type(nodes[a]) is nir.NIRGraph else a,
                       entries[b] if type(nodes[b]) is nir.NIRGraph else b))  # fmt: skip
    nodes = {name: node for name, node in nodes.items() if type(node) is not nir.NIRGraph}
    for port in sorted(name for name in nodes if name not in graph.nodes):
        if type(nodes[port]) in PORTS:
            edges = straightened(port, nodes, edges)
    return nodes, edges


def straightened(port: str, nodes: dict[str, Any], edges: set[Edge]) -> set[Edge]:
    """The edges past a nested graph's port; it stays where a sum would be made several times."""
    before = [s for s, t in edges if t == port]
    behind = [t for s, t in edges if s == port]
    straight = set(itertools.product(before, behind))
    if (len(before) > 1 and len(behind) > 1) or port in before or straight & edges:
        return edges
    del nodes[port]
    return {edge for edge in edges if port not in edge} | straight


def cut(nodes: Nodes, edges: set[Edge]) -> set[Edge]:
    """The edges that carry the value of the step before."""
    delayed: set[Edge] = set()
    for source, target in closing(nodes, edges):
        if isinstance(nodes[source], STATEFUL):
            delayed.add((source, target))
            continue
        stretch = {source}
        while True:  # backward, through nodes without state, on edges that are on a cycle
            entering = {(s, t) for s, t in edges if t in stretch and s in reached(t, edges)}
            stateful = {(s, t) for s, t in entering if isinstance(nodes[s], STATEFUL)}
            delayed |= stateful
            longer = stretch | {s for s, _ in entering - stateful}
            if longer == stretch:
                break
            stretch = longer
    return delayed


def closing(nodes: Nodes, edges: set[Edge]) -> list[Edge]:
    """The edges that lead back to a node on the path just walked."""
    left: set[str] = set()

    def walk(path: list[str]) -> Iterator[Edge]:
        for target in sorted(t for s, t in edges if s == path[-1]):
            if target in path:
                yield path[-1], target
            elif target not in left:
                yield from walk([*path, target])
        left.add(path[-1])

    fed = {target for _, target in edges}
    inputs = sorted(n for n, node in nodes.items() if type(node) is nir.Input and n not in fed)
    roots = [*inputs, *sorted(nodes)]
    return [edge for root in roots if root not in left for edge in walk([root])]


def reached(first: str, edges: set[Edge]) -> set[str]:
    """A node, and all that its output goes to, by whatever way."""
    found = {first}
    while more := {t for s, t in edges if s in found} - found:
        found |= more
    return found


def ordered(nodes: Nodes, edges: set[Edge], delayed: set[Edge]) -> list[str]:
    """The nodes, each behind those whose value of the same step it needs."""
    order: list[str] = []
    while len(order) < len(nodes):
        waiting = {t for s, t in edges - delayed if s not in order}
        ready = [name for name in nodes if name not in order and name not in waiting]
        assert ready, "a cycle is left"
        order += ready
    return order


# Nodes


def arriving(nodes: Nodes, edges: set[Edge]) -> dict[str, Shape]:
    """The features that each node takes: as the Inputs have it, or what no Input reaches itself."""
    shapes = {n: _ints(o.input_type["input"]) for n, o in nodes.items() if type(o) is nir.Input}
    while len(shapes) < len(nodes):
        fresh = {t: s for s, t in edges if s in shapes and t not in shapes}
        shapes |= {t: leaving(nodes[s], shapes[s]) for t, s in fresh.items()}
        if not fresh:
            name = min(name for name in nodes if name not in shapes and nodes[name].input_type)
            shapes[name] = _ints(nodes[name].input_type["input"])
    return shapes


def leaving(node: Any, shape: Shape) -> Shape:
    """The features that a node sends on."""
    if isinstance(node, (nir.Affine, nir.Linear)):
        return node.weight.shape[:-1]
    if isinstance(node, (nir.Conv1d, nir.Conv2d)):
        return (len(node.weight), *window(node, shape)[-1])
    if isinstance(node, (nir.SumPool2d, nir.AvgPool2d)):
        return (shape[0], *window(node, shape)[-1])
    if isinstance(node, nir.Flatten):
        start, end = node.start_dim % len(shape), node.end_dim % len(shape)
        return (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])
    return shape


def step_of(node: Any, shape: Shape, dt: float) -> Step:
    """What a node computes in a step, [N, *features]; it remembers what the next step needs."""
    kind = type(node).__name__
    if kind in ("I", "IF", "LI", "LIF", "CubaLI", "CubaLIF"):
        return neuron(node, dt)
    if kind == "Delay":
        return delay(node, shape, dt)
    if kind == "Threshold":
        return lambda x: (x > node.threshold).astype(float)
    if kind == "Scale":
        return lambda x: x * node.scale
    if kind in ("Input", "Output"):
        return lambda x: x
    if kind == "Flatten":
        return lambda x: x.reshape(len(x), *leaving(node, shape))
    matrix, bias, out = linear(node, shape), bias_of(node, shape), leaving(node, shape)
    return lambda x: (x.reshape(len(x), -1) @ matrix.T + bias).reshape(len(x), *out)


def neuron(node: Any, dt: float) -> Step:
    """The table, line by line."""
    kind = type(node).__name__
    held: dict[str, Any] = {"i": 0.0, "v": 0.0}
    if kind == "IF":
        held["v"] = node.v_reset
    elif kind != "I":
        held["v"] = node.v_leak

    def step(x: Array) -> Array:
        i, v = held["i"], held["v"]
        if kind in ("I", "IF"):
            v = v + dt * node.r * x
        if kind in ("LI", "LIF"):
            v = v + dt / node.tau * ((node.v_leak - v) + node.r * x)
        if kind in ("CubaLI", "CubaLIF"):
            i = i + dt / node.tau_syn * (node.w_in * x - i)
            v = v + dt / node.tau_mem * ((node.v_leak - v) + node.r * i)
        held["i"], held["v"] = i, v
        if kind in ("I", "LI", "CubaLI"):
            return v
        z = v > node.v_threshold
        held["v"] = np.where(z, node.v_reset, v)
        return z.astype(float)

    return step


def delay(node: nir.Delay, shape: Shape, dt: float) -> Step:
    """y[t] = x[t - round(delay/dt)], zero before."""
    back = np.broadcast_to(np.round(node.delay / dt).astype(int), shape)
    seen: list[Array] = []

    def step(x: Array) -> Array:
        seen.append(x)
        y = np.zeros_like(x)
        for place in np.ndindex(shape):
            if back[place] < len(seen):
                y[(slice(None), *place)] = seen[-1 - back[place]][(slice(None), *place)]
        return y

    return step


def linear(node: Any, shape: Shape) -> Array:
    """The matrix of a node that is linear but for a bias: [features out, features in], flat."""
    out = leaving(node, shape)
    matrix = np.zeros((*out, *shape))
    for weight, to, origin in terms(node, shape):
        matrix[(*to, *origin)] += weight
    return matrix.reshape(math.prod(out), math.prod(shape))


def terms(node: Any, shape: Shape) -> Iterator[tuple[float, Shape, Shape]]:
    """Every `weight * x[origin]` that is part of `y[to]`, as (weight, to, origin)."""
    if isinstance(node, (nir.Affine, nir.Linear)):
        for *lead, o, i in np.ndindex(node.weight.shape):
            yield node.weight[(*lead, o, i)], (*lead, o), (*lead, i)
        return
    kernel, stride, padding, dilation, slid = window(node, shape)
    for channel, origin_channel, weights in channels(node, shape[0], kernel):
        for position in np.ndindex(slid):
            for offset in np.ndindex(kernel):
                ends = zip(position, stride, padding, offset, dilation, strict=True)
                origin = tuple(n * s - p + k * d for n, s, p, k, d in ends)
                if all(0 <= n < size for n, size in zip(origin, shape[1:], strict=True)):
                    yield weights[offset], (channel, *position), (origin_channel, *origin)


def channels(node: Any, count: int, kernel: Shape) -> Iterator[tuple[int, int, Array]]:
    """The pairs (channel out, channel in) that a window joins, and with what weights."""
    if isinstance(node, (nir.Conv1d, nir.Conv2d)):
        out, into = node.weight.shape[:2]
        for o, i in np.ndindex((out, into)):
            yield o, o // (out // int(node.groups)) * into + i, node.weight[o, i]
        return
    share = 1.0 if isinstance(node, nir.SumPool2d) else 1.0 / math.prod(kernel)
    for c in range(count):
        yield c, c, np.full(kernel, share)


def window(node: Any, shape: Shape) -> tuple[Shape, Shape, Shape, Shape, Shape]:
    """Kernel, stride, padding in front, dilation, and how many positions there are, by axis."""
    axes, pool = len(shape) - 1, isinstance(node, (nir.SumPool2d, nir.AvgPool2d))
    kernel = _ints(node.kernel_size, axes) if pool else node.weight.shape[2:]
    stride = _ints(node.stride, axes)
    dilation = (1,) * axes if pool else _ints(node.dilation, axes)
    reach = tuple(d * (k - 1) for d, k in zip(dilation, kernel, strict=True))
    if isinstance(node.padding, str) and node.padding == "same":
        return kernel, stride, tuple(r // 2 for r in reach), dilation, shape[1:]
    padding = (0,) * axes if isinstance(node.padding, str) else _ints(node.padding, axes)
    ends = zip(shape[1:], padding, reach, stride, strict=True)
    slid = tuple((n + 2 * p - r - 1) // s + 1 for n, p, r, s in ends)
    return kernel, stride, padding, dilation, slid


def bias_of(node: Any, shape: Shape) -> Any:
    """What a node adds to its flat output."""
    if isinstance(node, nir.Affine):
        return node.bias.ravel()
    if isinstance(node, (nir.Conv1d, nir.Conv2d)):
        return np.repeat(node.bias, math.prod(window(node, shape)[-1]))
    return 0.0


def _ints(numbers: Any, axes: int = 1) -> Shape:
    """Whole numbers, from some or from one for all axes."""
    found = tuple(int(number) for number in np.ravel(numbers))
    return found * axes if len(found) == 1 else found

"""Random NIR nodes and graphs, for property-based tests of all converters.

What a graph is made of is drawn by hypothesis, so that a failure shrinks to a small graph. The
numbers in it come from a generator with a drawn seed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import nir
import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

Array = npt.NDArray[np.float64]
Shape = tuple[int, ...]
Sized = tuple[nir.NIRNode, Shape]
"""A node and the features that it sends on."""

DT = 1e-3
NEURONS = ("I", "IF", "LI", "LIF", "CubaLI", "CubaLIF")
SPIKING = ("IF", "LIF", "CubaLIF")
STATEFUL = (*NEURONS, "Delay")

NAMES = (
    "a.b", "a_b", "a b", "a-b", "sub.lif", "lif", "lif_1", "0", "1.conv", "_", "conv", "LIF",
    "Größe", "神経", "🧠", "class", "lambda", "None", "self", "forward", "training", "state",
    "parameters", "weight", "modules", "recurrent", "load_state", "read_state", "input", "output",
    "input_1", "add", "x", "__class__", "previous_lif", "type", "torch", "nan", "Input", "device",
)  # fmt: skip
"""Names that Python, nn.Module, torch.fx or our own modules have plans of their own for."""


# Nodes


@st.composite
def neurons(
    draw: st.DrawFn, size: int | Shape, kinds: Sequence[str] = NEURONS, loudest: float = 5.0
) -> nir.NIRNode:
    """A neuron with parameters that are the same for all or differ, each by chance.

    Time constants are above the time step, thresholds mostly above the reset.
    """
    kind = draw(st.sampled_from(kinds))
    source = draw(randoms())

    def values(low: float, high: float) -> Array:
        same = draw(st.booleans())
        return np.full(size, source.uniform(low, high)) if same else source.uniform(low, high, size)

    reset = np.zeros(size) if draw(st.booleans()) else values(-0.5, 0.3)
    leak = reset.copy() if draw(st.booleans()) else values(-0.3, 0.3)
    threshold = values(0.4, 1.5)
    fields: dict[str, Any] = {"r": values(0.5, loudest)}
    if kind == "IF" or (kind == "I" and loudest > 1):
        fields["r"] *= np.exp(source.uniform(-1, 1)) * 1e2
    if kind in ("I", "IF") and draw(st.booleans()):
        fields["r"] = np.full(size, 1 / DT)
    if kind in ("LI", "LIF"):
        fields |= {"tau": values(1.5 * DT, 20 * DT), "v_leak": leak}
    if kind in ("CubaLI", "CubaLIF"):
        fields |= {
            "tau_syn": values(1.5 * DT, 20 * DT), "tau_mem": values(1.5 * DT, 20 * DT),
            "v_leak": leak, "w_in": values(0.5, loudest),
        }  # fmt: skip
    if kind in SPIKING:
        fields |= {"v_threshold": threshold, "v_reset": reset}
    return getattr(nir, kind)(**fields)


def randoms() -> st.SearchStrategy[np.random.Generator]:
    """A source of numbers."""
    return st.integers(0, 2**32 - 1).map(np.random.default_rng)


@st.composite
def elementwise(draw: st.DrawFn, shape: Shape) -> Sized:
    """A Threshold, Delay or Scale; delays are not whole steps, and may be none."""
    kind = draw(st.sampled_from(["Threshold", "Delay", "Scale"]))
    source, own = draw(randoms()), shape if draw(st.booleans()) else ()
    if kind == "Threshold":
        node: nir.NIRNode = nir.Threshold(np.full(shape, source.normal(size=own) * 0.5))
    elif kind == "Delay":
        steps = source.integers(0, 5, size=own) + source.uniform(-0.4, 0.4, size=own)
        node = nir.Delay(np.full(shape, np.maximum(steps, 0.0) * DT))
    else:
        node = nir.Scale(np.full(shape, source.uniform(-1, 1, size=own)))
    return node, shape


@st.composite
def matrices(draw: st.DrawFn, shape: Shape) -> Sized:
    """An Affine or Linear over the last axis, with a weight for each index of the others."""
    *lead, into = shape
    out, source = draw(st.sampled_from([into, into, 2, 3])), draw(randoms())
    weight = source.uniform(-2, 2, size=(*lead, out, into)) / math.sqrt(into)
    if draw(st.booleans()):
        return nir.Linear(weight), (*lead, out)
    return nir.Affine(weight, source.normal(size=(*lead, out)) * 0.3), (*lead, out)


@st.composite
def convolutions(draw: st.DrawFn, shape: Shape) -> Sized:
    """A Conv1d or Conv2d, as the features have it.

    Grouped, rectangular, strided, dilated, padded by numbers or by a word, as it comes.
    """
    channels, *sizes = shape
    axes, source = len(sizes), draw(randoms())
    groups = draw(st.sampled_from([n for n in (1, 2, channels) if channels % n == 0]))
    out = groups * draw(st.integers(1, max(1, 4 // groups)))
    kernel = [draw(st.integers(1, min(3, size))) for size in sizes]
    dilation = [
        draw(st.integers(1, 2)) if 2 * k - 1 <= n else 1 for k, n in zip(kernel, sizes, strict=True)
    ]
    padding: Any = draw(st.sampled_from(["same", "valid", "numbers"]))
    stride = [1] * axes if padding == "same" else [draw(st.integers(1, 2)) for _ in sizes]
    pads = [0] * axes
    if padding == "numbers":
        padding = pads = [draw(st.integers(0, 2)) for _ in sizes]
    slid = tuple(sizes) if padding == "same" else _slid(sizes, kernel, stride, pads, dilation)
    node = [nir.Conv1d, nir.Conv2d][axes - 1](
        input_shape=_form(sizes),
        weight=source.uniform(-1, 1, size=(out, channels // groups, *kernel)),
        stride=_form(stride),
        padding=padding if isinstance(padding, str) else _form(padding),
        dilation=_form(dilation),
        groups=groups,
        bias=source.normal(size=out) * 0.2,
    )
    return node, (out, *slid)


@st.composite
def pools(draw: st.DrawFn, shape: Shape) -> Sized:
    """A SumPool2d or AvgPool2d, whose windows may lie apart, overlap, and reach over the edge."""
    channels, *sizes = shape
    kind = draw(st.sampled_from([nir.SumPool2d, nir.AvgPool2d]))
    kernel = [draw(st.integers(1, min(3, size))) for size in sizes]
    stride = [draw(st.integers(1, 3)) for _ in sizes]
    padding = [draw(st.integers(0, k // 2)) for k in kernel]
    node = kind(np.array(kernel), np.array(stride), np.array(padding))
    return node, (channels, *_slid(sizes, kernel, stride, padding, [1, 1]))


@st.composite
def flattens(draw: st.DrawFn, shape: Shape) -> Sized:
    """A Flatten of some or all axes, counted from the front or the back."""
    rank = len(shape)
    start = draw(st.integers(0, rank - 1))
    end = draw(st.integers(start, rank - 1))
    joined = (*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])
    node = nir.Flatten({"input": np.array(shape)})
    # Negative axes are set later: nir 1.0.8 works out a wrong output_type for some of them.
    node.start_dim = start - rank if draw(st.booleans()) else start
    node.end_dim = end - rank if draw(st.booleans()) else end
    node.output_type = {"output": np.array(joined)}
    return node, joined


def primitives(shape: Shape) -> st.SearchStrategy[Sized]:
    """Any node that takes features of a shape."""
    neuron = neurons(shape, loudest=1.0).map(lambda node: (node, shape))
    kinds = [neuron, neuron, elementwise(shape), matrices(shape)]
    if len(shape) > 1:
        kinds += [convolutions(shape), flattens(shape)]
    if len(shape) == 3:
        kinds += [pools(shape)]
    return st.one_of(kinds)


def _slid(*window: Sequence[int]) -> Shape:
    each = zip(*window, strict=True)
    return tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, k, s, p, d in each)


def _form(numbers: Sequence[int]) -> Any:
    return numbers[0] if len(numbers) == 1 else tuple(numbers)


# Graphs


def single(node: nir.NIRNode, size: int | Shape) -> nir.NIRGraph:
    """A graph of one node."""
    shape = np.atleast_1d(size)
    nodes = {"input": nir.Input({"input": shape}), "node": node,
             "output": nir.Output({"output": None})}  # fmt: skip
    if isinstance(size, int):
        nodes["output"] = nir.Output({"output": shape})
    edges = [("input", "node"), ("node", "output")]
    return nir.NIRGraph(nodes, edges, type_check=False)


@st.composite
def graphs(
    draw: st.DrawFn, *, nested: int = 2, names: Sequence[str] = NAMES, most: int = 8
) -> nir.NIRGraph:
    """A whole graph, with whatever NIR allows.

    Chains, joins, fan-out, several Inputs and Outputs, nodes that nothing reads, self-loops and
    cycles through a node with state, some that share nodes; names from `names`, or made up when
    they run out; nodes and edges in any order.

    Args:
        nested: how deep graphs lie in graphs.
        names: what nodes may be called.
        most: how many nodes at most lie between the Inputs and the Outputs of a graph.
    """
    shapes = st.sampled_from([(3,), (3,), (4,), (2, 5), (2, 5, 4)])
    inputs = draw(st.lists(shapes, min_size=1, max_size=2))
    built = _Building(draw, inputs, nested, names, most)
    for _ in range(draw(st.integers(1, 3))):
        built.add_output()
    return built.graph()


@st.composite
def webs(draw: st.DrawFn) -> nir.NIRGraph:
    """Nodes that take and send on three features, any of which may feed any other, and itself.

    Where such a graph's many cycles are cut follows from all of its edges and names.
    """
    shape, names = (3,), iter(draw(st.permutations(NAMES)))
    inputs = {next(names): nir.Input({"input": np.array(shape)}) for _ in range(draw(_one_to(3)))}
    inner = {next(names): draw(_of_three()) for _ in range(draw(_one_to(7)))}
    nodes: dict[str, nir.NIRNode] = {**inputs, **inner}
    pairs = [(source, target) for source in nodes for target in inner]
    edges: list[tuple[str, str]] = []
    fewest, most = min(2 * len(inner), len(pairs)), 3 * len(inner)
    wanted = st.lists(st.sampled_from(pairs), min_size=fewest, max_size=most, unique=True)
    for edge in draw(wanted):
        if not has_stateless_cycle(nodes, [*edges, edge]):
            edges.append(edge)
    unfed = set(inner) - {target for _, target in edges}
    edges += [(draw(st.sampled_from(list(inputs))), name) for name in sorted(unfed)]
    for _ in range(draw(_one_to(2))):
        name = next(names)
        nodes[name] = nir.Output({"output": np.array(shape)})
        sources = draw(st.lists(st.sampled_from(list(inner)), min_size=1, unique=True))
        edges += [(source, name) for source in sources]
    return nir.NIRGraph(nodes, edges, type_check=False)


def _one_to(most: int) -> st.SearchStrategy[int]:
    return st.integers(1, most)


def _of_three() -> st.SearchStrategy[nir.NIRNode]:
    """A node for three features, mostly with state, and not so loud that many would run away."""
    linear = randoms().map(lambda source: nir.Linear(source.uniform(-0.5, 0.5, size=(3, 3))))
    scale = randoms().map(lambda source: nir.Scale(source.uniform(-0.5, 0.5, size=3)))
    neuron = neurons((3,), loudest=1.0)
    return st.one_of(neuron, neuron, elementwise((3,)).map(lambda drawn: drawn[0]), linear, scale)


def any_graphs() -> st.SearchStrategy[nir.NIRGraph]:
    """Graphs of all kinds."""
    return st.one_of(graphs(), webs())


class _Building:
    """A graph that grows.

    Attributes:
        arriving, leaving: the features that each node takes and sends on.
    """

    def __init__(
        self, draw: st.DrawFn, inputs: Iterable[Shape], nested: int, names: Sequence[str], most: int
    ) -> None:
        self.draw = draw
        self.nested = nested
        self.names = draw(st.permutations(names))
        self.most = most
        self.nodes: dict[str, nir.NIRNode] = {}
        self.edges: list[tuple[str, str]] = []
        self.arriving: dict[str, Shape] = {}
        self.leaving: dict[str, Shape] = {}
        for shape in inputs:
            self._add(nir.Input({"input": np.array(shape)}), [], shape, shape)
        for _ in range(draw(st.integers(1, most))):
            self.add_node()
        for _ in range(draw(st.integers(0, 3))):
            self.close_a_loop()

    def add_node(self) -> None:
        """A primitive or a graph, fed by one value or the sum of some."""
        sources = self._some_alike()
        shape = self.leaving[sources[0]]
        if self.nested and self.draw(st.integers(0, 4)) == 0:
            node, left = self._graph_inside(shape)
        else:
            node, left = self.draw(primitives(shape))
        self._add(node, sources, shape, left)

    def close_a_loop(self) -> None:
        """One more edge, from and to where it can lead and closes no cycle without state."""
        fitting = [
            (source, target)
            for source, left in self.leaving.items()
            for target, arriving in self.arriving.items()
            if left == arriving
            and (source, target) not in self.edges
            and not isinstance(self.nodes[target], nir.Input)
        ]
        edges = [e for e in fitting if not has_stateless_cycle(self.nodes, [*self.edges, e])]
        if edges:
            self.edges.append(self.draw(st.sampled_from(edges)))

    def add_output(self) -> None:
        """An Output of one value or the sum of some."""
        sources = self._some_alike()
        shape = self.leaving[sources[0]]
        self._add(nir.Output({"output": np.array(shape)}), sources, shape, None)

    def graph(self) -> nir.NIRGraph:
        """The graph as it is now, its nodes and edges shuffled."""
        nodes = self.draw(st.permutations(list(self.nodes.items())))
        edges = self.draw(st.permutations(self.edges))
        return nir.NIRGraph(dict(nodes), list(edges), type_check=False)

    def _graph_inside(self, shape: Shape) -> Sized:
        inside = _Building(self.draw, [shape], self.nested - 1, self.names, min(4, self.most))
        inside.add_output()
        (left,) = (inside.arriving[n] for n, o in inside.nodes.items() if type(o) is nir.Output)
        return inside.graph(), left

    def _some_alike(self) -> list[str]:
        """Nodes whose values can be summed, more often than not one that nothing reads yet."""
        read = {source for source, _ in self.edges}
        unread = [name for name in self.leaving if name not in read]
        first = self.draw(st.sampled_from([*self.leaving, *unread, *unread, *unread][::-1]))
        alike = [n for n, s in self.leaving.items() if n != first and s == self.leaving[first]]
        more = st.lists(st.sampled_from(alike), max_size=2, unique=True) if alike else st.just([])
        return [first, *self.draw(more)]

    def _add(
        self, node: nir.NIRNode, sources: Iterable[str], arriving: Shape, leaving: Shape | None
    ) -> None:
        count = len(self.nodes)
        name = self.names[count] if count < len(self.names) else f"n{count}"
        self.nodes[name] = node
        self.edges += [(source, name) for source in sources]
        self.arriving[name] = arriving
        if leaving is not None:
            self.leaving[name] = leaving


def has_stateless_cycle(nodes: dict[str, nir.NIRNode], edges: Sequence[tuple[str, str]]) -> bool:
    """Whether nodes that pass a step's value on in the same step feed each other."""
    passing = {name for name, node in nodes.items() if _passes(node)}
    left = [edge for edge in edges if passing.issuperset(edge)]
    while left:
        targets = {target for _, target in left}
        behind = [edge for edge in left if edge[0] in targets]
        if len(behind) == len(left):
            return True
        left = behind
    return False


def _passes(node: nir.NIRNode) -> bool:
    """Whether a node's output depends on its input of the same step alone, if only in part."""
    if not isinstance(node, nir.NIRGraph):
        return type(node).__name__ not in STATEFUL
    reached = {name for name, inner in node.nodes.items() if isinstance(inner, nir.Input)}
    grown: set[str] = set()
    while reached != grown:
        grown = set(reached)
        reached |= {t for s, t in node.edges if s in grown and _passes(node.nodes[t])}
    return any(isinstance(node.nodes[name], nir.Output) for name in reached)


def every_level(graph: nir.NIRGraph) -> list[nir.NIRGraph]:
    """A graph and all graphs in it."""
    inner = [node for node in graph.nodes.values() if isinstance(node, nir.NIRGraph)]
    return [graph, *(level for each in inner for level in every_level(each))]


def without_input_shapes(graph: nir.NIRGraph) -> nir.NIRGraph:
    """The graph, its convolutions no longer knowing the sizes that they are for."""
    for level in every_level(graph):
        for node in level.nodes.values():
            if isinstance(node, (nir.Conv1d, nir.Conv2d)):
                node.input_shape = None
    return graph


def shuffled(graph: nir.NIRGraph, seed: int) -> nir.NIRGraph:
    """The same graph, its nodes and edges stored in another order, on all levels."""
    source = np.random.default_rng(seed)
    names = [str(name) for name in source.permutation(list(graph.nodes))]
    edges = [graph.edges[index] for index in source.permutation(len(graph.edges))]
    nodes = {name: _shuffled(graph.nodes[name], seed) for name in names}
    return nir.NIRGraph(nodes, edges, type_check=False)


def _shuffled(node: nir.NIRNode, seed: int) -> nir.NIRNode:
    return shuffled(node, seed + 1) if isinstance(node, nir.NIRGraph) else node


def inputs_for(graph: nir.NIRGraph, steps: int, batch: int, seed: int) -> dict[str, Array]:
    """For each Input, numbers [steps, batch, *features] that make neurons move and fire."""
    source = np.random.default_rng(seed)
    return {
        name: source.normal(0.4, 1.5, size=(steps, batch, *graph.nodes[name].input_type["input"]))
        for name in sorted(graph.nodes)
        if isinstance(graph.nodes[name], nir.Input)
    }

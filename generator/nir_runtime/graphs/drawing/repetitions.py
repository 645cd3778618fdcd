"""What repeats in a graph: `Conv2d -> LIF`, twelve times.

In the order of execution, a node that no edge passes over splits the graph in two: all that comes
behind sees what came before through it alone. Between two such nodes lies a *stretch*: a single
node of a chain, or a residual block. Two stretches are alike if they have nodes of the same kinds,
connected in the same way. A *run* is a series of stretches that comes several times in a row.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass

Edge = tuple[str, str]

LONGEST = 64
"""How many stretches a repeated series may have."""


@dataclass(frozen=True)
class Run:
    """A part of a graph that comes several times in a row.

    Attributes:
        repetitions: the nodes of each repetition; those at the same position are alike.
    """

    repetitions: tuple[tuple[str, ...], ...]


def runs(
    order: Sequence[str],
    edges: Collection[Edge],
    alike: Mapping[str, Hashable],
    whole: Callable[[Run], bool],
) -> list[Run]:
    """The runs of a graph, none of which share nodes.

    The shortest repetitions are found first, and what they leave may be in longer ones.

    Args:
        order: all nodes, each behind those whose value of the same step it needs.
        edges: between them, delayed ones included.
        alike: what nodes must share to be alike.
        whole: whether a run may be taken for one.
    """
    stretches = _stretches(order, edges)
    marks = _marks(stretches, edges, alike)
    free = [True] * len(stretches)
    found: dict[int, Run] = {}
    for period in range(1, min(LONGEST, len(stretches) // 2) + 1):
        start = 0
        while start + 2 * period <= len(stretches):
            length = _length(start, period, marks, free)
            run = _run(start, period, length, stretches)
            if length > period and whole(run):
                found[start] = run
                free[start : start + length] = [False] * length
                start += length
            else:
                start += 1
    return [found[start] for start in sorted(found)]


def _stretches(order: Sequence[str], edges: Collection[Edge]) -> list[tuple[str, ...]]:
    """The order, split behind each node that no edge passes over and no cycle leads back over."""
    position = {name: number for number, name in enumerate(order)}
    passing = [0] * (len(order) + 1)  # how many more edges pass over a node than over the last
    for source, target in edges:
        left, entered = position[source], position[target]
        first, last = (left + 1, entered) if left < entered else (entered, left)
        if first < last:
            passing[first] += 1
            passing[last] -= 1
    stretches: list[tuple[str, ...]] = []
    begun: list[str] = []
    over = 0
    for number, name in enumerate(order):
        begun.append(name)
        over += passing[number]
        if not over:
            stretches.append(tuple(begun))
            begun = []
    return stretches


def _marks(
    stretches: Sequence[Sequence[str]], edges: Collection[Edge], alike: Mapping[str, Hashable]
) -> list[int]:
    """A number for each stretch, the same for those that are alike."""
    of = {name: (k, p) for k, names in enumerate(stretches) for p, name in enumerate(names)}
    inner: list[list[Hashable]] = [[] for _ in stretches]
    for source, target in edges:
        (left, out), (arrived, into) = of[source], of[target]
        inner[arrived].append((out if left == arrived else -1, into))
    numbers: dict[Hashable, int] = {}
    return [
        numbers.setdefault((tuple(alike[name] for name in names), frozenset(found)), len(numbers))
        for names, found in zip(stretches, inner, strict=True)
    ]


def _length(start: int, period: int, marks: Sequence[int], free: Sequence[bool]) -> int:
    """How many free stretches the repetitions of the first few take in, those few included."""
    end = start
    while end < len(marks) and free[end]:
        if end >= start + period and marks[end] != marks[end - period]:
            break
        end += 1
    return (end - start) // period * period


def _run(start: int, period: int, length: int, stretches: Sequence[tuple[str, ...]]) -> Run:
    firsts = range(start, start + length, period)
    parts = (stretches[first : first + period] for first in firsts)
    return Run(tuple(tuple(name for names in part for name in names) for part in parts))

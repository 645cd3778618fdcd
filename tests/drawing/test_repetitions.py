"""What is found to repeat."""

from __future__ import annotations

from itertools import pairwise

from nir_runtime.graphs.drawing.repetitions import Run, runs


def chain(kinds: str, *more: tuple[int, int]) -> list[list[str]]:
    """The runs in a chain of nodes, one for each letter, with more edges between them."""
    names = [f"{kind}{number}" for number, kind in enumerate(kinds)]
    edges = [*pairwise(names), *((names[a], names[b]) for a, b in more)]
    found = runs(names, edges, dict(zip(names, kinds, strict=True)), lambda run: True)
    return [[" ".join(names) for names in run.repetitions] for run in found]


def test_nothing_repeats() -> None:
    assert chain("abcab"[:3]) == []
    assert chain("") == []


def test_a_series() -> None:
    assert chain("xabababy") == [["a1 b2", "a3 b4", "a5 b6"]]


def test_the_shortest_repetitions_come_first() -> None:
    assert chain("xaabaab") == [["a1", "a2"], ["a4", "a5"]]
    assert chain("xabcabc") == [["a1 b2 c3", "a4 b5 c6"]]


def test_two_series() -> None:
    assert chain("xababcdcd") == [["a1 b2", "a3 b4"], ["c5 d6", "c7 d8"]]


def test_residual_blocks_are_one_stretch_each() -> None:
    assert chain("xabnabny", (0, 3), (3, 6)) == [["a1 b2 n3", "a4 b5 n6"]]


def test_a_block_that_is_joined_otherwise_is_not_alike() -> None:
    assert chain("xabnabny", (0, 3)) == []


def test_edges_over_everything_leave_nothing() -> None:
    assert chain("ababab", (0, 5)) == []


def test_cycles_stay_inside() -> None:
    assert chain("xababy", (2, 1), (4, 3)) == [["a1 b2", "a3 b4"]]
    assert chain("xababy", (2, 1)) == []


def test_what_may_not_be_a_run_is_none() -> None:
    names = ["x", "a", "b", "c", "d"]
    alike = {"x": 2, "a": 0, "b": 1, "c": 0, "d": 1}
    assert runs(names, list(pairwise(names)), alike, lambda run: False) == []
    assert runs(names, list(pairwise(names)), alike, lambda run: True) == [
        Run((("a", "b"), ("c", "d")))
    ]

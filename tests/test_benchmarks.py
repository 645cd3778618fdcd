"""The benchmarks run, and say what they measured; how long things take is no matter of a test."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable

import pytest

from tests.benchmarks import bench, chains, memory, running, weights
from tests.benchmarks.processes import alone, most_memory
from tests.benchmarks.tables import Table


@pytest.fixture(autouse=True)
def no_preparations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sync", lambda: None)
    monkeypatch.setattr(gc, "collect", lambda: None)


@pytest.mark.parametrize(
    ("section", "rows"),
    [
        (lambda: chains.beside_peers((4,)), 6),
        (lambda: chains.growth((4, 40)), 2),
        (lambda: weights.saving(1, 64), 7),
        (lambda: weights.loading(1, 64), 10),
        (lambda: running.forward(2, 1, 1), 4),
        (lambda: running.recurrent(2, 1, 1), 3),
    ],
)
def test_a_section_gives_a_table(section: Callable[[], Table], rows: int) -> None:
    table = section()
    assert len(table.rows) == rows
    assert {len(row) for row in table.rows} == {len(table.header)}
    assert table.title in bench.report([table])
    for row in table.short:
        assert f"| {row[0]} " in bench.report([table])


def of_the_second() -> int:
    """The most memory of 60 MB behind 200; written to, since zeros may take none."""
    most_memory(lambda: b"x" * (200 << 20))
    return most_memory(lambda: b"x" * (60 << 20))


def test_memory_is_counted_from_where_it_starts() -> None:
    assert 50 << 20 < alone(of_the_second) < 80 << 20


def test_what_memory_is_measured_of_has_different_numbers() -> None:
    weight = memory.network(2, 8)[1].weight
    assert weight.unique().numel() == weight.numel()

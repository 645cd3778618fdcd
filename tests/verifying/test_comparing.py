"""Two series of numbers."""

from __future__ import annotations

import math

import torch
from hypothesis import given
from hypothesis import strategies as st

from nir_runtime.verifying.comparing import Comparison

numbers = st.floats(-2, 2) | st.sampled_from([0.0, math.inf, -math.inf, math.nan])


def series(values: list[list[float]]) -> torch.Tensor:
    """[T, 1, features]."""
    return torch.tensor(values, dtype=torch.float64).unsqueeze(1)


def test_the_first_difference_is_the_largest_of_its_step() -> None:
    found = Comparison(tolerance=0.0)
    found.see(series([[1, 1, 1], [0, 0, 0]]), series([[1, 1, 1], [0, 1, 3]]), step=10)
    assert found.first is not None
    assert (found.first.step, found.first.sample, found.first.neuron) == (11, 0, (2,))
    assert found.first.values == (0.0, 3.0)
    assert (found.compared, found.differing, found.apart, found.totals) == (6, 2, 3.0, (3.0, 7.0))


def test_numbers_are_compared_with_the_largest_so_far() -> None:
    found = Comparison(tolerance=1e-3)
    found.see(series([[100.0], [0.0]]), series([[100.0], [0.05]]), step=0)
    assert found.first is None
    found.see(series([[0.0]]), series([[0.2]]), step=2)
    assert found.first is not None
    assert found.first.step == 2
    later = Comparison(tolerance=1e-3)
    later.see(series([[0.0], [100.0]]), series([[0.05], [100.0]]), step=0)
    assert later.first is not None
    assert later.first.step == 0


@given(
    a=st.lists(st.lists(numbers, min_size=2, max_size=2), min_size=1, max_size=6),
    cut=st.integers(0, 6),
)
def test_series_are_equal_to_themselves_however_they_are_seen(
    a: list[list[float]], cut: int
) -> None:
    found = Comparison(tolerance=0.0)
    for part, step in ((a[:cut], 0), (a[cut:], cut)):
        if part:
            found.see(series(part), series(part), step)
    assert (found.differing, found.apart, found.first) == (0, 0.0, None)
    assert found.compared == 2 * len(a)


@given(step=st.integers(0, 5), other=st.sampled_from([math.nan, math.inf, 1.0]))
def test_one_that_differs_is_found(step: int, other: float) -> None:
    a = [[0.0, 0.5] for _ in range(6)]
    b = [list(row) for row in a]
    b[step][1] = other
    found = Comparison(tolerance=1e-9)
    found.see(series(a[:3]), series(b[:3]), 0)
    found.see(series(a[3:]), series(b[3:]), 3)
    assert found.first is not None
    assert (found.first.step, found.first.neuron, found.differing) == (step, (1,), 1)

"""What a change does to numbers, told in numbers."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nirgen.mapping.expressions import Call, Literal, Name
from nirgen.review.measure import UNKNOWN, Measured, Symbol, Trial, computed, distance, measure


def over(old: Callable[[float], object], new: Callable[[float], object]) -> Measured | None:
    return measure(Trial({"x": x}, old(x), new(x)) for x in (-2.0, 0.5, 4.0))


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        (lambda x: x, lambda x: x, "equal to rounding, on all 3 samples"),
        (lambda x: x, lambda x: x / 3 * 3, "equal to rounding, on all 3 samples"),
        (lambda x: x, lambda x: 5 * x, "5 times as much, on all 3 samples"),
        (lambda x: x, lambda x: -x, "-1 times as much, on all 3 samples"),
        (
            lambda x: x, abs,
            "changes 1 of 3 samples; largest relative change 2, at x = -2: -2 -> 2",
        ),
        (
            lambda x: max(x, 0.0), lambda x: x,
            "changes 1 of 3 samples, such as x = -2: 0 -> -2",
        ),
        (
            lambda x: x > 0, lambda x: True,
            "changes 1 of 3 samples, such as x = -2: False -> True",
        ),
        (
            lambda x: None, lambda x: x,
            "changes 3 of 3 samples, such as x = -2: None -> -2",
        ),
        (
            lambda x: (1, x), lambda x: (1, x + 1),
            "changes 3 of 3 samples; largest relative change 2, at x = 0.5: (1, 0.5) -> (1, 1.5)",
        ),
    ],
)  # fmt: skip
def test_sentences(
    old: Callable[[float], object], new: Callable[[float], object], says: str
) -> None:
    assert str(over(old, new)) == says


def test_what_has_no_value_is_not_compared() -> None:
    assert over(lambda x: UNKNOWN, lambda x: x) is None
    found = over(lambda x: UNKNOWN if x < 0 else x, lambda x: x)
    assert found is not None
    assert found.samples == 2


def test_functions_of_tensors_are_equal_where_what_goes_in_is() -> None:
    zeros = Call("zeros", (Name("count"),))
    assert computed(zeros, {"count": 3}) == Symbol("zeros", (3,))
    assert distance(computed(zeros, {"count": 3}), computed(zeros, {"count": 3})) == 0
    assert distance(computed(zeros, {"count": 2}), computed(zeros, {"count": 3})) == 0.5
    assert str(computed(Call("size", (Name("weight"), Literal(1))), {})) == "size(weight, 1)"


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_no_distance_from_itself(x: float) -> None:
    assert distance(x, x) == 0
    assert distance((x, "word"), (x, "word")) == 0

"""The functions of the language: declared once, computed alike by the proofs and the runtime."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nir_runtime import functions as runtime
from nirgen.mapping.functions import FUNCTIONS

ARGUMENTS: dict[str, st.SearchStrategy[Any]] = {
    "sigmoid": st.floats(-20, 20),
    "logit": st.floats(1e-6, 1 - 1e-6),
    "exp": st.floats(-20, 20),
    "log": st.floats(1e-6, 1e6),
    "sqrt": st.floats(0, 1e6),
    "float32": st.floats(-1e6, 1e6),
    "pair": st.one_of(st.integers(0, 9), st.tuples(st.integers(0, 9), st.integers(0, 9))),
    "single": st.one_of(st.integers(0, 9), st.tuples(st.integers(0, 9))),
    "pair_or_word": st.one_of(st.integers(0, 9), st.just("same")),
    "single_or_word": st.one_of(st.integers(0, 9), st.just("valid")),
    "any_nonzero": st.one_of(st.integers(0, 1), st.tuples(st.integers(0, 1), st.integers(0, 1))),
}
COMPUTED = [name for name, function in FUNCTIONS.items() if function.evaluate is not None]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_runtime_has_it(name: str) -> None:
    assert callable(getattr(runtime, name))


@pytest.mark.parametrize("name", COMPUTED)
@given(data=st.data())
def test_both_compute_the_same(name: str, data: st.DataObject) -> None:
    argument = data.draw(ARGUMENTS[name])
    evaluate = FUNCTIONS[name].evaluate
    assert evaluate is not None
    # A layer's sigmoid is computed in single precision, as PyTorch makes its parameters.
    assert agree(getattr(runtime, name)(argument), evaluate(argument), 1e-5)


@pytest.mark.parametrize("name", [n for n in COMPUTED if FUNCTIONS[n].inverse])
@given(data=st.data())
def test_the_inverse_undoes_it(name: str, data: st.DataObject) -> None:
    function = FUNCTIONS[name]
    inverse = FUNCTIONS[str(function.inverse)]
    assert inverse.inverse == name
    assert function.evaluate is not None
    assert inverse.evaluate is not None
    value = function.evaluate(data.draw(ARGUMENTS[name]))
    if name == "sigmoid" and not 1e-6 < value < 1 - 1e-6:
        return
    assert agree(function.evaluate(inverse.evaluate(value)), value, 1e-6)


def agree(a: Any, b: Any, tolerance: float) -> bool:
    """Whether two values are equal, or two numbers nearly so."""
    return bool(a == b) or (isinstance(b, float) and bool(a == pytest.approx(b, rel=tolerance)))

"""The formula language: printing undoes parsing, solving undoes evaluating."""

from __future__ import annotations

import math

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nirgen.mapping.expressions import (
    Binary,
    Call,
    Expression,
    Literal,
    Name,
    Negative,
    Not,
    NotComputable,
    evaluate,
    fold,
    names,
    parse,
    show,
    solve,
)
from nirgen.mapping.problems import Location, Problems

HERE = Location("m.yaml", 3, 5)


def parsed(text: str) -> Expression:
    problems = Problems()
    expression = parse(text, HERE, problems)
    assert expression is not None, problems.found
    return expression


atoms = st.one_of(
    st.sampled_from(["tau", "dt", "v_reset", "decay_input"]).map(Name),
    st.integers(0, 100).map(Literal),
    st.floats(0.0, 1e6).map(Literal),
    st.sampled_from([Literal(True), Literal(None), Literal("zeros")]),
)


def compound(inner: st.SearchStrategy[Expression]) -> st.SearchStrategy[Expression]:
    symbols = ["+", "-", "*", "/", "<", "<=", "==", "!=", "is", "is not", "and", "or"]
    return st.one_of(
        inner.map(Negative),
        inner.map(Not),
        st.builds(Binary, st.sampled_from(symbols), inner, inner),
        inner.map(lambda x: Call("sigmoid", (x,))),
    )


@given(st.recursive(atoms, compound, max_leaves=12))
def test_printing_undoes_parsing(expression: Expression) -> None:
    text = show(expression)
    # Whatever tree a text has, printing that tree gives a text of the same tree.
    problems = Problems()
    again = parse(text, HERE, problems)
    assert again is not None, problems.found
    assert show(again) == text
    assert again == expression


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("dt/(1-c)", "dt / (1 - c)"),
        ("(a*b)/c", "a * b / c"),
        ("a*(b/c)", "a * (b / c)"),
        ("a-(b-c)", "a - (b - c)"),
        ("0<=c<1", "0 <= c < 1"),
        ("not (a or b)", "not (a or b)"),
        ("v is  not None", "v is not None"),
        ("-(a+b)", "-(a + b)"),
    ],
)
def test_canonical_text(text: str, canonical: str) -> None:
    assert show(parsed(text)) == canonical


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("tau.__class__", "m.yaml:3:5: `tau.__class__` is not part of the formula language"),
        ("a + tau[0]", "m.yaml:3:9: `tau[0]` is not part"),
        ("__import__('os')", "m.yaml:3:5: unknown function `__import__`"),
        ("sigmiod(w)", "m.yaml:3:5: unknown function `sigmiod`"),
        ("sigmoid(a, b)", "m.yaml:3:5: `sigmoid` takes 1 arguments, not 2"),
        ("lambda: 1", "m.yaml:3:5: `lambda: 1` is not part"),
        ("tau ** 2", "m.yaml:3:5: `tau ** 2` is not part"),
        ("[x for x in y]", "m.yaml:3:5"),
        ("(a := 1)", "m.yaml:3:6"),
        ("tau *", "m.yaml:3:5: not a formula"),
        ("a = 1", "m.yaml:3:7: not a formula"),
        ("a if b else c", "m.yaml:3:5"),
        ("f'{a}'", "m.yaml:3:5"),
        ("b'x'", "m.yaml:3:5"),
        ("1j", "m.yaml:3:5"),
        ("", "m.yaml:3"),
    ],
)
def test_forbidden_syntax(text: str, problem: str) -> None:
    problems = Problems()
    assert parse(text, HERE, problems) is None
    assert str(problems.found[0]).startswith(problem)


def test_a_misspelt_function_is_guessed() -> None:
    problems = Problems()
    parse("sigmiod(w)", HERE, problems)
    assert problems.found[0].mend == "did you mean `sigmoid`?"


arithmetic_atoms = st.one_of(
    st.just(Name("a")), st.just(Name("b")), st.floats(0.1, 10.0).map(Literal)
)
arithmetic = st.recursive(
    arithmetic_atoms,
    lambda inner: st.one_of(
        inner.map(Negative), st.builds(Binary, st.sampled_from(["+", "-", "*", "/"]), inner, inner)
    ),
    max_leaves=6,
)


@given(arithmetic, st.floats(0.1, 10.0), st.floats(0.1, 10.0))
def test_solving_undoes_evaluating(formula: Expression, a: float, b: float) -> None:
    solution = solve(formula, "a", Name("value"))
    assume(solution is not None)
    assert solution is not None
    assert "a" not in names(solution)
    try:
        value = evaluate(formula, {"a": a, "b": b})
        assume(1e-3 < abs(value) < 1e3)
        # A formula in which `a` hardly matters can't be undone in floating point.
        assume(not math.isclose(evaluate(formula, {"a": a * 1.001, "b": b}), value, rel_tol=1e-6))
        assert evaluate(solution, {"value": value, "b": b}) == pytest.approx(a, rel=1e-6)
    except NotComputable:
        assume(False)


@pytest.mark.parametrize(
    ("text", "unknown", "solution"),
    [
        ("tau * dt", "tau", "t / dt"),
        ("dt / (1 - c)", "c", "1 - dt / t"),
        ("1 / dt", "dt", "1 / t"),
        ("dt / sigmoid(w)", "w", "logit(dt / t)"),
        ("start - axes", "start", "t + axes"),
        ("-x", "x", "-t"),
    ],
)
def test_solutions(text: str, unknown: str, solution: str) -> None:
    solved = solve(parsed(text), unknown, Name("t"))
    assert solved is not None
    assert show(solved) == solution


@pytest.mark.parametrize("text", ["a * a", "a + b if b else a", "zeros(a)", "b"])
def test_what_cannot_be_solved(text: str) -> None:
    expression = parse(text, HERE, Problems())
    assert expression is None or solve(expression, "a", Name("t")) is None


def test_folding_computes_what_it_can() -> None:
    assert show(fold(parsed("tau * (1 - 0.0)"))) == "tau"
    assert show(fold(parsed("tau / (3 - 1)"))) == "tau / 2"

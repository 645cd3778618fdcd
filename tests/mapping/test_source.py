"""The strict reading of YAML: what it means, and the traps that are closed."""

from __future__ import annotations

import pytest

from nirgen.mapping.problems import Problems
from nirgen.mapping.source import Mapping, Scalar, parse


def scalars(text: str) -> dict[str, object]:
    problems = Problems()
    tree = parse(text, "m.yaml", problems)
    assert not problems.found, problems.found
    assert isinstance(tree, Mapping)
    return {k: v.value for k, v in tree.entries.items() if isinstance(v, Scalar)}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1.0e-4", 1e-4),
        ("-3", -3),
        ("2.", 2.0),
        (".5", 0.5),
        ("true", True),
        ("null", None),
        ('"1"', "1"),
        ("'off'", "off"),
        ("tau * dt", "tau * dt"),
        ("1 / dt", "1 / dt"),
    ],
)
def test_values(text: str, value: object) -> None:
    (found,) = scalars(f"key: {text}\n").values()
    assert found == value
    assert type(found) is type(value)


def test_places_count_from_one_and_point_inside_of_quotes() -> None:
    tree = parse('a:\n  b: "x + y"\n', "m.yaml", Problems())
    assert isinstance(tree, Mapping)
    inner = tree.entries["a"]
    assert isinstance(inner, Mapping)
    assert str(inner.keys["b"]) == "m.yaml:2:3"
    assert str(inner.entries["b"].at) == "m.yaml:2:7"


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: off\n", "m.yaml:1:4: `off` means a truth value or null to some readers"),
        ("a: No\n", "m.yaml:1:4: `No` means a truth value"),
        ("a: 012\n", "m.yaml:1:4: `012` means a number to some readers"),
        ("a: 1_000\n", "m.yaml:1:4: `1_000` means a number"),
        ("a: 1:30\n", "m.yaml:1:4: `1:30` means a number of base sixty"),
        ("a: 2024-01-31\n", "m.yaml:1:4: `2024-01-31` means a date"),
        ("a: .inf\n", "m.yaml:1:4: `.inf` means infinity"),
        ("a: 1\nb: 2\na: 3\n", "m.yaml:3:1: duplicate key `a`"),
        ("a: &x 1\nb: *x\n", "m.yaml:1:4: anchors and aliases"),
        ("<<: {a: 1}\n", "m.yaml:1:1: merge keys"),
        ("a: !!python/name:os.system 1\n", "m.yaml:1:4: tags are not part"),
        ("[1]: 2\n", "m.yaml:1:1: a key must be a single word"),
        ("a: {b: 1\n", "m.yaml:2:1: not YAML"),
        ("", "m.yaml:1:1: the file is empty"),
    ],
)
def test_traps(text: str, problem: str) -> None:
    problems = Problems()
    parse(text, "m.yaml", problems)
    assert any(str(found).startswith(problem) for found in problems.found), problems.found

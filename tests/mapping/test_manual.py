"""The manual names everything that the language has."""

from __future__ import annotations

from pathlib import Path

import pytest

from nirgen.mapping import read, source
from nirgen.mapping.functions import FUNCTIONS
from nirgen.mapping.model import IMPORT_SURROUNDINGS, SURROUNDINGS
from nirgen.mapping.problems import Location, Problems

MANUAL = (Path(__file__).parents[2] / "mappings" / "README.md").read_text(encoding="utf-8")


def keys(build: object) -> list[str]:
    """The keys that a reader of mappings asks for."""
    entries = read._Entries(source.Mapping({}, {}, Location("x/y.yaml", 1, 1)), "x", Problems())
    build(entries)  # type: ignore[operator]
    return entries.known


@pytest.mark.parametrize("key", keys(read._layer_mapping))
def test_a_key_of_a_layer(key: str) -> None:
    assert f"`{key}`" in MANUAL


@pytest.mark.parametrize("key", keys(read._framework))
def test_a_key_of_a_framework(key: str) -> None:
    assert f"\n{key}:" in MANUAL


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function(name: str) -> None:
    assert f"`{name}(" in MANUAL


@pytest.mark.parametrize("name", [*SURROUNDINGS, *IMPORT_SURROUNDINGS])
def test_a_name_of_the_surroundings(name: str) -> None:
    assert f"`{name}`" in MANUAL

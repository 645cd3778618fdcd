"""YAML text -> checked, frozen model. `load` is the way in."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from nirgen.mapping import proofs, rules
from nirgen.mapping.model import Mappings
from nirgen.mapping.problems import Location, MappingError, Problem, Problems
from nirgen.mapping.read import read_mappings, shipped

__all__ = ["Location", "MappingError", "Mappings", "Problem", "load", "load_shipped", "shipped"]


def load(folder: Path) -> Mappings:
    """Read, check and prove the mappings of a folder.

    Raises:
        MappingError: with every problem of the first stage that has any: the text, the rules,
            the proofs.
    """
    from nirgen import proving  # which stands on this package

    problems = Problems()
    mappings = read_mappings(folder, problems)
    problems.raise_if_any()
    rules.check(mappings, problems)
    problems.raise_if_any()
    proofs.check(mappings, problems)
    proving.check(mappings, problems)
    problems.raise_if_any()
    return mappings


@cache
def load_shipped() -> Mappings:
    """The shipped mappings; they were proved when the converters were made of them."""
    problems = Problems()
    mappings = read_mappings(shipped(), problems)
    problems.raise_if_any()
    return mappings

"""Problems of a mapping: where they are, what is wrong, how to mend it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass, field


@dataclass(frozen=True, order=True)
class Location:
    """A place in a mapping file; lines and columns count from one."""

    file: str
    line: int
    column: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}:{self.column}"

    def shifted(self, columns: int) -> Location:
        """A place `columns` further to the right."""
        return Location(self.file, self.line, self.column + columns)


@dataclass(frozen=True, order=True)
class Problem:
    """One thing wrong with a mapping."""

    at: Location
    what: str
    mend: str = ""

    def __str__(self) -> str:
        return f"{self.at}: {self.what}" + (f"\n    {self.mend}" if self.mend else "")


class MappingError(Exception):
    """Mappings that no converter can be generated from; `problems` lists everything wrong."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(sorted(set(problems)))
        super().__init__(*self.problems)

    def __str__(self) -> str:
        return "\n".join(str(problem) for problem in self.problems)


@dataclass
class Problems:
    """Collects problems, so that all of them are reported at once."""

    found: list[Problem] = field(default_factory=list)

    def add(self, at: Location, what: str, mend: str = "") -> None:
        self.found.append(Problem(at, what, mend))

    def raise_if_any(self) -> None:
        if self.found:
            raise MappingError(self.found)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A way to mend a name that is not known: the nearest one, or all there are."""
    names = sorted(known)
    lower = {known.lower(): known for known in names}
    near = difflib.get_close_matches(name.lower(), lower, n=1)
    if near:
        return f"did you mean `{lower[near[0]]}`?"
    return f"there are: {', '.join(names)}" if names else ""

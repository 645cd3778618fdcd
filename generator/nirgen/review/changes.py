"""What a comparison finds, as frozen data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from nirgen.mapping.problems import Problem
from nirgen.review.measure import Measured


@dataclass(frozen=True)
class Change:
    """One thing that changed.

    Attributes:
        kind: `support`, `grade`, `parameter`, `formula`, `rule`, `example`, `signature`, `words`.
        what: what is spoken of, such as `node.tau`.
        old, new: how it was and is said; empty where nothing was, or is.
        effect: what that does, where it can be told.
        measured: what it does to the numbers, where there are any.
        loss: whether something that worked does no longer, or is less exact.
    """

    kind: str
    what: str
    old: tuple[str, ...]
    new: tuple[str, ...]
    effect: str = ""
    measured: Measured | None = None
    loss: bool = False

    @property
    def sign(self) -> str:
        """`+` new, `-` gone, `=` rewritten but equal, `~` anything else."""
        if not self.old:
            return "+"
        if not self.new:
            return "-"
        return "=" if self.measured is not None and self.measured.equal else "~"

    @property
    def consequence(self) -> str:
        """What the change does, in a sentence; empty where that can't be told."""
        sentences = (self.effect, str(self.measured) if self.measured is not None else "")
        return "; ".join(sentence for sentence in sentences if sentence)


@dataclass(frozen=True)
class Subject:
    """A layer, a framework or a node, and what changed about it."""

    title: str
    file: str
    changes: tuple[Change, ...]


@dataclass(frozen=True)
class Report:
    """Everything that a change of mappings means.

    Attributes:
        base, head: the two sides, for people.
        unreadable: what keeps a side from being read; nothing is compared then.
        problems: what `nirgen check` says of the head and not of the base, such as guards that
            now overlap; `mended`, the other way round.
        subjects: all that something changed about.
    """

    base: str
    head: str
    unreadable: tuple[Problem, ...]
    problems: tuple[Problem, ...]
    mended: tuple[Problem, ...]
    subjects: tuple[Subject, ...]

    @property
    def changes(self) -> tuple[Change, ...]:
        return tuple(change for subject in self.subjects for change in subject.changes)

    @property
    def losses(self) -> int:
        """How much is lost; mappings that are refused as a whole count too."""
        return sum(change.loss for change in self.changes) + len(self.problems)


def subject(title: str, file: str, changes: Iterable[Change]) -> tuple[Subject, ...]:
    """A subject, if anything about it changed."""
    found = tuple(changes)
    return (Subject(title, file, found),) if found else ()

"""Measurements as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tabulate import tabulate

Row = Sequence[str]


@dataclass(frozen=True)
class Table:
    """One table of the results.

    Attributes:
        title: its headline.
        text: what was measured, and what to see in it.
        header: of the columns; the first column is text, all others are numbers.
        rows: of cells.
        short: what it says of the table that stands before all others, as rows of `SHORT`.
    """

    title: str
    text: str
    header: Row
    rows: Sequence[Row]
    short: Sequence[Row] = ()

    def markdown(self) -> str:
        """The table under its headline, its columns aligned also as plain text."""
        return f"## {self.title}\n\n{self.text}\n\n{markdown(self.header, self.rows)}\n"


SHORT = ("work", "today's tools", "nir_exchange", "ratio")
"""The columns of what is said in short."""


def markdown(header: Row, rows: Sequence[Row]) -> str:
    """Rows as markdown; all columns but the first are numbers."""
    alignments = ("left", *("right" for _ in header[1:]))
    return tabulate(rows, header, "pipe", colalign=alignments, disable_numparse=True)


def beside(work: str, theirs: float, ours: float) -> Row:
    """A row of `SHORT`: the seconds that others take, and our own."""
    return work, duration(theirs), duration(ours), times(theirs / ours)


def duration(seconds: float) -> str:
    """`3.21 ms`: three digits, and the unit that suits them."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{_three_digits(seconds / size)} {unit}"
    return f"{_three_digits(seconds / 1e-6)} us"


def times(ratio: float) -> str:
    """`3.21 x`."""
    return f"{_three_digits(ratio)} x"


def megabytes(count: float) -> str:
    """`268.4 MB`."""
    return f"{count / 1e6:,.1f} MB"


def percent(share: float) -> str:
    """`100.02 %`."""
    return f"{100 * share:.2f} %"


def _three_digits(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")

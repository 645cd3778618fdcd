"""Measurements as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """One table of the results.

    Attributes:
        title: its headline.
        text: what was measured, and what to see in it.
        header: of the columns; the first column is text, all others are numbers.
        rows: of cells.
    """

    title: str
    text: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]

    def markdown(self) -> str:
        """The table under its headline, its columns aligned also as plain text."""
        widths = [max(map(len, column)) for column in zip(self.header, *self.rows, strict=True)]
        rule = [
            ":" + "-" * (width - 1) if k == 0 else "-" * (width - 1) + ":"
            for k, width in enumerate(widths)
        ]
        lines = [_line(self.header, widths), _line(rule, widths)]
        lines += [_line(row, widths) for row in self.rows]
        return "\n".join([f"## {self.title}", "", self.text, "", *lines, ""])


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    first, *others = zip(cells, widths, strict=True)
    padded = [first[0].ljust(first[1]), *(cell.rjust(width) for cell, width in others)]
    return f"| {' | '.join(padded)} |"


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


def _three_digits(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"

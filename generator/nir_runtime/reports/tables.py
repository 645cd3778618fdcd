"""Tables for people: as text, and in a notebook."""

from __future__ import annotations

import html
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

WIDTH = 100


@dataclass(frozen=True)
class Row:
    """One line of a table, and what is said of it in more words.

    Attributes:
        cells: a text for each heading.
        details: lines that belong to the row and to no column.
    """

    cells: tuple[str, ...]
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class Table:
    """A table.

    Attributes:
        headings: one for each column.
        rows: with as many cells each.
        title: what it is of; may be empty.
        details: the heading of the rows' details, where they are a column.
        notes: what is said of all of it, below the title.
    """

    headings: tuple[str, ...]
    rows: tuple[Row, ...]
    title: str = ""
    details: str = field(default="how", kw_only=True)
    notes: tuple[str, ...] = field(default=(), kw_only=True)

    @property
    def detailed(self) -> bool:
        """Whether any row has details."""
        return any(row.details for row in self.rows)

    def __str__(self) -> str:
        return "\n".join([*([*self.head, ""] if self.head else []), *self._lines()])

    @property
    def head(self) -> tuple[str, ...]:
        """The title and the notes, in lines."""
        notes = (line for note in self.notes for line in _wrapped(note))
        return (*([self.title] if self.title else []), *notes)

    @property
    def aligned(self) -> tuple[Row, ...]:
        """The headings and all rows, their cells padded to the width of their columns."""
        table = [Row(self.headings), *self.rows]
        widths = [max(map(len, column)) for column in zip(*(r.cells for r in table), strict=True)]
        return tuple(Row(tuple(map(str.ljust, row.cells, widths)), row.details) for row in table)

    def _lines(self) -> Iterator[str]:
        """Aligned columns, each row with its details below."""
        for row in self.aligned:
            yield "  ".join(row.cells).rstrip()
            for line in row.details:
                yield from _wrapped(line)

    def _repr_html_(self) -> str:
        more = [self.details] if self.detailed else []
        head = _html_row([*self.headings, *more], "th")
        rows = (_html_row([*r.cells, *([r.details] if more else [])], "td") for r in self.rows)
        said = [self.title, *self.notes] if self.title else self.notes
        title = "".join(f"<p>{html.escape(text)}</p>\n" for text in said)
        return f"{title}<table>\n{head}\n{_joined(rows)}\n</table>"


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 6)


def _html_row(cells: Iterable[str | Iterable[str]], tag: str) -> str:
    def inner(cell: str | Iterable[str]) -> str:
        lines = [cell] if isinstance(cell, str) else cell
        return "<br>".join(map(html.escape, lines))

    return f"<tr>{''.join(f'<{tag}>{inner(cell)}</{tag}>' for cell in cells)}</tr>"


def _joined(rows: Iterable[str]) -> str:
    return "\n".join(rows)

"""What became of each layer of a network, or of each node of a graph.

A report has an entry for everything that was converted, skipped or refused. It prints as a table,
shows as one in a notebook, and turns into JSON. It is made when someone looks at it: until then it
holds on to what it will be made of, and costs nothing.
"""

from __future__ import annotations

import enum
import html
import json
import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

Direction = Literal["export", "import"]


class Grade(enum.IntEnum):
    """How well a conversion keeps the meaning; the better, the greater."""

    REFUSED = 0
    APPROXIMATE = 1
    ANNOTATED = 2
    EXACT = 3

    def __str__(self) -> str:
        return self.name.lower()


@dataclass(frozen=True)
class Formula:
    """A formula that was applied, and the number it gave.

    Attributes:
        name: what it gives: a field of the node, or a parameter of the layer.
        text: over the other side's quantities, `tau * dt`.
        value: what came out, as people read it; empty where `text` says it already.
    """

    name: str
    text: str
    value: str = ""

    def __str__(self) -> str:
        parts = [self.name, self.text, self.value]
        return " = ".join(part for part in dict.fromkeys(parts) if part)


@dataclass(frozen=True)
class Entry:
    """What became of one layer, or of one node.

    Attributes:
        place: the layer's path in the network, or the node's in the graph's file.
        layer: the layer's class, `neuron.LIFNode`; empty if there is none.
        node: the NIR node's kind, `LIF`; empty if there is none.
        grade: how well the conversion keeps the meaning.
        formulas: what was applied.
        notes: what was folded, skipped, annotated or passed over, and why; traps.
        ties: whether spikes may differ where the potential equals the threshold to the last bit.
    """

    place: str
    layer: str
    node: str
    grade: Grade
    formulas: tuple[Formula, ...] = ()
    notes: tuple[str, ...] = ()
    ties: bool = False

    @property
    def graded(self) -> str:
        """The grade in words, ties included."""
        return f"{self.grade} but for ties" if self.ties else str(self.grade)

    @property
    def details(self) -> tuple[str, ...]:
        """Formulas and notes, a line each."""
        return (*map(str, self.formulas), *self.notes)

    def to_dict(self) -> dict[str, Any]:
        """The entry in JSON's own types."""
        return {
            "place": self.place,
            "layer": self.layer,
            "node": self.node,
            "grade": str(self.grade),
            "ties": self.ties,
            "formulas": [vars(formula) for formula in self.formulas],
            "notes": list(self.notes),
        }


@dataclass(frozen=True, eq=False)
class Report:
    """What became of a network, or of a graph.

    Attributes:
        target: the framework's name.
        direction: `export`, from the framework to NIR, or `import`.
        dt: the time step, in seconds.
        make: gives the entries, when they are first asked for.
    """

    target: str
    direction: Direction
    dt: float
    make: Callable[[], Iterable[Entry]] = field(repr=False)

    @cached_property
    def entries(self) -> tuple[Entry, ...]:
        """In the order of execution; what was skipped or refused comes last."""
        return tuple(self.make())

    @property
    def grade(self) -> Grade:
        """The worst of all entries' grades."""
        return min((entry.grade for entry in self.entries), default=Grade.EXACT)

    @property
    def title(self) -> str:
        """What was converted, and how well: a line."""
        ends = (self.target, "NIR") if self.direction == "export" else ("NIR", self.target)
        counts = Counter(entry.graded for entry in sorted(self.entries, key=_best_first))
        graded = ", ".join(f"{count} {words}" for words, count in counts.items())
        return f"{' -> '.join(ends)} at dt = {self.dt:g}: {graded or 'nothing to convert'}"

    def settled(self) -> Report:
        """The same report, holding on to nothing but its entries."""
        return report_of(self.target, self.direction, self.dt, self.entries)

    def __str__(self) -> str:
        return "\n".join([self.title, "", *_lines(self.entries)])

    def _repr_html_(self) -> str:
        rows = (_html_row([*_cells(entry), entry.details], "td") for entry in self.entries)
        head = _html_row([*HEADINGS, "how"], "th")
        return f"<p>{html.escape(self.title)}</p>\n<table>\n{head}\n{_joined(rows)}\n</table>"

    def to_dict(self) -> dict[str, Any]:
        """The report in JSON's own types."""
        return {
            "target": self.target,
            "direction": self.direction,
            "dt": self.dt,
            "grade": str(self.grade),
            "entries": [entry.to_dict() for entry in self.entries],
        }

    def to_json(self) -> str:
        """The report as JSON."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)

    # What the entries are made of may be large, or not fit into a pickle; the entries always do.

    def __reduce__(self) -> tuple[Callable[..., Report], tuple[Any, ...]]:
        return report_of, (self.target, self.direction, self.dt, self.entries)

    def __deepcopy__(self, memo: object) -> Report:
        return self  # nothing in it changes


def report_of(target: str, direction: Direction, dt: float, entries: Sequence[Entry]) -> Report:
    """A report whose entries are there already."""
    return Report(target, direction, dt, lambda: entries)


# --- tables ---------------------------------------------------------------------------------

WIDTH = 100
HEADINGS = ("place", "layer", "node", "grade")


def _cells(entry: Entry) -> tuple[str, str, str, str]:
    return entry.place, entry.layer, entry.node, entry.graded


def _lines(entries: Sequence[Entry]) -> Iterator[str]:
    """An aligned table, each row with its details below."""
    table = [HEADINGS, *map(_cells, entries)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    details = [(), *(entry.details for entry in entries)]
    for cells, below in zip(table, details, strict=True):
        padded = (f"{cell:{width}}" for cell, width in zip(cells, widths, strict=True))
        yield "  ".join(padded).rstrip()
        for line in below:
            yield from textwrap.wrap(line, WIDTH, initial_indent=" " * 4, subsequent_indent=" " * 6)


def _html_row(cells: Iterable[str | Iterable[str]], tag: str) -> str:
    def inner(cell: str | Iterable[str]) -> str:
        lines = [cell] if isinstance(cell, str) else cell
        return "<br>".join(map(html.escape, lines))

    return f"<tr>{''.join(f'<{tag}>{inner(cell)}</{tag}>' for cell in cells)}</tr>"


def _joined(rows: Iterable[str]) -> str:
    return "\n".join(rows)


def _best_first(entry: Entry) -> tuple[int, bool]:
    return -entry.grade, entry.ties

"""What became of each layer of a network, or of each node of a graph.

A report has an entry for everything that was converted, skipped or refused. It prints as a table,
shows as one in a notebook, and turns into JSON. It is made when someone looks at it: until then it
holds on to what it will be made of, and costs nothing.
"""

from __future__ import annotations

import enum
import json
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Literal

from nir_runtime.reports.tables import Row, Table

Direction = Literal["export", "import"]
HEADINGS = ("place", "layer", "node", "grade")


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


@dataclass(frozen=True)
class Verified:
    """How much of a network and its graph was run side by side, and agrees.

    Attributes:
        steps, batch: how much was run.
        input: what they were given, in words.
        spikes: how many the network's layers fired; None if none of them fires.
        ties: how many spikes differ where the potential was the threshold, to the last bit.
        rounding: how many others, where it was within rounding of the threshold.
        after: how many numbers differ in the same samples after that.
        bound: what rounding is, as a part of the threshold or of the largest potential.
        notes: what else is to be known.
    """

    steps: int
    batch: int
    input: str
    spikes: int | None
    ties: int
    rounding: int
    after: int
    bound: float
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        ran = f"run beside its graph for {self.steps} steps, batch of {self.batch}: "
        found = "all values agree" if self.spikes is None else f"{self.spikes} spikes"
        if self.spikes is not None:
            found += f", differing: {self._differing or 'none'}"
        return ran + "".join(f"{part}; " for part in (found, *self.notes)) + self.input

    @property
    def _differing(self) -> str:
        """What may differ though both compute the same, and does."""
        counts = {
            'at the threshold exactly (see ties="exact")': self.ties,
            f"by rounding, within {self.bound:g} of the threshold": self.rounding,
            "after that, in the same samples": self.after,
        }
        return ", ".join(f"{count} {where}" for where, count in counts.items() if count)


@dataclass(frozen=True, eq=False)
class Report:
    """What became of a network, or of a graph.

    Attributes:
        target: the framework's name.
        direction: `export`, from the framework to NIR, or `import`.
        dt: the time step, in seconds.
        make: gives the entries, when they are first asked for.
        notes: what is to be known of the whole.
        verified: what was run of the network and its graph; None if nothing was.
    """

    target: str
    direction: Direction
    dt: float
    make: Callable[[], Iterable[Entry]] = field(repr=False)
    notes: tuple[str, ...] = ()
    verified: Verified | None = None

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
        return report_of(
            self.target, self.direction, self.dt, self.entries, self.notes, self.verified
        )

    @property
    def table(self) -> Table:
        """A row for each entry, with its formulas and notes as details."""
        rows = (Row((e.place, e.layer, e.node, e.graded), e.details) for e in self.entries)
        said = [self.title] if self.verified is None else [self.title, str(self.verified)]
        return Table(HEADINGS, tuple(rows), "\n".join(said), notes=self.notes)

    def __str__(self) -> str:
        return str(self.table)

    def _repr_html_(self) -> str:
        return self.table._repr_html_()

    def to_dict(self) -> dict[str, Any]:
        """The report in JSON's own types."""
        return {
            "target": self.target,
            "direction": self.direction,
            "dt": self.dt,
            "grade": str(self.grade),
            "notes": list(self.notes),
            "verified": None if self.verified is None else asdict(self.verified),
            "entries": [entry.to_dict() for entry in self.entries],
        }

    def to_json(self) -> str:
        """The report as JSON."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)

    # What the entries are made of may be large, or not fit into a pickle; the entries always do.

    def __reduce__(self) -> tuple[Callable[..., Report], tuple[Any, ...]]:
        return report_of, (
            self.target,
            self.direction,
            self.dt,
            self.entries,
            self.notes,
            self.verified,
        )

    def __deepcopy__(self, memo: object) -> Report:
        return self  # nothing in it changes


def report_of(
    target: str,
    direction: Direction,
    dt: float,
    entries: Sequence[Entry],
    notes: tuple[str, ...] = (),
    verified: Verified | None = None,
) -> Report:
    """A report whose entries are there already."""
    return Report(target, direction, dt, lambda: entries, notes, verified)


def _best_first(entry: Entry) -> tuple[int, bool]:
    return -entry.grade, entry.ties

"""What a comparison of two networks found."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from nir_runtime.reports.tables import Row, Table
from nir_runtime.verifying.comparing import Place
from nir_runtime.verifying.margins import Margins


@dataclass(frozen=True)
class Agreement:
    """How far one node agrees.

    Attributes:
        node: its name.
        kind: `LIF`.
        quantity: `spikes`, `values`, or `v`: the membrane potential.
        compared, differing: how many numbers were compared, and how many differ.
        apart: the largest difference.
        spikes: how many each side has; None where the numbers are no spikes.
        first: where they differ first; None if they don't.
    """

    node: str
    kind: str
    quantity: str
    compared: int
    differing: int
    apart: float
    spikes: tuple[int, int] | None
    first: Place | None

    @property
    def where(self) -> str:
        """Where they differ first, and the values, in words."""
        return "" if self.first is None else str(self.first)


@dataclass(frozen=True)
class Trace:
    """What some neurons of a node did, for a plot.

    Attributes:
        node: its name.
        neurons: which ones: their numbers among the node's, counted through its features.
        spikes: of both sides, a row of 0 and 1 for each neuron.
        neuron: the one of them whose membrane is shown.
        membranes: of both sides, its potential behind each step; empty where it is not comparable.
        threshold: of it; None if it has none.
    """

    node: str
    neurons: tuple[int, ...]
    spikes: tuple[tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]
    neuron: int
    membranes: tuple[tuple[float, ...], tuple[float, ...]]
    threshold: float | None


@dataclass(frozen=True)
class Verification:
    """How far two networks agree, step by step.

    Attributes:
        sides: what was compared.
        dt: the time step, in seconds; of the first, where each runs at its own.
        dt_says: which it is, and why, in words.
        steps, batch: how much was run.
        tolerance: how far numbers that are no spikes may be apart, as a part of the largest so far.
        input: what they were given, in words.
        nodes: how far each node agrees, in the order of execution; Outputs come last.
        cause: why they differ, where that can be seen.
        notes: what else is to be known.
        traces: what was recorded to be plotted, if that was asked for.
        margins: how many of the numbers that differ do by rounding.
        alone: which Outputs only one side has, or in another shape, in words.
    """

    sides: tuple[str, str]
    dt: float
    dt_says: str
    steps: int
    batch: int
    tolerance: float
    input: str
    nodes: tuple[Agreement, ...]
    cause: str = ""
    notes: tuple[str, ...] = ()
    traces: tuple[Trace, ...] = ()
    margins: Margins | None = None
    alone: tuple[str, ...] = ()

    @property
    def agree(self) -> bool:
        """Whether both give the same Outputs, and no number differs."""
        return not self.alone and all(node.first is None for node in self.nodes)

    @property
    def first(self) -> Agreement | None:
        """The node that differs first; of several in one step, the first in the order of execution.

        Others differ because it does, or later.
        """
        return first_to_differ(self.nodes)

    @property
    def spikes(self) -> tuple[int, int]:
        """How many spikes each side has, in all nodes that are compared."""
        counts = [node.spikes for node in self.nodes if node.spikes and node.kind != "Output"]
        return sum(a for a, _ in counts), sum(b for _, b in counts)

    @property
    def title(self) -> str:
        """Whether they agree: a line."""
        a, b = self.sides
        verdict = "agree" if self.agree else "differ"
        return f"{a} and {b} {verdict} over {self.steps} steps"

    def parts(self) -> Iterator[str | Table]:
        """What people read."""
        given = (f"input: {self.input}", f"dt: {self.dt_says}")
        yield "\n".join([self.title, *given, *self._first_difference()])
        yield self.table
        if self.notes:
            yield "\n".join(self.notes)

    def _first_difference(self) -> Iterator[str]:
        yield from self.alone
        if first := self.first:
            yield f"they differ first in {first.node} ({first.kind}), {first.quantity}"
            yield f"    {first.where}"
        if self.cause:
            yield f"    {self.cause}"
        if self.margins is not None and any(node.spikes and node.differing for node in self.nodes):
            yield str(self.margins)

    @property
    def table(self) -> Table:
        """Each node, and how far it agrees."""
        return Table(
            ("node", "kind", "what", "spikes", "differing", "largest difference", "first"),
            tuple(map(_row, self.nodes)),
        )

    def __str__(self) -> str:
        return "\n\n".join(map(str, self.parts()))

    def _repr_html_(self) -> str:
        return "\n".join(
            part._repr_html_() if isinstance(part, Table) else f"<pre>{html.escape(part)}</pre>"
            for part in self.parts()
        )

    def to_dict(self) -> dict[str, Any]:
        """The same in JSON's own types, but for the traces."""
        held = {name: value for name, value in asdict(self).items() if name != "traces"}
        first = None if self.first is None else asdict(self.first)
        data = {"agree": self.agree, "spikes": self.spikes, "first": first, **held}
        plain: dict[str, Any] = _plain(data)
        return plain

    def to_json(self) -> str:
        """The same as JSON."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)

    def plot(self, path: str | Path) -> None:
        """Save a picture of spikes and membranes of both sides, with what differs marked.

        Raises:
            InvalidArgument: nothing was recorded: `verify(..., traces=True)` does.
            PackageMissing: matplotlib isn't installed.
            OSError: the file can't be written.
        """
        from nir_runtime.verifying import plotting

        plotting.plot(self, path)


def first_to_differ(nodes: Iterable[Agreement]) -> Agreement | None:
    """The first node of those that differ in the earliest step; None if none does."""
    differing = ((node.first.step, k, node) for k, node in enumerate(nodes) if node.first)
    return min(differing, default=(0, 0, None))[2]


def _plain(value: Any) -> Any:
    """The same in JSON's own types, which know no NaN and no infinity."""
    if isinstance(value, dict):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _row(node: Agreement) -> Row:
    a, b = node.spikes or (0, 0)
    spikes = "" if node.spikes is None else str(a) if a == b else f"{a} and {b}"
    differing = f"{node.differing} of {node.compared}" if node.differing else "none"
    apart = f"{node.apart:.2g}" if node.differing and node.spikes is None else ""
    when = "" if node.first is None else f"step {node.first.step}"
    return Row((node.node, node.kind, node.quantity, spikes, differing, apart, when))

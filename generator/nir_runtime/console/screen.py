"""What is printed: tables and colours on a terminal, plain text elsewhere; progress on stderr."""

from __future__ import annotations

import contextlib
import json
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from rich.console import Console
    from rich.padding import Padding
    from rich.progress import Progress

    from nir_runtime.reports.tables import Table

    Part = str | Table
    """What an answer is made of."""

STYLES = {
    "exact": "green",
    "exact but for ties": "green",
    "annotated": "yellow",
    "annotated but for ties": "yellow",
    "approximate": "yellow",
    "refused": "red",
}
"""Of cells, by their text behind arrows."""

PATIENCE = 1.0
"""After how many seconds progress is shown."""


def show(answer: tuple[Part, ...] | Mapping[str, Any]) -> None:
    """Print an answer: JSON of a mapping, and else texts and tables."""
    if isinstance(answer, Mapping):
        click.echo(json.dumps(answer, indent=2, ensure_ascii=False))
    elif sys.stdout.isatty():
        _show_on_terminal(answer)
    else:
        click.echo("\n\n".join(map(str, answer)))


def complain(text: str, command: str = "nir-exchange") -> None:
    """Print what went wrong."""
    click.echo(f"{click.style(command, bold=True)}: {text}", err=True)


def _show_on_terminal(parts: tuple[Part, ...]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    for number, part in enumerate(parts):
        if number:
            console.print()
        if isinstance(part, str):
            console.print(part, markup=False)
        else:
            _show_table(part, console)


def _show_table(table: Table, console: Console) -> None:
    from rich.text import Text

    if table.title:
        console.print(Text(table.title, style="bold"))
    for note in table.notes:
        console.print(_indented(note))
    if table.head:
        console.print()
    head, *rows = table.aligned
    console.print(Text("  ".join(head.cells).rstrip(), style="bold underline"))
    for row in rows:
        cells = (Text(cell, style=STYLES.get(cell.strip("<-> "), "")) for cell in row.cells)
        console.print(Text("  ").join(cells))
        for line in row.details:
            console.print(_indented(line))


def _indented(text: str) -> Padding:
    from rich.padding import Padding
    from rich.text import Text

    return Padding(Text(text, style="dim"), (0, 0, 0, 4))


@contextlib.contextmanager
def progress(doing: str, total: int | None = None) -> Iterator[Callable[[], None]]:
    """Show on a terminal, from the first second on, what takes so long.

    Args:
        doing: "reading model.nir".
        total: of how many steps; None if that is not known.

    Yields:
        What to call after each step.
    """
    if not sys.stderr.isatty():
        yield lambda: None
        return
    late = _Late(doing, total)
    try:
        yield late.advance
    finally:
        late.stop()


class _Late:
    """A line of progress that shows itself when something takes long."""

    def __init__(self, doing: str, total: int | None) -> None:
        self._doing, self._total, self._done = doing, total, 0
        self._shown: tuple[Progress, Any] | None = None
        self._lock = threading.Lock()
        self._timer: threading.Timer | None = threading.Timer(PATIENCE, self._show)
        self._timer.daemon = True
        self._timer.start()

    def advance(self) -> None:
        self._done += 1
        if self._shown is not None:
            line, task = self._shown
            line.update(task, completed=self._done)

    def stop(self) -> None:
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if self._shown is not None:
                self._shown[0].stop()

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, SpinnerColumn, TimeElapsedColumn

        with self._lock:
            if self._timer is None:  # it was done in the meantime
                return
            columns = (SpinnerColumn(), "{task.description}", BarColumn(), TimeElapsedColumn())
            line = Progress(*columns, console=Console(stderr=True), transient=True)
            task = line.add_task(self._doing, total=self._total, completed=self._done)
            line.start()
            self._shown = line, task

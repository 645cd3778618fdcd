"""`nir-exchange check`: whether a NIR file would go into frameworks, and what would change."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import click

from nir_runtime import files
from nir_runtime.console import screen
from nir_runtime.console.arguments import Target, dt_option, graph_file, targets
from nir_runtime.console.frame import Answer, Command
from nir_runtime.reports.report import Grade, Report
from nir_runtime.reports.tables import Row, Table
from nirgen.review.forecast import forecast


@click.command("check", cls=Command)
@graph_file
@click.option(
    "--for",
    "names",
    type=Target(),
    multiple=True,
    metavar="NAME",
    help="A framework, in detail; may be given several times. Default: all, in short.",
)
@dt_option
@click.option("--strict", is_flag=True, help="Take nothing but exact conversions.")
def command(file: Path, names: Sequence[str], dt: float | None, strict: bool) -> Answer:
    """Say what an import of a NIR file into a framework would make of each node.

    The framework need not be installed.

    Exit status 1 if a framework refuses the graph; with --strict, also if a node is not exact.
    """
    chosen = tuple(dict.fromkeys(names)) or tuple(targets())
    with screen.progress(f"checking {file}", len(chosen)) as advance:
        reports = dict(_reports(file, chosen, dt, advance))
    least = Grade.EXACT if strict else Grade.APPROXIMATE
    fits = all(report.grade >= least for report in reports.values())
    return Answer(
        parts=tuple(r.table for r in reports.values()) if names else (_short(file, reports),),
        data={name: report.to_dict() for name, report in reports.items()},
        status=0 if fits else 1,
    )


def _reports(
    file: Path, names: Sequence[str], dt: float | None, advance: Callable[[], None]
) -> Iterator[tuple[str, Report]]:
    graph = files.read(file)
    for name in names:
        report = forecast(graph, name, dt)
        yield name, report
        advance()


def _short(file: Path, reports: dict[str, Report]) -> Table:
    """A row for each framework; of nodes that are not exact, the notes."""
    rows = (
        Row((name, str(report.grade), _counted(report)), tuple(_notes(report)))
        for name, report in reports.items()
    )
    any_report = next(iter(reports.values()))  # they were asked the same
    title = f"{file} at dt = {any_report.dt:g}"
    headings = ("framework", "grade", "nodes")
    return Table(headings, tuple(rows), title, notes=any_report.notes)


def _counted(report: Report) -> str:
    counts = Counter(entry.graded for entry in report.entries)
    return ", ".join(f"{count} {graded}" for graded, count in counts.items())


def _notes(report: Report) -> Iterator[str]:
    for entry in report.entries:
        if entry.grade < Grade.EXACT:
            yield f"{entry.place}: {'; '.join(entry.notes)}"

"""`nir-exchange convert`: a NIR file, rewritten."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import nir

from nir_runtime import files
from nir_runtime.console import screen
from nir_runtime.console.arguments import File
from nir_runtime.console.frame import Answer, Command
from nir_runtime.graphs.acceptance import refusal
from nir_runtime.graphs.changes import Change
from nir_runtime.graphs.dissolving import dissolved
from nir_runtime.graphs.rewriting import Wishes, rewrite
from nir_runtime.reports.tables import Row, Table

COMPRESSIONS = ("none", "gzip", "lzf", *map(str, range(10)))
FEW = 3
"""How many nodes that changed alike are named."""

DTYPES = ("float16", "float32", "float64")


@click.command("convert", cls=Command)
@click.argument("source", type=File(), metavar="IN")
@click.argument("target", type=File(), metavar="OUT")
@click.option("--flatten", is_flag=True, help="Dissolve subgraphs.")
@click.option("--fold", is_flag=True, help="Make one node of two linear ones; see below.")
@click.option("--dtype", type=click.Choice(DTYPES), help="The type of all numbers with a point.")
@click.option("--drop-sizes", is_flag=True, help="Leave out sizes that follow from the graph.")
@click.option("--drop-unknown", is_flag=True, help="Leave out fields that nir doesn't know.")
@click.option(
    "--compression",
    type=click.Choice(COMPRESSIONS),
    default="none",
    show_default=True,
    metavar="NAME",
    help="none, gzip, lzf, or a level of gzip from 0 to 9.",
)
@click.option("--dry-run", is_flag=True, help="Say what would change, and write nothing.")
@click.option("--force", is_flag=True, help="Replace OUT, if there is one.")
def command(
    source: Path,
    target: Path,
    flatten: bool,
    fold: bool,
    dtype: str | None,
    drop_sizes: bool,
    drop_unknown: bool,
    compression: str,
    dry_run: bool,
    force: bool,
) -> Answer:
    """Rewrite a NIR file, and say each change.

    What old files lack is always completed: missing fields, one number for all neurons, sizes of
    convolutions, an Input or Output. OUT is there when it is complete, and not before.

    --fold multiplies Scales into the weights or neurons beside them, batch norms (diagonal Affines,
    depthwise convolutions of size 1) into the layer before, and two matrices if that is no larger.
    The numbers are the same but for rounding.
    """
    if not (force or dry_run) and target.exists():
        raise click.BadParameter(f"{target} exists; --force replaces it", param_hint="'OUT'")
    wishes = Wishes(flatten, fold, dtype, sizes=not drop_sizes, unknown=not drop_unknown)
    with screen.progress(f"reading {source}"):
        graph = files.read(source)
    with screen.progress("rewriting"):
        rewritten = rewrite(graph, wishes)
    if not dry_run:
        with screen.progress(f"writing {target}"):
            files.write(target, rewritten.graph, _as_h5py_has_it(compression))
    against = refusal(rewritten.graph)
    helps = bool(against) and not flatten and not refusal(dissolved(rewritten.graph).graph)
    done = Done(source, target, not dry_run, rewritten.changes, against, helps)
    return Answer(tuple(done.parts()), done.to_dict())


@dataclass(frozen=True)
class Done:
    """What a conversion did.

    Attributes:
        source, target: the files.
        written: whether it was not a dry run.
        changes: what is different in the target.
        refusal: what nir's own check has against the target; empty if nothing.
        flat_is_better: whether it would have nothing against it without subgraphs.
    """

    source: Path
    target: Path
    written: bool
    changes: tuple[Change, ...]
    refusal: str
    flat_is_better: bool

    def parts(self) -> Iterator[str | Table]:
        """What people read of it."""
        if self.changes:
            yield Table(("node", "field", "change"), tuple(_rows(self.changes)))
        yield "\n".join(self._summary())

    def _summary(self) -> Iterator[str]:
        count = len(self.changes)
        changed = "1 change" if count == 1 else f"{count or 'no'} changes"
        if self.written:
            before, after = (path.stat().st_size for path in (self.source, self.target))
            yield f"wrote {self.target}: {changed}, {before:,} -> {after:,} bytes"
        else:
            yield f"would write {self.target}: {changed}"
        if self.refusal:
            yield f"nir {nir.version} itself refuses it: {self.refusal}"
            helps = "with --flatten it would take it; " if self.flat_is_better else ""
            yield f"    {helps}nir_exchange.read, and nir.read with type_check=False, do"

    def to_dict(self) -> dict[str, Any]:
        """The same in JSON's own types."""
        return {
            "source": str(self.source),
            "target": str(self.target),
            "written": self.written,
            "changes": [vars(change) for change in self.changes],
            "nir_refuses": self.refusal or None,
            "flatten_helps": self.flat_is_better,
        }


def _rows(changes: Sequence[Change]) -> Iterator[Row]:
    """A row for each change; nodes that changed in the same way share one."""
    alike: dict[tuple[str, str], list[str]] = {}
    for change in changes:
        node, _, field = change.place.partition("/")
        alike.setdefault((field, change.what), []).append(node)
    for (field, what), nodes in alike.items():
        more = f" and {len(nodes) - FEW:,} more" if len(nodes) > FEW else ""
        yield Row((f"{', '.join(nodes[:FEW])}{more}", field, what))


def _as_h5py_has_it(compression: str) -> str | int | None:
    if compression == "none":
        return None
    return int(compression) if compression.isdigit() else compression

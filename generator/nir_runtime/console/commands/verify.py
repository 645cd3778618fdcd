"""`nir-exchange verify`: a NIR file run in two frameworks, or two files, and where they differ."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
import numpy as np

from nir_runtime.console import screen
from nir_runtime.console.arguments import File, Target, dt_option, graph_file
from nir_runtime.console.frame import Answer, Command
from nir_runtime.errors import InvalidArgument, Problem
from nir_runtime.verifying import plotting

if TYPE_CHECKING:
    from nir_runtime.verifying.verification import Verification

Precision = Literal["float64", "float32"]


@click.command("verify", cls=Command)
@graph_file
@click.argument("other", type=File(), required=False, metavar="[OTHER]")
@click.option(
    "--in",
    "first",
    type=Target(),
    default="reference",
    show_default=True,
    metavar="NAME",
    help="The framework to run FILE in.",
)
@click.option(
    "--against",
    "second",
    type=Target(),
    default="reference",
    show_default=True,
    metavar="NAME",
    help="The framework to run OTHER in, or FILE once more.",
)
@click.option(
    "--input",
    "given",
    type=File(),
    metavar="FILE",
    help="What to give both: .npy, [time, batch, *features]; or .npz, by the names of Inputs. "
    "Default: random numbers.",
)
@click.option(
    "--steps", type=click.IntRange(min=1), default=200, show_default=True, help="Of random numbers."
)
@click.option(
    "--batch", type=click.IntRange(min=1), default=1, show_default=True, help="Of random numbers."
)
@click.option("--seed", type=int, default=0, show_default=True, help="Of random numbers.")
@dt_option
@click.option(
    "--dtype",
    type=click.Choice(["float64", "float32"]),
    default="float64",
    show_default=True,
    help="The precision.",
)
@click.option(
    "--if-gain",
    type=click.Choice(["as_written", "per_step"]),
    default="as_written",
    show_default=True,
    help="Whether a step of an IF adds dt * r * x, or r * x.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    metavar="X",
    help="How far numbers that are no spikes may be apart, as a part of the largest so far.  "
    "[default: 1e-9; in float32 1e-4]",
)
@click.option(
    "--plot", type=File(), metavar="FILE",
    help="Draw spikes and membranes of both, with what differs marked: .png, .svg or .pdf.",
)  # fmt: skip
def command(
    file: Path,
    other: Path | None,
    first: str,
    second: str,
    given: Path | None,
    steps: int,
    batch: int,
    seed: int,
    dt: float | None,
    dtype: Precision,
    if_gain: Literal["as_written", "per_step"],
    tolerance: float | None,
    plot: Path | None,
) -> Answer:
    """Run FILE in two frameworks, or FILE and OTHER, and say where they differ first.

    Spikes must be equal, and all other numbers nearly so; nodes are matched by their names.

    Exit status 1 if they differ.
    """
    if other is None and first == second:
        raise click.UsageError(
            f"{first} computes what {second} does: name another framework with --in or --against, "
            "or a second file"
        )
    if plot is not None:
        plotting.check(plot)
    x = None if given is None else _read(given)
    found = _verified(
        (file, other or file), x, plot is not None,
        run_in=(first, second), steps=steps, batch=batch, seed=seed, dt=dt, dtype=dtype,
        if_gain=if_gain, tolerance=tolerance,
    )  # fmt: skip
    if plot is not None:
        found.plot(plot)
    return Answer(tuple(found.parts()), found.to_dict(), status=0 if found.agree else 1)


def _verified(
    graphs: tuple[Path, Path], x: Any, traces: bool, *, dtype: Precision, **how: Any
) -> Verification:
    import torch

    import nir_exchange

    # A framework whose kernels can be in Triton makes torch complain where Triton can't be had.
    logging.getLogger("torch._library.triton").setLevel(logging.ERROR)
    steps = how["steps"] if x is None else len(next(iter(x.values())) if isinstance(x, dict) else x)
    with screen.progress(f"comparing {graphs[0]}", steps * (2 if traces else 1)) as advance:
        return nir_exchange.verify(
            *graphs, x, dtype=getattr(torch, dtype), traces=traces, progress=advance, **how
        )


def _read(path: Path) -> Any:
    """The arrays in a file of numpy's; nothing in it is executed."""
    try:
        found = np.load(path, allow_pickle=False)
        return dict(found) if isinstance(found, np.lib.npyio.NpzFile) else found
    except (ValueError, EOFError) as error:
        what = f"is not what numpy.save or numpy.savez write: {error}"
        raise InvalidArgument(Problem(str(path), what, "give .npy or .npz")) from None

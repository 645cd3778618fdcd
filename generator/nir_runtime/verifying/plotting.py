"""Spikes and membranes of two networks as a picture, with what differs marked."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nir_runtime.errors import InvalidArgument, PackageMissing, Problem

if TYPE_CHECKING:
    from nir_runtime.verifying.verification import Trace, Verification

SAME, FIRST, SECOND = "#59636e", "#d9822b", "#3b75af"
"""The colours of what both do, of what only the first does, and of what only the second does."""


def plot(found: Verification, path: str | Path) -> None:
    """Save a picture: of each recorded node the spikes of both, and one neuron's membrane.

    Raises:
        InvalidArgument: nothing was recorded, or the name ends in no format of pictures.
        PackageMissing: matplotlib isn't installed.
        OSError: the file can't be written.
    """
    check(path)
    if not found.traces:
        advice = "verify with traces=True, networks with nodes that fire"
        raise InvalidArgument(Problem("traces", "nothing was recorded", advice))
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    panels = [(trace, kind) for trace in found.traces for kind in _panels(trace)]
    heights = [1.6 if kind == "spikes" else 1.0 for _, kind in panels]
    figure = Figure(figsize=(10, 0.9 + 1.15 * sum(heights)), layout="constrained")
    axes = figure.subplots(len(panels), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    for (trace, kind), ax in zip(panels, axes, strict=True):
        _spikes(trace, ax) if kind == "spikes" else _membranes(trace, found, ax)
        _mark_first(found, trace, ax)
    axes[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
    axes[-1].set_xlabel(f"step (dt = {found.dt:g} s)")
    figure.suptitle(found.title, fontsize="medium")
    _legend(figure, found)
    figure.savefig(path, dpi=144)


def check(path: str | Path) -> None:
    """Refuse at once what would be refused in the end.

    Raises:
        InvalidArgument: the name ends in no format of pictures, or its folder isn't there.
        PackageMissing: matplotlib isn't installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        what = "a plot takes matplotlib, which isn't installed"
        raise PackageMissing(Problem("", what, 'pip install "nir-exchange[plot]"'))
    if Path(path).suffix.lower() not in FORMATS:
        advice = f"a plot's name ends in one of {', '.join(FORMATS)}"
        raise InvalidArgument(Problem("plot", f"is {str(path)!r}", advice))
    if not Path(path).parent.is_dir():
        what = f"there is no folder {Path(path).parent}"
        raise InvalidArgument(Problem("plot", what, "make it first"))


FORMATS = (".png", ".svg", ".pdf")
"""What the names of plots end in."""


def _panels(trace: Trace) -> tuple[str, ...]:
    return ("spikes", "membranes") if trace.membranes[0] else ("spikes",)


def _spikes(trace: Trace, ax: Any) -> None:
    """A row for each neuron: a tick where both fire, a coloured one where only one does."""
    a, b = (np.array(spikes, dtype=bool) for spikes in trace.spikes)
    for fired, colour, size in ((a & b, SAME, 3.5), (a & ~b, FIRST, 7), (b & ~a, SECOND, 7)):
        rows, steps = fired.nonzero()
        ax.scatter(steps, rows, s=size**2, marker="|", linewidths=size / 3.5, color=colour)
    ax.set_ylim(-0.5, len(trace.neurons) - 0.5)
    ax.set_ylabel(f"{trace.node}\n{len(trace.neurons)} neurons")
    row = trace.neurons.index(trace.neuron)
    ax.set_yticks([row], [str(trace.neuron)])


def _membranes(trace: Trace, found: Verification, ax: Any) -> None:
    """The membrane of one neuron on both sides, and its threshold."""
    a, b = trace.membranes
    ax.plot(a, color=FIRST, linewidth=2.2, alpha=0.7)
    ax.plot(b, color=SECOND, linewidth=1.0, linestyle="--")
    if trace.threshold is not None:
        ax.axhline(trace.threshold, color=SAME, linewidth=0.6, linestyle=":")
    ax.set_ylabel(f"v of {trace.neuron}")


def _mark_first(found: Verification, trace: Trace, ax: Any) -> None:
    """A line where the node differs first."""
    steps = [n.first.step for n in found.nodes if n.node == trace.node and n.first]
    if steps:
        ax.axvline(min(steps), color="#c0392b", linewidth=0.8)


def _legend(figure: Any, found: Verification) -> None:
    from matplotlib.lines import Line2D

    a, b = found.sides
    lines = [
        Line2D([], [], color=SAME, marker="|", linestyle="", label="both fire"),
        Line2D([], [], color=FIRST, marker="|", label=f"only {a}; its v"),
        Line2D([], [], color=SECOND, marker="|", linestyle="--", label=f"only {b}; its v"),
    ]
    if not found.agree:
        lines.append(Line2D([], [], color="#c0392b", label="they differ from here on"))
    figure.legend(handles=lines, loc="outside lower center", ncols=len(lines), fontsize="small")

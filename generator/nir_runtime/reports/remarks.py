"""What a report says besides grades and formulas: detours, traps, refusals. Known without torch."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import nir
import numpy as np

from nir_runtime.arrays import distinct
from nir_runtime.contract.nesting import Flat
from nir_runtime.errors import Problem
from nir_runtime.imports.if_gain import faint
from nir_runtime.reports.report import Entry, Grade

SPIKING = ("IF", "LIF", "CubaLIF")
TIME_CONSTANTS = ("tau", "tau_syn", "tau_mem")
KINDS = (nir.IF, nir.LI, nir.LIF, nir.CubaLI, nir.CubaLIF, nir.Delay)
"""The nodes whose numbers can be a trap."""


def detours(
    framework: str, kind: str, *, normalized: bool, by_reference: bool, passed_over: Iterable[str]
) -> Iterator[str]:
    """How a node is computed otherwise than by a layer of the framework as it is, and why."""
    reasons = "; ".join(dict.fromkeys(passed_over)) or f"{framework} has no layer for {kind}"
    if normalized:
        yield f"behind a gain and a shift of its input: {reasons}"
    elif by_reference:
        yield f"computed by a module of the reference: {reasons}"


def has_ties(fires: str, kind: str, *, by_reference: bool, lowered: bool) -> bool:
    """Whether a layer fires where v is at the threshold, and the node that it computes doesn't."""
    return fires == ">=" and kind in SPIKING and not (by_reference or lowered)


TIES = "ties: the layer fires at v >= v_threshold, and the node at v > v_threshold"
MENDED = 'ties="exact" stores the next smaller threshold, which fires alike'


# --- traps ----------------------------------------------------------------------------------


def traps(node: nir.NIRNode, dt: float) -> Iterator[str]:
    """What to look at before believing a graph's node at a time step, in seconds."""
    for _, share in faint({"": node}, dt):
        yield (
            f"trap: an input of 1 moves it by {share:.3g} of the way to its threshold; "
            'if the file means that a step adds r * x, import with if_gain="per_step"'
        )
    yield from long_step(node, dt)
    yield from steps_for_seconds(node, dt)
    yield from rounded_delay(node, dt)


def long_step(node: nir.NIRNode, dt: float) -> Iterator[str]:
    """A step that is not shorter than a time constant: the potential jumps past its goal."""
    for name in TIME_CONSTANTS:
        held: Any = getattr(node, name, None)
        shortest = np.inf if held is None else float(distinct(held).min())
        if dt >= shortest:
            yield f"trap: dt / {name} is {dt / shortest:.3g}; choose dt below {shortest:g}"


def steps_for_seconds(node: nir.NIRNode, dt: float) -> Iterator[str]:
    """A time constant of seconds: membranes have milliseconds, and some tools write steps."""
    for name in TIME_CONSTANTS:
        held: Any = getattr(node, name, None)
        if held is not None and dt < 1 <= float(distinct(held).min()):
            yield (
                f"trap: {name} is {float(distinct(held).min()):g} s; if the file means that many "
                "steps, import with dt=1"
            )


def rounded_delay(node: nir.NIRNode, dt: float) -> Iterator[str]:
    """A delay that is no whole number of steps, but for the rounding of numbers."""
    if isinstance(node, nir.Delay):
        steps = np.asarray(distinct(node.delay), dtype=np.float64) / dt
        apart = np.abs(steps - np.round(steps))
        if (apart > _WHOLE * np.maximum(1, steps)).any():
            worst = float(steps.flat[int(apart.argmax())])
            yield f"trap: delay / dt is {worst:.3g}, rounded to {round(worst)} steps"


_WHOLE = 1e-6
"""How far a number of steps may be from a whole one, as a part of it, and be that, rounded."""


# --- refusals -------------------------------------------------------------------------------


def refused(problems: Iterable[Problem]) -> Iterator[Entry]:
    """An entry for each place, with all that is wrong there."""
    notes: dict[str, list[str]] = {}
    for problem in problems:
        said = [problem.what, problem.advice] if problem.advice else [problem.what]
        notes.setdefault(problem.place, []).extend(said)
    for place, texts in notes.items():
        yield Entry(place, "", "", Grade.REFUSED, notes=tuple(dict.fromkeys(texts)))


def refused_nodes(problems: Sequence[Problem], flat: Flat | None) -> tuple[Entry, ...]:
    """The same for problems at paths in a graph's file: at the nodes' names, where it has those."""
    nodes = {} if flat is None else {path: name for name, path in flat.places.items()}
    kinds = {} if flat is None else {n: type(node).__name__ for n, node in flat.nodes.items()}
    entries = refused(_of_node(problem, nodes) for problem in problems)
    return tuple(replace(entry, node=kinds.get(entry.place, "")) for entry in entries)


def _of_node(problem: Problem, nodes: dict[str, str]) -> Problem:
    """A problem at a node's name, where it is at the node's path or at a field below it."""
    path, field = problem.place, ""
    while path and path not in nodes:
        path, _, last = path.rpartition("/")
        field = f"{last}/{field}" if field else last
    if not path:
        return problem
    what = f"{field}: {problem.what}" if field else problem.what
    return replace(problem, place=nodes[path], what=what)

"""Running two networks side by side: `verify` is the way in."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nir
import torch
from torch import nn

from nir_runtime.arguments import wrong_dt
from nir_runtime.errors import FaintInputWarning, InvalidArgument, Problem, TimeStepWarning
from nir_runtime.imports.building import graph_names
from nir_runtime.verifying import inputs, sides
from nir_runtime.verifying.pair import Pair, listed, pair_of
from nir_runtime.verifying.recording import recorded
from nir_runtime.verifying.running import running
from nir_runtime.verifying.sides import Converters, Opened, Side, Subject
from nir_runtime.verifying.time_steps import TimeSteps, time_steps_of
from nir_runtime.verifying.verification import Verification
from nir_runtime.verifying.watching import watched

Tensor = torch.Tensor


@dataclass(frozen=True)
class Run:
    """What two networks are run with.

    Attributes:
        dt: the time step, in seconds; None for the ones that the two have.
        targets: the converters with which graphs are imported.
        dtype: of what is imported; None for that of a network beside it, or else double precision.
        if_gain: what the files mean by an IF's r; see `import_from_nir`.
        steps, batch, seed: of random inputs.
        tolerance: how far numbers may be apart; None for what the precision lets expect.
    """

    dt: float | None
    targets: tuple[str, str]
    dtype: torch.dtype | None
    if_gain: str
    steps: int
    batch: int
    seed: int
    tolerance: float | None


def verify(
    a: Subject,
    b: Subject,
    x: Any,
    run: Run,
    converters: Converters,
    *,
    traces: bool,
    progress: Callable[[], None],
) -> Verification:
    """How far two networks agree; see `nir_exchange.verify`."""
    problems = [*_wrong_subjects(a, b), *_wrong_targets(run.targets)]
    problems += [*wrong_dt(run.dt), *_wrong_numbers(run)]
    if problems:
        raise InvalidArgument(problems)
    opened = sides.opened(a), sides.opened(b)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", FaintInputWarning)
        warnings.simplefilter("always", TimeStepWarning)
        dts = time_steps_of(opened, run.dt, converters)
        pair = pair_of(*_sides(opened, (a, b), dts, x, run, converters))
    traps = dict.fromkeys(str(warning.message) for warning in caught)
    given, says = _stimulus(pair, x, run)
    found = watched(pair, given, run.tolerance, progress)
    return Verification(
        sides=pair.labels,
        dt=dts.first,
        dt_says=dts.says,
        steps=len(next(iter(given.values()))),
        batch=int(next(iter(given.values())).shape[1]),
        tolerance=found.tolerance,
        input=says,
        nodes=found.nodes,
        cause=found.cause,
        notes=(*found.notes, *_modes(pair), *traps),
        traces=recorded(pair, given, found.nodes, progress) if traces else (),
        margins=found.margins,
        alone=pair.alone,
    )


# --- arguments ------------------------------------------------------------------------------


def _wrong_subjects(a: object, b: object) -> Iterator[Problem]:
    for name, subject in (("a", a), ("b", b)):
        if not isinstance(subject, (nn.Module, nir.NIRGraph, str, Path)):
            what = f"is a {type(subject).__name__}"
            yield Problem(name, what, "give a torch.nn.Module, a nir.NIRGraph or a path")
    if isinstance(a, nn.Module) and a is b:
        yield Problem("b", "is the same network as a", "compare two")


def _wrong_targets(targets: object) -> Iterator[Problem]:
    names = tuple(targets) if isinstance(targets, (tuple, list)) else ()
    if len(names) != 2 or not all(isinstance(name, str) for name in names):
        yield Problem("run_in", f"is {targets!r}", "give the name of a converter, or two names")


def _wrong_numbers(run: Run) -> Iterator[Problem]:
    for name in ("steps", "batch"):
        number = getattr(run, name)
        if not isinstance(number, int) or number < 1:
            yield Problem(name, f"is {number!r}", "give a whole number, 1 at least")
    if run.tolerance is not None and not run.tolerance >= 0:
        yield Problem("tolerance", f"is {run.tolerance!r}", "give a number, 0 at least")
    if run.dtype is not None and not run.dtype.is_floating_point:
        yield Problem("dtype", f"is {run.dtype}", "give a floating-point type: torch.float64")


# --- sides ----------------------------------------------------------------------------------


def _sides(
    opened: tuple[Opened, Opened],
    subjects: tuple[Subject, Subject],
    dts: TimeSteps,
    x: Any,
    run: Run,
    converters: Converters,
) -> tuple[Side, Side]:
    """Both, ready to run; graphs first, for they say what networks are to be given."""
    dtype = run.dtype or _precision(subjects)
    made: dict[int, Side] = {}
    for number, (subject, dt) in enumerate(zip(opened, dts.both, strict=True)):
        converter = converters.named(run.targets[number])
        if isinstance(subject, nir.NIRGraph):
            name = sides.name_of(subjects[number])
            made[number] = sides.of_graph(subject, name, converter, dt, dtype, run.if_gain)
    example = _example(made, x, run)
    for number, (subject, dt) in enumerate(zip(opened, dts.both, strict=True)):
        if isinstance(subject, nn.Module):
            given = _in_order(subject, example)
            made[number] = sides.of_network(subject, converters.of(subject), given, dt)
    return made[0], made[1]


def _precision(subjects: Sequence[Subject]) -> torch.dtype:
    """That of a network among them; double precision if there is none."""
    networks = [subject for subject in subjects if isinstance(subject, nn.Module)]
    tensors = (t for net in networks for t in (*net.parameters(), *net.buffers()))
    usual = torch.float32 if networks else torch.float64
    return next((t.dtype for t in tensors if t.is_floating_point()), usual)


def _example(
    graphs: Mapping[int, Side], x: Any, run: Run
) -> Mapping[str, Tensor] | tuple[Tensor, ...]:
    """What networks could be given: by the names of Inputs, or in order."""
    for graph in graphs.values():
        shapes = {name: graph.shape(name) for name in graph.inputs}
        if x is None:
            return inputs.drawn(shapes, 1, run.batch, run.seed)
        if graph is graphs.get(0):
            return inputs.given(x, shapes)
    if x is None:
        what = "is missing, and networks don't say what they take"
        raise InvalidArgument(Problem("x", what, "give an input [time, batch, *features]"))
    if isinstance(x, Mapping):
        return {name: inputs.tensor(value) for name, value in x.items()}
    return tuple(map(inputs.tensor, x if isinstance(x, (tuple, list)) else (x,)))


def _in_order(
    net: nn.Module, example: Mapping[str, Tensor] | tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """What a network is given, in the order of its forward's arguments."""
    if not isinstance(example, Mapping):
        return example
    known = graph_names(net)
    names = known.inputs.values() if known else inspect.signature(net.forward).parameters
    if set(example).issubset(names):
        return tuple(example[name] for name in names if name in example)
    return tuple(example.values())


# --- inputs ---------------------------------------------------------------------------------


def _stimulus(pair: Pair, x: Any, run: Run) -> tuple[Mapping[str, Tensor], str]:
    """What both are given, by the Inputs of the first; and what it is, in words."""
    first = pair.sides[0]
    shapes = {name: first.shape(name) for name in first.inputs}
    if x is not None:
        return inputs.given(x, shapes), "as given"
    drawn = inputs.drawn(shapes, run.steps, run.batch, run.seed)
    trial = {name: values[: inputs.TRIAL] for name, values in drawn.items()}
    scale = inputs.fitting_scale(lambda scale: _firing(pair, trial, scale), len(pair.spiking))
    says = f"normal numbers of mean 0.5 and deviation 1 (seed {run.seed}), times {scale:g}"
    return {name: values * scale for name, values in drawn.items()}, says


def _modes(pair: Pair) -> Iterator[str]:
    """That networks were run in another mode than they are in."""
    training = [side.label for side in pair.sides if not side.ours and sides.in_training(side.net)]
    if training:
        yield f"run in evaluation mode, and in training mode before and after: {listed(training)}"


def _firing(pair: Pair, x: Mapping[str, Tensor], scale: float) -> int:
    """How many nodes of the second fire, given the input times a scale."""
    with running(pair.sides[1]) as runner:
        seen = runner.run(pair.renamed({name: values * scale for name, values in x.items()}))
    return sum(bool(seen.values[name].any()) for name in pair.spiking)

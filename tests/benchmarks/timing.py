"""How long things take side by side, in one process and in turns."""

from __future__ import annotations

import gc
import math
import os
import resource
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Clock = Callable[[], float]

WALL: Clock = time.perf_counter
"""What passes on the wall: where the disk has to be waited for."""

PROCESSOR: Clock = time.process_time
"""What this process spends on processors: who else uses the machine doesn't lengthen it."""


def children() -> float:
    """What the processes that this one started spent on processors."""
    spent = resource.getrusage(resource.RUSAGE_CHILDREN)
    return spent.ru_utime + spent.ru_stime


@dataclass(frozen=True)
class Contender:
    """One way to do a piece of work.

    Attributes:
        name: what the tables call it.
        run: does it; what it returns is dropped, outside of the time.
        repeats: how often it is done.
    """

    name: str
    run: Callable[[], object]
    repeats: int = 5


def fastest(contenders: Sequence[Contender], clock: Clock = WALL) -> dict[str, float]:
    """The seconds of each contender's fastest run, by name.

    What else a machine does can only make a run longer, so the shortest tells most about the work.
    The contenders take turns, each time another one first, so that a disturbance meets all of
    them. Before each run the garbage of the last one is collected, and what it wrote goes to the
    disk.
    """
    taken: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for turn in range(max(contender.repeats for contender in contenders)):
        first = turn % len(contenders)
        for contender in (*contenders[first:], *contenders[:first]):
            if turn < contender.repeats:
                taken[contender.name].append(_seconds(contender.run, clock))
    return {name: min(seconds) for name, seconds in taken.items()}


Step = Callable[[Any], object]


def step_by_step(
    makers: Mapping[str, Callable[[], Step]], inputs: Sequence[Any], repeats: int
) -> dict[str, float]:
    """The processor seconds of sequences of steps, where each step is the fastest of its runs.

    Ratios near 1 need more care than `fastest` takes: all make each step in turns, and anew for
    each run, since where its numbers lie in memory makes one copy of a network up to 7 % slower
    than another.

    Args:
        makers: by name, what makes a function that takes a step of its own with each call.
        inputs: of the steps.
        repeats: how often the sequences are run.
    """
    best = {name: [math.inf] * len(inputs) for name in makers}
    for turn in range(repeats):
        steps = [(best[name], make()) for name, make in makers.items()]
        gc.collect()
        for k, x in enumerate(inputs):
            first = (turn + k) % len(steps)
            for taken, step in (*steps[first:], *steps[:first]):
                start = PROCESSOR()
                result = step(x)
                taken[k] = min(taken[k], PROCESSOR() - start)
                del result
    return {name: sum(taken) for name, taken in best.items()}


def seconds(run: Callable[[], object], repeats: int = 1, clock: Clock = WALL) -> float:
    """The seconds of the fastest of some runs."""
    return fastest([Contender("", run, repeats)], clock)[""]


def _seconds(run: Callable[[], object], clock: Clock) -> float:
    gc.collect()
    if hasattr(os, "sync"):
        os.sync()
    start = clock()
    result = run()
    taken = clock() - start
    del result
    return taken

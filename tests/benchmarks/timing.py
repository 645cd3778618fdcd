"""How long things take side by side, in one process and in turns."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass


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


def fastest(contenders: Sequence[Contender]) -> dict[str, float]:
    """The wall-clock seconds of each contender's fastest run, by name.

    What else a machine does can only make a run longer, so the shortest tells most about the work.
    The contenders take turns, so that a disturbance meets all of them. Before each turn the
    garbage of the last one is collected, and what it wrote goes to the disk.
    """
    times: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for turn in range(max(contender.repeats for contender in contenders)):
        for contender in contenders:
            if turn < contender.repeats:
                times[contender.name].append(_seconds(contender.run))
    return {name: min(taken) for name, taken in times.items()}


def seconds(run: Callable[[], object], repeats: int = 1) -> float:
    """The wall-clock seconds of the fastest of some runs."""
    return fastest([Contender("", run, repeats)])[""]


def _seconds(run: Callable[[], object]) -> float:
    gc.collect()
    if hasattr(os, "sync"):
        os.sync()
    start = time.perf_counter()
    result = run()
    taken = time.perf_counter() - start
    del result
    return taken

"""Work in a process of its own, and the most memory that it takes there."""

from __future__ import annotations

import multiprocessing
import resource
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def alone(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `work` returns from a fresh Python, which inherits nothing and ends with it."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        return pool.submit(work, *args, **kwargs).result()


def most_memory(work: Callable[[], object]) -> int:
    """The bytes of memory that this process has at most while `work` runs, beyond those before.

    Mapped pages of files count too. What `work` returns is held until it has been measured.
    """
    before = _start_of_peak()
    held = work()
    more = _peak() - before
    del held
    return more


_LINUX = Path("/proc/self/status")


def _start_of_peak() -> int:
    """The memory that the process has; on Linux the peak is counted from here."""
    if not _LINUX.exists():
        return _peak()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return _peak()


def _peak() -> int:
    if not _LINUX.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on a Mac
    lines = _LINUX.read_text(encoding="ascii").splitlines()
    peak = next(line for line in lines if line.startswith("VmHWM"))
    return int(peak.split()[1]) * 1024

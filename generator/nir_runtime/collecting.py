"""Large graphs of objects, built in time proportional to their size."""

from __future__ import annotations

import contextlib
import gc
import threading
from collections.abc import Iterator

_LOCK = threading.Lock()
_RESTING = {"calls": 0, "was_enabled": False}


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """Inside, Python does not search for cyclic garbage.

    A conversion makes many objects that stay. The collector would look at all of them again each
    time their number has grown somewhat, which is most of the time that a large graph takes, and
    find nothing. Objects whose references end are freed at once, as ever.
    """
    with _LOCK:
        if not _RESTING["calls"]:
            _RESTING["was_enabled"] = gc.isenabled()
            gc.disable()
        _RESTING["calls"] += 1
    try:
        yield
    finally:
        with _LOCK:
            _RESTING["calls"] -= 1
            if not _RESTING["calls"] and _RESTING["was_enabled"]:
                gc.enable()

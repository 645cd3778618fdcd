"""Which bytes of a file are whose: what is read twice could be read a million times."""

from __future__ import annotations

import bisect


class Places:
    """Parts of a file that are taken, each by one thing."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def take(self, start: int, end: int) -> None:
        """Take the bytes from `start` to `end`.

        Raises:
            ValueError: some of them are taken.
        """
        at = bisect.bisect_right(self._starts, start)
        behind = at and self._ends[at - 1] > start
        before = at < len(self._starts) and self._starts[at] < end
        if start < end and (behind or before):
            raise ValueError("another dataset has the same place in the file")
        self._starts.insert(at, start)
        self._ends.insert(at, end)

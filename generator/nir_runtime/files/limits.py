"""How much memory a file may take, counted before it is taken."""

from __future__ import annotations

from nir_runtime.errors import InvalidArgument, Problem

GIBIBYTE = 1 << 30


def default_most(size: int) -> int:
    """What a file of `size` bytes may take where nobody says otherwise.

    Room for numbers that are compressed as well as trained ones can be, and for small files that
    expand further.
    """
    return 4 * size + GIBIBYTE


def demand_bytes(max_bytes: object) -> None:
    """Raise InvalidArgument unless it can be meant as a number of bytes, or as the default."""
    number = isinstance(max_bytes, int) and not isinstance(max_bytes, bool) and max_bytes > 0
    if not (max_bytes is None or number):
        advice = "give a number of bytes, or None for four times the file's size and 1 GiB"
        raise InvalidArgument(Problem("max_bytes", f"is {max_bytes!r}", advice))


class TooMuch(ValueError):
    """Something takes more memory than is allowed."""

    ADVICE = "if you trust the file, give a larger max_bytes"


class Budget:
    """What is left of the memory that a file may take."""

    def __init__(self, most: int) -> None:
        self._most = self._left = most

    def take(self, size: int) -> None:
        """Count what is about to be kept.

        Raises:
            TooMuch: it is more than what is left.
        """
        self.lend(size)
        self._left -= size

    def lend(self, size: int) -> None:
        """Demand that as much is left for something that is not kept.

        Raises:
            TooMuch: it is not.
        """
        if size > self._left:
            raise TooMuch(
                f"it takes {size:,} bytes, of which {self._left:,} are left of the {self._most:,} "
                "that the file may take"
            )

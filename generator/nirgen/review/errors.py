"""What a user of the commands did wrong, in words."""

from __future__ import annotations


class ReviewError(Exception):
    """A command that can't be carried out: why not, and how to mend it."""

    def __init__(self, what: str, mend: str = "") -> None:
        super().__init__(what, mend)
        self.what = what
        self.mend = mend

    def __str__(self) -> str:
        return self.what + (f"\n    {self.mend}" if self.mend else "")

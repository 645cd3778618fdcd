"""How much of a difference between two networks is rounding.

In real numbers two sides may compute the same, and in floating point a potential that comes within
rounding of its threshold fires on one side only. From there on that sample goes other ways on both
sides, and what differs in it says nothing more.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from nir_runtime.verifying.comparing import Place, place_of

Tensor = torch.Tensor


@dataclass(frozen=True)
class Margins:
    """What the numbers are that differ, beginning with the first in each sample.

    Attributes:
        bound: how near the threshold rounding reaches, as a part of it, or of the node's largest
            potential so far.
        ties: spikes where the potential equals the threshold, at which one side's layers fire.
        near: other spikes where it lies within the bound.
        far: spikes where it doesn't, or can't be seen, and other numbers.
        after: numbers that differ in a sample after one of these.
        first: the first that rounding doesn't explain, and the node and quantity that it is of.
            In double precision a potential is at its threshold for a reason; in single precision
            that happens by chance, some times in a hundred million.
    """

    bound: float
    ties: int = 0
    near: int = 0
    far: int = 0
    after: int = 0
    first: tuple[str, str, Place] | None = None

    @property
    def explained(self) -> bool:
        """Whether all that differs does by rounding, or after it."""
        return self.first is None

    def __str__(self) -> str:
        count = self.near + self.ties + self.far
        return (
            f"{count} numbers differ first in their samples: {self.near} by rounding (v is within "
            f"{self.bound:g} of v_threshold), {self.ties} at a tie, {self.far} otherwise; "
            f"{self.after} differ after them"
        )


@dataclass(frozen=True)
class Stretch:
    """A node's numbers over some steps.

    Attributes:
        node, quantity: whose, and which: spikes, values or v.
        a, b: of both sides, [T, N, *features].
        differs: where they differ.
        tie, near: where the potential is at the threshold, and within rounding of it.
    """

    node: str
    quantity: str
    a: Tensor
    b: Tensor
    differs: Tensor
    tie: Tensor | None = None
    near: Tensor | None = None


class Measuring:
    """The differences so far.

    Attributes:
        found: what they are.
    """

    def __init__(self, bound: float, *, excuses_ties: bool) -> None:
        self.found = Margins(bound)
        self.excuses_ties = excuses_ties
        self._counts = {"ties": 0, "near": 0, "far": 0, "after": 0}
        self._parted: Tensor | None = None

    def restart(self) -> None:
        """Both sides start again, and all samples with them."""
        self._parted = None

    def see(self, stretches: Sequence[Stretch], step: int) -> None:
        """Go on with the numbers of all nodes, in the order of execution, from a step on."""
        differing = [s for s in stretches if bool(s.differs.any())]
        if not differing:
            return
        if self._parted is None:
            self._parted = torch.zeros(differing[0].differs.shape[1], dtype=torch.bool)
        steps = torch.stack([s.differs.flatten(1).any(1) for s in differing]).any(0)
        for t in map(int, steps.nonzero()):
            for stretch in differing:
                self._see(stretch, t, step)
        self.found = Margins(self.found.bound, **self._counts, first=self.found.first)

    def _see(self, stretch: Stretch, t: int, step: int) -> None:
        assert self._parted is not None
        differs = stretch.differs[t].flatten(1)
        fresh = differs & ~self._parted[:, None]
        self._counts["after"] += int(differs.sum()) - int(fresh.sum())
        if not bool(fresh.any()):
            return
        nowhere = torch.zeros_like(fresh)
        tie = nowhere if stretch.tie is None else fresh & stretch.tie[t].flatten(1)
        near = nowhere if stretch.near is None else fresh & stretch.near[t].flatten(1) & ~tie
        far = fresh & ~near & ~tie
        for name, mask in (("ties", tie), ("near", near), ("far", far)):
            self._counts[name] += int(mask.sum())
        far = far if self.excuses_ties else far | tie
        if self.found.first is None and bool(far.any()):
            a, b = stretch.a[t : t + 1], stretch.b[t : t + 1]
            place = place_of(a, b, far.reshape(a.shape), step + t)
            first = (stretch.node, stretch.quantity, place)
            self.found = Margins(self.found.bound, first=first)
        self._parted |= fresh.any(1)

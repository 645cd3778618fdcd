"""How far two series of numbers agree, looked at a stretch at a time."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch

Tensor = torch.Tensor
Index = tuple[int, ...]


@dataclass(frozen=True)
class Place:
    """Where two series differ first.

    Attributes:
        step: counted from 0.
        sample: in the batch.
        neuron: the index among the features.
        values: of both sides.
    """

    step: int
    sample: int
    neuron: Index
    values: tuple[float, float]

    def __str__(self) -> str:
        neuron = ", ".join(map(str, self.neuron))
        a, b = self.values
        return f"step {self.step}, sample {self.sample}, neuron ({neuron}): {a:.9g} and {b:.9g}"


@dataclass
class Comparison:
    """Two series of numbers [T, N, *features], as far as they were seen.

    Attributes:
        tolerance: how far numbers may be apart, as a part of the largest so far; 0 for spikes.
        scale: what counts as the largest at least.
        compared, differing: how many numbers were compared, and how many differ.
        apart: the largest difference.
        first: where they differ first.
        totals: the sums of both: for spikes, how many there are.
    """

    tolerance: float
    scale: float = 0.0
    compared: int = 0
    differing: int = 0
    apart: float = 0.0
    first: Place | None = None
    totals: tuple[float, float] = (0.0, 0.0)
    _largest: float = field(default=0.0, repr=False)

    def see(self, a: Tensor, b: Tensor, step: int) -> Tensor:
        """Go on with numbers of both from a step on; tells which differ."""
        a, b = a.double(), b.double()
        distances = _distances(a, b)
        differs = distances > self.tolerance * self._scales(a, b)
        self.compared += a.numel()
        self.differing += int(differs.sum())
        self.apart = max(self.apart, float(distances.max()))
        self.totals = (self.totals[0] + float(a.sum()), self.totals[1] + float(b.sum()))
        if self.first is None and bool(differs.any()):
            self.first = place_of(a, b, differs, step)
        return differs

    def _scales(self, a: Tensor, b: Tensor) -> Tensor:
        """For each step the largest number up to it, shaped to be compared with the numbers."""
        largest = torch.maximum(a.abs(), b.abs()).nan_to_num(posinf=0.0).flatten(1).amax(1)
        largest[0] = max(self._largest, self.scale, float(largest[0]))
        running = largest.cummax(0).values
        self._largest = float(running[-1])
        return running.reshape(-1, *(1,) * (a.dim() - 1))


def _distances(a: Tensor, b: Tensor) -> Tensor:
    """How far numbers are apart; no way if they are equal or both NaN, infinitely if one is."""
    same = (a == b) | (a.isnan() & b.isnan())
    return torch.where(same, 0.0, (a - b).abs().nan_to_num(nan=math.inf, posinf=math.inf))


def place_of(a: Tensor, b: Tensor, differs: Tensor, step: int) -> Place:
    """The first step with a difference, and the largest in it."""
    distances = _distances(a.double(), b.double())
    when = int(differs.flatten(1).any(1).nonzero()[0])
    apart = torch.where(differs[when], distances[when], -1.0)
    sample, *neuron = (int(k) for k in torch.unravel_index(apart.argmax(), apart.shape))
    at = (when, sample, *neuron)
    return Place(step + when, sample, tuple(neuron), (float(a[at]), float(b[at])))

"""Layers of nobody's framework, in plain PyTorch: what a stranger's mapping is tried on.

Layers see one step, [batch, features], and remember their potential until `reset`.
"""

from __future__ import annotations

import math

import torch
from torch import nn


class Cell(nn.Module):
    """What remembers a potential."""

    v: torch.Tensor | None = None

    def reset(self) -> None:
        """Forget: the next step is the first."""
        self.v = None


class Fire(Cell):
    """v <- v + x; fires above its threshold; a spike sets v to zero or takes a threshold's worth,
    at once or in the step after. With a floor, v doesn't fall below zero."""

    def __init__(
        self,
        threshold: float = 1.0,
        soft: bool = False,
        late: bool = False,
        floor: bool = False,
    ) -> None:
        super().__init__()
        self.threshold, self.soft, self.late, self.floor = threshold, soft, late, floor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        v = torch.zeros_like(x) if self.v is None else self.v
        owed = (v > self.threshold).to(x) * self.threshold if self.soft and self.late else 0.0
        v = v + x - owed
        if self.floor:
            v = v.clamp(min=0.0)
        z = (v > self.threshold).to(x)
        if self.soft:
            self.v = v if self.late else v - z * self.threshold
        else:
            self.v = v * (1 - z)
        return z


class Subtracting(Fire):
    """One that has no other way."""

    def __init__(self, threshold: float = 1.0) -> None:
        super().__init__(threshold, soft=True)


class Forgetting(Cell):
    """v <- exp(-1 / tau) * v + x, tau in steps, one for all neurons or one for each; no spikes."""

    def __init__(self, tau: float | torch.Tensor) -> None:
        super().__init__()
        self.tau = tau

    @property
    def kept(self) -> torch.Tensor:
        """What a step leaves of v."""
        return torch.exp(-1 / torch.as_tensor(self.tau, dtype=torch.float64))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        v = torch.zeros_like(x) if self.v is None else self.v
        self.v = self.kept.to(x) * v + x
        return self.v


class Keeping(Cell):
    """The same, told by what a step keeps; which it holds as a logarithm, and a property tells."""

    RATE = 0.5

    def __init__(self, kept: float) -> None:
        super().__init__()
        self.log_kept = math.log(kept)

    @property
    def share(self) -> float:
        """What a step leaves of v."""
        return math.exp(self.log_kept)

    def told(self) -> float:
        """The same, as a method."""
        return self.share

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        v = torch.zeros_like(x) if self.v is None else self.v
        self.v = self.share * v + x
        return self.v


class Gained(Cell):
    """v <- kept * v + gain * x; the gain is a buffer that no constructor takes."""

    def __init__(self, kept: float) -> None:
        super().__init__()
        self.kept = kept
        self.register_buffer("gain", torch.tensor(1.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        v = torch.zeros_like(x) if self.v is None else self.v
        self.v = self.kept * v + self.gain * x
        return self.v

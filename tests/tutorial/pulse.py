"""pulse: spiking layers in plain PyTorch, made up for the tutorial in mappings/README.md.

Layers see one step, [batch, features], and remember their state until `reset`.
"""

from __future__ import annotations

import math

import torch
from torch import nn

__version__ = "0.3.0"


class Dense(nn.Module):
    """y = weight @ x"""

    def __init__(self, inputs: int, outputs: int, learn: bool = True) -> None:
        super().__init__()
        weight = torch.randn(outputs, inputs) / math.sqrt(inputs)
        self.weight = nn.Parameter(weight, requires_grad=learn)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x @ self.weight.T


class Decay(nn.Module):
    """A neuron that forgets at a rate, in Hz; a spike takes its charge, or a threshold's worth."""

    def __init__(
        self, rate: float, threshold: float = 1.0, step: float = 1e-4, soft: bool = False
    ) -> None:
        super().__init__()
        self.rate, self.threshold, self.step, self.soft = rate, threshold, step, soft
        self.charge: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        kept = math.exp(-self.rate * self.step)
        charge = x if self.charge is None else kept * self.charge + x
        fires = charge > self.threshold
        left = charge - self.threshold if self.soft else torch.zeros_like(charge)
        self.charge = torch.where(fires, left, charge)
        return fires.to(x)

    def reset(self) -> None:
        """Forget: the next step is the first."""
        self.charge = None


def reset(net: nn.Module) -> None:
    """Let all layers of a network forget."""
    for module in net.modules():
        if hasattr(module, "reset"):
            module.reset()

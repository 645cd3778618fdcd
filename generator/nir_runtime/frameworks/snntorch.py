"""snnTorch's home for a discrete system: hidden states, and `utils.reset`.

`snntorch.utils.reset(net)` looks for layers of snnTorch among the children of `net`, and gives
every Leaky there is a `mem` of zeros. What keeps a state otherwise is made a Leaky too, of which
nothing is left but that: to set its `mem` is to reset it.
"""

from __future__ import annotations

from typing import Any

import snntorch
import torch

from nir_runtime.contract.dynamics import Dynamics
from nir_runtime.imports import building


def beginning() -> torch.Tensor:
    """What a layer's `reset_mem` returns before the first step: the layer makes zeros of it."""
    return torch.zeros(0)


class _Resettable(snntorch.Leaky):
    """A module that is reset when snnTorch resets its Leaky layers."""

    def __init__(self, init_hidden: bool = True) -> None:
        super().__init__(beta=1.0, init_hidden=init_hidden)

    def _init_mem(self) -> None:
        """There is no membrane potential."""

    @property
    def mem(self) -> torch.Tensor:
        return torch.zeros(0)

    @mem.setter
    def mem(self, value: torch.Tensor) -> None:
        self.reset_mem()


class Cell(_Resettable):
    """A discrete system as a layer of snnTorch: `y = cell(x)`, for [N, *features].

    Takes what the system takes. Its state is in attributes called as in `dynamics.memory`; they
    are None before the first step. Without `init_hidden`, it is `y, *state = cell(x, *state)`, and
    several inputs are a tuple.
    """

    def __init__(self, dynamics: Dynamics, init_hidden: bool = True) -> None:
        super().__init__(init_hidden)
        self.dynamics = dynamics
        self.reset_mem()

    @property
    def mem(self) -> torch.Tensor:
        """The first of the memories; empty before the first step."""
        first = getattr(self, self.dynamics.memory[0])
        return torch.zeros(0) if first is None else first

    @mem.setter
    def mem(self, value: torch.Tensor) -> None:
        self.reset_mem()

    def reset_mem(self) -> None:
        """Forget: the next step is the first."""
        for name in self.dynamics.memory:
            setattr(self, name, None)

    def forward(self, *arguments: Any) -> Any:
        """One step."""
        if not self.init_hidden:
            x, *state = arguments
            inputs = x if isinstance(x, tuple) else (x,)
            return self.dynamics.step(*inputs, *map(_started, state))
        names = self.dynamics.memory
        output, *left = self.dynamics.step(*arguments, *(getattr(self, name) for name in names))
        for name, value in zip(names, left, strict=True):
            setattr(self, name, value)
        return output


def _started(value: Any) -> Any:
    """A variable of a state, as a system has it: None before the first step."""
    return None if isinstance(value, torch.Tensor) and not value.numel() else value


class LoadState(building.LoadState, _Resettable):
    """`building.LoadState` that a reset finds, and that resets layers inside of others too."""

    def __init__(self, slots: building.Slots) -> None:
        _Resettable.__init__(self)
        self.slots = slots

    def reset_mem(self) -> None:
        """Let all layers forget."""
        layers: list[Any] = [slot.layer for slots in self.slots.values() for slot in slots]
        for layer in layers:
            layer.reset_mem()

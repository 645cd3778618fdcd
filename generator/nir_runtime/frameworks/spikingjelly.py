"""SpikingJelly's home for a discrete system: memories, step modes, `functional.reset_net`."""

from __future__ import annotations

from typing import Any

from spikingjelly.activation_based import base

from nir_runtime.contract.dynamics import Dynamics
from nir_runtime.imports import building


class Cell(base.MemoryModule):
    """A discrete system as a SpikingJelly module.

    Takes what the system takes, `[N, *features]` in step mode `s` and `[T, N, *features]` in `m`.
    Its state is in memories, called as in `dynamics.memory`; they are None before the first step.
    """

    def __init__(self, dynamics: Dynamics, step_mode: str = "s") -> None:
        super().__init__()
        self.dynamics = dynamics
        self.step_mode = step_mode
        for name in dynamics.memory:
            self.register_memory(name, None)

    def single_step_forward(self, *inputs: Any) -> Any:
        """One step."""
        return self._remember(self.dynamics.step(*inputs, *self.memories()))

    def multi_step_forward(self, *inputs: Any) -> Any:
        """One step for each element of the inputs' first axis."""
        return self._remember(self.dynamics.steps(*inputs, *self.memories()))

    def _remember(self, result: tuple[Any, ...]) -> Any:
        output, *state = result
        self._memories.update(zip(self.dynamics.memory, state, strict=True))
        return output


class ReadState(building.ReadState):
    """Reads memories where a MemoryModule keeps them, in a fraction of the time of `getattr`."""

    def __init__(self, slots: building.Slots, names: building.Names) -> None:
        super().__init__(slots, names)
        every = ((name, slot) for name, kept in slots.items() for slot in kept)
        self.lists = [(n, s) for n, s in every if isinstance(getattr(s.layer, s.attribute), list)]

    def forward(self) -> building.State:
        """The state that a later call may continue from."""
        state: building.State = dict.fromkeys(self.slots)  # takes its memory once; growing is slow
        for name, slots in self.slots.items():
            state[name] = {s.key: vars(s.layer)["_memories"][s.attribute] for s in slots}
        for name, slot in self.lists:  # of a Delay, which writes into it
            state[name][slot.key] = state[name][slot.key].copy()
        return state


def preset(layer: base.MemoryModule, memory: str, value: float) -> None:
    """Let a layer's memory start at `value`, now and after every reset."""
    layer.set_reset_value(memory, value)
    setattr(layer, memory, value)


def reset_value(layer: Any, memory: str) -> Any:
    """What `functional.reset_net` sets a layer's memory to; None if it has no such memory."""
    return vars(layer).get("_memories_rv", {}).get(memory)

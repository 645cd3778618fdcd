"""Running a network, and looking at what its layers give and remember on the way.

A network is run as it wants to be: one that takes single steps is called for each step, one that
takes the axis of time once for a stretch of steps. What layers send on is seen by hooks, whichever
way they are called; what they remember is seen after each call of the network.
"""

from __future__ import annotations

import contextlib
import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from nirgen.runtime.exports.preserving import preserved
from nirgen.runtime.imports.building import Slot, graph_names, memory, state_slots
from nirgen.runtime.imports.normalized import Normalized
from nirgen.verifying.sides import Side, evaluated

Tensor = torch.Tensor

MEMBRANE = "v"
"""What the membrane potential is called in a state, in volts as in the node."""


@dataclass(frozen=True)
class Seen:
    """What a stretch of steps gave.

    Attributes:
        values: by node, what it sent on, [T, N, *features]. An Output is a node here.
        membranes: by node, the membrane potentials behind the last steps, [t, N, *features]: behind
            each of the T, or behind the last only, as the network was called.
    """

    values: Mapping[str, Tensor]
    membranes: Mapping[str, Tensor]


class Runner:
    """A network that is being run, from its start on; to be used in `running`."""

    def __init__(self, side: Side, observed: Mapping[str, nn.Module]) -> None:
        self.side = side
        self.observed = observed
        self._slots = state_slots(side.target, dict(observed))
        self._sent: dict[str, list[Tensor]] = defaultdict(list)
        self._state: Any = None

    def run(self, x: Mapping[str, Tensor]) -> Seen:
        """Go on for some steps, of inputs [T, N, *features] by their names."""
        given = [x[name].to(self.side.device, self.side.dtype) for name in self.side.inputs]
        steps, batch = given[0].shape[:2]
        self._sent.clear()
        membranes: dict[str, list[Tensor]] = defaultdict(list)
        results: dict[str, list[Tensor]] = defaultdict(list)
        calls = zip(*given, strict=True) if self.side.axes == 1 else iter([given])
        for arguments in calls:
            for name, value in self._call(arguments).items():
                results[name].append(value)
            for name, potential in self._membranes():
                membranes[name].append(potential)
        return Seen(
            {
                n: self._joined(n, parts, steps, batch)
                for n, parts in (self._sent | results).items()
            },
            {n: self._joined(n, parts, -1, batch) for n, parts in membranes.items()},
        )

    def note(self, name: str, output: Any) -> None:
        """Take notice of what a layer gave."""
        value = output[0] if isinstance(output, tuple) else output
        if isinstance(value, torch.Tensor):
            self._sent[name].append(value)

    def _call(self, arguments: Any) -> dict[str, Tensor]:
        """One call of the network, by the names of its Outputs."""
        if not self.side.carries:
            return self._named(self.side.net(*arguments))
        result, self._state = self.side.net(*arguments, state=self._state)
        return self._named(result)

    def _named(self, result: Any) -> dict[str, Tensor]:
        if isinstance(result, Mapping):
            return {name: result[name] for name in self.side.outputs}
        several = result if isinstance(result, (tuple, list)) else (result,)
        return dict(zip(self.side.outputs, several, strict=False))

    def _membranes(self) -> Iterator[tuple[str, Tensor]]:
        """The membrane potentials as they are now, in the units of the nodes."""
        for name, slots in self._slots.items():
            value = self._held(name, slots)
            if isinstance(value, torch.Tensor):
                layer = self.observed[name]
                yield name, _restored(layer, value) if isinstance(layer, Normalized) else value

    def _held(self, name: str, slots: Any) -> Any:
        if self.side.carries and graph_names(self.side.net) is not None:
            return self._state.get(name, {}).get(MEMBRANE)
        slot: Slot | None = next((slot for slot in slots if slot.key == MEMBRANE), None)
        return getattr(slot.layer, slot.attribute) if slot else None

    def _joined(self, name: str, parts: list[Tensor], steps: int, batch: int) -> Tensor:
        """[T, N, *features], however the parts come: of one step each, or of all together."""
        shape = self.side.shape(name)
        joined = torch.cat([part.reshape(-1, *shape) for part in parts])
        return joined.reshape(steps, batch, *shape).cpu()


def _restored(layer: Normalized, u: Tensor) -> Tensor:
    """v, of a layer that computes with u = (v - v_reset) / (v_threshold - v_reset)."""
    node: Any = layer.node
    reset, threshold = (torch.as_tensor(value).to(u) for value in (node.v_reset, node.v_threshold))
    return u * (threshold - reset) + reset


@contextlib.contextmanager
def running(side: Side) -> Iterator[Runner]:
    """A runner at the network's start. Afterwards the network is as it was found."""
    runner = Runner(side, side.layers)
    with preserved(side.net, lambda module: True), evaluated(side.net), torch.no_grad():
        for module in side.net.modules():
            if memory(side.target, module):
                _reset(module)
        for name, layer in side.layers.items():
            layer.register_forward_hook(_noting(runner, name))
        yield runner


def _noting(runner: Runner, name: str) -> Any:
    def note(module: nn.Module, given: Any, output: Any) -> None:
        runner.note(name, output)

    return note


def _reset(module: nn.Module) -> None:
    """Let a layer that remembers forget, if it is one that has a way to."""
    reset = getattr(module, "reset", None)
    if callable(reset):
        reset()


def affordable(side: Side, batch: int, steps: int) -> int:
    """How many steps can be run at once without keeping too many numbers."""
    numbers = batch * sum(math.prod(side.shape(name)) for name in side.nodes)
    return max(1, min(steps, _MANY // max(1, numbers)))


_MANY = 1 << 24
"""How many numbers of a network are kept at a time."""

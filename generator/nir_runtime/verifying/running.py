"""Running a network, and looking at what its layers give and remember on the way.

A network is run as it wants to be: one that takes single steps is called for each step, one that
takes the axis of time once for a stretch of steps, and one that loops over time by itself once for
all. What layers send on, and their membranes, is seen by hooks, whichever way they are called.
"""

from __future__ import annotations

import contextlib
import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import nir
import torch
from torch import nn

from nir_runtime.contract import dynamics, reference
from nir_runtime.exports.preserving import preserved
from nir_runtime.imports.building import calling, core, memory, state_slots
from nir_runtime.imports.normalized import Normalized
from nir_runtime.reports.stated import system
from nir_runtime.verifying.sides import Side, evaluated, reset

Tensor = torch.Tensor

SpikingSystem = dynamics.IF | dynamics.LIF | dynamics.CubaLIF
SPIKING_SYSTEMS = (dynamics.IF, dynamics.LIF, dynamics.CubaLIF)
"""The contract's neurons that fire."""

MEMBRANE = "v"
"""What the membrane potential is called in a state, in volts as in the node."""


@dataclass(frozen=True)
class Seen:
    """What a stretch of steps gave.

    Attributes:
        values: by node, what it sent on, [T, N, *features]. An Output is a node here.
        membranes: by node, the membrane potentials behind the last steps, [t, N, *features]: behind
            each of the T, or behind the last only, as the network was called.
        compared: by node, the potentials [T, N, *features] that were compared with the threshold,
            where a layer of the reference has them.
    """

    values: Mapping[str, Tensor]
    membranes: Mapping[str, Tensor]
    compared: Mapping[str, Tensor]


class Runner:
    """A network that is being run, from its start on; to be used in `running`."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self._slots = state_slots(side.target, dict(side.layers))
        self._sent: dict[str, list[Tensor]] = defaultdict(list)
        self._potentials: dict[str, list[Tensor]] = defaultdict(list)
        self._compared: dict[str, list[Tensor]] = defaultdict(list)
        self._state: Any = None

    def restart(self) -> None:
        """Go back to the network's start."""
        self._state = None
        for module in self.side.net.modules():
            if memory(self.side.target, module):
                reset(module)

    def run(self, x: Mapping[str, Tensor]) -> Seen:
        """Go on for some steps, of inputs [T, N, *features] by their names."""
        given = [x[name].to(self.side.device, self.side.dtype) for name in self.side.inputs]
        steps, batch = given[0].shape[:2]
        arguments = zip(*given, strict=True) if self.side.axes == 1 else [given]
        return self._seen(((each, {}) for each in arguments), steps, batch)

    def call(self, args: Sequence[Any], kwargs: Mapping[str, Any], batch: int) -> Seen:
        """Call the network once, as it wants to be called."""
        return self._seen([(args, kwargs)], -1, batch)

    def _seen(self, calls: Iterable[tuple[Any, Mapping[str, Any]]], steps: int, batch: int) -> Seen:
        for kept in (self._sent, self._potentials, self._compared):
            kept.clear()
        results: dict[str, list[Tensor]] = defaultdict(list)
        for args, kwargs in calls:
            for name, value in self._call(args, kwargs).items():
                results[name].append(value)
        sent = {**self._sent, **results}
        return Seen(
            {name: self._joined(name, parts, steps, batch) for name, parts in sent.items()},
            {name: self._joined(name, ps, -1, batch) for name, ps in self._potentials.items()},
            {name: self._joined(name, ps, steps, batch) for name, ps in self._compared.items()},
        )

    def note(self, name: str, output: Any) -> None:
        """Take notice of what a layer gave, and of its membrane now."""
        value = output[0] if isinstance(output, tuple) else output
        if isinstance(value, torch.Tensor):
            self._sent[name].append(value)
        layer = self.side.layers[name]
        potential = self._potential(name, layer, output)
        if isinstance(potential, torch.Tensor):
            node = self.side.flat.nodes[name]
            restored = (
                _restored(layer, potential, node) if isinstance(layer, Normalized) else potential
            )
            self._potentials[name].append(restored)

    def note_compared(self, name: str, potential: Tensor) -> None:
        """Take notice of what a layer of the reference compares with its threshold."""
        self._compared[name].append(potential)

    def _potential(self, name: str, layer: nn.Module, output: Any) -> Any:
        """The membrane potential, as the layer keeps it or gives it back; None if it does not."""
        form = calling(self.side.target, layer)
        if form.remembers:
            slot = next((s for s in self._slots.get(name, ()) if s.key == MEMBRANE), None)
            return getattr(slot.layer, slot.attribute) if slot else None
        if not form.whole:
            variables = memory(self.side.target, core(layer))
            return dict(zip(variables, output[-len(variables) :], strict=True)).get(MEMBRANE)
        state = output[1]
        return state.get(MEMBRANE) if isinstance(state, dict) else getattr(state, MEMBRANE, None)

    def _call(self, args: Any, kwargs: Mapping[str, Any]) -> dict[str, Tensor]:
        """One call of the network, by the names of its Outputs."""
        if not self.side.carries:
            return self._named(self.side.net(*args, **kwargs))
        result = self.side.net(*args, **kwargs, state=self._state)
        if isinstance(result, tuple) and len(result) == 2:
            result, self._state = result
        return self._named(result)

    def _named(self, result: Any) -> dict[str, Tensor]:
        """The Outputs by their names; none, if the network returns other things besides."""
        if isinstance(result, Mapping):
            return {name: result[name] for name in self.side.outputs if name in result}
        several = result if isinstance(result, (tuple, list)) else (result,)
        tensors = [value for value in several if isinstance(value, torch.Tensor)]
        if len(tensors) != len(self.side.outputs):
            return {}
        return dict(zip(self.side.outputs, tensors, strict=True))

    def _joined(self, name: str, parts: list[Tensor], steps: int, batch: int) -> Tensor:
        """[T, N, *features], however the parts come: of one step each, or of all together."""
        shape = self.side.shape(name)
        joined = torch.cat([part.reshape(-1, *shape) for part in parts])
        return joined.reshape(steps, batch, *shape).cpu()


def _restored(layer: Normalized, u: Tensor, exported: nir.NIRNode) -> Tensor:
    """v, of a layer that computes with u = (v - v_reset) / (v_threshold - v_reset), or with v."""
    if layer.in_volts or "reset" in exported.metadata:  # which subtracts, in the layer's units
        return u
    node: Any = layer.node
    reset, threshold = (torch.as_tensor(value).to(u) for value in (node.v_reset, node.v_threshold))
    return u * (threshold - reset) + reset


@contextlib.contextmanager
def running(side: Side) -> Iterator[Runner]:
    """A runner at the network's start. Afterwards the network is as it was found."""
    runner = Runner(side)
    with preserved(side.net, lambda module: not side.ours), evaluated(side.net), torch.no_grad():
        runner.restart()
        for name, layer in side.layers.items():
            layer.register_forward_hook(_noting(runner, name))
            if isinstance(neuron := system(layer), SPIKING_SYSTEMS):
                neuron.fired = _noting_compared(runner, name, neuron)  # type: ignore[method-assign]
        yield runner


def _noting(runner: Runner, name: str) -> Any:
    def note(module: nn.Module, given: Any, output: Any) -> None:
        runner.note(name, output)
        if isinstance(module, reference.Threshold):
            runner.note_compared(name, given[0])

    return note


def _noting_compared(runner: Runner, name: str, neuron: SpikingSystem) -> Any:
    fired = neuron.fired

    def noting(old: Any, charged: Tensor) -> tuple[Tensor, Tensor]:
        runner.note_compared(name, neuron.compared(old, charged))
        return fired(old, charged)

    return noting


def affordable(side: Side, batch: int, steps: int) -> int:
    """How many steps can be run at once without keeping too many numbers."""
    numbers = batch * sum(math.prod(side.shape(name)) for name in side.nodes)
    return max(1, min(steps, _MANY // max(1, numbers)))


_MANY = 1 << 24
"""How many numbers of a network are kept at a time."""

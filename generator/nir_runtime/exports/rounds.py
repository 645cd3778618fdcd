"""Loops over time in a forward: the same layers, called again with the state of the call before.

What a layer with state gives at its call `k` belongs to step `k`. A trace has one node for all
steps, so each call of such a layer must read what the first one read, of its own step, and go on
from the state of the one before. What layers without state do at later steps is only compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import nir
import torch
from torch import Tensor, nn

from nir_runtime.calling import Calling, taken_apart
from nir_runtime.contract.primitives import telling
from nir_runtime.exports import demands, reshaping, states
from nir_runtime.exports.containers import FED_BACK
from nir_runtime.exports.demands import Complaint
from nir_runtime.exports.refusing import Unsupported
from nir_runtime.exports.signals import Recorder, Signal, signals_in
from nir_runtime.exports.states import Held
from nir_runtime.exports.traces import Call
from nir_runtime.imports.building import calling, core, memory
from nir_runtime.target import Target


@dataclass
class _Layer:
    """The calls so far of a layer with state.

    Attributes:
        module: the layer.
        count: how many.
        reads, gives: what the first of them read, and its output.
        single: whether the first was given one step, and not one of a loop's or a sequence's.
        continues: whether the first was given the state that the step before had left.
    """

    module: nn.Module
    count: int = 0
    reads: Signal | None = None
    gives: Signal | None = None
    single: bool = False
    continues: bool = False


class Rounds:
    """How often each layer with state was called, and with what.

    Attributes:
        most: how many steps of time there were so far.
    """

    def __init__(self, target: Target, recorder: Recorder, earlier: Rounds | None = None) -> None:
        """Take the calls of the step before, whose states the layers may go on from."""
        self.target = target
        self.most = 0
        self._earlier = earlier
        self._callings: dict[int, Calling] = {}
        self._recorder = recorder
        self._layers: dict[int, _Layer] = {}

    def calling(self, module: nn.Module) -> Calling:
        """How a layer is called."""
        known = self._callings.get(id(module))
        if known is None:
            if self.target.way(type(module)) == FED_BACK:
                known = taken_apart("y, state = layer(x, state)")
            else:
                known = calling(self.target, module)
            self._callings[id(module)] = known
        return known

    def variables(self, module: nn.Module) -> tuple[str, ...]:
        """The state that a layer has itself."""
        if self.target.way(type(module)) == FED_BACK:
            return ("cache",)
        return memory(self.target, core(module))

    def complaint(self, module: nn.Module, x: Signal, given: Sequence[Any]) -> Complaint | None:
        """What is wrong with this call of a layer, seen from its calls before."""
        variables, layer = self.variables(module), self._of(module)
        if not variables:
            return None
        if layer.reads is not None and not self._reads_again(layer.reads, x):
            return demands.called_again(module)
        if x.leading.step not in (None, layer.count):
            return demands.at_another_step(x.leading.step, layer.count)
        if not self._continues(module, variables, given):
            return demands.without_its_state(module)
        return None

    def _reads_again(self, first: Signal, x: Signal) -> bool:
        """Whether a layer reads what it read at its first call, a step of time later."""
        return len(x.leading.shape) == 1 and self._recorder.alike(first, x)

    def _continues(self, module: nn.Module, variables: Sequence[str], given: Sequence[Any]) -> bool:
        """Whether a layer is given what its last call left; at first, no layer's state."""
        layer, calling = self._of(module), self.calling(module)
        if calling.remembers:
            return True
        signals = signals_in(given)
        if layer.gives is not None:
            return _is_state_of(signals, layer, calling, variables)
        if signals and self._earlier is not None:
            layer.continues = _is_state_of(signals, self._earlier._of(module), calling, variables)
            return layer.continues
        return not signals

    def last_call(self, module: nn.Module) -> int:
        """The number of a layer's last call, counted from 0."""
        return self._of(module).count - 1

    def dropped(self, *, whole_sequence: bool) -> Iterator[nn.Module]:
        """The layers that were not given the state which the step before had left.

        What takes whole sequences may start anew with each.
        """
        for layer in self._layers.values():
            remembers = self.calling(layer.module).remembers
            if layer.single and not (remembers or layer.continues or whole_sequence):
                yield layer.module

    def starts_by_itself(self, module: nn.Module, given: Sequence[Any]) -> bool:
        """Whether a layer starts from what it has, for it is given no state."""
        gets_state = bool(signals_in(given)) or any(True for _ in _tensors(given))
        return self.calling(module).remembers or not gets_state

    def started_elsewhere(self, given: Sequence[Any], call: Call | None) -> Iterator[Complaint]:
        """A first call with a state of the network's own making that isn't where NIR starts."""
        own = [tensor for tensor in _tensors(given) if tensor.numel()]
        zero = not any(bool(tensor.any()) for tensor in own)
        if own and not (zero and call is not None and _starts_at_zero(call.node)):
            yield demands.STARTED_ELSEWHERE

    def again(self, module: nn.Module, x: Signal) -> Signal | None:
        """What a layer with state gives at a step that is not its first."""
        first = self._of(module).gives
        if first is None:
            return None
        return x.successor(first.features, first.sources, binary=first.binary)

    def note(self, module: nn.Module, x: Signal, y: Signal) -> Signal:
        """The output of this call, at its step."""
        if not self.variables(module):
            return y
        layer = self._of(module)
        if layer.gives is None:
            layer.reads, layer.gives = x.copy(), y.copy()  # the forward may change its own
            layer.single = len(x.leading.shape) == 1 and not (x.leading.inside or x.leading.looped)
        layer.count += 1
        self.most = max(self.most, layer.count)
        y.leading = y.leading.at(layer.count - 1)
        return y

    def returned(self, module: nn.Module, y: Any, like: Signal) -> Any:
        """What this call returns: its output, and a state that is shaped like a signal."""
        calling, call = self.calling(module), self._of(module).count - 1
        held = states.held(like, module, call, self.variables(module))
        return states.returned(y, calling, held)

    def _of(self, module: nn.Module) -> _Layer:
        if id(module) not in self._layers:
            self._layers[id(module)] = _Layer(module)
        return self._layers[id(module)]


def _is_state_of(
    signals: list[Signal], layer: _Layer, calling: Calling, variables: Sequence[str]
) -> bool:
    """Whether these are what a layer's last call left."""
    last = layer.count - 1
    if "y" in calling.takes and signals:
        y = signals.pop(0)
        if layer.gives is None or y.sources != layer.gives.sources or y.leading.step != last:
            return False
    held = [(id(h.layer), h.call, h.variable) for h in signals if isinstance(h, Held)]
    return held == [(id(layer.module), last, variable) for variable in variables]


class Written:
    """Tensors of a network's own, into which its forward writes the steps of an output."""

    def __init__(self) -> None:
        self._written: dict[int, _Buffer] = {}

    def take(self, tensor: Any, index: Any, value: Any) -> bool:
        """Note `tensor[t] = value`; False if it is anything else."""
        first, *others = index if isinstance(index, tuple) and index else (index,)
        whole = all(map(reshaping.is_whole, others))
        if isinstance(tensor, Signal) or not isinstance(first, int) or not whole:
            return False
        if not isinstance(value, Signal) or tensor.shape[1:] != value.shape:
            return False
        if not value.binary and torch.promote_types(tensor.dtype, value.dtype) != tensor.dtype:
            raise Unsupported(
                f"writes a signal of {value.dtype} into a tensor of {tensor.dtype}, and rounds it",
                f"make the tensor with dtype={value.dtype}",
            )
        # As it is now: the forward may change its own.
        step = value.handed_on() if isinstance(value, Held) else value.copy()
        buffer = self._written.setdefault(id(tensor), _Buffer(tensor, tensor._version))
        buffer.steps[range(len(tensor))[first]] = step
        return True

    def result(self, value: Any) -> Any:
        """The sequence that was written into a tensor; the value itself if nothing was."""
        buffer = self._written.get(id(value))
        if buffer is None or buffer.tensor._version != buffer.version:
            return value
        written = [buffer.steps[step] for step in sorted(buffer.steps)]
        if isinstance(written[0], Held):
            return written[0].collected()
        try:
            return reshaping.stack(written) if len(written) == len(buffer.tensor) else value
        except Unsupported:
            return value


@dataclass
class _Buffer:
    """A tensor, its version before it was written to, and what was written at which step."""

    tensor: Tensor
    version: int
    steps: dict[int, Signal] = field(default_factory=dict)


def _tensors(value: object) -> Iterator[Tensor]:
    """The tensors of a network's own in what it passes on."""
    if isinstance(value, torch.Tensor) and not isinstance(value, Signal):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _tensors(item)


def _starts_at_zero(node: nir.NIRNode) -> bool:
    """Whether the contract has all of a node's state start at zero."""
    rest = getattr(node, "v_leak", getattr(node, "v_reset", 0.0))
    return not (rest.any() if hasattr(rest, "any") else rest) and not any(
        key.endswith("_initial") for key in telling(node)
    )

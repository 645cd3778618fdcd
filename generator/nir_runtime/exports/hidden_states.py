"""What layers remember by themselves, kept out of the forward's reach for the time of a trace.

A node of NIR keeps its state to itself. While a network is traced, the attributes in which its
layers remember hold a `Held`: a forward that computes with one is refused where it does so, and one
that puts something else in its place is seen.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from nir_runtime.exports import states
from nir_runtime.exports.demands import Complaint
from nir_runtime.exports.signals import Leading, Recorder, Signal
from nir_runtime.imports.building import calling, core, memory
from nir_runtime.target import Target


@dataclass
class _Memory:
    """What one layer remembers.

    Attributes:
        layer: the layer.
        found: by attribute, what was there before.
        shown: by attribute, what a forward finds there now.
        called: whether the layer was called.
        reset: the attributes that a forward put back to what they were before, ahead of the first
            call.
        left: what the forward left there in the end, in place of what it found.
    """

    layer: nn.Module
    found: dict[str, Any]
    shown: dict[str, Any] = field(default_factory=dict)
    called: bool = False
    reset: list[str] = field(default_factory=list)
    left: dict[str, Any] = field(default_factory=dict)

    def show(self, like: Signal, call: int) -> None:
        """Put tensors without numbers there."""
        self.shown = dict(states.hidden(like, self.layer, call, tuple(self.found)))
        for name, value in self.shown.items():
            setattr(self.layer, name, value)

    def replaced(self) -> dict[str, Any]:
        """What the forward put there, by attribute."""
        now = {name: getattr(self.layer, name) for name in self.shown}
        return {name: value for name, value in now.items() if value is not self.shown[name]}

    def restore(self) -> None:
        for name, value in self.found.items():
            setattr(self.layer, name, value)


class HiddenStates:
    """The memories of a network's layers."""

    def __init__(self, target: Target, recorder: Recorder) -> None:
        self._target = target
        self._recorder = recorder
        self._memories: dict[int, _Memory] = {}

    @contextlib.contextmanager
    def hidden(self, layers: Iterable[nn.Module]) -> Iterator[None]:
        """Inside, the layers' memories are out of reach."""
        like = Signal(
            Leading((1,)), (1,), torch.get_default_dtype(), torch.device("cpu"), self._recorder, ()
        )
        for layer in layers:
            own = core(layer)
            names = memory(self._target, own)
            if names and calling(self._target, layer).remembers:
                found = {name: getattr(own, name) for name in names if hasattr(own, name)}
                self._memories[id(layer)] = kept = _Memory(own, found)
                kept.show(like, -1)
        try:
            yield
        finally:
            for kept in self._memories.values():
                kept.left = kept.replaced()
                kept.restore()

    @contextlib.contextmanager
    def shown(self, layer: nn.Module) -> Iterator[None]:
        """Inside, a layer's memory is what it really is: for those who convert it."""
        kept = self._memories.get(id(layer))
        if kept is None:
            yield
            return
        now = {name: getattr(kept.layer, name) for name in kept.found}
        kept.restore()
        try:
            yield
        finally:
            for name, value in now.items():
                setattr(kept.layer, name, value)

    def before_call(self, layer: nn.Module) -> Iterator[Complaint]:
        """What the forward did to a layer's memory since its last call."""
        kept = self._memories.get(id(layer))
        if kept is None:
            return
        for name, value in kept.replaced().items():
            if not kept.called and _is_start(value, kept.found[name]):
                kept.reset.append(name)
            else:
                yield _written(name)

    def after_call(self, layer: nn.Module, y: Signal, call: int) -> None:
        """The layer has remembered something."""
        kept = self._memories.get(id(layer))
        if kept is not None:
            kept.called = True
            kept.show(y, call)

    def left(self, *, whole_sequence: bool) -> Iterator[tuple[nn.Module, Complaint]]:
        """What the forward did to the layers' memories behind their last calls, and to begin with.

        A forward that is given a whole sequence may reset the layers first, as that is where the
        graph starts; one that is given a step may not.
        """
        for kept in self._memories.values():
            replaced = kept.left
            if not kept.called:
                # A layer that no call reaches has no node. Resetting it changes nothing.
                replaced = {n: v for n, v in replaced.items() if not _is_start(v, kept.found[n])}
            for name in replaced:
                yield kept.layer, _written(name)
            if kept.reset and not whole_sequence:
                yield kept.layer, _reset_each_step(kept.reset[0])


def _is_start(value: Any, found: Any) -> bool:
    """Whether a memory holds what it held when the layer was new."""
    if isinstance(value, torch.Tensor) and not isinstance(value, Signal):
        zero = not bool(value.any())
        if isinstance(found, torch.Tensor):
            return zero and not bool(found.any())
        return zero and (found is None or found == 0)
    if isinstance(found, torch.Tensor) or isinstance(value, Signal):
        return False
    return value is found or bool(value == found)


def _written(name: str) -> Complaint:
    return (
        f"the forward writes its state ({name}), which a node of NIR keeps to itself",
        "let the layer alone keep its state; set where it starts before the export, and reset it "
        "between sequences, outside of the forward",
    )


def _reset_each_step(name: str) -> Complaint:
    return (
        f"the forward resets it ({name}) at each call, and NIR's nodes go on from step to step",
        "reset the network between sequences, outside of the forward; if the forward takes whole "
        "sequences, give example_input more than one step",
    )

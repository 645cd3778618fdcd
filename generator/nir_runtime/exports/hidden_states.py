"""What layers remember by themselves, kept out of the forward's reach for the time of a trace.

A node of NIR keeps its state to itself. While a network is traced, the attributes in which its
layers remember hold a `Held`: a forward that computes with one is refused where it does so, and one
that puts something else in its place is seen.
"""

from __future__ import annotations

import contextlib
import dis
import functools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from nir_runtime.exports import states
from nir_runtime.exports.demands import Complaint
from nir_runtime.exports.signals import Signal
from nir_runtime.imports.building import calling, core, memory
from nir_runtime.target import Target

_ABSENT = object()


@dataclass
class _Memory:
    """What one layer remembers.

    Attributes:
        layer: the layer.
        found: by attribute, what was there before.
        own: what the layer itself had, and not its class.
        shown: by attribute, what a forward finds there now.
        left: what the forward left there in the end, in place of what it found.
    """

    layer: nn.Module
    found: dict[str, Any]
    own: frozenset[str]
    shown: dict[str, Any] = field(default_factory=dict)
    left: dict[str, Any] = field(default_factory=dict)

    def show(self, shown: dict[str, Any]) -> None:
        """Put something there."""
        self.shown = shown
        for name, value in shown.items():
            setattr(self.layer, name, value)

    def replaced(self) -> dict[str, Any]:
        """What the forward put there, by attribute."""
        now = {name: getattr(self.layer, name, None) for name in self.shown}
        return {name: value for name, value in now.items() if value is not self.shown[name]}

    def restore(self) -> None:
        """Put back what was there."""
        for name, value in self.found.items():
            if value is not _ABSENT:
                setattr(self.layer, name, value)
            elif hasattr(self.layer, name):
                delattr(self.layer, name)
            if name in vars(self.layer) and name not in self.own:
                del vars(self.layer)[name]


class HiddenStates:
    """The memories of a network's layers.

    At the first step they are what they are until a layer is called; at the second step they are
    what the first left.
    """

    def __init__(self, target: Target, earlier: HiddenStates | None = None) -> None:
        self._target = target
        self._earlier = earlier._memories if earlier else {}
        self._memories: dict[int, _Memory] = {}

    @contextlib.contextmanager
    def hidden(self, layers: Iterable[nn.Module]) -> Iterator[None]:
        """Inside, the layers' memories are out of reach."""
        for layer in layers:
            own = core(layer)
            names = memory(self._target, own)
            if names and calling(self._target, layer).remembers:
                names = (*names, *_written_by(own))
                found = {name: getattr(own, name, _ABSENT) for name in names}
                kept = _Memory(own, found, frozenset(vars(own)))
                before = self._earlier.get(id(layer))
                there = {name: v for name, v in kept.found.items() if v is not _ABSENT}
                kept.show(before.shown if before else there)
                self._memories[id(layer)] = kept
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
        shown = kept.shown
        kept.restore()
        try:
            yield
        finally:
            kept.show(shown)

    def names(self, layer: nn.Module) -> tuple[str, ...]:
        """The attributes in which a layer remembers."""
        kept = self._memories.get(id(layer))
        return memory(self._target, layer) if kept is None else tuple(kept.found)

    def before_call(self, layer: nn.Module) -> Iterator[Complaint]:
        """What the forward did to a layer's memory since its last call."""
        kept = self._memories.get(id(layer))
        return iter(()) if kept is None else map(_written, kept.replaced())

    def after_call(self, layer: nn.Module, y: Signal, call: int) -> None:
        """The layer has remembered something."""
        kept = self._memories.get(id(layer))
        if kept is not None:
            kept.show(dict(states.hidden(y, kept.layer, call, tuple(kept.found))))

    def left(self) -> Iterator[tuple[nn.Module, Complaint]]:
        """What the forward did to the layers' memories behind their last calls."""
        for kept in self._memories.values():
            for name in kept.left:
                yield kept.layer, _written(name)


def _written_by(layer: nn.Module) -> Iterator[str]:
    """What else a layer leaves of each call in attributes: the last reset, a record of v."""
    for name in _attributes_written(type(layer)):  # type: ignore[arg-type]
        value = getattr(layer, name, None)
        if value is None or isinstance(value, torch.Tensor):
            yield name


@functools.cache
def _attributes_written(cls: Any) -> tuple[str, ...]:
    """The attributes that the forward of a class sets, and the methods that it calls."""
    found: dict[str, None] = {}
    pending, seen = ["forward"], {"forward"}
    while pending:
        code = getattr(getattr(cls, pending.pop(), None), "__code__", None)
        if code is None:
            continue
        found.update(
            (i.argval, None) for i in dis.get_instructions(code) if i.opname == "STORE_ATTR"
        )
        further = [name for name in code.co_names if name not in seen]
        seen.update(further)
        pending += further
    return tuple(name for name in found if not hasattr(cls, name))


def _written(name: str) -> Complaint:
    return (
        f"the forward writes or resets its state ({name}), which a node of NIR keeps to itself",
        "let the layer alone keep its state; reset the network between sequences, outside of the "
        "forward",
    )

"""Signal: the tensor without numbers that stands for a network's data while it is traced.

A signal has a shape, a dtype and a device like any tensor, so that a forward may ask for them and
branch on them. It has no numbers: whatever a forward does with it goes to the trace it belongs to.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import nir
import torch
from torch import nn

from nir_runtime.sites import Shape

Sources = tuple[int, ...]
"""Whose sum a signal is, by their numbers in a trace; see `traces`. A negative number stands for
a value of the previous step, of a node that the trace comes to later."""


@dataclass(frozen=True)
class Leading:
    """The axes before the features.

    Attributes:
        sizes: of batch, or of time and batch.
        merged: whether time and batch are one axis, as in `x.flatten(0, 1)`.
        looped: whether the time axis is the one step for which a loop over time stands.
        inside: whether the time axis is gone, because a loop took this step out.
        step: which step of a loop over time in a forward this is, counted from 0; None where it is
            any, or all of them.
    """

    sizes: Shape
    merged: bool = False
    looped: bool = False
    inside: bool = False
    step: int | None = None

    @property
    def shape(self) -> Shape:
        """The axes' sizes as a tensor has them."""
        if self.merged:
            return (math.prod(self.sizes),)
        return self.sizes[1:] if self.inside else self.sizes

    @property
    def forms(self) -> tuple[Leading, ...]:
        """These axes, and then as a reshaping may have them instead: merged, or taken apart."""
        if len(self.sizes) < 2 or self.inside:
            return (self,)
        return self, replace(self, merged=not self.merged)

    def at(self, step: int | None) -> Leading:
        """The same axes at a step of a loop; of a sequence, all its steps."""
        return self if len(self.shape) > 1 else replace(self, step=step)


class Recorder(Protocol):
    """What a signal tells about the operations that it takes part in."""

    def operate(
        self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """The result of a torch function or method that was given a signal."""

    def as_layer(self, name: str, layer: nn.Module, x: Signal) -> Signal:
        """The signal behind a function that computes what a layer does."""

    def is_input(self, x: Signal) -> bool:
        """Whether a signal is what the network was given."""

    def alike(self, x: Signal, y: Signal) -> bool:
        """Whether two signals are the same one, maybe of different steps of time."""

    def insert(
        self, name: str, node: nir.NIRNode, x: Signal, features: Shape, *, junction: bool = False
    ) -> Signal:
        """The signal behind a node that no layer stands for, here an operation in a forward."""


class Memory:
    """The memory that tensors share in the real network: writing to one writes to all.

    Attributes:
        tensors: how many tensors are known to look at it.
    """

    def __init__(self, tensors: int = 0) -> None:
        self.tensors = tensors


class Signal(torch.Tensor):
    """A tensor without numbers.

    Attributes:
        leading: the axes before the features: (time and) batch.
        features: the axes that NIR knows of.
        recorder: the trace that it belongs to.
        sources: whose sum it is.
        binary: whether it is known to be 0 or 1 everywhere.
        uncertain: whether its shape is a guess, made to go on after a problem.
        memory: what in-place operations on it would change besides.
    """

    leading: Leading
    features: Shape
    recorder: Recorder
    sources: Sources
    binary: bool
    uncertain: bool
    memory: Memory
    _dtype: torch.dtype
    _device: torch.device

    @staticmethod
    def __new__(
        cls,
        leading: Leading,
        features: Shape,
        dtype: torch.dtype,
        device: torch.device,
        recorder: Recorder,
        sources: Sources,
        binary: bool = False,
        uncertain: bool = False,
        memory: Memory | None = None,
    ) -> Signal:
        """A signal of the shape `(*leading.shape, *features)`."""
        self: Signal = torch.Tensor._make_wrapper_subclass(
            cls, (*leading.shape, *features), dtype=dtype, device=device
        )
        self.leading, self.features = leading, features
        self._dtype, self._device = dtype, device
        self.recorder = recorder
        self.sources = sources
        self.binary = binary
        self.uncertain = uncertain
        self.memory = memory or Memory()
        self.memory.tensors += 1
        return self

    # What torch tells of a tensor by asking the tensor's class; often asked, and known here.

    @property
    def dtype(self) -> torch.dtype:  # type: ignore[override]
        return self._dtype

    @property
    def device(self) -> torch.device:  # type: ignore[override]
        return self._device

    def successor(
        self,
        features: Shape,
        sources: Sources,
        *,
        binary: bool = False,
        uncertain: bool = False,
        memory: Memory | None = None,
        leading: Leading | None = None,
    ) -> Signal:
        """What comes of this signal: other features; the same leading axes, unless given, and
        the same dtype."""
        return Signal(
            leading or self.leading,
            features,
            self.dtype,
            self.device,
            self.recorder,
            sources,
            binary,
            uncertain or self.uncertain,
            memory,
        )

    def copy(self) -> Signal:
        """The same numbers in memory of their own."""
        return self.successor(self.features, self.sources, binary=self.binary)

    def alias(self, leading: Leading | None = None) -> Signal:
        """The same numbers in the same memory, possibly with other axes before the features."""
        return self.successor(
            self.features, self.sources, binary=self.binary, memory=self.memory, leading=leading
        )

    def guess(self) -> Signal:
        """What stands for the unknown result of a refused operation, so that tracing goes on.

        It may well be binary: what follows from the problem is not to be a problem of its own.
        """
        return self.successor(self.features, self.sources, binary=True, uncertain=True)

    def become(self, other: Signal) -> Signal:
        """Take on another signal's numbers: from here on, all who hold this one hold that one."""
        self.sources, self.binary, self.uncertain = other.sources, other.binary, other.uncertain
        self.leading = other.leading
        return self

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Hand every torch function and method to the trace."""
        kwargs = kwargs or {}
        return signals_in((args, kwargs))[0].recorder.operate(func, args, kwargs)

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Refuse what reaches a signal from below, from compiled code that asks no function."""
        return cls.__torch_function__(func, types, args, kwargs)

    def __repr__(self) -> str:  # type: ignore[override]
        """A signal as a forward that prints it shows it."""
        return f"Signal(shape={tuple(self.shape)}, dtype={self.dtype})"

    def __format__(self, format_spec: str) -> str:
        """Like `repr`: there are no numbers to format."""
        return format(repr(self), format_spec)


def signals_in(value: object) -> list[Signal]:
    """All signals in nested tuples, lists and dictionaries, in order."""
    found: list[Signal] = []
    pending = [value]
    while pending:
        item = pending.pop()
        if isinstance(item, Signal):
            found.append(item)
        elif isinstance(item, (tuple, list)):
            pending.extend(reversed(item))
        elif isinstance(item, dict):
            pending.extend(reversed(list(item.values())))
    return found

"""Signal: the tensor without numbers that stands for a network's data while it is traced.

A signal has a shape, a dtype and a device like any tensor, so that a forward may ask for them and
branch on them. It has no numbers: whatever a forward does with it goes to the trace it belongs to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import nir
import torch

from nirgen.runtime.sites import Shape

Sources = tuple[int, ...]
"""Whose sum a signal is: 0 is the network's input, `k` the output of the k-th call."""


class Recorder(Protocol):
    """What a signal tells about the operations that it takes part in."""

    def operate(
        self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """The result of a torch function or method that was given a signal."""

    def insert(self, name: str, node: nir.NIRNode, x: Signal, features: Shape) -> Signal:
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
        uncertain: whether its shape is a guess, made to go on after a problem.
        memory: what in-place operations on it would change besides.
    """

    leading: Shape
    features: Shape
    recorder: Recorder
    sources: Sources
    uncertain: bool
    memory: Memory

    @staticmethod
    def __new__(
        cls,
        leading: Shape,
        features: Shape,
        dtype: torch.dtype,
        device: torch.device,
        recorder: Recorder,
        sources: Sources,
        uncertain: bool = False,
        memory: Memory | None = None,
    ) -> Signal:
        """A signal of the shape `(*leading, *features)`."""
        self: Signal = torch.Tensor._make_wrapper_subclass(
            cls, (*leading, *features), dtype=dtype, device=device
        )
        self.leading, self.features = leading, features
        self.recorder = recorder
        self.sources = sources
        self.uncertain = uncertain
        self.memory = memory or Memory()
        self.memory.tensors += 1
        return self

    def successor(
        self,
        features: Shape,
        sources: Sources,
        uncertain: bool = False,
        memory: Memory | None = None,
    ) -> Signal:
        """What comes of this signal: other features, the same leading axes and dtype."""
        return Signal(
            self.leading,
            features,
            self.dtype,
            self.device,
            self.recorder,
            sources,
            uncertain or self.uncertain,
            memory,
        )

    def copy(self) -> Signal:
        """The same numbers in memory of their own."""
        return self.successor(self.features, self.sources)

    def alias(self) -> Signal:
        """The same numbers in the same memory."""
        return self.successor(self.features, self.sources, memory=self.memory)

    def guess(self) -> Signal:
        """What stands for the unknown result of a refused operation, so that tracing goes on."""
        return self.successor(self.features, self.sources, uncertain=True)

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
        elif isinstance(item, Mapping):
            pending.extend(reversed(list(item.values())))
    return found

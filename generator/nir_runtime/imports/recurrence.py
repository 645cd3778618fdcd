"""Nodes that feed each other: they take every step together."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from types import MappingProxyType
from typing import Any

import torch
from torch import fx

from nir_runtime.contract.dynamics import Dynamics
from nir_runtime.contract.primitives import Shape


class Recurrent(Dynamics):
    """A cycle, or several that share nodes, as one discrete system.

    Its state is what the cut edges carry: the previous step's values, zero at the first. The nodes
    themselves are layers of the framework, with memories of their own; or with states that are
    handed on, and are a part of the cycle's.

    Attributes:
        body: one step: `(*inputs, *memory) -> (outputs, memory)`, where `outputs` are the values
            that other nodes need, and the memory is the previous values and then the states.
        inputs: the number of inputs.
        rank: the number of feature axes of the first input.
        shapes: the features of the previous values.
        one_step: the attribute of the layers, and its value, by which they take one step a call;
            None if they always do.
        starts: what the layers are given as their states at the first step, by name.
    """

    def __init__(
        self,
        body: fx.GraphModule,
        inputs: int,
        rank: int,
        previous: Sequence[str],
        shapes: Sequence[Shape],
        one_step: tuple[str, str] | None,
        starts: Mapping[str, Any] = MappingProxyType({}),
    ) -> None:
        super().__init__()
        self.body = body
        self.inputs = inputs
        self.rank = rank
        self.memory = (*previous, *starts)
        self.shapes = tuple(shapes)
        self.one_step = one_step
        self.starts = tuple(starts.values())

    def step(self, *arguments: Any) -> tuple[Any, ...]:
        """One step of inputs [..., *features]."""
        inputs, memory = arguments[: self.inputs], arguments[self.inputs :]
        outputs, following = self.body(*inputs, *self._started(inputs[0], memory))
        return (_one_or_all(outputs), *following)

    def steps(self, *arguments: Any) -> tuple[Any, ...]:
        """T steps of inputs [T, ..., *features], one after the other."""
        inputs, memory = arguments[: self.inputs], arguments[self.inputs :]
        each_step = []
        with self._layers_at_one_step():
            carried: Sequence[Any] = self._started(inputs[0][0], memory)
            for step in zip(*inputs, strict=True):
                outputs, carried = self.body(*step, *carried)
                each_step.append(outputs)
        over_time = tuple(torch.stack(values) for values in zip(*each_step, strict=True))
        return (_one_or_all(over_time), *carried)

    @contextlib.contextmanager
    def _layers_at_one_step(self) -> Iterator[None]:
        """Inside, the layers take one step a call. For several, each would do more than it must."""
        if self.one_step is None:
            yield
            return
        attribute, value = self.one_step
        found = ((m, getattr(m, attribute, value)) for m in self.body.modules())
        others = [(layer, held) for layer, held in found if held != value]
        try:
            for layer, _ in others:
                setattr(layer, attribute, value)
            yield
        finally:
            for layer, held in others:
                setattr(layer, attribute, held)

    def _started(self, like: torch.Tensor, memory: Sequence[Any]) -> list[Any]:
        """The memory; where there was no step before, zeros and the layers' own beginnings."""
        leading = like.shape[: like.dim() - self.rank]
        zeros = (partial(like.new_zeros, leading + shape) for shape in self.shapes)
        begin = (*zeros, *(partial(copy.copy, start) for start in self.starts))
        return [
            first() if value is None else value for value, first in zip(memory, begin, strict=True)
        ]


def _one_or_all(outputs: Sequence[torch.Tensor]) -> Any:
    return outputs[0] if len(outputs) == 1 else tuple(outputs)

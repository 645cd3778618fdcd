"""Nodes that feed each other: they take every step together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import fx

from nirgen.runtime.contract.dynamics import Dynamics
from nirgen.runtime.contract.primitives import Shape


class Recurrent(Dynamics):
    """A cycle, or several that share nodes, as one discrete system.

    Its state is what the cut edges carry: the previous step's values, zero at the first. The nodes
    themselves are layers of the framework, with memories of their own.

    Attributes:
        body: one step: `(*inputs, *previous) -> (outputs, following)`, where `outputs` are the
            values that other nodes need, and `following` are the `previous` of the next step.
        inputs: the number of inputs.
        rank: the number of feature axes of the first input.
        shapes: the features of the previous values.
    """

    def __init__(
        self,
        body: fx.GraphModule,
        inputs: int,
        rank: int,
        previous: Sequence[str],
        shapes: Sequence[Shape],
    ) -> None:
        super().__init__()
        self.body = body
        self.inputs = inputs
        self.rank = rank
        self.memory = tuple(previous)
        self.shapes = tuple(shapes)

    def step(self, *arguments: Any) -> tuple[Any, ...]:
        """One step of inputs [..., *features]."""
        inputs, previous = arguments[: self.inputs], arguments[self.inputs :]
        outputs, following = self.body(*inputs, *self._started(inputs[0], previous))
        return (_one_or_all(outputs), *following)

    def steps(self, *arguments: Any) -> tuple[Any, ...]:
        """T steps of inputs [T, ..., *features], for layers that want the axis of time."""
        inputs, previous = arguments[: self.inputs], arguments[self.inputs :]
        carried = [value.unsqueeze(0) for value in self._started(inputs[0][0], previous)]
        each_step = []
        for step in zip(*(x.split(1) for x in inputs), strict=True):
            outputs, carried = self.body(*step, *carried)
            each_step.append(outputs)
        over_time = tuple(torch.cat(values) for values in zip(*each_step, strict=True))
        return (_one_or_all(over_time), *(value.squeeze(0) for value in carried))

    def _started(self, like: torch.Tensor, previous: Sequence[Any]) -> list[torch.Tensor]:
        """The previous values, zero where there was no step before."""
        leading = like.shape[: like.dim() - self.rank]
        return [
            like.new_zeros(leading + shape) if value is None else value
            for value, shape in zip(previous, self.shapes, strict=True)
        ]


def _one_or_all(outputs: Sequence[torch.Tensor]) -> Any:
    return outputs[0] if len(outputs) == 1 else tuple(outputs)

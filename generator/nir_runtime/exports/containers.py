"""Modules that run other layers in a way of their own: over time, or fed back to themselves.

A target names the way for each class (`Target.containers`):

    through                 forward is run, for sequences with one step that stands for all
    elementwise_recurrent   y[t] = sub_module(element_wise_function(y[t-1], x[t]))
    linear_recurrent        y[t] = sub_module(rc([x[t], y[t-1]])), with rc a Linear
    fed_back                y[t] = outputs of module(x[t] + y[t-1]), at output_modules

What is fed back makes a cycle in the graph. The contract cuts it where it closes, walking from the
inputs, at the last node with state, and delays what that node sends. So that it does so exactly
where the container does:

- What enters the loop enters at one node. Where several layers read it, that is a Scale by 1.
- What is sent back comes from a node with state. Where the last layer has none, a Delay by zero
  seconds is on the way back: the cut delays it by one step, and nothing else.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import nir
from torch import nn

from nir_runtime import numbers
from nir_runtime.exports.operations import add, junction
from nir_runtime.exports.signals import Leading, Signal
from nir_runtime.imports.recurrence import Recurrent
from nir_runtime.sites import Shape
from nir_runtime.target import Target

FED_BACK = "fed_back"


class Loops(Protocol):
    """What a container needs of a trace. Problems are of the container that is being called.

    Attributes:
        target: the framework.
        fed_back: the containers that were called so far of those whose output is fed back.
    """

    target: Target
    fed_back: dict[nn.Module, FedBack]

    def problem(self, what: str, advice: str) -> None:
        """Note a problem."""

    def feedback(self, like: Signal, features: Shape) -> Signal:
        """The previous step's value of what `close` will say, zero at the first step."""

    def close(self, feedback: Signal, y: Signal) -> None:
        """Say what is fed back."""

    def node_of(self, module: nn.Module, x: Signal) -> nir.NIRNode:
        """What a layer that is one node is converted into where it reads `x`."""

    def insert_part(self, module: nn.Module, part: int, node: nir.NIRNode, x: Signal) -> Signal:
        """The signal behind a node that stands for a part of a layer."""


def through(loops: Loops, container: nn.Module, x: Signal, *state: Any) -> Any:
    """A container that loops over time, or merges it with the batch, and does nothing else."""
    sequence = len(x.leading.shape) > 1
    narrow = Leading((1, *x.leading.sizes[1:]), looped=True) if sequence else x.leading
    entering = x.alias(narrow)
    result = container.forward((entering, *state) if state else entering)
    y, *rest = result if isinstance(result, tuple) else (result,)
    if not isinstance(y, Signal) or y.leading.at(None) != narrow.at(None):
        loops.problem("does not return a sequence", "let its layers return one tensor each")
        y = x.guess()
    y = y.alias(x.leading.at(y.leading.step))
    return (y, *rest) if rest else y


def elementwise(loops: Loops, container: Any, x: Signal) -> Signal:
    """A container whose output is joined to its next input by a function."""
    _demand_reset(loops, container, "y")
    step = step_of(x)
    feedback = loops.feedback(step, x.features)
    joined = container.element_wise_function(feedback, step)
    return _closed(loops, container, x, feedback, joined)


def linear(loops: Loops, container: Any, x: Signal) -> Signal:
    """A container whose output is joined to its next input by a Linear of both."""
    _demand_reset(loops, container, "y")
    if len(x.features) != 1:
        loops.problem(f"takes one axis of features, not {x.features}", "flatten before it")
        return x.guess()
    (size,), step = x.features, step_of(x)
    width = container.rc.in_features
    feedback = loops.feedback(step, (width - size,))
    node: Any = loops.node_of(container.rc, step.successor((width,), ()))
    # W [x, y] + b = W[:, :size] x + b + W[:, size:] y
    first, second = copy.copy(node), nir.Linear(weight=node.weight[:, size:])
    first.weight = node.weight[:, :size]
    joined = add(
        loops.insert_part(container.rc, 0, first, step),
        loops.insert_part(container.rc, 1, second, feedback),
    )
    return _closed(loops, container, x, feedback, joined)


@dataclass
class FedBack:
    """A container whose output is added to its next input.

    Attributes:
        feedback: the previous step's output.
        state: what its layers returned of their state at the last call.
    """

    feedback: Signal
    state: Any = None


def fed_back(loops: Loops, container: Any, x: Signal) -> Signal:
    """A container whose output is added to its next input; it may be called step by step."""
    if not isinstance(container.output_modules, int):
        loops.problem("feeds back several outputs", "give one output_modules")
        return x.guess()
    loop = loops.fed_back.get(container)
    first = loop is None
    if loop is None:
        loop = loops.fed_back[container] = FedBack(loops.feedback(x, x.features))
    joined = add(loop.feedback.alias(x.leading), x)
    outputs, loop.state = container.module(junction(joined), loop.state)
    y = outputs[container.output_modules]
    if not isinstance(y, Signal) or y.features != x.features:
        loops.problem(
            f"returns {_shown(y)} and gets {tuple(x.shape)}, which it is added to",
            "let it return a tensor of the shape that it gets",
        )
        return x.guess()
    if first:
        loops.close(loop.feedback, y)
    return y


def hosted(loops: Loops, host: nn.Module, system: Recurrent, inputs: Sequence[Signal]) -> Any:
    """A cycle that an import made: nodes that take each step together, in a host that remembers."""
    if any(not numbers.is_nothing(getattr(host, name, None)) for name in system.memory):
        loops.problem(
            "its state is left over from a run, or was set: a graph starts at a reset",
            "reset the network before you export it",
        )
    feedbacks = [loops.feedback(inputs[0], shape) for shape in system.shapes]
    outputs, following = system.body.forward(*inputs, *feedbacks, *system.starts)
    for feedback, value in zip(feedbacks, following, strict=False):  # states are behind
        loops.close(feedback, value)
    return outputs[0] if len(outputs) == 1 else tuple(outputs)


WAYS: Mapping[str, Callable[..., Any]] = {
    "through": through,
    "elementwise_recurrent": elementwise,
    "linear_recurrent": linear,
    FED_BACK: fed_back,
}
"""What `Target.containers` may say of a class."""


def step_of(x: Signal) -> Signal:
    """One step of a sequence; of a single step itself."""
    if len(x.leading.shape) == 1:
        return x
    return x.alias(Leading(x.leading.sizes, inside=True))


def _shown(y: object) -> str:
    return str(tuple(y.shape)) if isinstance(y, Signal) else type(y).__name__


def _demand_reset(loops: Loops, container: Any, kept: str) -> None:
    """Note a container whose first step is fed back something other than zero."""
    tell = loops.target.reset_value
    told = None if tell is None else tell(container, kept)
    for held in (getattr(container, kept, None), told):
        if not numbers.is_nothing(held) and not numbers.is_everywhere(held, 0.0):
            loops.problem(
                f"{kept} is fed back in the first step: it is left over from a run, or was set",
                "reset the network before you export it",
            )
            return


def _closed(loops: Loops, container: Any, x: Signal, feedback: Signal, joined: Any) -> Signal:
    """The output of a recurrent container whose layers read `joined`."""
    y = container.sub_module(junction(joined))
    if not isinstance(y, Signal) or y.shape != feedback.shape:
        loops.problem(
            f"its sub_module returns {_shown(y)} and gets {tuple(feedback.shape)} fed back",
            "let it return a tensor of the shape that it is fed back",
        )
        return x.guess()
    loops.close(feedback, y)
    return y.alias(x.leading.at(y.leading.step))

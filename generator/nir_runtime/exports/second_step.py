"""A step is traced twice, the second time from where the first one left off.

A graph says that all steps are alike. They are, if the second does what the first did, and leaves
behind what the first left: then so does every one that follows.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from typing import Any

import nir
from torch import nn

from nir_runtime.errors import Problem
from nir_runtime.exports import states
from nir_runtime.exports.layout import Examples
from nir_runtime.exports.recording import are_equal
from nir_runtime.exports.snapshots import Change, Snapshot
from nir_runtime.exports.traces import Call, Trace

KEEPS = (
    "keep what lasts in a layer with a state (a running sum is a neuron that never fires), and "
    "counters and records outside of the forward"
)


def kept_between(between: Snapshot, place: Callable[[nn.Module | None], str]) -> Iterator[Problem]:
    """What the second step left behind that the first had not left so."""
    for change in between.changes():
        yield Problem(
            place(change.module),
            f"its forward changes {change.name} at each call, and a graph of NIR has no state but "
            "its nodes'",
            KEEPS,
        )


def named(found: Snapshot, place: Callable[[nn.Module | None], str]) -> Iterator[str]:
    """What isn't what it was found as, `mid.acc`."""
    for change in found.changes():
        yield f"{place(change.module)}.{change.name}" if change.module else change.name


def from_before(found: Change | None, place: Callable[[nn.Module | None], str]) -> Problem:
    """A value of the step before that a forward reads again."""
    module, name = (found.module, found.name) if found else (None, "a variable of its own")
    return Problem(
        place(module),
        f"its forward reads what the call before left in {name}, and a graph of NIR has no state "
        "but its nodes'",
        KEEPS,
    )


def difference(first: Trace, second: Trace) -> str | None:
    """What the second step does otherwise than the first; None if it does the same."""
    for a, b in zip(first.calls, second.calls, strict=False):
        if not _are_alike(a, b):
            return f"{_name(a)} in the first, {_name(b)} in the second"
    if len(first.calls) != len(second.calls):
        longer = max(first.calls, second.calls, key=len)
        which = "first" if longer is first.calls else "second"
        return f"only the {which} has {_name(longer[min(len(first.calls), len(second.calls))])}"
    read = [(p.inputs, p.previous, p.shape) for p in first.outputs]
    if read != [(p.inputs, p.previous, p.shape) for p in second.outputs]:
        return "they return something else"
    return None


def _are_alike(a: Call, b: Call) -> bool:
    return (
        a.layer is b.layer
        and (a.path, a.part, a.inputs, a.previous) == (b.path, b.part, b.inputs, b.previous)
        and _are_equal(a.node, b.node)
    )


def _are_equal(a: nir.NIRNode, b: nir.NIRNode) -> bool:
    return a is b or (are_equal(a, b) and bool(a.metadata == b.metadata))


def _name(call: Call) -> str:
    kind = type(call.node).__name__
    return f"{call.path} ({kind})" if call.path else kind


def handed_back(net: nn.Module, examples: Examples, result: Any) -> dict[str, Any]:
    """The states that a network returned, as arguments of its next call, by parameter."""
    returned = _returned_states(result)
    taken = [
        name
        for name, parameter in inspect.signature(net.forward).parameters.items()
        if name not in examples.names
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    by_name = {name: value for name, value in returned.items() if name in taken}
    if by_name:
        return by_name
    values = list(returned.values())
    if not values or not taken:
        return {}
    if len(values) == len(taken) or len(values) == 1:
        return dict(zip(taken, values, strict=False))
    return {taken[0]: tuple(values)} if len(taken) == 1 else {}


def _returned_states(result: Any) -> dict[str, Any]:
    """The parts of what a network returns that are states, by name or number."""
    if isinstance(result, dict):
        return {str(name): value for name, value in result.items() if states.is_state(value)}
    if isinstance(result, (tuple, list)):
        return {str(k): value for k, value in enumerate(result) if states.is_state(value)}
    return {}

"""A trace in the making: calls as they happen, and values that are fed back before they exist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

import nir
import numpy as np

from nir_runtime.contract.primitives import is_stateful
from nir_runtime.exports.signals import Sources
from nir_runtime.exports.traces import AnyReader, Call


class Recording:
    """The calls of a trace, numbered behind its inputs.

    Attributes:
        inputs: how many inputs there are.
    """

    def __init__(self, inputs: int) -> None:
        self.inputs = inputs
        self._calls: list[Call] = []
        self._alike: dict[tuple[int, int], bool] = {}
        self._fed_back: list[Sources] = []

    def add(self, call: Call) -> Sources:
        """What reads the call's output reads this."""
        self._calls.append(call)
        return (self.inputs + len(self._calls) - 1,)

    @property
    def count(self) -> int:
        """How many calls there were so far."""
        return len(self._calls)

    def last(self) -> Call | None:
        """The last call."""
        return self._calls[-1] if self._calls else None

    def alike(self, some: Sources, others: Sources) -> bool:
        """Whether two sums are of the same: the same nodes, or again the same layers and functions
        without state of what is alike."""
        return len(some) == len(others) and all(map(self._are_alike, some, others))

    def _are_alike(self, one: int, other: int) -> bool:
        if one == other:
            return True
        if min(one, other) < self.inputs:
            return False
        key = (one, other)
        if key not in self._alike:
            a, b = (self._calls[number - self.inputs] for number in key)
            self._alike[key] = _are_the_same(a, b) and self.alike(a.inputs, b.inputs)
        return self._alike[key]

    def feedback(self) -> Sources:
        """What reads the previous step's value of something that is yet to come reads this."""
        self._fed_back.append(())
        return (-len(self._fed_back),)

    def close(self, feedback: Sources, sources: Sources) -> None:
        """Say whose sum it is; these nodes must have a state."""
        self._fed_back[-1 - feedback[0]] = sources

    def have_state(self, sources: Iterable[int]) -> bool:
        """Whether all of these are nodes with state."""
        calls = (self._calls[k - self.inputs] for k in sources if k >= self.inputs)
        return all(k >= self.inputs for k in sources) and all(is_stateful(c.node) for c in calls)

    def finish(self) -> tuple[Call, ...]:
        """The calls, as `resolved`."""
        return tuple(map(self.resolved, self._calls))

    def resolved(self, reader: AnyReader) -> AnyReader:
        """What reads, with what it reads of the previous step told apart."""
        previous = [source for k in reader.inputs if k < 0 for source in self._fed_back[-1 - k]]
        if not previous:
            return reader
        inputs = tuple(k for k in reader.inputs if k >= 0)
        return replace(reader, inputs=inputs, previous=tuple(previous))


def _are_the_same(a: Call, b: Call) -> bool:
    """Whether two calls are of one layer without state, or of functions that compute the same."""
    if a.layer is not b.layer or (a.path, a.part) != (b.path, b.part) or is_stateful(a.node):
        return False
    return a.layer is not None or are_equal(a.node, b.node)


def are_equal(a: nir.NIRNode, b: nir.NIRNode) -> bool:
    """Whether two nodes have the same fields."""
    return type(a) is type(b) and not any(True for _ in other_fields(a, b))


def other_fields(a: nir.NIRNode, b: nir.NIRNode) -> Iterator[str]:
    """The fields in which two nodes of a kind differ."""
    for name, value in vars(a).items():
        if name not in ("input_type", "output_type", "metadata"):
            other = vars(b)[name]
            if not (_is_one_array(value, other) or np.array_equal(value, other)):
                yield name


def _is_one_array(a: object, b: object) -> bool:
    """Whether two arrays look at the same numbers in memory."""
    if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)):
        return False
    return a.__array_interface__ == b.__array_interface__

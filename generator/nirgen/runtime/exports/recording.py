"""A trace in the making: calls as they happen, and values that are fed back before they exist."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from nirgen.runtime.contract.primitives import is_stateful
from nirgen.runtime.exports.signals import Sources
from nirgen.runtime.exports.traces import AnyReader, Call


class Recording:
    """The calls of a trace, numbered behind its inputs."""

    def __init__(self, inputs: int) -> None:
        self._inputs = inputs
        self._calls: list[Call] = []
        self._fed_back: list[Sources] = []

    def add(self, call: Call) -> Sources:
        """What reads the call's output reads this."""
        self._calls.append(call)
        return (self._inputs + len(self._calls) - 1,)

    def feedback(self) -> Sources:
        """What reads the previous step's value of something that is yet to come reads this."""
        self._fed_back.append(())
        return (-len(self._fed_back),)

    def close(self, feedback: Sources, sources: Sources) -> None:
        """Say whose sum it is; these nodes must have a state."""
        self._fed_back[-1 - feedback[0]] = sources

    def have_state(self, sources: Iterable[int]) -> bool:
        """Whether all of these are nodes with state."""
        calls = (self._calls[k - self._inputs] for k in sources if k >= self._inputs)
        return all(k >= self._inputs for k in sources) and all(is_stateful(c.node) for c in calls)

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

"""The record of a trace: which nodes a network's input goes through on its way to the output.

Inputs and calls share one numbering: with `m` inputs, the numbers below `m` are the inputs, and
number `m + k` is the call `k`. What reads a node names it by its number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

import nir
from torch import nn

from nir_runtime.exports.signals import Sources
from nir_runtime.sites import Shape


@dataclass(frozen=True, kw_only=True)
class Reader:
    """What reads values, each by its number.

    Attributes:
        inputs: the values whose sum it reads.
        previous: the values of the previous step that it reads besides; zero at the first.
    """

    inputs: Sources = ()
    previous: Sources = ()

    @property
    def reads(self) -> Sources:
        """All that it reads, of this step and of the one before."""
        return (*self.inputs, *self.previous)


AnyReader = TypeVar("AnyReader", bound=Reader)


@dataclass(frozen=True)
class Call(Reader):
    """One node on the signal's way.

    Attributes:
        path: the layer's path in the network, `features.3`, empty for the network itself; or the
            name of the function that the forward called.
        layer: the layer; None where the forward called a function.
        node: what it was converted into, or one of the nodes if it was several.
        part: which of them, counted from 0.
        annotations: why a reader of the node must honour its metadata.
        foldable: whether the node is an affine map of each channel, which the node before it can
            take over.
        junction: whether the node passes on what it reads: it stands for a sum that would
            otherwise be written out at each of its readers.
        notes: what else became of the layer, for people.
        cases: which cases of the mapping applied.
        behind: the last of the layers that were folded into it; None if there are none.
    """

    path: str
    layer: nn.Module | None
    node: nir.NIRNode
    part: int = 0
    annotations: tuple[str, ...] = ()
    foldable: bool = False
    junction: bool = False
    notes: tuple[str, ...] = ()
    cases: tuple[str, ...] = ()
    behind: nn.Module | None = None


@dataclass(frozen=True)
class Port(Reader):
    """An input of the network, which reads nothing, or an output.

    Attributes:
        name: the parameter of the forward, or the key in what it returns; empty if there is none.
        shape: the features.
    """

    name: str
    shape: Shape


@dataclass(frozen=True)
class Trace:
    """What a network does to its inputs.

    Attributes:
        inputs: in the order of the forward's parameters.
        calls: in the order of execution.
        outputs: in the order in which the forward returns them.
        skipped: the layers that pass on what they are given, by path.
        hooked: the modules whose forward hooks were left out at the caller's word.
        returned: the layers whose states the forward returns besides, by their ids.
    """

    inputs: tuple[Port, ...]
    calls: tuple[Call, ...]
    outputs: tuple[Port, ...]
    skipped: Mapping[str, nn.Module]
    hooked: tuple[str, ...]
    returned: Mapping[int, nn.Module] = field(default_factory=dict)

    @property
    def numbered(self) -> Iterator[tuple[int, Call]]:
        """The calls with their numbers."""
        return enumerate(self.calls, start=len(self.inputs))

    def call(self, number: int) -> Call | None:
        """The call of a number; None for an input."""
        return self.calls[number - len(self.inputs)] if number >= len(self.inputs) else None

    def readers(self) -> list[int]:
        """How often each number is read, by calls and outputs."""
        counts = [0] * (len(self.inputs) + len(self.calls))
        readers: tuple[Reader, ...] = (*self.calls, *self.outputs)
        for reader in readers:
            for number in reader.reads:
                counts[number] += 1
        return counts

    def keeping(self, calls: Mapping[int, Call]) -> Trace:
        """The trace with these calls only, given by their numbers; all others must be unread."""
        if len(calls) == len(self.calls):  # they keep their numbers
            return replace(self, calls=tuple(calls.values()))
        new = {number: number for number in range(len(self.inputs))}
        new |= {old: count for count, old in enumerate(calls, start=len(self.inputs))}

        def renumbered(reader: AnyReader) -> AnyReader:
            inputs = tuple(new[number] for number in reader.inputs)
            previous = tuple(new[number] for number in reader.previous)
            return replace(reader, inputs=inputs, previous=previous)

        return replace(
            self,
            calls=tuple(map(renumbered, calls.values())),
            outputs=tuple(map(renumbered, self.outputs)),
        )

"""What a trace holds without need: calls that no output depends on, and junctions read once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from nir_runtime.exports.traces import AnyReader, Call, Reader, Trace


def without_unused(trace: Trace) -> Trace:
    """The trace without the calls that no output depends on.

    nir.read gives every node that nothing reads an output of the graph, which the network lacks.
    """
    used: set[int] = set()
    pending = [number for port in trace.outputs for number in port.reads]
    while pending:
        number = pending.pop()
        if number not in used:
            used.add(number)
            call = trace.call(number)
            pending += call.reads if call else ()
    return trace.keeping({number: call for number, call in trace.numbered if number in used})


def without_junctions(trace: Trace) -> Trace:
    """The trace with each junction that only one node reads written out there."""
    readers = trace.readers()
    once = {n: call for n, call in trace.numbered if call.junction and readers[n] == 1}
    written = {n: _written_out(call, once) for n, call in trace.numbered if n not in once}
    outputs = tuple(_written_out(port, once) for port in trace.outputs)
    others: tuple[Reader, ...] = (*written.values(), *outputs)
    kept = [number for reader in others for number in reader.inputs if number in once]
    for number in kept:  # it grows on the way
        written[number] = _written_out(once[number], once)
        kept += [n for n in written[number].inputs if n in once]
    calls = {n: written[n] for n, _ in trace.numbered if n in written}
    return replace(trace, outputs=outputs).keeping(calls)


def _written_out(reader: AnyReader, once: Mapping[int, Call]) -> AnyReader:
    """A reader of what the junctions that it reads read.

    One stays whose sum would give the reader a second edge from the same node.
    """
    if once.keys().isdisjoint(reader.inputs):
        return reader
    inputs: list[int] = []
    previous = list(reader.previous)
    edges = {*reader.inputs, *previous}
    pending = [*reversed(reader.inputs)]
    while pending:
        number = pending.pop()
        junction = once.get(number)
        if junction is None or not edges.isdisjoint(junction.reads):
            inputs.append(number)
        else:
            edges.update(junction.reads)
            pending += reversed(junction.inputs)
            previous += junction.previous
    return replace(reader, inputs=tuple(inputs), previous=tuple(previous))

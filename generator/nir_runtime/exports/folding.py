"""Affine maps of each channel, taken over by the layer before them.

A batch norm in evaluation mode is such a map, y = gain * x + offset for each channel. Behind a
linear layer, x = W i + b, the two are one: W' = gain * W and b' = gain * b + offset. So the graph
has one node for both, as hardware has it, and the rounding of the numbers in between is gone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import nir
import numpy as np

from nir_runtime.composing import followed_by, gain_and_offset
from nir_runtime.exports.places import class_name
from nir_runtime.exports.traces import AnyReader, Call, Trace


def folded(trace: Trace) -> Trace:
    """The trace with foldable calls merged into the linear layers that alone they read.

    A merged call keeps the path of the linear layer. One pass over the calls.
    """
    readers = trace.readers()
    merged: dict[int, Call] = {}
    became: dict[int, int] = {}  # folded calls, and the calls that they were folded into

    for number, call in trace.numbered:
        call = _reading(call, became)
        target = call.inputs[0] if call.foldable and len(call.reads) == 1 else None
        if target not in merged or readers[target] != 1 or not _fits(merged[target], call):
            merged[number] = call
            continue
        merged[target] = _with(merged[target], call)
        became[number] = target
        readers[target] = readers[number]

    outputs = tuple(_reading(port, became) for port in trace.outputs)
    return replace(trace, outputs=outputs).keeping(merged)


def _reading(reader: AnyReader, became: Mapping[int, int]) -> AnyReader:
    """A reader of what has become of the calls that it reads."""
    if became.keys().isdisjoint(reader.inputs):
        return reader
    return replace(reader, inputs=tuple(became.get(n, n) for n in reader.inputs))


def _fits(call: Call, behind: Call) -> bool:
    """Whether a call is a linear map whose outputs are the channels of the one behind."""
    node, kind = call.node, type(behind.node)
    if isinstance(node, (nir.Affine, nir.Linear)):
        return kind is nir.Affine and np.ndim(node.weight) == 2
    return isinstance(node, (nir.Conv1d, nir.Conv2d)) and kind is type(node)


def _with(call: Call, behind: Call) -> Call:
    """A call that computes what the call behind it does as well."""
    kind = class_name(type(behind.layer))
    return replace(
        call,
        node=followed_by(call.node, *gain_and_offset(behind.node)),
        annotations=(*call.annotations, *behind.annotations),
        notes=(*call.notes, f"{behind.path} ({kind}) is folded into it"),
        behind=behind.layer,
    )

"""Which layers of a network compute which nodes of its graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from torch import nn

from nir_runtime.exports.folding import folded
from nir_runtime.exports.layout import Example
from nir_runtime.exports.naming import names
from nir_runtime.exports.pruning import without_junctions, without_unused
from nir_runtime.exports.traces import Call
from nir_runtime.exports.tracing import trace
from nir_runtime.target import Target


def layers_of_nodes(
    target: Target, net: nn.Module, example_input: Example, dt: float
) -> dict[str, nn.Module]:
    """By the nodes of a network's export, the layers whose outputs are those of the nodes.

    Left out are the nodes that no layer's output is: parts of a layer that became several nodes,
    functions in a forward, and layers that are called more than once.

    Raises:
        InvalidArgument, ExportRefused: as an export does.
    """
    traced = trace(target, net, example_input, dt)
    traced = folded(without_junctions(without_unused(traced)))
    return layers_of(dict(zip(names(traced, net).calls, traced.calls, strict=True)))


def layers_of(calls: Mapping[str, Call]) -> dict[str, nn.Module]:
    """The same of an export's calls, by the names of its nodes."""
    often = Counter(id(call.layer) for call in calls.values())
    return {
        name: call.behind or call.layer
        for name, call in calls.items()
        if call.layer is not None and often[id(call.layer)] == 1
    }

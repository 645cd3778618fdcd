"""Names of nodes, as torch.fx gives them.

A layer's node is named by its path (`features.3` -> `features_3`, `0` -> `_0`), an input by the
forward's parameter (`input` -> `input_1`, which would shadow a builtin), and a name that is taken
gets a number. Where a layer became several nodes, the second is `features_3_1`. People know these
names from printed GraphModules, so torch.fx itself makes them.

An imported network gives its nodes back the names that they had in the graph.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from torch import fx, nn

from nir_runtime.exports.traces import Call, Port, Trace
from nir_runtime.imports import building


@dataclass(frozen=True)
class Names:
    """The nodes' names in a graph, each different from all others."""

    inputs: tuple[str, ...]
    calls: tuple[str, ...]
    outputs: tuple[str, ...]

    @cached_property
    def numbered(self) -> tuple[str, ...]:
        """By the numbers that a trace has for inputs and calls."""
        return (*self.inputs, *self.calls)


def names(trace: Trace, net: nn.Module) -> Names:
    """A name for every node of a trace of `net`; the time grows as the number of nodes does."""
    namer = _Namer(building.graph_names(net), trace.outputs)
    return Names(
        inputs=tuple(namer.input(port) for port in trace.inputs),
        calls=tuple(namer.call(call) for call in trace.calls),
        outputs=tuple(namer.output(k, port) for k, port in enumerate(trace.outputs)),
    )


class _Namer:
    """Names on their way to nodes: first those of the graph that a network came from."""

    def __init__(self, known: building.Names | None, outputs: Sequence[Port]) -> None:
        self.inputs = dict(known.inputs) if known else {}
        self.nodes = dict(known.nodes) if known else {}
        self.outputs = known.outputs if known else ()
        keys = (port.name for port in outputs if port.name)
        self.reserved = {*self.inputs.values(), *self.nodes.values(), *self.outputs, *keys}
        self.graph = fx.Graph()

    def input(self, port: Port) -> str:
        return self.inputs.pop(port.name, None) or self._new("placeholder", port.name)

    def call(self, call: Call) -> str:
        if call.layer is None:
            return self._new("call_method", call.path)
        # A network that is a layer has no path, so its class names the node.
        path = call.path or type(call.layer).__name__.lower()
        if call.part:
            return self._new("call_module", f"{path}.{call.part}")
        _, _, last = call.path.rpartition(".")
        return self.nodes.pop(last, None) or self._new("call_module", path)

    def output(self, number: int, port: Port) -> str:
        if port.name:
            return port.name  # reserved
        if number < len(self.outputs):
            return self.outputs[number]
        return self._new("output", "output")

    def _new(self, kind: str, target: str) -> str:
        """A name by the convention, which no other node has or is to have."""
        arguments = (None,) if kind == "output" else ()
        while True:
            name = self.graph.create_node(kind, target, args=arguments).name
            if name not in self.reserved:
                return name

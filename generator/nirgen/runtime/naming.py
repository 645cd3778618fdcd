"""Names of nodes, as torch.fx gives them.

A layer's node is named by its path (`features.3` -> `features_3`, `0` -> `_0`), the input by the
forward's parameter (`input` -> `input_1`, which would shadow a builtin), and a name that is taken
gets a number. People know these names from printed GraphModules, so torch.fx itself makes them.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import fx

from nirgen.runtime.tracing import Call, Trace


@dataclass(frozen=True)
class Names:
    """The nodes' names in a graph, each different from all others."""

    input: str
    calls: tuple[str, ...]
    output: str


def names(trace: Trace) -> Names:
    """A name for every node of a trace; the time grows as the number of nodes does."""
    graph = fx.Graph()
    return Names(
        input=graph.create_node("placeholder", trace.input_name).name,
        calls=tuple(_name(graph, call) for call in trace.calls),
        output=graph.create_node("output", "output", args=(None,)).name,
    )


def _name(graph: fx.Graph, call: Call) -> str:
    if call.layer is None:
        return graph.create_node("call_method", call.path).name
    # A network that is a layer has no path, so its class names the node.
    target = call.path or type(call.layer).__name__.lower()
    return graph.create_node("call_module", target).name

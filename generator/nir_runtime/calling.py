"""How layers with state are called, and who keeps the state.

A call is written as a user writes it. The state is one thing (a tuple, whatever the framework
makes), or a tensor for each variable, in the order in which a mapping's `state` names them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Call = Literal[
    "y = layer(x)",
    "y, state = layer(x, state)",
    "y, *state = layer(x)",
    "y, *state = layer(x, *state)",
    "y, *state = layer(x, y, *state)",
]


@dataclass(frozen=True)
class Calling:
    """A call, taken apart.

    Attributes:
        takes: what the layer takes besides its input: "state", "*state", or "y", its last output.
        gives: what it returns besides its output.
    """

    takes: tuple[str, ...]
    gives: tuple[str, ...]

    @property
    def remembers(self) -> bool:
        """Whether the layer keeps its state itself."""
        return not self.takes

    @property
    def whole(self) -> bool:
        """Whether the state is one thing, and not a tensor for each variable."""
        return "state" in self.gives


def taken_apart(call: Call) -> Calling:
    """A call as what goes in and what comes out."""
    results, _, arguments = call.partition(" = layer(")
    return Calling(tuple(arguments[:-1].split(", ")[1:]), tuple(results.split(", ")[1:]))


def remembering(layer: object) -> Call:
    """How layers are called that keep their state themselves."""
    return "y = layer(x)"

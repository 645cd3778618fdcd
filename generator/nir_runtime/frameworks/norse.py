"""Norse's home for a discrete system: a cell that takes its state and returns the new one.

And pickles for Norse's parameters: the classes of some can't be found by the names that they give
themselves, so that Norse's own cells can't be saved.
"""

from __future__ import annotations

import copyreg
from typing import Any

from norse.torch import LIFBoxParameters, LIFParameters
from torch import nn

from nir_runtime.contract.dynamics import Dynamics


class Cell(nn.Module):
    """A discrete system as a Norse cell: `y, state = cell(x, state)`, for [N, *features].

    Takes what the system takes, several inputs as a tuple. Its state is a dictionary of what is in
    `dynamics.memory`. Without a state it starts.
    """

    def __init__(self, dynamics: Dynamics) -> None:
        super().__init__()
        self.dynamics = dynamics

    def forward(self, x: Any, state: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """One step."""
        inputs = x if isinstance(x, tuple) else (x,)
        held = state or {}
        memory = self.dynamics.memory
        y, *left = self.dynamics.step(*inputs, *(held.get(name) for name in memory))
        return y, dict(zip(memory, left, strict=True))


_UNNAMED = {cls.__name__: cls for cls in (LIFBoxParameters, LIFParameters)}


def parameters(name: str, fields: tuple[Any, ...]) -> Any:
    """The parameters that were pickled under the name of their class."""
    return _UNNAMED[name](*fields)


def _reduced(p: Any) -> tuple[Any, tuple[str, tuple[Any, ...]]]:
    return parameters, (type(p).__name__, tuple(p))


for _cls in _UNNAMED.values():
    copyreg.pickle(_cls, _reduced)

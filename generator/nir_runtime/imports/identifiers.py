"""Python identifiers for the names of nodes, which may be any strings."""

from __future__ import annotations

import builtins
import keyword
import re
from collections import Counter
from collections.abc import Iterable, Sequence

from torch import fx, nn

LOOKED_FOR = frozenset(
    {"report", "dynamics", "step_mode", "backend", "reset", "reset_mem", "supported_backends"}
)
"""What we and frameworks look for on every module: a child of that name would be taken for it."""

MODULE_RESERVED = LOOKED_FOR | {
    "self", *keyword.kwlist, *dir(builtins), *dir(fx.GraphModule(nn.Module(), fx.Graph()))
}  # fmt: skip
"""What a child of a GraphModule can't be called: it has such attributes, or can't be written."""

PARAMETER_RESERVED = frozenset({"self", "state", *keyword.kwlist})
"""What a parameter of a built module's forward can't be called."""


class Namespace:
    """Identifiers, each given once. Giving a thousand alike is not slower than a thousand."""

    def __init__(self, reserved: Iterable[str] = MODULE_RESERVED) -> None:
        self._taken = set(reserved)
        self._counts: Counter[str] = Counter()

    def give(self, wanted: str) -> str:
        """This identifier, or with a number if it is taken: `a_b`, `a_b_1`, `a_b_2`."""
        identifier = wanted
        while identifier in self._taken:
            self._counts[wanted] += 1
            identifier = f"{wanted}_{self._counts[wanted]}"
        self._taken.add(identifier)
        return identifier

    def give_all(self, names: Iterable[str]) -> dict[str, str]:
        """An identifier for each name, whatever their order; names that can be one stay."""
        wanted = {name: as_identifier(name) for name in names}
        in_turn = sorted(wanted, key=lambda name: (wanted[name] != name, name))
        given = {name: self.give(wanted[name]) for name in in_turn}
        return {name: given[name] for name in wanted}


def as_identifier(name: str) -> str:
    """A name with all that an ASCII identifier can't have replaced: `1.conv` becomes `_1_conv`."""
    identifier = re.sub(r"[^0-9a-zA-Z_]+", "_", name)
    return f"_{identifier}" if identifier[:1].isdigit() else identifier or "_"


def parameters(inputs: Sequence[str]) -> dict[str, str]:
    """The forward's parameter for each Input, in the order of their names.

    torch.fx calls the value of a parameter `input` `input_1`, so as not to hide the builtin. An
    exported network's one Input is called so, and its parameter becomes `input` again.
    """
    given = Namespace(PARAMETER_RESERVED).give_all(sorted(inputs))
    if len(inputs) == 1:
        (name,) = inputs
        builtin = name.removesuffix("_1")
        if builtin != name and hasattr(builtins, builtin) and builtin not in PARAMETER_RESERVED:
            given[name] = builtin
    return given

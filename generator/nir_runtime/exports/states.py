"""What a layer returns of its state: handed on, collected, returned, and never computed with.

A graph's nodes keep their states to themselves, so nothing in NIR stands for a layer's state. In a
trace it is a `Held` for each variable: a tensor that knows whose state it is, after which call.
"""

from __future__ import annotations

import functools
from collections import namedtuple
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from nir_runtime.calling import Calling
from nir_runtime.exports.signals import Signal, signals_in


class Held(Signal):
    """A variable of a layer's state.

    Attributes:
        layer: whose state it is.
        call: behind which of the layer's calls, counted from 0; -1 if it is several at once.
        variable: which of the layer's variables.
    """

    layer: nn.Module
    call: int
    variable: str

    def handed_on(self) -> Held:
        """The same in another tensor, as `detach` gives it."""
        return _held(self, self.layer, self.call, self.variable, type(self))

    def collected(self) -> Held:
        """A record of it among others."""
        return _held(self, self.layer, -1, self.variable, type(self))


class Hidden(Held):
    """A variable that a layer remembers by itself, where a forward reads it there."""


def _held(like: Signal, layer: nn.Module, call: int, variable: str, cls: type[Held] = Held) -> Held:
    made = Signal.__new__(
        cls, like.leading, like.features, like.dtype, like.device, like.recorder, ()
    )
    assert isinstance(made, Held)
    made.layer, made.call, made.variable = layer, call, variable
    return made


def held(like: Signal, layer: nn.Module, call: int, variables: Sequence[str]) -> dict[str, Held]:
    """A layer's state behind a call, of the shape of a signal."""
    return {variable: _held(like, layer, call, variable) for variable in variables}


def hidden(like: Signal, layer: nn.Module, call: int, variables: Sequence[str]) -> dict[str, Held]:
    """The same, where the layer remembers it."""
    return {variable: _held(like, layer, call, variable, Hidden) for variable in variables}


def returned(y: Any, calling: Calling, state: Mapping[str, Held]) -> Any:
    """What a layer returns: its output (or several), and what a call gives of the state besides."""
    if not calling.gives:
        return y
    parts = state.values()
    return (y, _one(tuple(state))(*parts)) if calling.whole else (y, *parts)


@functools.cache
def _one(variables: tuple[str, ...]) -> Any:
    """A state in one, with its variables as fields."""
    return namedtuple("State", variables)


def is_state(value: object) -> bool:
    """Whether a value is made of states, and of nothing else; None in a list is one, too."""
    if isinstance(value, (tuple, list)):
        return bool(value) and all(item is None or is_state(item) for item in value)
    if isinstance(value, Mapping):
        return bool(value) and is_state(list(value.values()))
    return isinstance(value, Held) and not isinstance(value, Hidden)


def layers_in(result: Any) -> dict[int, nn.Module]:
    """The layers whose states are among what a network returns, by their ids."""
    held = (signal for signal in signals_in(result) if isinstance(signal, Held))
    return {id(signal.layer): signal.layer for signal in held}


def without_states(result: Any) -> Any:
    """What a network returns, less the states; as it is if it is nothing else."""
    if isinstance(result, Mapping):
        left = {key: value for key, value in result.items() if not is_state(value)}
        return left or result
    if not isinstance(result, (tuple, list)):
        return result
    outputs = [value for value in result if not is_state(value)]
    if len(outputs) in (0, len(result)):
        return result
    return without_states(outputs[0]) if len(outputs) == 1 else tuple(outputs)


def operate(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> torch.Tensor | None:
    """What stands in for a torch function of states; None where it computes with them."""
    if function is torch.zeros_like:  # asks for the shape alone
        with torch._C.DisableTorchFunctionSubclass():
            return torch.zeros(args[0].shape, dtype=args[0].dtype, device=args[0].device)
    held = signals_in(args)
    if function in _HANDING_ON and len(held) == 1 and isinstance(held[0], Held):
        return held[0].handed_on() if _keeps_dtype(function, args, kwargs) else None
    if function in _COLLECTING and all(isinstance(signal, Held) for signal in held):
        return held[0].collected()  # type: ignore[attr-defined]
    return None


def _keeps_dtype(
    function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
) -> bool:
    """Whether a function gives a state in the precision in which it is, as far as one can try."""
    dtype = args[0].dtype
    tried = [torch.empty(0, dtype=a.dtype) if isinstance(a, Signal) else a for a in args]
    made = function(*tried, **kwargs)
    return not isinstance(made, Tensor) or made.dtype == dtype


_HANDING_ON = frozenset(
    [
        *(getattr(Tensor, name) for name in ("detach", "detach_", "clone", "contiguous", "cpu")),
        *(getattr(Tensor, name) for name in ("to", "float", "double", "requires_grad_")),
        *(torch.detach, torch.clone),
        Tensor.data.__get__,  # type: ignore[attr-defined]
    ]
)
_COLLECTING = frozenset([torch.stack, torch.cat, torch.concat, torch.vstack, torch.hstack])

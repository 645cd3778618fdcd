"""Layers stay as they are while a network runs: NIR's parameters are constants."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from nir_runtime.exports.demands import Complaint
from nir_runtime.exports.recording import other_fields
from nir_runtime.exports.side_effects import SideEffects
from nir_runtime.exports.signals import Signal
from nir_runtime.exports.snapshots import same
from nir_runtime.sites import Chain

_REGISTRIES = ("_parameters", "_buffers", "_modules")
_ASIDE = ("_compiled_call_impl", "_memories", *_REGISTRIES)


class FirstCalls:
    """What layers were like when the forward called them first."""

    def __init__(self) -> None:
        self._layers: dict[int, Mapping[str, Any]] = {}

    def complaints(self, layer: nn.Module, state: tuple[str, ...]) -> Iterator[Complaint]:
        """What is another value at this call than it was at the layer's first.

        Args:
            layer: the layer.
            state: the attributes that are its state.
        """
        first = self._layers.get(id(layer))
        now = attributes(layer)
        if first is None:
            self._layers[id(layer)] = now
            return
        for name in {**first, **now}:
            if name not in state and not same(first.get(name), now.get(name)):
                yield changed(name)


def attributes(layer: nn.Module) -> dict[str, Any]:
    """A layer's attributes, with its parameters, buffers and modules among them."""
    own = {name: value for name, value in vars(layer).items() if name not in _ASIDE}
    for registry in _REGISTRIES:
        own.update(vars(layer)[registry])
    for path, inner in layer._modules.items():
        if inner is not None:
            own |= {f"{path}.{name}": value for name, value in attributes(inner).items()}
    return own


def written_tensors(layer: nn.Module, effects: SideEffects) -> Iterator[Complaint]:
    """The tensors of a layer that a forward wrote into."""
    if not effects.any_written:
        return
    for name, tensor in _tensors(layer):
        line = effects.line_of_write(tensor)
        if line is not None:
            what, advice = changed(name)
            yield f"{what} ({line})", advice


def other_numbers(first: Chain | None, now: Chain | None) -> Iterator[Complaint]:
    """What a layer is converted into now, and wasn't at its first call in the same step."""
    if first is None or now is None:
        return
    for a, b in zip(first.nodes, now.nodes, strict=True):
        yield from (changed(name) for name in other_fields(a, b))


def _tensors(layer: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """All tensors of a layer, those in tuples and the like included."""
    for name, tensor in (*layer.named_parameters(), *layer.named_buffers()):
        if not isinstance(tensor, Signal) and not is_lazy(tensor):
            yield name, tensor
    for name, value in vars(layer).items():
        if name in _ASIDE:
            continue
        inside = value if isinstance(value, (tuple, list)) else (value,)
        names = getattr(value, "_fields", None) or itertools.repeat("")
        for field, item in zip(names, inside, strict=False):
            if isinstance(item, torch.Tensor) and not isinstance(item, Signal):
                yield (f"{name}.{field}" if field else name), item


def changed(name: str) -> Complaint:
    """An attribute of a layer that a forward changes."""
    return (
        f"the forward changes its {name}, and what a node of NIR has stays as it is",
        "set it once, before the export; a network that changes with time has no graph",
    )

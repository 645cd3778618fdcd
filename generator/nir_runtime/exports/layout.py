"""The axes before the features: batch, or time and batch."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from nir_runtime.errors import InvalidArgument, Problem
from nir_runtime.imports.building import graph_names, memory
from nir_runtime.target import Target

Example = torch.Tensor | tuple[torch.Tensor, ...] | list[torch.Tensor] | Mapping[str, torch.Tensor]
"""Tensors as a network takes them: one, several in order, or several by their parameters."""


@dataclass(frozen=True)
class Layout:
    """The axes before the features, and the layer that says so (None: nothing says so)."""

    axes: int
    decided_by: str | None = None


def layout_of(target: Target, net: nn.Module, given: object) -> Layout:
    """The network's layout.

    An imported network knows its inputs' features, and the other axes of what is `given` are
    before them. Elsewhere it is the layout of the stateful layers, or the longest of the others'.
    """
    left = _axes_left(net, given)
    if left in target.leading_axes.values():
        return Layout(left)
    said = [
        (path or type(module).__name__, module, axes)
        for path, module in _outside_containers(target, net)
        if _speaks(target, module) and (axes := own_axes(target, module)) is not None
    ]
    for path, module, axes in said:
        if memory(target, module) or target.way(type(module)):
            return Layout(axes, path)
    if said:
        path, _, axes = max(said, key=lambda layer: layer[2])
        return Layout(axes, path)
    return Layout(target.leading_axes.get(None, min(target.leading_axes.values())))


def _axes_left(net: nn.Module, given: object) -> int:
    """How many axes stand before the features in the input of an imported network; 0 if unknown."""
    imported = graph_names(net)
    ranks = imported.ranks if imported else {}
    args, kwargs = _arguments(given)
    tensors = {**dict(zip(ranks, args, strict=False)), **kwargs}
    known = (t.dim() - ranks[n] for n, t in tensors.items() if n in ranks and torch.is_tensor(t))
    return next(known, 0)


def _outside_containers(target: Target, net: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """All modules, in order, by path; of those in a container, which see other axes, none."""
    pending = [("", net)]
    seen: set[int] = set()
    while pending:
        path, module = pending.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        yield path, module
        if target.way(type(module)) is None:
            prefix = f"{path}." if path else ""
            children = list(module.named_children())
            pending.extend((f"{prefix}{name}", child) for name, child in reversed(children))


def _speaks(target: Target, module: nn.Module) -> bool:
    """Whether a module is the framework's own, or hosted in it, and not a user's."""
    known = type(module) in target.exporters or type(module) in target.containers
    return known or bool(memory(target, module))


def own_axes(target: Target, module: nn.Module) -> int | None:
    """How many axes a layer takes before the features; None where it says nothing about it."""
    if target.mode_attribute is None:
        if type(module) in target.sequences:
            return 2
        return 1 if memory(target, module) else None
    mode = getattr(module, target.mode_attribute, None)
    if mode is None and type(module) in target.containers:
        return max(target.leading_axes.values())  # made for sequences only
    return target.leading_axes.get(mode) if mode is not None else None


@dataclass(frozen=True)
class Examples:
    """Tensors that a network can be called with.

    Attributes:
        names: what the network calls its inputs: the forward's parameters.
        positional: the first of them, in order.
        by_keyword: the others.
    """

    names: tuple[str, ...]
    positional: tuple[torch.Tensor, ...]
    by_keyword: Mapping[str, torch.Tensor]

    @property
    def all(self) -> tuple[torch.Tensor, ...]:
        """The tensors, as `names` has them."""
        return (*self.positional, *self.by_keyword.values())


def examples_of(target: Target, net: nn.Module, given: object, layout: Layout) -> Examples:
    """What the caller of an export gave as example_input, for a call of the network.

    Raises:
        InvalidArgument: these can't be the network's inputs.
    """
    examples = _named(target, net, given)
    several = len(examples.names) > 1
    for name, tensor in zip(examples.names, examples.all, strict=True):
        place = f"example_input, {name}" if several else "example_input"
        _demand_example(place, tensor, layout)
        _demand_one_batch(place, tensor, examples.all[0], layout)
    return examples


def _arguments(given: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What was given, in order and by name."""
    if isinstance(given, Mapping):
        return (), dict(given)
    return (tuple(given) if isinstance(given, (tuple, list)) else (given,)), {}


def _named(target: Target, net: nn.Module, given: Any) -> Examples:
    """The tensors with the names of the forward's parameters."""
    args, kwargs = _arguments(given)
    if _speaks(target, net) and (len(args), len(kwargs)) == (1, 0):
        return Examples(("input",), args, {})
    signature = inspect.signature(net.forward)
    try:
        if not (args or kwargs):
            raise TypeError("it is empty")
        signature.bind(*args, **kwargs)
    except TypeError as error:
        what = f"does not fit forward{signature}: {error}"
        advice = "give one tensor, a tuple of them in order, or a dictionary by parameter"
        raise InvalidArgument(Problem("example_input", what, advice)) from None
    names = tuple(itertools.islice(_positional(signature), len(args)))
    return Examples((*names, *kwargs), args, kwargs)


def _positional(signature: inspect.Signature) -> Iterator[str]:
    """The names of parameters, in the order in which arguments are theirs."""
    for name, parameter in signature.parameters.items():
        if parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            yield from itertools.repeat(name)
        yield name


def _demand_example(place: str, example: object, layout: Layout) -> None:
    """Refuse what can't be an input of a network of this layout."""
    if not isinstance(example, torch.Tensor):
        what = f"is a {type(example).__name__}"
        raise InvalidArgument(Problem(place, what, "give a torch.Tensor"))
    shape = tuple(example.shape)
    if len(shape) <= layout.axes:
        by = f" (as {layout.decided_by} has it)" if layout.decided_by else ""
        expected = "[N, *]" if layout.axes == 1 else "[T, N, *]"
        raise InvalidArgument(
            Problem(
                place,
                f"has the shape {shape}; the network takes {expected}{by}, features behind "
                f"{layout.axes} leading axes",
                "add the axes that are missing, of size 1",
            )
        )
    if 0 in shape:
        problem = Problem(place, f"is empty, of shape {shape}", "give every axis a size")
        raise InvalidArgument(problem)


def _demand_one_batch(
    place: str, example: torch.Tensor, first: torch.Tensor, layout: Layout
) -> None:
    """Refuse inputs that can't belong together."""
    leading, wanted = (tuple(tensor.shape[: layout.axes]) for tensor in (example, first))
    if leading != wanted:
        what = f"begins with the axes {leading}, and the first input with {wanted}"
        raise InvalidArgument(Problem(place, what, "give all inputs the same batch (and time)"))

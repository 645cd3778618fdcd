"""The axes before the features: batch, or time and batch."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from nirgen.runtime.errors import InvalidArgument, Problem
from nirgen.runtime.target import Target


@dataclass(frozen=True)
class Layout:
    """The axes before the features, and the layer that says so (None: nothing says so)."""

    axes: int
    decided_by: str | None = None


def layout_of(target: Target, net: nn.Module) -> Layout:
    """The network's layout: that of its stateful layers, or the longest of the others'."""
    said = [
        (path or type(module).__name__, type(module), axes)
        for path, module in net.named_modules()
        if type(module) in target.exporters and (axes := own_axes(target, module)) is not None
    ]
    for path, cls, axes in said:
        if cls in target.state:
            return Layout(axes, path)
    if said:
        path, _, axes = max(said, key=lambda layer: layer[2])
        return Layout(axes, path)
    return Layout(target.leading_axes.get(None, min(target.leading_axes.values())))


def own_axes(target: Target, module: nn.Module) -> int | None:
    """How many axes a layer takes before the features; None where it says nothing about it."""
    if target.mode_attribute is None:
        return None
    mode = getattr(module, target.mode_attribute, None)
    return target.leading_axes.get(mode) if mode is not None else None


def demand_example(example: object, layout: Layout) -> None:
    """Refuse what can't be an input of a network of this layout."""
    if not isinstance(example, torch.Tensor):
        raise InvalidArgument(
            Problem("example_input", f"is a {type(example).__name__}", "give one torch.Tensor")
        )
    shape = tuple(example.shape)
    if len(shape) <= layout.axes:
        by = f" (as {layout.decided_by} has it)" if layout.decided_by else ""
        expected = "[N, *]" if layout.axes == 1 else "[T, N, *]"
        raise InvalidArgument(
            Problem(
                "example_input",
                f"has the shape {shape}; the network takes {expected}{by}, features behind "
                f"{layout.axes} leading axes",
                "add the axes that are missing, of size 1",
            )
        )
    if 0 in shape:
        raise InvalidArgument(
            Problem("example_input", f"is empty, of shape {shape}", "give every axis a size")
        )

"""What a layer must be like to be exported, whatever it computes."""

from __future__ import annotations

from collections.abc import Iterator

from torch import nn

from nir_runtime.exports.layout import Layout, own_axes
from nir_runtime.exports.places import class_name
from nir_runtime.exports.signals import Signal
from nir_runtime.imports.building import memory
from nir_runtime.sites import Refused
from nir_runtime.target import Target

Complaint = tuple[str, str]
"""What is wrong with a layer, and what to do about it."""


def wrong_axes(target: Target, layout: Layout, module: nn.Module, x: Signal) -> Iterator[Complaint]:
    """A layer that takes other axes before the features than it gets."""
    own, seen = own_axes(target, module), len(x.leading.shape)
    stateful = bool(memory(target, module))
    if stateful and x.leading.merged:
        yield (
            "gets time and batch as one axis, and would take them for one step",
            "keep time an axis of its own where layers have a state (layer.MultiStepContainer)",
        )
    elif own is not None and (own > seen or (own < seen and stateful)):
        mode = target.mode_attribute
        by = f", by its layer {layout.decided_by}" if layout.decided_by else ""
        whose = f"is in {mode}={getattr(module, mode)!r} and takes" if mode else "takes"
        yield (
            f"{whose} {own} axes before the features, and gets {seen}; the network has "
            f"{layout.axes}{by}",
            f"give all layers of the network one {mode or 'layout: [N, *], or [T, N, *]'}",
        )


def computes_weights(hook: object) -> bool:
    """Whether a hook is torch's own, and makes a layer's weights anew at each call."""
    return type(hook).__module__.startswith("torch.nn.utils.")


def weights_of_hooks(module: nn.Module) -> Iterator[Complaint]:
    """A layer whose weights are made anew by a hook at each call."""
    for hook in module._forward_pre_hooks.values():
        if computes_weights(hook):
            yield (
                f"has its weights computed at each call, by {type(hook).__name__}",
                "make them permanent first (remove_weight_norm, remove_spectral_norm, "
                "prune.remove)",
            )


def unmapped(target: Target, cls: type[nn.Module]) -> Complaint:
    """A class that there is no exporter for."""
    name, base = class_name(cls), mapped_base(target, cls)
    if base is None:
        return (
            f"{name} has no mapping to NIR",
            "replace it by a mapped layer, or map it (mappings/README.md)",
        )
    return (
        f"{name} is a subclass of {base.__name__}, and may compute something else",
        f"use {base.__name__} itself, or map the class (mappings/README.md)",
    )


def called_again(module: nn.Module) -> Complaint:
    """A layer with a state that a forward calls a second time."""
    return (
        f"is called more than once in a forward; a {type(module).__name__} has a state, and NIR "
        "would need one node for all its calls",
        "give each call a layer of its own; in a loop over time, let it read the same at each step",
    )


def at_another_step(read: int | None, call: int) -> Complaint:
    """A layer that reads a value of another step of a loop over time than it is called at."""
    return (
        f"reads a value of step {read} of the forward's loop over time at its own call {call}, "
        "both counted from 0",
        "call each layer once a step, with values of that step",
    )


def without_its_state(module: nn.Module) -> Complaint:
    """A layer whose state is its caller's, and which doesn't get the one that it returned."""
    return (
        f"doesn't get the state that its last call returned; a {type(module).__name__} starts "
        "anew without, and NIR's nodes never do",
        "pass on the layer's own state from step to step, and None (or nothing) at the first",
    )


def dropped_state(module: nn.Module) -> Complaint:
    """A layer whose state its caller keeps, and whose network drops it at the end of a step."""
    return (
        f"starts anew at each call of the network, which drops its state; a {type(module).__name__}"
        " remembers nothing, and NIR's nodes go on from step to step",
        "return the state beside the output, and take it as a further argument of the forward; or "
        "loop over time in the forward",
    )


NOT_RANDOM = "draw them outside of the network, and give them to it as an input"


def under(mode: str) -> Complaint:
    """A layer that is called inside of a mode that may compute something else."""
    return (
        f"is called inside of a {mode}, which may change what torch computes",
        "export outside of it, and without it in the forward",
    )


AUTOCAST: Complaint = (
    "is called under torch.autocast, which computes some layers in another precision",
    "export outside of autocast, and without it in the forward",
)

STARTED_ELSEWHERE: Complaint = (
    "is given a state of the network's own making, and NIR has no field for where a state starts",
    "call it with None (or nothing) at the first step",
)

UNREGISTERED: Complaint = (
    "is not a submodule of the network",
    "make it in __init__, as an attribute of the module or in an nn.ModuleList",
)

OF_A_CONSTANT: Complaint = (
    "is called with a constant: its output doesn't depend on the network's input",
    "call it in the module's __init__, and keep the result in a layer",
)


def mapped_base(target: Target, cls: type[nn.Module]) -> type[nn.Module] | None:
    """The mapped class that `cls` is, or derives from; not the base that has no node either."""
    for base in cls.__mro__:
        exporter = target.exporters.get(base)
        if exporter is not None and (base is cls or not isinstance(exporter, Refused)):
            return base
    return None

"""A framework's neuron that computes a node in units of its own.

A layer with one threshold for all neurons, or without a gain or a leak potential, still computes
any node of its kind: with u = (v - v_reset) / (v_threshold - v_reset), every neuron fires at 1 and
is reset to 0, and what is left of the node's parameters is an affine map of the layer's input.

An export gives the node again while the module computes it. Where it was trained, loaded or
changed since, or is exported at another time step, the node is made anew of what it is now: its
neuron's own node, with the map of the input in it, in the volts of the node that it was made for.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from typing import Any

import nir
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from nir_runtime.numbers import as_array
from nir_runtime.sites import Chain, ExportSite
from nir_runtime.values import compact

Array = npt.NDArray[np.float64]
Exporter = Callable[[Any, ExportSite], Any]

DRIVES = {
    nir.I: "r", nir.IF: "r", nir.LI: "r", nir.LIF: "r", nir.CubaLI: "w_in", nir.CubaLIF: "w_in",
}  # fmt: skip
"""By kind of node, the field that its input is multiplied by first."""


@dataclass(frozen=True)
class Built:
    """What a module was when it was made.

    Attributes:
        dt: the time step, in seconds.
        export: how its neuron is exported.
        state: the attributes in which its neuron keeps a state.
        twin: the module as it was then, with tensors of its own.
    """

    dt: float
    export: Exporter
    state: frozenset[str]
    twin: Normalized


class Normalized(nn.Module):
    """`neuron(gain * x + shift)`, which spikes as `node` does for `x` of shape [..., *features].

    Attributes:
        neuron: the framework's layer, with threshold 1 and reset 0.
        gain, shift: of the features' shape, or one number for all.
        node: what it was made for.
        in_volts: whether the neuron's potential is the node's, and only its input is another.
        built: what it was then, by which an export sees whether it is so still.
    """

    gain: torch.Tensor
    shift: torch.Tensor
    built: Built | None = None

    def __init__(
        self,
        neuron: nn.Module,
        gain: torch.Tensor,
        shift: torch.Tensor,
        node: nir.NIRNode,
        in_volts: bool = False,
    ) -> None:
        super().__init__()
        self.neuron = neuron
        self.register_buffer("gain", gain)
        self.register_buffer("shift", shift)
        self.node = node
        self.in_volts = in_volts

    def forward(self, x: torch.Tensor, *state: Any) -> Any:
        """Input [..., *features] to what the layer returns for it; the layer's state is its own."""
        return self.neuron(x * self.gain + self.shift, *state)

    def remember(self, dt: float, export: Exporter, state: Iterable[str]) -> None:
        """Note what the module is now, when it has been made, for an export to compare with.

        Args:
            dt: the time step that it was made for, in seconds.
            export: how a layer of the neuron's class is exported.
            state: the attributes in which the neuron keeps a state.
        """
        passing = frozenset((*state, "training", "step_mode"))
        self.built = Built(dt, export, passing, twin(self))


def to_nir_again(module: Normalized, at: ExportSite) -> nir.NIRNode | Chain:
    """The node that the module was made for, while it computes that; else what it computes now."""
    built = module.built
    if built is None:
        raise at.refuse(
            "was not made by an import, and its neuron's export isn't known",
            "use the neuron itself, behind a layer that has the gain",
        )
    at.metadata.update(module.node.metadata)
    if built.dt == at.dt and unchanged(module, built.twin, built.state):
        return _with(module.node, at.metadata)
    site = _scratch(at)
    chain = _whole(module, built, site)
    if built.dt == at.dt and _same(chain, _whole(built.twin, built, _scratch(at))):
        return _with(module.node, at.metadata)
    at.metadata.update(chain.node.metadata)
    at.annotations += site.annotations
    return replace(chain, node=_with(chain.node, at.metadata))


def _with(node: nir.NIRNode, metadata: dict[str, Any]) -> nir.NIRNode:
    changed = copy.copy(node)
    changed.metadata = metadata
    return changed


def _scratch(at: ExportSite) -> ExportSite:
    """The same place, where nothing has been said yet."""
    return replace(at, metadata={}, annotations=[], cases=[])


def _neuron(module: Normalized, built: Built, at: ExportSite) -> Chain:
    """The neuron alone."""
    made: nir.NIRNode | Chain = built.export(module.neuron, at)
    return made if isinstance(made, Chain) else Chain(made)


def _whole(module: Normalized, built: Built, at: ExportSite) -> Chain:
    """What the module computes now: the neuron's node, with the map of the input in it."""
    chain = _neuron(module, built, at)
    at.annotations[:] = [why for why in at.annotations if not why.startswith("v starts")]
    gain, shift = at.values("gain", module.gain), at.values("shift", module.shift)
    node: Any = copy.copy(chain.node)
    start = _start(module, node)
    before = chain.before
    if before or chain.feedback:  # what is fed back isn't multiplied
        before = (nir.Scale(at.fill(gain)), *before)
    else:
        drive = DRIVES[type(node)]
        setattr(node, drive, at.fill(getattr(node, drive) * gain))
    if np.any(shift):
        _demand_leak(chain, at)
        node.v_leak = at.fill(node.v_leak + chain.node.r * shift)
    if not (module.in_volts or chain.then or "reset" in node.metadata):
        start = _to_volts(module, built, node, start, at)
    _annotate_start(node, start, _precision(module), at)
    return replace(chain, node=node, before=before)


def _demand_leak(chain: Chain, at: ExportSite) -> None:
    """Refuse a shift of the input that the node has no leak potential for."""
    if not isinstance(chain.node, (nir.LI, nir.LIF)) or chain.before or chain.feedback:
        kind = type(chain.node).__name__
        raise at.refuse(
            f"shift is not zero, and adds to the input of the neuron; {kind} has no field for it",
            "set shift to zeros, and add it in the layer before",
        )


def _start(module: Normalized, node: Any) -> Array:
    """Where the potential starts, in the neuron's own units; the metadata no longer says it."""
    metadata = dict(node.metadata)
    node.metadata = metadata
    usual = _usual_start(node)
    preset = getattr(module.neuron, "_memories_rv", {}).get("v")  # of a SpikingJelly layer
    held = metadata.pop("v_initial", usual if preset is None else preset)
    return as_array(held) if isinstance(held, torch.Tensor) else np.asarray(held, dtype=np.float64)


def _usual_start(node: Any) -> Any:
    """Where the contract has the potential of a node start."""
    rest = getattr(node, "v_leak", getattr(node, "v_reset", None))
    return np.zeros(np.shape(node.r)) if rest is None else rest


def _to_volts(module: Normalized, built: Built, node: Any, start: Array, at: ExportSite) -> Array:
    """Put a node's potentials into the volts of the node that the module was made for, where they
    are in the neuron's units; returns where it starts in them."""
    if not isinstance(node, (nir.IF, nir.LIF, nir.CubaLIF)):
        return start
    own: Any = _neuron(built.twin, built, _scratch(at)).node
    made_for: Any = module.node
    reset, threshold = made_for.v_reset, made_for.v_threshold
    span = own.v_threshold - own.v_reset

    def volts(u: Any) -> Array:
        """Exact at the reset and at the threshold, which the node has as numbers of its own."""
        share = (u - own.v_reset) / span
        return np.asarray(reset * (1 - share) + threshold * share)

    for field in ("v_leak", "v_threshold", "v_reset"):
        if hasattr(node, field):
            setattr(node, field, at.fill(volts(getattr(node, field))))
    node.r = at.fill(node.r * ((threshold - reset) / span))
    return volts(start)


def _annotate_start(node: Any, start: Array, precision: float, at: ExportSite) -> None:
    """Say where the potential starts, unless that is where the contract has it, but for the
    rounding of the module's tensors."""
    usual = _usual_start(node)
    scale = np.maximum(np.abs(getattr(node, "v_threshold", usual)), np.abs(usual))
    if not np.all(np.abs(start - usual) <= 8 * precision * scale):
        at.start("v", layer=start, node=usual)
        node.metadata["v_initial"] = compact(start)


def _precision(module: Normalized) -> float:
    """The relative rounding of the coarsest of the module's own tensors."""
    return max(torch.finfo(t.dtype).eps for t in (module.gain, module.shift))


def _same(a: Chain, b: Chain) -> bool:
    """Whether two chains are equal to the last bit."""
    return unchanged(_parts(a), _parts(b), ())


def _parts(chain: Chain) -> tuple[Any, ...]:
    """All that a chain consists of, in order."""
    parts = (chain.before, (chain.node,), chain.then, chain.feedback)
    return tuple(tuple((type(node), vars(node)) for node in nodes) for nodes in parts)


# --- as it was ------------------------------------------------------------------------------


def twin(held: Any) -> Any:
    """A module as it is now, with all that is in it; its tensors are copied, and its containers.

    (A deep copy takes ten times as long, and copies functions' surroundings too.)
    """
    if isinstance(held, torch.Tensor):
        return held.detach().clone()
    if isinstance(held, nn.Module):
        copied = type(held).__new__(type(held))
        copied.__dict__.update((key, twin(value)) for key, value in vars(held).items())
        return copied
    if isinstance(held, dict):
        return {key: twin(value) for key, value in held.items()} if held else {}
    if isinstance(held, tuple) and held:
        parts = map(twin, held)
        return type(held)(*parts) if hasattr(held, "_fields") else tuple(parts)
    return copy.copy(held) if isinstance(held, (list, set)) else held


def unchanged(held: Any, before: Any, passing: Collection[str]) -> bool:
    """Whether a module is as its twin, but for attributes that pass: its state, its mode."""
    if isinstance(held, nn.Module):
        return type(held) is type(before) and unchanged(vars(held), vars(before), passing)
    if isinstance(held, dict):
        keys = held.keys() | before.keys() if isinstance(before, dict) else ()
        return isinstance(before, dict) and all(
            key in passing
            or (key in held and key in before and unchanged(held[key], before[key], passing))
            for key in keys
        )
    if isinstance(held, torch.Tensor):
        return isinstance(before, torch.Tensor) and _alike(held, before)
    if isinstance(held, np.ndarray):
        return isinstance(before, np.ndarray) and np.array_equal(held, before)
    if isinstance(held, tuple):
        return (
            type(held) is type(before)
            and len(held) == len(before)
            and all(unchanged(a, b, passing) for a, b in zip(held, before, strict=True))
        )
    try:
        return held is before or (type(held) is type(before) and bool(held == before))
    except (TypeError, ValueError, RuntimeError):  # what can't be compared may have changed
        return False


def _alike(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors hold the same numbers, whichever their precision and device."""
    if a.shape != b.shape:
        return False
    if a.dtype == b.dtype and a.device == b.device:
        return torch.equal(a, b)
    return torch.equal(a.detach().cpu().double(), b.cpu().double())

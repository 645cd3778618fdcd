"""What a generated converter tells the runtime about its framework."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import nir
from torch import nn

from nir_runtime.arguments import DEFAULT_DT
from nir_runtime.calling import Call, remembering
from nir_runtime.contract.dynamics import Dynamics
from nir_runtime.sites import Chain, ExportSite, ImportSite

Exporter = Callable[[Any, ExportSite], nir.NIRNode | Chain | tuple[()]]
"""`(layer, site) -> node`, or a chain of nodes; nothing where the layer returns what it is given.
Raises what `site.refuse` returns where NIR can't hold the layer."""

Importer = Callable[[Any, ImportSite], nn.Module]
"""`(node, site) -> layer`; raises what `site.refuse` returns where no layer computes the node."""


@dataclass(frozen=True)
class Target:
    """A framework, as the mappings declare it.

    Attributes:
        name: the framework's name in messages, `SpikingJelly`.
        packages: top-level packages whose modules are layers: never traced into.
        exporters: by exact class; a subclass may compute anything, so it is not its base.
        importers: by the NIR node's class, in the order in which they are tried.
        fallback: importers of the reference, for nodes that no layer of the framework computes.
        annotates: by the NIR node's class, keys of the metadata, beside those that all readers
            know, without which a node of its exporters means something else.
        state: the attributes in which a stateful layer keeps its state, by class.
        mode_attribute: the layers' attribute that tells the layout, `step_mode`; None if fixed.
        leading_axes: how many axes stand before the features, by the value of that attribute
            (`{"s": 1, "m": 2}`), or by None where there is no such attribute.
        fires: how the neurons compare v with v_threshold; NIR's compare with >.
        dt: the time step of an export where a caller gives none, in seconds.
        calling: how a layer with state is called.
        calls: the same, for classes that are called otherwise than the others.
        sequences: classes that take an axis of time in front, [T, N, *], where all others with
            state take one step; for frameworks whose layers' layout is fixed.
        containers: classes whose forward runs other layers in a way of its own, with the name of
            that way in `containers`.
        in_order: classes of the framework's whose forward runs other layers one after the other,
            as Sequential does, and nothing else.
        cell: gives a discrete system a memory that the framework knows how to reset; what it
            returns keeps the state in attributes called as in `Dynamics.memory`, and the system
            as `dynamics`. None where cycles can't be imported.
        load_state: a `building.LoadState` that the framework's own reset finds, and that resets
            all layers; None where that finds the layers wherever they are.
        read_state: a `building.ReadState` that has a shorter way to the layers' attributes than
            `getattr`; None where there is none.
        reset_value: what a reset sets an attribute of a layer to; None where layers don't tell.
        beginning: makes what a layer is given for a variable of its state when it starts; None
            where that is None.
    """

    name: str
    packages: tuple[str, ...]
    exporters: Mapping[type[nn.Module], Exporter]
    importers: Mapping[type[nir.NIRNode], tuple[Importer, ...]]
    state: Mapping[type[nn.Module], tuple[str, ...]]
    mode_attribute: str | None = None
    leading_axes: Mapping[str | None, int] = field(default_factory=lambda: {None: 1})
    fallback: Mapping[type[nir.NIRNode], tuple[Importer, ...]] = field(default_factory=dict)
    annotates: Mapping[type[nir.NIRNode], tuple[str, ...]] = field(default_factory=dict)
    fires: Literal[">", ">="] = ">"
    dt: float = DEFAULT_DT
    calling: Callable[[Any], Call] = remembering
    calls: Mapping[type[nn.Module], Callable[[Any], Call]] = field(default_factory=dict)
    sequences: Sequence[type[nn.Module]] = ()
    containers: Mapping[type[nn.Module], str] = field(default_factory=dict)
    in_order: tuple[type[nn.Module], ...] = ()
    cell: Callable[[Dynamics], nn.Module] | None = None
    load_state: Callable[[Any], nn.Module] | None = None
    read_state: Callable[[Any, Any], nn.Module] | None = None
    beginning: Callable[[], Any] | None = None
    reset_value: Callable[[Any, str], Any] | None = None

    @property
    def one_step(self) -> tuple[str, str] | None:
        """The attribute and its value by which a layer takes one step a call; None if fixed."""
        if self.mode_attribute is None:
            return None
        modes = {axes: mode for mode, axes in self.leading_axes.items() if mode is not None}
        return self.mode_attribute, modes[min(modes)]

    def way(self, cls: type[nn.Module]) -> str | None:
        """The way in which a container runs its layers; None if it isn't one of these."""
        return self.containers.get(cls)

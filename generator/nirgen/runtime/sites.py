"""The place a conversion happens at: one layer of a network, or one node of a graph.

A generated converter reads its surroundings (`dt`, shapes, metadata) from a site, and refuses,
annotates and builds through it, so that every message names the place.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from nirgen.runtime import numbers
from nirgen.runtime.errors import ExportRefused, ImportRefused, Problem

Shape = tuple[int, ...]


@dataclass
class ExportSite:
    """One layer of a network on its way into a node.

    Attributes:
        path: the layer's path in the network, `features.3`.
        shape: the features that reach the layer, without batch or time.
        batch_axes: how many axes the layer itself sees before the features. (A SpikingJelly layer
            in multi-step mode merges time and batch, and sees one.)
        dt: the time step, in seconds.
        metadata: what the node's metadata will hold.
        annotations: why a reader must honour the metadata; empty for an exact conversion.
    """

    path: str
    shape: Shape
    batch_axes: int
    dt: float
    metadata: dict[str, Any] = field(default_factory=dict)
    annotations: list[str] = field(default_factory=list)

    @property
    def rank(self) -> int:
        """The number of feature axes."""
        return len(self.shape)

    @property
    def length(self) -> int:
        """The size of the last feature axis: what a Conv1d slides over."""
        return self.shape[-1]

    @property
    def spatial_shape(self) -> Shape:
        """The feature axes behind the channels: (height, width) for a Conv2d."""
        return self.shape[1:]

    @property
    def input_type(self) -> dict[str, npt.NDArray[np.int64]]:
        """The features' shape in the form in which a node holds its input type."""
        return {"input": np.array(self.shape, dtype=np.int64)}

    def number(self, name: str, value: object) -> float:
        """The layer's parameter `name` as a finite float; refused if it is anything else."""
        number = numbers.as_number(value)
        if number is None or not math.isfinite(number):
            raise self.refuse(
                f"{name} is {numbers.describe(value)}; one finite number is needed",
                f"give the layer one number as {name}",
            )
        return number

    def optional_number(self, name: str, value: object) -> float | None:
        """Like `number`, for a parameter that may be None."""
        return None if value is None else self.number(name, value)

    def fill(self, value: float) -> npt.NDArray[np.float64]:
        """An array of the features' shape, `value` everywhere."""
        return np.full(self.shape, value, dtype=np.float64)

    def tensor(self, value: Any) -> npt.NDArray[Any]:
        """A layer's tensor as an array: a view where the tensor is in main memory."""
        return numbers.as_array(value)

    def annotate(self, because: str, **metadata: Any) -> None:
        """Note in the metadata what NIR has no field for; the node is exact with it only."""
        self.annotations.append(because)
        self.metadata.update(metadata)

    def remember(self, **metadata: Any) -> None:
        """Note in the metadata what an import restores but the numbers don't need."""
        self.metadata.update(metadata)

    def start(self, variable: str, layer: float, node: float) -> None:
        """Annotate a state variable that starts elsewhere than the contract says."""
        if layer != node:
            self.annotate(
                f"{variable} starts at {layer:g}, not at {node:g} as NIR has it",
                **{f"{variable}_initial": layer},
            )

    def refuse(self, what: str, advice: str = "") -> ExportRefused:
        """The error to raise: what NIR can't hold at this layer, and what to do."""
        return ExportRefused(Problem(self.path, what, advice))


@dataclass
class ImportSite:
    """One node of a graph on its way into a layer.

    Attributes:
        path: the node's path in the file, `/node/nodes/lif`.
        node: the node.
        shape: the features that reach the node, without batch or time.
        dt: the time step, in seconds.
        device, dtype: of the layer to be.
        options: what the framework's import takes besides, such as `step_mode`.
        annotations: what metadata was honoured, and why; empty for an exact conversion.
    """

    path: str
    node: nir.NIRNode
    shape: Shape
    dt: float
    device: torch.device
    dtype: torch.dtype
    options: Mapping[str, Any] = field(default_factory=dict)
    annotations: list[str] = field(default_factory=list)

    @property
    def batch_axes(self) -> int:
        """How many axes a layer sees before the features: one, whatever the layout."""
        return 1

    def uniform(self, name: str) -> float:
        """The node's field `name` as one number; refused unless all neurons share it."""
        value = numbers.uniform(getattr(self.node, name))
        if value is None:
            raise self.refuse(
                f"{name} differs between neurons, and the layer has one {name} for all",
                "import into a framework with parameters for each neuron",
                field=name,
            )
        return value

    def agree(self, a: float, b: float) -> bool:
        """Whether two numbers are the same up to the precision in which the node is stored."""
        return numbers.agree(a, b, numbers.resolution(self.node))

    def demand(self, field: str, held: float, wanted: float, formula: str) -> None:
        """Refuse a node whose `field` is not what the layer has there, by `formula`."""
        if not self.agree(held, wanted):
            shown = formula if formula == f"{wanted:g}" else f"{formula} = {wanted:g}"
            raise self.refuse(
                f"{field} is {held:g}, and the layer has {field} = {shown}", field=field
            )

    def all_zero(self, name: str) -> bool:
        """Whether the node's field `name` is zero everywhere."""
        return not np.any(getattr(self.node, name))

    def noted(self, **metadata: Any) -> bool:
        """Whether the node's metadata says exactly this."""
        held = self.node.metadata
        return all(key in held and bool(held[key] == value) for key, value in metadata.items())

    def honour(self, because: str) -> None:
        """Record that the layer follows the node's metadata where NIR has no field."""
        self.annotations.append(because)

    def start(self, variable: str, layer: float, node: float) -> None:
        """Refuse a node whose state would start elsewhere in the layer."""
        wanted = float(self.node.metadata.get(f"{variable}_initial", node))
        if not self.agree(layer, wanted):
            raise self.refuse(
                f"{variable} starts at {wanted:g}, and in the layer at {layer:g}",
                "",
                field=f"{variable}_initial" if wanted != node else "",
            )

    @contextlib.contextmanager
    def without_initialization(self) -> Iterator[None]:
        """Layers made inside have no memory and no random numbers drawn for their tensors."""
        with torch.device("meta"):
            yield

    def load(self, layer: nn.Module, **tensors: Any) -> None:
        """Give a layer its tensors from the node's arrays, in the import's dtype and device."""
        for name, array in tensors.items():
            tensor = numbers.as_tensor(array, self.dtype, self.device)
            setattr(layer, name, nn.Parameter(tensor))

    def refuse(self, what: str, advice: str = "", field: str = "") -> ImportRefused:
        """The error to raise: what the framework can't compute at this node, and what to do."""
        place = f"{self.path}/{field}" if field else self.path
        return ImportRefused(Problem(place, what, advice))

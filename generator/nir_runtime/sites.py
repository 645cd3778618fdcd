"""The place a conversion happens at: one layer of a network, or one node of a graph.

A generated converter reads its surroundings (`dt`, shapes, metadata) from a site, and refuses,
annotates and builds through it, so that every message names the place.
"""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NoReturn

import nir
import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from nir_runtime import numbers
from nir_runtime.arrays import distinct
from nir_runtime.contract import shapes
from nir_runtime.contract.primitives import ANNOTATED, named_besides, telling
from nir_runtime.errors import ExportRefused, ImportRefused, LayerUnfit, Problem
from nir_runtime.values import agree, compact, fits, resolution, says, uniform

Shape = tuple[int, ...]


@dataclass(frozen=True)
class ExportOptions:
    """What the caller of an export chooses, for all layers alike.

    Attributes:
        soft_reset: what becomes of a reset by subtraction, which NIR has no field for: it is
            written in the metadata, or in NIR's own primitives, or refused.
        ties: whether a layer that fires at v >= v_threshold keeps its threshold, or gets the next
            smaller one, which fires alike at NIR's v > v_threshold.
        hooks: whether forward hooks are tried, and refused if they change numbers, or left out.
    """

    soft_reset: Literal["annotate", "decompose", "refuse"] = "annotate"
    ties: Literal["keep", "exact"] = "keep"
    hooks: Literal["check", "ignore"] = "check"


DEFAULT_OPTIONS = ExportOptions()

SAYABLE = ("subtract", "subtract_next")
"""What a node's metadata may say of its reset that NIR's own primitives can say too."""


@dataclass(frozen=True)
class Chain:
    """The nodes of a layer that NIR says in several.

    Attributes:
        node: the layer's own.
        before: those that what reaches the layer goes through first, in their order.
        then: those behind the node.
        feedback: those on the way from the layer's output back to the node's input, one step
            later; none if nothing is fed back.
    """

    node: nir.NIRNode
    before: tuple[nir.NIRNode, ...] = ()
    then: tuple[nir.NIRNode, ...] = ()
    feedback: tuple[nir.NIRNode, ...] = ()

    @property
    def nodes(self) -> tuple[nir.NIRNode, ...]:
        """All of them."""
        return (*self.before, self.node, *self.then, *self.feedback)


class Features:
    """What formulas say of the features that reach a layer or node; all follows from `shape`."""

    shape: Shape

    @property
    def rank(self) -> int:
        """The number of feature axes."""
        return len(self.shape)

    @property
    def channels(self) -> int:
        """The size of the first feature axis."""
        return self.shape[0]

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


@dataclass
class ExportSite(Features):
    """One layer of a network on its way into a node.

    Attributes:
        path: the layer's path in the network, `features.3`.
        shape: the features that reach the layer, without batch or time.
        batch_axes: how many axes the layer itself sees before the features. (A SpikingJelly layer
            in multi-step mode merges time and batch, and sees one.)
        dt: the time step, in seconds.
        binary: whether what reaches the layer is 0 or 1 everywhere: it comes from spikes.
        training: whether the layer is in training mode.
        layer: the layer itself, which may host what is converted.
        remembers: whether it keeps its state itself.
        reset_value: what a reset sets an attribute of a layer to, where the framework tells.
        options: what the caller of the export chose.
        metadata: what the node's metadata will hold.
        annotations: why a reader must honour the metadata; empty for an exact conversion.
        folds: whether the layer before may take the node over.
        cases: which cases of the mapping apply.
    """

    path: str
    shape: Shape
    batch_axes: int
    dt: float
    binary: bool = False
    training: bool = False
    layer: Any = None
    remembers: bool = True
    reset_value: Callable[[Any, str], Any] | None = None
    options: ExportOptions = DEFAULT_OPTIONS
    metadata: dict[str, Any] = field(default_factory=dict)
    annotations: list[str] = field(default_factory=list)
    folds: bool = False
    cases: list[str] = field(default_factory=list)

    def go_behind(self, *nodes: nir.NIRNode) -> None:
        """Go on with the features that reach the layer's own node, behind others of the layer's."""
        for node in nodes:
            self.shape = shapes.output_shape(node, self.shape)

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

    def values(self, name: str, value: object) -> npt.NDArray[np.float64]:
        """The layer's parameter `name`, a number for each neuron or one for all; finite."""
        array = numbers.as_values(value)
        if array is None or not np.isfinite(array).all():
            raise self.refuse(
                f"{name} is {numbers.describe(value)}; finite numbers are needed",
                f"give the layer a number, or one for each neuron, as {name}",
            )
        if not fits(array, self.shape):
            raise self.refuse(
                f"{name} has the shape {array.shape}, and the features {self.shape}",
                f"give {name} one element, or one for each neuron",
            )
        return array

    def optional_values(self, name: str, value: object) -> npt.NDArray[np.float64] | None:
        """Like `values`, for a parameter that may be None."""
        return None if value is None else self.values(name, value)

    def named(self, name: str, value: object, module: object) -> str:
        """What the layer has as `name`, by its name in a module; refused if it isn't from there."""
        word = str(getattr(value, "__name__", ""))
        if getattr(module, word, None) is not value:
            raise self.refuse(
                f"{name} is {numbers.describe(value)}, which is none of the framework"
            )
        return word

    def demand_time_step(self, name: str, value: object) -> None:
        """Refuse a layer whose own time step isn't the graph's."""
        if self.number(name, value) != self.dt:
            raise self.refuse(
                f"{name} is {value:.9g}, and the graph's time step is {self.dt:.9g}",
                f"export with dt={value:.9g}, or give all layers one {name}",
            )

    def scalar(self, value: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """One number for all neurons, or one for each, of whatever shape the graph has there."""
        return np.array(value, dtype=np.float64)

    def fill(self, value: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """An array of the features' shape, `value` everywhere, or for each neuron."""
        return np.broadcast_to(np.asarray(value, dtype=np.float64), self.shape)

    def array(self, name: str, value: object) -> npt.NDArray[np.float64]:
        """The layer's tensor `name` in double precision, to compute with; refused if not finite."""
        if not isinstance(value, torch.Tensor):
            raise self.refuse(f"{name} is {numbers.describe(value)}; a tensor is needed")
        array = numbers.as_array(value).astype(np.float64)
        if not np.isfinite(array).all():
            raise self.refuse(f"{name} is NaN or infinite in some elements")
        return array

    def tensor(self, value: Any) -> npt.NDArray[Any]:
        """A layer's tensor as an array: a view where the tensor is in main memory."""
        return numbers.as_array(value)

    def annotate(self, because: str, /, **metadata: Any) -> None:
        """Note in the metadata what NIR has no field for; the node is exact with it only."""
        told = str(self.metadata.get(ANNOTATED, "")).split()
        self.metadata.update(metadata)
        self.metadata.update(named_besides(dict.fromkeys((*told, *metadata))))
        if "reset" in metadata and self.options.soft_reset == "refuse":
            raise self.refuse(because, 'export with soft_reset="annotate" or "decompose"')
        if "reset" in metadata and self.options.soft_reset == "decompose":
            if metadata["reset"] not in SAYABLE:
                raise self.refuse(because, 'export with soft_reset="annotate"')
            return  # the node doesn't stay as it is
        self.annotations.append(because)

    def remember(self, /, **metadata: Any) -> None:
        """Note in the metadata what an import restores but the numbers don't need."""
        self.metadata.update(metadata)

    def start(
        self,
        variable: str,
        node: npt.ArrayLike,
        layer: npt.ArrayLike | None = None,
        kept: str | None = None,
    ) -> None:
        """Annotate a state variable that starts elsewhere than the contract says.

        Args:
            variable: the state variable.
            node: where NIR starts it.
            layer: where the layer does; None if that is the same.
            kept: the attribute in which the live layer has it, which may tell otherwise.
        """
        start = node if layer is None else layer
        if kept is not None and self.remembers:
            start = self.begins(self.layer, kept, start)
        if not np.all(np.equal(start, node)):
            self.annotate(
                f"{variable} starts elsewhere than NIR has it, which has no field for it",
                **{f"{variable}_initial": compact(start)},
            )

    def begins(self, layer: Any, kept: str, usual: npt.ArrayLike) -> npt.ArrayLike:
        """Where a layer's state starts after a reset; refused if it is elsewhere now.

        Args:
            layer: the layer.
            kept: the attribute.
            usual: where it starts, if the layer doesn't tell.
        """
        held = getattr(layer, kept, None)
        told = None if self.reset_value is None else self.reset_value(layer, kept)
        start: Any = usual
        if not numbers.is_nothing(told):
            start = None if isinstance(told, torch.Tensor) else numbers.as_values(told)
        if start is None or not np.isfinite(start).all() or not fits(np.asarray(start), self.shape):
            raise self.refuse(
                f"{kept} is reset to {numbers.describe(told)}; a number is needed: layers go on "
                "from a tensor only where it has the shape of their input, batch included, and a "
                "graph has no batch",
                "set one number as its reset value",
            )
        if not numbers.is_nothing(held) and not numbers.is_everywhere(held, start):
            raise self.refuse(
                f"{kept} is left over from a run, or was set: a graph starts at a reset",
                "reset the network before you export it",
            )
        return start

    def where(self, case: str) -> None:
        """Say which case of the mapping applies: its formulas are those of the report."""
        self.cases.append(case)

    def foldable(self) -> None:
        """Say that the node is an affine map of each channel alone, which the layer before can
        take over where that is linear and nothing else reads it."""
        self.folds = True

    def refuse(self, what: str, advice: str = "") -> ExportRefused:
        """The error to raise: what NIR can't hold at this layer, and what to do."""
        return ExportRefused(Problem(self.path, what, advice))


@dataclass
class ImportSite(Features):
    """One node of a graph on its way into a layer.

    Attributes:
        path: the node's path in the file, `/node/nodes/lif`.
        node: the node.
        shape: the features that reach the node, without batch or time.
        dt: the time step, in seconds.
        device, dtype: of the layer to be.
        options: what the framework's import takes besides, such as `step_mode`.
        annotates: the keys that the framework's own exports of such a node annotate.
        annotations: what metadata was honoured, and why; empty for an exact conversion.
        cases: which cases of the mapping apply.
        followed: the keys of the metadata that the layer follows.
    """

    path: str
    node: nir.NIRNode
    shape: Shape
    dt: float
    device: torch.device
    dtype: torch.dtype
    options: Mapping[str, Any] = field(default_factory=dict)
    annotates: Sequence[str] = ()
    annotations: list[str] = field(default_factory=list)
    cases: list[str] = field(default_factory=list)
    followed: set[str] = field(default_factory=set)

    @property
    def batch_axes(self) -> int:
        """How many axes a layer sees before the features: one, whatever the layout."""
        return 1

    def uniform(self, name: str) -> float:
        """The node's field `name` as one number; refused unless all neurons share it."""
        value = uniform(getattr(self.node, name))
        if value is None:
            raise self.unfit(
                f"{name} differs between neurons, and the layer has one {name} for all", name
            )
        return value

    def values(self, name: str) -> npt.NDArray[np.float64]:
        """The node's field `name`, a number for each neuron; in double precision, to compute with,
        whatever the file holds it in."""
        held = getattr(self.node, name)
        return np.broadcast_to(distinct(held).astype(np.float64, copy=False), np.shape(held))

    def initial(self, variable: str) -> npt.NDArray[Any] | None:
        """Where the node's metadata says that a state variable starts; None if it doesn't."""
        held = self.node.metadata.get(f"{variable}_initial")
        if held is None:
            return None
        self.followed.add(f"{variable}_initial")
        self.honour(f"{variable} starts where the metadata says")
        return np.asarray(held)

    def agree(self, a: npt.ArrayLike, b: npt.ArrayLike) -> bool:
        """Whether two numbers are the same up to the precision in which the node is stored."""
        return agree(a, b, resolution(self.node))

    def demand(self, field: str, held: npt.ArrayLike, wanted: npt.ArrayLike, formula: str) -> None:
        """Refuse a node whose `field` is not what the layer has there, by `formula`."""
        if not self.agree(held, wanted):
            one, other = compact(held), compact(wanted)
            if np.ndim(one) or np.ndim(other):
                raise self.unfit(f"{field} is not {formula} in all neurons", field)
            shown = formula if formula == f"{other:g}" else f"{formula} = {other:g}"
            raise self.unfit(f"{field} is {one:g}, and the layer has {field} = {shown}", field)

    def all_zero(self, name: str) -> bool:
        """Whether the node's field `name` is zero everywhere."""
        return not np.any(distinct(getattr(self.node, name)))

    def noted(self, /, **metadata: Any) -> bool:
        """Whether the node's metadata says exactly this."""
        noted = says(self.node, **metadata)
        if noted:
            self.followed.update(metadata)
        return noted

    def demand_noted(self, /, **metadata: Any) -> None:
        """Pass a node on to another layer unless its metadata says this: the layer does it."""
        if not self.noted(**metadata):
            wanted = ", ".join(f"{key}: {value}" for key, value in metadata.items())
            raise self.unfit(f"the node's metadata doesn't say {wanted}, and the layer does so")

    def demand_case(self, holds: bool, what: str) -> None:
        """Pass a node on to another layer unless the case holds in which the layer computes it."""
        if not holds:
            raise self.unfit(f"the layer computes such a node only where {what}")

    def honour(self, because: str) -> None:
        """Record that the layer follows the node's metadata where NIR has no field."""
        self.annotations.append(because)

    def where(self, case: str) -> None:
        """Say which case of the mapping applies: its formulas are those of the report."""
        self.cases.append(case)

    def forget(self) -> None:
        """Forget what a layer did that turned out not to compute the node."""
        self.annotations.clear()
        self.cases.clear()
        self.followed.clear()

    def start(self, variable: str, layer: npt.ArrayLike, node: npt.ArrayLike | None = None) -> None:
        """Pass a node on to another layer if its state would start elsewhere in this one.

        Args:
            variable: the state variable.
            layer: where the layer starts it.
            node: where NIR starts it; None if that is the same.
        """
        told = self.node.metadata.get(f"{variable}_initial")
        self.followed.add(f"{variable}_initial")
        usual = layer if node is None else node
        wanted = usual if told is None else self.one(variable, told)
        if not self.agree(layer, wanted):
            there, here = (numbers.shown(value) for value in (wanted, layer))
            raise self.unfit(
                f"{variable} starts at {there}, and in the layer at {here}",
                "" if told is None else f"metadata/{variable}_initial",
            )

    def demand_all(self, condition: npt.ArrayLike, what: str) -> None:
        """Pass a node on to another layer unless `what` holds for all its neurons."""
        if not np.all(condition):
            raise self.unfit(f"the layer needs {what} for all neurons")

    def demand_plain(self) -> None:
        """Pass a node on to another layer if its metadata says what this one doesn't follow."""
        others = (key for key in self.annotates if key in self.node.metadata)
        told = dict.fromkeys((*telling(self.node), *others))
        left = [key for key in told if key not in self.followed]
        if left:
            what = f"the node's metadata says more: {', '.join(left)}"
            raise self.unfit(what, "metadata", LayerUnfit.LESS_METADATA)

    def one(self, name: str, values: npt.ArrayLike) -> float:
        """The one number that all elements are; else the node is passed on to another layer."""
        value = uniform(values)
        if value is None:
            raise self.unfit(f"{name} would start elsewhere in each neuron")
        return value

    def map_of_input(self, values: npt.ArrayLike) -> torch.Tensor:
        """Numbers for each neuron as a tensor; where all are equal one number, without axes: it is
        in double precision, and takes part in that of the layer's input."""
        held = compact(values)
        if not np.isfinite(held).all():
            raise self.unfit("the layer would have numbers that are infinite, or none")
        if np.ndim(held) == 0:
            numbers.demand_room(held, self.dtype)
        precision = self.dtype if np.ndim(held) else torch.float64
        return numbers.as_tensor(held, precision, self.device)

    @contextlib.contextmanager
    def without_initialization(self) -> Iterator[None]:
        """Layers made inside have no memory and no random numbers drawn for their tensors."""
        with torch.device("meta"), _Uninitialized():
            yield

    def load(self, layer: nn.Module, **tensors: Any) -> None:
        """Give a layer its tensors from the node's arrays, in the import's dtype and device."""
        for name, array in tensors.items():
            tensor = numbers.as_tensor(array, self.dtype, self.device)
            held = tuple(getattr(layer, name).shape)
            if tensor.shape != held:
                given = tuple(tensor.shape)
                raise self.unfit(f"{name} has shape {given}, and the layer's has {held}", name)
            setattr(layer, name, nn.Parameter(tensor))

    def refine(self, layer: nn.Module, **tensors: Any) -> None:
        """Give a layer, in the import's precision, the tensors that its constructor has rounded.

        What the constructor keeps otherwise, as a number or a property of others, is not rounded.
        """
        for name, value in tensors.items():
            if isinstance(vars(layer)["_parameters"].get(name), nn.Parameter):
                held = getattr(layer, name)
                spread = np.broadcast_to(np.asarray(value), held.shape)
                self.load(layer, **{name: spread})

    def unfit(self, what: str, field: str = "", advice: str = LayerUnfit.REFERENCE) -> LayerUnfit:
        """The error to raise: why this layer can't compute the node, while another may."""
        place = f"{self.path}/{field}" if field else self.path
        return LayerUnfit(Problem(place, what, advice))

    def refuse(self, what: str, advice: str = "", field: str = "") -> ImportRefused:
        """The error to raise: what the framework can't compute at this node, and what to do."""
        place = f"{self.path}/{field}" if field else self.path
        return ImportRefused(Problem(place, what, advice))


class _Uninitialized(TorchFunctionMode):
    """Inside, torch.nn.init does nothing: its formulas cost more than all else in a layer."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == nn.init.__name__:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)


def on_request(
    option: str, importer: Callable[[Any, ImportSite], nn.Module]
) -> Callable[[Any, ImportSite], nn.Module]:
    """An importer that passes every node on, unless the import's caller set an option."""

    @functools.wraps(importer)
    def from_node(node: Any, at: ImportSite) -> nn.Module:
        if not at.options[option]:
            raise LayerUnfit(())  # nothing is wrong with the node
        return importer(node, at)

    return from_node


@dataclass(frozen=True)
class Skipped:
    """An exporter of layers that need no node: what reaches them passes on.

    Attributes:
        because: why.
        in_training: what they do in training mode, where that is something else.
    """

    because: str
    in_training: str = ""

    def __call__(self, module: nn.Module, at: ExportSite) -> tuple[()]:
        return ()

    def acts(self, module: nn.Module) -> bool:
        """Whether a layer does now what it does in training mode; dropping nothing is nothing."""
        return bool(self.in_training) and module.training and getattr(module, "p", None) != 0


@dataclass(frozen=True)
class Refused:
    """An exporter of layers that NIR can't say."""

    because: str
    instead: str

    def __call__(self, module: nn.Module, at: ExportSite) -> NoReturn:
        raise at.refuse(f"{type(module).__name__}: {self.because}", self.instead)

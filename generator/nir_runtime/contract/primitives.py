"""What NIR's primitives are made of: their fields, and the shapes that follow from them."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np
import numpy.typing as npt

from nir_runtime.arrays import distinct, is_mapped

Shape = tuple[int, ...]
Array = npt.NDArray[Any]

Finding = tuple[str, str]
"""A field of a node, and what is wrong with it."""


class ShapeMismatch(ValueError):
    """Features of a shape that a node does not take."""


class Primitive:
    """What is known about a kind of node.

    The methods take the node; all but `findings` take one in which `findings` found nothing.

    Attributes:
        keeps: whether it sends on the shape that arrives, whatever that is.
        state: the variables through which what it sends on depends on earlier steps.
    """

    keeps = False
    state: tuple[str, ...] = ()

    def findings(self, node: Any) -> Iterator[Finding]:
        """What is wrong with the node's fields."""
        raise NotImplementedError

    def demands(self, node: Any) -> Shape | None:
        """The features that the node takes, where its fields leave no choice."""
        return None

    def suggests(self, node: Any) -> Shape | None:
        """The features that the node takes, unless its neighbours say otherwise."""
        return None

    def gives(self, node: Any, arriving: Shape) -> Shape:
        """The features that the node sends on; raises ShapeMismatch if it takes others."""
        raise NotImplementedError

    def settle(self, node: Any, arriving: Shape) -> None:
        """Complete the node's fields, now that the features that arrive are known."""


@dataclass(frozen=True)
class Elementwise(Primitive):
    """A node with one number of each parameter for each feature, or one number for all.

    Attributes:
        fields: the parameters.
        defaults: the values of those that a node may lack.
        positive: those that must be above zero.
        not_negative: those that must not be below.
        state: see Primitive.
    """

    fields: tuple[str, ...]
    defaults: Mapping[str, float] = field(default_factory=dict)
    positive: frozenset[str] = frozenset()
    not_negative: frozenset[str] = frozenset()
    state: tuple[str, ...] = ()
    keeps = True

    def findings(self, node: Any) -> Iterator[Finding]:
        wrong = {name: what for name in self.fields if (what := self._wrong(node, name))}
        yield from wrong.items()
        if not wrong:
            yield from self._disagreements(node)

    def _wrong(self, node: Any, name: str) -> str:
        value = getattr(node, name, None)
        if value is None and name in self.defaults:
            return ""
        if what := wrong_array(value):
            return what
        if name in self.positive and not (distinct(value) > 0).all():
            return "must be positive everywhere"
        if name in self.not_negative and (distinct(value) < 0).any():
            return "must not be negative anywhere"
        return ""

    def _disagreements(self, node: Any) -> Iterator[Finding]:
        shapes = self._shapes(node)
        shape = _shared(shapes.values())
        for name, own in shapes.items():
            if math.prod(own) > 1 and own != shape:
                yield name, f"has shape {own}, and the parameters before it have {shape}"

    def demands(self, node: Any) -> Shape | None:
        shape = self.suggests(node)
        return shape if math.prod(shape) > 1 else None

    def suggests(self, node: Any) -> Shape:
        return _shared(self._shapes(node).values())

    def _shapes(self, node: Any) -> dict[str, Shape]:
        present = ((name, getattr(node, name, None)) for name in self.fields)
        return {name: np.shape(value) for name, value in present if value is not None}

    def gives(self, node: Any, arriving: Shape) -> Shape:
        demanded = self.demands(node)
        if demanded not in (None, arriving):
            raise ShapeMismatch(f"its parameters have shape {demanded}, and {arriving} arrives")
        return arriving

    def settle(self, node: Any, arriving: Shape) -> None:
        kind = np.result_type(np.asarray(getattr(node, self.fields[0])), np.float16)
        for name in self.fields:
            value = getattr(node, name, None)
            array = np.array(self.defaults[name], kind) if value is None else np.asarray(value)
            if array.shape != arriving:
                array = np.broadcast_to(array.ravel()[0], arriving)
            setattr(node, name, array)


def _shared(shapes: Collection[Shape]) -> Shape:
    """The first shape of several elements; of scalars only, the one with most axes."""
    several = (shape for shape in shapes if math.prod(shape) > 1)
    return next(several, None) or max(shapes, key=len)


@dataclass(frozen=True)
class Matrix(Primitive):
    """Affine and Linear: weight[*lead, o, i] takes (*lead, i) to (*lead, o)."""

    bias: bool

    def findings(self, node: Any) -> Iterator[Finding]:
        if what := wrong_array(getattr(node, "weight", None)):
            yield "weight", what
        elif np.ndim(node.weight) < 2:
            yield "weight", f"has shape {np.shape(node.weight)}; (..., out, in) is needed"
        elif self.bias:
            yield from wrong_bias(node, self._shape_out(node))

    def demands(self, node: Any) -> Shape:
        *lead, _, features = np.shape(node.weight)
        return (*lead, features)

    def gives(self, node: Any, arriving: Shape) -> Shape:
        if arriving != self.demands(node):
            weight, taken = np.shape(node.weight), self.demands(node)
            raise ShapeMismatch(f"weight {weight} takes {taken}, and {arriving} arrives")
        return self._shape_out(node)

    def settle(self, node: Any, arriving: Shape) -> None:
        node.weight = np.asarray(node.weight)
        if self.bias:
            node.bias = spread_bias(node, self._shape_out(node))

    def _shape_out(self, node: Any) -> Shape:
        shape: Shape = np.shape(node.weight)[:-1]
        return shape


@dataclass(frozen=True)
class Window:
    """How a kernel slides over the last axes.

    Attributes:
        kernel, stride, dilation: one number for each axis.
        padding: likewise; None for "same".
    """

    kernel: Shape
    stride: Shape
    dilation: Shape
    padding: Shape | None

    def slide(self, sizes: Shape) -> Shape:
        """How many positions the kernel takes along each axis of these sizes."""
        if self.padding is None:
            return sizes
        ends = zip(sizes, self.padding, self.dilation, self.kernel, self.stride, strict=True)
        slid = tuple((n + 2 * p - d * (k - 1) - 1) // s + 1 for n, p, d, k, s in ends)
        if any(size < 1 for size in slid):
            padded = f" padded by {self.padding}" if any(self.padding) else ""
            spread = f" with dilation {self.dilation}" if max(self.dilation) > 1 else ""
            raise ShapeMismatch(f"a {self.kernel} kernel{spread} does not fit into {sizes}{padded}")
        return slid


@dataclass(frozen=True)
class Convolution(Primitive):
    """Conv1d and Conv2d: weight[o, c, *k] takes (groups * c, *n) to (o, *m)."""

    axes: int

    def findings(self, node: Any) -> Iterator[Finding]:
        if what := wrong_array(getattr(node, "weight", None)):
            yield "weight", what
            return
        shape = np.shape(node.weight)
        if len(shape) != self.axes + 2:
            yield "weight", f"has shape {shape}; {self.axes + 2} axes are needed: out, in, kernel"
            return
        yield from wrong_bias(node, shape[:1])
        yield from wrong_sizes(node, self.axes, stride=1, dilation=1)
        yield from self._wrong_padding(node)
        yield from self._wrong_groups(node)
        if getattr(node, "input_shape", None) is not None:
            yield from wrong_sizes(node, self.axes, input_shape=1)

    def _wrong_padding(self, node: Any) -> Iterator[Finding]:
        if not isinstance(node.padding, str):
            yield from wrong_sizes(node, self.axes, padding=0)
        elif node.padding not in ("same", "valid"):
            yield "padding", f"is {node.padding!r}; numbers, 'same' or 'valid' are needed"
        elif node.padding == "same" and np.any(np.asarray(node.stride) != 1):
            yield "padding", "is 'same', which means nothing with a stride other than 1"

    def _wrong_groups(self, node: Any) -> Iterator[Finding]:
        wrong = list(wrong_sizes(node, 1, groups=1))
        yield from wrong
        if not wrong and len(node.weight) % sizes(node.groups, 1)[0]:
            yield "groups", f"is {node.groups}, which does not divide {len(node.weight)} channels"

    def demands(self, node: Any) -> Shape | None:
        given = getattr(node, "input_shape", None)
        return None if given is None else (self._channels(node), *sizes(given, self.axes))

    def gives(self, node: Any, arriving: Shape) -> Shape:
        channels = self._channels(node)
        if len(arriving) != self.axes + 1:
            spatial = ("length",) if self.axes == 1 else ("height", "width")
            axes = ", ".join(("channels", *spatial))
            raise ShapeMismatch(f"it takes ({axes}), and {arriving} arrives")
        if arriving[0] != channels:
            raise ShapeMismatch(f"weight takes {channels} input channels, and {arriving} arrives")
        return (len(node.weight), *self.window(node).slide(arriving[1:]))

    def settle(self, node: Any, arriving: Shape) -> None:
        window = self.window(node)
        node.weight = np.asarray(node.weight)
        node.bias = spread_bias(node, (len(node.weight),))
        node.groups = sizes(node.groups, 1)[0]
        node.input_shape = self._form(arriving[1:])
        node.stride, node.dilation = self._form(window.stride), self._form(window.dilation)
        if not isinstance(node.padding, str):
            node.padding = self._form(sizes(node.padding, self.axes))

    def window(self, node: Any) -> Window:
        """How the node's kernel slides."""
        return Window(
            kernel=np.shape(node.weight)[2:],
            stride=sizes(node.stride, self.axes),
            dilation=sizes(node.dilation, self.axes),
            padding=self._padding(node.padding),
        )

    def _padding(self, padding: Any) -> Shape | None:
        if isinstance(padding, str):
            return None if padding == "same" else (0,) * self.axes
        return sizes(padding, self.axes)

    def _channels(self, node: Any) -> int:
        return int(np.shape(node.weight)[1]) * sizes(node.groups, 1)[0]

    def _form(self, numbers: Shape) -> int | Shape:
        """Numbers as the node holds them: one for a Conv1d, a pair for a Conv2d."""
        return numbers[0] if self.axes == 1 else numbers


class Pool(Primitive):
    """SumPool2d and AvgPool2d: (c, *n) to (c, *m)."""

    def findings(self, node: Any) -> Iterator[Finding]:
        yield from wrong_sizes(node, 2, kernel_size=1, stride=1, padding=0)

    def gives(self, node: Any, arriving: Shape) -> Shape:
        if len(arriving) != 3:
            raise ShapeMismatch(f"it takes (channels, height, width), and {arriving} arrives")
        return (arriving[0], *self.window(node).slide(arriving[1:]))

    def settle(self, node: Any, arriving: Shape) -> None:
        window = self.window(node)
        node.kernel_size, node.stride, node.padding = window.kernel, window.stride, window.padding

    def window(self, node: Any) -> Window:
        """How the node's window slides."""
        return Window(
            kernel=sizes(node.kernel_size, 2),
            stride=sizes(node.stride, 2),
            dilation=(1, 1),
            padding=sizes(node.padding, 2),
        )


class Flatten(Primitive):
    """(*a, *b, *c) to (*a, prod(b), *c), where b is the axes start_dim to end_dim."""

    def findings(self, node: Any) -> Iterator[Finding]:
        yield from wrong_declaration(node, "input_type", "input_type")
        yield from wrong_sizes(node, 1, start_dim=None, end_dim=None)

    def demands(self, node: Any) -> Shape | None:
        return declared(node, "input_type")

    def gives(self, node: Any, arriving: Shape) -> Shape:
        start, end = self._axes(node, arriving)
        return (*arriving[:start], math.prod(arriving[start : end + 1]), *arriving[end + 1 :])

    def _axes(self, node: Any, arriving: Shape) -> tuple[int, int]:
        (start,), (end,), rank = sizes(node.start_dim, 1), sizes(node.end_dim, 1), len(arriving)
        if not (-rank <= start < rank and -rank <= end < rank) or start % rank > end % rank:
            raise ShapeMismatch(f"it flattens the axes {start} to {end}, and {arriving} arrives")
        return start % rank, end % rank

    def settle(self, node: Any, arriving: Shape) -> None:
        (node.start_dim,), (node.end_dim,) = sizes(node.start_dim, 1), sizes(node.end_dim, 1)


@dataclass(frozen=True)
class Port(Primitive):
    """Input and Output: they pass on what arrives.

    Attributes:
        types: the attribute that declares the shape.
        fixed: whether that binds. An Output's need not have the axes of size 1 that arrive.
    """

    types: str
    fixed: bool
    keeps = True

    def findings(self, node: Any) -> Iterator[Finding]:
        yield from wrong_declaration(node, self.types, "shape")

    def demands(self, node: Any) -> Shape | None:
        return declared(node, self.types) if self.fixed else None

    def suggests(self, node: Any) -> Shape | None:
        return declared(node, self.types)

    def gives(self, node: Any, arriving: Shape) -> Shape:
        shape = declared(node, self.types)
        if shape is not None and without_ones(shape) != without_ones(arriving):
            raise ShapeMismatch(f"its shape is {shape}, and {arriving} arrives")
        return arriving


def without_ones(shape: Shape) -> Shape:
    """The axes that have more than one element."""
    return tuple(size for size in shape if size != 1)


def declared(node: Any, types: str) -> Shape | None:
    """The shape that a node's `input_type` or `output_type` states; None where it states none."""
    stated = getattr(node, types, None)
    shape = next(iter(stated.values()), None) if isinstance(stated, dict) else stated
    return None if shape is None else tuple(int(size) for size in np.asarray(shape).ravel())


def wrong_declaration(node: Any, types: str, name: str) -> Iterator[Finding]:
    """What is wrong with a stated shape; nothing if none is stated."""
    try:
        shape = declared(node, types)
    except (TypeError, ValueError):
        yield name, "is not a shape"
    else:
        if shape is not None and any(size < 1 for size in shape):
            yield name, f"is {shape}; every axis must have at least one element"


def wrong_array(value: Any) -> str:
    """What is wrong with a parameter: not there, not numbers, empty, not finite."""
    if value is None:
        return "is missing"
    try:
        array = np.asarray(value)
    except (TypeError, ValueError):
        return "is not an array of numbers"
    if array.dtype.kind not in "fiu":
        return "is not an array of numbers"
    if array.size == 0:
        return f"is empty: its shape is {array.shape}"
    if not finite(array):
        few = distinct(array)  # each stands for as many elements
        count = int(np.count_nonzero(~np.isfinite(few))) * (array.size // few.size)
        return f"is NaN or infinite in {count} of {array.size} elements"
    return ""


def finite(array: Array) -> bool:
    """Whether no element is NaN or infinite, at the cost of reading each distinct one once.

    NaN and infinity survive a summation, so a finite sum says that there are none, and takes no
    memory. Only where the sum overflows must the elements be looked at. A large array that is
    still in its file is believed to be finite, and not read for the answer alone.
    """
    if array.dtype.kind != "f" or (array.nbytes > _LARGE and is_mapped(array)):
        return True
    few = distinct(array)
    if few.size > _MANY:
        with np.errstate(over="ignore", invalid="ignore"):
            if np.isfinite(few.sum()):
                return True
    return bool(np.isfinite(few).all())


_MANY = 4096
"""From how many elements on a sum is quicker than a mask of them."""

_LARGE = 1 << 20
"""From how many bytes on reading a file costs more than an error that comes late."""


def wrong_bias(node: Any, shape: Shape) -> Iterator[Finding]:
    """What is wrong with a bias that is added to features of `shape`; it may be missing."""
    bias = getattr(node, "bias", None)
    if bias is None:
        return
    if what := wrong_array(bias):
        yield "bias", what
    elif np.shape(bias) not in (shape, shape[-1:], ()):
        weight = np.shape(node.weight)
        yield "bias", f"has shape {np.shape(bias)}, and weight {weight} needs {shape}"


def spread_bias(node: Any, shape: Shape) -> Array:
    """The bias in the shape of the features; zeros where it is missing."""
    bias = getattr(node, "bias", None)
    if bias is None:
        bias = np.zeros((), np.result_type(node.weight, np.float16))
    array: Array = np.asarray(bias)
    return array if array.shape == shape else np.broadcast_to(array, shape)


def sizes(value: Any, axes: int) -> Shape:
    """One whole number for each axis, from such numbers or from one for all of them.

    Raises:
        ValueError: it is something else.
    """
    numbers = np.asarray(value)
    if numbers.dtype.kind not in "iu" or numbers.size not in (1, axes):
        raise ValueError(f"is {value!r}; {_count(axes)} needed")
    flat = [int(number) for number in numbers.ravel()]
    return tuple(flat * axes if len(flat) == 1 else flat)


def wrong_sizes(node: Any, axes: int, **least: int | None) -> Iterator[Finding]:
    """What is wrong with the named fields, each with the least value that it may have."""
    for name, minimum in least.items():
        try:
            numbers = sizes(getattr(node, name, None), axes)
        except ValueError as wrong:
            yield name, str(wrong)
        else:
            if minimum is not None and min(numbers) < minimum:
                yield name, f"is {getattr(node, name)!r}; at least {minimum} is needed"


def _count(axes: int) -> str:
    return "a whole number is" if axes == 1 else f"{axes} whole numbers are"


_RESET = {"v_reset": 0.0}
_TAUS = frozenset({"tau", "tau_mem", "tau_syn"})
_CUBA = ("tau_syn", "tau_mem", "r", "v_leak")

PRIMITIVES: Mapping[type[nir.NIRNode], Primitive] = {
    nir.Input: Port("input_type", fixed=True),
    nir.Output: Port("output_type", fixed=False),
    nir.I: Elementwise(("r",), state=("v",)),
    nir.IF: Elementwise(("r", "v_threshold", "v_reset"), _RESET, state=("v",)),
    nir.LI: Elementwise(("tau", "r", "v_leak"), positive=_TAUS, state=("v",)),
    nir.LIF: Elementwise(
        ("tau", "r", "v_leak", "v_threshold", "v_reset"), _RESET, _TAUS, state=("v",)
    ),
    nir.CubaLI: Elementwise((*_CUBA, "w_in"), {"w_in": 1.0}, _TAUS, state=("v", "i")),
    nir.CubaLIF: Elementwise(
        (*_CUBA, "v_threshold", "v_reset", "w_in"),
        _RESET | {"w_in": 1.0},
        _TAUS,
        state=("v", "i"),
    ),
    nir.Delay: Elementwise(("delay",), not_negative=frozenset({"delay"}), state=("history",)),
    nir.Threshold: Elementwise(("threshold",)),
    nir.Scale: Elementwise(("scale",)),
    nir.Affine: Matrix(bias=True),
    nir.Linear: Matrix(bias=False),
    nir.Conv1d: Convolution(axes=1),
    nir.Conv2d: Convolution(axes=2),
    nir.SumPool2d: Pool(),
    nir.AvgPool2d: Pool(),
    nir.Flatten: Flatten(),
}
"""All primitives of nir 1.0.8 but the nested graph, by the exact class of the node."""


SPIKING = (nir.IF, nir.LIF, nir.CubaLIF, nir.Threshold)
"""The nodes that send on 0 or 1."""


def is_stateful(node: nir.NIRNode) -> bool:
    """Whether what the node sends on depends on earlier steps."""
    return bool(PRIMITIVES[type(node)].state)


ANNOTATED = "annotated"
"""The metadata that names the keys, beside those that every reader knows, without which the node
means something else."""


def telling(node: nir.NIRNode) -> list[str]:
    """The keys of a node's metadata that change what it computes: its reset, where it starts, and
    what the writer of the node says must be read besides."""
    told = {f"{variable}_initial" for variable in PRIMITIVES[type(node)].state}
    if hasattr(node, "v_reset"):
        told.add("reset")
    told |= set(str(node.metadata.get(ANNOTATED, "")).split())
    return [key for key in node.metadata if key in told]


def named_besides(keys: Iterable[str]) -> dict[str, str]:
    """What metadata must hold so that all readers know which of its keys change the node.

    They know `reset` and `v_initial` themselves; other keys have no meaning that all agree on.
    """
    others = [key for key in keys if key != "reset" and not key.endswith("_initial")]
    return {ANNOTATED: " ".join(others)} if others else {}

"""What a network's forward may do with a signal, besides passing it to layers.

`OPERATIONS` maps torch's functions to what they mean in a graph; `QUERIES` are the questions that
a signal answers like any tensor. Whatever is in neither is refused, with the advice from `ADVICE`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import nir
import torch
from torch import Tensor

from nirgen.runtime.signals import Signal
from nirgen.runtime.sites import Shape

Operation = Callable[..., Signal]
"""Takes what the torch function takes, by the same names; raises `Unsupported`."""


class Unsupported(Exception):
    """An operation that NIR has nothing for.

    Attributes:
        what: what is wrong, to follow the operation's name: `adds a constant`.
        advice: what to do instead.
        about_shape: whether this is about shapes only, and means nothing where they are guesses.
    """

    def __init__(self, what: str, advice: str, *, about_shape: bool = False) -> None:
        super().__init__(what)
        self.what = what
        self.advice = advice
        self.about_shape = about_shape


def add(input: Any, other: Any, *, alpha: float = 1) -> Signal:
    """The sum of two signals: both get an edge into whatever reads it.

    Adding the number 0 changes nothing (`sum([a, b])` begins so).
    """
    if alpha != 1:
        raise Unsupported(f"scales a signal by alpha={alpha}", _SCALING)
    x, y = (input, other) if isinstance(input, Signal) else (_signal(other), input)
    if _is_zero(y):
        return x.alias()
    if not isinstance(y, Signal):
        raise Unsupported(
            "adds a constant, which NIR's edges can't",
            "put it into a layer: the bias of a Linear or a convolution",
        )
    _demand_equal_shapes(x, y)
    return x.successor(x.features, _sum(x, y), uncertain=y.uncertain)


def add_in_place(input: Any, other: Any, *, alpha: float = 1) -> Signal:
    """`input += other`: from here on, everyone who holds `input` holds the sum."""
    if not isinstance(input, Signal):
        raise Unsupported(
            "writes a signal into a tensor of the network's own",
            "keep state in a mapped layer",
        )
    if input.memory.tensors > 1:
        raise Unsupported(
            "changes a signal in place whose memory another tensor shares",
            "write x = x + y",
        )
    total = add(input, other, alpha=alpha)
    input.sources, input.uncertain = total.sources, total.uncertain
    return input


def flatten(input: Signal, start_dim: int = 0, end_dim: int = -1) -> Signal:
    """Features merged by `torch.flatten`."""
    return _reshaped(input, lambda x: x.flatten(start_dim, end_dim), "flatten")


def reshape(input: Signal, *shape: Any) -> Signal:
    """Features merged by a `reshape`; any other reshaping is refused."""
    return _reshaped(input, lambda x: x.reshape(*shape), "reshape")


def view(input: Signal, *size: Any) -> Signal:
    """Features merged by a `view`; any other reshaping is refused."""
    return _reshaped(input, lambda x: x.view(*size), "view")


def copy(input: Signal, **memory_format: Any) -> Signal:
    """The same numbers in memory of their own."""
    return input.copy()


def alias(input: Signal, **memory_format: Any) -> Signal:
    """The same numbers, possibly in the same memory."""
    return input.alias()


def convert(name: str) -> Operation:
    """A method that may change dtype or device; to another dtype it is refused."""

    def operation(input: Signal, *args: Any, **kwargs: Any) -> Signal:
        # What the arguments mean, torch itself says best: they are tried on a tensor of no size.
        tried: Tensor = getattr(_empty(input), name)(*map(_empty, args), **kwargs)
        if tried.dtype != input.dtype:
            raise Unsupported(
                f"converts a signal from {input.dtype} to {tried.dtype}",
                "convert the network's input before, or its output behind",
            )
        return input.alias()

    return operation


OPERATIONS: Mapping[Callable[..., Any], Operation] = {
    torch.add: add,
    Tensor.add: add,
    Tensor.__add__: add,
    Tensor.__radd__: add,
    Tensor.add_: add_in_place,
    Tensor.__iadd__: add_in_place,
    torch.flatten: flatten,
    Tensor.flatten: flatten,
    torch.reshape: reshape,
    Tensor.reshape: reshape,
    Tensor.view: view,
    torch.clone: copy,
    Tensor.clone: copy,
    torch.detach: alias,
    Tensor.detach: alias,
    Tensor.data.__get__: alias,  # type: ignore[attr-defined]
    Tensor.contiguous: alias,
    Tensor.to: convert("to"),
    Tensor.type_as: convert("type_as"),
    Tensor.float: convert("float"),
    Tensor.double: convert("double"),
    Tensor.half: convert("half"),
    Tensor.bfloat16: convert("bfloat16"),
    Tensor.cpu: convert("cpu"),
    Tensor.cuda: convert("cuda"),
}
"""What each torch function means in a graph."""

_ASKED_ATTRIBUTES = (
    *("shape", "ndim", "dtype", "device", "layout", "itemsize", "nbytes"),
    *("is_cuda", "is_cpu", "is_meta", "is_sparse", "is_quantized"),
    *("requires_grad", "is_leaf", "grad", "grad_fn"),
)

_ASKED_METHODS = (
    *("size", "dim", "ndimension", "numel", "nelement", "__len__", "stride", "element_size"),
    *("get_device", "is_contiguous", "is_floating_point", "is_complex", "is_signed"),
)

QUERIES: frozenset[Callable[..., Any]] = frozenset(
    [
        *(getattr(Tensor, name).__get__ for name in _ASKED_ATTRIBUTES),
        *(getattr(Tensor, name) for name in _ASKED_METHODS),
        *(torch.numel, torch.is_floating_point, torch.is_complex),
    ]
)
"""Questions about a tensor, not about its numbers."""

READS_NUMBERS = frozenset(
    [
        *("__bool__", "__int__", "__float__", "__index__", "__complex__", "__array__"),
        *("__iter__", "__contains__", "__reversed__", "unbind"),
        *("item", "tolist", "numpy", "is_nonzero", "equal", "allclose"),
    ]
)
"""Functions whose result is not a tensor: after one of these a trace can't go on."""

_TIME_LOOP = "where forward runs over time, export the network inside the loop"
_SCALING = "fold the factor into the weights of the layer before or behind"
_LAYER = "use the layer instead of the function, so that it can be mapped: nn.{}"

ADVICE: Mapping[str, str] = {
    "__getitem__": f"NIR passes on whole signals; {_TIME_LOOP}",
    "__setitem__": f"NIR passes on whole signals; {_TIME_LOOP}",
    "unbind": f"NIR passes on whole signals; {_TIME_LOOP}",
    "__iter__": f"NIR passes on whole signals; {_TIME_LOOP}",
    "mean": f"NIR has no mean over time or features; {_TIME_LOOP}, and average its output yourself",
    "sum": f"NIR has no sum over time or features; {_TIME_LOOP}, and sum up its output yourself",
    "cat": "NIR has no concatenation: join signals by a sum, or a Linear for each of them",
    "concat": "NIR has no concatenation: join signals by a sum, or a Linear for each of them",
    "stack": f"NIR has no axes of time or batch; {_TIME_LOOP}",
    "unsqueeze": f"NIR has no axes of time or batch; {_TIME_LOOP}",
    "squeeze": "use nn.Flatten to drop axes of size 1",
    "repeat": f"NIR has no axes of time or batch; {_TIME_LOOP}",
    "mul": _SCALING,
    "mul_": _SCALING,
    "div": _SCALING,
    "div_": _SCALING,
    "neg": _SCALING,
    "sub": "negate the weights of the layer that makes the second term, and add",
    "sub_": "negate the weights of the layer that makes the second term, and add",
    "__rsub__": "negate the weights of the layer that makes the second term, and add",
    "rsub": "negate the weights of the layer that makes the second term, and add",
    "linear": _LAYER.format("Linear"),
    "matmul": _LAYER.format("Linear"),
    "conv1d": _LAYER.format("Conv1d"),
    "conv2d": _LAYER.format("Conv2d"),
    "avg_pool2d": _LAYER.format("AvgPool2d"),
    "__bool__": "branch on self.training, step_mode, shapes or constants, not on the data",
    "item": "branch on self.training, step_mode, shapes or constants, not on the data",
}
"""What to do instead, by the function's name."""

DEFAULT_ADVICE = (
    "take it out of the network (before its input, behind its output), "
    "or put it into a module and map that (mappings/README.md)"
)


def advice(name: str) -> str:
    """What to do instead of calling the function `name`."""
    return ADVICE.get(name, DEFAULT_ADVICE)


def _empty(value: Any) -> Any:
    return torch.empty(0, dtype=value.dtype) if isinstance(value, Signal) else value


def _signal(value: Any) -> Signal:
    if not isinstance(value, Signal):
        raise Unsupported("combines no signals", DEFAULT_ADVICE)
    return value


def _is_zero(value: object) -> bool:
    return isinstance(value, (int, float)) and value == 0


def _demand_equal_shapes(x: Signal, y: Signal) -> None:
    if x.shape != y.shape:
        raise Unsupported(
            f"adds signals of different shapes, {tuple(x.shape)} and {tuple(y.shape)}",
            "bring both to one shape by a layer; NIR does not broadcast",
            about_shape=True,
        )


def _sum(x: Signal, y: Signal) -> tuple[int, ...]:
    shared = set(x.sources).intersection(y.sources)
    # Where a term is a guess, it has its sources from what it was guessed from.
    if shared and not (x.uncertain or y.uncertain):
        raise Unsupported(
            "adds a signal to itself, and NIR has one edge at most between two nodes",
            "double the weights of a layer instead, or give one branch a layer of its own",
        )
    return (*x.sources, *(source for source in y.sources if source not in shared))


def _reshaped(x: Signal, reshaping: Callable[[Tensor], Tensor], name: str) -> Signal:
    """The signal reshaped, through a Flatten node where its features change."""
    shape = tuple(reshaping(torch.empty(x.shape, device="meta")).shape)
    if shape == tuple(x.shape):
        return x.alias()
    leading, features = shape[: len(x.leading)], shape[len(x.leading) :]
    merged = _merged(x.features, features) if leading == x.leading else None
    if merged is None:
        raise Unsupported(
            f"reshapes {tuple(x.shape)} into {shape}; NIR can only flatten features, "
            f"here the axes behind the first {len(x.leading)}",
            f"use nn.Flatten, or keep the shape; {_TIME_LOOP}",
            about_shape=True,
        )
    start, end = merged
    node = nir.Flatten(input_type={"input": None}, start_dim=start, end_dim=end)
    return x.recorder.insert(name, node, x, features)


def _merged(before: Shape, after: Shape) -> tuple[int, int] | None:
    """The first and last of the axes that were merged into one; None if it was anything else.

    The last is -1 where nothing stands behind it.
    """
    width = len(before) - len(after) + 1
    if width < 2 or not after:
        return None
    differ = (i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b)
    start = min(next(differ, len(after) - 1), len(after) - 1)
    end = start + width
    if after != (*before[:start], math.prod(before[start:end]), *before[end:]):
        return None
    return start, -1 if end == len(before) else end - 1

"""What a network's forward may do with a signal, besides passing it to layers.

`OPERATIONS` maps torch's functions to what they mean in a graph; `QUERIES` are the questions that
a signal answers like any tensor. Whatever is in neither is refused, with advice from `refusing`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import nir
import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nir_runtime.exports import reshaping
from nir_runtime.exports.refusing import DEFAULT_ADVICE, Unsupported
from nir_runtime.exports.signals import Signal
from nir_runtime.numbers import as_array, as_number, describe

Operation = Callable[..., Any]
"""Takes what the torch function takes, by the same names; raises `Unsupported`."""

MOST_TERMS = 8
"""A sum of so many terms becomes a node before another is added. Each reader of a sum has an edge
from every term, so a residual stream, `h += f(h)` a thousand times, would have half a million."""


# Sums


def add(input: Any, other: Any, *, alpha: Any = 1) -> Signal:
    """The sum of two signals: whatever reads it gets an edge from both.

    Adding the number 0 changes nothing (`sum([a, b])` begins so).
    """
    if _is_zero(input):
        return _scaled_by(other, alpha, "mul")
    if _is_zero(other):
        return _signal(input).alias()
    if not isinstance(input, Signal) or not isinstance(other, Signal):
        raise Unsupported(
            "adds a constant, which NIR's edges can't",
            "put it into a layer: the bias of a Linear or a convolution",
        )
    return _sum(input, _scaled_by(other, alpha, "mul"))


def subtract(input: Any, other: Any, *, alpha: Any = 1) -> Signal:
    """`input - alpha * other`: the second goes through a Scale of -alpha.

    The number 1 less spikes is spikes again, where there were none.
    """
    if isinstance(other, Signal) and other.binary and as_number(input) == as_number(alpha) == 1:
        return _fires(_scaled_by(other, -1, "neg"), -0.5, "not")
    if isinstance(other, Signal) and (isinstance(input, Signal) or _is_zero(input)):
        return add(input, _scaled_by(other, -_number(alpha), "neg"))
    return add(input, other)


def subtract_from(input: Any, other: Any, *, alpha: Any = 1) -> Signal:
    """`other - alpha * input`, which Python calls where `other` is no tensor."""
    return subtract(other, input, alpha=alpha)


def _sum(x: Signal, y: Signal) -> Signal:
    """Two signals that are read together.

    NIR has one edge at most between two nodes, so what comes twice is a node of its own.
    """
    if x.shape != y.shape:
        raise Unsupported(
            f"adds signals of different shapes, {tuple(x.shape)} and {tuple(y.shape)}",
            "bring both to one shape by a layer; NIR does not broadcast",
            about_shape=True,
        )
    step = _common_step(x, y)
    if set(x.sources) == set(y.sources):
        return _scaled(x, np.full(x.features, 2.0), "add")
    x, y = (junction(z) if len(z.sources) >= MOST_TERMS else z for z in (x, y))
    if not set(x.sources).isdisjoint(y.sources):
        y = junction(y)
    return x.successor(
        x.features, (*x.sources, *y.sources), uncertain=y.uncertain, leading=x.leading.at(step)
    )


def _common_step(x: Signal, y: Signal) -> int | None:
    """The step of a loop over time to which two signals belong."""
    steps = {x.leading.step, y.leading.step} - {None}
    if len(steps) > 1:
        raise Unsupported(
            "joins values of different steps of time",
            "join values of one step; NIR passes on each step's, and a cycle the last one's",
        )
    return next(iter(steps), None)


def junction(x: Signal) -> Signal:
    """A sum as one node: NIR has none that passes on what it gets, but a Scale by 1 does."""
    node = nir.Scale(scale=np.ones(x.features))
    return x.recorder.insert("add", node, x, x.features, junction=True)


# Factors


def multiply(input: Any, other: Any) -> Signal:
    """A signal times a constant: a Scale. Spikes times spikes: where both are."""
    if isinstance(input, Signal) and isinstance(other, Signal) and input.binary and other.binary:
        return _fires(_sum(input, other), 1.5, "and")
    x, factor = (input, other) if isinstance(input, Signal) else (other, input)
    return _scaled_by(x, factor, "mul")


def divide(input: Any, other: Any) -> Signal:
    """A signal divided by a constant: a Scale by the reciprocal."""
    if not isinstance(input, Signal) or isinstance(other, Signal):
        raise Unsupported("divides by a signal", "NIR has no quotients, only sums and constants")
    factor = _factor(input, other)
    if not factor.all():
        raise Unsupported("divides by zero", "divide by another number")
    return _scaled(input, 1.0 / factor, "div")


def negate(input: Signal) -> Signal:
    """A signal times -1."""
    return _scaled_by(input, -1, "neg")


def _scaled_by(x: Signal, factor: Any, name: str) -> Signal:
    """A signal times a constant, as it is if that is the number 1."""
    if not isinstance(factor, Tensor) and as_number(factor) == 1:
        return x.alias()
    return _scaled(x, _factor(x, factor), name)


def _scaled(x: Signal, factor: npt.NDArray[Any], name: str) -> Signal:
    return x.recorder.insert(name, nir.Scale(scale=factor), x, x.features)


def _fires(x: Signal, threshold: float, name: str) -> Signal:
    """1 where a signal is above a threshold, else 0."""
    node = nir.Threshold(np.full(x.features, threshold))
    return x.recorder.insert(name, node, x, x.features)


def _factor(x: Signal, constant: Any) -> npt.NDArray[Any]:
    """A constant as an array of the signal's features."""
    if isinstance(constant, Signal):
        raise Unsupported(
            "multiplies signals", "NIR has no products but those of spikes, only sums and constants"
        )
    if not isinstance(constant, Tensor):
        return np.full(x.features, _number(constant))
    if torch.result_type(torch.empty(1, dtype=x.dtype), constant) != x.dtype:
        raise Unsupported(
            f"converts a signal from {x.dtype} by a factor of {constant.dtype}",
            f"convert the factor to {x.dtype}",
        )
    factor = as_array(constant if constant.is_floating_point() else constant.double())
    if not np.isfinite(factor).all():
        raise Unsupported("has a factor that is NaN or infinite", "use a finite factor")
    rank = len(x.features)
    before, behind = factor.shape[: max(0, factor.ndim - rank)], factor.shape[-rank:]
    fits = all(size in (1, n) for size, n in zip(behind[::-1], x.features[::-1], strict=False))
    if not fits or any(size != 1 for size in before) or len(before) > len(x.leading.shape):
        raise Unsupported(
            f"has a factor of shape {factor.shape}; one of the features' shape {x.features} or "
            "less is needed",
            "NIR has a factor for each feature, which is the same at all times",
            about_shape=True,
        )
    # A copy: the forward may go on to change what is the network's own.
    return np.broadcast_to(factor.reshape(behind), x.features).copy()


def _number(value: Any) -> float:
    number = as_number(value)
    if number is None or not np.isfinite(number):
        raise Unsupported(f"has the factor {describe(value)}", "use a finite number")
    return number


# What layers compute


def max_pool2d(
    input: Signal,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Signal:
    """What nn.MaxPool2d computes."""
    layer = nn.MaxPool2d(kernel_size, stride, padding, dilation, return_indices, ceil_mode)
    return input.recorder.as_layer("max_pool2d", layer, input)


def avg_pool2d(
    input: Signal,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Signal:
    """What nn.AvgPool2d computes."""
    layer = nn.AvgPool2d(
        kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )
    return input.recorder.as_layer("avg_pool2d", layer, input)


def relu(input: Signal, inplace: bool = False) -> Signal:
    """Nothing, of spikes; NIR has no ReLU."""
    if not input.binary:
        raise Unsupported("no node stands for, except of spikes", "use a spiking neuron instead")
    return input.alias()


# In place


def in_place(operation: Operation) -> Operation:
    """`input += other` and the like: from here on, everyone who holds `input` holds the result."""

    @functools.wraps(operation)
    def changing(input: Any, *args: Any, **kwargs: Any) -> Signal:
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
        return input.become(operation(input, *args, **kwargs))

    return changing


# The same numbers


def copy(input: Signal, **memory_format: Any) -> Signal:
    """The same numbers in memory of their own."""
    return input.copy()


def alias(input: Signal, **memory_format: Any) -> Signal:
    """The same numbers, possibly in the same memory."""
    return input.alias()


def dropout(input: Signal, p: float = 0.5, training: bool = True, inplace: bool = False) -> Signal:
    """Nothing in evaluation mode."""
    if training and p > 0:
        raise Unsupported("drops numbers at random", "export in evaluation mode, net.eval()")
    return input  # as torch does it: nothing is copied


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


def getitem(input: Signal, index: Any) -> Signal:
    """One step inside of a loop over time, `x[t]` or `x[t, :]`; refused of anything else."""
    first, *others = index if isinstance(index, tuple) and index else (index,)
    whole = all(map(reshaping.is_whole, others))
    return reshaping.select(input, 0, first if whole else None)


def steps(input: Signal, dim: int = 0) -> tuple[Signal, ...]:
    """All steps of a sequence, as a loop takes them: `for x_t in x`."""
    return tuple(reshaping.select(input, dim, step) for step in range(len(input)))


def iterate(input: Signal) -> Iterator[Signal]:
    """The same, as Python's own iteration wants it."""
    return iter(steps(input))


def _empty(value: Any) -> Any:
    return torch.empty(0, dtype=value.dtype) if isinstance(value, Signal) else value


def _signal(value: Any) -> Signal:
    if not isinstance(value, Signal):
        raise Unsupported("combines no signals", DEFAULT_ADVICE)
    return value


def _is_zero(value: object) -> bool:
    return isinstance(value, (int, float)) and value == 0


def _named(names: str, operation: Operation) -> dict[Callable[..., Any], Operation]:
    """An operation for all of torch's functions and methods of these names."""
    owners = (torch, Tensor, F)
    return {
        getattr(owner, name): operation
        for name in names.split()
        for owner in owners
        if hasattr(owner, name)
    }


OPERATIONS: Mapping[Callable[..., Any], Operation] = {
    **_named("add __add__ __radd__", add),
    **_named("sub subtract __sub__", subtract),
    **_named("rsub __rsub__", subtract_from),
    **_named("mul multiply __mul__ __rmul__", multiply),
    **_named("div divide true_divide __truediv__", divide),
    **_named("neg negative __neg__", negate),
    **_named("add_ __iadd__", in_place(add)),
    **_named("sub_ subtract_ __isub__", in_place(subtract)),
    **_named("mul_ multiply_ __imul__", in_place(multiply)),
    **_named("div_ divide_ true_divide_ __itruediv__", in_place(divide)),
    **_named("neg_ negative_", in_place(negate)),
    **_named("flatten", reshaping.flatten),
    **_named("unflatten", reshaping.unflatten),
    **_named("reshape", reshaping.reshape),
    **_named("view", reshaping.view),
    **_named("squeeze", reshaping.squeeze),
    **_named("select", reshaping.select),
    **_named("stack", reshaping.stack),
    **_named("__getitem__", getitem),
    **_named("unbind", steps),
    Tensor.__iter__: iterate,
    **_named("clone", copy),
    **_named("detach contiguous", alias),
    Tensor.data.__get__: alias,  # type: ignore[attr-defined]
    **_named("dropout dropout1d dropout2d", dropout),
    **_named("relu", relu),
    F.avg_pool2d: avg_pool2d,
    F.max_pool2d: max_pool2d,
    **{
        getattr(Tensor, name): convert(name)
        for name in ("to", "type_as", "float", "double", "half", "bfloat16", "cpu", "cuda")
    },
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

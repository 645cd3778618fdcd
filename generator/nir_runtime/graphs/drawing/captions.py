"""What a picture says of a node: its parameters in a few words, and its colour."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import nir
import numpy as np

from nir_runtime.arrays import distinct
from nir_runtime.graphs.drawing.picture import Family
from nir_runtime.reports.shown import show

Shape = tuple[int, ...]

FAMILIES: Mapping[type[nir.NIRNode], Family] = {
    nir.Input: "port",
    nir.Output: "port",
    nir.Affine: "linear",
    nir.Linear: "linear",
    nir.Conv1d: "linear",
    nir.Conv2d: "linear",
    nir.SumPool2d: "shape",
    nir.AvgPool2d: "shape",
    nir.Flatten: "shape",
    nir.IF: "spiking",
    nir.LIF: "spiking",
    nir.CubaLIF: "spiking",
    nir.Threshold: "spiking",
    nir.I: "analog",
    nir.LI: "analog",
    nir.CubaLI: "analog",
}

_USUAL = {"r": 1.0, "w_in": 1.0, "v_leak": 0.0, "v_reset": 0.0}
"""Parameters that are not worth a line where they have this value everywhere."""

_TIMES = ("tau", "tau_mem", "tau_syn", "delay")
_NEURON = (*_TIMES, "r", "w_in", "v_leak", "v_threshold", "v_reset", "threshold", "scale")


def family(node: nir.NIRNode) -> Family:
    """The colour of a node."""
    return FAMILIES.get(type(node), "other")


def lines(node: Any) -> tuple[str, ...]:
    """What is said of a node whose shapes are known."""
    return tuple(_SAYING.get(type(node), _parameters)(node))


def shape(features: Shape) -> str:
    """`16×32×32`."""
    return "×".join(str(size) for size in features)


def time(seconds: Any) -> str:
    """Times in a unit that suits them: `10 ms`, `2 to 20 ms`."""
    values = np.asarray(distinct(seconds), dtype=np.float64)
    largest = float(np.max(np.abs(values), initial=0.0))
    for factor, unit in ((1.0, "s"), (1e3, "ms"), (1e6, "µs")):
        if largest * factor >= 1 or largest == 0:
            return f"{number(values * factor)} {unit}"
    return f"{number(values * 1e9)} ns"


def number(values: Any) -> str:
    """One number where all are equal, to four digits, and a range where they are not."""
    array = distinct(values)
    return show(np.array([float(f"{end:.4g}") for end in (array.min(), array.max())]))


def _parameters(node: Any) -> Iterator[str]:
    """The parameters of a neuron and the like, but for those that are as usual."""
    for name in _NEURON:
        value = getattr(node, name, None)
        if value is None or _is_usual(name, value):
            continue
        yield f"{name} = {time(value) if name in _TIMES else number(value)}"
    if node.metadata.get("reset") == "subtract":
        yield "reset by subtraction"


def _is_usual(name: str, value: Any) -> bool:
    return name in _USUAL and bool(np.all(distinct(value) == _USUAL[name]))


def _matrix(node: Any) -> Iterator[str]:
    *_, out, into = np.shape(node.weight)
    lead = shape(np.shape(node.weight)[:-2])
    yield f"{into} → {out}" + (f", for each of {lead}" if lead else "")


def _convolution(node: Any) -> Iterator[str]:
    out, into, *kernel = np.shape(node.weight)
    yield f"{into * node.groups} → {out}, kernel {_each(kernel)}"
    if extras := list(_extras(node)):
        yield ", ".join(extras)


def _extras(node: Any) -> Iterator[str]:
    """How the kernel slides, where that is unusual."""
    if np.any(np.asarray(node.stride) != 1):
        yield f"stride {_all(node.stride)}"
    if isinstance(node.padding, str):
        yield f"padding {node.padding}"
    elif np.any(np.asarray(node.padding) != 0):
        yield f"padding {_all(node.padding)}"
    if np.any(np.asarray(node.dilation) != 1):
        yield f"dilation {_all(node.dilation)}"
    if node.groups != 1:
        yield f"{node.groups} groups"


def _pool(node: Any) -> Iterator[str]:
    yield f"kernel {_each(node.kernel_size)}"
    parts = [f"stride {_all(node.stride)}"] if node.stride != node.kernel_size else []
    parts += [f"padding {_all(node.padding)}"] if any(node.padding) else []
    if parts:
        yield ", ".join(parts)


def _flatten(node: Any) -> Iterator[str]:
    before = tuple(int(size) for size in node.input_type["input"])
    after = tuple(int(size) for size in node.output_type["output"])
    if math.prod(after) == after[-1] and len(after) == 1:
        return
    yield f"{shape(before)} → {shape(after)}"


def _port(node: Any) -> Iterator[str]:
    return iter(())


def _each(sizes: Any) -> str:
    """A number for each axis: `3×5`."""
    return shape(tuple(int(size) for size in np.atleast_1d(sizes)))


def _all(sizes: Any) -> str:
    """One number where all axes have the same."""
    first, *others = {int(size) for size in np.atleast_1d(sizes)}
    return _each(sizes) if others else str(first)


_SAYING: Mapping[type[nir.NIRNode], Callable[[Any], Iterator[str]]] = {
    nir.Input: _port,
    nir.Output: _port,
    nir.Affine: _matrix,
    nir.Linear: _matrix,
    nir.Conv1d: _convolution,
    nir.Conv2d: _convolution,
    nir.SumPool2d: _pool,
    nir.AvgPool2d: _pool,
    nir.Flatten: _flatten,
}

"""The formulas that a generated function states, and the numbers they gave.

A generated function states its formulas once, where people read them: as a table in its docstring.
A report reads them there, too, so that it can't say anything else than the code that ran.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from nirgen.runtime.arrays import distinct
from nirgen.runtime.dynamics import Dynamics
from nirgen.runtime.normalized import Normalized
from nirgen.runtime.places import class_name
from nirgen.runtime.report import Formula

_ROW = re.compile(r" +(?P<name>\S.*?) += (?P<text>.*?)(?:  +where (?P<where>.*))?")


@dataclass(frozen=True)
class Row:
    """A formula, `name = text`, and the case of the mapping that it is of; empty for all."""

    name: str
    text: str
    where: str


@functools.cache
def stated(function: Callable[..., object] | None) -> tuple[Row, ...]:
    """The table in a generated function's docstring; nothing for another function."""
    text = inspect.unwrap(function).__doc__ if function is not None else None
    matches = map(_ROW.fullmatch, (text or "").splitlines())
    return tuple(Row(m["name"], m["text"], m["where"] or "") for m in matches if m)


def applied(rows: Iterable[Row], cases: Iterable[str]) -> Iterator[Row]:
    """The rows of the cases that applied."""
    held = {"", *cases}
    return (row for row in rows if row.where in held)


def of_node(rows: Iterable[Row], node: object, link: str = "node") -> Iterator[Formula]:
    """The formulas of a node's fields; of a later one in a chain, called by its kind."""
    for row in rows:
        field = row.name.removeprefix(f"{link}.")
        if field != row.name and hasattr(node, field):
            yield _with_value(field, row.text, getattr(node, field))


def of_layer(rows: Iterable[Row], layer: nn.Module) -> Iterator[Formula]:
    """The formulas of a layer's parameters, with the numbers that it holds."""
    holders = (layer, layer.neuron) if isinstance(layer, Normalized) else (system(layer),)
    for row in rows:
        held = next((getattr(h, row.name) for h in holders if hasattr(h, row.name)), _UNKNOWN)
        text = row.text.replace("node.", "")
        yield _with_value(row.name, text, held) if held is not _UNKNOWN else Formula(row.name, text)


_UNKNOWN = object()


def _with_value(name: str, text: str, value: object) -> Formula:
    shown = show(value)
    return Formula(name, text, "" if shown == text else shown)


def show(value: Any) -> str:
    """A value as people read it: one number where all are equal, a range where they are not."""
    if value is None or isinstance(value, (bool, str)):
        return repr(value)
    if isinstance(value, torch.Tensor):
        if value.is_meta:
            return f"array of shape {tuple(value.shape)}"
        value = value.detach().cpu().numpy()
    if isinstance(value, (tuple, list)):
        return f"({', '.join(map(show, value))})"
    array = distinct(value)
    if not array.size or not np.issubdtype(array.dtype, np.number):
        return str(value)
    low, high = float(array.min()), float(array.max())
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def layer_name(layer: nn.Module | None) -> str:
    """A layer's class as mappings name it, `neuron.LIFNode`; empty if there is no layer."""
    if layer is None:
        return ""
    if isinstance(layer, Normalized):
        return layer_name(layer.neuron)
    if hosts_reference(layer):
        return f"reference.{type(system(layer)).__name__}"
    return ".".join(class_name(type(layer)).split(".")[-2:])


def system(layer: nn.Module | None) -> Any:
    """The discrete system that a layer hosts; the layer, if it hosts none."""
    hosted = getattr(layer, "dynamics", None)
    return hosted if isinstance(hosted, Dynamics) else layer


def hosts_reference(layer: nn.Module | None) -> bool:
    """Whether the reference computes what the layer does."""
    return isinstance(system(layer), Dynamics)

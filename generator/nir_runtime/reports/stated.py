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

import torch
from torch import nn

from nir_runtime.contract.dynamics import Dynamics
from nir_runtime.exports.places import class_name
from nir_runtime.imports.normalized import Normalized
from nir_runtime.numbers import as_array
from nir_runtime.reports.report import Formula
from nir_runtime.reports.shown import UNKNOWN, shown

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
    matches = map(_ROW.fullmatch, _joined((text or "").splitlines()))
    return tuple(Row(m["name"], m["text"], m["where"] or "") for m in matches if m)


def _joined(lines: Iterable[str]) -> Iterator[str]:
    """Lines in which a condition that stands below its formula is behind it again."""
    held = ""
    for line in lines:
        if held and len(line) - len(line.lstrip()) > len(held) - len(held.lstrip()) == _TABLE:
            held += ("  " if line.lstrip().startswith("where ") else " ") + line.strip()
            continue
        yield held
        held = line
    yield held


_TABLE = 8
"""By how much a row of the table is indented."""


def applied(rows: Iterable[Row], cases: Iterable[str]) -> Iterator[Row]:
    """The rows of the cases that applied."""
    held = {"", *cases}
    return (row for row in rows if row.where in held)


def of_node(rows: Iterable[Row], node: object, link: str = "node") -> Iterator[Formula]:
    """The formulas of a node's fields; of a later one in a chain, called by its kind."""
    for row in rows:
        field = row.name.removeprefix(f"{link}.")
        if field != row.name and hasattr(node, field):
            yield from shown(field, row.text, getattr(node, field))


def of_layer(rows: Iterable[Row], layer: nn.Module) -> Iterator[Formula]:
    """The formulas of a layer's parameters, with the numbers that it holds."""
    holders = (layer, layer.neuron) if isinstance(layer, Normalized) else (system(layer),)
    for row in rows:
        held = (getattr(holder, row.name) for holder in holders if hasattr(holder, row.name))
        yield from shown(row.name, row.text, _without_torch(next(held, UNKNOWN)))


def _without_torch(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return UNKNOWN if value.is_meta else as_array(value)
    return value


def layer_name(layer: nn.Module | None) -> str:
    """A layer's class as mappings name it, `neuron.LIFNode`; empty if there is no layer."""
    if layer is None:
        return ""
    if isinstance(layer, Normalized):
        return layer_name(layer.neuron)
    if hosts_reference(layer):
        return f"reference.{type(system(layer)).__name__}"
    top, *inside, cls = class_name(type(layer)).split(".")
    package = next((part for part in reversed(inside) if part != "torch"), top)  # norse.torch
    return f"{package}.{cls}"


def system(layer: nn.Module | None) -> Any:
    """The discrete system that a layer hosts; the layer, if it hosts none."""
    hosted = getattr(layer, "dynamics", None)
    return hosted if isinstance(hosted, Dynamics) else layer


def hosts_reference(layer: nn.Module | None) -> bool:
    """Whether the reference computes what the layer does."""
    return isinstance(system(layer), Dynamics)

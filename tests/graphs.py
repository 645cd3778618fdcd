"""Comparing graphs and spike trains, for all tests."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import torch
from torch import nn


def assert_same_graph(a: nir.NIRGraph, b: nir.NIRGraph) -> None:
    """Same names, edges, types, and every field bit by bit."""
    assert list(a.nodes) == list(b.nodes)
    assert a.edges == b.edges
    for name, node in a.nodes.items():
        other = b.nodes[name]
        assert type(node) is type(other), name
        assert set(vars(node)) == set(vars(other)), name
        for field, value in vars(node).items():
            assert_same_value(value, getattr(other, field), f"{name}.{field}")


def assert_same_value(a: Any, b: Any, place: str) -> None:
    if isinstance(a, dict):
        assert isinstance(b, dict), place
        assert set(a) == set(b), place
        for key in a:
            assert_same_value(a[key], b[key], f"{place}[{key!r}]")
    elif isinstance(a, (str, bytes)) or a is None:
        assert a == b, place
    else:
        left, right = np.asarray(a), np.asarray(b)
        assert left.shape == right.shape, place
        assert np.array_equal(left, right), (place, left, right)


def spikes(net: nn.Module, x: torch.Tensor, step_mode: str) -> torch.Tensor:
    """The outputs for an input [T, N, *], one step at a time or all at once; [T, N, *]."""
    with torch.no_grad():
        if step_mode == "m":
            return first(net(x))
        return torch.stack([first(net(step)) for step in x])


def first(output: Any) -> torch.Tensor:
    """The output of a network, or of an imported one that returns (output, state)."""
    result: torch.Tensor = output[0] if isinstance(output, tuple) else output
    return result

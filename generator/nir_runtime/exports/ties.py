"""Neurons that fire at their threshold, where NIR's fire above it.

A layer that fires at v >= v_threshold computes a node with v > v_threshold, but where v is exactly
the threshold: with integer or quantized weights that happens often. The next smaller number as
threshold makes the two the same in the precision in which the layer computes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, TypeVar

import nir
import numpy as np
import numpy.typing as npt

from nir_runtime.values import compact

if TYPE_CHECKING:
    import torch

Node = TypeVar("Node", bound=nir.NIRNode)
KEY = "fires_at"
"""The metadata that holds the layer's own threshold."""


def lowered(node: Node, dtype: torch.dtype) -> Node:
    """A node that fires as the layer at its threshold does, computed in `dtype`; else the node."""
    if not hasattr(node, "v_threshold"):
        return node
    import torch  # reading a graph must do without

    threshold = np.asarray(node.v_threshold, dtype=np.float64)
    held = torch.tensor(threshold).to(dtype)
    below = torch.nextafter(held, torch.full_like(held, -torch.inf))
    metadata = {**node.metadata, KEY: compact(threshold)}
    return _with(node, below.double().numpy(), metadata)


def is_lowered(node: nir.NIRNode) -> bool:
    """Whether a node's metadata tells a threshold, and its own is the next smaller number.

    Someone may have changed the threshold since, and then what the metadata tells is no more.
    """
    told, held = node.metadata.get(KEY), getattr(node, "v_threshold", None)
    if told is None or held is None:
        return False
    try:
        own = np.broadcast_to(np.asarray(told, dtype=np.float64), np.shape(held))
    except (TypeError, ValueError):
        return False
    return any(np.array_equal(held, below) for below in _next_smaller(own))


def _next_smaller(numbers: npt.NDArray[np.float64]) -> Iterator[npt.NDArray[np.float64]]:
    """The next smaller numbers in each precision that a layer may compute in."""
    with np.errstate(all="ignore"):
        for kind in (np.float64, np.float32, np.float16):
            held = numbers.astype(kind)
            yield np.nextafter(held, np.full_like(held, -np.inf)).astype(np.float64)
        yield _below_in_bfloat16(numbers.astype(np.float32))


def _below_in_bfloat16(numbers: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """The same in bfloat16, which numpy doesn't have: the upper half of a float32."""
    bits = np.ascontiguousarray(numbers).view(np.uint32).astype(np.int64)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) >> 16
    negative = rounded >= 0x8000
    below = np.where(rounded == 0, 0x8001, rounded + np.where(negative, 1, -1))
    return (below << 16).astype(np.uint32).view(np.float32).astype(np.float64)


def restored(node: Node) -> Node:
    """The node with the threshold that its layer had, if it is lowered."""
    if not is_lowered(node):
        return node
    threshold = np.broadcast_to(np.asarray(node.metadata[KEY]), np.shape(node.v_threshold))
    return _with(node, threshold, {k: v for k, v in node.metadata.items() if k != KEY})


def _with(node: Any, v_threshold: Any, metadata: dict[str, Any]) -> Any:
    changed = copy.copy(node)
    changed.v_threshold = v_threshold
    changed.metadata = metadata
    return changed

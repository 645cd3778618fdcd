"""Two nodes that are one: linear maps, composed.

A map of each channel, y = gain * x + offset, behind a linear map, x = W i + b, is one with it:
W' = gain * W and b' = gain * b + offset. So are a gain before a linear map, W' = W * gain, and two
matrices, W' = W2 W1. Numbers are formed in double precision, and rounded to the weights' type once.
"""

from __future__ import annotations

import copy
from typing import Any

import nir
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]

MATRICES = (nir.Affine, nir.Linear)
CONVOLUTIONS = (nir.Conv1d, nir.Conv2d)


def gain_and_offset(node: nir.NIRNode) -> tuple[Array, Array]:
    """[channels] each, of a node that maps each channel alone.

    Args:
        node: a diagonal Affine, or a convolution by one number for each channel.
    """
    weight = np.asarray(node.weight, dtype=np.float64)
    gain = np.diagonal(weight) if isinstance(node, nir.Affine) else weight.reshape(-1)
    return gain, np.asarray(node.bias, dtype=np.float64)


def followed_by(node: nir.NIRNode, gain: Array, offset: Array | None = None) -> nir.NIRNode:
    """The node whose output is `gain * y + offset` where that of `node` is y.

    Args:
        node: an Affine, Linear, Conv1d or Conv2d.
        gain, offset: [channels] of a convolution; of a matrix, all axes of its output.
    """
    weight = np.asarray(node.weight)
    along = gain.reshape(*gain.shape, *(1,) * (weight.ndim - gain.ndim))
    scaled = (weight * along).astype(kind_of(weight))
    if offset is None and isinstance(node, nir.Linear):
        return changed(node, weight=scaled)
    bias = _bias(node) * gain + (0.0 if offset is None else offset)
    # A convolution may have come without bias, and remember so.
    metadata = {key: value for key, value in node.metadata.items() if key != "bias"}
    if isinstance(node, nir.Linear):
        return nir.Affine(weight=scaled, bias=bias.astype(scaled.dtype), metadata=metadata)
    return changed(node, weight=scaled, bias=bias.astype(scaled.dtype), metadata=metadata)


def behind(gain: Array, node: nir.NIRNode) -> nir.NIRNode:
    """The node that takes x where `node` takes `gain * x`.

    Args:
        gain: [channels] of a convolution; of a matrix, all axes of its input.
        node: an Affine, Linear, Conv1d or Conv2d.
    """
    weight = np.asarray(node.weight)
    if isinstance(node, CONVOLUTIONS):
        groups = int(np.asarray(node.groups).item())
        read = np.repeat(gain.reshape(groups, -1), len(weight) // groups, axis=0)
        along = read.reshape(*read.shape, *(1,) * (weight.ndim - 2))
    else:
        along = gain[..., None, :]
    return changed(node, weight=(weight * along).astype(kind_of(weight)))


def product(first: nir.NIRNode, second: nir.NIRNode) -> nir.NIRNode:
    """One Affine or Linear for two with weight[out, in], the first before the second."""
    before, after = (np.asarray(node.weight, dtype=np.float64) for node in (first, second))
    kind = np.result_type(kind_of(first.weight), kind_of(second.weight))
    weight = (after @ before).astype(kind)
    metadata = {**first.metadata, **second.metadata}
    if isinstance(first, nir.Linear) and isinstance(second, nir.Linear):
        return nir.Linear(weight=weight, metadata=metadata)
    bias = after @ np.broadcast_to(_bias(first), before.shape[:1]) + _bias(second)
    return nir.Affine(weight=weight, bias=bias.astype(kind), metadata=metadata)


def changed(node: nir.NIRNode, **fields: Any) -> nir.NIRNode:
    """The node with other values of some fields."""
    made = copy.copy(node)
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def kind_of(array: Any) -> np.dtype[Any]:
    """The type of results that take the place of an array; whole numbers become doubles."""
    dtype = np.asarray(array).dtype
    return dtype if dtype.kind == "f" else np.dtype(np.float64)


def _bias(node: nir.NIRNode) -> Array:
    return np.asarray(getattr(node, "bias", 0.0), dtype=np.float64)

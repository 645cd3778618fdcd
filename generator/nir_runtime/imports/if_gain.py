"""The unit of an IF's input, on which files differ and say nothing.

NIR's IF adds dt * r * x in a step. Tools that don't know dt write r = 1 and add x. Read literally,
such a network is some ten thousand times too quiet, and never spikes.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping

import nir
import numpy as np

from nir_runtime.arrays import distinct

FAINT = 1e-2
"""A neuron that needs more than a hundred inputs of 1 was probably meant otherwise."""


def per_step(node: nir.NIRNode, dt: float) -> nir.NIRNode:
    """The node for which a step adds r * x; nodes other than an IF as they are."""
    if not isinstance(node, nir.IF):
        return node
    changed = copy.copy(node)
    changed.r = np.asarray(node.r, dtype=np.float64) / dt
    return changed


def faint(nodes: Mapping[str, nir.NIRNode], dt: float) -> Iterator[tuple[str, float]]:
    """The IFs that an input of 1 hardly moves, with the share of the way to the threshold."""
    for name, node in nodes.items():
        if isinstance(node, nir.IF):
            span = np.abs(distinct(node.v_threshold) - distinct(node.v_reset)).max()
            gain = dt * np.abs(distinct(node.r)).max()
            if 0 < gain < FAINT * span:
                yield name, float(gain / span)

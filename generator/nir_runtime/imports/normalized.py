"""A framework's neuron that computes a node in units of its own.

A layer with one threshold for all neurons, or without a gain or a leak potential, still computes
any node of its kind: with u = (v - v_reset) / (v_threshold - v_reset), every neuron fires at 1 and
is reset to 0, and what is left of the node's parameters is an affine map of the layer's input.
"""

from __future__ import annotations

import copy
from typing import Any

import nir
import torch
from torch import nn

from nir_runtime.sites import ExportSite


class Normalized(nn.Module):
    """`neuron(gain * x + shift)`, which spikes as `node` does for `x` of shape [..., *features].

    Attributes:
        neuron: the framework's layer, with threshold 1 and reset 0.
        gain, shift: of the features' shape, or one number for all.
        node: what an export of the module gives again.
        in_volts: whether the neuron's potential is the node's, and only its input is another.
    """

    gain: torch.Tensor
    shift: torch.Tensor

    def __init__(
        self,
        neuron: nn.Module,
        gain: torch.Tensor,
        shift: torch.Tensor,
        node: nir.NIRNode,
        in_volts: bool = False,
    ) -> None:
        super().__init__()
        self.neuron = neuron
        self.register_buffer("gain", gain)
        self.register_buffer("shift", shift)
        self.node = node
        self.in_volts = in_volts

    def forward(self, x: torch.Tensor, *state: Any) -> Any:
        """Input [..., *features] to what the layer returns for it; the layer's state is its own."""
        return self.neuron(x * self.gain + self.shift, *state)


def to_nir_again(module: Normalized, at: ExportSite) -> nir.NIRNode:
    """The node that the module was made for."""
    node = copy.copy(module.node)
    at.metadata.update(node.metadata)
    node.metadata = at.metadata
    return node

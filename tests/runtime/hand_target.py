"""A target written by hand, for a few real layers: the runtime is tested without the generator."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
from spikingjelly.activation_based import layer, neuron
from torch import nn

from nir_runtime.sites import ExportSite
from nir_runtime.target import Target


def linear(module: Any, at: ExportSite) -> nir.NIRNode:
    weight = at.tensor(module.weight)
    if module.bias is None:
        return nir.Linear(weight=weight, metadata=at.metadata)
    return nir.Affine(weight=weight, bias=at.tensor(module.bias), metadata=at.metadata)


def conv2d(module: Any, at: ExportSite) -> nir.NIRNode:
    if module.padding_mode != "zeros":
        raise at.refuse("padding_mode is not zeros", "pad with zeros")
    if at.batch_axes != 1:
        raise at.refuse("takes one axis before the channels")
    return nir.Conv2d(
        input_shape=at.spatial_shape,
        weight=at.tensor(module.weight),
        stride=module.stride,
        padding=module.padding,
        dilation=module.dilation,
        groups=module.groups,
        bias=at.tensor(module.bias),
        metadata=at.metadata,
    )


def flatten(module: Any, at: ExportSite) -> nir.NIRNode:
    start = module.start_dim - at.batch_axes
    if start < 0:
        raise at.refuse("would flatten the batch", f"start at {at.batch_axes}")
    return nir.Flatten(input_type={"input": np.array(at.shape)}, start_dim=start, end_dim=-1)


def lif(module: Any, at: ExportSite) -> nir.NIRNode:
    if module.v_reset is None:
        at.annotate("NIR has no reset by subtraction", reset="subtract")
    rest = module.v_reset or 0.0
    return nir.LIF(
        tau=at.fill(module.tau * at.dt),
        r=at.fill(1.0 if module.decay_input else module.tau),
        v_leak=at.fill(rest),
        v_threshold=at.fill(module.v_threshold),
        v_reset=at.fill(rest),
        metadata=at.metadata,
    )


TARGET = Target(
    name="SpikingJelly",
    packages=("spikingjelly",),
    exporters={
        nn.Linear: linear,
        layer.Linear: linear,
        nn.Conv2d: conv2d,
        layer.Conv2d: conv2d,
        nn.Flatten: flatten,
        layer.Flatten: flatten,
        neuron.LIFNode: lif,
    },
    importers={},
    state={neuron.LIFNode: ("v",)},
    mode_attribute="step_mode",
    leading_axes={"s": 1, "m": 2},
)

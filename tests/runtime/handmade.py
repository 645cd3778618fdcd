"""A converter to SpikingJelly by hand: the real framework's layers, and few lines for each node.

What the generated converters do besides (refusals, gains, exact thresholds) is tested with them.
"""

from __future__ import annotations

import itertools
from typing import Any

import nir
import numpy as np
from spikingjelly.activation_based import layer, neuron
from torch import nn

from nir_runtime.frameworks.spikingjelly import Cell
from nir_runtime.sites import ImportSite
from nir_runtime.target import Target


def _linear(node: Any, at: ImportSite) -> nn.Module:
    with at.without_initialization():
        made = layer.Linear(*node.weight.shape[::-1], bias=isinstance(node, nir.Affine))
    at.load(made, **{name: getattr(node, name) for name in dict(made.named_parameters())})
    return made


def _conv2d(node: nir.Conv2d, at: ImportSite) -> nn.Module:
    out, into, *kernel = node.weight.shape
    with at.without_initialization():
        made = layer.Conv2d(
            into * node.groups,
            out,
            tuple(kernel),
            node.stride,
            node.padding,
            node.dilation,
            node.groups,
        )
    at.load(made, weight=node.weight, bias=node.bias)
    return made


def _avg_pool2d(node: nir.AvgPool2d, at: ImportSite) -> nn.Module:
    return layer.AvgPool2d(node.kernel_size, node.stride, node.padding)


def _flatten(node: nir.Flatten, at: ImportSite) -> nn.Module:
    rank = len(at.shape)
    return layer.Flatten(node.start_dim % rank + 1, node.end_dim % rank + 1)


def _lif(node: nir.LIF, at: ImportSite) -> nn.Module:
    if at.noted(reset="subtract"):
        at.honour("the metadata says that the reset subtracts")
        v_reset = None
    else:
        v_reset = at.uniform("v_reset")
    tau = at.uniform("tau") / at.dt
    if tau <= 1:
        raise at.refuse(f"tau is {tau:g} steps", "import with a smaller dt", field="tau")
    return neuron.LIFNode(tau, True, at.uniform("v_threshold"), v_reset)


TARGET = Target(
    name="SpikingJelly",
    packages=("spikingjelly",),
    exporters={},
    importers={
        nir.Affine: (_linear,),
        nir.Linear: (_linear,),
        nir.Conv2d: (_conv2d,),
        nir.AvgPool2d: (_avg_pool2d,),
        nir.Flatten: (_flatten,),
        nir.LIF: (_lif,),
    },
    state={neuron.LIFNode: ("v",)},
    mode_attribute="step_mode",
    leading_axes={"s": 1, "m": 2},
    cell=Cell,
)


def lif(shape: tuple[int, ...] = (4,), tau: float = 1e-3, **fields: float) -> nir.LIF:
    """A LIF node whose neurons are alike; tau is ten steps of 1e-4 s."""
    values = {"r": 1.0, "v_leak": 0.0, "v_threshold": 0.15, "v_reset": 0.0, "tau": tau} | fields
    return nir.LIF(**{name: np.full(shape, value) for name, value in values.items()})


def affine(seed: int, features: int = 4) -> nir.Affine:
    """An Affine node with random weights, such that a `lif` behind it fires now and then."""
    random = np.random.default_rng(seed)
    return nir.Affine(
        weight=random.normal(size=(features, features)), bias=random.uniform(size=features)
    )


def graph(nodes: dict[str, nir.NIRNode], *edges: tuple[str, str]) -> nir.NIRGraph:
    """A graph as it is, without nir's own checks and completions."""
    return nir.NIRGraph(nodes=dict(nodes), edges=list(edges), type_check=False)


def chain(*nodes: nir.NIRNode, features: tuple[int, ...] | None = (4,)) -> nir.NIRGraph:
    """`input_1 -> _0 -> _1 ... -> output`, as an exported nn.Sequential has it."""
    named = {f"_{index}": node for index, node in enumerate(nodes)}
    ends = {"input_1": shaped_input(features)}, {"output": nir.Output({"output": None})}
    names = ["input_1", *named, "output"]
    return graph({**ends[0], **named, **ends[1]}, *itertools.pairwise(names))


def shaped_input(features: tuple[int, ...] | None) -> nir.Input:
    """An Input of these features, or of a shape to be found out."""
    shape = None if features is None else np.array(features, dtype=np.int64)
    return nir.Input({"input": shape})

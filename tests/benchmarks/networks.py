"""What the benchmarks convert."""

from __future__ import annotations

from itertools import pairwise

import nir
import numpy as np
import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn


def chain_graph(nodes: int, width: int = 8) -> nir.NIRGraph:
    """Affine and LIF nodes in turns."""
    rng = np.random.default_rng(0)
    made: dict[str, nir.NIRNode] = {"input": nir.Input(np.array([width]))}
    for k in range(nodes // 2):
        weight = rng.standard_normal((width, width), dtype=np.float32)
        made[f"fc{k}"] = nir.Affine(weight, np.zeros(width, np.float32))
        made[f"lif{k}"] = nir.LIF(*(np.full(width, value) for value in (2e-4, 1.0, 0.0, 1.0, 0.0)))
    made["output"] = nir.Output(np.array([width]))
    return nir.NIRGraph(made, list(pairwise(made)), type_check=False)


def chain_network(layers: int, width: int = 8, step_mode: str = "s") -> nn.Sequential:
    """Linear and LIF layers in turns."""
    net = nn.Sequential()
    for _ in range(layers // 2):
        net.append(layer.Linear(width, width))
        net.append(neuron.LIFNode(tau=2.0))
    functional.set_step_mode(net, step_mode)
    return net


def wide_graph(weights: int, width: int) -> nir.NIRGraph:
    """A chain of Linear nodes with square weights of random numbers."""
    rng = np.random.default_rng(0)
    made: dict[str, nir.NIRNode] = {"input": nir.Input(np.array([width]))}
    for k in range(weights):
        made[f"linear{k}"] = nir.Linear(rng.random((width, width), dtype=np.float32))
    made["output"] = nir.Output(np.array([width]))
    return nir.NIRGraph(made, list(pairwise(made)), type_check=False)


def image_network(step_mode: str = "m") -> nn.Sequential:
    """A convolutional network for 3 x 224 x 224 images."""
    net = nn.Sequential()
    channels = 3
    for wider in (32, 64, 128, 256):
        net.append(layer.Conv2d(channels, wider, 3, padding=1))
        net.append(neuron.LIFNode(tau=2.0))
        net.append(layer.AvgPool2d(2))
        channels = wider
    net.append(layer.Flatten())
    net.append(layer.Linear(channels * 14 * 14, 10))
    functional.set_step_mode(net, step_mode)
    return net


class HandWritten(nn.Module):
    """The tutorial's kind of network, as a person writes it."""

    def __init__(self, step_mode: str) -> None:
        super().__init__()
        self.conv = layer.Conv2d(3, 16, 3, padding=1)
        self.fire1 = neuron.IFNode()
        self.pool = layer.AvgPool2d(2)
        self.flatten = layer.Flatten()
        self.linear1 = layer.Linear(16 * 16 * 16, 128)
        self.fire2 = neuron.LIFNode(tau=2.0)
        self.linear2 = layer.Linear(128, 10)
        self.fire3 = neuron.LIFNode(tau=2.0)
        functional.set_step_mode(self, step_mode)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, 3, 32, 32], or with time before it, to [N, 10]."""
        x = self.pool(self.fire1(self.conv(x)))
        x = self.fire2(self.linear1(self.flatten(x)))
        return self.fire3(self.linear2(x))


def recurrent_graph(width: int = 256) -> nir.NIRGraph:
    """A feed-forward part, and behind it a layer of neurons that feeds itself."""
    rng = np.random.default_rng(0)

    def linear() -> nir.Linear:
        return nir.Linear(rng.standard_normal((width, width), dtype=np.float32) / width**0.5)

    def lif() -> nir.LIF:
        return nir.LIF(*(np.full(width, value) for value in (2e-4, 1.0, 0.0, 1.0, 0.0)))

    nodes: dict[str, nir.NIRNode] = {"input": nir.Input(np.array([width]))}
    for k in range(4):
        nodes |= {f"linear{k}": linear(), f"lif{k}": lif()}
    nodes["output"] = nir.Output(np.array([width]))
    edges = list(pairwise(nodes))
    nodes["back"] = linear()
    edges += [("lif3", "back"), ("back", "lif3")]
    return nir.NIRGraph(nodes, edges, type_check=False)

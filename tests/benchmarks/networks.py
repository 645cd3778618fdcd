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


def chain_network(layers: int, width: int = 8) -> nn.Sequential:
    """Linear and LIF layers in turns."""
    net = nn.Sequential()
    for _ in range(layers // 2):
        net.append(layer.Linear(width, width))
        net.append(neuron.LIFNode(tau=2.0))
    return net


def wide_graph(weights: int, width: int) -> nir.NIRGraph:
    """A chain of Linear nodes with square weights of random numbers."""
    rng = np.random.default_rng(0)
    made: dict[str, nir.NIRNode] = {"input": nir.Input(np.array([width]))}
    for k in range(weights):
        made[f"linear{k}"] = nir.Linear(rng.random((width, width), dtype=np.float32))
    made["output"] = nir.Output(np.array([width]))
    return nir.NIRGraph(made, list(pairwise(made)), type_check=False)


def image_network() -> nn.Sequential:
    """A convolutional network for 3 x 224 x 224 images, in multi-step mode."""
    net = nn.Sequential()
    channels = 3
    for wider in (32, 64, 128, 256):
        net.append(layer.Conv2d(channels, wider, 3, padding=1))
        net.append(neuron.LIFNode(tau=2.0))
        net.append(layer.AvgPool2d(2))
        channels = wider
    net.append(layer.Flatten())
    net.append(layer.Linear(channels * 14 * 14, 10))
    functional.set_step_mode(net, "m")
    return net


class Tutorial(nn.Module):
    """The tutorial's kind of network, as a person writes it."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = layer.Conv2d(3, 16, 3, padding=1)
        self.fire1 = neuron.IFNode()
        self.pool = layer.AvgPool2d(2)
        self.flatten = layer.Flatten()
        self.linear1 = layer.Linear(16 * 16 * 16, 128)
        self.fire2 = neuron.LIFNode(tau=2.0)
        self.linear2 = layer.Linear(128, 10)
        self.fire3 = neuron.LIFNode(tau=2.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, 3, 32, 32], or with time before it, to [N, 10]."""
        x = self.pool(self.fire1(self.conv(x)))
        x = self.fire2(self.linear1(self.flatten(x)))
        return self.fire3(self.linear2(x))


class Deep(nn.Module):
    """Linear and LIF layers in turns, each an attribute that the forward calls by its name."""

    def __init__(self, layers: int, width: int = 8) -> None:
        super().__init__()
        for k, made in enumerate(chain_network(layers, width)):
            setattr(self, f"layer{k}", made)
        self.names = [name for name, _ in self.named_children()]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[N, width], or with time before it, to the same shape."""
        for name in self.names:
            x = getattr(self, name)(x)
        return x


class Recurrent(nn.Module):
    """Four layers of neurons, of which the last feeds itself, as a person writes them."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linears = nn.ModuleList(layer.Linear(width, width, bias=False) for _ in range(4))
        self.lifs = nn.ModuleList(neuron.LIFNode(tau=2.0) for _ in range(3))
        functional.set_step_mode(self, "m")
        self.last = neuron.LIFNode(tau=2.0)
        self.back = layer.Linear(width, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """[T, N, width] to the same shape."""
        for linear, lif in zip(self.linears, self.lifs, strict=False):
            x = lif(linear(x))
        z, over_time = torch.zeros_like(x[0]), []
        for step in self.linears[-1](x):
            z = self.last(step + self.back(z))
            over_time.append(z)
        return torch.stack(over_time)


def recurrent_graph(net: Recurrent, dt: float) -> nir.NIRGraph:
    """The graph that a `Recurrent` computes."""
    width = net.back.in_features
    nodes: dict[str, nir.NIRNode] = {"input": nir.Input(np.array([width]))}
    for k, linear in enumerate(net.linears):
        nodes[f"linear{k}"] = nir.Linear(linear.weight.detach().numpy())
        values = (net.last.tau * dt, 1.0, 0.0, 1.0, 0.0)
        nodes[f"lif{k}"] = nir.LIF(*(np.full(width, value) for value in values))
    nodes["output"] = nir.Output(np.array([width]))
    edges = [*pairwise(nodes), ("lif3", "back"), ("back", "lif3")]
    nodes["back"] = nir.Linear(net.back.weight.detach().numpy())
    return nir.NIRGraph(nodes, edges, type_check=False)

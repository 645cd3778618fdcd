"""Networks whose pictures are looked at."""

from __future__ import annotations

from itertools import pairwise

import nir
import numpy as np
from spikingjelly.activation_based import layer, neuron
from torch import nn, rand

from nir_exchange import spikingjelly
from tests.converters.spikingjelly import zoo


def tutorial() -> nir.NIRGraph:
    """The README's first example."""
    net = nn.Sequential(
        layer.Conv2d(3, 16, 3, 1, 1),
        neuron.IFNode(),
        nn.AvgPool2d((2, 2)),
        layer.Flatten(),
        nn.Linear(4096, 10),
        neuron.LIFNode(10.0, decay_input=False),
    )
    return spikingjelly.export_to_nir(net, rand(8, 3, 32, 32), dt=1e-4)


def recurrent() -> nir.NIRGraph:
    """A layer of neurons that hear each other one step later, and a readout."""
    nodes = {
        "input": nir.Input({"input": np.array([64])}),
        "w_in": nir.Linear(np.ones((32, 64))),
        "hidden": nir.CubaLIF(
            tau_syn=np.full(32, 5e-3),
            tau_mem=np.linspace(1e-2, 2e-2, 32),
            r=np.ones(32),
            v_leak=np.zeros(32),
            v_threshold=np.ones(32),
        ),
        "w_rec": nir.Linear(np.ones((32, 32))),
        "w_out": nir.Affine(np.ones((10, 32)), np.ones(10)),
        "readout": nir.LI(tau=np.full(10, 2e-2), r=np.ones(10), v_leak=np.zeros(10)),
        "output": nir.Output({"output": np.array([10])}),
    }
    names = ["input", "w_in", "hidden", "w_out", "readout", "output"]
    edges = [*pairwise(names), ("hidden", "w_rec"), ("w_rec", "hidden")]
    return nir.NIRGraph(nodes, edges, type_check=False)


def nested() -> nir.NIRGraph:
    """Two Inputs, two Outputs, and a graph with a cycle in the graph."""
    lif = nir.LIF(
        tau=np.full(8, 1e-2), r=np.ones(8), v_leak=np.zeros(8), v_threshold=np.linspace(0.5, 1, 8)
    )
    inner = nir.NIRGraph(
        {
            "in": nir.Input({"input": np.array([8])}),
            "w": nir.Affine(np.ones((8, 8)), np.zeros(8)),
            "lif": lif,
            "back": nir.Linear(np.ones((8, 8))),
            "out": nir.Output({"output": np.array([8])}),
        },
        [("in", "w"), ("w", "lif"), ("lif", "back"), ("back", "lif"), ("lif", "out")],
        type_check=False,
    )
    nodes = {
        "image": nir.Input({"input": np.array([4])}),
        "bias": nir.Input({"input": np.array([8])}),
        "fc": nir.Linear(np.ones((8, 4))),
        "block <1>": inner,
        "gain": nir.Scale(np.linspace(1, 2, 8)),
        "spikes": nir.Output({"output": np.array([8])}),
        "li": nir.LI(tau=np.full(8, 5e-6), r=np.ones(8), v_leak=np.zeros(8)),
        "voltage": nir.Output({"output": np.array([8])}),
    }
    edges = [
        ("image", "fc"), ("fc", "block <1>"), ("bias", "gain"), ("block <1>", "gain"),
        ("fc", "gain"), ("gain", "spikes"), ("block <1>", "li"), ("li", "voltage"),
    ]  # fmt: skip
    return nir.NIRGraph(nodes, edges, type_check=False)


def vgg() -> nir.NIRGraph:
    """SpikingJelly's VGG13."""
    models = zoo.models("spiking_vgg")
    net = zoo.made(lambda: models.spiking_vgg13(spiking_neuron=neuron.IFNode), "s", thin=4)
    return spikingjelly.export_to_nir(net, rand(1, 3, 224, 224).double(), dt=1e-4)


def resnet() -> nir.NIRGraph:
    """SpikingJelly's ResNet34."""
    models = zoo.models("spiking_resnet")
    net = zoo.made(lambda: models.spiking_resnet34(spiking_neuron=neuron.IFNode), "s", thin=8)
    return spikingjelly.export_to_nir(net, rand(1, 3, 224, 224).double(), dt=1e-4)

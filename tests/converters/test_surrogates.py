"""A surrogate function is judged by what it gives: a step goes out, anything else is refused."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import snntorch
import torch
from snntorch import surrogate as theirs
from spikingjelly.activation_based import functional, neuron, surrogate
from torch import nn

from nir_exchange import reference, spikingjelly
from nir_exchange import snntorch as snntorch_converter
from nir_runtime.errors import AnnotatedWarning, ExportRefused
from tests.graphs import spikes

DT, SIZE = 1e-4, 5


def data(dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 2 * torch.rand(40, 2, SIZE, generator=generator, dtype=dtype)


class Counting(nn.Module):
    """A step, and then more."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return (x >= 0).to(x) * self.calls


class Remembering(Counting):
    """A step, which changes what it holds."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return (x >= 0).to(x)


def closure() -> Callable[[torch.Tensor], torch.Tensor]:
    """A step the first time it is called, and two steps later."""
    calls = itertools.count(1)
    return lambda x: (x >= 0).to(x) * min(next(calls), 2)


NO_STEP: dict[str, Callable[[], Any]] = {
    "torch.sigmoid": lambda: torch.sigmoid,
    "several levels": lambda: surrogate.MultiLevelSpikeCount(4),
    "a primitive": lambda: surrogate.Sigmoid(spiking=False),
    "the input": lambda: lambda x: x,
    "signs": lambda: torch.sign,
    "twice": lambda: lambda x: 2 * (x >= 0).to(x),
    "inverted": lambda: lambda x: (x <= 0).to(x),
    "two at one": lambda: lambda x: (x >= 0).to(x) + (x >= 1).to(x),
    "two far above": lambda: lambda x: (x >= 0).to(x) + (x >= 100).to(x),
    "one far below": lambda: lambda x: (x >= 0).to(x) + (x < -100).to(x),
    "a little late": lambda: lambda x: (x >= 1e-5).to(x),
    "a little early": lambda: lambda x: (x >= -1e-5).to(x),
    "as booleans": lambda: lambda x: x >= 0,
    "as integers": lambda: lambda x: (x >= 0).long(),
    "none": lambda: lambda x: None,
    "an error": lambda: lambda x: x.no_such_thing(),
    "the first of each row": lambda: lambda x: (x >= x.flatten(1).max(1).values.min()).to(x),
    "random": lambda: lambda x: (x + 0.1 * torch.randn_like(x) >= 0).to(x),
    "counting": Counting,
    "remembering": Remembering,
    "in a closure": closure,
    "one for all": lambda: lambda x: (x >= 0).to(x).mean(),
}


@pytest.mark.parametrize("name", NO_STEP)
def test_what_is_no_step_is_refused(name: str) -> None:
    """In SpikingJelly and in snnTorch."""
    with pytest.raises(ExportRefused, match=r"spik"):
        spikingjelly.export_to_nir(neuron.IFNode(surrogate_function=NO_STEP[name]()), data()[0])
    leaky = snntorch.Leaky(0.9, spike_grad=NO_STEP[name](), init_hidden=True)
    with pytest.raises(ExportRefused, match="surrogate function gives something other than spikes"):
        snntorch_converter.export_to_nir(leaky, data()[0])


@pytest.mark.parametrize(
    "make",
    [
        lambda s: neuron.IFNode(surrogate_function=s),
        lambda s: neuron.LIFNode(surrogate_function=s),
        lambda s: neuron.ParametricLIFNode(surrogate_function=s),
        lambda s: neuron.CUBALIFNode(0.5, 0.5, surrogate_function=s),
        lambda s: neuron.HalfThresholdIFNode(surrogate_function=s),
        lambda s: neuron.SimpleIFNode(1.0, 0.0, s),
        lambda s: neuron.SimpleLIFNode(2.0, True, 1.0, 0.0, s),
        lambda s: neuron.OTTTLIFNode(surrogate_function=s).eval(),
        lambda s: neuron.SLTTLIFNode(surrogate_function=s).eval(),
    ],
)
def test_every_neuron_is_judged(make: Callable[[Any], nn.Module]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AnnotatedWarning)
        spikingjelly.export_to_nir(make(surrogate.ATan()), data()[0])
    with pytest.raises(ExportRefused, match="gives something other than spikes"):
        spikingjelly.export_to_nir(make(surrogate.MultiLevelSpikeCount(4)), data()[0])


OURS = [
    surrogate.ATan, surrogate.Erf, surrogate.LeakyKReLU, surrogate.PiecewiseExp,
    surrogate.PiecewiseLeakyReLU, surrogate.PiecewiseQuadratic, surrogate.QPseudoSpike,
    surrogate.Rect, surrogate.S2NN, surrogate.Sigmoid, surrogate.SoftSign,
    surrogate.SquarewaveFourierSeries, surrogate.SuperSpike,
]  # fmt: skip


OTHERS = [lambda: surrogate.heaviside, lambda: lambda x: (x >= 0) + 0 * x]


@pytest.mark.parametrize("make", [*OURS, *OTHERS])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_steps_go_out(make: Callable[[], Any], dtype: torch.dtype) -> None:
    net = neuron.IFNode(1.5, surrogate_function=make()).to(dtype)
    graph = spikingjelly.export_to_nir(net, data(dtype)[0], dt=DT, strict=True)
    expected = spikes(net, data(dtype), "s")
    assert 0 < expected.sum() < expected.numel()
    functional.reset_net(net)
    oracle = reference.import_from_nir(graph, dt=DT, dtype=dtype)
    assert torch.equal(spikes(oracle, data(dtype), "s"), expected)


@pytest.mark.parametrize("name", ["atan", "fast_sigmoid", "sigmoid", "triangular", "SFS"])
def test_steps_of_snntorch_go_out(name: str) -> None:
    """They give 0 at 0, where SpikingJelly's give 1: neither framework takes the other's."""
    function = getattr(theirs, name)()
    layer = snntorch.Leaky(0.9, spike_grad=function, init_hidden=True, reset_mechanism="zero")
    graph = snntorch_converter.export_to_nir(layer, data()[0], dt=DT, strict=True)
    expected = spikes(layer, data(), "s")
    assert 0 < expected.sum() < expected.numel()
    oracle = reference.import_from_nir(graph, dt=DT)
    assert torch.equal(spikes(oracle, data(), "s"), expected)
    with pytest.raises(ExportRefused, match="something other than spikes"):
        spikingjelly.export_to_nir(neuron.IFNode(surrogate_function=function), data()[0])
    layer.spike_grad = surrogate.Sigmoid()
    with pytest.raises(ExportRefused, match="something other than spikes"):
        snntorch_converter.export_to_nir(layer, data()[0])


def test_what_is_tried_stays_as_it_was() -> None:
    """Its counters, and torch's random numbers."""
    function = Remembering()
    state = torch.random.get_rng_state()
    for tried in (function, lambda x: (x + torch.rand_like(x) >= 0).to(x)):
        with pytest.raises(ExportRefused):
            spikingjelly.export_to_nir(neuron.IFNode(surrogate_function=tried), data()[0])
    assert function.calls == 0
    assert torch.equal(torch.random.get_rng_state(), state)


def test_a_function_that_was_changed_is_judged_anew() -> None:
    net = neuron.IFNode(surrogate_function=surrogate.Sigmoid())
    spikingjelly.export_to_nir(net, data()[0])
    net.surrogate_function.spiking = False
    with pytest.raises(ExportRefused):
        spikingjelly.export_to_nir(net, data()[0])
    net.surrogate_function = surrogate.Sigmoid()
    net.surrogate_function.forward = torch.sigmoid
    with pytest.raises(ExportRefused):
        spikingjelly.export_to_nir(net, data()[0])

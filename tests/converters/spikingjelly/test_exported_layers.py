"""Layers that go out as something else: the reference computes what SpikingJelly computed.

In float64 and over 100 steps. Spikes are equal; values that a sum in another order gives agree to
twelve digits.
"""

from __future__ import annotations

import inspect
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spikingjelly.activation_based import functional, layer, neuron, rnn
from torch import nn

from nir_exchange import reference, spikingjelly
from nir_runtime.errors import ExportRefused
from tests.graphs import spikes

DT = 1e-3
STEPS = 100
modes = st.sampled_from(["s", "m"])
seeds = st.integers(0, 2**32 - 1)
small = st.integers(1, 3)


def check(
    net: nn.Module,
    features: tuple[int, ...],
    mode: str,
    seed: int,
    scale: float = 2,
    **options: Any,
) -> Any:
    """Compare the network with the contract, and with what an import makes of the graph."""
    net = net.double().eval()
    functional.set_step_mode(net, mode)
    source = torch.Generator().manual_seed(seed)
    x = torch.randn((STEPS, 2, *features), generator=source, dtype=torch.float64) * scale
    graph = spikingjelly.export_to_nir(net, x if mode == "m" else x[0], dt=DT, **options)
    expected = spikes(net, x, mode)
    contract = reference.import_from_nir(graph, dt=DT, dtype=torch.float64)
    assert torch.allclose(spikes(contract, x, "s"), expected, rtol=1e-12, atol=1e-12)
    again = spikingjelly.import_from_nir(graph, dt=DT, dtype=torch.float64, step_mode=mode)
    assert torch.allclose(spikes(again, x, mode), expected, rtol=1e-12, atol=1e-12)
    return graph


def trained(norm: nn.Module, seed: int) -> nn.Module:
    """A batch norm whose statistics and weights are those of some training."""
    source = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for tensor in (norm.weight, norm.bias, norm.running_mean):
            tensor.copy_(torch.randn(tensor.shape, generator=source))
        norm.running_var.copy_(torch.rand(norm.running_var.shape, generator=source) + 0.1)
    return norm


@given(st.booleans(), st.booleans(), modes, seeds)
def test_batch_norm_of_images(folded: bool, bias: bool, mode: str, seed: int) -> None:
    before = layer.Conv2d(2, 3, 3, bias=bias) if folded else neuron.IFNode(0.5)
    channels = 3 if folded else 2
    norm = trained(layer.BatchNorm2d(channels), seed)
    graph = check(nn.Sequential(before, norm, neuron.IFNode()), (2, 5, 6), mode, seed)
    assert len(graph.nodes) == (4 if folded else 5)


@given(st.booleans(), modes, seeds)
def test_batch_norm_of_vectors(folded: bool, mode: str, seed: int) -> None:
    before = layer.Linear(4, 3) if folded else neuron.IFNode(0.5)
    norm = trained(layer.BatchNorm1d(3 if folded else 4), seed)
    graph = check(nn.Sequential(before, norm, neuron.IFNode()), (4,), mode, seed)
    assert len(graph.nodes) == (4 if folded else 5)


@given(modes, seeds)
def test_batch_norm_of_sequences(mode: str, seed: int) -> None:
    norm = trained(layer.BatchNorm1d(3), seed)
    check(nn.Sequential(layer.Conv1d(2, 3, 2), norm, neuron.IFNode()), (2, 6), mode, seed)


@given(seeds)
def test_threshold_dependent_batch_norm(seed: int) -> None:
    norm = trained(layer.ThresholdDependentBatchNorm2d(1.0, 0.5, 3), seed)
    check(nn.Sequential(layer.Conv2d(2, 3, 3), norm, neuron.IFNode()), (2, 5, 5), "m", seed)


def test_batch_norm_in_training_is_refused() -> None:
    net = nn.Sequential(layer.Conv2d(2, 3, 3), layer.BatchNorm2d(3))
    with pytest.raises(ExportRefused, match=r"1: in training mode each batch is normed by its own"):
        spikingjelly.export_to_nir(net, torch.rand(2, 2, 5, 5))


@given(small, st.one_of(st.none(), small), st.booleans(), modes, seeds)
def test_max_pool_behind_spikes(
    kernel: int, stride: int | None, padded: bool, mode: str, seed: int
) -> None:
    pool = layer.MaxPool2d(kernel, stride, padding=kernel // 2 if padded else 0)
    check(nn.Sequential(neuron.IFNode(), pool, neuron.IFNode(0.7)), (2, 6, 7), mode, seed)


def test_max_pool_behind_anything_else_is_refused() -> None:
    net = nn.Sequential(layer.Conv2d(2, 3, 3), layer.MaxPool2d(2))
    with pytest.raises(ExportRefused, match="1: NIR has no maximum"):
        spikingjelly.export_to_nir(net, torch.rand(2, 2, 6, 6))


@given(st.sampled_from([1, 2, (2, 3), (None, 1), (6, None)]), modes, seeds)
def test_adaptive_avg_pool(output_size: Any, mode: str, seed: int) -> None:
    pool = layer.AdaptiveAvgPool2d(output_size)
    check(nn.Sequential(pool, neuron.IFNode()), (2, 6, 6), mode, seed)


def test_adaptive_avg_pool_that_is_no_pooling_is_refused() -> None:
    with pytest.raises(ExportRefused, match="0: the output's size does not divide the input's"):
        spikingjelly.export_to_nir(
            nn.Sequential(layer.AdaptiveAvgPool2d(4)), torch.rand(2, 2, 6, 6)
        )


@given(small, st.one_of(st.none(), small), st.booleans(), modes, seeds)
def test_avg_pool1d(kernel: int, stride: int | None, padded: bool, mode: str, seed: int) -> None:
    pool = layer.AvgPool1d(kernel, stride, padding=kernel // 2 if padded else 0)
    check(nn.Sequential(pool, neuron.IFNode()), (2, 7), mode, seed)


@given(small, st.one_of(st.none(), small), st.booleans(), modes, seeds)
def test_max_pool1d_behind_spikes(
    kernel: int, stride: int | None, padded: bool, mode: str, seed: int
) -> None:
    pool = layer.MaxPool1d(kernel, stride, padding=kernel // 2 if padded else 0)
    check(nn.Sequential(neuron.IFNode(), pool, neuron.IFNode(0.7)), (2, 7), mode, seed)


@given(st.sampled_from([1, 2, 3, 6, (2,)]), modes, seeds)
def test_adaptive_avg_pool1d(output_size: Any, mode: str, seed: int) -> None:
    check(nn.Sequential(layer.AdaptiveAvgPool1d(output_size), neuron.IFNode()), (2, 6), mode, seed)


@given(st.booleans(), modes, seeds)
def test_standardized_weights(bias: bool, mode: str, seed: int) -> None:
    torch.manual_seed(seed)
    convolution = layer.WSConv2d(2, 4, (3, 2), 2, 1, groups=2, bias=bias, eps=1e-3)
    linear = layer.WSLinear(24, 3, bias=bias)
    for weighted in (convolution, linear):
        nn.init.normal_(weighted.gain)
    net = nn.Sequential(convolution, neuron.IFNode(), layer.Flatten(), linear, neuron.IFNode())
    check(net, (2, 3, 5), mode, seed)


@given(st.integers(1, 2), small, small, st.integers(0, 2), st.integers(1, 2), modes, seeds)
def test_transposed_convolutions_of_stride_one(
    axes: int, kernel: int, dilation: int, padding: int, groups: int, mode: str, seed: int
) -> None:
    torch.manual_seed(seed)
    make = (layer.ConvTranspose1d, layer.ConvTranspose2d)[axes - 1]
    padding = min(padding, dilation * (kernel - 1))
    transposed = make(
        4, 2 * groups, kernel, 1, padding, groups=groups, bias=seed % 2 == 0, dilation=dilation
    )
    check(nn.Sequential(transposed, neuron.IFNode()), (4, *(6, 5)[:axes]), mode, seed)


@given(st.floats(1.2, 9.0), st.booleans(), st.one_of(st.none(), st.floats(-0.5, 0.4)), seeds)
@pytest.mark.filterwarnings("ignore:exact only for a reader")
def test_neurons_that_learn_online(
    tau: float, decay_input: bool, v_reset: float | None, seed: int
) -> None:
    for make in (neuron.OTTTLIFNode, neuron.SLTTLIFNode):
        node = make(tau, decay_input, 0.8, v_reset)
        check(layer.OTTTSequential(layer.Linear(4, 3), node, nn.Linear(3, 2)), (4,), "s", seed)


@given(st.floats(0.1, 2.0), st.sampled_from(["annotate", "decompose"]), modes, seeds)
@pytest.mark.filterwarnings("ignore:exact only for a reader")
def test_half_a_threshold_to_start_from(
    v_threshold: float, soft_reset: str, mode: str, seed: int
) -> None:
    net = nn.Sequential(layer.Linear(4, 3), neuron.HalfThresholdIFNode(v_threshold))
    check(net, (4,), mode, seed, soft_reset=soft_reset)


@given(st.integers(1, 4), modes, seeds)
def test_voting_layer(size: int, mode: str, seed: int) -> None:
    check(nn.Sequential(neuron.IFNode(), layer.VotingLayer(size)), (3 * size,), mode, seed)


@given(st.integers(0, 5), modes, seeds)
def test_delay(delay: int, mode: str, seed: int) -> None:
    check(nn.Sequential(layer.Delay(delay), neuron.LIFNode()), (3,), mode, seed)


def test_dropout_and_identity_are_skipped() -> None:
    net = nn.Sequential(
        layer.Dropout(), nn.Identity(), neuron.IFNode(), layer.Dropout2d(), nn.Dropout()
    )
    graph = check(net, (2, 3, 4), "s", 0)
    assert set(graph.nodes) == {"input_1", "_2", "output"}


@given(st.one_of(st.just(0.0), st.floats(-0.5, 0.4)), modes, seeds)
@pytest.mark.filterwarnings("ignore:exact only for a reader")
def test_simple_nodes(v_reset: float, mode: str, seed: int) -> None:
    check(nn.Sequential(neuron.SimpleIFNode(0.8, v_reset)), (4,), mode, seed)
    check(nn.Sequential(neuron.SimpleLIFNode(3.0, True, 0.8, v_reset)), (4,), mode, seed)
    check(nn.Sequential(neuron.SimpleLIFNode(3.0, False, 0.8, v_reset)), (4,), mode, seed)


@given(st.sampled_from(["IF", "LIF"]), seeds)
def test_non_spiking_nodes(kind: str, seed: int) -> None:
    last = neuron.NonSpikingIFNode() if kind == "IF" else neuron.NonSpikingLIFNode(3.0)
    net = nn.Sequential(neuron.IFNode(step_mode="m"), nn.Linear(4, 3), last).double()
    x = torch.randn((STEPS, 2, 4), generator=torch.Generator().manual_seed(seed)).double()
    graph = spikingjelly.export_to_nir(net, x, dt=DT)
    expected = torch.stack(net(x)).detach()
    contract = reference.import_from_nir(graph, dt=DT, dtype=torch.float64)
    assert torch.allclose(spikes(contract, x, "s"), expected, rtol=1e-12, atol=1e-12)
    again = spikingjelly.import_from_nir(graph, dt=DT, dtype=torch.float64, step_mode="m")
    assert torch.allclose(spikes(again, x, "m"), expected, rtol=1e-12, atol=1e-12)


def test_a_non_spiking_node_that_reduces_over_time_is_refused() -> None:
    net = nn.Sequential(neuron.IFNode(step_mode="m"), neuron.NonSpikingIFNode("max-mem"))
    with pytest.raises(ExportRefused, match="1: decode is 'max-mem': the layer reduces v over"):
        spikingjelly.export_to_nir(net, torch.rand(5, 2, 3))


BASES = ["BaseNode", "SimpleBaseNode", "NonSpikingBaseNode", "AdaptBaseNode", "MPBNBaseNode"]
BASES += ["NoisyBaseNode", "NoisyILCBaseNode", "NoisyNonSpikingBaseNode", "ILCBaseNode"]
BASES += ["SpikingRNNBase", "SpikingRNNCellBase"]
"""Bases of layers, of which no network is made."""


@pytest.mark.parametrize("package", [layer, neuron, rnn], ids=lambda package: package.__name__)
def test_every_public_layer_is_converted_or_refused_with_a_reason_of_its_own(package: Any) -> None:
    """So that what a new release brings is decided on, and not met by a general refusal."""
    target = spikingjelly.TARGET
    known = {*target.exporters, *target.containers, *target.in_order}
    public = [c for name, c in inspect.getmembers(package, inspect.isclass) if name[0] != "_"]
    layers = [c for c in public if issubclass(c, nn.Module) and c.__module__.startswith("spiking")]
    assert len(layers) > 5
    assert [c.__name__ for c in layers if c not in known and c.__name__ not in BASES] == []


def test_a_subclass_of_a_refused_layer_is_run_as_any_module() -> None:
    class Attending(layer.SpikingSelfAttention):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + x

    graph = spikingjelly.export_to_nir(Attending(8, 2), torch.rand(4, 2, 8))
    assert len(graph.nodes) > 2

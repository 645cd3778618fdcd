"""What a live layer computes with though its constructor doesn't take it: told, or refused."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import snntorch
import torch
from snntorch import utils
from spikingjelly.activation_based import functional, neuron
from torch import nn

from nir_exchange import reference, spikingjelly
from nir_exchange import snntorch as snntorch_converter
from nir_runtime.errors import AnnotatedWarning, ExportRefused
from tests.graphs import spikes

DT, SIZE = 1e-4, 4


def data() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(50, 2, SIZE, generator=generator)


SNNTORCH = {
    "Leaky": lambda: snntorch.Leaky(0.9, init_hidden=True, reset_mechanism="zero"),
    "Leaky, none": lambda: snntorch.Leaky(0.9, init_hidden=True, reset_mechanism="none"),
    "Lapicque": lambda: snntorch.Lapicque(R=10.0, C=5.0, init_hidden=True),
    "Lapicque, none": lambda: snntorch.Lapicque(
        R=10.0, C=5.0, init_hidden=True, reset_mechanism="none"
    ),
    "Synaptic": lambda: snntorch.Synaptic(0.5, 0.9, init_hidden=True, reset_delay=False),
    "RLeaky": lambda: snntorch.RLeaky(
        0.9, linear_features=SIZE, init_hidden=True, reset_mechanism="zero", reset_delay=False
    ),
    "RSynaptic": lambda: snntorch.RSynaptic(0.5, 0.9, linear_features=SIZE, init_hidden=True),
}


@pytest.mark.parametrize("factor", [2.0, 0.0, -1.0, [1.0, 1.0, 1.0, 3.0]])
@pytest.mark.parametrize("name", SNNTORCH)
def test_spikes_that_are_graded_after_the_layer_was_made(name: str, factor: Any) -> None:
    """The factor is a buffer of every neuron, whatever its constructor takes."""
    layer = SNNTORCH[name]()
    layer.graded_spikes_factor = torch.tensor(factor)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AnnotatedWarning)
        try:
            graph = snntorch_converter.export_to_nir(layer, data()[0], dt=DT)
        except ExportRefused as refused:
            assert "graded_spikes_factor" in str(refused)  # noqa: PT017
            return
    utils.reset(layer)
    expected = spikes(layer, data(), "s")
    oracle = reference.import_from_nir(graph, dt=DT)
    torch.testing.assert_close(spikes(oracle, data(), "s"), expected)
    assert np.any(expected.numpy()) or factor == 0.0


@pytest.mark.parametrize("name", SNNTORCH)
def test_spikes_as_they_are(name: str) -> None:
    """The same layers untouched go out, and run."""
    torch.manual_seed(0)
    layer = SNNTORCH[name]()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AnnotatedWarning)
        graph = snntorch_converter.export_to_nir(layer, data()[0], dt=DT)
    utils.reset(layer)
    expected = spikes(layer, data(), "s")
    assert expected.any()
    oracle = reference.import_from_nir(graph, dt=DT)
    torch.testing.assert_close(spikes(oracle, data(), "s"), expected)


def test_a_reset_that_a_layer_has_no_parameter_for() -> None:
    layer = neuron.HalfThresholdIFNode()
    with pytest.warns(AnnotatedWarning):
        spikingjelly.export_to_nir(layer, data()[0], dt=DT)
    layer.v_reset = 0.25
    with pytest.raises(ExportRefused, match=r"v_reset is 0\.25: it was set on a layer whose"):
        spikingjelly.export_to_nir(layer, data()[0], dt=DT)


def test_what_batches_were_seen_is_no_number_of_the_network() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), neuron.IFNode())
    x = torch.rand(2, 1, 3, 3)
    net(x)
    functional.reset_net(net.eval())
    spikingjelly.export_to_nir(net, x, dt=DT, strict=True)

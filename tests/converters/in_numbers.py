"""What is graded exact or annotated is compared in numbers: a hundred steps in double precision."""

from __future__ import annotations

import warnings
from typing import Any

import nir
import torch
from torch import nn

from nir_exchange import reference
from nir_runtime.errors import AnnotatedWarning
from tests.graphs import spikes

STEPS = 100


def assert_exported_as_it_is(
    converter: Any, net: nn.Module, features: tuple[int, ...], dt: float
) -> None:
    """The graph of a network, read by the reference, gives what the network gives."""
    net = with_numbers(net).double()
    mode = "m" if "m" in (getattr(part, "step_mode", "s") for part in net.modules()) else "s"
    x = noise(features)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AnnotatedWarning)
        graph = converter.export_to_nir(net, x if mode == "m" else x[0], dt=dt)
    with torch.no_grad():
        expected = over_time(net(x)) if mode == "m" else spikes(net, x, "s")
    assert_meant(graph, x, expected, dt)


def assert_imported_as_it_is(
    converter: Any, graph: nir.NIRGraph, dt: float, **options: Any
) -> None:
    """The network of a graph gives what the reference makes of it."""
    (features,) = (
        tuple(n.input_type["input"]) for n in graph.nodes.values() if type(n) is nir.Input
    )
    x = noise(features)
    net = converter.import_from_nir(graph, dt=dt, dtype=torch.float64, **options)
    assert_meant(graph, x, spikes(net, x, "s"), dt)


def assert_meant(graph: nir.NIRGraph, x: torch.Tensor, expected: torch.Tensor, dt: float) -> None:
    """An output is what the reference makes of a graph."""
    oracle = reference.import_from_nir(graph, dt=dt, dtype=torch.float64)
    actual = spikes(oracle, x, "s")
    assert actual.shape == expected.shape
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)


def noise(features: tuple[int, ...]) -> torch.Tensor:
    """[STEPS, 2, *features]"""
    source = torch.Generator().manual_seed(3)
    return torch.randn(STEPS, 2, *features, generator=source, dtype=torch.float64) * 3


def with_numbers(net: nn.Module) -> nn.Module:
    """The network with weights and statistics as after some training."""
    source = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, tensor in (*net.named_parameters(), *net.named_buffers()):
            kind = name.rpartition(".")[2]
            if kind in ("weight", "bias", "gain", "running_mean"):
                tensor.copy_(torch.randn(tensor.shape, generator=source))
            elif kind == "running_var":
                tensor.copy_(torch.rand(tensor.shape, generator=source) + 0.5)
    return net


def over_time(output: Any) -> torch.Tensor:
    """What a network of many steps returned: [T, N, *], or a list of steps."""
    return torch.stack(output) if isinstance(output, list) else output

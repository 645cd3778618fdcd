"""Affine maps of each channel go into the linear layer before them, and nowhere else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import nir
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spikingjelly.activation_based import neuron
from torch import Tensor, nn

from nir_runtime.exports.exporting import export_network
from nir_runtime.exports.folding import folded
from nir_runtime.exports.tracing import trace
from nir_runtime.sites import ExportSite
from tests.runtime.hand_target import TARGET as HAND_TARGET


def batch_norm(module: Any, at: ExportSite) -> nir.NIRNode:
    """The node of a batch norm in evaluation mode, in double precision."""
    at.foldable()
    names = ("weight", "bias", "running_mean", "running_var")
    weight, bias, mean, var = (at.array(name, getattr(module, name)) for name in names)
    gain = weight / np.sqrt(var + module.eps)
    offset = bias - mean * gain
    if at.rank == 1:
        return nir.Affine(weight=np.diag(gain), bias=offset)
    kernel = gain.reshape(-1, 1, *(1,) * (at.rank - 1))
    if at.rank == 2:
        return nir.Conv1d(at.length, kernel, 1, 0, 1, len(gain), offset)
    return nir.Conv2d(at.spatial_shape, kernel, (1, 1), (0, 0), (1, 1), len(gain), offset)


def convolution(module: Any, at: ExportSite) -> nir.NIRNode:
    geometry = (module.stride, module.padding, module.dilation)
    bias = np.zeros(module.out_channels) if module.bias is None else at.tensor(module.bias)
    weight = at.tensor(module.weight)
    if at.rank == 3:
        return nir.Conv2d(at.spatial_shape, weight, *geometry, module.groups, bias)
    return nir.Conv1d(at.length, weight, *(size for (size,) in geometry), module.groups, bias)


TARGET = replace(
    HAND_TARGET,
    exporters={
        **HAND_TARGET.exporters,
        nn.BatchNorm1d: batch_norm,
        nn.BatchNorm2d: batch_norm,
        nn.Conv1d: convolution,
        nn.Conv2d: convolution,
    },
)


def normed(*layers: nn.Module) -> nn.Sequential:
    """Layers in evaluation mode, whose batch norms have been trained."""
    torch.manual_seed(0)
    for layer in layers:
        if isinstance(layer, nn.modules.batchnorm._BatchNorm):
            nn.init.uniform_(layer.weight, 0.5, 2.0)
            nn.init.normal_(layer.bias)
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 2.0)
    return nn.Sequential(*layers).eval()


def kinds(net: nn.Module, *shape: int) -> dict[str, type]:
    graph = export_network(TARGET, net, torch.ones(shape), None, 1e-4, strict=False)
    return {name: type(node) for name, node in graph.nodes.items()}


def applied(node: nir.NIRNode, x: Tensor) -> Tensor:
    """What a linear node makes of [N, *features], in double precision."""
    weight, bias = torch.tensor(node.weight).double(), torch.tensor(node.bias).double()
    if isinstance(node, nir.Affine):
        return x @ weight.T + bias
    convolve: Any = nn.functional.conv1d if isinstance(node, nir.Conv1d) else nn.functional.conv2d
    geometry = (node.stride, node.padding, node.dilation)
    return convolve(x, weight, bias, *(_plain(value) for value in geometry), node.groups)


def _plain(value: Any) -> Any:
    return tuple(value) if isinstance(value, (tuple, list, np.ndarray)) else int(value)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(
    ("linear", "norm", "shape"),
    [
        (lambda bias: nn.Linear(4, 3, bias=bias), lambda: nn.BatchNorm1d(3), (4,)),
        (lambda bias: nn.Conv2d(2, 4, 3, 2, 1, bias=bias), lambda: nn.BatchNorm2d(4), (2, 6, 5)),
        (
            lambda bias: nn.Conv2d(4, 6, 3, groups=2, bias=bias),
            lambda: nn.BatchNorm2d(6),
            (4, 6, 5),
        ),
        (lambda bias: nn.Conv1d(2, 4, 3, 2, 1, bias=bias), lambda: nn.BatchNorm1d(4), (2, 7)),
    ],
)
def test_two_are_one(
    linear: Callable[[bool], nn.Module],
    norm: Callable[[], nn.Module],
    shape: tuple[int, ...],
    bias: bool,
) -> None:
    net = normed(linear(bias), norm()).double()
    made = folded(trace(TARGET, net, torch.ones(1, *shape), 1e-4))
    (call,) = made.calls
    assert (call.path, call.layer, made.outputs[0].inputs) == ("0", net[0], (1,))
    assert "1 (torch.nn.BatchNorm" in call.notes[0]
    x = torch.randn(5, *shape, dtype=torch.float64)
    torch.testing.assert_close(applied(call.node, x), net(x), rtol=1e-12, atol=1e-12)


@given(st.integers(0, 2**16))
def test_in_single_precision_one_rounding_is_left(seed: int) -> None:
    torch.manual_seed(seed)
    net = normed(nn.Linear(4, 3), nn.BatchNorm1d(3))
    (call,) = folded(trace(TARGET, net, torch.ones(1, 4), 1e-4)).calls
    (exact,) = folded(trace(TARGET, net.double(), torch.ones(1, 4), 1e-4)).calls
    assert call.node.weight.dtype == call.node.bias.dtype == np.float32
    assert np.array_equal(call.node.weight, exact.node.weight.astype(np.float32))
    assert np.array_equal(call.node.bias, exact.node.bias.astype(np.float32))


def test_the_network_s_weights_stay() -> None:
    net = normed(nn.Linear(4, 3), nn.BatchNorm1d(3))
    before = net[0].weight.detach().clone()
    folded(trace(TARGET, net, torch.ones(1, 4), 1e-4))
    assert torch.equal(net[0].weight, before)


def test_several_in_a_row() -> None:
    net = normed(nn.Conv2d(2, 3, 1), nn.BatchNorm2d(3), nn.BatchNorm2d(3)).double()
    (call,) = folded(trace(TARGET, net, torch.ones(1, 2, 4, 4), 1e-4)).calls
    assert len(call.notes) == 2
    x = torch.randn(5, 2, 4, 4, dtype=torch.float64)
    torch.testing.assert_close(applied(call.node, x), net(x), rtol=1e-12, atol=1e-12)


def test_behind_anything_else_it_stays_a_node() -> None:
    net = normed(nn.BatchNorm2d(2), neuron.LIFNode(), nn.BatchNorm2d(2), nn.Flatten())
    assert list(kinds(net, 1, 2, 4, 4).values()) == [
        *(nir.Input, nir.Conv2d, nir.LIF, nir.Conv2d, nir.Flatten, nir.Output)
    ]


def test_one_behind_a_flatten_stays() -> None:
    net = normed(nn.Conv2d(2, 2, 1), nn.Flatten(), nn.BatchNorm1d(32))
    assert list(kinds(net, 1, 2, 4, 4).values())[1:-1] == [nir.Conv2d, nir.Flatten, nir.Affine]


class Net(nn.Module):
    def __init__(self, forward: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.a, self.b, self.norm = nn.Linear(4, 4), nn.Linear(4, 4), nn.BatchNorm1d(4)
        self.lif = neuron.LIFNode()
        self.written = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.written(self, x)


def shared(self: Any, x: Tensor) -> Tensor:
    y = self.a(x)
    return self.lif(self.norm(y)) + y


def shared_with_the_output(self: Any, x: Tensor) -> Any:
    y = self.a(x)
    return self.norm(y), y


@pytest.mark.parametrize(
    ("forward", "names"),
    [
        (lambda self, x: self.norm(self.a(x)), ["a"]),
        (lambda self, x: self.norm(self.a(x) + self.b(x)), ["a", "b", "norm"]),
        (lambda self, x: self.norm(self.norm(self.a(x))), ["a"]),
        (lambda self, x: self.norm(self.a(x)) + self.norm(self.b(x)), ["a", "b"]),
        (
            lambda self, x: self.lif(self.norm(self.a(x))) + self.norm(self.a(x)),
            ["a", "lif", "a_1"],
        ),
        (lambda self, x: self.norm(self.a(x) * 2), ["a", "mul", "norm"]),
        (shared, ["a", "norm", "lif"]),
        (shared_with_the_output, ["a", "norm"]),
    ],
)
def test_only_where_nothing_else_reads_it(
    forward: Callable[[Any, Tensor], Tensor], names: list[str]
) -> None:
    found = kinds(Net(forward).eval(), 1, 4)
    assert [n for n, kind in found.items() if kind not in (nir.Input, nir.Output)] == names


def test_what_a_convolution_remembers_of_its_bias_is_forgotten() -> None:
    def without_bias(module: Any, at: ExportSite) -> nir.NIRNode:
        at.remember(bias=False, colour="red")
        node = HAND_TARGET.exporters[nn.Linear](module, at)
        return node

    target = replace(TARGET, exporters={**TARGET.exporters, nn.Linear: without_bias})
    net = normed(nn.Linear(4, 3), nn.BatchNorm1d(3))
    (call,) = folded(trace(target, net, torch.ones(1, 4), 1e-4)).calls
    assert call.node.metadata == {"colour": "red"}


def test_the_time_grows_as_the_network_does() -> None:
    from tests.runtime.counting import calls_made

    def made(pairs: int) -> int:
        layers = (m for _ in range(pairs) for m in (nn.Linear(2, 2), nn.BatchNorm1d(2)))
        traced = trace(TARGET, normed(*layers), torch.ones(1, 2), 1e-4)
        return calls_made(lambda: folded(traced))

    made(1)
    assert made(500) <= 10.5 * made(50)

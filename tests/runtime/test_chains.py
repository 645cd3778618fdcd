"""Layers that become several nodes or none, and what a layer may know of its input."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import nir
import numpy as np
import pytest
import torch
from spikingjelly.activation_based import layer, neuron
from torch import Tensor, nn

from nir_runtime.errors import ExportRefused
from nir_runtime.exports.exporting import export_network
from nir_runtime.exports.traces import Trace
from nir_runtime.exports.tracing import trace
from nir_runtime.sites import Chain, ExportSite
from nir_runtime.target import Exporter, Target
from tests.runtime.hand_target import TARGET as HAND_TARGET


def max_pool(module: nn.MaxPool2d, at: ExportSite) -> Chain:
    if not at.binary:
        raise at.refuse("NIR has no maximum", "put it behind spikes")
    size = np.array([module.kernel_size] * 2)
    at.annotate("for the test", colour="red")
    pool = nir.SumPool2d(size, size, size * 0, metadata=at.metadata)
    return Chain(pool, then=(nir.Threshold(np.array(0.5)),))


def skipped(module: nn.Module, at: ExportSite) -> tuple[()]:
    return ()


def delay(module: layer.Delay, at: ExportSite) -> nir.NIRNode:
    return nir.Delay(at.fill(module.delay_steps * at.dt))


def with_exporters(**exporters: Exporter) -> Target:
    by_class = {getattr(nn, name): exporter for name, exporter in exporters.items()}
    return replace(HAND_TARGET, exporters={**HAND_TARGET.exporters, **by_class})


TARGET = replace(
    with_exporters(MaxPool2d=max_pool, Identity=skipped),
    exporters={
        **with_exporters(MaxPool2d=max_pool, Identity=skipped).exporters,
        layer.Delay: delay,
    },
    state={**HAND_TARGET.state, layer.Delay: ("queue",)},
)


def traced(net: nn.Module, *shape: int) -> Trace:
    return trace(TARGET, net, torch.ones(shape), 1e-4)


def names(net: nn.Module, *shape: int) -> list[str]:
    with pytest.warns(UserWarning, match="for the test"):
        graph = export_network(TARGET, net, torch.ones(shape), None, 1e-4, strict=False)
    return list(graph.nodes)


class Written(nn.Module):
    """A few layers, and a forward given by the test."""

    def __init__(self, forward: Callable[[Any, Tensor], Tensor]) -> None:
        super().__init__()
        self.lif, self.lif2 = neuron.LIFNode(), neuron.LIFNode()
        self.conv = nn.Conv2d(2, 2, 3, padding=1)
        self.pool, self.skip = nn.MaxPool2d(2), nn.Identity()
        self.delay = layer.Delay(1)
        self.written = forward

    def forward(self, x: Tensor) -> Tensor:
        return self.written(self, x)


class TestSeveralNodes:
    net = nn.Sequential(neuron.LIFNode(), nn.MaxPool2d(2), nn.Conv2d(2, 2, 1))

    def test_each_reads_the_one_before(self) -> None:
        calls = traced(self.net, 1, 2, 8, 8).calls
        assert [(call.path, call.part, call.inputs) for call in calls] == [
            *(("0", 0, (0,)), ("1", 0, (1,)), ("1", 1, (2,)), ("2", 0, (3,)))
        ]
        assert traced(self.net, 1, 2, 8, 8).outputs[0].shape == (2, 4, 4)

    def test_are_named_after_the_layer(self) -> None:
        found = names(self.net, 1, 2, 8, 8)
        assert found == ["input_1", "_0", "_1", "_1_1", "_2", "output"]

    def test_and_no_other_layer_is_called_otherwise_for_it(self) -> None:
        net = nn.Sequential(nn.ModuleDict({"f": self.net})["f"], neuron.LIFNode())
        assert names(net, 1, 2, 8, 8)[1:6] == ["_0_0", "_0_1", "_0_1_1", "_0_2", "_1"]

    def test_say_once_what_is_to_be_said_of_the_layer(self) -> None:
        annotations = [call.annotations for call in traced(self.net, 1, 2, 8, 8).calls]
        assert annotations == [(), ("for the test",), (), ()]

    def test_a_layer_called_twice_has_them_twice(self) -> None:
        net = Written(lambda self, x: self.pool(self.pool(self.lif(x))))
        kinds = [type(call.node) for call in traced(net, 1, 2, 8, 8).calls]
        assert kinds == [nir.LIF, *[nir.SumPool2d, nir.Threshold] * 2]


class TestNoNode:
    def test_what_reaches_it_passes_on(self) -> None:
        net = nn.Sequential(nn.Linear(4, 4), nn.Identity(), neuron.LIFNode())
        result = traced(net, 1, 4)
        assert [(call.path, call.inputs) for call in result.calls] == [("0", (0,)), ("2", (1,))]
        assert dict(result.skipped) == {"1": net[1]}

    def test_it_returns_the_same_tensor(self) -> None:
        def forward(self: Any, x: Tensor) -> Tensor:
            y = self.conv(x)
            z = self.skip(y)
            z += x
            return self.lif(y)

        assert traced(Written(forward), 1, 2, 4, 4).calls[1].inputs == (1, 0)

    def test_as_the_whole_network(self) -> None:
        assert traced(nn.Identity(), 1, 4).outputs[0].inputs == (0,)


@pytest.mark.parametrize(
    ("forward", "binary"),
    [
        (lambda self, x: x, False),
        (lambda self, x: self.lif(x), True),
        (lambda self, x: self.skip(self.lif(x)), True),
        (lambda self, x: self.lif(x).clone().detach().contiguous(), True),
        (lambda self, x: self.delay(self.lif(x)), True),
        (lambda self, x: self.pool(self.lif(x)), True),
        (lambda self, x: self.lif(x).view(1, 2, 8, 8), True),
        (lambda self, x: self.lif(x).flatten(2, 2), True),
        (lambda self, x: self.conv(self.lif(x)), False),
        (lambda self, x: self.lif(x) * 2, False),
        (lambda self, x: -self.lif(x), False),
        (lambda self, x: self.lif(x) + self.lif2(x), False),
        (lambda self, x: self.lif(x).add_(self.lif2(x)), False),
        (lambda self, x: self.lif(x) - self.lif2(x), False),
        (lambda self, x: self.delay(x), False),
    ],
)
def test_whether_a_signal_is_of_spikes(
    forward: Callable[[Any, Tensor], Tensor], binary: bool
) -> None:
    net = Written(lambda self, x: self.pool(forward(self, x)))
    if binary:
        assert isinstance(traced(net, 1, 2, 8, 8).calls[-1].node, nir.Threshold)
    else:
        with pytest.raises(ExportRefused, match="pool: NIR has no maximum"):
            traced(net, 1, 2, 8, 8)


def test_spikes_of_a_refused_neuron_are_spikes() -> None:
    net = nn.Sequential(neuron.QIFNode(), nn.MaxPool2d(2))
    with pytest.raises(ExportRefused) as refused:
        traced(net, 1, 2, 8, 8)
    assert [problem.place for problem in refused.value.problems] == ["0"]


@pytest.mark.parametrize("training", [True, False])
def test_a_layer_knows_its_mode(training: bool) -> None:
    seen: list[bool] = []

    def noting(module: nn.Module, at: ExportSite) -> tuple[()]:
        seen.append(at.training)
        return ()

    net = nn.Sequential(nn.Identity()).train(training)
    trace(with_exporters(Identity=noting), net, torch.ones(1, 4), 1e-4)
    assert seen == [training]

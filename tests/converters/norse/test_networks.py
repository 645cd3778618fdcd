"""Networks as people write them with Norse: its own models, its containers, loops over time."""

from __future__ import annotations

import copy
import io
from typing import Any

import nir
import norse.torch as snn
import pytest
import torch
from norse.torch.models.conv import ConvNet, ConvNet4
from norse.torch.models.mobilenet import MobileNetV2
from norse.torch.models.vgg import VGG, make_layers
from torch import Tensor, nn

from nir_exchange import norse
from nir_runtime.errors import ExportRefused

from .running import exported, inputs, of_the_reference, over_time


def compared(net: nn.Module, x: Tensor) -> nir.NIRGraph:
    """The graph of a network that takes sequences, which comes back and computes the same."""
    net = net.eval()
    with torch.no_grad():
        result = net(x)
    expected = (result[0] if isinstance(result, tuple) else result).detach()
    graph = norse.export_to_nir(net, x)
    module = norse.import_from_nir(graph, dtype=x.dtype)
    actual = over_time(module, x)
    assert expected.any()
    assert torch.allclose(actual, expected, rtol=1e-5, atol=1e-6)  # a Lift takes all steps at once
    return graph


def kinds(graph: nir.NIRGraph) -> list[str]:
    return [type(node).__name__ for node in graph.nodes.values()]


# Norse's models


@pytest.mark.parametrize("model", [ConvNet, ConvNet4])
def test_the_convolutional_network_of_the_tutorials(model: Any) -> None:
    """Its forward is a loop over time, that writes each step into a tensor."""
    torch.manual_seed(0)
    x = (torch.rand(30, 2, 1, 28, 28) < 0.3).float()
    graph = compared(model(), x)
    assert kinds(graph) == [
        *("Input", "Conv2d", "CubaLIF", "SumPool2d", "Threshold"),
        *("Conv2d", "Scale", "CubaLIF", "SumPool2d", "Threshold", "Flatten"),
        *("Affine", "CubaLIF", "Linear", "CubaLI", "Output"),
    ]


def test_vgg() -> None:
    """Made of Lift and LIF; here with fewer features than for ImageNet."""
    torch.manual_seed(0)
    net = VGG(make_layers([8, "M", 16, 16, "M"], batch_norm=True), init_weights=False)
    net.classifier = nn.Sequential(
        snn.Lift(nn.Linear(16 * 7 * 7, 20)), snn.LIF(), snn.Lift(nn.Dropout()),
        snn.Lift(nn.Linear(20, 5)),
    )  # fmt: skip
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            module.weight.data *= 4
    graph = compared(net, torch.rand(20, 2, 3, 28, 28))
    assert kinds(graph).count("CubaLIF") == 4


def test_mobilenet() -> None:
    torch.manual_seed(0)
    net = MobileNetV2(num_classes=5, width_mult=0.25, inverted_residual_setting=[[2, 16, 2, 2]])
    net.features[0][0].lifted_module.weight.data *= 10
    graph = norse.export_to_nir(net.eval(), torch.zeros(2, 1, 3, 32, 32))
    assert kinds(graph)[-1] == "Output"


# Containers


def test_sequential_state() -> None:
    torch.manual_seed(0)
    net = snn.SequentialState(
        nn.Conv2d(1, 4, 3), snn.LIFBoxCell(), nn.AvgPool2d(2), nn.Flatten(), nn.Linear(36, 5),
        snn.LIFCell(), snn.LICell(),
    )  # fmt: skip
    x = 5 * torch.rand(60, 2, 1, 8, 8)
    graph = norse.export_to_nir(net, x[0])
    module = norse.import_from_nir(graph)
    assert torch.equal(over_time(module, x), over_time(net, x))


def test_an_output_that_is_fed_back() -> None:
    torch.manual_seed(0)
    net = snn.RecurrentSequential(nn.Linear(4, 4), snn.LIFBoxCell()).double()
    net.module[0].weight.data *= 3
    x = inputs((4,))
    graph = norse.export_to_nir(net, x[0])
    expected = over_time(net, x)
    assert 0 < expected.mean() < 1
    assert torch.allclose(of_the_reference(graph, x), expected)
    module = norse.import_from_nir(graph, dtype=torch.float64)
    assert torch.allclose(over_time(module, x), expected)


def test_a_recurrent_network_that_is_lifted() -> None:
    torch.manual_seed(0)
    net = snn.Lift(snn.SequentialState(snn.LIFRecurrentCell(4, 6), nn.Linear(6, 3), snn.LICell()))
    compared(net, 3 * torch.rand(60, 2, 4))


class Loop(nn.Module):
    """Classifies a still image by what its neurons do over time."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.steps = steps
        self.hidden, self.out = nn.Linear(4, 6), nn.Linear(6, 3)
        self.lif, self.li = snn.LIFBoxCell(), snn.LICell()
        self.hidden.weight.data *= 4

    def forward(self, x: Tensor) -> Tensor:
        s = t = None
        voltages = []
        for _ in range(self.steps):
            z, s = self.lif(self.hidden(x), s)
            v, t = self.li(self.out(z), t)
            voltages += [v]
        return torch.stack(voltages)


def test_a_loop_over_a_static_input() -> None:
    net, x = Loop(40), torch.rand(2, 4)
    graph = norse.export_to_nir(net, x)
    assert kinds(graph) == ["Input", "Affine", "LIF", "Affine", "CubaLI", "Output"]
    with torch.no_grad():
        expected = net(x)
    actual = over_time(norse.import_from_nir(graph), x.expand(40, 2, 4))
    assert expected.any()
    assert torch.equal(actual, expected)


def test_the_time_of_an_export_grows_as_the_steps_do() -> None:
    assert kinds(norse.export_to_nir(Loop(300), torch.rand(2, 4)))[1] == "Affine"


# What came in


def test_an_imported_network_is_saved_copied_and_exported_again() -> None:
    net = snn.SequentialState(nn.Linear(4, 5), snn.LIFBoxCell(), snn.LIFRecurrentCell(5, 3))
    graph = exported(net, 2, 4)
    module = norse.import_from_nir(graph)
    x = inputs((4,), dtype=torch.float32)
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    for again in (torch.load(file, weights_only=False), copy.deepcopy(module)):
        assert torch.equal(over_time(again, x), over_time(module, x))
        assert set(exported(again, 2, 4).edges) == set(graph.edges)


# Refusals


REFUSED = {
    name: cls
    for name, cls in vars(snn).items()
    if isinstance(cls, type) and issubclass(cls, nn.Module) and not cls.__module__.endswith("conv")
}
MODELS = {"VGG", "MobileNetV2"}


@pytest.mark.parametrize("name", sorted(set(REFUSED) - MODELS))
def test_every_public_module_is_mapped_or_refused_for_a_reason(name: str) -> None:
    cls = REFUSED[name]
    target = norse.TARGET
    assert cls in target.exporters or cls in target.containers or cls in target.in_order, name


@pytest.mark.parametrize(
    ("cell", "word"),
    [
        (snn.LIFRefracCell(), "rests for some steps"),
        (snn.LIFAdExCell(), "exponentially"),
        (snn.LSNNCell(), "threshold adapts"),
        (snn.LIFExCell(), "exponentially"),
    ],
)
def test_other_neurons_are_refused(cell: nn.Module, word: str) -> None:
    """All at once, with what is behind them."""
    net = snn.SequentialState(nn.Linear(4, 4), cell, nn.ReLU(), snn.LIFBoxCell(dt=1e-2))
    with pytest.raises(ExportRefused, match=word) as refused:
        exported(net, 2, 4)
    assert [problem.place for problem in refused.value.problems] == ["1", "2", "3"]

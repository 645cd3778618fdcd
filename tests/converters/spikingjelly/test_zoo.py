"""Every network of SpikingJelly's model zoo that has a meaning in NIR goes out and comes back.

It gives the same output in double precision, where batch norms that were folded into convolutions
change the rounding only. A network without batch norm is compared in single precision too, bit by
bit. What can't go is listed with the reasons: `REFUSED`.

The networks are those of the zoo, layer by layer, but most have an eighth of the channels: the
largest would take half a minute each.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from spikingjelly.activation_based import functional, neuron
from torch import nn

from nir_exchange import reference, spikingjelly
from nir_runtime.errors import ExportRefused
from tests.converters.spikingjelly import zoo

STEPS = 3
RESNETS = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "resnet152"),
    *("resnext50_32x4d", "resnext101_32x8d", "wide_resnet50_2", "wide_resnet101_2"),
)
VGGS = [f"spiking_vgg{depth}{norm}" for depth in (11, 13, 16, 19) for norm in ("", "_bn")]
ONLINE = {"ottt_spiking_vggws": 32, **{f"ottt_spiking_vgg{d}": 224 for d in (11, 13, 16, 19)}}
PARAMETRIC = {
    "MNISTNet": (1, 28, 28),
    "FashionMNISTNet": (1, 28, 28),
    "NMNISTNet": (2, 34, 34),
    "CIFAR10Net": (3, 32, 32),
    "CIFAR10DVSNet": (2, 128, 128),
    "DVSGestureNet": (2, 128, 128),
}


def images(*features: int) -> torch.Tensor:
    """[T, N, *features]"""
    generator = torch.Generator().manual_seed(2)
    return torch.rand(STEPS, 1, *features, generator=generator, dtype=torch.float64) * 2


def assert_round_trip(
    make: Callable[[], nn.Module], x: torch.Tensor, mode: str, thin: int = 1
) -> None:
    """The network, the reference and the imported network give the same outputs."""
    net = zoo.made(make, mode, thin)
    graph = spikingjelly.export_to_nir(net, x if mode == "m" else x[0])
    expected = zoo.run(net, x, mode)
    assert expected.std() > 0
    for target in (reference, spikingjelly):
        imported = target.import_from_nir(graph, dtype=torch.float64, step_mode=mode)
        with torch.no_grad():
            if mode == "m":
                actual = imported(x)[0]
            else:
                actual = torch.stack([imported(step)[0] for step in x])
        torch.testing.assert_close(actual, expected, rtol=1e-8, atol=1e-8)


def vgg(name: str) -> nn.Module:
    make = getattr(zoo.models("spiking_vgg"), name)
    return make(spiking_neuron=neuron.IFNode, num_classes=zoo.CLASSES)


@pytest.mark.parametrize("name", VGGS)
def test_vgg(name: str) -> None:
    assert_round_trip(lambda: vgg(name), images(3, 224, 224), "s", thin=32)


@pytest.mark.filterwarnings("ignore:exact only for a reader")
@pytest.mark.parametrize("name", ONLINE)
def test_vgg_that_learns_online(name: str) -> None:
    make, size = getattr(zoo.models("spiking_vggws_ottt"), name), ONLINE[name]
    assert_round_trip(lambda: make(num_classes=zoo.CLASSES), images(3, size, size), "s", thin=32)


@pytest.mark.parametrize("name", RESNETS)
def test_resnet(name: str) -> None:
    make = getattr(zoo.models("spiking_resnet"), f"spiking_{name}")
    assert_round_trip(
        lambda: make(spiking_neuron=neuron.LIFNode, num_classes=zoo.CLASSES),
        images(3, 32, 32),
        "m",
        thin=1 if name == "resnet18" else 8,
    )


@pytest.mark.parametrize("name", RESNETS)
def test_sew_resnet(name: str) -> None:
    make = getattr(zoo.models("sew_resnet"), f"sew_{name}")
    assert_round_trip(
        lambda: make(cnf="ADD", spiking_neuron=neuron.IFNode, num_classes=zoo.CLASSES),
        images(3, 32, 32),
        "s",
        thin=1 if name == "resnet18" else 8,
    )


@pytest.mark.parametrize("way", ["AND", "IAND"])
def test_sew_resnet_that_multiplies_spikes(way: str) -> None:
    make = zoo.models("sew_resnet").sew_resnet18
    assert_round_trip(
        lambda: make(cnf=way, spiking_neuron=neuron.IFNode, num_classes=zoo.CLASSES),
        images(3, 32, 32),
        "s",
        thin=4,
    )


@pytest.mark.parametrize("name", ["ms_resnet18", "ms_resnet34"])
def test_ms_resnet(name: str) -> None:
    """What is inside of the mean over time."""
    make = getattr(zoo.models("ms_resnet"), name)

    def inside() -> nn.Module:
        net = make(num_classes=zoo.CLASSES)
        stages = net.layer1, net.layer2, net.layer3, net.layer4
        return nn.Sequential(net.stem, *stages, net.head_lif, net.avgpool, nn.Flatten(2), net.head)

    assert_round_trip(inside, images(3, 32, 32), "m", thin=8)


@pytest.mark.parametrize("name", PARAMETRIC)
def test_parametric_lif_net(name: str) -> None:
    make = getattr(zoo.models("parametric_lif_net"), name)
    x = images(*PARAMETRIC[name])
    assert_round_trip(
        lambda: make(channels=8, spiking_neuron=neuron.ParametricLIFNode, v_threshold=0.5), x, "s"
    )


@pytest.mark.parametrize("mode", ["s", "m"])
def test_spikes_are_identical_where_nothing_is_folded(mode: str) -> None:
    x = images(3, 224, 224)
    net = zoo.made(lambda: vgg("spiking_vgg11"), mode, thin=32)
    net, x = net.float(), x.float()
    graph = spikingjelly.export_to_nir(net, x if mode == "m" else x[0])
    imported = spikingjelly.import_from_nir(graph, step_mode=mode)  # type: ignore[arg-type]
    spikes = {
        path: _recorded(module)
        for path, module in net.named_modules()
        if isinstance(module, neuron.BaseNode)
    }
    again = {path: _recorded(imported.get_submodule(path.replace(".", "_"))) for path in spikes}
    expected = zoo.run(net, x, mode)
    with torch.no_grad():
        actual = imported(x)[0] if mode == "m" else torch.stack([imported(step)[0] for step in x])
    assert torch.equal(actual, expected)
    for path, recorded in spikes.items():
        assert sum(map(torch.Tensor.sum, recorded)) > 0
        assert all(map(torch.equal, recorded, again[path]))


def _recorded(module: nn.Module) -> list[torch.Tensor]:
    """What a module returns from now on."""
    recorded: list[torch.Tensor] = []
    module.register_forward_hook(lambda _module, _inputs, output: recorded.append(output))
    return recorded


# --- what can't go ---------------------------------------------------------------------------


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "ms_resnet18": (
        lambda: zoo.models("ms_resnet").ms_resnet18(),
        "forward calls torch.Tensor.mean, which no node stands for",
    ),
    "ottt_spiking_vgg11_ws": (
        lambda: zoo.models("spiking_vggws_ottt").ottt_spiking_vgg11_ws(),
        "features.3: NIR has no maximum, and only of spikes",
    ),
    "max_resnet18": (
        lambda: zoo.models("ms_resnet").max_resnet18(),
        "layer2.0.max_pool: NIR has no maximum",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_meaning_in_nir(name: str) -> None:
    make, reason = REFUSED[name]
    is_vgg = "vgg" in name
    net = zoo.made(make, "s" if is_vgg else "m", thin=8)
    example = images(3, 224, 224)[0] if is_vgg else images(3, 32, 32)
    with pytest.raises(ExportRefused) as refused:
        spikingjelly.export_to_nir(net, example)
    assert reason in str(refused.value)
    assert all(problem.advice for problem in refused.value.problems), str(refused.value)


def test_training_mode_is_refused() -> None:
    net: Any = zoo.models("spiking_resnet").spiking_resnet18(spiking_neuron=neuron.IFNode)
    functional.set_step_mode(net, "m")
    with pytest.raises(ExportRefused, match="bn1: in training mode") as refused:
        spikingjelly.export_to_nir(net.train(), torch.zeros(2, 1, 3, 32, 32))
    assert "net.eval()" in refused.value.problems[0].advice


def test_the_readme_names_what_is_refused() -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in readme.replace("vgg*_ws", "vgg11_ws") for name in REFUSED)

"""SpikingJelly's model zoo, for the tests: small images, weights that make every layer fire."""

from __future__ import annotations

import contextlib
import importlib
import sys
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

MODELS = "spikingjelly.activation_based.model"
CLASSES = 10


@contextlib.contextmanager
def _download_helper() -> Iterator[None]:
    """Stands in for torchvision, of which the zoo imports one function, which is torch.hub's.

    torchvision itself can't be imported beside a torch of another build (a CPU one, say), as its
    compiled part does not load there. Nothing else of it is used, and nothing is downloaded.
    """
    names = ("torchvision", "torchvision.models", "torchvision.models.utils")
    before = {name: sys.modules.get(name) for name in names}
    sys.modules.update({name: ModuleType(name) for name in names})
    sys.modules[names[-1]].load_state_dict_from_url = torch.hub.load_state_dict_from_url  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for name, module in before.items():
            if module is None:
                del sys.modules[name]
            else:
                sys.modules[name] = module


def models(name: str) -> Any:
    """A module of the zoo: `spiking_vgg`."""
    with _download_helper():
        return importlib.import_module(f"{MODELS}.{name}")


def made(make: Callable[[], nn.Module], mode: str, thin: int = 1) -> nn.Module:
    """A network in double precision and evaluation mode, whose layers all fire.

    Its numbers, of which the largest networks have 130 million, are drawn here and not by the
    constructor, which is given no memory. Of channels it may have a part only, one in `thin`.
    """
    with torch.device("meta"):
        net = make()
        for module in net.modules():
            _thin(module, thin)
    net = net.to_empty(device="cpu").double()
    functional.set_step_mode(net, mode)
    torch.manual_seed(0)
    for module in net.modules():
        _draw(module)
    return net.eval()


def _thin(module: nn.Module, by: int) -> None:
    """Divide the channels of a layer, but for those of images and classes."""

    def fewer(size: int) -> int:
        return size // by if size > CLASSES else size

    if isinstance(module, nn.Conv2d):
        groups = fewer(module.groups)
        inputs, outputs = fewer(module.in_channels), fewer(module.out_channels)
        module.__init__(  # type: ignore[misc]
            inputs, outputs, module.kernel_size, module.stride, module.padding, module.dilation,
            groups, module.bias is not None,
        )  # fmt: skip
    elif isinstance(module, nn.BatchNorm2d):
        module.__init__(fewer(module.num_features))  # type: ignore[misc]
    elif isinstance(module, nn.Linear):
        module.__init__(fewer(module.in_features), fewer(module.out_features))  # type: ignore[misc]


def _draw(module: nn.Module) -> None:
    """Numbers of a size that keeps signals as large as they are."""
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        fan_in = module.weight[0].numel()
        module.weight.data.normal_(0.0, (6 / fan_in) ** 0.5)
        if module.bias is not None:
            module.bias.data.normal_(0.2, 0.2)
        if isinstance(module, (layer.WSConv2d, layer.WSLinear)):
            module.gain.data.uniform_(0.8, 1.6)
    elif isinstance(module, nn.BatchNorm2d):
        module.weight.data.uniform_(0.8, 1.6)
        module.bias.data.uniform_(0.2, 0.8)
        module.running_mean.normal_(0.0, 0.1)
        module.running_var.uniform_(0.5, 1.5)
    elif isinstance(module, neuron.ParametricLIFNode):
        module.w.data.fill_(0.3)


def run(net: nn.Module, x: torch.Tensor, mode: str) -> torch.Tensor:
    """The outputs for an input [T, N, *]: [T, N, *]."""
    with torch.no_grad():
        return net(x) if mode == "m" else torch.stack([net(step) for step in x])

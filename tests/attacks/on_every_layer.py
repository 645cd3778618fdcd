"""Every layer that the mappings know, with something done to it."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import norse.torch as norse
import torch
from torch import Tensor, nn

from nir_runtime.sites import Refused
from tests.attacks.carriers import STEP
from tests.attacks.corpus import Expect, Mode, attack, noise
from tests.converters import test_support as supported

NOT_ALONE = ("NonSpiking", "Attention", "Temporal", "Threshold", "Container", "Dropout", "Print")
"""Layers that need others before them, or do nothing in eval."""


def _layers(target: str) -> Iterator[tuple[str, type[nn.Module], Mode]]:
    """The layers that have a node, by their names in the mappings."""
    known = supported.CONVERTERS[target].TARGET
    for name in supported.FRAMEWORKS[target].signatures:
        package, _, cls = name.rpartition(".")
        layer = getattr(supported.PACKAGES.get(package), cls, None)
        exporter = known.exporters.get(layer)
        if exporter is None or isinstance(exporter, Refused) or package == "dynamics":
            continue
        if not any(part in name for part in NOT_ALONE):
            yield name, layer, "afresh" if layer in known.sequences else "steps"


def _made(target: str, name: str) -> Any:
    """A layer that has learned something."""
    given = {"spike_grad": STEP} if target == "snntorch" else {}
    module: Any = supported.made(name, **given).double()
    if target == "norse" and hasattr(module, "p"):
        double = (v.double() if torch.is_tensor(v) else v for v in module.p)
        module.p = type(module.p)(*double)
    source = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for key, tensor in (*module.named_parameters(), *module.named_buffers()):
            kind = key.rpartition(".")[2]
            if kind in ("weight", "bias", "running_mean") and tensor.numel() > 1:
                tensor.copy_(torch.randn(tensor.shape, generator=source))
    return module


def every(name: str, expect: Expect, change: Callable[[Any], Any]) -> None:
    """Change every layer; a change may be a generator that clears up."""
    for target in ("spikingjelly", "snntorch", "norse"):
        for layer, cls, mode in _layers(target):

            def build(target: str = target, layer: str = layer) -> Iterator[Any]:
                module = _made(target, layer)
                before = supported.usual(layer) or nn.Identity()
                cleared = change(module)
                parts = (before.double(), module)
                net = norse.SequentialState(*parts) if target == "norse" else nn.Sequential(*parts)
                features = supported.shape(layer)
                if cleared is None:
                    yield net, noise(*features) * 30
                else:
                    next(cleared)
                    try:
                        yield net, noise(*features) * 30
                    finally:
                        next(cleared, None)

            del cls
            names = ("1",) if expect == "refused" else ()
            full = f"every layer: {layer}, {name}"
            attack(full, target, expect, names=names, mode=mode)(build)


def _as_it_is(module: Any) -> None:
    """Nothing is done."""


def _forward(module: Any) -> None:
    original = module.forward
    if "state" in inspect.signature(original).parameters:
        module.forward = lambda x, state=None: original(x * -3, state)
    else:
        module.forward = lambda x, *rest: original(x * -3, *rest)


def _subclass(module: Any) -> None:
    base = type(module)

    class Thrice(base):  # type: ignore[misc, valid-type]
        def forward(self, x: Tensor, *rest: Any) -> Any:
            return super().forward(x * -3, *rest)

    class ThriceWithState(base):  # type: ignore[misc, valid-type]
        def forward(self, x: Tensor, state: Any = None) -> Any:
            return super().forward(x * -3, state)

    with_state = "state" in inspect.signature(base.forward).parameters
    module.__class__ = ThriceWithState if with_state else Thrice


def _pre_hook(module: Any) -> None:
    module.register_forward_pre_hook(lambda module, args: (args[0] * -3, *args[1:]))


def _hook(module: Any) -> None:
    def hook(module: Any, args: Any, y: Any) -> Any:
        return (y[0] * 3, *y[1:]) if isinstance(y, tuple) else y * 3

    module.register_forward_hook(hook)


def _watching(module: Any) -> None:
    seen: list[Any] = []
    module.register_forward_hook(lambda module, args, y: seen.append(1))
    module.register_forward_pre_hook(lambda module, args: seen.append(2))


def _patched(module: Any) -> Iterator[None]:
    cls = type(module)
    own, original = vars(cls).get("forward"), cls.forward

    @functools.wraps(original)
    def thrice(self: Any, x: Tensor, *rest: Any) -> Any:
        return original(self, x * -3, *rest)

    cls.forward = thrice
    yield
    if own is None:
        del cls.forward
    else:
        cls.forward = own


def _noted(module: Any) -> None:
    module.note, module.rate = {"trained": "today"}, lambda: 0.5


for _name, _expect, _change in (
    ("as it is", "either", _as_it_is), ("another forward", "refused", _forward),
    ("a subclass", "refused", _subclass), ("a hook before", "refused", _pre_hook),
    ("a hook behind", "refused", _hook), ("hooks that watch", "either", _watching),
    ("its class is patched", "refused", _patched), ("with a note", "either", _noted),
):  # fmt: skip
    every(_name, _expect, _change)  # type: ignore[arg-type]

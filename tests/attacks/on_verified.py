"""What no look at a network shows, and running it beside its graph does: `verify=N`."""

from __future__ import annotations

import inspect
import os
import tempfile
import time
from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

from nir_exchange import spikingjelly
from tests.attacks.carriers import JellySteps, NorseSteps, TorchSteps, does, own
from tests.attacks.corpus import STEPS, Expect, attack, noise

_PATH = os.path.join(tempfile.gettempdir(), f"attack-{os.getpid()}")
CAN_VERIFY = "verify" in inspect.signature(spikingjelly.export_to_nir).parameters


def verified(name: str, act: Callable[..., Any], expect: Expect = "refused") -> None:
    """A network that is run beside its graph, for as many steps as it is judged by."""
    if not CAN_VERIFY:
        return
    for carrier in (JellySteps, TorchSteps, NorseSteps):

        def build(carrier: Any = carrier) -> tuple[nn.Module, Tensor]:
            os.environ.pop("TICKS", None)
            if os.path.exists(_PATH):
                os.unlink(_PATH)
            net = own(carrier)
            does(net, act=act)
            return net, noise()

        full = f"verified: {name}, {carrier.__name__}"
        attack(full, carrier.framework, expect, options={"verify": STEPS})(build)


def _by_type(self: Any, h: Tensor, t: Any) -> Tensor:
    return h * 2 if type(h) is Tensor else h


def _by_class(self: Any, h: Tensor, t: Any) -> Tensor:
    return h if h.__class__.__name__ == "Signal" else h * 2


def _by_clock(self: Any, h: Tensor, t: Any) -> Tensor:
    return h * (1 + time.perf_counter_ns() % 7)


def _by_file(self: Any, h: Tensor, t: Any) -> Tensor:
    with open(_PATH, "a") as file:
        file.write("x")
    return h * (3.0 if os.path.getsize(_PATH) > 3 else 1.0)


def _by_environment(self: Any, h: Tensor, t: Any) -> Tensor:
    count = int(os.environ.get("TICKS", "0")) + 1
    os.environ["TICKS"] = str(count)
    return h * (3.0 if count > 3 else 1.0)


def _harmless(self: Any, h: Tensor, t: Any) -> Tensor:
    return h * 2


verified("by type", _by_type)
verified("by the class's name", _by_class)
verified("by the clock", _by_clock)
verified("by a file", _by_file)
verified("by the environment", _by_environment)
verified("harmless", _harmless, "equal")


@(
    attack("verified: behind a hundred thousand objects", "spikingjelly", "refused",
           options={"verify": STEPS}, looked_into=False)
    if CAN_VERIFY
    else lambda build: build
)  # fmt: skip
def behind_many() -> Any:
    net = own(JellySteps)
    net.many = [[k] for k in range(100_001)]
    net.many.append([0])

    def act(self: Any, h: Tensor, t: Any) -> Tensor:
        self.many[-1][0] += 1
        return h * (3.0 if self.many[-1][0] > 3 else 1.0)

    does(net, act=act)
    return net, noise()

"""Networks of each framework, in each of its ways, with a place for an attack: `act`.

Each is a Linear, a neuron, a Linear and a neuron; `act(h, t)` is what the network does to the first
Linear's output, at step `t` of a loop (None where the loop is the user's), by default what
its module `mid` does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import norse.torch as norse
import snntorch
import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, nn

from nir_runtime.functions import step_in
from tests.attacks.corpus import Expect, Mode, attack, noise

STEP = step_in(torch.float64)  # snnTorch's own give float32
HIDDEN, OUT = 16, 16
FAST = norse.LIFBoxParameters(tau_mem_inv=torch.tensor(500.0, dtype=torch.float64))
LEAKY = {"beta": 0.9, "reset_mechanism": "zero", "spike_grad": STEP}


class Carrier(nn.Module):
    """What the networks have in common."""

    framework: str
    mode: Mode = "steps"

    def __init__(self, mid: nn.Module | None = None) -> None:
        super().__init__()
        self.fc, self.out = self.linear(4, HIDDEN), self.linear(HIDDEN, OUT)
        if mid is not None:
            self.mid = mid
        self.neurons()
        with torch.no_grad():
            self.fc.weight *= 4
            self.out.weight *= 5
        self.prepare()

    def linear(self, inputs: int, outputs: int) -> Any:
        return nn.Linear(inputs, outputs)

    def neurons(self) -> None:
        raise NotImplementedError

    def prepare(self) -> None:
        """What an attack adds."""

    def act(self, h: Tensor, t: int | None) -> Tensor:
        """What an attack does."""
        return self.mid(h, t) if "mid" in self._modules else h

    def after(self, z: Tensor, t: int | None) -> Tensor:
        """What an attack does to the first neuron's output."""
        return z


class JellySteps(Carrier):
    """SpikingJelly, a step a call."""

    framework = "spikingjelly"

    def neurons(self) -> None:
        # SpikingJelly's default is one module for all neurons; an attack changes its own.
        self.lif = neuron.LIFNode(2.0, surrogate_function=surrogate.Sigmoid())
        self.last = neuron.IFNode(surrogate_function=surrogate.Sigmoid())

    def forward(self, x: Tensor) -> Any:
        return self.last(self.out(self.after(self.lif(self.act(self.fc(x), None)), None)))


class JellyLoop(JellySteps):
    """SpikingJelly, a loop over time in the forward."""

    mode = "sequences"

    def forward(self, x: Tensor) -> Any:
        return torch.stack([self.step(x[t], t) for t in range(len(x))])

    def step(self, x: Tensor, t: int) -> Tensor:
        return self.last(self.out(self.after(self.lif(self.act(self.fc(x), t)), t)))


class JellyMulti(JellySteps):
    """SpikingJelly, in multi-step mode."""

    mode = "sequences"

    def linear(self, inputs: int, outputs: int) -> Any:
        return layer.Linear(inputs, outputs)

    def neurons(self) -> None:
        super().neurons()
        functional.set_step_mode(self, "m")


class TorchSteps(Carrier):
    """snnTorch with hidden states, a step a call."""

    framework = "snntorch"

    def neurons(self) -> None:
        self.lif = snntorch.Leaky(**LEAKY, init_hidden=True)
        self.last = snntorch.Leaky(**LEAKY, init_hidden=True)

    def forward(self, x: Tensor) -> Any:
        return self.last(self.out(self.after(self.lif(self.act(self.fc(x), None)), None)))


class TorchLoop(Carrier):
    """snnTorch with states handed on in a loop over time."""

    framework, mode = "snntorch", "afresh"

    def neurons(self) -> None:
        self.lif, self.last = snntorch.Leaky(**LEAKY), snntorch.Leaky(**LEAKY)

    def forward(self, x: Tensor) -> Any:
        states, outputs = [self.lif.init_leaky(), self.last.init_leaky()], []
        for t in range(len(x)):
            outputs.append(self.step(x[t], t, states))
        return torch.stack(outputs)

    def step(self, x: Tensor, t: int, states: list[Any]) -> Tensor:
        z, states[0] = self.lif(self.act(self.fc(x), t), states[0])
        y, states[1] = self.last(self.out(self.after(z, t)), states[1])
        return y


class NorseSteps(Carrier):
    """Norse, a step a call."""

    framework = "norse"

    def neurons(self) -> None:
        self.lif, self.last = norse.LIFBoxCell(FAST), norse.LIFBoxCell(FAST)
        with torch.no_grad():
            self.fc.weight *= 3
            self.out.weight *= 3

    def forward(self, x: Tensor, state: Any = None) -> Any:
        states = [None, None] if state is None else list(state)
        return self.step(x, None, states), states

    def step(self, x: Tensor, t: int | None, states: list[Any]) -> Tensor:
        z, states[0] = self.lif(self.act(self.fc(x), t), states[0])
        y, states[1] = self.last(self.out(self.after(z, t)), states[1])
        return y


class NorseLoop(NorseSteps):
    """Norse, a loop over time in the forward."""

    mode = "afresh"

    def forward(self, x: Tensor, state: Any = None) -> Any:
        states: list[Any] = [None, None]
        return torch.stack([self.step(x[t], t, states) for t in range(len(x))])


def attacked(
    name: str,
    where: type[Carrier] | tuple[type[Carrier], ...],
    expect: Expect = "refused",
    *names: str,
    **options: Any,
) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Register networks that a function changes once they are made; it sets `act` and the like."""

    def register(change: Callable[[Any], None]) -> Callable[[Any], None]:
        for carrier in where if isinstance(where, tuple) else (where,):

            def build(carrier: type[Carrier] = carrier) -> tuple[nn.Module, Tensor]:
                net = own(carrier)
                change(net)
                return net, noise()

            full = f"{name}, {carrier.__name__}"
            kept = {"mode": carrier.mode, **options}
            named = names if expect == "refused" else ()
            attack(full, carrier.framework, expect, names=named, **kept)(build)
        return change

    return register


def own(carrier: type[Carrier]) -> Any:
    """A network of a class of its own, which an attack may change."""
    return type("Net", (carrier,), {"__module__": __name__})()


def does(net: Carrier, *, act: Any = None, after: Any = None) -> None:
    """What the class of a network does in its forward; each is called with the network."""
    assert type(net).__name__ == "Net", "the carriers are everybody's: take `own`"
    for name, function in (("act", act), ("after", after)):
        if function is not None:
            setattr(type(net), name, function)


STEPPED = (JellySteps, TorchSteps, NorseSteps)
LOOPED = (JellyLoop, TorchLoop, NorseLoop)
ALL = (*STEPPED, *LOOPED, JellyMulti)

JELLY = (JellySteps, JellyLoop, JellyMulti)

"""Surrogate functions: steps, and those that are none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import snntorch
import torch
from snntorch import surrogate as torch_surrogate
from spikingjelly.activation_based import neuron, surrogate
from torch import Tensor, nn

from tests.attacks.carriers import (
    JELLY,
    LEAKY,
    JellyLoop,
    JellyMulti,
    JellySteps,
    TorchLoop,
    TorchSteps,
    attacked,
)
from tests.attacks.corpus import attack, noise

LEAKIES = (TorchSteps, TorchLoop)


def _give(node: Any, function: Any) -> None:
    """Give one of SpikingJelly's neurons a surrogate function, as its constructor would."""
    node._modules.pop("surrogate_function", None)
    node.surrogate_function = function


class _Counting(nn.Module):
    """A step that is none from its third call on."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return (x >= (0 if self.calls < 3 else 0.5)).to(x)


class _Soft(surrogate.SurrogateFunctionBase):  # type: ignore[misc]
    """A user's own surrogate function, which isn't a step."""

    @staticmethod
    def spiking_function(x: Tensor, **kwargs: Any) -> Tensor:
        return x.clamp(0, 1)

    primitive_function = spiking_function


def _drawn(x: Tensor) -> Tensor:
    return (torch.rand_like(x) < torch.sigmoid(x)).to(x)


def _shared(x: Tensor) -> Tensor:
    """Only one neuron may fire."""
    return ((x >= 0) & (x == x.max(dim=-1, keepdim=True).values)).to(x)


def _by_mean(x: Tensor) -> Tensor:
    return (x - x.mean(dim=-1, keepdim=True) > 0.3).to(x)


NO_STEPS: dict[str, Callable[[Tensor], Tensor]] = {
    "sigmoid": torch.sigmoid,
    "tanh": torch.tanh,
    "relu": torch.relu,
    "identity": lambda x: x,
    "a lambda that doubles": lambda x: x * 2,
    "a step above 0.5": lambda x: (x > 0.5).to(x),
    "a step above -0.5": lambda x: (x > -0.5).to(x),
    "a step above 1.5": lambda x: (x > 1.5).to(x),
    "a step above 20, and none below": lambda x: (x > 20).to(x),
    "a sign": torch.sign,
    "minus one, or one": lambda x: torch.where(x > 0, 1.0, -1.0).to(x),
    "half a spike": lambda x: (x > 0).to(x) * 0.5,
    "two spikes": lambda x: (x > 0).to(x) * 2,
    "a spike below": lambda x: (x < 0).to(x),
    "a window": lambda x: ((x > 0) & (x < 1)).to(x),
    "a window of 3": lambda x: ((x > 0) & (x < 3)).to(x),
    "several steps": lambda x: torch.floor(x.clamp(0, 4)),
    "rounded": lambda x: torch.round(x).clamp(0, 4),
    "one at large numbers only": lambda x: x.clamp(0, 1),
    "NaN at large numbers": lambda x: torch.where(x > 3, torch.nan, (x > 0).to(x)),
    "a spike at large negative numbers, too": lambda x: ((x > 0) | (x < -3)).to(x),
    "random": _drawn,
    "only the largest": _shared,
    "above the mean": _by_mean,
    "a steep sigmoid": lambda x: torch.sigmoid(x * 50),
    "a leaky step": lambda x: torch.where(x > 0, torch.ones_like(x), x * 0.01),
    "nothing": torch.zeros_like,
    "always": torch.ones_like,
}

STEPS: dict[str, Callable[[Tensor], Tensor]] = {
    "a step at >": lambda x: (x > 0).to(x),
    "a step at >=": lambda x: (x >= 0).to(x),
    "heaviside of 1": lambda x: torch.heaviside(x, torch.ones((), dtype=x.dtype)),
    "heaviside of 0": lambda x: torch.heaviside(x, torch.zeros((), dtype=x.dtype)),
    "a step by where": lambda x: torch.where(x > 0, 1.0, 0.0).to(x),
    "a sign that is clamped": lambda x: torch.sign(x).clamp(min=0),
}


def _register(name: str, function: Any, expect: Any) -> None:
    def of_lif(net: Any) -> None:
        _give(net.lif, function)

    def of_leaky(net: Any) -> None:
        net.lif.spike_grad = function

    names = ("lif",)
    attacked(f"surrogate: {name}", JELLY, expect, *names)(of_lif)
    attacked(f"surrogate: {name}", LEAKIES, expect, *names)(of_leaky)


for _name, _function in NO_STEPS.items():
    _register(_name, _function, "refused")
for _name, _function in STEPS.items():
    _register(
        _name, _function, "equal" if _name in ("a step at >", "a step by where") else "either"
    )


@attacked("surrogate: of another dtype", LEAKIES, "either")
def other_dtype(net: Any) -> None:
    net.lif.spike_grad = lambda x: (x > 0).to(torch.float64)


@attacked("surrogate: a step that counts its calls", LEAKIES, "refused", "lif")
def counting(net: Any) -> None:
    net.lif.spike_grad = _Counting()


@attacked("surrogate: a step that counts its calls", JELLY, "refused", "lif")
def jelly_counting(net: Any) -> None:
    _give(net.lif, _Counting())


# SpikingJelly's own


def own(name: str, make: Callable[[], Any], expect: Any) -> None:
    @attacked(f"surrogate: {name}", JELLY, expect, "lif")
    def change(net: Any) -> None:
        _give(net.lif, make())


own("MultiLevelSpikeCount(4)", lambda: surrogate.MultiLevelSpikeCount(4), "refused")
own("MultiLevelSpikeCount(1)", lambda: surrogate.MultiLevelSpikeCount(1), "refused")
own("ATan, not spiking", lambda: surrogate.ATan(spiking=False), "refused")
own("Sigmoid, not spiking", lambda: surrogate.Sigmoid(spiking=False), "refused")
own("PiecewiseLeakyReLU, not spiking", lambda: surrogate.PiecewiseLeakyReLU(spiking=False),
    "refused")  # fmt: skip
own("a user's own", _Soft, "refused")
own("Rect", surrogate.Rect, "equal")
for _kind in ("ATan", "Sigmoid", "SoftSign", "SuperSpike", "Erf", "PiecewiseQuadratic",
              "PiecewiseExp", "NonzeroSignLogAbs", "PiecewiseLeakyReLU", "S2NN", "QPseudoSpike",
              "LeakyKReLU", "LogTailedReLU", "SquarewaveFourierSeries",
              "FakeNumericalGradient"):  # fmt: skip
    own(_kind, getattr(surrogate, _kind), "equal")
own("DeterministicPass", surrogate.DeterministicPass, "either")


@attack("surrogate: PoissonPass", "spikingjelly", "refused")
def poisson() -> Any:
    net = JellySteps()
    # It takes numbers from 0 to 1.
    _give(net.lif, lambda x: surrogate.PoissonPass()(x.clamp(0, 1)).to(x))
    return net, noise()


@attacked("surrogate: set_spiking_mode", JELLY, "refused", "lif")
def set_spiking_mode(net: Any) -> None:
    net.lif.surrogate_function.set_spiking_mode(False)


@attack("surrogate: one for all neurons, turned off", "spikingjelly", "refused")
def one_for_all() -> Any:
    shared = surrogate.ATan()
    net = JellySteps()
    net.lif.surrogate_function = net.last.surrogate_function = shared
    shared.spiking = False
    return net, noise()


@attack("surrogate: of an IFNode", "spikingjelly", "refused", names=("1",))
def of_if() -> Any:
    net = nn.Sequential(nn.Linear(4, 8), neuron.IFNode(surrogate_function=torch.sigmoid))
    net[0].weight.data *= 4
    return net, noise()


@attack("surrogate: of a ParametricLIFNode", "spikingjelly", "refused", names=("1",))
def of_plif() -> Any:
    net = nn.Sequential(nn.Linear(4, 8), neuron.ParametricLIFNode(
        surrogate_function=surrogate.MultiLevelSpikeCount(3)))  # fmt: skip
    net[0].weight.data *= 4
    return net, noise()


@attack("surrogate: of a CUBALIFNode", "spikingjelly", "refused", names=("1",))
def of_cuba() -> Any:
    net = nn.Sequential(nn.Linear(4, 8), neuron.CUBALIFNode(
        0.5, 0.6, surrogate_function=torch.sigmoid))  # fmt: skip
    net[0].weight.data *= 4
    return net, noise()


# snnTorch's own; they give float32, and the network's numbers stay far from its rounding


def torch_own(name: str, make: Callable[[], Any], expect: Any) -> None:
    @attack(f"surrogate: snnTorch's {name}", "snntorch", expect)
    def build() -> Any:
        leaky = {**LEAKY, "spike_grad": make(), "init_hidden": True}
        net = nn.Sequential(nn.Linear(4, 8), snntorch.Leaky(**leaky))
        net[0].weight.data *= 4
        return net, noise()


torch_own("atan", torch_surrogate.atan, "equal")
torch_own("fast_sigmoid", torch_surrogate.fast_sigmoid, "equal")
torch_own("sigmoid", torch_surrogate.sigmoid, "equal")
torch_own("straight_through_estimator", torch_surrogate.straight_through_estimator, "equal")
torch_own("triangular", torch_surrogate.triangular, "equal")
torch_own("spike_rate_escape", torch_surrogate.spike_rate_escape, "equal")
torch_own("SSO", torch_surrogate.SSO, "either")
torch_own("SFS", torch_surrogate.SFS, "either")
torch_own("custom_surrogate", lambda: torch_surrogate.custom_surrogate(
    lambda x, grad, spk: grad), "equal")  # fmt: skip


@attack("surrogate: snnTorch's surrogate_disable", "snntorch", "equal")
def disabled() -> Any:
    leaky = {**LEAKY, "surrogate_disable": True, "init_hidden": True}
    net = nn.Sequential(nn.Linear(4, 8), snntorch.Leaky(**leaky))
    net[0].weight.data *= 4
    return net, noise()


@attack("surrogate: replaced by a module in a loop", "spikingjelly", "refused", mode="sequences")
def replaced_in_loop() -> Any:
    class Net(JellyLoop):
        def act(self, h: Tensor, t: int | None) -> Tensor:
            if t == 2:
                _give(self.lif, torch.sigmoid)
            return h

    return Net(), noise()


@attack("surrogate: of the last neuron in multi-step mode", "spikingjelly", "refused",
        names=("last",), mode="sequences")  # fmt: skip
def of_last() -> Any:
    net = JellyMulti()
    _give(net.last, lambda x: x.clamp(min=0))
    return net, noise()

"""Where a state starts."""

from __future__ import annotations

from typing import Any

import norse.torch as norse
import snntorch
import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, nn

from tests.attacks.carriers import (
    FAST,
    HIDDEN,
    JELLY,
    LEAKY,
    STEP,
    JellyMulti,
    JellySteps,
    NorseLoop,
    NorseSteps,
    TorchLoop,
    TorchSteps,
    attacked,
)
from tests.attacks.corpus import attack, noise

# SpikingJelly: what a network runs from is what it has, and what it is reset to


@attacked("start: set_reset_value", JELLY, "either")
def set_reset_value(net: Any) -> None:
    net.lif.set_reset_value("v", -2.0)
    functional.reset_net(net)


@attacked("start: set_reset_value with a tensor", JELLY, "either")
def set_reset_tensor(net: Any) -> None:
    net.lif.set_reset_value("v", torch.linspace(-2, 0.8, HIDDEN))
    functional.reset_net(net)


@attacked("start: set_reset_value, not yet reset", JELLY, "either")
def not_yet_reset(net: Any) -> None:
    net.lif.set_reset_value("v", -2.0)


@attacked("start: _memories_rv", JELLY, "either")
def past_method(net: Any) -> None:
    net.lif._memories_rv["v"] = -2.0
    net.lif.reset()


@attacked("start: v_reset changed after it was made", JELLY, "either")
def v_reset_changed(net: Any) -> None:
    net.lif.v_reset = -1.5


@attacked("start: v_reset changed after it was made, and reset", JELLY, "either")
def v_reset_changed_and_reset(net: Any) -> None:
    net.lif.v_reset = -1.5
    functional.reset_net(net)


@attacked("start: v_reset becomes None", JELLY, "either")
def v_reset_none(net: Any) -> None:
    net.lif.v_reset = None


@attacked("start: a soft reset becomes a hard one", (JellySteps, JellyMulti), "either")
def v_reset_some(net: Any) -> None:
    net.lif = neuron.LIFNode(2.0, v_reset=None, step_mode=net.lif.step_mode,
                             surrogate_function=surrogate.Sigmoid())  # fmt: skip
    net.lif.v_reset = -1.5


@attacked("start: v is set before the run", JELLY, "either")
def v_set(net: Any) -> None:
    net.lif.v = -2.0


@attacked("start: a v of the batch's shape is left over", JELLY, "either")
def v_left_over(net: Any) -> None:
    net.lif.v = torch.full((2, HIDDEN), -2.0)


def _run(net: Any) -> None:
    with torch.no_grad():
        net(noise() if net.mode != "steps" else noise()[0] * 2)


@attacked("start: a run is left over", JELLY, "either")
def left_over(net: Any) -> None:
    _run(net)


@attacked("start: a run of another batch is left over, and reset", JELLY, "equal")
def left_over_and_reset(net: Any) -> None:
    _run(net)
    functional.reset_net(net)


@attacked("start: v_seq is left over, and reset", (JellyMulti,), "equal")
def v_seq_left_over(net: Any) -> None:
    net.lif.store_v_seq = True
    _run(net)
    functional.reset_net(net)


@attack("start: v of a CUBALIFNode", "spikingjelly", "either")
def cuba() -> Any:
    if not hasattr(neuron, "CUBALIFNode"):
        raise AttributeError("no CUBALIFNode")
    node = neuron.CUBALIFNode(0.5, 0.6)
    node.set_reset_value("c", 1.5)
    node.reset()
    net = nn.Sequential(nn.Linear(4, 8), node)
    net[0].weight.data *= 4
    return net, noise()


@attack("start: the queue of a Delay is left over", "spikingjelly", "either")
def delay_queue() -> Any:
    delay = layer.Delay(2)
    net = nn.Sequential(nn.Linear(4, 8), delay, neuron.LIFNode())
    net[0].weight.data *= 4
    delay(torch.full((2, 8), 9.0))
    return net, noise()


@attack("start: the queue of a Delay is left over, and reset", "spikingjelly", "equal")
def delay_reset() -> Any:
    delay = layer.Delay(2)
    net = nn.Sequential(nn.Linear(4, 8), delay, neuron.LIFNode())
    net[0].weight.data *= 4
    delay(torch.full((2, 8), 9.0))
    functional.reset_net(net)
    return net, noise()


@attack("start: the queue of a Delay is set to be reset to", "spikingjelly", "either")
def delay_reset_value() -> Any:
    delay = layer.Delay(2)
    net = nn.Sequential(nn.Linear(4, 8), delay, neuron.LIFNode())
    net[0].weight.data *= 4
    delay.set_reset_value("queue", [torch.full((2, 8), 9.0), torch.full((2, 8), 9.0)])
    functional.reset_net(net)
    return net, noise()


def _container(kind: str, change: Any, expect: Any) -> Any:
    inner = neuron.LIFNode(surrogate_function=surrogate.Sigmoid())
    if kind == "elementwise":
        net: Any = nn.Sequential(
            nn.Linear(4, 4), layer.ElementWiseRecurrentContainer(inner, lambda y, x: x + y)
        )
    else:
        net = nn.Sequential(nn.Linear(4, 4), layer.LinearRecurrentContainer(inner, 4, 4))
        net[1].rc.weight.data *= 3
    net[0].weight.data *= 4
    change(net[1])
    return net, noise()


def _container_attacks() -> None:
    def output_value(container: Any) -> None:
        container.set_reset_value("y", torch.ones(2, 4))
        functional.reset_net(container)

    def output_set(container: Any) -> None:
        container.y = torch.ones(2, 4)

    def left(container: Any) -> None:
        container(torch.ones(2, 4) * 5)

    def left_reset(container: Any) -> None:
        container(torch.ones(2, 4) * 5)
        functional.reset_net(container)

    def inner(container: Any) -> None:
        modules = [m for m in container.modules() if isinstance(m, neuron.LIFNode)]
        modules[0].set_reset_value("v", -2.0)
        functional.reset_net(container)

    for kind in ("elementwise", "linear"):
        for name, change, expect in (
            ("y is reset to another value", output_value, "either"),
            ("y is set", output_set, "either"),
            ("a run is left over", left, "either"),
            ("a run is left over, and reset", left_reset, "equal"),
            ("the neuron inside starts elsewhere", inner, "either"),
        ):
            attack(f"start: recurrent, {kind}, {name}", "spikingjelly", expect)(
                lambda kind=kind, change=change, expect=expect: _container(kind, change, expect)
            )


_container_attacks()


# snnTorch


@attacked("start: mem is set before the run", (TorchSteps, TorchLoop), "either")
def mem_set(net: Any) -> None:
    net.lif.mem = torch.full((2, HIDDEN), -2.0)


@attacked("start: a run of snnTorch is left over", (TorchSteps,), "either")
def torch_left_over(net: Any) -> None:
    _run(net)


@attacked("start: a run of snnTorch is left over, and reset", (TorchSteps,), "equal")
def torch_left_over_and_reset(net: Any) -> None:
    _run(net)
    snntorch.utils.reset(net)


@attacked("start: a run with states in hand is left over", (TorchLoop,), "equal")
def loop_left_over(net: Any) -> None:
    _run(net)


@attack("start: mem is made by the forward, not zero", "snntorch", "either", mode="afresh")
def made_by_forward() -> Any:
    class Net(TorchLoop):
        def forward(self, x: Tensor) -> Any:
            states: list[Any] = [torch.full((2, HIDDEN), 0.9), self.last.init_leaky()]
            return torch.stack([self.step(x[t], t, states) for t in range(len(x))])

    return Net(), noise()


@attack("start: mem is made by the forward, zero", "snntorch", "equal", mode="afresh")
def made_zero() -> Any:
    class Net(TorchLoop):
        def forward(self, x: Tensor) -> Any:
            states: list[Any] = [torch.zeros(2, HIDDEN), self.last.init_leaky()]
            return torch.stack([self.step(x[t], t, states) for t in range(len(x))])

    return Net(), noise()


@attack("start: mem is a parameter", "snntorch", "either", mode="afresh")
def learned_start() -> Any:
    class Net(TorchLoop):
        def prepare(self) -> None:
            self.mem0 = nn.Parameter(torch.full((1, HIDDEN), -1.5))

        def forward(self, x: Tensor) -> Any:
            states: list[Any] = [self.mem0.expand(2, HIDDEN), self.last.init_leaky()]
            return torch.stack([self.step(x[t], t, states) for t in range(len(x))])

    return Net(), noise()


@attack("start: the first step goes without a state, and mem is left over", "snntorch", "either",
        mode="afresh")  # fmt: skip
def none_first() -> Any:
    class Net(TorchLoop):
        def forward(self, x: Tensor) -> Any:
            states: list[Any] = [None, None]
            return torch.stack([self.step(x[t], t, states) for t in range(len(x))])

    net = Net()
    net.lif.mem = torch.full((2, HIDDEN), -3.0)
    return net, noise()


@attack("start: the first step goes without a state, call after call", "snntorch", "either",
        mode="afresh")  # fmt: skip
def none_at_first() -> Any:
    class Net(TorchLoop):
        def forward(self, x: Tensor) -> Any:
            states: list[Any] = [None, None]
            return torch.stack([self.step(x[t], t, states) for t in range(len(x))])

    return Net(), noise()


def _alpha_synaptic(change: Any) -> Any:
    lif = snntorch.Synaptic(alpha=0.8, beta=0.9, init_hidden=True, reset_mechanism="zero",
                            reset_delay=False, spike_grad=STEP)  # fmt: skip
    change(lif)
    net = nn.Sequential(nn.Linear(4, 8), lif)
    net[0].weight.data *= 4
    return net, noise()


@attack("start: syn of a Synaptic is set", "snntorch", "either")
def syn_set() -> Any:
    return _alpha_synaptic(lambda lif: setattr(lif, "syn", torch.full((2, 8), -1.0)))


@attack("start: mem of a Synaptic is set", "snntorch", "either")
def synaptic_mem_set() -> Any:
    return _alpha_synaptic(lambda lif: setattr(lif, "mem", torch.full((2, 8), -1.0)))


@attack("start: a Synaptic that starts at rest", "snntorch", "equal")
def synaptic_at_rest() -> Any:
    return _alpha_synaptic(lambda lif: None)


@attack("start: spk of an RLeaky is set", "snntorch", "either")
def spk_set() -> Any:
    lif = snntorch.RLeaky(beta=0.9, spike_grad=STEP, init_hidden=True, reset_mechanism="zero",
                          reset_delay=False, linear_features=4)  # fmt: skip
    lif.recurrent.weight.data *= 4
    lif.spk = torch.ones(2, 4)
    return nn.Sequential(lif), noise(4)


# Norse


@attack("start: Norse's cell is given a state by its caller's forward", "norse", "either",
        mode="afresh")  # fmt: skip
def norse_given() -> Any:
    class Net(NorseLoop):
        def forward(self, x: Tensor, state: Any = None) -> Any:
            start = self.lif.initial_state(x[0])._replace(v=torch.full((2, HIDDEN), 0.9))
            states: list[Any] = [start, None]
            return torch.stack([self.step(x[t], t, states) for t in range(len(x))])

    return Net(), noise()


@attack("start: Norse's cell is given its own initial state", "norse", "either", mode="afresh")
def norse_own_initial() -> Any:
    class Net(NorseLoop):
        def forward(self, x: Tensor, state: Any = None) -> Any:
            states: list[Any] = [self.lif.initial_state(x[0]), None]
            return torch.stack([self.step(x[t], t, states) for t in range(len(x))])

    return Net(), noise()


@attack("start: a state by default", "norse", "either")
def norse_by_default() -> Any:
    class Net(NorseSteps):
        def forward(self, x: Tensor, state: Any = None) -> Any:
            if state is None:
                start = self.lif.initial_state(x)._replace(v=torch.full((2, HIDDEN), -3.0))
                state = [start, None]
            return super().forward(x, state)

    return Net(), noise()


@attack("start: v_leak is not zero", "norse", "equal")
def norse_leak() -> Any:
    net = NorseSteps()
    net.lif.p = FAST._replace(v_leak=torch.tensor(0.4))
    return net, noise()


@attack("start: a LIFCell whose leak is not zero", "norse", "either")
def norse_lif_leak() -> Any:
    p = norse.LIFParameters(v_leak=torch.tensor(0.3), tau_mem_inv=torch.tensor(400.0))
    net = norse.SequentialState(nn.Linear(4, 8), norse.LIFCell(p))
    net[0].weight.data *= 4
    return net, noise()


@attack("start: v_reset is not v_leak", "norse", "equal")
def norse_reset() -> Any:
    net = NorseSteps()
    net.lif.p = FAST._replace(v_reset=torch.tensor(-0.7))
    return net, noise()


@attack("start: an IAFCell that starts at v_reset", "norse", "either")
def iaf() -> Any:
    p = norse.IAFParameters(v_reset=torch.tensor(-0.7))
    net = norse.SequentialState(nn.Linear(4, 8), norse.IAFCell(p))
    net[0].weight.data *= 2
    return net, noise()


@attack("start: LEAKY with another reset starts at zero", "snntorch", "equal")
def subtracting() -> Any:
    lif = snntorch.Leaky(**{**LEAKY, "reset_mechanism": "subtract"}, init_hidden=True)
    net = nn.Sequential(nn.Linear(4, 8), lif)
    net[0].weight.data *= 4
    return net, noise()

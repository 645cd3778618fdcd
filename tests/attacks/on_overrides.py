"""Instances that compute something other than their class, which is what a mapping is of."""

from __future__ import annotations

import contextlib
import copy
import functools
import types
from collections.abc import Callable, Iterator
from typing import Any

import norse.torch as norse
import snntorch
import torch
from spikingjelly.activation_based import layer, neuron
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from tests.attacks.carriers import (
    FAST,
    HIDDEN,
    JELLY,
    LEAKY,
    STEP,
    Carrier,
    JellyLoop,
    JellyMulti,
    JellySteps,
    NorseLoop,
    NorseSteps,
    TorchLoop,
    TorchSteps,
    attacked,
    does,
)
from tests.attacks.corpus import attack, noise

EACH = (JellySteps, JellyMulti, TorchSteps, TorchLoop, NorseSteps, NorseLoop)


# Any framework


@attacked("override: the forward of a Linear", EACH, "refused", "out", "forward")
def linear_forward(net: Any) -> None:
    original = net.out.forward
    net.out.forward = lambda x: original(x) * 2


@attacked("override: the forward of a neuron", EACH, "refused", "lif", "forward")
def neuron_forward(net: Any) -> None:
    original = net.lif.forward

    def forward(*args: Any) -> Any:
        return original(args[0] * 2, *args[1:])

    net.lif.forward = forward


@attacked("override: a bound method as the forward", EACH, "refused", "lif", "forward")
def bound(net: Any) -> None:
    def forward(self: Any, x: Tensor, *rest: Any) -> Any:
        return type(self).forward(self, x * 2, *rest)

    net.lif.forward = types.MethodType(forward, net.lif)


@attacked("override: a partial as the forward", (JellySteps, TorchSteps), "refused", "out",
          "forward")  # fmt: skip
def partial(net: Any) -> None:
    net.out.forward = functools.partial(lambda layer, x: type(layer).forward(layer, -x), net.out)


@attacked("override: the forward of another layer", EACH, "refused", "out", "forward")
def borrowed(net: Any) -> None:
    other = type(net.out)(HIDDEN, net.out.out_features)
    other.weight.data *= 5
    if hasattr(other, "step_mode"):
        other.step_mode = net.out.step_mode
    net.out.__dict__["forward"] = other.forward


@attacked("override: _call_impl of a layer", EACH, "refused", "out")
def call_impl(net: Any) -> None:
    original = net.out._call_impl
    net.out._call_impl = lambda *args: original(*args) * 2


@attacked("override: the class of a Linear", EACH, "refused", "out")
def linear_class(net: Any) -> None:
    class Twice(type(net.out)):  # type: ignore[misc]
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * 2

    net.out.__class__ = Twice


@attacked("override: the class of a neuron", EACH, "refused", "lif")
def neuron_class(net: Any) -> None:
    class Twice(type(net.lif)):  # type: ignore[misc]
        def forward(self, x: Tensor, *rest: Any) -> Any:
            return super().forward(x * 2, *rest)

    net.lif.__class__ = Twice


@attacked("override: __call__ of the network's class", EACH, "either")
def called(net: Any) -> None:
    def call(self: Any, x: Tensor, *rest: Any) -> Any:
        return nn.Module.__call__(self, x * 2, *rest)

    type(net).__call__ = call


@attacked("override: __call__ of an inner module's class", EACH, "either")
def inner_called(net: Any) -> None:
    class Inner(nn.Module):
        def __call__(self, h: Tensor, t: Any) -> Tensor:
            return super().__call__(h, t) * 2

        def forward(self, h: Tensor, t: Any) -> Tensor:
            return h

    net.mid = Inner()


@attacked("override: the network's own forward", EACH, "either")
def own_forward(net: Any) -> None:
    original = net.forward
    net.forward = lambda *args: original(args[0] * 2, *args[1:])


@attacked("override: __getattr__ of the network's class", EACH, "refused")
def getattr_of_class(net: Any) -> None:
    calls = [0]

    def counted(self: Any, name: str) -> Any:
        found = nn.Module.__getattr__(self, name)
        if name == "out":
            calls[0] += 1
            return lambda z: found(z) * calls[0]
        return found

    type(net).__getattr__ = counted


@attacked("override: a property that makes layers", EACH, "refused")
def a_property(net: Any) -> None:
    def out(self: Any) -> Any:
        made = nn.Linear(HIDDEN, HIDDEN)
        made.weight.data *= 5
        return made

    del net.out
    type(net).out = property(out)


@attacked("override: the weight is a property of a subclass", EACH, "refused", "out")
def weight_property(net: Any) -> None:
    base = type(net.out)

    class Masked(base):  # type: ignore[misc, valid-type]
        @property
        def weight(self) -> Tensor:
            return self._parameters["weight"] * 2

        @weight.setter
        def weight(self, value: Any) -> None:
            self._parameters["weight"] = value

    net.out.__class__ = Masked


@attacked("override: a copy with another forward", EACH, "refused", "lif")
def copied(net: Any) -> None:
    original = net.lif
    net.lif = copy.deepcopy(original)
    net.lif.forward = lambda x, *rest: original(x * 2, *rest)


# Harmless


@attacked("override, harmless: the forward of the class", EACH, "either")
def same_forward(net: Any) -> None:
    net.out.forward = types.MethodType(type(net.out).forward, net.out)


@attacked("override, harmless: its own forward kept under another name", EACH, "equal")
def kept_forward(net: Any) -> None:
    net.out.kept = net.out.forward


@attacked("override, harmless: extra_repr", EACH, "either")
def extra_repr(net: Any) -> None:
    net.lif.extra_repr = lambda: "mine"


@attacked("override, harmless: an attribute of one's own", EACH, "equal")
def own_attribute(net: Any) -> None:
    net.lif.name, net.out.note = "hidden", {"trained": "today"}


@attacked("override, harmless: a method of one's own", EACH, "equal")
def own_method(net: Any) -> None:
    net.lif.rate = lambda: 0.5


# Patched classes


@contextlib.contextmanager
def patched(cls: type, name: str, value: Any) -> Iterator[None]:
    """Inside, a class of a framework has another method."""
    own = name in vars(cls)
    original = vars(cls).get(name)
    setattr(cls, name, value)
    try:
        yield
    finally:
        if own:
            setattr(cls, name, original)
        else:
            delattr(cls, name)


def class_patch(name: str, carrier: type[Carrier], cls: type, method: str, make: Any) -> None:
    @attack(f"override: {name} of the framework's class", carrier.framework, "refused",
            mode=carrier.mode)  # fmt: skip
    def build() -> Iterator[Any]:
        net = carrier()
        with patched(cls, method, make(getattr(cls, method))):
            yield net, noise()


def _doubling(original: Any) -> Any:
    return lambda self, x, *rest: original(self, x * 2, *rest)


class_patch("forward", JellySteps, nn.Linear, "forward", _doubling)
class_patch("forward, LIFNode", JellySteps, neuron.LIFNode, "single_step_forward", _doubling)
class_patch("multi_step_forward", JellyMulti, neuron.LIFNode, "multi_step_forward", _doubling)
class_patch("forward", TorchSteps, snntorch.Leaky, "forward", _doubling)
class_patch("_base_state_function", TorchLoop, snntorch.Leaky, "_base_state_function", _doubling)
class_patch("fire", TorchSteps, snntorch.Leaky, "fire", _doubling)
class_patch("forward", NorseSteps, norse.LIFBoxCell, "forward", _doubling)


# SpikingJelly


def jelly_method(name: str, carriers: Any, method: str, make: Callable[[Any, Any], Any]) -> None:
    def change(net: Any) -> None:
        setattr(net.lif, method, make(net.lif, getattr(net.lif, method, None)))

    attacked(f"override: {name}", carriers, "refused", "lif", method)(change)


jelly_method("single_step_forward", (JellySteps, JellyLoop), "single_step_forward",
             lambda lif, original: lambda x: original(x * 2))  # fmt: skip
jelly_method("multi_step_forward", (JellyMulti,), "multi_step_forward",
             lambda lif, original: lambda x: original(x * 2))  # fmt: skip
jelly_method("single_step_functional_forward", (JellySteps, JellyLoop),
             "single_step_functional_forward",
             lambda lif, original: lambda inputs, states, **k: original((inputs[0] * 2,), states,
                                                                      **k))  # fmt: skip
jelly_method("materialize_states", (JellySteps,), "materialize_states",
             lambda lif, original: lambda x, s, m: (torch.full_like(x[0], 0.4),))  # fmt: skip


@attacked("override: the surrogate's forward", JELLY, "refused", "lif")
def surrogate_forward(net: Any) -> None:
    net.lif.surrogate_function.forward = lambda x: (x > 0.5).to(x)


@attacked("override: the surrogate's spiking_function", JELLY, "refused", "lif")
def spiking_function(net: Any) -> None:
    net.lif.surrogate_function.spiking_function = lambda x, alpha: (x > 0.5).to(x)


@attacked("override: neuronal_fire", (JellySteps, JellyLoop), "either")
def neuronal_fire(net: Any) -> None:
    net.lif.neuronal_fire = lambda: net.lif.v * 0


@attacked("override: neuronal_charge", (JellySteps, JellyLoop), "either")
def neuronal_charge(net: Any) -> None:
    net.lif.neuronal_charge = lambda x: setattr(net.lif, "v", x)


@attacked("override: neuronal_reset", (JellySteps, JellyLoop), "either")
def neuronal_reset(net: Any) -> None:
    net.lif.neuronal_reset = lambda spike: None


class _Node(neuron.LIFNode):
    """A user's own neuron."""

    def single_step_functional_forward(self, inputs: Any, states: Any, **kwargs: Any) -> Any:
        return super().single_step_functional_forward((inputs[0] * 2,), states, **kwargs)


@attacked("override: a subclass of LIFNode", (JellySteps, JellyLoop), "refused", "lif")
def subclass(net: Any) -> None:
    net.lif = _Node(2.0)


class _OwnNode(neuron.SimpleBaseNode if hasattr(neuron, "SimpleBaseNode") else neuron.LIFNode):  # type: ignore[misc]
    """SpikingJelly's tutorial of a neuron of one's own."""

    def neuronal_charge(self, x: Tensor) -> None:
        self.v = self.v * 0.5 + x


@attacked("override: a subclass of SimpleBaseNode", (JellySteps, JellyLoop), "refused", "lif")
def simple_subclass(net: Any) -> None:
    net.lif = _OwnNode()


# snnTorch


def torch_method(method: str, make: Callable[[Any, Any], Any], *carriers: Any) -> None:
    def change(net: Any) -> None:
        setattr(net.lif, method, make(net.lif, getattr(net.lif, method)))

    where = carriers or (TorchSteps, TorchLoop)
    expect: Any = "either" if method == "_base_zero" else "refused"  # bound when it was made
    attacked(f"override: {method}", where, expect, "lif")(change)


torch_method("fire", lambda lif, original: lambda mem: original(mem * 0.5))
torch_method("mem_reset", lambda lif, original: lambda mem: original(mem) * 0)
torch_method("state_function", lambda lif, original: lambda x: original(x * 2))
torch_method("_base_state_function", lambda lif, original: lambda x: original(x * 2))
torch_method("_base_zero", lambda lif, original: lambda x: original(x) * 2, TorchSteps)


@attacked("override: state_function of the class, another reset", (TorchSteps, TorchLoop),
          "either")  # fmt: skip
def other_reset(net: Any) -> None:
    net.lif.state_function = net.lif._base_sub


@attacked("override: spike_grad with a shift", (TorchSteps, TorchLoop), "refused", "lif")
def shifted(net: Any) -> None:
    net.lif.spike_grad = lambda x: STEP(x - 0.5)


@attacked("override: fire_inhibition", (TorchSteps, TorchLoop), "either")
def fire_inhibition(net: Any) -> None:
    net.lif.fire_inhibition = lambda n, mem: mem * 0


def recurrent(name: str, change: Callable[[Any], None], *names: str, conv: bool = False) -> None:
    """What is inside of an RLeaky."""

    @attack(f"override: RLeaky.recurrent {name}", "snntorch", "refused", names=("0", *names))
    def build() -> Any:
        kind = {"conv2d_channels": 2, "kernel_size": 3} if conv else {"linear_features": 4}
        lif = snntorch.RLeaky(beta=0.9, spike_grad=STEP, init_hidden=True, reset_mechanism="zero",
                              reset_delay=False, **kind)  # fmt: skip
        lif.recurrent.weight.data *= 3
        lif.recurrent.bias.data += 0.2
        change(lif)
        return nn.Sequential(lif), noise(2, 4, 4) if conv else noise(4)


def _replace(make: Callable[[], nn.Module]) -> Callable[[Any], None]:
    def change(lif: Any) -> None:
        lif.recurrent = make()
        for parameter in lif.recurrent.parameters():
            parameter.data *= 4

    return change


class _Twice(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x) * 2


class _LinearAndMore(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return torch.tanh(super().forward(x))


def _hooked(lif: Any) -> None:
    lif.recurrent.register_forward_hook(lambda module, args, y: y * 2)


def _pre_hooked(lif: Any) -> None:
    lif.recurrent.register_forward_pre_hook(lambda module, args: (args[0] * 2,))


def _own_forward(lif: Any) -> None:
    original = lif.recurrent.forward
    lif.recurrent.forward = lambda x: original(x) * 2


def _weight_norm(lif: Any) -> None:
    nn.utils.weight_norm(lif.recurrent)
    lif.recurrent.weight_g.data *= 2


def _parametrized(lif: Any) -> None:
    parametrizations.weight_norm(lif.recurrent)
    lif.recurrent.parametrizations.weight.original0.data *= 2


def _set(**values: Any) -> Callable[[Any], None]:
    def change(lif: Any) -> None:
        for name, value in values.items():
            setattr(lif.recurrent, name, value)

    return change


recurrent("is a subclass", _replace(lambda: _Twice(4, 4)))
recurrent("is a subclass with a tanh", _replace(lambda: _LinearAndMore(4, 4)))
recurrent("is a Sequential", _replace(lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU())))
recurrent("is the identity", _replace(nn.Identity))
recurrent("has a hook", _hooked)
recurrent("has a pre-hook", _pre_hooked)
recurrent("has a forward of its own", _own_forward)
recurrent("has an old weight_norm", _weight_norm)
recurrent("has another padding mode", _set(
    padding_mode="circular", _reversed_padding_repeated_twice=[1, 1, 1, 1]), conv=True)  # fmt: skip
recurrent("has another dilation", _set(dilation=(2, 2), padding=(2, 2)), conv=True)
recurrent("has groups", _replace(lambda: nn.Conv2d(2, 2, 3, padding=1, groups=2)), conv=True)
recurrent("has another kernel", _replace(lambda: nn.Conv2d(2, 2, 5, padding=2)), conv=True)


@attack("override, harmless: RLeaky.recurrent has a new weight_norm", "snntorch", "either")
def recurrent_parametrized() -> Any:
    lif = snntorch.RLeaky(beta=0.9, spike_grad=STEP, init_hidden=True, reset_mechanism="zero",
                          reset_delay=False, linear_features=4)  # fmt: skip
    _parametrized(lif)
    return nn.Sequential(lif), noise(4)


@attack("override, harmless: RLeaky.recurrent without a bias", "snntorch", "either")
def recurrent_without_bias() -> Any:
    lif = snntorch.RLeaky(beta=0.9, spike_grad=STEP, init_hidden=True, reset_mechanism="zero",
                          reset_delay=False, linear_features=4)  # fmt: skip
    lif.recurrent = nn.Linear(4, 4, bias=False)
    return nn.Sequential(lif), noise(4)


@attack("override: RLeaky one to one, V replaced by a module", "snntorch", "refused")
def one_to_one() -> Any:
    lif = snntorch.RLeaky(beta=0.9, spike_grad=STEP, init_hidden=True, reset_mechanism="zero",
                          reset_delay=False, all_to_all=False, V=0.5)  # fmt: skip
    lif.recurrent = nn.Linear(4, 4)
    lif.recurrent.weight.data *= 3
    return nn.Sequential(lif), noise(4)


# Norse


def norse_attribute(name: str, carriers: Any, change: Callable[[Any], None], *names: str) -> None:
    attacked(f"override: {name}", carriers, "refused", "lif", *names)(change)


def _activation(net: Any) -> None:
    original = net.lif.activation
    net.lif.activation = lambda x, s, p, dt: original(x * 2, s, p, dt)


def _other_activation(net: Any) -> None:
    net.lif.activation = norse.IAFCell().activation
    net.lif.state_fallback = norse.IAFCell().state_fallback
    net.lif.p = norse.IAFParameters()


def _fallback(net: Any) -> None:
    net.lif.state_fallback = lambda x: type(norse.LIFBoxCell().initial_state(x))(
        v=torch.full_like(x, 0.7)
    )


def _initial(net: Any) -> None:
    net.lif.state_fallback = lambda x: net.lif.initial_state(x)._replace(v=torch.full_like(x, -2.0))


norse_attribute("activation", (NorseSteps, NorseLoop), _activation, "activation")
norse_attribute("activation of another cell", (NorseSteps,), _other_activation)
norse_attribute("state_fallback", (NorseSteps, NorseLoop), _fallback, "state_fallback")
norse_attribute("state_fallback, lower", (NorseSteps, NorseLoop), _initial, "state_fallback")


@attacked("override: initial_state", (NorseSteps, NorseLoop), "either")
def initial_state(net: Any) -> None:
    net.lif.initial_state = lambda x: _initial(net)


@attacked("override: p is of another class", (NorseSteps, NorseLoop), "either")
def other_p(net: Any) -> None:
    class P(type(net.lif.p)):  # type: ignore[misc]
        @property
        def v_th(self) -> Tensor:
            return torch.tensor(0.3)

    net.lif.p = P(*net.lif.p)


@attack("override: Lift of a module with a forward of its own", "norse", "refused",
        mode="afresh")  # fmt: skip
def lifted() -> Any:
    inner = nn.Linear(4, 6)
    original = inner.forward
    inner.forward = lambda x: original(x) * 2  # type: ignore[method-assign]
    net = norse.SequentialState(norse.Lift(inner), norse.LIF(norse.LIFParameters()))
    inner.weight.data *= 30
    return net, noise(4)


@attack("override: SequentialState with another forward", "norse", "either")
def sequential_state() -> Any:
    net = norse.SequentialState(nn.Linear(4, 6), norse.LIFBoxCell(FAST))
    net[0].weight.data *= 5
    original = net.forward
    net.forward = lambda x, s=None: original(x * 2, s)
    return net, noise(4)


@attack("override: Sequential with another forward, inside", "spikingjelly", "either")
def sequential() -> Any:
    inner = nn.Sequential(nn.Linear(4, 6), neuron.LIFNode())
    inner[0].weight.data *= 5
    original = inner.forward
    inner.forward = lambda x: original(x * 2)  # type: ignore[method-assign]
    return nn.Sequential(inner, nn.Linear(6, 4), neuron.IFNode()), noise(4)


@attack("override: a subclass of Sequential", "spikingjelly", "either")
def subclassed_sequential() -> Any:
    class Residual(nn.Sequential):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) + x

    inner = Residual(nn.Linear(4, 4), neuron.LIFNode())
    inner[0].weight.data *= 5
    return nn.Sequential(inner, nn.Linear(4, 6), neuron.IFNode()), noise(4)


@attack("override: a subclass of a Linear that is traced as it", "spikingjelly", "refused")
def subclassed_linear() -> Any:
    return nn.Sequential(_LinearAndMore(4, 6), neuron.IFNode()), noise(4)


@attack("override: SeqToANNContainer with another forward", "spikingjelly", "either",
        mode="sequences")  # fmt: skip
def seq_to_ann() -> Any:
    inner = layer.SeqToANNContainer(nn.Linear(4, 6))
    original = inner.forward
    inner.forward = lambda x: original(x * 2)
    inner[0].weight.data *= 5
    return nn.Sequential(inner, neuron.LIFNode(step_mode="m")), noise(4)


@attack("override: a Linear parametrized by a module with state", "spikingjelly", "refused")
def parametrized_with_state() -> Any:
    class Growing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.n = 0

        def forward(self, w: Tensor) -> Tensor:
            self.n += 1
            return w * (1 + self.n % 3)

    linear = nn.Linear(4, 6)
    linear.weight.data *= 3
    parametrize.register_parametrization(linear, "weight", Growing(), unsafe=True)
    return nn.Sequential(linear, neuron.LIFNode()), noise(4)


@attack("override: TorchLoop with LEAKY under another call", "snntorch", "refused", mode="afresh")
def leaky_called() -> Any:
    class Mine(snntorch.Leaky):  # type: ignore[misc]
        def __call__(self, x: Tensor, *rest: Any) -> Any:
            return super().__call__(x * 2, *rest)

    net = TorchLoop()
    net.lif = Mine(**LEAKY)
    return net, noise()


@attacked("override: Carrier.act is patched while it runs", (JellyLoop, TorchLoop), "refused")
def patched_while_running(net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        if t == 1:
            self.out.forward = lambda x: nn.Linear.forward(self.out, x) * 2
        return h

    does(net, act=act)

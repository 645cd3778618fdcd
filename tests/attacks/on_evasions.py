"""What a check that looks in the usual places would not see."""

from __future__ import annotations

import contextlib
import functools
import random
import threading
import types
from collections.abc import Callable, Iterator
from typing import Any

import norse.torch as norse
import numpy as np
import snntorch
import torch
from spikingjelly.activation_based import neuron, surrogate
from torch import Tensor, nn

from tests.attacks.carriers import (
    FAST,
    HIDDEN,
    LEAKY,
    LOOPED,
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
from tests.attacks.corpus import Expect, attack, noise
from tests.attacks.on_reexport import changed

EACH = (JellySteps, JellyMulti, TorchSteps, TorchLoop, NorseSteps, NorseLoop)
SOME = (JellySteps, TorchLoop, NorseSteps)


# Patches that say they are what they patch


def patch(
    name: str,
    carrier: type[Carrier],
    cls: Any,
    method: str,
    make: Any,
    expect: Expect = "refused",
) -> None:
    """A method of a class that somebody else put there."""

    @attack(f"evasion: {name}", carrier.framework, expect, mode=carrier.mode)
    def build() -> Iterator[Any]:
        net = carrier()
        original = vars(cls).get(method)
        setattr(cls, method, make(getattr(cls, method)))
        try:
            yield net, noise()
        finally:
            if original is None:
                delattr(cls, method)
            else:
                setattr(cls, method, original)


def _wrapping(original: Any) -> Any:
    """As decorators have it."""

    @functools.wraps(original)
    def doubled(self: Any, x: Tensor, *rest: Any) -> Any:
        return original(self, x * 2, *rest)

    return doubled


def _of_same_module(original: Any) -> Any:
    def doubled(self: Any, x: Tensor, *rest: Any) -> Any:
        return original(self, x * 2, *rest)

    doubled.__module__, doubled.__qualname__ = original.__module__, original.__qualname__
    return doubled


class _Doubling:
    """A descriptor that isn't a function."""

    def __init__(self, original: Any) -> None:
        self.original = original

    def __get__(self, owner: Any, kind: Any = None) -> Any:
        return lambda x, *rest: self.original(owner, x * 2, *rest)


def _partial(original: Any) -> Any:
    return functools.partialmethod(lambda self, x, *rest: original(self, x * 2, *rest))


for _how, _make in (
    ("that wraps", _wrapping), ("of the same name", _of_same_module),
    ("by a descriptor", _Doubling), ("by a partialmethod", _partial),
):  # fmt: skip
    patch(f"a patch {_how}, Linear.forward", JellySteps, nn.Linear, "forward", _make)
    patch(f"a patch {_how}, LIFNode", JellySteps, neuron.LIFNode, "single_step_forward", _make)
    patch(f"a patch {_how}, Leaky.forward", TorchLoop, snntorch.Leaky, "forward", _make)
    patch(f"a patch {_how}, LIFBoxCell.forward", NorseSteps, norse.LIFBoxCell, "forward", _make)
patch("a patch of the surrogate's class", JellySteps, surrogate.Sigmoid, "forward",
      lambda original: lambda self, x: (x > 0.5).to(x))  # fmt: skip
patch("a patch of nn.Module.__call__", JellySteps, nn.Module, "__call__",
      lambda original: lambda self, *args, **kwargs: _doubled_linear(
          self, original(self, *args, **kwargs)), "either")  # fmt: skip


def _doubled_linear(module: nn.Module, y: Any) -> Any:
    return y * 2 if isinstance(module, nn.Linear) else y


# Functions of others in place of one's own


@attacked("evasion: state_fallback of another cell", (NorseSteps, NorseLoop), "refused", "lif")
def fallback_of_another(net: Any) -> None:
    other = norse.LIFBoxCell(FAST._replace(v_leak=torch.tensor(0.9)))
    net.lif.state_fallback = other.initial_state


@attacked("evasion: forward of another layer of the class", EACH, "refused", "out", "forward")
def forward_of_another(net: Any) -> None:
    other = type(net.out)(HIDDEN, net.out.out_features)
    other.weight.data *= 5
    if hasattr(other, "step_mode"):
        other.step_mode = net.out.step_mode
    net.out.forward = other.forward


@attacked("evasion: state_function of another neuron", TorchSteps, "refused", "lif")
def state_function_of_another(net: Any) -> None:
    other = snntorch.Leaky(**{**LEAKY, "beta": 0.2}, init_hidden=True)
    other(torch.full((2, HIDDEN), 0.7))
    net.lif.state_function = other.state_function


@attacked("evasion: fire of another neuron", (TorchSteps, TorchLoop), "refused", "lif")
def fire_of_another(net: Any) -> None:
    other = snntorch.Leaky(**LEAKY, threshold=0.3)
    net.lif.fire = other.fire


@attacked("evasion: _compiled_call_impl", EACH, "refused", "out")
def compiled_call(net: Any) -> None:
    out = net.out
    out._compiled_call_impl = lambda x: type(out).forward(out, x) * 2


@attacked("evasion: _call_impl", EACH, "refused", "out")
def call_impl(net: Any) -> None:
    out = net.out
    out._call_impl = types.MethodType(lambda self, x: type(self).forward(self, x) * 2, out)


@attacked("evasion: _slow_forward", SOME, "either")
def slow_forward(net: Any) -> None:
    net.out._slow_forward = lambda x: x


@attacked("evasion: a scripted layer", SOME, "either")
def scripted(net: Any) -> None:
    net.out = torch.jit.script(net.out)


@attacked("evasion: a traced module", SOME, "either", looked_into=False)
def traced(net: Any) -> None:
    class Twice(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * 2

    net.twice = torch.jit.trace(Twice(), torch.rand(2, HIDDEN))
    does(net, act=lambda self, h, t: self.twice(h))


class _Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * 2

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad * 2


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return (x > 0).to(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


@attacked("evasion: an autograd function", SOME, "either")
def autograd_function(net: Any) -> None:
    does(net, act=lambda self, h, t: _Double.apply(h))


@attacked("evasion: an autograd function that is a step", SOME, "either")
def autograd_step(net: Any) -> None:
    does(net, act=lambda self, h, t: _Step.apply(h) * 3)


# Hooks that depend on each other, or on what a trial doesn't have


@attacked("evasion: two hooks that pass something on", EACH, "refused")
def two_hooks(net: Any) -> None:
    kept: list[Tensor] = []

    def keeps(module: Any, args: Any, y: Tensor) -> None:
        kept[:] = [y]

    def adds(module: Any, args: Any, y: Tensor) -> Any:
        return y + kept[0] if kept else None

    net.fc.register_forward_hook(keeps)
    net.out.register_forward_hook(adds)


@attacked("evasion: a hook that reads what the forward kept", SOME, "refused")
def reads_forward(net: Any) -> None:
    seen: dict[str, Any] = {}

    def act(self: Any, h: Tensor, t: Any) -> Tensor:
        seen["h"] = True
        return h

    does(net, act=act)
    net.out.register_forward_hook(lambda module, args, y: y * 2 if seen.get("h") else None)


@attacked("evasion: a hook on the third step of a sequence", JellyMulti, "refused", "out")
def third_step(net: Any) -> None:
    net.out.register_forward_hook(lambda module, args, y: torch.cat([y[:2], y[2:] * 0]))


@attacked("evasion: a hook that writes the third step of a sequence", JellyMulti, "refused", "out")
def writes_third_step(net: Any) -> None:
    def hook(module: Any, args: Any, y: Tensor) -> None:
        y[2:] = 0

    net.out.register_forward_hook(hook)


@attacked("evasion: a hook at every second call", EACH, "refused", "out")
def every_second(net: Any) -> None:
    calls = [0]

    def hook(module: Any, args: Any, y: Tensor) -> Any:
        calls[0] += 1
        return y * 2 if calls[0] % 2 == 0 else None

    net.out.register_forward_hook(hook)


@attacked("evasion: a hook on numbers between two bounds", SOME, "refused", "out")
def between(net: Any) -> None:
    def hook(module: Any, args: Any, y: Tensor) -> Any:
        return torch.where((y > 2.0) & (y < 3.0), y * 2, y)

    net.out.register_forward_hook(hook)


@attacked("evasion: a hook by the mode of the module", SOME, "refused", "out")
def by_mode(net: Any) -> None:
    net.out.register_forward_hook(lambda module, args, y: None if module.training else y * 2)


@attacked("evasion: a hook that draws a random number", SOME, "refused", "out")
def draws(net: Any) -> None:
    net.out.register_forward_hook(lambda module, args, y: y * 2 if random.random() > 0.5 else None)


@attacked("evasion: a hook that sets the weight", EACH, "refused", "out")
def sets_weight(net: Any) -> None:
    def hook(module: Any, args: Any) -> None:
        module.weight = nn.Parameter(module.weight * 1.5)

    net.out.register_forward_pre_hook(hook)


@attacked("evasion: a hook that writes another module's attribute", JellySteps, "refused")
def writes_another(net: Any) -> None:
    def hook(module: Any, args: Any, y: Any) -> None:
        net.last.v_threshold = net.last.v_threshold * 1.2

    net.out.register_forward_hook(hook)


@attacked("evasion: a hook that writes another module's state", JellySteps, "refused")
def writes_another_state(net: Any) -> None:
    def hook(module: Any, args: Any, y: Any) -> None:
        net.last.v = 0.0

    net.out.register_forward_hook(hook)


@attacked("evasion: a hook that detaches the state", (JellySteps, TorchSteps), "either")
def detaches(net: Any) -> None:
    def hook(module: Any, args: Any, y: Any) -> None:
        name = "v" if hasattr(module, "v") else "mem"
        setattr(module, name, getattr(module, name).detach())

    net.lif.register_forward_hook(hook)


# Weights changed in ways that leave no trace, and put back as they were


def put_back(name: str, change: Callable[[Any, float], None]) -> None:
    """Changed at step 1 of a sequence, and exactly as before at step 2."""

    def act(self: Any, h: Tensor, t: Any) -> Tensor:
        if t in (1, 2):
            change(self, -1.0)
        return h

    for carrier in LOOPED:
        attacked(f"evasion: a weight for one step, {name}", carrier, "refused")(
            lambda net: does(net, act=act)
        )


def _in_thread(self: Any, factor: float) -> None:
    def run() -> None:
        with torch.no_grad():
            self.out.weight.mul_(factor)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()


def _through_numpy(self: Any, factor: float) -> None:
    self.out.weight.detach().numpy()[...] *= factor


def _through_dlpack(self: Any, factor: float) -> None:
    np.from_dlpack(self.out.weight.detach())  # read only
    torch.from_dlpack(self.out.weight.detach()).mul_(factor)


def _through_storage(self: Any, factor: float) -> None:
    storage = self.out.weight.untyped_storage()
    torch.tensor([], dtype=torch.float64).set_(storage).mul_(factor)


def _through_view(self: Any, factor: float) -> None:
    self.out.weight.data.view(-1)[:].mul_(factor)


def _by_foreach(self: Any, factor: float) -> None:
    torch._foreach_mul_([self.out.weight.data], factor)


def _by_swap(self: Any, factor: float) -> None:
    if not hasattr(self, "spare"):
        self.__dict__["spare"] = nn.Parameter(-self.out.weight.detach())
    self.out.weight, self.__dict__["spare"] = self.__dict__["spare"], self.out.weight


def _by_swap_tensors(self: Any, factor: float) -> None:
    if "spare" not in self.__dict__:
        self.__dict__["spare"] = nn.Parameter(-self.out.weight.detach())
    torch.utils.swap_tensors(self.out.weight, self.__dict__["spare"])


def _by_out(self: Any, factor: float) -> None:
    with torch.no_grad():
        torch.mul(self.out.weight, factor, out=self.out.weight)


def _by_index(self: Any, factor: float) -> None:
    self.out.weight.data[:, 0] *= factor
    self.out.weight.data[:, 1:] *= factor


def _by_setattr(self: Any, factor: float) -> None:
    self.out.__dict__["weight"] = self.out.weight.detach() * factor


def _by_registry(self: Any, factor: float) -> None:
    self.out._parameters["weight"] = nn.Parameter(self.out.weight.detach() * factor)


def _by_optimizer(self: Any, factor: float) -> None:
    if "optimizer" not in self.__dict__:
        self.__dict__["optimizer"] = torch.optim.SGD([self.out.weight], lr=2.0)
    self.out.weight.grad = self.out.weight.detach().clone()
    self.optimizer.step()
    self.out.weight.grad = None


for _name, _change in (
    ("in a thread", _in_thread), ("through numpy", _through_numpy),
    ("through dlpack", _through_dlpack), ("through its storage", _through_storage),
    ("through a view", _through_view), ("by foreach", _by_foreach), ("by another", _by_swap),
    ("by swap_tensors", _by_swap_tensors), ("by out=", _by_out), ("by index", _by_index),
    ("by the dictionary", _by_setattr), ("by the registry", _by_registry),
    ("by an optimizer", _by_optimizer),
):  # fmt: skip
    put_back(_name, _change)


@attacked("evasion: the surrogate stops to spike at a step", JellyLoop, "refused", "lif")
def surrogate_at(net: Any) -> None:
    def act(self: Any, h: Tensor, t: Any) -> Tensor:
        self.lif.surrogate_function.spiking = t != 1
        return h

    does(net, act=act)


@attacked("evasion: p of Norse's is changed in place for one step", NorseLoop, "refused", "lif")
def p_for_one_step(net: Any) -> None:
    net.lif.p = net.lif.p._replace(v_th=torch.tensor(1.0))

    def act(self: Any, h: Tensor, t: Any) -> Tensor:
        if t in (1, 2):
            self.lif.p.v_th.mul_(-1.0)
        return h

    does(net, act=act)


@attacked("evasion: a neuron's attribute for one step, between its calls", JellyLoop, "equal")
def between_calls(net: Any) -> None:
    """Nobody sees it: it is as before whenever the neuron is called."""

    def act(self: Any, h: Tensor, t: Any) -> Tensor:
        self.lif.v_threshold += 1.0
        self.lif.v_threshold -= 1.0
        return h

    does(net, act=act)


# State where a network was imported, which is taken for ours


class _Counts(nn.Module):
    """A user's module in place of an imported layer."""

    def __init__(self, layer: Any) -> None:
        super().__init__()
        self.layer, self.calls = layer, 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return self.layer(x) * (1.0 if self.calls < 4 else -1.0)


IMPORTED = ("spikingjelly", "snntorch", "norse", "reference")


@changed("a layer in a module that counts", IMPORTED, "refused")
def counting_layer(net: Any) -> None:
    net.b = _Counts(net.b)


@changed("a layer whose forward counts", IMPORTED, "refused")
def counting_forward(net: Any) -> None:
    calls = [0]
    original = net.b.forward

    def forward(x: Tensor) -> Tensor:
        calls[0] += 1
        return original(x) * (1.0 if calls[0] < 4 else -1.0)

    net.b.forward = forward


@changed("a function that counts, in its graph", IMPORTED, "refused")
def counting_function(net: Any) -> None:
    calls = [0]

    def gain(x: Tensor) -> Tensor:
        calls[0] += 1
        return x * (1.0 if calls[0] < 4 else -1.0)

    (node,) = (n for n in net.graph.nodes if n.op == "call_module" and n.target == "c")
    with net.graph.inserting_after(node):
        scaled = net.graph.call_function(gain, (node,))
    node.replace_all_uses_with(scaled, delete_user_cb=lambda user: user is not scaled)
    net.recompile()


@changed("a subclass whose forward does more", IMPORTED, "refused")
def subclassed(net: Any) -> None:
    base = type(net)

    class More(base):  # type: ignore[misc, valid-type]
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            self.calls = getattr(self, "calls", 0) + 1
            result = base.forward(self, *args, **kwargs)
            return (result[0] * (1.0 if self.calls < 4 else -1.0), result[1])

    net.__class__ = More


@changed("a hook on a layer that counts", IMPORTED, "refused")
def counting_hook(net: Any) -> None:
    calls = [0]

    def hook(module: Any, args: Any, y: Any) -> Any:
        calls[0] += 1
        return y * (1.0 if calls[0] < 4 else -1.0)

    net.b.register_forward_hook(hook)


# In a package that isn't the network's


def _package(code: str) -> Any:
    module = types.ModuleType("a_package_of_helpers")
    exec(code, module.__dict__)
    return module


COUNTING = """
calls = 0
def gain():
    global calls
    calls += 1
    return calls
def late():
    return 3.0 if gain() >= 4 else 1.0
class Gain:
    calls = 0
    def __init__(self):
        self.own = 0
    def of_class(self):
        type(self).calls += 1
        return float(self.calls)
    def of_self(self):
        self.own += 1
        return 3.0 if self.own >= 4 else 1.0
"""


def helped(name: str, make: Callable[[Any], Callable[[], float]], expect: Expect) -> None:
    def change(net: Any) -> None:
        gain = make(_package(COUNTING))
        net.helper = gain
        does(net, act=lambda self, h, t: h * self.helper())

    attacked(f"evasion: in another package, {name}", SOME, expect)(change)


helped("a function that counts", lambda package: package.gain, "refused")
helped("an object that counts late", lambda package: package.Gain().of_self, "refused")
helped("a class that counts", lambda package: package.Gain().of_class, "refused")


# Where a forward comes to an end


@attacked("evasion: nothing of the first neuron is read", EACH, "either")
def unread(net: Any) -> None:
    net.skip = nn.Linear(HIDDEN, HIDDEN)
    net.skip.weight.data *= 3
    does(net, after=lambda self, z, t: z * 0 + self.skip(z) * 0 + z)


@contextlib.contextmanager
def _gradient() -> Iterator[None]:
    with torch.enable_grad():
        yield


@attacked("evasion: the forward trains itself", (JellySteps, JellyMulti), "refused")
def trains(net: Any) -> None:
    net.mix = nn.Linear(HIDDEN, HIDDEN)
    net.mix.weight.data *= 3

    def act(self: Any, h: Tensor, t: Any) -> Tensor:
        y = self.mix(h)
        with _gradient():
            loss = (self.mix.weight**2).sum()
            (gradient,) = torch.autograd.grad(loss, self.mix.weight)
        with torch.no_grad():
            self.mix.weight -= 0.2 * gradient
        return y

    does(net, act=act)


@attacked("evasion: weights that follow the spikes", (JellySteps, TorchSteps), "refused")
def plastic(net: Any) -> None:
    def after(self: Any, z: Tensor, t: Any) -> Tensor:
        with torch.no_grad():
            self.out.weight += 0.3 * z.mean(0)
        return z

    does(net, after=after)

"""Ways in which a forward runs its layers, other than calling them one after the other."""

from __future__ import annotations

import asyncio
import concurrent.futures
import contextlib
import copy
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import norse.torch as norse
import snntorch
import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, fx, nn
from torch.overrides import TorchFunctionMode
from torch.utils import checkpoint
from torch.utils._python_dispatch import TorchDispatchMode

from tests.attacks.carriers import (
    ALL,
    HIDDEN,
    LEAKY,
    LOOPED,
    STEPPED,
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

SOME = (JellySteps, JellyMulti, TorchLoop, NorseSteps)


def acts(name: str, act: Any, where: Any = SOME, expect: Expect = "either") -> None:
    def change(net: Any) -> None:
        net.mix = nn.Linear(HIDDEN, HIDDEN)
        net.mix.weight.data *= 3
        does(net, act=act)

    attacked(f"way: {name}", where, expect)(change)


# Layers with other weights than their own


def _functional_call(self: Any, h: Tensor, t: Any) -> Tensor:
    weights = {k: v * 2 for k, v in self.mix.named_parameters()}
    return torch.func.functional_call(self.mix, weights, (h,))


def _functional_call_at(self: Any, h: Tensor, t: Any) -> Tensor:
    weights = {k: v * (1 + t) for k, v in self.mix.named_parameters()}
    return torch.func.functional_call(self.mix, weights, (h,))


def _swapped(self: Any, h: Tensor, t: Any) -> Tensor:
    weight = self.mix.weight
    self.mix.weight = nn.Parameter(weight * 2)
    y = self.mix(h)
    self.mix.weight = weight
    return y


def _swapped_at(self: Any, h: Tensor, t: Any) -> Tensor:
    data = self.mix.weight.data
    self.mix.weight.data = data * (1 + t)
    y = self.mix(h)
    self.mix.weight.data = data
    return y


def _deep_copied(self: Any, h: Tensor, t: Any) -> Tensor:
    mix = copy.deepcopy(self.mix)
    return mix(h)


def _made(self: Any, h: Tensor, t: Any) -> Tensor:
    return nn.Linear(HIDDEN, HIDDEN)(h)


def _linear_of_own(self: Any, h: Tensor, t: Any) -> Tensor:
    return nn.functional.linear(h, self.mix.weight, self.mix.bias)


def _matmul(self: Any, h: Tensor, t: Any) -> Tensor:
    return h @ self.mix.weight.T + self.mix.bias


def _einsum(self: Any, h: Tensor, t: Any) -> Tensor:
    return torch.einsum("...i,oi->...o", h, self.mix.weight)


acts("functional_call with other weights", _functional_call)
acts("functional_call with another weight each step", _functional_call_at, LOOPED, "refused")
acts("a weight swapped and put back", _swapped)
acts("a weight swapped and put back, another each step", _swapped_at, LOOPED, "refused")
acts("a copy of a layer", _deep_copied)
acts("a layer made in the forward", _made)
acts("F.linear", _linear_of_own)
acts("a matrix product", _matmul)
acts("einsum", _einsum)

# Threads and such


def _in_thread(self: Any, h: Tensor, t: Any) -> Tensor:
    results: list[Tensor] = []
    thread = threading.Thread(target=lambda: results.append(self.mix(h)))
    thread.start()
    thread.join()
    return results[0]


def _in_pool(self: Any, h: Tensor, t: Any) -> Tensor:
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        return pool.submit(self.mix, h).result()


def _state_in_thread(self: Any, h: Tensor, t: Any) -> Tensor:
    def count() -> None:
        self.calls = getattr(self, "calls", 0) + 1

    thread = threading.Thread(target=count)
    thread.start()
    thread.join()
    return h * self.calls


def _async(self: Any, h: Tensor, t: Any) -> Tensor:
    async def run() -> Tensor:
        return self.mix(h)

    return asyncio.run(run())


def _generator(self: Any, h: Tensor, t: Any) -> Tensor:
    def parts() -> Iterator[Tensor]:
        yield self.mix(h)
        yield h

    return sum(parts())  # type: ignore[return-value]


def _recursive(self: Any, h: Tensor, t: Any) -> Tensor:
    def again(x: Tensor, depth: int) -> Tensor:
        return x if depth == 0 else again(self.mix(x), depth - 1)

    return again(h, 3)


def _checkpointed(self: Any, h: Tensor, t: Any) -> Tensor:
    return checkpoint.checkpoint(self.mix, h, use_reentrant=False)


def _vmapped(self: Any, h: Tensor, t: Any) -> Tensor:
    return torch.vmap(self.mix)(h)


def _with_exit(self: Any, h: Tensor, t: Any) -> Tensor:
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: None)
        return self.mix(h)


acts("a layer called in a thread", _in_thread)
acts("a layer called in a pool", _in_pool)
acts("a count in a thread", _state_in_thread, SOME, "refused")
acts("a coroutine", _async)
acts("a generator", _generator)
acts("recursion", _recursive)
acts("checkpoint", _checkpointed)
acts("vmap", _vmapped)
acts("an ExitStack", _with_exit, SOME, "equal")


# Failing, warning, talking


def _fails_at_second(self: Any, h: Tensor, t: Any) -> Tensor:
    if getattr(self, "ran", False):
        self.ran = False
        return h * 2
    self.ran = True
    return h


def _warns(self: Any, h: Tensor, t: Any) -> Tensor:
    warnings.warn("watch out", UserWarning, stacklevel=2)
    return h * 2


def _tries(self: Any, h: Tensor, t: Any) -> Tensor:
    try:
        return self.missing(h)
    except AttributeError:
        return h * 2


def _finally(self: Any, h: Tensor, t: Any) -> Tensor:
    try:
        return self.mix(h)
    finally:
        self.mix.weight.data *= 1.5


def _asserts(self: Any, h: Tensor, t: Any) -> Tensor:
    assert h.shape[-1] == HIDDEN
    return h * 2


acts("another thing at each second call", _fails_at_second, SOME, "refused")
acts("a warning", _warns, SOME, "equal")
acts("an attribute that is missing", _tries, SOME, "equal")
acts("a weight changed behind its use", _finally, SOME, "refused")
acts("an assertion", _asserts, SOME, "equal")


# Modes of torch


class _DoublingMode(TorchFunctionMode):
    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        y = func(*args, **(kwargs or {}))
        return y * 2 if func is nn.functional.linear else y


class _DispatchMode(TorchDispatchMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        y = func(*args, **(kwargs or {}))
        return y * 2 if "addmm" in str(func) else y


def _mode(name: str, make: Callable[[], Any]) -> None:
    for carrier in (JellySteps, TorchLoop, NorseSteps):

        def build(carrier: Any = carrier) -> Iterator[Any]:
            net = carrier()
            with make():
                yield net, noise()

        def build_inside(carrier: Any = carrier) -> Any:
            class Net(carrier):  # type: ignore[misc]
                def forward(self, *args: Any) -> Any:
                    with make():
                        return super().forward(*args)

            return Net(), noise()

        for where, builds in (("around", build), ("in the forward", build_inside)):
            attack(f"way: {name} {where}, {carrier.__name__}", carrier.framework, "either",
                   mode=carrier.mode)(builds)  # fmt: skip


_mode("a function mode", _DoublingMode)
_mode("a dispatch mode", _DispatchMode)
_mode("inference_mode", torch.inference_mode)
_mode("enable_grad", torch.enable_grad)


# What a network is wrapped in


def _wrapped(name: str, wrap: Callable[[Any], Any], expect: Expect = "either") -> None:
    for carrier in (JellySteps, TorchSteps, JellyMulti):

        def build(carrier: Any = carrier) -> Any:
            return wrap(carrier()), noise()

        attack(f"way: wrapped, {name}, {carrier.__name__}", carrier.framework, expect,
               mode=carrier.mode)(build)  # fmt: skip


class _Leaves(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, name: str) -> bool:
        return True


def _traced(net: Any) -> Any:
    return fx.GraphModule(net, _Leaves().trace(net))


class _Outer(nn.Module):
    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> Any:
        return self.inner(x)


class _Hidden(nn.Module):
    """A network that isn't registered."""

    def __init__(self, inner: Any) -> None:
        super().__init__()
        self.inner = [inner]

    def train(self, mode: bool = True) -> Any:
        self.inner[0].train(mode)
        return super().train(mode)

    def forward(self, x: Tensor) -> Any:
        return self.inner[0](x)


_wrapped("in a module", _Outer, "equal")
_wrapped("in three modules", lambda net: _Outer(_Outer(_Outer(net))), "equal")
_wrapped("in a Sequential", nn.Sequential, "equal")
_wrapped("in a module that hides it", _Hidden)
_wrapped("in a DataParallel", nn.DataParallel)
_wrapped("by torch.fx", _traced)
_wrapped("as a copy", copy.deepcopy, "equal")


# Multi-step forwards with SpikingJelly's functions


def _multi(name: str, act: Any, expect: Expect = "either") -> None:
    def change(net: Any) -> None:
        net.mix = nn.Linear(HIDDEN, HIDDEN)
        net.mix.weight.data *= 3
        net.more = neuron.LIFNode(surrogate_function=surrogate.Sigmoid())
        does(net, act=act)

    attacked(f"way: {name}", JellyMulti, expect)(change)


_multi("seq_to_ann_forward", lambda self, h, t: functional.seq_to_ann_forward(h, self.mix))
_multi("multi_step_forward", lambda self, h, t: functional.multi_step_forward(h, self.more) * 3)
_multi("multi_step_forward of several", lambda self, h, t: functional.multi_step_forward(
    h, [self.mix, self.more]) * 3)  # fmt: skip
_multi("seq_to_ann_forward of a neuron", lambda self, h, t: functional.seq_to_ann_forward(
    h, self.more) * 3, "refused")  # fmt: skip
_multi("a cumulative sum over time", lambda self, h, t: h.cumsum(0), "refused")
_multi("the mean over time", lambda self, h, t: h - h.mean(0, keepdim=True), "refused")
_multi("the difference to the step before", lambda self, h, t: torch.cat(
    [h[:1], h[1:] - h[:-1]]), "refused")  # fmt: skip
_multi("a softmax over time", lambda self, h, t: h.softmax(0), "refused")
_multi("sorted over time", lambda self, h, t: h.sort(0).values, "refused")
_multi("a loop with a gain", lambda self, h, t: torch.stack(
    [h[k] * (1 + k) for k in range(len(h))]), "refused")  # fmt: skip
_multi("a loop with the step before", lambda self, h, t: torch.stack(
    [h[k] + h[max(0, k - 1)] for k in range(len(h))]), "refused")  # fmt: skip
_multi("a loop of the same", lambda self, h, t: torch.stack([h[k] * 2 for k in range(len(h))]))
_multi("unbound and stacked", lambda self, h, t: torch.stack(h.unbind(0)) * 2)
_multi("time and batch as one, and back", lambda self, h, t: self.mix(
    h.flatten(0, 1)).unflatten(0, h.shape[:2]))  # fmt: skip
_multi("a neuron over time and batch as one", lambda self, h, t: self.more(
    h.flatten(0, 1)).unflatten(0, h.shape[:2]) * 3, "refused")  # fmt: skip
_multi("time and batch exchanged, and back", lambda self, h, t: self.mix(
    h.transpose(0, 1)).transpose(0, 1))  # fmt: skip
_multi("a neuron with time and batch exchanged", lambda self, h, t: self.lif(
    h.transpose(0, 1)).transpose(0, 1) * 3, "refused")  # fmt: skip
_multi("padded in time", lambda self, h, t: nn.functional.pad(h, (0, 0, 0, 0, 1, 0))[:-1],
       "refused")  # fmt: skip
_multi("only the first steps", lambda self, h, t: torch.cat([h[:2], h[2:] * 0]), "refused")
_multi("repeated", lambda self, h, t: h[:1].expand_as(h), "refused")
_multi("the maximum so far", lambda self, h, t: h.cummax(0).values, "refused")


# Loops


def _loop(name: str, expect: Expect, forward: Callable[[Any, Tensor, Any], Any]) -> None:
    """A forward over time: it is given a function that takes a step, of x and t."""
    for carrier in LOOPED:

        def build(carrier: Any = carrier) -> Any:
            class Net(carrier):  # type: ignore[misc]
                def forward(self, x: Tensor, state: Any = None) -> Any:
                    states: list[Any] = [None, None]
                    if carrier is TorchLoop:
                        states = [self.lif.init_leaky(), self.last.init_leaky()]
                    rest = () if carrier is JellyLoop else (states,)
                    return forward(self, x, lambda step, t: self.step(step, t, *rest))

            return Net(), noise()

        attack(f"way: a loop, {name}, {carrier.__name__}", carrier.framework, expect,
               mode=carrier.mode)(build)  # fmt: skip


def _enumerated(self: Any, x: Tensor, step: Any) -> Tensor:
    return torch.stack([step(value, t) for t, value in enumerate(x)])


def _unbound(self: Any, x: Tensor, step: Any) -> Tensor:
    return torch.stack([step(value, t) for t, value in enumerate(x.unbind())])


def _split(self: Any, x: Tensor, step: Any) -> Tensor:
    return torch.cat([step(value[0], t)[None] for t, value in enumerate(x.split(1))])


def _while(self: Any, x: Tensor, step: Any) -> Tensor:
    outputs, t = [], 0
    while t < len(x):
        outputs.append(step(x[t], t))
        t += 1
    return torch.stack(outputs)


def _batch_first(self: Any, x: Tensor, step: Any) -> Tensor:
    x = x.transpose(0, 1)
    outputs = [step(x[:, t], t) for t in range(x.shape[1])]
    return torch.stack(outputs, 1).transpose(0, 1)


def _two_updates(self: Any, x: Tensor, step: Any) -> Tensor:
    outputs = []
    for t in range(len(x)):
        step(x[t], t)
        outputs.append(step(x[t], t))
    return torch.stack(outputs)


def _same_input(self: Any, x: Tensor, step: Any) -> Tensor:
    return torch.stack([step(x[0], t) for t in range(len(x))])


def _modulo(self: Any, x: Tensor, step: Any) -> Tensor:
    return torch.stack([step(x[t % 2], t) for t in range(len(x))])


def _next(self: Any, x: Tensor, step: Any) -> Tensor:
    return torch.stack([step(x[min(t + 1, len(x) - 1)], t) for t in range(len(x))])


def _both(self: Any, x: Tensor, step: Any) -> Tensor:
    return torch.stack([step(x[t] + x[max(0, t - 1)], t) for t in range(len(x))])


def _first_dropped(self: Any, x: Tensor, step: Any) -> Tensor:
    outputs = [step(x[t], t) for t in range(len(x))]
    return torch.stack([outputs[1], *outputs[1:]])


def _shifted(self: Any, x: Tensor, step: Any) -> Tensor:
    outputs = [step(x[t], t) for t in range(len(x))]
    return torch.stack([outputs[-1], *outputs[:-1]])


def _breaks(self: Any, x: Tensor, step: Any) -> Tensor:
    outputs = []
    for t in range(len(x)):
        outputs.append(step(x[t], t))
        if t == 1:
            break
    return torch.stack([*outputs, *[outputs[-1]] * (len(x) - len(outputs))])


def _continues(self: Any, x: Tensor, step: Any) -> Tensor:
    outputs: list[Tensor] = []
    for t in range(len(x)):
        if t == 1:
            outputs.append(outputs[-1])
            continue
        outputs.append(step(x[t], t))
    return torch.stack(outputs)


def _last_only(self: Any, x: Tensor, step: Any) -> Tensor:
    outputs = [step(x[t], t) for t in range(len(x))]
    return torch.stack([outputs[-1]] * len(x))


def _mean(self: Any, x: Tensor, step: Any) -> Tensor:
    outputs = torch.stack([step(x[t], t) for t in range(len(x))])
    return outputs.mean(0, keepdim=True).expand_as(outputs)


def _residual(self: Any, x: Tensor, step: Any) -> Tensor:
    previous: Any = 0
    outputs = []
    for t in range(len(x)):
        previous = step(x[t], t) + previous
        outputs.append(previous)
    return torch.stack(outputs)


def _fed_back(self: Any, x: Tensor, step: Any) -> Tensor:
    previous: Any = torch.zeros(2, 16)
    outputs = []
    for t in range(len(x)):
        previous = step(x[t] + previous[:, :4], t)
        outputs.append(previous)
    return torch.stack(outputs)


_loop("enumerate", "either", _enumerated)
_loop("unbind", "either", _unbound)
_loop("split", "either", _split)
_loop("while", "equal", _while)
_loop("the batch in front", "either", _batch_first)
_loop("two updates a step", "refused", _two_updates)
_loop("the same input", "refused", _same_input)
_loop("two inputs in turn", "refused", _modulo)
_loop("the next input", "refused", _next)
_loop("two inputs at once", "refused", _both)
_loop("the second output for the first", "refused", _first_dropped)
_loop("outputs shifted", "refused", _shifted)
_loop("it breaks off", "refused", _breaks)
_loop("a step is left out", "refused", _continues)
_loop("the last output, over and over", "refused", _last_only)
_loop("the mean", "refused", _mean)
_loop("outputs summed up", "refused", _residual)
_loop("the output fed back to the input", "either", _fed_back)


# Sequences with containers


def _jelly(name: str, expect: Expect, make: Callable[[], Any]) -> None:
    @attack(f"way: {name}", "spikingjelly", expect, mode="sequences")
    def build() -> Any:
        net = make()
        with torch.no_grad():
            for module in net.modules():
                if isinstance(module, nn.Linear):
                    module.weight *= 4
        return net, noise()


def _lif(mode: str = "m") -> Any:
    return neuron.LIFNode(step_mode=mode, surrogate_function=surrogate.Sigmoid())


_jelly("MultiStepContainer of single-step layers", "equal", lambda: layer.MultiStepContainer(
    nn.Linear(4, 8), _lif("s"), nn.Linear(8, 6), _lif("s")))  # fmt: skip
_jelly("SeqToANNContainer of a neuron", "refused", lambda: nn.Sequential(
    layer.SeqToANNContainer(nn.Linear(4, 8), _lif("s")), _lif()))  # fmt: skip
_jelly("SeqToANNContainer of a Dropout in eval", "equal", lambda: nn.Sequential(
    layer.SeqToANNContainer(nn.Linear(4, 8), nn.Dropout()), _lif()))  # fmt: skip


@attack("way: a LazyLinear that wasn't run", "spikingjelly", "either")
def lazy() -> Any:
    return nn.Sequential(nn.LazyLinear(8), neuron.LIFNode()), noise()


# snnTorch and Norse


@attack("way: Leaky with a hidden state in a loop", "snntorch", "either", mode="sequences")
def hidden_in_loop() -> Any:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(4, 8)
            self.lif = snntorch.Leaky(**LEAKY, init_hidden=True)
            self.fc.weight.data *= 4

        def forward(self, x: Tensor) -> Tensor:  # it goes on from the last sequence
            return torch.stack([self.lif(self.fc(x[t])) for t in range(len(x))])

    return Net(), noise()


@attack("way: one layer's state given to another", "snntorch", "refused", mode="afresh")
def state_of_another() -> Any:
    class Net(TorchLoop):
        def step(self, x: Tensor, t: int, states: Any) -> Tensor:
            z, states[0] = self.lif(self.act(self.fc(x), t), states[1])
            y, states[1] = self.last(self.out(z), states[0])
            return y

    return Net(), noise()


@attack("way: a recurrent net by hand", "snntorch", "either", mode="afresh")
def recurrent_by_hand() -> Any:
    class Net(TorchLoop):
        def forward(self, x: Tensor) -> Any:
            states: list[Any] = [self.lif.init_leaky(), self.last.init_leaky()]
            outputs, z = [], torch.zeros(2, HIDDEN)
            for t in range(len(x)):
                z, states[0] = self.lif(self.fc(x[t]) + z * 0.5, states[0])
                y, states[1] = self.last(self.out(z), states[1])
                outputs.append(y)
            return torch.stack(outputs)

    return Net(), noise()


@attack("way: the spikes of the step before", "norse", "refused", mode="afresh")
def step_before() -> Any:
    class Net(NorseLoop):
        def step(self, x: Tensor, t: Any, states: Any) -> Tensor:
            z, states[0] = self.lif(self.fc(x), states[0])
            late = self.__dict__.get("late", z) if t else z
            self.__dict__["late"] = z
            y, states[1] = self.last(self.out(late), states[1])
            return y

    return Net(), noise()


@attack("way: LIF over a sequence, in a loop of sequences", "norse", "refused", mode="afresh")
def sequences_in_loop() -> Any:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.lif = norse.Lift(nn.Linear(4, 8)), norse.LIF()
            self.fc.lifted_module.weight.data *= 100

        def forward(self, x: Tensor) -> Any:
            y, _ = self.lif(self.fc(x))
            z, _ = self.lif(self.fc(x))
            return y + z * 0.5

    return Net(), noise()


@attacked("way: an input that counts for little", STEPPED, "either")
def unused(net: Any) -> None:
    does(net, act=lambda self, h, t: h * 0.5)


@attacked("way: two layers under one name", ALL, "equal")
def shared(net: Any) -> None:
    net.mix = nn.Linear(HIDDEN, HIDDEN)
    net.again = net.mix
    net.mix.weight.data *= 3
    does(net, act=lambda self, h, t: self.again(h))


@attacked("way: a weight shared by two layers", ALL, "equal")
def shared_weight(net: Any) -> None:
    net.mix, net.more = nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, HIDDEN)
    net.more.weight = net.mix.weight
    net.mix.weight.data *= 3
    does(net, act=lambda self, h, t: self.more(self.mix(h)))


@attacked("way: a ModuleList of branches", ALL, "equal")
def branches(net: Any) -> None:
    net.parts = nn.ModuleList(nn.Linear(HIDDEN, HIDDEN) for _ in range(3))
    does(net, act=lambda self, h, t: sum(part(h) for part in self.parts))


@attacked("way: a ModuleDict by key", ALL, "equal")
def by_key(net: Any) -> None:
    net.parts = nn.ModuleDict({"a": nn.Linear(HIDDEN, HIDDEN), "b": nn.Identity()})
    does(net, act=lambda self, h, t: self.parts["b"](self.parts["a"](h)) * 3)


@attacked("way: a skip connection", ALL, "equal")
def skip(net: Any) -> None:
    net.mix = nn.Linear(HIDDEN, HIDDEN)
    does(net, act=lambda self, h, t: h + self.mix(h))


@attacked("way: arithmetic with numbers", ALL, "equal")
def arithmetic(net: Any) -> None:
    does(net, act=lambda self, h, t: -(h * 3 - h / 2) * -1 + 0 * h)


@attacked("way: spikes are gated by spikes", (JellySteps, TorchSteps), "either")
def gated(net: Any) -> None:
    net.gate = nn.Linear(4, HIDDEN)
    does(net, after=lambda self, z, t: z * (1 - z))

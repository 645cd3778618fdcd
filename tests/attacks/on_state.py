"""State outside of mapped layers: whatever a module remembers from one step to the next."""

from __future__ import annotations

import collections
import contextvars
import dataclasses
import functools
import itertools
import random
import threading
import time
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from spikingjelly.activation_based import base, functional
from torch import Tensor, nn

from tests.attacks import carriers
from tests.attacks.corpus import attack, noise


class Effect(nn.Module):
    """A module in the middle of a network. `names` is what a refusal must name."""

    names: ClassVar[tuple[str, ...]] = ("mid",)

    def __init__(self) -> None:
        super().__init__()
        self.prepare()

    def prepare(self) -> None:
        """Attributes of the module."""

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        raise NotImplementedError


def everywhere(
    name: str, where: tuple[type[carriers.Carrier], ...] = carriers.ALL, expect: Any = "refused"
) -> Callable[[type[Effect]], type[Effect]]:
    """Register an effect in several networks."""

    def register(effect: type[Effect]) -> type[Effect]:
        for carrier in where:
            names = effect.names if expect == "refused" and carrier not in carriers.LOOPED else ()
            full = f"{name}, {carrier.__name__}"
            attack(full, carrier.framework, expect, names=names, mode=carrier.mode)(
                functools.partial(_built, carrier, effect)
            )
        return effect

    return register


def _built(carrier: type[carriers.Carrier], effect: type[Effect]) -> tuple[nn.Module, Tensor]:
    return carrier(effect()), noise()


@everywhere("state: an accumulator")
class Accumulator(Effect):
    names = ("mid", "acc")

    def prepare(self) -> None:
        self.acc: Any = 0.0

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        self.acc = self.acc + h
        return h + self.acc


@everywhere("state: the previous value")
class Previous(Effect):
    names = ("mid", "prev")

    def prepare(self) -> None:
        self.prev: Tensor | None = None

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        y = h if self.prev is None else h - self.prev
        self.prev = h
        return y


@everywhere("state: a counter that changes the gain")
class Counter(Effect):
    names = ("mid", "calls")

    def prepare(self) -> None:
        self.calls = 0

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        self.calls += 1
        return h * self.calls


@everywhere("state: a switch that flips")
class Flip(Effect):
    names = ("mid", "on")

    def prepare(self) -> None:
        self.on = True

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        self.on = not self.on
        return h if self.on else h * 2


@everywhere("state: nothing at first, the flag of a first call")
class FirstCall(Effect):
    names = ("mid", "started")

    def prepare(self) -> None:
        self.started = False

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        if self.started:
            return h * 0.5
        self.started = True
        return h


@everywhere("state: only from the third call on")
class ThirdCall(Effect):
    names = ("mid", "calls")

    def prepare(self) -> None:
        self.calls = 0

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        self.calls += 1
        return h * 3 if self.calls >= 3 else h


@everywhere("state: a list of what was")
class History(Effect):
    names = ("mid", "history")

    def prepare(self) -> None:
        self.history: list[Tensor] = []

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        self.history.append(h)
        return sum(self.history[-2:])  # type: ignore[return-value]


@everywhere("state: a deque of what was")
class Deque(Effect):
    names = ("mid", "queue")

    def prepare(self) -> None:
        self.queue: collections.deque[Tensor] = collections.deque(maxlen=2)

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        self.queue.append(h)
        return sum(self.queue)  # type: ignore[return-value]


@everywhere("state: a dictionary")
class Dictionary(Effect):
    names = ("mid", "memo")

    def prepare(self) -> None:
        self.memo: dict[str, Any] = {"last": 0}

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        y = h + self.memo["last"]
        self.memo["last"] = h
        return y


@everywhere("state: containers in containers", (carriers.JellySteps, carriers.NorseLoop))
class Nested(Effect):
    names = ("mid", "memo")

    def prepare(self) -> None:
        self.memo: Any = {"a": [({"n": 0},)]}

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        self.memo["a"][0][0]["n"] += 1
        return h * self.memo["a"][0][0]["n"]


@everywhere("state: a buffer replaced")
class BufferReplaced(Effect):
    names = ("mid", "gain")
    gain: Tensor

    def prepare(self) -> None:
        self.register_buffer("gain", torch.ones(()))

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        y = h * self.gain
        self.gain = self.gain * 1.5
        return y


@everywhere("state: a buffer written in place")
class BufferInPlace(Effect):
    names = ("mid", "gain")
    gain: Tensor

    def prepare(self) -> None:
        self.register_buffer("gain", torch.ones(()))

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        y = h * self.gain
        self.gain += 1
        return y


@everywhere("state: a parameter written in place")
class ParameterInPlace(Effect):
    names = ("mid", "gain")

    def prepare(self) -> None:
        self.gain = nn.Parameter(torch.ones(()))

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        y = h * self.gain.detach()
        self.gain.data.add_(1)
        return y


@everywhere("state: a plain tensor written in place", (carriers.JellySteps, carriers.TorchLoop))
class PlainTensor(Effect):
    names = ("mid", "gain")

    def prepare(self) -> None:
        self.gain = torch.ones(())

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        y = h * self.gain
        self.gain.mul_(1.5)
        return y


@everywhere("state: a tensor in a list", (carriers.JellySteps, carriers.NorseLoop))
class TensorInList(Effect):
    names = ("mid", "gains")

    def prepare(self) -> None:
        self.gains = [torch.ones(())]

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        y = h * self.gains[0]
        self.gains[0].mul_(1.5)
        return y


@everywhere("state: a tensor in a nested dictionary", (carriers.TorchSteps, carriers.JellyMulti))
class TensorInDict(Effect):
    names = ("mid", "gains")

    def prepare(self) -> None:
        self.gains = {"a": {"b": torch.ones(())}}

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        y = h * self.gains["a"]["b"]
        self.gains["a"]["b"] += 1
        return y


@everywhere("state: a growing buffer", (carriers.JellySteps, carriers.TorchLoop))
class Growing(Effect):
    names = ("mid", "seen")
    seen: Tensor

    def prepare(self) -> None:
        self.register_buffer("seen", torch.zeros(1))

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        y = h * len(self.seen)
        self.seen = torch.cat([self.seen, torch.zeros(1)])
        return y


class _Holder:
    """A plain object with fields."""

    def __init__(self) -> None:
        self.n = 0


@everywhere("state: in a plain object")
class PlainObject(Effect):
    names = ("mid", "holder")

    def prepare(self) -> None:
        self.holder = _Holder()

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        self.holder.n += 1
        return h * self.holder.n


class _Slotted:
    """An object without a dictionary."""

    __slots__ = ("n",)

    def __init__(self) -> None:
        self.n = 0


@everywhere("state: in an object with slots", (carriers.JellySteps, carriers.NorseLoop))
class SlottedObject(Effect):
    names = ("mid",)

    def prepare(self) -> None:
        self.holder = _Slotted()

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        self.holder.n += 1
        return h * self.holder.n


@dataclasses.dataclass
class _Record:
    n: int = 0
    history: list[Any] = dataclasses.field(default_factory=list)


@everywhere("state: in a dataclass", (carriers.JellySteps, carriers.TorchSteps))
class DataclassObject(Effect):
    names = ("mid", "record")

    def prepare(self) -> None:
        self.record = _Record()

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        self.record.history.append(1)
        return h * len(self.record.history)


@everywhere("state: in a frozen dataclass that is replaced", (carriers.JellySteps,))
class FrozenReplaced(Effect):
    names = ("mid", "record")

    def prepare(self) -> None:
        self.record = dataclasses.make_dataclass("Frozen", [("n", int)], frozen=True)(1)

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        self.record = dataclasses.replace(self.record, n=self.record.n + 1)  # type: ignore[type-var]
        return h * self.record.n


@everywhere("state: in a namespace", (carriers.TorchLoop,))
class Namespace(Effect):
    names = ("mid", "ns")

    def prepare(self) -> None:
        self.ns = types.SimpleNamespace(n=0)

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        self.ns.n += 1
        return h * self.ns.n


@everywhere("state: in a numpy array")
class Numpy(Effect):
    names = ("mid", "count")

    def prepare(self) -> None:
        self.count = np.ones(1)

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        y = h * float(self.count[0])
        self.count[0] += 1
        return y


@everywhere("state: in a bytearray", (carriers.JellySteps,))
class Bytes(Effect):
    names = ("mid", "count")

    def prepare(self) -> None:
        self.count = bytearray(b"\x01")

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        y = h * self.count[0]
        self.count[0] += 1
        return y


@everywhere("state: in a module that isn't one of its own", (carriers.JellySteps,))
class ForeignModule(Effect):
    def prepare(self) -> None:
        self.others = [nn.Linear(1, 1)]

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        self.others[0].out_features += 1
        return h * self.others[0].out_features


@everywhere("state: an attribute of another module of the network")
class OfAnother(Effect):
    names = ("other", "steps")

    def prepare(self) -> None:
        self.other = nn.Identity()
        self.other.steps = 1  # type: ignore[assignment]

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        self.other.steps += 1  # type: ignore[operator]
        return h * self.other.steps  # type: ignore[operator]


@everywhere("state: a new attribute", (carriers.JellySteps, carriers.TorchLoop))
class New(Effect):
    names = ("mid", "made")

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        if hasattr(self, "made"):
            return h * 2
        self.made = True
        return h


@everywhere("state: an attribute that is deleted", (carriers.JellySteps, carriers.NorseLoop))
class Deleted(Effect):
    names = ("mid", "fresh")

    def prepare(self) -> None:
        self.fresh = True

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        if hasattr(self, "fresh"):
            del self.fresh
            return h
        return h * 2


@everywhere("state: a buffer that is registered in a forward", (carriers.JellySteps,))
class Registered(Effect):
    names = ("mid", "late")

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        if "late" in self._buffers:
            return h * 2
        self.register_buffer("late", torch.ones(1))
        return h


@everywhere("state: a set", (carriers.TorchSteps,))
class Set(Effect):
    names = ("mid", "seen")

    def prepare(self) -> None:
        self.seen: set[int] = set()

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        self.seen.add(len(self.seen))
        return h * len(self.seen)


@everywhere("state: of the class")
class OfClass(Effect):
    calls: ClassVar[int] = 0

    def prepare(self) -> None:
        type(self).calls = 0

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        type(self).calls += 1
        return h * type(self).calls


@everywhere("state: a list of the class", (carriers.JellySteps, carriers.NorseLoop))
class ListOfClass(Effect):
    history: ClassVar[list[int]] = []

    def prepare(self) -> None:
        self.history.clear()

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        self.history.append(1)
        return h * len(self.history)


_COUNT = 0


@everywhere("state: a global")
class Global(Effect):
    names = ()

    def prepare(self) -> None:
        global _COUNT
        _COUNT = 0

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        global _COUNT
        _COUNT += 1
        return h * _COUNT


_HISTORY: list[Any] = []


@everywhere("state: a global list of what was")
class GlobalList(Effect):
    names = ()

    def prepare(self) -> None:
        _HISTORY.clear()

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        _HISTORY.append(h)
        return sum(_HISTORY[-2:])  # type: ignore[return-value]


@everywhere("state: a global that acts from the third call on")
class GlobalLate(Effect):
    names = ()

    def prepare(self) -> None:
        _HISTORY.clear()

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        _HISTORY.append(None)
        return h * 3 if len(_HISTORY) >= 3 else h


@everywhere("state: a closure")
class Closure(Effect):
    names = ()

    def prepare(self) -> None:
        count = 0

        def gain() -> int:
            nonlocal count
            count += 1
            return count

        self.gain = gain

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        return h * self.gain()


@everywhere("state: a default argument")
class Default(Effect):
    names = ()

    def prepare(self) -> None:
        def gain(seen: list[int] = []) -> int:  # noqa: B006
            seen.append(1)
            return len(seen)

        self.gain = gain

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        return h * self.gain()


@everywhere("state: an attribute of a function", (carriers.JellySteps, carriers.TorchLoop))
class OfFunction(Effect):
    names = ()

    def prepare(self) -> None:
        def gain() -> Any:
            gain.calls += 1  # type: ignore[attr-defined]
            return gain.calls  # type: ignore[attr-defined]

        gain.calls = 0  # type: ignore[attr-defined]
        self.gain = gain

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        return h * self.gain()


@everywhere("state: itertools.count", (carriers.JellySteps, carriers.NorseLoop))
class Count(Effect):
    def prepare(self) -> None:
        self.counter = itertools.count(1)

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        return h * next(self.counter)


@everywhere("state: itertools.cycle", (carriers.TorchSteps, carriers.JellyMulti))
class Cycle(Effect):
    def prepare(self) -> None:
        self.gains = itertools.cycle([1, 1, 3])

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        return h * next(self.gains)


@everywhere("state: a generator", (carriers.JellySteps, carriers.TorchLoop))
class Generator(Effect):
    def prepare(self) -> None:
        def gains() -> Iterator[int]:
            yield from range(1, 1000)

        self.gains = gains()

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        return h * next(self.gains)


@everywhere("state: a partial of a list", (carriers.JellySteps,))
class Partial(Effect):
    def prepare(self) -> None:
        self.tick = functools.partial(self._tick, [])

    @staticmethod
    def _tick(seen: list[int]) -> int:
        seen.append(1)
        return len(seen)

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        return h * self.tick()


@everywhere("state: functools.cache", (carriers.JellySteps, carriers.TorchLoop))
class Cached(Effect):
    names = ()

    def prepare(self) -> None:
        @functools.cache
        def seen(key: int) -> list[int]:
            return []

        self.cached = seen

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        self.cached(0).append(1)
        return h * len(self.cached(0))


@everywhere("state: a lazily computed property", (carriers.JellySteps, carriers.TorchLoop))
class Lazy(Effect):
    names = ("mid",)

    @functools.cached_property
    def begun(self) -> list[int]:
        return [0]

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        self.begun[0] += 1
        return h * self.begun[0]


@everywhere("state: of a thread", (carriers.JellySteps, carriers.NorseLoop))
class ThreadLocal(Effect):
    names = ()

    def prepare(self) -> None:
        self.local = threading.local()

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        self.local.n = getattr(self.local, "n", 0) + 1
        return h * self.local.n


_VARIABLE: contextvars.ContextVar[int] = contextvars.ContextVar("calls", default=0)


@everywhere("state: of a context", (carriers.JellySteps, carriers.TorchLoop))
class OfContext(Effect):
    names = ()

    def prepare(self) -> None:
        _VARIABLE.set(0)

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        _VARIABLE.set(_VARIABLE.get() + 1)
        return h * _VARIABLE.get()


@everywhere("state: behind a weak reference", (carriers.JellySteps, carriers.NorseSteps))
class Weak(Effect):
    names = ()
    kept: ClassVar[Any] = None

    def prepare(self) -> None:
        holder = type(self).kept = _Holder()
        self.holder = weakref.ref(holder)

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        holder = self.holder()
        assert holder is not None
        holder.n += 1
        return h * holder.n


_BY_MODULE: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()


@everywhere("state: in a global by module", (carriers.JellySteps, carriers.TorchSteps))
class ByModule(Effect):
    names = ()

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        _BY_MODULE[self] = _BY_MODULE.get(self, 0) + 1
        return h * _BY_MODULE[self]


@everywhere("state: set past nn.Module", (carriers.JellySteps, carriers.JellyLoop))
class PastModule(Effect):
    names = ("mid", "n")

    def prepare(self) -> None:
        object.__setattr__(self, "n", 0)

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        self.__dict__["n"] += 1
        return h * self.__dict__["n"]


@everywhere("random: torch.rand as a gain")
class TorchRandom(Effect):
    names = ()

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        return h * (1 + 3 * torch.rand(()))


@everywhere("random: torch.rand_like of the signal", (carriers.JellySteps, carriers.TorchLoop))
class RandomLike(Effect):
    names = ()

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        return h + torch.rand_like(h) * 5


@everywhere("random: random.random")
class PythonRandom(Effect):
    names = ()

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        return h * (1 + 3 * random.random())


@everywhere("random: numpy", (carriers.JellySteps, carriers.TorchLoop, carriers.NorseSteps))
class NumpyRandom(Effect):
    names = ()

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        return h * (1 + 3 * float(np.random.rand()))


@everywhere("random: a numpy Generator", (carriers.JellySteps, carriers.NorseLoop))
class NumpyGenerator(Effect):
    def prepare(self) -> None:
        self.source = np.random.default_rng(0)

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        return h * (1 + 3 * float(self.source.random()))


@everywhere("random: a torch Generator", (carriers.JellySteps, carriers.TorchSteps))
class TorchGenerator(Effect):
    names = ()  # the message has the line

    def prepare(self) -> None:
        self.source = torch.Generator().manual_seed(0)

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        return h * (1 + 3 * torch.rand((), generator=self.source))


@everywhere("random: a Random of its own", (carriers.JellySteps, carriers.TorchLoop))
class OwnRandom(Effect):
    def prepare(self) -> None:
        self.source = random.Random(0)

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        return h * (1 + 3 * self.source.random())


@everywhere("random: a rare one", (carriers.JellySteps, carriers.TorchLoop))
class Rare(Effect):
    names = ()

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        return h * 4 if random.random() > 0.9 else h


@everywhere("random: bernoulli spikes", (carriers.JellySteps,))
class Bernoulli(Effect):
    names = ()

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        return h * (torch.rand(h.shape[-1]) > 0.5).double()


@everywhere("random: time", (carriers.JellySteps, carriers.TorchLoop, carriers.NorseSteps))
class Clock(Effect):
    names = ()

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        return h * (1 + time.perf_counter_ns() % 7)


class _Filter(base.MemoryModule):
    """A user's own layer for SpikingJelly."""

    def __init__(self) -> None:
        super().__init__()
        self.register_memory("current", 0.0)

    def single_step_forward(self, x: Tensor, *_: Any) -> Tensor:
        self.current = self.current * 0.5 + x
        return x + self.current


class _Functional(base.MemoryModule):
    """The same, as SpikingJelly 2 would have it."""

    def __init__(self) -> None:
        super().__init__()
        self.register_memory("current", 0.0)

    def single_step_functional_forward(self, inputs: Any, states: Any, **_: Any) -> Any:
        current = states[0] * 0.5 + inputs[0]
        return (current,), (current,)


class _CurrentFilter(base.MemoryModule):
    """That of SpikingJelly's example of STDP, word for word."""

    def __init__(self, tau: float) -> None:
        super().__init__()
        self.tau = tau
        self.register_memory("current", 0.0)

    def single_step_functional_forward(self, inputs: Any, states: Any, **kwargs: Any) -> Any:
        current = states[0] + (inputs[0] - states[0]) / self.tau
        return (current,), (current,)


def _jelly(carrier: type[carriers.Carrier], make: Callable[[], nn.Module]) -> Callable[[], Any]:
    def build() -> tuple[nn.Module, Tensor]:
        net: Any = carriers.own(carrier)
        net.add_module("between", make())
        functional.set_step_mode(net.between, "m" if carrier is carriers.JellyMulti else "s")
        carriers.does(net, act=lambda self, h, t: self.between(h))
        return net, noise()

    return build


for _carrier in (carriers.JellySteps, carriers.JellyLoop, carriers.JellyMulti):
    for _made in (_Functional, functools.partial(_CurrentFilter, 5.0)):
        _name = getattr(_made, "__name__", "_CurrentFilter")
        attack(
            f"state: a MemoryModule, {_name.lstrip('_')}, {_carrier.__name__}",
            "spikingjelly",
            "refused",
            names=("between",),
            mode=_carrier.mode,
        )(_jelly(_carrier, _made))


for _carrier in (carriers.JellySteps, carriers.JellyLoop):
    attack(
        f"state: a MemoryModule, of old, {_carrier.__name__}",
        "spikingjelly",
        "refused",
        names=("between",) if _carrier is carriers.JellySteps else (),
        mode=_carrier.mode,
    )(_jelly(_carrier, _Filter))


@attack("state: a MemoryModule in a Sequential", "spikingjelly", "refused", names=("1", "current"))
def filter_in_sequential() -> Any:
    from spikingjelly.activation_based import neuron

    first = nn.Linear(4, 6)
    first.weight.data *= 5
    return nn.Sequential(first, _CurrentFilter(5.0), neuron.IFNode()), noise()


@attack("state: of the network itself", "spikingjelly", "refused", names=("trace",))
def of_the_network() -> Any:
    class Net(carriers.JellySteps):
        def prepare(self) -> None:
            self.trace: Any = 0.0

        def act(self, h: Tensor, t: int | None) -> Tensor:
            self.trace = self.trace * 0.5 + h
            return self.trace

    return Net(), noise()


@attack("state: in a module in a ModuleDict in a ModuleList", "snntorch", "refused",
        names=("parts.0.a", "acc"))  # fmt: skip
def deep_inside() -> Any:
    class Net(carriers.TorchSteps):
        def prepare(self) -> None:
            self.parts = nn.ModuleList([nn.ModuleDict({"a": Accumulator()})])

        def act(self, h: Tensor, t: int | None) -> Tensor:
            return self.parts[0]["a"](h, t)  # type: ignore[index]

    return Net(), noise()


@attack("state: by a function outside", "norse", "refused", names=("acc",))
def by_a_function() -> Any:
    def accumulate(net: Any, h: Tensor) -> Tensor:
        net.acc = net.acc + h
        return h + net.acc

    class Net(carriers.NorseSteps):
        def prepare(self) -> None:
            self.acc: Any = 0.0

        def act(self, h: Tensor, t: int | None) -> Tensor:
            return accumulate(self, h)

    return Net(), noise()


# Harmless


@everywhere("state, harmless: nothing", expect="equal")
class Nothing(Effect):
    def forward(self, h: Tensor, t: int | None) -> Tensor:
        return h


@everywhere("state, harmless: a constant gain", expect="equal")
class Gain(Effect):
    def prepare(self) -> None:
        self.gain = 2.0

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        return h * self.gain


@everywhere("state, harmless: a buffer as a gain", expect="equal")
class GainBuffer(Effect):
    gain: Tensor

    def prepare(self) -> None:
        self.register_buffer("gain", torch.rand(carriers.HIDDEN) + 1)

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        return h * self.gain


@everywhere("state, harmless: a local list", expect="equal")
class Local(Effect):
    def forward(self, h: Tensor, t: int | None) -> Tensor:
        parts: list[Tensor] = []
        parts.append(h)
        parts.append(h * 2)
        return sum(parts)  # type: ignore[return-value]


@everywhere("state, harmless: the shape is noted", expect="either")
class Shape(Effect):
    def forward(self, h: Tensor, t: int | None) -> Tensor:
        self.shape = tuple(h.shape)
        return h


@everywhere("state, harmless: the last output is kept to look at", expect="either")
class Kept(Effect):
    def forward(self, h: Tensor, t: int | None) -> Tensor:
        self.last_seen = h
        return h


@everywhere("state, harmless: random numbers that nothing reads", expect="either")
class Unread(Effect):
    def forward(self, h: Tensor, t: int | None) -> Tensor:
        torch.rand(3)
        return h


@everywhere("state, harmless: computed once from constants", expect="either")
class Once(Effect):
    def prepare(self) -> None:
        self.factor: float | None = None

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        if self.factor is None:
            self.factor = 2.0
        return h * self.factor

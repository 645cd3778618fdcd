"""State in objects of many kinds, and in places outside of a network."""

from __future__ import annotations

import array
import builtins
import collections
import ctypes
import enum
import io
import itertools
import os
import queue
import sys
import tempfile
import types
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from tests.attacks import carriers
from tests.attacks.carriers import (
    JellyLoop,
    JellyMulti,
    JellySteps,
    NorseSteps,
    TorchLoop,
    TorchSteps,
)
from tests.attacks.corpus import Expect, attack, noise

ROUND = (JellySteps, JellyMulti, TorchSteps, TorchLoop, NorseSteps)
_TURN = itertools.cycle(ROUND)


class Ticker(nn.Module):
    """Multiplies its input by how often it was called, as told by what counts for it."""

    def __init__(self, make: Callable[[], Any], tick: Callable[[Any], float]) -> None:
        super().__init__()
        self.holder = make()
        self.tick = tick

    def forward(self, h: Tensor, t: int | None) -> Tensor:
        return h * self.tick(self.holder)


def kept(
    name: str,
    make: Callable[[], Any],
    tick: Callable[[Any], float],
    *names: str,
    expect: Expect = "refused",
    late: bool = True,
) -> None:
    """A holder of state, in two of the networks; and in one that shows it from the third call on.

    What is outside of the network and its code can't be looked into, and has no `names`.
    """
    if names and late:
        _late(name, make, tick, names)
    for carrier in (next(_TURN), next(_TURN)):

        def build(carrier: Any = carrier) -> tuple[nn.Module, Tensor]:
            return carrier(Ticker(make, tick)), noise()

        named = names if carrier not in carriers.LOOPED and expect == "refused" else ()
        attack(f"object: {name}, {carrier.__name__}", carrier.framework, expect, names=named,
               mode=carrier.mode)(build)  # fmt: skip


def _late(
    name: str, make: Callable[[], Any], tick: Callable[[Any], float], names: tuple[str, ...]
) -> None:
    """A holder whose state acts from the fourth call on: no second step shows it."""

    class Late(Ticker):
        def forward(self, h: Tensor, t: int | None) -> Tensor:
            return h * (3.0 if self.tick(self.holder) >= 4 else 1.0)

    def build() -> tuple[nn.Module, Tensor]:
        return JellySteps(Late(make, tick)), noise()

    attack(f"object: {name}, late", "spikingjelly", "refused", names=names)(build)


HOLDER = ("mid", "holder")


def _array_tick(kept_array: Any) -> float:
    kept_array[0] += 1
    return float(kept_array[0])


kept("array.array", lambda: array.array("d", [0.0]), _array_tick, *HOLDER)
kept("a list of one number", lambda: [0], _array_tick, *HOLDER)
kept("a ctypes array", lambda: (ctypes.c_int * 1)(0), _array_tick, "mid")
kept("a numpy array of integers", lambda: np.zeros(1, dtype=np.int64), _array_tick, *HOLDER)
kept("a numpy array of objects", lambda: np.array([0], dtype=object), _array_tick, *HOLDER)
kept("a view of a numpy array", lambda: np.zeros(4)[1:], _array_tick, *HOLDER)
kept("a memoryview", lambda: memoryview(bytearray(2)), _array_tick, *HOLDER)
kept("a tensor of integers", lambda: torch.zeros(1, dtype=torch.int64), _array_tick, *HOLDER)
kept("a view of a tensor", lambda: torch.zeros(4)[1:], _array_tick, *HOLDER)
kept("a tuple of a list", lambda: ([0],), lambda x: _array_tick(x[0]), *HOLDER)
kept("a list deep inside", lambda: {"a": ({"b": [[0]]},)},
     lambda x: _array_tick(x["a"][0]["b"][0]), *HOLDER)  # fmt: skip


def _counter_tick(counter: Any) -> float:
    counter["calls"] += 1
    return float(counter["calls"])


kept("a Counter", collections.Counter, _counter_tick, *HOLDER)
kept("a defaultdict", lambda: collections.defaultdict(int), _counter_tick, *HOLDER)
kept("an OrderedDict", lambda: collections.OrderedDict(calls=0), _counter_tick, *HOLDER)
kept("a UserDict", lambda: collections.UserDict(calls=0), _counter_tick, *HOLDER)
kept("a ChainMap", lambda: collections.ChainMap({"calls": 0}), _counter_tick, *HOLDER)
kept("a proxy of a dictionary", lambda: _Proxied(), lambda x: x.tick(), *HOLDER)


class _Proxied:
    def __init__(self) -> None:
        self.inner = {"calls": 0}
        self.proxy = types.MappingProxyType(self.inner)

    def tick(self) -> float:
        self.inner["calls"] += 1
        return float(self.proxy["calls"])


def _append_tick(items: Any) -> float:
    items.append(1)
    return float(len(items))


kept("a UserList", collections.UserList, _append_tick, *HOLDER)
kept("a deque without a bound", collections.deque, _append_tick, *HOLDER)


def _rotated(items: Any) -> float:
    items.rotate(1)
    return float(items[0])


kept("a deque that turns", lambda: collections.deque([1, 2, 3]), _rotated, *HOLDER, late=False)


def _popped(items: Any) -> float:
    return float(items.pop() if items else 1)


kept("a list that is used up", lambda: [4, 3, 2], _popped, *HOLDER)
kept("a set that is used up", lambda: {4}, _popped, *HOLDER, late=False)


def _reordered(items: Any) -> float:
    items.reverse()
    return float(items[0])


kept("a list that is reversed", lambda: [1, 3], _reordered, *HOLDER, late=False)


def _put(items: Any) -> float:
    items.put(1)
    return float(items.qsize())


kept("a queue.Queue", queue.Queue, _put, "mid")
kept("a SimpleQueue", queue.SimpleQueue, _put)


def _write(file: Any) -> float:
    file.write(b"x")
    return float(file.tell())


kept("a BytesIO", io.BytesIO, _write)


def _string(holder: Any) -> float:
    holder.text += "x"
    return float(len(holder.text))


kept("a string of an object", lambda: types.SimpleNamespace(text=""), _string, *HOLDER)


def _nested(holder: Any) -> float:
    holder.a.b.n += 1
    return float(holder.a.b.n)


def _deep() -> Any:
    space = types.SimpleNamespace
    return space(a=space(b=space(n=0)))


kept("an object deep inside", _deep, _nested, *HOLDER)


class _Cycle:
    """An object that knows itself."""

    def __init__(self) -> None:
        self.me, self.n = self, 0


def _own_tick(holder: Any) -> float:
    holder.me.n += 1
    return float(holder.n)


kept("an object that knows itself", _Cycle, _own_tick, *HOLDER)


class _Slots:
    __slots__ = ("inner",)

    def __init__(self) -> None:
        self.inner = [0]


kept("a list in an object with slots", _Slots, lambda x: _array_tick(x.inner), *HOLDER)


class _SlotsOfBoth(_Slots):
    __slots__ = ("__dict__", "n")

    def __init__(self) -> None:
        super().__init__()
        self.n = 0


def _slot_tick(holder: Any) -> float:
    holder.n += 1
    return float(holder.n)


kept("a slot of a subclass", _SlotsOfBoth, _slot_tick, *HOLDER)


class _ListAndMore(list):  # type: ignore[type-arg]
    """A list with an attribute."""


def _more_tick(items: Any) -> float:
    items.n = getattr(items, "n", 0) + 1
    return float(items.n)


kept("an attribute of a list", _ListAndMore, _more_tick, *HOLDER)


class _DictAndMore(dict):  # type: ignore[type-arg]
    """A dictionary with an attribute."""


kept("an attribute of a dictionary", _DictAndMore, _more_tick, *HOLDER)


class _TensorAndMore(Tensor):
    """A tensor with an attribute."""


kept("an attribute of a tensor", lambda: torch.zeros(1).as_subclass(_TensorAndMore), _more_tick,
     "mid")  # fmt: skip
kept("an attribute of a parameter", lambda: nn.Parameter(torch.zeros(1)), _more_tick, "mid")


class _Colour(enum.Enum):
    RED = 1
    GREEN = 3

    def next(self) -> _Colour:
        return _Colour.GREEN if self is _Colour.RED else _Colour.RED


def _enum_tick(holder: Any) -> float:
    holder[0] = holder[0].next()
    return float(holder[0].value)


kept("an enum", lambda: [_Colour.RED], _enum_tick, *HOLDER, late=False)


class _Property:
    def __init__(self) -> None:
        self._n = 0

    @property
    def n(self) -> int:
        self._n += 1
        return self._n


kept("a property that counts", _Property, lambda x: x.n, *HOLDER)


class _Callable:
    def __init__(self) -> None:
        self.n = 0

    def __call__(self) -> int:
        self.n += 1
        return self.n


kept("a callable object", _Callable, lambda x: x(), *HOLDER)
kept("a bound method", lambda: _Callable().__call__, lambda x: x(), "mid")


class _Descriptor:
    """State of a descriptor, which belongs to a class."""

    def __init__(self) -> None:
        self.n = 0

    def __get__(self, owner: Any, kind: Any = None) -> int:
        self.n += 1
        return self.n


def _described() -> Any:
    return type("Described", (), {"n": _Descriptor()})()


kept("a descriptor", _described, lambda x: x.n)

# What is used up as it is read

kept("iter of a list", lambda: iter([1, 2, 3] * 99), next)
kept("iter of a list, the same at first", lambda: iter([1, 1, 1, 3] * 99), next)
kept("a map", lambda: map(float, range(1, 99)), next)
kept("a zip", lambda: zip(range(1, 99), range(99), strict=False), lambda x: next(x)[0])
kept("enumerate", lambda: enumerate(range(99), 1), lambda x: next(x)[0])
kept("a reversed", lambda: reversed([3, 1] * 20), next)
kept("iter of a dictionary", lambda: iter(dict.fromkeys(range(1, 99))), next)
kept("itertools.chain", lambda: itertools.chain(range(1, 9), range(9, 99)), next)
kept("itertools.repeat, the same each time", lambda: itertools.repeat(2.0), next, expect="either")


def _sent() -> Any:
    def running() -> Iterator[int]:
        n = 0
        while True:
            n += 1
            yield n

    return running()


kept("a generator without end", _sent, next)
kept("a generator that is sent to", _sent, lambda x: x.send(None))

# Modules as holders


def _module() -> Any:
    module = nn.Module()
    module.n = 0  # type: ignore[assignment]
    return module


kept("a plain nn.Module", _module, _slot_tick, "mid")


def _module_list(modules: Any) -> float:
    modules.append(nn.Identity())
    return float(len(modules))


kept("a ModuleList that grows", nn.ModuleList, _module_list, "mid")


def _module_dict(modules: Any) -> float:
    modules[str(len(modules))] = nn.Identity()
    return float(len(modules))


kept("a ModuleDict that grows", nn.ModuleDict, _module_dict, "mid")


def _parameter_list(parameters: Any) -> float:
    parameters.append(nn.Parameter(torch.ones(1)))
    return float(len(parameters))


kept("a ParameterList that grows", nn.ParameterList, _parameter_list, "mid")


def _train_tick(module: Any) -> float:
    module.train(not module.training)
    return 3.0 if module.training else 1.0


kept("the mode of a module", nn.Identity, _train_tick, "mid", late=False)


def _grad_tick(parameter: Any) -> float:
    parameter.requires_grad_(not parameter.requires_grad)
    return 3.0 if parameter.requires_grad else 1.0


kept(
    "requires_grad of a parameter",
    lambda: nn.Parameter(torch.ones(1)),
    _grad_tick,
    "mid",
    late=False,
)


def _grad_value(parameter: Any) -> float:
    parameter.grad = torch.ones(1) if parameter.grad is None else parameter.grad + 1
    return float(parameter.grad)


kept("the gradient of a parameter", lambda: nn.Parameter(torch.ones(1)), _grad_value, "mid")


def _version(tensor: Any) -> float:
    tensor.add_(0)
    return float(tensor._version)


kept("the version of a tensor", lambda: torch.zeros(1), _version)

# Outside


def _environment(key: Any) -> float:
    os.environ[key] = str(int(os.environ.get(key, "0")) + 1)
    return float(os.environ[key])


def _fresh_environment() -> str:
    os.environ.pop("TICKS", None)
    return "TICKS"


kept("the environment", _fresh_environment, _environment)


def _fresh_file() -> str:
    handle, path = tempfile.mkstemp()
    os.close(handle)
    _FILES.append(path)
    for old in _FILES[:-1]:
        if os.path.exists(old):
            os.unlink(old)
    return path


_FILES: list[str] = []


def _file_tick(path: Any) -> float:
    with open(path, "a") as file:
        file.write("x")
    return float(os.path.getsize(path))


kept("a file", _fresh_file, _file_tick)


def _fresh(owner: Any) -> Callable[[], Any]:
    def make() -> Any:
        owner.ticks_of_an_attack = 0
        return None

    return make


def _of(owner: Any) -> Callable[[Any], float]:
    def tick(_: Any) -> float:
        owner.ticks_of_an_attack += 1
        return float(owner.ticks_of_an_attack)

    return tick


kept("an attribute of torch", _fresh(torch), _of(torch))
kept("an attribute of sys", _fresh(sys), _of(sys))
kept("an attribute of builtins", _fresh(builtins), _of(builtins))
kept("an attribute of nn.Linear", _fresh(nn.Linear), _of(nn.Linear))
kept("an attribute of a module of one's own", _fresh(carriers), _of(carriers))


class _Registry:
    calls: ClassVar[list[int]] = []


def _registry_tick(registry: Any) -> float:
    registry.calls.append(1)
    return float(len(registry.calls))


def _fresh_registry() -> Any:
    _Registry.calls.clear()
    return _Registry


kept("a list of a class that isn't a module", _fresh_registry, _registry_tick)


def _id_tick(seen: Any) -> float:
    seen.add(len(seen))
    return 1.0 + len(seen) % 2


kept("a set that is asked for its parity", set, _id_tick, *HOLDER, late=False)


# Harmless

kept("harmless, a number", lambda: 2.0, lambda x: x, expect="equal")
kept("harmless, a tuple", lambda: (2.0, 3.0), lambda x: x[1], expect="equal")
kept("harmless, a frozenset", lambda: frozenset({2.0}), lambda x: next(iter(x)), expect="equal")
kept("harmless, a dictionary that is read", lambda: {"gain": 2.0}, lambda x: x["gain"],
     expect="equal")  # fmt: skip
kept("harmless, a defaultdict that is asked for what isn't there",
     lambda: collections.defaultdict(lambda: 2.0), lambda x: x[0], expect="either")  # fmt: skip
kept("harmless, a numpy array that is read", lambda: np.array([2.0]), lambda x: float(x[0]),
     expect="equal")  # fmt: skip
kept("harmless, an object that is read", lambda: types.SimpleNamespace(n=2.0), lambda x: x.n,
     expect="equal")  # fmt: skip
kept("harmless, an object that knows itself", _Cycle, lambda x: x.me.n + 2.0, expect="equal")
kept("harmless, a function", lambda: lambda: 2.0, lambda x: x(), expect="equal")
kept("harmless, a module", lambda: nn.Linear(2, 2), lambda x: x.in_features, expect="equal")
kept("harmless, an open file", lambda: io.BytesIO(b"ab"), lambda x: len(x.getvalue()),
     expect="equal")  # fmt: skip
kept("harmless, a lock", lambda: __import__("threading").Lock(), lambda x: 1.0 + x.locked() + 1,
     expect="equal")  # fmt: skip
kept("harmless, a lambda that sorts its own list", lambda: [3, 1, 2], lambda x: sorted(x)[0] * 2.0,
     expect="equal")  # fmt: skip
kept("harmless, a list that is filled once", list,
     lambda x: x[0] if x else (x.append(2.0) or x[0]), expect="either")  # fmt: skip


@attack("object: of a module that isn't called", "spikingjelly", "refused")
def uncalled() -> Any:
    class Net(JellySteps):
        def prepare(self) -> None:
            self.unused = nn.Linear(2, 2)

        def act(self, h: Tensor, t: Any) -> Tensor:
            self.unused.weight.data += 1
            return h * float(self.unused.weight.data[0, 0].round().abs() + 1)

    return Net(), noise()


@attack("object: a tensor that is a view of a weight", "spikingjelly", "refused",
        mode="sequences")  # fmt: skip
def view_of_weight() -> Any:
    class Net(JellyLoop):
        def prepare(self) -> None:
            self.view = [self.out.weight.data[:8]]

        def act(self, h: Tensor, t: Any) -> Tensor:
            if t == 1:
                self.view[0] *= -1
            return h

    return Net(), noise()


@attack("object: a weight in a numpy array", "snntorch", "refused", mode="afresh")
def weight_in_numpy() -> Any:
    class Net(TorchLoop):
        def prepare(self) -> None:
            self.array = self.out.weight.detach().numpy()

        def act(self, h: Tensor, t: Any) -> Tensor:
            self.array *= {1: -1.0, 2: -1.0}.get(t, 1.0)  # exactly as it was
            return h

    return Net(), noise()


@attack("object: a buffer that is a view of a weight", "norse", "refused")
def buffer_of_weight() -> Any:
    class Net(NorseSteps):
        def prepare(self) -> None:
            self.register_buffer("rows", self.out.weight.data[:8])

        def act(self, h: Tensor, t: Any) -> Tensor:
            self.rows *= -1  # type: ignore[operator]
            return h

    return Net(), noise()

"""Strange things in a network that do nothing: an export goes through, or says what it can't do."""

from __future__ import annotations

import argparse
import collections
import configparser
import ctypes
import decimal
import fractions
import functools
import io
import itertools
import logging
import mmap
import pathlib
import random
import re
import sqlite3
import sys
import tempfile
import threading
import types
import uuid
import weakref
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from tests.attacks.carriers import (
    HIDDEN,
    JellyMulti,
    JellySteps,
    NorseSteps,
    TorchLoop,
    TorchSteps,
    does,
    own,
)
from tests.attacks.corpus import Expect, attack, noise

_TURN = itertools.cycle((JellySteps, TorchLoop, NorseSteps, JellyMulti, TorchSteps))


def holds(name: str, make: Callable[[], Any], expect: Expect = "equal") -> None:
    """A network with something in an attribute, which its forward doesn't look at."""
    carrier = next(_TURN)

    def build() -> tuple[nn.Module, Tensor]:
        net = own(carrier)
        net.strange = make()  # type: ignore[assignment]
        does(net, act=lambda self, h, t: h * 2 if self.strange is not None else h)
        return net, noise()

    full = f"strange: {name}, {carrier.__name__}"
    attack(full, carrier.framework, expect, mode=carrier.mode, looked_into=False)(build)


# Numbers that aren't equal to themselves, and tensors of all kinds

holds("NaN", lambda: float("nan"))
holds("NaN in a list", lambda: [float("nan"), [float("nan")]])
holds("NaN in a dictionary", lambda: {"best": float("nan")})
holds("NaN in an array", lambda: np.array([np.nan, 1.0]))
holds("NaN in an array of objects", lambda: np.array([float("nan"), None], dtype=object))
holds("NaN in a tensor", lambda: torch.tensor([float("nan"), 1.0]))
holds("NaN in a buffer", lambda: nn.BatchNorm1d(2).register_buffer("x", torch.tensor([torch.nan])))
holds("NaN in a record array", lambda: np.array([(1, np.nan)], dtype=[("a", "i4"), ("b", "f8")]))
holds("NaT", lambda: np.array(["NaT"], dtype="datetime64[s]"))
holds("infinity", lambda: [float("inf"), -float("inf")])
holds("a numpy scalar", lambda: np.float64("nan"))
holds("a complex tensor", lambda: torch.ones(2, dtype=torch.complex64))
holds("a sparse tensor", lambda: torch.eye(3).to_sparse())
holds("a CSR tensor", lambda: torch.eye(3).to_sparse_csr())
holds("a meta tensor", lambda: torch.empty(3, device="meta"))
holds("a quantized tensor", lambda: torch.quantize_per_tensor(
    torch.ones(3, dtype=torch.float32), 0.1, 0, torch.qint8))  # fmt: skip
holds("a tensor of bool", lambda: torch.tensor([True]))
holds("a tensor of bfloat16", lambda: torch.ones(2, dtype=torch.bfloat16))
holds("a tensor of float8", lambda: torch.ones(2).to(torch.float8_e4m3fn))
holds("an empty tensor", lambda: torch.empty(0))
holds("a tensor of no axes", lambda: torch.tensor(3.0))
holds("an expanded tensor", lambda: torch.ones(1).expand(1000, 1000))
holds("a tensor with gradient", lambda: torch.ones(2, requires_grad=True) * 2)
holds("a tensor of inference mode", lambda: _of_inference())
holds("a nested tensor", lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]))
holds("a conjugate view", lambda: torch.ones(2, dtype=torch.complex64).conj())
holds("a negative view", lambda: torch.ones(2, dtype=torch.complex64).conj().imag)
holds("an uninitialized parameter", lambda: nn.parameter.UninitializedParameter(), "either")
holds("a LazyLinear that isn't called", lambda: nn.LazyLinear(3), "either")
holds("a large array", lambda: np.zeros(1 << 22, dtype=np.float32))
holds("a read-only array", lambda: _read_only())
holds("a read-only view", lambda: np.broadcast_to(np.ones(1), (5, 5)))
holds("a masked array", lambda: np.ma.masked_array([1.0, 2.0], mask=[True, False]))
holds("a matrix", lambda: np.asmatrix(np.eye(2)))
holds("an array of strings", lambda: np.array(["a", "b"]))


def _of_inference() -> Tensor:
    with torch.inference_mode():
        return torch.ones(2)


def _read_only() -> Any:
    array = np.ones(3)
    array.flags.writeable = False
    return array


# Objects that answer strangely


class _EqualRaises:
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        raise RuntimeError("not to be compared")


class _EqualArray:
    __hash__ = None  # type: ignore[assignment]

    def __eq__(self, other: object) -> Any:
        return np.array([True, False])


class _BoolRaises:
    def __bool__(self) -> bool:
        raise RuntimeError("not to be asked")


class _LenRaises:
    def __len__(self) -> int:
        raise RuntimeError("no length")

    def __iter__(self) -> Iterator[int]:
        raise RuntimeError("no iteration")


class _PropertyRaises:
    @property
    def value(self) -> int:
        raise RuntimeError("not yet")


class _AnyAttribute:
    """As easydict, omegaconf and mocks have it."""

    def __getattr__(self, name: str) -> Any:
        return self


class _NoAttribute:
    def __getattr__(self, name: str) -> Any:
        raise RuntimeError(name)


class _GetattributeRaises:
    def __getattribute__(self, name: str) -> Any:
        if name in ("__class__", "__dict__"):
            raise RuntimeError(name)
        return super().__getattribute__(name)


class _Liar:
    @property
    def __class__(self) -> Any:  # type: ignore[override]
        return list


class _Frozen:
    __slots__ = ("value",)

    def __init__(self) -> None:
        object.__setattr__(self, "value", 1)

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("frozen")


class _Empty:
    __slots__ = ("never_set",)


class _ListThatCounts(list):  # type: ignore[type-arg]
    """Copies of it, or what is put into it, cost."""

    def extend(self, items: Any) -> None:
        raise RuntimeError("not to be extended")

    def clear(self) -> None:
        raise RuntimeError("not to be cleared")

    def copy(self) -> Any:
        raise RuntimeError("not to be copied")


class _DictThatRefuses(dict):  # type: ignore[type-arg]
    def copy(self) -> Any:
        raise RuntimeError("not to be copied")

    def update(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError("not to be updated")


class _Attributes(dict):  # type: ignore[type-arg]
    """A dictionary whose keys are attributes."""

    __getattr__ = dict.__getitem__
    __setattr__ = dict.__setitem__  # type: ignore[assignment]


class _Reduces:
    def __reduce__(self) -> Any:
        raise TypeError("not to be pickled")

    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("not to be copied")

    __copy__ = __reduce__


class _HashRaises:
    def __hash__(self) -> int:
        raise TypeError("no hash")


class _ReprRaises:
    def __repr__(self) -> str:
        raise RuntimeError("no repr")


class _Meta(type):
    def __getattribute__(cls, name: str) -> Any:
        if name == "special":
            raise RuntimeError(name)
        return super().__getattribute__(name)


class _OfMeta(metaclass=_Meta):
    special = 1


for _kind in (
    _EqualRaises, _EqualArray, _BoolRaises, _LenRaises, _PropertyRaises, _AnyAttribute,
    _NoAttribute, _GetattributeRaises, _Liar, _Frozen, _Empty, _Reduces, _HashRaises, _ReprRaises,
    _OfMeta,
):  # fmt: skip
    if _kind is not _GetattributeRaises:  # no module takes it
        holds(f"an object, {_kind.__name__.strip('_')}", _kind)
    holds(f"an object in a list, {_kind.__name__.strip('_')}", lambda kind=_kind: [kind()])
holds("a list that can't be changed", lambda: _ListThatCounts([1, 2]))
holds("a dictionary that can't be changed", lambda: _DictThatRefuses(a=1))
holds("a dictionary whose keys are attributes", lambda: _Attributes(a=1, b=[2]))
holds("a class", lambda: _OfMeta)
holds("a mock", mock.MagicMock)
holds("a mock of a module", lambda: mock.Mock(spec=["a"]))


# Containers that are large, deep, or in themselves


def _deep(depth: int) -> Any:
    inner: list[Any] = []
    for _ in range(depth):
        inner = [inner]
    return inner


def _own_list() -> Any:
    items: list[Any] = [1]
    items.append(items)
    return items


def _own_dict() -> Any:
    items: dict[str, Any] = {"a": 1}
    items["me"] = items
    return items


def _linked(length: int) -> Any:
    first = node = types.SimpleNamespace(next=None)
    for _ in range(length):
        node.next = types.SimpleNamespace(next=None)
        node = node.next
    return first


holds("lists, 3000 deep", lambda: _deep(3000))
holds("a linked list of 3000", lambda: _linked(3000))
holds("a list in itself", _own_list)
holds("a dictionary in itself", _own_dict)
holds("a million numbers", lambda: list(range(1_000_000)))
holds("ten thousand lists", lambda: [[k] for k in range(10_000)])
holds("a dictionary with odd keys", lambda: {1: 2, (3, 4): 5, None: 6, torch.float32: 7, 1.5: 8})
holds("a dictionary of tensors by tensor", lambda: {torch.ones(1): torch.zeros(1)})
holds("a set of tensors", lambda: {torch.ones(1), torch.zeros(1)})
holds("a WeakSet", weakref.WeakSet)
holds("a WeakValueDictionary", weakref.WeakValueDictionary)
holds("a dead reference", lambda: weakref.ref(nn.Linear(1, 1)))
holds("a dead proxy", lambda: [weakref.proxy(nn.Linear(1, 1))])
holds("a namedtuple", lambda: collections.namedtuple("Point", "x y")(1, [2]))
holds("a ChainMap", lambda: collections.ChainMap({"a": 1}, {"b": 2}))
holds("a defaultdict of itself", lambda: collections.defaultdict(dict))
holds("a Counter", lambda: collections.Counter("abc"))


# Parts of Python's library

holds("a Namespace of argparse", lambda: argparse.Namespace(lr=0.1, layers=[1, 2]))
holds("a logger", lambda: logging.getLogger("an attack"))
holds("a lock", threading.Lock)
holds("an event", threading.Event)
holds("a thread", lambda: threading.Thread(target=print))
holds("a path", lambda: pathlib.Path("."))
holds("a pattern", lambda: re.compile("a+"))
holds("a UUID", uuid.uuid4)
holds("a decimal", lambda: decimal.Decimal("NaN"))
holds("a fraction", lambda: fractions.Fraction(1, 3))
holds("a configuration", configparser.ConfigParser)
holds("a database", lambda: sqlite3.connect(":memory:"))
holds("a temporary file", tempfile.TemporaryFile)
holds("an anonymous map", lambda: mmap.mmap(-1, 16))
holds("a closed file", lambda: _closed())
holds("standard output", lambda: sys.stdout)
holds("a module of Python", lambda: sys)
holds("a ctypes structure", lambda: ctypes.c_double(1.0))
holds("a partial", lambda: functools.partial(print, end=""))
holds("a cached function", lambda: functools.lru_cache(maxsize=None)(lambda x: x))
holds("a generator", lambda: (k for k in range(3)))
holds("a generator that is used up", lambda: _used_up())
holds("a coroutine function", lambda: _coroutine)
holds("an iterator", lambda: iter([1, 2]))
holds("a frame", lambda: sys._getframe())
holds("an exception with a traceback", lambda: _caught())
holds("a Random", lambda: random.Random(3))
holds("a SystemRandom", random.SystemRandom)
holds("a Generator of numpy", lambda: np.random.default_rng(3))
holds("a RandomState of numpy", lambda: np.random.RandomState(3))
holds("a Generator of torch", torch.Generator)
holds("a bound method of itself", lambda: [].append)
holds("a slice, a range and an Ellipsis", lambda: [slice(1), range(3), ..., NotImplemented])
holds("a BytesIO", io.BytesIO)


def _closed() -> Any:
    file = io.StringIO("a")
    file.close()
    return file


def _used_up() -> Any:
    generator = (k for k in range(1))
    list(generator)
    return generator


async def _coroutine() -> None:
    """Nothing."""


def _caught() -> BaseException:
    try:
        raise ValueError("an attack")
    except ValueError as error:
        return error


# What training leaves in a network


def trains(name: str, change: Callable[[Any], None], expect: Expect = "equal") -> None:
    """A network with what training code has put into it."""
    for carrier in (JellySteps, TorchLoop):

        def build(carrier: Any = carrier) -> tuple[nn.Module, Tensor]:
            net = own(carrier)
            change(net)
            return net, noise()

        full = f"strange: {name}, {carrier.__name__}"
        attack(full, carrier.framework, expect, mode=carrier.mode)(build)


def _optimizer(net: Any) -> None:
    net.optimizer = torch.optim.Adam(net.parameters(), lr=0.0)
    net.scheduler = torch.optim.lr_scheduler.StepLR(net.optimizer, 1)


def _after_backward(net: Any) -> None:
    for parameter in net.parameters():
        parameter.grad = torch.ones_like(parameter)


def _loader(net: Any) -> None:
    data = torch.utils.data.TensorDataset(torch.rand(10, 4), torch.rand(10))
    net.loader = torch.utils.data.DataLoader(data, batch_size=2, shuffle=True)
    net.batches = iter(net.loader)


def _loss(net: Any) -> None:
    net.loss = nn.CrossEntropyLoss(weight=torch.ones(3))
    net.metrics = {"accuracy": [0.1, 0.2], "best": float("-inf")}


def _frozen(net: Any) -> None:
    net.requires_grad_(False)


def _parent(net: Any) -> None:
    net.lif.__dict__["parent"] = weakref.ref(net)
    net.fc.__dict__["network"] = net
    net.children_by_name = dict(net.named_children())


def _shared_object(net: Any) -> None:
    config = {"hidden": HIDDEN}
    for module in net.modules():
        module.config = config


def _none(net: Any) -> None:
    net.register_buffer("nothing", None)
    net.register_parameter("nothing_either", None)
    net.register_module("no_module", None)


def _ema(net: Any) -> None:
    net.__dict__["ema"] = [torch.optim.swa_utils.AveragedModel(nn.Linear(2, 2))]


def _compiled(net: Any) -> None:
    net.out.compile(backend="eager")


def _to(net: Any) -> None:
    net.to("cpu").float().double()


def _scripted(net: Any) -> None:
    net.script = torch.jit.script(nn.Linear(2, 2))


for _name, _change in (
    ("an optimizer", _optimizer), ("gradients", _after_backward), ("a DataLoader", _loader),
    ("a loss and metrics", _loss), ("frozen weights", _frozen), ("references to parents", _parent),
    ("one object in all modules", _shared_object), ("None in the registries", _none),
    ("an average", _ema), ("single precision for a while", _to),
    ("a scripted module", _scripted), ("a compiled layer", _compiled),
):  # fmt: skip
    trains(_name, _change, "either" if _change is _compiled else "equal")


# A forward that looks on


def looks(name: str, act: Callable[..., Any], expect: Expect = "equal") -> None:
    """A forward that does something besides, which changes no number."""
    for carrier in (JellySteps, TorchLoop):

        def build(carrier: Any = carrier) -> tuple[nn.Module, Tensor]:
            net = own(carrier)
            does(net, act=act)
            return net, noise()

        full = f"strange: it {name}, {carrier.__name__}"
        attack(full, carrier.framework, expect, mode=carrier.mode)(build)


def _logs(self: Any, h: Tensor, t: Any) -> Tensor:
    logging.getLogger("an attack").debug("shape %s", tuple(h.shape))
    return h * 2


def _asks(self: Any, h: Tensor, t: Any) -> Tensor:
    assert isinstance(h, Tensor)
    assert torch.is_tensor(h)
    assert h.is_floating_point()
    assert h.dim() >= 2
    assert h.numel() == h.shape.numel()
    return h * 2


def _lists_modules(self: Any, h: Tensor, t: Any) -> Tensor:
    names = [name for name, _ in self.named_modules()]
    weights = sum(p.numel() for p in self.parameters())
    return h * (2 if names and weights else 1)


def _reads_state_dict(self: Any, h: Tensor, t: Any) -> Tensor:
    return h * (1.0 + len(self.state_dict()) / 10)


def _reads_weight(self: Any, h: Tensor, t: Any) -> Tensor:
    return h * float(self.fc.weight.abs().mean())


def _reads_tau(self: Any, h: Tensor, t: Any) -> Tensor:
    return h * (2.0 if hasattr(self.lif, "tau") or hasattr(self.lif, "beta") else 1.0)


def _times(self: Any, h: Tensor, t: Any) -> Tensor:
    import time

    self.__dict__.setdefault("seconds", 0.0)
    begun = time.perf_counter()
    y = h * 2
    self.seconds += time.perf_counter() - begun
    return y


def _own_tensor(self: Any, h: Tensor, t: Any) -> Tensor:
    gains = torch.zeros(HIDDEN)
    gains[0] = 1.0
    gains += 1
    gains.mul_(2)
    return h * gains


def _own_random(self: Any, h: Tensor, t: Any) -> Tensor:
    source = torch.Generator().manual_seed(0)
    return h * (1 + torch.rand(HIDDEN, generator=source))


def _sets_same(self: Any, h: Tensor, t: Any) -> Tensor:
    self.hidden = HIDDEN
    self.fc.in_features = 4
    return h * 2


def _to_eval(self: Any, h: Tensor, t: Any) -> Tensor:
    self.eval()
    return h * 2


def _profiles(self: Any, h: Tensor, t: Any) -> Tensor:
    with torch.autograd.profiler.record_function("act"):
        return h * 2


def _with_no_grad(self: Any, h: Tensor, t: Any) -> Tensor:
    with torch.no_grad():
        return h * 2


def _copies(self: Any, h: Tensor, t: Any) -> Tensor:
    return h.clone().contiguous().detach() * 2


for _name, _act, _expect in (
    ("logs", _logs, "equal"), ("asks what the signal is", _asks, "equal"),
    ("lists modules", _lists_modules, "equal"),
    ("reads the state_dict", _reads_state_dict, "equal"),
    ("reads a weight", _reads_weight, "equal"), ("reads an attribute", _reads_tau, "equal"),
    ("takes its time", _times, "either"), ("writes into a tensor of its own", _own_tensor, "equal"),
    ("draws from a seeded source", _own_random, "either"),
    ("sets what is so already", _sets_same, "either"), ("goes to eval", _to_eval, "either"),
    ("is profiled", _profiles, "either"), ("needs no gradient", _with_no_grad, "equal"),
    ("copies", _copies, "equal"),
):  # fmt: skip
    looks(_name, _act, _expect)  # type: ignore[arg-type]

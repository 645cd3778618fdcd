"""What a network's forward can reach and change: kept, compared, and put back.

A `Snapshot` holds the attributes of all modules, what is in their containers, and, where a forward
of the user's runs, all that its code reaches: the objects, arrays and iterators in its attributes,
what its functions close over, and the global variables that they name. Layers that the mappings
know are not executed; of those only attributes and containers are kept.

What is put back is what differs, and nothing else: other threads may be at work in the same
objects.
"""

from __future__ import annotations

import array
import collections
import collections.abc
import contextvars
import ctypes
import functools
import pickle
import random
import sys
import threading
import types
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from nir_runtime.exports.places import within
from nir_runtime.exports.signals import Signal
from nir_runtime.exports.states import Held

MOST_OBJECTS = 100_000
"""So many objects of a network's own are looked into; what a forward reaches beyond, isn't."""

MOST_NUMBERS = 1 << 24
"""Arrays of more elements are a data set's, and are taken to stay what they are."""

LOOKED_INTO = frozenset(
    {"array", "collections", "itertools", "queue", "random", "types", "weakref"}
)
"""The parts of Python's library whose objects hold a program's own data."""

NOT_LOOKED_INTO = ("torch", "numpy", "nir", "nir_runtime", "nir_exchange", "builtins")
"""Whose objects are no data of a program's; those that are (tensors, arrays) are known by name."""

_PLAIN = (
    *(type(None), bool, int, float, complex, str, bytes, type(Ellipsis), type(NotImplemented)),
    *(torch.dtype, torch.device, torch.Size, torch.layout, torch.memory_format),
    *(types.ModuleType, types.BuiltinFunctionType, types.CodeType, np.generic, np.dtype),
)

_MISSING = object()


@dataclass(frozen=True)
class Change:
    """Something that isn't what it was.

    Attributes:
        module: whose it is; None for what the network's code reaches outside of its modules.
        name: of the attribute or variable, `acc` or `history[2]`.
    """

    module: nn.Module | None
    name: str


class Snapshot:
    """All that a network's forward can reach, as it is now.

    Attributes:
        unregistered: modules that it reaches and that are no submodules of the network.
    """

    def __init__(
        self,
        net: nn.Module,
        is_executed: Callable[[nn.Module], bool],
        packages: Iterable[str] = (),
        *,
        layers: bool = True,
    ) -> None:
        """Keep what there is.

        Args:
            net: the network.
            is_executed: whether a module's forward is run.
            packages: whose code is no user's, besides that of torch and the like.
            layers: whether to keep the modules, too, of which no forward is run.
        """
        self._libraries = (*NOT_LOOKED_INTO, *packages)
        modules = [(module, is_executed(module)) for module in net.modules()]
        self._users = {_top(type(module).__module__) for module, executed in modules if executed}
        self.unregistered: list[nn.Module] = []
        self._known: set[int] = set()
        self._kept: list[_Kept] = []
        self._pending: collections.deque[tuple[Any, nn.Module | None, str]] = collections.deque()
        self._known.update(id(module) for module, _ in modules)
        for module, executed in modules:
            if executed:
                self._keep_executed(module)
            elif layers:
                self._kept.append(_Layer(module, module, ""))
        self._look_further()

    @classmethod
    def of_objects(cls, objects: Iterable[object], packages: Iterable[str] = ()) -> Snapshot:
        """All that some functions or objects reach, but for modules."""
        made = cls.__new__(cls)
        objects = list(objects)
        made._libraries = (*NOT_LOOKED_INTO, *packages)
        made._users = {_top(getattr(value, "__module__", "")) for value in objects}
        made.unregistered = []
        made._known, made._kept, made._pending = set(), [], collections.deque()
        made._pending.extend((value, None, "") for value in objects)
        made._look_further()
        return made

    def changes(self) -> Iterator[Change]:
        """What isn't what it was, by the modules' order."""
        for kept in self._kept:
            for part in kept.changed():
                yield Change(kept.owner, _joined(kept.name, part))

    def restore(self) -> None:
        """Put back what was changed."""
        for kept in self._kept:
            if kept.is_changed():
                kept.restore()

    def place_of(self, value: object) -> Change | None:
        """Where an object is kept; None if it isn't, or in many places only."""
        for kept in self._kept:
            for part, held in kept.parts():
                if held is value:
                    return Change(kept.owner, _joined(kept.name, part))
        return None

    # Looking

    def _keep_executed(self, module: nn.Module) -> None:
        """A module's attributes, what is in them, and what its code reaches."""
        self._kept.append(_Attributes(module, module, ""))
        for name, value in module.__dict__.items():
            self._pending.append((value, module, "" if name in _REGISTRIES else name))
        self._keep_code_of(type(module), module)
        for function in _functions_in(module):
            self._users.add(_top(function.__module__))
            self._pending.append((function, module, function.__name__))

    def _look_further(self) -> None:
        """Keep what was found, and find what it leads to."""
        while self._pending and len(self._known) < MOST_OBJECTS:
            value, owner, name = self._pending.popleft()
            if issubclass(type(value), _PLAIN) or id(value) in self._known:
                continue
            self._known.add(id(value))
            try:
                found = [k for k in self._keeping(value, owner, name) if k is not None]
                inside = [(inner, owner, _joined(name, p)) for k in found for p, inner in k.parts()]
            except Exception:  # an object that can't be looked into
                continue
            self._kept += found
            self._pending += inside

    def _keeping(self, value: Any, owner: nn.Module | None, name: str) -> Iterator[_Kept | None]:
        """How to keep an object: by its kind, and by its attributes if it has some."""
        kind = type(value)  # some say in `__class__` that they are something else
        if issubclass(kind, Signal):
            return
        if issubclass(kind, nn.Module):
            self.unregistered.append(value)
            yield _Layer(value, owner, name)
            return
        if issubclass(kind, type):
            self._keep_code_of(value, owner)
            return
        if issubclass(kind, (types.FunctionType, types.MethodType, functools.partial)):
            self._keep_code(value, owner, name)
            return
        keep = next((keep for kinds, keep in _KEPT if issubclass(kind, kinds)), None)
        if keep is not None:
            yield keep(value, owner, name)
            if kind.__module__ not in sys.stdlib_module_names or issubclass(kind, torch.Tensor):
                yield from _attributes(value, owner, name)
        elif issubclass(kind, collections.abc.Iterator):
            yield _Pickled(value, owner, name)
        elif self._holds_data(kind):
            attributes = list(_attributes(value, owner, name))
            yield from attributes or [_Pickled(value, owner, name)]

    def _holds_data(self, cls: type) -> bool:
        """Whether the objects of a class are looked into."""
        top = _top(cls.__module__)
        if top in sys.stdlib_module_names:
            return top in LOOKED_INTO
        return not within(cls.__module__ or "builtins", self._libraries)

    def _is_users(self, module: str | None) -> bool:
        """Whether code is of the same packages as the network, and no library's."""
        return _top(module) in self._users and not within(module or "", self._libraries)

    def _keep_code_of(self, cls: type, owner: nn.Module | None) -> None:
        """What the functions of a user's class reach, and the attributes of the class."""
        for base in cls.__mro__:
            if id(base) in self._known or not self._is_users(base.__module__):
                continue
            self._known.add(id(base))
            self._kept.append(_ClassAttributes(base, owner, f"{base.__name__}."))
            for name, value in vars(base).items():
                self._pending.append((_function_in(value), owner, f"{base.__name__}.{name}"))

    def _keep_code(self, code: Any, owner: nn.Module | None, name: str) -> None:
        """What a function reaches: what it closes over, its defaults, and its global variables."""
        if isinstance(code, functools.partial):
            self._pending += [(v, owner, name) for v in (code.func, code.args, code.keywords)]
            return
        if isinstance(code, types.MethodType):
            self._pending += [(v, owner, name) for v in (code.__func__, code.__self__)]
            return
        if not self._is_users(code.__module__):
            return
        named = zip(code.__code__.co_freevars, code.__closure__ or (), strict=False)
        for variable, cell in named:
            self._kept.append(_Cell(cell, owner, variable))
            self._pending.append((_content(cell), owner, variable))
        for value in (code.__defaults__, code.__kwdefaults__, code.__dict__):
            self._pending.append((value, owner, name))
        globals_used = {v: code.__globals__.get(v, _MISSING) for v in _names_in(code.__code__)}
        globals_used = {k: v for k, v in globals_used.items() if v is not _MISSING}
        if globals_used:
            self._kept.append(_Globals(code.__globals__, owner, "", globals_used))
            for variable, value in globals_used.items():
                self._pending.append((value, owner, variable))
        # A function made in another: what the inner one names.
        wrapped = getattr(code, "__wrapped__", None)
        if wrapped is not None:
            self._pending.append((wrapped, owner, name))


def _top(module: str | None) -> str:
    """The top-level package of a module."""
    return (module or "").partition(".")[0]


def _functions_in(module: nn.Module) -> Iterator[types.FunctionType]:
    """The Python functions that a module of torch.fx calls."""
    if isinstance(module, fx.GraphModule):
        targets = (node.target for node in module.graph.nodes if node.op == "call_function")
        yield from (t for t in targets if isinstance(t, types.FunctionType))


def _names_in(code: types.CodeType) -> Iterator[str]:
    """The global names in some code, and in the code inside of it."""
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from _names_in(constant)


def _function_in(value: Any) -> Any:
    """The function behind what a class has under a name."""
    if isinstance(value, (staticmethod, classmethod)):
        return value.__func__
    if isinstance(value, property):
        return (value.fget, value.fset)
    if isinstance(value, functools.cached_property):
        return value.func
    return value


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # it is empty
        return None


def _joined(name: str, part: str) -> str:
    if not name or not part:
        return name or part
    return f"{name}{part}" if part.startswith("[") or name.endswith(".") else f"{name}.{part}"


# Ways of keeping


class _Kept:
    """An object and what was in it.

    Attributes:
        value: the object.
        owner: the module in which it was found.
        name: what it is called there.
    """

    def __init__(self, value: Any, owner: nn.Module | None, name: str) -> None:
        self.value, self.owner, self.name = value, owner, name
        self.before = self.content()

    def content(self) -> Any:
        """What is in it, in a form that stays as it is."""
        raise NotImplementedError

    def restore(self) -> None:
        """Put back what was in it."""

    def parts(self) -> Iterable[tuple[str, Any]]:
        """The objects in it as it was, by name."""
        return ()

    def is_changed(self) -> bool:
        """Whether something else is in it."""
        try:
            return not same(self.before, self.content())
        except Exception:  # what can't be compared tells nothing
            return False

    def changed(self) -> Iterator[str]:
        """The names of what is something else."""
        if self.is_changed():
            yield ""


class _Named(_Kept):
    """What has parts with names."""

    def parts(self) -> Iterable[tuple[str, Any]]:
        return self.before.items()

    def is_changed(self) -> bool:
        now = self.content()
        if len(now) != len(self.before):
            return True
        missing = _MISSING
        return any(now.get(name, missing) is not value for name, value in self.before.items())

    def changed(self) -> Iterator[str]:
        now = self.content()
        for name in {**self.before, **now}:
            if not same(self.before.get(name, _MISSING), now.get(name, _MISSING)):
                yield name


class _Attributes(_Named):
    """An object's attributes, as a `__dict__` holds them, and its class."""

    def content(self) -> dict[str, Any]:
        return {**self.value.__dict__, "__class__": type(self.value)}

    def restore(self) -> None:
        if type(self.value) is not self.before["__class__"]:
            object.__setattr__(self.value, "__class__", self.before["__class__"])
        attributes = self.value.__dict__
        attributes.clear()
        attributes.update((n, v) for n, v in self.before.items() if n != "__class__")


class _Layer(_Attributes):
    """A module that isn't run: its attributes, and what is in their containers.

    There may be many, so that whether all is as before is asked of Python's own comparisons first.
    """

    def __init__(self, value: nn.Module, owner: nn.Module | None, name: str) -> None:
        super().__init__(value, owner, name)
        self.containers = [(n, c, c.copy()) for n, c in _containers_in(self.before)]

    def is_changed(self) -> bool:
        try:
            return bool(self.content() != self.before) or any(
                container != content for _, container, content in self.containers
            )
        except Exception:  # two tensors that aren't one can't be compared so
            return True

    def changed(self) -> Iterator[str]:
        if not self.is_changed():
            return
        inside = {name for name, _, _ in self.containers}
        yield from (name for name in super().changed() if name not in inside)
        for name, container, content in self.containers:
            if isinstance(content, dict):
                for key in {**content, **container}:
                    if not same(content.get(key, _MISSING), container.get(key, _MISSING)):
                        yield _joined("" if name in _REGISTRIES else name, str(key))
            elif not same(content, container):
                yield name

    def restore(self) -> None:
        super().restore()
        for _, container, content in self.containers:
            container.clear()
            if isinstance(container, (dict, set)):
                container.update(content)
            else:
                container.extend(content)


def _containers_in(values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """The containers among some values, and those in them."""
    for name, value in values.items():
        if isinstance(value, _CONTAINERS):
            yield name, value
            if value and name not in ("_parameters", "_buffers", "_modules"):
                inner = value.items() if isinstance(value, dict) else ((name, v) for v in value)
                yield from ((str(n), v) for n, v in inner if isinstance(v, _CONTAINERS))


class _Slots(_Named):
    """Attributes in slots."""

    def content(self) -> dict[str, Any]:
        names = [n for cls in type(self.value).__mro__ for n in _slots_of(cls)]
        return {n: getattr(self.value, n) for n in names if hasattr(self.value, n)}

    def restore(self) -> None:
        for name in {**self.before, **self.content()}:
            if name in self.before:
                object.__setattr__(self.value, name, self.before[name])
            else:
                object.__delattr__(self.value, name)


def _slots_of(cls: type) -> tuple[str, ...]:
    names = cls.__dict__.get("__slots__", ())
    names = (names,) if isinstance(names, str) else tuple(names)
    return tuple(n for n in names if n not in ("__dict__", "__weakref__"))


class _ClassAttributes(_Named):
    """A class's attributes but for its functions."""

    def content(self) -> dict[str, Any]:
        return {n: v for n, v in vars(self.value).items() if not _is_of_python(n, v)}

    def restore(self) -> None:
        for name in {**self.before, **self.content()}:
            if name in self.before:
                setattr(self.value, name, self.before[name])
            else:
                delattr(self.value, name)


def _is_of_python(name: str, value: object) -> bool:
    return name.startswith(("__", "_abc_")) or isinstance(value, types.GetSetDescriptorType)


class _Globals(_Named):
    """Those of a module's global variables that a function names."""

    def __init__(
        self, value: dict[str, Any], owner: nn.Module | None, name: str, used: Mapping[str, Any]
    ) -> None:
        self.used = tuple(used)
        super().__init__(value, owner, name)

    def content(self) -> dict[str, Any]:
        return {name: self.value[name] for name in self.used if name in self.value}

    def restore(self) -> None:
        self.value.update(self.before)


class _Mapping(_Named):
    """A dictionary."""

    def content(self) -> dict[Any, Any]:
        return dict(self.value)

    def parts(self) -> Iterable[tuple[str, Any]]:
        return ((key if _is_name(key) else f"[{key!r}]", v) for key, v in self.before.items())

    def changed(self) -> Iterator[str]:
        for key in super().changed():
            yield key if _is_name(key) else f"[{key!r}]"

    def restore(self) -> None:
        self.value.clear()
        self.value.update(self.before)


def _is_name(key: object) -> bool:
    return isinstance(key, str) and key.isidentifier()


class _Sequence(_Kept):
    """A list, a deque or a tuple."""

    def content(self) -> list[Any]:
        return list(self.value)

    def parts(self) -> Iterable[tuple[str, Any]]:
        return ((f"[{index}]", value) for index, value in enumerate(self.before))

    def is_changed(self) -> bool:
        now = self.value
        return len(now) != len(self.before) or any(map(_is_other, self.before, now))

    def changed(self) -> Iterator[str]:
        if not same(self.before, self.content()):
            yield ""

    def restore(self) -> None:
        self.value.clear()
        self.value.extend(self.before)


def _is_other(a: object, b: object) -> bool:
    return a is not b


class _Set(_Kept):
    """A set."""

    def content(self) -> set[Any]:
        return set(self.value)

    def parts(self) -> Iterable[tuple[str, Any]]:
        return (("", value) for value in self.before)

    def is_changed(self) -> bool:
        return bool(self.value != self.before)

    def restore(self) -> None:
        self.value.clear()
        self.value.update(self.before)


class _Tensor(_Kept):
    """A tensor's numbers."""

    def content(self) -> torch.Tensor:
        with torch._C.DisableTorchFunctionSubclass():
            return self.value.detach().clone()

    def is_changed(self) -> bool:
        try:
            return not same(self.before, self.value.detach())
        except Exception:  # some tensors can't be compared
            return False

    def restore(self) -> None:
        # Writing marks a tensor as changed for autograd, so only what did change is written.
        with torch.no_grad():
            if self.value.shape != self.before.shape:
                self.value.set_(self.before.clone())
            else:
                self.value.copy_(self.before)


class _Gradient(_Named):
    """What autograd keeps with a tensor."""

    def content(self) -> dict[str, Any]:
        return {"grad": self.value.grad, "requires_grad": self.value.requires_grad}

    def restore(self) -> None:
        self.value.requires_grad_(self.before["requires_grad"])
        self.value.grad = self.before["grad"]


class _Array(_Kept):
    """A NumPy array's numbers."""

    def content(self) -> Any:
        return self.value.copy()

    def restore(self) -> None:
        self.value[...] = self.before


class _Bytes(_Kept):
    """What gives others its memory: a bytearray, an `array.array`, a ctypes array."""

    def content(self) -> Any:
        return bytes(memoryview(self.value).cast("B"))

    def restore(self) -> None:
        memoryview(self.value).cast("B")[:] = self.before


class _Cell(_Kept):
    """A variable that a function closes over."""

    def content(self) -> Any:
        return _content(self.value)

    def is_changed(self) -> bool:
        return self.content() is not self.before

    def changed(self) -> Iterator[str]:
        if not same(self.before, self.content()):
            yield ""

    def restore(self) -> None:
        self.value.cell_contents = self.before


class _Generator(_Kept):
    """Where a generator has got to. It can't be put back."""

    def content(self) -> Any:
        frame = self.value.gi_frame
        return None if frame is None else (frame.f_lasti, dict(frame.f_locals))


class _Random(_Kept):
    """The state of a source of random numbers."""

    _STATES: tuple[tuple[str, str], ...] = (("getstate", "setstate"), ("get_state", "set_state"))

    def content(self) -> Any:
        if isinstance(self.value, np.random.Generator):
            return self.value.bit_generator.state
        get = next(getattr(self.value, g) for g, _ in self._STATES if hasattr(self.value, g))
        return get()

    def restore(self) -> None:
        if isinstance(self.value, np.random.Generator):
            self.value.bit_generator.state = self.before
            return
        set_ = next(getattr(self.value, s) for _, s in self._STATES if hasattr(self.value, s))
        set_(self.before)


class _Reference(_Kept):
    """What a weak reference, a context variable or a thread's own storage leads to."""

    def content(self) -> Any:
        if isinstance(self.value, weakref.ref):
            return self.value()
        if isinstance(self.value, contextvars.ContextVar):
            return self.value.get(None)
        return dict(self.value.__dict__)

    def parts(self) -> Iterable[tuple[str, Any]]:
        return [("", self.before)]

    def restore(self) -> None:
        if isinstance(self.value, contextvars.ContextVar):
            self.value.set(self.before)
        elif isinstance(self.value, threading.local):
            self.value.__dict__.clear()
            self.value.__dict__.update(self.before)


class _Pickled(_Kept):
    """An object of which only its pickle tells what is in it: `itertools.count`, an iterator."""

    def content(self) -> Any:
        try:
            return pickle.dumps(self.value)
        except Exception:  # what can't be pickled can't be looked into
            return None

    def is_changed(self) -> bool:
        return not same(self.before, self.content())


def _attributes(value: Any, owner: nn.Module | None, name: str) -> Iterator[_Kept]:
    """The attributes of an object, in its `__dict__` and in slots; a tensor's gradient."""
    if hasattr(value, "__dict__"):
        yield _Attributes(value, owner, name)
    if any(map(_slots_of, type(value).__mro__)):
        yield _Slots(value, owner, name)
    if isinstance(value, torch.Tensor) and value.is_leaf:
        yield _Gradient(value, owner, name)


def _small(value: Any, owner: nn.Module | None, name: str, keep: type[_Kept]) -> _Kept | None:
    count = value.numel() if isinstance(value, torch.Tensor) else value.size
    meta = isinstance(value, torch.Tensor) and value.is_meta
    return keep(value, owner, name) if count <= MOST_NUMBERS and not meta else None


def _tensor(value: Any, owner: nn.Module | None, name: str) -> _Kept | None:
    return _small(value, owner, name, _Tensor)


def _array(value: Any, owner: nn.Module | None, name: str) -> _Kept | None:
    return _small(value, owner, name, _Array)


class _Fixed(_Sequence):
    """A tuple or frozenset: it stays, what is in it may not."""

    def changed(self) -> Iterator[str]:
        return iter(())

    def is_changed(self) -> bool:
        return False

    def restore(self) -> None:
        pass


_CONTAINERS = (dict, list, set, collections.deque)
_REGISTRIES = ("_parameters", "_buffers", "_modules", "_memories", "_non_persistent_buffers_set")

_Keeping = Callable[[Any, "nn.Module | None", str], "_Kept | None"]
_KEPT: tuple[tuple[Any, _Keeping], ...] = (
    (dict, _Mapping),
    ((list, collections.deque), _Sequence),
    (set, _Set),
    ((tuple, frozenset), _Fixed),
    (torch.Tensor, _tensor),
    (np.ndarray, _array),
    (random.SystemRandom, lambda value, owner, name: None),
    ((random.Random, np.random.Generator, np.random.RandomState, torch.Generator), _Random),
    (types.GeneratorType, _Generator),
    ((weakref.ref, contextvars.ContextVar, threading.local), _Reference),
    ((bytearray, array.array, memoryview, ctypes.Array, ctypes.Structure), _Bytes),
    (ctypes._SimpleCData, _Bytes),
    (types.SimpleNamespace, _Attributes),
    (types.CellType, _Cell),
)


# Comparing


def same(a: Any, b: Any, depth: int = 6) -> bool:
    """Whether two objects say the same, as far as a forward can tell: by numbers, not identity."""
    if a is b:
        return True
    if isinstance(a, Signal) or isinstance(b, Signal):
        return _same_signals(a, b)
    if type(a) is not type(b):
        return False
    if isinstance(a, torch.Tensor):
        return _same_tensors(a, b)
    if isinstance(a, np.ndarray):
        return _same_arrays(a, b, depth)
    if isinstance(a, float):
        return a == b or (a != a and b != b)
    if isinstance(a, _PLAIN):
        return bool(a == b)
    if depth == 0:
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[k], b[k], depth - 1) for k in a)
    if isinstance(a, (list, tuple, collections.deque)):
        return len(a) == len(b) and all(same(x, y, depth - 1) for x, y in zip(a, b, strict=True))
    if isinstance(a, (set, frozenset)):
        return bool(a == b)
    if isinstance(a, types.MethodType):
        return a.__func__ is b.__func__ and a.__self__ is b.__self__
    if isinstance(a, types.FunctionType):
        return a.__code__ is b.__code__ and same(_closed(a), _closed(b), depth - 1)
    if hasattr(a, "__dict__") and not isinstance(a, (type, nn.Module)):
        return same(a.__dict__, b.__dict__, depth - 1)
    return False


def _same_arrays(a: Any, b: Any, depth: int) -> bool:
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype.kind == "O":
        return same(a.tolist(), b.tolist(), depth)
    if a.dtype.kind in "fc":
        return bool(np.array_equal(a, b, equal_nan=True))
    return bool(a.tobytes() == b.tobytes())


def _closed(function: types.FunctionType) -> list[Any]:
    return [_content(cell) for cell in function.__closure__ or ()]


def _same_tensors(a: torch.Tensor, b: torch.Tensor) -> bool:
    if a.shape != b.shape or a.dtype != b.dtype or a.device != b.device:
        return False
    if a.is_meta:
        return True
    if torch.equal(a, b):
        return True
    if not (a.is_floating_point() or a.is_complex()):
        return False
    missing = a.isnan()
    return torch.equal(missing, b.isnan()) and torch.equal(a[~missing], b[~missing])


def _same_signals(a: Any, b: Any) -> bool:
    """Whether two signals, of one trace each, stand for the same."""
    if type(a) is not type(b) or a.features != b.features or a.dtype != b.dtype:
        return False
    if isinstance(a, Held):
        return (a.layer, a.call, a.variable) == (b.layer, b.call, b.variable)
    return bool(a.sources == b.sources and a.leading == b.leading)

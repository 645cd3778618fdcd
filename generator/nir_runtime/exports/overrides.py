"""Whether a layer runs what its class does: a mapping is of a class, and instances can be changed.

An instance differs from its class where one of its methods was replaced, on itself or on the class;
where a function that its constructor chose is another one; where a module inside of it was
replaced; or where a hook acts inside of it.
"""

from __future__ import annotations

import functools
import inspect
import sys
import sysconfig
import types
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import nir
import torch
from torch import nn
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from nir_runtime.exports.demands import Complaint, weights_of_hooks
from nir_runtime.exports.places import class_name, within
from nir_runtime.exports.preserving import same_random_numbers
from nir_runtime.exports.states import Hidden
from nir_runtime.target import Target

_FUNCTIONS: tuple[type, ...] = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    functools.partial,
)
_TENSORS = (
    torch.Tensor,
    nn.Parameter,
    nn.Buffer,
    UninitializedParameter,
    UninitializedBuffer,
    Hidden,
)
_OF_TORCH = frozenset({"_compiled_call_impl"})
"""Where torch puts a module's call, compiled by `module.compile()`: it computes the same. For the
time of a trace, ours are there."""


def replaced_methods(module: nn.Module) -> Iterator[Complaint]:
    """Methods of the class that the instance has something else for."""
    cls = type(module)
    methods = _methods_of(cls)  # type: ignore[arg-type]
    if not methods.isdisjoint(vars(module)):
        yield from (replaced(n, cls.__name__) for n in vars(module) if n in methods)
    if not methods.isdisjoint(module._modules):
        yield from (replaced(n, cls.__name__) for n in module._modules if n in methods)


@functools.cache
def _methods_of(cls: type) -> frozenset[str]:
    """What a class calls its methods. (Properties stand before an instance's own values.)"""
    return frozenset(name for name in dir(cls) if _is_method(_of_class(cls, name)))


def _is_method(value: Any) -> bool:
    return callable(value) and not isinstance(value, type)


def _of_class(cls: type, name: str) -> Any:
    found = next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)
    return found.__func__ if isinstance(found, (staticmethod, classmethod)) else found


def replaced(name: str, cls: str) -> Complaint:
    """What a class has under a name is something else."""
    return (
        f"its {name} was replaced: what it runs is no longer what a {cls} does",
        f"give the layer a class of its own and map that (mappings/README.md), or put back {name}",
    )


def patched_class(target: Target, cls: type[nn.Module]) -> Iterator[Complaint]:
    """Methods that somebody else put into the framework's class."""
    for base in cls.__mro__:
        home = base.__module__.partition(".")[0]
        if base in (object, nn.Module) or home not in (*_top(target), "torch"):
            continue
        folder = str(Path(inspect.getfile(sys.modules[home])).parent)
        for name, value in vars(base).items():
            if not all(_is_of_a_package(code, folder) for code in _functions_of(value)):
                yield replaced(f"{base.__name__}.{name}", cls.__name__)


def _functions_of(value: Any) -> Iterator[Any]:
    """The code behind what a class has under a name."""
    if isinstance(value, (staticmethod, classmethod, types.MethodType)):
        yield value.__func__
    elif isinstance(value, property):
        yield from (f for f in (value.fget, value.fset, value.fdel) if f is not None)
    elif isinstance(value, (types.FunctionType, functools.partialmethod)) or (
        hasattr(type(value), "__get__") and not isinstance(value, (type, nn.Module))
    ):
        yield value


_OF_PYTHON = (types.GetSetDescriptorType, types.MemberDescriptorType, types.WrapperDescriptorType)


def _is_of_a_package(code: Any, home: str) -> bool:
    """Whether a function was written in the framework, in its folder, or in a library."""
    if isinstance(code, (*_OF_PYTHON, types.BuiltinFunctionType, types.ClassMethodDescriptorType)):
        return True
    if not isinstance(code, types.FunctionType):
        return within(type(code).__module__, ("builtins", "functools", "torch")) and not isinstance(
            code, functools.partialmethod
        )
    while code is not None:
        file = code.__code__.co_filename
        if not file.startswith(("<", home)) and not _is_in_a_package(file):
            return False
        code = getattr(code, "__wrapped__", None)
    return True


@functools.cache
def _is_in_a_package(file: str) -> bool:
    return any(Path(file).is_relative_to(folder) for folder in _package_folders())


@functools.cache
def _package_folders() -> tuple[str, ...]:
    """Where torch, and what is installed beside it, and Python's library are; and our own code."""
    paths = {sysconfig.get_paths()[name] for name in ("stdlib", "platlib", "purelib")}
    return (*paths, str(Path(torch.__file__).parents[1]), str(Path(__file__).parents[2]))


def other_functions(module: nn.Module) -> Iterator[Complaint]:
    """Functions in attributes that are others than in a new layer of the class.

    Those that the constructor takes are the mapping's to judge.
    """
    cls = type(module)
    functions = [name for name, value in vars(module).items() if type(value) in _FUNCTIONS]
    suspects = {
        name: vars(module)[name]
        for name in functions
        if name not in _OF_TORCH and not _is_own(module, vars(module)[name])
    }
    if not suspects:
        return
    taken = inspect.signature(cls.__init__).parameters
    suspects = {name: value for name, value in suspects.items() if name not in taken}
    made = new_layer(cls) if suspects else None
    usual = {} if made is None else vars(made)
    for name, value in suspects.items():
        other = name in usual and _underlying(usual[name]) is not _underlying(value)
        if other or (name in usual and _is_anothers(module, value)):
            yield replaced(name, cls.__name__)


def tensors_of_another_kind(module: nn.Module) -> Iterator[Complaint]:
    """Parameters and buffers of a class of tensors that may compute something else."""
    held = (module._parameters, module._buffers, vars(module))
    tensors = [(n, v) for values in held for n, v in values.items() if isinstance(v, torch.Tensor)]
    for name, tensor in tensors:
        if type(tensor) not in _TENSORS:
            yield (
                f"its {name} is a {class_name(type(tensor))}, a tensor of a class of its own that "
                "may compute something else",
                f"make {name} a plain tensor",
            )


def _is_own(module: nn.Module, value: Any) -> bool:
    """Whether a value is one of the module's own methods."""
    return (
        isinstance(value, types.MethodType)
        and value.__self__ is module
        and _of_class(type(module), value.__name__) is value.__func__
    )


def _underlying(value: Any) -> Any:
    if isinstance(value, functools.partial):
        return value.func
    return getattr(value, "__func__", value)


def _is_anothers(module: nn.Module, value: Any) -> bool:
    """Whether a method is bound to another layer."""
    bound = getattr(value, "__self__", module)
    return isinstance(bound, nn.Module) and bound is not module


def new_layer(cls: type[nn.Module]) -> nn.Module | None:
    """A layer of a class, with the constructor's defaults; None if it takes more than sizes."""
    needed = [
        parameter.name
        for parameter in list(inspect.signature(cls.__init__).parameters.values())[1:]
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    # Some classes list their instances: this one, which may be half made, is none of the user's.
    lists = [v for base in cls.__mro__ for v in vars(base).values() if isinstance(v, list)]
    before = [list(held) for held in lists]
    with same_random_numbers():
        try:
            return cls(**dict.fromkeys(needed, 1))
        except Exception:
            return None
        finally:
            for held, found in zip(lists, before, strict=True):
                held[:] = found


def inner_modules(
    target: Target,
    module: nn.Module,
    nodes: Sequence[nir.NIRNode],
    convert: Callable[[nn.Module], nir.NIRNode | None],
    is_equal: Callable[[nir.NIRNode, nir.NIRNode], bool],
) -> Iterator[Complaint]:
    """Modules inside of a layer that compute something else than the layer's nodes say.

    Args:
        target: the framework.
        module: the layer.
        nodes: what it was converted into.
        convert: gives the node of an inner module that is a layer itself.
        is_equal: whether two nodes say the same.
    """
    for name, inner in module._modules.items():
        if inner is None:
            continue
        yield from replaced_methods(inner)
        yield from ((f"its {name} {what}", advice) for what, advice in weights_of_hooks(inner))
        if type(inner) in target.exporters:
            node = convert(inner)
            if node is None or not any(is_equal(node, other) for other in nodes):
                yield (
                    f"its {name} is a {class_name(type(inner))} that computes something else than "
                    f"a {type(module).__name__} makes of its arguments",
                    "make the layer with the arguments that say so, and leave what it made",
                )
        elif not within(type(inner).__module__, (*target.packages, "torch", *_top(target))):
            yield (
                f"its {name} is a {class_name(type(inner))}, which is not the framework's",
                f"map a layer of your own that has this {name} (mappings/README.md)",
            )


def _top(target: Target) -> Iterator[str]:
    return (package.partition(".")[0] for package in target.packages)

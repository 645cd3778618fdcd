"""Whether a layer runs what its class does: a mapping is of a class, and instances can be changed.

An instance differs from its class where one of its methods was replaced, on itself or on the class;
where a function that its constructor chose is another one; where a module inside of it was
replaced; or where a hook acts inside of it.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import nir
from torch import nn

from nir_runtime.exports.demands import Complaint
from nir_runtime.exports.places import class_name, within
from nir_runtime.exports.preserving import same_random_numbers
from nir_runtime.target import Target

_FUNCTIONS: tuple[type, ...] = (
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
    functools.partial,
)
_OF_TORCH = frozenset({"_compiled_call_impl"})
"""What torch itself puts in place of a module's call, `module.compile()`: it computes the same."""


def replaced_methods(module: nn.Module) -> Iterator[Complaint]:
    """Methods of the class that the instance has something else for."""
    cls = type(module)
    methods = _methods_of(cls)  # type: ignore[arg-type]
    if not methods.isdisjoint(vars(module)):
        yield from (_replaced(n, cls.__name__) for n in vars(module) if n in methods)
    if not methods.isdisjoint(module._modules):
        yield from (_replaced(n, cls.__name__) for n in module._modules if n in methods)


@functools.cache
def _methods_of(cls: type) -> frozenset[str]:
    """What a class calls its methods. (Properties stand before an instance's own values.)"""
    return frozenset(name for name in dir(cls) if _is_method(_of_class(cls, name)))


def _is_method(value: Any) -> bool:
    return callable(value) and not isinstance(value, type)


def _of_class(cls: type, name: str) -> Any:
    found = next((vars(base)[name] for base in cls.__mro__ if name in vars(base)), None)
    return found.__func__ if isinstance(found, (staticmethod, classmethod)) else found


def _replaced(name: str, cls: str) -> Complaint:
    return (
        f"its {name} was replaced: what it runs is no longer what a {cls} does",
        f"give the layer a class of its own and map that (mappings/README.md), or put back {name}",
    )


def patched_class(target: Target, cls: type[nn.Module]) -> Iterator[Complaint]:
    """Methods that somebody else put into the framework's class."""
    for base in cls.__mro__:
        home = base.__module__.partition(".")[0]
        if base in (object, nn.Module) or not within(base.__module__, (*target.packages, "torch")):
            continue
        for name, value in vars(base).items():
            function = value.__func__ if isinstance(value, (staticmethod, classmethod)) else value
            whose = getattr(inspect.unwrap(function), "__module__", home) or home
            if isinstance(function, types.FunctionType) and whose.partition(".")[0] not in (
                *(home, "torch", "nir_runtime"),
                *_generated(function),
            ):
                yield _replaced(f"{base.__name__}.{name}", cls.__name__)


def _generated(function: types.FunctionType) -> Sequence[str]:
    """Where a function comes from that has no file: `dataclasses` and `collections` make some."""
    return ("", "builtins") if function.__code__.co_filename.startswith("<") else ()


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
    for name, value in suspects.items():
        usual = getattr(made, name, None) if made is not None else None
        if made is not None and _underlying(usual) is not _underlying(value):
            yield _replaced(name, cls.__name__)


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


def new_layer(cls: type[nn.Module]) -> nn.Module | None:
    """A layer of a class, with the constructor's defaults; None if it takes more than sizes."""
    needed = [
        parameter.name
        for parameter in list(inspect.signature(cls.__init__).parameters.values())[1:]
        if parameter.default is parameter.empty
        and parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
    ]
    with same_random_numbers():
        try:
            return cls(**dict.fromkeys(needed, 1))
        except Exception:
            return None


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
        for path, deeper in inner.named_modules() if inner._modules else (("", inner),):
            if deeper._forward_hooks or deeper._forward_pre_hooks:
                where = f"{name}.{path}" if path else name
                yield (
                    f"has hooks on its {where}, which may change what it computes",
                    f"remove the hooks of {where}",
                )
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

"""The constructor signatures of an installed framework: the one place where one is imported."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import inspect
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from nirgen.mapping.model import FrameworkMappings, Parameter
from nirgen.mapping.problems import Location, did_you_mean
from nirgen.mapping.source import Constant
from nirgen.review.changes import Change
from nirgen.review.errors import ReviewError
from nirgen.review.signatures import Signature, Signatures, changes, merged

_NOWHERE = Location("what is installed", 1, 1)


@dataclass(frozen=True)
class Layer:
    """An installed class: the module to import it from, the file it is in, its constructor."""

    module: str
    name: str
    source: str
    signature: Signature


def layer(path: str, package: str) -> Layer:
    """A class by its path, `norse.torch.LIFCell`; the package's own name may be left out.

    Raises:
        ReviewError: nothing of that name is installed, or it is no class.
    """
    module, _, name = path.rpartition(".")
    found = _module(module, package)
    cls = _class(_imported(found), name)
    return Layer(found, name, _source(cls), signature_of(cls))


def signatures_of(framework: FrameworkMappings, layers: Iterable[str]) -> dict[str, Signature]:
    """The installed signatures of layers, by the names that mappings have for them.

    Raises:
        ReviewError: the framework isn't installed, or has no such layer.
    """
    modules = framework.framework.modules
    found: dict[str, Signature] = {}
    for name in layers:
        alias, _, cls = name.rpartition(".")
        if alias not in modules:
            near = did_you_mean(alias, modules)
            raise ReviewError(f"`{name}` is in no module that framework.yaml declares", near)
        found[name] = signature_of(_class(_imported(modules[alias]), cls))
    return found


def up_to_date(framework: FrameworkMappings) -> dict[str, Signature]:
    """The signatures that should be committed: of those that are, and of all mapped layers."""
    mapped = (layer for m in framework.layers for layer in m.layers)
    wanted = dict.fromkeys((*framework.signatures, *mapped))
    return merged(framework.signatures, signatures_of(framework, wanted))


def differences(framework: FrameworkMappings, true: Signatures) -> Iterator[Change]:
    """What is committed otherwise than it should be, or not at all."""
    for layer, signature in true.items():
        if layer in framework.signatures:
            yield from changes(layer, framework.signatures[layer], signature)
        else:
            names = ", ".join(signature) or "no parameters"
            yield Change("signature", layer, (), (names,))


def signature_of(cls: type[Any]) -> dict[str, Parameter]:
    """The parameters of a constructor. A default that is no constant is told in words."""
    return {
        name: Parameter(
            name=name,
            type=_type(parameter),
            required=parameter.default is inspect.Parameter.empty,
            default=_default(parameter.default),
            at=_NOWHERE,
        )
        for name, parameter in _parameters(cls).items()
    }


def release(package: str) -> tuple[str, str]:
    """The name and the version of the distribution that a package came with."""
    top = package.partition(".")[0]
    for distribution in importlib.metadata.packages_distributions().get(top, ()):
        metadata = importlib.metadata.metadata(distribution)
        return metadata["Name"], metadata["Version"]
    return package, str(getattr(_imported(top), "__version__", "unknown"))


def _module(path: str, package: str) -> str:
    """A module of the package by its whole path or what follows the package's name, or another."""
    inside = path if path.split(".")[0] == package else f"{package}.{path}".rstrip(".")
    return path if not _exists(inside) and path and _exists(path) else inside


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:
        return False


def _imported(module: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        top = module.partition(".")[0]
        mend = f"install it: pip install {top}" if error.name == top else "check the name"
        raise ReviewError(f"`{module}` can't be imported: {error}", mend) from error


def _class(module: ModuleType, name: str) -> type[Any]:
    found = getattr(module, name, None)
    if inspect.isclass(found):
        return found
    classes = [key for key, value in vars(module).items() if inspect.isclass(value)]
    raise ReviewError(f"{module.__name__} has no class `{name}`", did_you_mean(name, classes))


def _source(cls: type[Any]) -> str:
    """The module that defines the class, which need not be the one it is imported from."""
    return cls.__module__.replace(".", "/") + ".py"


def _parameters(cls: type[Any]) -> Mapping[str, inspect.Parameter]:
    try:
        return inspect.signature(cls, eval_str=True).parameters
    except ValueError as error:
        raise ReviewError(f"{cls.__module__}.{cls.__name__} tells no signature: {error}") from None
    except (NameError, AttributeError, SyntaxError, TypeError):
        return inspect.signature(cls).parameters  # annotations that only a type checker evaluates


def _type(parameter: inspect.Parameter) -> str:
    """The annotation without the names of modules; without one, what the default tells."""
    annotation = parameter.annotation
    if annotation is inspect.Parameter.empty:
        default = parameter.default
        is_plain = isinstance(default, (bool, int, float, str))
        return type(default).__name__ if is_plain else "object"
    text = annotation if isinstance(annotation, str) else inspect.formatannotation(annotation)
    return re.sub(r"\b(?:[A-Za-z_]\w*\.)+(?=[A-Za-z_])", "", text)


def _default(value: object) -> Constant:
    if value is inspect.Parameter.empty:
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, (bool, int, float, str, type(None))):
        return value
    return repr(value) if isinstance(value, (tuple, list)) else f"{type(value).__name__}()"

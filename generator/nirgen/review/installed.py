"""The constructor signatures of an installed framework: the one place where one is imported."""

from __future__ import annotations

import ast
import importlib
import importlib.metadata
import importlib.util
import inspect
import math
import re
import textwrap
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

from nirgen.mapping.expressions import names
from nirgen.mapping.model import FrameworkMappings, LayerMapping, Parameter, Structure
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
        found[name] = named(signature_of(_class(_imported(modules[alias]), cls)), alias)
    return found


def named(signature: Signature, alias: str) -> dict[str, Parameter]:
    """A signature with the classes of its structures by their names in mappings."""
    return {
        name: found
        if found.part_of is None
        else replace(found, part_of=replace(found.part_of, cls=f"{alias}.{found.part_of.cls}"))
        for name, found in signature.items()
    }


def up_to_date(framework: FrameworkMappings) -> dict[str, Signature]:
    """The signatures that should be committed: of those that are, and of all mapped layers."""
    mapped = (layer for m in framework.layers for layer in m.layers)
    wanted = dict.fromkeys((*framework.signatures, *mapped))
    found = signatures_of(framework, wanted)
    for mapping in (mapping for mapping in framework.layers if mapping.nodes):
        for name in mapping.layers:
            known = framework.signatures.get(name, {})
            found[name] = {**found[name], **_kept(framework, name, mapping, found[name], known)}
    return merged(framework.signatures, found)


# --- what live layers keep ------------------------------------------------------------------


def _kept(
    framework: FrameworkMappings,
    layer: str,
    mapping: LayerMapping,
    signature: Signature,
    committed: Signature,
) -> dict[str, Parameter]:
    """The tensors of a live layer that its constructor doesn't take, and the attributes that are
    committed. Of a layer that can't be made without knowing more, what is committed."""
    known = {name: found for name, found in committed.items() if found.kept is not None}
    alias, _, name = layer.rpartition(".")
    cls = _class(_imported(framework.framework.modules[alias]), name)
    made = _made(cls, signature, mapping)
    if not hasattr(made, "named_parameters"):  # it wasn't made, or is no module
        return known
    tensors = {
        **{name: _found(name, "parameter", value) for name, value in made.named_parameters()},
        **{name: _found(name, "buffer", value) for name, value in made.named_buffers()},
    }
    attributes = {
        name: replace(_found(name, "attribute", getattr(made, name)), type=found.type)
        for name, found in known.items()
        if found.kept == "attribute" and hasattr(made, name)
    }
    state = {name for formula in mapping.state.values() for name in names(formula)}
    own = {name: found for name, found in (tensors | attributes).items() if "." not in name}
    return {n: found for n, found in own.items() if n not in signature and n not in state}


def _found(name: str, kept: str, value: object) -> Parameter:
    """A tensor, with its number if that is one; or another value."""
    is_tensor = hasattr(value, "numel")
    alone = not is_tensor or value.numel() == 1  # type: ignore[attr-defined]
    number = float(value.item()) if is_tensor and alone else value  # type: ignore[attr-defined]
    own = kept == "parameter" or not alone  # drawn, trained, or of a shape of its own
    return Parameter(
        name=name,
        type="object" if own else "Tensor" if is_tensor else type(value).__name__,
        required=own,
        default=None if own else _default(number),
        at=_NOWHERE,
        kept=kept,
    )


def _made(cls: type[Any], signature: Signature, mapping: LayerMapping) -> Any:
    """A layer: of the first example that its constructor takes, or of numbers that it may take."""
    for example in (*(example.layer for example in mapping.examples), {}):
        given = {n: v for n, v in example.items() if n in signature and not signature[n].part_of}
        plain = {n: p for n, p in signature.items() if p.part_of is None and p.required}
        guessed = {n: _GUESSES[k] for n, p in plain.items() for k in _GUESSES if k in p.type}
        try:
            return cls(**{**guessed, **given})
        except Exception:  # anybody's constructor: it takes something else
            continue
    return None


_GUESSES: dict[str, object] = {"": 0.5, "tuple": (2, 2), "int": 2, "float": 0.5, "bool": False}
"""What a required parameter is tried with, by what is in its type; the last that fits."""


def differences(framework: FrameworkMappings, true: Signatures) -> Iterator[Change]:
    """What is committed otherwise than it should be, or not at all."""
    for layer, signature in true.items():
        if layer in framework.signatures:
            yield from changes(layer, framework.signatures[layer], signature)
        else:
            names = ", ".join(signature) or "no parameters"
            yield Change("signature", layer, (), (names,))


def signature_of(cls: type[Any]) -> dict[str, Parameter]:
    """The parameters of a constructor; of one that is a named tuple, its fields instead.

    A default that is no constant is told in words.
    """
    found = (each for parameter in _parameters(cls) for each in _fields(parameter))
    return {parameter.name: parameter for parameter in found}


def _fields(parameter: inspect.Parameter) -> Iterator[Parameter]:
    cls = type(parameter.default)
    if not hasattr(cls, "_field_defaults"):
        yield _parameter(parameter)
        return
    types = {n: t for base in cls.__mro__ for n, t in vars(base).get("__annotations__", {}).items()}
    for name in cls._fields:
        default = cls._field_defaults.get(name, inspect.Parameter.empty)
        kind = inspect.Parameter.KEYWORD_ONLY
        annotation = types.get(name, inspect.Parameter.empty)
        field = inspect.Parameter(name, kind, default=default, annotation=annotation)
        yield replace(_parameter(field), part_of=Structure(parameter.name, cls.__name__))


def _parameter(parameter: inspect.Parameter) -> Parameter:
    return Parameter(
        name=parameter.name,
        type=_type(parameter),
        required=parameter.default is inspect.Parameter.empty,
        default=_default(parameter.default),
        at=_NOWHERE,
    )


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


def _parameters(cls: type[Any]) -> list[inspect.Parameter]:
    """The parameters of a constructor. `**kwargs` are those of the class that it derives from,
    but for what the constructor itself passes on."""
    own = list(_signature(cls).parameters.values())
    if not own or own[-1].kind is not inspect.Parameter.VAR_KEYWORD:
        return own
    base = next(b for b in cls.__mro__[1:] if "__init__" in vars(b))
    theirs = _parameters(base)
    if not theirs or theirs[-1].kind is inspect.Parameter.VAR_KEYWORD:
        return own
    given = {parameter.name for parameter in own} | _passed_on(cls)
    return [*own[:-1], *(p for p in theirs if p.name not in given)]


def _passed_on(cls: type[Any]) -> set[str]:
    """The keywords that a constructor gives to that of the class it derives from."""
    source = textwrap.dedent(inspect.getsource(vars(cls)["__init__"]))
    calls = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call))
    passed = (c.keywords for c in calls if ast.unparse(c.func).endswith("__init__"))
    return {keyword.arg for keywords in passed for keyword in keywords if keyword.arg}


def _signature(cls: type[Any]) -> inspect.Signature:
    try:
        return inspect.signature(cls, eval_str=True)
    except ValueError as error:
        raise ReviewError(f"{cls.__module__}.{cls.__name__} tells no signature: {error}") from None
    except (NameError, AttributeError, SyntaxError, TypeError):
        return inspect.signature(cls)  # annotations that only a type checker evaluates


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
    if inspect.isfunction(value):
        return value.__name__
    if getattr(value, "shape", None) == ():  # a number as a tensor
        return float(value.item())  # type: ignore[attr-defined]
    return repr(value) if isinstance(value, (tuple, list)) else f"{type(value).__name__}()"

"""A new folder of mappings: the framework, its signatures, and a stub for each layer."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from nirgen.mapping.model import Node
from nirgen.mapping.problems import did_you_mean
from nirgen.review import installed, signatures
from nirgen.review.errors import ReviewError
from nirgen.review.installed import Layer
from nirgen.review.statements import parameter

_HEADER = """\
# The framework's constructor signatures, as committed facts; a test compares them with the
# installed packages. A parameter without `default` is required.
"""


def texts(package: str, wanted: Sequence[str], nodes: Mapping[str, Node]) -> dict[str, str]:
    """The files of a new folder by their names, for layers such as `module.Class=LIF`.

    Raises:
        ReviewError: something isn't installed, or NIR has no such node.
    """
    named = [_split(text, nodes) for text in wanted]
    layers = [(installed.layer(path, package), node) for path, node in named]
    aliases = _aliases(layer.module for layer, _ in layers)
    names = {f"{aliases[layer.module]}.{layer.name}": (layer, node) for layer, node in layers}
    files = {
        "framework.yaml": _framework(package, aliases),
        "signatures.yaml": signatures.written(
            {
                name: installed.named(layer.signature, aliases[layer.module])
                for name, (layer, _) in names.items()
            },
            _HEADER,
        ),
    }
    for name, (layer, node) in names.items():
        stem = file_stem(layer.name)
        file = f"{stem}.yaml" if f"{stem}.yaml" not in files else f"{stem}_{len(files)}.yaml"
        files[file] = "\n".join(_stub(name, layer, node, nodes)) + "\n"
    return files


def write(folder: Path, files: Mapping[str, str]) -> None:
    """Write the files into a folder that isn't there yet.

    Raises:
        ReviewError: the folder exists.
    """
    if folder.exists():
        mend = "add a layer by a file of its own, and `nirgen signatures --update`"
        raise ReviewError(f"{folder} exists already", mend)
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")


def file_stem(cls: str) -> str:
    """`LIFNode` is in `lif_node.yaml`, `Conv2d` in `conv2d.yaml`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", cls)
    return words.lower()


def _split(text: str, nodes: Mapping[str, Node]) -> tuple[str, str]:
    path, _, node = text.partition("=")
    if node and node not in nodes:
        raise ReviewError(f"NIR has no `{node}`", did_you_mean(node, nodes))
    return path, node


def _aliases(modules: Iterable[str]) -> dict[str, str]:
    """A short name for each module: its last part, or more of them where two end alike."""
    found: dict[str, str] = {}
    for module in dict.fromkeys(modules):
        parts = module.split(".")
        ends = ("_".join(parts[-count:]) for count in range(1, len(parts) + 1))
        found[module] = next(end for end in ends if end not in found.values())
    return found


def _framework(package: str, aliases: Mapping[str, str]) -> str:
    title, version = installed.release(package)
    lines = [
        f"framework: {signatures.scalar(title)}",
        f"version: {signatures.scalar(version)}",
        f"packages: [{package}]",
        "modules:",
        *(f"  {alias}: {module}" for module, alias in aliases.items()),
        "",
        "# Networks are made of torch.nn's layers too. A node that no layer computes becomes a",
        "# module of the reference, which `cell` gives a memory.",
        "builds_on: torch_nn",
        "fallback: reference",
        "cell: nir_runtime.contract.reference.Cell",
        "",
        "# If the layers have an attribute that tells how many axes stand before the features:",
        "# mode: {attribute: step_mode, axes: {s: 1, m: 2}, default: s}",
    ]
    return "\n".join(lines) + "\n"


def _stub(name: str, layer: Layer, node: str, nodes: Mapping[str, Node]) -> Iterator[str]:
    yield f"layer: {name}"
    # NIR has no node of such a name, so that `nirgen check` asks for it with all the rest.
    yield f"node: {node or f'to be decided for {layer.name}'}"
    yield "step:" if node and nodes[node].is_neuron else "equation:"
    yield f"source: {layer.source}"
    if node:
        yield from _fields(nodes[node])
    if layer.signature:
        yield ""
        yield "# To be decided for each parameter, exactly once: `bind` a field of the node to a"
        yield "# formula of it, `derive` it from the node, `fix` it to the one value that has a"
        yield "# meaning, leave it to who imports (`options`), or `ignore` it, with the reason."
        yield from (f"#   {name}: {parameter(given)}" for name, given in layer.signature.items())


def _fields(node: Node) -> Iterator[str]:
    """What must be stated of the node."""
    yield ""
    yield f"# To be stated of {node.name}, exactly once, by a formula over the parameters (`bind`)"
    yield "# or by an array of the layer (`tensors`)."
    for field in node.fields.values():
        unit = f" in {field.unit}" if field.unit else ""
        yield f"#   {field.name}: {field.kind}{unit}, {field.says}"
    if node.start:
        yield "# Of its state: the layer's attribute that holds it, or a formula of that (`state`),"
        yield "# and the value before the first step (`start`)."
        yield from (f"#   {variable}" for variable in node.start)

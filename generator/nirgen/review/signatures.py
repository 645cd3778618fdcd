"""Constructor signatures: two of them compared, brought up to date, and written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import groupby

from nirgen.mapping.model import Parameter
from nirgen.mapping.problems import Problems
from nirgen.mapping.source import Constant, Scalar, parse
from nirgen.mapping.source import Mapping as Entries
from nirgen.review.changes import Change
from nirgen.review.statements import parameter

Signature = Mapping[str, Parameter]
Signatures = Mapping[str, Signature]


def changes(layer: str, old: Signature, new: Signature) -> Iterator[Change]:
    """The parameters that came, went, or have another type or default."""
    for name in dict.fromkeys((*new, *old)):
        was = (parameter(old[name]),) if name in old else ()
        now = (parameter(new[name]),) if name in new else ()
        if was != now:
            yield Change("signature", f"{layer}({name})", was, now)
    before, after = [n for n in old if n in new], [n for n in new if n in old]
    if before != after:
        orders = (", ".join(before),), (", ".join(after),)
        yield Change("signature", f"{layer}: order", *orders)


def merged(committed: Signatures, installed: Signatures) -> dict[str, Signature]:
    """The installed signatures, with the committed types of parameters that stayed.

    A committed type may say more than the annotation does (`Tensor` or a list of words, where the
    framework has Any), and a default that is no constant is committed in words. Both are kept as
    long as the parameter has its name and its default.
    """
    order = dict.fromkeys((*committed, *installed))
    return {
        layer: {
            name: _merged(committed.get(layer, {}).get(name), found)
            for name, found in installed[layer].items()
        }
        for layer in order
        if layer in installed
    }


def _merged(committed: Parameter | None, found: Parameter) -> Parameter:
    alike = committed is not None and committed.kept == found.kept
    if committed is None or not alike or committed.required != found.required:
        return found
    same = type(committed.default) is type(found.default) and committed.default == found.default
    return replace(found, type=committed.type, of=committed.of) if same else found


# --- text -----------------------------------------------------------------------------------


def written(signatures: Signatures, comment: str) -> str:
    """The text of a signatures.yaml: a line for each parameter, a paragraph for each layer."""
    paragraphs = [comment.rstrip("\n")] if comment else []
    paragraphs += ["\n".join(_lines(layer, signatures[layer])) for layer in signatures]
    return "\n\n".join(paragraphs) + "\n"


def comment_of(text: str) -> str:
    """The comment that a file begins with."""
    found = re.match(r"(?:#[^\n]*\n)*", text)
    return found.group() if found else ""


def _lines(layer: str, signature: Signature) -> Iterator[str]:
    if not signature:
        yield f"{layer}: {{}}"
        return
    yield f"{layer}:"
    for structure, several in groupby(signature.values(), lambda found: found.part_of):
        if structure is None:
            yield from (f"  {_line(found)}" for found in several)
        else:
            yield f"  {structure.parameter}:"
            yield f"    type: {structure.cls}"
            yield "    fields:"
            yield from (f"      {_line(found)}" for found in several)


def _line(found: Parameter) -> str:
    default = "" if found.required else f", default: {scalar(found.default)}"
    of = "" if found.of is None else f", of: {found.of}"
    kept = "" if found.kept is None else f", kept: {found.kept}"
    return f"{found.name}: {{type: {scalar(found.type)}{default}{of}{kept}}}"


def scalar(value: Constant) -> str:
    """A value as the strict reader of YAML reads it back: bare where it may be."""
    if isinstance(value, str):
        return value if _may_stand_bare(value) else json.dumps(value, ensure_ascii=False)
    return json.dumps(value)


def _may_stand_bare(text: str) -> bool:
    if not re.fullmatch(r"[\w./]+(?: [\w./]+)*", text):
        return False
    problems = Problems()
    tree = parse(f"key: {text}\n", "", problems)
    read = tree.entries["key"] if isinstance(tree, Entries) else None
    return not problems.found and isinstance(read, Scalar) and read.value == text

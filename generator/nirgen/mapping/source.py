"""YAML text -> a tree of plain values in which every value knows its place.

A mapping is YAML with its traps closed: what a reader may take for one thing and YAML 1.1 for
another is an error here. No anchors, no tags, no duplicate keys; `1e-4` is a number; `off`, `012`
and `1:30` must be quoted or written otherwise.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Union

import yaml

from nirgen.mapping.problems import Location, Problems

Constant = Union[bool, int, float, str, None]
Tree = Union["Scalar", "Sequence", "Mapping"]

_NUMBER = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?")
_INTEGER = re.compile(r"[-+]?(0|[1-9]\d*)")
_WORDS: dict[str, Constant] = {"true": True, "false": False, "null": None, "": None}
_READ_OTHERWISE = re.compile(r"[\t\ufeff%?]")
"""What libyaml takes where PyYAML's parser doesn't, or may: tabs, marks and directives."""

_TRAPS = (
    (re.compile(r"(?i)y|n|yes|no|on|off|~|True|TRUE|False|FALSE|NULL"), "a truth value or null"),
    (re.compile(r"[-+]?0[0-9]+|0[oxb][0-9a-fA-F]+|[-+]?\d[\d_]*_\d*"), "a number"),
    (re.compile(r"[-+]?\d+(:\d+)+"), "a number of base sixty"),
    (re.compile(r"\d{4}-\d{1,2}-\d{1,2}.*"), "a date"),
    (re.compile(r"(?i)[-+]?\.(inf|nan)"), "infinity or not a number"),
)


@dataclass(frozen=True)
class Scalar:
    """A word, number or text. `text` is as written, `value` what it means."""

    text: str
    value: Constant
    at: Location


@dataclass(frozen=True)
class Sequence:
    items: tuple[Tree, ...]
    at: Location


@dataclass(frozen=True)
class Mapping:
    """`entries` in the order of the file; `keys` are their places."""

    entries: dict[str, Tree]
    keys: dict[str, Location]
    at: Location


def parse(text: str, file: str, problems: Problems) -> Tree | None:
    """The tree of a YAML document; None where there is none, with the reason in `problems`."""
    try:
        root = _composed(text)
    except yaml.MarkedYAMLError as error:
        problems.add(_location(file, error.problem_mark), f"not YAML: {error.problem}")
        return None
    except yaml.reader.ReaderError as error:
        problems.add(Location(file, 1, 1), f"not YAML: {error.reason}")
        return None
    if root is None:
        problems.add(Location(file, 1, 1), "the file is empty")
        return None
    tree = _Builder(file, problems, text.splitlines()).build(root)
    if "&" in text or "*" in text:
        _refuse_anchors(text, file, problems)
    return tree


def _composed(text: str) -> yaml.Node | None:
    """The document's nodes: by libyaml, where PyYAML has it, since that is ten times as fast.

    PyYAML's own parser, which is everywhere, reads what libyaml reads otherwise, and has the words
    for what is wrong with a text.
    """
    if hasattr(yaml, "CSafeLoader") and not _READ_OTHERWISE.search(text):
        with suppress(yaml.YAMLError):
            return yaml.compose(text, Loader=yaml.CSafeLoader)
    return yaml.compose(text, Loader=yaml.SafeLoader)


def _location(file: str, mark: Any) -> Location:
    return Location(file, mark.line + 1, mark.column + 1) if mark else Location(file, 1, 1)


def _refuse_anchors(text: str, file: str, problems: Problems) -> None:
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        if getattr(event, "anchor", None) is not None:
            problems.add(
                _location(file, event.start_mark),
                "anchors and aliases are not part of the mapping language",
                "write the value out where it is needed",
            )


@dataclass(frozen=True)
class _Builder:
    file: str
    problems: Problems
    lines: list[str]

    def build(self, node: yaml.Node) -> Tree:
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node)
        if isinstance(node, yaml.SequenceNode):
            items = tuple(self.build(item) for item in node.value)
            return Sequence(items, self._at(node))
        return self._scalar(node)

    def _at(self, node: yaml.Node) -> Location:
        return _location(self.file, node.start_mark)

    def _mapping(self, node: yaml.MappingNode) -> Mapping:
        entries: dict[str, Tree] = {}
        keys: dict[str, Location] = {}
        for key_node, value_node in node.value:
            at = self._at(key_node)
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.add(at, "a key must be a single word")
                continue
            key = key_node.value
            if key in entries:
                self.problems.add(at, f"duplicate key `{key}`", f"it stands already at {keys[key]}")
                continue
            if key == "<<":
                self.problems.add(at, "merge keys are not part of the mapping language")
                continue
            entries[key] = self.build(value_node)
            keys[key] = at
        return Mapping(entries, keys, self._at(node))

    def _scalar(self, node: Any) -> Scalar:
        at = self._at(node)
        text = str(node.value)
        if self._begins_with(node, "!"):
            self.problems.add(at, "tags are not part of the mapping language")
        if node.style:  # quoted, or a block: text, whatever it looks like
            inside = at.shifted(1) if node.style in "'\"" else self._inside(at)
            return Scalar(text, text, inside)
        return Scalar(text, self._plain(text, at), at)

    def _begins_with(self, node: Any, sign: str) -> bool:
        """Whether a sign stands where a node begins."""
        line: int = node.start_mark.line
        column: int = node.start_mark.column
        return line < len(self.lines) and self.lines[line].startswith(sign, column)

    def _inside(self, at: Location) -> Location:
        """Where the text of a block begins: its first line that isn't empty."""
        for number, line in enumerate(self.lines[at.line :], at.line + 1):
            if line.strip():
                return Location(self.file, number, len(line) - len(line.lstrip()) + 1)
        return at

    def _plain(self, text: str, at: Location) -> Constant:
        if text in _WORDS:
            return _WORDS[text]
        for trap, meaning in _TRAPS:
            if trap.fullmatch(text):
                self.problems.add(
                    at,
                    f"`{text}` means {meaning} to some readers of YAML, and text to others",
                    f'write "{text}" for text, or true, false, null or a plain number',
                )
                return text
        if _INTEGER.fullmatch(text):
            return int(text)
        if _NUMBER.fullmatch(text):
            return float(text)
        return text

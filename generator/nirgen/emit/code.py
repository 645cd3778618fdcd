"""Statements of generated Python, and their layout.

A body is a sequence of statements; a statement is a line, a call with its arguments, or a block.
Layout follows the formatter that the rest of the code uses: what fits into a line is a line, and
what does not gets a line for each argument, with a trailing comma.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Union

from nirgen.mapping.expressions import Expression, Literal, Name, calls, show
from nirgen.mapping.model import SURROUNDINGS

WIDTH = 100
INDENT = "    "


@dataclass(frozen=True)
class Line:
    text: str


@dataclass(frozen=True)
class Call:
    """`before function(arguments)`; an argument without a name is positional."""

    function: str
    arguments: tuple[tuple[str, str], ...]
    before: str = ""


@dataclass(frozen=True)
class Block:
    """A header such as `if x:` and what stands below it."""

    header: str
    body: tuple[Statement, ...]


Statement = Union[Line, Call, Block]


def call(function: str, *positional: str, before: str = "", **named: str) -> Call:
    """A call statement, from Python's own call syntax."""
    arguments = (*(("", text) for text in positional), *named.items())
    return Call(function, arguments, before)


def layout(statements: Iterable[Statement], depth: int = 0) -> list[str]:
    """The lines of some statements, indented by `depth`."""
    lines: list[str] = []
    for statement in statements:
        lines += _lines(statement, depth)
    return lines


def _lines(statement: Statement, depth: int) -> list[str]:
    margin = INDENT * depth
    match statement:
        case Line(text):
            return [margin + text if text else ""]
        case Block(header, body):
            return [margin + header, *layout(body, depth + 1)]
        case Call(function, arguments, before):
            return _call_lines(f"{before}{function}", arguments, margin)


def _call_lines(start: str, arguments: Sequence[tuple[str, str]], margin: str) -> list[str]:
    texts = [f"{name}={text}" if name else text for name, text in arguments]
    line = f"{margin}{start}({', '.join(texts)})"
    if len(line) <= WIDTH:
        return [line]
    inner = margin + INDENT
    lines = [line for text in texts for line in _argument_lines(text, inner)]
    return [f"{margin}{start}(", *lines, f"{margin})"]


def _argument_lines(text: str, margin: str) -> list[str]:
    """An argument on a line of its own; a string that is too long, on several."""
    line = f"{margin}{text},"
    quoted = text.lstrip("f")
    if len(line) <= WIDTH or not quoted.startswith('"') or not quoted.endswith('"'):
        return [line]
    prefix = text[: len(text) - len(quoted)]
    pieces = _split_text(quoted[1:-1], WIDTH - len(margin) - len(prefix) - 3)
    lines = [f'{margin}{prefix if "{" in piece else ""}"{piece}"' for piece in pieces]
    return [*lines[:-1], lines[-1] + ","]


def _split_text(text: str, width: int) -> list[str]:
    """Pieces of at most `width`, split behind spaces that are outside of braces."""
    pieces: list[str] = [""]
    depth = 0
    word = ""
    for character in text:
        word += character
        depth += (character == "{") - (character == "}")
        if character == " " and depth == 0:
            _place(word, pieces, width)
            word = ""
    _place(word, pieces, width)
    return [piece for piece in pieces if piece]


def _place(word: str, pieces: list[str], width: int) -> None:
    if len(pieces[-1]) + len(word) > width:
        pieces.append(word)
    else:
        pieces[-1] += word


def signature(name: str, parameters: Sequence[tuple[str, str]], returns: str) -> tuple[str, ...]:
    """The lines of a function's head: one, three, or one for each parameter."""
    texts = [f"{parameter}: {type_}" for parameter, type_ in parameters]
    line = f"def {name}({', '.join(texts)}) -> {returns}:"
    if len(line) <= WIDTH:
        return (line,)
    inside = f"{INDENT}{', '.join(texts)}"
    if len(inside) > WIDTH:
        return (f"def {name}(", *_parameter_lines(texts), f") -> {returns}:")
    return (f"def {name}(", inside, f") -> {returns}:")


def _parameter_lines(texts: Iterable[str]) -> Iterator[str]:
    """A line for each parameter; a union that is too long gets one for each of its types."""
    for text in texts:
        line = f"{INDENT}{text},"
        if len(line) <= WIDTH:
            yield line
            continue
        first, *rest = text.split(" | ")
        yield f"{INDENT}{first}"
        yield from (f"{INDENT}| {type_}" for type_ in rest[:-1])
        yield f"{INDENT}| {rest[-1]},"


# --- texts ----------------------------------------------------------------------------------


def quote(text: str) -> str:
    """A Python string of a text, in double quotes."""
    if '"' in text and "'" not in text and "\\" not in text:
        return f"'{text}'"
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def constant(value: object) -> str:
    """A Python literal of a constant."""
    return quote(value) if isinstance(value, str) else repr(value)


@dataclass(frozen=True)
class Scope:
    """How a formula's names are spelled in a function's body."""

    spelled: Mapping[str, str]

    def code(self, formula: Expression) -> str:
        """The formula as Python code."""
        surroundings = {name: f"at.{name}" for name in SURROUNDINGS}
        return show(formula, {**surroundings, **self.spelled}, constant)

    def number(self, formula: Expression) -> str:
        """The formula as Python code of a float."""
        match formula:
            case Literal(bool()):
                return self.code(formula)
            case Literal(int() as value):
                return repr(float(value))
        return self.code(formula)

    def with_names(self, spelled: Mapping[str, str]) -> Scope:
        return Scope({**self.spelled, **spelled})


def functions_called(formulas: Iterable[Expression]) -> frozenset[str]:
    """The functions of the runtime that some formulas call."""
    return frozenset(function for formula in formulas for function in calls(formula))


def is_name(formula: Expression) -> bool:
    return isinstance(formula, Name)

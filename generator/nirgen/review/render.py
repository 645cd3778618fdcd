"""A report as text for a terminal, as Markdown for a pull request, as JSON for a program."""

from __future__ import annotations

import json
import math
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import zip_longest
from typing import Any

from nirgen.mapping.problems import Problem
from nirgen.review.changes import Change, Report, Subject
from nirgen.review.measure import Measured, Symbol

WIDTH = 100
_LONGEST_LABEL = 26


def text(report: Report) -> str:
    """For a terminal: old and new side by side where they fit, else one above the other."""
    return "\n".join(_text(report)) + "\n"


def markdown(report: Report) -> str:
    """For a pull request: a table for each layer."""
    return "\n".join(_markdown(report)) + "\n"


def as_json(report: Report) -> str:
    """For a program: the report's fields, and the places of problems as text."""
    return json.dumps(_report(report), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


FORMATS: Mapping[str, Callable[[Report], str]] = {
    "text": text,
    "markdown": markdown,
    "json": as_json,
}


def _summary(report: Report) -> str:
    if report.unreadable:
        return "they can't be compared"
    if not report.changes and not report.problems and not report.mended:
        return "nothing changed"
    parts = [_count(len(report.changes), "change")]
    equal = sum(change.sign == "=" for change in report.changes)
    parts += [f"{equal} in writing only"] if equal else []
    parts += [_count(report.losses, "loss", "losses") if report.losses else "nothing is lost"]
    return ", ".join(parts)


def _count(number: int, singular: str, plural: str = "") -> str:
    return f"{number} {singular if number == 1 else plural or singular + 's'}"


def _problem_groups(report: Report) -> Iterator[tuple[str, tuple[Problem, ...]]]:
    groups = (
        ("These mappings can't be read", report.unreadable),
        ("No converter can be generated any more", report.problems),
        ("No longer a problem", report.mended),
    )
    return ((heading, problems) for heading, problems in groups if problems)


# --- text -----------------------------------------------------------------------------------


def _text(report: Report) -> Iterator[str]:
    yield f"{report.base} -> {report.head}: {_summary(report)}"
    for heading, problems in _problem_groups(report):
        yield ""
        yield f"{heading}:"
        for problem in problems:
            yield textwrap.indent(str(problem), "  ")
    for subject in report.subjects:
        yield ""
        yield subject.title + (f"  ({subject.file})" if subject.file else "")
        yield from _text_of_subject(subject)


def _text_of_subject(subject: Subject) -> Iterator[str]:
    labels = [len(change.what) for change in subject.changes]
    width = max((length for length in labels if length <= _LONGEST_LABEL), default=0)
    for change in subject.changes:
        yield from _text_of_change(change, width)


def _text_of_change(change: Change, width: int) -> Iterator[str]:
    margin = " " * (width + 6)
    mark = f" {'!' if change.loss else ' '}{change.sign} "
    body = list(_both(change, WIDTH - len(margin)))
    if len(change.what) <= width:
        first, *rest = body
        yield f"{mark}{change.what:<{width}}  {first}".rstrip()
    else:
        rest = body
        first, *more = textwrap.wrap(change.what, WIDTH - len(mark))
        yield from (mark + first, *(f"      {line}" for line in more))
    yield from (margin + line for line in rest)
    if change.consequence:
        lines = textwrap.wrap(change.consequence, WIDTH - len(margin) - 2)
        yield from (f"{margin}  {line}" for line in lines)


def _both(change: Change, width: int) -> Iterator[str]:
    """Old and new."""
    if not change.old or not change.new:
        yield from change.old or change.new
        return
    left = max(map(len, change.old))
    if left + 4 + max(map(len, change.new)) <= width:
        for row, (old, new) in enumerate(zip_longest(change.old, change.new, fillvalue="")):
            yield f"{old:<{left}} {'->' if row == 0 else '  '} {new}".rstrip()
    else:
        yield from (f"- {line}" for line in change.old)
        yield from (f"+ {line}" for line in change.new)


# --- Markdown -------------------------------------------------------------------------------


def _markdown(report: Report) -> Iterator[str]:
    yield f"## Mappings: {_code(report.base)} → {_code(report.head)}"
    yield ""
    summary = _summary(report)
    yield f"**{summary}**" if report.losses else summary
    for heading, problems in _problem_groups(report):
        yield from ("", f"### {heading}", "", "```")
        yield from (line for problem in problems for line in str(problem).splitlines())
        yield "```"
    for subject in report.subjects:
        yield from ("", f"### {subject.title}", "")
        yield from _table(subject.changes)


def _table(changes: Iterable[Change]) -> Iterator[str]:
    yield "| | | was | is | |"
    yield "|---|---|---|---|---|"
    for change in changes:
        sign = f"**loss** {change.sign}" if change.loss else change.sign
        old, new = (_cell(change, lines) for lines in (change.old, change.new))
        yield f"| {sign} | {_code(change.what)} | {old} | {new} | {_escaped(change.consequence)} |"


def _cell(change: Change, lines: Iterable[str]) -> str:
    dressed = _escaped if change.kind == "words" else _code
    return "<br>".join(map(dressed, lines))


def _code(content: str) -> str:
    """Inline code; a table's columns end at a bar even there."""
    ticks = "``" if "`" in content else "`"
    pad = " " if ticks == "``" else ""
    return f"{ticks}{pad}{content}{pad}{ticks}".replace("|", "\\|")


def _escaped(content: str) -> str:
    for character in ("\\", "|", "*", "_", "<"):
        content = content.replace(character, f"\\{character}")
    return content


# --- JSON -----------------------------------------------------------------------------------


def _report(report: Report) -> dict[str, Any]:
    return {
        "base": report.base,
        "head": report.head,
        "losses": report.losses,
        "unreadable": list(map(_problem, report.unreadable)),
        "problems": list(map(_problem, report.problems)),
        "mended": list(map(_problem, report.mended)),
        "subjects": [
            {"title": s.title, "file": s.file, "changes": list(map(_change, s.changes))}
            for s in report.subjects
        ],
    }


def _problem(problem: Problem) -> dict[str, str]:
    return {"at": str(problem.at), "what": problem.what, "mend": problem.mend}


def _change(change: Change) -> dict[str, Any]:
    return {
        "sign": change.sign,
        "kind": change.kind,
        "what": change.what,
        "old": list(change.old),
        "new": list(change.new),
        "loss": change.loss,
        "effect": change.consequence,
        "measured": _measured(change.measured) if change.measured is not None else None,
    }


def _measured(measured: Measured) -> dict[str, Any]:
    return {
        "samples": measured.samples,
        "differing": measured.differing,
        "largest": measured.largest,
        "ratio": measured.ratio,
        "at": {name: _plain(value) for name, value in measured.worst.inputs.items()},
        "old": _plain(measured.worst.old),
        "new": _plain(measured.worst.new),
    }


def _plain(value: Any) -> Any:
    """A value that JSON has: no infinity, and nothing of ours."""
    if isinstance(value, (list, tuple)):
        return list(map(_plain, value))
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, Symbol):
        return str(value)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value

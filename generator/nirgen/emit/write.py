"""Texts -> disk, or a comparison of the two. Nothing else here touches generated files."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nirgen.emit.render import HEADER


@dataclass(frozen=True)
class Changes:
    """What separates a folder from the texts that should be in it; paths below the folder."""

    created: tuple[str, ...]
    updated: tuple[str, ...]
    removed: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.created or self.updated or self.removed)

    def lines(self) -> list[str]:
        """A line for each file."""
        groups = (("created", self.created), ("updated", self.updated), ("removed", self.removed))
        return [f"{verb} {path}" for verb, paths in groups for path in paths]


def compare(texts: Mapping[str, str], folder: Path) -> Changes:
    """What `write` would do."""
    held = {path: _held(folder / path) for path in texts}
    return Changes(
        created=tuple(path for path, text in held.items() if text is None),
        updated=tuple(p for p, text in held.items() if text is not None and text != texts[p]),
        removed=tuple(sorted(_generated(folder) - set(texts))),
    )


def write(texts: Mapping[str, str], folder: Path) -> Changes:
    """Write what changed, then remove the files that were generated once and are no longer."""
    changes = compare(texts, folder)
    for path in (*changes.created, *changes.updated):
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(texts[path], encoding="utf-8", newline="\n")
    for path in changes.removed:
        (folder / path).unlink()
    return changes


def diff(texts: Mapping[str, str], folder: Path, changes: Changes) -> str:
    """A unified diff from the folder's files to the texts."""
    lines: list[str] = []
    for path in (*changes.created, *changes.updated, *changes.removed):
        old = (_held(folder / path) or "").splitlines(keepends=True)
        new = texts.get(path, "").splitlines(keepends=True)
        lines += difflib.unified_diff(old, new, f"committed/{path}", f"generated/{path}")
    return "".join(lines)


def _held(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None


def _generated(folder: Path) -> set[str]:
    """The files below a folder that say they were generated."""
    return {
        path.relative_to(folder).as_posix()
        for pattern in ("*.py", "*.md")
        for path in folder.rglob(pattern)
        if HEADER in (_held(path) or "")[:2000]
    }

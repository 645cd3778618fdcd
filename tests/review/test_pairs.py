"""Two small folders of mappings in, the exact report out; one pair for each kind of change.

`UPDATE_GOLDEN=1` writes the reports anew; review them like code.
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from nirgen.review import render
from nirgen.review.changes import Report
from nirgen.review.compare import compare
from nirgen.review.sides import Side, read_folder

PAIRS = Path(__file__).parent / "pairs"
NAMES = sorted(path.name for path in PAIRS.iterdir() if path.name != "common")


def side(name: str, which: str, tmp_path: Path) -> Side:
    """One side of a pair: what all have in common, and above it the files of its own."""
    folder = tmp_path / which / "mappings"
    shutil.copytree(PAIRS / "common", folder)
    shutil.copytree(PAIRS / name / which, folder, dirs_exist_ok=True)
    return read_folder(folder, which)


def report(name: str, tmp_path: Path) -> Report:
    return compare(side(name, "old", tmp_path), side(name, "new", tmp_path))


def check(text: str, expected: Path) -> None:
    if os.environ.get("UPDATE_GOLDEN"):
        expected.write_text(text, encoding="utf-8")
    assert text == expected.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", NAMES)
def test_text(name: str, tmp_path: Path) -> None:
    check(render.text(report(name, tmp_path)), PAIRS / name / "expected.txt")


@pytest.mark.parametrize("name", ["formula", "guards_overlap", "words", "nothing"])
def test_markdown(name: str, tmp_path: Path) -> None:
    check(render.markdown(report(name, tmp_path)), PAIRS / name / "expected.md")


@pytest.mark.parametrize("name", ["formula", "unreadable"])
def test_json(name: str, tmp_path: Path) -> None:
    check(render.as_json(report(name, tmp_path)), PAIRS / name / "expected.json")


@pytest.mark.parametrize("name", NAMES)
def test_every_report_is_json_and_fits_a_terminal(name: str, tmp_path: Path) -> None:
    found = report(name, tmp_path)
    assert json.loads(render.as_json(found))["losses"] == found.losses
    changes = [line for line in render.text(found).splitlines() if line.startswith(" ")]
    problems = [str(problem) for problem in (*found.problems, *found.unreadable)]
    for line in changes:
        assert len(line) <= render.WIDTH or any(line.strip() in text for text in problems), line


@pytest.mark.parametrize("name", NAMES)
def test_a_side_compared_with_itself_is_nothing(name: str, tmp_path: Path) -> None:
    new = side(name, "new", tmp_path)
    found = compare(new, new)
    assert not found.changes
    assert not found.problems

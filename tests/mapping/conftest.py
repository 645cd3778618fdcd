"""A copy of a small folder of mappings that a test may damage."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

MAPPINGS = Path(__file__).parent / "folder"

Edit = Callable[..., Path]


@pytest.fixture
def edit(tmp_path: Path) -> Edit:
    """`edit(file, old, new)` replaces text in a copy of the mappings; returns their folder."""
    folder = tmp_path / "mappings"
    shutil.copytree(MAPPINGS, folder)

    def apply(file: str, old: str, new: str) -> Path:
        path = folder / file
        text = path.read_text(encoding="utf-8")
        assert text.count(old) >= 1, f"{file} does not contain {old!r}"
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        return folder

    return apply

"""Converters of a stranger's mappings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from .making import Making, making


@pytest.fixture
def maker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Making]:
    yield from making(tmp_path, monkeypatch)

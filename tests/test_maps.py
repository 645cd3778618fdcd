"""The READMEs of the folders name every file in them."""

from __future__ import annotations

from pathlib import Path

import pytest

GENERATOR = Path(__file__).parents[1] / "generator"
FOLDERS = {
    GENERATOR / "README.md": ("nirgen/mapping", "nirgen/emit", "nirgen/graphs"),
    GENERATOR / "nirgen" / "console" / "README.md": ("nirgen/console",),
    GENERATOR / "nirgen" / "runtime" / "README.md": ("nirgen/runtime",),
    GENERATOR / "nirgen" / "review" / "README.md": ("nirgen/review",),
}
FILES = [
    (readme, path.name)
    for readme, folders in FOLDERS.items()
    for folder in folders
    for path in sorted((GENERATOR / folder).rglob("*.py"))
    if path.name != "__init__.py"
]


@pytest.mark.parametrize(("readme", "name"), FILES, ids=[name for _, name in FILES])
def test_named(readme: Path, name: str) -> None:
    assert name in readme.read_text(encoding="utf-8")

"""The READMEs of the folders name every file in them that no README further down is closer to."""

from __future__ import annotations

from pathlib import Path

import pytest

GENERATOR = Path(__file__).parents[1] / "generator"
FOLDERS = {
    GENERATOR / "README.md": ("nirgen/mapping", "nirgen/proving", "nirgen/emit"),
    GENERATOR / "nir_runtime" / "console" / "README.md": ("nir_runtime/console",),
    GENERATOR / "nir_runtime" / "README.md": ("nir_runtime",),
    GENERATOR / "nirgen" / "review" / "README.md": ("nirgen/review",),
}


def _nearest(path: Path) -> Path:
    """The README that is closest above a file."""
    return next(f / "README.md" for f in path.parents if (f / "README.md").exists())


FILES = [
    (readme, path.name)
    for readme, folders in FOLDERS.items()
    for folder in folders
    for path in sorted((GENERATOR / folder).rglob("*.py"))
    if path.name != "__init__.py" and _nearest(path) in (readme, GENERATOR / "README.md")
]


@pytest.mark.parametrize(("readme", "name"), FILES, ids=[name for _, name in FILES])
def test_named(readme: Path, name: str) -> None:
    assert name in readme.read_text(encoding="utf-8")

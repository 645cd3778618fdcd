"""The mappings that come with the package, and a folder of someone's own without a nir.yaml."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from nirgen import mapping

EXAMPLE = Path(__file__).parents[1] / "emit" / "golden"


def test_they_are_those_of_the_checkout() -> None:
    assert mapping.shipped() == Path(__file__).parents[2] / "mappings"
    assert (mapping.shipped() / "nir.yaml").is_file()


def test_a_folder_without_primitives_has_the_shipped_ones(tmp_path: Path) -> None:
    framework = tmp_path / "mine" / "example"
    framework.mkdir(parents=True)
    for name in ("framework.yaml", "signatures.yaml"):
        shutil.copy(EXAMPLE / name, framework)
    shutil.copy(EXAMPLE / "identity" / "layer.yaml", framework / "cell.yaml")
    mine = mapping.load(tmp_path / "mine")
    assert [f.framework.name for f in mine.frameworks] == ["example"]
    assert set(mine.nodes) == set(mapping.load(mapping.shipped()).nodes)


def test_a_folder_without_mappings_is_an_error(tmp_path: Path) -> None:
    """Or else all that was generated before would be removed as no longer wanted."""
    with pytest.raises(mapping.MappingError, match="there are no mappings here"):
        mapping.load(tmp_path / "nowhere")

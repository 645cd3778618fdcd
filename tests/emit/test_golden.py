"""A small mapping in, the exact text of its converter out; one folder for each feature.

`UPDATE_GOLDEN=1` writes the texts anew; review them like code.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from nirgen import emit, mapping

GOLDEN = Path(__file__).parent / "golden"
NIR = Path(__file__).parents[2] / "mappings" / "nir.yaml"


@pytest.mark.parametrize("feature", sorted(p.name for p in GOLDEN.iterdir() if p.is_dir()))
def test_golden(feature: str, tmp_path: Path) -> None:
    framework = tmp_path / "mappings" / "example"
    framework.mkdir(parents=True)
    shutil.copy(NIR, framework.parent)
    shutil.copy(GOLDEN / "framework.yaml", framework)
    shutil.copy(GOLDEN / "signatures.yaml", framework)
    shutil.copy(GOLDEN / feature / "layer.yaml", framework / f"{feature}.yaml")
    text = emit.generate(mapping.load(framework.parent))[f"example/{feature}.py"]

    expected = GOLDEN / feature / "expected.py"
    if os.environ.get("UPDATE_GOLDEN"):
        expected.write_text(text, encoding="utf-8")
    assert text == expected.read_text(encoding="utf-8")

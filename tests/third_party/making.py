"""A stranger's mappings in, the converter that is generated of them out."""

from __future__ import annotations

import importlib
import itertools
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from nirgen import mapping
from nirgen.cli import main

FRAMEWORK = """\
framework: Cells
version: 0.1.0
packages: [tests.third_party.cells]
modules: {cells: tests.third_party.cells}
builds_on: torch_nn
fallback: reference
cell: nir_runtime.contract.reference.Cell
"""
SIGNATURES = """\
cells.Fire:
  threshold: {type: float, default: 1.0}
  soft: {type: bool, default: false}
  late: {type: bool, default: false}
  floor: {type: bool, default: false}

cells.Subtracting:
  threshold: {type: float, default: 1.0}

cells.Forgetting:
  tau: {type: Tensor}

cells.Keeping:
  kept: {type: float}
"""

_numbers = itertools.count()


class Making:
    """Makes converters in a folder of one's own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.made: list[str] = []

    def written(
        self, files: Mapping[str, str], signatures: str = SIGNATURES, framework: str = FRAMEWORK
    ) -> Path:
        """The folder of some mappings, by their files' names."""
        mappings = self.folder / "mappings"
        (mappings / "cells").mkdir(parents=True, exist_ok=True)
        texts = {"framework": framework, "signatures": signatures, **files}
        for name, text in texts.items():
            (mappings / "cells" / f"{name}.yaml").write_text(text, encoding="utf-8")
        return mappings

    def converter(self, files: Mapping[str, str], **others: str) -> Any:
        """The generated converter, imported."""
        mappings = self.written(files, **others)
        name = f"made_{next(_numbers)}"
        assert (
            main(["generate", "--mappings", str(mappings), "--output", str(self.folder / name)])
            == 0
        )
        self.made.append(name)
        importlib.invalidate_caches()
        return importlib.import_module(f"{name}.cells")

    def problems(self, files: Mapping[str, str], **others: str) -> str:
        """What is wrong with some mappings, as people read it."""
        with pytest.raises(mapping.MappingError) as caught:
            mapping.load(self.written(files, **others))
        return "\n".join(map(str, caught.value.problems))


def making(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Making]:
    """A `Making` whose converters can be imported, and are forgotten."""
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    maker = Making(folder)
    yield maker
    for name in [n for n in sys.modules if n.partition(".")[0] in maker.made]:
        del sys.modules[name]

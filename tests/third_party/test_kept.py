"""A mapping accounts for what a live layer keeps besides its constructor's parameters."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from nir_runtime.errors import ExportRefused
from nirgen.cli import main

from . import cells
from .making import SIGNATURES, Making

SIZE = 3
GAINED = """\
layer: cells.Gained
node: LI
step: |
  v = kept * v + gain * x
  y = v
state: {v: v}
start: {v: 0}
bind: {tau: dt / (1 - kept), r: 1 / (1 - kept), v_leak: 0}
domain: {kept: 0 < kept < 1}
"""
FIXED = """\
fix:
  gain: {to: 1.0, because: NIR has no place for it here, instead: leave it 1}
"""
SIGNATURE = """
cells.Gained:
  kept: {type: float}
"""
WITH_GAIN = SIGNATURE + "  gain: {type: Tensor, default: 1.0, kept: buffer}\n"


def test_a_buffer_is_found(
    maker: Making, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`nirgen signatures` makes a layer, and records what it has."""
    mappings = maker.written({"gained": GAINED}, signatures=SIGNATURES + SIGNATURE)
    assert main(["signatures", "--mappings", str(mappings), "cells"]) == 1
    said = capsys.readouterr().out
    assert "cells.Gained(gain): Tensor = 1.0, kept as buffer (new)" in said
    assert main(["signatures", "--mappings", str(mappings), "cells", "--update"]) == 0
    assert main(["check", "--mappings", str(mappings)]) == 1
    said = capsys.readouterr()
    assert (
        "`gain` of cells.Gained, a buffer that its constructor doesn't take, is not accounted for"
        in said.out + said.err
    )


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        ("", "`gain` of cells.Gained, a buffer that its constructor doesn't take, is not"),
        ("ignore: {gian: x}\n", "the layer has no `gian`"),
        ("cases:\n  g:\n    - when: gain > 0\n    - when: gain <= 0\n", "an import can't give a"),
        ("cases:\n  g:\n    - when: gain == 2\n    - when: gain != 2\n", "an import can't give a"),
    ],
)
def test_problems(more: str, problem: str, maker: Making) -> None:
    found = maker.problems({"gained": GAINED + more}, signatures=SIGNATURES + WITH_GAIN)
    assert problem in found


def test_a_layer_that_keeps_nothing_of_the_kind(maker: Making) -> None:
    wrong = WITH_GAIN.replace("kept: buffer", "kept: bufer")
    assert "did you mean `buffer`?" in maker.problems(
        {"gained": GAINED + FIXED}, signatures=SIGNATURES + wrong
    )


@pytest.mark.parametrize("gain", [2.0, [1.0, 1.0, 2.0]])
def test_what_is_fixed_is_fixed_for_every_neuron(gain: object, maker: Making) -> None:
    converter = maker.converter({"gained": GAINED + FIXED}, signatures=SIGNATURES + WITH_GAIN)
    layer = cells.Gained(0.5)
    converter.import_from_nir(converter.export_to_nir(layer, torch.zeros(1, SIZE)))
    layer.gain = torch.tensor(gain)
    with pytest.raises(ExportRefused, match=r"gain is not 1\.0 everywhere: NIR has no place"):
        converter.export_to_nir(layer, torch.zeros(1, SIZE))


def test_a_case_of_its_own_goes_out_and_does_not_come_in(maker: Making) -> None:
    """Bound where no import makes the layer."""
    cases = """\
cases:
  gain:
    - when: gain == 1
      bind: {r: 1 / (1 - kept)}
    - when: gain != 1
      bind: {r: gain / (1 - kept)}
      export_only: a gain can't be set
"""
    text = GAINED.replace("r: 1 / (1 - kept), ", "") + cases
    converter = maker.converter({"gained": text}, signatures=SIGNATURES + WITH_GAIN)
    layer = cells.Gained(0.5)
    layer.gain = torch.tensor(4.0)
    graph = converter.export_to_nir(layer, torch.zeros(1, SIZE))
    imported = converter.import_from_nir(graph)
    assert not any(isinstance(m, cells.Gained) for m in imported.modules())
    x = torch.rand(1, SIZE)
    torch.testing.assert_close(imported(x)[0], layer(x))

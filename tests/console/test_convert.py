"""`nir-exchange convert`."""

from __future__ import annotations

import json
import os
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest

import nir_exchange
from nir_runtime import files
from tests.console.conftest import Typed
from tests.nodes import single

DRY = """\
node  field   change
old   r       was one number for all: 2 for each of (3,)
old   v_leak  was one number for all: 0 for each of (3,)

would write new.nir: 2 changes
"""


@pytest.fixture(autouse=True)
def old(tmp_path: Path) -> None:
    """old.nir: a Scale of eighths before a neuron, of which not all is stated."""
    neuron = nir.LI(tau=np.full(3, 0.01), r=np.full(3, 2.0), v_leak=np.zeros(3))
    neuron.r, neuron.v_leak = np.array(2.0), np.array(0.0)
    shape = np.array([3])
    nodes = {"in": nir.Input(shape), "half": nir.Scale(np.full(3, 0.125)), "old": neuron}
    nodes["out"] = nir.Output(shape)
    edges = [("in", "half"), ("half", "old"), ("old", "out")]
    files.write(tmp_path / "old.nir", nir.NIRGraph(nodes, edges, type_check=False))


def test_it_is_repaired_and_nir_takes_it(typed: Typed, tmp_path: Path) -> None:
    with pytest.raises(Exception):  # noqa: B017, PT011
        nir.read(tmp_path / "old.nir")
    result = typed("convert", "old.nir", "new.nir")
    assert result.returncode == 0
    assert "wrote new.nir: 2 changes, " in result.stdout
    read = nir.read(tmp_path / "new.nir")
    assert np.array_equal(read.nodes["old"].r, np.full(3, 2.0))


def test_a_dry_run_writes_nothing(typed: Typed, tmp_path: Path) -> None:
    assert typed("convert", "old.nir", "new.nir", "--dry-run").stdout == DRY
    assert os.listdir(tmp_path) == ["old.nir"]


def test_it_is_folded_and_cast(typed: Typed, tmp_path: Path) -> None:
    result = typed("convert", "old.nir", "new.nir", "--fold", "--dtype", "float32", "--json")
    shown = json.loads(result.stdout)
    changes = {change["place"]: change["what"] for change in shown["changes"]}
    assert changes["half"] == "folded into old"
    assert changes["old/r"] == "float64 -> float32, the same numbers"
    read = nir_exchange.read(tmp_path / "new.nir")
    assert list(read.nodes) == ["in", "old", "out"]
    assert np.array_equal(read.nodes["old"].r, np.full(3, 0.25, np.float32))
    assert read.nodes["old"].r.dtype == np.float32


def test_compression(typed: Typed, tmp_path: Path) -> None:
    weight = np.tile(np.arange(100.0), (100, 1))
    files.write(tmp_path / "big.nir", single(nir.Linear(weight), 100))
    assert typed("convert", "big.nir", "small.nir", "--compression", "gzip").returncode == 0
    with h5py.File(tmp_path / "small.nir") as file:
        kept = next(n for n in file["node/nodes"].values() if "weight" in n)["weight"]
        assert kept.compression == "gzip"
        assert np.array_equal(kept[()], weight)
    assert typed("convert", "small.nir", "big2.nir", "--compression", "none").returncode == 0
    sizes = {path.name: path.stat().st_size for path in tmp_path.iterdir()}
    assert sizes["small.nir"] < sizes["big2.nir"] / 4


def test_nothing_is_replaced_unasked(typed: Typed, tmp_path: Path) -> None:
    before = (tmp_path / "old.nir").read_bytes()
    result = typed("convert", "old.nir", "old.nir")
    assert result.returncode == 2
    assert "old.nir exists; --force replaces it" in result.stderr
    assert (tmp_path / "old.nir").read_bytes() == before
    assert typed("convert", "old.nir", "old.nir", "--force").returncode == 0
    assert nir.read(tmp_path / "old.nir").nodes.keys() == {"in", "half", "old", "out"}


def test_what_the_type_can_not_hold_is_refused_and_nothing_written(
    typed: Typed, tmp_path: Path
) -> None:
    files.write(tmp_path / "large.nir", single(nir.Scale(np.full(3, 1e6)), 3))
    result = typed("convert", "large.nir", "new.nir", "--dtype", "float16")
    assert result.returncode == 2
    assert "has numbers as large as 1e+06, which float16 can't hold" in result.stderr
    assert not (tmp_path / "new.nir").exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["old.nir"], "Missing argument 'OUT'"),
        (["nothing.nir", "new.nir"], "nothing.nir: there is no such file"),
        (["old.nir", "nowhere/new.nir"], "nowhere/new.nir: there is no folder nowhere"),
        (["old.nir", "new.nir", "--dtype", "float31"], "'float31' is not one of"),
        (["old.nir", "new.nir", "--compression", "zip"], "'zip' is not one of"),
    ],
)
def test_mistakes(arguments: list[str], told: str, typed: Typed, tmp_path: Path) -> None:
    result = typed("convert", *arguments)
    assert result.returncode == 2
    assert told in result.stderr
    assert os.listdir(tmp_path) == ["old.nir"]


def test_a_file_that_nir_itself_refuses(typed: Typed, tmp_path: Path) -> None:
    layer = nir.Conv2d((10, 10), np.ones((1, 1, 3, 5)), 1, 0, 1, 1, np.ones(1))
    shapes = np.array([1, 10, 10]), np.array([1, 8, 6])
    nodes = {"in": nir.Input(shapes[0]), "conv": layer, "out": nir.Output(shapes[1])}
    edges = [("in", "conv"), ("conv", "out")]
    files.write(tmp_path / "wide.nir", nir.NIRGraph(nodes, edges, type_check=False))
    result = typed("convert", "wide.nir", "new.nir")
    assert result.returncode == 0
    assert f"nir {nir.version} itself refuses it: " in result.stdout


def test_subgraphs_that_nir_refuses(typed: Typed, tmp_path: Path) -> None:
    shape = np.array([1, 4, 4])
    ends = {"one": nir.Input(shape), "two": nir.Output(shape)}
    nodes = {"in": nir.Input(shape), "sub": nir.NIRGraph(ends, [("one", "two")])}
    nodes |= {"s": nir.SumPool2d(2, 2, 0), "out": nir.Output(np.array([1, 2, 2]))}
    edges = [("in", "sub"), ("sub", "s"), ("s", "out")]
    files.write(tmp_path / "nested.nir", nir.NIRGraph(nodes, edges, type_check=False))
    shown = typed("convert", "nested.nir", "new.nir").stdout
    assert f"nir {nir.version} itself refuses it: KeyError: 'output'" in shown
    assert "with --flatten it would take it" in shown
    shown = typed("convert", "nested.nir", "flat.nir", "--flatten").stdout
    assert "refuses" not in shown
    assert nir.read(tmp_path / "flat.nir").nodes.keys() == {"in", "s", "out"}

"""The time step in the shell: `info` and `draw` show it, `check` and `verify` take it."""

from __future__ import annotations

import json
from pathlib import Path

import nir
import numpy as np
import pytest

from nir_runtime import files
from tests.console.conftest import Typed
from tests.nodes import single

TWO = np.ones(2)


def lif(**metadata: object) -> nir.NIRGraph:
    node = nir.LIF(TWO * 5e-3, r=TWO * 2, v_leak=TWO * 0, v_threshold=TWO, v_reset=TWO * 0)
    graph = single(node, 2)
    graph.metadata = {**metadata}
    return graph


@pytest.fixture(autouse=True)
def stored(tmp_path: Path) -> None:
    """net.nir says dt = 1e-3, other.nir 1e-4, none.nir nothing, wrong.nir nonsense."""
    said = {"dt": 1e-3, "framework": "Norse", "framework_version": "1.1.0"}
    files.write(tmp_path / "net.nir", lif(**said, made="by hand"))
    files.write(tmp_path / "other.nir", lif(dt=1e-4))
    nir.write(tmp_path / "none.nir", lif())
    files.write(tmp_path / "wrong.nir", lif(dt="fast"))


def test_info(typed: Typed) -> None:
    lines = typed("info", "net.nir").stdout.splitlines()
    assert lines[1] == "from Norse 1.1.0, dt = 0.001"
    assert lines[-1] == "metadata made: by hand"
    assert typed("info", "none.nir").stdout.splitlines()[1] == "says no dt: an import takes 0.0001"
    wrong = typed("info", "wrong.nir").stdout.splitlines()[1]
    assert wrong == "dt unknown: /node/metadata/dt is 'fast', which is no time step in seconds"
    for name, dt in (("net", 1e-3), ("none", None), ("wrong", None)):
        assert json.loads(typed("info", f"{name}.nir", "--json").stdout)["dt"] == dt


def test_check(typed: Typed) -> None:
    assert typed("check", "net.nir").stdout.startswith("net.nir at dt = 0.001\n\n")
    result = typed("check", "net.nir", "--for", "spikingjelly")
    assert result.returncode == 0
    assert result.stdout.startswith("NIR -> SpikingJelly at dt = 0.001: 1 exact")
    assert "tau = tau / dt = 5" in result.stdout
    other = typed("check", "net.nir", "--for", "spikingjelly", "--dt", "1e-4").stdout
    assert "tau = tau / dt = 50" in other
    assert "/node/metadata/dt is 0.001, and the import is at dt = 0.0001: the graph is" in other
    for name in ((), ("--for", "norse")):
        shown = typed("check", "none.nir", *name).stdout
        assert "the graph does not say its time step: dt = 0.0001 is assumed" in shown
        assert "assumed" not in typed("check", "none.nir", *name, "--dt", "1e-4").stdout


def test_check_of_nonsense(typed: Typed) -> None:
    result = typed("check", "wrong.nir", "--for", "norse")
    assert result.returncode == 1
    assert "/node/metadata/dt" in result.stdout
    assert "is 'fast', which is no time step in seconds" in result.stdout
    assert typed("check", "wrong.nir", "--for", "norse", "--dt", "1e-3").returncode == 0


@pytest.mark.parametrize("dt", ["0", "-1", "nan", "inf", "1e400"])
def test_a_dt_that_is_none(typed: Typed, dt: str) -> None:
    for command in (("check", "net.nir"), ("verify", "net.nir", "--in", "norse")):
        result = typed(*command, f"--dt={dt}")
        assert result.returncode == 2
        assert "give the time step in seconds" in result.stderr


def test_verify(typed: Typed) -> None:
    result = typed("verify", "net.nir", "--in", "spikingjelly")
    assert result.returncode == 0
    assert "dt: 0.001, as both have it" in result.stdout
    two = typed("verify", "net.nir", "other.nir")
    assert "dt: 0.001 and 0.0001, each its own: steps are compared, not seconds" in two.stdout
    assert two.returncode == 1
    assert typed("verify", "net.nir", "other.nir", "--dt", "1e-3").returncode == 0
    found = json.loads(typed("verify", "net.nir", "--in", "norse", "--json").stdout)
    assert found["dt"] == 1e-3
    wrong = typed("verify", "wrong.nir", "--in", "norse")
    assert (wrong.returncode, "/node/metadata/dt" in wrong.stderr) == (2, True)


@pytest.mark.parametrize(
    "how", ["--flatten", "--fold", "--dtype=float32", "--drop-sizes", "--drop-unknown"]
)
def test_convert_keeps_it(typed: Typed, tmp_path: Path, how: str) -> None:
    assert typed("convert", "net.nir", "out.nir", how).returncode == 0
    assert files.read(tmp_path / "out.nir").metadata == files.read(tmp_path / "net.nir").metadata
    assert nir.read(tmp_path / "out.nir").metadata["dt"] == 1e-3


def test_what_is_dissolved_keeps_it(typed: Typed, tmp_path: Path) -> None:
    nodes = {"in": nir.Input(np.array([2])), "sub": lif(dt=1e-3), "out": nir.Output(np.array([2]))}
    edges = [("in", "sub"), ("sub", "out")]
    files.write(tmp_path / "nested.nir", nir.NIRGraph(nodes, edges, type_check=False))
    assert typed("info", "nested.nir").stdout.splitlines()[1] == "dt = 0.001"
    assert typed("convert", "nested.nir", "flat.nir", "--flatten").returncode == 0
    assert typed("info", "flat.nir").stdout.splitlines()[1] == "dt = 0.001"
    whole = nir.NIRGraph(nodes, edges, {"dt": 1e-4}, type_check=False)
    files.write(tmp_path / "nested.nir", whole)
    result = typed("convert", "nested.nir", "other_flat.nir", "--flatten")
    assert "it was for dt = 0.001, and the graph is not" in result.stdout


def test_draw(typed: Typed) -> None:
    result = typed("draw", "net.nir", "-o", "net.dot")
    assert result.stdout == "net.dot: 3 nodes at dt = 0.001\n"
    assert typed("draw", "none.nir", "-o", "none.dot").stdout == "none.dot: 3 nodes\n"

"""`nir-exchange check`."""

from __future__ import annotations

import json
from pathlib import Path

import nir
import numpy as np
import pytest

import nir_exchange
from nir_runtime import files
from nir_runtime.console.arguments import targets
from tests.console.conftest import Typed, imported
from tests.nodes import single

ONES = np.ones(2)


@pytest.fixture(autouse=True)
def lif(tmp_path: Path) -> nir.NIRGraph:
    """lif.nir: a neuron that is exact at 1e-4, and says so."""
    neuron = nir.LIF(tau=ONES * 1e-3, r=ONES, v_leak=ONES * 0, v_threshold=ONES, v_reset=ONES * 0)
    graph = single(neuron, 2)
    graph.metadata["dt"] = 1e-4
    files.write(tmp_path / "lif.nir", graph)
    return graph


def test_every_target_is_known_and_checked(typed: Typed) -> None:
    result = typed("check", "lif.nir")
    assert result.returncode == 0
    title, _, _, *rows = result.stdout.splitlines()
    assert title == "lif.nir at dt = 0.0001"
    assert [row.split()[0] for row in rows] == targets()
    assert "reference" in targets()
    assert "spikingjelly" in targets()


def test_one_target_in_detail(typed: Typed, lif: nir.NIRGraph) -> None:
    result = typed("check", "lif.nir", "--for", "spikingjelly", "--dt", "1e-4")
    assert result.returncode == 0
    report = nir_exchange.explain(lif, "spikingjelly", dt=1e-4)
    assert result.stdout == f"{report}\n"
    assert "tau = tau / dt = 10" in result.stdout
    shown = json.loads(typed("check", "lif.nir", "--for", "spikingjelly", "--json").stdout)
    assert shown == {"spikingjelly": report.to_dict()}


def test_several_targets(typed: Typed) -> None:
    result = typed("check", "lif.nir", "--for", "spikingjelly", "--for", "reference")
    assert "NIR -> SpikingJelly at dt = 0.0001" in result.stdout
    assert "NIR -> the reference at dt = 0.0001" in result.stdout


def test_a_graph_that_nobody_takes(typed: Typed, tmp_path: Path) -> None:
    scale = nir.Scale(ONES)
    nodes = {"in": nir.Input(np.array([2])), "a": scale, "b": nir.Scale(ONES)}
    edges = [("in", "a"), ("a", "b"), ("b", "a"), ("b", "out")]
    nodes["out"] = nir.Output(np.array([2]))
    files.write(tmp_path / "cycle.nir", nir.NIRGraph(nodes, edges, type_check=False))
    result = typed("check", "cycle.nir", "--for", "spikingjelly")
    assert result.returncode == 1
    assert "a cycle without a node that has state: 'a', 'b'" in result.stdout
    assert "put a neuron or a Delay on the cycle" in result.stdout
    assert typed("check", "cycle.nir").returncode == 1


def test_strict(typed: Typed, tmp_path: Path, lif: nir.NIRGraph) -> None:
    next(n for n in lif.nodes.values() if isinstance(n, nir.LIF)).metadata["reset"] = "subtract"
    files.write(tmp_path / "soft.nir", lif)
    assert typed("check", "soft.nir", "--for", "spikingjelly").returncode == 0
    result = typed("check", "soft.nir", "--for", "spikingjelly", "--strict")
    assert result.returncode == 1
    assert "annotated" in result.stdout


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--for", "spikingjely"], "did you mean `spikingjelly`?"),
        (["--for", "tensorflow"], "there are: "),
        (["--dt", "0"], "give the time step in seconds, a positive finite number"),
        (["--dt", "-1"], "dt: is -1.0"),
        (["--dt", "nan"], "dt: is nan"),
        (["--dt", "fast"], "'fast' is not a valid float"),
    ],
)
def test_mistakes(options: list[str], told: str, typed: Typed) -> None:
    result = typed("check", "lif.nir", *options)
    assert result.returncode == 2
    assert told in result.stderr
    assert "Traceback" not in result.stderr


def test_nothing_of_torch_is_imported(tmp_path: Path) -> None:
    modules = imported("check", str(tmp_path / "lif.nir"), "--for", "spikingjelly")
    assert not {"torch", "spikingjelly"} & modules

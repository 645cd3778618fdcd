"""`nir-exchange verify`."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import nir
import numpy as np
import pytest

import nir_exchange
from tests.console.conftest import Typed
from tests.drawing import networks


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a recurrent network, and one whose neurons are slower."""
    graph = networks.recurrent()
    graph.nodes["w_rec"].weight = graph.nodes["w_rec"].weight * 0.01
    nir_exchange.write(tmp_path / "net.nir", graph)
    other = copy.deepcopy(graph)
    other.nodes["hidden"].tau_mem = other.nodes["hidden"].tau_mem * 2
    nir_exchange.write(tmp_path / "other.nir", other)
    return tmp_path


def test_one_file_in_two_frameworks(typed: Typed, folder: Path) -> None:
    result = typed("verify", "net.nir", "--in", "spikingjelly", "--dt", "1e-3")
    assert (result.returncode, result.stderr) == (0, "")
    first, second = result.stdout.splitlines()[:2]
    title = "net.nir in SpikingJelly and net.nir in the reference agree over 200 steps"
    assert (first, second[:7]) == (title, "input: ")
    assert "hidden" in result.stdout


def test_two_files(typed: Typed, folder: Path) -> None:
    result = typed(
        "verify", "net.nir", "other.nir", "--steps", "20", "--plot", "plot.png", "--json"
    )
    assert (result.returncode, result.stderr) == (1, "")
    found = json.loads(result.stdout)
    assert found["agree"] is False
    assert (found["first"]["node"], found["first"]["quantity"]) == ("hidden", "v")
    assert found["cause"] == ("tau_mem is 0.01 to 0.02 in the first and 0.02 to 0.04 in the second")
    assert found["steps"] == 20
    assert (folder / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_an_input_of_ones_own(typed: Typed, folder: Path) -> None:
    np.save(folder / "x.npy", np.full((7, 2, 64), 3.0))
    np.savez(folder / "x.npz", input=np.full((7, 2, 64), 3.0))
    shown = [typed("verify", "net.nir", "--in", "spikingjelly", "--input", name, "--json")
             for name in ("x.npy", "x.npz")]  # fmt: skip
    found = [json.loads(result.stdout) for result in shown]
    assert found[0] == found[1]
    assert (found[0]["steps"], found[0]["batch"], found[0]["input"]) == (7, 2, "as given")


def test_numbers_that_no_module_can_load(typed: Typed, folder: Path) -> None:
    """A file of pickled objects would run code."""
    np.save(folder / "x.npy", np.array([{"a": 1}]), allow_pickle=True)
    (folder / "y.npy").write_text("1, 2, 3")
    for name in ("x.npy", "y.npy"):
        result = typed("verify", "net.nir", "--in", "spikingjelly", "--input", name)
        assert result.returncode == 2
        assert f"{name}: is not what numpy.save or numpy.savez write" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["net.nir"], "name another framework with --in or --against, or a second file"),
        (["ent.nir", "--in", "spikingjelly"], "did you mean net.nir?"),
        (["net.nir", "--in", "spikingjely"], "did you mean `spikingjelly`?"),
        (["net.nir", "othr.nir"], "did you mean other.nir?"),
        (["net.nir", "other.nir", "--input", "x.npy"], "x.npy: there is no such file"),
        (["net.nir", "other.nir", "--plot", "plot.gif"], "ends in one of .png, .svg, .pdf"),
        (["net.nir", "other.nir", "--plot", "nowhere/plot.png"], "there is no folder nowhere"),
        (["net.nir", "other.nir", "--steps", "0"], "'--steps'"),
        (["net.nir", "other.nir", "--dt", "0"], "dt"),
        (["net.nir", "other.nir", "--dtype", "int8"], "'float64', 'float32'"),
    ],
)
def test_mistakes(arguments: list[str], meant: str, typed: Typed, folder: Path) -> None:
    result = typed("verify", *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert meant in result.stderr
    assert "Traceback" not in result.stderr


def test_a_graph_that_a_framework_refuses(typed: Typed, folder: Path) -> None:
    graph = nir.read(folder / "net.nir")
    graph.nodes["hidden"].tau_mem[:] = 0.0
    nir.write(folder / "wrong.nir", graph)
    result = typed("verify", "net.nir", "wrong.nir")
    assert result.returncode == 2
    assert "/node/nodes/hidden/tau_mem" in result.stderr

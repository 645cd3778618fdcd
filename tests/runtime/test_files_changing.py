"""What was read stays what it was, whatever becomes of the file: in another process, in place."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest
import torch

import nir_exchange
from nir_exchange import reference
from nir_runtime import files
from nir_runtime.errors import InvalidFile

WIDTH = 256

TRUNCATED = "open(path, 'r+b').truncate(0)"
CUT = "open(path, 'r+b').truncate(os.path.getsize(path) // 2)"
OVERWRITTEN = """
size = os.path.getsize(path)
with open(path, "r+b") as file:
    file.write(b"\\x55" * size)
"""
CHANGED = """
with h5py.File(path, "r+") as file:
    file["node/nodes/linear/weight"][:] = 7
"""
EMPTIED = "h5py.File(path, 'w').close()"
REPLACED_BY_NIR = """
ones = nir.Scale(np.ones(2))
nodes = {"in": nir.Input(np.array([2])), "s": ones, "out": nir.Output(np.array([2]))}
nir.write(path, nir.NIRGraph(nodes, [("in", "s"), ("s", "out")]))
"""
DELETED = "os.unlink(path)"
RENAMED_OVER = """
with open(path + ".new", "wb") as file:
    file.write(b"something else")
os.replace(path + ".new", path)
"""
DELETED_AND_MADE_AGAIN = "os.unlink(path); open(path, 'w').write('something else')"

CHANGES = {
    "truncated": TRUNCATED,
    "cut in the middle": CUT,
    "overwritten": OVERWRITTEN,
    "changed by h5py": CHANGED,
    "emptied by h5py": EMPTIED,
    "written by nir.write": REPLACED_BY_NIR,
    "deleted": DELETED,
    "renamed over": RENAMED_OVER,
    "deleted and made again": DELETED_AND_MADE_AGAIN,
}


def weight() -> Any:
    return np.random.default_rng(0).normal(size=(WIDTH, WIDTH)).astype("f4")


def graph() -> nir.NIRGraph:
    lif = nir.LIF(*(np.linspace(low, 1.0, WIDTH) for low in (0.1, 0.2, 0.3, 0.4)))
    nodes = {
        "in": nir.Input(np.array([WIDTH])),
        "linear": nir.Linear(weight()),
        "lif": lif,
        "out": nir.Output(np.array([WIDTH])),
    }
    return nir.NIRGraph(nodes, [("in", "linear"), ("linear", "lif"), ("lif", "out")])


@pytest.fixture(params=[None, "gzip"], ids=["plain", "gzip"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    files.write(tmp_path / "net.nir", graph(), request.param)
    return tmp_path / "net.nir"


def elsewhere(change: str, path: Path) -> None:
    """Do something to a file in another process, which nothing of ours may keep from it."""
    code = f"import os, sys, h5py, nir, numpy as np; path = sys.argv[1]\n{change}"
    command = [sys.executable, "-c", code, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr


def same(read: nir.NIRGraph) -> bool:
    made = graph()
    return np.array_equal(read.nodes["linear"].weight, weight()) and all(
        np.array_equal(getattr(read.nodes["lif"], name), getattr(made.nodes["lif"], name))
        for name in ("tau", "r", "v_leak", "v_threshold")
    )


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("read", [files.read, nir_exchange.read])
def test_a_graph_outlives_its_file(path: Path, read: Callable[[Path], Any], change: str) -> None:
    held = read(path)
    elsewhere(CHANGES[change], path)
    assert same(held)


@pytest.mark.parametrize("change", CHANGES)
def test_a_live_module_outlives_its_file(path: Path, change: str) -> None:
    """A graph that is read is gone when the module runs; the module has the only copy."""
    module, x = reference.import_from_nir(path, dt=1e-4), torch.rand(20, 3, WIDTH) * 300
    expected, _ = reference.import_from_nir(graph(), dt=1e-4)(x)
    elsewhere(CHANGES[change], path)
    spikes, _ = module(x)
    assert expected.sum() > 100
    assert torch.equal(spikes, expected)
    assert torch.equal(module.linear.weight, torch.from_numpy(weight()))


@pytest.mark.parametrize(
    "write",
    [
        lambda path, held: nir.write(path, held),
        lambda path, held: nir.write(path, held, compression=None),
        nir_exchange.write,
        lambda path, held: nir_exchange.write(path, held, "gzip"),
    ],
    ids=["nir", "nir, plain", "ours", "ours, gzip"],
)
def test_a_graph_is_written_into_the_file_that_it_was_read_from(
    path: Path, write: Callable[[Path, Any], None]
) -> None:
    held = nir_exchange.read(path)
    write(path, held)
    assert same(held)
    assert same(nir_exchange.read(path))


@pytest.mark.parametrize("mmap", [False, True])
def test_nothing_of_a_file_stays_locked(path: Path, mmap: bool) -> None:
    held = nir_exchange.read(path, mmap)
    before = path.stat().st_size
    with h5py.File(path, "r+") as file:
        file["node/made"] = 1
    elsewhere("h5py.File(path, 'r+').close()", path)
    assert path.stat().st_size >= before
    assert held.nodes["linear"].weight.shape == (WIDTH, WIDTH)


def test_a_file_that_fails_to_open_is_not_kept_open_either(tmp_path: Path) -> None:
    open_files = Path("/proc/self/fd")
    if not open_files.exists():
        pytest.skip("only Linux lists open files")
    (tmp_path / "no.nir").write_bytes(b"no" * 1000)
    before = len(list(open_files.iterdir()))
    for _ in range(10):
        with pytest.raises(InvalidFile):
            files.read(tmp_path / "no.nir")
    assert len(list(open_files.iterdir())) == before


@pytest.mark.parametrize("change", [DELETED, RENAMED_OVER, "nir_exchange.write(path, g)"])
def test_a_mapped_graph_outlives_what_replaces_its_file(path: Path, change: str) -> None:
    held = nir_exchange.read(path, mmap=True)
    if change.startswith("nir_exchange"):
        nir_exchange.write(path, held)
    else:
        elsewhere(change, path)
    assert same(held)


WHILE_IT_IS_READ = """
import sys
from nir_runtime import files
from nir_runtime.errors import NirExchangeError
print("go", flush=True)
outcomes = set()
for _ in range(400):
    try:
        files.read(sys.argv[1])
        outcomes.add("read")
    except NirExchangeError:
        outcomes.add("refused")
    except FileNotFoundError:
        outcomes.add("gone")
print(*sorted(outcomes))
"""


def test_a_file_that_changes_while_it_is_read_is_an_error_at_most(tmp_path: Path) -> None:
    path = tmp_path / "net.nir"
    files.write(path, graph())
    whole = path.read_bytes()
    command = [sys.executable, "-c", WHILE_IT_IS_READ, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as reader:
        assert reader.stdout is not None
        reader.stdout.readline()
        cut = 0
        while reader.poll() is None:
            cut = (cut + 4099) % len(whole)
            with open(path, "r+b") as file:
                file.truncate(cut)
                os.pwrite(file.fileno(), whole, 0)
        outcomes = reader.stdout.read().split()
    assert reader.returncode == 0
    assert outcomes
    assert set(outcomes) <= {"read", "refused"}

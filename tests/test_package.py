"""What `import nir_exchange` brings, and what it costs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest

import nir_exchange
from nir_runtime import files
from nir_runtime.arrays import is_mapped
from nir_runtime.errors import InvalidArgument, InvalidGraph
from tests.runtime.samples import all_kinds, assert_same, lif_graph

HEAVY = ("torch", "spikingjelly", "nirtorch")
FOR_FILES = ("h5py", "nir", "numpy", "nir_runtime")


def imported_by(code: str, packages: tuple[str, ...]) -> set[str]:
    """Which of these packages are there after some code, in a fresh Python."""
    program = f"{code}\nimport sys\nprint(*sys.modules.keys() & {packages!r})"
    command = [sys.executable, "-c", program]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_importing_it_imports_nothing_heavy() -> None:
    assert imported_by("import nir_exchange", (*HEAVY, *FOR_FILES)) == set()


def test_files_need_no_torch_and_no_framework(tmp_path: Path) -> None:
    path = tmp_path / "net.nir"
    nir_exchange.write(path, all_kinds())
    code = f"import nir_exchange as n; n.write({str(path)!r}, n.read({str(path)!r}))"
    assert imported_by(code, HEAVY) == set()


class TestFiles:
    def test_what_is_read_is_complete(self, tmp_path: Path) -> None:
        nir_exchange.write(tmp_path / "net.nir", all_kinds())
        graph = nir_exchange.read(tmp_path / "net.nir")
        assert graph.nodes["conv2d"].output_type["output"].tolist() == [6, 9, 9]
        assert graph.output_type["output"].tolist() == [6]
        assert_same(graph, all_kinds())

    @pytest.mark.parametrize("mmap", [True, False])
    def test_arrays_may_be_views_of_the_file(self, mmap: bool, tmp_path: Path) -> None:
        graph = all_kinds()
        graph.nodes["linear"].weight = np.random.default_rng(0).random((6, 6))
        nir_exchange.write(tmp_path / "net.nir", graph)
        weight = nir_exchange.read(tmp_path / "net.nir", mmap).nodes["linear"].weight
        assert is_mapped(weight) == mmap

    def test_compression_is_that_of_h5py(self, tmp_path: Path) -> None:
        graph = lif_graph()
        graph.nodes["lif"].tau = np.array([1.0, 1.0, 2.0])
        nir_exchange.write(tmp_path / "net.nir", graph, "gzip")
        assert h5py.File(tmp_path / "net.nir")["node/nodes/lif/tau"].compression == "gzip"
        assert_same(nir.read(tmp_path / "net.nir"), graph)
        with pytest.raises(InvalidArgument, match="compression: is 'zip'"):
            nir_exchange.write(tmp_path / "net.nir", graph, "zip")

    def test_a_graph_that_means_nothing_is_refused(self, tmp_path: Path) -> None:
        graph = all_kinds()
        graph.nodes["conv2d"].groups = 3
        files.write(tmp_path / "net.nir", graph)
        with pytest.raises(InvalidGraph, match="conv2d"):
            nir_exchange.read(tmp_path / "net.nir")

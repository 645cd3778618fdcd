"""Files that claim to be more than they are."""

from __future__ import annotations

import struct
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest

from nir_runtime import files
from nir_runtime.contract import shapes
from nir_runtime.errors import InvalidFile, InvalidGraph
from tests.runtime.samples import lif_graph

LIF = "node/nodes/lif"
TAU = f"/{LIF}/tau"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net.nir"


def forged(path: Path, old: bytes, new: bytes, times: int) -> None:
    """Replace bytes in a file, where HDF5 has no checksum."""
    content = path.read_bytes()
    assert content.count(old) == times
    path.write_bytes(content.replace(old, new))


def partly_written(lif: h5py.Group) -> None:
    tau = lif.create_dataset("tau", (10**12,), "f8", chunks=(10,))
    tau[0] = 1.0


def partly_compressed(lif: h5py.Group) -> None:
    tau = lif.create_dataset("tau", (10**12,), "f8", chunks=(10**6,), compression="gzip")
    tau[: 10**6] = np.zeros(10**6)


class TestMoreNumbersThanBytes:
    @pytest.mark.parametrize("claim", [partly_written, partly_compressed])
    @pytest.mark.parametrize("mmap", [True, False])
    def test_are_not_allocated(
        self, path: Path, claim: Callable[[h5py.Group], None], mmap: bool
    ) -> None:
        nir.write(path, lif_graph())
        with h5py.File(path, "a") as file:
            del file[TAU]
            claim(file[LIF])
        with pytest.raises(InvalidFile, match=r"claims .* bytes") as caught:
            files.read(path, mmap)
        assert [problem.place for problem in caught.value.problems] == [TAU]

    @pytest.mark.parametrize("mmap", [True, False])
    def test_behind_the_end_of_the_file_are_not_there(self, path: Path, mmap: bool) -> None:
        nir.write(path, lif_graph(), compression=None)
        with h5py.File(path, "a") as file:
            del file[TAU]
            file[TAU] = np.arange(10_007.0)
        forged(path, struct.pack("<Q", 10_007), struct.pack("<Q", 10**12), 2)
        with pytest.raises(InvalidFile) as caught:
            files.read(path, mmap)
        assert caught.value.problems[0].place == TAU

    def test_that_are_a_fill_value_cost_nothing(self, path: Path) -> None:
        nir.write(path, lif_graph())
        size = 10**15
        with h5py.File(path, "a") as file:
            for name in ("tau", "r", "v_leak", "v_threshold", "v_reset"):
                del file[LIF][name]
                file[LIF].create_dataset(name, (size,), "f8", fillvalue=0.5)
            for name in ("in", "out"):
                file[f"node/nodes/{name}/shape"][0] = size
        tracemalloc.start()
        try:
            graph = files.read(path)
            shapes.infer(graph)
            assert tracemalloc.get_traced_memory()[1] < 1 << 20
        finally:
            tracemalloc.stop()
        assert graph.nodes["lif"].tau.shape == (size,)

    def test_and_wrong_ones_are_counted_once(self, path: Path) -> None:
        nir.write(path, lif_graph())
        with h5py.File(path, "a") as file:
            del file[TAU]
            file[LIF].create_dataset("tau", (10**15,), "f8", fillvalue=np.nan)
        with pytest.raises(InvalidGraph, match="NaN"):
            shapes.infer(files.read(path))


class TestOneByteForMany:
    def test_two_arrays_at_the_same_place(self, path: Path) -> None:
        nir.write(path, lif_graph(), compression=None)
        with h5py.File(path) as file:
            tau, r = (file[LIF][name].id.get_offset() for name in ("tau", "r"))
        forged(path, struct.pack("<Q", r), struct.pack("<Q", tau), 1)
        with pytest.raises(InvalidFile, match="same place"):
            files.read(path)

    def test_two_names_of_one_array(self, path: Path) -> None:
        nir.write(path, lif_graph(), compression=None)
        with h5py.File(path, "a") as file:
            file[f"{LIF}/twin"] = file[TAU]
        with pytest.raises(InvalidFile, match="two places") as caught:
            files.read(path)
        assert [problem.place for problem in caught.value.problems] == [f"/{LIF}/twin"]

    def test_many_strings_at_the_same_place(self, path: Path) -> None:
        graph = lif_graph()
        graph.metadata = {"words": ["x" * 100_000, *("short" for _ in range(999))]}
        files.write(path, graph)
        with h5py.File(path) as file:
            offset = file["node/metadata/words"].id.get_offset()
        content = bytearray(path.read_bytes())
        content[offset : offset + 16_000] = content[offset : offset + 16] * 1000
        path.write_bytes(content)
        with pytest.raises(InvalidFile, match="longer than what the file holds"):
            files.read(path)

    def test_many_strings_of_which_there_are_none(self, path: Path) -> None:
        nir.write(path, lif_graph())
        with h5py.File(path, "a") as file:
            file.create_dataset("node/words", (10**12,), h5py.string_dtype(), chunks=(10,))
        with pytest.raises(InvalidFile, match="claims"):
            files.read(path)

    def test_many_strings_that_are_there_are_read(self, path: Path) -> None:
        graph = lif_graph()
        graph.metadata = {"words": [f"word {k}" for k in range(1000)]}
        files.write(path, graph)
        assert files.read(path).metadata == graph.metadata

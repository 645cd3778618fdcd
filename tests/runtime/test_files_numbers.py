"""Numbers in NIR files: read in one step, or mapped; and none where they are all the same."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest

from nir_runtime import files
from nir_runtime.arrays import is_mapped
from nir_runtime.contract import shapes
from tests.runtime.samples import lif_graph

MEBIBYTE = 1 << 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net.nir"


def graph_of(weight: Any) -> nir.NIRGraph:
    """A Linear between an Input and an Output."""
    nodes = {
        "in": nir.Input(np.array([weight.shape[-1]])),
        "linear": nir.Linear(weight),
        "out": nir.Output(np.array([weight.shape[0]])),
    }
    return nir.NIRGraph(nodes, [("in", "linear"), ("linear", "out")], type_check=False)


def weights(rows: int, dtype: str = "f4") -> Any:
    return np.random.default_rng(0).integers(-100, 100, (rows, 1024)).astype(dtype)


def written_and_read(path: Path, array: Any, **options: Any) -> Any:
    """What a Linear's weight comes back as."""
    files.write(path, graph_of(array))
    return files.read(path, **options).nodes["linear"].weight


def most_memory(function: Callable[[], object]) -> int:
    """The bytes that Python and NumPy hold at most while a function runs, beyond what they did."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        tracemalloc.reset_peak()
        function()
        return tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()


class TestReading:
    def test_numbers_lie_in_the_file_as_in_memory(self, path: Path) -> None:
        files.write(path, graph_of(weights(4)))
        with h5py.File(path) as file:
            weight = file["node/nodes/linear/weight"]
            assert (weight.chunks, weight.compression) == (None, None)
            assert weight.id.get_offset() % 64 == 0

    def test_takes_the_memory_of_the_numbers_alone(self, path: Path) -> None:
        files.write(path, graph_of(weights(4096)))
        assert most_memory(lambda: files.read(path)) < weights(4096).nbytes + MEBIBYTE
        assert most_memory(lambda: shapes.infer(files.read(path))) < weights(4096).nbytes + MEBIBYTE

    @pytest.mark.parametrize("mmap", [True, False])
    @pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "i2", "i1", "u8", "u1"])
    def test_precision_stays(self, path: Path, dtype: str, mmap: bool) -> None:
        read = written_and_read(path, weights(4, dtype), mmap=mmap)
        assert read.dtype == dtype
        assert is_mapped(read) == mmap
        assert np.array_equal(read, weights(4, dtype))

    @pytest.mark.parametrize("mmap", [True, False])
    @pytest.mark.parametrize("dtype", [">f4", ">i2", "bool"])
    def test_what_torch_cannot_map_is_read(self, path: Path, dtype: str, mmap: bool) -> None:
        files.write(path, lif_graph())
        with h5py.File(path, "a") as file:
            file["node/nodes/lif/more"] = weights(4, dtype)
        read = files.read(path, mmap).nodes["lif"].unknown_fields["more"]
        assert read.dtype.isnative
        assert not is_mapped(read)
        assert np.array_equal(read, weights(4, dtype))

    @pytest.mark.parametrize("mmap", [True, False])
    def test_a_file_may_begin_with_something_else(self, path: Path, mmap: bool) -> None:
        with h5py.File(path, "w", userblock_size=1024) as file:
            file["node/type"] = "NIRGraph"
            file["node/edges"] = np.empty((0, 2))
            file["node/nodes/linear/type"] = "Linear"
            file["node/nodes/linear/weight"] = weights(4)
        assert np.array_equal(files.read(path, mmap).nodes["linear"].weight, weights(4))

    @pytest.mark.parametrize("mmap", [True, False])
    @pytest.mark.parametrize("rows", [1, 4, 64])
    def test_what_h5py_has_not_yet_written_is_there(
        self, path: Path, rows: int, mmap: bool
    ) -> None:
        files.write(path, graph_of(weights(rows)))
        with h5py.File(path, "r+") as file:
            file["node/nodes/linear/weight"][:] = weights(rows) + 1
            file["node/metadata/later"] = weights(rows) + 2
            read = files.read(path, mmap)
        assert np.array_equal(read.nodes["linear"].weight, weights(rows) + 1)
        assert np.array_equal(read.metadata["later"], weights(rows) + 2)


class TestMapping:
    """For those who ask for it."""

    def test_takes_no_memory(self, path: Path) -> None:
        files.write(path, graph_of(weights(4096)))
        read: list[nir.NIRGraph] = []
        assert most_memory(lambda: read.append(files.read(path, mmap=True))) < MEBIBYTE
        assert np.array_equal(read[0].nodes["linear"].weight, weights(4096))

    def test_checking_what_was_read_takes_no_memory(self, path: Path) -> None:
        files.write(path, graph_of(weights(4096)))
        assert most_memory(lambda: shapes.infer(files.read(path, mmap=True))) < MEBIBYTE

    @pytest.mark.parametrize("compression", [None, "gzip"])
    def test_also_of_nir_s_files(self, path: Path, compression: str | None) -> None:
        nir.write(path, graph_of(weights(4)), compression=compression)
        read = files.read(path, mmap=True).nodes["linear"].weight
        assert is_mapped(read) == (compression is None)
        assert np.array_equal(read, weights(4))

    def test_writing_to_an_array_changes_no_file(self, path: Path) -> None:
        read = written_and_read(path, weights(4), mmap=True)
        read[:] = 7
        assert np.array_equal(files.read(path).nodes["linear"].weight, weights(4))

    @pytest.mark.parametrize("change", [Path.unlink, lambda path: files.write(path, lif_graph())])
    def test_outlives_the_file(self, path: Path, change: Callable[[Path], None]) -> None:
        read = written_and_read(path, weights(4), mmap=True)
        change(path)
        assert np.array_equal(read, weights(4))

    def test_a_graph_goes_back_into_the_file_that_it_is_mapped_from(self, path: Path) -> None:
        files.write(path, graph_of(weights(4)))
        files.write(path, files.read(path, mmap=True))
        assert np.array_equal(files.read(path).nodes["linear"].weight, weights(4))


class TestSaving:
    def test_copies_no_weights(self, path: Path) -> None:
        graph = graph_of(weights(4096))
        assert most_memory(lambda: files.write(path, graph)) < MEBIBYTE

    @pytest.mark.parametrize(
        "view",
        [
            lambda array: array.T,
            lambda array: array[::-1],
            lambda array: array[:, ::2],
            np.asfortranarray,
            lambda array: array.astype(">f4"),
        ],
    )
    def test_an_array_may_be_any_view(self, path: Path, view: Callable[[Any], Any]) -> None:
        array = view(weights(100))
        assert np.array_equal(written_and_read(path, array), array)

    def test_a_view_is_copied_in_parts(self, path: Path) -> None:
        graph = graph_of(weights(16384).T)
        assert most_memory(lambda: files.write(path, graph)) < 10 * MEBIBYTE
        assert np.array_equal(files.read(path).nodes["linear"].weight, weights(16384).T)

    def test_a_file_is_hardly_larger_than_its_numbers(self, path: Path) -> None:
        files.write(path, graph_of(weights(256)))
        assert path.stat().st_size < 1.02 * weights(256).nbytes


class TestConstants:
    """Arrays whose elements are all the same."""

    SHAPE = (64, 512, 512)

    def lif_graph(self, spread: Callable[[float], Any]) -> nir.NIRGraph:
        lif = nir.LIF(*(spread(value) for value in (0.25, 1.0, 0.0, 1.5, -0.0)))
        shape = np.array(self.SHAPE)
        nodes = {"in": nir.Input(shape), "lif": lif, "out": nir.Output(shape)}
        return nir.NIRGraph(nodes, [("in", "lif"), ("lif", "out")], type_check=False)

    def view(self, value: float) -> Any:
        return np.broadcast_to(np.float64(value), self.SHAPE)

    def test_take_no_space_and_no_memory(self, path: Path) -> None:
        graph = self.lif_graph(self.view)
        assert most_memory(lambda: files.write(path, graph)) < MEBIBYTE
        assert path.stat().st_size < 10_000
        read: list[nir.NIRGraph] = []
        assert most_memory(lambda: read.append(files.read(path))) < MEBIBYTE
        lif = read[0].nodes["lif"]
        values = [lif.tau, lif.r, lif.v_leak, lif.v_threshold, lif.v_reset]
        assert [array.shape for array in values] == [self.SHAPE] * 5
        assert [array[1, 2, 3] for array in values] == [0.25, 1.0, 0.0, 1.5, 0.0]
        assert np.signbit(lif.v_reset[0, 0, 0])

    @pytest.mark.parametrize("compression", [None, "gzip"])
    def test_are_whole_arrays_to_other_readers(self, path: Path, compression: Any) -> None:
        whole = np.full((3, 4), 0.25)
        files.write(path, graph_of(np.broadcast_to(np.float64(0.25), (3, 4))), compression)
        assert np.array_equal(nir.read(path, type_check=False).nodes["linear"].weight, whole)
        with h5py.File(path) as file:
            dataset = file["node/nodes/linear/weight"]
            assert np.array_equal(dataset[()], whole)
            assert dataset.id.get_storage_size() == 0

    @pytest.mark.parametrize("mmap", [True, False])
    @pytest.mark.parametrize("dtype", ["f8", "f4", "f2", "i8", "u1", ">f4"])
    def test_come_back_as_views(self, path: Path, dtype: str, mmap: bool) -> None:
        read = written_and_read(path, np.full((3, 4), 7, dtype), mmap=mmap)
        assert read.strides == (0, 0)
        assert read.dtype == np.dtype(dtype).newbyteorder("=")
        assert np.array_equal(read, np.full((3, 4), 7))

    def test_not_a_number_is_one_too(self, path: Path) -> None:
        assert np.isnan(written_and_read(path, np.full((3, 4), np.nan))).all()

    @pytest.mark.parametrize("index", [0, 1, 50_000, -1])
    def test_are_not_what_differs_somewhere(self, path: Path, index: int) -> None:
        array = np.zeros((100, 1000))
        array.flat[index] = -0.0
        assert np.array_equal(np.signbit(written_and_read(path, array)), np.signbit(array))

    def test_one_axis_may_be_constant(self, path: Path) -> None:
        array = np.broadcast_to(np.arange(3.0)[:, None], (3, 4))
        assert np.array_equal(written_and_read(path, array), array)

    def test_of_chunks_that_were_never_written(self, path: Path) -> None:
        files.write(path, lif_graph())
        with h5py.File(path, "a") as file:
            del file["node/nodes/lif/tau"]
            tau = file["node/nodes/lif"].create_dataset(
                "tau", (3,), "f4", chunks=(2,), fillvalue=0.5, compression="gzip"
            )
            assert tau.id.get_storage_size() == 0
        assert np.array_equal(files.read(path).nodes["lif"].tau, np.full(3, 0.5))

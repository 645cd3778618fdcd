"""NIR files: to and from nir's own, and what becomes of files that are none."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest

from nir_runtime import files
from nir_runtime.contract import shapes
from nir_runtime.errors import InvalidFile, InvalidGraph, NirExchangeError
from tests.runtime.samples import all_kinds, assert_same, lif_graph


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net.nir"


class TestThereAndBack:
    def test_through_a_file_of_ours(self, path: Path) -> None:
        files.write(path, all_kinds())
        read = files.read(path)
        assert_same(read, all_kinds())
        assert list(read.nodes) == list(all_kinds().nodes)

    @pytest.mark.parametrize("compression", ["gzip", "lzf", 4, None])
    def test_from_nir_s(self, path: Path, compression: Any) -> None:
        nir.write(path, all_kinds(), compression=compression)
        assert_same(files.read(path), all_kinds())

    @pytest.mark.parametrize("compression", ["gzip", "lzf", 4, None])
    def test_to_nir_s(self, path: Path, compression: Any) -> None:
        files.write(path, all_kinds(), compression)
        read = nir.read(path, type_check=False)
        lif = "lif mit Leerzeichen ü"
        assert read.nodes[lif].metadata["text"] == "naïve"
        for graph in (read, expected := all_kinds()):
            graph.nodes[lif].metadata = {}
        assert_same(read, expected)
        assert nir.serialization.read_version(path) == nir.version

    def test_of_a_subset_nir_s_types_agree(self, path: Path) -> None:
        files.write(path, lif_graph())
        assert nir.read(path, type_check=True).output_type["out"].tolist() == [3]

    def test_what_is_read_makes_a_complete_graph(self, path: Path) -> None:
        files.write(path, all_kinds())
        read = files.read(path)
        shapes.infer(read)
        assert read.nodes["conv2d"].output_type["output"].tolist() == [6, 9, 9]

    @pytest.mark.parametrize("mode", ["r", "r+"])
    def test_while_h5py_has_it_open(self, path: Path, mode: str) -> None:
        files.write(path, all_kinds())
        with h5py.File(path, mode) as file:
            assert_same(files.read(path), all_kinds())
            assert file["version"][()] == nir.version.encode()

    def test_precision_stays(self, path: Path) -> None:
        for kind in (np.float16, np.float32, np.float64, np.int8, np.int64):
            graph = lif_graph()
            graph.nodes["lif"].r = np.ones(3, kind)
            files.write(path, graph)
            assert files.read(path).nodes["lif"].r.dtype == kind

    def test_without_edges(self, path: Path) -> None:
        graph = nir.NIRGraph({"in": nir.Input(np.array([3]))}, [], type_check=False)
        files.write(path, graph)
        assert files.read(path).edges == nir.read(path, type_check=False).edges == []
        nir.write(path, graph)
        assert files.read(path).edges == []

    def test_unknown_fields_survive(self, path: Path) -> None:
        nir.write(path, lif_graph())
        with h5py.File(path, "a") as file:
            file["node/nodes/lif/color"] = "green"
            file["node/made/by"] = 3
        for _ in range(2):
            graph = files.read(path)
            assert graph.nodes["lif"].unknown_fields == {"color": "green"}
            assert graph.unknown_fields == {"made": {"by": 3}}
            files.write(path, graph)


class TestOlderFiles:
    """Fields that came later, and forms that other tools wrote."""

    def changed(self, path: Path, change: Callable[[h5py.Group], None]) -> nir.NIRGraph:
        nir.write(path, all_kinds())
        with h5py.File(path, "a") as file:
            change(file["node/nodes"])
        graph = files.read(path)
        shapes.infer(graph)
        return graph

    @pytest.mark.parametrize(
        ("field", "value"),
        [
            ("if.dot/v_reset", 0.0),
            ("lif mit Leerzeichen ü/v_reset", 0.0),
            ("cuba_lif/v_reset", 0.0),
            ("cuba_lif/w_in", 1.0),
            ("cuba_li/w_in", 1.0),
        ],
    )
    def test_fields_of_neurons(self, path: Path, field: str, value: float) -> None:
        graph = self.changed(path, lambda nodes: nodes.__delitem__(field))
        name, attribute = field.split("/")
        assert np.array_equal(getattr(graph.nodes[name], attribute), np.full(6, value))

    @pytest.mark.parametrize("field", ["conv2d/input_shape", "conv1d/input_shape", "affine/bias"])
    def test_fields_of_others(self, path: Path, field: str) -> None:
        name, attribute = field.split("/")
        graph = self.changed(path, lambda nodes: nodes.__delitem__(field))
        expected = getattr(all_kinds().nodes[name], attribute)
        assert np.array_equal(getattr(graph.nodes[name], attribute), expected)

    def test_flatten_without_a_shape(self, path: Path) -> None:
        graph = self.changed(path, lambda nodes: nodes.__delitem__("flat/input_type"))
        assert graph.nodes["flat"].input_type["input"].tolist() == [6, 1, 3]

    def test_numbers_for_arrays_and_bytes_for_strings(self, path: Path) -> None:
        def change(nodes: h5py.Group) -> None:
            for name, value in {
                "lif mit Leerzeichen ü/tau": np.float32(0.5),
                "conv2d/stride": 1,
                "i/r": 2,
                "sub/type": np.bytes_(b"NIRGraph"),
                "sub/edges": np.array([[b"in", b"out"]], dtype="S3"),
            }.items():
                del nodes[name]
                nodes[name] = value
            del nodes["i/type"]
            nodes.create_dataset("i/type", data="I", dtype=h5py.string_dtype("ascii"))

        graph = self.changed(path, change)
        assert np.array_equal(graph.nodes["lif mit Leerzeichen ü"].tau, np.full(6, 0.5))
        assert graph.nodes["lif mit Leerzeichen ü"].tau.dtype == np.float32
        assert graph.nodes["conv2d"].stride == (1, 1)
        assert np.array_equal(graph.nodes["i"].r, np.full(6, 2))
        assert graph.nodes["sub"].edges == [("in", "out")]


TAU = "/node/nodes/lif/tau"


def replaced(name: str, value: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        file[name] = value

    return change


def created(name: str, **options: Any) -> Callable[[h5py.File], None]:
    def change(file: h5py.File) -> None:
        del file[name]
        file.create_dataset(name, **options)

    return change


def unknown_filter(file: h5py.File) -> None:
    del file["node/nodes/lif/tau"]
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((3,))
    properties.set_filter(307, h5py.h5z.FLAG_OPTIONAL, ())
    space = h5py.h5s.create_simple((3,))
    lif = file["node/nodes/lif"].id
    h5py.h5d.create(lif, b"tau", h5py.h5t.NATIVE_DOUBLE, space, properties)


def virtual(file: h5py.File) -> None:
    del file["node/nodes/lif/tau"]
    layout = h5py.VirtualLayout((3,), "f8")
    layout[:] = h5py.VirtualSource("other.nir", "node/nodes/lif/r", (3,))
    file["node/nodes/lif"].create_virtual_dataset("tau", layout)


def external(file: h5py.File) -> None:
    secret = Path(file.filename).with_name("secret")
    secret.write_bytes(bytes(12))
    del file[TAU]
    file.create_dataset(TAU, shape=(3,), dtype="f4", external=str(secret))


def twice(file: h5py.File) -> None:
    file["node/nodes/twin"] = file["node/nodes/lif"]


def endless(file: h5py.File) -> None:
    file["node/nodes/again"] = file["node"]


def deep(file: h5py.File) -> None:
    group = file["node"].create_group("metadata")
    for _ in range(2000):
        group = group.create_group("x")


class TestNoNirFile:
    @pytest.mark.parametrize(
        ("change", "error", "place"),
        [
            (replaced(TAU, "fast"), InvalidGraph, TAU),
            (replaced(TAU, ["fast", "slow"]), InvalidGraph, TAU),
            (lambda file: file.__delitem__(TAU), InvalidGraph, TAU),
            (replaced("/node/nodes/lif/type", "Foo"), InvalidGraph, "/node/nodes/lif/type"),
            (replaced("/node/nodes/lif/type", 3), InvalidGraph, "/node/nodes/lif/type"),
            (replaced("/node/nodes/lif", 3), InvalidGraph, "/node/nodes/lif"),
            (replaced("/node/type", "LIF"), InvalidGraph, "/node"),
            (replaced("/node/edges", [[1, 2]]), InvalidGraph, "/node/edges"),
            (replaced("/node/edges", [["a", "b", "c"]]), InvalidGraph, "/node/edges"),
            (lambda file: file.__delitem__("node/edges"), InvalidGraph, "/node/edges"),
            (lambda file: file.__delitem__("node/nodes"), InvalidGraph, "/node/nodes"),
            (lambda file: file.__delitem__("node"), InvalidFile, "/node"),
            (replaced(TAU, np.array([1j])), InvalidFile, TAU),
            (replaced(TAU, np.zeros(3, [("a", "f4")])), InvalidFile, TAU),
            (created(TAU, data=h5py.Empty("f8")), InvalidFile, TAU),
            (external, InvalidFile, TAU),
            (replaced(TAU, h5py.SoftLink("/node/nodes/lif/r")), InvalidFile, TAU),
            (replaced(TAU, h5py.ExternalLink("other.nir", "/tau")), InvalidFile, TAU),
            (replaced(TAU, np.dtype("f8")), InvalidFile, TAU),
            (virtual, InvalidFile, TAU),
            (unknown_filter, InvalidFile, TAU),
            (twice, InvalidFile, "/node/nodes/twin"),
            (endless, InvalidFile, "/node/nodes/again"),
            (deep, InvalidFile, "/node/metadata/x/x"),
        ],
    )
    def test_the_place_is_named(
        self, path: Path, change: Callable[[h5py.File], None], error: type, place: str
    ) -> None:
        nir.write(path, lif_graph())
        with h5py.File(path, "a") as file:
            change(file)
        with pytest.raises(error) as caught:
            files.read(path)
        first = caught.value.problems[0]
        assert first.place.startswith(place)

    def test_all_problems_are_told_at_once(self, path: Path) -> None:
        nir.write(path, lif_graph())
        with h5py.File(path, "a") as file:
            del file[TAU]
            del file["/node/nodes/lif/r"]
            replaced("/node/nodes/out/type", "Exit")(file)
        with pytest.raises(InvalidGraph) as caught:
            files.read(path)
        places = [problem.place for problem in caught.value.problems]
        assert places == [TAU, "/node/nodes/lif/r", "/node/nodes/out/type"]

    def test_what_follows_from_damage_is_not_told(self, path: Path) -> None:
        nir.write(path, lif_graph())
        with h5py.File(path, "a") as file:
            unknown_filter(file)
            del file["/node/nodes/lif/r"]
        with pytest.raises(InvalidFile) as caught:
            files.read(path)
        assert [p.place for p in caught.value.problems] == [TAU, "/node/nodes/lif/r"]

    @pytest.mark.parametrize("content", [b"", b"\x89HDF\r\n\x1a\n", b"no" * 1000])
    def test_that_is_no_hdf5(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        with pytest.raises(InvalidFile, match="not an HDF5 file"):
            files.read(path)

    def test_that_is_not_there(self, path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            files.read(path)
        with pytest.raises(IsADirectoryError):
            files.read(path.parent)

    def test_damaged_in_any_way(self, path: Path) -> None:
        nir.write(path, lif_graph())
        whole, rng = path.read_bytes(), random.Random(0)
        for _ in range(100):
            damaged = bytearray(whole)
            for _ in range(rng.choice([1, 5, 50])):
                damaged[rng.randrange(len(damaged))] = rng.randrange(256)
            path.write_bytes(damaged[: rng.choice([None, rng.randrange(len(damaged))])])
            with contextlib.suppress(NirExchangeError):
                assert isinstance(files.read(path), nir.NIRGraph)

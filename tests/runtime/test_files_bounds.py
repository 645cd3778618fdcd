"""What a file makes of itself when it is read: bounded before room is made for it."""

from __future__ import annotations

import struct
import threading
import tracemalloc
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest
from h5py import h5d, h5p, h5s, h5t, h5z

from nir_runtime import files
from nir_runtime.errors import InvalidArgument, InvalidFile
from nir_runtime.files.chunks import Filter, undone
from nir_runtime.files.limits import GIBIBYTE
from tests.runtime.samples import all_kinds, assert_same, lif_graph

LIF = "node/nodes/lif"
TAU = f"/{LIF}/tau"
MEBIBYTE = 1 << 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    nir.write(tmp_path / "net.nir", lif_graph(), compression=None)
    return tmp_path / "net.nir"


def refused(path: Path, match: str, **options: Any) -> str:
    """What a file is refused for; that it takes little memory and time is checked."""
    done: list[Exception] = []

    def read() -> None:
        try:
            files.read(path, **options)
        except Exception as error:
            done.append(error)

    reading = threading.Thread(target=read, daemon=True)
    tracemalloc.start()
    try:
        reading.start()
        reading.join(10)
        assert not reading.is_alive()
        assert tracemalloc.get_traced_memory()[1] < 64 * MEBIBYTE
    finally:
        tracemalloc.stop()
    (error,) = done
    assert isinstance(error, InvalidFile), error
    assert match in str(error)
    return str(error)


def chunked(
    group: h5py.Group, name: str, shape: tuple[int, ...], chunk: tuple[int, ...], *filters: Any
) -> h5d.DatasetID:
    """A dataset in chunks that is yet to be filled."""
    layout = h5p.create(h5p.DATASET_CREATE)
    layout.set_chunk(chunk)
    for number, values in filters:
        layout.set_filter(number, h5z.FLAG_OPTIONAL, values)
    if name in group:
        del group[name]
    space = h5s.create_simple(shape)
    return h5d.create(group.id, name.encode(), h5t.IEEE_F64LE, space, layout)


DEFLATE, SHUFFLE = (h5z.FILTER_DEFLATE, (4,)), (h5z.FILTER_SHUFFLE, (8,))
LZF = h5z.FILTER_LZF


class TestChunks:
    def test_that_expand_to_more_than_they_may(self, path: Path) -> None:
        """HDF5 makes room for whatever comes out: 1 MB here for 24 bytes, gigabytes in earnest."""
        with h5py.File(path, "a") as file:
            tau = chunked(file[LIF], "tau", (3,), (3,), DEFLATE)
            tau.write_direct_chunk((0,), zlib.compress(bytes(200 * MEBIBYTE)))
        assert TAU in refused(path, "expands to more than it may")

    def test_that_were_compressed_twice(self, path: Path) -> None:
        with h5py.File(path, "a") as file:
            tau = chunked(file[LIF], "tau", (3,), (3,), DEFLATE, (LZF, (4, 261, 24)))
            tau.write_direct_chunk((0,), zlib.compress(zlib.compress(bytes(24))))
        refused(path, "twice")

    @pytest.mark.parametrize("size", [0, 1, 23, 25, 1000])
    def test_of_another_size(self, path: Path, size: int) -> None:
        with h5py.File(path, "a") as file:
            tau = chunked(file[LIF], "tau", (3,), (3,), DEFLATE)
            tau.write_direct_chunk((0,), zlib.compress(bytes(size)))
        refused(path, "a chunk of it")

    def test_that_end_too_early(self, path: Path) -> None:
        with h5py.File(path, "a") as file:
            tau = chunked(file[LIF], "tau", (3,), (3,), DEFLATE)
            tau.write_direct_chunk((0,), zlib.compress(bytes(24))[:-5])
        refused(path, "ends too early")

    def test_that_are_far_larger_than_the_dataset(self, path: Path) -> None:
        with h5py.File(path, "a") as file:
            tau = file[LIF]
            del tau["tau"]
            made = tau.create_dataset("tau", (3,), "f8", chunks=(1 << 28,), maxshape=(None,))
            made.id.write_direct_chunk((0,), zlib.compress(bytes(24)), filter_mask=0)
        refused(path, "4,294,967,296 bytes", max_bytes=GIBIBYTE)

    def test_of_which_few_are_there(self, path: Path) -> None:
        """Room for all of them would be terabytes."""
        with h5py.File(path, "a") as file:
            del file[TAU]
            tau = file.create_dataset(TAU, (10**9,), "f8", chunks=(1000,), compression="gzip")
            tau[:1000] = 1.0
        refused(path, "claims")

    @pytest.mark.parametrize("number", [h5z.FILTER_SCALEOFFSET, h5z.FILTER_NBIT, 307, 32001, 32004])
    def test_of_other_filters(self, path: Path, number: int) -> None:
        with h5py.File(path, "a") as file:
            if number == h5z.FILTER_SCALEOFFSET:
                del file[TAU]
                file.create_dataset(TAU, data=np.arange(3), scaleoffset=4)
            else:
                tau = chunked(file[LIF], "tau", (3,), (3,), (number, (4, 8)))
                tau.write_direct_chunk((0,), bytes(24))
        refused(path, f"filter {number}")

    def test_of_a_shuffle_that_lies_about_the_elements(self, path: Path) -> None:
        for width in (0, 1, 7, 1 << 31):
            with h5py.File(path, "a") as file:
                tau = chunked(file[LIF], "tau", (3,), (3,), (h5z.FILTER_SHUFFLE, (width,)))
                tau.write_direct_chunk((0,), np.ones(3).tobytes())
            assert files.read(path).nodes["lif"].tau.shape == (3,)

    @pytest.mark.parametrize(
        "options",
        [
            {"compression": "gzip"},
            {"compression": "lzf"},
            {"compression": "gzip", "shuffle": True},
            {"compression": "lzf", "shuffle": True, "fletcher32": True},
            {"compression": "gzip", "shuffle": True, "fletcher32": True},
            {"fletcher32": True},
            {"shuffle": True},
            {"chunks": (7, 5)},
            {"chunks": (32, 16), "compression": 9},
            {"chunks": (1, 1), "compression": "gzip"},
            {"chunks": (64, 64), "maxshape": (None, None), "compression": "gzip"},
        ],
        ids=str,
    )
    @pytest.mark.parametrize("dtype", ["<f8", ">f4", "<i8", "u1", "bool", "<f2", "S7", "O"])
    def test_are_read_as_h5py_reads_them(
        self, path: Path, options: dict[str, Any], dtype: str
    ) -> None:
        numbers = np.random.default_rng(0).integers(0, 50, (33, 21)) * (np.arange(21) > 3)
        values = numbers.astype(str).astype(object) if dtype == "O" else numbers.astype(dtype)
        kind = h5py.string_dtype() if dtype == "O" else dtype
        if dtype == "O" and {"shuffle", "fletcher32"} & options.keys():
            pytest.skip("HDF5 has no such datasets")
        with h5py.File(path, "a") as file:
            file.create_dataset("node/metadata/x", data=values, dtype=kind, **options)
        read = np.array(files.read(path).metadata["x"])
        assert np.array_equal(read, numbers.astype(str) if dtype in ("O", "S7") else values)

    def test_that_are_partly_there_are_filled(self, path: Path) -> None:
        with h5py.File(path, "a") as file:
            made = file.create_dataset("node/metadata/x", (10,), "f8", chunks=(3,), fillvalue=0.5)
            made[3:5] = 7.0
            expected = made[()]
        assert np.array_equal(files.read(path).metadata["x"], expected)

    def test_that_skipped_a_filter(self, path: Path) -> None:
        with h5py.File(path, "a") as file:
            tau = chunked(file[LIF], "tau", (3,), (3,), SHUFFLE, DEFLATE)
            tau.write_direct_chunk((0,), np.array([1.0, 2.0, 3.0]).tobytes(), filter_mask=0b11)
        assert files.read(path).nodes["lif"].tau.tolist() == [1.0, 2.0, 3.0]

    @pytest.mark.parametrize("size", [1, 2, 3, 720, 721, 4096, 100_001])
    @pytest.mark.parametrize("fill", [0, 255, None])
    def test_checksums_are_hdf5_s(self, tmp_path: Path, size: int, fill: int | None) -> None:
        data = np.random.default_rng(size).integers(0, 256, size).astype("u1")
        data = data if fill is None else np.full(size, fill, "u1")
        with h5py.File(tmp_path / "x", "w") as file:
            made = file.create_dataset("x", data=data, chunks=(size,), fletcher32=True)
            _, stored = made.id.read_direct_chunk((0,))
        assert undone(stored, [Filter(3, ())], 0, size) == data.tobytes()
        damaged = bytearray(stored)
        damaged[size // 2] ^= 1
        with pytest.raises(ValueError, match="checksum"):
            undone(bytes(damaged), [Filter(3, ())], 0, size)


def references(path: Path, name: str) -> int:
    """Where the references to a dataset's strings are in the file."""
    with h5py.File(path) as file:
        return int(file[name].id.get_offset())


def patched(path: Path, offset: int, content: bytes) -> None:
    data = bytearray(path.read_bytes())
    data[offset : offset + len(content)] = content
    path.write_bytes(data)


class TestStrings:
    @pytest.mark.parametrize("length", [1 << 31, (1 << 32) - 1, 10_000_000, 5])
    def test_that_claim_to_be_longer_than_they_are(self, path: Path, length: int) -> None:
        """HDF5 makes room for as many bytes as a reference claims."""
        patched(path, references(path, f"{LIF}/type"), struct.pack("<I", length))
        refused(path, "not where it should be")

    @pytest.mark.parametrize("address", [1, 8, 1 << 20, 1 << 40, (1 << 64) - 1, (1 << 63)])
    def test_that_are_elsewhere(self, path: Path, address: int) -> None:
        patched(path, references(path, f"{LIF}/type") + 4, struct.pack("<Q", address))
        refused(path, "a string of it")

    @pytest.mark.parametrize("index", [0, 7777, (1 << 32) - 1])
    def test_that_are_not_there(self, path: Path, index: int) -> None:
        patched(path, references(path, f"{LIF}/type") + 12, struct.pack("<I", index))
        refused(path, "not where it should be")

    @pytest.mark.parametrize("size", [0, 1, 16, 1 << 20, 1 << 40, (1 << 64) - 1])
    def test_in_a_heap_of_another_size(self, path: Path, size: int) -> None:
        """HDF5 makes room for as many bytes as its head claims."""
        patched(path, path.read_bytes().index(b"GCOL") + 8, struct.pack("<Q", size))
        refused(path, "string")

    @pytest.mark.parametrize(
        ("number", "size"),
        [(0, 0), (0, 8), (0, 1 << 62), (1, 1 << 62), (1, (1 << 64) - 16), (7, 0), (7, 1 << 40)],
    )
    def test_in_a_heap_that_goes_round(self, path: Path, number: int, size: int) -> None:
        """HDF5 goes round for ever in a heap with a free part of size 0."""
        at = path.read_bytes().index(b"GCOL") + 16
        patched(path, at, struct.pack("<HHIQ", number, 0, 0, size))
        refused(path, "string")

    def test_that_are_all_the_same_bytes(self, path: Path) -> None:
        with h5py.File(path, "a") as file:
            file["node/metadata/words"] = ["x" * 20_000, *("short" for _ in range(9999))]
        offset = references(path, "node/metadata/words")
        patched(path, offset, path.read_bytes()[offset : offset + 16] * 10_000)
        refused(path, "longer than what the file holds")

    def test_in_heaps_that_share_bytes(self, path: Path) -> None:
        """One heap in another one, at an address of its own."""
        inner = b"GCOL\1\0\0\0" + struct.pack("<QHHIQ", 64, 1, 1, 0, 3) + b"LIF".ljust(32, b"\0")
        with h5py.File(path, "a") as file:
            file["node/metadata/outer"] = np.frombuffer(inner, "u1")
        at = path.read_bytes().index(inner)
        patched(path, references(path, f"{LIF}/type"), struct.pack("<IQI", 3, at, 1))
        refused(path, "same place")

    def test_of_one_length_each(self, path: Path) -> None:
        with h5py.File(path, "a") as file:
            group = file.create_group("node/metadata")
            group["padded"] = np.array([b"ab", b"c"], "S5")
            for name, pad in (("ended", h5t.STR_NULLTERM), ("spaces", h5t.STR_SPACEPAD)):
                kind = h5t.C_S1.copy()
                kind.set_size(4)
                kind.set_strpad(pad)
                made = h5d.create(group.id, name.encode(), kind, h5s.create_simple((2,)))
                raw = np.array([b"ab\0x" if pad == h5t.STR_NULLTERM else b"ab  ", b"c   "], "S4")
                made.write(h5s.ALL, h5s.ALL, raw, kind)
        read = files.read(path).metadata
        assert read["padded"] == ["ab", "c"]
        assert read["spaces"] == ["ab", "c"]
        assert read["ended"] == ["ab", "c   "[:3]] or read["ended"] == ["ab", "c   "]

    def test_in_files_with_short_addresses(self, path: Path) -> None:
        made = h5p.create(h5p.FILE_CREATE)
        made.set_sizes(4, 4)
        other = path.with_name("short.nir")
        with (
            h5py.File(path) as file,
            h5py.File(h5py.h5f.create(str(other).encode(), fcpl=made)) as short,
        ):
            for name in file:
                file.copy(name, short)
        assert_same(files.read(other), files.read(path))


class TestMaxBytes:
    @pytest.mark.parametrize("compression", [None, "gzip", "lzf"])
    def test_is_counted_before_it_is_taken(self, path: Path, compression: str | None) -> None:
        graph = lif_graph()
        graph.metadata = {"big": np.arange(4 * MEBIBYTE, dtype="f8") % 7}
        files.write(path, graph, compression)
        told = refused(path, "of the 1,000,000 that the file may take", max_bytes=1_000_000)
        assert "give a larger max_bytes" in told
        assert "/node/metadata/big" in told
        assert files.read(path, max_bytes=80 * MEBIBYTE).metadata["big"].nbytes == 32 * MEBIBYTE

    def test_is_a_sum(self, path: Path) -> None:
        graph = lif_graph()
        graph.metadata = {f"x{k}": np.arange(20_000.0) for k in range(10)}
        files.write(path, graph)
        assert "x9" in refused(path, "may take", max_bytes=1_000_000)

    def test_by_default_is_more_than_any_honest_file_takes(self, path: Path) -> None:
        files.write(path, all_kinds())
        assert_same(files.read(path), all_kinds())

    @pytest.mark.parametrize("given", [0, -1, True, 1.5, "1 GB"])
    def test_must_be_a_number_of_bytes(self, path: Path, given: Any) -> None:
        with pytest.raises(InvalidArgument, match="max_bytes"):
            files.read(path, max_bytes=given)


def endless_virtual(file: h5py.File, source: str) -> None:
    layout = h5py.VirtualLayout((10,), "f8", maxshape=(None,))
    kept = h5py.VirtualSource(source, "x", (10,), maxshape=(None,))
    layout[0 : h5s.UNLIMITED] = kept[0 : h5s.UNLIMITED]
    file.create_virtual_dataset(TAU, layout)


def numbered_virtual(file: h5py.File, source: str) -> None:
    layout = h5py.VirtualLayout((10, 4), "f8", maxshape=(None, 4))
    place, room = h5s.create_simple((10, 4), (h5s.UNLIMITED, 4)), h5s.create_simple((4,))
    place.select_hyperslab((0, 0), (h5s.UNLIMITED, 1), (1, 1), (1, 4))
    made = h5p.create(h5p.DATASET_CREATE)
    made.set_virtual(place, f"{source}%b".encode(), b"x", room)
    h5d.create(file[LIF].id, b"tau", h5t.IEEE_F64LE, place, made)
    del layout


def plain_virtual(file: h5py.File, source: str) -> None:
    layout = h5py.VirtualLayout((3,), "f8")
    layout[:] = h5py.VirtualSource(source, "x", (3,))
    file.create_virtual_dataset(TAU, layout)


def stored_outside(file: h5py.File, source: str) -> None:
    file.create_dataset(TAU, (3,), "f8", external=[(source, 0, 24)])


@pytest.mark.parametrize("lead", [endless_virtual, numbered_virtual, plain_virtual, stored_outside])
def test_nothing_in_a_file_opens_another(
    path: Path, lead: Callable[[h5py.File, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other one is a pipe here: opening it would wait for ever."""
    import os

    for name in ("other", "other0", "other1"):
        os.mkfifo(path.with_name(name))
    with h5py.File(path, "a") as file:
        del file[TAU]
        lead(file, str(path.with_name("other")))
    assert TAU in refused(path, "in another file, which is not opened")

"""Large weights: how far saving and loading are from what the machine can do."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np

import nir_exchange
from nir_exchange import spikingjelly
from tests.benchmarks.networks import wide_graph
from tests.benchmarks.tables import Row, Table, beside, duration, megabytes, percent, times
from tests.benchmarks.timing import Contender, fastest


def saving(weights: int, width: int) -> Table:
    """Saving beside a plain HDF5 write, a raw write and a copy in memory."""
    graph = wide_graph(weights, width)
    arrays = _weights(graph)
    raw = sum(array.nbytes for array in arrays)
    ways: dict[str, tuple[Callable[[Path], object], int]] = {
        "nir_exchange.write": (lambda path: nir_exchange.write(path, graph), 7),
        "plain HDF5 write": (lambda path: _write_hdf5(path, arrays), 7),
        "raw write, and flushed to the disk": (lambda path: _write_raw(path, arrays), 7),
        "memcpy": (lambda path: [array.copy() for array in arrays], 7),
        "nir.write, no gzip": (lambda path: nir.write(path, graph, compression=None), 3),
        "nir.write": (lambda path: nir.write(path, graph), 1),
        "nir_exchange.write, gzip": (lambda path: nir_exchange.write(path, graph, "gzip"), 1),
    }
    with tempfile.TemporaryDirectory() as folder:
        paths = {name: Path(folder) / f"{k}.nir" for k, name in enumerate(ways)}
        taken = fastest(
            [
                Contender(name, lambda way=way, path=paths[name]: way(path), repeats)
                for name, (way, repeats) in ways.items()
            ]
        )
        sizes = {n: percent(p.stat().st_size / raw) for n, p in paths.items() if p.exists()}
    limit = taken["plain HDF5 write"]
    return Table(
        f"Saving {megabytes(raw)}",
        f"{weights} weights of {width} x {width} in single precision. Ours is on the disk when it "
        "returns, as is the raw write; HDF5's and nir's may still be on the way. The file's size "
        "is beside that of the arrays.",
        ("work", "time", "to plain HDF5", "file"),
        [
            [name, duration(time), times(time / limit), sizes.get(name, "")]
            for name, time in taken.items()
        ],
        [_short(f"save {megabytes(raw)}", taken, "nir.write", "nir_exchange.write")],
    )


def loading(weights: int, width: int) -> Table:
    """Loading beside reading."""
    graph = wide_graph(weights, width)
    raw = sum(array.nbytes for array in _weights(graph))
    with tempfile.TemporaryDirectory() as folder:
        ours, plain, gzip = (Path(folder) / name for name in ("ours", "plain", "gzip"))
        nir_exchange.write(ours, graph)
        _write_hdf5(plain, _weights(graph))
        nir.write(gzip, graph)
        arrays = _weights(graph)
        buffer = np.empty(ours.stat().st_size, np.uint8)
        taken = fastest(
            [
                Contender("nir_exchange.read", lambda: nir_exchange.read(ours), 9),
                Contender("import_from_nir", lambda: spikingjelly.import_from_nir(ours), 9),
                Contender("read, and use all", lambda: _sum(nir_exchange.read(ours)), 9),
                Contender("read, mmap=True", lambda: nir_exchange.read(ours, mmap=True), 9),
                Contender("memcpy", lambda: [array.copy() for array in arrays], 9),
                Contender("plain HDF5 read", lambda: _read_hdf5(plain), 9),
                Contender("raw read", lambda: _read_raw(ours, buffer), 9),
                Contender("nir.read of ours", lambda: nir.read(ours, type_check=False)),
                Contender("nir.read of its own", lambda: nir.read(gzip, type_check=False), 2),
                Contender("nir_exchange.read of nir's", lambda: nir_exchange.read(gzip), 2),
            ]
        )
    limit = taken["plain HDF5 read"]
    return Table(
        f"Loading {megabytes(raw)}",
        "From the page cache, into fresh memory; ours looks at every number, for NaN. What is "
        "mapped is read when it is used, and never if it is not.",
        ("work", "time", "to plain HDF5"),
        [[name, duration(time), times(time / limit)] for name, time in taken.items()],
        [
            beside(
                f"load {megabytes(raw)}", taken["nir.read of its own"], taken["nir_exchange.read"]
            )
        ],
    )


def _short(work: str, taken: Mapping[str, float], theirs: str, ours: str) -> Row:
    return beside(f"{work} ({theirs})", taken[theirs], taken[ours])


def _weights(graph: nir.NIRGraph) -> list[Any]:
    return [node.weight for node in graph.nodes.values() if isinstance(node, nir.Linear)]


def _sum(graph: nir.NIRGraph) -> float:
    return float(sum(weight.sum() for weight in _weights(graph)))


def _write_hdf5(path: Path, arrays: list[Any]) -> None:
    with h5py.File(path, "w") as file:
        for k, array in enumerate(arrays):
            file.create_dataset(str(k), data=array)


def _read_hdf5(path: Path) -> list[Any]:
    with h5py.File(path, "r") as file:
        return [file[name][()] for name in file]


def _write_raw(path: Path, arrays: list[Any]) -> None:
    with open(path, "wb", buffering=0) as file:
        for array in arrays:
            file.write(array)
        os.fsync(file.fileno())


def _read_raw(path: Path, buffer: Any) -> None:
    with open(path, "rb", buffering=0) as file:
        rest = memoryview(buffer)
        while rest:
            rest = rest[file.readinto(rest) :]

"""Large weights: how far saving and loading are from what the machine can do."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np

from nir_exchange import spikingjelly
from nirgen.runtime import files
from tests.benchmarks.networks import wide_graph
from tests.benchmarks.tables import Table, duration, megabytes, times
from tests.benchmarks.timing import Contender, fastest


def saving(weights: int, width: int) -> Table:
    """Saving beside a plain HDF5 write, a raw write and a copy in memory."""
    graph = wide_graph(weights, width)
    arrays = [node.weight for node in graph.nodes.values() if isinstance(node, nir.Linear)]
    with tempfile.TemporaryDirectory() as folder:
        path = {name: Path(folder) / name for name in ("ours", "gzip", "nir", "none", "h5", "raw")}
        taken = fastest(
            [
                Contender("nir_exchange.write", lambda: files.write(path["ours"], graph)),
                Contender("plain HDF5 write", lambda: _plain_hdf5(path["h5"], arrays, False)),
                Contender("and flushed, as ours is", lambda: _plain_hdf5(path["h5"], arrays, True)),
                Contender("raw write, flushed", lambda: _raw(path["raw"], arrays)),
                Contender("memcpy", lambda: [array.copy() for array in arrays]),
                Contender(
                    "nir.write, no compression",
                    lambda: nir.write(path["none"], graph, compression=None),
                ),
                Contender("nir.write, gzip as ever", lambda: nir.write(path["nir"], graph), 1),
                Contender(
                    "nir_exchange.write, gzip", lambda: files.write(path["gzip"], graph, "gzip"), 1
                ),
            ]
        )
        sizes = {
            "nir_exchange.write": path["ours"],
            "plain HDF5 write": path["h5"],
            "raw write, flushed": path["raw"],
            "nir.write, no compression": path["none"],
            "nir.write, gzip as ever": path["nir"],
            "nir_exchange.write, gzip": path["gzip"],
        }
        held = {name: file.stat().st_size for name, file in sizes.items()}
    raw, limit = sum(array.nbytes for array in arrays), taken["plain HDF5 write"]
    rows = [
        [
            name,
            duration(time),
            times(time / limit),
            f"{100 * held[name] / raw:.2f} %" if name in held else "",
        ]
        for name, time in taken.items()
    ]
    return Table(
        f"Saving {megabytes(raw)}",
        f"{weights} weights of {width} x {width} in single precision. The file's size is beside "
        "that of the arrays.",
        ("work", "time", "to plain HDF5", "file"),
        rows,
    )


def loading(weights: int, width: int) -> Table:
    """Loading beside reading."""
    graph = wide_graph(weights, width)
    raw = sum(n.weight.nbytes for n in graph.nodes.values() if isinstance(n, nir.Linear))
    with tempfile.TemporaryDirectory() as folder:
        ours, gzip = Path(folder) / "ours", Path(folder) / "gzip"
        files.write(ours, graph)
        nir.write(gzip, graph)
        del graph
        buffer = np.empty(ours.stat().st_size, np.uint8)
        taken = fastest(
            [
                Contender("nir_exchange.read", lambda: files.read(ours)),
                Contender("and import", lambda: spikingjelly.import_from_nir(ours, dt=1e-4)),
                Contender("and touch all", lambda: _touched(files.read(ours))),
                Contender("nir_exchange.read, mmap=False", lambda: files.read(ours, mmap=False)),
                Contender("raw read from the page cache", lambda: _raw_read(ours, buffer)),
                Contender("nir.read of ours", lambda: nir.read(ours, type_check=False)),
                Contender("nir.read of its own", lambda: nir.read(gzip, type_check=False), 1),
                Contender("nir_exchange.read of nir's", lambda: files.read(gzip), 1),
            ]
        )
    limit = taken["raw read from the page cache"]
    rows = [[name, duration(time), times(time / limit)] for name, time in taken.items()]
    return Table(
        f"Loading {megabytes(raw)}",
        "From the page cache. What is mapped is read when it is used, and never if it is not.",
        ("work", "time", "to raw read"),
        rows,
    )


def _plain_hdf5(path: Path, arrays: list[Any], flush: bool) -> None:
    with h5py.File(path, "w") as file:
        for k, array in enumerate(arrays):
            file.create_dataset(str(k), data=array)
    if flush:
        _flush(path)


def _raw(path: Path, arrays: list[Any]) -> None:
    with open(path, "wb", buffering=0) as file:
        for array in arrays:
            file.write(array)
    _flush(path)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    os.fsync(descriptor)
    os.close(descriptor)


def _raw_read(path: Path, buffer: Any) -> None:
    with open(path, "rb", buffering=0) as file:
        rest = memoryview(buffer)
        while rest:
            rest = rest[file.readinto(rest) :]


def _touched(graph: nir.NIRGraph) -> float:
    return float(sum(n.weight.sum() for n in graph.nodes.values() if isinstance(n, nir.Linear)))

"""NIR files: HDF5 as nir 1.0.8 lays it out, readable by nir.read, and everything of nir.write.

::

    /version                      the version of nir
    /node/type                    "NIRGraph"
    /node/edges                   n x 2 names
    /node/nodes/<name>/type       the kind of node, "LIF"
    /node/nodes/<name>/<field>    a number, an array or a string
    .../metadata/<key>            likewise, or a group of such

A file may come from a stranger. Reading it follows no link and no reference out of it, runs no
filter that HDF5 would have to load, takes no more memory than the file can fill, and fails with an
error that names the place in the file.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import nir

from nir_runtime.collecting import uncollected
from nir_runtime.errors import InvalidArgument, InvalidFile, InvalidGraph, Problem
from nir_runtime.files import storage, trees
from nir_runtime.files.datasets import Compression
from nir_runtime.files.drafts import replacing, uninterrupted
from nir_runtime.files.limits import Budget, default_most, demand_bytes
from nir_runtime.files.opening import opened


def read(path: str | Path, mmap: bool = False, max_bytes: int | None = None) -> nir.NIRGraph:
    """The graph in a NIR file, as it is there: `shapes.infer` checks and completes it.

    Fields that older files lack are None. Fields that nir doesn't know are kept in the node's
    `unknown_fields`, and written again. Attributes `input_type` and `output_type` of all nodes but
    Input, Output and Flatten are yet to be inferred. Arrays whose elements are all the same may be
    views of one element, which can't be written to.

    Args:
        path: the file.
        mmap: whether arrays may be views of the file, which costs neither time nor memory before
            they are used. Only for files that nobody changes in place, as `nir.write` and h5py do:
            the numbers change then, or the process ends (SIGBUS). `nir_exchange.write` replaces
            files, which leaves views as they are, as deleting does; writing to a view changes the
            memory, never the file. By default everything is in memory and the file is closed.
        max_bytes: how much memory the graph may take; counted before it is taken, with what is
            compressed at its full size, and what repeats one number not at all. None for four times
            the file's size and 1 GiB.

    Raises:
        InvalidArgument: `max_bytes` can't be meant.
        OSError: the file can't be opened (FileNotFoundError, PermissionError, ...).
        InvalidFile: it is no HDF5 file, is damaged, points to something outside, or takes more
            memory than it may.
        InvalidGraph: it holds no graph: unknown nodes, missing fields, wrong kinds of values.
    """
    demand_bytes(max_bytes)
    with uncollected():
        with opened(path) as source:
            budget = Budget(default_most(source.size) if max_bytes is None else max_bytes)
            tree, damages = storage.load(source, "node", mmap, budget)
        graph, findings = (None, []) if tree is None else trees.graph_of(tree, "/node")
    if damages:
        raise InvalidFile([*damages, *_elsewhere(findings, damages)])
    if findings or graph is None:
        raise InvalidGraph(findings)
    return graph


def version(path: str | Path) -> str | None:
    """The version of nir that wrote a file; None if it doesn't say.

    Raises:
        OSError: the file can't be opened.
        InvalidFile: it is no HDF5 file.
    """
    with opened(path) as source:
        written = storage.text(source, "version")
    return written


def _elsewhere(findings: list[Problem], damages: list[Problem]) -> Iterator[Problem]:
    """The findings that don't merely follow from damage where they are, or above."""
    damaged = {damage.place for damage in damages}
    return (finding for finding in findings if damaged.isdisjoint(_with_parents(finding.place)))


def _with_parents(place: str) -> Iterator[str]:
    """`/a/b`, `/a`."""
    while place:
        yield place
        place = place.rpartition("/")[0]


def write(path: str | Path, graph: nir.NIRGraph, compression: Compression = None) -> None:
    """Write a graph into a NIR file, all of it or nothing.

    The file comes into being beside `path` and takes its place when it is complete and on disk,
    with the owner and the mode of the one that it replaces; of a link, what it points to is
    replaced. Whatever fails before, the old file stays, and nothing else is left. Arrays are not
    copied on their way, and those whose elements are all the same take no space.

    Args:
        path: the file; one that is there is replaced.
        graph: the graph.
        compression: of arrays, as h5py has it: "gzip", "lzf", a level of gzip, or None: numbers lie
            in the file as in memory.

    Raises:
        InvalidArgument: there is no such compression.
        InvalidGraph: something in the graph can't be stored; `problems` names every place.
        InvalidFile: what is there is no regular file, but a pipe or a device.
        OSError: the file can't be written, or its owner couldn't be kept.
    """
    if compression not in (None, "gzip", "lzf", *range(10)):
        advice = "give None, 'gzip', 'lzf', or a level of gzip from 0 to 9"
        raise InvalidArgument(Problem("compression", f"is {compression!r}", advice))
    with uncollected():
        tree = {"version": nir.version, "node": trees.tree_of(graph)}
        with replacing(path) as file, uninterrupted():
            storage.save(tree, file, compression)

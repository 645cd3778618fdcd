"""Datasets in chunks: what is stored of each, and how filters are undone.

Filters are undone here rather than by HDF5, which lets a chunk expand to whatever its bytes expand
to. Here it is as large as it says, or an error.
"""

from __future__ import annotations

import itertools
import math
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from h5py import h5d, h5p, h5z

from nir_runtime.arrays import Array
from nir_runtime.files.limits import Budget


@dataclass(frozen=True)
class Filter:
    """One step of what was done to each chunk when it was written.

    Attributes:
        number: which filter, as HDF5 counts them.
        values: what it was told.
    """

    number: int
    values: tuple[int, ...]


def filters_of(layout: h5p.PropDCID) -> tuple[Filter, ...]:
    """The filters of a dataset, in the order in which they were applied.

    Raises:
        ValueError: one of them is not known, and HDF5 would look for it among its plugins; or data
            was compressed more than once.
    """
    found = []
    for k in range(layout.get_nfilters()):
        number, _, values, name = layout.get_filter(k)
        if number not in _UNDONE:
            raise ValueError(f"it is compressed by filter {number} ({name!r}), which is not loaded")
        found.append(Filter(number, tuple(values)))
    kinds = ["compressed" if f.number in _COMPRESSING else f.number for f in found]
    if len(set(kinds)) < len(kinds):
        raise ValueError("it went through the same kind of filter twice")
    return tuple(found)


@dataclass(frozen=True)
class Chunked:
    """A dataset that is stored in chunks.

    Attributes:
        dataset: the dataset.
        shape: its shape, or that of what is read of it.
        chunk: the shape of a chunk.
        filters: in the order in which they were applied.
    """

    dataset: h5d.DatasetID
    shape: tuple[int, ...]
    chunk: tuple[int, ...]
    filters: tuple[Filter, ...]

    def read(self, dtype: np.dtype[Any], fill: Array, budget: Budget, file_size: int) -> Array:
        """The elements, as they lie in the file.

        Args:
            dtype: of the elements in the file.
            fill: what stands for elements that were never written.
            budget: what may be taken.
            file_size: bytes of the file.

        Raises:
            ValueError: the chunks are not what the dataset says, or are damaged.
        """
        size, count = math.prod(self.chunk) * dtype.itemsize, self._count()
        budget.lend(2 * size)
        infos = list(self._infos(count, file_size))
        elements = math.prod(self.shape) * dtype.itemsize
        if elements > _MOST_EXPANSION * sum(info.size for info in infos):
            stored = sum(info.size for info in infos)
            raise ValueError(f"it claims {elements:,} bytes, of which the file holds {stored:,}")
        budget.take(max(elements, len(infos) * size))
        array = np.empty(self.shape, dtype) if len(infos) == count else _filled(self.shape, fill)
        for info in infos:
            mask, stored_bytes = self.dataset.read_direct_chunk(info.chunk_offset)
            block = undone(stored_bytes, self.filters, mask, size)
            self._place(np.frombuffer(block, dtype).reshape(self.chunk), info.chunk_offset, array)
        return array

    def _count(self) -> int:
        """Of how many chunks the dataset is made."""
        lengths = zip(self.shape, self.chunk, strict=True)
        return math.prod(-(-length // part) for length, part in lengths)

    def _infos(self, most: int, file_size: int) -> Iterator[Any]:
        """What is stored, once each."""
        seen = set()
        for info in _stored(self.dataset, most):
            inside = zip(info.chunk_offset, self.chunk, self.shape, strict=True)
            if any(at % part or at >= length for at, part, length in inside):
                raise ValueError("a chunk lies outside of it")
            if info.size > file_size:
                raise ValueError("a chunk ends behind the end of the file")
            if info.chunk_offset in seen:
                raise ValueError("a chunk is there twice")
            seen.add(info.chunk_offset)
            yield info

    def _place(self, block: Array, offset: tuple[int, ...], array: Array) -> None:
        """Copy a chunk to its place; what is beyond the edges is left out."""
        inside = tuple(
            slice(at, min(at + part, length))
            for at, part, length in zip(offset, self.chunk, self.shape, strict=True)
        )
        array[inside] = block[tuple(slice(0, part.stop - part.start) for part in inside)]


def _stored(dataset: h5d.DatasetID, most: int) -> Iterator[Any]:
    """Where the stored chunks are, and how large; an index that goes round is stopped."""
    if hasattr(dataset, "chunk_iter"):
        infos: list[Any] = []

        def note(info: Any) -> bool | None:
            infos.append(info)
            return True if len(infos) > most else None  # anything else than None stops

        dataset.chunk_iter(note)
    else:
        infos = [dataset.get_chunk_info(k) for k in range(min(dataset.get_num_chunks(), most + 1))]
    if len(infos) > most:
        raise ValueError("it has more chunks than it has room for")
    yield from infos


def _filled(shape: tuple[int, ...], fill: Array) -> Array:
    array = np.empty(shape, fill.dtype)
    array[...] = fill
    return array


# Filters


def undone(stored: bytes, filters: Sequence[Filter], mask: int, size: int) -> bytes:
    """A chunk before its filters.

    Args:
        stored: its bytes in the file.
        filters: in the order in which they were applied.
        mask: bits of those that were not, for this chunk.
        size: how many bytes it has.

    Raises:
        ValueError: it has another number of bytes, or is damaged.
    """
    data = stored
    for k in reversed(range(len(filters))):
        if not mask >> k & 1:
            data = _UNDONE[filters[k].number](data, filters[k].values, size + _CHECKSUM)
    if len(data) != size:
        raise ValueError(f"a chunk of it has {len(data):,} bytes in place of {size:,}")
    return data


def _inflated(data: bytes, _: Sequence[int], most: int) -> bytes:
    inflating = zlib.decompressobj()
    try:
        whole = inflating.decompress(data, most + 1)
    except zlib.error as error:
        raise ValueError(f"a chunk of it is damaged: {error}") from error
    if not inflating.eof:
        what = "expands to more than it may" if len(whole) > most else "ends too early"
        raise ValueError(f"a chunk of it {what}")
    return whole


def _unshuffled(data: bytes, values: Sequence[int], _: int) -> bytes:
    """The first bytes of all elements came first, then the second ones, and so on."""
    width = values[0] if values else 1
    count = len(data) // width if width else 0
    if width < 2 or count < 2:
        return data
    together = np.frombuffer(data, np.uint8, count * width).reshape(width, count)
    return together.T.tobytes() + data[count * width :]


def _checked(data: bytes, _: Sequence[int], __: int) -> bytes:
    """The data without its checksum, which must be right."""
    if len(data) < _CHECKSUM:
        raise ValueError("a chunk of it has no checksum")
    content, end = data[:-_CHECKSUM], data[-_CHECKSUM:]
    expected = _fletcher32(content)
    # Versions of HDF5 before 1.6.3 had the bytes in another order.
    swapped = bytes(end[k] for k in (1, 0, 3, 2))
    if expected not in (int.from_bytes(end, "little"), int.from_bytes(swapped, "little")):
        raise ValueError("a chunk of it is damaged: its checksum is another one")
    return content


def _fletcher32(data: bytes) -> int:
    words = np.frombuffer(data + bytes(len(data) % 2), ">u2").astype(np.uint64)
    weights = np.arange(len(words), 0, -1, dtype=np.uint64) % _ONES
    return _folded(int((words * weights).sum())) << 16 | _folded(int(words.sum()))


def _folded(total: int) -> int:
    """A sum in ones' complement, of 16 bits."""
    return (total - 1) % _ONES + 1 if total else 0


def _expanded(data: bytes, _: Sequence[int], most: int) -> bytes:
    """LZF: runs of bytes, and references to what came before."""
    made, at = bytearray(), 0
    try:
        while at < len(data):
            control, at = data[at], at + 1
            if control < 32:
                made += data[at : at + control + 1]
                at += control + 1
            else:
                length = control >> 5
                if length == 7:
                    length, at = length + data[at], at + 1
                start, at = len(made) - (control & 31) * 256 - data[at] - 1, at + 1
                if start < 0:
                    raise ValueError("a chunk of it is damaged")
                repeated = itertools.islice(itertools.cycle(made[start:]), length + 2)
                made += bytes(repeated)
            if len(made) > most:
                raise ValueError("a chunk of it expands to more than it may")
    except IndexError as error:
        raise ValueError("a chunk of it ends too early") from error
    return bytes(made)


_UNDONE: Mapping[int, Callable[[bytes, Sequence[int], int], bytes]] = {
    h5z.FILTER_DEFLATE: _inflated,
    h5z.FILTER_SHUFFLE: _unshuffled,
    h5z.FILTER_FLETCHER32: _checked,
    h5z.FILTER_LZF: _expanded,
}
_COMPRESSING = (h5z.FILTER_DEFLATE, h5z.FILTER_LZF)

_CHECKSUM = 4
_ONES = 0xFFFF

_MOST_EXPANSION = 1032
"""How many times its size data may have been that deflate, the best of the filters, compressed."""

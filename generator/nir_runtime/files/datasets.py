"""One dataset of a NIR file: how numbers and strings lie in it, and how they come back.

Numbers lie in the file as they lie in memory, and come from there into an array in one step, past
the buffers of HDF5. Who asks for it has an array that is a view of the file, whose pages the system
fetches when they are touched and copies when they are written to. Numbers that are all the same are
a dataset with a fill value and no storage; to every reader of HDF5 it has its full shape, and here
it comes back as a view of the one number.

What a stranger's file claims is not believed. No more memory is taken than the file has bytes,
or than its compressed bytes can expand to; only a fill value may stand for more, and it is never
written out.
"""

from __future__ import annotations

import bisect
import functools
import io
import math
from collections.abc import Iterator, Sequence
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5g, h5p, h5s, h5t, h5z

from nir_runtime.arrays import Array, constant, slabs
from nir_runtime.files.opening import Opened

Compression = str | int | None
"""As h5py has it: "gzip", "lzf", a level of gzip; None leaves numbers as they are in memory."""


# Writing


def write_text(group: h5g.GroupID, name: bytes, text: str | Sequence[str]) -> None:
    """Make a dataset of a string, or of strings that may be in lists of equal lengths."""
    values = np.array(text, dtype=_STRING)
    dataset = h5d.create(group, name, _STRING_IN_FILES, _space(values.shape), None, _NAME)
    dataset.write(h5s.ALL, h5s.ALL, values)


def write_numbers(
    group: h5g.GroupID, name: bytes, array: Array, file: io.FileIO, compression: Compression
) -> None:
    """Make a dataset of an array.

    Args:
        group: where to make it.
        name: its name there.
        array: numbers of any shape.
        file: the file that HDF5 writes to. Numbers go to it directly, so that a large array is
            neither copied nor passed through the buffers of HDF5.
        compression: of arrays that have axes.
    """
    repeated = constant(array) if array.size > 1 else None
    if repeated is not None:
        _create(group, name, array, _filled(repeated.dtype, repeated.tobytes()))
    elif compression is not None and array.ndim and array.size:
        text = name.decode()
        h5py.Group(group).create_dataset(text, data=array, compression=compression)
    else:
        dataset = _create(group, name, array, _IN_PLACE)
        if array.size:
            file.seek(dataset.get_offset())
            _write_array(array, file)


def _create(group: h5g.GroupID, name: bytes, array: Array, layout: h5p.PropDCID) -> h5d.DatasetID:
    return h5d.create(group, name, _type(array.dtype), _space(array.shape), layout, _NAME)


def _write_array(array: Array, file: io.FileIO) -> None:
    """Write an array's numbers in C order and in the machine's order of bytes."""
    native = array.dtype.newbyteorder("=")
    parts = [array] if array.flags.c_contiguous else slabs(array, _COPIED_AT_ONCE)
    for part in parts:
        write_all(np.ascontiguousarray(part, native).reshape(-1).view(np.uint8).data, file)


def write_all(data: memoryview, file: io.FileIO) -> None:
    """Write all bytes of `data`, of which the system may take some at a time."""
    while data:
        data = data[file.write(data) :]


@functools.lru_cache(maxsize=32)
def _type(dtype: np.dtype[Any]) -> h5t.TypeID:
    return h5t.py_create(dtype.newbyteorder("="), logical=True)


@functools.lru_cache(maxsize=256)
def _space(shape: tuple[int, ...]) -> h5s.SpaceID:
    return h5s.create_simple(shape) if shape else h5s.create(h5s.SCALAR)


@functools.lru_cache(maxsize=256)
def _filled(dtype: np.dtype[Any], number: bytes) -> h5p.PropDCID:
    """The layout of a dataset that is `number` wherever nothing else was written."""
    layout = h5p.create(h5p.DATASET_CREATE)
    value = np.frombuffer(number, dtype)[0]
    layout.set_fill_value(np.array(value, dtype.newbyteorder("=")))
    return layout


def _in_place() -> h5p.PropDCID:
    """The layout of a dataset that has its place in the file from the start."""
    layout = h5p.create(h5p.DATASET_CREATE)
    layout.set_alloc_time(h5d.ALLOC_TIME_EARLY)
    layout.set_fill_time(h5d.FILL_TIME_NEVER)
    return layout


def name_in_utf8() -> h5p.PropLCID:
    """The properties of a link whose name may have any letters."""
    link = h5p.create(h5p.LINK_CREATE)
    link.set_char_encoding(h5t.CSET_UTF8)
    return link


_STRING = h5py.string_dtype()
_STRING_IN_MEMORY = h5t.py_create(_STRING)
_STRING_IN_FILES = h5t.py_create(_STRING, logical=True)
_NAME = name_in_utf8()
_IN_PLACE = _in_place()

_COPIED_AT_ONCE = 1 << 22
"""Bytes that are copied at a time of an array that is not contiguous."""


# Reading


class Reader:
    """What the datasets of a file hold.

    An array that is a view of the file stays what it was when the file is replaced or deleted. One
    that is changed in place may show, and of one that is cut off the system takes the pages away,
    and ends the process that touches them: so views are only for those who ask for them.
    """

    def __init__(self, source: Opened, map_arrays: bool) -> None:
        self._source = source
        self._unread = source.size
        self._map = source.mapped() if map_arrays else None
        self._places = Places()

    def value(self, dataset: h5d.DatasetID) -> Any:
        """A string, (nested) lists of strings, an int, or an array.

        Raises:
            ValueError: it keeps its values elsewhere, in a form that NIR doesn't have, or claims
                more of them than the file can hold.
        """
        found = _Found(dataset)
        if isinstance(found.kind, h5t.TypeStringID):
            return self._text(found)
        array = self._array(found)
        return array.item() if array.ndim == 0 and array.dtype.kind in "iub" else array

    def _array(self, found: _Found) -> Array:
        """A view of the file, a view of a fill value, or an array in memory of its own."""
        lying = _dtype_as_it_lies(found.kind)
        dtype: np.dtype[Any] = lying or found.kind.dtype.newbyteorder("=")
        if dtype.kind not in "fiub":
            raise ValueError(f"it holds {dtype}, not numbers or strings")
        if found.size and not found.held:
            return _repeated(found.fill_value(dtype), found.shape)
        if lying and found.offset is not None:
            return self._lying(found, found.offset, lying)
        self._demand_held(found)
        array = np.empty(found.shape, dtype)
        if found.size:
            found.dataset.read(h5s.ALL, h5s.ALL, array)
        return array

    def _lying(self, found: _Found, offset: int, dtype: np.dtype[Any]) -> Array:
        """The array at its place in the file: a view of it, or its bytes in memory."""
        size = found.size * dtype.itemsize
        if offset + size > self._source.size:
            raise ValueError("it ends behind the end of the file")
        self._places.take(offset, offset + size)
        if self._map is not None and not offset % dtype.itemsize:
            return np.ndarray(found.shape, dtype, self._map, offset)
        array = np.empty(found.shape, dtype)
        if size:
            self._source.read_into(array.data.cast("B"), offset)
        return array

    def _text(self, found: _Found) -> Any:
        """A string, or (nested) lists of them."""
        self._demand_held(found)
        if not found.kind.is_variable_str():
            values = np.empty(found.shape, found.kind.dtype)
            found.dataset.read(h5s.ALL, h5s.ALL, values)
        elif found.size > _STRINGS_AT_ONCE:
            return _decoded(list(self._rows(found)))
        else:
            values = np.empty(found.shape, _STRING)
            found.dataset.read(h5s.ALL, h5s.ALL, values, _STRING_IN_MEMORY)
        return _decoded(values.tolist())

    def _rows(self, found: _Found) -> Iterator[Any]:
        """The parts of strings along the first axis.

        Strings of any length lie elsewhere in the file, and forged ones all at the same place. So
        they are read a few at a time, and counted.
        """
        length, *others = found.shape
        rows = _STRINGS_AT_ONCE // math.prod(others)
        if rows == 0:
            raise ValueError(f"it holds rows of more than {_STRINGS_AT_ONCE} strings")
        read = 0
        for start in range(0, length, rows):
            part = (min(rows, length - start), *others)
            place = found.dataset.get_space()
            place.select_hyperslab((start, *(0 for _ in others)), part)
            values = np.empty(part, _STRING)
            found.dataset.read(h5s.create_simple(part), place, values, _STRING_IN_MEMORY)
            read += sum(map(len, values.ravel()))
            if read > self._unread:
                raise ValueError("its strings are longer than what the file holds")
            yield from values.tolist()

    def _demand_held(self, found: _Found) -> None:
        """Raise ValueError unless the file has the bytes that a dataset claims."""
        claimed = found.size * found.kind.get_size()
        if claimed > found.held * (_MOST_EXPANSION if found.compressed else 1):
            raise ValueError(f"it claims {claimed:,} bytes, of which the file holds {found.held:,}")
        self._unread -= found.held
        if self._unread < 0:
            raise ValueError("the datasets claim more bytes than the file has")


class Places:
    """Parts of a file that are taken: by one array each."""

    def __init__(self) -> None:
        self._starts: list[int] = []
        self._ends: list[int] = []

    def take(self, start: int, end: int) -> None:
        """Take the bytes from `start` to `end`.

        Raises:
            ValueError: another array has some of them.
        """
        at = bisect.bisect_right(self._starts, start)
        behind = at and self._ends[at - 1] > start
        before = at < len(self._starts) and self._starts[at] < end
        if start < end and (behind or before):
            raise ValueError("another dataset has the same place in the file")
        self._starts.insert(at, start)
        self._ends.insert(at, end)


class _Found:
    """What a dataset says of itself.

    Attributes:
        dataset: the dataset.
        kind: the type of its elements.
        shape, size: of them.
        offset: where they begin in the file, if they lie there one behind the other; else None.
        held: the bytes that they have in the file, none if there is only a fill value.
        layout: its properties; None where they lie one behind the other.
        compressed: whether they went through filters.

    Raises:
        ValueError: it has no elements, or reading them would open another file, or load a filter.
    """

    def __init__(self, dataset: h5d.DatasetID) -> None:
        space = dataset.get_space()
        if space.get_simple_extent_type() == h5s.NULL:
            raise ValueError("it is empty")
        self.dataset = dataset
        self.kind: h5t.TypeID = dataset.get_type()
        self.shape: tuple[int, ...] = space.shape
        self.size = math.prod(self.shape)
        self.offset: int | None = dataset.get_offset()
        self.held: int = dataset.get_storage_size()
        self.layout = _layout_inside(dataset) if self.offset is None else None
        self.compressed = self.layout is not None and self.layout.get_nfilters() > 0

    def fill_value(self, dtype: np.dtype[Any]) -> Array:
        """The number that stands for all that was never written, without axes."""
        layout = self.layout
        if layout is None or layout.fill_value_defined() == h5d.FILL_VALUE_UNDEFINED:
            raise ValueError("it has neither numbers nor a fill value")
        value = np.zeros((), dtype)
        layout.get_fill_value(value)
        return value


def _dtype_as_it_lies(kind: h5t.TypeID) -> np.dtype[Any] | None:
    """The numbers that NumPy has in the very form of the file."""
    return next((dtype for known, dtype in _LYING if known.equal(kind)), None)


_LYING = tuple(
    (h5t.py_create(np.dtype(name)), np.dtype(name))
    for name in ("f8", "f4", "i8", "i4", "f2", "i2", "i1", "u8", "u4", "u2", "u1")
)


def _layout_inside(dataset: h5d.DatasetID) -> h5p.PropDCID:
    """The layout of a dataset.

    Raises:
        ValueError: reading it would open another file, or load a filter.
    """
    layout = dataset.get_create_plist()
    if layout.get_layout() == h5d.VIRTUAL or layout.get_external_count():
        raise ValueError("its values are in another file, which is not opened")
    for k in range(layout.get_nfilters()):
        number, _, _, name = layout.get_filter(k)
        if number not in _FILTERS:
            raise ValueError(f"it is compressed by filter {number} ({name!r}), which is not loaded")
    return layout


def _repeated(number: Array, shape: tuple[int, ...]) -> Array:
    """A view of one number with any shape, as np.broadcast_to makes it, in a tenth of its time."""
    view: Array = np.ndarray(shape, number.dtype, number, 0, (0,) * len(shape))
    view.flags.writeable = False
    return view


def _decoded(value: Any) -> Any:
    """Strings of bytes, also in nested lists."""
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, list):
        return [_decoded(item) for item in value]
    return value


_STRINGS_AT_ONCE = 1 << 6

_MOST_EXPANSION = 1032
"""How many times its size data may have been that deflate, the best of the filters, compressed."""

_FILTERS = frozenset(
    {
        h5z.FILTER_DEFLATE,
        h5z.FILTER_SHUFFLE,
        h5z.FILTER_FLETCHER32,
        h5z.FILTER_SZIP,
        h5z.FILTER_SCALEOFFSET,
        h5z.FILTER_NBIT,
        h5z.FILTER_LZF,
    }
)
"""Filters that are part of h5py; HDF5 would look for any other among its plugins, and load it."""

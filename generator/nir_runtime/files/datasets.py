"""One dataset of a NIR file: how numbers and strings lie in it, and how they come back.

Numbers lie in the file as they lie in memory, and come from there into an array in one step, past
the buffers of HDF5. Who asks for it has an array that is a view of the file, whose pages the system
fetches when they are touched and copies when they are written to. Numbers that are all the same are
a dataset with a fill value and no storage; to every reader of HDF5 it has its full shape, and here
it comes back as a view of the one number.

What a stranger's file claims is not believed. All that is kept is counted before room is made for
it, and no byte of the file is read as part of two arrays; only a fill value may stand for more, and
it is never written out. HDF5 itself reads no numbers but those in forms that NumPy doesn't have,
and no strings.
"""

from __future__ import annotations

import functools
import io
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import h5py
import numpy as np
from h5py import h5d, h5g, h5p, h5s, h5t

from nir_runtime.arrays import Array, constant, slabs
from nir_runtime.files.chunks import Chunked, filters_of
from nir_runtime.files.heaps import Heaps
from nir_runtime.files.limits import Budget
from nir_runtime.files.opening import Opened
from nir_runtime.files.places import Places

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

    def __init__(self, source: Opened, map_arrays: bool, budget: Budget) -> None:
        self._source, self._budget = source, budget
        self._map = source.mapped() if map_arrays else None
        self._places = Places()
        self._heaps = Heaps(source, self._places, budget)

    def value(self, dataset: h5d.DatasetID) -> Any:
        """A string, (nested) lists of strings, an int, or an array.

        Raises:
            ValueError: it keeps its values elsewhere, in a form that NIR doesn't have, or claims
                more of them than the file can hold.
        """
        found = _Found(dataset)
        if isinstance(found.kind, h5t.TypeStringID):
            return self._text(found, found.kind)
        if found.kind.get_class() not in _NUMBERS:
            raise ValueError("it holds neither numbers nor strings")
        array = self._array(found)
        return array.item() if array.ndim == 0 and array.dtype.kind in "iub" else array

    def _array(self, found: _Found) -> Array:
        """A view of the file, a view of a fill value, or an array in memory of its own."""
        lying, dtype = _as_it_lies(found.kind) or (None, found.kind.dtype.newbyteorder("="))
        if dtype.kind not in "fiub":
            raise ValueError(f"it holds {dtype}, not numbers or strings")
        if found.size and not found.held:
            return _repeated(found.fill_value(dtype), found.shape)
        if lying and (array := self._stored(found, lying)) is not None:
            return array if lying == dtype else array.astype(dtype)
        self._demand_held(found)
        self._budget.take(found.size * max(dtype.itemsize, found.kind.get_size()))
        array = np.empty(found.shape, dtype)
        if found.size:
            found.dataset.read(h5s.ALL, h5s.ALL, array)
        return array

    def _stored(self, found: _Found, dtype: np.dtype[Any]) -> Array | None:
        """The elements as they lie in the file, read past HDF5; None if only it can read them."""
        if found.offset is not None:
            return self._lying(found, found.offset, dtype)
        if found.layout is None or found.layout.get_layout() != h5d.CHUNKED:
            return None
        chunked = Chunked(found.dataset, found.shape, found.layout.get_chunk(), found.filters)
        unwritten = np.zeros((), dtype) if dtype.names or dtype.kind == "S" else None
        fill = found.fill_value(dtype) if unwritten is None else unwritten
        return chunked.read(dtype, fill, self._budget, self._source.size)

    def _lying(self, found: _Found, offset: int, dtype: np.dtype[Any]) -> Array:
        """The array at its place in the file: a view of it, or its bytes in memory."""
        size = found.size * dtype.itemsize
        if offset + size > self._source.size:
            raise ValueError("it ends behind the end of the file")
        self._places.take(offset, offset + size)
        mappable = dtype.isnative and found.kind.get_class() != h5t.ENUM
        if self._map is not None and mappable and not offset % dtype.itemsize:
            return np.ndarray(found.shape, dtype, self._map, offset)
        self._budget.take(size)
        array = np.empty(found.shape, dtype)
        if size:
            self._source.read_into(array.reshape(-1).view(np.uint8).data, offset)
        return array

    def _text(self, found: _Found, kind: h5t.TypeStringID) -> Any:
        """A string, or (nested) lists of them."""
        if found.size and not found.held:
            raise ValueError("it claims strings that the file doesn't hold")
        if kind.is_variable_str():
            return self._text_elsewhere(found)
        values = self._stored(found, np.dtype((np.bytes_, kind.get_size())))
        if values is None:
            self._demand_held(found)
            values = np.empty(found.shape, kind.dtype)
            found.dataset.read(h5s.ALL, h5s.ALL, values)
        ended = _ENDED[kind.get_strpad()]
        return _each(lambda text: ended(text).decode("utf-8"), values.tolist())

    def _text_elsewhere(self, found: _Found) -> Any:
        """Strings of any length, of which the dataset has references."""
        references = self._stored(found, self._heaps.reference)
        if references is None:
            raise ValueError("its strings lie in a form that is not read: store it contiguously")
        self._budget.take(found.size * _OF_A_STRING)
        return _each(lambda reference: self._heaps.text(*reference), references.tolist())

    def _demand_held(self, found: _Found) -> None:
        """Raise ValueError unless the file has the bytes that a dataset claims."""
        claimed = found.size * found.kind.get_size()
        if claimed > min(found.held, self._source.size):
            raise ValueError(f"it claims {claimed:,} bytes, of which the file holds {found.held:,}")


class _Found:
    """What a dataset says of itself.

    Attributes:
        dataset: the dataset.
        kind: the type of its elements.
        shape, size: of them.
        offset: where they begin in the file, if they lie there one behind the other; else None.
        held: the bytes that they have in the file, none if there is only a fill value.
        layout: its properties; None where they lie one behind the other.
        filters: what was done to its chunks.

    Raises:
        ValueError: it has no elements, or they are in another file, or reading them would load a
            filter.
    """

    def __init__(self, dataset: h5d.DatasetID) -> None:
        self.dataset = dataset
        self.offset: int | None = dataset.get_offset()
        # Asking for its space, or for what is stored, opens the other file.
        self.layout = _layout_inside(dataset) if self.offset is None else None
        self.filters = () if self.layout is None else filters_of(self.layout)
        space = dataset.get_space()
        if space.get_simple_extent_type() == h5s.NULL:
            raise ValueError("it is empty")
        self.kind: h5t.TypeID = dataset.get_type()
        self.shape: tuple[int, ...] = space.shape
        self.size = math.prod(self.shape)
        self.held: int = dataset.get_storage_size()

    def fill_value(self, dtype: np.dtype[Any]) -> Array:
        """The number that stands for all that was never written, without axes."""
        layout = self.layout
        if layout is None or layout.fill_value_defined() == h5d.FILL_VALUE_UNDEFINED:
            raise ValueError("it has neither numbers nor a fill value")
        value = np.zeros((), dtype)
        layout.get_fill_value(value)
        return value


def _as_it_lies(kind: h5t.TypeID) -> tuple[np.dtype[Any], np.dtype[Any]] | None:
    """The numbers that NumPy has in the very form of the file, and what they are in memory."""
    return next(((lying, meant) for known, lying, meant in _LYING if known.equal(kind)), None)


def _forms() -> Iterator[tuple[h5t.TypeID, np.dtype[Any], np.dtype[Any]]]:
    for order in "<>":
        for name in ("f8", "f4", "i8", "i4", "f2", "i2", "i1", "u8", "u4", "u2", "u1"):
            lying = np.dtype(order + name)
            yield h5t.py_create(lying, logical=True), lying, np.dtype(name)
    # NumPy has no room for any other than 0 and 1 in it, and a file has.
    yield h5t.py_create(np.dtype(bool), logical=True), np.dtype("i1"), np.dtype(bool)


_LYING = tuple(_forms())
_NUMBERS = (h5t.INTEGER, h5t.FLOAT, h5t.ENUM, h5t.BITFIELD)

_ENDED: Mapping[int, Callable[[bytes], bytes]] = {
    h5t.STR_NULLTERM: lambda text: text.partition(b"\0")[0],
    h5t.STR_NULLPAD: lambda text: text.rstrip(b"\0"),
    h5t.STR_SPACEPAD: lambda text: text.rstrip(b" "),
}
"""Strings of one length, without what fills them up."""


def _layout_inside(dataset: h5d.DatasetID) -> h5p.PropDCID:
    """The layout of a dataset.

    Raises:
        ValueError: reading it would open another file.
    """
    layout = dataset.get_create_plist()
    if layout.get_layout() == h5d.VIRTUAL or layout.get_external_count():
        raise ValueError("its values are in another file, which is not opened")
    return layout


def _repeated(number: Array, shape: tuple[int, ...]) -> Array:
    """A view of one number with any shape, as np.broadcast_to makes it, in a tenth of its time."""
    view: Array = np.ndarray(shape, number.dtype, number, 0, (0,) * len(shape))
    view.flags.writeable = False
    return view


def _each(function: Callable[[Any], str], value: Any) -> Any:
    """What a function makes of each item of nested lists."""
    return [_each(function, v) for v in value] if isinstance(value, list) else function(value)


_OF_A_STRING = 64
"""Bytes that a string takes besides its letters."""

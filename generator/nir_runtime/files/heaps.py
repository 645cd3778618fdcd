"""Strings of any length, which lie in heaps apart from the dataset that refers to them.

They are read here rather than by HDF5, which makes room for as many bytes as a reference claims,
and goes round for ever in some heaps that are damaged.
"""

from __future__ import annotations

from typing import Any

import h5py
import numpy as np

from nir_runtime.files.limits import Budget
from nir_runtime.files.opening import Opened
from nir_runtime.files.places import Places


class Heaps:
    """The heaps of a file, each read once."""

    def __init__(self, source: Opened, places: Places, budget: Budget) -> None:
        made: h5py.h5p.PropFCID = source.file.id.get_create_plist()
        self._source, self._places, self._budget = source, places, budget
        self._base = made.get_userblock()
        self._address_size, self._length_size = made.get_sizes()
        self._head = _in_eights(8 + self._length_size)
        self._read: dict[int, dict[int, bytes]] = {}
        self._unread = source.size

    @property
    def reference(self) -> np.dtype[Any]:
        """What a dataset has for a string: its length, and where it is."""
        address = f"<u{self._address_size}"
        return np.dtype([("length", "<u4"), ("heap", address), ("index", "<u4")])

    def text(self, length: int, heap: int, index: int) -> str:
        """A string.

        Raises:
            ValueError: there is none, or it is damaged; or all of them are longer than the file.
        """
        if length == 0:
            return ""
        content = self._heap(heap).get(index)
        if content is None or length > len(content):
            raise ValueError("a string of it is not where it should be")
        self._unread -= length
        if self._unread < 0:
            raise ValueError("its strings are longer than what the file holds")
        self._budget.take(length)
        return content[:length].decode("utf-8")

    def _heap(self, address: int) -> dict[int, bytes]:
        """What is in a heap, by number."""
        if address not in self._read:
            self._read[address] = self._parsed(self._content(address))
        return self._read[address]

    def _content(self, address: int) -> bytes:
        """The bytes of a heap behind its head."""
        start, head = self._base + address, self._head
        if start + head > self._source.size:
            raise ValueError("a string of it lies behind the end of the file")
        beginning = self._bytes(start, head)
        size = int.from_bytes(beginning[8 : 8 + self._length_size], "little")
        if not beginning.startswith(b"GCOL\x01"):
            raise ValueError("a string of it is not where it should be")
        if size < head or start + size > self._source.size:
            raise ValueError("what holds its strings ends behind the end of the file")
        self._places.take(start, start + size)
        self._budget.take(size)
        return self._bytes(start + head, size - head)

    def _bytes(self, start: int, count: int) -> bytes:
        content = bytearray(count)
        self._source.read_into(memoryview(content), start)
        return bytes(content)

    def _parsed(self, content: bytes) -> dict[int, bytes]:
        """Strings one behind the other, each with a head and filled up to eights."""
        found: dict[int, bytes] = {}
        head, at = self._head, 0
        while at + head <= len(content):
            number = int.from_bytes(content[at : at + 2], "little")
            size = int.from_bytes(content[at + 8 : at + 8 + self._length_size], "little")
            if number == 0:  # the rest is free
                break
            if at + head + size > len(content):
                raise ValueError("what holds its strings is damaged")
            found[number] = content[at + head : at + head + size]
            at += head + _in_eights(size)
        return found


def _in_eights(size: int) -> int:
    return size + -size % 8

"""The groups of a NIR file, as trees.

A tree is what a group holds, by name: trees, strings, lists of strings, numbers and arrays.
Reading follows no link but the plain ones, to each object once, and notes the place of what can't
be read.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from operator import attrgetter
from typing import Any, NamedTuple

import h5py
from h5py import h5d, h5g, h5l, h5o, h5p

from nir_runtime.contract.nesting import DEEPEST
from nir_runtime.errors import Problem
from nir_runtime.files.datasets import (
    Compression,
    Reader,
    name_in_utf8,
    write_all,
    write_numbers,
    write_text,
)
from nir_runtime.files.limits import Budget, TooMuch, default_most
from nir_runtime.files.opening import Opened

Tree = dict[str, Any]

_DEEPEST_GROUP = 3 * DEEPEST
"""How many levels of groups are read: two for a graph in a graph, and some for metadata."""

_DAMAGE = (
    OSError,
    RuntimeError,
    KeyError,
    ValueError,
    TypeError,
    AttributeError,
    ArithmeticError,
    MemoryError,
)
"""What h5py raises about a file that it can't make sense of."""


# Writing


def save(tree: Tree, file: io.FileIO, compression: Compression) -> None:
    """Make an HDF5 file of a tree.

    The format is that of HDF5 1.8, whose checksums tell damage in all but the numbers.

    Raises:
        OSError: the file can't be written.
    """
    shown = _Unfailing(file)
    alignment = {"alignment_threshold": _LARGE, "alignment_interval": _ALIGNMENT}
    try:
        with h5py.File(shown, "w", libver="v108", **alignment) as root:
            _save(tree, root.id, file, compression)
    finally:
        if shown.failure is not None:
            raise shown.failure


class _Unfailing(io.RawIOBase):
    """A file as HDF5 is shown it: no operation on it fails.

    Where HDF5 can't write what it has buffered, the process crashes sooner or later. So it is told
    that all is well, and may finish; the file is not used then.

    Attributes:
        failure: the first error, to be raised when HDF5 is done.
    """

    def __init__(self, file: io.FileIO) -> None:
        self.failure: BaseException | None = None
        self._file = file

    def write(self, data: Any) -> int:
        size = len(data)
        try:
            if self.failure is None:
                write_all(data, self._file)
        except BaseException as error:  # an interrupt comes at any time, and is raised later
            self.failure = error
        return size

    def readinto(self, buffer: Any) -> int:
        count = 0
        try:
            count = self._file.readinto(buffer)
        except BaseException as error:
            self.failure = self.failure or error
        buffer[count:] = bytes(len(buffer) - count)
        return len(buffer)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def truncate(self, size: int | None = None) -> int:
        try:
            self._file.truncate(size)
        except BaseException as error:
            self.failure = self.failure or error
        return size or 0


def _save(tree: Tree, group: h5g.GroupID, file: io.FileIO, compression: Compression) -> None:
    for name, value in tree.items():
        link = name.encode("utf-8")
        if isinstance(value, dict):
            # The order in which nodes were created is that of execution.
            made = _ORDERED if name == "nodes" else None
            _save(value, h5g.create(group, link, _NAME, made), file, compression)
        elif isinstance(value, (str, list)):
            write_text(group, link, value)
        else:
            write_numbers(group, link, value, file, compression)


def _ordered() -> h5p.PropGCID:
    """The properties of a group that knows the order in which its members were made."""
    properties = h5p.create(h5p.GROUP_CREATE)
    properties.set_link_creation_order(h5p.CRT_ORDER_TRACKED | h5p.CRT_ORDER_INDEXED)
    return properties


_NAME = name_in_utf8()
_ORDERED = _ordered()
_LARGE, _ALIGNMENT = 256, 64
"""Arrays from this many bytes on start at a multiple of so many, as vector units like it."""


# Reading


def load(
    source: Opened, name: str, map_arrays: bool, budget: Budget
) -> tuple[Tree | None, list[Problem]]:
    """What a group at the file's root holds, and all that can't be read of it.

    Args:
        source: an open file.
        name: of the group.
        map_arrays: whether arrays may be views of the file.
        budget: what may be kept of it.
    """
    loading = _Loading(source, map_arrays, budget)
    return loading.root(source.file.id, name), loading.damages


def text(source: Opened, name: str) -> str | None:
    """A string at the file's root; None if there is none that can be read."""
    loading = _Loading(source, map_arrays=False, budget=Budget(default_most(source.size)))
    found = loading.member(source.file.id, name)
    return found if isinstance(found, str) else None


class _Loading:
    """One reading of a file; `damages` has what is wrong with it, each with its place."""

    def __init__(self, source: Opened, map_arrays: bool, budget: Budget) -> None:
        self.damages: list[Problem] = []
        self._reader = Reader(source, map_arrays, budget)
        self._budget, self._most_links = budget, source.size // _LEAST_OF_A_LINK
        self._seen: set[int] = set()

    def root(self, file: Any, name: str) -> Tree | None:
        """What the group `name` holds; None if there is no such group."""
        tree = self.member(file, name)
        if isinstance(tree, dict):
            return tree
        self.damages.append(Problem(f"/{name}", "is missing, or not a group: this is no NIR file"))
        return None

    def member(self, file: Any, name: str) -> Any:
        """What is called `name` at the root; None if nothing that can be read is."""
        tree: Tree = {}
        try:
            named = [link for link in self._links(file) if link.name == name.encode()]
            self._fill(tree, file, named, "", 0)
        except _DAMAGE as error:
            self._note("/", error)
        return tree.get(name)

    def _fill(
        self, tree: Tree, group: h5g.GroupID, links: Sequence[_Link], place: str, depth: int
    ) -> None:
        """Add to a tree what links lead to; what can't be read is noted and left out."""
        for link in links:
            name = link.name.decode("utf-8", "backslashreplace")
            at = f"{place}/{name}"
            try:
                tree[name] = self._member(group, link, at, depth)
            except _DAMAGE as error:
                self._note(at, error)

    def _member(self, group: h5g.GroupID, link: _Link, place: str, depth: int) -> Any:
        """What a link leads to: a group's tree, or a dataset's value."""
        member = self._opened(group, link)
        if isinstance(member, h5d.DatasetID):
            return self._reader.value(member)
        if not isinstance(member, h5g.GroupID):
            raise ValueError("it is neither a group nor a dataset")
        if depth > _DEEPEST_GROUP:
            raise ValueError(f"groups are nested more than {_DEEPEST_GROUP} deep")
        tree: Tree = {}
        self._fill(tree, member, self._links(member), place, depth + 1)
        return tree

    def _opened(self, group: h5g.GroupID, link: _Link) -> Any:
        """What a link leads to.

        Raises:
            ValueError: it leads out of the file, or to where another one led.
        """
        if link.kind != h5l.TYPE_HARD:
            raise ValueError(f"it is a link to {_told(group, link)}, which is not followed")
        if link.address in self._seen:
            raise ValueError("it is linked to from two places")
        self._seen.add(link.address)
        return h5o.open(group, link.name)

    def _links(self, group: h5g.GroupID) -> list[_Link]:
        """The links of a group: in the order of their creation where it is known, else of names.

        Raises:
            ValueError: there are more than the file has room for: its index goes round.
        """
        links: list[_Link] = []

        def note(name: bytes, info: h5l.LinkInfo) -> bool | None:  # h5py has one info for all links
            order = info.corder if info.corder_valid else None
            links.append(_Link(name, info.type, info.u, order))
            return True if len(links) > self._most_links else None  # anything but None stops

        group.links.iterate(note, info=True)
        self._most_links -= len(links)
        if self._most_links < 0:
            raise ValueError("it has more names than the file has room for")
        self._budget.take(len(links) * _OF_A_LINK)
        if all(link.order is not None for link in links):
            links.sort(key=attrgetter("order"))
        return links

    def _note(self, place: str, error: Exception) -> None:
        advice = error.ADVICE if isinstance(error, TooMuch) else ""
        self.damages.append(Problem(place, f"can't be read: {error}", advice))


class _Link(NamedTuple):
    """A name in a group, and the address of what it stands for."""

    name: bytes
    kind: int
    address: int
    order: int | None


def _told(group: h5g.GroupID, link: _Link) -> str:
    """Where a soft or external link says that it leads."""
    if link.kind not in (h5l.TYPE_SOFT, h5l.TYPE_EXTERNAL):
        return "somewhere that HDF5 doesn't know"
    return repr(group.links.get_val(link.name))


_LEAST_OF_A_LINK = 8
"""Bytes that a name in a group takes in a file, at least."""

_OF_A_LINK = 512
"""Bytes of memory that what a name stands for takes, besides its numbers and strings."""

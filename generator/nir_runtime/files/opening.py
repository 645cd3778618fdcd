"""A file, opened to be read: a regular one, and the very one that was looked at.

HDF5 opens whatever a path leads to, and waits for ever at a pipe that nobody writes to. So the file
is opened here first, without waiting, and HDF5 opens what was opened. Numbers are read past HDF5,
through a descriptor of our own, which holds none of HDF5's locks.
"""

from __future__ import annotations

import contextlib
import errno
import io
import mmap
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import h5py
from h5py import h5f

from nir_runtime.errors import InvalidFile, Problem


@dataclass(frozen=True)
class Opened:
    """An open file.

    Attributes:
        file: as HDF5 has it.
        stream: its bytes.
        size: how many there are.
    """

    file: h5py.File
    stream: io.FileIO
    size: int

    def mapped(self) -> mmap.mmap | None:
        """The file as memory that is copied when it is written to; None if the system can't."""
        try:
            return mmap.mmap(self.stream.fileno(), 0, access=mmap.ACCESS_COPY)
        except (OSError, ValueError, NotImplementedError):
            return None

    def read_into(self, memory: memoryview, offset: int) -> None:
        """Fill memory with the file's bytes from `offset` on.

        Raises:
            ValueError: there are not as many.
        """
        self.stream.seek(offset)
        while memory:
            count = self.stream.readinto(memory)
            if not count:
                raise ValueError("it ends behind the end of the file")
            memory = memory[count:]


@contextlib.contextmanager
def opened(path: str | Path) -> Iterator[Opened]:
    """The HDF5 file at `path`, to be read.

    Raises:
        OSError: the system has something against it.
        InvalidFile: it is no HDF5 file, or not even a file.
    """
    with regular(path) as stream, _as_hdf5_has_it(path, stream) as file:
        yield Opened(file, stream, os.fstat(stream.fileno()).st_size)


@contextlib.contextmanager
def regular(path: str | Path) -> Iterator[io.FileIO]:
    """The bytes of the file at `path`, of which the system must have them all.

    Raises:
        OSError: the system has something against it.
        InvalidFile: it is a pipe, a socket or a device.
    """
    demand_regular(path, os.stat(path).st_mode)  # opening some devices does something
    with open(path, "rb", buffering=0, opener=_without_waiting) as stream:
        demand_regular(path, os.fstat(stream.fileno()).st_mode)
        yield stream


def demand_regular(path: str | Path, mode: int) -> None:
    """Raise unless `mode` is that of a regular file.

    Raises:
        IsADirectoryError: it is a folder's.
        InvalidFile: it is that of anything else.
    """
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "no file")
        raise InvalidFile(Problem(str(path), f"is {kind}", "give the path of a regular file"))


_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0))


def _as_hdf5_has_it(path: str | Path, stream: io.FileIO) -> h5py.File:
    """The file that `stream` has open, opened by HDF5."""
    same = f"{_OPEN_FILES}/{stream.fileno()}"
    name = same if os.path.exists(same) else path
    _flush_own(stream)
    try:
        # h5py.File(path) works out many properties, for longer than it takes HDF5 to open the file.
        return h5py.File(h5f.open(os.fsencode(name), h5f.ACC_RDONLY))
    except OSError as error:
        if error.errno == errno.EAGAIN:
            what = "another program has it open, and writes to it"
            raise BlockingIOError(errno.EAGAIN, what, os.fspath(path)) from error
        told = str(error).replace(same, str(path))
        problem = Problem(str(path), f"is not an HDF5 file, or damaged: {told}")
        raise InvalidFile(problem) from error


def _flush_own(stream: io.FileIO) -> None:
    """Have HDF5 write what it still keeps of the same file, where this process writes to it."""
    for other in h5f.get_obj_ids(h5f.OBJ_ALL, h5f.OBJ_FILE):
        with contextlib.suppress(OSError, RuntimeError, ValueError, NotImplementedError):
            writes = other.get_intent() != h5f.ACC_RDONLY
            if writes and os.path.sameopenfile(other.get_vfd_handle(), stream.fileno()):
                h5f.flush(other)


_OPEN_FILES = "/proc/self/fd"

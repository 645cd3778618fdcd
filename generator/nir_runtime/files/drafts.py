"""A file that takes the place of another one when it is complete, and not before."""

from __future__ import annotations

import contextlib
import io
import os
import secrets
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[io.FileIO]:
    """An empty file to write to, which then takes the place of the one at `path`.

    It does so when all of it is on disk. Whatever fails before, the old file stays as it was, and
    nothing else is left. On Linux that holds even if the process is killed: there the new file has
    no name while it is written. Elsewhere it is a hidden file in the same folder, which only a
    killed process leaves behind.

    Raises:
        OSError: the file can't be written.
    """
    target = Path(os.path.realpath(path))  # of a link, what it points to is replaced
    name = target.with_name(f".{secrets.token_hex(8)}.nir")
    try:
        with _draft(name) as file:
            yield file
        os.replace(name, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            name.unlink()
        if isinstance(error, OSError) and error.filename in (str(name), str(name.parent)):
            error.filename = os.fspath(path)  # that is what the caller knows
        raise
    with contextlib.suppress(OSError):  # not every system can flush a folder
        _flush_folder(target.parent)


@contextlib.contextmanager
def uninterrupted() -> Iterator[None]:
    """Ctrl-C waits for what is inside, and comes then.

    HDF5 writes to a file through Python, and an exception that is raised in the middle of such a
    call can crash the process when HDF5 closes what it could not write.
    """
    usual = signal.getsignal(signal.SIGINT)
    if not callable(usual) or threading.current_thread() is not threading.main_thread():
        yield
        return
    waiting: list[tuple[int, FrameType | None]] = []
    signal.signal(signal.SIGINT, lambda number, frame: waiting.append((number, frame)))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, usual)
    if waiting:
        usual(*waiting[0])


@contextlib.contextmanager
def _draft(name: Path) -> Iterator[io.FileIO]:
    """An empty file, which at the end is on disk and is called `name`."""
    descriptor = _open_nameless(name.parent)
    if descriptor is None:
        with open(name, "x+b", buffering=0) as file:
            yield file
            os.fsync(file.fileno())
    else:
        with open(descriptor, "w+b", buffering=0) as file:
            yield file
            os.fsync(descriptor)
            _give_name(descriptor, name)


def _open_nameless(folder: Path) -> int | None:
    """A new file that no folder lists; None where the system has no such files."""
    if not (hasattr(os, "O_TMPFILE") and os.path.isdir(_OPEN_FILES)):
        return None
    try:
        return os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o666)
    except OSError:  # this file system has none; or the next attempt says what is wrong
        return None


def _give_name(descriptor: int, name: Path) -> None:
    folder = os.open(name.parent, os.O_RDONLY)
    try:
        # Naming a folder makes Python follow the link that /proc has there to the file itself.
        os.link(f"{_OPEN_FILES}/{descriptor}", name, src_dir_fd=folder, follow_symlinks=True)
    finally:
        os.close(folder)


def _flush_folder(folder: Path) -> None:
    """Return when the folder's list of files is on disk."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


_OPEN_FILES = "/proc/self/fd"

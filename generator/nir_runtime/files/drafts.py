"""A file that takes the place of another one when it is complete, and not before."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import secrets
import signal
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from nir_runtime.files.opening import demand_regular


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[io.FileIO]:
    """An empty file to write to, which then takes the place of the one at `path`.

    It does so when all of it is on disk, and it has the owner, the mode and the access list of the
    one that it replaces; of a link, what it points to is replaced, and other names of the same file
    keep the old one. Whatever fails before, the old file stays as it was, and nothing else is left.

    On Linux that holds even if the process is killed: there the new file has no name while it is
    written, and only between having one and taking the place of an old file could it be left
    behind. Elsewhere it is a hidden file in the same folder, which a killed process leaves.

    Raises:
        OSError: the file can't be written, or its owner couldn't be kept.
        InvalidFile: what is there is a pipe, a socket or a device.
    """
    old = _old(path)
    target = Path(os.path.realpath(path))
    name = target.with_name(f".{secrets.token_hex(8)}.nir")
    try:
        with _draft(name, target, old) as file:
            yield file
            _make_like(file.fileno(), target, old)
            os.fsync(file.fileno())
    except BaseException as error:
        with contextlib.suppress(OSError):
            name.unlink()
        if isinstance(error, OSError) and error.filename in (str(name), str(name.parent)):
            # The path is what the caller knows.
            raise OSError(error.errno, error.strerror, os.fspath(path)) from error
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


def _old(path: str | Path) -> os.stat_result | None:
    """What is at a path, which must be a file that may be written to; None if there is nothing."""
    try:
        old = os.stat(path)
    except FileNotFoundError:
        return None
    demand_regular(path, old.st_mode)
    effective = {"effective_ids": True} if os.access in os.supports_effective_ids else {}
    if not os.access(path, os.W_OK, **effective):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
    return old


@contextlib.contextmanager
def _draft(name: Path, target: Path, old: os.stat_result | None) -> Iterator[io.FileIO]:
    """An empty file, which at the end is `target`; on its way there it may be called `name`.

    Nobody may read in it what the old one's mode keeps from them.
    """
    mode = 0o666 if old is None else 0o600
    descriptor = _open_nameless(name.parent, mode)
    if descriptor is None:
        with open(name, "x+b", buffering=0, opener=lambda at, how: os.open(at, how, mode)) as file:
            yield file
        os.replace(name, target)
        return
    with open(descriptor, "w+b", buffering=0) as file:
        yield file
        if old is None:
            with contextlib.suppress(FileExistsError):  # since a moment ago
                _give_name(descriptor, target)
                return
        _give_name(descriptor, name)
        os.replace(name, target)


def _make_like(descriptor: int, target: Path, old: os.stat_result | None) -> None:
    """Give a file the owner, the mode and the access list of the one that it replaces."""
    if old is None or not hasattr(os, "fchown"):
        return
    now = os.fstat(descriptor)
    if (now.st_uid, now.st_gid) != (old.st_uid, old.st_gid):
        try:
            os.fchown(descriptor, old.st_uid, old.st_gid)
        except PermissionError as error:
            what = "its owner or group is another one, which a new file can't be given"
            raise PermissionError(errno.EPERM, what, str(target.parent)) from error
    os.fchmod(descriptor, stat.S_IMODE(old.st_mode))
    if hasattr(os, "listxattr"):
        with contextlib.suppress(OSError):  # not every file system has them
            for name in os.listxattr(target):
                if name.startswith(_KEPT_ATTRIBUTES):
                    os.setxattr(descriptor, name, os.getxattr(target, name))


def _open_nameless(folder: Path, mode: int) -> int | None:
    """A new file that no folder lists; None where the system has no such files."""
    if not (hasattr(os, "O_TMPFILE") and os.path.isdir(_OPEN_FILES)):
        return None
    try:
        return os.open(folder, os.O_TMPFILE | os.O_RDWR, mode)
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
_KEPT_ATTRIBUTES = ("user.", "system.posix_acl_access")

"""Texts -> disk, or a comparison of the two. Nothing else here touches generated files.

A folder may hold more than what was generated into it. Only files that its manifest lists, and
that are as they were written, are replaced or removed; a single other one in the way, and nothing
is written at all. No link below the folder is followed.
"""

from __future__ import annotations

import contextlib
import difflib
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from nirgen.emit import manifest
from nirgen.emit.manifest import Listed


@dataclass(frozen=True)
class Obstacle:
    """A file that is not ours to replace or remove.

    Attributes:
        path: below the folder.
        what: is wrong with it.
        forceable: whether it was generated once, so that `force` may replace it.
    """

    path: str
    what: str
    forceable: bool = False

    def __str__(self) -> str:
        return f"  {self.path}: {self.what}"


class InTheWay(Exception):
    """Files that are not as they were generated, or never were: nothing was written.

    Attributes:
        obstacles: all of them.
    """

    def __init__(self, folder: Path, obstacles: Iterable[Obstacle]) -> None:
        self.folder, self.obstacles = folder, tuple(obstacles)
        super().__init__(folder, self.obstacles)

    def __str__(self) -> str:
        count = len(self.obstacles)
        noun = "1 file is" if count == 1 else f"{count} files are"
        lines = [f"{noun} in the way in {self.folder}; nothing was written"]
        lines += map(str, self.obstacles)
        if any(obstacle.forceable for obstacle in self.obstacles):
            lines += ["take changes over into the mappings; --force gives up those in the files"]
        if not all(obstacle.forceable for obstacle in self.obstacles):
            lines += ["move what was not generated out of the way, or give another --output"]
        return "\n".join(lines)


@dataclass(frozen=True)
class Changes:
    """What separates a folder from the texts that should be in it; paths below the folder.

    Attributes:
        created, updated, removed: files.
        listed: whether the manifest is what it should be.
        obstacles: what keeps it from being done.
    """

    created: tuple[str, ...]
    updated: tuple[str, ...]
    removed: tuple[str, ...]
    listed: bool = True
    obstacles: tuple[Obstacle, ...] = ()

    def __bool__(self) -> bool:
        files = self.created or self.updated or self.removed
        return bool(files or self.obstacles or not self.listed)

    def lines(self) -> list[str]:
        """A line for each file; one for the manifest where there is nothing else to say."""
        groups = (("created", self.created), ("updated", self.updated), ("removed", self.removed))
        lines = [f"{verb} {path}" for verb, paths in groups for path in paths]
        return lines or ([] if self.listed else [f"updated {manifest.NAME}"])


def compare(texts: Mapping[str, str], folder: Path, force: bool = False) -> Changes:
    """What `write` would do."""
    wanted = manifest.manifest_of(manifest.listing(texts))
    try:
        listed = _listed(folder)
    except manifest.Unreadable as error:
        lost = Obstacle(manifest.NAME, f"{error}: it doesn't say what was generated")
        return Changes((), (), (), False, (lost,))
    looking = _Looking(folder, listed, force)
    created, updated, removed = looking.at(texts)
    current = _held(folder / manifest.NAME) == wanted.encode()
    return Changes(created, updated, removed, current, tuple(looking.obstacles.values()))


def write(texts: Mapping[str, str], folder: Path, force: bool = False) -> Changes:
    """Write what changed, then remove the files that were generated once and are no longer.

    Whenever it is interrupted, the next one goes on: what is about to be written is listed before.

    Args:
        texts: by path below the folder.
        folder: where to; it is made if there is none.
        force: whether also files may go that were generated, and changed since.

    Raises:
        InTheWay: some files are not ours to replace or remove; nothing was written.
        OSError: a file can't be written.
    """
    changes = compare(texts, folder, force)
    if changes.obstacles:
        raise InTheWay(folder, changes.obstacles)
    if not changes:
        return changes
    folder.mkdir(parents=True, exist_ok=True)
    listing, target = manifest.listing(texts), folder / manifest.NAME
    _replace(target, manifest.manifest_of(manifest.together(_listed(folder), listing)))
    for path in (*changes.created, *changes.updated):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        _replace(folder / path, texts[path])
    for path in changes.removed:
        (folder / path).unlink()
    _replace(target, manifest.manifest_of(listing))
    return changes


def diff(texts: Mapping[str, str], folder: Path, changes: Changes) -> str:
    """A unified diff from the folder's files to the texts."""
    lines: list[str] = []
    for path in (*changes.created, *changes.updated, *changes.removed):
        held = (_held(folder / path) or b"").decode("utf-8", "backslashreplace")
        old, new = held.splitlines(keepends=True), texts.get(path, "").splitlines(keepends=True)
        lines += difflib.unified_diff(old, new, f"committed/{path}", f"generated/{path}")
    return "".join(lines)


class _Looking:
    """A look at what is in a folder; `obstacles` has what is not ours."""

    def __init__(self, folder: Path, listed: Listed, force: bool) -> None:
        self.obstacles: dict[str, Obstacle] = {}
        self._folder, self._listed, self._force = folder, listed, force

    def at(self, texts: Mapping[str, str]) -> tuple[tuple[str, ...], ...]:
        """The paths to create, to update and to remove."""
        self._find(manifest.NAME)
        created, updated, removed = [], [], []
        for path, text in texts.items():
            held = self._find(path)
            if held is None:
                created.append(path)
            elif held != text.encode() and self._is_ours(path, held):
                updated.append(path)
        for path in sorted(self._listed.keys() - texts.keys()):
            held = self._find(path)
            if held is not None and self._is_ours(path, held):
                removed.append(path)
        return tuple(created), tuple(updated), tuple(removed)

    def _find(self, path: str) -> bytes | None:
        """What a file holds; None if there is none. What is no plain file is noted, and empty."""
        for above in PurePosixPath(path).parents[-2::-1]:
            if _kind(self._folder / above) not in (None, stat.S_IFDIR):
                self._note(path, f"{above} is {_told(self._folder / above)}, not a folder")
                return b""
        if _kind(self._folder / path) not in (None, stat.S_IFREG):
            self._note(path, f"is {_told(self._folder / path)}, not a file")
            return b""
        return _held(self._folder / path)

    def _is_ours(self, path: str, held: bytes) -> bool:
        """Whether a file may go; noted if not."""
        if path in self.obstacles:
            return False
        if path not in self._listed:
            self._note(path, "was not generated, going by the manifest")
            return False
        if manifest.hashed(held) in self._listed[path] or self._force:
            return True
        self._note(path, "was changed since it was generated", forceable=True)
        return False

    def _note(self, path: str, what: str, forceable: bool = False) -> None:
        self.obstacles[path] = Obstacle(path, what, forceable)


def _kind(path: Path) -> int | None:
    """The kind of what is at a path, of a link that of the link; None if nothing is."""
    try:
        return stat.S_IFMT(path.lstat().st_mode)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _told(path: Path) -> str:
    names = {stat.S_IFLNK: "a link", stat.S_IFDIR: "a folder", stat.S_IFREG: "a file"}
    return names.get(_kind(path) or 0, "something else")


def _listed(folder: Path) -> Listed:
    """What the folder's manifest lists; nothing if there is none."""
    held = _held(folder / manifest.NAME)
    try:
        return manifest.listed_in("" if held is None else held.decode())
    except UnicodeDecodeError as error:
        raise manifest.Unreadable("it is no text") from error


def _held(path: Path) -> bytes | None:
    """A text as it was generated, whichever line ends it has now; None if there is none."""
    if _kind(path) != stat.S_IFREG:
        return None
    return manifest.unix(path.read_bytes())


def _replace(path: Path, text: str) -> None:
    """Give a file a new text, all of it or nothing; a link is replaced, not followed."""
    draft = path.with_name(f".{secrets.token_hex(8)}.nirgen")
    with _gone_if_it_fails(draft):
        with open(draft, "xb") as file:
            file.write(text.encode())
        with contextlib.suppress(FileNotFoundError):
            draft.chmod(stat.S_IMODE(path.lstat().st_mode))
        os.replace(draft, path)


@contextlib.contextmanager
def _gone_if_it_fails(draft: Path) -> Iterator[None]:
    try:
        yield
    except BaseException:
        draft.unlink(missing_ok=True)
        raise

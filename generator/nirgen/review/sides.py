"""The two sides of a comparison: a folder of mappings, as it is or as a revision of git has it."""

from __future__ import annotations

import io
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

from nirgen import proving
from nirgen.mapping import proofs, rules
from nirgen.mapping.model import Mappings
from nirgen.mapping.problems import Problem, Problems, did_you_mean
from nirgen.mapping.read import read_mappings
from nirgen.review.errors import ReviewError


@dataclass(frozen=True)
class Side:
    """What a folder says; `problems` are those of its text, which nobody can read further."""

    label: str
    mappings: Mappings
    problems: tuple[Problem, ...]


def unproved(mappings: Mappings, changed: Mappings) -> tuple[Problem, ...]:
    """What the rules find wrong, or else the proofs of those that changed.

    Mappings with such problems give no converter, but they can be compared.
    """
    found = Problems()
    rules.check(mappings, found)
    if not found.found:
        proofs.check(changed, found)
        proving.check(changed, found)
    return tuple(sorted(set(found.found)))


def read_folder(folder: Path, label: str) -> Side:
    """The mappings of a folder as they are now.

    Raises:
        ReviewError: there is no such folder.
    """
    if not folder.is_dir():
        raise ReviewError(f"there is no folder {folder}")
    problems = Problems()
    mappings = read_mappings(folder.resolve(), problems)
    return Side(label, mappings, tuple(sorted(set(problems.found))))


def read_revision(revision: str, folder: Path) -> Side:
    """The mappings of a folder as a revision has them.

    Raises:
        ReviewError: the folder is in no git checkout, git knows no such revision, or the folder
            is not part of it.
    """
    place = folder.resolve().parent
    commit = _commit(revision, place)
    archive = _git(place, "archive", "--format=tar", commit, "--", folder.resolve().name)
    if archive.returncode:
        raise ReviewError(f"`{revision}` has no folder {folder}", "name one with --mappings DIR")
    with tempfile.TemporaryDirectory() as temporary:
        with tarfile.open(fileobj=io.BytesIO(archive.stdout)) as files:
            files.extractall(temporary, filter="data")
        label = f"{revision} ({commit[:7]})"
        return read_folder(Path(temporary) / folder.resolve().name, label)


def _commit(revision: str, place: Path) -> str:
    if _git(place, "rev-parse", "--git-dir").returncode:
        raise ReviewError(
            f"{place} is no git checkout", "compare two folders with --from DIR --to DIR"
        )
    # A revision never becomes an option, whatever it looks like.
    found = _git(place, "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}", "--")
    commit, *_ = found.stdout.decode().split() or [""]
    if found.returncode or not commit:
        raise ReviewError(f"git knows no revision `{revision}`", _near(revision, place))
    return commit


def _near(revision: str, place: Path) -> str:
    listed = _git(place, "for-each-ref", "--format=%(refname:short)").stdout.decode().split()
    return did_you_mean(revision, listed[:20] if len(listed) > 20 else listed)


def _git(place: Path, *arguments: str) -> subprocess.CompletedProcess[bytes]:
    command = ["git", "-C", str(place), *arguments]
    try:
        return subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        mend = "install git, or compare two folders with --from DIR --to DIR"
        raise ReviewError("there is no git here", mend) from None

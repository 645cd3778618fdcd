"""What went wrong, as people are told it: a screen at most, and without a traceback."""

from __future__ import annotations

import contextlib
import difflib
import os
from dataclasses import dataclass
from pathlib import Path

from nir_runtime.errors import ExportRefused, ImportRefused, InvalidFile, NirExchangeError

REFUSED, NOT_DONE, OURS = 1, 2, 3
"""Exit statuses, as `nir_runtime.console.main` documents them."""

KINDS = {
    b"PK\x03\x04": "a file of torch.save or a zip: export the network into NIR first",
    b"\x80\x02": "a file of pickle: export the network into NIR first",
    b"{": "JSON",
    b"\x1f\x8b": "a file of gzip: unpack it first",
    b"\x89HDF": "an HDF5 file of which the rest is damaged",
    b"version https://git-lfs": "a stand-in of Git LFS: `git lfs pull` brings the file",
}
"""What files that are no HDF5 files often are, by how they begin."""

FEW = 10
"""How many problems are told at once."""


@dataclass(frozen=True)
class Complaint:
    """What to say of an error, and the exit status."""

    text: str
    status: int


def complaint(error: Exception, at_length: bool) -> Complaint:
    """What to say of an error; all problems `at_length`, or else the first few."""
    if isinstance(error, NirExchangeError):
        refused = isinstance(error, (ExportRefused, ImportRefused))
        text = str(error) if at_length else _few(error)
        return Complaint(text + _other_kind(error), REFUSED if refused else NOT_DONE)
    if isinstance(error, OSError) and error.filename is not None:
        return Complaint(_file(error), NOT_DONE)
    if isinstance(error, OSError):
        return Complaint(str(error), NOT_DONE)
    text = f"a mistake of ours: {type(error).__name__}: {error}"
    return Complaint(text if at_length else f"{text}\n    --debug shows where", OURS)


def _few(error: NirExchangeError) -> str:
    """The error's text, without the problems behind the first few."""
    more = len(error.problems) - FEW
    if more <= 0:
        return str(error)
    listed = "\n".join(f"  {problem}" for problem in error.problems[:FEW])
    return f"{len(error.problems)} problems:\n{listed}\n  and {more} more; --debug shows all"


def _other_kind(error: NirExchangeError) -> str:
    """What a file that is no NIR file seems to be instead."""
    if not isinstance(error, InvalidFile):
        return ""
    from nir_runtime.files.opening import regular

    for place in (problem.place for problem in error.problems):
        with contextlib.suppress(OSError, ValueError, InvalidFile), regular(place) as file:
            start = file.read(max(map(len, KINDS)))
            if not start:
                return "\n    it is empty"
            for beginning, kind in KINDS.items():
                if start.startswith(beginning):
                    return f"\n    it begins like {kind}"
    return ""


def _file(error: OSError) -> str:
    path = os.fsdecode(error.filename)
    if isinstance(error, FileNotFoundError):
        return f"{path}: {_missing(Path(path))}"
    if isinstance(error, IsADirectoryError):
        return f"{path}: is a folder, not a file{_inside(Path(path))}"
    return f"{path}: {(error.strerror or str(error)).lower()}"


def _missing(path: Path) -> str:
    """What is not there, and the file beside it whose name is most like it."""
    if not path.parent.is_dir():
        return f"there is no folder {path.parent}"
    near = difflib.get_close_matches(path.name, _names(path.parent), n=1)
    meant = f"\n    did you mean {path.with_name(near[0])}?" if near else ""
    return f"there is no such file{meant}"


def _inside(folder: Path) -> str:
    files = [name for name in _names(folder) if name.endswith((".nir", ".h5", ".hdf5"))]
    return f"\n    did you mean {folder / files[0]}?" if files else ""


def _names(folder: Path) -> list[str]:
    try:
        return sorted(os.listdir(folder))
    except OSError:
        return []

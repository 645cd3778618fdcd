"""The list of what was generated into a folder, so that nothing else there is ever touched.

It lies in the folder itself, and is committed with it. `sha256sum --check` reads it, too::

    # Written by `nirgen generate`, ...
    <SHA-256 of the text>  spikingjelly/lif_node.py

A path may be listed twice: while files are being written both texts are ours, and a merge of two
branches may leave either.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import PurePosixPath

NAME = "MANIFEST.sha256"

Listed = Mapping[str, frozenset[str]]
"""The hashes of texts that were written, by path below the folder."""

_SAYS = """\
# Written by `nirgen generate`, which replaces and removes these files alone, and only while they
# are as listed.
"""
_LINE = re.compile(r"(?P<hash>[0-9a-f]{64})  (?P<path>\S(?:.*\S)?)")
_OF_A_MERGE = ("<<<<<<<", "|||||||", "=======", ">>>>>>>")


class Unreadable(ValueError):
    """A list that was not written by `manifest_of`; says which line, and why."""


def listed_in(text: str) -> Listed:
    """What a list says, also one with both sides of a merge in it.

    Raises:
        Unreadable: a line is something else, or names what is not below the folder.
    """
    found: dict[str, frozenset[str]] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line or line.startswith(("#", *_OF_A_MERGE)):
            continue
        match = _LINE.fullmatch(line)
        if match is None:
            raise Unreadable(f"line {number} is no hash and path")
        path = match["path"]
        if not _is_below(path):
            raise Unreadable(f"line {number} names {path!r}, which is not below the folder")
        found[path] = found.get(path, frozenset()) | {match["hash"]}
    return found


def manifest_of(listed: Listed) -> str:
    """The text of a list."""
    lines = (
        f"{one}  {path}\n" for path, hashes in sorted(listed.items()) for one in sorted(hashes)
    )
    return _SAYS + "".join(lines)


def listing(texts: Mapping[str, str]) -> Listed:
    """The list of these texts."""
    return {path: frozenset({hashed(text.encode())}) for path, text in texts.items()}


def together(*lists: Listed) -> Listed:
    """All that any of several lists has."""
    paths = dict.fromkeys(path for listed in lists for path in listed)
    return {path: frozenset().union(*(one.get(path, ()) for one in lists)) for path in paths}


def hashed(content: bytes) -> str:
    """The hash of a text, whichever line ends a checkout gave it."""
    return hashlib.sha256(unix(content)).hexdigest()


def unix(content: bytes) -> bytes:
    """A text with the line ends that are generated; git may have written others."""
    return content.replace(b"\r\n", b"\n")


def _is_below(path: str) -> bool:
    parts = PurePosixPath(path).parts
    return not any(_leads_out(part) for part in parts) and path == "/".join(parts) != NAME


def _leads_out(part: str) -> bool:
    return part in ("..", "/", "//") or "\\" in part or ":" in part or "\0" in part

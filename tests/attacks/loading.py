"""All attacks."""

from __future__ import annotations

import collections
import importlib
import os
import pkgutil
import re
import zlib

import tests.attacks
from tests.attacks.corpus import ATTACKS, Attack


def attacks() -> dict[str, Attack]:
    """All attacks, by name."""
    for found in pkgutil.iter_modules(tests.attacks.__path__):
        if found.name.startswith("on_"):
            importlib.import_module(f"tests.attacks.{found.name}")
    return ATTACKS


def sampled() -> dict[str, Attack]:
    """Each attack once for each framework, in one of its ways; all, where ATTACKS=all says so."""
    if os.environ.get("ATTACKS") == "all":
        return attacks()
    ways: dict[tuple[str, str], list[str]] = collections.defaultdict(list)
    for name, attack in attacks().items():
        ways[_WAY.sub("", name), attack.framework].append(name)
    chosen = (names[zlib.crc32(key[0].encode()) % len(names)] for key, names in ways.items())
    return {name: ATTACKS[name] for name in chosen}


_WAY = re.compile(r", (Jelly|Torch|Norse)(Steps|Loop|Multi)")

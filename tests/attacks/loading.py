"""All attacks."""

from __future__ import annotations

import importlib
import pkgutil

import tests.attacks
from tests.attacks.corpus import ATTACKS, Attack


def attacks() -> dict[str, Attack]:
    """All attacks, by name."""
    for found in pkgutil.iter_modules(tests.attacks.__path__):
        if found.name.startswith("on_"):
            importlib.import_module(f"tests.attacks.{found.name}")
    return ATTACKS

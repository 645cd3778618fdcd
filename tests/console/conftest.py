"""The installed command, as a user types it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

COMMAND = Path(sys.executable).with_name("nir-exchange")

Typed = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def typed(tmp_path: Path) -> Typed:
    """Runs `nir-exchange` in an empty folder."""

    def run(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        plain = {k: v for k, v in os.environ.items() if k not in ("FORCE_COLOR", "COLUMNS")}
        return subprocess.run(
            [str(COMMAND), *arguments],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
            env={**plain, **variables},
            timeout=120,
        )

    return run


def imported(*arguments: str) -> set[str]:
    """The modules that a command imports."""
    code = (
        "import sys; from nir_runtime.console.main import run; status = run(sys.argv[1:]);"
        "print(*sys.modules, file=sys.stderr); sys.exit(status)"
    )
    command = [sys.executable, "-c", code, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(result.stderr.split())

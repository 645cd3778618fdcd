"""What a shell completes, asked of a shell."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import nir
import numpy as np
import pytest

from nir_runtime import files
from nir_runtime.console.arguments import targets
from nir_runtime.console.main import COMMANDS
from tests.console.conftest import COMMAND, Typed
from tests.nodes import single

BASH = """
compopt() {{ :; }}
eval "$(nir-exchange completion bash)"
COMP_WORDS=({words}) COMP_CWORD={last} COMPREPLY=()
_nir_exchange_completion nir-exchange
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def completed(*words: str, cwd: Path) -> list[str]:
    """What bash offers for the last of the words."""
    typed = " ".join(f"'{word}'" for word in ("nir-exchange", *words))
    environment = {**os.environ, "PATH": f"{COMMAND.parent}:{os.environ['PATH']}"}
    script = BASH.format(words=typed, last=len(words))
    command = ["bash", "--norc", "-c", script]
    result = subprocess.run(
        command, cwd=cwd, env=environment, capture_output=True, text=True, check=True
    )
    assert result.stderr == ""
    return result.stdout.split()


pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")


def test_commands(tmp_path: Path) -> None:
    assert set(completed("", cwd=tmp_path)) == set(COMMANDS)
    assert completed("con", cwd=tmp_path) == ["convert"]


def test_options(tmp_path: Path) -> None:
    assert completed("info", "x.nir", "--no", cwd=tmp_path) == ["--node"]
    assert "--json" in completed("check", "--", cwd=tmp_path)


def test_targets_and_choices(tmp_path: Path) -> None:
    assert completed("check", "x.nir", "--for", "", cwd=tmp_path) == targets()
    assert completed("check", "x.nir", "--for", "spi", cwd=tmp_path) == ["spikingjelly"]
    assert completed("convert", "--dtype", "float3", cwd=tmp_path) == ["float32"]


def test_nodes_of_the_file(tmp_path: Path) -> None:
    graph = single(nir.Scale(np.ones(2)), 2)
    files.write(tmp_path / "net.nir", graph)
    assert completed("info", "net.nir", "--node", "", cwd=tmp_path) == list(graph.nodes)
    assert completed("info", "nothing.nir", "--node", "", cwd=tmp_path) == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_a_script(shell: str, typed: Typed) -> None:
    result = typed("completion", shell)
    assert result.returncode == 0
    assert "_NIR_EXCHANGE_COMPLETE" in result.stdout
    assert "nir-exchange" in result.stdout


def test_a_shell_that_is_not_known(typed: Typed) -> None:
    result = typed("completion", "tcsh")
    assert result.returncode == 2
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in result.stderr

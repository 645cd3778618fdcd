"""What only a terminal shows: colours, tables as wide as it is, progress; and closed pipes."""

from __future__ import annotations

import fcntl
import itertools
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import nir
import numpy as np
import pytest

from nir_runtime import files
from tests.console.conftest import COMMAND, Typed
from tests.nodes import single

ESCAPE = "\x1b["
SLOW = """
import time
from nir_runtime.console import screen
with screen.progress("thinking", total=20) as advance:
    for _ in range(20):
        time.sleep({pause})
        advance()
"""


def on_terminal(
    *command: str, cwd: Path, columns: int = 80, progress: bool = False, **variables: str
) -> str:
    """What a terminal of so many columns shows, with progress only if that is asked for."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    plain = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "NO_COLOR")}
    environment = {**plain, "TERM": "xterm-256color", **variables}
    errors = theirs if progress else subprocess.DEVNULL
    process = subprocess.Popen(command, cwd=cwd, stdout=theirs, stderr=errors, env=environment)
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 1 << 16)
        except OSError:  # Linux says so when the other end is closed
            break
        if not part:
            break
        shown += part
    os.close(ours)
    process.wait(timeout=60)
    return shown.decode().replace("\r\n", "\n")


@pytest.fixture(autouse=True)
def model(tmp_path: Path) -> None:
    ones = np.ones(2)
    neuron = nir.LIF(tau=ones * 1e-3, r=ones, v_leak=ones * 0, v_threshold=ones, v_reset=ones * 0)
    files.write(tmp_path / "lif.nir", single(neuron, 2))


def test_grades_have_colours_on_a_terminal_and_nowhere_else(tmp_path: Path, typed: Typed) -> None:
    command = (str(COMMAND), "check", "lif.nir", "--for", "spikingjelly")
    assert f"{ESCAPE}32mexact but for ties" in on_terminal(*command, cwd=tmp_path)
    assert ESCAPE + "3" not in on_terminal(*command, cwd=tmp_path, NO_COLOR="1")
    assert ESCAPE not in typed(*command[1:]).stdout


def test_tables_are_as_wide_as_the_terminal(tmp_path: Path) -> None:
    command = (str(COMMAND), "check", "lif.nir", "--for", "spikingjelly")
    shown = on_terminal(*command, cwd=tmp_path, columns=50)
    lines = re.sub(r"\x1b\[[0-9;]*m", "", shown).splitlines()
    assert max(map(len, lines)) <= 50
    assert "    ties: the layer fires at v >= v_threshold, and" in lines


def test_progress_from_the_first_second_on(tmp_path: Path) -> None:
    slow, quick = (
        on_terminal(sys.executable, "-c", SLOW.format(pause=pause), cwd=tmp_path, progress=True)
        for pause in (0.1, 0.001)
    )
    assert "thinking" in slow
    assert "0:00:0" in slow
    assert quick == ""


def test_no_progress_elsewhere(tmp_path: Path) -> None:
    command = [sys.executable, "-c", SLOW.format(pause=0.06)]
    result = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert (result.stdout, result.stderr) == ("", "")


def test_a_pipe_that_is_closed_is_no_error(tmp_path: Path) -> None:
    chain = {f"n{k}": nir.Scale(np.ones(2)) for k in range(2000)}
    nodes = {"in": nir.Input(np.array([2])), **chain, "out": nir.Output(np.array([2]))}
    names = list(nodes)
    edges = list(itertools.pairwise(names))
    files.write(tmp_path / "long.nir", nir.NIRGraph(nodes, edges, type_check=False))
    result = subprocess.run(
        f"{COMMAND} info long.nir --json | head -n 1",
        shell=True, cwd=tmp_path, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (result.stdout, result.stderr) == ("{\n", "")

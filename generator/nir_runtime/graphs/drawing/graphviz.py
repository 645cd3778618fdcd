"""Graphviz lays a picture out and draws it: in a process of its own.

A picture comes of a file that may come from a stranger, and Graphviz is a large program in C: its
mistakes end that process, its patience is ours, and what it has to say is an error's text.
Graphviz is what pygraphviz brings along, or else the program `dot` if that is installed.
"""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys

from nir_runtime.errors import DrawingFailed, PackageMissing, Problem

PATIENCE = 60
"""How many seconds a layout may take."""

_DRAW = """
import sys
sys.path = [folder for folder in sys.path if folder]  # nothing of the folder one happens to be in
import pygraphviz
graph = pygraphviz.AGraph(sys.stdin.buffer.read().decode())
sys.stdout.buffer.write(graph.draw(format=sys.argv[1], prog="dot"))
"""


def drawn(text: str, form: str) -> bytes:
    """What Graphviz makes of a text in DOT.

    Args:
        text: the graph.
        form: `svg`, `png` or `pdf`.

    Raises:
        PackageMissing: there is no Graphviz.
        DrawingFailed: Graphviz gave up, or was not done in time.
    """
    try:
        done = subprocess.run(
            _graphviz(form), input=text.encode(), capture_output=True, timeout=PATIENCE
        )
    except subprocess.TimeoutExpired:
        what = f"Graphviz was not done within {PATIENCE} s"
        raise DrawingFailed(Problem("", what, _INSTEAD)) from None
    if done.returncode or not done.stdout:
        said = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
        what = f"Graphviz gave up: {''.join(said) or f'exit status {done.returncode}'}"
        raise DrawingFailed(Problem("", what, _INSTEAD))
    return done.stdout


_INSTEAD = "draw a part of the graph, or save it as .mmd or .dot, which needs no layout"


def _graphviz(form: str) -> list[str]:
    """A command that reads DOT and writes a picture."""
    if importlib.util.find_spec("pygraphviz"):
        return [sys.executable, "-c", _DRAW, form]
    if program := shutil.which("dot"):
        return [program, f"-T{form}"]
    raise PackageMissing(
        Problem(
            "",
            "laying a picture out takes Graphviz, which isn't installed",
            'pip install "nir-exchange[draw]", or save as .mmd (Mermaid), which takes nothing',
        )
    )

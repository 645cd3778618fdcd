"""`nir-exchange draw`: a picture of the graph in a NIR file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from nir_runtime.console import screen
from nir_runtime.console.arguments import File, graph_file
from nir_runtime.console.frame import Answer, Command
from nir_runtime.graphs.drawing.drawing import FORMATS, MOST, Drawing, draw
from nir_runtime.graphs.drawing.picture import Direction


class Picture(File):
    """A file whose name ends in a format that a drawing can be saved as."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = super().convert(value, param, ctx)
        if path.suffix.lower() not in FORMATS:
            self.fail(f"{path} ends in none of {', '.join(FORMATS)}", param, ctx)
        return path


@click.command("draw", cls=Command)
@graph_file
@click.option(
    "-o",
    "--output",
    type=Picture(),
    metavar="FILE",
    help=f"What to write: a name that ends in {', '.join(FORMATS)}.  [default: print Mermaid text]",
)
@click.option(
    "--direction",
    type=click.Choice(["down", "right"]),
    default="down",
    show_default=True,
    help="Where the edges lead.",
)
@click.option(
    "--most",
    type=click.IntRange(min=0),
    default=MOST,
    show_default=True,
    metavar="N",
    help="Draw what repeats once in graphs of more than N nodes.",
)
def command(file: Path, output: Path | None, direction: Direction, most: int) -> Answer:
    """Draw the graph in a NIR file: nodes, parameters, shapes, graphs in graphs, and cycles.

    SVG, PNG, PDF and HTML take Graphviz, which comes with `pip install "nir-exchange[draw]"`;
    Mermaid text, which GitHub and others show as a picture, takes nothing.
    """
    with screen.progress(f"drawing {file}"):
        drawing = draw(file, output, direction=direction, most=most)
    shown = drawing.mermaid.rstrip("\n") if output is None else f"{output}: {drawing.summary}"
    return Answer((shown,), _data(drawing, output))


def _data(drawing: Drawing, output: Path | None) -> dict[str, Any]:
    return {
        "file": None if output is None else str(output),
        "nodes": drawing.nodes,
        "boxes": drawing.boxes,
        "dt": drawing.dt,
        "mermaid": drawing.mermaid,
    }

"""Drawing a graph: `draw` is the way in."""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import nir

from nir_runtime import files
from nir_runtime.contract import origin
from nir_runtime.errors import DrawingFailed, InvalidArgument, PackageMissing, Problem
from nir_runtime.files.drafts import replacing
from nir_runtime.graphs.drawing import dot, graphviz, mermaid
from nir_runtime.graphs.drawing.composing import compose
from nir_runtime.graphs.drawing.picture import Direction, Picture

MOST = 40
"""Up to how many nodes a graph is drawn node by node."""

SHARP = "  graph [dpi=144]\n"
"""What makes a picture of pixels as large as screens show it sharp."""


@dataclass(frozen=True)
class Drawing:
    """A drawn graph: it shows as a picture in a notebook.

    Attributes:
        picture: what is drawn.
        direction: where the edges lead.
        title: of a page that shows it.
        nodes: how many the graph has, but for the ports of nested graphs.
        dt: the time step that it carries, in seconds; None if it says none.
    """

    picture: Picture
    direction: Direction
    title: str
    nodes: int
    dt: float | None

    @property
    def boxes(self) -> int:
        """How many boxes stand for the nodes."""
        return sum(1 for _ in self.picture.whole.every_box())

    @property
    def summary(self) -> str:
        """How much is drawn: a line."""
        at = "" if self.dt is None else f" at dt = {self.dt:g}"
        if self.boxes == self.nodes:
            return f"{self.nodes} nodes{at}"
        return f"{self.nodes} nodes{at} in {self.boxes} boxes: repetitions are drawn once"

    @property
    def mermaid(self) -> str:
        """As Mermaid text, which GitHub and others show as a picture; needs no other package."""
        return mermaid.mermaid(self.picture, self.direction)

    @property
    def dot(self) -> str:
        """As a text in Graphviz's language; needs no other package."""
        return dot.dot(self.picture, self.direction)

    @cached_property
    def svg(self) -> str:
        """As SVG.

        Raises:
            PackageMissing: there is no Graphviz.
            DrawingFailed: Graphviz gave up, or was not done in time.
        """
        drawn = graphviz.drawn(self.dot, "svg").decode()
        return drawn[drawn.index("<svg") :]

    @property
    def html(self) -> str:
        """As a page of HTML that needs nothing else; raises as `svg` does."""
        return _PAGE.format(title=html.escape(self.title), svg=self.svg)

    def save(self, path: str | Path) -> None:
        """Save as what the file's name ends in: one of `.svg`, `.png`, `.pdf`, `.html`, `.mmd`
        (Mermaid) and `.dot`.

        Raises:
            InvalidArgument: it ends in something else.
            PackageMissing, DrawingFailed: as `svg` does; Mermaid and DOT need no layout.
            OSError: the file can't be written.
        """
        made = _making(path)(self)
        with replacing(path) as file:
            file.write(made)

    def _pixels(self) -> bytes:
        return graphviz.drawn(self.dot.replace("\n", f"\n{SHARP}", 1), "png")

    def _pdf(self) -> bytes:
        return graphviz.drawn(self.dot, "pdf")

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        try:
            return {"image/svg+xml": self.svg, "text/plain": self.mermaid}
        except (PackageMissing, DrawingFailed):
            return {"text/vnd.mermaid": self.mermaid, "text/plain": self.mermaid}


FORMATS: Mapping[str, Callable[[Drawing], bytes]] = {
    ".svg": lambda drawing: drawing.svg.encode(),
    ".png": Drawing._pixels,
    ".pdf": Drawing._pdf,
    ".html": lambda drawing: drawing.html.encode(),
    ".mmd": lambda drawing: drawing.mermaid.encode(),
    ".dot": lambda drawing: drawing.dot.encode(),
}
"""What the names of files end in, and how their content is made."""


def draw(
    graph: nir.NIRGraph | str | Path,
    path: str | Path | None = None,
    *,
    direction: Direction = "down",
    most: int = MOST,
) -> Drawing:
    """Draw a graph: its nodes with their parameters, and the features' shapes on its edges.

    Colours tell kinds of nodes, frames nested graphs; dashed red edges carry the previous step's
    value, where the contract cuts a cycle. Of a large graph, what repeats is drawn once, in a
    frame that says how often.

    Args:
        graph: the graph, which stays as it is, or the path of a NIR file.
        path: where to save it; the name's end says as what (`Drawing.save`). None saves nothing.
        direction: where the edges lead, "down" or "right".
        most: up to how many nodes a graph is drawn node by node.

    Returns:
        The drawing. It is laid out when it is looked at.

    Raises:
        InvalidArgument: an argument can't be meant.
        InvalidFile, InvalidGraph: the graph means nothing.
        PackageMissing: a picture is to be saved, and there is no Graphviz.
        DrawingFailed: Graphviz gave up, or was not done in time.
        OSError: a file can't be read or written.
    """
    problems = [*_wrong_graph(graph), *_wrong_direction(direction), *_wrong_most(most)]
    problems += _wrong_path(path)
    if problems:
        raise InvalidArgument(problems)
    whole = graph if isinstance(graph, nir.NIRGraph) else files.read(graph)
    title = "a NIR graph" if isinstance(graph, nir.NIRGraph) else Path(graph).name
    picture, nodes = compose(whole, most)
    dt = origin.readable(whole)
    at = "" if dt is None else f" at dt = {dt:g}"
    drawing = Drawing(picture, direction, f"{title}{at}", nodes, dt)
    if path is not None:
        drawing.save(path)
    return drawing


def _making(path: str | Path) -> Callable[[Drawing], bytes]:
    """What makes the content of a file of this name."""
    for problem in _wrong_path(path):
        raise InvalidArgument(problem)
    return FORMATS[Path(path).suffix.lower()]


def _wrong_graph(graph: object) -> Iterator[Problem]:
    if not isinstance(graph, (nir.NIRGraph, str, Path)):
        yield Problem("graph", f"is a {type(graph).__name__}", "give a nir.NIRGraph or a path")


def _wrong_direction(direction: object) -> Iterator[Problem]:
    if direction not in get_args(Direction):
        yield Problem("direction", f"is {direction!r}", "give 'down' or 'right'")


def _wrong_most(most: object) -> Iterator[Problem]:
    if not isinstance(most, int) or most < 0:
        yield Problem("most", f"is {most!r}", "give a whole number")


def _wrong_path(path: str | Path | None) -> Iterator[Problem]:
    if path is None:
        return
    where = Path(path)
    if where.suffix.lower() not in FORMATS:
        advice = f"a picture's name ends in one of {', '.join(FORMATS)}"
        yield Problem("path", f"is {str(path)!r}", advice)
    elif not where.parent.is_dir():
        yield Problem("path", f"there is no folder {where.parent}", "make it first")


_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>body {{ margin: 2em; background: white; }} svg {{ max-width: 100%; height: auto; }}</style>
</head>
<body>
{svg}
</body>
</html>
"""

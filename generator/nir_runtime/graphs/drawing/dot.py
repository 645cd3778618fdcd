"""A picture as a text in Graphviz's language, DOT."""

from __future__ import annotations

import html
from collections.abc import Iterator

from nir_runtime.graphs.drawing import colours
from nir_runtime.graphs.drawing.picture import Arrow, Box, Direction, Frame, Picture

_WAYS = {"down": "TB", "right": "LR"}

_LOOK = f"""\
  graph [bgcolor=white fontname="Helvetica,Arial,sans-serif" nodesep=0.3 ranksep=0.35]
  node [shape=box style="rounded,filled" fontname="Helvetica,Arial,sans-serif" fontsize=12
        fontcolor="{colours.TEXT}" margin="0.1,0.03" height=0.3]
  edge [fontname="Helvetica,Arial,sans-serif" fontsize=9 fontcolor="{colours.FAINT}"
        color="{colours.ARROW}" arrowsize=0.6]"""


def dot(picture: Picture, direction: Direction) -> str:
    """The text of a directed graph."""
    lines = ["digraph {", _LOOK, f"  rankdir={_WAYS[direction]}"]
    lines += _inside(picture.whole, "  ", "cluster")
    lines += [f"  {_arrow(arrow)}" for arrow in picture.arrows]
    return "\n".join([*lines, "}"]) + "\n"


def _inside(frame: Frame, indent: str, key: str) -> Iterator[str]:
    for box in frame.boxes:
        yield f"{indent}{_box(box)}"
    for number, inner in enumerate(frame.frames):
        inner_key = f"{key}_{number}"
        yield f"{indent}subgraph {inner_key} {{"
        yield f"{indent}  {_frame(inner)}"
        yield from _inside(inner, indent + "  ", inner_key)
        yield f"{indent}}}"


def _frame(frame: Frame) -> str:
    style = "rounded,bold" if frame.repeated else "rounded,dashed"
    label = f"<<b>{_escaped(frame.title)}</b>>" if frame.repeated else f"<{_escaped(frame.title)}>"
    return (
        f'graph [label={label} labeljust=r style="{style}" color="{colours.FRAME}" '
        f'fontcolor="{colours.FAINT}" fontsize=12 margin=10]'
    )


def _box(box: Box) -> str:
    rows = f'<b>{_escaped(box.kind)}</b>  <font color="{colours.FAINT}">{_escaped(box.name)}</font>'
    for line in box.lines:
        rows += f'</td></tr><tr><td><font point-size="10">{_escaped(line)}</font>'
    said = f'<table border="0" cellspacing="0" cellpadding="1"><tr><td>{rows}</td></tr></table>'
    colour = colours.FAMILIES[box.family]
    look = f'fillcolor="{colour.fill}" color="{colour.edge}"'
    return f"{box.key} [label=<{said}> tooltip=<{_escaped(f'{box.kind} {box.name}')}> {look}]"


def _arrow(arrow: Arrow) -> str:
    if not arrow.delayed:
        return f"{arrow.source} -> {arrow.target} [label=< {_escaped(arrow.label)}>]"
    # Laid out as if it went forward, so that the order of execution goes one way.
    return (
        f"{arrow.target} -> {arrow.source} [dir=back label=< {_escaped(arrow.label)}, t−1> "
        f'style=dashed color="{colours.DELAYED}" fontcolor="{colours.DELAYED}"]'
    )


def _escaped(text: str) -> str:
    """Text that Graphviz takes for nothing but text; what XML can't hold is replaced."""
    return html.escape("".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text))

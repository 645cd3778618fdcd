"""A picture as Mermaid text, which GitHub, GitLab, Jupyter and many others show as a picture."""

from __future__ import annotations

from collections.abc import Iterator

from nir_runtime.graphs.drawing import colours
from nir_runtime.graphs.drawing.picture import Arrow, Box, Direction, Frame, Picture

_WAYS = {"down": "TB", "right": "LR"}


def mermaid(picture: Picture, direction: Direction) -> str:
    """The text of a Mermaid flowchart."""
    lines = [f"flowchart {_WAYS[direction]}", *_inside(picture.whole, "  ", "g")]
    lines += [f"  {_arrow(arrow)}" for arrow in picture.arrows]
    delayed = [str(k) for k, arrow in enumerate(picture.arrows) if arrow.delayed]
    if delayed:
        lines.append(f"  linkStyle {','.join(delayed)} stroke:{colours.DELAYED}")
    families = dict.fromkeys(box.family for box in picture.whole.every_box())
    for family in families:
        colour = colours.FAMILIES[family]
        look = f"fill:{colour.fill},stroke:{colour.edge},color:{colours.TEXT}"
        lines.append(f"  classDef {family} {look}")
    return "\n".join(lines) + "\n"


def _inside(frame: Frame, indent: str, key: str) -> Iterator[str]:
    for box in frame.boxes:
        yield f"{indent}{_box(box)}"
    for number, inner in enumerate(frame.frames):
        inner_key = f"{key}_{number}"
        yield f'{indent}subgraph {inner_key}["{_escaped(inner.title)}"]'
        yield from _inside(inner, indent + "  ", inner_key)
        yield f"{indent}end"


def _box(box: Box) -> str:
    first = f"<b>{_escaped(box.kind)}</b> {_escaped(box.name)}"
    said = "<br/>".join([first, *map(_escaped, box.lines)])
    left, right = ("([", "])") if box.family == "port" else ("(", ")")
    return f'{box.key}{left}"{said}"{right}:::{box.family}'


def _arrow(arrow: Arrow) -> str:
    if arrow.delayed:
        return f'{arrow.source} -. "{arrow.label}, one step later" .-> {arrow.target}'
    return f'{arrow.source} -- "{arrow.label}" --> {arrow.target}'


def _escaped(text: str) -> str:
    """Text that Mermaid takes for nothing but text: others than these as numbers."""
    return "".join(c if c.isalnum() or c in _PLAIN else f"#{ord(c)};" for c in text)


_PLAIN = " .,=×→…-+_()"

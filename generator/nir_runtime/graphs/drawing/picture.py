"""What a picture of a graph shows, before anything is laid out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Family = Literal["port", "linear", "shape", "spiking", "analog", "other"]
"""What a node's colour tells: where the graph begins and ends, maps with weights, changes of the
shape, neurons that spike and those that don't, and the rest."""


Direction = Literal["down", "right"]
"""Where the edges lead."""


@dataclass(frozen=True)
class Box:
    """A node, or what a node is in each of several repetitions.

    Attributes:
        key: what arrows call it.
        kind: the kind of node, `LIF`.
        name: the node's name in its graph.
        lines: what else is said of it.
        family: its colour.
    """

    key: str
    kind: str
    name: str
    lines: tuple[str, ...]
    family: Family


@dataclass(frozen=True)
class Frame:
    """A box around boxes: a nested graph, or what is repeated.

    Attributes:
        title: what it is; empty for the whole picture.
        repeated: whether it stands for several repetitions of what is in it.
        boxes, frames: what is in it.
    """

    title: str
    repeated: bool
    boxes: tuple[Box, ...]
    frames: tuple[Frame, ...]

    def every_box(self) -> Iterator[Box]:
        """The boxes in it and in the frames in it."""
        yield from self.boxes
        for frame in self.frames:
            yield from frame.every_box()


@dataclass(frozen=True)
class Arrow:
    """An edge.

    Attributes:
        source, target: keys of boxes.
        label: what goes along it: the features' shape.
        delayed: whether it carries the previous step's value.
    """

    source: str
    target: str
    label: str
    delayed: bool


@dataclass(frozen=True)
class Picture:
    """All that is to be drawn.

    Attributes:
        whole: the frame around everything, which is not drawn itself.
        arrows: between its boxes.
    """

    whole: Frame
    arrows: tuple[Arrow, ...]

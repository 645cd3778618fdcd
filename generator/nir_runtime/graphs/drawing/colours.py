"""The colours of a picture, to be told apart by everyone: fills of one lightness, darker edges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from nir_runtime.graphs.drawing.picture import Family


@dataclass(frozen=True)
class Colour:
    """Of a box: what it is filled with, and its edge."""

    fill: str
    edge: str


FAMILIES: Mapping[Family, Colour] = {
    "port": Colour("#f0f0f0", "#7f7f7f"),
    "linear": Colour("#dce9f7", "#3b75af"),
    "shape": Colour("#dff2ee", "#3a9487"),
    "spiking": Colour("#fdebd3", "#d9822b"),
    "analog": Colour("#fbf6cf", "#b59f00"),
    "other": Colour("#efe4f5", "#8e5ea2"),
}

TEXT = "#1f2328"
FAINT = "#59636e"
ARROW = "#59636e"
DELAYED = "#c0392b"
FRAME = "#9aa4ae"
"""Of names and parameters; names of nodes; arrows; those that carry the previous step's value; and
frames."""

"""The texts of pictures, and the pictures that the README shows.

`UPDATE_GOLDEN=1` writes both anew; look at the pictures.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import nir
import pytest

import nir_exchange
from tests.drawing import networks

GOLDEN = Path(__file__).parent / "golden"
PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
UPDATE = bool(os.environ.get("UPDATE_GOLDEN"))


@pytest.mark.parametrize("make", [networks.recurrent, networks.nested])
@pytest.mark.parametrize("language", ["mermaid", "dot"])
def test_the_text(make: Callable[[], nir.NIRGraph], language: str) -> None:
    text = getattr(nir_exchange.draw(make()), language)
    golden = GOLDEN / f"{make.__name__}.{language}"
    if UPDATE:
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "make", "direction", "most"),
    [
        ("tutorial", networks.tutorial, "right", 40),
        ("recurrent", networks.recurrent, "right", 40),
        ("vgg", networks.vgg, "down", 10),
    ],
)
def test_a_picture_of_the_readme(
    name: str, make: Callable[[], nir.NIRGraph], direction: str, most: int
) -> None:
    drawing = nir_exchange.draw(make(), direction=direction, most=most)  # type: ignore[arg-type]
    path = PICTURES / f"{name}.svg"
    if UPDATE:
        drawing.save(path)
    # Where things are follows from the fonts of the machine; what there is, from the graph alone.
    assert _what_there_is(drawing.svg) == _what_there_is(path.read_text(encoding="utf-8"))


def _what_there_is(svg: str) -> list[str]:
    """Texts, arrows and colours."""
    return re.findall(r"<text[^>]*>([^<]*)<|<title>([^<]*)<|(?:fill|stroke)=\"([^\"]*)\"", svg)

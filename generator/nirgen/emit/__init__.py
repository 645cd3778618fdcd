"""Checked mappings -> the text of converters -> disk.

`code` is the small language of statements that a converter's body is made of, `exporters` and
`importers` write the two directions in it, `plan` puts a framework's package together, `render`
turns it into text, `support` says in tables what is supported and what is lost, `manifest` lists
what was written, and `write` is the only one that touches the disk.
"""

from __future__ import annotations

from collections.abc import Mapping

from nirgen.emit.plan import plan
from nirgen.emit.render import render
from nirgen.emit.support import support
from nirgen.mapping.model import Mappings

Texts = Mapping[str, str]
"""Generated texts by their path below the output folder."""


def generate(mappings: Mappings) -> Texts:
    """The texts of all converters, and of the tables about them; nothing is written."""
    return {**render(plan(mappings)), "SUPPORT.md": support(mappings)}

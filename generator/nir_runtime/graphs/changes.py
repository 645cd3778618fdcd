"""What became of a graph when it was rewritten, and why."""

from __future__ import annotations

from dataclasses import dataclass

import nir


@dataclass(frozen=True)
class Change:
    """One thing that is not as it was.

    Attributes:
        place: the node, or the field of a node, `lif/tau`; empty for the graph.
        what: what is different.
    """

    place: str
    what: str


@dataclass(frozen=True)
class Rewritten:
    """A graph, and what of it is not as it was.

    Attributes:
        graph: a complete one, which shares arrays with the one that it was made of.
        changes: in the order in which they were made.
    """

    graph: nir.NIRGraph
    changes: tuple[Change, ...]

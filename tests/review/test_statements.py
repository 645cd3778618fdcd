"""Nothing that a mapping can say escapes a comparison."""

from __future__ import annotations

from dataclasses import fields

from nirgen.mapping.model import Case, Fixed, LayerMapping, Node, Normalization, Rejection

COMPARED = {
    LayerMapping: {
        # as support: what becomes of a layer and of a node
        "layers", "node", "direction", "on_request", "links",
        # as statements
        "step", "equation", "source", "because", "instead", "in_training", "read", "attributes",
        "state", "calls", "part", "fold",
        "normalize", "choices", "derive", "time_step", "fix", "options", "ignore", "domain",
        # by themselves
        "reject", "examples",
        # where it is said
        "file", "stem", "places", "at",
    },
    Case: {"when", "node", "part", "links", "annotate", "remember", "because",
           "export_only", "at"},
    Fixed: {"parameter", "value", "because", "instead", "at"},
    Rejection: {"when", "because", "instead", "at"},
    Normalization: {"node", "when", "gain", "shift", "layer", "start", "at"},
    Node: {"name", "says", "step", "equation", "fields", "start", "resets", "at"},
}  # fmt: skip


def test_what_the_language_gains_must_be_compared() -> None:
    """A new entry fails here: add it to `nirgen.review.statements`, then to this list."""
    for kind, compared in COMPARED.items():
        assert {field.name for field in fields(kind)} == compared, kind.__name__

"""Committed mappings, as the explanation has them; `UPDATE_GOLDEN=1` writes them anew."""

from __future__ import annotations

from pathlib import Path

import pytest

from nirgen import mapping
from nirgen.review.errors import ReviewError
from nirgen.review.explain import explain, listing

from .test_pairs import check

LOADED = mapping.load(Path(__file__).parents[2] / "mappings")
EXPLAINED = Path(__file__).parent / "explained"


@pytest.mark.parametrize(
    "layer",
    [
        "neuron.LIFNode",  # formulas both ways, cases that numbers and metadata tell apart
        "layer.Linear",  # two nodes, tensors
        "layer.MaxPool2d",  # a chain, fixed parameters, rejections
        "layer.BatchNorm2d",  # arrays, merged into the layer before
        "layer.SynapseFilter",  # refused
    ],
)
def test_explained(layer: str) -> None:
    check(explain(LOADED, "spikingjelly", layer), EXPLAINED / f"{layer}.txt")


@pytest.mark.parametrize("framework", LOADED.frameworks, ids=lambda f: f.framework.name)
def test_every_mapping_can_be_explained(framework: mapping.model.FrameworkMappings) -> None:
    name = framework.framework.name
    for found in framework.layers:
        for layer in found.layers:
            text = explain(LOADED, name, layer)
            assert text.startswith(found.layers[0])
            assert max(map(len, text.splitlines())) <= 100


def test_a_class_may_stand_without_its_module() -> None:
    assert explain(LOADED, "spikingjelly", "LIFNode") == explain(
        LOADED, "spikingjelly", "neuron.LIFNode"
    )


def test_a_list_has_every_mapping() -> None:
    lines = listing(LOADED, "spikingjelly").splitlines()
    assert "neuron.LIFNode <-> LIF" in lines
    assert "layer.SynapseFilter  refused" in lines


@pytest.mark.parametrize(
    ("framework", "layer", "what"),
    [
        (
            "spikingjely", "LIFNode",
            "there are no mappings of `spikingjely`\n    did you mean `spikingjelly`?",
        ),
        (
            "spikingjelly", "neuron.LIFNod",
            "SpikingJelly has no mapping of `neuron.LIFNod`\n    did you mean `neuron.LIFNode`?",
        ),
        (
            "spikingjelly", "LIFnode",
            "SpikingJelly has no mapping of `LIFnode`\n    did you mean `LIFNode`?",
        ),
    ],
)  # fmt: skip
def test_unknown_names(framework: str, layer: str, what: str) -> None:
    with pytest.raises(ReviewError) as caught:
        explain(LOADED, framework, layer)
    assert str(caught.value) == what

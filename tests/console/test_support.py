"""`nir-exchange support`."""

from __future__ import annotations

import json

import pytest

from nir_runtime.console.arguments import targets
from nirgen.emit.support import exports, imports
from nirgen.mapping import load, shipped
from tests.console.conftest import Typed, imported

MAPPINGS = load(shipped())


def test_a_line_for_each_node_and_a_column_for_each_framework(typed: Typed) -> None:
    head, *lines = typed("support").stdout.splitlines()
    assert head.split() == ["node", *targets()]
    assert [line.split()[0] for line in lines[: len(MAPPINGS.nodes)]] == list(MAPPINGS.nodes)
    assert "<-> exact but for ties" in next(line for line in lines if line.startswith("LIF "))


def test_json_has_every_row(typed: Typed) -> None:
    shown = json.loads(typed("support", "--json").stdout)
    assert sorted(shown) == targets()
    for framework in MAPPINGS.frameworks:
        section = shown[framework.framework.name]
        assert section["exports"] == [
            vars(row) for member in framework.family for row in exports(member, MAPPINGS)
        ]
        assert section["imports"] == [vars(row) for row in imports(framework, MAPPINGS)]


def test_a_layer_with_its_losses(typed: Typed) -> None:
    shown = typed("support", "--for", "spikingjelly", "--layer", "LIFNode").stdout
    assert "neuron.LIFNode  LIF   exact but for ties" in shown
    assert "v_reset is None" in shown
    assert "neuron.IFNode" not in shown
    of_torch = typed("support", "--layer", "nn.Linear", "--for", "spikingjelly").stdout
    assert "nn.Linear  Affine, Linear  exact" in of_torch


def test_a_node(typed: Typed) -> None:
    shown = json.loads(typed("support", "--node", "SumPool2d", "--json").stdout)["spikingjelly"]
    assert "layer.MaxPool2d" in [row["layer"] for row in shown["exports"]]
    assert {row["node"] for row in shown["imports"]} == {"SumPool2d"}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--layer", "LIFNod"], "did you mean `LIFNode`?"),
        (["--layer", "neuron.LIFNod"], "did you mean `neuron.LIFNode`?"),
        (["--node", "lif"], "did you mean `LIF`?"),
        (["--for", "referense"], "did you mean `reference`?"),
    ],
)
def test_mistakes(options: list[str], told: str, typed: Typed) -> None:
    result = typed("support", *options)
    assert result.returncode == 2
    assert told in result.stderr


def test_it_needs_no_numpy() -> None:
    assert not {"torch", "h5py"} & imported("support")

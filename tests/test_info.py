"""What is said of a graph, and how a notebook shows it."""

from __future__ import annotations

import json

import nir
import numpy as np
import pytest
from hypothesis import given
from IPython.core.interactiveshell import InteractiveShell

import nir_exchange
from nir_runtime.contract.nesting import flatten
from nir_runtime.errors import InvalidArgument
from nir_runtime.graphs.info import NEURONS
from tests.nodes import any_graphs, every_level, single


@given(any_graphs())
def test_of_any_graph(graph: nir.NIRGraph) -> None:
    info = nir_exchange.info(graph)
    flat = flatten(graph)[0]
    assert sorted(node.name for node in info.nodes) == sorted(flat.nodes)
    assert info.problems == ()
    assert len(info.subgraphs) == len(every_level(graph)) - 1
    assert info.weights == sum(np.size(getattr(n, "weight", ())) for n in flat.nodes.values())
    sizes = [np.size(node.r) for node in flat.nodes.values() if isinstance(node, NEURONS)]
    assert info.neurons >= sum(sizes)  # more, where one number stands for all
    seen: set[str] = set()
    late = {edge for cycle in info.cycles for edge in cycle.delayed}
    for node in info.nodes:
        assert all(source in seen or (source, node.name) in late for source in node.sources)
        seen.add(node.name)
    json.dumps(info.to_dict(), allow_nan=False)
    assert str(info)


@given(any_graphs())
def test_ranges_are_those_of_the_numbers(graph: nir.NIRGraph) -> None:
    nodes = flatten(graph)[0].nodes
    for node in nir_exchange.info(graph).nodes:
        for field in node.fields:
            value = getattr(nodes[node.name], field.name)
            if field.range is None:
                assert not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu"
                continue
            found = field.range
            assert (found.low, found.high) == (np.min(value), np.max(value))
            assert found.mean == pytest.approx(np.mean(value))
            assert found.deviation == pytest.approx(np.std(value), abs=1e-12)


def test_numbers_that_json_does_not_have() -> None:
    graph = single(nir.Scale(np.array([np.nan, np.inf])), 2)
    graph.metadata = {"a": np.float32(np.nan), "b": {"c": np.arange(2)}}
    info = nir_exchange.info(graph)
    shown = json.loads(json.dumps(info.to_dict(), allow_nan=False))
    assert shown["metadata"] == {"a": "nan", "b": {"c": [0, 1]}}
    assert "is NaN or infinite in 2 of 2 elements" in str(info)


def test_what_is_no_graph() -> None:
    with pytest.raises(InvalidArgument, match="graph: is a int"):
        nir_exchange.info(3)  # type: ignore[arg-type]


def test_a_notebook_shows_graphs_as_tables() -> None:
    shell = InteractiveShell()
    graph = single(nir.Scale(np.ones(2)), 2)
    before, _ = shell.display_formatter.format(graph)
    assert "text/html" not in before
    shell.run_line_magic("load_ext", "nir_exchange")
    shown, _ = shell.display_formatter.format(graph)
    assert shown["text/html"] == nir_exchange.info(graph)._repr_html_()
    assert "<td>Scale</td>" in shown["text/html"]
    shell.run_line_magic("unload_ext", "nir_exchange")
    assert "text/html" not in shell.display_formatter.format(graph)[0]


def test_html_is_escaped() -> None:
    graph = single(nir.Scale(np.ones(2)), 2)
    graph.nodes = {f"<b>{name}": node for name, node in graph.nodes.items()}
    graph.edges = [(f"<b>{source}", f"<b>{target}") for source, target in graph.edges]
    graph.metadata = {"<i>": "<u>"}
    shown = nir_exchange.info(graph)._repr_html_()
    assert not any(tag in shown for tag in ("<b>", "<i>", "<u>"))

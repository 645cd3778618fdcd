"""Whole random graphs: SpikingJelly computes what the reference does, over 100 steps.

They come from memory and from files, ours and nir's own, and survive being exported again.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spikingjelly.activation_based import functional

from nir_exchange import reference, spikingjelly
from nir_runtime import files
from tests.nodes import DT, any_graphs, graphs, inputs_for, webs, without_input_shapes
from tests.whole import Array, assert_close, needed, outputs

Modes = st.sampled_from(["s", "m"])
seeds = st.integers(0, 2**32 - 1)


def expected(graph: nir.NIRGraph, x: dict[str, Array]) -> dict[str, Array]:
    module = reference.import_from_nir(graph, dt=DT, dtype=torch.float64)
    return outputs(module, graph, x, "s")


def imported(graph: Any, mode: str, **options: Any) -> torch.fx.GraphModule:
    return spikingjelly.import_from_nir(
        graph,
        dt=DT,
        dtype=torch.float64,
        step_mode=mode,  # type: ignore[arg-type]
        **options,
    )


@given(any_graphs(), Modes, st.booleans(), seeds)
def test_any_graph(graph: nir.NIRGraph, mode: str, forget: bool, seed: int) -> None:
    x = inputs_for(graph, 100, 2, seed)
    module = imported(without_input_shapes(graph) if forget else graph, mode)
    first = outputs(module, graph, x, mode)
    assert_close(first, expected(graph, x))
    functional.reset_net(module)
    assert_close(outputs(module, graph, x, mode), first)


@pytest.mark.parametrize("write", [files.write, nir.write])
@given(graph=any_graphs(), mode=Modes, seed=seeds)
def test_any_graph_through_a_file(
    write: Callable[[Path, nir.NIRGraph], None], graph: nir.NIRGraph, mode: str, seed: int
) -> None:
    x = inputs_for(graph, 100, 2, seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "graph.nir")
        write(path, graph)
        assert_close(outputs(imported(path, mode), graph, x, mode), expected(graph, x))


@given(any_graphs(), Modes, seeds)
def test_exported_again_it_computes_the_same(graph: nir.NIRGraph, mode: str, seed: int) -> None:
    x = inputs_for(graph, 100, 2, seed)
    module = imported(graph, mode)
    again = spikingjelly.export_to_nir(module, example(x, mode), dt=DT)
    assert_close(outputs(module, graph, x, mode), expected(graph, x))  # exporting left it as it was
    assert_close(outputs(imported(again, mode), graph, x, mode), expected(graph, x))
    assert_close(expected(again, x), expected(graph, x))


@given(st.one_of(graphs(nested=0), webs()), Modes, seeds)
def test_exported_again_it_has_the_same_names_and_edges(
    graph: nir.NIRGraph, mode: str, seed: int
) -> None:
    x = inputs_for(graph, 1, 2, seed)
    again = spikingjelly.export_to_nir(imported(graph, mode), example(x, mode), dt=DT)
    names = needed(graph)
    assert set(again.nodes) == names
    assert len(again.edges) == len(set(again.edges))
    assert set(again.edges) == {edge for edge in graph.edges if names.issuperset(edge)}
    for name in names:
        assert type(again.nodes[name]) is type(graph.nodes[name])


def example(x: dict[str, Array], mode: str) -> tuple[torch.Tensor, ...]:
    """What the module takes, in the order of its parameters."""
    tensors = (torch.from_numpy(x[name]) for name in sorted(x))
    return tuple(tensor if mode == "m" else tensor[0] for tensor in tensors)

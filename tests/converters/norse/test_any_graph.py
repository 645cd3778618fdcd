"""Any NIR graph comes in, computes what the reference does in float64, and goes out as it was."""

from __future__ import annotations

import warnings
from typing import Any

import nir
import norse.torch as snn
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from nir_exchange import norse, reference
from nir_runtime.contract import shapes
from nir_runtime.contract.nesting import thin_copy
from nir_runtime.errors import AnnotatedWarning
from nir_runtime.imports.normalized import Normalized
from tests.converters.test_reexport import assert_same
from tests.graphs import assert_same_graph
from tests.nodes import DT, graphs, inputs_for, neurons, single
from tests.whole import needed

SIZE = 4
seeds = st.integers(0, 2**32 - 1)


def imported(graph: nir.NIRGraph, **options: Any) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # faint inputs
        return norse.import_from_nir(graph, dt=DT, dtype=torch.float64, **options)


def outputs(module: nn.Module, x: dict[str, np.ndarray], hands_on: bool) -> list[Any]:
    """What a network gives at each step."""
    names = sorted(x)
    found, state = [], None
    with torch.no_grad():
        for step in range(len(x[names[0]])):
            arguments = [torch.from_numpy(x[name][step]) for name in names]
            y, left = module(*arguments, state=state if hands_on else None)
            state = left
            found.append(y if isinstance(y, dict) else {"": y})
    return found


@given(neurons(SIZE), seeds)
def test_any_neuron(node: nir.NIRNode, seed: int) -> None:
    graph = single(node, SIZE)
    generator = np.random.default_rng(seed)
    x = {"i": generator.standard_normal((100, 3, SIZE))}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = reference.import_from_nir(graph, dt=DT, dtype=torch.float64)
    expected, actual = outputs(ours, x, False), outputs(imported(graph), x, True)
    for a, b in zip(actual, expected, strict=True):
        assert torch.allclose(a[""], b[""], rtol=1e-9, atol=1e-9)


@given(neurons(SIZE))
def test_exporting_again_gives_the_node_back(node: nir.NIRNode) -> None:
    graph = single(node, SIZE)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AnnotatedWarning)
        again = norse.export_to_nir(imported(graph), torch.zeros(2, SIZE), dt=DT)
        third = norse.export_to_nir(imported(again), torch.zeros(2, SIZE), dt=DT)
    assert_same_graph(again, third)


@settings(max_examples=25)
@given(graph=graphs(), seed=seeds)
def test_any_graph(graph: nir.NIRGraph, seed: int) -> None:
    x = inputs_for(graph, 60, 2, seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ours = reference.import_from_nir(graph, dt=DT, dtype=torch.float64)
    expected, actual = outputs(ours, x, False), outputs(imported(graph), x, True)
    for a, b in zip(actual, expected, strict=True):
        assert list(a) == list(b)
        for name in a:
            assert torch.allclose(a[name], b[name], rtol=1e-9, atol=1e-9), name


@settings(max_examples=25)
@given(graph=graphs(nested=0))
def test_names_edges_and_numbers_come_back(graph: nir.NIRGraph) -> None:
    expected = thin_copy(graph)
    shapes.infer(expected)
    kept = needed(expected)
    x = inputs_for(graph, 1, 2, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        examples = tuple(torch.from_numpy(x[name][0]) for name in sorted(x))
        made = norse.export_to_nir(imported(graph), examples, dt=DT)
    assert set(made.nodes) == kept
    assert set(made.edges) == {(s, t) for s, t in expected.edges if t in kept}
    for name, node in made.nodes.items():
        assert_same(node, expected.nodes[name], name)


def test_native_cells_where_one_computes_the_same() -> None:
    ones = np.ones(3)
    plain = nir.LIF(tau=ones * 1e-2, r=ones, v_leak=ones * 0, v_threshold=ones)
    varied = nir.LIF(tau=np.array([1e-2, 2e-2, 3e-2]), r=ones, v_leak=ones, v_threshold=ones * 2)
    scaled = nir.LIF(tau=ones * 1e-2, r=ones * 3, v_leak=ones * 0, v_threshold=ones)
    taken = [imported(single(node, 3)).get_submodule("node") for node in (plain, varied, scaled)]
    assert [type(cell) for cell in taken] == [snn.LIFBoxCell, snn.LIFBoxCell, Normalized]
    assert taken[0].p.tau_mem_inv.shape == ()
    assert taken[1].p.tau_mem_inv.tolist() == pytest.approx([100, 50, 100 / 3])
    assert taken[1].p.v_leak.item() == 1


def test_a_tau_shorter_than_the_step() -> None:
    """Which other frameworks have to refuse."""
    ones = np.ones(SIZE)
    node = nir.LIF(tau=ones * DT / 4, r=ones, v_leak=ones * 0, v_threshold=ones)
    module = imported(single(node, SIZE))
    x = {"i": np.random.default_rng(0).standard_normal((50, 1, SIZE))}
    ours = reference.import_from_nir(single(node, SIZE), dt=DT, dtype=torch.float64)
    for a, b in zip(outputs(module, x, True), outputs(ours, x, False), strict=True):
        assert torch.allclose(a[""], b[""])


def test_gradients_reach_the_weights_through_the_states() -> None:
    ones = np.ones(SIZE)
    lif = nir.LIF(tau=ones * 1e-2, r=ones, v_leak=ones * 0, v_threshold=ones)
    affine = nir.Affine(weight=5 * np.eye(SIZE), bias=ones)
    graph = nir.NIRGraph(
        nodes={"i": nir.Input(ones.shape), "w": affine, "lif": lif, "o": nir.Output(ones.shape)},
        edges=[("i", "w"), ("w", "lif"), ("lif", "o")],
    )
    module = imported(graph)
    loss: Tensor = torch.zeros(())
    state = None
    for step in torch.ones(20, 2, SIZE, dtype=torch.float64):
        y, state = module(step, state)
        loss = loss + y.sum()
    loss.backward()
    assert module.get_submodule("w").weight.grad.abs().sum() > 0


@pytest.mark.parametrize("dt", [1e-4, 2e-3])
def test_the_time_step_is_that_of_the_import(dt: float) -> None:
    ones = np.ones(SIZE)
    node = nir.CubaLIF(
        tau_syn=ones * 1e-2, tau_mem=ones * 2e-2, r=ones, v_leak=ones * 0, v_threshold=ones
    )
    module = norse.import_from_nir(single(node, SIZE), dt=dt)
    cells = [cell for cell in module.modules() if isinstance(cell, snn.LIFCell)]
    assert [cell.dt for cell in cells] == [dt]

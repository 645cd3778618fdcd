"""Each of Norse's cells: what goes out computes the same as the cell, and comes back as it was."""

from __future__ import annotations

import warnings
from typing import Any

import nir
import norse.torch as snn
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from norse.torch.functional.reset import reset_subtract
from torch import Tensor, nn

from nir_exchange import norse, spikingjelly
from nir_runtime.errors import AnnotatedWarning
from tests.graphs import assert_same_graph

from .running import DT, exported, inputs, of_the_reference, over_time

SIZE = 3
PARAMETERS = {
    snn.LIFBoxCell: snn.LIFBoxParameters, snn.LIFCell: snn.LIFParameters,
    snn.IAFCell: snn.IAFParameters, snn.LIBoxCell: snn.LIBoxParameters,
    snn.LICell: snn.LIParameters,
}  # fmt: skip
RANGES = {
    "tau_mem_inv": (20, 900), "tau_syn_inv": (20, 900), "v_leak": (-0.5, 0.5),
    "v_th": (0.625, 1.25), "v_reset": (-0.5, 0.5),
}  # fmt: skip
precisions = st.sampled_from([torch.float32, torch.float64])
seeds = st.integers(0, 2**32 - 1)


@st.composite
def parameters(draw: Any, kind: Any, dtype: torch.dtype = torch.float64) -> Any:
    """The parameters of a cell, each one number, or one for each neuron; or Norse's own."""

    def value(name: str) -> Tensor:
        count = draw(st.sampled_from([(), (SIZE,)]))
        low, high = RANGES[name]
        numbers = [draw(st.floats(low, high, width=32)) for _ in range(SIZE if count else 1)]
        return torch.tensor(numbers if count else numbers[0], dtype=dtype)

    return kind(
        **{
            name: value(name) if draw(st.integers(0, 3)) else default.detach().to(dtype)
            for name, default in kind._field_defaults.items()
            if name in RANGES
        }
    )


def double(kind: Any, **changed: Any) -> Any:
    """Norse's own parameters in double precision: it multiplies dt into them in theirs."""
    fields = {n: v.detach().double() for n, v in kind._field_defaults.items() if n in RANGES}
    return kind(**{**fields, **changed})


@st.composite
def cells(draw: Any, dtype: torch.dtype = torch.float64) -> nn.Module:
    """Any cell, with any parameters."""
    cell = draw(st.sampled_from(list(PARAMETERS)))
    return cell(draw(parameters(PARAMETERS[cell], dtype)), dt=DT)


@given(cells(), seeds)
def test_what_goes_out_computes_the_same(cell: nn.Module, seed: int) -> None:
    graph = exported(cell, 2, SIZE, strict=True)
    x = inputs((SIZE,), seed)
    expected = of_the_reference(graph, x)
    actual = over_time(cell, x)
    assert torch.allclose(actual, expected, rtol=1e-9, atol=1e-9)


@given(cells(), seeds)
def test_it_comes_back_as_it_was(cell: nn.Module, seed: int) -> None:
    graph = exported(cell, 2, SIZE)
    module = norse.import_from_nir(graph, dt=DT, dtype=torch.float64)
    (again,) = module.children() if len(list(module.children())) == 1 else (_only_cell(module),)
    assert type(again) is type(cell)
    x = inputs((SIZE,), seed)
    assert torch.allclose(over_time(module, x), over_time(cell, x), rtol=1e-12, atol=1e-12)
    assert_same_graph(graph, _renamed(exported(module, 2, SIZE), graph))


def _only_cell(module: nn.Module) -> nn.Module:
    return next(child for child in module.children() if type(child) in PARAMETERS)


def _renamed(graph: nir.NIRGraph, like: nir.NIRGraph) -> nir.NIRGraph:
    assert list(graph.nodes) == list(like.nodes)
    return graph


@given(cells(torch.float32), seeds)
def test_in_single_precision(cell: nn.Module, seed: int) -> None:
    """A rate there and back may differ in its last bit, which may move a spike."""
    graph = exported(cell, 2, SIZE)
    module = norse.import_from_nir(graph, dt=DT)
    x = inputs((SIZE,), seed, torch.float32)
    ours, theirs = over_time(module, x), over_time(cell, x)
    assert ours.dtype == torch.float32
    if type(cell) in (snn.LIBoxCell, snn.LICell):
        assert torch.allclose(ours, theirs, rtol=1e-5, atol=1e-5)
    else:
        assert (ours != theirs).sum() <= 2


@pytest.mark.parametrize("cell", PARAMETERS)
def test_defaults(cell: Any) -> None:
    graph = exported(cell(), 2, SIZE, strict=True)
    module = norse.import_from_nir(graph)
    x = inputs((SIZE,), dtype=torch.float32)
    assert torch.equal(over_time(module, x), over_time(cell(), x))


# Over time


@pytest.mark.parametrize(
    ("sequence", "cell"), [(snn.LIF, snn.LIFCell), (snn.LI, snn.LICell), (snn.IAF, snn.IAFCell)]
)
@given(data=st.data(), seed=seeds)
def test_sequences(sequence: Any, cell: Any, data: Any, seed: int) -> None:
    p = data.draw(parameters(PARAMETERS[cell]))
    if sequence is not snn.IAF:  # which starts at v_leak by torch.full
        p = p._replace(v_leak=torch.tensor(0.25, dtype=torch.float64))
    x = inputs((SIZE,), seed)
    with torch.no_grad():
        expected, _ = sequence(p, dt=DT)(x)
    graph = exported(sequence(p, dt=DT), 4, 2, SIZE, strict=True)
    module = norse.import_from_nir(graph, dt=DT, dtype=torch.float64)
    assert torch.allclose(over_time(module, x), expected, rtol=1e-9, atol=1e-9)


def test_a_sequence_starts_in_single_precision() -> None:
    """torch.full in float32: another number than v_leak, which the metadata tells."""
    p = double(snn.LIParameters, v_leak=torch.tensor(0.1, dtype=torch.float64))
    with pytest.warns(AnnotatedWarning, match="v starts elsewhere"):
        graph = exported(snn.LI(p), 4, 2, SIZE)
    (node,) = (n for n in graph.nodes.values() if isinstance(n, nir.CubaLI))
    assert node.metadata["v_initial"] == float(np.float32(0.1))
    x = inputs((SIZE,))
    module = norse.import_from_nir(graph, dt=DT, dtype=torch.float64)
    with torch.no_grad():
        expected, _ = snn.LI(p)(x)
    assert torch.allclose(over_time(module, x), expected, rtol=1e-12, atol=1e-9)


# Recurrent cells, and cells with weights


@given(data=st.data(), seed=seeds, autapses=st.booleans())
def test_recurrent_cells(data: Any, seed: int, autapses: bool) -> None:
    torch.manual_seed(seed % 1000)
    p = data.draw(parameters(snn.LIFParameters))._replace(v_leak=torch.tensor(0.0))
    cell = snn.LIFRecurrentCell(4, SIZE, p, autapses=autapses, dt=DT).double()
    x = inputs((4,), seed)
    graph = exported(cell, 2, 4)
    expected = over_time(cell, x)
    assert torch.allclose(of_the_reference(graph, x), expected, rtol=1e-9, atol=1e-9)
    module = norse.import_from_nir(graph, dt=DT, dtype=torch.float64)
    assert torch.allclose(over_time(module, x), expected, rtol=1e-9, atol=1e-9)


def test_a_recurrent_sequence() -> None:
    torch.manual_seed(1)
    layer = snn.LIFRecurrent(4, SIZE, double(snn.LIFParameters), dt=DT).double()
    x = inputs((4,))
    with torch.no_grad():
        expected, _ = layer(x)
    assert 0.01 < expected.mean() < 0.9
    assert torch.equal(of_the_reference(exported(layer, 5, 2, 4), x), expected)


def test_a_weighted_leaky_integrator() -> None:
    torch.manual_seed(1)
    cell = snn.LILinearCell(4, SIZE, double(snn.LIParameters), dt=DT).double()
    x = inputs((4,))
    graph = exported(cell, 2, 4)
    expected = over_time(cell, x)
    assert torch.allclose(of_the_reference(graph, x), expected, rtol=1e-9, atol=1e-12)


# A reset by subtraction


def soft(**changed: Any) -> nn.Module:
    p = double(snn.LIFBoxParameters, reset_method=reset_subtract, **changed)
    return snn.LIFBoxCell(p, dt=DT)


def test_a_reset_by_subtraction_comes_back() -> None:
    cell = soft(v_leak=torch.tensor([0.1, 0.2, 0.3]))
    with pytest.warns(AnnotatedWarning, match="reset by subtraction"):
        graph = exported(cell, 2, SIZE)
    x = inputs((SIZE,))
    expected = over_time(cell, x)
    module = norse.import_from_nir(graph, dt=DT, dtype=torch.float64)
    assert type(_only_cell(module)) is snn.LIFBoxCell
    for other in (over_time(module, x), of_the_reference(graph, x)):
        assert torch.equal(other, expected)
    hard = snn.LIFBoxCell(cell.p._replace(reset_method=snn.LIFBoxParameters().reset_method))
    assert not torch.equal(over_time(hard, x), expected)


def test_it_is_decomposed() -> None:
    graph = exported(soft(), 2, SIZE, soft_reset="decompose", strict=True)
    x = inputs((SIZE,))
    expected = over_time(soft(), x)
    assert torch.equal(of_the_reference(graph, x), expected)
    module = norse.import_from_nir(graph, dt=DT, dtype=torch.float64)
    assert torch.equal(over_time(module, x), expected)


def test_it_comes_in_from_another_framework() -> None:
    from spikingjelly.activation_based import neuron

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AnnotatedWarning)
        node = neuron.LIFNode(5.0, v_reset=None)
        graph = spikingjelly.export_to_nir(node, torch.zeros(2, SIZE), dt=DT)
    module = norse.import_from_nir(graph, dt=DT)
    assert _only_cell(module).p.reset_method is reset_subtract
    x = inputs((SIZE,), dtype=torch.float32)
    with torch.no_grad():
        expected = torch.stack([node(step) for step in x])
    assert torch.equal(over_time(module, x), expected)

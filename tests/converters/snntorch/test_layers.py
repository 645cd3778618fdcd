"""Every snnTorch layer goes to NIR and back, and computes the same over 100 steps, in float64.

The layers' own surrogate functions give float32 whatever they are given, so `step_in` takes their
place: the same step, in float64.
"""

from __future__ import annotations

import warnings
from typing import Any, Literal

import nir
import pytest
import snntorch as snn
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from snntorch import utils
from torch import nn

from nir_exchange import reference, snntorch
from nir_runtime.errors import AnnotatedWarning, ExportRefused
from nir_runtime.functions import step_in
from tests.graphs import assert_same_graph, spikes
from tests.nodes import DT, neurons, single

STEPS, SIZE = 100, 4
Mechanism = Literal["zero", "subtract", "none"]
mechanisms = st.sampled_from(["zero", "subtract", "none"])
seeds = st.integers(0, 2**32 - 1)
times = st.sampled_from([1e-5, 1e-4, 1e-3, 0.0123])


def numbers(low: float, high: float) -> st.SearchStrategy[Any]:
    """A number for all neurons, or one for each."""
    each = st.lists(st.floats(low, high), min_size=SIZE, max_size=SIZE)
    vectors = each.map(lambda values: torch.tensor(values, dtype=torch.float64))
    return st.one_of(st.floats(low, high), vectors)


def data(seed: int, *features: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((STEPS, 2, *features), generator=generator, dtype=torch.float64) * 1.5


def export(net: nn.Module, x: torch.Tensor, dt: float = DT, **options: Any) -> nir.NIRGraph:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AnnotatedWarning)
        return snntorch.export_to_nir(net, x, dt=dt, **options)


def assert_computes_the_same(layer: nn.Module, x: torch.Tensor, dt: float) -> nir.NIRGraph:
    """The layer, the reference of its graph, and what comes back, which a reset restarts."""
    net = nn.Sequential(layer).double()
    graph = export(net, x[0], dt)
    imported = snntorch.import_from_nir(graph, dt=dt, dtype=torch.float64)
    expected = spikes(net, x, "s")
    oracle = spikes(reference.import_from_nir(graph, dt=dt, dtype=torch.float64), x, "s")
    assert torch.equal(oracle, expected)
    for _ in range(2):
        assert torch.equal(spikes(imported, x, "s"), expected)
        utils.reset(imported)
    again = export(imported, x[0], dt)
    assert set(again.nodes) == set(graph.nodes)
    assert set(again.edges) == set(graph.edges)
    if again.edges == graph.edges:  # a cycle may come back with its edges in another order
        assert_same_graph(graph, again)
    return graph


HIDDEN = {"init_hidden": True, "spike_grad": step_in(torch.float64)}


@given(
    beta=st.one_of(numbers(0.0, 0.99), st.just(1.0)), threshold=numbers(0.05, 2.0),
    mechanism=mechanisms, delay=st.booleans(), factor=st.one_of(st.just(1.0), numbers(1.5, 2.0)),
    dt=times, seed=seeds,
)  # fmt: skip
def test_leaky(
    beta: Any, threshold: Any, mechanism: Mechanism, delay: bool, factor: Any,
    dt: float, seed: int,
) -> None:  # fmt: skip
    layer = snn.Leaky(
        beta, threshold, reset_mechanism=mechanism, reset_delay=delay,
        graded_spikes_factor=factor, **HIDDEN,
    )  # fmt: skip
    graph = assert_computes_the_same(layer, data(seed, SIZE), dt)
    assert graph.report.grade.name == ("ANNOTATED" if mechanism == "subtract" else "EXACT")


@given(
    alpha=numbers(0.0, 0.99), beta=numbers(0.0, 0.99), threshold=numbers(0.05, 2.0),
    mechanism=st.sampled_from(["zero", "subtract"]), delay=st.booleans(), dt=times, seed=seeds,
)  # fmt: skip
def test_synaptic(
    alpha: Any, beta: Any, threshold: Any, mechanism: Mechanism, delay: bool, dt: float, seed: int,
) -> None:  # fmt: skip
    assume(mechanism != "zero" or not delay)
    layer = snn.Synaptic(
        alpha, beta, threshold, reset_mechanism=mechanism, reset_delay=delay, **HIDDEN
    )
    assert_computes_the_same(layer, data(seed, SIZE), dt)


@given(
    resistance=st.floats(1.1, 5.0), capacity=st.floats(1.1, 5.0), threshold=numbers(0.05, 1.0),
    mechanism=st.sampled_from(["subtract", "none"]), dt=times, seed=seeds,
)  # fmt: skip
def test_lapicque(
    resistance: float, capacity: float, threshold: Any, mechanism: Mechanism, dt: float, seed: int,
) -> None:  # fmt: skip
    layer = snn.Lapicque(
        R=resistance, C=capacity, threshold=threshold, reset_mechanism=mechanism, **HIDDEN
    )
    x = data(seed, SIZE)
    net = nn.Sequential(layer).double()
    graph = export(net, x[0], dt)
    expected = spikes(net, x, "s")
    imported = snntorch.import_from_nir(graph, dt=dt, dtype=torch.float64)
    assert torch.equal(spikes(imported, x, "s"), expected)


recurrences: dict[str, dict[str, Any]] = {
    "linear": {"linear_features": SIZE},
    "one to one": {"all_to_all": False, "V": torch.linspace(-1, 1, SIZE)},
    "convolution": {"conv2d_channels": 2, "kernel_size": (3, 1)},
}


@given(
    beta=st.one_of(st.floats(0.0, 0.99), st.just(1.0)), threshold=st.floats(0.05, 2.0),
    mechanism=mechanisms, delay=st.booleans(), kind=st.sampled_from(list(recurrences)), seed=seeds,
)  # fmt: skip
def test_rleaky(
    beta: float, threshold: float, mechanism: Mechanism, delay: bool, kind: str, seed: int
) -> None:
    assume(mechanism != "zero" or not delay)
    torch.manual_seed(seed)
    layer = snn.RLeaky(
        beta, threshold=threshold, reset_mechanism=mechanism, reset_delay=delay,
        **recurrences[kind], **HIDDEN,
    )  # fmt: skip
    features = (2, 4, 3) if kind == "convolution" else (SIZE,)
    assert_computes_the_same(layer, data(seed, *features), DT)


@given(
    alpha=st.floats(0.0, 0.99), beta=st.floats(0.0, 0.99), kind=st.sampled_from(list(recurrences)),
    seed=seeds,
)  # fmt: skip
def test_rsynaptic(alpha: float, beta: float, kind: str, seed: int) -> None:
    torch.manual_seed(seed)
    layer = snn.RSynaptic(alpha, beta, **recurrences[kind], **HIDDEN)
    features = (2, 4, 3) if kind == "convolution" else (SIZE,)
    assert_computes_the_same(layer, data(seed, *features), DT)


@given(beta=st.one_of(numbers(0.0, 0.99), st.just(1.0)), threshold=numbers(0.05, 2.0), seed=seeds)
def test_the_default_reset_in_nir_s_own_primitives(beta: Any, threshold: Any, seed: int) -> None:
    net = nn.Sequential(snn.Leaky(beta, threshold, **HIDDEN)).double()
    x = data(seed, SIZE)
    graph = snntorch.export_to_nir(net, x[0], dt=DT, soft_reset="decompose", strict=True)
    assert not any("reset" in node.metadata for node in graph.nodes.values())
    oracle = reference.import_from_nir(graph, dt=DT, dtype=torch.float64)
    assert torch.equal(spikes(oracle, x, "s"), spikes(net, x, "s"))


def test_a_reset_that_is_carried_on_has_no_primitives() -> None:
    net = nn.Sequential(snn.Leaky(0.9, reset_delay=False, init_hidden=True))
    with pytest.raises(ExportRefused, match="carried into the next step"):
        snntorch.export_to_nir(net, torch.zeros(1, SIZE), soft_reset="decompose")


def test_a_beta_beyond_its_bounds_is_what_the_layer_takes_it_for() -> None:
    layer = snn.Leaky(torch.tensor([-0.5, 0.5, 0.25, 0.0]), reset_mechanism="zero", **HIDDEN)
    assert_computes_the_same(layer, data(0, SIZE), DT)


@pytest.mark.parametrize(
    ("layer", "what"),
    [
        (snn.Leaky(torch.tensor([0.5, 1.0]), **HIDDEN), "its neurons differ in beta"),
        (snn.Leaky(0.5, graded_spikes_factor=torch.tensor([1.0, 2.0]), **HIDDEN), "differ in"),
        (snn.Leaky(0.5, inhibition=True, init_hidden=True), "only the neuron with the highest"),
        (snn.Leaky(0.5, spike_grad=torch.sigmoid, init_hidden=True), "something other than spikes"),
        (snn.Alpha(0.9, 0.8, init_hidden=True), "a difference of two filters"),
        (snn.Synaptic(0.9, 0.8, reset_mechanism="zero", init_hidden=True), "drops that step's"),
    ],
)
@pytest.mark.filterwarnings("ignore:Inhibition")
def test_refused(layer: nn.Module, what: str) -> None:
    with pytest.raises(ExportRefused, match=what) as refused:
        export(nn.Sequential(layer), torch.zeros(3, 2))
    assert refused.value.problems[0].advice


@given(neurons(SIZE), seeds)
def test_any_neuron_comes_in(node: nir.NIRNode, seed: int) -> None:
    """In a layer of snnTorch, behind a gain, or in the reference's cell."""
    graph = single(node, SIZE)
    x = data(seed, SIZE)
    ours = reference.import_from_nir(graph, dt=DT, dtype=torch.float64)
    theirs = snntorch.import_from_nir(graph, dt=DT, dtype=torch.float64)
    expected = spikes(ours, x, "s")
    for _ in range(2):
        torch.testing.assert_close(spikes(theirs, x, "s"), expected, rtol=1e-9, atol=1e-9)
        utils.reset(theirs)


@given(neurons(SIZE), seeds)
def test_states_that_the_caller_keeps(node: nir.NIRNode, seed: int) -> None:
    """`init_hidden=False`: the module hands states on, and starts afresh without one."""
    graph = single(node, SIZE)
    graph.nodes["back"] = nir.Linear(torch.linspace(-1, 1, SIZE * SIZE).reshape(SIZE, SIZE).numpy())
    graph.edges += [("node", "back"), ("back", "node")]
    x = data(seed, SIZE)
    ours = reference.import_from_nir(graph, dt=DT, dtype=torch.float64)
    theirs = snntorch.import_from_nir(graph, dt=DT, dtype=torch.float64, init_hidden=False)
    expected, state = spikes(ours, x, "s"), None
    for step, wanted in zip(x, expected, strict=True):
        y, state = theirs(step, state)
        torch.testing.assert_close(y, wanted, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(theirs(x[0])[0], expected[0], rtol=1e-9, atol=1e-9)
    again = export(theirs, x[0])
    assert set(again.nodes) == set(graph.nodes) - {"input"} | {"input"}


def test_snntorch_s_own_surrogate_in_single_precision() -> None:
    """As users have it: several layers, float32, snnTorch's own step."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(5, 8), snn.Leaky(0.9, init_hidden=True),
        nn.Linear(8, 3), snn.Leaky(0.8, reset_mechanism="zero", init_hidden=True),
    )  # fmt: skip
    x = data(1, 5).float() * 2
    graph = export(net, x[0])
    imported = snntorch.import_from_nir(graph, dt=DT)
    expected = spikes(net, x, "s")
    assert expected.sum() > 50
    assert torch.equal(spikes(imported, x, "s"), expected)

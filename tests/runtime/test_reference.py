"""The contract, against numpy written out from the table of the design, in double precision."""

from __future__ import annotations

import copy
import doctest
import pickle
from collections.abc import Callable, Mapping
from typing import Any

import nir
import numpy as np
import numpy.typing as npt
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from nir_runtime.contract import dynamics, reference
from nir_runtime.imports.importing import import_graph
from nir_runtime.sites import ImportSite
from nir_runtime.target import Target

from .handmade import affine, chain, graph, shaped_input

Array = npt.NDArray[np.float64]
State = dict[str, Array]
DT = 1e-3
STEPS = 100

NEURONS: Mapping[type[nir.NIRNode], type[reference.Host]] = {
    nir.I: reference.I,
    nir.IF: reference.IF,
    nir.LI: reference.LI,
    nir.LIF: reference.LIF,
    nir.CubaLI: reference.CubaLI,
    nir.CubaLIF: reference.CubaLIF,
}

FIELDS = {
    nir.I: ("r",),
    nir.IF: ("r", "v_threshold", "v_reset"),
    nir.LI: ("tau", "r", "v_leak"),
    nir.LIF: ("tau", "r", "v_leak", "v_threshold", "v_reset"),
    nir.CubaLI: ("tau_syn", "tau_mem", "r", "v_leak", "w_in"),
    nir.CubaLIF: ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset", "w_in"),
}

RANGES = {
    "r": (0.5, 3.0),
    "w_in": (0.5, 3.0),
    "v_leak": (-0.5, 0.5),
    "v_threshold": (0.2, 1.0),
    "v_reset": (-0.5, 0.1),
    "tau": (0.5 * DT, 30 * DT),
    "tau_mem": (0.5 * DT, 30 * DT),
    "tau_syn": (0.5 * DT, 30 * DT),
}


# The design's table, line by line


def started(kind: type[nir.NIRNode], p: dict[str, Array]) -> State:
    if kind is nir.I:
        return {"v": np.zeros_like(p["r"])}
    if kind is nir.IF:
        return {"v": p["v_reset"]}
    return {"v": p["v_leak"], "i": np.zeros_like(p["v_leak"])}


def step(kind: type[nir.NIRNode], p: dict[str, Array], s: State, x: Array) -> Array:
    if kind in (nir.I, nir.IF):
        s["v"] = s["v"] + DT * p["r"] * x
    if kind in (nir.LI, nir.LIF):
        s["v"] = s["v"] + DT / p["tau"] * ((p["v_leak"] - s["v"]) + p["r"] * x)
    if kind in (nir.CubaLI, nir.CubaLIF):
        s["i"] = s["i"] + DT / p["tau_syn"] * (p["w_in"] * x - s["i"])
        s["v"] = s["v"] + DT / p["tau_mem"] * ((p["v_leak"] - s["v"]) + p["r"] * s["i"])
    if kind not in (nir.IF, nir.LIF, nir.CubaLIF):
        return s["v"]
    z = s["v"] > p["v_threshold"]
    s["v"] = np.where(z, p["v_reset"], s["v"])
    return z.astype(float)


def by_the_table(kind: type[nir.NIRNode], p: dict[str, Array], x: Array) -> Array:
    state = started(kind, p)
    return np.stack([step(kind, p, state, each) for each in x])


def drawn(kind: type[nir.NIRNode], seed: int, shape: tuple[int, ...]) -> dict[str, Array]:
    random = np.random.default_rng(seed)
    return {name: random.uniform(*RANGES[name], size=shape) for name in FIELDS[kind]}


def driven(kind: type[nir.NIRNode], seed: int, shape: tuple[int, ...]) -> Array:
    """Input that makes the neuron move, and fire if it can."""
    size = 300.0 if kind in (nir.I, nir.IF) else 2.0
    return np.random.default_rng(seed).normal(0.3 * size, size, size=(STEPS, *shape))


def run(module: reference.Host, x: Array) -> Array:
    with torch.no_grad():
        return np.stack([module(torch.as_tensor(each)).numpy() for each in x])


@pytest.mark.parametrize("kind", NEURONS)
@given(
    seed=st.integers(0, 10**6),
    features=st.sampled_from([(), (1,), (5,), (2, 3)]),
    leading=st.sampled_from([(), (3,), (2, 2)]),
    own=st.booleans(),
)
def test_a_neuron_computes_the_table_bit_by_bit(
    kind: type[nir.NIRNode],
    seed: int,
    features: tuple[int, ...],
    leading: tuple[int, ...],
    own: bool,
) -> None:
    parameters = drawn(kind, seed, features if own else ())
    x = driven(kind, seed, leading + features)
    expected = by_the_table(kind, parameters, x)
    one, several = NEURONS[kind](**parameters, dt=DT), NEURONS[kind](**parameters, dt=DT)
    several.step_mode = "m"
    assert np.array_equal(run(one, x), expected)
    with torch.no_grad():
        assert np.array_equal(several(torch.from_numpy(x)).numpy(), expected)
    for name in one.memory:
        assert torch.equal(getattr(one, name), getattr(several, name))


@pytest.mark.parametrize("kind", [nir.IF, nir.LIF, nir.CubaLIF])
def test_the_tests_above_have_spikes_in_them(kind: type[nir.NIRNode]) -> None:
    x = driven(kind, 1, (3, 5))
    assert 0.02 < by_the_table(kind, drawn(kind, 1, (5,)), x).mean() < 0.9


def test_at_the_threshold_there_is_no_spike() -> None:
    module = reference.IF(r=1 / DT, v_threshold=1.0, dt=DT)
    assert run(module, np.array([0.5, 0.5, 0.5])).tolist() == [0.0, 0.0, 1.0]
    assert reference.Threshold(1.0)(torch.tensor([0.9, 1.0, 1.1])).tolist() == [0.0, 0.0, 1.0]


def test_a_reset_is_to_v_reset_in_the_same_step() -> None:
    module = reference.LIF(tau=DT, r=1.0, v_leak=0.0, v_threshold=0.5, v_reset=-0.25, dt=DT)
    assert run(module, np.array([1.0])) == [1.0]
    assert module.v.item() == -0.25


@pytest.mark.parametrize("kind", NEURONS)
def test_a_neuron_that_starts_elsewhere(kind: type[nir.NIRNode]) -> None:
    parameters, x = drawn(kind, 3, (5,)), driven(kind, 3, (5,))
    module = NEURONS[kind](**parameters, dt=DT, v_initial=np.full(5, -0.7))
    state = started(kind, parameters) | {"v": np.full(5, -0.7)}
    expected = np.stack([step(kind, parameters, state, each) for each in x])
    assert np.array_equal(run(module, x), expected)
    module.reset()
    assert np.array_equal(run(module, x), expected)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=4), st.sampled_from([(), (3,)]))
def test_a_delay_gives_what_came_so_many_steps_ago(
    steps: list[int], leading: tuple[int, ...]
) -> None:
    x = np.random.default_rng(0).normal(size=(12, *leading, len(steps)))
    expected = np.zeros_like(x)
    for feature, back in enumerate(steps):
        expected[back:, ..., feature] = x[: len(x) - back, ..., feature]
    delay = np.array(steps) * DT
    one, several = reference.Delay(delay, dt=DT), reference.Delay(delay, dt=DT)
    several.step_mode = "m"
    assert np.array_equal(run(one, x), expected)
    assert np.array_equal(several(torch.from_numpy(x[:5])).numpy(), expected[:5])
    assert np.array_equal(several(torch.from_numpy(x[5:])).numpy(), expected[5:])


def test_a_delay_is_rounded_to_steps() -> None:
    delay = reference.Delay(np.array([3e-4, 0.6e-4, 0.4e-4, 1.6e-4]), dt=1e-4)
    assert delay.steps_back.tolist() == [3, 1, 0, 2]
    assert reference.Delay(np.float32(3e-4), dt=1e-4).steps_back.item() == 3


# Nodes without state


LEADING = pytest.mark.parametrize("leading", [(), (3,), (4, 2), (2, 2, 2)])


def random_array(*shape: int) -> Array:
    return np.random.default_rng(sum(shape)).normal(size=shape)


@LEADING
@pytest.mark.parametrize("lead", [(), (3,), (2, 3)])
def test_affine_and_linear(leading: tuple[int, ...], lead: tuple[int, ...]) -> None:
    weight, bias, x = (
        random_array(*lead, 5, 4),
        random_array(*lead, 5),
        random_array(*leading, *lead, 4),
    )
    expected = np.einsum("...oi,...i->...o", weight, x)
    computed = reference.Linear(weight)(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(computed, expected, rtol=1e-12)
    computed = reference.Affine(weight, bias)(torch.from_numpy(x)).detach().numpy()
    np.testing.assert_allclose(computed, expected + bias, rtol=1e-12)


@LEADING
def test_scale_and_threshold(leading: tuple[int, ...]) -> None:
    values, x = random_array(2, 3), random_array(*leading, 2, 3)
    assert np.array_equal(reference.Scale(values)(torch.from_numpy(x)).detach(), values * x)
    assert np.array_equal(reference.Threshold(values)(torch.from_numpy(x)), x > values)


@LEADING
@pytest.mark.parametrize("padding", [(1, 2), "same", "valid", 1])
def test_convolutions(leading: tuple[int, ...], padding: Any) -> None:
    stride = 1 if padding == "same" else (2, 1)
    weight, bias = random_array(6, 2, 3, 2), random_array(6)
    x = torch.from_numpy(random_array(*leading, 4, 9, 8))
    module = reference.Conv2d(None, weight, stride, padding, (1, 2), 2, bias)
    w, b = torch.from_numpy(weight), torch.from_numpy(bias)
    flat = F.conv2d(x.reshape(-1, 4, 9, 8), w, b, stride, padding, (1, 2), 2)
    assert torch.equal(module(x), flat.reshape(*leading, *flat.shape[1:]))

    padding = padding if isinstance(padding, str) else 1
    one = reference.Conv1d(None, weight[..., 0], 1, padding, 2, 2, bias)
    flat = F.conv1d(x[..., 0].reshape(-1, 4, 9), w[..., 0], b, 1, padding, 2, 2)
    assert torch.equal(one(x[..., 0]), flat.reshape(*leading, *flat.shape[1:]))


@LEADING
@pytest.mark.parametrize("padding", [0, (1, 0), (0, 3)])
def test_pools(leading: tuple[int, ...], padding: Any) -> None:
    x = random_array(*leading, 2, 6, 7)
    high, wide = (padding, padding) if isinstance(padding, int) else padding
    zeros = [(0, 0)] * (len(leading) + 1)
    padded = np.pad(x, [*zeros, (high, high), (wide, wide)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 2), (-2, -1))[
        ..., ::2, ::1, :, :
    ]
    total = reference.SumPool2d((3, 2), (2, 1), padding)(torch.from_numpy(x))
    mean = reference.AvgPool2d((3, 2), (2, 1), padding)(torch.from_numpy(x))
    np.testing.assert_allclose(total, windows.sum((-2, -1)), rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(mean, windows.mean((-2, -1)), rtol=1e-12, atol=1e-12)


@LEADING
@pytest.mark.parametrize(("start", "end"), [(0, -1), (1, -1), (0, 1), (-2, 2), (1, 1)])
def test_flatten(leading: tuple[int, ...], start: int, end: int) -> None:
    x = torch.zeros(*leading, 2, 3, 4)
    expected = torch.zeros(2, 3, 4).flatten(start, end).shape
    assert reference.Flatten((2, 3, 4), start, end)(x).shape == (*leading, *expected)


# Modules


def lif(**changes: Any) -> reference.LIF:
    fields = {"tau": 5 * DT, "r": 1.0, "v_leak": 0.1, "v_threshold": 0.5, "v_reset": -0.1}
    return reference.LIF(**(fields | {"dt": DT} | changes))


def test_they_remember_until_they_are_reset() -> None:
    module, x = lif(), driven(nir.LIF, 0, (3,))
    first = run(module, x)
    assert not np.array_equal(run(module, x), first)
    module.reset()
    assert module.v is None
    assert np.array_equal(run(module, x), first)


@pytest.mark.parametrize("survive", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_go_on_from_the_same_state(survive: Callable[[nn.Module], Any]) -> None:
    module, x = lif(), driven(nir.LIF, 0, (3,))
    run(module, x[:50])
    copied = survive(module)
    assert np.array_equal(run(copied, x[50:]), run(module, x[50:]))


def test_parameters_and_state_move_together() -> None:
    module = lif(tau=np.full(3, 5 * DT))
    run(module, driven(nir.LIF, 0, (3,))[:5])
    module.to(torch.float32)
    assert {tensor.dtype for tensor in module.buffers()} == {torch.float32}
    assert module.v.dtype == torch.float32
    assert module(torch.ones(3)).dtype == torch.float32


def test_numbers_do_not_raise_the_precision_of_the_input() -> None:
    assert lif()(torch.ones(3, dtype=torch.float32)).dtype == torch.float32
    assert lif()(torch.ones(3, dtype=torch.float64)).dtype == torch.float64
    assert lif().tau.dtype == torch.float64
    assert lif(dtype=torch.float32).tau.dtype == torch.float32


def test_a_state_dict_holds_the_parameters() -> None:
    module, other = lif(tau=np.full(3, 2e-3)), lif(tau=np.full(3, 9e-3))
    assert list(module.state_dict()) == ["tau", "r", "v_leak", "v_threshold", "v_reset"]
    other.load_state_dict(module.state_dict())
    x = driven(nir.LIF, 0, (3,))
    assert np.array_equal(run(other, x), run(module, x))


def test_they_print_their_parameters() -> None:
    shown = repr(lif(tau=np.array([1e-3, 2e-3])))
    assert shown == "LIF(tau=[2], r=1, v_leak=0.1, v_threshold=0.5, v_reset=-0.1, dt=0.001)"


def test_the_gradient_at_a_spike_is_that_of_an_arctangent() -> None:
    v = torch.linspace(-1, 1, 9, dtype=torch.float64, requires_grad=True)
    threshold = torch.tensor(0.25, dtype=torch.float64, requires_grad=True)
    dynamics.spike(v, threshold).sum().backward()
    smooth = v.detach().clone().requires_grad_()
    (torch.arctan(torch.pi * (smooth - 0.25)) / torch.pi).sum().backward()
    torch.testing.assert_close(v.grad, smooth.grad)
    torch.testing.assert_close(threshold.grad, -smooth.grad.sum())


def test_gradients_reach_every_weight_through_time() -> None:
    conv = reference.Conv2d(None, random_array(2, 1, 3, 3), 1, 1, 1, 1, random_array(2))
    net = nn.Sequential(
        conv,
        lif(),
        reference.SumPool2d(2, 2, 0),
        reference.Flatten((2, 2, 2), 0),
        reference.Affine(random_array(4, 8), random_array(4)),
        reference.CubaLIF(5 * DT, 5 * DT, 1.0, 0.0, 0.1, dt=DT),
        reference.Scale(random_array(4)),
    )
    x = torch.from_numpy(random_array(20, 3, 1, 4, 4))
    sum(net(each).sum() for each in x).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_the_gradient_below_the_threshold_is_that_of_the_equations() -> None:
    module = reference.LI(5 * DT, 1.5, 0.1, dt=DT)
    x = torch.from_numpy(random_array(6, 2)).requires_grad_()
    module.step_mode = "m"

    def last(x: torch.Tensor) -> torch.Tensor:
        module.reset()
        return module(x)[-1]

    assert torch.autograd.gradcheck(last, (x,))


def test_the_examples_of_the_documentation() -> None:
    assert doctest.testmod(reference, extraglobs={"torch": torch}).failed == 0


# Graphs


def neuron(kind: type[reference.Host]) -> Callable[[Any, ImportSite], nn.Module]:
    def importer(node: Any, at: ImportSite) -> nn.Module:
        names = FIELDS[type(node)]
        return kind(**{name: getattr(node, name) for name in names}, dt=at.dt, dtype=at.dtype)

    return importer


def matrix(node: nir.Affine, at: ImportSite) -> nn.Module:
    return reference.Affine(node.weight, node.bias, dtype=at.dtype)


TARGET = Target(
    name="reference",
    packages=(),
    exporters={},
    importers={nir.Affine: (matrix,), **{k: (neuron(module),) for k, module in NEURONS.items()}},
    state={},
    mode_attribute="step_mode",
    leading_axes={"s": 1, "m": 2},
    cell=reference.Cell,
)


def imported(made: nir.NIRGraph, step_mode: str) -> nn.Module:
    options = {"step_mode": step_mode}
    return import_graph(TARGET, made, DT, "cpu", torch.float64, options, strict=True)


@pytest.mark.parametrize("leading", [(), (3,)])
def test_a_graph_with_a_loop_has_a_home_without_a_framework(leading: tuple[int, ...]) -> None:
    p, q = drawn(nir.LIF, 5, (4,)), drawn(nir.CubaLIF, 6, (4,))
    nodes = {"i": shaped_input((4,)), "a": nir.LIF(**p), "w": affine(0), "b": nir.CubaLIF(**q)}
    nodes["o"] = nir.Output({"output": None})
    made = graph(nodes, ("i", "a"), ("a", "w"), ("w", "b"), ("b", "a"), ("b", "o"))
    x = driven(nir.LIF, 7, (*leading, 4))
    weight, bias = nodes["w"].weight, nodes["w"].bias
    a, b, z = started(nir.LIF, p), started(nir.CubaLIF, q), np.zeros((*leading, 4))
    expected = []
    for each in x:
        z = step(nir.CubaLIF, q, b, step(nir.LIF, p, a, each + z) @ weight.T + bias)
        expected.append(z)
    assert 0.02 < np.mean(expected) < 0.98
    steps, several = imported(made, "s"), imported(made, "m")
    with torch.no_grad():
        one_by_one = torch.stack([steps(torch.from_numpy(each))[0] for each in x])
        at_once, state = several(torch.from_numpy(x))
    assert np.array_equal(one_by_one, np.stack(expected))
    assert np.array_equal(at_once, np.stack(expected))
    assert {name: sorted(values) for name, values in state.items()} == {
        "a": ["v"],
        "b": ["i", "previous", "v"],
    }
    assert np.array_equal(state["b"]["i"], b["i"])
    assert np.array_equal(state["b"]["previous"], z)


def test_a_cell_forgets_and_moves() -> None:
    cell = reference.Cell(dynamics.LIF(5 * DT, 1.0, 0.0, 0.5, dt=DT))
    x = driven(nir.LIF, 0, (3,))
    first = run(cell, x)
    assert np.array_equal(first, run(lif(v_leak=0.0, v_reset=0.0), x))
    cell.to(torch.float32)
    assert cell.v.dtype == torch.float32
    cell.reset()
    assert cell.v is None


def test_the_framework_hosts_the_same_dynamics() -> None:
    from spikingjelly.activation_based import functional

    from nir_runtime.frameworks.spikingjelly import Cell

    parameters, x = drawn(nir.CubaLIF, 2, (5,)), driven(nir.CubaLIF, 2, (3, 5))
    expected = by_the_table(nir.CubaLIF, parameters, x)
    cell = Cell(dynamics.CubaLIF(**parameters, dt=DT))
    for _ in range(2):
        assert np.array_equal(run(cell, x), expected)
        functional.reset_net(cell)
    functional.set_step_mode(cell, "m")
    assert np.array_equal(cell(torch.from_numpy(x)), expected)
    assert list(cell.state_dict()) == [f"dynamics.{name}" for name in cell.dynamics.state_dict()]


def test_a_chain_of_all_neurons() -> None:
    kinds = [nir.CubaLI, nir.LIF, nir.LI, nir.CubaLIF]
    made = chain(*(kind(**drawn(kind, seed, (4,))) for seed, kind in enumerate(kinds)))
    x = driven(nir.LI, 3, (2, 4)) * 3
    expected = x
    for seed, kind in enumerate(kinds):
        expected = by_the_table(kind, drawn(kind, seed, (4,)), expected)
    with torch.no_grad():
        assert np.array_equal(imported(made, "m")(torch.from_numpy(x))[0], expected)

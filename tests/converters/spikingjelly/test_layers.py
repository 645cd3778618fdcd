"""Every SpikingJelly layer goes to NIR and back, and computes the same spikes over 100 steps.

The imported layer has the parameters of the exported one to the last bit wherever both are the
same class, so the comparison is one of equality. (ParametricLIFNode comes back as LIFNode, which
divides by tau where the other multiplies by sigmoid(w): there, the membrane potentials are
compared with a tolerance, and the spikes away from the threshold.)
"""

from __future__ import annotations

import warnings
from typing import Any

import nir
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import nn

from nir_exchange import spikingjelly
from nir_runtime.errors import AnnotatedWarning
from tests.graphs import assert_same_graph, spikes

STEPS = 100
modes = st.sampled_from(["s", "m"])
times = st.sampled_from([1e-5, 1e-4, 1e-3, 0.0123])
dtypes = st.sampled_from([torch.float32, torch.float64])
seeds = st.integers(0, 2**32 - 1)
voltages = st.floats(-2.0, 2.0).map(lambda v: round(v, 6))
thresholds = st.floats(0.05, 2.0)
resets = st.one_of(st.none(), voltages)
surrogates = st.sampled_from([surrogate.Sigmoid, surrogate.ATan, surrogate.PiecewiseQuadratic])


def export(net: nn.Module, x: torch.Tensor, dt: float, **options: Any) -> nir.NIRGraph:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AnnotatedWarning)
        return spikingjelly.export_to_nir(net, x, dt=dt, **options)


def assert_round_trip(
    net: nn.Module, features: tuple[int, ...], mode: str, dt: float, seed: int, dtype: torch.dtype
) -> nn.Module:
    """Export, import, compare the spikes, export again, compare the graphs."""
    net = net.to(dtype)
    functional.set_step_mode(net, mode)
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn((STEPS, 2, *features), generator=generator, dtype=dtype) * 2
    example = x if mode == "m" else x[0]

    graph = export(net, example, dt)
    imported = spikingjelly.import_from_nir(graph, dt=dt, dtype=dtype, step_mode=mode)

    expected, actual = spikes(net, x, mode), spikes(imported, x, mode)
    assert expected.shape == actual.shape
    assert torch.equal(expected, actual)
    functional.reset_net(imported)
    assert_same_graph(graph, export(imported, example, dt))
    return imported


@given(
    v_threshold=thresholds, v_reset=resets, detach=st.booleans(), surrogate=surrogates,
    mode=modes, dt=times, seed=seeds, dtype=dtypes,
)  # fmt: skip
def test_if_node(
    v_threshold: float, v_reset: float | None, detach: bool, surrogate: Any,
    mode: str, dt: float, seed: int, dtype: torch.dtype,
) -> None:  # fmt: skip
    node = neuron.IFNode(v_threshold, v_reset, surrogate(), detach_reset=detach)
    assert_round_trip(nn.Sequential(node), (3, 4), mode, dt, seed, dtype)


# Nearer to 1, r = tau and r = 1 are one number to the precision in which nodes are compared.
@given(
    tau=st.floats(1.0 + 1e-9, 1000.0), decay_input=st.booleans(),
    v_threshold=thresholds, v_reset=resets, mode=modes, dt=times, seed=seeds, dtype=dtypes,
)  # fmt: skip
def test_lif_node(
    tau: float, decay_input: bool, v_threshold: float, v_reset: float | None,
    mode: str, dt: float, seed: int, dtype: torch.dtype,
) -> None:  # fmt: skip
    node = neuron.LIFNode(tau, decay_input, v_threshold, v_reset)
    imported = assert_round_trip(nn.Sequential(node), (5,), mode, dt, seed, dtype)
    back = imported.get_submodule("_0")
    assert type(back) is neuron.LIFNode
    assert back.tau == pytest.approx(tau, rel=1e-15, abs=0.0)
    assert (back.decay_input, back.v_threshold, back.v_reset) == (decay_input, v_threshold, v_reset)


@given(
    c_decay=st.floats(0.0, 0.99), v_decay=st.floats(0.0, 0.99),
    v_threshold=thresholds, v_reset=resets, mode=modes, dt=times, seed=seeds, dtype=dtypes,
)  # fmt: skip
def test_cuba_lif_node(
    c_decay: float, v_decay: float, v_threshold: float, v_reset: float | None,
    mode: str, dt: float, seed: int, dtype: torch.dtype,
) -> None:  # fmt: skip
    node = neuron.CUBALIFNode(c_decay, v_decay, v_threshold, v_reset)
    assert_round_trip(nn.Sequential(node), (2, 2), mode, dt, seed, dtype)


@given(
    init_tau=st.floats(1.01, 100.0), decay_input=st.booleans(), v_threshold=thresholds,
    v_reset=resets, mode=modes, dt=times, seed=seeds,
)  # fmt: skip
def test_parametric_lif_node(
    init_tau: float, decay_input: bool, v_threshold: float, v_reset: float | None,
    mode: str, dt: float, seed: int,
) -> None:  # fmt: skip
    node = neuron.ParametricLIFNode(init_tau, decay_input, v_threshold, v_reset, step_mode=mode)
    net = nn.Sequential(node).double()
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn((STEPS, 2, 6), generator=generator, dtype=torch.float64) * 2
    graph = export(net, x if mode == "m" else x[0], dt)
    imported = spikingjelly.import_from_nir(graph, dt=dt, dtype=torch.float64, step_mode=mode)
    # In float64 the two ways to write one number differ by 1e-16 a step; random input comes no
    # nearer to the threshold than that.
    assert torch.equal(spikes(net, x, mode), spikes(imported, x, mode))
    v, back = net[0].v, imported.get_submodule("_0").v
    assert torch.allclose(v, back, rtol=1e-9, atol=1e-9)
    assert graph.nodes["_0"].tau[0] == pytest.approx(dt / node.w.sigmoid().item(), rel=1e-15)


@given(
    nested=st.booleans(), bias=st.booleans(), sizes=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    mode=modes, dt=times, seed=seeds, dtype=dtypes,
)  # fmt: skip
def test_linear(
    nested: bool, bias: bool, sizes: tuple[int, int],
    mode: str, dt: float, seed: int, dtype: torch.dtype,
) -> None:  # fmt: skip
    make = nn.Linear if nested else layer.Linear
    net = nn.Sequential(make(*sizes, bias=bias), neuron.IFNode(0.3))
    assert_round_trip(net, (sizes[0],), mode, dt, seed, dtype)


@st.composite
def convolutions(draw: st.DrawFn, axes: int) -> tuple[dict[str, Any], tuple[int, ...]]:
    """Arguments of a convolution, and a shape that it takes."""
    groups = draw(st.integers(1, 3))
    sides = st.tuples(*[st.integers(1, 3)] * axes)
    kernel, dilation = draw(sides), draw(sides)
    stride = draw(sides)
    padding: Any = draw(st.one_of(st.sampled_from(["same", "valid"]), sides, st.just(0)))
    if padding == "same":
        stride = (1,) * axes
    arguments = {
        "in_channels": groups * draw(st.integers(1, 2)),
        "out_channels": groups * draw(st.integers(1, 2)),
        "kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation,
        "groups": groups, "bias": draw(st.booleans()),
    }  # fmt: skip
    spatial = draw(st.tuples(*[st.integers(7, 10)] * axes))
    return arguments, (arguments["in_channels"], *spatial)


@given(convolutions(1), st.booleans(), modes, times, seeds, dtypes)
def test_conv1d(
    convolution: tuple[dict[str, Any], tuple[int, ...]], torch_own: bool,
    mode: str, dt: float, seed: int, dtype: torch.dtype,
) -> None:  # fmt: skip
    arguments, shape = convolution
    mode = "s" if torch_own else mode
    make = nn.Conv1d if torch_own else layer.Conv1d
    net = nn.Sequential(make(**arguments), neuron.IFNode(0.3))
    imported = assert_round_trip(net, shape, mode, dt, seed, dtype)
    back = imported.get_submodule("_0")
    assert repr(back).startswith("Conv1d")
    assert (back.bias is not None) == arguments["bias"]


@given(convolutions(2), st.booleans(), modes, times, seeds, dtypes)
def test_conv2d(
    convolution: tuple[dict[str, Any], tuple[int, ...]], torch_own: bool,
    mode: str, dt: float, seed: int, dtype: torch.dtype,
) -> None:  # fmt: skip
    arguments, shape = convolution
    mode = "s" if torch_own else mode
    make = nn.Conv2d if torch_own else layer.Conv2d
    net = nn.Sequential(make(**arguments), neuron.LIFNode())
    imported = assert_round_trip(net, shape, mode, dt, seed, dtype)
    assert (imported.get_submodule("_0").bias is not None) == arguments["bias"]


@given(
    kernel=st.one_of(st.integers(1, 3), st.tuples(st.integers(1, 3), st.integers(1, 3))),
    stride=st.one_of(st.none(), st.integers(1, 3)), padded=st.booleans(), torch_own=st.booleans(),
    mode=modes, dt=times, seed=seeds, dtype=dtypes,
)  # fmt: skip
def test_avg_pool2d(
    kernel: Any, stride: int | None, padded: bool, torch_own: bool,
    mode: str, dt: float, seed: int, dtype: torch.dtype,
) -> None:  # fmt: skip
    smallest = kernel if isinstance(kernel, int) else min(kernel)
    mode = "s" if torch_own else mode
    make = nn.AvgPool2d if torch_own else layer.AvgPool2d
    pool = make(kernel, stride, padding=smallest // 2 if padded else 0)
    net = nn.Sequential(pool, neuron.IFNode(0.4))
    assert_round_trip(net, (2, 7, 8), mode, dt, seed, dtype)


@pytest.mark.parametrize("mode", ["s", "m"])
@pytest.mark.parametrize("dims", [(1, -1), (1, 2), (2, 3), (-2, -1), (1, 3), (-3, -2), (3, -1)])
def test_flatten(dims: tuple[int, int], mode: str) -> None:
    net = nn.Sequential(layer.Flatten(*dims), neuron.IFNode())
    assert_round_trip(net, (2, 3, 4), mode, 1e-4, 0, torch.float32)


def test_flatten_of_torch_in_multi_step_mode_counts_both_axes() -> None:
    net = nn.Sequential(nn.Flatten(2), neuron.IFNode())
    assert_round_trip(net, (2, 3), "m", 1e-4, 0, torch.float32)

"""What conversions cost, in counts: of calls, of copies, of ways of a tensor to main memory.

Ten times the nodes make ten times the calls, whatever the graph looks like, and none is handled
inside of the call for another. Times are measured by `make bench`.
"""

from __future__ import annotations

import sys
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
from spikingjelly.activation_based import layer, neuron
from torch import nn
from torch.overrides import TorchFunctionMode

import nir_exchange
from nir_exchange import reference, spikingjelly
from tests.runtime.counting import calls_made

FEW = 60
MANY = 10 * FEW
AS_MANY_TIMES = 10.5

FRAMES = 300
"""More than a conversion of few nodes needs, and fewer than there are nodes."""


@pytest.fixture(autouse=True)
def little_recursion() -> Iterator[None]:
    usual, frame, depth = sys.getrecursionlimit(), sys._getframe(), 0
    while frame is not None:
        frame, depth = frame.f_back, depth + 1
    sys.setrecursionlimit(depth + FRAMES)
    yield
    sys.setrecursionlimit(usual)


WIDTH = 3


# Graphs


def affine() -> nir.Affine:
    weight = np.random.default_rng(0).standard_normal((WIDTH, WIDTH)).astype(np.float32)
    return nir.Affine(weight, np.zeros(WIDTH, np.float32))


def lif() -> nir.LIF:
    return nir.LIF(*(np.full(WIDTH, value) for value in (1e-3, 1.0, 0.0, 1.0, 0.0)))


def ends() -> dict[str, nir.NIRNode]:
    return {"input": nir.Input(np.array([WIDTH])), "output": nir.Output(np.array([WIDTH]))}


def in_a_row(length: int) -> dict[str, nir.NIRNode]:
    """Affine and LIF nodes in turns, between an Input and an Output."""
    between = {f"n{k:05}": lif() if k % 2 else affine() for k in range(length)}
    return {"input": ends()["input"], **between, "output": ends()["output"]}


def chain(length: int) -> nir.NIRGraph:
    nodes = in_a_row(length)
    return nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False)


def skipping(length: int) -> nir.NIRGraph:
    """Each node also feeds the one behind the next."""
    nodes = in_a_row(length)
    names = list(nodes)
    skips = list(zip(names, names[2:], strict=False))
    return nir.NIRGraph(nodes, [*pairwise(names), *skips], type_check=False)


def rings(length: int) -> nir.NIRGraph:
    """A chain of neurons that each feed themselves through an Affine."""
    nodes = in_a_row(length)
    names = list(nodes)
    back = [(b, a) for k, (a, b) in enumerate(pairwise(names)) if k % 4 == 1 and b != "output"]
    return nir.NIRGraph(nodes, [*pairwise(names), *back], type_check=False)


def ring(length: int) -> nir.NIRGraph:
    """One cycle through all nodes."""
    nodes = in_a_row(length)
    names = list(nodes)
    return nir.NIRGraph(nodes, [*pairwise(names), (names[-2], names[1])], type_check=False)


def nested(length: int) -> nir.NIRGraph:
    """A chain of graphs of ten nodes."""
    inner = {f"sub{k}": chain(10) for k in range(length // 10)}
    nodes = {"input": ends()["input"], **inner, "output": ends()["output"]}
    return nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False)


def fan(length: int) -> nir.NIRGraph:
    """One node that feeds all others, which all feed one."""
    middle = {f"n{k}": affine() for k in range(length)}
    nodes = {**ends(), "first": lif(), "last": lif(), **middle}
    edges = [("input", "first"), ("last", "output")]
    edges += [edge for name in middle for edge in (("first", name), (name, "last"))]
    return nir.NIRGraph(nodes, edges, type_check=False)


GRAPHS = (chain, skipping, rings, ring, nested, fan)


@pytest.mark.parametrize("make", GRAPHS)
class TestTenTimesTheNodes:
    def test_are_imported_in_ten_times_the_calls(self, make: Callable[[int], nir.NIRGraph]) -> None:
        spikingjelly.import_from_nir(make(20))
        few, many = make(FEW), make(MANY)
        costs = [calls_made(lambda g=g: spikingjelly.import_from_nir(g)) for g in (few, many)]
        assert costs[1] < AS_MANY_TIMES * costs[0]

    def test_are_written_and_read_in_ten_times_the_calls(
        self, make: Callable[[int], nir.NIRGraph], tmp_path: Path
    ) -> None:
        sizes = (FEW, MANY)
        graphs, paths = [*map(make, sizes)], [tmp_path / f"{size}.nir" for size in sizes]
        writing = [
            calls_made(lambda p=p, g=g: nir_exchange.write(p, g))
            for p, g in zip(paths, graphs, strict=True)
        ]
        reading = [calls_made(lambda p=p: nir_exchange.read(p)) for p in paths]
        assert writing[1] < AS_MANY_TIMES * writing[0]
        assert reading[1] < AS_MANY_TIMES * reading[0]


# Networks


def sequence(length: int) -> nn.Module:
    pairs = ((layer.Linear(WIDTH, WIDTH), neuron.LIFNode()) for _ in range(length // 2))
    return nn.Sequential(*(made for pair in pairs for made in pair))


class Residual(nn.Module):
    """Blocks whose output is added to their input."""

    def __init__(self, length: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(sequence(2) for _ in range(length // 2))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.blocks:
            x = x + block(x)
        return x


def imported_ring(length: int) -> nn.Module:
    return reference.import_from_nir(ring(length))


EXPORTS: Mapping[Callable[[int], nn.Module], Callable[..., nir.NIRGraph]] = {
    sequence: spikingjelly.export_to_nir,
    Residual: spikingjelly.export_to_nir,
    imported_ring: reference.export_to_nir,
}


def test_a_step_of_an_imported_network_costs_little_beside_that_of_its_layers() -> None:
    """A layer is looked up, in one call more than it takes itself; a neuron's state takes two."""
    x, besides = torch.zeros(1, WIDTH), []
    for length in (FEW, MANY):
        net = sequence(length)
        imported = spikingjelly.import_from_nir(spikingjelly.export_to_nir(net, x))
        net(x), imported(x)
        besides.append(calls_made(lambda m=imported: m(x)) - calls_made(lambda m=net: m(x)))
    assert besides[1] - besides[0] < 2.25 * (MANY - FEW), "every second layer is a neuron"


@pytest.mark.parametrize("make", EXPORTS)
def test_ten_times_the_layers_are_exported_in_ten_times_the_calls(
    make: Callable[[int], nn.Module],
) -> None:
    export, x = EXPORTS[make], torch.zeros(1, WIDTH)
    export(make(20), x)
    few, many = make(FEW), make(MANY)
    costs = [calls_made(lambda net=net: export(net, x)) for net in (few, many)]
    assert costs[1] < AS_MANY_TIMES * costs[0]


@pytest.mark.parametrize("shape", [(1, 1, 3, 8, 8), (16, 4, 3, 8, 8), (1, 1, 3, 64, 64)])
def test_an_export_costs_the_same_whatever_the_size_of_its_input(shape: tuple[int, ...]) -> None:
    net = nn.Sequential(
        layer.Conv2d(3, 4, 3, padding=1, step_mode="m"),
        neuron.LIFNode(step_mode="m"),
        layer.AvgPool2d(2, step_mode="m"),
        layer.Flatten(step_mode="m"),
    )

    def cost(shape: tuple[int, ...]) -> int:
        x = torch.zeros(1).expand(shape)
        return calls_made(lambda: spikingjelly.export_to_nir(net, x))

    cost(shape)
    # A call or two is Python's own, that depends on what ran before.
    assert cost(shape) == pytest.approx(cost((1, 1, 3, 16, 16)), rel=0.005)


# Weights


def with_weights() -> nn.Sequential:
    """Layers with tensors of every kind."""
    torch.manual_seed(0)
    net = nn.Sequential(
        layer.Conv2d(3, 4, 3, padding=1, bias=False),
        layer.BatchNorm2d(4),
        neuron.LIFNode(),
        layer.Conv2d(4, 4, 3, padding=1),
        neuron.ParametricLIFNode(),
        layer.Flatten(),
        layer.Linear(256, 7),
        neuron.IFNode(),
        layer.Linear(7, 5, bias=False),
    )
    return net.eval()


IMAGE = torch.zeros(1, 3, 8, 8)


def test_exported_weights_are_the_network_s_own() -> None:
    net = with_weights()
    graph = spikingjelly.export_to_nir(net, IMAGE)
    for name in ("3", "6", "8"):
        weight = net.get_submodule(name).weight.detach().numpy()
        assert np.shares_memory(graph.nodes[f"_{name}"].weight, weight)


class Transfers(TorchFunctionMode):
    """Counts how often each tensor would come over from a device, by the place of its numbers."""

    WAYS = (torch.Tensor.cpu, torch.Tensor.to, torch.Tensor.item, torch.Tensor.tolist)

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[int] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (*self.WAYS, torch.Tensor.__float__):
            self.counts[args[0].data_ptr()] += 1
        return func(*args, **(kwargs or {}))


def test_a_tensor_comes_over_from_its_device_once() -> None:
    net = with_weights()
    with Transfers() as transfers:
        spikingjelly.export_to_nir(net, IMAGE)
    held = {t.data_ptr(): name for name, t in net.state_dict().items() if t.dim()}
    counts = {name: transfers.counts[pointer] for pointer, name in held.items()}
    assert counts == dict.fromkeys(held.values(), 1)


def test_imported_weights_are_the_memory_that_was_read(tmp_path: Path) -> None:
    """Read once, and copied never."""
    path, width = tmp_path / "net.nir", 1024
    net = nn.Sequential(layer.Linear(width, width), layer.Linear(width, width, bias=False))
    spikingjelly.export_to_nir(net, torch.zeros(1, width), save_path=path)
    weights = sum(4 * parameter.numel() for parameter in net.parameters())
    spikingjelly.import_from_nir(path)  # what is loaded once is no matter here
    tracemalloc.start()
    module = spikingjelly.import_from_nir(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert torch.equal(module._0.weight, net[0].weight)
    assert weights <= peak < 1.1 * weights
    # Memory that torch made itself, which is not traced, could be resized.
    assert not any(p.untyped_storage().resizable() for p in module.parameters() if p.dim() == 2)

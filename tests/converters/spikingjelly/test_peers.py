"""What we write is read by others, and what others write is read here; with the same spikes."""

from __future__ import annotations

from pathlib import Path

import nir
import pytest
import torch
from spikingjelly.activation_based import functional, layer, neuron
from spikingjelly.activation_based import nir_exchange as peer
from torch import nn

from nir_exchange import spikingjelly
from tests.graphs import assert_same_graph, spikes

DT = 1e-3


def network(mode: str) -> nn.Sequential:
    torch.manual_seed(3)
    net = nn.Sequential(
        layer.Conv2d(2, 4, 3, stride=2, padding=1),
        neuron.LIFNode(3.0, decay_input=False),
        layer.AvgPool2d(2),
        layer.Flatten(),
        layer.Linear(16, 12),
        neuron.IFNode(0.4),
        layer.Linear(12, 8, bias=False),
        neuron.CUBALIFNode(v_threshold=0.2),
    )
    functional.set_step_mode(net, mode)
    return net


@pytest.fixture
def x() -> torch.Tensor:
    return torch.rand(100, 3, 2, 8, 8) * 3


@pytest.mark.parametrize("mode", ["s", "m"])
def test_our_file_in_spikingjellys_own_importer(mode: str, x: torch.Tensor, tmp_path: Path) -> None:
    net, path = network(mode), tmp_path / "net.nir"
    spikingjelly.export_to_nir(net, x if mode == "m" else x[0], path, dt=DT)
    theirs = peer.import_from_nir(path, dt=DT, step_mode=mode)
    expected = spikes(net, x, mode)
    assert 0 < expected.mean() < 1
    if mode == "m":
        assert torch.equal(theirs(x)[0], expected)
        return
    state, outputs = None, []
    for step in x:  # their import forgets between calls unless the state is passed back
        y, state = theirs(step, state)
        outputs.append(y)
    assert torch.equal(torch.stack(outputs), expected)


@pytest.mark.parametrize("mode", ["s", "m"])
def test_spikingjellys_own_file_here(mode: str, x: torch.Tensor, tmp_path: Path) -> None:
    net, path = network(mode), tmp_path / "net.nir"
    peer.export_to_nir(net, x if mode == "m" else x[0], path, dt=DT)
    ours = spikingjelly.import_from_nir(path, dt=DT, step_mode=mode)  # type: ignore[arg-type]
    assert torch.equal(spikes(ours, x, mode), spikes(net, x, mode))


def test_their_graph_and_ours_say_the_same(x: torch.Tensor) -> None:
    """Field by field, up to rounding, for the layers and options that they support."""
    net = network("s")
    theirs = peer.export_to_nir(net, x[0], dt=DT)
    ours = spikingjelly.export_to_nir(net, x[0], dt=DT)
    assert list(theirs.nodes) == list(ours.nodes)
    assert theirs.edges == ours.edges
    for name, node in ours.nodes.items():
        other = theirs.nodes[name]
        assert type(node) is type(other)
        for field in ("tau", "tau_syn", "tau_mem", "r", "w_in", "v_leak", "v_threshold", "weight"):
            if hasattr(node, field):
                assert getattr(node, field) == pytest.approx(getattr(other, field), rel=1e-12)


def test_nir_reads_our_file(x: torch.Tensor, tmp_path: Path) -> None:
    path = tmp_path / "net.nir"
    ours = spikingjelly.export_to_nir(network("s"), x[0], path, dt=DT)
    read = nir.read(path)
    assert set(read.nodes) == set(ours.nodes)
    for name, node in read.nodes.items():
        assert type(node) is type(ours.nodes[name])
    again = tmp_path / "again.nir"
    nir.write(again, read)
    a = spikingjelly.import_from_nir(path, dt=DT)
    b = spikingjelly.import_from_nir(again, dt=DT)
    assert torch.equal(spikes(a, x, "s"), spikes(b, x, "s"))


def test_a_graph_survives_nir_write_and_our_reader(x: torch.Tensor, tmp_path: Path) -> None:
    graph = spikingjelly.export_to_nir(network("s"), x[0], dt=DT)
    first, second = tmp_path / "a.nir", tmp_path / "b.nir"
    nir.write(first, graph)
    module = spikingjelly.import_from_nir(first, dt=DT)
    spikingjelly.export_to_nir(module, x[0], second, dt=DT)
    a, b = nir.read(first), nir.read(second)
    a.nodes = {name: a.nodes[name] for name in b.nodes}  # nir.write sorts them by name
    assert_same_graph(a, b)

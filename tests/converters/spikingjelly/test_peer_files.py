"""Files that other frameworks' own exporters wrote: what they say is computed, to the letter.

Where an exporter says what its network does, the spikes are those of the network. Where it does
not (`field.md` has the list: taus in other units, resets left out), they are those of the file.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nir
import norse.torch as norse
import numpy as np
import pytest
import snntorch
import torch
from norse.torch.functional.iaf import IAFParameters
from norse.torch.functional.leaky_integrator_box import LIBoxParameters
from norse.torch.functional.lif import LIFParameters
from norse.torch.functional.lif_box import LIFBoxParameters
from norse.torch.module.leaky_integrator_box import LIBoxCell
from norse.torch.module.lif_box import LIFBoxCell
from norse.torch.utils.export_nir import to_nir as norse_to_nir
from snntorch.export_nir import export_to_nir as snntorch_to_nir
from spikingjelly.activation_based import functional, layer, neuron
from spikingjelly.activation_based import nir_exchange as spikingjelly_nir
from torch import nn

from nir_exchange import reference, spikingjelly
from nir_runtime import files
from nir_runtime.errors import FaintInputWarning
from tests.graphs import spikes
from tests.interpreter import interpret
from tests.whole import assert_close, outputs

SIZE, HIDDEN = 4, 6


def random(*shape: int, low: float = 0.0, high: float = 1.0) -> torch.Tensor:
    return torch.rand(*shape, dtype=torch.float64) * (high - low) + low


def x_of(*features: int) -> torch.Tensor:
    return torch.randn(100, 3, *features, dtype=torch.float64) * 3


# SpikingJelly


def of_spikingjelly() -> nn.Module:
    return nn.Sequential(
        layer.Conv2d(2, 4, 3, stride=2), neuron.LIFNode(3.0, True, 0.3, -0.1),
        layer.AvgPool2d(3), layer.Flatten(), layer.Linear(4, HIDDEN), neuron.IFNode(0.4),
        layer.Linear(HIDDEN, 3, bias=False), neuron.ParametricLIFNode(4.0, v_threshold=0.1),
    )  # fmt: skip


# snnTorch


def leaky(size: int, **options: Any) -> nn.Module:
    return snntorch.Leaky(
        beta=random(size, low=0.4, high=0.9), threshold=random(size, low=0.3, high=0.9),
        init_hidden=True, **options,
    )  # fmt: skip


def synaptic(size: int, **options: Any) -> nn.Module:
    return snntorch.Synaptic(
        alpha=random(size, low=0.1, high=0.6), beta=random(size, low=0.4, high=0.9),
        threshold=random(size, low=0.3, high=0.9), init_hidden=True, **options,
    )  # fmt: skip


def recurrent(size: int) -> nn.Module:
    return snntorch.RLeaky(
        beta=random(size, low=0.4, high=0.9), threshold=random(size, low=0.3, high=0.9),
        linear_features=size, init_hidden=True,
    )  # fmt: skip


def of_snntorch(*neurons: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Linear(SIZE, HIDDEN), *neurons)


# Norse


def box(size: int) -> nn.Module:
    return LIFBoxCell(
        LIFBoxParameters(
            tau_mem_inv=random(size, low=50, high=400), v_leak=random(size, low=-0.1, high=0.1),
            v_th=random(size, low=0.1, high=0.3), v_reset=torch.zeros(size, dtype=torch.float64),
        )
    )  # fmt: skip


def synapse(size: int) -> nn.Module:
    return norse.LIFCell(
        LIFParameters(
            tau_syn_inv=random(size, low=50, high=400), tau_mem_inv=random(size, low=50, high=400),
            v_leak=torch.zeros(size), v_th=random(size, low=0.1, high=0.3),
            v_reset=torch.zeros(size),
        )
    )  # fmt: skip


def integrator(size: int) -> nn.Module:
    return norse.IAFCell(
        IAFParameters(v_th=random(size, low=0.4, high=0.9), v_reset=torch.zeros(size))
    )


def leaking(*shape: int) -> nn.Module:
    return LIBoxCell(
        LIBoxParameters(tau_mem_inv=random(*shape, low=50, high=400), v_leak=random(*shape))
    )


def of_norse(*neurons: nn.Module) -> nn.Module:
    return norse.SequentialState(
        nn.Linear(SIZE, HIDDEN), neurons[0], nn.Linear(HIDDEN, HIDDEN, bias=False), *neurons[1:]
    )


# What they write


@dataclass(frozen=True)
class Peer:
    """A network of another framework, and its own export.

    Attributes:
        network: makes the network, in double precision.
        export: its graph, by its framework's exporter.
        features: what the network takes.
        dt: the time step to import with.
        writes: whether nir.write, too, can store what the exporter returns.
    """

    network: Callable[[], nn.Module]
    export: Callable[[nn.Module, torch.Tensor], nir.NIRGraph]
    features: tuple[int, ...] = (SIZE,)
    dt: float = 1e-4
    writes: bool = True


def by_spikingjelly(net: nn.Module, x: torch.Tensor) -> nir.NIRGraph:
    return spikingjelly_nir.export_to_nir(net, x[0], dt=1e-4)


def by_snntorch(net: nn.Module, x: torch.Tensor) -> nir.NIRGraph:
    """With the batch axis ignored, as the exporter's own shape check demands."""
    return snntorch_to_nir(net, x[0, :1], ignore_dims=[0])


def by_norse(net: nn.Module, x: torch.Tensor) -> nir.NIRGraph:
    """Without a batch axis, which would be in the file; and with its times in seconds.

    The exporter multiplies a time constant by its `dt`: only with 1 it is what it was.
    """
    return norse_to_nir(net, x[0, 0], dt=1.0)


def by_norse_at_its_default(net: nn.Module, x: torch.Tensor) -> nir.NIRGraph:
    return norse_to_nir(net, x[0, 0])


PEERS = {
    "spikingjelly": Peer(of_spikingjelly, by_spikingjelly, (2, 8, 8)),
    "snntorch Leaky": Peer(
        lambda: of_snntorch(leaky(HIDDEN, reset_mechanism="zero")), by_snntorch
    ),
    "snntorch Leaky, soft": Peer(lambda: of_snntorch(leaky(HIDDEN)), by_snntorch),
    "snntorch Synaptic": Peer(
        lambda: of_snntorch(synaptic(HIDDEN, reset_mechanism="zero", reset_delay=False)),
        by_snntorch,
    ),
    "snntorch RLeaky": Peer(lambda: of_snntorch(recurrent(HIDDEN)), by_snntorch),
    "norse LIFBox": Peer(lambda: of_norse(box(HIDDEN), box(HIDDEN)), by_norse, dt=1e-3),
    "norse LIFBox, tau in the wrong unit": Peer(
        lambda: of_norse(box(HIDDEN), box(HIDDEN)), by_norse_at_its_default, dt=1e-6
    ),
    "norse LIF": Peer(lambda: of_norse(synapse(HIDDEN)), by_norse, dt=1e-3),
    "norse IAF": Peer(lambda: of_norse(integrator(HIDDEN), integrator(HIDDEN)), by_norse, dt=1.0),
    "norse LIBox": Peer(
        lambda: norse.SequentialState(nn.Conv2d(2, 3, (3, 2), padding=(1, 0)), leaking(3, 8, 5)),
        by_norse, (2, 8, 6), 1e-3, writes=False,
    ),
}  # fmt: skip

EXACT = [
    "spikingjelly", "snntorch Leaky", "snntorch Synaptic", "norse LIFBox", "norse LIBox",
]  # fmt: skip
"""The exporters that say what the network does."""


def made(peer: Peer) -> tuple[nn.Module, torch.Tensor, nir.NIRGraph]:
    torch.manual_seed(4)
    net, x = peer.network().double(), x_of(*peer.features)
    return net, x, peer.export(net, x)


def own_output(net: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """What the network itself gives, from its first step on."""
    if isinstance(net, norse.SequentialState):
        state, every = None, []
        with torch.no_grad():
            for step in x:
                y, state = net(step, state)
                every.append(y)
        return torch.stack(every)
    functional.reset_net(net)  # exporters run the network
    for module in net.modules():
        if hasattr(module, "reset_mem"):
            module.reset_mem()
    return spikes(net, x, "s")


@pytest.mark.parametrize("name", PEERS)
def test_what_the_file_says_is_computed(name: str, tmp_path: Path) -> None:
    peer, path = PEERS[name], tmp_path / "peer.nir"
    _, x, graph = made(peer)
    if peer.writes:
        nir.write(path, graph, compression=None)  # or it can't write scalars
    else:
        files.write(path, graph)
    numbers = {next(n for n, o in graph.nodes.items() if isinstance(o, nir.Input)): x.numpy()}
    contract = reference.import_from_nir(path, dt=peer.dt, dtype=torch.float64)
    expected = outputs(contract, graph, numbers, "s")
    assert_close(expected, interpret(files.read(path), numbers, peer.dt))
    (values,) = expected.values()
    assert 0.01 < np.abs(values).mean() < 0.99
    for held in (path, graph):
        for mode in ("s", "m"):
            module = spikingjelly.import_from_nir(
                held,
                dt=peer.dt,
                dtype=torch.float64,
                step_mode=mode,  # type: ignore[arg-type]
            )
            assert_close(outputs(module, graph, numbers, mode), expected)


@pytest.mark.parametrize("name", EXACT)
def test_the_spikes_are_the_networks_own(name: str) -> None:
    peer = PEERS[name]
    net, x, graph = made(peer)
    module = spikingjelly.import_from_nir(graph, dt=peer.dt, dtype=torch.float64)
    expected = own_output(net, x).double()
    assert 0.01 < expected.abs().mean() < 0.99
    assert torch.allclose(spikes(module, x, "s"), expected, rtol=1e-9, atol=1e-9)


def test_an_if_that_adds_its_input_whole() -> None:
    """Norse writes r = 1 for a neuron that knows no time step: read to the letter, it is silent."""
    net, x, graph = made(PEERS["norse IAF"])
    with pytest.warns(FaintInputWarning, match='if_gain="per_step"'):
        silent = spikingjelly.import_from_nir(graph, dt=1e-4, dtype=torch.float64)
    module = spikingjelly.import_from_nir(graph, dt=1e-4, dtype=torch.float64, if_gain="per_step")
    assert spikes(silent, x, "s").sum() == 0
    expected = own_output(net, x)
    assert 0.05 < expected.mean() < 0.95
    assert torch.equal(spikes(module, x, "s"), expected)


def test_scalars_as_norse_has_them_by_default(tmp_path: Path) -> None:
    """One number for all neurons, which nir's own reader and writer have trouble with."""
    torch.manual_seed(4)
    net = norse.SequentialState(nn.Linear(SIZE, HIDDEN), LIFBoxCell()).double()
    x = x_of(SIZE) * 10
    graph = norse_to_nir(net, x[0, 0], dt=1.0)
    assert np.shape(graph.nodes["1"].tau) == ()
    nir.write(tmp_path / "scalars.nir", graph, compression=None)
    module = spikingjelly.import_from_nir(tmp_path / "scalars.nir", dt=1e-3, dtype=torch.float64)
    expected = own_output(net, x)
    assert 0.01 < expected.mean() < 0.95
    # Norse's own numbers are in single precision: some spikes are late or early.
    assert (spikes(module, x, "s") != expected).double().mean() < 1e-2

"""Networks whose layers take their state and return the new one, and forwards that loop over time.

The converter to Norse is the one by hand of the runtime's tests.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import norse.torch as norse
import numpy as np
import pytest
import snntorch as snn
import torch
from torch import Tensor, nn

import nir_exchange
from nir_exchange import reference, snntorch
from nir_runtime.errors import AnnotatedWarning
from nir_runtime.exports.exporting import export_network
from nir_runtime.imports.importing import import_graph
from nir_runtime.verifying.sides import Converters
from nir_runtime.verifying.verification import Verification
from nir_runtime.verifying.verify import Run, verify
from tests.runtime.handmade import affine, chain, lif
from tests.runtime.norse_target import TARGET

DT = 1e-3
STEPS = 60


def _import(graph: Any, dt: float, dtype: torch.dtype, if_gain: str) -> Any:
    return import_graph(TARGET, graph, dt, "cpu", dtype, {"if_gain": if_gain}, strict=False)


def _export(net: nn.Module, example: Any, dt: float) -> Any:
    return export_network(TARGET, net, example, None, dt, strict=False)


BY_HAND = SimpleNamespace(TARGET=TARGET, export_to_nir=_export, import_from_nir=_import)
CONVERTERS = Converters(
    {"reference": ("nir_runtime",), "norse": ("norse",)},
    {"reference": reference, "norse": BY_HAND}.__getitem__,  # type: ignore[dict-item]
)


def verified(a: Any, b: Any, x: Any, traces: bool = False) -> Verification:
    # Norse's parameters are in single precision, whatever the network's.
    run = Run(DT, ("norse", "reference"), None, "as_written", STEPS, 1, 0, tolerance=1e-6)
    return verify(a, b, x, run, CONVERTERS, traces=traces, progress=lambda: None)


class Net(nn.Module):
    def __init__(self, forward: Callable[..., Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        self.lif, self.lif2 = norse.LIFBoxCell(), norse.LIFBoxCell()
        self.written = forward
        self.b.weight.data *= 8
        self.double()

    def forward(self, x: Tensor, state: Any = None) -> Any:
        return self.written(self, x, state)


def step(self: Any, x: Tensor, state: Any) -> Any:
    s, t = (None, None) if state is None else state
    z, s = self.lif(self.a(x), s)
    y, t = self.lif2(self.b(z), t)
    return y, (s, t)


def looped(self: Any, x: Tensor, state: Any) -> Any:
    s = t = None
    spikes, membranes = [], []
    for x_t in x:
        z, s = self.lif(self.a(x_t), s)
        y, t = self.lif2(self.b(z), t)
        spikes.append(y)
        membranes.append(t.v)
    return torch.stack(spikes), torch.stack(membranes)


def given() -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return 20 * torch.rand(STEPS, 3, 4, dtype=torch.float64, generator=generator)


def sequential() -> nn.Module:
    torch.manual_seed(0)
    return norse.SequentialState(nn.Linear(4, 4), norse.LIFBoxCell(), nn.Linear(4, 4)).double()


@pytest.mark.parametrize("make", [lambda: Net(step), sequential, lambda: Net(looped)])
def test_a_network_and_its_graph(make: Callable[[], nn.Module]) -> None:
    net, x = make(), given()
    graph = _export(net, x if getattr(net, "written", None) is looped else x[0], DT)
    found = verified(net, graph, x)
    assert found.agree, str(found)
    assert found.spikes[0] > 20
    membranes = [n for n in found.nodes if n.quantity == "v"]
    assert [n.compared for n in membranes] == [STEPS * 3 * 4] * len(membranes)
    assert membranes


def test_what_differs_is_found_in_a_loop() -> None:
    net, x = Net(looped), given()
    graph = _export(net, x, DT)
    graph.nodes["lif2"].v_threshold = graph.nodes["lif2"].v_threshold * 1.5
    found = verified(net, graph, x, traces=True)
    assert found.first is not None
    assert (found.first.node, found.first.quantity) == ("lif2", "spikes")
    assert "v_threshold is 1 in the first and 1.5 in the second" in found.cause
    assert {trace.node: len(trace.membranes[0]) for trace in found.traces} == {
        "lif": STEPS, "lif2": STEPS,
    }  # fmt: skip
    # A network that returns its states beside its output doesn't say which of them is which.
    assert "output" not in {n.node for n in found.nodes}


def test_hidden_states_start_afresh() -> None:
    """snnTorch's layers may keep their states to themselves."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 6), snn.Leaky(beta=0.9, init_hidden=True))
    x = given().float() / 5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AnnotatedWarning)
        graph = snntorch.export_to_nir(net, x[0], dt=DT)
    net(x[0])
    found = nir_exchange.verify(net, graph, x, dt=DT)
    assert found.agree, str(found)
    assert found.spikes[0] > 20


def test_one_graph_in_two_frameworks() -> None:
    graph = chain(affine(0), lif(), affine(1), lif())
    found = verified(graph, graph, given())
    assert found.agree, str(found)
    assert found.sides[0] == "the graph in Norse"
    assert np.array([n.compared for n in found.nodes if n.quantity == "v"]).all()


def test_an_import_that_was_run_before() -> None:
    graph = chain(affine(0), lif(), affine(1), lif())
    module = _import(graph, DT, torch.float64, "as_written")
    x = given()
    module(x[0])
    assert verified(module, graph, x).agree

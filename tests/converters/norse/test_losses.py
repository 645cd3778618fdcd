"""What other converters of Norse's lose without a word: here it comes through, or is refused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nir
import norse.torch as snn
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from nir_exchange import norse
from nir_runtime.errors import ExportRefused, ImportRefused
from tests.nodes import single

from .running import DT, exported, inputs, of_the_reference, over_time

SIZE = 3


class Net(nn.Module):
    def __init__(self, forward: Callable[..., Any]) -> None:
        super().__init__()
        self.w = nn.Linear(SIZE, SIZE)
        self.lif, self.lif2 = snn.LIFBoxCell(), snn.LIFBoxCell()
        self.bias = nn.Parameter(torch.ones(SIZE))
        self.written = forward

    def forward(self, x: Tensor, state: Any = None) -> Any:
        return self.written(self, x, state)


def test_r_is_not_ignored() -> None:
    ones = np.ones(SIZE)
    graphs = [
        single(nir.LIF(tau=ones * 1e-2, r=ones * r, v_leak=ones * 0, v_threshold=ones), SIZE)
        for r in (1, 2)
    ]
    x = inputs((SIZE,))
    first, second = (
        over_time(norse.import_from_nir(graph, dt=DT, dtype=torch.float64), x) for graph in graphs
    )
    assert first.sum() < second.sum()
    assert torch.equal(second, of_the_reference(graphs[1], x))


def test_v_reset_is_not_dropped() -> None:
    p = snn.LIFBoxParameters(v_reset=torch.tensor(0.5))
    (node,) = (n for n in exported(snn.LIFBoxCell(p), 2, 3).nodes.values() if type(n) is nir.LIF)
    assert node.v_reset.tolist() == [0.5] * 3
    module = norse.import_from_nir(exported(snn.LIFBoxCell(p), 2, 3))
    (cell,) = (
        module.children() if len(list(module.children())) == 1 else list(module.children())[1:]
    )
    assert cell.p.v_reset == 0.5


def test_tau_is_in_seconds() -> None:
    p = snn.LIFBoxParameters(tau_mem_inv=torch.tensor(50.0))
    for dt in (1e-3, 1e-4):
        graph = exported(snn.LIFBoxCell(p, dt=dt), 2, 3, dt=dt)
        (node,) = (n for n in graph.nodes.values() if type(n) is nir.LIF)
        assert np.all(node.tau == 1 / 50)


@pytest.mark.parametrize(
    "cell", [snn.LIFBoxCell, snn.LIFCell, snn.LIBoxCell, snn.LICell, snn.IAFCell]
)
def test_another_time_step_is_refused(cell: Any) -> None:
    with pytest.raises(ExportRefused, match="and the graph") as refused:
        exported(cell(dt=1e-3), 2, 3, dt=1e-4)
    assert "export with dt=0.001" in str(refused.value)


def test_the_usual_time_step_is_norses_own() -> None:
    net = snn.LIFBoxCell()
    graph = norse.export_to_nir(net, torch.zeros(2, 3))
    x = inputs((3,), dtype=torch.float32)
    assert torch.equal(over_time(norse.import_from_nir(graph), x), over_time(net, x))


def test_a_soft_reset_is_not_exported_as_hard() -> None:
    reset = snn.functional.reset.reset_subtract
    p = snn.LIFBoxParameters(reset_method=reset)
    with pytest.raises(ExportRefused, match="reset by subtraction"):
        exported(snn.LIFBoxCell(p), 2, 3, strict=True)
    own = snn.LIFBoxParameters(reset_method=lambda z, v, reset, th: v)
    with pytest.raises(ExportRefused, match="reset_method"):
        exported(snn.LIFBoxCell(own), 2, 3)


@pytest.mark.parametrize(
    ("forward", "word"),
    [
        (lambda self, x, s: self.lif(x + 0.5, s), "constant"),
        (lambda self, x, s: self.lif(x + self.bias, s), "constant"),
        (lambda self, x, s: self.lif2(self.lif(self.lif(x)[0])[0]), "more than once"),
        (lambda self, x, s: self.lif(torch.relu(x)), "relu"),
    ],
)
def test_what_a_forward_does_besides(forward: Any, word: str) -> None:
    with pytest.raises(ExportRefused, match=word):
        exported(Net(forward), 2, SIZE)


def test_a_signal_twice_is_not_lost() -> None:
    def forward(self: Any, x: Tensor, state: Any) -> Any:
        s, t = state or (None, None)
        y, s = self.lif(self.w(x), s)
        z, t = self.lif2(y + y, t)
        return z, (s, t)

    graph = exported(Net(forward).double(), 2, SIZE)
    assert "Scale" in [type(node).__name__ for node in graph.nodes.values()]


def test_nodes_that_norse_has_no_layer_for_do_not_vanish() -> None:
    delay = nir.Delay(delay=np.full(SIZE, 3 * DT))
    module = norse.import_from_nir(single(delay, SIZE), dt=DT, dtype=torch.float64)
    x = inputs((SIZE,))
    y = over_time(module, x)
    assert torch.equal(y[3:], x[:-3])
    assert not y[:3].any()


def test_metadata_that_nothing_follows_is_refused() -> None:
    ones = np.ones(SIZE)
    node = nir.LIF(
        tau=ones * 1e-2, r=ones, v_leak=ones * 0, v_threshold=ones, metadata={"reset": "subtract"}
    )
    with pytest.raises(ImportRefused, match="metadata"):
        norse.import_from_nir(single(node, SIZE), dt=DT, strict=True)

"""What snnTorch's own converters change without a word comes through here.

Each is seen twice: their module or file gives other spikes than the graph or network it was made
of, and ours gives the same.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import Any

import nir
import numpy as np
import pytest
import snntorch as snn
import torch
from snntorch import utils
from snntorch.export_nir import export_to_nir as their_export
from snntorch.import_nir import import_from_nir as their_import
from torch import nn

from nir_exchange import reference, snntorch
from nir_runtime.errors import AnnotatedWarning, ExportRefused
from tests.graphs import spikes
from tests.nodes import single

SIZE, STEPS = 4, 100
ones = np.ones(SIZE)


def lif(**fields: Any) -> nir.LIF:
    usual = {"tau": ones * 1e-3, "r": ones, "v_leak": ones * 0, "v_threshold": ones * 0.5}
    return nir.LIF(**{**usual, "v_reset": ones * 0, **fields})


LOST: dict[str, tuple[nir.NIRNode, float]] = {
    "the reset potential": (lif(v_reset=ones * -0.5), 1e-4),
    "the time step, which is 1e-4 whatever is meant": (lif(), 5e-4),
    "an IF, which leaks": (nir.IF(r=ones, v_threshold=ones * 2.0, v_reset=ones * 0), 1.0),
}


def data() -> torch.Tensor:
    return torch.randn((STEPS, 2, SIZE), generator=torch.Generator().manual_seed(0)) * 3 + 0.5


def run_theirs(graph: nir.NIRGraph, x: torch.Tensor) -> torch.Tensor:
    """Their module, which hands its state on."""
    with contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
        module, state, out = their_import(graph), None, []
        for step in x:
            y, state = module(step, state)
            out.append(y[0] if isinstance(y, tuple) else y)
    return torch.stack(out)


@pytest.mark.parametrize("name", LOST)
def test_a_graph_that_comes_in(name: str) -> None:
    node, dt = LOST[name]
    graph, x = single(node, SIZE), data()
    expected = spikes(reference.import_from_nir(graph, dt=dt), x, "s")
    assert expected.sum() > 20
    assert not torch.equal(run_theirs(graph, x), expected)
    assert torch.equal(spikes(snntorch.import_from_nir(graph, dt=dt), x, "s"), expected)


def test_a_reset_by_subtraction_that_goes_out() -> None:
    """Their file says nothing of it; ours says it in the node's metadata, and strict refuses."""
    torch.manual_seed(0)
    beta, threshold = torch.full((SIZE,), 0.9), torch.full((SIZE,), 0.5)
    net = nn.Sequential(
        nn.Linear(SIZE, SIZE), snn.Leaky(beta, threshold, init_hidden=True, reset_delay=False)
    )
    x = data()
    expected = spikes(net, x, "s")
    with contextlib.redirect_stdout(io.StringIO()):
        theirs = their_export(net, x[0, :1], ignore_dims=[0])
    utils.reset(net)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AnnotatedWarning)
        ours = snntorch.export_to_nir(net, x[0], dt=1e-4)
    assert not any("reset" in node.metadata for node in theirs.nodes.values())
    assert not torch.equal(spikes(snntorch.import_from_nir(theirs), x, "s"), expected)
    assert torch.equal(spikes(snntorch.import_from_nir(ours), x, "s"), expected)


def test_a_reset_that_was_changed_afterwards() -> None:
    """snnTorch's own setter changes a part of the layer only, which then does neither."""
    layer = snn.Leaky(0.9, init_hidden=True)
    layer.reset_mechanism = "zero"
    with pytest.raises(ExportRefused, match="make the layer anew"):
        snntorch.export_to_nir(nn.Sequential(layer), torch.zeros(1, SIZE))

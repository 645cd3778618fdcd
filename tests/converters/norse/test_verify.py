"""Norse's networks beside those of others: states that are handed on are looked into, too."""

from __future__ import annotations

import norse.torch as snn
import numpy as np
import torch
from torch import nn

from nir_exchange import norse, verify
from tests.nodes import single

from .running import DT, exported


def test_a_network_and_its_graph() -> None:
    torch.manual_seed(0)
    net = snn.SequentialState(nn.Linear(4, 5), snn.LIFBoxCell(), nn.Linear(5, 2), snn.LICell())
    graph = exported(net, 2, 4)
    found = verify(net, graph, dt=DT)
    assert found.agree, str(found)


def test_membranes_behind_a_gain_are_in_volts() -> None:
    """A cell with a gain before it keeps the potential of the node."""
    import nir

    ones = np.ones(3)
    node = nir.LIF(tau=ones * 1e-2, r=ones * 3, v_leak=ones * 0.25, v_threshold=ones)
    found = verify(norse.import_from_nir(single(node, 3), dt=DT), single(node, 3), dt=DT)
    assert found.agree, str(found)
    assert "v" in {agreement.quantity for agreement in found.nodes}

"""Networks as snnTorch's tutorials have them: explicit states, loops over time in the forward."""

from __future__ import annotations

import warnings

import nir
import pytest
import snntorch as snn
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nir_exchange import reference, snntorch
from nir_runtime.errors import AnnotatedWarning, ExportRefused
from nir_runtime.functions import step_in
from tests.graphs import spikes
from tests.nodes import DT

STEPS, BATCH = 100, 3
STEP = step_in(torch.float64)  # snnTorch's own give float32


class Tutorial5(nn.Module):
    """Two dense layers of Leaky neurons, the same input in all steps."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.fc1 = nn.Linear(12, 20)
        self.lif1 = snn.Leaky(beta=0.95, spike_grad=STEP)
        self.fc2 = nn.Linear(20, 5)
        self.lif2 = snn.Leaky(beta=0.95, spike_grad=STEP)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mem1 = self.lif1.init_leaky()
        mem2 = self.lif2.init_leaky()
        spk2_rec, mem2_rec = [], []
        for _ in range(self.steps):
            cur1 = self.fc1(x)
            spk1, mem1 = self.lif1(cur1, mem1)
            cur2 = self.fc2(spk1)
            spk2, mem2 = self.lif2(cur2, mem2)
            spk2_rec.append(spk2)
            mem2_rec.append(mem2)
        return torch.stack(spk2_rec, dim=0), torch.stack(mem2_rec, dim=0)


class OverTime(nn.Module):
    """A synaptic and a recurrent layer, a step of the input at a time."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1 = nn.Linear(12, 8)
        self.syn1 = snn.Synaptic(alpha=0.8, beta=0.9, spike_grad=STEP)
        self.lif2 = snn.RLeaky(beta=0.9, linear_features=8, spike_grad=STEP)

    def forward(self, x: Tensor) -> Tensor:
        syn1, mem1 = self.syn1.init_synaptic()
        spk2, mem2 = self.lif2.init_rleaky()
        spikes_over_time = []
        for step in range(x.size(0)):
            spk1, syn1, mem1 = self.syn1(self.fc1(x[step]), syn1, mem1)
            spk2, mem2 = self.lif2(spk1, spk2, mem2)
            spikes_over_time.append(spk2)
        return torch.stack(spikes_over_time)


class Tutorial6(nn.Module):
    """A convolutional network; its max pooling stands before the neurons in the tutorial."""

    def __init__(self, *, pools_spikes: bool) -> None:
        super().__init__()
        self.pools_spikes = pools_spikes
        self.conv1, self.conv2 = nn.Conv2d(1, 4, 5), nn.Conv2d(4, 6, 5)
        self.lif1 = snn.Leaky(beta=0.9, spike_grad=STEP)
        self.lif2 = snn.Leaky(beta=0.9, spike_grad=STEP)
        self.fc1 = nn.Linear(6 * 4 * 4, 10)
        self.lif3 = snn.Leaky(beta=0.9, spike_grad=STEP)

    def forward(self, x: Tensor) -> Tensor:
        mem1, mem2, mem3 = (lif.init_leaky() for lif in (self.lif1, self.lif2, self.lif3))
        recorded = []
        for step in range(x.size(0)):
            spk1, mem1 = self._pooled(self.conv1(x[step]), self.lif1, mem1)
            spk2, mem2 = self._pooled(self.conv2(spk1), self.lif2, mem2)
            spk3, mem3 = self.lif3(self.fc1(spk2.flatten(1)), mem3)
            recorded.append(spk3)
        return torch.stack(recorded)

    def _pooled(self, current: Tensor, lif: nn.Module, mem: Tensor) -> tuple[Tensor, Tensor]:
        if self.pools_spikes:
            spk, mem = lif(current, mem)
            return F.max_pool2d(spk, 2), mem
        return lif(F.max_pool2d(current, 2), mem)


def export(net: nn.Module, x: Tensor) -> nir.NIRGraph:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AnnotatedWarning)
        return snntorch.export_to_nir(net, x, dt=DT)


def assert_same(net: nn.Module, example: Tensor, x: Tensor) -> None:
    """The network over time, its graph in the reference, and what comes back."""
    graph = export(net, example)
    with torch.no_grad():
        result = net(example)
    expected = result[0] if isinstance(result, tuple) else result
    assert expected.sum() > 20
    for framework in (reference, snntorch):
        module = framework.import_from_nir(graph, dt=DT, dtype=torch.float64)
        assert torch.equal(spikes(module, x, "s"), expected)


def test_the_same_input_in_all_steps() -> None:
    torch.manual_seed(0)
    x = torch.rand(BATCH, 12, dtype=torch.float64) * 4
    assert_same(Tutorial5(STEPS).double(), x, x.expand(STEPS, *x.shape))


def test_a_step_of_the_input_at_a_time() -> None:
    torch.manual_seed(0)
    x = torch.rand(STEPS, BATCH, 12, dtype=torch.float64) * 2
    assert_same(OverTime().double(), x, x)


def test_max_pooling_of_spikes() -> None:
    torch.manual_seed(0)
    x = torch.rand(STEPS, BATCH, 1, 28, 28, dtype=torch.float64) * 2
    assert_same(Tutorial6(pools_spikes=True).double(), x, x)


def test_max_pooling_of_currents_is_refused() -> None:
    with pytest.raises(ExportRefused, match="no maximum") as refused:
        export(Tutorial6(pools_spikes=False), torch.rand(4, BATCH, 1, 28, 28))
    assert "behind a spiking neuron" in refused.value.problems[0].advice


def test_a_membrane_potential_as_the_output_is_refused() -> None:
    class Regression(Tutorial5):
        def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
            return super().forward(x)[1] * 2

    with pytest.raises(ExportRefused):
        export(Regression(4), torch.rand(BATCH, 12))

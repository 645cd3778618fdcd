"""`export_to_nir(..., verify=N)`: an export that was run beside its network, or is none."""

from __future__ import annotations

import copy
import json
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import nir
import norse.torch as norse_torch
import pytest
import snntorch as snn
import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import Tensor, nn

from nir_exchange import norse, reference, snntorch, spikingjelly
from nir_runtime.errors import AnnotatedWarning, ExportRefused, InvalidArgument, VerificationFailed
from tests.resetting import reset

STEPS = 30


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AnnotatedWarning)
        yield


def images(mode: str = "s", **reset: Any) -> nn.Module:
    net = nn.Sequential(
        layer.Conv2d(2, 4, 3, padding=1, bias=False),
        layer.BatchNorm2d(4),
        neuron.LIFNode(2.0, v_threshold=0.2, **reset),
        layer.MaxPool2d(2),
        layer.Flatten(),
        layer.Linear(64, 10),
        neuron.IFNode(v_threshold=0.5),
    )
    functional.set_step_mode(net, mode)
    return net.eval()


class OverTime(nn.Module):
    """A forward that loops over time itself."""

    def __init__(self, static: bool = False) -> None:
        super().__init__()
        self.linear, self.lif = nn.Linear(4, 6), snn.Leaky(0.9, reset_mechanism="zero")
        self.static = static

    def forward(self, x: Tensor) -> Tensor:
        mem, spikes = self.lif.init_leaky(), []
        drive = self.linear(x) if self.static else None
        for t in range(7 if self.static else len(x)):
            now = self.linear(x[t]) if drive is None else drive
            z, mem = self.lif(now, mem)
            spikes.append(z)
        return torch.stack(spikes)


class HandsOn(nn.Module):
    """A step of a network, with its state."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.lif = nn.Linear(4, 6), norse_torch.LIFBoxCell()

    def forward(self, x: Tensor, state: Any = None) -> Any:
        return self.lif(40 * self.linear(x), state)


class Forgets(HandsOn):
    """The same, and each call starts anew."""

    def forward(self, x: Tensor) -> Any:  # type: ignore[override]
        return self.lif(40000 * self.linear(x))[0]


class Two(nn.Module):
    """Two inputs, and two outputs by name."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 5), nn.Linear(3, 5)
        self.one, self.other = neuron.LIFNode(v_threshold=0.1), neuron.IFNode(v_threshold=0.3)

    def forward(self, left: Tensor, right: Tensor) -> dict[str, Tensor]:
        z = self.one(self.a(left) + self.b(right))
        return {"first": z, "second": self.other(2 * z)}


leaky = {"beta": 0.9, "init_hidden": True}

NETWORKS: dict[str, tuple[Any, Callable[[], nn.Module], Any, dict[str, Any]]] = {
    "steps": (spikingjelly, images, torch.rand(3, 2, 8, 8), {}),
    "sequences": (spikingjelly, lambda: images("m"), torch.rand(8, 3, 2, 8, 8), {}),
    "double": (spikingjelly, lambda: images().double(), torch.rand(3, 2, 8, 8).double(), {}),
    "half": (spikingjelly, lambda: images().bfloat16(), torch.rand(3, 2, 8, 8).bfloat16(), {}),
    "a soft reset": (spikingjelly, lambda: images(v_reset=None), torch.rand(3, 2, 8, 8), {}),
    "a soft reset in primitives": (
        spikingjelly, lambda: images(v_reset=None), torch.rand(3, 2, 8, 8),
        {"soft_reset": "decompose"},
    ),
    "ties": (spikingjelly, images, torch.rand(3, 2, 8, 8), {"ties": "exact"}),
    "two inputs": (spikingjelly, Two, (torch.rand(2, 4), torch.rand(2, 3)), {}),
    "by name": (spikingjelly, Two, {"left": torch.rand(2, 4), "right": torch.rand(2, 3)}, {}),
    "in another order": (
        spikingjelly, Two, {"right": torch.rand(2, 3), "left": torch.rand(2, 4)}, {},
    ),
    "hidden states": (
        snntorch, lambda: nn.Sequential(nn.Linear(4, 6), snn.Leaky(**leaky)), torch.rand(2, 4), {},
    ),
    "a loop over time": (snntorch, OverTime, torch.rand(9, 2, 4) * 3, {}),
    "a static input": (snntorch, lambda: OverTime(static=True), torch.rand(2, 4) * 3, {}),
    "states handed on": (norse, HandsOn, torch.rand(2, 4), {"dt": 1e-3}),
    "Norse's sequences": (
        norse,
        lambda: norse_torch.SequentialState(
            norse_torch.Lift(nn.Linear(4, 6)), norse_torch.LIF(), norse_torch.LI()
        ),
        torch.rand(20, 2, 4) * 60, {"dt": 1e-3},
    ),
    "Norse's steps": (
        norse,
        lambda: norse_torch.SequentialState(
            nn.Linear(4, 6), norse_torch.LIFCell(), nn.Linear(6, 2), norse_torch.LICell()
        ),
        torch.rand(2, 4) * 60, {"dt": 1e-3},
    ),
    "no neuron": (spikingjelly, lambda: nn.Sequential(nn.Linear(4, 2)), torch.rand(2, 4), {}),
    "no parameter": (spikingjelly, lambda: neuron.IFNode(), torch.rand(2, 4).double(), {}),
}  # fmt: skip


def exported(name: str, **options: Any) -> tuple[nn.Module, nir.NIRGraph]:
    target, make, example, given = NETWORKS[name]
    net = make()
    return net, target.export_to_nir(net, example, verify=STEPS, **{**given, **options})


@pytest.mark.parametrize("name", NETWORKS)
def test_all_kinds_of_networks(name: str) -> None:
    _, graph = exported(name)
    found = graph.report.verified
    assert found.steps >= STEPS
    if name == "no neuron":
        assert found.spikes is None
        assert "all values agree" in str(graph.report)
    else:
        assert found.spikes > 10
    if name != "half":  # where a potential is near its threshold by chance
        assert (found.ties, found.rounding, found.after) == (0, 0, 0)
    assert str(found) in str(graph.report)
    assert json.loads(graph.report.to_json())["verified"]["steps"] == found.steps
    assert str(pickle.loads(pickle.dumps(graph.report))) == str(graph.report)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_graph_is_what_it_is_without(name: str) -> None:
    target, make, example, given = NETWORKS[name]
    torch.manual_seed(1)
    net = make()
    plain = target.export_to_nir(net, example, **given)
    run = target.export_to_nir(net, example, verify=3, **given)
    assert plain.report.verified is None
    assert list(plain.nodes) == list(run.nodes)
    assert plain.edges == run.edges


def test_imports() -> None:
    for target in (reference, spikingjelly, snntorch):
        _, graph = exported("steps")
        module = target.import_from_nir(graph)
        module(torch.rand(3, 2, 8, 8))
        reset(module)
        again = target.export_to_nir(module, torch.rand(3, 2, 8, 8), verify=STEPS)
        assert again.report.verified.spikes > 100


def test_more_steps_than_asked_for_where_a_call_takes_several() -> None:
    assert exported("sequences")[1].report.verified.steps == 32
    assert exported("a static input")[1].report.verified.steps == 35


# --- what is wrong --------------------------------------------------------------------------


class Counts(nn.Module):
    """A forward with a state that no layer has: each second step counts double."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.after = nn.Linear(4, 4), nn.Linear(4, 4)
        self.lif, self.calls = neuron.LIFNode(v_threshold=0.1), [0]

    def forward(self, x: Tensor) -> Tensor:
        z = self.lif(self.before(x))
        if not hasattr(x, "sources"):  # a signal of a trace
            self.calls[0] += 1
            z = z * (1 + self.calls[0] % 2)
        return self.after(z)


def test_a_difference(tmp_path: Path) -> None:
    path = tmp_path / "never.nir"
    with pytest.raises(VerificationFailed) as failed:
        spikingjelly.export_to_nir(Counts(), torch.rand(2, 4) * 4, path, verify=STEPS)
    assert not path.exists()
    text = str(failed.value)
    assert "differ first in" in text
    assert "step " in text
    found = failed.value.verification
    assert not found.agree
    assert found.margins.far > 0
    assert failed.value.problems[0].place == "after"


def test_a_tie_in_double_precision() -> None:
    net = nn.Sequential(nn.Linear(2, 2, bias=False), neuron.IFNode()).double()
    with torch.no_grad():
        net[0].weight.copy_(torch.eye(2))
    x = torch.ones(1, 2, dtype=torch.float64)
    with pytest.raises(VerificationFailed, match='ties="exact" in an export makes them fire alike'):
        spikingjelly.export_to_nir(net, x, verify=3)
    graph = spikingjelly.export_to_nir(net, x, ties="exact", verify=3)
    assert graph.report.verified.spikes == 6


def test_a_tie_in_single_precision() -> None:
    """It happens by chance there, and is told."""
    net = nn.Sequential(nn.Linear(2, 2, bias=False), neuron.IFNode())
    with torch.no_grad():
        net[0].weight.copy_(torch.eye(2))
    found = spikingjelly.export_to_nir(net, torch.ones(1, 2), verify=3).report.verified
    assert (found.ties, found.rounding) == (2, 0)
    assert 'see ties="exact"' in str(found)


# --- inputs ---------------------------------------------------------------------------------


def test_an_example_that_makes_nothing_fire() -> None:
    net = nn.Sequential(nn.Linear(4, 6, bias=False), neuron.LIFNode())
    for example in (torch.zeros(2, 4), torch.full((2, 4), float("nan"))):
        found = spikingjelly.export_to_nir(net, example, verify=STEPS).report.verified
        assert found.spikes > 0
        assert found.input.startswith("given normal numbers")


def test_an_example_that_it_cannot_be_run_on() -> None:
    class Fussy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lif = neuron.LIFNode()

        def forward(self, x: Tensor) -> Tensor:
            if not hasattr(x, "sources"):
                raise KeyError("never")
            return self.lif(x)

    with pytest.raises(InvalidArgument, match="can't be run on it: KeyError: 'never'"):
        spikingjelly.export_to_nir(Fussy(), torch.rand(2, 4), verify=3)
    with pytest.raises(InvalidArgument, match="example_input: the network can't be run on it"):
        spikingjelly.export_to_nir(images(), torch.rand(3, 2, 8, 8).double(), verify=3)


@pytest.mark.parametrize("steps", [0, -1, True, 2.0, "all"])
def test_steps_that_mean_nothing(steps: Any) -> None:
    with pytest.raises(InvalidArgument, match="verify: is"):
        spikingjelly.export_to_nir(images(), torch.rand(3, 2, 8, 8), verify=steps)


# --- the network stays as it was ------------------------------------------------------------


def test_it_stays_as_it_was() -> None:
    net = images().train()
    net[1].eval()
    x = torch.rand(3, 2, 8, 8)
    net(x)
    reset(net)
    before, state = net[2].v, copy.deepcopy(net.state_dict())
    random = torch.random.get_rng_state()
    spikingjelly.export_to_nir(net, x, verify=STEPS)
    assert net[2].v is before
    assert all(torch.equal(state[key], value) for key, value in net.state_dict().items())
    assert net.training
    assert not net[1].training
    assert torch.equal(torch.random.get_rng_state(), random)
    assert not any(module._forward_hooks for module in net.modules())


def test_training_mode_is_said() -> None:
    net = nn.Sequential(nn.Linear(4, 6), nn.Dropout(0.9), neuron.IFNode(v_threshold=0.5)).train()
    found = spikingjelly.export_to_nir(net, torch.rand(2, 4) * 3, verify=STEPS).report.verified
    assert "run in evaluation mode, and in training mode before and after" in str(found)
    found = spikingjelly.export_to_nir(net.eval(), torch.rand(2, 4) * 3, verify=3).report.verified
    assert "training" not in str(found)


def test_a_network_that_forgets_is_no_graph() -> None:
    with pytest.raises(ExportRefused, match="lif: starts anew at each call"):
        norse.export_to_nir(Forgets(), torch.rand(2, 4), dt=1e-3)


def test_nothing_runs_without() -> None:
    code = """
import sys, torch
from torch import nn
from spikingjelly.activation_based import neuron
from nir_exchange import spikingjelly
net = nn.Sequential(nn.Linear(4, 4), neuron.IFNode())
for layer in net:
    layer.register_forward_pre_hook(lambda *given: sys.exit("it ran"))
spikingjelly.export_to_nir(net, torch.rand(1, 4), hooks="ignore")
sys.exit(any(name.startswith("nir_runtime.verifying") for name in sys.modules))
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

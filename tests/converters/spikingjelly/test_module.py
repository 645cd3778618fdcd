"""An imported network is a SpikingJelly module like any other."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

from nir_exchange import spikingjelly
from tests.graphs import first, spikes


def network() -> nn.Sequential:
    torch.manual_seed(5)
    return nn.Sequential(
        layer.Conv2d(1, 3, 3, padding=1, bias=False),
        neuron.LIFNode(4.0),
        layer.Flatten(),
        layer.Linear(48, 7),
        neuron.CUBALIFNode(v_threshold=0.1),
    )


@pytest.fixture
def module() -> nn.Module:
    graph = spikingjelly.export_to_nir(network(), torch.rand(2, 1, 4, 4))
    return spikingjelly.import_from_nir(graph)


@pytest.fixture
def x() -> torch.Tensor:
    return torch.rand(30, 2, 1, 4, 4) * 4


def test_it_remembers_and_is_reset(module: nn.Module, x: torch.Tensor) -> None:
    once = spikes(module, x, "s")
    assert not torch.equal(spikes(module, x, "s"), once)
    functional.reset_net(module)
    assert torch.equal(spikes(module, x, "s"), once)


def test_step_modes_agree(module: nn.Module, x: torch.Tensor) -> None:
    single = spikes(module, x, "s")
    functional.reset_net(module)
    functional.set_step_mode(module, "m")
    assert torch.equal(spikes(module, x, "m"), single)


def test_a_state_is_continued_from(module: nn.Module, x: torch.Tensor) -> None:
    expected = spikes(module, x, "s")
    functional.reset_net(module)
    with torch.no_grad():
        for step in x[:10]:
            _, state = module(step)
    held = copy.deepcopy(state)
    functional.reset_net(module)
    continued = []
    for step in x[10:]:
        y, held = module(step, held)
        continued.append(y.detach())
    assert torch.equal(torch.stack(continued), expected[10:])


def test_gradients_reach_every_weight(module: nn.Module, x: torch.Tensor) -> None:
    functional.set_step_mode(module, "m")
    first(module(x)).mean().backward()
    parameters = dict(module.named_parameters())
    assert set(parameters) == {"_0.weight", "_3.weight", "_3.bias"}
    for name, parameter in parameters.items():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_an_optimizer_trains_it(module: nn.Module, x: torch.Tensor) -> None:
    functional.set_step_mode(module, "m")
    optimizer = torch.optim.SGD(module.parameters(), lr=1.0)
    before = [p.detach().clone() for p in module.parameters()]
    first(module(x)).mean().backward()
    optimizer.step()
    assert all(not torch.equal(a, b) for a, b in zip(before, module.parameters(), strict=True))


@pytest.mark.parametrize("how", ["deepcopy", "pickle", "torch.save"])
def test_it_can_be_copied_and_stored(how: str, module: nn.Module, x: torch.Tensor) -> None:
    if how == "deepcopy":
        other = copy.deepcopy(module)
    elif how == "pickle":
        other = pickle.loads(pickle.dumps(module))
    else:
        buffer = io.BytesIO()
        torch.save(module, buffer)
        buffer.seek(0)
        other = torch.load(buffer, weights_only=False)
    expected = spikes(module, x, "s")
    assert torch.equal(spikes(other, x, "s"), expected)
    functional.reset_net(other)
    assert torch.equal(spikes(other, x, "s"), expected)
    _y, state = other(x[0])
    assert set(state) == {"_1", "_4"}


def test_a_state_dict_fits_a_second_import(module: nn.Module, x: torch.Tensor) -> None:
    graph = spikingjelly.export_to_nir(network(), torch.rand(2, 1, 4, 4))
    other = spikingjelly.import_from_nir(graph)
    for parameter in other.parameters():
        nn.init.zeros_(parameter)
    other.load_state_dict(module.state_dict())
    assert torch.equal(spikes(other, x, "s"), spikes(module, x, "s"))


def test_it_moves_to_another_precision(module: nn.Module, x: torch.Tensor) -> None:
    module.double()
    spikes(module, x.double(), "s")
    assert first(module(x[0].double())).dtype == torch.float64
    assert all(p.dtype == torch.float64 for p in module.parameters())


def test_importing_draws_no_random_numbers() -> None:
    graph = spikingjelly.export_to_nir(network(), torch.rand(2, 1, 4, 4))
    torch.manual_seed(9)
    expected = torch.rand(3)
    torch.manual_seed(9)
    spikingjelly.import_from_nir(graph)
    assert torch.equal(torch.rand(3), expected)


def test_float64_passes_through_nothing_smaller() -> None:
    net = network().double()
    graph = spikingjelly.export_to_nir(net, torch.rand(2, 1, 4, 4, dtype=torch.float64))
    module = spikingjelly.import_from_nir(graph, dtype=torch.float64)
    assert torch.equal(module.get_submodule("_3").weight, net[3].weight)


def test_the_module_owns_its_weights() -> None:
    net = network()
    graph = spikingjelly.export_to_nir(net, torch.rand(2, 1, 4, 4))
    module = spikingjelly.import_from_nir(graph)
    with torch.no_grad():
        net[3].weight.zero_()
    assert module.get_submodule("_3").weight.abs().sum() > 0

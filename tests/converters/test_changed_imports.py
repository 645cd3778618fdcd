"""An import that was changed goes out as what it is now, or is refused; and else as it came in.

Whatever a network is made of may change after an import: an optimizer trains it, a state is loaded,
attributes are set, numbers are changed in place or lose their precision. The oracle is the changed
network itself, run beside the reference's import of what it is exported to.
"""

from __future__ import annotations

import copy
import io
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import nir
import numpy as np
import pytest
import snntorch as snn
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from spikingjelly.activation_based import base
from torch import nn

from nir_exchange import norse, reference, snntorch, spikingjelly
from nir_runtime.errors import ExportRefused, ImportRefused
from nir_runtime.imports.normalized import Normalized
from tests.nodes import DT, SPIKING, graphs, inputs_for, neurons, single
from tests.resetting import reset
from tests.whole import assert_close

SIZE = 4
STEPS = 60
Change = Callable[[nn.Module, np.random.Generator], None]

WAYS: dict[str, tuple[Any, dict[str, Any]]] = {
    "reference": (reference, {}),
    "spikingjelly": (spikingjelly, {}),
    "learning tau": (spikingjelly, {"learn_tau": True}),
    "snntorch": (snntorch, {}),
    "snntorch, states handed on": (snntorch, {"init_hidden": False}),
    "norse": (norse, {}),
}
HANDS_ON = ("snntorch, states handed on", "norse")

ways = pytest.mark.parametrize("way", WAYS)
seeds = st.integers(0, 2**32 - 1)


def imported(way: str, graph: nir.NIRGraph, dt: float = DT) -> Any:
    target, options = WAYS[way]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return target.import_from_nir(graph, dt=dt, dtype=torch.float64, **options)


def exported(way: str, module: nn.Module, graph: nir.NIRGraph, dt: float = DT) -> nir.NIRGraph:
    x = inputs_for(graph, 1, 1, 0)
    reset(module)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        examples = tuple(torch.from_numpy(x[name][0]) for name in sorted(x))
        made: nir.NIRGraph = WAYS[way][0].export_to_nir(module, examples, dt=dt)
    return made


def outputs(
    module: Any, graph: nir.NIRGraph, seed: int, *, hands_on: bool = False
) -> dict[str, np.ndarray]:
    """What a module gives, from its start on."""
    x = inputs_for(graph, STEPS, 2, seed)
    names = sorted(n for n, node in graph.nodes.items() if isinstance(node, nir.Output))
    every, state = [], None
    with torch.no_grad():
        for step in range(STEPS):
            arguments = [torch.from_numpy(x[name][step]) for name in sorted(x)]
            y, left = module(*arguments, state=state)
            state = left if hands_on else None
            every.append(y if isinstance(y, dict) else {names[0]: y})
    return {name: torch.stack([step[name] for step in every]).numpy() for name in names}


def assert_means_the_module(way: str, module: Any, graph: nir.NIRGraph, seed: int, dt: float = DT):
    """What a changed import is exported to computes what it does; returns whether it was exported.

    A reset that NIR's reference has no layer for, or a parameter out of a layer's bounds, is
    refused: on the way out, or on the way back in.
    """
    try:
        again = exported(way, copy.deepcopy(module), graph, dt)
        target = imported("reference", again, dt)
    except (ExportRefused, ImportRefused):
        return False
    actual = outputs(module, graph, seed, hands_on=way in HANDS_ON)
    assert_close(outputs(target, again, seed), actual)
    return True


# --- what may become of an import -----------------------------------------------------------


def trained(module: nn.Module, source: np.random.Generator) -> None:
    """A step of an optimizer on every parameter."""
    parameters = list(module.parameters())
    for parameter in parameters:
        parameter.grad = torch.from_numpy(source.normal(size=tuple(parameter.shape))).to(parameter)
    if parameters:
        torch.optim.SGD(parameters, lr=0.05).step()


def loaded(module: nn.Module, source: np.random.Generator) -> None:
    """A state with other numbers."""
    state = {
        key: value * torch.from_numpy(source.uniform(0.8, 1.25, size=tuple(value.shape))).to(value)
        if torch.is_tensor(value) and value.is_floating_point()
        else value
        for key, value in module.state_dict().items()
    }
    module.load_state_dict(state)


def _layers(module: nn.Module) -> Iterator[nn.Module]:
    for layer in module.modules():
        yield layer
        dynamics = getattr(layer, "dynamics", None)
        if dynamics is not None and dynamics is not layer:
            yield dynamics


NUMBERS = (
    "tau", "v_threshold", "v_reset", "v_leak", "threshold", "beta", "alpha", "c_decay", "v_decay",
    "r", "weight", "bias", "scale", "w", "w_in", "tau_syn", "tau_mem", "delay", "gain",
)  # fmt: skip


def set_anew(module: nn.Module, source: np.random.Generator) -> None:
    """Attributes with other numbers, as a user assigns them."""
    for layer in _layers(module):
        for name in NUMBERS:
            held = getattr(layer, name, None)
            factor = float(source.uniform(0.85, 0.99))
            if isinstance(held, nn.Parameter):
                setattr(layer, name, nn.Parameter(held.detach() * factor))
            elif isinstance(held, (float, torch.Tensor)) and not isinstance(held, bool):
                setattr(layer, name, held * factor + (0.01 if name == "v_reset" else 0))
                if name == "v_reset" and isinstance(layer, base.MemoryModule):
                    layer.set_reset_value("v", layer.v_reset)
                    layer.reset()


def changed_in_place(module: nn.Module, source: np.random.Generator) -> None:
    """Numbers of tensors, wherever a layer has them."""
    for layer in _layers(module):
        named = [*layer.named_parameters(recurse=False), *layer.named_buffers(recurse=False)]
        held = [tensor for name, tensor in named if name != "graded_spikes_factor"]
        p = getattr(layer, "p", None)  # a Norse cell's; all cells share one alpha
        for field in set(getattr(p, "_fields", ())) - {"alpha"}:
            value = getattr(p, field)
            held += [value] if torch.is_tensor(value) else []
        for tensor in held:
            if tensor.is_floating_point():
                tensor.data.mul_(float(source.uniform(0.8, 1.25)))


def coarsened(module: nn.Module, source: np.random.Generator) -> None:
    """There and back: what is left are numbers of half precision."""
    module.half().double()


def gained(module: nn.Module, source: np.random.Generator) -> None:
    for layer in module.modules():
        if isinstance(layer, Normalized):
            layer.gain.mul_(1.5)


def shifted(module: nn.Module, source: np.random.Generator) -> None:
    for layer in module.modules():
        if isinstance(layer, Normalized):
            layer.shift.add_(0.125)


def softened(module: nn.Module, source: np.random.Generator) -> None:
    """Resets by subtraction, where there were others."""
    for layer in module.modules():
        if getattr(layer, "v_reset", None) is not None and hasattr(layer, "decay_input"):
            layer.v_reset = None
        if getattr(layer, "reset_by", None) == "set":
            layer.reset_by = "subtract"
        if hasattr(layer, "reset_mechanism") and hasattr(layer, "reset_delay"):
            layer.reset_mechanism = "subtract"


CHANGES: dict[str, Change] = {
    change.__name__: change
    for change in (
        trained, loaded, set_anew, changed_in_place, coarsened, gained, shifted, softened
    )
}  # fmt: skip
changes = pytest.mark.parametrize("change", CHANGES)


# --- neurons --------------------------------------------------------------------------------


@ways
@changes
@settings(max_examples=12)
@given(node=neurons(SIZE), seed=seeds)
def test_a_changed_neuron(way: str, change: str, node: nir.NIRNode, seed: int) -> None:
    graph = single(node, SIZE)
    module = imported(way, graph)
    CHANGES[change](module, np.random.default_rng(seed))
    assert_means_the_module(way, module, graph, seed)


def lif(**fields: Any) -> nir.NIRGraph:
    ones = np.ones(SIZE)
    given = {
        "tau": 8 * DT * ones, "r": np.array([1.0, 2, 3, 4]), "v_leak": 0.1 * ones,
        "v_threshold": np.array([0.5, 0.6, 0.7, 0.8]), "v_reset": 0.1 * ones,
    }  # fmt: skip
    return single(nir.LIF(**{**given, **fields}), SIZE)


@ways
@changes
def test_it_is_exported_and_fires(way: str, change: str) -> None:
    """What the tests above let pass as refused isn't all."""
    graph = lif()
    module = imported(way, graph)
    CHANGES[change](module, np.random.default_rng(0))
    spikes = outputs(copy.deepcopy(module), graph, 1, hands_on=way in HANDS_ON)["output"].sum()
    assert spikes > 20
    half = change == "softened" and way.startswith("snntorch")  # which needs a layer made anew
    assert assert_means_the_module(way, module, graph, 1) is not half


def test_a_start_that_was_left_behind() -> None:
    """A reset of SpikingJelly's sets a potential to what was v_reset when the layer was made."""
    graph = lif()
    module: Any = imported("spikingjelly", graph)
    module.node.neuron.v_reset = 0.125
    node = exported("spikingjelly", module, graph).nodes["node"]
    np.testing.assert_allclose(node.metadata["v_initial"], 0.1)
    assert assert_means_the_module("spikingjelly", module, graph, 1)


def test_one_that_no_import_made() -> None:
    ones = torch.ones(SIZE)
    made = Normalized(snn.Leaky(0.9), ones, 0 * ones, nir.I(np.ones(SIZE)))
    with pytest.raises(ExportRefused, match="was not made by an import"):
        snntorch.export_to_nir(made, torch.ones(1, SIZE), dt=DT)


# --- whole graphs ---------------------------------------------------------------------------


@ways
@changes
@settings(max_examples=6)
@given(graph=graphs(nested=1), seed=seeds)
def test_a_changed_network(way: str, change: str, graph: nir.NIRGraph, seed: int) -> None:
    module = imported(way, graph)
    CHANGES[change](module, np.random.default_rng(seed))
    assert_means_the_module(way, module, graph, seed)


# --- unchanged ------------------------------------------------------------------------------


def saved(module: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    loaded: nn.Module = torch.load(file, weights_only=False)
    return loaded


def there_and_back(module: nn.Module) -> nn.Module:
    """What changes no number: a copy through a file, other modes, a state that is loaded again."""
    module = copy.deepcopy(module)
    if not any(
        isinstance(layer, snn.SpikingNeuron) for layer in module.modules()
    ):  # has local functions
        module = saved(module)
    module.load_state_dict(module.state_dict())
    return module.eval().train().requires_grad_(False)


@ways
@settings(max_examples=12)
@given(node=neurons(SIZE, SPIKING), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_a_normalized_node_comes_back_bit_by_bit(
    way: str, node: nir.NIRNode, dtype: torch.dtype
) -> None:
    graph = single(node, SIZE)
    graph.nodes["node"].metadata["by"] = "us"
    target, options = WAYS[way]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = there_and_back(target.import_from_nir(graph, dt=DT, dtype=dtype, **options))
    if not isinstance(module.node, Normalized):
        return
    module(torch.from_numpy(inputs_for(graph, 1, 1, 0)["input"][0]).to(dtype))
    again = exported(way, module, graph).nodes["node"]
    assert again.metadata == {"by": "us"}
    for field, value in vars(node).items():
        held = getattr(again, field)
        if isinstance(value, np.ndarray):
            assert held.dtype == value.dtype
            assert held.tobytes() == value.tobytes(), field


# --- at another time step -------------------------------------------------------------------


@ways
@pytest.mark.parametrize("factor", [0.1, 3.0])
@settings(max_examples=10)
@given(graph=graphs(nested=0), seed=seeds)
def test_another_time_step(way: str, factor: float, graph: nir.NIRGraph, seed: int) -> None:
    """All of a network is rescaled, or none of it: a step of it is a step of the graph's."""
    assert_means_the_module(way, imported(way, graph), graph, seed, dt=factor * DT)


@ways
@given(node=neurons(SIZE), seed=seeds)
@settings(max_examples=10)
def test_a_neuron_at_another_time_step(way: str, node: nir.NIRNode, seed: int) -> None:
    graph = single(node, SIZE)
    assert_means_the_module(way, imported(way, graph), graph, seed, dt=DT / 4)


def test_which_are_rescaled() -> None:
    graph = lif()
    for way in ("spikingjelly", "learning tau", "snntorch"):
        module = imported(way, graph)
        assert assert_means_the_module(way, module, graph, 1, dt=DT / 4)
        tau = exported(way, module, graph, DT / 4).nodes["node"].tau
        np.testing.assert_allclose(tau, graph.nodes["node"].tau / 4)
    for way in ("reference", "norse"):
        with pytest.raises(ExportRefused, match=r"dt is 0.001, and the graph's time step is"):
            exported(way, imported(way, graph), graph, DT / 4)

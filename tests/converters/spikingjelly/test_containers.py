"""SpikingJelly's containers: the graph, imported again, has the spikes of the real container.

The recurrent ones are fed back with one step's delay. Each network here would give other spikes
if the delay were in another place, or if anything but the feedback were delayed.
"""

from __future__ import annotations

from collections.abc import Callable

import nir
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spikingjelly.activation_based import base, functional, layer, neuron
from torch import Tensor, nn

from nir_exchange import reference, spikingjelly
from nir_runtime.contract.reference import Host
from nir_runtime.errors import ExportRefused

STEPS = 100
DT = 1e-3
MODES = ["s", "m"]


def data(*features: int) -> Tensor:
    """[T, N, *features]"""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(STEPS, 2, *features, generator=generator, dtype=torch.float64) * 2


def outputs(net: nn.Module, x: Tensor, mode: str) -> Tensor:
    """[T, N, *]"""
    first = (lambda y: y[0]) if hasattr(net, "read_state") else (lambda y: y)
    with torch.no_grad():
        return first(net(x)) if mode == "m" else torch.stack([first(net(step)) for step in x])


def reset(net: nn.Module) -> None:
    """Let SpikingJelly's layers and the reference's forget."""
    for module in net.modules():
        if isinstance(module, (base.MemoryModule, Host)):
            module.reset()


def compared(net: nn.Module, x: Tensor, mode: str) -> nir.NIRGraph:
    """The network's graph, whose import computes the same, and goes out as the same graph."""
    net = net.double().eval()
    graph = spikingjelly.export_to_nir(net, x if mode == "m" else x[0], dt=DT)
    expected = outputs(net, x, mode)
    assert expected.std() > 0
    for target in (reference, spikingjelly):
        for way in MODES:
            imported = target.import_from_nir(graph, dt=DT, dtype=torch.float64, step_mode=way)
            assert torch.equal(outputs(imported, x, way), expected)
            reset(imported)
            again = target.export_to_nir(imported, x if way == "m" else x[0], dt=DT)
            assert set(again.edges) == set(graph.edges)
            kinds = {name: type(node) for name, node in graph.nodes.items()}
            assert {name: type(node) for name, node in again.nodes.items()} == kinds
    return graph


def linear(inputs: int = 4, outputs: int = 4, seed: int = 0) -> nn.Linear:
    torch.manual_seed(seed)
    return nn.Linear(inputs, outputs)


class Branches(nn.Module):
    """Reads its input twice, so that a cycle could be entered in two places."""

    def __init__(self, first: nn.Module, second: nn.Module, joint: nn.Module) -> None:
        super().__init__()
        # In the order of names, the walk along the graph comes to the last layer first.
        self.z, self.y, self.a = first, second, joint

    def forward(self, x: Tensor) -> Tensor:
        return self.a(self.z(x) + self.y(x))


SUB_MODULES: dict[str, Callable[[], nn.Module]] = {
    "a neuron": neuron.LIFNode,
    "neuron last": lambda: nn.Sequential(linear(), neuron.LIFNode(v_threshold=0.3)),
    "neuron first": lambda: nn.Sequential(neuron.LIFNode(v_threshold=0.3), linear()),
    "neuron between": lambda: nn.Sequential(
        linear(), neuron.IFNode(v_threshold=0.3), linear(seed=1)
    ),
    "two neurons": lambda: nn.Sequential(neuron.LIFNode(), linear(), neuron.IFNode()),
    "entered twice": lambda: Branches(linear(), neuron.LIFNode(), neuron.IFNode()),
    "a skip past a neuron": lambda: Branches(neuron.LIFNode(), nn.Identity(), neuron.IFNode()),
    "a skip to the output": lambda: Branches(neuron.LIFNode(), Half(), nn.Identity()),
    "no neuron": lambda: nn.Sequential(linear(), Half(), Half()),
    "nothing": lambda: Half(),
    "batch norm and dropout": lambda: nn.Sequential(
        linear(), layer.BatchNorm1d(4), neuron.IFNode(), layer.Dropout()
    ),
    "a container": lambda: layer.ElementWiseRecurrentContainer(
        neuron.LIFNode(), lambda x, y: x + y
    ),
}


class Half(nn.Module):
    """Decays what is fed back, so that it stays finite."""

    def forward(self, x: Tensor) -> Tensor:
        return 0.4 * x


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", SUB_MODULES)
def test_elementwise_recurrence(name: str, mode: str) -> None:
    container = layer.ElementWiseRecurrentContainer(SUB_MODULES[name](), torch.add, mode)
    compared(container, data(4), mode)


@pytest.mark.parametrize(
    "join",
    [lambda y, x: x - y, lambda y, x: torch.add(x, y, alpha=0.3), lambda y, x: x, lambda y, x: y],
)
def test_other_ways_to_join(join: Callable[[Tensor, Tensor], Tensor]) -> None:
    class Around(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            sub_module = nn.Sequential(linear(), neuron.LIFNode(v_threshold=0.3))
            self.loop = layer.ElementWiseRecurrentContainer(sub_module, join, "m")

        def forward(self, x: Tensor) -> Tensor:
            return self.loop(x) + x

    compared(Around(), data(4), "m")


def test_a_neuron_alone_is_joined_to_itself() -> None:
    container = layer.ElementWiseRecurrentContainer(neuron.LIFNode(), torch.add)
    graph = compared(nn.Sequential(container), data(4), "s")
    assert graph.edges == [
        ("input_1", "_0_sub_module"),
        ("_0_sub_module", "_0_sub_module"),
        ("_0_sub_module", "output"),
    ]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("last", [nn.Identity, lambda: linear(3, 3)])
def test_linear_recurrence(last: Callable[[], nn.Module], bias: bool, mode: str) -> None:
    torch.manual_seed(0)
    sub_module = nn.Sequential(nn.Linear(4, 3), neuron.LIFNode(v_threshold=0.1), last())
    container = layer.LinearRecurrentContainer(sub_module, 4, 3, bias, mode)
    graph = compared(nn.Sequential(nn.Linear(2, 4), container), data(2), mode)
    assert graph.nodes["_1_rc"].weight.shape == (4, 4)
    assert graph.nodes["_1_rc_1"].weight.shape == (4, 3)


@pytest.mark.parametrize(
    "make",
    [
        lambda: layer.SeqToANNContainer(linear(), nn.Flatten()),
        lambda: layer.MultiStepContainer(neuron.IFNode(), linear()),
        lambda: layer.MultiStepContainer(
            layer.ElementWiseRecurrentContainer(neuron.LIFNode(), torch.add)
        ),
        lambda: layer.StepModeContainer(False, "m", linear(), linear(seed=1)),
        lambda: layer.StepModeContainer(True, "m", linear(), neuron.LIFNode()),
        lambda: nn.Sequential(
            layer.SeqToANNContainer(linear()), layer.MultiStepContainer(neuron.LIFNode())
        ),
    ],
)
def test_sequences(make: Callable[[], nn.Module]) -> None:
    compared(nn.Sequential(make(), neuron.IFNode(v_threshold=0.3, step_mode="m")), data(4), "m")


def test_convolutions_over_a_sequence() -> None:
    torch.manual_seed(0)
    convolutions = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.AvgPool2d(2)
    net = nn.Sequential(
        layer.SeqToANNContainer(*convolutions), neuron.IFNode(v_threshold=0.1, step_mode="m")
    )
    graph = compared(net, data(3, 4, 4)[:20], "m")
    kinds = [type(node).__name__ for node in graph.nodes.values()]
    assert kinds == ["Input", "Conv2d", "AvgPool2d", "IF", "Output"]


def test_a_container_that_is_in_single_step_mode() -> None:
    compared(layer.StepModeContainer(True, "s", linear(), neuron.LIFNode()), data(4), "s")


@given(
    kinds=st.lists(
        st.sampled_from(["linear", "lif", "if", "half", "loop"]), min_size=1, max_size=4
    ),
    depth=st.integers(1, 3),
    mode=st.sampled_from(MODES),
    seed=st.integers(0, 2**16),
)
def test_recurrence_at_random(kinds: list[str], depth: int, mode: str, seed: int) -> None:
    torch.manual_seed(seed)

    def part(kind: str, depth: int) -> nn.Module:
        if kind == "loop" and depth:
            return layer.ElementWiseRecurrentContainer(body(depth - 1), torch.add)
        if kind == "linear":
            made = nn.Linear(4, 4)
            nn.init.uniform_(made.weight, -0.3, 0.3)
            return made
        return {"lif": neuron.LIFNode, "if": neuron.IFNode}.get(kind, Half)()

    def body(depth: int) -> nn.Module:
        return nn.Sequential(Half(), *(part(kind, depth) for kind in kinds))

    container = layer.ElementWiseRecurrentContainer(body(depth), torch.add, mode)
    net = nn.Sequential(container).double().eval()
    x = data(4)[:20]
    graph = spikingjelly.export_to_nir(net, x if mode == "m" else x[0], dt=DT)
    imported = spikingjelly.import_from_nir(graph, dt=DT, dtype=torch.float64, step_mode=mode)
    expected, actual = outputs(net, x, mode), outputs(imported, x, mode)
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)


# --- refusals --------------------------------------------------------------------------------


REFUSED: dict[str, tuple[nn.Module, str]] = {
    "time last": (
        layer.TLastSeqToANNContainer(linear()),
        "0: TLastSeqToANNContainer: it takes time as the last axis",
    ),
    "time last, each step": (
        layer.TLastMultiStepContainer(neuron.IFNode()),
        "0: TLastMultiStepContainer: it takes time as the last axis",
    ),
    "a product": (
        layer.ElementWiseRecurrentContainer(neuron.LIFNode(), torch.mul, "m"),
        "0: forward calls torch.mul, which multiplies signals",
    ),
    "another shape than is fed back": (
        layer.ElementWiseRecurrentContainer(linear(4, 3), torch.add, "m"),
        "0: its sub_module returns (2, 3) and gets (2, 4) fed back",
    ),
    "more axes than one": (
        layer.LinearRecurrentContainer(linear(4, 4), 4, 4, step_mode="m"),
        "0: takes one axis of features",
    ),
    "a state in merged time and batch": (
        layer.SeqToANNContainer(neuron.LIFNode()),
        "0.0: gets time and batch as one axis",
    ),
    "steps as a sequence": (
        layer.MultiStepContainer(layer.SeqToANNContainer(linear())),
        "0",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name: str) -> None:
    container, problem = REFUSED[name]
    features = (4, 4) if name == "more axes than one" else (4,)
    net = nn.Sequential(container, neuron.IFNode(step_mode="m"))
    with pytest.raises(ExportRefused) as refused:
        spikingjelly.export_to_nir(net.eval(), torch.ones(3, 2, *features))
    assert str(refused.value.problems[0]).startswith(problem)
    assert refused.value.problems[0].advice


class Leak(nn.Module):
    """A forward that smuggles what is fed back past the container's input."""

    def __init__(self, *, out: bool) -> None:
        super().__init__()
        self.out = out
        self.loop = layer.ElementWiseRecurrentContainer(neuron.IFNode(), self.keep)

    def keep(self, y: Tensor, x: Tensor) -> Tensor:
        self.kept = y
        return x + y

    def forward(self, x: Tensor) -> Tensor:
        y = self.loop(x)
        return self.kept if self.out else y + self.kept


@pytest.mark.parametrize(("out", "word"), [(True, "one step later"), (False, "twice")])
def test_a_loop_that_nir_would_cut_elsewhere_is_refused(out: bool, word: str) -> None:
    with pytest.raises(ExportRefused, match=word):
        spikingjelly.export_to_nir(Leak(out=out), torch.ones(1, 4))


def test_the_network_stays_as_it_was() -> None:
    net = layer.LinearRecurrentContainer(nn.Sequential(nn.Linear(4, 3), neuron.IFNode()), 4, 3)
    net(torch.ones(2, 4))
    functional.reset_net(net)
    before = {path: dict(vars(module)) for path, module in net.named_modules()}
    spikingjelly.export_to_nir(net, torch.ones(2, 4))
    assert {path: vars(module) for path, module in net.named_modules()} == before
    functional.reset_net(net)

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import fx, nn

from nir_runtime.errors import ImportRefused, InvalidArgument, InvalidGraph
from nir_runtime.imports.importing import import_graph
from nir_runtime.imports.recurrence import Recurrent

from .handmade import TARGET, affine, chain, graph, lif, shaped_input

DT = 1e-4


def imported(made: Any, step_mode: str = "s", **changes: Any) -> fx.GraphModule:
    arguments = {"dt": DT, "device": "cpu", "dtype": torch.float64, "strict": False} | changes
    target = arguments.pop("target", TARGET)
    return import_graph(target, made, options={"step_mode": step_mode}, **arguments)


def problems(error: type[Exception], made: Any, **changes: Any) -> list[str]:
    with pytest.raises(error) as raised:
        imported(made, **changes)
    return [str(problem) for problem in raised.value.problems]


def random_input(*shape: int, steps: int = 100) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(steps, 2, *(shape or (4,)), dtype=torch.float64, generator=generator)


def train_of(module: nn.Module, x: torch.Tensor, step_mode: str = "s") -> torch.Tensor:
    with torch.no_grad():
        if step_mode == "m":
            return module(x)[0]
        return torch.stack([module(step)[0] for step in x])


def out() -> nir.Output:
    return nir.Output({"output": None})


def convolutional() -> nir.NIRGraph:
    random = np.random.default_rng(0)
    return chain(
        nir.Conv2d(None, random.normal(size=(4, 1, 3, 3)), 1, (1, 0), 1, 2, random.uniform(size=4)),
        lif(()),
        nir.AvgPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0])),
        nir.Flatten({"input": None}, 0, -1),
        nir.Affine(random.normal(size=(10, 48)), random.uniform(size=10)),
        lif((1,)),
        features=(2, 8, 8),
    )


# From a graph to a module


def test_the_layers_are_the_frameworks_own_and_compute_the_graph() -> None:
    made = convolutional()
    module = imported(made)
    assert isinstance(module, fx.GraphModule)
    by_hand = nn.Sequential(
        layer.Conv2d(2, 4, 3, 1, (1, 0), groups=2),
        neuron.LIFNode(10.0, v_threshold=0.15),
        layer.AvgPool2d(2),
        layer.Flatten(),
        layer.Linear(48, 10),
        neuron.LIFNode(10.0, v_threshold=0.15),
    ).double()
    with torch.no_grad():
        for index in (0, 4):
            node = made.nodes[f"_{index}"]
            by_hand[index].weight.copy_(torch.from_numpy(node.weight))
            by_hand[index].bias.copy_(torch.from_numpy(node.bias))
    assert [type(child) for child in module.children()][1:-1] == [type(m) for m in by_hand]
    x = random_input(2, 8, 8)
    expected = torch.stack([by_hand(step) for step in x]).detach()
    assert 0.05 < expected.mean() < 0.95
    assert torch.equal(train_of(module, x), expected)
    several = imported(made, "m")
    assert {m.step_mode for m in several.modules() if hasattr(m, "step_mode")} == {"m"}
    torch.testing.assert_close(train_of(several, x, "m"), expected)
    functional.reset_net(several)
    functional.set_step_mode(several, "s")
    assert torch.equal(train_of(several, x), expected)


def test_the_caller_keeps_the_graph_as_it_was() -> None:
    made = convolutional()
    before = copy.deepcopy(made)
    imported(made)
    assert list(made.nodes) == list(before.nodes)
    for name, node in made.nodes.items():
        assert vars(node).keys() == vars(before.nodes[name]).keys()
        for field, value in vars(node).items():
            np.testing.assert_equal(value, getattr(before.nodes[name], field))


def test_the_module_has_weights_of_its_own() -> None:
    made = chain(affine(0))
    before = made.nodes["_0"].weight.copy()
    module = imported(made)
    with torch.no_grad():
        module._0.weight.zero_()
    assert np.array_equal(made.nodes["_0"].weight, before)


def test_doubles_never_pass_through_single_precision() -> None:
    made = chain(nir.Affine(np.full((4, 4), 1 / 3), np.full(4, 1e-12)))
    module = imported(made)
    assert module._0.weight.tolist() == made.nodes["_0"].weight.tolist()
    assert module._0.bias.tolist() == made.nodes["_0"].bias.tolist()
    assert imported(made, dtype=torch.float32)._0.weight.dtype == torch.float32


@pytest.mark.parametrize("as_path", [Path, str])
def test_a_file(tmp_path: Path, as_path: Callable[[Path], Any]) -> None:
    made = chain(affine(0), lif())
    nir.write(tmp_path / "made.nir", nir.NIRGraph(made.nodes, made.edges))
    x = random_input()
    module = imported(as_path(tmp_path / "made.nir"))
    assert torch.equal(train_of(module, x), train_of(imported(made), x))


# Cycles


def by_hand(step: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return torch.stack([step(each) for each in x])


class Fired:
    """The contract's LIF, in numbers: tau is ten steps, threshold 0.15, all else 1 or 0."""

    def __init__(self) -> None:
        self.v = torch.zeros(2, 4, dtype=torch.float64)
        self.z = torch.zeros(2, 4, dtype=torch.float64)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        self.v = self.v + (x - self.v) / 10.0
        self.z = (self.v > 0.15).double()
        self.v = self.v * (1 - self.z)
        return self.z


def matrix(node: nir.Affine) -> Callable[[torch.Tensor], torch.Tensor]:
    weight, bias = torch.from_numpy(node.weight), torch.from_numpy(node.bias)
    return lambda x: nn.functional.linear(x, weight, bias)


def same_train(made: nir.NIRGraph, expected: torch.Tensor, x: torch.Tensor) -> None:
    assert 0.05 < expected.mean() < 0.95
    for step_mode in ("s", "m"):
        module = imported(made, step_mode)
        assert torch.equal(train_of(module, x, step_mode), expected), step_mode
        functional.reset_net(module)
        assert torch.equal(train_of(module, x, step_mode), expected), step_mode


def test_a_self_loop_sees_the_step_before() -> None:
    made = graph(
        {"i": shaped_input((4,)), "w": affine(0), "a": lif(), "o": out()},
        ("i", "w"),
        ("w", "a"),
        ("a", "a"),
        ("a", "o"),
    )
    w, a, x = matrix(made.nodes["w"]), Fired(), random_input()
    same_train(made, by_hand(lambda x: a(a.z + w(x)), x), x)


def test_a_weight_fed_back_gives_its_bias_from_the_first_step_on() -> None:
    made = graph(
        {"i": shaped_input((4,)), "a": lif(), "w": affine(4), "o": out()},
        ("i", "a"),
        ("a", "w"),
        ("w", "a"),
        ("a", "o"),
    )
    a, w, x = Fired(), matrix(made.nodes["w"]), random_input()
    expected = by_hand(lambda x: a(x + w(a.z)), x)
    same_train(made, expected, x)
    late = Fired()  # what a delay of the weight's output would give instead
    fed_back = [torch.zeros(2, 4, dtype=torch.float64)]

    def delayed_behind_the_weight(x: torch.Tensor) -> torch.Tensor:
        z = late(x + fed_back[-1])
        fed_back.append(w(z))
        return z

    assert not torch.equal(by_hand(delayed_behind_the_weight, x), expected)


def test_only_the_edge_that_closes_a_cycle_of_two_neurons_is_delayed() -> None:
    made = graph(
        {
            "i": shaped_input((4,)),
            "a": lif(),
            "w1": affine(5),
            "b": lif(),
            "w2": affine(6),
            "o": out(),
        },
        ("i", "a"),
        ("a", "w1"),
        ("w1", "b"),
        ("b", "w2"),
        ("w2", "a"),
        ("b", "o"),
    )
    w1, w2, x = matrix(made.nodes["w1"]), matrix(made.nodes["w2"]), random_input()
    a, b = Fired(), Fired()
    expected = by_hand(lambda x: b(w1(a(x + w2(b.z)))), x)
    same_train(made, expected, x)
    a, b = Fired(), Fired()

    def delayed_twice(x: torch.Tensor) -> torch.Tensor:
        before = a.z
        a(x + w2(b.z))
        return b(w1(before))

    assert not torch.equal(by_hand(delayed_twice, x), expected)


def test_several_loops_and_several_ways_out() -> None:
    nodes = {"i": shaped_input((4,)), "a": lif(), "b": lif(), "c": lif(), "w": affine(8)}
    nodes |= {"sum": affine(9), "o": out(), "p": out()}
    edges = [("i", "a"), ("a", "b"), ("b", "b"), ("b", "w"), ("w", "a"), ("b", "c"), ("a", "c")]
    edges += [("c", "sum"), ("a", "sum"), ("sum", "o"), ("b", "p")]
    made = graph(nodes, *edges)
    a, b, c, x = Fired(), Fired(), Fired(), random_input()
    w, total = matrix(nodes["w"]), matrix(nodes["sum"])

    def step(x: torch.Tensor) -> torch.Tensor:
        a(x + w(b.z))
        b(a.z + b.z)
        return torch.stack((total(a.z + c(a.z + b.z)), b.z))

    expected = by_hand(step, x)
    with torch.no_grad():
        several, _ = imported(made, "m")(x)
        module = imported(made)
        steps = [module(each)[0] for each in x]
    for index, name in enumerate(("o", "p")):
        torch.testing.assert_close(several[name], expected[:, index])
        torch.testing.assert_close(torch.stack([y[name] for y in steps]), expected[:, index])


def test_what_is_not_on_the_cycle_runs_once_over_time() -> None:
    nodes = {"i": shaped_input((4,)), "w": affine(0), "a": lif(), "v": affine(1), "o": out()}
    made = graph(nodes, ("i", "w"), ("w", "a"), ("a", "a"), ("a", "v"), ("v", "o"))
    module = imported(made, "m")
    calls = {"w": 0, "v": 0, "recurrent.dynamics.body.a": 0}

    def count(name: str) -> None:
        def hook(*_: object) -> None:
            calls[name] += 1

        module.get_submodule(name).register_forward_hook(hook)

    for name in calls:
        count(name)
    train_of(module, random_input(steps=7), "m")
    assert calls == {"w": 1, "v": 1, "recurrent.dynamics.body.a": 7}


def test_a_loop_goes_on_where_the_last_call_ended_in_either_mode() -> None:
    nodes = {"i": shaped_input((4,)), "a": lif(), "w": affine(4), "o": out()}
    made = graph(nodes, ("i", "a"), ("a", "w"), ("w", "a"), ("a", "o"))
    x = random_input(steps=20)
    expected = train_of(imported(made), x)
    module = imported(made)
    first = train_of(module, x[:6])
    functional.set_step_mode(module, "m")
    second = train_of(module, x[6:13], "m")
    functional.set_step_mode(module, "s")
    assert torch.equal(torch.cat((first, second, train_of(module, x[13:]))), expected)


def test_a_cycle_that_no_input_reaches_runs() -> None:
    nodes = {"i": shaped_input((4,)), "a": lif(), "w": affine(4), "o": out()}
    made = graph(nodes, ("a", "w"), ("w", "a"), ("w", "o"), ("i", "o"))
    a, w, x = Fired(), matrix(nodes["w"]), random_input()

    def step(x: torch.Tensor) -> torch.Tensor:
        sent = w(a.z)
        a(sent)
        return x + sent

    for mode in ("s", "m"):
        a = Fired()
        assert torch.equal(train_of(imported(made, mode), x, mode), by_hand(step, x))


def test_spatial_features_go_around() -> None:
    random = np.random.default_rng(2)
    conv = nir.Conv2d(
        None, random.normal(size=(2, 2, 3, 3)), 1, "same", 1, 1, random.uniform(size=2)
    )
    nodes = {"i": shaped_input((2, 5, 5)), "a": lif(()), "conv": conv, "o": out()}
    made = graph(nodes, ("i", "a"), ("a", "conv"), ("conv", "a"), ("a", "o"))
    x = random_input(2, 5, 5, steps=10)
    steps, several = imported(made), imported(made, "m")
    torch.testing.assert_close(train_of(several, x, "m"), train_of(steps, x))
    assert steps.read_state()["a"]["previous"].shape == (2, 2, 5, 5)
    assert several.read_state()["a"]["previous"].shape == (2, 2, 5, 5)


def test_a_framework_without_a_home_for_cycles_refuses_them() -> None:
    nodes = {"i": shaped_input((4,)), "a": lif(), "o": out()}
    made = graph(nodes, ("i", "a"), ("a", "a"), ("a", "o"))
    assert problems(ImportRefused, made, target=replace(TARGET, cell=None)) == [
        "/node/nodes/a: SpikingJelly can't hold nodes that feed each other: 'a'"
    ]


def test_a_cycle_is_a_module_of_the_framework() -> None:
    nodes = {"i": shaped_input((4,)), "a": lif(), "o": out()}
    module = imported(graph(nodes, ("i", "a"), ("a", "a"), ("a", "o")))
    assert isinstance(module.recurrent.dynamics, Recurrent)
    train_of(module, random_input(steps=3))
    assert module.recurrent.previous_a.shape == (2, 4)
    functional.reset_net(module)
    assert module.recurrent.previous_a is None


# Nested graphs


def test_a_nested_graph_computes_what_it_does_outside() -> None:
    inner = chain(affine(1), chain(lif(), affine(2), features=None), features=None)
    nested = chain(affine(0), lif(), inner, lif())
    flat = chain(affine(0), lif(), affine(1), lif(), affine(2), lif())
    x = random_input()
    module = imported(nested)
    assert torch.equal(train_of(module, x), train_of(imported(flat), x))
    assert list(module.read_state()) == ["_1", "_2._1._0", "_3"]


def test_a_loop_around_a_nested_graph() -> None:
    nodes = {"i": shaped_input((4,)), "sub": chain(lif()), "w": affine(4), "o": out()}
    edges = ("i", "sub"), ("sub", "w"), ("w", "sub"), ("sub", "o")
    x = random_input()
    nested = train_of(imported(graph(nodes, *edges)), x)
    plain = train_of(imported(graph(nodes | {"sub": lif()}, *edges)), x)
    assert 0.05 < nested.mean() < 0.95
    assert torch.equal(nested, plain)


# Refusals


@pytest.mark.parametrize(
    ("changes", "place"),
    [
        ({"dt": 0}, "dt: is 0"),
        ({"dt": -1e-4}, "dt: is -0.0001"),
        ({"dt": float("nan")}, "dt: is nan"),
        ({"dt": float("inf")}, "dt: is inf"),
        ({"dt": "1e-4"}, "dt: is '1e-4'"),
        ({"dt": 10**400}, "dt: is 1000"),
        ({"dt": 10**5000}, "dt: is of the type int"),
        ({"dt": True}, "dt: is True"),
        ({"dtype": torch.int32}, "dtype: is torch.int32"),
        ({"dtype": "float32"}, "dtype: is 'float32'"),
        ({"device": "toaster"}, "device: is 'toaster'"),
        ({"device": None}, "device: is None"),
        ({"step_mode": "x"}, "step_mode: is 'x'"),
        ({"step_mode": None}, "step_mode: is None"),
        ({"made": 3}, "graph: is a int"),
    ],
)
def test_an_argument_that_can_not_be_meant(changes: dict[str, Any], place: str) -> None:
    made = changes.pop("made", chain(lif()))
    (found,) = problems(InvalidArgument, made, **changes)
    assert found.startswith(place)


def test_all_arguments_are_looked_at_before_anything_else() -> None:
    found = problems(InvalidArgument, chain(lif(tau=-1.0)), dt=0, step_mode="x", dtype=None)
    assert [problem.split(":")[0] for problem in found] == ["dt", "dtype", "step_mode"]


def test_numbers_of_numpy_are_numbers() -> None:
    assert imported(chain(lif()), dt=np.float32(1e-4))._0.tau == pytest.approx(10)


def test_all_refusals_come_together() -> None:
    made = chain(lif(tau=1e-4), nir.Threshold(np.ones(4)), lif(tau=1e-5), nir.I(np.ones(4)))
    found = problems(ImportRefused, made)
    assert [problem.splitlines()[0] for problem in found] == [
        "/node/nodes/_0/tau: tau is 1 steps",
        "/node/nodes/_1: SpikingJelly has no layer for Threshold",
        "/node/nodes/_2/tau: tau is 0.1 steps",
        "/node/nodes/_3: SpikingJelly has no layer for I",
    ]
    assert "it has for: Affine, AvgPool2d, Conv2d, Flatten, LIF, Linear" in found[1]


def test_a_graph_without_sense_is_not_imported() -> None:
    assert problems(InvalidGraph, chain(lif(tau=float("nan")))) == [
        "/node/nodes/_0/tau: is NaN or infinite in 4 of 4 elements"
    ]
    found = problems(
        InvalidGraph,
        graph(
            {"i": shaped_input((4,)), "w": affine(0), "o": out()},
            ("i", "w"),
            ("w", "w"),
            ("w", "o"),
        ),
    )
    assert found[0].startswith("/node/nodes/w: a cycle without a node that has state: 'w'")


def test_strict_refuses_what_only_the_metadata_says() -> None:
    soft = lif()
    soft.metadata["reset"] = "subtract"
    made = chain(lif(), soft)
    assert imported(made)._1.v_reset is None
    (found,) = problems(ImportRefused, made, strict=True)
    assert found.startswith("/node/nodes/_1: the node's metadata says what its fields don't: the")
    imported(chain(lif(), lif()), strict=True)

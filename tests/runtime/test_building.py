from __future__ import annotations

import contextlib
import copy
import io
import itertools
import keyword
import pickle
from collections import Counter
from collections.abc import Callable

import nir
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spikingjelly.activation_based import functional, neuron
from spikingjelly.activation_based.neuron import LIFNode
from torch import fx, nn

from nir_runtime.errors import InvalidArgument
from nir_runtime.imports.building import Names, graph_names, state_slots
from nir_runtime.imports.identifiers import MODULE_RESERVED, Namespace, parameters
from nir_runtime.imports.importing import import_graph

from .counting import calls_made
from .handmade import TARGET, affine, chain, graph, lif, shaped_input


def imported(made: nir.NIRGraph, step_mode: str = "s") -> fx.GraphModule:
    options = {"step_mode": step_mode}
    return import_graph(TARGET, made, 1e-4, "cpu", torch.float64, options, strict=False)


def small() -> fx.GraphModule:
    return imported(chain(affine(0), lif(), affine(1), lif()))


def recurrent() -> fx.GraphModule:
    nodes = {"i": shaped_input((4,)), "a": lif(), "w": affine(2), "o": lif(), "out": out()}
    edges = ("i", "a"), ("a", "w"), ("w", "a"), ("a", "o"), ("o", "out")
    return imported(graph(nodes, *edges))


def out() -> nir.Output:
    return nir.Output({"output": None})


def train_of(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The outputs of one call for each step of x, without gradients."""
    with torch.no_grad():
        return torch.stack([module(step)[0] for step in x])


def random_input(steps: int = 30) -> torch.Tensor:
    return torch.rand(steps, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def pickled(module: nn.Module) -> nn.Module:
    return pickle.loads(pickle.dumps(module))


def saved(module: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


# What is built


def test_it_prints_as_the_tutorial_has_it() -> None:
    code = small().code
    assert code.strip() == (
        "def forward(self, input, state = None):\n"
        "    input_1 = input\n"
        "    load_state = self.load_state(state);  state = load_state = None\n"
        "    _0 = self._0(input_1);  input_1 = None\n"
        "    _1 = self._1(_0);  _0 = None\n"
        "    _2 = self._2(_1);  _1 = None\n"
        "    _3 = self._3(_2);  _2 = None\n"
        "    read_state = self.read_state()\n"
        "    return (_3, read_state)"
    )
    shown = str(small())
    assert shown.startswith("GraphModule(")
    assert "(_0): Linear(in_features=4, out_features=4, bias=True)" in shown
    assert "tau=10.0" in shown


def test_sums_are_taken_in_the_order_of_names() -> None:
    nodes = {"i": shaped_input((4,)), "c": affine(0), "b": affine(1), "a": affine(2), "o": out()}
    edges = [("i", "c"), ("i", "b"), ("i", "a"), ("c", "o"), ("b", "o"), ("i", "o"), ("a", "o")]
    module = imported(graph(nodes, *edges))
    assert "add = a + b" in module.code
    x = random_input(1)[0]
    with torch.no_grad():
        expected = ((module.a(x) + module.b(x)) + module.c(x)) + x
        assert torch.equal(module(x)[0], expected)
        edges.reverse()
        assert torch.equal(imported(graph(nodes, *edges))(x)[0], expected)


def test_several_inputs_are_arguments_by_name_and_several_outputs_a_dictionary() -> None:
    nodes = {"right": shaped_input((4,)), "left": shaped_input((4,)), "w": affine(0)}
    nodes |= {"o2": out(), "o.1": out()}
    made = graph(nodes, ("left", "w"), ("right", "o2"), ("w", "o2"), ("w", "o.1"))
    module = imported(made)
    left, right = random_input(2)
    outputs, state = module(left=left, right=right)
    assert list(outputs) == ["o.1", "o2"]
    assert torch.equal(outputs["o.1"], module.w(left))
    assert torch.equal(outputs["o2"], right + module.w(left))
    assert state == {}
    assert torch.equal(module(left, right)[0]["o2"], outputs["o2"])
    assert graph_names(module) == Names(
        {"w": "w"}, {"left": "left", "right": "right"}, ("o.1", "o2"), {"left": 1, "right": 1}, 1e-4
    )


def test_an_input_that_goes_straight_out() -> None:
    x = random_input(1)[0]
    module = imported(graph({"i": shaped_input((4,)), "o": out()}, ("i", "o")))
    assert torch.equal(module(x)[0], x)


def test_a_node_that_nothing_reads_is_computed() -> None:
    nodes = {"i": shaped_input((4,)), "unread": lif(), "o": out()}
    module = imported(graph(nodes, ("i", "unread"), ("i", "o")))
    _, state = module(random_input(1)[0])
    assert state["unread"]["v"].shape == (3, 4)


# Names


@pytest.mark.parametrize(
    ("names", "identifiers"),
    [
        (["a_b", "a.b", "a b"], ["a_b", "a_b_2", "a_b_1"]),
        (["0", "1.conv", "Größe", "", "名"], ["_0", "_1_conv", "Gr_e", "_", "__1"]),
        (["lambda", "sum", "self"], ["lambda_1", "sum_1", "self_1"]),
        (["forward", "training", "graph", "_modules", "code", "meta", "add_module"], None),
    ],
)
def test_identifiers(names: list[str], identifiers: list[str] | None) -> None:
    given = Namespace().give_all(names)
    assert list(given.values()) == (identifiers or [f"{name}_1" for name in names])


@given(st.lists(st.text(max_size=4) | st.sampled_from(sorted(MODULE_RESERVED)), unique=True))
def test_any_names_become_different_identifiers(names: list[str]) -> None:
    identifiers = Namespace().give_all(names)
    assert list(identifiers) == names
    assert len(set(identifiers.values())) == len(names)
    for name, identifier in identifiers.items():
        assert identifier.isidentifier()
        assert identifier.isascii()
        assert not keyword.iskeyword(identifier)
        assert identifier not in MODULE_RESERVED
        assert Namespace().give_all(reversed(names))[name] == identifier


def test_ten_times_the_names_take_ten_times_the_work() -> None:
    def alike(count: int) -> Callable[[], object]:
        return lambda: Namespace().give_all(f"a{'.' * (k + 1)}b" for k in range(count))

    assert calls_made(alike(1000)) < 10.5 * calls_made(alike(100))


@pytest.mark.parametrize(
    ("inputs", "given"),
    [
        (["input_1"], ["input"]),
        (["input"], ["input"]),
        (["x_1"], ["x_1"]),
        (["state"], ["state_1"]),
        (["lambda_1"], ["lambda_1"]),
        (["input_2", "input_1"], ["input_1", "input_2"]),
    ],
)
def test_parameters_of_the_forward(inputs: list[str], given: list[str]) -> None:
    assert list(parameters(inputs).values()) == given


NAMES = ["a.b", "a_b", "class", "forward", "0", "add", "load_state", "read state", "ﬁ", "recurrent"]


@pytest.mark.parametrize("survive", [lambda module: module, pickled, saved, copy.deepcopy])
def test_any_names_work_and_the_original_ones_are_kept(
    survive: Callable[[nn.Module], nn.Module],
) -> None:
    nodes = {"state": shaped_input((4,)), **{name: affine(k) for k, name in enumerate(NAMES)}}
    way = ["state", *NAMES, "return"]
    module = imported(graph({**nodes, "return": out()}, *itertools.pairwise(way)))
    plain = imported(chain(*(affine(k) for k in range(len(NAMES)))))
    x = random_input(3)
    survived = survive(module)
    assert torch.equal(train_of(survived, x), train_of(plain, x))
    names = graph_names(survived)
    assert names is not None
    assert sorted(names.nodes.values()) == sorted(NAMES)
    assert all(isinstance(survived.get_submodule(i), nn.Linear) for i in names.nodes)
    assert names.inputs == {"state_1": "state"}
    assert names.outputs == ("return",)


def test_a_module_that_was_not_built_has_no_names() -> None:
    assert graph_names(nn.Sequential(nn.Linear(1, 1))) is None


# State


@pytest.mark.parametrize("make", [small, recurrent])
def test_the_neurons_remember_and_reset_net_restarts_them(
    make: Callable[[], fx.GraphModule],
) -> None:
    module, x = make(), random_input()
    first = train_of(module, x)
    assert 0 < first.mean() < 1
    assert not torch.equal(train_of(module, x), first)
    functional.reset_net(module)
    assert torch.equal(train_of(module, x), first)


@pytest.mark.parametrize("make", [small, recurrent])
def test_a_state_that_is_passed_back_continues_from_it(
    make: Callable[[], fx.GraphModule],
) -> None:
    module, x = make(), random_input()
    with torch.no_grad():
        for step in x[:10]:
            _, state = module(step)
    kept = copy.deepcopy(state)
    went_on = train_of(module, x[10:])
    functional.reset_net(module)
    assert state.keys() == kept.keys()
    for name, values in kept.items():
        for key, value in values.items():
            assert torch.equal(value, state[name][key]), (name, key)  # nobody wrote to it
    with torch.no_grad():
        first = module(x[10], state)[0]
    assert torch.equal(torch.cat((first[None], train_of(module, x[11:]))), went_on)


def test_a_state_has_the_neurons_attributes_by_node() -> None:
    module = recurrent()
    assert module.read_state() == {"a": {"v": 0.0, "previous": None}, "o": {"v": 0.0}}
    _, state = module(random_input(1)[0])
    assert {name: list(values) for name, values in state.items()} == {
        "a": ["v", "previous"],
        "o": ["v"],
    }


def test_a_part_of_a_state_changes_that_part() -> None:
    module, x = small(), random_input(2)
    with torch.no_grad():
        module(x[0])
        before = module.read_state()["_1"]["v"].clone()
        module.load_state({"_3": {"v": torch.zeros(3, 4, dtype=torch.float64)}})
    assert torch.equal(module._1.v, before)
    assert not module._3.v.any()


def test_a_state_of_unknown_nodes_is_refused() -> None:
    with pytest.raises(InvalidArgument, match=r"no node '_0' has a state\n.*'_1', '_3'"):
        small()(random_input(1)[0], {"_0": {"v": torch.zeros(4)}})


def test_the_state_of_a_layer_in_parts() -> None:

    one, other = neuron.LIFNode(), neuron.LIFNode()
    slots = state_slots(
        TARGET, {"a": nn.Sequential(nn.ReLU(), one), "b": nn.Sequential(one, other)}
    )
    assert [(slot.key, slot.layer) for slot in slots["a"]] == [("v", one)]
    assert [(slot.key, slot.layer) for slot in slots["b"]] == [("0.v", one), ("1.v", other)]


# A module like any other


@pytest.mark.parametrize("make", [small, recurrent])
@pytest.mark.parametrize("survive", [pickled, saved, copy.deepcopy])
def test_copies_compute_the_same_from_neurons_of_their_own(
    make: Callable[[], fx.GraphModule], survive: Callable[[nn.Module], nn.Module]
) -> None:
    module, x = make(), random_input()
    train_of(module, x[:10])
    other = survive(survive(module))
    assert str(other) == str(module)
    went_on = train_of(module, x[10:])
    assert torch.equal(train_of(other, x[10:]), went_on)
    functional.reset_net(other)
    before = module.read_state()
    other(x[0], before)
    for name, values in before.items():
        for key, value in values.items():
            assert value is module.read_state()[name][key]  # the copy has loaded its own neurons


@pytest.mark.parametrize("make", [small, recurrent])
def test_it_trains(make: Callable[[], fx.GraphModule]) -> None:
    module = make()
    loss = sum(module(step)[0].sum() for step in random_input(10))
    loss.backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("make", [small, recurrent])
def test_a_state_dict_restores_it(make: Callable[[], fx.GraphModule]) -> None:
    module, other, x = make(), make(), random_input()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.zero_()
    assert not any(name.startswith(("load_state", "read_state")) for name in module.state_dict())
    other.load_state_dict(module.state_dict())
    assert torch.equal(train_of(other, x), train_of(module, x))


def test_it_moves_with_its_state() -> None:
    module = small()
    train_of(module, random_input(3))
    module.to(torch.float32)
    assert {value.dtype for value in module.state_dict().values()} == {torch.float32}
    assert module._1.v.dtype == torch.float32
    with torch.no_grad():
        result, state = module(random_input(1)[0].float())
    assert result.dtype == state["_3"]["v"].dtype == torch.float32


def test_neurons_are_counted_once() -> None:
    module = small()
    assert len([m for m in module.modules() if isinstance(m, neuron.LIFNode)]) == 2
    assert len(list(module.named_parameters(remove_duplicate=False))) == 4


@pytest.mark.parametrize("make", [small, recurrent])
def test_dead_code_elimination_keeps_the_state(make: Callable[[], fx.GraphModule]) -> None:
    module, x = make(), random_input()
    code, first = module.code, train_of(module, x)
    module.graph.eliminate_dead_code()
    module.recompile()
    functional.reset_net(module)
    assert module.code == code
    assert torch.equal(train_of(module, x), first)


def test_ten_times_the_nodes_take_ten_times_the_work() -> None:
    def build(length: int) -> Callable[[], object]:
        made = chain(*(node for k in range(length // 2) for node in (affine(k), lif())))
        return lambda: imported(made)

    build(20)()
    assert calls_made(build(1000)) < 10.5 * calls_made(build(100))


def test_a_step_costs_little_more_than_its_layers() -> None:
    """A call of the hand-written network, and for each neuron a read of its state."""

    def extra(pairs: int) -> int:
        module = imported(chain(*(node for k in range(pairs) for node in (affine(k), lif()))))
        plain = nn.Sequential(*(getattr(module, f"_{k}") for k in range(2 * pairs)))
        x = random_input(1)[0]
        with torch.no_grad():
            module(x), plain(x)
            return calls_made(lambda: module(x)) - calls_made(lambda: plain(x))

    assert extra(30) - extra(10) <= 20 * CALLS_TO_READ_A_MEMORY


class TestACycleOverTime:
    """In multi-step mode only the nodes of a cycle take one step after the other."""

    STEPS = 7

    def module(self) -> fx.GraphModule:
        nodes = {"i": shaped_input((4,)), "w0": affine(0), "a": lif(), "w1": affine(1)}
        nodes |= {"b": lif(), "back": affine(2), "c": lif(), "o": out()}
        cycle = ("b", "back"), ("back", "b")
        edges = *itertools.pairwise(["i", "w0", "a", "w1", "b", "c", "o"]), *cycle
        return imported(graph(nodes, *edges), "m")

    def test_the_others_take_all_steps_in_one_call(self) -> None:
        module, calls = self.module(), Counter[tuple[str, int]]()
        layers = {m: n for n, m in module.named_modules() if isinstance(m, (nn.Linear, LIFNode))}

        def count(layer: nn.Module, args: tuple[torch.Tensor]) -> None:
            calls[layers[layer].rpartition(".")[2], args[0].dim()] += 1

        for layer in layers:
            layer.register_forward_pre_hook(count)
        module(random_input(self.STEPS))
        over_time = {(name, 3): 1 for name in ("w0", "a", "w1", "c")}
        by_step = {(name, 2): self.STEPS for name in ("b", "back")}
        assert calls == over_time | by_step

    def test_the_layers_stay_in_their_mode_also_on_failure(self) -> None:
        module = self.module()
        cell = module.get_submodule("recurrent")
        for x in (torch.ones(3, 2, 4), torch.ones(3, 2, 5)):
            with contextlib.suppress(RuntimeError):
                cell(x.double())
            modes = {m.step_mode for m in module.modules() if hasattr(m, "step_mode")}
            assert modes == {"m"}


CALLS_TO_READ_A_MEMORY = 6
"""SpikingJelly's memories are found by __getattr__; then there is the comprehension around it."""

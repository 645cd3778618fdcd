"""Layers that take their state and return the new one, and loops over time around them."""

from __future__ import annotations

import copy
import io
from collections.abc import Callable
from typing import Any

import nir
import norse.torch as norse
import pytest
import torch
from torch import Tensor, fx, nn

from nir_runtime.errors import ExportRefused, InvalidArgument, Problem
from nir_runtime.exports.exporting import export_network
from nir_runtime.imports.importing import import_graph

from .handmade import affine, chain, graph, lif, shaped_input
from .norse_target import TARGET

DT = 1e-3


class Net(nn.Module):
    def __init__(self, forward: Callable[..., Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        self.lif, self.lif2 = norse.LIFBoxCell(), norse.LIFBoxCell()
        self.li = norse.LICell()
        self.written = forward

    def forward(self, x: Tensor, state: Any = None) -> Any:
        takes_state = self.written.__code__.co_argcount > 2
        return self.written(self, x, state) if takes_state else self.written(self, x)


def exported(net: nn.Module, *shape: int) -> nir.NIRGraph:
    return export_network(TARGET, net, torch.ones(shape or (2, 4)), None, DT, strict=False)


def kinds(made: nir.NIRGraph) -> list[str]:
    return [type(node).__name__ for node in made.nodes.values()]


def refused(forward: Callable[..., Any], *shape: int) -> list[Problem]:
    with pytest.raises(ExportRefused) as caught:
        exported(Net(forward), *shape)
    return list(caught.value.problems)


# One step


def step(self: Any, x: Tensor, state: Any) -> Any:
    s, t = state or (None, None)
    z, s = self.lif(self.a(x), s)
    v, t = self.li(self.b(z), t)
    return v, [s, t]


def test_states_are_handed_on_and_dropped() -> None:
    made = exported(Net(step))
    assert kinds(made) == ["Input", "Affine", "LIF", "Affine", "CubaLI", "Output"]


@pytest.mark.parametrize(
    "forward",
    [
        lambda self, x, state: self.lif(x, state),
        lambda self, x, state: (lambda z, s: {"out": z, "state": s})(*self.lif(x, state)),
        lambda self, x, state: (lambda z, s: (z, {"lif": s}))(
            *self.lif(x, state=state and state["lif"])
        ),
        lambda self, x, state: (lambda z, s: (z, type(s)(s.v.detach().clone())))(
            *self.lif(x, state)
        ),
    ],
)
def test_what_may_be_returned(forward: Any) -> None:
    made = exported(Net(forward))
    assert kinds(made)[:2] == ["Input", "LIF"]
    assert kinds(made)[-1] == "Output"
    assert kinds(made).count("Output") == 1


def test_two_outputs_beside_states() -> None:
    def forward(self: Any, x: Tensor, state: Any) -> Any:
        s, t = state or (None, None)
        z, s = self.lif(x, s)
        y, t = self.lif2(z, t)
        return z, s, y, t

    assert kinds(exported(Net(forward))) == ["Input", "LIF", "LIF", "Output", "Output"]


@pytest.mark.parametrize(
    ("forward", "word"),
    [
        (lambda self, x: self.lif(x)[1].v, "returns a layer's state"),
        (lambda self, x: self.lif(x)[1], "returns a layer's state"),
        (lambda self, x: self.lif(x)[1].v * 2, "computes with a layer's state"),
        (lambda self, x: self.a(self.lif(x)[1].v), "constant"),
        (lambda self, x: (lambda z, s: z + s.v)(*self.lif(x)), "computes with a layer's state"),
        (lambda self, x: self.a(self.lif(x)), "output and the state"),
        (lambda self, x: self.lif2(x, self.lif(x)[1]), "state that its last call returned"),
        (lambda self, x: self.lif(x, norse.LIFBoxFeedForwardState(torch.ones(2, 4))),
         "of the network's own making"),
    ],
)  # fmt: skip
def test_what_may_not(forward: Any, word: str) -> None:
    assert any(word in problem.what for problem in refused(forward))


def test_a_state_at_rest_may_be_given_at_first() -> None:
    start = norse.LIFBoxFeedForwardState(torch.zeros(2, 4))
    forward = lambda self, x, state: self.lif(x, start if state is None else state)  # noqa: E731
    assert "LIF" in kinds(exported(Net(forward)))


@pytest.mark.parametrize(
    "forward",
    [
        lambda self, x: self.lif(x)[0],
        lambda self, x: self.lif(x),
        lambda self, x: (lambda z, s: (z, s.v))(*self.lif(x)),
        lambda self, x, state: self.lif(x),
        lambda self, x, state: self.lif(x, None),
    ],
)
def test_a_state_that_no_further_step_gets_is_refused(forward: Any) -> None:
    (problem,) = refused(forward)
    assert problem.place == "lif"
    assert "starts anew at each call" in problem.what


def test_a_state_that_the_network_keeps_itself_goes_out() -> None:
    class Keeping(Net):
        state: Any = None

        def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
            z, self.state = self.lif(self.a(x), self.state)
            return z

    net = Keeping(lambda: None)
    assert kinds(exported(net)) == ["Input", "Affine", "LIF", "Output"]
    assert net.state is None


def test_the_report_says_what_became_of_states() -> None:
    entries = {entry.place: entry.notes for entry in exported(Net(step)).report.entries}
    assert entries["lif"] == ("the state that the forward returns is the node's own",)
    assert entries["a"] == ()


# Containers


def test_sequential_state() -> None:
    net = norse.SequentialState(nn.Linear(4, 3), norse.LIFBoxCell(), norse.LICell())
    assert kinds(exported(net)) == ["Input", "Affine", "LIF", "CubaLI", "Output"]
    nested = norse.SequentialState(net, nn.Linear(3, 2))
    assert kinds(exported(nested)) == ["Input", "Affine", "LIF", "CubaLI", "Affine", "Output"]


def test_lift_and_sequences() -> None:
    net = norse.SequentialState(norse.Lift(nn.Linear(4, 3)), norse.LI())
    made = exported(net, 5, 2, 4)
    assert kinds(made) == ["Input", "Affine", "CubaLI", "Output"]
    assert list(made.output_type["output"]) == [3]
    lifted = norse.Lift(norse.SequentialState(nn.Linear(4, 3), norse.LIFBoxCell()))
    assert kinds(exported(lifted, 5, 2, 4)) == ["Input", "Affine", "LIF", "Output"]
    as_vgg = nn.Sequential(norse.Lift(nn.Linear(4, 3)), norse.LI(), norse.Lift(nn.Linear(3, 2)))
    assert kinds(exported(as_vgg, 5, 2, 4)) == ["Input", "Affine", "CubaLI", "Affine", "Output"]


def test_steps_and_sequences_do_not_mix() -> None:
    net = nn.Sequential(norse.Lift(nn.Linear(4, 3)), norse.LIFBoxCell())
    with pytest.raises(ExportRefused, match="takes 1 axes before the features, and gets 2"):
        exported(net, 5, 2, 4)
    with pytest.raises(ExportRefused, match="takes 2 axes before the features, and gets 1"):
        exported(norse.SequentialState(norse.LIFBoxCell(), norse.LI()))


def test_an_output_fed_back() -> None:
    net = norse.RecurrentSequential(nn.Linear(4, 4), norse.LIFBoxCell())
    made = exported(net)
    assert set(made.edges) == {
        ("input_1", "module_0"), ("module_0", "module_1"),
        ("module_1", "module_0"), ("module_1", "output"),
    }  # fmt: skip
    looped = Net(lambda self, x: over_time(self.cycle, x))
    looped.cycle = net
    assert kinds(exported(looped, 6, 2, 4)) == kinds(made)


# Loops over time


def over_time(cell: Any, x: Tensor) -> Tensor:
    state, outputs = None, []
    for x_t in x:
        z, state = cell(x_t, state)
        outputs.append(z)
    return torch.stack(outputs)


def looped(self: Any, x: Tensor) -> Any:
    s = t = None
    spikes, membranes = [], []
    for step in range(x.size(0)):
        z, s = self.lif(self.a(x[step]), s)
        y, t = self.lif2(self.b(2 * z + x[step]), t)
        spikes.append(y)
        membranes.append(t.v)
    return torch.stack(spikes, dim=0), torch.stack(membranes)


def written(self: Any, x: Tensor) -> Any:
    s, voltages = None, torch.zeros(x.shape[0], x.shape[1], 4)
    for step in range(x.shape[0]):
        z, s = self.lif(self.a(x[step, :]), s)
        voltages[step, :, :] = z
    return voltages


def of_a_static_input(self: Any, x: Tensor) -> Any:
    s, spikes = None, []
    for _ in range(7):
        z, s = self.lif(self.a(x) * 3, s)
        spikes.append(z)
    return torch.stack(spikes)


@pytest.mark.parametrize(
    ("forward", "shape", "nodes"),
    [
        (looped, (5, 2, 4), ["Affine", "LIF", "Scale", "Affine", "LIF"]),
        (written, (5, 2, 4), ["Affine", "LIF"]),
        (of_a_static_input, (2, 4), ["Affine", "Scale", "LIF"]),
        (lambda self, x: over_time(self.lif, x.unbind(0)), (5, 2, 4), ["LIF"]),
        (lambda self, x: over_time(self.lif, x), (1, 2, 4), ["LIF"]),
    ],
)
def test_a_loop_over_time_is_one_step(forward: Any, shape: Any, nodes: list[str]) -> None:
    made = exported(Net(forward), *shape)
    assert kinds(made) == ["Input", *nodes, "Output"]
    assert list(made.output_type["output"]) == [4]


def crossed(self: Any, x: Tensor) -> Any:
    s = t = None
    z = y = None
    for step in range(x.size(0)):
        before = z
        z, s = self.lif(x[step], s)
        y, t = self.lif2(z if before is None else before, t)
    return y


def swapped(self: Any, x: Tensor) -> Any:
    s = None
    outputs = []
    for step in range(x.size(0)):
        z, s = self.lif((self.a if step % 2 else self.b)(x[step]), s)
        outputs.append(z)
    return torch.stack(outputs)


def forgetful(self: Any, x: Tensor) -> Any:
    return torch.stack([self.lif(x_t)[0] for x_t in x])


def backwards(self: Any, x: Tensor) -> Any:
    return over_time(self.lif, list(x)[::-1])


def in_disorder(self: Any, x: Tensor) -> Any:
    first, second, *others = over_time_as_list(self.lif, x)
    return torch.stack([second, first, *others])


def over_time_as_list(cell: Any, x: Tensor) -> list[Tensor]:
    state, outputs = None, []
    for x_t in x:
        z, state = cell(x_t, state)
        outputs.append(z)
    return outputs


@pytest.mark.parametrize(
    ("forward", "word"),
    [
        (crossed, "step 0"),
        (swapped, "called more than once"),
        (forgetful, "state that its last call returned"),
        (backwards, "step 4"),
        (in_disorder, "stack"),
        (lambda self, x: sum(over_time_as_list(self.lif, x)), "different steps"),
        (lambda self, x: over_time_as_list(self.lif, x)[-1], "one step of its output"),
        (lambda self, x: torch.stack(over_time_as_list(self.lif, x)[:3]), "stack"),
        (lambda self, x: torch.stack(over_time_as_list(self.lif, x)).sum(0), "sum"),
        (lambda self, x: self.lif(self.lif(x[0])[0])[0], "called more than once"),
    ],
)
def test_other_loops_are_refused(forward: Any, word: str) -> None:
    problems = refused(forward, 5, 2, 4)
    assert any(word in problem.what for problem in problems), problems


def test_a_tensor_that_is_changed_after_it_was_written_is_no_output() -> None:
    def forward(self: Any, x: Tensor) -> Any:
        y = written(self, x)
        y *= 2
        return y

    assert any("constant" in problem.what for problem in refused(forward, 5, 2, 4))


# Imports


def imported(made: nir.NIRGraph) -> fx.GraphModule:
    return import_graph(TARGET, made, DT, "cpu", torch.float64, {}, strict=False)


def recurrent() -> nir.NIRGraph:
    out = nir.Output({"output": None})
    nodes = {"i": shaped_input((4,)), "a": lif(), "w": affine(2), "o": lif(), "out": out}
    edges = ("i", "a"), ("a", "w"), ("w", "a"), ("a", "o"), ("o", "out")
    return graph(nodes, *edges)


def inputs(count: int = 20) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return 40 * torch.rand(count, 3, 4, dtype=torch.float64, generator=generator)


def run(module: nn.Module, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
    outputs = []
    with torch.no_grad():
        for step in x:
            y, state = module(step, state)
            outputs.append(y)
    return torch.stack(outputs), state


def test_a_chain_hands_its_states_on() -> None:
    module = imported(chain(affine(0), lif(), affine(1), lif()))
    y, state = run(module, inputs())
    assert {type(value) for value in state.values()} == {norse.LIFBoxFeedForwardState}
    assert list(state) == ["_1", "_3"]
    assert 0 < y.mean() < 1


@pytest.mark.parametrize("made", [chain(affine(0), lif(), affine(1), lif()), recurrent()])
def test_it_starts_afresh_and_goes_on(made: nir.NIRGraph) -> None:
    module, x = imported(made), inputs()
    whole, _ = run(module, x)
    first, state = run(module, x[:8])
    rest, _ = run(module, x[8:], state)
    assert torch.equal(torch.cat([first, rest]), whole)
    assert torch.equal(run(module, x)[0], whole)
    with pytest.raises(InvalidArgument, match="no node 'nothing' has a state"):
        module(x[0], {"nothing": None})


def saved(module: nn.Module) -> nn.Module:
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


@pytest.mark.parametrize("again", [copy.deepcopy, saved])
@pytest.mark.parametrize("made", [chain(affine(0), lif()), recurrent()])
def test_copies_do_the_same(made: nir.NIRGraph, again: Any) -> None:
    module, x = imported(made), inputs()
    assert torch.equal(run(again(module), x)[0], run(module, x)[0])


@pytest.mark.parametrize("made", [chain(affine(0), lif()), recurrent()])
def test_what_came_in_goes_out(made: nir.NIRGraph) -> None:
    graph = exported(imported(made), 3, 4)
    assert set(graph.nodes) == set(made.nodes)
    assert set(graph.edges) == set(made.edges)

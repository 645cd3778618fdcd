"""What a forward may do, what it may not, and that tracing leaves no trace."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, fx, nn
from torch.nn import functional as F

from nir_runtime.errors import ExportRefused, InvalidArgument, Problem
from nir_runtime.exports.traces import Port, Trace
from nir_runtime.exports.tracing import trace
from tests.runtime.hand_target import TARGET


class Net(nn.Module):
    """Two linear layers and two neurons, and a forward given by the test."""

    def __init__(self, forward: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)
        self.lif, self.lif2 = neuron.LIFNode(), neuron.LIFNode()
        self.shift = nn.Parameter(torch.ones(4))
        self.written = forward

    def forward(self, x: Tensor) -> Any:
        return self.written(self, x)


def traced(net: nn.Module, *shape: int) -> Trace:
    return trace(TARGET, net, torch.ones(shape or (2, 4)), 1e-4)


def steps(trace: Trace) -> list[tuple[str, tuple[int, ...]]]:
    return [(call.path, call.inputs) for call in trace.calls]


def refusal(net: nn.Module, *shape: int) -> tuple[Problem, ...]:
    with pytest.raises(ExportRefused) as caught:
        traced(net, *shape)
    return caught.value.problems


def refused_forward(forward: Callable[[Any, Tensor], Any]) -> Problem:
    """The one problem with a forward; it must name the place, here in this file."""
    (problem,) = refusal(Net(forward))
    assert problem.place == "Net"
    assert "test_tracing.py:" in problem.what
    assert problem.advice
    return problem


class TestLayers:
    def test_a_chain_is_called_in_order(self) -> None:
        net = nn.Sequential(nn.Linear(4, 3), neuron.LIFNode(), nn.Linear(3, 2, bias=False))
        result = traced(net, 5, 4)
        assert steps(result) == [("0", (0,)), ("1", (1,)), ("2", (2,))]
        assert [type(call.node) for call in result.calls] == [nir.Affine, nir.LIF, nir.Linear]
        assert (result.inputs, result.outputs) == (
            (Port("input", (4,)),),
            (Port("", (2,), inputs=(3,)),),
        )

    def test_weights_are_views(self) -> None:
        net = nn.Sequential(nn.Linear(4, 4))
        node = traced(net).calls[0].node
        assert np.shares_memory(node.weight, net[0].weight.detach().numpy())

    def test_a_layer_is_not_executed(self) -> None:
        """The net's first layer could not run: 2**20 images of 2**20 x 2**20 pixels."""
        net = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), neuron.LIFNode(), nn.Flatten())
        seen: list[torch.Size] = []
        net[1].register_forward_hook(lambda module, x, y: seen.append(x[0].shape[2:]))
        example = torch.empty(1, device="meta").expand(2**20, 3, 64, 64)
        assert trace(TARGET, net, example, 1e-4).outputs[0].shape == (8 * 32 * 32,)
        assert seen == []  # it was tried on numbers, and what it noted is forgotten

    def test_a_user_s_modules_are_run_through(self) -> None:
        inner = Net(lambda self, x: self.lif(self.a(x)))
        outer = Net(lambda self, x: self.b(self.inner(x)))
        outer.inner = inner
        assert [path for path, _ in steps(traced(outer))] == ["inner.a", "inner.lif", "b"]

    def test_a_keyword_argument(self) -> None:
        assert steps(traced(Net(lambda self, x: self.a(input=x)))) == [("a", (0,))]

    def test_a_stateless_layer_called_twice_is_two_nodes(self) -> None:
        result = traced(Net(lambda self, x: self.a(self.a(x))))
        assert steps(result) == [("a", (0,)), ("a", (1,))]
        assert result.calls[0].node is not result.calls[1].node

    def test_a_stateful_layer_called_twice_is_refused(self) -> None:
        (problem,) = refusal(Net(lambda self, x: self.lif(self.lif(x))))
        assert problem.place == "lif"
        assert "more than once" in problem.what

    def test_the_network_itself_may_be_a_layer(self) -> None:
        assert steps(traced(neuron.LIFNode())) == [("", (0,))]

    def test_two_arguments_are_refused(self) -> None:
        (problem,) = refusal(Net(lambda self, x: self.a(x, x)))
        assert (problem.place, "2 arguments" in problem.what) == ("a", True)

    def test_a_layer_of_a_constant_is_refused(self) -> None:
        (problem,) = refusal(Net(lambda self, x: self.b(x) + self.a(torch.ones(2, 4))))
        assert (problem.place, "constant" in problem.what) == ("a", True)

    def test_a_layer_made_in_forward_is_refused(self) -> None:
        (problem,) = refusal(Net(lambda self, x: nn.Linear(4, 4)(x)))
        assert (problem.place, "submodule" in problem.what) == ("Linear", True)

    def test_weights_that_a_hook_computes_are_refused(self) -> None:
        net = nn.Sequential(nn.Linear(4, 4))
        torch.nn.utils.spectral_norm(net[0])
        (problem,) = refusal(net)
        assert (problem.place, "SpectralNorm" in problem.what) == ("0", True)


class TestUnmappedLayers:
    def test_all_are_listed_at_once(self) -> None:
        net = nn.Sequential(
            nn.Linear(4, 4),
            nn.BatchNorm1d(4),
            nn.Sequential(nn.ReLU(), layer.Dropout()),
            neuron.QIFNode(),
        )
        problems = refusal(net)
        assert [problem.place for problem in problems] == ["1", "2.0", "2.1", "3"]
        assert "torch.nn.BatchNorm1d" in problems[0].what
        assert all(problem.advice for problem in problems)

    def test_with_what_layers_refuse_themselves(self) -> None:
        conv = nn.Conv2d(3, 3, 3, padding=1, padding_mode="circular")
        net = nn.Sequential(nn.MaxPool2d(2), conv, nn.ReLU())
        assert [p.place for p in refusal(net, 1, 3, 8, 8)] == ["0", "1", "2"]

    def test_shapes_that_follow_from_them_are_not_complained_of(self) -> None:
        net = nn.Sequential(nn.MaxPool2d(2), nn.Flatten(), nn.Linear(3 * 4 * 4, 2))
        assert [problem.place for problem in refusal(net, 1, 3, 8, 8)] == ["0"]

    def test_a_subclass_is_not_its_base(self) -> None:
        class Doubled(neuron.LIFNode):
            pass

        (problem,) = refusal(nn.Sequential(Doubled()))
        assert "subclass of LIFNode" in problem.what

    def test_as_the_whole_network(self) -> None:
        (problem,) = refusal(neuron.QIFNode())
        assert problem.place == "QIFNode"


class TestSums:
    @pytest.mark.parametrize(
        "join",
        [
            lambda x, y: x + y,
            lambda x, y: torch.add(x, y),
            lambda x, y: x.add(y),
            lambda x, y: x.add_(y),
            lambda x, y: x.__iadd__(y),
            lambda x, y: sum([x, y]),
            lambda x, y: torch.add(input=x, other=y, alpha=1),
        ],
    )
    def test_become_edges(self, join: Callable[[Tensor, Tensor], Tensor]) -> None:
        result = traced(Net(lambda self, x: self.lif(join(self.a(x), self.b(x)))))
        assert steps(result) == [("a", (0,)), ("b", (0,)), ("lif", (1, 2))]

    def test_in_place_is_seen_by_all_who_hold_the_tensor(self) -> None:
        def forward(self: Any, x: Tensor) -> Tensor:
            y = held = self.a(x)
            y += self.b(x)
            return self.lif(held)

        assert traced(Net(forward)).calls[2].inputs == (1, 2)

    def test_in_place_is_not_seen_by_earlier_calls(self) -> None:
        def forward(self: Any, x: Tensor) -> Tensor:
            y = self.a(x)
            spikes = self.lif(y)
            y += self.b(x)
            return self.lif2(y) + spikes

        assert steps(traced(Net(forward)))[1] == ("lif", (1,))

    def test_may_be_the_output(self) -> None:
        assert traced(Net(lambda self, x: self.a(x) + x)).outputs[0].inputs == (1, 0)

    @pytest.mark.parametrize(
        ("forward", "word"),
        [
            (lambda self, x: x + 0.5, "constant"),
            (lambda self, x: 1 + x, "constant"),
            (lambda self, x: x + self.shift, "constant"),
            (lambda self, x: self.shift + x, "constant"),
            (lambda self, x: x + torch.zeros(4), "constant"),
            (lambda self, x: torch.add(self.a(x), x, alpha=float("nan")), "factor nan"),
            (lambda self, x: self.shift.clone().add_(x), "own"),
            (lambda self, x: x + self.wide(x), "shapes"),
        ],
    )
    def test_that_edges_cannot_make_are_refused(
        self, forward: Callable[[Any, Tensor], Any], word: str
    ) -> None:
        def with_wide(self: Any, x: Tensor) -> Any:
            return forward(self, x)

        net = Net(with_wide)
        net.wide = nn.Linear(4, 1)
        (problem,) = refusal(net)
        assert word in problem.what
        assert "test_tracing.py:" in problem.what

    def test_in_place_in_shared_memory_is_refused(self) -> None:
        def forward(self: Any, x: Tensor) -> Tensor:
            y = self.a(x)
            flat = y.detach()
            y += x
            return self.b(flat)

        assert "shares" in refused_forward(forward).what


class TestReshaping:
    @pytest.mark.parametrize(
        "reshaping",
        [
            lambda x: torch.flatten(x, 1),
            lambda x: x.flatten(1),
            lambda x: x.flatten(start_dim=-3),
            lambda x: x.view(x.size(0), -1),
            lambda x: x.view((x.shape[0], 48)),
            lambda x: x.reshape(len(x), x[0].numel() if False else -1),
            lambda x: torch.reshape(x, (-1, 48)),
        ],
    )
    def test_of_all_features_is_a_flatten(self, reshaping: Callable[[Tensor], Tensor]) -> None:
        class Flattening(nn.Module):
            def forward(self, x: Tensor) -> Tensor:
                return reshaping(x)

        (call,) = traced(Flattening(), 2, 3, 4, 4).calls
        assert isinstance(call.node, nir.Flatten)
        assert (call.node.start_dim, call.node.end_dim, call.layer) == (0, -1, None)

    def test_of_some_features(self) -> None:
        result = traced(Net(lambda self, x: x.flatten(2, 3)), 2, 3, 4, 5, 6)
        node = result.calls[0].node
        assert (node.start_dim, node.end_dim, result.outputs[0].shape) == (1, 2, (3, 20, 6))

    def test_to_the_same_shape_is_nothing(self) -> None:
        assert traced(Net(lambda self, x: x.view(2, 4))).calls == ()

    def test_behind_time_and_batch(self) -> None:
        net = Net(lambda self, x: self.lif(x.flatten(2)))
        functional.set_step_mode(net, "m")
        assert traced(net, 5, 2, 3, 4).outputs[0].shape == (12,)

    @pytest.mark.parametrize(
        "forward",
        [
            lambda self, x: x.flatten(0),
            lambda self, x: x.view(-1),
            lambda self, x: x.view(4, 2),
            lambda self, x: x.reshape(2, 2, 2),
        ],
    )
    def test_of_anything_else_is_refused(self, forward: Callable[[Any, Tensor], Any]) -> None:
        assert "flatten" in refused_forward(forward).what


class TestOtherOperations:
    @pytest.mark.parametrize(
        "forward",
        [
            lambda self, x: x.contiguous(),
            lambda self, x: x.clone(),
            lambda self, x: x.detach(),
            lambda self, x: x.data,
            lambda self, x: x.float(),
            lambda self, x: x.to(torch.float32),
            lambda self, x: x.to(self.shift),
            lambda self, x: x.type_as(x),
            lambda self, x: x + 0,
        ],
    )
    def test_same_numbers_are_no_node(self, forward: Callable[[Any, Tensor], Any]) -> None:
        result = traced(Net(forward))
        assert (result.calls, result.outputs[0].inputs) == ((), (0,))

    @pytest.mark.parametrize(
        ("forward", "name"),
        [
            (lambda self, x: x * x, "mul"),
            (lambda self, x: 1 / x, "div"),
            (lambda self, x: x / x, "div"),
            (lambda self, x: x // 2, "floor"),
            (lambda self, x: x - 0.5, "sub"),
            (lambda self, x: 1 - x, "sub"),
            (lambda self, x: x.mean(0), "mean"),
            (lambda self, x: x[0], "__getitem__"),
            (lambda self, x: torch.cat([x, self.a(x)]), "cat"),
            (lambda self, x: torch.stack([x, x]), "stack"),
            (lambda self, x: F.relu(x), "relu"),
            (lambda self, x: F.linear(x, self.a.weight), "linear"),
            (lambda self, x: x.half(), "half"),
            (lambda self, x: x.item(), "item"),
            (lambda self, x: list(x), "unbind"),
            (lambda self, x: x if x else self.a(x), "__bool__"),
            (lambda self, x: x.numpy(), "numpy"),
        ],
    )
    def test_others_are_refused(self, forward: Callable[[Any, Tensor], Any], name: str) -> None:
        assert name in refused_forward(forward).what

    def test_a_function_of_one_s_own_is_refused(self) -> None:
        def forward(self: Any, x: Tensor) -> Tensor:
            return surrogate.sigmoid.apply(x, 4.0)

        assert refusal(Net(forward))

    def test_branches_on_everything_but_data(self) -> None:
        def forward(self: Any, x: Tensor) -> Tensor:
            assert isinstance(x, Tensor)
            if self.training or x.dim() != 2 or len(x) != 2 or x.dtype != torch.float32:
                return x
            return self.a(x) if self.lif.step_mode == "s" and x.shape[1] == 4 else x

        assert steps(traced(Net(forward).eval())) == [("a", (0,))]

    def test_a_loop_over_time_must_return_all_steps(self) -> None:
        net = Net(lambda self, x: [self.lif(x[t]) for t in range(len(x))][-1])
        (problem,) = refusal(net, 50, 2, 4)
        assert (problem.place, "one step" in problem.what) == ("Net", True)
        assert "torch.stack" in problem.advice

    def test_the_module_that_called_is_named(self) -> None:
        outer = nn.Sequential(nn.Linear(4, 4), Net(lambda self, x: x * x))
        (problem,) = refusal(outer)
        assert problem.place == "1"


class TestOutputs:
    @pytest.mark.parametrize(
        "forward",
        [
            lambda self, x: (x, self.lif.v),
            lambda self, x: {"y": x, "z": None},
            lambda self, x: {3: x},
            lambda self, x: (x, (x, x)),
            lambda self, x: (),
            lambda self, x: None,
            lambda self, x: torch.ones(2),
        ],
    )
    def test_anything_but_signals_is_refused(self, forward: Callable[[Any, Tensor], Any]) -> None:
        (problem,) = refusal(Net(forward))
        assert "returns" in problem.what

    def test_an_imported_network_s_state_is_no_output(self) -> None:
        class WithState(torch.fx.GraphModule):
            pass

        graph = torch.fx.Graph()
        x = graph.placeholder("x")
        graph.output((graph.call_module("lif", (x,)), {}))
        net = WithState(nn.ModuleDict({"lif": neuron.LIFNode()}), graph)
        assert traced(net).outputs[0].inputs == (1,)


class TestErrorsOfTheForward:
    def test_name_the_module_and_the_line(self) -> None:
        def forward(self: Any, x: Tensor) -> Tensor:
            raise KeyError("oh")

        with pytest.raises(ExportRefused) as caught:
            traced(nn.Sequential(nn.Linear(4, 4), Net(forward)))
        (problem,) = caught.value.problems
        assert problem.place == "1"
        assert "KeyError: 'oh' (test_tracing.py:" in problem.what
        assert isinstance(caught.value.__cause__, KeyError)

    def test_that_follow_from_refusals_are_not_told(self) -> None:
        def forward(self: Any, x: Tensor) -> Tensor:
            _low, _high = x.aminmax()
            return self.a(x)

        (problem,) = refusal(Net(forward))
        assert "aminmax" in problem.what


class TestLayout:
    def test_several_steps(self) -> None:
        net = nn.Sequential(
            layer.Conv2d(3, 4, 3), neuron.LIFNode(), nn.Flatten(2), nn.Linear(64, 2)
        )
        functional.set_step_mode(net, "m")
        result = traced(net, 7, 2, 3, 6, 6)
        assert (result.inputs[0].shape, result.outputs[0].shape) == ((3, 6, 6), (2,))

    def test_a_layer_that_merges_the_axes_sees_one(self) -> None:
        net = nn.Sequential(neuron.LIFNode(step_mode="m"), layer.Flatten(step_mode="m"))
        assert traced(net, 7, 2, 3, 6).outputs[0].shape == (18,)

    def test_a_layer_that_does_not_sees_all(self) -> None:
        net = nn.Sequential(neuron.LIFNode(step_mode="m"), layer.Flatten(step_mode="s"))
        assert "flatten the batch" in refusal(net, 7, 2, 3, 6)[0].what

    def test_stateful_layers_must_agree(self) -> None:
        net = nn.Sequential(neuron.LIFNode(), neuron.LIFNode(step_mode="m"))
        (problem,) = refusal(net, 2, 3, 4)
        assert problem.place == "1"
        assert "by its layer 0" in problem.what

    def test_stateless_layers_must_fit_in(self) -> None:
        net = nn.Sequential(layer.Linear(4, 4, step_mode="m"), neuron.LIFNode())
        (problem,) = refusal(net)
        assert problem.place == "0"

    @pytest.mark.parametrize(
        ("mode", "shape"), [("s", (4,)), ("m", (2, 4)), ("s", ()), ("s", (0, 4)), ("s", (2, 0))]
    )
    def test_an_example_that_no_network_takes(self, mode: str, shape: tuple[int, ...]) -> None:
        net = nn.Sequential(neuron.LIFNode(step_mode=mode))
        with pytest.raises(InvalidArgument, match="example_input"):
            trace(TARGET, net, torch.zeros(shape), 1e-4)

    def test_an_example_that_is_no_tensor(self) -> None:
        with pytest.raises(InvalidArgument, match="example_input: is a list"):
            trace(TARGET, nn.Linear(1, 1), [[1.0]], 1e-4)

    def test_an_example_that_a_layer_does_not_take(self) -> None:
        net = nn.Sequential(nn.Linear(4, 4), neuron.LIFNode(), nn.Linear(5, 2))
        (problem,) = refusal(net)
        assert problem.place == "2"
        assert "(2, 4)" in problem.advice

    @pytest.mark.parametrize("shape", [(2, 3), (2, 8, 8), (2, 5, 8, 8), (5, 2, 3, 8, 8)])
    def test_an_example_that_a_convolution_does_not_take(self, shape: tuple[int, ...]) -> None:
        (problem,) = refusal(nn.Sequential(layer.Conv2d(3, 4, 3), neuron.LIFNode()), *shape)
        assert problem.place == "0"
        assert str(shape) in problem.advice


class Hostile(nn.Module):
    """Its forward changes whatever it can."""

    def __init__(self) -> None:
        super().__init__()
        self.lif, self.fc = neuron.LIFNode(), nn.Linear(4, 4)
        self.register_buffer("count", torch.zeros(1))
        self.log: list[int] = []
        self.h: object = None

    def forward(self, x: Tensor) -> Tensor:
        self.count += 1
        self.log.append(1)
        self.h = x
        self.new = 1
        self.fc.requires_grad_(False)
        self.eval()
        functional.reset_net(self)
        torch.rand(3)
        if self.count > 5:
            return x.nothing
        return self.lif(self.fc(x))


@pytest.mark.parametrize("fails", [False, True])
class TestTheNetworkStaysAsItWas:
    def network(self, fails: bool) -> Hostile:
        net = Hostile()
        net.lif(torch.full((2, 4), 0.7))
        net.fc(torch.ones(2, 4)).sum().backward()
        net.count += 10 * fails
        net.fc.register_forward_hook(lambda *_: None)
        return net

    def trace(self, net: nn.Module, fails: bool) -> None:
        with pytest.raises(ExportRefused, match="nothing" if fails else "random numbers"):
            traced(net)

    def test_in_all_attributes(self, fails: bool) -> None:
        net = self.network(fails)
        before = {path: dict(vars(module)) for path, module in net.named_modules()}
        state = {name: tensor.clone() for name, tensor in net.state_dict().items()}
        self.trace(net, fails)
        assert {path: vars(module) for path, module in net.named_modules()} == before
        assert net.training
        assert net.log == []
        assert len(net.fc._forward_hooks) == 1
        torch.testing.assert_close(net.state_dict(), state, rtol=0, atol=0)

    def test_in_memories_and_gradients(self, fails: bool) -> None:
        net = self.network(fails)
        v, gradient = net.lif.v, net.fc.weight.grad
        self.trace(net, fails)
        assert net.lif.v is v
        assert torch.equal(v, torch.full((2, 4), 0.35))
        assert net.fc.weight.grad is gradient

    def test_and_so_do_random_numbers_and_torch(self, fails: bool) -> None:
        call = nn.Module.__call__
        net = self.network(fails)
        state = torch.random.get_rng_state()
        self.trace(net, fails)
        assert nn.Module.__call__ is call
        assert torch.equal(torch.random.get_rng_state(), state)
        assert torch.is_grad_enabled()


def test_other_threads_run_their_modules_meanwhile(tmp_path: Path) -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        def save() -> None:
            torch.save(nn.ReLU()(torch.ones(1)), tmp_path / "result")

        thread = threading.Thread(target=save)
        thread.start()
        thread.join()
        return self.a(x)

    traced(Net(forward))
    assert torch.equal(torch.load(tmp_path / "result"), torch.ones(1))


@pytest.mark.parametrize("ends", ["inside", "behind"])
def test_another_thread_s_fx_leaves_torch_as_it_was(ends: str) -> None:
    """torch.fx puts back the call that it found; that must be torch's own, whenever it looked."""
    call, began, may_end = nn.Module.__call__, threading.Event(), threading.Event()

    class Slow(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            began.set()
            may_end.wait(10)
            return x + 1

    thread = threading.Thread(target=fx.symbolic_trace, args=(Slow(),))

    def forward(self: Any, x: Tensor) -> Tensor:
        if not began.is_set():
            thread.start()
            began.wait(10)
        if ends == "inside":
            may_end.set()
            thread.join()
        return self.a(x)

    try:
        if ends == "inside":
            traced(Net(forward))
        else:
            with pytest.raises(ExportRefused):  # fx has all modules' calls for the time being
                traced(Net(forward))
    finally:
        may_end.set()
        thread.join()
    assert nn.Module.__call__ is call
    traced(Net(lambda self, x: self.a(x)))

"""Two networks run side by side: what agrees is said to, and what differs is found where it is."""

from __future__ import annotations

import copy
import json
import warnings
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

import nir_exchange
from nir_exchange import reference, spikingjelly
from nir_runtime.errors import AnnotatedWarning, InvalidArgument, PackageMissing
from nir_runtime.verifying.verification import Agreement, Verification
from tests.drawing import networks
from tests.nodes import DT, any_graphs, inputs_for, single

STEPS = 100


def convolutional(mode: str = "s") -> nn.Module:
    """A small network with a batch norm, whose layers fire."""
    torch.manual_seed(0)
    net = nn.Sequential(
        layer.Conv2d(2, 4, 3, padding=1, bias=False),
        layer.BatchNorm2d(4),
        neuron.LIFNode(2.0),
        layer.MaxPool2d(2),
        layer.Flatten(),
        layer.Linear(64, 10),
        neuron.ParametricLIFNode(3.0, v_threshold=0.1, v_reset=None),
    )
    net[1].running_mean.uniform_(-0.5, 0.5)
    net[1].running_var.uniform_(0.05, 0.2)
    functional.set_step_mode(net, mode)
    return net.double().eval()


def exported(net: nn.Module, x: torch.Tensor, **options: Any) -> nir.NIRGraph:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AnnotatedWarning)
        return spikingjelly.export_to_nir(net, x, dt=DT, **options)


def images() -> torch.Tensor:
    return torch.rand(STEPS, 3, 2, 8, 8, generator=torch.Generator().manual_seed(1)).double() * 3


def at(found: Verification, node: str, quantity: str) -> Agreement:
    (agreement,) = (n for n in found.nodes if (n.node, n.quantity) == (node, quantity))
    return agreement


class TestANetworkAndItsGraph:
    @pytest.mark.parametrize("mode", ["s", "m"])
    def test_they_agree_in_every_node(self, mode: str) -> None:
        net, x = convolutional(mode), images()
        graph = exported(net, x if mode == "m" else x[0])
        found = nir_exchange.verify(net, graph, x, dt=DT)
        assert found.agree
        assert found.cause == ""
        assert (found.steps, found.batch, found.tolerance) == (STEPS, 3, 1e-9)
        compared = [(n.node, n.quantity) for n in found.nodes]
        assert compared == [
            ("_0", "values"), ("_2", "spikes"), ("_2", "v"), ("_4", "values"), ("_5", "values"),
            ("_6", "spikes"), ("_6", "v"), ("output", "spikes"),
        ]  # fmt: skip
        assert min(found.spikes) > 100
        # A network that takes all steps at once shows its membranes behind the last step only.
        membranes = at(found, "_2", "v").compared
        assert membranes == 3 * 4 * 8 * 8 * (STEPS if mode == "s" else 1)
        assert found.notes == ("not compared, as no layer's output is theirs: _3, _3_1",)

    def test_a_node_of_a_folded_layer_is_compared_behind_it(self) -> None:
        net, x = convolutional(), images()
        graph = exported(net, x[0])
        graph.nodes["_0"].bias = graph.nodes["_0"].bias + 1e-3
        found = nir_exchange.verify(net, graph, x, dt=DT)
        assert found.first is not None
        assert (found.first.node, found.first.quantity) == ("_0", "values")
        assert found.first.first is not None
        assert found.first.first.step == 0
        assert found.cause.startswith("bias is ")

    def test_the_network_stays_as_it_was(self) -> None:
        net, x = convolutional(), images()
        net.train()
        graph = exported(net.eval(), x[0])
        net.train()
        before = net(x[0]).detach()
        held, weights = net[2].v.clone(), copy.deepcopy(net.state_dict())
        nir_exchange.verify(net, graph, x, dt=DT)
        assert all(module.training for module in net.modules())
        assert torch.equal(net[2].v, held)
        assert net[2].v.grad_fn is not None
        assert not any(module._forward_hooks for module in net.modules())
        assert all(torch.equal(weights[name], value) for name, value in net.state_dict().items())
        assert before.shape == (3, 10)

    def test_reset_by_subtraction_and_to_zero(self) -> None:
        net, x = convolutional(), images()
        graph = exported(net, x[0])
        assert nir_exchange.verify(net, graph, x, dt=DT).agree
        del graph.nodes["_6"].metadata["reset"]
        found = nir_exchange.verify(net, graph, x, dt=DT)
        assert found.first is not None
        assert found.first.node == "_6"
        assert found.cause == "the first resets by subtraction, the second to v_reset"
        assert not at(found, "_2", "spikes").differing


class TestDifferences:
    def test_a_parameter(self) -> None:
        graph = networks.recurrent()
        other = copy.deepcopy(graph)
        graph.nodes["w_in"].weight = np.eye(32, 64) * 8
        other.nodes["w_in"].weight = np.eye(32, 64) * 8
        graph.nodes["w_rec"].weight = graph.nodes["w_rec"].weight * 0.01
        other.nodes["w_rec"].weight = other.nodes["w_rec"].weight * 0.01
        other.nodes["hidden"].tau_mem = other.nodes["hidden"].tau_mem.copy()
        other.nodes["hidden"].tau_mem[5] *= 1.01
        found = nir_exchange.verify(graph, other, dt=DT)
        assert found.first is not None
        assert found.first.first is not None
        assert (found.first.node, found.first.kind, found.first.quantity) == (
            "hidden", "CubaLIF", "v",
        )  # fmt: skip
        assert (found.first.first.step, found.first.first.neuron) == (0, (5,))
        assert found.cause.startswith("tau_mem is ")
        assert not at(found, "w_in", "values").differing
        assert found.sides == ("the graph in the reference (a)", "the graph in the reference (b)")
        assert found.title.endswith(" differ over 200 steps")

    def test_ties_of_integer_weights(self) -> None:
        net = nn.Sequential(nn.Linear(4, 3, bias=False), neuron.IFNode(v_threshold=3.0)).double()
        net[0].weight.data = torch.tensor([[1.0, 0, 0, 0], [2, 0, 0, 0], [0, 1, 1, 0]]).double()
        x = torch.ones(20, 1, 4).double()
        graph = exported(net, x[0])
        found = nir_exchange.verify(net, graph, x, dt=DT)
        assert found.first is not None
        assert found.first.first is not None
        assert (found.first.node, found.first.quantity) == ("_1", "spikes")
        assert (found.first.first.step, found.first.first.neuron) == (2, (0,))
        assert found.first.first.values == (1.0, 0.0)
        assert found.cause == (
            "a tie: v is exactly v_threshold = 3, where SpikingJelly fires and the reference "
            'doesn\'t; ties="exact" in an export makes them fire alike'
        )
        mended = exported(net, x[0], ties="exact")
        assert nir_exchange.verify(net, mended, x, dt=DT).agree

    def test_rounding_at_the_threshold(self) -> None:
        graphs = []
        for lowered in (0.0, 1e-8):
            lif = nir.IF(r=np.full(2, 1 / DT), v_threshold=np.full(2, 1.0 - lowered))
            nodes = {"in": nir.Input({"input": np.array([2])}), "if": lif}
            nodes["out"] = nir.Output({"output": np.array([2])})
            graphs.append(nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False))
        found = nir_exchange.verify(*graphs, np.ones((5, 1, 2)), dt=DT)
        assert found.first is not None
        assert found.first.first is not None
        assert found.first.first.values == (0.0, 1.0)
        assert found.cause.startswith("rounding: v is 0 away from v_threshold = 1")

    def test_a_number_that_is_nan(self) -> None:
        graph = networks.nested()
        other = copy.deepcopy(graph)
        x = {"image": np.ones((5, 1, 4)), "bias": np.ones((5, 1, 8))}
        assert nir_exchange.verify(graph, other, x, dt=DT).agree
        other.nodes["fc"].weight = other.nodes["fc"].weight * 1e308
        found = nir_exchange.verify(graph, other, x, dt=DT)
        assert found.first is not None
        assert found.first.node == "fc"
        assert found.first.apart == np.inf
        assert json.loads(found.to_json())["first"]["apart"] == "inf"

    def test_the_tolerance(self) -> None:
        graph = networks.nested()
        other = copy.deepcopy(graph)
        other.nodes["fc"].weight = other.nodes["fc"].weight * (1 + 1e-7)
        assert not nir_exchange.verify(graph, other, dt=DT, steps=20).agree
        found = nir_exchange.verify(graph, other, dt=DT, steps=20, tolerance=1e-6)
        assert not at(found, "fc", "values").differing
        assert 0 < at(found, "fc", "values").apart < 1e-5


@given(graph=any_graphs(), mode=st.sampled_from(["s", "m"]), seed=st.integers(0, 2**32 - 1))
def test_any_graph_agrees_in_two_frameworks(graph: nir.NIRGraph, mode: str, seed: int) -> None:
    module = spikingjelly.import_from_nir(graph, dt=DT, dtype=torch.float64, step_mode=mode)
    x = {name: values[:30] for name, values in inputs_for(graph, 30, 2, seed).items()}
    found = nir_exchange.verify(graph, module, x, dt=DT)
    assert found.agree, str(found)
    assert len(found.nodes) > 0


@given(graph=any_graphs(), seed=st.integers(0, 2**32 - 1))
def test_what_agrees_is_what_is_equal(graph: nir.NIRGraph, seed: int) -> None:
    """The numbers of an Output are those that running the module gives."""
    x = inputs_for(graph, 20, 1, seed)
    found = nir_exchange.verify(graph, graph, x, dt=DT)
    module = reference.import_from_nir(graph, dt=DT, dtype=torch.float64)
    given_in_order = [torch.from_numpy(x[name]) for name in sorted(x)]
    with torch.no_grad():
        outputs = [module(*step)[0] for step in zip(*given_in_order, strict=True)]
    for agreement in found.nodes:
        if agreement.kind == "Output" and agreement.spikes is not None:
            values = [o[agreement.node] if isinstance(o, dict) else o for o in outputs]
            assert agreement.spikes[0] == int(sum(float(v.sum()) for v in values))


class TestInputs:
    def test_random_ones_make_neurons_fire(self) -> None:
        graph = networks.recurrent()
        graph.nodes["w_rec"].weight = graph.nodes["w_rec"].weight * 0.01
        found = nir_exchange.verify(graph, graph, run_in=("spikingjelly", "reference"), dt=DT)
        assert found.agree
        assert min(found.spikes) > 0
        assert found.input.startswith("normal numbers of mean 0.5 and deviation 1 (seed 0), times ")
        assert "nothing fired" not in str(found)

    def test_silence_says_little(self) -> None:
        x = np.zeros((10, 1, 64))
        found = nir_exchange.verify(networks.recurrent(), copy.deepcopy(networks.recurrent()), x)
        assert found.agree is True
        assert found.notes == (
            "nothing fired, so that they agree says little: give a larger input",
        )

    def test_inputs_of_a_unit_that_hardly_moves_are_told(self) -> None:
        nodes = {"in": nir.Input({"input": np.array([2])})}
        nodes["if"] = nir.IF(r=np.ones(2), v_threshold=np.ones(2))
        nodes["out"] = nir.Output({"output": np.array([2])})
        graph = nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False)
        found = nir_exchange.verify(graph, graph, run_in=("spikingjelly", "reference"))
        assert 'if_gain="per_step"' in "".join(found.notes)
        assert found.input.endswith("times 1024")
        plain = nir_exchange.verify(
            graph, graph, run_in=("spikingjelly", "reference"), if_gain="per_step"
        )
        assert (plain.notes, plain.input.endswith("times 1")) == ((), True)

    def test_the_same_seed_gives_the_same(self) -> None:
        graph = networks.nested()
        found = [nir_exchange.verify(graph, graph, seed=seed, steps=20) for seed in (1, 1, 2)]
        assert found[0] == found[1]
        assert found[0].spikes != found[2].spikes or found[0].nodes != found[2].nodes

    def test_by_name_or_in_order(self) -> None:
        graph = networks.nested()
        bias, image = np.ones((9, 2, 8)), np.full((9, 2, 4), 2.0)
        by_name = nir_exchange.verify(graph, graph, {"image": image, "bias": bias}, dt=DT)
        in_order = nir_exchange.verify(graph, graph, (bias, image), dt=DT)
        assert by_name == in_order

    def test_a_forward_of_two_arguments(self) -> None:
        class Two(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.left, self.right = layer.Linear(3, 4), layer.Linear(2, 4)
                self.lif = neuron.LIFNode(2.0, v_threshold=0.1)

            def forward(self, u: torch.Tensor, b: torch.Tensor) -> tuple[torch.Tensor, ...]:
                summed = self.left(u) + self.right(b)
                return self.lif(summed), summed

        torch.manual_seed(0)
        net = Two().double()
        u, b = torch.rand(30, 2, 3).double() * 4, torch.rand(30, 2, 2).double() * 4
        graph = exported(net, (u[0], b[0]))  # type: ignore[arg-type]
        for found in (
            nir_exchange.verify(net, graph, (u, b), dt=DT),
            nir_exchange.verify(graph, net, {"u": u, "b": b}, dt=DT),
            nir_exchange.verify(net, graph, {"u": u, "b": b}, dt=DT),
            nir_exchange.verify(graph, net, (b, u), dt=DT),
        ):
            assert found.agree, str(found)
            assert found.spikes[0] > 10
        assert {n.node for n in found.nodes} >= {"left", "right", "lif", "output", "output_1"}


class TestPrecision:
    def test_a_graph_runs_in_that_of_the_network(self) -> None:
        net, x = convolutional().float(), images().float()
        found = nir_exchange.verify(net, exported(net, x[0]), x[:20], dt=DT)
        assert found.tolerance == 1e-4
        assert found.agree

    def test_membranes_are_compared_in_volts(self) -> None:
        """A layer with one threshold for all computes in units of its own."""
        lif = nir.LIF(
            tau=np.full(3, 1e-2), r=np.full(3, 2.0), v_leak=np.array([0.1, 0.2, 0.3]),
            v_threshold=np.array([0.5, 1.0, 2.0]), v_reset=np.array([0.0, 0.1, 0.2]),
        )  # fmt: skip
        nodes = {"in": nir.Input({"input": np.array([3])}), "lif": lif}
        nodes["out"] = nir.Output({"output": np.array([3])})
        graph = nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False)
        found = nir_exchange.verify(graph, graph, run_in=("spikingjelly", "reference"), dt=DT)
        assert found.agree
        assert at(found, "lif", "v").compared == 600
        assert min(found.spikes) > 0


class TestMistakes:
    def test_all_are_told_at_once(self) -> None:
        with pytest.raises(InvalidArgument) as caught:
            nir_exchange.verify(  # type: ignore[arg-type]
                3, [], run_in=("reference",), dt=0, steps=0, batch=0, tolerance=-1.0
            )
        places = [problem.place for problem in caught.value.problems]
        assert places == ["a", "b", "run_in", "dt", "steps", "batch", "tolerance"]

    def test_the_same_network_twice(self) -> None:
        net = convolutional()
        with pytest.raises(InvalidArgument, match="is the same network as a"):
            nir_exchange.verify(net, net, images())

    def test_two_networks_without_an_input(self) -> None:
        with pytest.raises(InvalidArgument, match="x: is missing"):
            nir_exchange.verify(convolutional(), convolutional())

    def test_a_framework_that_is_not_there(self) -> None:
        graph = networks.nested()
        with pytest.raises(InvalidArgument, match="did you mean `spikingjelly`"):
            nir_exchange.verify(graph, graph, run_in=("spikingjely", "reference"))

    def test_a_framework_that_is_not_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def missing(name: str) -> Any:
            raise ModuleNotFoundError(name=name)

        monkeypatch.setattr(nir_exchange, "_converter", missing)
        with pytest.raises(PackageMissing, match=r'pip install "nir-exchange\[spikingjelly\]"'):
            nir_exchange.verify(networks.nested(), networks.nested(), run_in="spikingjelly")

    @pytest.mark.parametrize(
        ("x", "meant"),
        [
            (np.ones((5, 64)), r"x: has shape \(5, 64\)\n    give it \[time, batch, 64\]"),
            (np.ones((5, 1, 63)), "give it"),
            (np.ones((0, 1, 64)), "is empty"),
            (np.full((5, 1, 64), np.nan), "NaN or infinite"),
            ((np.ones((5, 1, 64)),) * 2, "is 2 arrays"),
            ({"x": np.ones((5, 1, 64))}, "the Inputs are 'input'"),
            ("x.npy", "give numbers"),
        ],
    )
    def test_inputs(self, x: Any, meant: str) -> None:
        with pytest.raises(InvalidArgument, match=meant):
            nir_exchange.verify(networks.recurrent(), networks.recurrent(), x)

    def test_inputs_of_different_lengths(self) -> None:
        x = {"image": np.ones((5, 1, 4)), "bias": np.ones((6, 1, 8))}
        with pytest.raises(InvalidArgument, match="differ in their first two axes"):
            nir_exchange.verify(networks.nested(), networks.nested(), x)

    def test_networks_that_have_nothing_to_do_with_each_other(self) -> None:
        with pytest.raises(InvalidArgument, match="takes 1 inputs, and a takes 2"):
            nir_exchange.verify(networks.nested(), networks.recurrent())
        other = networks.recurrent()
        other.nodes["input"].input_type["input"] = np.array([32])
        other.nodes["w_in"].weight = np.ones((32, 32))
        with pytest.raises(InvalidArgument, match=r"takes \(32,\) at 'input', and a takes \(64,\)"):
            nir_exchange.verify(networks.recurrent(), other)


def test_nodes_that_only_one_has_are_told() -> None:
    graph, other = networks.recurrent(), networks.recurrent()
    for old, new in (("hidden", "cells"),):
        other.nodes[new] = other.nodes.pop(old)
        other.edges = [(new if s == old else s, new if t == old else t) for s, t in other.edges]
    found = nir_exchange.verify(graph, other, dt=DT)
    assert found.agree
    assert "only the first has hidden" in found.notes
    assert "only the second has cells" in found.notes


def two_outputs(*names: str, size: int = 4) -> nir.NIRGraph:
    """A Scale with some Outputs."""
    shape = np.array([size])
    nodes = {"i": nir.Input({"input": shape}), "s": nir.Scale(np.ones(size))}
    nodes |= {name: nir.Output({"output": shape}) for name in names}
    return nir.NIRGraph(nodes, [("i", "s"), *(("s", name) for name in names)], type_check=False)


class TestOutputsOfOneSide:
    @pytest.mark.parametrize(
        ("first", "second", "told"),
        [
            (("a", "b"), ("a",), "only the first has the Outputs b"),
            (("a",), ("b", "a"), "only the second has the Outputs b"),
            (("a", "b", "c"), ("c", "x"), "only the first has the Outputs b"),
        ],
    )
    def test_they_do_not_agree(self, first: Any, second: Any, told: str) -> None:
        found = nir_exchange.verify(two_outputs(*first), two_outputs(*second), dt=DT)
        assert not found.agree
        assert told in found.alone
        assert told in str(found)
        assert "differ over 200 steps" in found.title
        assert found.to_dict()["agree"] is False
        assert all(node.first is None for node in found.nodes)

    def test_names_alone_make_no_difference(self) -> None:
        assert nir_exchange.verify(two_outputs("a", "b"), two_outputs("b", "x"), dt=DT).agree

    def test_another_shape(self) -> None:
        other = two_outputs("a")
        other.nodes["f"] = nir.Linear(np.ones((1, 4)))
        other.nodes["a"] = nir.Output({"output": np.array([1])})
        other.edges = [("i", "s"), ("s", "f"), ("f", "a")]
        found = nir_exchange.verify(two_outputs("a"), other, dt=DT)
        assert found.alone == (
            "the Output a has the shape (4,) in the first and (1,) in the second",
        )
        assert not found.agree


def test_that_it_was_in_training_mode_is_said() -> None:
    net, x = convolutional().train(), images()
    net[1].eval()
    found = nir_exchange.verify(net, exported(net, x[0]), x, dt=DT)
    assert found.agree
    assert found.notes[-1] == (
        "run in evaluation mode, and in training mode before and after: the network in SpikingJelly"
    )
    assert net.training
    assert not net[1].training


@pytest.mark.parametrize(
    ("thresholds", "counts"),
    [((1 - 1e-12, 1 + 1e-12), (1, 0)), ((0.9, 1.1), (0, 1)), ((1 - 1e-12, 1.1), (0, 1))],
)
def test_what_rounding_explains(thresholds: Any, counts: Any) -> None:
    """A potential of 1, and thresholds that are within rounding of it, or aren't."""
    both = [
        single(nir.IF(np.array([1 / DT]), np.array([threshold]), np.zeros(1)), 1)
        for threshold in thresholds
    ]
    found = nir_exchange.verify(*both, np.ones((6, 1, 1)), dt=DT)
    assert not found.agree
    assert found.margins is not None
    assert (found.margins.near, found.margins.far) == counts
    assert found.margins.after > 3
    assert found.margins.explained is (counts == (1, 0))
    assert f"{counts[0]} by rounding (v is within 1e-09 of v_threshold)" in str(found)
    assert found.to_dict()["margins"]["near"] == counts[0]


class TestWhatWasFound:
    def found(self, **options: Any) -> Verification:
        graph, other = networks.recurrent(), networks.recurrent()
        for each in (graph, other):
            each.nodes["w_rec"].weight = each.nodes["w_rec"].weight * 0.01
        other.nodes["hidden"].v_threshold = other.nodes["hidden"].v_threshold * 1.1
        return nir_exchange.verify(graph, other, dt=DT, **options)

    def test_as_text_and_data(self) -> None:
        found = self.found()
        text = str(found)
        assert "they differ first in hidden (CubaLIF), spikes" in text
        assert "v_threshold is 1 in the first and 1.1 in the second" in text
        assert "<table>" in found._repr_html_()
        data = found.to_dict()
        assert data["agree"] is False
        assert data["first"]["node"] == "hidden"
        assert data["first"]["first"]["step"] == found.first.first.step  # type: ignore[union-attr]
        assert "traces" not in data
        assert '"agree": false' in found.to_json()

    def test_traces_are_what_was_compared(self) -> None:
        found = self.found(traces=True)
        (trace,) = found.traces
        assert trace.node == "hidden"
        assert len(trace.neurons) == 32
        first = at(found, "hidden", "spikes").first
        assert first is not None
        assert (trace.neuron,) == first.neuron
        row = trace.neurons.index(trace.neuron)
        a, b = (np.array(spikes) for spikes in trace.spikes)
        assert (a[row, first.step], b[row, first.step]) == first.values
        assert (a.sum(), b.sum()) == at(found, "hidden", "spikes").spikes
        assert len(trace.membranes[0]) == 200
        assert trace.threshold == 1.0

    def test_a_plot(self, tmp_path: Path) -> None:
        found = self.found(traces=True)
        found.plot(tmp_path / "plot.png")
        assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")
        with pytest.raises(InvalidArgument, match=r"ends in one of \.png"):
            found.plot(tmp_path / "plot.txt")
        with pytest.raises(InvalidArgument, match="traces=True"):
            self.found().plot(tmp_path / "plot.png")

    def test_progress(self) -> None:
        steps: list[None] = []
        self.found(steps=30, traces=True, progress=lambda: steps.append(None))
        assert len(steps) == 60

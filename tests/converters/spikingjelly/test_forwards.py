"""What people write in a forward: the graph computes what the network does, step by step.

The graph is run by the reference, in double precision. Where a sum has more than two terms it may
add them in another order, so outputs are compared up to rounding; a spike more or less would show.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import nir
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from spikingjelly.activation_based import functional, neuron
from torch import Tensor, nn
from torch.nn import functional as F

from nir_exchange import reference, spikingjelly
from nir_runtime.errors import AnnotatedWarning, ExportRefused, InvalidArgument

STEPS = 100
DT = 1e-3


class Net(nn.Module):
    """Layers of four features, and a forward given by the test."""

    def __init__(self, forward: Callable[[Any, Tensor], Any], mode: str = "s") -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4, bias=False)
        self.lif, self.lif2 = neuron.LIFNode(v_threshold=0.4), neuron.IFNode(v_threshold=0.4)
        self.gain = nn.Parameter(torch.tensor([0.5, -2.0, 0.1, 3.0]))
        self.written = forward
        functional.set_step_mode(self, mode)

    def forward(self, x: Tensor) -> Any:
        return self.written(self, x)


def data(*features: int) -> Tensor:
    """[T, N, *features]"""
    generator = torch.Generator().manual_seed(1)
    return torch.randn(STEPS, 2, *features, generator=generator, dtype=torch.float64) * 2


def export(net: nn.Module, example: Any) -> nir.NIRGraph:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AnnotatedWarning)
        return spikingjelly.export_to_nir(net.double().eval(), example, dt=DT)


def compared(net: nn.Module, x: Tensor, mode: str = "s") -> nir.NIRGraph:
    """The network's graph, which computes the same."""
    graph = export(net, x if mode == "m" else x[0])
    oracle = reference.import_from_nir(graph, dt=DT, dtype=torch.float64)
    with torch.no_grad():
        expected = net(x) if mode == "m" else torch.stack([net(step) for step in x])
        actual = torch.stack([oracle(step)[0] for step in x])
    assert expected.std() > 0
    torch.testing.assert_close(actual, expected, rtol=1e-9, atol=1e-9)
    return graph


def in_place(x: Tensor, change: Callable[[Tensor], Any]) -> Tensor:
    change(x)
    return x


FORWARDS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "subtract": lambda self, x: self.lif(self.a(x) - self.b(x)),
    "torch.sub with alpha": lambda self, x: self.lif(torch.sub(self.a(x), x, alpha=0.5)),
    "subtract in place": lambda self, x: in_place(self.a(x), lambda y: y.sub_(x)),
    "subtract from nothing": lambda self, x: 0 - self.a(x),
    "negate": lambda self, x: self.lif(-self.a(x)),
    "negate in place": lambda self, x: in_place(self.a(x), torch.Tensor.neg_),
    "multiply": lambda self, x: self.lif(0.3 * self.a(x)),
    "multiply by a tensor": lambda self, x: self.lif(self.a(x) * self.gain),
    "multiply by a 0-dim tensor": lambda self, x: self.lif(torch.mul(self.gain[1], x)),
    "multiply by a batched tensor": lambda self, x: self.a(x) * self.gain[None],
    "multiply by an integer tensor": lambda self, x: x * torch.tensor([1, 0, 2, 3]),
    "multiply in place": lambda self, x: in_place(self.a(x), lambda y: y.mul_(3)),
    "divide": lambda self, x: self.lif(self.a(x) / 3),
    "divide by a tensor": lambda self, x: self.lif(torch.div(x, self.gain)),
    "divide in place": lambda self, x: in_place(self.a(x), lambda y: y.div_(2)),
    "add with alpha": lambda self, x: self.lif(torch.add(self.a(x), x, alpha=-0.7)),
    "add with alpha in place": lambda self, x: in_place(x.clone(), lambda y: y.add_(y, alpha=2)),
    "sum": lambda self, x: self.lif(sum([self.a(x), x, self.b(x)])),
    "doubled": lambda self, x: self.lif(x + x),
    "doubled again": lambda self, x: sum([self.a(x)] * 5),
    "a sum twice": lambda self, x: (lambda y: y + y)(self.a(x) + self.b(x)),
    "a term twice": lambda self, x: (self.a(x) + x) + x,
    "two sums that share a term": lambda self, x: (self.a(x) + x) + (x + self.b(x)),
    "a module twice": lambda self, x: self.a(self.a(x)) + self.a(x),
    "keywords": lambda self, x: torch.add(input=self.a(input=x), other=x, alpha=2),
    "twice itself, then half": lambda self, x: self.lif((x + x) * 0.5),
    "spikes times spikes": lambda self, x: self.lif(x) * self.lif2(self.a(x)),
    "spikes times themselves": lambda self, x: (lambda z: z * z)(self.lif(x)),
    "no spikes": lambda self, x: self.a(1 - self.lif(x)),
    "spikes but for spikes": lambda self, x: self.lif(x) * (1.0 - self.lif2(self.a(x))),
    "dropout": lambda self, x: self.lif(F.dropout(self.a(x), 0.5, training=self.training)),
    "squeeze of nothing": lambda self, x: self.a(x).squeeze(1),
}  # fmt: skip


@pytest.mark.parametrize("mode", ["s", "m"])
@pytest.mark.parametrize("name", FORWARDS)
def test_forward(name: str, mode: str) -> None:
    compared(Net(FORWARDS[name], mode), data(4), mode)


def test_in_place_operators() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        y = held = self.a(x)
        y -= self.b(x)
        y *= 0.5
        y /= 4
        y += x
        return self.lif(held)

    graph = compared(Net(forward), data(4))
    kinds = [type(node).__name__ for node in graph.nodes.values()]
    assert kinds == ["Input", "Affine", "Linear", "Scale", "Scale", "Scale", "LIF", "Output"]


def test_a_factor_is_a_scale_of_the_features() -> None:
    net = nn.Sequential(nn.Conv2d(3, 2, 3, padding=1), Times(torch.tensor([[[2.0]], [[3.0]]])))
    graph = compared(net, data(3, 4, 4))
    assert graph.nodes["mul"].scale.shape == (2, 4, 4)
    assert graph.nodes["mul"].scale[1, 3, 3] == 3


class Times(nn.Module):
    def __init__(self, factor: Any) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return x * self.factor


@pytest.mark.parametrize(
    ("factor", "word"),
    [
        (torch.ones(3), "shape"),
        (torch.ones(2, 4), "shape"),
        (torch.ones(1, 1, 1, 4), "shape"),
        (torch.ones(4, dtype=torch.complex64), "converts"),
        (torch.tensor([1.0, 2.0, float("nan"), 1.0]), "NaN"),
        (float("inf"), "factor"),
        (True, "factor"),
    ],
)
def test_factors_that_nir_has_not(factor: Any, word: str) -> None:
    with pytest.raises(ExportRefused, match=word) as refused:
        export(nn.Sequential(Times(factor)), data(4)[0])
    assert refused.value.problems[0].advice


# --- forwards at random ----------------------------------------------------------------------

Step = tuple[str, int, int, float]
steps = st.lists(
    st.tuples(
        st.sampled_from(["linear", "lif", "if", "add", "iadd", "sub", "mul", "neg", "copy"]),
        st.integers(0, 2**16),
        st.integers(0, 2**16),
        st.sampled_from([0.5, -1.0, 0.3, 1.0]),
    ),
    min_size=1,
    max_size=25,
)


class Random(nn.Module):
    """A forward drawn by a test: each step takes one signal or two, and makes another."""

    def __init__(self, steps: list[Step]) -> None:
        super().__init__()
        self.steps = steps
        torch.manual_seed(0)
        make = {
            "linear": lambda: nn.Linear(4, 4),
            "lif": lambda: neuron.LIFNode(v_threshold=0.3171),  # no sum of spikes hits these
            "if": lambda: neuron.IFNode(v_threshold=0.7173),
        }
        self.layers = nn.ModuleList(make.get(kind, nn.Identity)() for kind, *_ in steps)

    def forward(self, x: Tensor) -> Tensor:
        made = [x]
        for (kind, i, j, factor), layer_ in zip(self.steps, self.layers, strict=True):
            made.append(self._step(kind, made[i % len(made)], made[j % len(made)], factor, layer_))
        return made[-1] + 0.1 * x

    def _step(self, kind: str, x: Tensor, y: Tensor, factor: float, layer_: nn.Module) -> Tensor:
        match kind:
            case "add":
                return x + y
            case "iadd":
                z = x.clone()
                z += y
                return z
            case "sub":
                return torch.sub(x, y, alpha=factor)
            case "mul":
                return x * factor
            case "neg":
                return -x
            case "copy":
                return x.clone()
            case _:
                return layer_(x)


@given(steps)
def test_forwards_at_random(steps: list[Step]) -> None:
    net = Random(steps).double().eval()
    x = data(4)[:30]
    graph = export(net, x[0])
    assert len(graph.edges) == len(set(graph.edges))
    oracle = reference.import_from_nir(graph, dt=DT, dtype=torch.float64)
    with torch.no_grad():
        for step in x:
            expected, actual = net(step), oracle(step)[0]
            torch.testing.assert_close(actual, expected, rtol=1e-8, atol=1e-8)


# --- residual streams ------------------------------------------------------------------------


class Stream(nn.Module):
    """h += f(h), many times."""

    def __init__(self, blocks: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(3, 3), neuron.LIFNode(v_threshold=0.3)) for _ in range(blocks)
        )

    def forward(self, h: Tensor) -> Tensor:
        for block in self.blocks:
            h = h + block(h)
        return h


def test_a_residual_stream() -> None:
    graph = compared(Stream(30), data(3))
    assert sum(isinstance(node, nir.Scale) for node in graph.nodes.values()) == 4


def test_a_short_residual_stream_needs_no_node() -> None:
    graph = compared(Stream(6), data(3))
    assert not any(isinstance(node, nir.Scale) for node in graph.nodes.values())


def test_the_edges_of_a_residual_stream_grow_as_its_blocks() -> None:
    few, many = (len(export(Stream(n), torch.ones(1, 3)).edges) for n in (50, 500))
    assert many <= 10.5 * few


def test_a_long_sum_that_is_read_once_is_edges() -> None:
    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.branches = nn.ModuleList(nn.Linear(3, 3) for _ in range(50))
            self.lif = neuron.LIFNode()

        def forward(self, x: Tensor) -> Tensor:
            return self.lif(sum(branch(x) for branch in self.branches))

    graph = compared(Sum(), data(3))
    assert len(graph.edges) == 101
    assert not any(isinstance(node, nir.Scale) for node in graph.nodes.values())


# --- time and batch as one axis --------------------------------------------------------------


def merging(function: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Any, Tensor], Tensor]:
    """A forward that hands `function` the time and batch in one axis."""

    def forward(self: Any, x: Tensor) -> Tensor:
        return self.lif(function(self, x))

    return forward


@pytest.mark.parametrize(
    "forward",
    [
        lambda self, x: functional.seq_to_ann_forward(x, self.a),
        lambda self, x: functional.seq_to_ann_forward(x, [self.a, self.b]),
        lambda self, x: self.a(x.flatten(0, 1)).view(x.shape),
        lambda self, x: self.a(x.view(-1, 4)).view(x.shape[0], x.shape[1], -1),
        lambda self, x: self.a(x.reshape(len(x) * x.size(1), 4)).unflatten(0, x.shape[:2]),
        lambda self, x: torch.unflatten(torch.flatten(x, 0, 1), 0, (len(x), -1)) * 2,
    ],
)
def test_time_and_batch_merged(forward: Callable[[Any, Tensor], Tensor]) -> None:
    compared(Net(merging(forward), "m"), data(4), "m")


def test_time_batch_and_features_merged() -> None:
    net = Net(lambda self, x: self.lif(self.a(x.view(-1, 4)).view(*x.shape[:2], 4)), "m")
    graph = compared(net, data(2, 2), "m")
    assert type(graph.nodes["flatten"]) is nir.Flatten


@pytest.mark.parametrize(
    ("forward", "word"),
    [
        (lambda self, x: self.lif(x.flatten(0, 1)).view(x.shape), "one axis"),
        (lambda self, x: x.flatten(0, 1), "one axis"),
        (lambda self, x: x.flatten(0, 2), "flatten features"),
        (lambda self, x: x.mean(0), "mean"),
        (lambda self, x: x.sum(0), "sum"),
        (lambda self, x: x[0], "takes a part|one step"),
        (lambda self, x: x.transpose(0, 1), "transpose"),
        (lambda self, x: torch.stack([x, x]), "stack"),
        (lambda self, x: torch.cat([x, x], -1), "cat"),
        (lambda self, x: x.unsqueeze(0), "unsqueeze"),
        (lambda self, x: self.lif(x.unsqueeze(0).repeat(4, 1, 1, 1)), "unsqueeze"),
    ],
)
def test_other_things_done_to_time_are_refused(
    forward: Callable[[Any, Tensor], Tensor], word: str
) -> None:
    with pytest.raises(ExportRefused, match=word) as refused:
        export(Net(forward, "m"), data(4))
    assert refused.value.problems[0].advice


# --- several inputs and outputs --------------------------------------------------------------


class Several(nn.Module):
    """Two inputs of different features; what is returned is given by the test."""

    def __init__(self, returned: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.left, self.right = nn.Linear(3, 4), nn.Linear(2, 4)
        self.lif, self.lif2 = neuron.LIFNode(v_threshold=0.3), neuron.IFNode()
        self.returned = returned

    def forward(self, image: Tensor, sound: Tensor) -> Any:
        seen, heard = self.left(image), self.right(sound)
        return self.returned(self.lif(seen + heard), self.lif2(heard))


@pytest.mark.parametrize(
    ("returned", "names"),
    [
        (lambda y, z: (y, z), ["output", "output_1"]),
        (lambda y, z: [y, z], ["output", "output_1"]),
        (lambda y, z: {"word": y, "loud": z}, ["word", "loud"]),
        (lambda y, z: {"lif": y, "right": z}, ["lif", "right"]),
        (lambda y, z: (y,), ["output"]),
        (lambda y, z: (y, y), ["output", "output_1"]),
    ],
)
@pytest.mark.parametrize("by_name", [False, True])
def test_several_inputs_and_outputs(
    returned: Callable[[Tensor, Tensor], Any], names: list[str], by_name: bool
) -> None:
    net = Several(returned).double()
    image, sound = data(3), data(2)
    pair: Any = (image[0], sound[0])
    graph = export(net, dict(zip(("sound", "image"), pair[::-1], strict=True)) if by_name else pair)
    kinds = {name: type(node) for name, node in graph.nodes.items()}
    assert {name for name, kind in kinds.items() if kind is nir.Input} == {"image", "sound"}
    assert [name for name, kind in kinds.items() if kind is nir.Output] == names
    assert graph.input_type["sound"].tolist() == [2]

    oracle = reference.import_from_nir(graph, dt=DT, dtype=torch.float64)
    with torch.no_grad():
        for x, y in zip(image, sound, strict=True):
            result, (actual, _) = net(x, y), oracle(image=x, sound=y)
            results = list(result.values()) if isinstance(result, dict) else list(result)
            actual = actual if isinstance(actual, dict) else {names[0]: actual}
            for name, expected in zip(names, results, strict=True):
                assert torch.equal(actual[name], expected)


@pytest.mark.parametrize(
    ("example", "word"),
    [
        (torch.ones(1, 3), "missing a required argument: 'sound'"),
        ((torch.ones(1, 3),), "missing a required argument"),
        ((torch.ones(1, 3),) * 3, "too many positional"),
        (
            {"image": torch.ones(1, 3), "sound": torch.ones(1, 2), "smell": torch.ones(1, 3)},
            "smell",
        ),
        ((), "empty"),
        ((torch.ones(1, 3), None), "example_input, sound: is a NoneType"),
        ((torch.ones(1, 3), torch.ones(2, 2)), "example_input, sound: begins with"),
        ((torch.ones(1, 3), torch.ones(2)), "example_input, sound: has the shape"),
    ],
)
def test_inputs_that_do_not_fit(example: Any, word: str) -> None:
    with pytest.raises(InvalidArgument, match=word):
        export(Several(lambda y, z: y), example)


def test_an_input_that_nothing_reads_stays() -> None:
    class Half(nn.Module):
        def forward(self, x: Tensor, unused: Tensor) -> Tensor:
            return x * 2

    graph = export(Half(), (torch.ones(1, 2), torch.ones(1, 3)))
    assert graph.edges == [("x", "mul"), ("mul", "output")]
    assert set(graph.nodes) == {"x", "unused", "mul", "output"}


def test_parameters_with_defaults_and_more() -> None:
    class Any_(nn.Module):
        def forward(
            self, x: Tensor, *others: Tensor, factor: float = 2.0, **more: Tensor
        ) -> Tensor:
            return sum((*others, *more.values()), start=x * factor)

    graph = export(Any_(), tuple(torch.ones(1, 2) for _ in range(3)))
    inputs = [name for name, node in graph.nodes.items() if isinstance(node, nir.Input)]
    assert inputs == ["x", "others", "others_1"]
    graph = export(Any_(), {"x": torch.ones(1, 2), "tail": torch.ones(1, 2)})
    assert np.all(graph.nodes["mul"].scale == 2)
    assert list(graph.nodes)[:2] == ["x", "tail"]

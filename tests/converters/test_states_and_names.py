"""What an import must stand: states that are used twice, names of any kind, numbers of any size."""

from __future__ import annotations

import copy
import itertools
import keyword
import warnings
from collections.abc import Iterator
from typing import Any

import nir
import numpy as np
import pytest
import torch
from snntorch import utils
from spikingjelly.activation_based import functional, layer, neuron
from torch import fx, nn

import nir_exchange
from nir_exchange import norse, reference, snntorch, spikingjelly
from nir_runtime.errors import ImportRefused, InvalidGraph
from tests.nodes import NEURONS

DT = 1e-3
SIZE = 3
ONES = np.ones(SIZE)

WAYS: dict[str, tuple[Any, dict[str, Any]]] = {
    "reference": (reference, {"step_mode": "s"}),
    "reference, sequences": (reference, {"step_mode": "m"}),
    "spikingjelly": (spikingjelly, {"step_mode": "s"}),
    "spikingjelly, sequences": (spikingjelly, {"step_mode": "m"}),
    "snntorch": (snntorch, {}),
    "snntorch, states handed on": (snntorch, {"init_hidden": False}),
    "norse": (norse, {}),
}
ways = pytest.mark.parametrize("way", WAYS)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def imported(way: str, graph: nir.NIRGraph, **options: Any) -> Any:
    target, given = WAYS[way]
    return target.import_from_nir(graph, dt=DT, **{**given, **options})


def chained(*nodes: nir.NIRNode, cycle: bool = False) -> nir.NIRGraph:
    """Nodes behind each other, the last fed back to the first or not."""
    names = ["input", *(f"n{k}" for k in range(len(nodes))), "output"]
    ends = nir.Input({"input": np.array([SIZE])}), nir.Output({"output": np.array([SIZE])})
    edges = [*itertools.pairwise(names)]
    if cycle:
        edges.append((names[-2], names[1]))
    every = dict(zip(names, (ends[0], *nodes, ends[1]), strict=True))
    return nir.NIRGraph(every, edges, type_check=False)


# --- states ---------------------------------------------------------------------------------

each = np.array([1.0, 2.0, 3.0])
STATEFUL: dict[str, nir.NIRNode] = {
    "a delay": nir.Delay(3 * DT * ONES),
    "delays": nir.Delay(np.array([DT, 2 * DT, 0])),
    "a LIF": nir.LIF(10 * DT * ONES, ONES, 0 * ONES, ONES, 0 * ONES),
    "LIFs": nir.LIF(10 * DT * ONES, each, 0.1 * ONES, ONES, 0.1 * each),
    "an IF": nir.IF(900 * ONES, ONES, 0 * ONES),
    "a CubaLIF": nir.CubaLIF(
        5 * DT * ONES, 10 * DT * ONES, ONES, 0 * ONES, ONES, 0 * ONES, 4 * ONES
    ),
    "CubaLIFs": nir.CubaLIF(
        5 * DT * ONES, 10 * DT * each, each, 0.1 * ONES, ONES, 0 * ONES, 4 * ONES
    ),
    "an I": nir.I(100 * ONES),
    "a LI": nir.LI(10 * DT * ONES, ONES, 0 * ONES),
    "a CubaLI": nir.CubaLI(5 * DT * ONES, 10 * DT * ONES, ONES, 0 * ONES, 4 * ONES),
}  # fmt: skip


def assert_same_state(a: Any, b: Any) -> None:
    """Equal to the last bit, at any depth."""
    assert type(a) is type(b)
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b)
    elif isinstance(a, dict):
        assert list(a) == list(b)
        for key in a:
            assert_same_state(a[key], b[key])
    elif isinstance(a, (tuple, list)):
        assert len(a) == len(b)
        for x, y in zip(a, b, strict=True):
            assert_same_state(x, y)
    else:
        assert a == b


@ways
@pytest.mark.parametrize("cycle", [False, True])
@pytest.mark.parametrize("kind", STATEFUL)
def test_a_state_stays_what_it_is(way: str, cycle: bool, kind: str) -> None:
    """Neither a call that is given one nor a later one changes it, and it leads on as it did."""
    module = imported(way, chained(STATEFUL[kind], cycle=cycle), dtype=torch.float64)
    torch.manual_seed(0)
    leading = (4, 2) if "sequences" in way else (2,)
    x = 2 * torch.randn(4, *leading, SIZE, dtype=torch.float64)
    with torch.no_grad():
        _, state = module(x[0])
        held = copy.deepcopy(state)
        y, following = module(x[1], state)
        assert_same_state(state, held)
        held_then = copy.deepcopy(following)
        module(x[2])
        module(x[3], following)
        assert_same_state(following, held_then)
        for given in (state, held, state):
            again, last = module(x[1], given)
            assert torch.equal(again, y)
            assert_same_state(last, held_then)


# --- names ----------------------------------------------------------------------------------

ATTRIBUTES = (
    "report", "step_mode", "dynamics", "reset", "reset_mem", "backend", "supported_backends",
    "self", "state", "input", "output", "neuron", "load_state", "read_state", "take_state", "mem",
    "recurrent", "v", "é", "神経", "1", "a.b", " ", "\n", "a/b", "..", "names", "_memories", "nan",
    "init_hidden", "node", "x", "torch", "print", "device", "__init__", "__call__", "T_destination",
)  # fmt: skip
NAMES = sorted(
    {
        *ATTRIBUTES,
        *dir(fx.GraphModule(nn.Module(), fx.Graph())),
        *keyword.kwlist,
        *keyword.softkwlist,
    }
)


def named(name: str, place: str) -> nir.NIRGraph:
    """A network, a part of which is called so."""
    called = {place: name}
    first, cell, out = (called.get(p, p) for p in ("input_1", "cell", "out"))
    neuron = nir.LIF(10 * DT * ONES, 3 * each, 0 * ONES, 0.5 * ONES, 0 * ONES)
    nodes = {
        first: nir.Input({"input": np.array([SIZE])}),
        cell: neuron,
        "weights": nir.Affine(0.5 * np.eye(SIZE), 0.1 * ONES),
        out: nir.Output({"output": np.array([SIZE])}),
    }
    edges = [(first, cell), (cell, "weights"), ("weights", out)]
    return nir.NIRGraph(nodes, edges, type_check=False)


@pytest.mark.parametrize("place", ["cell", "input_1", "out"])
@pytest.mark.parametrize("way", [way for way in WAYS if "sequences" not in way])
def test_names_that_mean_something_to_python(way: str, place: str) -> None:
    x = torch.full((2, SIZE), 2.0)

    def outputs(module: nn.Module) -> torch.Tensor:
        state, every = None, []
        for _ in range(6):
            y, state = module(x, state)
            every.append(y)
        return torch.stack(every)

    expected = outputs(imported(way, named("plain", place)))
    assert expected.sum() > 0
    for name in NAMES:
        graph = named(name, place)
        module = imported(way, graph)
        assert torch.equal(outputs(module), expected), name
        _, state = module(x)
        assert list(state) == [name if place == "cell" else "cell"]
        assert module.report.target
        assert set(WAYS[way][0].export_to_nir(module, x, dt=DT).nodes) == set(graph.nodes), name
        copy.deepcopy(module).double().train().eval().state_dict()


def test_frameworks_still_find_what_they_look_for() -> None:
    for name in ("reset", "step_mode", "backend", "reset_mem"):
        module = imported("spikingjelly", named(name, "cell"))
        first = module(torch.ones(2, SIZE))[0]
        functional.reset_net(module)
        functional.set_step_mode(module, "m")
        assert torch.equal(module(torch.ones(1, 2, SIZE))[0][0], first)
        other = imported("snntorch", named(name, "cell"))
        first = other(torch.ones(2, SIZE))[0]
        utils.reset(other)
        assert torch.equal(other(torch.ones(2, SIZE))[0], first)


@pytest.mark.parametrize("nested", [False, True])
def test_a_node_without_a_name(nested: bool) -> None:
    """No file can hold it; and a graph called so would be taken for the outermost one."""
    graph = named("", "cell")
    if nested:
        graph.nodes[""] = named("lif", "cell")
    for use in (reference.import_from_nir, nir_exchange.draw):
        with pytest.raises(InvalidGraph, match="/node/nodes: a node is called ''"):
            use(graph)
    assert "a node is called ''" in str(nir_exchange.info(graph).problems[0])


def test_layers_that_are_called_like_attributes() -> None:
    """Names of a network's own modules are its author's, and nodes get them."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.report = nn.Linear(SIZE, SIZE)
            self.dynamics = neuron.LIFNode(v_threshold=0.1)
            self.graph = nn.ModuleDict({"code": layer.Linear(SIZE, SIZE), "None": neuron.IFNode()})

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y: torch.Tensor = self.graph["None"](self.graph["code"](self.dynamics(self.report(x))))
            return y

    graph = spikingjelly.export_to_nir(Net(), torch.rand(2, SIZE), dt=DT, verify=20)
    assert list(graph.nodes)[1:3] == ["report", "dynamics"]
    module = spikingjelly.import_from_nir(graph, dt=DT)
    again = spikingjelly.export_to_nir(module, torch.rand(2, SIZE), dt=DT, verify=20)
    assert list(again.nodes) == list(graph.nodes)


# --- numbers --------------------------------------------------------------------------------

TOO_LARGE: dict[str, nir.NIRNode] = {
    "a scale": nir.Scale(1e39 * ONES),
    "one of several": nir.Scale(np.array([1.0, -1e39, 1.0])),
    "weights": nir.Linear(1e39 * np.eye(SIZE)),
    "a bias": nir.Affine(np.eye(SIZE), 1e300 * ONES),
    "an input": nir.LIF(10 * DT * ONES, 1e42 * ONES, 0 * ONES, ONES, 0 * ONES),
    "inputs": nir.LIF(10 * DT * ONES, np.array([1.0, 1e42, 1.0]), 0 * ONES, ONES, 0 * ONES),
    "a threshold": nir.Threshold(1e39 * ONES),
}


@ways
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("kind", TOO_LARGE)
def test_numbers_that_do_not_fit(way: str, kind: str, dtype: torch.dtype) -> None:
    graph = chained(TOO_LARGE[kind])
    with pytest.raises(ImportRefused, match=f"/node/nodes/n0: .* does not fit {dtype}, which ends"):
        imported(way, graph, dtype=dtype)
    module = imported(way, graph, dtype=torch.float64)
    assert all(bool(tensor.isfinite().all()) for tensor in module.state_dict().values())


@ways
def test_numbers_that_fit_one_type_and_not_another(way: str) -> None:
    graph = chained(nir.Scale(70000 * ONES), nir.Scale(1e-8 * ONES))
    imported(way, graph, dtype=torch.float32)
    imported(way, graph, dtype=torch.bfloat16)
    with pytest.raises(ImportRefused, match=r"70000 does not fit torch.float16"):
        imported(way, graph, dtype=torch.float16)


def test_a_time_constant_that_would_be_zero() -> None:
    graph = chained(nir.LI(1e-12 * ONES, ONES, 0 * ONES))
    with pytest.raises(ImportRefused, match=r"tau is rounded to 0 in torch.float16"):
        reference.import_from_nir(graph, dt=1e-13, dtype=torch.float16)


@ways
@pytest.mark.parametrize("kind", [*STATEFUL])
def test_reports_in_half_precision(way: str, kind: str) -> None:
    module = imported(way, chained(STATEFUL[kind]), dtype=torch.bfloat16)
    assert "n0" in str(module.report)
    x = torch.rand(1, 2, SIZE) if "sequences" in way else torch.rand(2, SIZE)
    graph = WAYS[way][0].export_to_nir(module, x.bfloat16(), dt=DT)
    assert type(graph.nodes["n0"]).__name__ in (*NEURONS, "Delay")
    assert "n0" in str(graph.report)

"""The time step goes with the graph: an import that is told none spikes as what was exported."""

from __future__ import annotations

import copy
import inspect
import itertools
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import nir
import norse.torch as norse_torch
import numpy as np
import pytest
import snntorch as snn
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from norse.torch.functional.lif_box import LIFBoxParameters
from spikingjelly.activation_based import neuron
from torch import nn

import nir_exchange
from nir_exchange import norse, reference, snntorch, spikingjelly
from nir_runtime.contract import reference as modules
from nir_runtime.errors import ExportRefused, InvalidArgument, InvalidGraph, TimeStepWarning
from nir_runtime.functions import step_in
from tests.nodes import single
from tests.resetting import reset

STEPS, IN, OUT = 120, 5, 7
USUAL = {"spikingjelly": 1e-4, "snntorch": 1e-4, "norse": 1e-3, "reference": 1e-4}
CONVERTERS: dict[str, ModuleType] = {
    "spikingjelly": spikingjelly, "snntorch": snntorch, "norse": norse, "reference": reference,
}  # fmt: skip


def leaky(framework: str, dt: float, tau: float) -> nn.Module:
    """A leaky layer of a framework; `tau` is in steps."""
    if framework == "spikingjelly":
        return neuron.LIFNode(tau, v_threshold=0.6, v_reset=0.0)
    if framework == "snntorch":
        how = {"init_hidden": True, "spike_grad": step_in(torch.float64)}
        return snn.Leaky(1 - 1 / tau, threshold=0.6, reset_mechanism="zero", **how)
    if framework == "norse":
        inverse = torch.tensor(1 / (tau * dt), dtype=torch.float64)
        return norse_torch.LIFBoxCell(LIFBoxParameters(inverse, v_th=torch.tensor(0.6)), dt=dt)
    fields = {"r": 1.0, "v_leak": 0.0, "v_threshold": 0.6, "v_reset": 0.0}
    return modules.LIF(tau=tau * dt, dt=dt, dtype=torch.float64, **fields)


def linear(framework: str, inputs: int, outputs: int) -> nn.Module:
    if framework == "reference":
        return modules.Affine(np.zeros((outputs, inputs)), np.zeros(outputs), dtype=torch.float64)
    return nn.Linear(inputs, outputs)


def network(framework: str, dt: float, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    dense = linear(framework, IN, OUT), linear(framework, OUT, OUT)
    for layer in dense:
        nn.init.normal_(layer.weight, 0.4, 1.5)
    taus = (4.0, 9.0)
    layers = [
        part for d, tau in zip(dense, taus, strict=True) for part in (d, leaky(framework, dt, tau))
    ]
    make = norse_torch.SequentialState if framework == "norse" else nn.Sequential
    return make(*layers).double()


def spikes_of(net: nn.Module, carries: bool) -> torch.Tensor:
    """What it gives for the same input always, step by step from its start."""
    x = torch.rand(STEPS, 2, IN, generator=torch.Generator().manual_seed(7)).double()
    outputs, state = [], None
    with torch.no_grad():
        for step in x:
            y = net(step, state) if carries else net(step)
            y, state = y if isinstance(y, tuple) else (y, None)
            outputs.append(y)
    return torch.stack(outputs)


def exported(framework: str, net: nn.Module, size: int = IN, **options: Any) -> nir.NIRGraph:
    reset(net)
    return CONVERTERS[framework].export_to_nir(net, torch.rand(2, size).double(), **options)


def quietly(framework: str, graph: Any, **options: Any) -> nn.Module:
    """An import in double precision, in which no warning is given."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", TimeStepWarning)
        return CONVERTERS[framework].import_from_nir(graph, dtype=torch.float64, **options)


def assert_alive(spikes: torch.Tensor) -> None:
    assert 0.02 < spikes.mean() < 0.98


# --- there and back -------------------------------------------------------------------------


@pytest.mark.parametrize(("source", "target"), [*itertools.product(CONVERTERS, repeat=2)])
def test_nobody_says_dt(source: str, target: str, tmp_path: Path) -> None:
    """As people type it first: neither the export nor the import is told."""
    net = network(source, USUAL[source])
    expected = spikes_of(copy.deepcopy(net), source == "norse")
    assert_alive(expected)
    exported(source, net, save_path=tmp_path / "net.nir")
    module = quietly(target, tmp_path / "net.nir")
    assert torch.equal(spikes_of(module, target == "norse"), expected)
    assert (module.report.dt, module.report.notes) == (USUAL[source], ())


@given(
    source=st.sampled_from(list(CONVERTERS)),
    target=st.sampled_from(list(CONVERTERS)),
    exponent=st.floats(-6, -1),
    seed=st.integers(0, 1000),
)
@settings(max_examples=25, deadline=None)
def test_any_dt(
    source: str, target: str, exponent: float, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    dt = 10**exponent
    net = network(source, dt, seed)
    expected = spikes_of(copy.deepcopy(net), source == "norse")
    path = tmp_path_factory.mktemp("any") / "net.nir"
    exported(source, net, dt=dt, save_path=path)
    module = quietly(target, path)
    assert torch.equal(spikes_of(module, target == "norse"), expected)
    assert quietly(target, path, dt=dt * (1 + 1e-9)).report.dt == dt
    again = exported(target, module)
    assert again.metadata["dt"] == dt
    assert torch.equal(spikes_of(quietly(source, again), source == "norse"), expected)


@pytest.mark.parametrize("target", CONVERTERS)
def test_nir_itself_reads_and_writes_it(target: str, tmp_path: Path) -> None:
    net = network("norse", 1e-3)
    graph = exported("norse", net)
    nir.write(tmp_path / "by_nir.nir", graph)
    nir_exchange.write(tmp_path / "ours.nir", graph)
    nir.write(tmp_path / "again.nir", nir.read(tmp_path / "ours.nir"))
    expected = spikes_of(net, True)
    for name in ("by_nir.nir", "ours.nir", "again.nir"):
        for form in (
            tmp_path / name,
            nir.read(tmp_path / name),
            nir_exchange.read(tmp_path / name),
        ):
            module = quietly(target, form)
            assert module.report.dt == 1e-3
            assert torch.equal(spikes_of(module, target == "norse"), expected)


def test_who_wrote_it() -> None:
    metadata = exported("norse", network("norse", 1e-3)).metadata
    assert (metadata["framework"], metadata["framework_version"]) == ("Norse", "1.1.0")
    assert metadata["exporter"].startswith("nir-exchange")
    assert exported("reference", network("reference", 1e-4)).metadata["framework"] == "reference"


@pytest.mark.parametrize("name", CONVERTERS)
def test_the_signatures(name: str) -> None:
    for function in ("export_to_nir", "import_from_nir", "explain"):
        parameter = inspect.signature(getattr(CONVERTERS[name], function)).parameters["dt"]
        assert (parameter.default, parameter.annotation) == (None, "float | None")


def test_what_is_written_in_primitives_keeps_it() -> None:
    net = nn.Sequential(nn.Linear(IN, OUT), neuron.LIFNode(5.0, v_reset=None)).double()
    graph = exported("spikingjelly", net, dt=1e-3, soft_reset="decompose")
    assert graph.metadata["dt"] == 1e-3


# --- another dt -----------------------------------------------------------------------------


@pytest.mark.parametrize("target", CONVERTERS)
def test_another_dt_is_followed_and_said(target: str) -> None:
    net = network("norse", 1e-3)
    graph = exported("norse", net)
    with pytest.warns(
        TimeStepWarning, match=r"/node/metadata/dt is 0\.001.* at dt = 0\.0005"
    ) as told:
        module = CONVERTERS[target].import_from_nir(graph, dt=5e-4, dtype=torch.float64)
    assert told[0].filename == __file__
    (note,) = module.report.notes
    assert "discretized anew" in note
    assert note in " ".join(str(module.report).split())
    assert note.split(":")[0] in module.report._repr_html_()
    assert module.report.to_dict()["notes"] == [note]
    assert pickle.loads(pickle.dumps(module.report)).notes == (note,)
    assert nir_exchange.explain(graph, target, dt=5e-4).notes == (note,)
    spikes = spikes_of(module, target == "norse")
    assert not torch.equal(spikes, spikes_of(net, True))
    bare = nir.NIRGraph(graph.nodes, graph.edges, type_check=False)
    alike = quietly(target, bare, dt=5e-4)
    assert torch.equal(spikes, spikes_of(alike, target == "norse"))


@pytest.mark.parametrize(
    "dt", [1e-3, np.float64(1e-3), np.float32(1e-3), 0.1 * 0.01, 1 / 1000, 1e-3 * (1 + 5e-7)]
)
def test_a_rounding_is_no_other_dt(dt: Any) -> None:
    graph = exported("norse", network("norse", 1e-3))
    module = quietly("spikingjelly", graph, dt=dt)
    assert (module.report.dt, module.report.notes) == (1e-3, ())


def test_where_nothing_depends_on_it_there_is_nothing_to_say() -> None:
    graph = exported("norse", nn.Linear(IN, OUT).double())
    assert quietly("snntorch", graph, dt=0.5).report.notes == ()
    bare = nir.NIRGraph(graph.nodes, graph.edges, type_check=False)
    assert quietly("snntorch", bare).report.notes == ()


def test_a_delay_that_is_no_whole_number_of_steps() -> None:
    graph = single(nir.Delay(np.array([3e-4, 6e-4])), 2)
    graph.metadata["dt"] = 3e-4
    assert not nir_exchange.explain(graph, "reference").entries[0].notes
    with pytest.warns(TimeStepWarning):
        report = reference.import_from_nir(graph, 1e-3).report
    assert "trap: delay / dt is 0.6, rounded to 1 steps" in report.entries[0].notes
    assert (
        report.entries[0].notes == nir_exchange.explain(graph, "reference", 1e-3).entries[0].notes
    )


# --- none -----------------------------------------------------------------------------------


@pytest.mark.parametrize("target", CONVERTERS)
def test_somebody_elses_file(target: str, tmp_path: Path) -> None:
    tau = np.full(3, 8e-4)
    node = nir.LIF(tau, r=tau * 0 + 3, v_leak=tau * 0, v_threshold=tau * 0 + 1, v_reset=tau * 0)
    nir.write(tmp_path / "other.nir", single(node, 3))
    module = quietly(target, tmp_path / "other.nir")
    assert module.report.dt == 1e-4
    assert module.report.notes == ("the graph does not say its time step: dt = 0.0001 is assumed",)
    assert nir_exchange.explain(tmp_path / "other.nir", target).notes == module.report.notes
    assert quietly(target, tmp_path / "other.nir", dt=1e-4).report.notes == ()


# --- nonsense -------------------------------------------------------------------------------

NONSENSE = [
    -1.0, 0, "fast", "1e-4", b"1e-4", float("nan"), float("inf"), True, np.bool_(True), 1j,
    10**400, 10**5000, np.array([1e-4, 1e-3]), None, np.array([]), [1e-4], {"dt": 1e-4}, object(),
]  # fmt: skip


@pytest.mark.parametrize("value", NONSENSE, ids=range(len(NONSENSE)))
@pytest.mark.parametrize("where", ["outside", "inside"])
def test_nonsense(value: Any, where: str) -> None:
    graph = exported("reference", network("reference", 1e-4))
    place = "/node/metadata/dt"
    graph.metadata = {"dt": value}
    if where == "inside":
        graph, place = around(inner=graph), "/node/nodes/inner/metadata/dt"
    for act in (spikingjelly.import_from_nir, lambda g: nir_exchange.verify(g, g)):
        with pytest.raises(InvalidGraph) as refused:
            act(graph)
        assert [problem.place for problem in refused.value.problems] == [place]
        assert "give dt" in str(refused.value)
    for report in (nir_exchange.explain(graph, "norse"), norse.explain(graph)):
        assert [(e.place, str(e.grade)) for e in report.entries] == [(place, "refused")]
    assert place in nir_exchange.info(graph).origin
    module = quietly("spikingjelly", graph, dt=1e-4)
    assert module.report.notes[0].startswith(f"{place} is ")
    assert "is no time step" in module.report.notes[0]


@pytest.mark.parametrize("value", NONSENSE[:13], ids=range(13))
def test_an_argument_that_is_none(value: Any) -> None:
    net = network("spikingjelly", 1e-4)
    graph = exported("spikingjelly", net)
    acts: list[Callable[[], Any]] = [
        lambda: exported("spikingjelly", net, dt=value),
        lambda: spikingjelly.import_from_nir(graph, value),
        lambda: nir_exchange.explain(graph, "norse", value),
        lambda: nir_exchange.verify(graph, graph, dt=value),
    ]
    for act in acts:
        with pytest.raises(InvalidArgument, match=r"^dt: is ") as refused:
            act()
        assert len(str(refused.value)) < 250


# --- graphs in graphs -----------------------------------------------------------------------


def around(**inner: nir.NIRGraph) -> nir.NIRGraph:
    """A graph of others, one behind the other."""
    first, last = next(iter(inner.values())), list(inner.values())[-1]
    shape = next(n for n in first.nodes.values() if isinstance(n, nir.Input)).input_type["input"]
    end = next(n for n in last.nodes.values() if isinstance(n, nir.Output)).output_type["output"]
    nodes = {"in": nir.Input({"input": shape}), **inner, "out": nir.Output({"output": end})}
    return nir.NIRGraph(nodes, list(itertools.pairwise(nodes)), type_check=False)


def test_a_graph_of_exports_has_their_dt() -> None:
    net = network("norse", 1e-3)
    module = quietly("spikingjelly", around(inner=exported("norse", net)))
    assert (module.report.dt, module.report.notes) == (1e-3, ())
    assert torch.equal(spikes_of(module, False), spikes_of(net, True))


def test_graphs_in_a_graph_that_differ() -> None:
    one = exported("reference", network("reference", 1e-4))
    behind = nn.Sequential(linear("reference", OUT, OUT), leaky("reference", 1e-3, 5.0))
    other = exported("reference", behind, OUT, dt=1e-3)
    whole = around(one=one, other=other)
    with pytest.raises(InvalidGraph) as refused:
        spikingjelly.import_from_nir(whole)
    places = [f"/node/nodes/{name}/metadata/dt" for name in ("one", "other")]
    assert [problem.place for problem in refused.value.problems] == places
    with pytest.warns(TimeStepWarning, match=places[1]) as told:
        spikingjelly.import_from_nir(whole, 1e-4)
    assert places[0] not in str(told[0].message)
    whole.metadata["dt"] = 1e-4
    with pytest.warns(TimeStepWarning, match=places[1]):
        assert spikingjelly.import_from_nir(whole).report.dt == 1e-4


# --- exports of imports ---------------------------------------------------------------------


HOW = [
    (target, how)
    for target, how in itertools.product(CONVERTERS, ["as it is", "pickled", "copied", "inside"])
    # snnTorch's surrogate functions don't go into a pickle, and Norse's states are handed on.
    if (target, how) not in {("snntorch", "pickled"), ("norse", "inside")}
]


@pytest.mark.parametrize(("target", "how"), HOW)
def test_an_import_goes_out_at_the_dt_it_came_in_at(target: str, how: str) -> None:
    module = quietly(target, exported("reference", network("reference", 3e-4), dt=3e-4))
    if how == "pickled":
        module = pickle.loads(pickle.dumps(module))
    elif how == "copied":
        module = copy.deepcopy(module)
    elif how == "inside":
        module = Wrapped(module)
    graph = exported(target, module)
    assert graph.metadata["dt"] == 3e-4
    assert spikes_of(quietly("reference", graph), False).equal(
        spikes_of(network("reference", 3e-4), False)
    )


class Wrapped(nn.Module):
    """A network with an import in it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.module(x)[0]


def test_imports_at_different_dts_in_one_network() -> None:
    parts = [
        quietly("spikingjelly", exported("reference", network("reference", dt), dt=dt))
        for dt in (1e-4, 1e-3)
    ]
    net = nn.ModuleList(parts)
    net.forward = lambda x: parts[0](x)[0] + parts[1](x)[0]  # type: ignore[method-assign]
    with pytest.raises(InvalidArgument, match=r"imported at dt = 0\.0001 and 0\.001"):
        exported("spikingjelly", net)


def test_norses_cells_have_the_last_word() -> None:
    """A cell's own dt is never overruled in silence."""
    with pytest.raises(ExportRefused, match=r"dt=0\.0002"):
        exported("norse", network("norse", 2e-4))
    assert exported("norse", network("norse", 2e-4), dt=2e-4).metadata["dt"] == 2e-4


# --- verify ---------------------------------------------------------------------------------


def test_verify_takes_the_graphs_dt() -> None:
    net = network("norse", 2e-3)
    graph = exported("norse", net, dt=2e-3)
    x = torch.rand(50, 2, IN).double()
    for a, b in ((net, graph), (graph, net)):
        found = nir_exchange.verify(a, b, x)
        assert found.agree
        assert min(found.spikes) > 0
        assert found.dt == 2e-3
    assert nir_exchange.verify(graph, graph, run_in=("snntorch", "norse")).dt_says == (
        "0.002, as both have it"
    )


def test_verify_takes_the_dt_of_an_import() -> None:
    graph = exported("norse", network("norse", 2e-3), dt=2e-3)
    module = quietly("spikingjelly", graph)
    bare = nir.NIRGraph(graph.nodes, graph.edges, type_check=False)
    found = nir_exchange.verify(module, bare)
    assert (found.agree, found.dt_says) == (True, "0.002, as the first has it")
    assert nir_exchange.verify(bare, bare, run_in=("norse", "reference")).dt_says == (
        "0.0001, as neither says its own"
    )


def test_verify_runs_each_at_its_own() -> None:
    """The same network, exported at two time steps, takes the same steps."""
    net = network("snntorch", 1e-4)
    graphs = [exported("snntorch", net, dt=dt) for dt in (1e-4, 1e-3)]
    found = nir_exchange.verify(*graphs)
    assert found.agree
    assert min(found.spikes) > 0
    assert found.dt_says == "0.0001 and 0.001, each its own: steps are compared, not seconds"
    at_one = nir_exchange.verify(*graphs, dt=1e-3)
    assert not at_one.agree
    assert any("/node/metadata/dt is 0.0001" in note for note in at_one.notes)


def test_verify_of_two_networks_takes_what_their_framework_takes() -> None:
    net = network("norse", 1e-3)
    found = nir_exchange.verify(net, copy.deepcopy(net), torch.rand(20, 1, IN).double())
    assert (found.agree, found.dt) == (True, 1e-3)

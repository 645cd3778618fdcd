"""What is told of an import from the mappings alone is what the converter really does."""

from __future__ import annotations

import subprocess
import sys
import warnings
from typing import Any

import nir
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import nir_exchange
from nir_exchange import reference, spikingjelly
from nir_runtime.errors import ImportRefused, InvalidArgument
from nir_runtime.reports.report import Entry, Grade, Report
from tests.nodes import DT, single

SIZE = 3
CONVERTERS: dict[str, Any] = {"reference": reference, "spikingjelly": spikingjelly}
METADATA: list[dict[str, Any]] = [
    {},
    {},
    {},
    {"reset": "subtract"},
    {"v_initial": 0.25},
    {"v_initial": 0.0},
    {"v_initial": np.array([0.1, 0.2, 0.3])},
    {"i_initial": 1.0},
    {"history_initial": 1.0},
    {"fires_at": 1.0},
    {"fires_at": "x"},
    {"fires_at": 1.0000001},
    {"said": "by someone"},
]


@st.composite
def nodes(draw: st.DrawFn) -> nir.NIRNode:
    """A node that many layers almost compute, each parameter from values that layers have."""

    def one_of(*values: float) -> np.ndarray[Any, Any]:
        chosen = draw(st.sampled_from(values))
        array = np.full(SIZE, chosen)
        if draw(st.integers(0, 9)) == 0:
            array[0] += 0.5 * DT if chosen < 0.1 else 0.25
        return array

    def potential() -> np.ndarray[Any, Any]:
        return one_of(0.0, 0.0, 0.0, -0.25, 0.25)

    def tau() -> np.ndarray[Any, Any]:
        return one_of(10 * DT, 2 * DT, 2 * DT, DT, DT / 2)

    kind = draw(st.sampled_from(["I", "IF", "LI", "LIF", "LIF", "CubaLI", "CubaLIF", "Delay"]))
    fields: dict[str, Any] = {"metadata": dict(draw(st.sampled_from(METADATA)))}
    if kind == "Delay":
        return nir.Delay(delay=one_of(0.0, DT, 3 * DT), **fields)
    fields["r"] = one_of(1.0, 2.0, 10.0, 1 / DT, 3.0, 1e-3)
    if "L" in kind:
        fields["v_leak"] = potential()
    if kind in ("LI", "LIF"):
        fields["tau"] = tau()
    if "Cuba" in kind:
        fields |= {"tau_syn": tau(), "tau_mem": tau(), "w_in": one_of(1.0, 2.0, 10.0)}
    if kind.endswith("F"):
        fields |= {"v_threshold": one_of(1.0, 0.5, 0.0), "v_reset": potential()}
    return getattr(nir, kind)(**fields)


def alike(told: Report, done: Report) -> None:
    """The same entries; numbers are compared where both know them."""
    assert [facts(entry) for entry in told.entries] == [facts(entry) for entry in done.entries]
    assert told.grade is done.grade
    for ours, theirs in zip(told.entries, done.entries, strict=True):
        numbers = {formula.name: formula.value for formula in theirs.formulas}
        assert {f.name for f in ours.formulas} >= set(numbers)
        for formula in ours.formulas:
            known = numbers.get(formula.name)
            assert not (formula.value and known) or formula.value == known, formula


def facts(entry: Entry) -> tuple[Any, ...]:
    return entry.place, entry.layer, entry.node, entry.grade, entry.notes, entry.ties


@given(nodes(), st.sampled_from([DT, DT, DT, DT / 10, DT * 1.5]), st.sampled_from([*CONVERTERS]))
def test_any_neuron(node: nir.NIRNode, dt: float, target: str) -> None:
    graph = single(node, SIZE)
    done = CONVERTERS[target].explain(graph, dt=dt)
    alike(nir_exchange.explain(graph, target, dt), done)
    imports = CONVERTERS[target].import_from_nir
    if done.grade is Grade.REFUSED:
        with pytest.raises(ImportRefused) as refused:
            imports(graph, dt=dt)
        alike(refused.value.report, done)  # type: ignore[arg-type]
    else:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of faint inputs
            alike(imports(graph, dt=dt).report, done)


ONES = np.ones(SIZE)
CHANNELS = np.ones((2, 1, 3, 3))
OTHERS: dict[str, tuple[nir.NIRNode, tuple[int, ...], tuple[int, ...]]] = {
    "affine": (nir.Affine(np.ones((2, 3)), np.zeros(2)), (3,), (2,)),
    "linear": (nir.Linear(np.ones((2, 3))), (3,), (2,)),
    "linear over rows": (nir.Linear(np.ones((4, 2, 3))), (4, 3), (4, 2)),
    "scale": (nir.Scale(ONES * 2), (3,), (3,)),
    "threshold": (nir.Threshold(ONES), (3,), (3,)),
    "conv1d": (nir.Conv1d(9, np.ones((2, 2, 3)), 1, 0, 1, 1, np.ones(2)), (2, 9), (2, 7)),
    "conv2d": (
        nir.Conv2d((8, 8), CHANNELS, (1, 1), (0, 0), (1, 1), 2, np.zeros(2)), (2, 8, 8), (2, 6, 6)
    ),
    "conv2d, same": (
        nir.Conv2d((8, 8), CHANNELS, 1, "same", 1, 2, np.zeros(2), metadata={"bias": False}),
        (2, 8, 8),
        (2, 8, 8),
    ),
    "conv2d, noted wrongly": (
        nir.Conv2d((8, 8), CHANNELS, 1, 0, 1, 2, np.ones(2), metadata={"bias": False}),
        (2, 8, 8),
        (2, 6, 6),
    ),
    "sum pool": (nir.SumPool2d(2, 2, 0), (2, 8, 8), (2, 4, 4)),
    "average pool": (nir.AvgPool2d(2, 2, 0), (2, 8, 8), (2, 4, 4)),
    "flatten": (nir.Flatten({"input": np.array([2, 3, 4])}, 1, -1), (2, 3, 4), (2, 12)),
}  # fmt: skip


def between(node: nir.NIRNode, arriving: tuple[int, ...], leaving: tuple[int, ...]) -> nir.NIRGraph:
    nodes = {
        "input": nir.Input(np.array(arriving)),
        "node": node,
        "output": nir.Output(np.array(leaving)),
    }
    return nir.NIRGraph(nodes, [("input", "node"), ("node", "output")], type_check=False)


@pytest.mark.parametrize("target", [*CONVERTERS])
@pytest.mark.parametrize("name", [*OTHERS])
def test_every_other_primitive(name: str, target: str) -> None:
    graph = between(*OTHERS[name])
    alike(nir_exchange.explain(graph, target, DT), CONVERTERS[target].explain(graph, dt=DT))


@pytest.mark.parametrize("target", [*CONVERTERS])
def test_a_graph_that_means_nothing(target: str) -> None:
    graph = between(nir.Scale(ONES), (4,), (4,))
    told = nir_exchange.explain(graph, target, DT)
    alike(told, CONVERTERS[target].explain(graph, dt=DT))
    assert told.grade is Grade.REFUSED


def test_nested_and_recurrent_graphs_by_their_nodes_names() -> None:
    lif = nir.LIF(tau=ONES * 10 * DT, r=ONES, v_leak=ONES * 0, v_threshold=ONES)
    inner = single(lif, SIZE)
    outer = nir.NIRGraph(
        {"in": nir.Input(np.array([SIZE])), "sub": inner, "w": nir.Linear(np.eye(SIZE)),
         "out": nir.Output(np.array([SIZE]))},
        [("in", "sub"), ("sub", "w"), ("w", "sub"), ("sub", "out")],
        type_check=False,
    )  # fmt: skip
    told = nir_exchange.explain(outer, "spikingjelly", DT)
    alike(told, spikingjelly.explain(outer, dt=DT))
    assert {entry.place for entry in told.entries} == {"sub.node", "w"}


def test_a_files_graph(tmp_path: Any) -> None:
    path = tmp_path / "graph.nir"
    nir.write(path, single(nir.IF(r=ONES / DT, v_threshold=ONES), SIZE))
    alike(nir_exchange.explain(path, "spikingjelly", DT), spikingjelly.explain(path, dt=DT))


def test_arguments_that_cant_be_meant() -> None:
    graph = single(nir.Scale(ONES), SIZE)
    with pytest.raises(InvalidArgument, match="did you mean `spikingjelly`"):
        nir_exchange.explain(graph, "spikingjely")
    with pytest.raises(InvalidArgument, match="positive finite"):
        nir_exchange.explain(graph, "spikingjelly", dt=0)
    with pytest.raises(InvalidArgument, match="is a int"):
        nir_exchange.explain(3, "spikingjelly")  # type: ignore[arg-type]


def test_neither_the_framework_nor_torch_is_needed() -> None:
    code = (
        "import sys; sys.modules.update(torch=None, spikingjelly=None);"
        "import nir, numpy as np, nir_exchange; from nir import NIRGraph, Input, Output;"
        "shape = np.array([1]); nodes = {'i': Input(shape), 'n': nir.IF(shape, shape),"
        "'o': Output(shape)}; graph = NIRGraph(nodes, [('i', 'n'), ('n', 'o')]);"
        "print(nir_exchange.explain(graph, 'spikingjelly', 1e-4))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert 'import with if_gain="per_step"' in " ".join(result.stdout.split())

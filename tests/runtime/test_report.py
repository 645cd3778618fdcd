"""Reports: what became of each layer and node, when someone looks."""

from __future__ import annotations

import copy
import gc
import json
import pickle
import warnings
import weakref
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
from spikingjelly.activation_based import layer, neuron
from torch import nn

from nir_exchange import reference, spikingjelly
from nir_runtime.contract.reference import LIF, Scale
from nir_runtime.errors import ExportRefused, ImportRefused, InvalidFile
from nir_runtime.reports.report import Entry, Formula, Grade, Report, report_of
from tests.nodes import single

ONES = np.ones(3)


def export(net: nn.Module, *shape: int, **options: Any) -> Report:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph = spikingjelly.export_to_nir(net.eval(), torch.zeros(2, *shape), **options)
    report: Report = graph.report
    return report


def entry(report: Report, place: str) -> Entry:
    (found,) = (entry for entry in report.entries if entry.place == place)
    return found


def said(entry: Entry) -> str:
    return " | ".join(entry.details)


# --- what an export's report says -----------------------------------------------------------


def test_the_formulas_that_applied_with_their_numbers() -> None:
    report = export(nn.Sequential(neuron.LIFNode(tau=10.0, decay_input=False)), 3, dt=1e-4)
    assert [str(formula) for formula in entry(report, "0").formulas] == [
        "tau = tau * dt = 0.001",
        "v_threshold = 1",
        "r = tau = 10",
        "v_leak = v_reset = 0",
        "v_reset = 0",
    ]
    report = export(nn.Sequential(neuron.LIFNode(tau=10.0, v_reset=None)), 3, dt=1e-4)
    assert [str(formula) for formula in entry(report, "0").formulas][2:] == [
        "r = 1",
        "v_leak = 0",
        "v_reset = 0",
    ]


def test_numbers_that_differ_between_neurons_are_a_range() -> None:
    net = Scale(torch.tensor([1.0, 2.0, 4.0]))
    graph = reference.export_to_nir(nn.Sequential(net), torch.zeros(2, 3))
    assert str(graph.report.entries[0].formulas[0]) == "scale = 1 to 4"


def test_what_was_folded_and_skipped_and_left_out() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.norm = layer.Conv2d(2, 3, 3), layer.BatchNorm2d(3)
            self.drop, self.unread = layer.Dropout(0.5), layer.AvgPool2d(2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            y = self.drop(self.norm(self.conv(x)))
            self.unread(y)
            return y

    report = export(Net(), 2, 8, 8)
    assert [e.place for e in report.entries] == ["conv", "unread", "drop"]
    assert "norm (spikingjelly.activation_based.layer.BatchNorm2d) is folded into it" in said(
        entry(report, "conv")
    )
    assert said(entry(report, "drop")) == (
        "skipped: it drops in training only, and NIR describes the trained network"
    )
    assert said(entry(report, "unread")) == "left out: no output needs it"
    assert report.grade is Grade.EXACT


def test_a_chain_of_nodes_is_an_entry_for_each() -> None:
    report = export(nn.Sequential(neuron.IFNode(), layer.MaxPool2d(2)), 1, 4, 4)
    pooled, fired = (e for e in report.entries if e.place == "1")
    assert (pooled.node, fired.node) == ("SumPool2d", "Threshold")
    assert "kernel_size = pair(kernel_size) = (2, 2)" in pooled.details
    assert fired.details == ("threshold = 0.5",)


def test_grades_and_ties() -> None:
    hard, soft = neuron.IFNode(), neuron.IFNode(v_reset=None)
    net = nn.Sequential(hard, soft, nn.Linear(3, 3))
    kept = export(net, 3)
    assert [e.graded for e in kept.entries] == [
        "exact but for ties",
        "annotated but for ties",
        "exact",
    ]
    assert "fires at v >= v_threshold" in said(entry(kept, "0"))
    assert 'ties="exact"' in said(entry(kept, "0"))
    assert kept.grade is Grade.ANNOTATED
    exact = export(net, 3, ties="exact", soft_reset="decompose")
    assert [e.graded for e in exact.entries] == ["exact", "exact", "exact"]
    assert "written in NIR's own primitives" in said(entry(exact, "1"))


def test_a_module_of_the_reference_fires_as_nir_does() -> None:
    lif = LIF(tau=1e-2, r=1.0, v_leak=0.0, v_threshold=1.0, dt=1e-3)
    report = export(nn.Sequential(lif), 3, dt=1e-3)
    assert report.entries[0].graded == "exact"
    assert report.entries[0].layer == "reference.LIF"


def test_a_refusal_tells_of_the_whole_network() -> None:
    net = nn.Sequential(nn.Linear(3, 3), nn.ReLU(), neuron.IFNode(), layer.SynapseFilter())
    with pytest.raises(ExportRefused) as refused:
        export(net, 3)
    report = refused.value.report
    assert report is not None
    assert {e.place: str(e.grade) for e in report.entries} == {
        "0": "exact",
        "1": "refused",
        "2": "exact",
        "3": "refused",
    }
    assert entry(report, "1").layer == "nn.ReLU"
    assert "NIR has no activation function" in said(entry(report, "1"))
    assert report.grade is Grade.REFUSED
    explained = spikingjelly.explain(net, torch.zeros(2, 3))
    assert explained.to_dict() == report.to_dict()


def test_a_layer_that_strict_refuses() -> None:
    with pytest.raises(ExportRefused) as refused:
        export(nn.Sequential(neuron.IFNode(v_reset=None)), 3, strict=True)
    report = refused.value.report
    assert report is not None
    assert [e.graded for e in report.entries] == ["refused"]


# --- what an import's report says -----------------------------------------------------------


def explain(node: nir.NIRNode, dt: float = 1e-3, **options: Any) -> Entry:
    (only,) = spikingjelly.explain(single(node, 3), dt=dt, **options).entries
    return only


def test_native_normalized_and_reference_layers() -> None:
    native = explain(nir.LIF(tau=ONES * 1e-2, r=ONES, v_leak=ONES * 0, v_threshold=ONES))
    assert [str(formula) for formula in native.formulas] == [
        "tau = tau / dt = 10",
        "v_threshold = 1",
        "decay_input = True",
        "v_reset = v_leak = 0",
    ]
    scaled = explain(nir.LIF(tau=ONES * 1e-2, r=ONES * 3, v_leak=ONES * 0, v_threshold=ONES))
    assert scaled.layer == "neuron.LIFNode"
    assert "gain = r / (v_threshold - v_reset) = 3" in scaled.details
    assert "behind a gain and a shift of its input: r is 3; neuron.LIFNode has" in said(scaled)
    tau = np.array([1e-2, 2e-2, 3e-2])
    varied = explain(nir.LIF(tau=tau, r=ONES, v_leak=ONES * 0, v_threshold=ONES))
    assert varied.layer == "reference.LIF"
    assert "tau = 0.01 to 0.03" in varied.details
    assert "computed by a module of the reference: tau differs between neurons" in said(varied)
    assert [e.graded for e in (native, scaled, varied)] == [
        "exact but for ties",
        "exact but for ties",
        "exact",
    ]


def test_traps() -> None:
    faint = nir.IF(r=ONES, v_threshold=ONES)
    assert "trap: an input of 1 moves it by 0.001" in said(explain(faint))
    assert 'import with if_gain="per_step"' in said(explain(faint))
    assert "trap" not in said(explain(faint, if_gain="per_step"))
    assert "trap" not in said(explain(nir.IF(r=ONES * 1e3, v_threshold=ONES)))
    long = explain(nir.LI(tau=ONES * 1e-3, r=ONES, v_leak=ONES * 0), dt=2e-3)
    assert "trap: dt / tau is 2; choose dt below 0.001" in said(long)
    steps = nir.LI(tau=ONES * 20, r=ONES, v_leak=ONES * 0)
    assert "trap: tau is 20 s; if the file means that many steps, import with dt=1" in said(
        explain(steps)
    )
    assert "trap" not in said(explain(steps, dt=1.0))


def test_a_threshold_of_the_metadata_counts_only_beside_the_nodes_own() -> None:
    """Someone who edits the threshold of a file need not know of our metadata."""
    below = np.nextafter(np.float32(1.0), np.float32(0.0))
    fields = {"r": ONES * 1e3, "metadata": {"fires_at": 1.0}}
    lowered = explain(nir.IF(v_threshold=ONES * below, **fields))
    assert lowered.graded == "exact"
    assert "v_threshold = 1" in lowered.details
    edited = explain(nir.IF(v_threshold=ONES * 0.5, **fields))
    assert edited.graded == "exact but for ties"
    assert "v_threshold = 0.5" in edited.details


def test_a_node_that_is_refused() -> None:
    lif = nir.LIF(tau=ONES * 1e-4, r=ONES, v_leak=ONES * 0, v_threshold=ONES)
    graph = single(lif, 3)
    report = spikingjelly.explain(graph, dt=1e-3)
    assert entry(report, "node").grade is Grade.REFUSED
    assert "choose dt below 0.0001" in said(entry(report, "node"))
    with pytest.raises(ImportRefused) as refused:
        spikingjelly.import_from_nir(graph, dt=1e-3)
    assert refused.value.report is not None
    assert refused.value.report.to_dict() == report.to_dict()


def test_a_graph_that_means_nothing_and_a_file_that_is_none(tmp_path: Path) -> None:
    report = spikingjelly.explain(single(nir.Scale(ONES), 4))
    assert report.grade is Grade.REFUSED
    path = tmp_path / "graph.nir"
    path.write_text("no HDF5")
    with pytest.raises(InvalidFile):
        spikingjelly.explain(path)


def test_explaining_warns_of_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spikingjelly.explain(nn.Sequential(neuron.IFNode(v_reset=None)), torch.zeros(2, 3))
        spikingjelly.explain(single(nir.IF(r=ONES, v_threshold=ONES), 3))


# --- what a report costs --------------------------------------------------------------------


def test_it_is_made_when_someone_looks() -> None:
    graph = spikingjelly.export_to_nir(nn.Sequential(neuron.IFNode()), torch.zeros(2, 3))
    module = spikingjelly.import_from_nir(graph)
    for report in (graph.report, module.report):
        assert "entries" not in vars(report)
        assert report.grade is Grade.EXACT
        assert "entries" in vars(report)


def test_a_modules_report_holds_on_to_no_weights() -> None:
    weight = np.ones((3, 3))
    held = weakref.ref(node := nir.Linear(weight))
    module = spikingjelly.import_from_nir(single(node, 3))
    del node
    gc.collect()
    assert held() is None
    assert module.report.entries[0].node == "Linear"


def test_it_survives_copies_and_pickles_and_is_in_no_file(tmp_path: Path) -> None:
    graph = spikingjelly.export_to_nir(nn.Sequential(neuron.IFNode()), torch.zeros(2, 3))
    module = spikingjelly.import_from_nir(graph)
    told = module.report.to_dict()
    assert copy.deepcopy(module).report.to_dict() == told
    assert pickle.loads(pickle.dumps(module)).report.to_dict() == told
    assert copy.deepcopy(graph).report.to_dict() == graph.report.to_dict()
    assert "report" not in graph.to_dict()
    nir.write(tmp_path / "graph.nir", graph)
    assert not hasattr(nir.read(tmp_path / "graph.nir"), "report")


# --- how it is shown ------------------------------------------------------------------------

SHOWN = report_of(
    "Example",
    "export",
    1e-4,
    (
        Entry("features.0", "nn.Linear", "Affine", Grade.EXACT),
        Entry(
            "1",
            "cells.Cell",
            "LIF",
            Grade.ANNOTATED,
            (Formula("tau", "tau * dt", "0.001"), Formula("r", "1")),
            ("a <note>",),
            ties=True,
        ),
    ),
)


def test_as_a_table() -> None:
    assert str(SHOWN) == (
        "Example -> NIR at dt = 0.0001: 1 exact, 1 annotated but for ties\n"
        "\n"
        "place       layer       node    grade\n"
        "features.0  nn.Linear   Affine  exact\n"
        "1           cells.Cell  LIF     annotated but for ties\n"
        "    tau = tau * dt = 0.001\n"
        "    r = 1\n"
        "    a <note>"
    )


def test_as_json() -> None:
    told = json.loads(SHOWN.to_json())
    assert told == SHOWN.to_dict()
    assert told["grade"] == "annotated"
    assert told["entries"][1] == {
        "place": "1",
        "layer": "cells.Cell",
        "node": "LIF",
        "grade": "annotated",
        "ties": True,
        "formulas": [
            {"name": "tau", "text": "tau * dt", "value": "0.001"},
            {"name": "r", "text": "1", "value": ""},
        ],
        "notes": ["a <note>"],
    }


def test_in_a_notebook() -> None:
    shown = SHOWN._repr_html_()
    assert "<td>annotated but for ties</td>" in shown
    assert "a &lt;note&gt;" in shown
    assert "<note>" not in shown


def test_of_nothing() -> None:
    empty = report_of("Example", "import", 1e-3, ())
    assert str(empty).startswith("NIR -> Example at dt = 0.001: nothing to convert")
    assert empty.grade is Grade.EXACT

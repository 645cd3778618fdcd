"""What reports and metadata say is so: formulas that applied, thresholds that were edited."""

from __future__ import annotations

import warnings
from typing import Any

import nir
import numpy as np
import pytest
import snntorch
import torch
from spikingjelly.activation_based import layer, neuron
from torch import nn

import nir_exchange
from nir_exchange import reference, spikingjelly
from nir_exchange import snntorch as snntorch_converter
from nir_runtime.errors import AnnotatedWarning, ExportRefused
from nir_runtime.exports import ties
from nir_runtime.reports.report import Report

DT, SIZE = 1e-4, 3

# --- formulas -------------------------------------------------------------------------------


def formulas(report: Report) -> list[list[str]]:
    return [[f.name for f in entry.formulas] for entry in report.entries]


@pytest.mark.parametrize(
    ("options", "fields"),
    [
        ({"reset_mechanism": "zero"}, [["tau", "r", "v_leak", "v_threshold", "v_reset"]]),
        ({"reset_mechanism": "none"}, [["tau", "r", "v_leak"], ["threshold"]]),
        ({"beta": 1.0, "reset_mechanism": "zero"}, [["r", "v_threshold", "v_reset"]]),
        ({"beta": 1.0, "reset_mechanism": "none"}, [["r"], ["threshold"]]),
        (
            {"reset_mechanism": "zero", "graded_spikes_factor": 2.0},
            [["tau", "r", "v_leak", "v_threshold", "v_reset"], ["scale"]],
        ),
    ],
)
def test_formulas_of_other_cases_are_not_told(options: Any, fields: list[list[str]]) -> None:
    """Each field once, wherever its condition stands in the table."""
    net = snntorch.Leaky(**{"beta": 0.9, "init_hidden": True, **options})
    assert formulas(snntorch_converter.explain(net, torch.rand(1, SIZE))) == fields


@pytest.mark.parametrize("reset_delay", [False, True])
@pytest.mark.parametrize("converter", [snntorch_converter, spikingjelly, reference])
def test_what_an_import_made_is_told_once(converter: Any, reset_delay: bool) -> None:
    net = snntorch.Leaky(0.9, init_hidden=True, reset_mechanism="zero", reset_delay=reset_delay)
    graph = snntorch_converter.export_to_nir(net, torch.rand(1, SIZE), dt=DT)
    report = converter.import_from_nir(graph, dt=DT).report
    for names in formulas(report):
        assert len(names) == len(set(names))
    if converter is snntorch_converter:
        (entry,) = report.entries
        told = {formula.name: formula.text for formula in entry.formulas}
        assert told["reset_delay"] == str(reset_delay)
    target = converter.__name__.rpartition(".")[2]
    assert formulas(nir_exchange.explain(graph, target, DT)) == formulas(report)


# --- thresholds -----------------------------------------------------------------------------


def lif(threshold: float, **metadata: Any) -> nir.NIRGraph:
    fields = {"tau": 1e-3, "r": 10.0, "v_leak": 0.0, "v_threshold": threshold, "v_reset": 0.0}
    arrays = {key: np.full(SIZE, value) for key, value in fields.items()}
    return nir.NIRGraph.from_list(nir.LIF(**arrays, metadata=metadata))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("threshold", [1.0, 0.3, 0.7, -0.25, 0.0, 1e-3, 123.456])
def test_a_lowered_threshold_is_known_in_each_precision(
    dtype: torch.dtype, threshold: float
) -> None:
    (node,) = (n for n in lif(threshold).nodes.values() if isinstance(n, nir.LIF))
    lowered = ties.lowered(node, dtype)
    assert ties.is_lowered(lowered)
    assert np.array_equal(ties.restored(lowered).v_threshold, node.v_threshold)


@pytest.mark.parametrize("edited", [0.999, 0.995, 0.9999999, 1.0, 1.0000001, 0.5, 2.0, -1.0])
def test_an_edited_threshold_is_what_counts(edited: float) -> None:
    """However little it was moved from what an export with `ties` had noted."""
    net = spikingjelly.import_from_nir(lif(edited, fires_at=1.0), dt=DT, dtype=torch.float64)
    (node,) = (m for m in net.modules() if isinstance(m, neuron.LIFNode))
    assert node.v_threshold == edited


@pytest.mark.parametrize(
    "told",
    [{}, {"a": 1}, [], [1, 2], [[1], [2, 3]], "x", None, object(), np.array([]), float("nan")],
)
def test_a_note_of_no_threshold_is_none(told: Any) -> None:
    graph = lif(1.0, fires_at=told)
    for converter in (spikingjelly, reference):
        converter.import_from_nir(graph, dt=DT)
    nir_exchange.explain(graph, "spikingjelly", DT)


# --- training mode --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "make", [nn.Dropout, nn.Dropout1d, nn.Dropout2d, layer.Dropout, layer.Dropout2d]
)
def test_dropout_in_training_mode_is_told(make: Any) -> None:
    net = nn.Sequential(neuron.IFNode(), make(0.5))
    x = torch.rand(2, 4, 8, 8) if make is not nn.Dropout1d else torch.rand(2, 4, 8)
    with pytest.warns(UserWarning, match=r"evaluation mode.*\n  1: it drops elements at random"):
        graph = spikingjelly.export_to_nir(net, x, dt=DT)
    assert "it is in training mode, in which it drops elements" in " ".join(
        str(graph.report).split()
    )
    with pytest.raises(ExportRefused, match=r"1: it is in training mode.*\n.*net\.eval\(\)"):
        spikingjelly.export_to_nir(net, x, dt=DT, strict=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        spikingjelly.export_to_nir(net.eval(), x, dt=DT, strict=True)
        none = nn.Sequential(neuron.IFNode(), make(0.0))
        spikingjelly.export_to_nir(none, x, dt=DT, strict=True)


def test_other_modes_are_as_they_were() -> None:
    net = nn.Sequential(nn.Identity(), neuron.IFNode(v_reset=None))
    with pytest.warns(AnnotatedWarning):
        spikingjelly.export_to_nir(net, torch.rand(1, SIZE), dt=DT)

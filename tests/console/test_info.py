"""`nir-exchange info`."""

from __future__ import annotations

import json
from pathlib import Path

import nir
import numpy as np
import pytest

from nir_runtime import files
from tests.console.conftest import Typed

SHOWN = """\
net.nir: written as by nir {version}, {size:,} bytes
says no dt: an import takes 0.0001

node    type    shape
input   Input   (3,)
dense   Affine  (3,) -> (2,)
    weight (2, 3) -1 to 4, bias 0.5
back    Scale   (2,)
    scale 3
    metadata why: recurrence
neuron  LIF     (2,)
    tau 0.01 to 0.02, r 1, v_leak 0, v_threshold 1, v_reset 0
output  Output  (2,)

5 nodes, 5 edges, 2 neurons, 6 weights
cycle: back, neuron; the previous step's value goes neuron -> back
metadata made: by hand
"""

ONE = """\
dense: Affine, (3,) -> (2,)

field   value    shape   type     mean and deviation
weight  -1 to 4  (2, 3)  float64  1.5, 1.71
bias    0.5      (2,)    float32

at /node/nodes/dense
from input; to neuron
6 weights

Affine (linear map with bias) computes
    y = weight @ x + bias

where
    weight: [..., out, in]
    bias: [..., out]
"""


@pytest.fixture(autouse=True)
def net(tmp_path: Path) -> None:
    """net.nir: five nodes, stored out of order, with a cycle."""
    ones = np.ones(2)
    tau = np.array([0.01, 0.02])
    back = nir.Scale(3 * ones)
    back.metadata["why"] = "recurrence"
    nodes = {
        "output": nir.Output(np.array([2])),
        "back": back,
        "neuron": nir.LIF(tau, r=ones, v_leak=0 * ones, v_threshold=ones, v_reset=0 * ones),
        "dense": nir.Affine(np.array([[-1.0, 0, 1], [2, 3, 4]]), np.full(2, 0.5, np.float32)),
        "input": nir.Input(np.array([3])),
    }
    edges = [("input", "dense"), ("dense", "neuron"), ("neuron", "output")]
    edges += [("neuron", "back"), ("back", "neuron")]
    graph = nir.NIRGraph(nodes, edges, metadata={"made": "by hand"}, type_check=False)
    files.write(tmp_path / "net.nir", graph)


def test_all(typed: Typed, tmp_path: Path) -> None:
    result = typed("info", "net.nir")
    size = (tmp_path / "net.nir").stat().st_size
    assert result.stdout == SHOWN.format(version=nir.version, size=size)
    assert (result.returncode, result.stderr) == (0, "")


def test_one_node(typed: Typed) -> None:
    assert typed("info", "net.nir", "--node", "dense").stdout == ONE


def test_json(typed: Typed) -> None:
    found = json.loads(typed("info", "net.nir", "--json").stdout)
    assert [node["name"] for node in found["nodes"]] == [
        *("input", "dense", "back", "neuron", "output")
    ]
    assert found["nodes"][1]["fields"]["weight"]["shape"] == [2, 3]
    assert found["cycles"] == [{"nodes": ["back", "neuron"], "delayed": [["neuron", "back"]]}]
    assert (found["neurons"], found["weights"]) == (2, 6)


def test_a_node_that_is_not_there(typed: Typed) -> None:
    result = typed("info", "net.nir", "--node", "densse")
    assert result.returncode == 2
    assert "there is no node 'densse'; did you mean 'dense'?" in result.stderr


def test_a_graph_that_means_nothing_is_shown_with_what_is_wrong(
    typed: Typed, tmp_path: Path
) -> None:
    nodes = {"in": nir.Input(np.array([3])), "out": nir.Output(np.array([2]))}
    graph = nir.NIRGraph(nodes, [("in", "out")], type_check=False)
    files.write(tmp_path / "wrong.nir", graph)
    result = typed("info", "wrong.nir")
    assert result.returncode == 1
    assert "in    Input   ?" in result.stdout
    assert "/node/nodes/out: its shape is (2,), and (3,) arrives" in result.stdout


def test_a_subgraph_is_no_node(typed: Typed, tmp_path: Path) -> None:
    shape = np.array([2])
    inner = nir.NIRGraph.from_list(nir.Scale(np.ones(2)))
    nodes = {"in": nir.Input(shape), "sub": inner, "out": nir.Output(shape)}
    graph = nir.NIRGraph(nodes, [("in", "sub"), ("sub", "out")], type_check=False)
    files.write(tmp_path / "nested.nir", graph)
    assert "subgraph sub: 3 nodes" in typed("info", "nested.nir").stdout
    result = typed("info", "nested.nir", "--node", "sub")
    assert result.returncode == 2
    assert "'sub' is a graph of 3 nodes, such as 'sub.input'" in result.stderr

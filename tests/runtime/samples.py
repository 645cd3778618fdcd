"""Graphs to write into files, and whether they come back."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import nir
import numpy as np


def neurons(*fields: str, shape: tuple[int, ...] = (6,)) -> dict[str, Any]:
    """A different array for each field."""
    return {name: np.full(shape, 0.5 + k) for k, name in enumerate(fields)}


MEMBRANE = ("tau", "r", "v_leak")
CUBA = ("tau_syn", "tau_mem", "r", "v_leak")
FIRING = ("v_threshold", "v_reset")

METADATA = {
    "text": "naïve",
    "whole": 3,
    "real": 0.5,
    "yes": True,
    "list": [1, 2],
    "words": ["a", "b"],
    "inner": {"deep": {"er": "x"}},
}


def all_kinds() -> nir.NIRGraph:
    """A chain of one node of every kind, a graph in it, and metadata."""
    rng = np.random.default_rng(0)
    inner = nir.NIRGraph(
        {"in": nir.Input(np.array([6])), "out": nir.Output(np.array([6]))},
        [("in", "out")],
        metadata={"name": "inner"},
    )
    chain: dict[str, nir.NIRNode] = {
        "input": nir.Input(np.array([4, 9, 12])),
        "conv2d": nir.Conv2d((9, 12), rng.random((6, 2, 3, 4)), 1, (1, 0), 1, 2, np.zeros(6)),
        "same": nir.Conv2d((9, 9), rng.random((6, 6, 3, 3)), 1, "same", 1, 1, np.zeros(6)),
        "sum": nir.SumPool2d(np.array([3, 3]), np.array([3, 3]), np.array([0, 0])),
        "avg": nir.AvgPool2d(np.array([3, 1]), np.array([1, 1]), np.array([0, 0])),
        "flat": nir.Flatten({"input": np.array([6, 1, 3])}, 1, 2),
        "conv1d": nir.Conv1d(3, rng.random((6, 6, 3)), 1, 0, 1, 1, np.zeros(6)),
        "flatter": nir.Flatten({"input": np.array([6, 1])}, 0, -1),
        "affine": nir.Affine(rng.random((6, 6), dtype=np.float32), np.zeros(6)),
        "linear": nir.Linear(rng.random((6, 6))),
        "scale": nir.Scale(np.ones(6)),
        "i": nir.I(**neurons("r")),
        "if.dot": nir.IF(**neurons("r", *FIRING)),
        "li": nir.LI(**neurons(*MEMBRANE)),
        "lif mit Leerzeichen ü": nir.LIF(**neurons(*MEMBRANE, *FIRING), metadata=METADATA),
        "cuba_li": nir.CubaLI(**neurons(*CUBA, "w_in")),
        "cuba_lif": nir.CubaLIF(**neurons(*CUBA, *FIRING, "w_in")),
        "threshold": nir.Threshold(np.ones(6)),
        "delay": nir.Delay(np.ones(6)),
        "sub": inner,
        "output": nir.Output(np.array([6])),
    }
    names = list(chain)
    edges = list(pairwise(names))
    return nir.NIRGraph(chain, edges, metadata={"made": "by hand"}, type_check=False)


def assert_same(a: Any, b: Any) -> None:
    """Equal in every field of every node."""
    assert type(a) is type(b)
    if isinstance(a, nir.NIRGraph):
        assert [tuple(edge) for edge in a.edges] == [tuple(edge) for edge in b.edges]
        assert a.nodes.keys() == b.nodes.keys()
        for name in a.nodes:
            assert_same(a.nodes[name], b.nodes[name])
    else:
        for name, value in a.to_dict().items():
            if name != "metadata":
                assert np.array_equal(value, b.to_dict()[name]), name
    np.testing.assert_equal(a.metadata, b.metadata)


def lif_graph() -> nir.NIRGraph:
    lif = nir.LIF(**neurons(*MEMBRANE, *FIRING, shape=(3,)))
    nodes = {"in": nir.Input(np.array([3])), "lif": lif, "out": nir.Output(np.array([3]))}
    return nir.NIRGraph(nodes, [("in", "lif"), ("lif", "out")])

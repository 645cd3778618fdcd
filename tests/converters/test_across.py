"""From each framework to each, through a file: the same numbers, or a stated refusal.

A graph comes into one framework, leaves it as a file, and comes into another. Both run 100 steps in
float64 from there. `UPDATE_README=1` writes the README's table anew.
"""

from __future__ import annotations

import itertools
import os
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import nir
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from nir_exchange import norse, reference, snntorch, spikingjelly
from nir_runtime.errors import ImportRefused
from tests.nodes import DT, neurons, single

README = Path(__file__).parents[2] / "README.md"
FRAMEWORKS: dict[str, ModuleType] = {
    "SpikingJelly": spikingjelly, "snnTorch": snntorch, "Norse": norse, "reference": reference,
}  # fmt: skip
STEPS, SIZE = 100, 4
Array = np.ndarray[Any, np.dtype[np.float64]]
Kind = Callable[[np.random.Generator], nir.NIRGraph]


# --- graphs ---------------------------------------------------------------------------------


def lif(source: np.random.Generator, shape: tuple[int, ...] = (SIZE,), **fields: Any) -> nir.LIF:
    """An LIF that fires now and then."""
    usual = {
        "tau": np.full(shape, 8 * DT), "r": np.full(shape, 3.0), "v_leak": np.zeros(shape),
        "v_threshold": np.full(shape, 0.7), "v_reset": np.zeros(shape),
    }  # fmt: skip
    return nir.LIF(**{**usual, **fields})


def varied(source: np.random.Generator, low: float, high: float) -> Array:
    return source.uniform(low, high, SIZE)


def affine(source: np.random.Generator, size: int = SIZE) -> nir.Affine:
    weight = source.normal(size=(size, size)) / np.sqrt(size) * 1.5
    return nir.Affine(weight, source.normal(size=size) * 0.2)


def chain(nodes: dict[str, nir.NIRNode], shape: tuple[int, ...] = (SIZE,)) -> nir.NIRGraph:
    """Nodes one behind the other."""
    whole = {"input": nir.Input({"input": np.array(shape)}), **nodes}
    whole["output"] = nir.Output({"output": None})
    names = list(whole)
    return nir.NIRGraph(whole, list(itertools.pairwise(names)), type_check=False)


def each_neuron_its_own(source: np.random.Generator) -> nir.NIRGraph:
    reset = varied(source, -0.2, 0.1)
    return single(
        lif(
            source, tau=varied(source, 3 * DT, 20 * DT), r=varied(source, 2, 4),
            v_leak=varied(source, -0.1, 0.1), v_threshold=varied(source, 0.4, 1), v_reset=reset,
        ),
        SIZE,
    )  # fmt: skip


def integrating(source: np.random.Generator) -> nir.NIRGraph:
    zeros, ones = np.zeros(SIZE), np.ones(SIZE)
    return single(nir.IF(r=ones / DT, v_threshold=varied(source, 0.5, 1.5), v_reset=zeros), SIZE)


def with_synapse(source: np.random.Generator) -> nir.NIRGraph:
    node = nir.CubaLIF(
        tau_syn=varied(source, 2 * DT, 8 * DT), tau_mem=varied(source, 3 * DT, 20 * DT),
        r=varied(source, 2, 4), v_leak=np.zeros(SIZE), v_threshold=varied(source, 0.3, 0.8),
        v_reset=np.zeros(SIZE), w_in=varied(source, 1, 3),
    )  # fmt: skip
    return single(node, SIZE)


def not_spiking(source: np.random.Generator) -> nir.NIRGraph:
    node = nir.LI(
        tau=varied(source, 3 * DT, 20 * DT), r=varied(source, 1, 3), v_leak=varied(source, -1, 1)
    )
    return single(node, SIZE)


def convolutional(source: np.random.Generator) -> nir.NIRGraph:
    weight = source.normal(size=(3, 2, 3, 3)) * 0.6
    conv = nir.Conv2d((6, 5), weight, (1, 1), (1, 1), (1, 1), 1, source.normal(size=3) * 0.1)
    pool = nir.SumPool2d(np.array([2, 2]), np.array([2, 2]), np.array([0, 0]))
    nodes = {
        "conv": conv, "lif": lif(source, (3, 6, 5)), "pool": pool,
        "flat": nir.Flatten({"input": np.array([3, 3, 2])}, 0, -1),
        "fc": affine(source, 18), "out": lif(source, (18,)),
    }  # fmt: skip
    return chain(nodes, (2, 6, 5))


def recurrent(source: np.random.Generator) -> nir.NIRGraph:
    graph = chain({"fc": affine(source), "lif": lif(source), "fc2": affine(source)})
    graph.nodes["back"] = nir.Linear(source.normal(size=(SIZE, SIZE)))
    graph.edges += [("lif", "back"), ("back", "lif")]
    return graph


def nested(source: np.random.Generator) -> nir.NIRGraph:
    loud = np.full(SIZE, 9.0)
    inner = chain({"fc": affine(source), "lif": lif(source, r=loud)})
    return chain({"first": lif(source), "block": inner, "last": lif(source, r=loud)})


def softly_reset(how: str) -> Kind:
    def graph(source: np.random.Generator) -> nir.NIRGraph:
        node = lif(source, r=np.full(SIZE, 8.0))  # r = tau/dt: what SpikingJelly and snnTorch have
        node.metadata["reset"] = how
        return single(node, SIZE)

    return graph


def too_fast(source: np.random.Generator) -> nir.NIRGraph:
    return single(lif(source, tau=np.full(SIZE, DT / 2)), SIZE)


KINDS: dict[str, Kind] = {
    "IF": integrating,
    "LIF": lambda source: single(lif(source), SIZE),
    "LIF, each neuron its own": each_neuron_its_own,
    "CubaLIF": with_synapse,
    "LI": not_spiking,
    "convolutional": convolutional,
    "recurrent": recurrent,
    "nested": nested,
    "reset by subtraction": softly_reset("subtract"),
    "the same, in the step after": softly_reset("subtract_next"),
    "tau below dt": too_fast,
}


# --- running --------------------------------------------------------------------------------


def outputs(module: nn.Module, x: torch.Tensor) -> Array:
    """What comes out over time; the state is handed on, as every framework's module allows."""
    state, out = None, []
    with torch.no_grad():
        for step in x:
            y, state = module(step, state)
            out.append(y)
    result: Array = torch.stack(out).numpy()
    return result


def data(graph: nir.NIRGraph, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = tuple(int(size) for size in graph.nodes["input"].input_type["input"])
    return torch.randn((STEPS, 2, *shape), generator=generator, dtype=torch.float64) * 1.2


def imported(framework: ModuleType, graph: nir.NIRGraph | Path) -> nn.Module:
    module: nn.Module = framework.import_from_nir(graph, dt=DT, dtype=torch.float64)
    return module


def through_a_file(framework: ModuleType, module: nn.Module, x: torch.Tensor, path: Path) -> Path:
    """The file that a framework's module is exported to."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        framework.export_to_nir(module, x[0], path, dt=DT)
    return path


def assert_the_same(actual: Array, expected: Array) -> None:
    """To nine digits; so spikes are equal."""
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-9)


# --- tests ----------------------------------------------------------------------------------


def becomes_of(kind: Kind, source: str, target: str, path: Path, seed: int = 0) -> str:
    """What becomes of a graph on its way: identical or refused; anything else fails."""
    graph = kind(np.random.default_rng(seed))
    x = data(graph, seed)
    try:
        there = imported(FRAMEWORKS[source], graph)
        file = through_a_file(FRAMEWORKS[source], there, x, path)
        here = imported(FRAMEWORKS[target], file)
    except ImportRefused as refused:
        return "refused" if refused.problems[0].advice else "refused without advice"
    expected = outputs(there, x)
    assert_the_same(outputs(imported(reference, graph), x), expected)
    assert_the_same(outputs(here, x), expected)
    assert np.unique(expected).size > 1, "nothing moved"
    return "identical"


def table(path: Path) -> Iterator[str]:
    """What becomes of each kind of graph, from any framework, in each."""
    yield "| from any of the four | " + " | ".join(f"to {name}" for name in FRAMEWORKS) + " |"
    yield "|---|" + "---|" * len(FRAMEWORKS)
    for name, kind in KINDS.items():
        cells = []
        for target in FRAMEWORKS:
            found = {source: becomes_of(kind, source, target, path) for source in FRAMEWORKS}
            cells.append(_cell(found))
        yield f"| {name} | {' | '.join(cells)} |"


def _cell(found: dict[str, str]) -> str:
    """What all sources have in common, and those that hold no such graph."""
    refusing = [source for source, result in found.items() if result == "refused"]
    if not refusing:
        return "identical"
    others = f"identical (not from {', '.join(refusing)})"
    return "refused" if len(refusing) == len(found) else others


def test_the_readme_s_table(tmp_path: Path) -> None:
    begin, end = "<!-- across: made by the tests -->\n", "<!-- end -->"
    text = README.read_text(encoding="utf-8")
    head, _, rest = text.partition(begin)
    held, _, tail = rest.partition(end)
    made = "\n".join(table(tmp_path / "graph.nir")) + "\n"
    if os.environ.get("UPDATE_README"):
        README.write_text(f"{head}{begin}{made}{end}{tail}", encoding="utf-8")
    else:
        assert held == made


@pytest.mark.parametrize("source", FRAMEWORKS)
@pytest.mark.parametrize("target", FRAMEWORKS)
@settings(max_examples=5)
@given(node=neurons(SIZE, loudest=4.0), seed=st.integers(0, 2**32 - 1))
def test_any_neuron(
    source: str, target: str, tmp_path_factory: pytest.TempPathFactory, node: Any, seed: int
) -> None:
    path = tmp_path_factory.mktemp("across") / "graph.nir"
    graph = single(node, SIZE)
    x = data(graph, seed)
    there = imported(FRAMEWORKS[source], graph)
    here = imported(FRAMEWORKS[target], through_a_file(FRAMEWORKS[source], there, x, path))
    assert_the_same(outputs(here, x), outputs(there, x))

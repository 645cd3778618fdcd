"""Files as older versions of nir and other tools wrote them mean what they say.

Written by nir itself, and changed to what such a file looks like: without the fields that came
later, with one number for all neurons, in other types. The contract's interpreter, which gets the
graph in full and in double precision, says what each means.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nir_exchange import reference, spikingjelly
from tests.interpreter import interpret
from tests.nodes import DT, SPIKING, any_graphs, every_level, inputs_for, neurons, single
from tests.whole import Array, assert_close, outputs

Change = Callable[[h5py.Group], None]
"""What is done to the group of a node."""

NEURONS = (nir.I, nir.IF, nir.LI, nir.LIF, nir.CubaLI, nir.CubaLIF)
LATER: dict[str, Any] = {"v_reset": 0.0, "w_in": 1.0, "input_shape": None}
"""Fields that older versions of nir had not, and what files without them mean."""

modes = st.sampled_from(["s", "m"])
seeds = st.integers(0, 2**32 - 1)
targets = pytest.mark.parametrize("target", [reference, spikingjelly])


def changed(path: Path, graph: nir.NIRGraph, change: Change) -> None:
    """Write a graph with nir, and change the group of each node."""
    nir.write(path, graph)
    with h5py.File(path, "r+") as file:
        for group in list(groups(file["node"])):
            change(group)


def groups(node: h5py.Group) -> Iterator[h5py.Group]:
    """The groups of all nodes in that of a graph."""
    for group in node["nodes"].values():
        yield group
        if "nodes" in group:
            yield from groups(group)


def replaced(group: h5py.Group, name: str, value: Any) -> None:
    """Store another value."""
    del group[name]
    group[name] = value


def assert_means(
    target: Any, change: Change, graph: nir.NIRGraph, mode: str, seed: int, dt: float = DT
) -> None:
    """The changed file is the graph, over 100 steps."""
    x = inputs_for(graph, 100, 2, seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "old.nir")
        changed(path, graph, change)
        module = target.import_from_nir(
            path, dt=dt, dtype=torch.float64, step_mode=mode, if_gain="as_written"
        )
    assert_close(outputs(module, graph, x, mode), interpret(graph, x, dt))


# --- fields that are missing ------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:an input of 1 moves")
@given(
    target=st.sampled_from([reference, spikingjelly]), graph=any_graphs(), mode=modes, seed=seeds
)
def test_fields_that_came_later(target: Any, graph: nir.NIRGraph, mode: str, seed: int) -> None:
    for node, name in floats(graph):
        if name in LATER:
            setattr(node, name, np.full_like(getattr(node, name), LATER[name]))

    def without(group: h5py.Group) -> None:
        for name in LATER.keys() & group.keys():
            del group[name]

    assert_means(target, without, graph, mode, seed)


# --- one number for all -----------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:an input of 1 moves")
@given(
    target=st.sampled_from([reference, spikingjelly]),
    shape=st.sampled_from([(), (1,)]),
    graph=any_graphs(),
    mode=modes,
    seed=seeds,
)
def test_one_number_for_all_neurons(
    target: Any, shape: tuple[int, ...], graph: nir.NIRGraph, mode: str, seed: int
) -> None:
    kinds = (*NEURONS, nir.Threshold, nir.Scale, nir.Delay)
    elementwise = {kind.__name__ for kind in kinds}

    def once(group: h5py.Group) -> None:
        if group["type"].asstr()[()] in elementwise:
            for name in group.keys() - {"type", "metadata"}:
                values = group[name][()]
                if np.all(values == values.flat[0]):
                    replaced(group, name, np.full(shape, values.flat[0]))

    assert_means(target, once, graph, mode, seed)


@targets
@pytest.mark.parametrize("shape", [(), (1,)], ids=str)
def test_a_chain_of_nothing_but_numbers(target: Any, shape: tuple[int, ...]) -> None:
    """The Input alone says how many neurons there are."""
    one = np.full((2, 3, 4), 1.0)
    graph = chain(
        nir.Scale(one * 2), nir.CubaLIF(one * 4e-3, one * 5e-3, one * 2, one * 0, one * 0.3),
        nir.Delay(one * 2e-3), nir.LI(one * 7e-3, one * 3, one * 0.1), nir.Threshold(one * 0.2),
        shape=one.shape,
    )  # fmt: skip

    def once(group: h5py.Group) -> None:
        for name in group.keys() - {"type", "shape"}:
            replaced(group, name, np.full(shape, group[name][()].flat[0]))

    assert_means(target, once, graph, "s", 0)


# --- other types ------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:an input of 1 moves")
@given(
    target=st.sampled_from([reference, spikingjelly]),
    kind=st.sampled_from([np.float16, np.float32]),
    graph=st.one_of(any_graphs(), neurons(5).map(lambda node: single(node, 5))),
    mixed=st.booleans(),
    mode=modes,
    seed=seeds,
)
def test_numbers_in_less_than_double_precision(
    target: Any, kind: Any, graph: nir.NIRGraph, mixed: bool, mode: str, seed: int
) -> None:
    """They are taken as they are, and not computed with in the precision that holds them."""
    source = np.random.default_rng(seed)
    stored = [held for held in floats(graph) if not mixed or source.random() < 0.5]
    for node, name in stored:
        setattr(node, name, getattr(node, name).astype(kind))
    x = inputs_for(graph, 100, 2, seed)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "old.nir")
        nir.write(path, graph)
        module = target.import_from_nir(path, dt=DT, dtype=torch.float64, step_mode=mode)
    for node, name in stored:
        setattr(node, name, getattr(node, name).astype(np.float64))
    assert_close(outputs(module, graph, x, mode), interpret(graph, x, DT))


@pytest.mark.filterwarnings("ignore:an input of 1 moves")
@pytest.mark.parametrize("kind", ["IF", "LIF"])
def test_what_is_computed_of_short_numbers_is_not_short(kind: str) -> None:
    """The gain in front of a layer: half precision would be wrong by a thousandth."""
    source = np.random.default_rng(0)
    reset, one = source.uniform(-0.5, 0.3, 5).astype(np.float16), np.ones(5, np.float16)
    r, threshold = (source.uniform(0.5, 1.5, 5).astype(np.float16) for _ in range(2))
    nodes = {"IF": nir.IF(r, threshold, reset),
             "LIF": nir.LIF(one * 5e-3, r, reset, threshold, reset)}  # fmt: skip
    module = spikingjelly.import_from_nir(single(nodes[kind], 5), dt=0.5e-3, dtype=torch.float64)
    r, threshold, reset = (values.astype(np.float64) for values in (r, threshold, reset))
    gain = (0.5e-3 if kind == "IF" else 1.0) * r / (threshold - reset)
    assert np.array_equal(module.get_submodule("node").gain.numpy(), gain)


@given(
    target=st.sampled_from([reference, spikingjelly]),
    kind=st.sampled_from(SPIKING),
    mode=modes,
    seed=seeds,
)
def test_whole_numbers(target: Any, kind: str, mode: str, seed: int) -> None:
    """Of seconds, volts and weights: at a step of a quarter second."""
    source = np.random.default_rng(seed)

    def some(low: int, high: int, *shape: int) -> Array:
        return source.integers(low, high, shape).astype(np.float64)

    fields = {"r": some(1, 5, 3), "v_threshold": some(2, 5, 3), "v_reset": some(-1, 2, 3)}
    if kind != "IF":
        fields["v_leak"] = some(-1, 2, 3)
    taus = {"LIF": ("tau",), "CubaLIF": ("tau_syn", "tau_mem")}.get(kind, ())
    fields |= {name: some(1, 5, 3) for name in taus}
    graph = chain(
        nir.Affine(some(-4, 5, 3, 4), some(-2, 3, 3)), getattr(nir, kind)(**fields),
        nir.Linear(some(-3, 4, 2, 3)), shape=(4,), output=(2,),
    )  # fmt: skip

    def whole(group: h5py.Group) -> None:
        for name in group.keys() - {"type", "shape"}:
            replaced(group, name, group[name][()].astype(np.int32))

    assert_means(target, whole, graph, mode, seed, dt=0.25)


@targets
def test_arrays_in_any_layout(target: Any) -> None:
    """Backwards, in the other order of bytes, and in Fortran's order."""
    source = np.random.default_rng(0)
    weight, bias = source.normal(size=(3, 4)), source.normal(size=3)
    tau, r, one = source.uniform(2e-3, 9e-3, 3), source.uniform(1, 3, 3), np.ones(3)
    x = {"input": source.normal(size=(100, 2, 4))}
    plain = chain(nir.Affine(weight, bias), nir.LIF(tau, r, one * 0, one), shape=(4,), output=(3,))
    odd = chain(
        nir.Affine(np.asfortranarray(weight), bias[::-1].copy()[::-1]),
        nir.LIF(tau.astype(">f8"), r[::-1].copy()[::-1], one * 0, one.astype(">f8")),
        shape=(4,),
        output=(3,),
    )
    module = target.import_from_nir(odd, dt=DT, dtype=torch.float64)
    assert_close(outputs(module, odd, x, "s"), interpret(plain, x, DT))


# --- double precision -------------------------------------------------------------------------


@given(target=st.sampled_from([reference, spikingjelly]), graph=any_graphs(), mode=modes)
def test_doubles_come_back_to_the_last_bit(target: Any, graph: nir.NIRGraph, mode: str) -> None:
    """Numbers that single precision can't hold survive an import and the export of it."""
    x = {n: torch.from_numpy(v) for n, v in inputs_for(graph, 2, 1, 0).items()}
    example = tuple(x[name] if mode == "m" else x[name][0] for name in sorted(x))
    module = target.import_from_nir(graph, dt=DT, dtype=torch.float64, step_mode=mode)
    again = target.export_to_nir(module, example, dt=DT)
    assert numbers(again) <= numbers(graph) | {0.0, 1.0}  # of nodes that sum, or send back


def numbers(graph: nir.NIRGraph) -> set[float]:
    """All numbers of the nodes that are no sizes."""
    return {number for node, name in floats(graph) for number in getattr(node, name).flat}


def floats(graph: nir.NIRGraph) -> list[tuple[Any, str]]:
    """The fields that hold such numbers, each with its node."""
    nodes = [node for level in every_level(graph) for node in level.nodes.values()]
    fields = ((node, name, value) for node in nodes for name, value in vars(node).items())
    arrays = [(node, name, v) for node, name, v in fields if isinstance(v, np.ndarray)]
    return [(node, name) for node, name, value in arrays if value.dtype.kind == "f"]


# --- what nir's own check refuses -------------------------------------------------------------


def convolved(weight: tuple[int, ...], groups: int, size: tuple[int, int]) -> nir.NIRGraph:
    """A convolution in front of neurons."""
    source = np.random.default_rng(1)
    out, channels, high, wide = weight
    spatial = (size[0] - high + 1, size[1] - wide + 1)
    one = np.ones((out, *spatial))
    return chain(
        nir.Conv2d(size, source.normal(size=weight), 1, 0, 1, groups, source.normal(size=out)),
        nir.LIF(one * 5e-3, one * 2, one * 0, one * 0.4),
        shape=(channels * groups, *size), output=one.shape,
    )  # fmt: skip


def into(shape: tuple[int, ...], output: tuple[int, ...]) -> nir.NIRGraph:
    """Neurons in front of an Output of another number of axes."""
    one = np.ones(shape)
    return chain(nir.LIF(one * 5e-3, one * 2, one * 0, one * 0.4), shape=shape, output=output)


REFUSED = {
    "grouped": lambda: convolved((4, 1, 3, 3), 2, (6, 6)),
    "rectangular": lambda: convolved((3, 2, 3, 5), 1, (10, 10)),
    "grouped and rectangular": lambda: convolved((4, 2, 2, 1), 2, (5, 4)),
    "output with more axes": lambda: into((1,), (1, 1, 1)),
    "output with fewer axes": lambda: into((1, 3), (3,)),
}


@targets
@pytest.mark.parametrize("mode", ["s", "m"])
@pytest.mark.parametrize("name", REFUSED)
def test_graphs_that_make_sense(target: Any, name: str, mode: str, tmp_path: Path) -> None:
    graph = REFUSED[name]()
    nir.write(tmp_path / "refused.nir", graph)
    with pytest.raises(ValueError, match=r"[Tt]ype"):
        nir.read(tmp_path / "refused.nir")
    assert_means(target, lambda group: None, graph, mode, 0)


def chain(
    *nodes: nir.NIRNode, shape: tuple[int, ...], output: tuple[int, ...] | None = None
) -> nir.NIRGraph:
    """Nodes one behind the other; the shape is the same at both ends, unless told."""
    named: dict[str, nir.NIRNode] = {"input": nir.Input({"input": np.array(shape)})}
    named |= {f"n{k}": node for k, node in enumerate(nodes)}
    named["output"] = nir.Output({"output": np.array(output or shape)})
    names = list(named)
    edges = list(itertools.pairwise(names))
    return nir.NIRGraph(named, edges, type_check=False)

"""A node goes back into the case that it came from, and no other case takes it: any mapping's.

`mappings/README.md` promises that. Here strangers' mappings annotate in all places where one can,
and the layers are run beside what becomes of their nodes.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
from torch import nn

import nir_exchange
from nir_exchange import reference, spikingjelly
from nir_runtime.errors import (
    AnnotatedWarning,
    ExportRefused,
    ImportRefused,
)
from tests.graphs import spikes

from . import cells
from .making import Making

DT, SIZE = 1e-4, 6

HEAD = """\
layer: cells.Fire
node: IF
step: |
  h = v + x - threshold if soft and late and v > threshold else v + x
  h = 0 if floor and h < 0 else h
  y = h > threshold
  v = h
  v = h - threshold if y and soft and not late else v
  v = 0 if y and not soft else v
state: {v: v}
start: {v: 0}
bind: {r: 1 / dt, v_threshold: threshold, v_reset: 0}
domain: {threshold: threshold > 0}
"""
ALWAYS = """\
layer: cells.Subtracting
node: IF
step: |
  h = v + x
  y = h > threshold
  v = h - threshold if y else h
state: {v: v}
start: {v: 0}
bind: {r: 1 / dt, v_threshold: threshold, v_reset: 0}
domain: {threshold: threshold > 0}
"""
NO_LATE = """\
reject:
  - {when: late, because: the example has no such layers, instead: use others}
fix: {floor: {to: false, because: the example has none, instead: use others}}
"""
FLOOR = "fix: {floor: {to: false, because: the example has none, instead: use others}}\n"

IN_ONE_CASE = f"""\
{ALWAYS}
cases:
  reset:
    - {{when: true, annotate: {{reset: subtract}}, because: NIR has no field for it}}
"""
AT_THE_TOP = f"""\
{ALWAYS}
annotate: {{reset: subtract}}
because: NIR has no field for it
"""
ONE_OF_TWO = f"""\
{HEAD}
cases:
  reset:
    - when: not soft
    - {{when: soft, annotate: {{reset: subtract}}, because: NIR has no field for it}}
{NO_LATE}ignore: {{late: "rejected, where it is one"}}
"""
ALL_OF_TWO = f"""\
{HEAD}
cases:
  reset:
    - {{when: soft and late, annotate: {{reset: subtract_next}}, because: NIR has no field for it}}
    - {{when: soft and not late, annotate: {{reset: subtract}}, because: NIR has no field for it}}
reject:
  - {{when: not soft, because: the example has no such layers, instead: use others}}
{FLOOR}
"""
ONLY_SOFT_COMES_BACK = f"""\
{HEAD}
cases:
  reset:
    - {{when: not soft, export_only: the example says so}}
    - {{when: soft, annotate: {{reset: subtract}}, because: NIR has no field for it}}
{NO_LATE}ignore: {{late: "rejected, where it is one"}}
"""
ONLY_HARD_COMES_BACK = f"""\
{HEAD}
cases:
  reset:
    - when: not soft
    - when: soft
      annotate: {{reset: subtract}}
      because: NIR has no field for it
      export_only: the example says so
{NO_LATE}ignore: {{late: "rejected, where it is one"}}
"""
MORE_KEYS = f"""\
{HEAD}
cases:
  reset:
    - when: not soft and not late
    - when: not soft and late
      remember: {{late: true}}
    - when: soft and not late
      annotate: {{reset: subtract}}
      because: NIR has no field for it
    - when: soft and late
      annotate: {{reset: subtract_next, late: true}}
      because: NIR has no field for it
{FLOOR}
"""
# What other frameworks don't know: a key of one's own, with a value of each kind.
OWN_KEY = f"""\
{HEAD}
cases:
  floor:
    - when: not floor
    - {{when: floor, annotate: {{floor: VALUE}}, because: NIR has no floor}}
  reset:
    - when: not soft
    - {{when: soft, annotate: {{reset: subtract}}, because: NIR has no field for it}}
reject:
  - {{when: late, because: the example has no such layers, instead: use others}}
ignore: {{late: "rejected, where it is one"}}
"""
# Two keys of which one case has both, in the order that would mislead.
SUBSET = f"""\
{HEAD}
cases:
  kind:
    - {{when: floor and not soft, annotate: {{floor: zero}}, because: NIR has no floor}}
    - when: floor and soft
      annotate: {{floor: zero, reset: subtract}}
      because: NIR has neither
    - {{when: not floor and soft, annotate: {{reset: subtract}}, because: NIR has no field for it}}
    - when: not floor and not soft
reject:
  - {{when: late, because: the example has no such layers, instead: use others}}
ignore: {{late: "rejected, where it is one"}}
"""
# One annotation, told apart by the node's numbers.
BY_NUMBERS = f"""\
{HEAD.replace("v_reset: 0", "v_reset: 0").replace("domain", "# the")}
cases:
  reset:
    - when: soft and threshold <= 2
      annotate: {{reset: subtract}}
      because: NIR has no field for it
    - when: soft and threshold > 2
      annotate: {{reset: subtract}}
      because: NIR has no field for it
    - when: not soft
domain: {{threshold: threshold > 0}}
reject:
  - {{when: late, because: the example has no such layers, instead: use others}}
ignore: {{late: "rejected, where it is one"}}
fix: {{floor: {{to: false, because: the example has none, instead: use others}}}}
"""
# The case names the node.
NAMES_THE_NODE = f"""\
{HEAD.replace("node: IF", "").replace("bind", "# bind")}
cases:
  reset:
    - when: not soft
      node: IF
      bind: {{r: 1 / dt, v_threshold: threshold, v_reset: 0}}
    - when: soft
      node: LIF
      bind: {{tau: dt, r: 1, v_leak: 0, v_threshold: threshold, v_reset: 0}}
      annotate: {{leaks: never}}
      because: the example says so
reject:
  - {{when: late, because: the example has no such layers, instead: use others}}
ignore: {{late: "rejected, where it is one"}}
fix: {{floor: {{to: false, because: the example has none, instead: use others}}}}
"""

SOFT, LATE = {"soft": True}, {"soft": True, "late": True}
LAYERS: dict[str, tuple[str, list[nn.Module]]] = {
    "in one case": (IN_ONE_CASE, [cells.Subtracting(0.5), cells.Subtracting(1.5)]),
    "at the top": (AT_THE_TOP, [cells.Subtracting(0.5)]),
    "one of two": (ONE_OF_TWO, [cells.Fire(0.5), cells.Fire(0.5, **SOFT)]),
    "all of two": (ALL_OF_TWO, [cells.Fire(0.5, **SOFT), cells.Fire(0.5, **LATE)]),
    "only soft comes back": (ONLY_SOFT_COMES_BACK, [cells.Fire(0.5, **SOFT)]),
    "only hard comes back": (ONLY_HARD_COMES_BACK, [cells.Fire(0.5)]),
    "more keys": (
        MORE_KEYS,
        [cells.Fire(0.5, soft=soft, late=late) for soft in (False, True) for late in (False, True)],
    ),
    **{
        f"own key, {value}": (
            OWN_KEY.replace("VALUE", value),
            [
                cells.Fire(0.5, soft=soft, floor=floor)
                for soft in (False, True)
                for floor in (False, True)
            ],
        )
        for value in ("zero", "1", "-2", "0.5", "true", "false", '"a b: ü"', "1e-7")
    },
    "subset": (
        SUBSET,
        [cells.Fire(0.5, soft=s, floor=f) for s in (False, True) for f in (False, True)],
    ),
    "by numbers": (
        BY_NUMBERS,
        [cells.Fire(0.5, **SOFT), cells.Fire(2.5, **SOFT), cells.Fire(0.5)],
    ),
}


def data() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return 2 * torch.randn(60, 2, SIZE, generator=generator, dtype=torch.float64) + 0.5


def export(converter: Any, layer: nn.Module, path: Path | None = None) -> nir.NIRGraph:
    for module in layer.modules():
        if isinstance(module, cells.Cell):
            module.reset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AnnotatedWarning)
        exported: nir.NIRGraph = converter.export_to_nir(layer, data()[0], path)
    return exported


def run(net: nn.Module) -> torch.Tensor:
    """The spikes of a network, which is reset afterwards."""
    given = spikes(net, data(), "s")
    for module in net.modules():
        if hasattr(module, "reset"):
            module.reset()
    return given


def neuron(graph: nir.NIRGraph) -> Any:
    (node,) = (n for n in graph.nodes.values() if isinstance(n, (nir.IF, nir.LIF)))
    return node


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_comes_back(name: str, maker: Making, tmp_path: Path) -> None:
    """As it was, from memory and from a file, and it runs as it did."""
    text, layers = LAYERS[name]
    converter = maker.converter({"fire": text})
    ran = []
    for layer in layers:
        graph = export(converter, layer, tmp_path / "cells.nir")
        for source in (graph, tmp_path / "cells.nir"):
            imported = converter.import_from_nir(source, dtype=torch.float64)
            (back,) = (m for m in imported.modules() if isinstance(m, cells.Fire))
            assert type(back) is type(layer)
            assert facts(back) == facts(layer)
            expected = run(layer)
            assert 0 < expected.sum() < expected.numel()
            assert torch.equal(run(imported), expected)
        ran.append((layer, expected))
    for (one, a), (other, b) in itertools.combinations(ran, 2):
        alike = {**facts(one), "late": False} == {**facts(other), "late": False}
        assert torch.equal(a, b) is alike  # nothing leaks: a late subtraction is none too late


def facts(layer: nn.Module) -> dict[str, Any]:
    return {key: value for key, value in vars(layer).items() if key in PARAMETERS}


PARAMETERS = ("threshold", "soft", "late", "floor")
METADATA: list[dict[str, Any]] = [
    {},
    {"reset": "subtract"},
    {"reset": "subtract_next"},
    {"reset": "subtract_carried"},
    {"reset": "sideways"},
    {"reset": "subtract_next", "late": True},
    {"reset": "subtract", "late": True},
    {"late": True},
    {"floor": "zero"},
    {"floor": "one"},
    {"floor": "zero", "reset": "subtract"},
    {"floor": "zero", "reset": "subtract_next"},
    {"floor": 1.0},
    {"floor": False},
    {"said": "by someone"},
]


def nodes() -> Iterator[nir.IF]:
    """What a stranger might have written."""
    for metadata, threshold, r in itertools.product(METADATA, (0.5, 2.5), (1 / DT, 2 / DT)):
        fields = {"r": r, "v_threshold": threshold, "v_reset": 0.0}
        arrays = {key: np.full(SIZE, value) for key, value in fields.items()}
        yield nir.IF(**arrays, metadata=dict(metadata))


FOLLOWED = ("subtract", "subtract_next", "subtract_carried")


@pytest.mark.parametrize("name", LAYERS)
def test_a_node_of_another_kind_is_not_taken(name: str, maker: Making) -> None:
    """Whatever comes of a stranger's node says the same again, and runs as the reference does."""
    text, layers = LAYERS[name]
    converter = maker.converter({"fire": text})
    own = [export(converter, layer) for layer in layers]
    keys = {key for graph in own for key in neuron(graph).metadata} - {"annotated"}
    for node in nodes():
        graph = nir.NIRGraph.from_list(node)
        told = {key: value for key, value in node.metadata.items() if key in keys | {"reset"}}
        try:
            imported = converter.import_from_nir(graph, dtype=torch.float64)
        except ImportRefused:
            assert told.get("reset", "subtract") not in FOLLOWED or set(told) - {"reset"}
            continue
        again = neuron(export(converter, imported))
        assert {k: v for k, v in again.metadata.items() if k in keys | {"reset"}} == told
        for field in ("r", "v_threshold", "v_reset"):
            assert np.array_equal(getattr(again, field), getattr(node, field)), (
                node.metadata,
                field,
            )
        if set(told) <= {"reset"}:
            alike = reference.import_from_nir(graph, dt=DT, dtype=torch.float64)
            assert torch.equal(run(imported), run(alike)), node.metadata


def test_the_annotation_is_written_where_the_case_names_the_node(maker: Making) -> None:
    converter = maker.converter({"fire": NAMES_THE_NODE})
    graph = export(converter, cells.Fire(0.5, soft=True))
    assert neuron(graph).metadata == {"leaks": "never", "annotated": "leaks"}
    imported = converter.import_from_nir(graph)
    assert any(isinstance(m, cells.Fire) and m.soft for m in imported.modules())
    del neuron(graph).metadata["leaks"], neuron(graph).metadata["annotated"]
    imported = converter.import_from_nir(graph)
    assert not any(isinstance(m, cells.Fire) for m in imported.modules())


# --- other readers --------------------------------------------------------------------------


def test_others_refuse_what_they_do_not_know(maker: Making, tmp_path: Path) -> None:
    """A reader that doesn't follow an annotation says so, and `check` does."""
    converter = maker.converter({"fire": OWN_KEY.replace("VALUE", "zero")})
    path = tmp_path / "floor.nir"
    with pytest.warns(AnnotatedWarning, match="NIR has no floor"):
        converter.export_to_nir(cells.Fire(0.5, floor=True), data()[0], path)
    with pytest.raises(ExportRefused, match="NIR has no floor"):
        converter.export_to_nir(cells.Fire(0.5, floor=True), data()[0], strict=True)
    with pytest.raises(ImportRefused, match="says what its fields don't: NIR has no floor"):
        converter.import_from_nir(path, strict=True)
    for other in (reference, spikingjelly):
        with pytest.raises(ImportRefused, match="metadata says more: floor"):
            other.import_from_nir(path, dt=DT)
    told = nir_exchange.explain(path, "spikingjelly", DT)
    assert any("metadata says more: floor" in note for e in told.entries for note in e.notes)


EXPORTED_ONLY = f"""\
{ALWAYS}
export_only: the example says so
annotate: {{floor: zero}}
because: NIR has no floor
"""
PLAIN = f"""\
{HEAD}
fix:
  soft: {{to: false, because: the example has none, instead: use others}}
  floor: {{to: false, because: the example has none, instead: use others}}
ignore: {{late: nothing is late}}
"""


@pytest.mark.parametrize("key", ["floor", "reset"])
def test_of_two_layers_with_one_node_the_plain_one_is_no_home_for_the_other(
    key: str, maker: Making
) -> None:
    """Written by an export, and by hand."""
    word = {"floor": "zero", "reset": "subtract"}[key]
    annotated = EXPORTED_ONLY.replace("floor: zero", f"{key}: {word}")
    converter = maker.converter({"fire": PLAIN, "subtracting": annotated})
    graph = export(converter, cells.Subtracting(0.5))
    by_hand = export(converter, cells.Fire(0.5))
    assert any(type(m) is cells.Fire for m in converter.import_from_nir(by_hand).modules())
    neuron(by_hand).metadata[key] = word
    for held in (graph, by_hand):
        if key == "reset":  # which the reference knows
            imported = converter.import_from_nir(held)
            assert not any(isinstance(m, cells.Fire) for m in imported.modules())
            continue
        with pytest.raises(ImportRefused, match=f"metadata says more: {key}"):
            converter.import_from_nir(held)


# --- what a case says of the numbers --------------------------------------------------------

GUARDED = f"""\
{HEAD}
cases:
  reset:
    - when: not soft
    - when: soft and threshold < THRESHOLD
      annotate: {{reset: subtract}}
      because: NIR has no field for it
reject:
  - {{when: late, because: the example has none, instead: use others}}
  - {{when: soft and threshold >= THRESHOLD, because: it is not known, instead: use a smaller one}}
ignore: {{late: "rejected, where it is one"}}
fix: {{floor: {{to: false, because: the example has none, instead: use others}}}}
"""


def test_an_annotation_does_not_bind_where_the_case_does_not_hold(maker: Making) -> None:
    converter = maker.converter({"fire": GUARDED.replace("THRESHOLD", "2")})
    below, above = (n for n in nodes() if n.metadata == {"reset": "subtract"} and n.r[0] == 1 / DT)
    for node, own in ((below, True), (above, False)):
        imported = converter.import_from_nir(nir.NIRGraph.from_list(node), dtype=torch.float64)
        assert any(isinstance(m, cells.Fire) for m in imported.modules()) is own
        alike = reference.import_from_nir(nir.NIRGraph.from_list(node), dt=DT, dtype=torch.float64)
        assert torch.equal(run(imported), run(alike))


def test_a_layer_outside_of_all_cases_is_told(maker: Making) -> None:
    """The numbers that formulas compare with are among those that are tried."""
    hard = ALWAYS.replace("v = h - threshold if", "v = 0 if")
    far = f"{hard}cases:\n  size:\n    - when: threshold < 1e9\n"
    assert "no case of `size` applies to threshold = 1e+09" in maker.problems({"fire": far})


# --- mappings that are refused --------------------------------------------------------------

NORMALIZE = """\
normalize:
  when: v_threshold > v_reset
  gain: dt * r
  shift: 0
  layer: {threshold: v_threshold - v_reset, soft: SOFT}
  start: {v: 0}
"""

PROBLEMS = {
    "a key of two choices": (
        f"{HEAD}cases:\n"
        "  a:\n    - when: not soft\n    - {when: soft, annotate: {k: 1}, because: x}\n"
        "  b:\n    - when: not late\n    - {when: late, annotate: {k: 2}, because: x}\n"
        + FLOOR,
        "`k` is noted by cases of `a` already",
    ),
    "a key that is no name": (
        AT_THE_TOP.replace("reset: subtract", "a key: subtract"),
        "`a key` can't be a key of the metadata",
    ),
    "a keyword": (
        AT_THE_TOP.replace("reset: subtract", "class: subtract"),
        "`class` can't be a key of the metadata",
    ),
    "a key of ours": (
        AT_THE_TOP.replace("reset: subtract", "fires_at: subtract"),
        "`fires_at` is taken",
    ),
    "a start": (
        AT_THE_TOP.replace("reset: subtract", "v_initial: 1"),
        "`v_initial` says where a state starts",
    ),
    "no value": (
        AT_THE_TOP.replace("reset: subtract", "reset: null"),
        "`reset` has no value that a file can hold",
    ),
    "nothing": (AT_THE_TOP.replace("reset: subtract", ""), "`annotate` says nothing"),
    "no reason": (AT_THE_TOP.replace("because:", "# "), "the file needs `because`"),
    "a reason for nothing": (
        AT_THE_TOP.replace("annotate:", "# "), "the file has no key `because`"
    ),
    "annotated and remembered": (
        IN_ONE_CASE.replace("annotate:", "remember: {reset: x}, annotate:"),
        "`reset` is annotated and remembered",
    ),
    "cases that nothing tells apart": (
        ALL_OF_TWO.replace("subtract_next", "subtract"),
        "an import does not undo the export: 2 cases of `reset` would take the node",
    ),
    "a normalized layer of an annotated case": (
        ONE_OF_TWO + NORMALIZE.replace("SOFT", "true"),
        "`normalize` makes a layer of the case `soft`, which is IF with reset='subtract', and not "
        "a plain IF",
    ),
    "a normalized layer where all is annotated": (
        AT_THE_TOP + NORMALIZE.replace(", soft: SOFT", ""),
        "`normalize` makes a layer of the case `True`, which is IF with reset='subtract'",
    ),
    "a parameter that no node tells": (
        f"{HEAD}cases:\n  reset:\n    - when: threshold > 1\n    - when: threshold <= 1\n"
        "ignore: {soft: x, floor: x}\nreject:\n"
        "  - {when: late and soft, because: x, instead: others}\n",
        "`late` of cells.Fire is not accounted for",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", PROBLEMS)
def test_refused(name: str, maker: Making) -> None:
    text, problem = PROBLEMS[name]
    assert problem in maker.problems({"fire": text})


def test_a_normalized_layer_of_a_plain_case(maker: Making) -> None:
    """It takes any node but one whose metadata says more."""
    converter = maker.converter({"fire": ONE_OF_TWO + NORMALIZE.replace("SOFT", "false")})
    for node in nodes():
        graph = nir.NIRGraph.from_list(node)
        try:
            alike = reference.import_from_nir(graph, dt=DT, dtype=torch.float64)
        except ImportRefused:
            continue
        imported = converter.import_from_nir(graph, dtype=torch.float64)
        assert torch.equal(run(imported), run(alike))

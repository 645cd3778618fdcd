"""Whatever graph it is, its picture shows all of it, and says no more."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import nir
import numpy as np
import pytest
from hypothesis import given, settings

import nir_exchange
from nir_runtime.contract import order, shapes
from nir_runtime.contract.nesting import thin_copy, without_ports
from nir_runtime.errors import DrawingFailed, InvalidArgument, InvalidGraph, PackageMissing
from nir_runtime.graphs.drawing import graphviz
from nir_runtime.graphs.drawing.composing import compose
from nir_runtime.graphs.drawing.drawing import FORMATS
from tests.drawing import networks
from tests.nodes import any_graphs
from tests.runtime.samples import all_kinds


@given(graph=any_graphs())
def test_every_node_and_edge_is_there_and_delayed_where_the_contract_cuts(
    graph: nir.NIRGraph,
) -> None:
    flat = without_ports(shapes.infer(thin_copy(graph)))
    plan = order.plan(flat)
    picture, nodes = compose(graph, 1000)
    keys = {f"n{number}": name for number, name in enumerate(plan.order)}
    assert nodes == len(flat.nodes)
    kinds = {keys[box.key]: box.kind for box in picture.whole.every_box()}
    assert kinds == {name: type(node).__name__ for name, node in flat.nodes.items()}
    drawn = {(keys[a.source], keys[a.target]): a.delayed for a in picture.arrows}
    assert drawn == {edge: edge in plan.delayed for edge in flat.edges}
    assert len(picture.arrows) == len(flat.edges)


@settings(max_examples=5)
@given(graph=any_graphs())
def test_any_graph_is_laid_out(graph: nir.NIRGraph) -> None:
    drawing = nir_exchange.draw(graph)
    root = ElementTree.fromstring(drawing.svg)
    edges = [g for g in root.iter() if g.get("class") == "edge"]
    assert len(edges) == len(drawing.picture.arrows)


def long_chain(blocks: int, weights: tuple[int, ...] = (3, 3)) -> nir.NIRGraph:
    """`Linear -> LIF` many times."""
    nodes: dict[str, nir.NIRNode] = {"input": nir.Input({"input": np.array([3])})}
    for number in range(blocks):
        nodes[f"fc{number}"] = nir.Linear(np.ones(weights))
        nodes[f"lif{number}"] = nir.LIF(
            tau=np.full(3, 1e-3 * (1 + number)),
            r=np.ones(3),
            v_leak=np.zeros(3),
            v_threshold=np.ones(3),
        )
    nodes["output"] = nir.Output({"output": np.array([3])})
    return nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False)


class TestRepetitions:
    def test_a_large_graph_is_drawn_with_what_repeats_once(self) -> None:
        drawing = nir_exchange.draw(long_chain(1000))
        assert (drawing.nodes, drawing.boxes) == (2002, 4)
        (frame,) = drawing.picture.whole.frames
        assert (frame.title, frame.repeated) == ("× 1000", True)
        linear, lif = frame.boxes
        assert (linear.kind, linear.name) == ("Linear", "fc0 … fc999")
        assert lif.lines == ("tau = 1 ms … 1 s", "v_threshold = 1")
        arrows = [(a.source, a.target) for a in drawing.picture.arrows]
        assert arrows == [("n0", "n1"), ("n1", "n2"), ("n2", "n3")]
        assert drawing.summary == "2002 nodes in 4 boxes: repetitions are drawn once"

    def test_a_small_one_is_drawn_node_by_node(self) -> None:
        drawing = nir_exchange.draw(long_chain(10))
        assert (drawing.nodes, drawing.boxes, drawing.picture.whole.frames) == (22, 22, ())
        assert drawing.summary == "22 nodes"

    def test_residual_blocks(self) -> None:
        drawing = nir_exchange.draw(networks.resnet())
        assert [f.title for f in drawing.picture.whole.frames] == ["× 3", "× 3", "× 5", "× 2"]
        assert drawing.boxes == 40

    def test_repetitions_of_repetitions(self) -> None:
        outer, classifier = nir_exchange.draw(networks.vgg(), most=10).picture.whole.frames
        assert (outer.title, classifier.title) == ("× 5", "× 2")
        assert [(inner.title, len(inner.boxes)) for inner in outer.frames] == [("× 2", 2)]

    def test_a_nested_graph_is_not_cut_in_two(self) -> None:
        inner = long_chain(2)
        nodes = {"in": nir.Input({"input": np.array([3])}), "sub": inner}
        nodes |= {"fc": nir.Linear(np.ones((3, 3))), "lif": inner.nodes["lif0"]}
        nodes["out"] = nir.Output({"output": np.array([3])})
        graph = nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False)
        (frame,) = nir_exchange.draw(graph, most=0).picture.whole.frames
        assert (frame.title, frame.repeated, frame.frames[0].title) == ("sub", False, "× 2")


def test_names_are_text_whatever_they_are() -> None:
    names = [
        '"]; a -> b [label="',
        "<b>&amp;</b>",
        "a\nb\x00\x1b[31m",
        "</script>",
        "🧠 ö",
        "\ud800",
    ]
    nodes: dict[str, nir.NIRNode] = {"input": nir.Input({"input": np.array([1])})}
    nodes |= {name: nir.Scale(np.ones(1)) for name in names}
    nodes["output"] = nir.Output({"output": np.array([1])})
    drawing = nir_exchange.draw(nir.NIRGraph(nodes, list(pairwise(nodes)), type_check=False))
    root = ElementTree.fromstring(drawing.svg)
    shown = " ".join(text.strip() for text in root.itertext())
    for text in (*names[:2], names[3], "🧠 ö"):
        assert text in shown
    assert len([g for g in root.iter() if g.get("class") == "edge"]) == len(nodes) - 1
    lines = drawing.mermaid.splitlines()
    assert len(lines) == 1 + len(nodes) + (len(nodes) - 1) + 2
    assert "<b>Scale</b> #34;#93;#59; a" in drawing.mermaid


class TestSaving:
    @pytest.mark.parametrize(
        ("suffix", "begins"),
        [
            (".svg", b"<svg"), (".png", b"\x89PNG"), (".pdf", b"%PDF"), (".html", b"<!doc"),
            (".mmd", b"flowchart LR"), (".dot", b"digraph"), (".SVG", b"<svg"),
        ],
    )  # fmt: skip
    def test_a_name_says_as_what(self, suffix: str, begins: bytes, tmp_path: Path) -> None:
        path = tmp_path / f"net{suffix}"
        nir_exchange.draw(networks.recurrent(), path, direction="right")
        assert path.read_bytes().startswith(begins)

    def test_all_formats_are_tested(self) -> None:
        assert set(FORMATS) == {".svg", ".png", ".pdf", ".html", ".mmd", ".dot"}

    def test_in_a_notebook(self) -> None:
        bundle = nir_exchange.draw(all_kinds())._repr_mimebundle_()
        assert bundle["image/svg+xml"].startswith("<svg")


class TestMistakes:
    def test_all_are_told_at_once(self, tmp_path: Path) -> None:
        with pytest.raises(InvalidArgument) as caught:
            nir_exchange.draw(3, "net.jpg", direction="up", most=-1)  # type: ignore[arg-type]
        assert [p.place for p in caught.value.problems] == ["graph", "direction", "most", "path"]
        with pytest.raises(InvalidArgument, match="there is no folder"):
            nir_exchange.draw(all_kinds(), tmp_path / "nowhere" / "net.svg")

    def test_a_graph_that_means_nothing(self) -> None:
        graph = networks.recurrent()
        graph.nodes["w_in"].weight = np.ones((32, 63))
        with pytest.raises(InvalidGraph, match="w_in"):
            nir_exchange.draw(graph)

    def test_without_graphviz(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setattr(graphviz.importlib.util, "find_spec", lambda name: None)
        monkeypatch.setattr(graphviz.shutil, "which", lambda name: None)
        drawing = nir_exchange.draw(networks.recurrent())
        with pytest.raises(PackageMissing, match=r'pip install "nir-exchange\[draw\]"'):
            drawing.save(tmp_path / "net.svg")
        assert list(tmp_path.iterdir()) == []
        assert drawing._repr_mimebundle_()["text/vnd.mermaid"] == drawing.mermaid
        drawing.save(tmp_path / "net.mmd")

    def test_graphviz_that_is_not_done_in_time(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(graphviz, "PATIENCE", 0.001)
        with pytest.raises(DrawingFailed, match="not done within"):
            _ = nir_exchange.draw(networks.recurrent()).svg

    def test_graphviz_that_gives_up(self) -> None:
        with pytest.raises(DrawingFailed, match="gave up"):
            graphviz.drawn("digraph {", "svg")


def test_drawing_a_file_needs_no_torch(tmp_path: Path) -> None:
    nir_exchange.write(tmp_path / "net.nir", all_kinds())
    code = "import sys, nir_exchange; nir_exchange.draw('net.nir', 'a.svg'); print(*sys.modules)"
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    assert "torch" not in done.stdout.split()
    assert (tmp_path / "a.svg").exists()

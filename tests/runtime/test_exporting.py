"""From a network to a graph: names, edges, shapes, arguments, what is said about the layers."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
from spikingjelly.activation_based import layer, neuron
from torch import Tensor, fx, nn

from nir_runtime import files
from nir_runtime.errors import AnnotatedWarning, ExportRefused, InvalidArgument
from nir_runtime.exports.exporting import export_network
from nir_runtime.sites import ExportOptions
from tests.runtime.hand_target import TARGET


def export(
    net: nn.Module,
    *shape: int,
    save_path: str | Path | None = None,
    dt: Any = 1e-4,
    strict: bool = False,
) -> nir.NIRGraph:
    """Like a generated export_to_nir: one call between the user and the runtime."""
    return export_network(TARGET, net, torch.rand(*shape), save_path, dt, strict=strict)


class Residual(nn.Module):
    """A join, a Flatten that is no layer, a name with a dot, and a result that nobody uses."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Sequential(layer.Conv2d(2, 2, 3, padding=1), neuron.LIFNode())
        self.unused = nn.Flatten()
        self.output = nn.Linear(32, 3)

    def forward(self, image: Tensor) -> Tensor:
        self.unused(self.unused(image))
        features = self.features(image) + image
        return self.output(features.flatten(1))


class TestGraph:
    def test_of_a_chain(self) -> None:
        net = nn.Sequential(layer.Conv2d(3, 4, 3, 1, 1), layer.Flatten(), nn.Linear(256, 10))
        graph = export(net, 2, 3, 8, 8)
        assert list(graph.nodes) == ["input_1", "_0", "_1", "_2", "output"]
        assert graph.edges == [("input_1", "_0"), ("_0", "_1"), ("_1", "_2"), ("_2", "output")]
        assert graph.input_type["input_1"].tolist() == [3, 8, 8]
        assert graph.output_type["output"].tolist() == [10]

    def test_names_are_those_of_torch_fx(self) -> None:
        class Leaves(fx.Tracer):
            def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
                return not isinstance(m, nn.Sequential)

        class Named(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                for name in ("a_1", "A", "x", "len", "output", "class_"):
                    self.add_module(name, nn.Linear(4, 4))
                self.a = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4)))

            def forward(self, x: Tensor) -> Tensor:
                for module in [*self.children(), *self.children()]:
                    x = module(x)
                return x

        net = Named()
        assert list(export(net, 1, 4).nodes) == [node.name for node in Leaves().trace(net).nodes]

    def test_of_a_residual_network(self) -> None:
        graph = export(Residual(), 1, 2, 4, 4)
        assert graph.edges == [
            ("image", "features_0"),
            ("features_0", "features_1"),
            ("features_1", "flatten"),
            ("image", "flatten"),
            ("flatten", "output"),
            ("output", "output_1"),
        ]
        assert "unused" not in graph.nodes

    def test_shapes_are_right_where_nir_s_own_are_wrong(self) -> None:
        graph = export(nn.Sequential(layer.Conv2d(4, 6, (3, 5), groups=2)), 1, 4, 10, 10)
        assert graph.nodes["_0"].input_type["input"].tolist() == [4, 10, 10]
        assert graph.nodes["_0"].output_type["output"].tolist() == [6, 8, 6]

    def test_of_a_network_that_is_a_layer(self) -> None:
        assert list(export(neuron.LIFNode(), 1, 4).nodes) == ["input_1", "lifnode", "output"]
        assert list(export(nn.Linear(4, 2), 1, 4).nodes) == ["input_1", "linear", "output"]

    def test_of_a_network_without_layers(self) -> None:
        assert export(nn.Sequential(), 1, 4).edges == [("input_1", "output")]

    def test_nir_accepts_it(self) -> None:
        graph = export(Residual(), 1, 2, 4, 4)
        nir.NIRGraph(graph.nodes, graph.edges, type_check=True)

    def test_parameters_that_make_no_sense_name_the_layer(self) -> None:
        net = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.Linear(4, 4)))
        nn.init.constant_(net[1][0].bias, float("nan"))
        with pytest.raises(ExportRefused, match=r"^1\.0: bias is NaN"):
            export(net, 1, 4)


class TestArguments:
    @pytest.mark.parametrize(
        "dt", [0, 0.0, -1e-4, float("nan"), float("inf"), "1e-4", True, 1j, np.ones(2)]
    )
    def test_dt_is_a_positive_finite_number(self, dt: Any) -> None:
        with pytest.raises(InvalidArgument, match="dt: is"):
            export(nn.Linear(4, 4), 1, 4, dt=dt)

    @pytest.mark.parametrize("dt", [1, 1e-3, np.float32(0.5), np.int64(2)])
    def test_any_kind_of_number_will_do(self, dt: Any) -> None:
        tau = export(neuron.LIFNode(tau=2.0), 1, 4, dt=dt).nodes["lifnode"].tau
        assert np.all(tau == 2 * float(dt))

    def test_the_network_is_a_module(self) -> None:
        with pytest.raises(InvalidArgument, match="net: is a function"):
            export(lambda x: x, 1, 4)

    def test_all_are_judged_at_once(self) -> None:
        with pytest.raises(InvalidArgument) as caught:
            export(None, 1, 4, dt=0, save_path="/nowhere/at/all.nir")
        assert [p.place for p in caught.value.problems] == ["net", "dt", "save_path"]

    @pytest.mark.parametrize("path", ["", "absent/net.nir", 3])
    def test_the_path_names_a_file_in_a_folder(self, path: Any, tmp_path: Path) -> None:
        path = str(tmp_path / path) if isinstance(path, str) else path
        with pytest.raises(InvalidArgument, match="save_path"):
            export(nn.Linear(4, 4), 1, 4, save_path=path)


class TestSaving:
    @pytest.mark.parametrize("kind", [str, Path])
    def test_writes_the_graph(self, kind: type, tmp_path: Path) -> None:
        path = tmp_path / "net.nir"
        graph = export(Residual(), 1, 2, 4, 4, save_path=kind(path))
        for read in (files.read(path), nir.read(path)):
            assert set(read.edges) == set(graph.edges)
            weight = read.nodes["features_0"].weight
            assert np.array_equal(weight, graph.nodes["features_0"].weight)

    def test_does_not_touch_the_file_of_a_refused_network(self, tmp_path: Path) -> None:
        path = tmp_path / "net.nir"
        path.write_text("old")
        with pytest.raises(ExportRefused):
            export(nn.Sequential(nn.ReLU()), 1, 4, save_path=path)
        assert path.read_text() == "old"


class TestAnnotations:
    net = nn.Sequential(
        neuron.LIFNode(v_reset=None), nn.Sequential(neuron.LIFNode(), neuron.LIFNode(v_reset=None))
    )

    def test_warn_once_at_the_user_s_call(self) -> None:
        with pytest.warns(AnnotatedWarning) as caught:
            graph = export(self.net, 1, 4)
        (warning,) = caught
        assert warning.filename == __file__
        assert warning.lineno > self.test_warn_once_at_the_user_s_call.__code__.co_firstlineno
        text = str(warning.message)
        assert "0: NIR has no reset by subtraction" in text
        assert "1.1: NIR has no reset by subtraction" in text
        assert "1.0" not in text
        assert graph.nodes["_0"].metadata == {"reset": "subtract"}

    def test_are_refused_where_strict(self) -> None:
        with pytest.raises(ExportRefused) as caught:
            export(self.net, 1, 4, strict=True)
        assert [problem.place for problem in caught.value.problems] == ["0", "1.1"]

    def test_exact_layers_are_exported_in_silence(self) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            export(self.net[1][:1], 1, 4, strict=True)


class TestHooks:
    def net(self, hook: Callable[..., Any]) -> nn.Sequential:
        net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
        net[1].register_forward_hook(hook)
        return net

    def test_one_that_looks_on_is_no_business_of_the_graph(self) -> None:
        seen: list[torch.Tensor] = []
        net = self.net(lambda module, x, y: seen.append(y))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            graph = export(net, 1, 4, strict=True)
        assert seen == []
        assert graph.report.grade.name == "EXACT"

    @pytest.mark.parametrize(
        ("hook", "word"),
        [
            (lambda module, x, y: y * 2, "changes what the module returns"),
            (lambda module, x, y: y.mul_(2), "writes into"),
            (lambda module, x, y: x[0].zero_(), "writes into"),
            (lambda module, x, y: (module.weight.data.zero_(), None)[1], "changes 1.weight"),
            (lambda module, x, y: y.nothing, "can't be tried"),
            (lambda module, x, y: setattr(module, "in_features", 3), "changes in_features"),
        ],
    )
    def test_one_that_changes_numbers_is_refused(self, hook: Any, word: str) -> None:
        net = self.net(hook)
        weight = net[1].weight.detach().clone()
        with pytest.raises(ExportRefused, match=word) as caught:
            export(net, 1, 4)
        assert caught.value.problems[0].place == "1"
        assert torch.equal(net[1].weight, weight)

    def test_at_the_caller_s_word_they_are_left_out(self) -> None:
        net = self.net(lambda module, x, y: y * 2)
        options = ExportOptions(hooks="ignore")
        x = torch.ones(1, 4)
        graph = export_network(TARGET, net, x, None, 1e-4, strict=False, options=options)
        assert "nobody looked" in str(graph.report)
        assert graph.report.grade.name == "APPROXIMATE"
        with pytest.raises(ExportRefused, match="nobody looked"):
            export_network(TARGET, net, x, None, 1e-4, strict=True, options=options)


def test_the_time_grows_as_the_network_does() -> None:
    """Counted in calls of Python functions: ten times the layers, ten times the calls."""
    import cProfile
    import pstats

    def calls(pairs: int) -> int:
        net = nn.Sequential(*(m for _ in range(pairs) for m in (nn.Linear(2, 2), neuron.LIFNode())))
        with cProfile.Profile() as profile:
            export(net, 1, 2)
        return int(pstats.Stats(profile).total_calls)

    calls(1)  # what is computed once and for all
    assert calls(500) <= 10.5 * calls(50)

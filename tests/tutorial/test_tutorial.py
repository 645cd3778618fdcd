"""The tutorial in mappings/README.md, typed as it stands, and the converter that comes of it."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import nir
import numpy as np
import pytest
import torch
from spikingjelly.activation_based import functional, layer, neuron
from torch import nn

import nir_exchange
from nir_exchange import reference, spikingjelly
from nir_runtime.errors import AnnotatedWarning, ExportRefused, ImportRefused
from nir_runtime.imports.normalized import Normalized
from nirgen.cli import main
from tests.graphs import assert_same_graph, spikes

HERE = Path(__file__).parent
MANUAL = (HERE.parents[1] / "mappings" / "README.md").read_text(encoding="utf-8")
SECTION = re.findall(r"^## Map a framework.*?(?=^## )", MANUAL, re.MULTILINE | re.DOTALL)[0]
REJECT = re.compile(r"^reject:\n(  .*\n)+", re.MULTILINE)
EXAMPLES = re.compile(r"^examples:\n(  .*\n)+", re.MULTILINE)
DT, STEPS = 1e-4, 100


def blocks(language: str) -> list[str]:
    """The section's code blocks of a language, in order."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
    return [text for name, text in fenced if name == language]


def files() -> dict[str, str]:
    """The files that the section shows, by their paths."""
    shown = (block.partition("\n") for block in blocks("yaml"))
    return {path.removeprefix("# "): text for path, _, text in shown}


# --- what is typed --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of one's own, far from this repository, with nothing in it but the framework."""
    path = tmp_path_factory.mktemp("own")
    (path / "pulse.py").write_bytes((HERE / "pulse.py").read_bytes())
    return path


def python(folder: Path, *arguments: str) -> str:
    """What Python prints in the folder, where it finds the framework; errors, too."""
    path = os.pathsep.join((".", os.environ.get("PYTHONPATH", "")))
    surroundings = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *arguments], cwd=folder, env=surroundings, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return done.stdout


@pytest.fixture(scope="module")
def package(folder: Path) -> Path:
    """The folder when the tutorial has been followed; each command printed what it should."""
    commands = map(_typed, blocks("console"))
    new, check, without_reject, wrong, signatures, generate, explain = commands
    for command, shown in (new, check):
        assert python(folder, *command) == shown
    written = files()
    framework, decay, dense = (f"mappings/pulse/{n}.yaml" for n in ("framework", "decay", "dense"))
    assert (folder / framework).read_text(encoding="utf-8") == written[framework]
    decided = written[framework].replace("# fires:", "fires:")
    (folder / framework).write_text(decided, encoding="utf-8")
    (folder / decay).write_text(REJECT.sub("", written[decay]), encoding="utf-8")
    assert python(folder, *without_reject[0]) == without_reject[1]
    mistaken = EXAMPLES.sub("", written[decay]).replace("tau: dt /", "tau: 1 /", 1)
    (folder / decay).write_text(mistaken, encoding="utf-8")
    assert python(folder, *wrong[0]) == wrong[1]
    (folder / decay).write_text(written[decay], encoding="utf-8")
    (folder / dense).write_text(written[dense], encoding="utf-8")
    for command, shown in (signatures, generate, explain):
        assert python(folder, *command) == shown
    return folder


def _typed(block: str) -> tuple[list[str], str]:
    """The arguments of `$ nirgen ...`, and what it prints."""
    command, _, shown = block.partition("\n")
    return ["-m", *command.split()[1:]], shown


def test_the_script_prints_what_is_shown(package: Path) -> None:
    (package / "script.py").write_text(blocks("python")[0], encoding="utf-8")
    assert python(package, "script.py") == blocks("")[0]


def test_the_folder_beside_this_test_is_the_one_shown(package: Path) -> None:
    held = {path.name: path.read_text() for path in (HERE / "mappings" / "pulse").iterdir()}
    assert held == {path.name: path.read_text() for path in (package / "mappings/pulse").iterdir()}


def test_the_package_is_current(
    package: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(package)
    assert main(["check", "--output", "pulse_nir"]) == 0
    assert capsys.readouterr().out == "pulse_nir is current\n"


# --- what is converted ----------------------------------------------------------------------


@pytest.fixture
def pulse(package: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The framework; `pulse_nir` can be imported, too."""
    monkeypatch.syspath_prepend(str(package))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    yield importlib.import_module("pulse")
    for name in [name for name in sys.modules if name.partition(".")[0] in ("pulse", "pulse_nir")]:
        del sys.modules[name]


@pytest.fixture
def converter(pulse: Any) -> ModuleType:
    return importlib.import_module("pulse_nir.pulse")


def data(*features: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return 3 * torch.rand(STEPS, 2, *features, generator=generator, dtype=torch.float64)


def assert_runs_alike(
    imported: nn.Module, x: torch.Tensor, expected: torch.Tensor, reset: Callable[[Any], None]
) -> None:
    """Spike for spike, and again after a reset."""
    assert 0 < expected.sum() < expected.numel()
    for _ in range(2):
        assert torch.equal(spikes(imported, x, "s"), expected)
        reset(imported)


@pytest.mark.parametrize("soft", [False, True])
@pytest.mark.parametrize("rate", [0.5, 100.0, 7e3])
def test_out_and_back(rate: float, soft: bool, pulse: Any, converter: Any) -> None:
    """A network, the reference of its graph, and what comes back; which gives the same graph."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Linear(6, 8), pulse.Decay(rate, 1.5, soft=soft), pulse.Dense(8, 4),
        pulse.Decay(20.0, 0.25),
    ).double()  # fmt: skip
    x = data(6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AnnotatedWarning)
        graph = converter.export_to_nir(net, x[0])
        imported = converter.import_from_nir(graph, dtype=torch.float64)
        again = converter.export_to_nir(imported, x[0])
    expected = spikes(net, x, "s")
    oracle = reference.import_from_nir(graph, dt=DT, dtype=torch.float64)
    assert torch.equal(spikes(oracle, x, "s"), expected)
    assert [type(imported.get_submodule(f"_{i}")) for i in range(4)] == [type(m) for m in net]
    assert_runs_alike(imported, x, expected, pulse.reset)
    assert_same_graph(graph, again)


def test_a_file_of_another_framework(
    pulse: Any, converter: Any, tmp_path: Path, package: Path
) -> None:
    """Layers of torch.nn, a neuron behind a gain, and a module of the reference."""
    torch.manual_seed(0)
    net = nn.Sequential(
        layer.Conv2d(1, 2, 3), neuron.LIFNode(2.5, v_reset=0.0), nn.AvgPool2d(2),
        layer.Flatten(), nn.Linear(8, 5), neuron.IFNode(),
    ).double()  # fmt: skip
    x = 2 * data(1, 6, 6)
    graph = spikingjelly.export_to_nir(net, x[0], tmp_path / "theirs.nir", dt=DT)
    imported = converter.import_from_nir(tmp_path / "theirs.nir", dtype=torch.float64)
    assert isinstance(imported._1, Normalized)
    assert isinstance(imported._1.neuron, pulse.Decay)
    assert isinstance(imported._5, converter.TARGET.cell)
    functional.reset_net(net)
    assert_runs_alike(imported, x, spikes(net, x, "s"), pulse.reset)
    assert_same_graph(converter.export_to_nir(imported, x[0]), graph)

    functional.reset_net(net)
    pulse_nir = importlib.import_module("pulse_nir")
    assert pulse_nir.verify(net, graph, x, run_in="pulse").agree


def test_what_is_refused(pulse: Any, converter: Any) -> None:
    with pytest.raises(ExportRefused, match="rate is -1, and the layer needs rate > 0"):
        converter.export_to_nir(nn.Sequential(pulse.Decay(-1.0)), torch.zeros(1, 3))
    with pytest.raises(ExportRefused, match="a step leaves less than"):
        converter.export_to_nir(nn.Sequential(pulse.Decay(2e5)), torch.zeros(1, 3))
    with pytest.raises(ExportRefused, match="step"):
        converter.export_to_nir(nn.Sequential(pulse.Decay(10.0)), torch.zeros(1, 3), dt=1e-3)


def test_a_neuron_that_forgets_all_in_a_step(pulse: Any, converter: Any) -> None:
    """The logarithm of 0 is a rate, if an infinite one; of what is below 0, there is none."""
    fields = {"r": 2.0, "v_leak": 0.0, "v_threshold": 1.0, "v_reset": 0.0}

    def lif(tau: float) -> nir.NIRGraph:
        parameters = {name: np.full(3, value) for name, value in fields.items()}
        return nir.NIRGraph.from_list(nir.LIF(tau=np.full(3, tau), **parameters))

    x = data(3)
    expected = spikes(reference.import_from_nir(lif(DT), dt=DT, dtype=torch.float64), x, "s")
    imported = converter.import_from_nir(lif(DT), dtype=torch.float64)
    assert_runs_alike(imported, x, expected, pulse.reset)
    with pytest.raises(ImportRefused, match=r"rate = nan, and pulse\.Decay needs rate > 0"):
        converter.import_from_nir(lif(DT / 2))


def test_what_it_builds_on_is_not_generated_again(converter: Any) -> None:
    """What it builds on and falls back to are the installed converters, not copies of them."""
    assert converter.reference is nir_exchange.reference
    assert converter.torch_nn is nir_exchange.torch_nn

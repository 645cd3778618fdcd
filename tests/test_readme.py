"""What the README shows is what happens."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import nir
import pytest
import torch

import nir_exchange
from nirgen.mapping import load_shipped
from nirgen.review import contract
from tests.graphs import assert_same_graph

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """The texts of the code blocks of a language, in order."""
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return [text for name, text in fenced if name == language]


def outputs() -> list[str]:
    return [block.rstrip("\n") for block in blocks("")]


@pytest.fixture
def scope(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    """The names that the first example leaves behind."""
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(blocks("python")[0], names)
    assert (tmp_path / "example.h5").exists()
    return names


def test_the_steps_are_those_of_the_mappings() -> None:
    assert contract.table(load_shipped().nodes) in README


def test_the_first_example(scope: dict[str, object]) -> None:
    assert tuple(scope["y"].shape) == (9, 10)  # type: ignore[attr-defined]
    assert set(scope["state"]) == {"_1", "_5"}  # type: ignore[call-overload]


@pytest.mark.parametrize("framework", ["norse", "snntorch"])
def test_another_framework(framework: str, scope: dict[str, object]) -> None:
    exec(next(block for block in blocks("python") if f"import {framework}" in block), scope)
    assert tuple(scope["y"].shape) == (1, 2)  # type: ignore[attr-defined]
    assert tuple(scope["y"].shape) == (1, 2)  # type: ignore[attr-defined]
    assert set(scope["state"]) == {"_1", "_3"}  # type: ignore[call-overload]


def test_the_options(scope: dict[str, object]) -> None:
    scope["x"] = scope["torch"].rand(8, 3, 32, 32)  # type: ignore[attr-defined]
    exec(blocks("python")[1], scope)


@pytest.mark.parametrize("number", [0, 1])
def test_the_errors(number: int, scope: dict[str, object]) -> None:
    shown = [text for text in outputs() if text.startswith("nir_runtime.errors")][number]
    with pytest.raises(Exception) as caught:  # noqa: PT011
        exec(blocks("python")[2 + number], scope)
    kind = type(caught.value)
    assert f"{kind.__module__}.{kind.__qualname__}: {caught.value}" == shown


def test_the_files(scope: dict[str, object], tmp_path: Path) -> None:
    exec(blocks("python")[4], scope)
    for name in ("example.h5", "small.h5"):
        read = nir.read(tmp_path / name)
        assert read.nodes["_1"].metadata["trained"] == "today"
        assert_same_graph(read, nir_exchange.read(tmp_path / name))


def test_what_differs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"nir_exchange": nir_exchange}
    torch.manual_seed(0)
    exec(blocks("python")[0], names)
    command, _, shown = next(b for b in blocks("console") if " verify " in b).partition("\n")
    assert typed(command[2:], tmp_path) == shown
    capsys.readouterr()
    exec(next(block for block in blocks("python") if "verify(" in block), names)
    assert capsys.readouterr().out.rstrip("\n") in outputs()


SESSIONS = [
    block
    for block in blocks("console")
    if block.startswith("$ nir-exchange") and " verify " not in block
]
"""Those of `nir-exchange` whose numbers don't depend on the weights."""


@pytest.mark.parametrize("number", range(len(SESSIONS)))
def test_the_command_line(number: int, scope: dict[str, object], tmp_path: Path) -> None:
    """Each command is typed into a shell; what it shows is what the README shows."""
    for command, shown in re.findall(
        r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", SESSIONS[number], re.MULTILINE
    ):
        assert masked(typed(command, cwd=tmp_path)) == masked(shown)


def test_what_is_drawn(scope: dict[str, object], tmp_path: Path) -> None:
    typed(next(block for block in SESSIONS if " draw " in block).split("\n")[0][2:], cwd=tmp_path)
    assert (tmp_path / "network.svg").exists()


def typed(command: str, cwd: Path) -> str:
    """What a command shows, its complaints included."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    result = subprocess.run(
        command,
        shell=True,
        cwd=cwd,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env={**os.environ, "PATH": path},
    )
    return result.stdout


def masked(text: str) -> str:
    """The text without the numbers of random weights, and the line breaks that depend on them."""
    unbroken = re.sub(r"\n {6,}", " ", text.rstrip())
    return re.sub(r"(weight \([\d, ]*\)|bias) \S+ to [^\s,]+", r"\1 ...", unbroken)


def test_the_speed() -> None:
    results = (ROOT / "tests" / "benchmarks" / "results.md").read_text(encoding="utf-8")
    section = README.partition("## Speed\n")[2].partition("\n## ")[0]
    table = [line for line in section.splitlines() if line.startswith("|")]
    assert len(table) > 5
    assert set(table) <= set(results.splitlines())


def test_the_mapping() -> None:
    path, _, text = blocks("yaml")[0].partition("\n")
    assert (ROOT / path.removeprefix("# ")).read_text(encoding="utf-8") == text


def test_the_parameter_that_is_forgotten(tmp_path: Path) -> None:
    folder = tmp_path / "mappings"
    shutil.copytree(ROOT / "mappings", folder)
    file = folder / "spikingjelly" / "voting_layer.yaml"
    file.write_text(file.read_text().replace("options: [step_mode]\n", ""))
    result = subprocess.run(
        [sys.executable, "-m", "nirgen", "generate", "--mappings", str(folder), "--output", "out"],
        cwd=tmp_path, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert result.stderr.rstrip("\n") in outputs()


def test_what_a_change_means(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "mappings", tmp_path / "mappings")
    for command in (
        ["init", "--quiet", "--initial-branch=main"],
        ["add", "."],
        ["-c", "user.name=x", "-c", "user.email=x@x", "commit", "--quiet", "-m", "x"],
    ):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    for file, old, new in (
        ("lif_node", "bind: {r: tau}", "bind: {r: tau - 1}"),
        ("lif_node", "tau: tau > 1", "tau: tau >= 1.5"),
        ("cuba_lif_node", "dt / (1 - c_decay)\n", "1 / ((1 - c_decay) / dt)\n"),
    ):
        path = tmp_path / "mappings" / "spikingjelly" / f"{file}.yaml"
        path.write_text(path.read_text().replace(old, new, 1))
    shown = nirgen("diff", "main", cwd=tmp_path)
    assert re.sub(r"\([0-9a-f]{7}\)", "(0000000)", shown).rstrip("\n") in outputs()


def test_a_mapping_explained() -> None:
    command, _, shown = next(b for b in blocks("console") if "explain" in b).partition("\n")
    assert nirgen(*command.split()[2:], cwd=ROOT) == shown


def nirgen(*arguments: str, cwd: Path) -> str:
    """What a command prints."""
    command = [sys.executable, "-m", "nirgen", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True).stdout


def test_every_link_leads_somewhere() -> None:
    for path in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / path).exists(), path

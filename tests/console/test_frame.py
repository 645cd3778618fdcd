"""What all subcommands have in common: help, mistakes, exit statuses, a quick start."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import time
from pathlib import Path

import h5py
import nir
import numpy as np
import pytest

from nir_runtime import files
from nir_runtime.console import complaints
from nir_runtime.console.main import COMMANDS
from tests.console.conftest import COMMAND, Typed, imported
from tests.nodes import single


def test_the_commands_are_listed(typed: Typed) -> None:
    result = typed("--help")
    assert result.returncode == 0
    places = [result.stdout.index(f"  {name:10}  {says}") for name, says in COMMANDS.items()]
    assert places == sorted(places)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help(name: str, typed: Typed) -> None:
    result = typed(name, "--help")
    assert result.returncode == 0
    assert f"nir-exchange {name}" in result.stdout
    assert "--json" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (["inf"], "Did you mean 'info'?"),
        (["info", "x.nir", "--jason"], "Did you mean '--json'?"),
        (["info"], "Missing argument 'FILE'"),
    ],
)
def test_mistakes_in_typing(arguments: list[str], meant: str, typed: Typed) -> None:
    result = typed(*arguments)
    assert result.returncode == 2
    assert meant in result.stderr
    assert result.stdout == ""


def test_a_file_without_a_command(typed: Typed, tmp_path: Path) -> None:
    (tmp_path / "model.nir").touch()
    result = typed("model.nir")
    assert result.returncode == 2
    assert "To look at a file: nir-exchange info model.nir" in result.stderr


def test_help_needs_neither_numpy_nor_a_subcommand() -> None:
    assert not {"numpy", "h5py", "yaml", "rich"} & imported("--help")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_subcommand_needs_no_torch(name: str) -> None:
    assert "torch" not in imported(name, "--help")


def test_what_reads_a_graph_needs_no_mappings(tmp_path: Path) -> None:
    files.write(tmp_path / "model.nir", single(nir.Scale(np.ones(3)), 3))
    assert not {"yaml", "jinja2", "rich", "torch"} & imported("info", str(tmp_path / "model.nir"))


def test_the_version(typed: Typed) -> None:
    assert typed("--version").stdout.startswith("nir-exchange, version ")


class TestFiles:
    """Mistakes in naming a file."""

    def test_one_that_is_not_there(self, typed: Typed, tmp_path: Path) -> None:
        (tmp_path / "model.nir").touch()
        result = typed("info", "modle.nir")
        assert result.returncode == 2
        assert result.stderr == (
            "nir-exchange info: modle.nir: there is no such file\n    did you mean model.nir?\n"
        )

    def test_a_folder_that_is_not_there(self, typed: Typed) -> None:
        result = typed("info", "nowhere/model.nir")
        assert result.returncode == 2
        assert "there is no folder nowhere" in result.stderr

    def test_a_folder(self, typed: Typed, tmp_path: Path) -> None:
        (tmp_path / "models").mkdir()
        (tmp_path / "models" / "a.nir").touch()
        result = typed("info", "models")
        assert result.returncode == 2
        assert "is a folder, not a file\n    did you mean models/a.nir?" in result.stderr

    def test_one_that_is_no_hdf5(self, typed: Typed, tmp_path: Path) -> None:
        (tmp_path / "model.nir").write_text("weights")
        result = typed("info", "model.nir")
        assert result.returncode == 2
        assert "model.nir: is not an HDF5 file, or damaged" in result.stderr
        assert "Traceback" not in result.stderr
        assert "Traceback" in typed("info", "model.nir", "--debug").stderr

    @pytest.mark.parametrize(
        ("content", "told"),
        [
            (b"", "it is empty"),
            (b"PK\x03\x04....", "a file of torch.save or a zip: export the network into NIR first"),
            (b"{}", "it begins like JSON"),
            (b"version https://git-lfs.github.com/spec/v1", "`git lfs pull` brings the file"),
        ],
    )
    def test_what_it_is_instead(
        self, content: bytes, told: str, typed: Typed, tmp_path: Path
    ) -> None:
        (tmp_path / "model.nir").write_bytes(content)
        result = typed("info", "model.nir")
        assert result.returncode == 2
        assert told in result.stderr

    def test_one_that_is_damaged(self, typed: Typed, tmp_path: Path) -> None:
        files.write(tmp_path / "model.nir", single(nir.Scale(np.arange(1000.0)), 1000))
        whole = (tmp_path / "model.nir").read_bytes()
        (tmp_path / "model.nir").write_bytes(whole[: len(whole) // 2])
        result = typed("info", "model.nir")
        assert result.returncode == 2
        assert "an HDF5 file of which the rest is damaged" in result.stderr

    def test_one_that_may_not_be_read(self) -> None:
        """The system's own error, since a test that runs as root may read everything."""
        error = PermissionError(errno.EACCES, os.strerror(errno.EACCES), "model.nir")
        told = complaints.complaint(error, at_length=False)
        assert told == complaints.Complaint("model.nir: permission denied", 2)

    def test_hdf5_without_a_graph(self, typed: Typed, tmp_path: Path) -> None:
        with h5py.File(tmp_path / "model.nir", "w") as file:
            file["weights"] = np.ones(3)
        result = typed("info", "model.nir")
        assert result.returncode == 2
        assert "/node: is missing, or not a group: this is no NIR file" in result.stderr


def test_many_problems_are_one_screen(typed: Typed, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "model.nir", "w") as file:
        file["node/type"], file["node/edges"] = "NIRGraph", np.empty((0, 2))
        for number in range(50):
            file[f"node/nodes/n{number}/type"] = "Perceptron"
    short, long = (typed("info", "model.nir", *more).stderr for more in ((), ("--debug",)))
    assert len(short.splitlines()) < 40
    assert "and 40 more; --debug shows all" in short
    assert "/node/nodes/n49/type" in long


def test_a_mistake_of_ours() -> None:
    told = complaints.complaint(RuntimeError("lost"), at_length=False)
    assert told == complaints.Complaint(
        "a mistake of ours: RuntimeError: lost\n    --debug shows where", 3
    )


def test_a_pipe_is_no_file_and_nobody_waits_for_it(typed: Typed, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "/dev/null"):
        result = typed("info", name)
        assert result.returncode == 2
        assert "give the path of a regular file" in result.stderr


def test_an_interrupt(tmp_path: Path) -> None:
    ones = np.ones(3)
    files.write(tmp_path / "net.nir", single(nir.LIF(ones, ones, ones * 0, ones), 3))

    def listen() -> None:
        """A shell that runs the tests in its background has them ignore interrupts."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    command = [str(COMMAND), "verify", "net.nir", "net.nir", "--in", "reference"]
    command += ["--dt", "1e-4", "--steps", "1000000"]
    process = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, preexec_fn=listen
    )
    try:
        time.sleep(4)
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130
    assert told.strip() == "nir-exchange: interrupted"

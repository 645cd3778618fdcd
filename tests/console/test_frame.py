"""What all subcommands have in common: help, mistakes, exit statuses, a quick start."""

from __future__ import annotations

from pathlib import Path

import pytest

from nirgen.console.main import COMMANDS
from tests.console.conftest import Typed, imported


def test_the_commands_are_listed(typed: Typed) -> None:
    result = typed("--help")
    assert result.returncode == 0
    assert all(name in result.stdout and says in result.stdout for name, says in COMMANDS.items())


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


def test_help_needs_neither_numpy_nor_a_subcommand() -> None:
    assert not {"numpy", "h5py", "yaml", "rich"} & imported("--help")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_subcommand_needs_no_torch(name: str) -> None:
    assert "torch" not in imported(name, "--help")


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

"""`nirgen diff` as a user types it, on a real history of git."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nirgen.cli import main

from .test_pairs import PAIRS

Git = Callable[..., str]
LI = "mappings/example/li.yaml"


@pytest.fixture
def git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Git:
    """A checkout with a commit on `main`; runs git in it."""
    monkeypatch.chdir(tmp_path)
    for variable in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"):
        monkeypatch.delenv(variable, raising=False)
    shutil.copytree(PAIRS / "common", "mappings")
    shutil.copytree(PAIRS / "formula" / "old", "mappings", dirs_exist_ok=True)

    def run(*arguments: str) -> str:
        who = ("-c", "user.name=Test", "-c", "user.email=test@example.org")
        command = ["git", *who, "-c", "commit.gpgsign=false", *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    run("init", "-q", "-b", "main")
    commit(run)
    return run


def commit(git: Git) -> None:
    git("add", "-A")
    git("commit", "-q", "-m", "mappings")


def edit(file: str, old: str, new: str) -> None:
    text = Path(file).read_text(encoding="utf-8")
    assert old in text
    Path(file).write_text(text.replace(old, new, 1), encoding="utf-8")


def test_the_last_commit_against_the_working_tree(
    git: Git, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff"]) == 0
    head = git("rev-parse", "--short=7", "HEAD")
    assert capsys.readouterr().out == f"HEAD ({head}) -> the working tree: nothing changed\n"
    edit(LI, "tau: tau * dt", "tau: tau * dt * 1000")
    assert main(["diff"]) == 0
    assert capsys.readouterr().out == (
        f"HEAD ({head}) -> the working tree: 1 change, nothing is lost\n"
        "\n"
        "example: cells.LI <-> LI  (example/li.yaml)\n"
        "  ~ node.tau  tau * dt -> tau * dt * 1000\n"
        "                1000 times as much, on all 400 samples\n"
    )


def test_two_revisions_whatever_is_in_the_working_tree(
    git: Git, capsys: pytest.CaptureFixture[str]
) -> None:
    git("checkout", "-q", "-b", "topic")
    edit(LI, "tau: tau >= 1", "tau: tau > 2")
    commit(git)
    Path(LI).write_text("not: a mapping\n", encoding="utf-8")
    assert main(["diff", "main", "topic", "--format", "json"]) == 0
    (subject,) = json.loads(capsys.readouterr().out)["subjects"]
    (change,) = subject["changes"]
    assert (change["old"], change["new"]) == (["tau >= 1"], ["tau > 2"])
    assert change["loss"]


def test_a_layer_that_is_renamed_back_and_forth(
    git: Git, capsys: pytest.CaptureFixture[str]
) -> None:
    git("mv", LI, "mappings/example/leaky.yaml")
    commit(git)
    assert main(["diff", "HEAD~1", "HEAD"]) == 0
    assert "nothing changed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "status"),
    [
        ("tau: tau * dt", "tau: tau * dt * 1000", 0),  # other numbers are no loss of support
        ("tau: tau >= 1", "tau: tau > 2", 1),
        ("state:", "export_only: by hand\nstate:", 1),
        ("tau: tau * dt", "tau: tau * tau * dt", 1),  # no converter can be generated
        ("state:", "stat:", 2),  # nobody can read it
    ],
)
def test_exit_status(
    old: str, new: str, status: int, git: Git, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(LI, old, new)
    assert main(["diff", "--fail-on-loss"]) == status
    assert "Traceback" not in capsys.readouterr().err
    assert main(["diff"]) == (2 if status == 2 else 0)


def test_a_side_that_is_broken_shows_its_problems(
    git: Git, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(LI, "domain:", "domian:")
    commit(git)
    edit(LI, "domian:", "domain:")
    assert main(["diff"]) == 2
    assert "mappings/example/li.yaml:7:1: the file has no key `domian`" in capsys.readouterr().out


def test_a_problem_that_is_mended(git: Git, capsys: pytest.CaptureFixture[str]) -> None:
    edit(LI, "ignore: {learn: whether tau is learned}\n", "")
    commit(git)
    git("checkout", "-q", "HEAD~1", "--", LI)
    assert main(["diff", "--fail-on-loss"]) == 0
    assert "No longer a problem:\n  mappings/example/li.yaml:1:1" in capsys.readouterr().out


def test_a_folder_below_the_top(git: Git, capsys: pytest.CaptureFixture[str]) -> None:
    Path("deep").mkdir()
    git("mv", "mappings", "deep/ones")
    commit(git)
    edit("deep/ones/example/li.yaml", "r: gain", "r: gain * 2")
    assert main(["diff", "--mappings", "deep/ones"]) == 0
    assert "2 times as much, on all 400 samples" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mian"], "git knows no revision `mian`\n    did you mean `main`?\n"),
        (["--mappings", "maps"], "`HEAD` has no folder maps\n    name one with --mappings DIR\n"),
        (["HEAD", "--from", "mappings"], "name a folder or a revision for one side, not both\n"),
        (["--from", "nowhere"], "there is no folder nowhere\n"),
    ],
)
def test_mistakes(
    arguments: list[str], message: str, git: Git, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["diff", *arguments]) == 2
    assert capsys.readouterr().err == f"nirgen diff: {message}"


def test_outside_of_git(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    shutil.copytree(PAIRS / "common", "mappings")
    assert main(["diff"]) == 2
    assert capsys.readouterr().err == (
        f"nirgen diff: {tmp_path} is no git checkout\n"
        "    compare two folders with --from DIR --to DIR\n"
    )


def test_without_git(git: Git, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["diff"]) == 2


def test_two_folders_need_no_git(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for side in ("old", "new"):
        shutil.copytree(PAIRS / "common", tmp_path / side)
        shutil.copytree(PAIRS / "rejected" / side, tmp_path / side, dirs_exist_ok=True)
    folders = ["--from", str(tmp_path / "old"), "--to", str(tmp_path / "new")]
    assert main(["diff", *folders, "--fail-on-loss"]) == 1
    assert "size == 0 -> size <= 0" in capsys.readouterr().out


def test_neither_torch_nor_a_framework_is_imported() -> None:
    code = (
        "import sys; from nirgen.cli import main;"
        "main(['diff']); main(['explain', 'spikingjelly']);"
        "heavy = {'torch', 'numpy', 'nir', 'h5py', 'spikingjelly'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    root = Path(__file__).parents[2]
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr


def test_the_committed_mappings_in_another_folder_are_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing is said of what is as it was, even where the files' paths tell them apart."""
    mappings = Path(__file__).parents[2] / "mappings"
    shutil.copytree(mappings, tmp_path / "copy")
    assert main(["diff", "--from", str(mappings), "--to", str(tmp_path / "copy")]) == 0
    assert capsys.readouterr().out.endswith(": nothing changed\n")

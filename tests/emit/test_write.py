"""Writing: only what changed, orphans removed, nothing of others touched."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nirgen.emit import manifest
from nirgen.emit.render import HEADER
from nirgen.emit.write import InTheWay, compare, diff, write

OURS = f'"""A module.\n\n{HEADER} from x.\n"""\n'
OTHER = OURS + "x = 1\n"
MANIFEST = manifest.NAME
UNTIDY = ("./a.py", "a//b.py", "a/./b.py", MANIFEST)


def held(folder: Path) -> dict[str, bytes | str]:
    """All that is below a folder: what files hold, and where links lead."""
    return {
        path.relative_to(folder).as_posix(): os.readlink(path)
        if path.is_symlink()
        else path.read_bytes()
        for path in folder.rglob("*")
        if path.is_symlink() or path.is_file()
    }


def stopped(texts: dict[str, str], folder: Path, force: bool = False) -> list[str]:
    """The files that keep texts from being written; that nothing is, is checked."""
    before = held(folder)
    with pytest.raises(InTheWay) as caught:
        write(texts, folder, force)
    assert held(folder) == before
    assert [str(o) for o in compare(texts, folder, force).obstacles] == [
        str(o) for o in caught.value.obstacles
    ]
    return [obstacle.path for obstacle in caught.value.obstacles]


def test_created_then_current_then_updated_then_removed(tmp_path: Path) -> None:
    first = {"a/__init__.py": OURS, "b.py": OURS}
    assert write(first, tmp_path).lines() == ["created a/__init__.py", "created b.py"]
    assert not write(first, tmp_path)

    second = {"b.py": OTHER}
    assert write(second, tmp_path).lines() == ["updated b.py", "removed a/__init__.py"]
    assert (tmp_path / "b.py").read_text() == second["b.py"]
    assert held(tmp_path).keys() == {"b.py", MANIFEST}
    assert not compare(second, tmp_path)


def test_an_unchanged_file_is_not_written_again(tmp_path: Path) -> None:
    write({"b.py": OURS}, tmp_path)
    before = (tmp_path / "b.py").stat().st_mtime_ns
    write({"b.py": OURS, "c.py": OURS}, tmp_path)
    assert (tmp_path / "b.py").stat().st_mtime_ns == before


def test_comparing_writes_nothing_and_shows_the_difference(tmp_path: Path) -> None:
    write({"b.py": OURS}, tmp_path)
    before = held(tmp_path)
    new = {"b.py": OTHER}
    changes = compare(new, tmp_path)
    assert changes.lines() == ["updated b.py"]
    assert "+x = 1" in diff(new, tmp_path, changes)
    assert held(tmp_path) == before


class TestFilesOfOthers:
    def test_beside_ours_stay(self, tmp_path: Path) -> None:
        (tmp_path / "mine.py").write_text("x = 1\n")
        (tmp_path / "NOTES.md").write_text("mine\n")
        (tmp_path / "SUPPORT.md").write_text(OURS)  # what it says of itself proves nothing
        write({"b.py": OURS}, tmp_path)
        write({}, tmp_path)
        assert held(tmp_path).keys() == {"mine.py", "NOTES.md", "SUPPORT.md", MANIFEST}

    @pytest.mark.parametrize("force", [False, True])
    @pytest.mark.parametrize("content", ["x = 1\n", OTHER, "", "\0"])
    def test_in_the_way_stop_it(self, tmp_path: Path, content: str, force: bool) -> None:
        (tmp_path / "a").mkdir()
        for path in ("__init__.py", "a/b.py", "SUPPORT.md"):
            (tmp_path / path).write_text(content)
        texts = {"__init__.py": OURS, "a/b.py": OURS, "SUPPORT.md": OURS, "new.py": OURS}
        assert stopped(texts, tmp_path, force) == ["__init__.py", "a/b.py", "SUPPORT.md"]

    def test_that_are_what_is_generated_become_ours(self, tmp_path: Path) -> None:
        """As in a checkout that lost its manifest."""
        write({"a.py": OURS, "b.py": OURS}, tmp_path)
        (tmp_path / MANIFEST).unlink()
        assert write({"a.py": OURS, "b.py": OURS}, tmp_path).lines() == [f"updated {MANIFEST}"]
        assert write({"a.py": OTHER}, tmp_path).lines() == ["updated a.py", "removed b.py"]

    def test_without_a_manifest_are_not_ours(self, tmp_path: Path) -> None:
        write({"a.py": OURS, "b.py": OURS}, tmp_path)
        (tmp_path / MANIFEST).unlink()
        assert stopped({"a.py": OTHER}, tmp_path) == ["a.py"]

    def test_a_folder_where_a_file_should_be(self, tmp_path: Path) -> None:
        (tmp_path / "a.py").mkdir()
        (tmp_path / "a.py/mine").write_text("x")
        assert stopped({"a.py": OURS}, tmp_path) == ["a.py"]

    def test_a_file_where_a_folder_should_be(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_text("x")
        assert stopped({"a/b.py": OURS}, tmp_path) == ["a/b.py"]


class TestEditedFiles:
    """Generated once, and changed since."""

    def test_stop_it_all_at_once(self, tmp_path: Path) -> None:
        texts = {"a.py": OURS, "b.py": OURS, "c.py": OURS, "d.py": OURS}
        write(texts, tmp_path)
        (tmp_path / "a.py").write_text(OURS + "y = 2\n")
        (tmp_path / "c.py").write_text("")
        assert stopped({"a.py": OTHER, "b.py": OTHER, "d.py": OURS}, tmp_path) == ["a.py", "c.py"]

    def test_are_said_to_be_so_and_what_to_do(self, tmp_path: Path) -> None:
        write({"a.py": OURS}, tmp_path)
        (tmp_path / "a.py").write_text("y = 2\n")
        (tmp_path / "b.py").write_text("mine\n")
        with pytest.raises(InTheWay) as caught:
            write({"a.py": OURS, "b.py": OURS}, tmp_path)
        assert str(caught.value) == (
            f"2 files are in the way in {tmp_path}; nothing was written\n"
            "  a.py: was changed since it was generated\n"
            "  b.py: was not generated, going by the manifest\n"
            "take changes over into the mappings; --force gives up those in the files\n"
            "move what was not generated out of the way, or give another --output"
        )

    def test_go_by_force(self, tmp_path: Path) -> None:
        write({"a.py": OURS, "b.py": OURS}, tmp_path)
        for name in ("a.py", "b.py"):
            (tmp_path / name).write_text("y = 2\n")
        done = write({"a.py": OTHER}, tmp_path, force=True)
        assert done.lines() == ["updated a.py", "removed b.py"]
        assert held(tmp_path).keys() == {"a.py", MANIFEST}

    def test_that_were_deleted_come_back(self, tmp_path: Path) -> None:
        write({"a.py": OURS, "b.py": OURS}, tmp_path)
        for name in ("a.py", "b.py"):
            (tmp_path / name).unlink()
        assert write({"a.py": OTHER}, tmp_path).lines() == ["created a.py"]

    def test_with_other_line_ends_are_the_same(self, tmp_path: Path) -> None:
        """As git gives them to a checkout that wants them."""
        write({"a.py": OURS, "b.py": OURS}, tmp_path)
        for path in tmp_path.iterdir():
            path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
        assert not compare({"a.py": OURS, "b.py": OURS}, tmp_path)
        assert write({"a.py": OTHER}, tmp_path).lines() == ["updated a.py", "removed b.py"]


class TestLinks:
    def outside(self, tmp_path: Path) -> tuple[Path, Path]:
        folder, outside = tmp_path / "out", tmp_path / "elsewhere"
        outside.mkdir()
        (outside / "b.py").write_text(OURS)
        return folder, outside

    @pytest.mark.parametrize("force", [False, True])
    def test_to_a_folder_are_not_followed(self, tmp_path: Path, force: bool) -> None:
        folder, outside = self.outside(tmp_path)
        write({"a/b.py": OURS}, folder)
        (folder / "a/b.py").unlink()
        (folder / "a").rmdir()
        (folder / "a").symlink_to(outside)
        assert stopped({"a/b.py": OTHER}, folder, force) == ["a/b.py"]
        assert stopped({}, folder, force) == ["a/b.py"]
        assert held(outside) == {"b.py": OURS.encode()}

    @pytest.mark.parametrize("force", [False, True])
    @pytest.mark.parametrize("target", ["b.py", "nothing"])
    def test_to_a_file_are_not_followed(self, tmp_path: Path, target: str, force: bool) -> None:
        folder, outside = self.outside(tmp_path)
        write({"b.py": OURS}, folder)
        (folder / "b.py").unlink()
        (folder / "b.py").symlink_to(outside / target)
        assert stopped({"b.py": OTHER}, folder, force) == ["b.py"]
        assert stopped({}, folder, force) == ["b.py"]
        assert held(outside) == {"b.py": OURS.encode()}

    def test_for_a_manifest_are_not_followed(self, tmp_path: Path) -> None:
        folder, outside = self.outside(tmp_path)
        write({"b.py": OURS}, folder)
        (folder / MANIFEST).rename(outside / MANIFEST)
        (folder / MANIFEST).symlink_to(outside / MANIFEST)
        assert MANIFEST in stopped({"b.py": OTHER}, folder)

    def test_to_the_folder_itself_are_what_the_user_said(self, tmp_path: Path) -> None:
        folder, _ = self.outside(tmp_path)
        folder.mkdir()
        (tmp_path / "link").symlink_to(folder)
        write({"b.py": OURS}, tmp_path / "link")
        assert held(folder).keys() == {"b.py", MANIFEST}


class TestManifest:
    def test_is_read_by_other_programs(self, tmp_path: Path) -> None:
        write({"a.py": OURS, "b/c.py": OTHER}, tmp_path)
        try:
            command = ["sha256sum", "--check", "--strict", MANIFEST]
            done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=False)
        except FileNotFoundError:
            pytest.skip("there is no sha256sum")
        assert done.returncode == 0, done.stderr

    def test_of_a_merge_has_both_sides(self, tmp_path: Path) -> None:
        """Each branch changed another file, and git couldn't merge the two lists."""
        texts = {"a.py": OURS, "b.py": OURS, "gone.py": OURS}
        write(texts, tmp_path)
        ours = (tmp_path / MANIFEST).read_text()
        write({**texts, "a.py": OTHER}, tmp_path)
        theirs = (tmp_path / MANIFEST).read_text()
        merged = f"<<<<<<< HEAD\n{ours}=======\n{theirs}>>>>>>> other\n"
        (tmp_path / MANIFEST).write_text(merged)
        new = {"a.py": OTHER + "y = 2\n", "b.py": OTHER}
        assert write(new, tmp_path).lines() == ["updated a.py", "updated b.py", "removed gone.py"]
        assert "<<<" not in (tmp_path / MANIFEST).read_text()

    @pytest.mark.parametrize(
        "path",
        ["../mine.py", "a/../../mine.py", "/etc/passwd", "..", "C:/mine.py", "a\\..\\b", *UNTIDY],
    )
    def test_that_names_what_is_elsewhere_stops_it(self, tmp_path: Path, path: str) -> None:
        folder = tmp_path / "out"
        write({"b.py": OURS}, folder)
        (tmp_path / "mine.py").write_text(OURS)
        (folder / MANIFEST).write_text(f"{manifest.hashed(OURS.encode())}  {path}\n")
        assert stopped({}, folder, force=True) == [MANIFEST]
        assert (tmp_path / "mine.py").exists()

    @pytest.mark.parametrize("text", ["nonsense\n", "0123  a.py\n", "\0", "f" * 64 + "  \n"])
    def test_that_is_none_stops_it(self, tmp_path: Path, text: str) -> None:
        write({"b.py": OURS}, tmp_path)
        (tmp_path / MANIFEST).write_text(text)
        assert stopped({"b.py": OTHER}, tmp_path) == [MANIFEST]

    def test_that_is_no_text_stops_it(self, tmp_path: Path) -> None:
        (tmp_path / MANIFEST).write_bytes(b"\xff\xfe")
        assert stopped({"b.py": OTHER}, tmp_path) == [MANIFEST]


@pytest.mark.parametrize("after", range(7))
@pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
def test_an_interrupted_one_is_taken_up_by_the_next(
    tmp_path: Path, after: int, error: BaseException, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the mappings were changed in the meantime."""
    first = {"a.py": OURS, "b.py": OURS, "c.py": OURS}
    second = {"a.py": OTHER, "b.py": OTHER, "d.py": OTHER}
    third = {"a.py": OURS, "b.py": OTHER + "z = 3\n", "d.py": OURS}
    write(first, tmp_path)
    steps = iter(range(100))

    def failing(step: Callable[..., object]) -> Callable[..., object]:
        def run(*arguments: object, **options: object) -> object:
            if next(steps) == after:
                raise error
            return step(*arguments, **options)

        return run

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", failing(os.replace))
        patched.setattr(Path, "unlink", failing(Path.unlink))
        try:
            write(second, tmp_path)
        except type(error):
            pass
        else:
            assert after >= 6
    write(third, tmp_path)
    assert not compare(third, tmp_path)
    assert {p: t for p, t in held(tmp_path).items() if p in third} == {
        path: text.encode() for path, text in third.items()
    }


KILLED = """
import sys
from pathlib import Path
from nirgen.emit.write import write
folder = Path(sys.argv[1])
print("go", flush=True)
for k in range(10**9):
    write({f"{n}.py": f"# {k}\\n" * 2000 for n in range(30)}, folder)
"""


def test_a_killed_one_is_taken_up_by_the_next(tmp_path: Path) -> None:
    for wait in (0.0, 0.02, 0.05, 0.11):
        command = [sys.executable, "-c", KILLED, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.readline()
            with pytest.raises(subprocess.TimeoutExpired):
                process.wait(wait)
            process.kill()
        write({"0.py": OURS}, tmp_path)
        assert not compare({"0.py": OURS}, tmp_path)
        assert {path for path in held(tmp_path) if not path.startswith(".")} == {"0.py", MANIFEST}


def test_the_mode_of_a_file_stays(tmp_path: Path) -> None:
    write({"a.py": OURS}, tmp_path)
    (tmp_path / "a.py").chmod(0o640)
    write({"a.py": OTHER}, tmp_path)
    assert (tmp_path / "a.py").stat().st_mode & 0o777 == 0o640

"""Writing: only what changed, orphans removed, nothing of others touched."""

from __future__ import annotations

from pathlib import Path

from nirgen.emit.render import HEADER
from nirgen.emit.write import compare, diff, write

OURS = f'"""A module.\n\n{HEADER} from x.\n"""\n'


def test_created_then_current_then_updated_then_removed(tmp_path: Path) -> None:
    first = {"a/__init__.py": OURS, "b.py": OURS}
    assert write(first, tmp_path).lines() == ["created a/__init__.py", "created b.py"]
    assert not write(first, tmp_path)

    second = {"b.py": OURS + "x = 1\n"}
    assert write(second, tmp_path).lines() == ["updated b.py", "removed a/__init__.py"]
    assert (tmp_path / "b.py").read_text() == second["b.py"]
    assert not (tmp_path / "a/__init__.py").exists()


def test_an_unchanged_file_is_not_written_again(tmp_path: Path) -> None:
    write({"b.py": OURS}, tmp_path)
    before = (tmp_path / "b.py").stat().st_mtime_ns
    write({"b.py": OURS, "c.py": OURS}, tmp_path)
    assert (tmp_path / "b.py").stat().st_mtime_ns == before


def test_files_of_others_stay(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("x = 1\n")
    assert not write({}, tmp_path)
    assert (tmp_path / "mine.py").exists()


def test_comparing_writes_nothing_and_shows_the_difference(tmp_path: Path) -> None:
    write({"b.py": OURS}, tmp_path)
    new = {"b.py": OURS + "x = 1\n"}
    changes = compare(new, tmp_path)
    assert changes.lines() == ["updated b.py"]
    assert "+x = 1" in diff(new, tmp_path, changes)
    assert (tmp_path / "b.py").read_text() == OURS


def test_texts_for_people_are_orphans_too(tmp_path: Path) -> None:
    (tmp_path / "NOTES.md").write_text("mine\n")
    write({"SUPPORT.md": f"<!-- {HEADER} from x. -->\n"}, tmp_path)
    assert write({}, tmp_path).lines() == ["removed SUPPORT.md"]
    assert (tmp_path / "NOTES.md").exists()

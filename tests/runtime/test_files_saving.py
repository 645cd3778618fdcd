"""Saving is all or nothing: whatever fails, the old file stays and nothing else is left."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from nir_runtime import files
from nir_runtime.errors import InvalidArgument, InvalidFile, InvalidGraph
from nir_runtime.files import drafts, storage
from tests.runtime.samples import assert_same, lif_graph

ROOT = hasattr(os, "getuid") and os.getuid() == 0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net.nir"


@pytest.fixture(params=["nameless", "named"])
def draft(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new file without a name, where the system has that; and with one."""
    if request.param == "named":
        monkeypatch.setattr(drafts, "_open_nameless", lambda folder, mode: None)


@pytest.mark.usefixtures("draft")
class TestSaving:
    def test_replaces_a_file(self, path: Path) -> None:
        path.write_text("old")
        files.write(path, lif_graph())
        assert_same(files.read(path), lif_graph())
        assert os.listdir(path.parent) == ["net.nir"]

    def test_follows_a_link_to_the_file(self, path: Path) -> None:
        link = path.with_name("link.nir")
        link.symlink_to(path)
        files.write(link, lif_graph())
        assert link.is_symlink()
        assert path.is_file()

    def test_gives_the_usual_permissions(self, path: Path) -> None:
        path.with_name("usual").touch()
        files.write(path, lif_graph())
        assert path.stat().st_mode == path.with_name("usual").stat().st_mode

    @pytest.mark.parametrize("mode", [0o600, 0o640, 0o644, 0o664, 0o666, 0o755])
    def test_keeps_the_permissions_of_the_old_file(self, path: Path, mode: int) -> None:
        path.write_text("old")
        path.chmod(mode)
        files.write(path, lif_graph())
        assert stat.S_IMODE(path.stat().st_mode) == mode
        assert_same(files.read(path), lif_graph())

    def test_shows_nobody_what_the_old_file_kept_from_them(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path.write_text("old")
        path.chmod(0o600)
        seen: list[int] = []
        saving = storage.save

        def save(tree: Any, file: Any, compression: Any) -> None:
            saving(tree, file, compression)
            seen.append(stat.S_IMODE(os.fstat(file.fileno()).st_mode))

        monkeypatch.setattr(storage, "save", save)
        files.write(path, lif_graph())
        assert seen == [0o600]

    @pytest.mark.skipif(ROOT, reason="root may write to anything")
    def test_leaves_a_file_that_may_not_be_written_to(self, path: Path) -> None:
        path.write_text("old")
        path.chmod(0o444)
        with pytest.raises(PermissionError) as caught:
            files.write(path, lif_graph())
        assert caught.value.filename == str(path)
        assert path.read_text() == "old"

    @pytest.mark.skipif(not ROOT, reason="only root can give files away")
    def test_keeps_the_owner(self, path: Path) -> None:
        path.write_text("old")
        os.chown(path, 12345, 54321)
        path.chmod(0o640)
        files.write(path, lif_graph())
        new = path.stat()
        assert (new.st_uid, new.st_gid, stat.S_IMODE(new.st_mode)) == (12345, 54321, 0o640)

    def test_keeps_what_users_noted_of_a_file(self, path: Path) -> None:
        path.write_text("old")
        try:
            os.setxattr(path, "user.made", b"today")
        except (AttributeError, OSError):
            pytest.skip("this file system has no such notes")
        files.write(path, lif_graph())
        assert os.getxattr(path, "user.made") == b"today"

    def test_leaves_other_names_of_the_old_file_as_they_were(self, path: Path) -> None:
        path.write_text("old")
        os.link(path, path.with_name("other"))
        files.write(path, lif_graph())
        assert path.with_name("other").read_text() == "old"
        assert_same(files.read(path), lif_graph())

    def test_makes_what_a_link_to_nothing_points_to(self, path: Path) -> None:
        (path.parent / "deeper").mkdir()
        path.symlink_to("deeper/net.nir")
        files.write(path, lif_graph())
        assert path.is_symlink()
        assert_same(files.read(path.parent / "deeper" / "net.nir"), lif_graph())

    def test_through_a_chain_of_links(self, path: Path) -> None:
        path.write_text("old")
        path.chmod(0o600)
        for name, target in (("b", "net.nir"), ("a", "b")):
            path.with_name(name).symlink_to(target)
        files.write(path.with_name("a"), lif_graph())
        assert sorted(os.listdir(path.parent)) == ["a", "b", "net.nir"]
        assert path.with_name("a").readlink() == Path("b")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert_same(files.read(path), lif_graph())

    def test_into_links_that_go_round_is_the_system_s_error(self, path: Path) -> None:
        path.symlink_to("b")
        path.with_name("b").symlink_to("net.nir")
        with pytest.raises(OSError, match="symbolic links"):
            files.write(path, lif_graph())
        assert path.is_symlink()

    def test_where_a_file_came_into_being_meanwhile_replaces_it(
        self, path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        saving = storage.save

        def save(tree: Any, file: Any, compression: Any) -> None:
            path.write_text("somebody else's")
            saving(tree, file, compression)

        monkeypatch.setattr(storage, "save", save)
        files.write(path, lif_graph())
        assert os.listdir(path.parent) == ["net.nir"]
        assert_same(files.read(path), lif_graph())

    @pytest.mark.parametrize("through", ["itself", "a link"])
    @pytest.mark.parametrize("kind", ["pipe", "socket", "folder", "terminal", "/dev/null"])
    def test_into_what_is_no_file_is_refused(self, path: Path, kind: str, through: str) -> None:
        with unusual(kind, path) as (target, error):
            before = os.lstat(target)
            if through == "a link":
                path.with_name("link").symlink_to(target)
                target = path.with_name("link")
            listed = os.listdir(path.parent)
            for act in (lambda: files.write(target, lif_graph()), lambda: files.read(target)):
                with pytest.raises(error) as caught:
                    act()
                assert str(target) in str(caught.value)
            after = os.stat(target)
            assert (after.st_mode, after.st_ino) == (before.st_mode, before.st_ino)
            assert os.listdir(path.parent) == listed

    @pytest.mark.parametrize(
        ("module", "failing"),
        [(storage, "write_numbers"), (drafts.os, "fsync"), (drafts.os, "replace")],
    )
    @pytest.mark.parametrize("error", [OSError("disk full"), KeyboardInterrupt()])
    def test_that_fails_leaves_the_old_file_and_no_litter(
        self,
        path: Path,
        module: Any,
        failing: str,
        error: BaseException,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        path.write_text("old")

        def fail(*_: Any) -> None:
            raise error

        monkeypatch.setattr(module, failing, fail)
        with pytest.raises(type(error)):
            files.write(path, lif_graph())
        assert os.listdir(path.parent) == ["net.nir"]
        assert path.read_text() == "old"

    def test_into_no_folder_is_the_system_s_error(self, path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            files.write(path / "deeper", lif_graph())

    def test_of_what_hdf5_cannot_hold_is_refused_all_at_once(self, path: Path) -> None:
        graph = lif_graph()
        lif = graph.nodes["lif"]
        lif.tau = None
        lif.metadata = {"a/b": 1, "object": object(), "none": None, "nul": "\0", 3: 3}
        graph.nodes["."] = nir.Scale(np.ones(3))
        graph.nodes["other"] = type("Other", (nir.Scale,), {})(np.ones(3))
        with pytest.raises(InvalidGraph) as caught:
            files.write(path, graph)
        assert {problem.place for problem in caught.value.problems} == {
            "/node/nodes/lif/tau",
            "/node/nodes/lif/metadata/a/b",
            "/node/nodes/lif/metadata/object",
            "/node/nodes/lif/metadata/none",
            "/node/nodes/lif/metadata/nul",
            "/node/nodes/lif/metadata/3",
            "/node/nodes/.",
            "/node/nodes/other/type",
        }
        assert os.listdir(path.parent) == []

    def test_of_a_graph_that_holds_itself_is_refused(self, path: Path) -> None:
        graph = lif_graph()
        graph.nodes["self"] = graph
        with pytest.raises(InvalidGraph, match="nested"):
            files.write(path, graph)

    @pytest.mark.parametrize("compression", ["zip", 10, -1, 0.5])
    def test_by_an_unknown_compression_is_refused(self, path: Path, compression: Any) -> None:
        with pytest.raises(InvalidArgument, match="gzip"):
            files.write(path, lif_graph(), compression)


@contextlib.contextmanager
def unusual(kind: str, path: Path) -> Iterator[tuple[Path, type[Exception]]]:
    """Something that is no file, at `path` or elsewhere, and the error that tells it."""
    if kind == "pipe":
        os.mkfifo(path)
        yield path, InvalidFile
    elif kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            os.chdir(path.parent)
            made.bind(path.name)  # the whole path may be too long for one
            yield path, InvalidFile
    elif kind == "folder":
        path.mkdir()
        yield path, IsADirectoryError
    elif kind == "terminal":
        ours, theirs = os.openpty()
        yield Path(os.ttyname(theirs)), InvalidFile
        os.close(ours)
        os.close(theirs)
    else:
        yield Path(kind), InvalidFile


OF_ANOTHER = """
import os
from nir_runtime import files
from tests.runtime.samples import lif_graph
graph = lif_graph()
os.setgid(4242), os.setuid(4242)
for name in ("theirs.nir", "grouped.nir", "readable.nir"):
    try:
        files.write(name, graph)
    except PermissionError as error:
        print(name, error.filename, sorted(os.listdir(".")))
files.write("new.nir", graph)
print(os.stat("new.nir").st_uid)
"""


@pytest.mark.skipif(not ROOT, reason="only root can give files away")
def test_a_file_of_another_user_is_not_replaced_by_one_of_ours(path: Path) -> None:
    """Though the folder would let us, and though we may write to the file."""
    names = ["theirs.nir", "grouped.nir", "readable.nir"]
    for name, mode, group in zip(names, (0o666, 0o664, 0o644), (0, 4242, 0), strict=True):
        path.with_name(name).write_text("old")
        path.with_name(name).chmod(mode)
        os.chown(path.with_name(name), 0, group)
    folder = path.parent
    folder.chmod(0o777)
    for above in folder.parents:
        if above.stat().st_mode & 0o005 != 0o005:
            above.chmod(above.stat().st_mode | 0o055)  # of this test alone: pytest's own folders
    printed, complaints = run(OF_ANOTHER, path).communicate(timeout=60)
    assert complaints == ""
    kept = [f"{name} {name} {sorted(names)}" for name in names]
    assert printed.splitlines() == [*kept, "4242"]
    assert all(path.with_name(name).read_text() == "old" for name in names)


def run(code: str, path: Path) -> subprocess.Popen[str]:
    """A Python process in the folder of `path`; it can import what the tests can."""
    root = Path(__file__).parents[2]
    found = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": found}
    command = [sys.executable, "-c", code]
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, cwd=path.parent, env=environment, stdout=pipe, stderr=pipe, text=True
    )


FULL_DISK = """
import os, resource, signal
from nir_runtime import files
from tests.runtime.samples import all_kinds

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
_, most = resource.getrlimit(resource.RLIMIT_FSIZE)
for compression in (None, "gzip"):
    for limit in (1, 100, 1000, 2000, 4096, 10000, 15000, 20000, 30000, 40000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, most))
        try:
            files.write("net.nir", all_kinds(), compression)
        except OSError as error:
            outcome = error.errno
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        print(outcome, *os.listdir("."), open("net.nir").read())
files.write("net.nir", all_kinds())
"""


def test_a_full_disk_is_an_error_of_the_system_and_the_process_survives(path: Path) -> None:
    pytest.importorskip("resource")
    path.write_text("old")
    process = run(FULL_DISK, path)
    printed, complaints = process.communicate(timeout=60)
    assert complaints == ""
    assert set(printed.splitlines()) == {"27 net.nir old"}  # EFBIG
    assert process.returncode == 0
    assert isinstance(files.read(path), nir.NIRGraph)


WRITING = """
from nir_runtime import files
from tests.runtime.samples import lif_graph
import nir, numpy as np, signal

# A shell that runs the tests in its background has them ignore interrupts.
signal.signal(signal.SIGINT, signal.default_int_handler)

graph = lif_graph()
for k in range(300):
    graph.nodes[f"linear{k}"] = nir.Linear(np.arange(64.0).reshape(8, 8))
print("go", flush=True)
while True:
    files.write("net.nir", graph, %r)
"""


@pytest.mark.parametrize("compression", [None, "gzip"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_a_killed_process_leaves_the_old_file_and_no_litter(
    path: Path, number: signal.Signals, compression: str | None
) -> None:
    descriptor = drafts._open_nameless(path.parent, 0o600)
    if descriptor is None and number != signal.SIGINT:
        pytest.skip("files have names here from the start")
    os.close(descriptor or os.open(path.parent, os.O_RDONLY))
    files.write(path, lif_graph())
    process = run(WRITING % compression, path)
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(number)
    try:
        _, complaints = process.communicate(timeout=60)
    finally:
        process.kill()
    assert os.listdir(path.parent) == ["net.nir"]
    assert isinstance(files.read(path), nir.NIRGraph)
    assert process.returncode == -number
    assert complaints == "" or complaints.rstrip().endswith("KeyboardInterrupt")

"""Saving is all or nothing: whatever fails, the old file stays and nothing else is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest

from nir_runtime import files
from nir_runtime.errors import InvalidArgument, InvalidGraph
from nir_runtime.files import drafts, storage
from tests.runtime.samples import assert_same, lif_graph


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "net.nir"


@pytest.fixture(params=["nameless", "named"])
def draft(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The new file without a name, where the system has that; and with one."""
    if request.param == "named":
        monkeypatch.setattr(drafts, "_open_nameless", lambda folder: None)


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


def run(code: str, path: Path) -> subprocess.Popen[str]:
    """A Python process in the folder of `path`; it can import what the tests can."""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": str(root)}
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
    descriptor = drafts._open_nameless(path.parent)
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

"""`nirgen` as a user types it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def nirgen(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nirgen", *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_check_passes_on_what_is_committed() -> None:
    result = nirgen("check")
    assert result.returncode == 0, result.stdout
    assert result.stdout == "generated/nir_exchange is current\n"


def test_generate_elsewhere_then_check_then_change(tmp_path: Path) -> None:
    mappings, output = tmp_path / "mine", tmp_path / "out"
    shutil.copytree(ROOT / "mappings", mappings)
    where = ("--mappings", str(mappings), "--output", str(output))

    first = nirgen("generate", *where)
    assert first.returncode == 0, first.stderr
    assert "created spikingjelly/lif_node.py" in first.stdout.splitlines()
    assert nirgen("check", *where).returncode == 0

    layer = mappings / "spikingjelly" / "if_node.yaml"
    layer.write_text(layer.read_text().replace("h = v + x", "h = x + v"))
    check = nirgen("check", *where)
    assert check.returncode == 1
    assert "+    h = x + v" in check.stdout
    assert "run `make generate`" in check.stdout

    assert nirgen("generate", *where).stdout == "updated spikingjelly/if_node.py\n"

    (mappings / "spikingjelly" / "parametric_lif_node.yaml").unlink()
    assert "removed spikingjelly/parametric_lif_node.py" in nirgen("generate", *where).stdout


def test_a_checkout_as_output_loses_nothing(tmp_path: Path) -> None:
    """Files that say they were generated are not ours for that."""
    for name in ("mappings", "generated", "tests/emit"):
        shutil.copytree(ROOT / name, tmp_path / name)
    before = contents(tmp_path)
    nirgen("generate", "--output", ".", cwd=tmp_path)
    nirgen("generate", "--output", ".", cwd=tmp_path)
    after = contents(tmp_path)
    assert before.items() <= after.items()
    made = {path.split("/")[0] for path in after.keys() - before.keys()}
    frameworks = {path.parent.name for path in (ROOT / "mappings").glob("*/framework.yaml")}
    assert made == {*frameworks, "__init__.py", "py.typed", "SUPPORT.md", "MANIFEST.sha256"}


def test_a_package_of_someone_s_own_as_output_is_left_alone(tmp_path: Path) -> None:
    for name in ("__init__.py", "SUPPORT.md", "py.typed", "model.py"):
        (tmp_path / name).write_text("mine\n")
    before = contents(tmp_path)
    for arguments in (["generate"], ["generate", "--force"], ["check"]):
        result = nirgen(*arguments, "--output", str(tmp_path))
        told = result.stdout if arguments == ["check"] else result.stderr
        assert result.returncode == (1 if arguments == ["check"] else 2)
        assert "3 files are in the way" in told
        for name in ("__init__.py", "SUPPORT.md", "py.typed"):
            assert f"  {name}: was not generated, going by the manifest\n" in told
        assert "give another --output" in told
        assert contents(tmp_path) == before


def test_an_edited_file_stops_generate_and_check_until_it_is_given_up(tmp_path: Path) -> None:
    where = ("--output", str(tmp_path / "out"))
    nirgen("generate", *where)
    edited = tmp_path / "out" / "spikingjelly" / "if_node.py"
    edited.write_text(edited.read_text() + "# mine\n")
    told = "  spikingjelly/if_node.py: was changed since it was generated\n"
    stopped, checked = nirgen("generate", *where), nirgen("check", *where)
    assert (stopped.returncode, checked.returncode) == (2, 1)
    assert told in stopped.stderr
    assert told in checked.stdout
    assert edited.read_text().endswith("# mine\n")
    assert nirgen("generate", "--force", *where).stdout == "updated spikingjelly/if_node.py\n"
    assert nirgen("check", *where).returncode == 0


def test_check_says_that_only_the_manifest_is_missing(tmp_path: Path) -> None:
    nirgen("generate", "--output", str(tmp_path))
    (tmp_path / "MANIFEST.sha256").unlink()
    checked = nirgen("check", "--output", str(tmp_path))
    assert checked.returncode == 1
    assert checked.stdout.startswith("updated MANIFEST.sha256\n")


def test_an_output_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine\n")
    for output in (tmp_path / "file", tmp_path / "file" / "below"):
        result = nirgen("generate", "--output", str(output))
        assert result.returncode == 2
        assert result.stderr.startswith("nirgen generate: ")
        assert "Traceback" not in result.stderr
    assert (tmp_path / "file").read_text() == "mine\n"


def contents(folder: Path) -> dict[str, bytes]:
    """What the files below a folder hold, but for caches."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }


def test_problems_write_nothing(tmp_path: Path) -> None:
    mappings, output = tmp_path / "mappings", tmp_path / "out"
    shutil.copytree(ROOT / "mappings", mappings)
    layer = mappings / "spikingjelly" / "if_node.yaml"
    layer.write_text(layer.read_text().replace("r: 1 / dt", "r: 1 / dtt"))
    result = nirgen("generate", "--mappings", str(mappings), "--output", str(output))
    assert result.returncode == 1
    assert not output.exists()
    assert result.stderr == (
        "mappings/spikingjelly/if_node.yaml:13:3: `dtt` is no parameter of the layer\n"
        "    did you mean `dt`?\n"
        "1 problem; nothing was written\n"
    )
    explained = nirgen("explain", "spikingjelly", "IFNode", "--mappings", str(mappings))
    assert explained.returncode == 1
    assert explained.stderr.endswith("\n1 problem\n")


def test_a_folder_of_one_framework_builds_on_what_is_installed(tmp_path: Path) -> None:
    """Its fallback and base are converters of this project, where it has none of their names."""
    mine, converters = tmp_path / "mine", tmp_path / "my_converters"
    shutil.copytree(ROOT / "mappings" / "spikingjelly", mine / "spikingjelly")
    made = nirgen("generate", "--mappings", str(mine), "--output", str(converters))
    assert made.returncode == 0, made.stderr
    source = """
import nir, numpy as np, torch
from my_converters import spikingjelly as mine
from nir_exchange import reference, spikingjelly
from spikingjelly.activation_based import functional
shape = np.ones(3)
nodes = {"in": nir.Input({"input": np.array([3])}), "li": nir.LI(shape * 1e-3, shape, shape * 0),
         "out": nir.Output({"output": np.array([3])})}
graph = nir.NIRGraph(nodes, [("in", "li"), ("li", "out")], type_check=False)
x = torch.rand(4, 3)
modules = [target.import_from_nir(graph) for target in (mine, spikingjelly, reference)]
first, *others = [module(x)[0] for module in modules]
assert all(torch.equal(first, other) for other in others)
functional.reset_net(modules[0])
print(*mine.export_to_nir(modules[0], x).nodes)
"""
    path = {**os.environ, "PYTHONPATH": str(tmp_path)}
    ran = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=False, env=path
    )
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.split() == ["in", "li", "out"]


def test_generating_needs_no_torch_and_no_framework() -> None:
    code = (
        "import sys; from pathlib import Path; from nirgen import emit, mapping;"
        "emit.generate(mapping.load(Path('mappings')));"
        "heavy = {'torch', 'numpy', 'nir', 'h5py', 'spikingjelly'} & set(sys.modules);"
        "sys.exit(f'imported {heavy}' if heavy else 0)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr

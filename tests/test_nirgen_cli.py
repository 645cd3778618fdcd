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
    layer.write_text(layer.read_text().replace("h = v + x", "h = v + x  # charge"))
    check = nirgen("check", *where)
    assert check.returncode == 1
    assert "+    h = v + x  # charge" in check.stdout
    assert "run `make generate`" in check.stdout

    assert nirgen("generate", *where).stdout == "updated spikingjelly/if_node.py\n"

    (mappings / "spikingjelly" / "parametric_lif_node.yaml").unlink()
    assert "removed spikingjelly/parametric_lif_node.py" in nirgen("generate", *where).stdout


def test_problems_write_nothing(tmp_path: Path) -> None:
    mappings, output = tmp_path / "mappings", tmp_path / "out"
    shutil.copytree(ROOT / "mappings", mappings)
    layer = mappings / "spikingjelly" / "if_node.yaml"
    layer.write_text(layer.read_text().replace("r: 1 / dt", "r: 1 / dtt"))
    result = nirgen("generate", "--mappings", str(mappings), "--output", str(output))
    assert result.returncode == 1
    assert not output.exists()
    assert result.stderr == (
        "mappings/spikingjelly/if_node.yaml:11:3: `dtt` is no parameter of the layer\n"
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

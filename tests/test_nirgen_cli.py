"""`nirgen` as a user types it."""

from __future__ import annotations

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

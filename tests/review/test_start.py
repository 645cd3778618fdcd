"""`nirgen new` and `nirgen signatures`, with a framework that a test has installed."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nirgen.cli import main
from nirgen.mapping.problems import Problems
from nirgen.mapping.read import read_mappings
from nirgen.mapping.source import Constant, Scalar, parse
from nirgen.mapping.source import Mapping as Entries
from nirgen.review.signatures import scalar
from nirgen.review.start import file_stem

NIR = Path(__file__).parents[2] / "mappings" / "nir.yaml"
CELLS = '''
from typing import Any, Optional, Union
Size = Union[int, tuple[int, int]]
class LIFCell:
    def __init__(
        self, tau: float, v_reset: Optional[float] = 0.0, reset_by: Any = "set",
        size: "Size" = (1, 2), limit=float("inf"), step_mode="s", *args, gate: bool = True,
    ):
        """A cell."""
class Nothing:
    pass
'''

Install = Callable[[str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Installs a release of the package `snn`, whose module `snn.cells` has the given text."""
    packages = tmp_path / "packages"
    monkeypatch.syspath_prepend(str(packages))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)

    def release(cells: str) -> None:
        (packages / "snn").mkdir(parents=True, exist_ok=True)
        (packages / "snn" / "__init__.py").write_text("__version__ = '0.7.1'\n")
        (packages / "snn" / "cells.py").write_text(cells)
        forget()

    def forget() -> None:
        for name in [name for name in sys.modules if name.partition(".")[0] == "snn"]:
            del sys.modules[name]
        importlib.invalidate_caches()

    release(CELLS)
    yield release
    forget()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("mappings").mkdir()
    Path("mappings/nir.yaml").write_text(NIR.read_text())
    return Path("mappings/snn")


def new(*layers: str) -> int:
    options = [option for layer in layers for option in ("--layer", layer)]
    return main(["new", "snn", "--package", "snn", *options])


def test_the_files(install: Install, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert new("cells.LIFCell=IF", "snn.cells.Nothing") == 0
    assert capsys.readouterr().out == (
        "created mappings/snn/framework.yaml\n"
        "created mappings/snn/signatures.yaml\n"
        "created mappings/snn/lif_cell.yaml\n"
        "created mappings/snn/nothing.yaml\n"
        "`nirgen check --mappings mappings` says what is left to decide\n"
    )
    assert (folder / "framework.yaml").read_text() == (
        "framework: snn\n"
        "version: 0.7.1\n"
        "packages: [snn]\n"
        "modules:\n"
        "  cells: snn.cells\n"
        "\n"
        "# Networks are made of torch.nn's layers too. A node that no layer computes becomes a\n"
        "# module of the reference, which `cell` gives a memory.\n"
        "builds_on: torch_nn\n"
        "fallback: reference\n"
        "cell: nir_runtime.contract.reference.Cell\n"
        "\n"
        "# If the layers have an attribute that tells how many axes stand before the features:\n"
        "# mode: {attribute: step_mode, axes: {s: 1, m: 2}, default: s}\n"
    )
    assert (folder / "signatures.yaml").read_text().partition("\n\n")[2] == (
        "cells.LIFCell:\n"
        "  tau: {type: float}\n"
        '  v_reset: {type: "Optional[float]", default: 0.0}\n'
        "  reset_by: {type: Any, default: set}\n"
        '  size: {type: "Union[int, tuple[int, int]]", default: "(1, 2)"}\n'
        "  limit: {type: float, default: inf}\n"
        "  step_mode: {type: str, default: s}\n"
        "  args: {type: object}\n"
        "  gate: {type: bool, default: true}\n"
        "\n"
        "cells.Nothing: {}\n"
    )
    assert (folder / "lif_cell.yaml").read_text() == (
        "layer: cells.LIFCell\n"
        "node: IF\n"
        "step:\n"
        "source: snn/cells.py\n"
        "\n"
        "# To be stated of IF, exactly once, by a formula over the parameters (`bind`)\n"
        "# or by an array of the layer (`tensors`).\n"
        "#   r: parameter in ohm, resistance\n"
        "#   v_threshold: parameter in V, firing threshold\n"
        "#   v_reset: parameter in V, reset potential\n"
        "# Of its state: the layer's attribute that holds it, or a formula of that (`state`),\n"
        "# and the value before the first step (`start`).\n"
        "#   v\n"
        "\n"
        "# To be decided for each parameter, exactly once: `bind` a field of the node to a\n"
        "# formula of it, `derive` it from the node, `fix` it to the one value that has a\n"
        "# meaning, leave it to who imports (`options`), or `ignore` it, with the reason.\n"
        "#   tau: float\n"
        "#   v_reset: Optional[float] = 0.0\n"
        "#   reset_by: Any = 'set'\n"
        "#   size: Union[int, tuple[int, int]] = '(1, 2)'\n"
        "#   limit: float = 'inf'\n"
        "#   step_mode: str = 's'\n"
        "#   args: object\n"
        "#   gate: bool = True\n"
    )


def test_a_check_says_all_that_is_left_to_decide(
    install: Install, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new("cells.LIFCell", "cells.Nothing") == 0
    capsys.readouterr()
    assert main(["check"]) == 1
    asked = [line.partition(" ")[2] for line in capsys.readouterr().err.splitlines()]
    for name in ("tau", "v_reset", "reset_by", "size", "limit", "step_mode", "gate"):
        assert f"`{name}` of cells.LIFCell is not accounted for" in asked
    for cls in ("LIFCell", "Nothing"):
        assert f"NIR has no `to be decided for {cls}`" in asked
    assert asked.count("the mapping needs the layer's `equation`") == 2
    assert not any("imported already" in line for line in asked)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        ("cells.LIFCel", "snn.cells has no class `LIFCel`\n    did you mean `LIFCell`?\n"),
        (
            "cels.LIFCell",
            "`snn.cels` can't be imported: No module named 'snn.cels'\n    check the name\n",
        ),
        ("cells.LIFCell=Linera", "NIR has no `Linera`\n    did you mean `Linear`?\n"),
    ],
)
def test_mistakes_write_nothing(
    layer: str, message: str, install: Install, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new(layer) == 2
    assert capsys.readouterr().err == f"nirgen new: {message}"
    assert not folder.exists()


def test_a_framework_that_is_not_installed(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["new", "snn", "--package", "snn_of_nobody", "--layer", "Cell"]) == 2
    assert capsys.readouterr().err == (
        "nirgen new: `snn_of_nobody` can't be imported: No module named 'snn_of_nobody'\n"
        "    install it: pip install snn_of_nobody\n"
    )


def test_a_folder_is_started_once(
    install: Install, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new("cells.LIFCell") == 0
    assert new("cells.LIFCell") == 2
    assert "mappings/snn exists already" in capsys.readouterr().err


def test_no_path_for_a_name(install: Install, folder: Path) -> None:
    assert main(["new", "../snn", "--package", "snn"]) == 2


def test_two_modules_that_end_alike_have_two_names(install: Install, folder: Path) -> None:
    inner = Path("packages/snn/deep")
    inner.mkdir()
    (inner / "__init__.py").write_text("")
    (inner / "cells.py").write_text(CELLS)
    assert new("cells.LIFCell", "deep.cells.LIFCell") == 0
    problems = Problems()
    (framework,) = read_mappings(Path("mappings"), problems).frameworks
    assert framework.framework.modules == {"cells": "snn.cells", "deep_cells": "snn.deep.cells"}
    layers = {mapping.layers for mapping in framework.layers}
    assert layers == {("cells.LIFCell",), ("deep_cells.LIFCell",)}


# --- signatures -----------------------------------------------------------------------------


def test_a_new_release(install: Install, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert new("cells.LIFCell") == 0
    assert main(["signatures"]) == 0
    before = (folder / "signatures.yaml").read_text()
    by_hand = before.replace(
        "{type: Any, default: set}", "{type: \"Literal['set', 'subtract']\", default: set}"
    )
    (folder / "signatures.yaml").write_text(by_hand)
    assert main(["signatures", "--check"]) == 0, "a type made by hand says more"

    install(CELLS.replace("= 0.0", "= None").replace("tau: float", "tau: float, beta: float"))
    capsys.readouterr()
    assert main(["signatures"]) == 1
    at = "mappings/snn/signatures.yaml: cells.LIFCell"
    assert capsys.readouterr().out == (
        f"{at}(beta): float (new)\n"
        f"{at}(v_reset): Optional[float] = 0.0 -> Optional[float] = None\n"
        "run `nirgen signatures --update`, then `nirgen diff` for what it means\n"
    )
    assert (folder / "signatures.yaml").read_text() == by_hand

    assert main(["signatures", "--update"]) == 0
    assert (folder / "signatures.yaml").read_text() == by_hand.replace(
        "default: 0.0}", "default: null}"
    ).replace("  tau: {type: float}\n", "  tau: {type: float}\n  beta: {type: float}\n")
    assert main(["signatures", "snn"]) == 0


def test_a_layer_that_was_mapped_by_hand_gets_its_signature(
    install: Install, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new("cells.LIFCell") == 0
    (folder / "nothing.yaml").write_text(
        "layer: cells.Nothing\nskip: it is nothing\nequation: y = x\n"
    )
    assert main(["signatures", "--update"]) == 0
    assert "cells.Nothing: {}\n" in (folder / "signatures.yaml").read_text()


def test_a_layer_that_is_gone(
    install: Install, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new("cells.LIFCell") == 0
    install(CELLS.replace("LIFCell", "LeakyCell"))
    assert main(["signatures"]) == 2
    assert "snn.cells has no class `LIFCell`" in capsys.readouterr().err


def test_an_unknown_framework(
    install: Install, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new("cells.LIFCell") == 0
    assert main(["signatures", "snm"]) == 2
    assert "did you mean `snn`?" in capsys.readouterr().err


# --- texts ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        None, True, False, 0, -3, 1.0, 1e-05, 1e300, "s", "Any", "no", "off", "12", "1e3", "1:30",
        "2024-01-31", "null", "", "a, b", "{x}", "# no", "int | None", 'a "word"', "a: b",
        "tuple[int, ...]", " x", "Optional[float]", "inf", "~", "é",
    ],
)  # fmt: skip
def test_scalars_are_read_back(value: Constant) -> None:
    for text in (f"key: {scalar(value)}\n", f"{{key: {scalar(value)}, other: 1}}\n"):
        problems = Problems()
        tree = parse(text, "m.yaml", problems)
        assert not problems.found
        assert isinstance(tree, Entries)
        held = tree.entries["key"]
        assert isinstance(held, Scalar)
        assert (held.value, type(held.value)) == (value, type(value))


@pytest.mark.parametrize(
    ("cls", "stem"),
    [
        ("LIFNode", "lif_node"),
        ("CUBALIFNode", "cubalif_node"),
        ("Conv2d", "conv2d"),
        ("AvgPool2d", "avg_pool2d"),
        ("leaky", "leaky"),
    ],
)
def test_file_names(cls: str, stem: str) -> None:
    assert file_stem(cls) == stem


STRUCTURES = """
from typing import NamedTuple
def nothing(v): ...
class Parameters(NamedTuple):
    tau_inv: float
    left: object = nothing
class Base:
    def __init__(self, activation, p, dt: float = 1e-3): ...
class LIFCell(Base):
    def __init__(self, p: Parameters = Parameters(0.5), **kwargs):
        super().__init__(activation=None, p=p, **kwargs)
class Nothing:
    pass
"""


def test_structures_and_what_a_base_takes(install: Install, folder: Path) -> None:
    """The fields of a named tuple, and the base's own parameters where they are passed on."""
    install(STRUCTURES)
    assert new("cells.LIFCell") == 0
    written = (folder / "signatures.yaml").read_text(encoding="utf-8")
    assert written.endswith(
        "cells.LIFCell:\n"
        "  p:\n"
        "    type: cells.Parameters\n"
        "    fields:\n"
        "      tau_inv: {type: float}\n"
        "      left: {type: object, default: nothing}\n"
        "  dt: {type: float, default: 0.001}\n"
    )
    assert main(["signatures"]) == 0

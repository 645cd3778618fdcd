"""`nir-exchange draw`."""

from __future__ import annotations

import json
from pathlib import Path

import nir_exchange
from tests.console.conftest import Typed
from tests.drawing import networks


def test_a_picture_is_written(typed: Typed, tmp_path: Path) -> None:
    nir_exchange.write(tmp_path / "net.nir", networks.recurrent())
    result = typed("draw", "net.nir", "-o", "net.svg", "--direction", "right")
    assert (result.returncode, result.stdout, result.stderr) == (0, "net.svg: 7 nodes\n", "")
    expected = nir_exchange.draw(networks.recurrent(), direction="right").svg
    assert (tmp_path / "net.svg").read_text() == expected


def test_without_an_output_mermaid_is_printed(typed: Typed, tmp_path: Path) -> None:
    nir_exchange.write(tmp_path / "net.nir", networks.nested())
    result = typed("draw", "net.nir")
    assert result.returncode == 0
    assert result.stdout == nir_exchange.draw(networks.nested()).mermaid


def test_json(typed: Typed, tmp_path: Path) -> None:
    nir_exchange.write(tmp_path / "net.nir", networks.recurrent())
    found = json.loads(typed("draw", "net.nir", "-o", "net.dot", "--most", "0", "--json").stdout)
    assert (found["file"], found["nodes"], found["boxes"]) == ("net.dot", 7, 7)
    assert found["mermaid"].startswith("flowchart TB")


def test_mistakes(typed: Typed, tmp_path: Path) -> None:
    nir_exchange.write(tmp_path / "net.nir", networks.recurrent())
    for arguments, meant in [
        (["draw", "ent.nir"], "did you mean net.nir?"),
        (["draw", "net.nir", "-o", "net.jpg"], "net.jpg ends in none of .svg, .png"),
        (["draw", "net.nir", "-o", "nowhere/net.svg"], "there is no folder nowhere"),
        (["draw", "net.nir", "--most", "-1"], "'--most'"),
        (["draw", "net.nir", "--direction", "up"], "'down', 'right'"),
    ]:
        result = typed(*arguments)
        assert (result.returncode, result.stdout) == (2, "")
        assert meant in result.stderr
        assert "Traceback" not in result.stderr

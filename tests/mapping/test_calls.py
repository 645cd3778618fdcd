"""How layers are called: what a mapping may say, what is generated of it, and what that means."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_args

import pytest

from nir_runtime.calling import Call, taken_apart
from nirgen import emit, mapping
from nirgen.mapping.model import CALLS

from .conftest import Edit

GUARDED = """
calls:
  - {when: not init_hidden, call: "y, *state = layer(x, *state)"}
  - {when: output, call: "y, *state = layer(x)"}
  - call: y = layer(x)
"""


@pytest.fixture
def folder(edit: Edit) -> Path:
    return edit("spikingjelly/framework.yaml", "", "")


def with_calls(folder: Path, text: str) -> str:
    path = folder / "spikingjelly" / "framework.yaml"
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")
    return emit.generate(mapping.load(folder))["spikingjelly/__init__.py"]


def test_the_language_has_what_the_runtime_knows() -> None:
    assert get_args(Call) == CALLS


@pytest.mark.parametrize(
    ("call", "takes", "gives"),
    [
        ("y = layer(x)", (), ()),
        ("y, state = layer(x, state)", ("state",), ("state",)),
        ("y, *state = layer(x)", (), ("*state",)),
        ("y, *state = layer(x, *state)", ("*state",), ("*state",)),
        ("y, *state = layer(x, y, *state)", ("y", "*state"), ("*state",)),
    ],
)
def test_a_call(call: Call, takes: tuple[str, ...], gives: tuple[str, ...]) -> None:
    calling = taken_apart(call)
    assert (calling.takes, calling.gives) == (takes, gives)
    assert calling.remembers == (not takes)


def test_a_function_tells_which_way_applies(folder: Path) -> None:
    text = with_calls(folder, GUARDED)
    start = text.index("def calling(")
    namespace: dict[str, Any] = {}
    exec("from __future__ import annotations\n" + text[start : text.index("TARGET")], namespace)
    told = [
        namespace["calling"](SimpleNamespace(init_hidden=hidden, output=output))
        for hidden, output in ((False, True), (True, True), (True, False))
    ]
    assert told == ["y, *state = layer(x, *state)", "y, *state = layer(x)", "y = layer(x)"]
    assert "    calling=calling,\n" in text


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("\ncalls: y, state = layer(state, x)\n", "is not a way of calling a layer"),
        ("\ncalls: {call: y = layer(x)}\n", "must be a call, or a list of calls"),
        ("\ncalls: [{when: a, call: y = layer(x)}]\n", "only it has no `when`"),
        ("\ncalls: [{call: y = layer(x)}, {call: y = layer(x)}]\n", "only it has no `when`"),
    ],
)
def test_what_is_refused(folder: Path, text: str, what: str) -> None:
    with pytest.raises(mapping.MappingError) as caught:
        with_calls(folder, text)
    assert what in str(caught.value)

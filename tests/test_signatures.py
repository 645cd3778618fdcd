"""The committed signatures are those of the installed frameworks."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path

import pytest

from nirgen import mapping
from nirgen.mapping.model import Framework, Parameter

LOADED = mapping.load(Path(__file__).parents[1] / "mappings")
LAYERS = [
    (framework.framework, name, signature)
    for framework in LOADED.frameworks
    for name, signature in framework.signatures.items()
]


@pytest.mark.parametrize(
    ("framework", "name", "signature"), LAYERS, ids=[f"{f.name}-{n}" for f, n, _ in LAYERS]
)
def test_signature(framework: Framework, name: str, signature: dict[str, Parameter]) -> None:
    module, _, attribute = name.rpartition(".")
    cls = getattr(importlib.import_module(framework.modules[module]), attribute)
    installed = inspect.signature(cls).parameters
    assert list(signature) == list(installed)
    for key, parameter in installed.items():
        committed = signature[key]
        assert committed.required == (parameter.default is inspect.Parameter.empty), key
        if isinstance(parameter.default, (bool, int, float, str, type(None))):
            assert committed.default == parameter.default, key

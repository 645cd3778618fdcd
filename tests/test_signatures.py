"""The committed signatures are those of the installed frameworks."""

from __future__ import annotations

from pathlib import Path

import pytest

from nirgen import mapping
from nirgen.mapping.model import FrameworkMappings
from nirgen.review import installed

LOADED = mapping.load(Path(__file__).parents[1] / "mappings")


@pytest.mark.parametrize("framework", LOADED.frameworks, ids=lambda f: f.framework.name)
def test_signatures(framework: FrameworkMappings) -> None:
    """`nirgen signatures --update` brings them up to date."""
    true = installed.up_to_date(framework)
    assert list(installed.differences(framework, true)) == []

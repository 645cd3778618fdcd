"""What is committed under `generated/` is what the mappings say, and nothing else."""

from __future__ import annotations

from pathlib import Path

from nirgen import emit, mapping
from nirgen.emit import write
from nirgen.emit.manifest import NAME as MANIFEST

ROOT = Path(__file__).parents[2]
GENERATED = ROOT / "generated" / "nir_exchange"


def texts() -> emit.Texts:
    return emit.generate(mapping.load(ROOT / "mappings"))


def test_the_committed_converters_are_current() -> None:
    generated = texts()
    changes = write.compare(generated, GENERATED)
    difference = write.diff(generated, GENERATED, changes)
    assert not changes, f"{difference}\nrun `make generate`"


def test_nothing_else_is_there() -> None:
    files = {p for p in GENERATED.rglob("*") if p.is_file() and "__pycache__" not in p.parts}
    assert {path.relative_to(GENERATED).as_posix() for path in files} == {*texts(), MANIFEST}


def test_generating_twice_gives_the_same() -> None:
    assert texts() == texts()


def test_a_deleted_package_comes_back_byte_for_byte(tmp_path: Path) -> None:
    write.write(texts(), tmp_path)
    for path in (*texts(), MANIFEST):
        assert (tmp_path / path).read_bytes() == (GENERATED / path).read_bytes()

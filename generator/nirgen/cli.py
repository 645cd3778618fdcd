"""`nirgen`: generate converters from mappings, and check that they are current."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from nirgen import emit, mapping
from nirgen.emit import write


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line.

    Returns:
        0 if all is well; 1 if a mapping has problems, or `check` found a difference.
    """
    options = _parser().parse_args(arguments)
    try:
        texts = emit.generate(mapping.load(options.mappings))
    except mapping.MappingError as error:
        print(error, file=sys.stderr)
        count = len(error.problems)
        noun = "problem" if count == 1 else "problems"
        print(f"{count} {noun}; nothing was written", file=sys.stderr)
        return 1
    command = _check if options.command == "check" else _generate
    return command(texts, options.output, options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nirgen", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, says in (
        ("generate", "write the converters; only files that change are touched"),
        ("check", "compare the converters with the mappings; write nothing"),
    ):
        command = commands.add_parser(name, help=says, description=says)
        command.add_argument(
            "--mappings",
            type=Path,
            default=Path("mappings"),
            metavar="DIR",
            help="the folder of the mappings (default: mappings)",
        )
        command.add_argument(
            "--output",
            type=Path,
            default=Path("generated/nir_exchange"),
            metavar="DIR",
            help="the package to write (default: generated/nir_exchange)",
        )
    return parser


def _generate(texts: emit.Texts, output: Path, options: argparse.Namespace) -> int:
    changes = write.write(texts, output)
    for line in changes.lines():
        print(line)
    if not changes:
        print(f"{output} is current")
    return 0


def _check(texts: emit.Texts, output: Path, options: argparse.Namespace) -> int:
    changes = write.compare(texts, output)
    if not changes:
        print(f"{output} is current")
        return 0
    print(write.diff(texts, output, changes), end="")
    command = f"nirgen generate --mappings {options.mappings} --output {output}"
    print(f"{output} is not what the mappings say; run `make generate` (`{command}`)")
    return 1

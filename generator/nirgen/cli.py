"""`nirgen`: generate converters from mappings, check that they are current, review changes."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from nirgen import emit, mapping
from nirgen.emit import write
from nirgen.review import commands as review
from nirgen.review.errors import ReviewError


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line.

    Returns:
        0 if all is well; 1 if a mapping has problems, `check` or `signatures` found a difference,
        or `diff --fail-on-loss` a loss; 2 if the command can't be carried out.
    """
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except mapping.MappingError as error:
        count = len(error.problems)
        noun = "problem" if count == 1 else "problems"
        unwritten = "; nothing was written" if options.command == "generate" else ""
        print(f"{error}\n{count} {noun}{unwritten}", file=sys.stderr)
        return 1
    except ReviewError as error:
        print(f"nirgen {options.command}: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nirgen", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, says, run in (
        ("generate", "write the converters; only files that change are touched", _generate),
        ("check", "compare the converters with the mappings; write nothing", _check),
    ):
        command = commands.add_parser(name, help=says, description=says)
        review.add_mappings(command)
        command.add_argument(
            "--output",
            type=Path,
            default=Path("generated/nir_exchange"),
            metavar="DIR",
            help="the package to write (default: generated/nir_exchange)",
        )
        command.set_defaults(run=run)
    review.add(commands)
    return parser


def _generate(options: argparse.Namespace) -> int:
    texts, output = emit.generate(mapping.load(options.mappings)), options.output
    changes = write.write(texts, output)
    for line in changes.lines():
        print(line)
    if not changes:
        print(f"{output} is current")
    return 0


def _check(options: argparse.Namespace) -> int:
    texts, output = emit.generate(mapping.load(options.mappings)), options.output
    changes = write.compare(texts, output)
    if not changes:
        print(f"{output} is current")
        return 0
    print(write.diff(texts, output, changes), end="")
    command = f"nirgen generate --mappings {options.mappings} --output {output}"
    print(f"{output} is not what the mappings say; run `make generate` (`{command}`)")
    return 1

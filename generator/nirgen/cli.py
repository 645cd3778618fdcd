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
    except (ReviewError, write.InTheWay) as error:
        print(f"nirgen {options.command}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        where = "" if error.filename is None else f"{error.filename}: "
        print(f"nirgen {options.command}: {where}{error.strerror or error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="nirgen", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, says, run in (
        (
            "generate",
            "write the converters; files that it did not write, or that changed since, stop it",
            _generate,
        ),
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
    commands.choices["generate"].add_argument(
        "--force",
        action="store_true",
        help="also replace and remove generated files that were changed since",
    )
    review.add(commands)
    return parser


def _generate(options: argparse.Namespace) -> int:
    texts, output = emit.generate(mapping.load(options.mappings)), options.output
    changes = write.write(texts, output, options.force)
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
    difference = write.diff(texts, output, changes)
    print(difference or "\n".join([*changes.lines(), ""]), end="")
    if changes.obstacles:
        print(write.InTheWay(output, changes.obstacles))
    command = f"nirgen generate --mappings {options.mappings} --output {output}"
    print(f"{output} is not what the mappings say; run `make generate` (`{command}`)")
    return 1

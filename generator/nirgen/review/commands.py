"""The commands of a reviewer: `nirgen diff`, `explain`, `contract`, `new`, `signatures`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from nirgen import mapping
from nirgen.mapping.model import FrameworkMappings, Mappings
from nirgen.mapping.problems import MappingError, Problems, did_you_mean
from nirgen.mapping.read import read_mappings, read_nodes
from nirgen.review import contract, explain, installed, render, sides, signatures, start
from nirgen.review.changes import Change
from nirgen.review.compare import compare
from nirgen.review.errors import ReviewError

if TYPE_CHECKING:
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

NOTHING_WRONG, LOSS, NOT_DONE = 0, 1, 2
"""Exit statuses: all is well; something is lost, or isn't as committed; a command can't be done."""


def add(commands: Commands) -> None:
    """Add the commands to a command line; each parser's `run` carries its command out."""
    _add_diff(commands)
    _add_explain(commands)
    _add_contract(commands)
    _add_new(commands)
    _add_signatures(commands)


def add_mappings(command: argparse.ArgumentParser) -> None:
    """The option that all commands have."""
    command.add_argument(
        "--mappings",
        type=Path,
        default=Path("mappings"),
        metavar="DIR",
        help="the folder of the mappings (default: mappings)",
    )


def _command(
    commands: Commands, name: str, says: str, run: Callable[[argparse.Namespace], int]
) -> argparse.ArgumentParser:
    command = commands.add_parser(name, help=says, description=says)
    add_mappings(command)
    command.set_defaults(run=run)
    return command


# --- diff -----------------------------------------------------------------------------------


def _add_diff(commands: Commands) -> None:
    says = "say what a change of the mappings means"
    command = _command(commands, "diff", says, diff)
    command.add_argument(
        "base", nargs="?", metavar="BASE", help="a revision of git (default: HEAD)"
    )
    command.add_argument(
        "head", nargs="?", metavar="HEAD", help="another (default: the folder as it is)"
    )
    command.add_argument(
        "--from", dest="old", type=Path, metavar="DIR", help="a folder instead of BASE"
    )
    command.add_argument(
        "--to", dest="new", type=Path, metavar="DIR", help="a folder instead of HEAD"
    )
    command.add_argument(
        "--format", choices=sorted(render.FORMATS), default="text", help="default: text"
    )
    command.add_argument(
        "--fail-on-loss",
        action="store_true",
        help="exit with 1 if a grade falls or support is lost",
    )


def diff(options: argparse.Namespace) -> int:
    """What the head means that the base didn't.

    Returns:
        0; 1 if something is lost and `--fail-on-loss` asks; 2 if a side can't be read.
    """
    if (options.old and options.base) or (options.new and options.head):
        raise ReviewError("name a folder or a revision for one side, not both")
    base = _side(options.old, options.base or "HEAD", options.mappings)
    head = _side(options.new, options.head, options.mappings)
    report = compare(base, head)
    print(render.FORMATS[options.format](report), end="")
    if report.unreadable:
        return NOT_DONE
    return LOSS if report.losses and options.fail_on_loss else NOTHING_WRONG


def _side(folder: Path | None, revision: str | None, mappings: Path) -> sides.Side:
    if folder is not None:
        return sides.read_folder(folder, str(folder))
    if revision is not None:
        return sides.read_revision(revision, mappings)
    return sides.read_folder(mappings, "the working tree")


# --- explain --------------------------------------------------------------------------------


def _add_explain(commands: Commands) -> None:
    says = "print a mapping as people would write it in a paper"
    command = _command(commands, "explain", says, explained)
    command.add_argument("framework", metavar="FRAMEWORK", help="such as spikingjelly")
    command.add_argument(
        "layer", nargs="?", metavar="LAYER", help="such as neuron.LIFNode (default: list them)"
    )


def explained(options: argparse.Namespace) -> int:
    """Print a mapping, or a list of those there are."""
    loaded = mapping.load(options.mappings)
    if options.layer is None:
        print(explain.listing(loaded, options.framework), end="")
    else:
        print(explain.explain(loaded, options.framework, options.layer), end="")
    return NOTHING_WRONG


# --- contract -------------------------------------------------------------------------------


def _add_contract(commands: Commands) -> None:
    says = "print what each NIR node computes in a step, as a table"
    _command(commands, "contract", says, contracted)


def contracted(options: argparse.Namespace) -> int:
    """Print the steps of `nir.yaml`."""
    problems = Problems()
    nodes = read_nodes(options.mappings, problems)
    problems.raise_if_any()
    print(contract.table(nodes), end="")
    return NOTHING_WRONG


# --- new ------------------------------------------------------------------------------------


def _add_new(commands: Commands) -> None:
    says = "start a folder of mappings for an installed framework"
    command = _command(commands, "new", says, new)
    command.add_argument("framework", metavar="FRAMEWORK", help="the name of the new folder")
    command.add_argument(
        "--package", required=True, metavar="PACKAGE", help="what Python imports, such as norse"
    )
    command.add_argument(
        "--layer",
        dest="layers",
        action="append",
        default=[],
        metavar="MODULE.CLASS[=NODE]",
        help="a layer to map, and the NIR node that it is, if that is known; may be repeated",
    )


def new(options: argparse.Namespace) -> int:
    """Write the folder; nothing is written unless everything can be."""
    if not options.framework.isidentifier():
        raise ReviewError(f"`{options.framework}` is no name of a Python package")
    nodes = read_mappings(options.mappings.resolve(), Problems()).nodes  # others' problems may wait
    folder = options.mappings / options.framework
    files = start.texts(options.package, options.layers, nodes)
    start.write(folder, files)
    for name in files:
        print(f"created {folder / name}")
    print(f"`nirgen check --mappings {options.mappings}` says what is left to decide")
    return NOTHING_WRONG


# --- signatures -----------------------------------------------------------------------------


def _add_signatures(commands: Commands) -> None:
    says = "compare the committed signatures with the installed frameworks"
    command = _command(commands, "signatures", says, compare_signatures)
    command.add_argument(
        "frameworks", nargs="*", metavar="FRAMEWORK", help="only these (default: all)"
    )
    what = command.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="write nothing (default)")
    what.add_argument("--update", action="store_true", help="rewrite what differs")


def compare_signatures(options: argparse.Namespace) -> int:
    """Say what differs, and with `--update` write it.

    Returns:
        0 if the committed signatures are those installed, or are now; 1 if they differ.
    """
    found = _read(options.mappings)
    differs = False
    for framework in _chosen(found, options.frameworks):
        true = installed.up_to_date(framework)
        differences = list(installed.differences(framework, true))
        path = options.mappings / framework.framework.name / "signatures.yaml"
        for change in differences:
            print(f"{path}: {_difference(change)}")
        if differences and options.update:
            comment = signatures.comment_of(path.read_text(encoding="utf-8"))
            path.write_text(signatures.written(true, comment), encoding="utf-8", newline="\n")
            print(f"updated {path}")
        differs = differs or bool(differences)
    if not differs:
        print("the committed signatures are those of what is installed")
    elif not options.update:
        print("run `nirgen signatures --update`, then `nirgen diff` for what it means")
    return LOSS if differs and not options.update else NOTHING_WRONG


def _difference(change: Change) -> str:
    """`neuron.LIFNode(tau): float = 2.0 -> float = 2.5`"""
    old, new = "; ".join(change.old), "; ".join(change.new)
    says = f"{old} -> {new}" if old and new else f"{old} (gone)" if old else f"{new} (new)"
    return f"{change.what}: {says}"


def _chosen(found: Mappings, names: Iterable[str]) -> Iterator[FrameworkMappings]:
    by_name = {framework.framework.name: framework for framework in found.frameworks}
    for name in names:
        if name not in by_name:
            raise ReviewError(f"there are no mappings of `{name}`", did_you_mean(name, by_name))
    return (by_name[name] for name in (list(names) or by_name))


def _read(folder: Path) -> Mappings:
    """Mappings as they are read: those that aren't decided yet have signatures too.

    Raises:
        MappingError: they can't be read.
    """
    problems = Problems()
    found = read_mappings(folder.resolve(), problems)
    if problems.found:
        raise MappingError(problems.found)
    return found

"""`nir-exchange`: the way in, its subcommands, and its exit statuses.

Whatever goes wrong is said on one screen, on stderr, and told by the exit status:

====  =========================================================================================
   0  all is well
   1  the answer is no: refused, not exact where that was asked for, different
   2  it can't be done: no such option, file, node or framework; a file that is damaged
   3  a mistake of ours; `--debug` shows where
 130  interrupted
====  =========================================================================================
"""

from __future__ import annotations

import importlib
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

import click

from nir_runtime.console import complaints, screen
from nir_runtime.console.frame import Failure

COMMANDS: Mapping[str, str] = {
    "info": "Show what is in a NIR file.",
    "check": "Say what a framework would make of it.",
    "verify": "Run it in two frameworks, and say where they differ.",
    "draw": "Draw the graph in a NIR file.",
    "convert": "Rewrite it: repaired, flat, smaller, in other numbers.",
    "support": "List the layers and nodes that are supported, and how well.",
    "completion": "Print what lets a shell complete what you type.",
}
"""The subcommands, each a module of `nir_runtime.console.commands`, in the order of the help."""

NAME = "nir-exchange"
NOT_DONE, INTERRUPTED = 2, 130


class Lazy(click.Command):
    """A subcommand whose module is loaded when it is run, or asked for its options."""

    def __init__(self, name: str, says: str) -> None:
        super().__init__(name, short_help=says)

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        return self._command().make_context(info_name, args, parent, **extra)

    def _command(self) -> click.Command:
        module = importlib.import_module(f"nir_runtime.console.commands.{self.name}")
        return cast(click.Command, module.command)


class AsListed(click.Group):
    """Commands whose help keeps their order; click would sort them by name."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


@click.group(
    cls=AsListed,
    commands={name: Lazy(name, says) for name, says in COMMANDS.items()},
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    no_args_is_help=True,
    epilog="Exit status: 0 all is well; 1 the answer is no: refused, or different; 2 it can't be "
    "done: no such file or option; 3 a mistake of ours. `--debug` behind a command shows where "
    "an error comes from.",
)
@click.version_option(package_name=NAME, prog_name=NAME)
def commands() -> None:
    """Look at networks in NIR files, and convert them between frameworks."""


def main() -> None:
    """The entry point."""
    sys.exit(run())


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; what it is given by default are the process's arguments.

    Returns:
        The exit status.
    """
    try:
        return int(commands.main(arguments, prog_name=NAME, standalone_mode=False) or 0)
    except click.UsageError as error:
        error.show()
        if isinstance(error, click.NoSuchCommand) and Path(error.command_name).exists():
            click.echo(f"To look at a file: {NAME} info {error.command_name}", err=True)
        return NOT_DONE
    except (click.Abort, KeyboardInterrupt):
        screen.complain("interrupted")
        return INTERRUPTED
    except Failure as failure:
        return _failed(failure)


def _failed(failure: Failure) -> int:
    if failure.debug:
        traceback.print_exception(failure.error)
    complaint = complaints.complaint(failure.error, at_length=failure.debug)
    screen.complain(complaint.text, failure.command)
    return complaint.status

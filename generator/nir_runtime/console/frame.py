"""What all subcommands have in common: their answer, and the options to get it otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from nir_runtime.console import screen

if TYPE_CHECKING:
    from nir_runtime.console.screen import Part


@dataclass(frozen=True)
class Answer:
    """What a subcommand gives.

    Attributes:
        parts: what people read: texts and tables.
        data: the same for programs, in JSON's own types.
        status: the exit status: 0, or 1 if the answer is no.
    """

    parts: tuple[Part, ...]
    data: Mapping[str, Any]
    status: int = 0


class Failure(Exception):
    """An error in a subcommand.

    Attributes:
        error: what was raised.
        command: the subcommand, as it is typed.
        debug: whether to show where it was raised.
    """

    def __init__(self, error: Exception, command: str, debug: bool) -> None:
        super().__init__(error)
        self.error, self.command, self.debug = error, command, debug


class Command(click.Command):
    """A subcommand. Its function returns an `Answer`, which is printed, and raises what it likes.

    Every one has `--json`, `--debug` and `--help`.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.params += [
            _switch("--json", "Print the answer as JSON, for a program to read."),
            _switch("--debug", "Show where an error comes from."),
        ]

    def invoke(self, ctx: click.Context) -> int:
        try:
            answer: Answer = super().invoke(ctx)
            screen.show(answer.data if ctx.meta["json"] else answer.parts)
            return answer.status
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError):
            raise  # click knows what to do; of a pipe, that nobody reads any more
        except Exception as error:
            raise Failure(error, ctx.command_path, ctx.meta["debug"]) from error


def _switch(name: str, says: str) -> click.Option:
    """An option that the function is not given; its value is in the context's `meta`."""

    def note(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
        ctx.meta[str(parameter.name)] = value

    return click.Option([name], is_flag=True, expose_value=False, callback=note, help=says)

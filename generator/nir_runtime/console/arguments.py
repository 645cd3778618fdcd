"""Arguments that several subcommands take, with what completes them in a shell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem


class File(click.ParamType[Path]):
    """A file; whoever opens it says what is wrong with it."""

    name = "file"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        return Path(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(incomplete, type="file")]


class Target(click.ParamType[str]):
    """A framework that there is a converter for, by the converter's name."""

    name = "target"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        known = targets()
        if value not in known:
            from nirgen.mapping.problems import did_you_mean

            self.fail(f"there is no target {value!r}; {did_you_mean(value, known)}", param, ctx)
        return str(value)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(name) for name in targets() if name.startswith(incomplete)]


class NodeName(click.ParamType[str]):
    """A node of the graph in FILE; whoever looks for it says that it isn't there."""

    name = "node"

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """The nodes of the file that was typed, if it can be read."""
        from nir_runtime import files
        from nir_runtime.contract.nesting import flatten
        from nir_runtime.errors import NirExchangeError

        # An option that lacks its value, as this one does now, keeps click from naming arguments.
        typed = [ctx.params.get("file"), *ctx.args]
        try:
            nodes = flatten(files.read(next(filter(None, typed))))[0].nodes
        except (StopIteration, OSError, NirExchangeError):
            return []
        return [CompletionItem(name) for name in nodes if name.startswith(incomplete)]


def targets() -> list[str]:
    """The names of all converters: those of the folders of the mappings that are installed."""
    from nirgen.mapping.read import shipped

    return sorted(path.parent.name for path in shipped().glob("*/framework.yaml"))


graph_file = click.argument("file", type=File(), metavar="FILE")
"""The NIR file that a command reads."""

dt_option = click.option(
    "--dt",
    type=float,
    metavar="SECONDS",
    help="The time step.  [default: the one that the file carries, or else 1e-4]",
)

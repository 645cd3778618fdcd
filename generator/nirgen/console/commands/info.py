"""`nir-exchange info`: what is in a NIR file."""

from __future__ import annotations

import difflib
from pathlib import Path

import click

from nirgen.console import screen
from nirgen.console.arguments import graph_file
from nirgen.console.frame import Answer, Command
from nirgen.graphs.info import Info, NodeInfo, info


@click.command("info", cls=Command)
@graph_file
@click.option("--node", metavar="NAME", help="Show one node only, in full.")
def command(file: Path, node: str | None) -> Answer:
    """Show what is in a NIR file: the nodes in order of execution, shapes, ranges, sizes.

    Exit status 1 if the graph means nothing; what is known of it is shown all the same.
    """
    with screen.progress(f"reading {file}") as advance:
        found = info(file, advance)
    shown = found if node is None else _one(found, node)
    return Answer(tuple(shown.parts()), shown.to_dict(), status=1 if found.problems else 0)


def _one(found: Info, name: str) -> NodeInfo:
    by_name = {node.name: node for node in found.nodes}
    if name not in by_name:
        near = difflib.get_close_matches(name, by_name, n=1)
        advice = f"did you mean {near[0]!r}?" if near else "without --node, all are shown"
        raise click.BadParameter(f"there is no node {name!r}; {advice}", param_hint="'--node'")
    return by_name[name]

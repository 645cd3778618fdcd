"""`nir-exchange info`: what is in a NIR file."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from pathlib import Path

import click

from nir_runtime.console import screen
from nir_runtime.console.arguments import NodeName, graph_file
from nir_runtime.console.frame import Answer, Command
from nir_runtime.graphs.info import Info, NodeInfo, info


@click.command("info", cls=Command)
@graph_file
@click.option("--node", type=NodeName(), metavar="NAME", help="Show one node only, in full.")
def command(file: Path, node: str | None) -> Answer:
    """Show what is in a NIR file: the nodes in order of execution, shapes, ranges, sizes.

    Exit status 1 if the graph means nothing; what is known of it is shown all the same.
    """
    with screen.progress(f"reading {file}") as advance:
        found = info(file, advance)
    status = 1 if found.problems else 0
    if node is None:
        return Answer(tuple(found.parts()), found.to_dict(), status)
    one = _one(found, node)
    return Answer((*one.parts(), *_meaning(one.kind)), one.to_dict(), status)


def _one(found: Info, name: str) -> NodeInfo:
    by_name = {node.name: node for node in found.nodes}
    if name in by_name:
        return by_name[name]
    near = difflib.get_close_matches(name, by_name, n=1)
    advice = f"did you mean {near[0]!r}?" if near else "without --node, all are shown"
    told = f"there is no node {name!r}; {advice}"
    if name in found.subgraphs:
        inside = [other for other in by_name if other.startswith(f"{name}.")]
        told = f"{name!r} is a graph of {len(inside)} nodes, such as {inside[0]!r}"
    raise click.BadParameter(told, param_hint="'--node'")


def _meaning(kind: str) -> Iterator[str]:
    """What a kind of node computes, and what its fields are; nothing of an Input or Output."""
    from nirgen.mapping import tables
    from nirgen.mapping.problems import Problems
    from nirgen.mapping.read import read_nodes, shipped

    node = read_nodes(shipped(), Problems()).get(kind)
    if node is not None:
        equation = tables.computed(node)
        fields = (
            f"{field.name}: {field.says}{f', in {field.unit}' if field.unit not in NO_UNIT else ''}"
            for field in node.fields.values()
        )
        yield "\n    ".join([f"{kind} ({node.says}) computes", *equation])
        yield "\n    ".join(["where", *fields])


NO_UNIT = ("", "1")

"""`nir-exchange support`: which layers and nodes are supported, in which direction, how well."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import click

from nir_runtime.console.arguments import Target
from nir_runtime.console.frame import Answer, Command
from nir_runtime.reports.tables import Row, Table
from nirgen.emit.support import Export, Import, Loss, exports, imports, losses
from nirgen.mapping import load_shipped
from nirgen.mapping.model import FrameworkMappings, Mappings
from nirgen.mapping.problems import did_you_mean

ARROWS = "`->`: a layer becomes the node; `<-`: the node becomes a layer; `<->`: both"


@click.command("support", cls=Command)
@click.option("--for", "names", type=Target(), multiple=True, metavar="NAME", help="A framework.")
@click.option("--layer", metavar="NAME", help="A layer, and what of it is lost: LIFNode.")
@click.option("--node", metavar="NAME", help="A NIR node: LIF.")
def command(names: Sequence[str], layer: str | None, node: str | None) -> Answer:
    """List the layers and nodes that are supported, in which direction, and how well.

    Without options, a line for each NIR node; with any, a line for each layer, of a framework that
    is named by --for also the layers of torch.nn. This is what SUPPORT.md says.
    """
    mappings = load_shipped()
    alone = not names and (layer is not None or node is not None)
    sections = [
        _section(framework, (framework,) if alone else framework.family, mappings, layer, node)
        for framework in mappings.frameworks
        if not names or framework.framework.name in names
    ]
    _find(layer, node, sections, mappings)
    parts: Iterable[str | Table] = (_matrix(sections, mappings), ARROWS)
    if names or layer or node:
        parts = [table for section in sections for table in section.tables(layer is not None)]
    return Answer(tuple(parts), {section.name: section.to_dict() for section in sections})


@dataclass(frozen=True)
class Section:
    """What is said of one framework.

    Attributes:
        name, title: of the framework.
        layers: the names of all its layers, whatever the filters.
        exports, imports, losses: the rows that pass the filters.
    """

    name: str
    title: str
    layers: frozenset[str]
    exports: tuple[Export, ...]
    imports: tuple[Import, ...]
    losses: tuple[Loss, ...]

    def tables(self, with_losses: bool) -> Iterator[Table]:
        """Tables of what passes the filters; none where nothing does."""
        if self.exports:
            rows = (Row((r.layer, r.nodes, r.grade), _said(r.remarks)) for r in self.exports)
            headings = ("layer", "node", "grade")
            yield Table(headings, tuple(rows), f"{self.title} -> NIR", details="remarks")
        if self.imports:
            rows = (Row((r.node, r.layer, r.grade), _said(r.remarks)) for r in self.imports)
            headings = ("node", "layer", "grade")
            yield Table(headings, tuple(rows), f"NIR -> {self.title}", details="remarks")
        if self.losses and with_losses:
            rows = (
                Row((loss.layer, loss.what, loss.grade), _said(loss.because, loss.instead))
                for loss in self.losses
            )
            title = f"{self.title}: losses, and what is none"
            yield Table(("layer", "what", "grade"), tuple(rows), title, details="why")

    def to_dict(self) -> dict[str, Any]:
        """The same in JSON's own types."""
        return {
            "title": self.title,
            "exports": [vars(row) for row in self.exports],
            "imports": [vars(row) for row in self.imports],
            "losses": [vars(row) for row in self.losses],
        }


def _said(*texts: str) -> tuple[str, ...]:
    return tuple(text for text in texts if text)


def _section(
    framework: FrameworkMappings,
    family: Sequence[FrameworkMappings],
    mappings: Mappings,
    layer: str | None,
    node: str | None,
) -> Section:
    """What a framework's mappings say of a layer and a node; None is any.

    Args:
        family: the framework and, unless those have a section of their own, what it builds on.
    """
    own = framework.framework
    every = [mapping for member in family for mapping in member.layers]
    first = {m.layers[0] for m in every if any(_is(name, layer) for name in m.layers)}
    of_node = {m.layers[0] for m in every if node is None or node in m.nodes}
    return Section(
        name=own.name,
        title=f"{own.title} {own.version}",
        layers=frozenset(name for m in every for name in m.layers),
        exports=tuple(
            row
            for member in family
            for row in exports(member, mappings)
            if _is(row.layer, layer) and _has(row.nodes, node)
        ),
        imports=tuple(
            row
            for row in imports(framework, mappings)
            if (layer is None or row.layer in first) and _has(row.node, node)
        ),
        losses=tuple(
            row
            for member in family
            for row in losses(member, mappings)
            if row.layer in first & of_node
        ),
    )


def _is(name: str, wanted: str | None) -> bool:
    """Whether a layer is the one that is wanted; its module may be left out."""
    return wanted is None or wanted in (name, name.rpartition(".")[2])


def _has(nodes: str, wanted: str | None) -> bool:
    """Whether a node is among those of a row, `SumPool2d, then Threshold`."""
    return wanted is None or wanted in re.split(", then |, ", nodes)


def _find(
    layer: str | None, node: str | None, sections: Sequence[Section], mappings: Mappings
) -> None:
    """Complain of a layer or node that there is not."""
    if node is not None and node not in mappings.nodes:
        advice = did_you_mean(node, mappings.nodes)
        raise click.BadParameter(f"NIR has no node {node!r}; {advice}", param_hint="'--node'")
    layers = {name for section in sections for name in section.layers}
    if layer is not None and not any(_is(name, layer) for name in layers):
        short = {name.rpartition(".")[2] for name in layers}
        advice = did_you_mean(layer, layers if "." in layer else short)
        raise click.BadParameter(f"there is no layer {layer!r}; {advice}", param_hint="'--layer'")


def _matrix(sections: Sequence[Section], mappings: Mappings) -> Table:
    """A row for each NIR node, a column for each framework."""
    rows = (Row((node, *(_cell(node, section) for section in sections))) for node in mappings.nodes)
    return Table(("node", *(section.name for section in sections)), tuple(rows))


def _cell(node: str, section: Section) -> str:
    """In which direction a framework takes part in a node, and with which grade."""
    out = [row for row in section.exports if _has(row.nodes, node) and row.grade != "refused"]
    back = [row for row in section.imports if row.node == node and row.grade != "refused"]
    if not out and not back:
        return "refused"
    arrow = f"{'<' if back else ''}-{'>' if out else ''}"
    return f"{arrow} {(back or out)[0].grade}"

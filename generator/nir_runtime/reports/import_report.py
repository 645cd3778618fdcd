"""What becomes of a graph's nodes: kept during an import, made a report when someone looks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import nir
from torch import nn

from nir_runtime.contract.nesting import Flat
from nir_runtime.errors import ImportRefused, InvalidGraph, Problem
from nir_runtime.exports import ties
from nir_runtime.imports.normalized import Normalized
from nir_runtime.reports.remarks import KINDS, TIES, detours, has_ties, refused_nodes, traps
from nir_runtime.reports.report import Entry, Grade, Report
from nir_runtime.reports.stated import applied, layer_name, of_layer, stated
from nir_runtime.sites import ImportSite
from nir_runtime.target import Importer, Target


@dataclass(frozen=True)
class Imported:
    """What became of one node.

    Attributes:
        name, kind: the node's, `sub.lif` and `LIF`.
        watched: the node, if its numbers can be a trap; a node's weights are not held on to.
        layer: what computes it, and `importer`, what made that.
        annotations: what of the metadata was honoured.
        cases: which cases of the mapping applied.
        passed_over: why layers that would have come first don't compute it.
        by_reference: whether a module of the reference computes it.
        lowered: whether the node's threshold is the next smaller one, for a layer that fires at it.
    """

    name: str
    kind: str
    watched: nir.NIRNode | None
    layer: nn.Module
    importer: Importer
    annotations: Sequence[str]
    cases: Sequence[str]
    passed_over: Sequence[str]
    by_reference: bool
    lowered: bool


@dataclass
class ImportLog:
    """What became of a graph's nodes so far.

    Attributes:
        target, dt: what is imported into, and at which time step.
        flat: the graph, while the import runs, and once it is known to mean something.
        refused: what the framework can't compute.
        notes: what is to be known of the whole.
    """

    target: Target
    dt: float
    flat: Flat | None = None
    imported: list[Imported] = field(default_factory=list)
    refused: Sequence[Entry] = ()
    notes: tuple[str, ...] = ()

    def add(
        self,
        name: str,
        node: nir.NIRNode,
        site: ImportSite,
        layer: nn.Module,
        importer: Importer,
        unfit: Sequence[Problem],
    ) -> None:
        """Note what a node became, and why not something else."""
        self.imported.append(
            Imported(
                name=name,
                kind=type(node).__name__,
                watched=node if isinstance(node, KINDS) else None,
                layer=layer,
                importer=importer,
                annotations=tuple(site.annotations),
                cases=tuple(site.cases),
                passed_over=tuple(problem.what for problem in unfit),
                by_reference=importer in self.target.fallback.get(type(node), ()),
                lowered=ties.is_lowered(node),
            )
        )

    @property
    def report(self) -> Report:
        return Report(self.target.name, "import", self.dt, self._entries, self.notes)

    @contextlib.contextmanager
    def reported(self) -> Iterator[None]:
        """A refusal inside gets the report of the whole."""
        try:
            yield
        except (ImportRefused, InvalidGraph) as refusal:
            self.refused = refused_nodes(refusal.problems, self.flat)
            refusal.report = self.report
            raise
        finally:
            self.flat = None  # a report doesn't hold on to weights

    def _entries(self) -> Iterator[Entry]:
        yield from map(self._converted, self.imported)
        yield from self.refused

    def _converted(self, node: Imported) -> Entry:
        rows = applied(stated(node.importer), node.cases)
        ties_differ = has_ties(
            self.target.fires, node.kind, by_reference=node.by_reference, lowered=node.lowered
        )
        return Entry(
            place=node.name,
            layer=layer_name(node.layer),
            node=node.kind,
            grade=Grade.ANNOTATED if node.annotations else Grade.EXACT,
            formulas=tuple(of_layer(rows, node.layer)),
            notes=(*node.annotations, *self._remarks(node), *([TIES] if ties_differ else [])),
            ties=ties_differ,
        )

    def _remarks(self, node: Imported) -> Iterator[str]:
        yield from detours(
            self.target.name,
            node.kind,
            normalized=isinstance(node.layer, Normalized),
            by_reference=node.by_reference,
            passed_over=node.passed_over,
        )
        if node.watched is not None:
            yield from traps(node.watched, self.dt)

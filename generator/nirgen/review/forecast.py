"""Whether a graph would go into a framework, and what would change: without the framework.

The answer is worked out on the mappings that are shipped with this package. Neither the framework
nor torch is imported.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import nir

from nir_runtime import files
from nir_runtime.arguments import DEFAULT_DT, as_dt, wrong_dt, wrong_graph
from nir_runtime.contract import order, origin, shapes
from nir_runtime.contract.nesting import Flat, thin_copy, without_ports
from nir_runtime.errors import InvalidArgument, InvalidGraph, Problem
from nir_runtime.exports import ties
from nir_runtime.reports import remarks
from nir_runtime.reports.report import Entry, Formula, Grade, Report, report_of
from nir_runtime.reports.shown import UNKNOWN, shown
from nirgen.mapping import load_shipped
from nirgen.mapping.model import Framework, FrameworkMappings, LayerMapping, Mappings
from nirgen.mapping.problems import did_you_mean
from nirgen.review.fit import Fit, Outside, Unfit, as_it_is, behind_a_map


def forecast(graph: nir.NIRGraph | str | Path, target: str, dt: float | None) -> Report:
    """What an import of a graph into a framework would make of each node.

    Args:
        graph: the graph, or the path of a NIR file.
        target: the framework's name, `spikingjelly`.
        dt: the time step, in seconds; None for the one that the graph carries, or else
            `DEFAULT_DT`.

    Raises:
        InvalidArgument: an argument can't be meant.
        InvalidFile: the file is not a NIR file.
    """
    problems = [*wrong_graph(graph), *wrong_dt(dt), *_wrong_target(target)]
    if problems:
        raise InvalidArgument(problems)
    mappings = load_shipped()
    framework = _framework(mappings, target)
    title = framework.framework.title
    step = as_dt(dt)
    notes: tuple[str, ...] = ()
    try:
        whole = graph if isinstance(graph, nir.NIRGraph) else files.read(graph)
        chosen = origin.time_step(whole, step)
        step, notes = chosen.dt, chosen.notes
        flat = without_ports(shapes.infer(thin_copy(whole)))
        entries = tuple(_Forecast(mappings, framework, flat, step).entries())
    except InvalidGraph as invalid:
        entries = remarks.refused_nodes(invalid.problems, None)
    return report_of(title, "import", step or DEFAULT_DT, entries, notes)


def _wrong_target(target: str) -> Iterator[Problem]:
    known = [f.framework.name for f in load_shipped().frameworks]
    if target not in known:
        mend = did_you_mean(target, known)
        yield Problem("target", f"is {target!r}", mend or f"known are {', '.join(known)}")


def _framework(mappings: Mappings, name: str) -> FrameworkMappings:
    return next(f for f in mappings.frameworks if f.framework.name == name)


@dataclass
class _Forecast:
    """A graph, and the framework that it is to go into."""

    mappings: Mappings
    framework: FrameworkMappings
    flat: Flat
    dt: float

    def entries(self) -> Iterator[Entry]:
        plan = order.plan(self.flat)
        problems = list(self._homeless_cycles(plan))
        for name in plan.order:
            node = self.flat.nodes[name]
            if not isinstance(node, (nir.Input, nir.Output)):
                entry = self._entry(name, node)
                if isinstance(entry, Entry):
                    yield entry
                else:
                    problems += entry
        yield from remarks.refused_nodes(problems, self.flat)

    def _entry(self, name: str, node: nir.NIRNode) -> Entry | Sequence[Problem]:
        """What becomes of a node, or what stands in the way."""
        held = ties.restored(node) if self.framework.fires == ">=" else node
        path = self.flat.places[name]
        passed_over: list[Unfit] = []
        for attempt, by_reference in self._attempts(held):
            try:
                fit = attempt()
            except Unfit as unfit:
                passed_over.append(unfit)
            except Outside as outside:
                return [Problem(f"{path}/{outside.field}", outside.what, outside.advice)]
            else:
                return self._taken(name, node, fit, by_reference, passed_over)
        # The reference, which comes last, lacks the fewest.
        decisive = passed_over if self._own.fallback is None else passed_over[-1:]
        return [_unfit(path, unfit) for unfit in decisive] or [self._unknown(path, node)]

    def _attempts(self, node: nir.NIRNode) -> Iterator[tuple[Callable[[], Fit], bool]]:
        """The ways to a layer in the order of an import; the reference's come last."""
        kind = self.mappings.nodes[type(node).__name__]
        for framework, by_reference in self._frameworks(kind.name):
            for mapping in _importing(framework, kind.name):
                how = mapping, framework, kind, node, self.dt
                yield partial(as_it_is, *how), by_reference
                for form in mapping.normalize:
                    if form.node == kind.name:
                        yield partial(behind_a_map, form, *how), by_reference

    def _frameworks(self, kind: str) -> Iterator[tuple[FrameworkMappings, bool]]:
        """The first of the family that has layers for a kind of node, and the reference."""
        having = (member for member in self.framework.family if any(_importing(member, kind)))
        yield from ((member, False) for member in itertools.islice(having, 1))
        if self._own.fallback is not None:
            yield _framework(self.mappings, self._own.fallback), True

    @property
    def _own(self) -> Framework:
        return self.framework.framework

    def _taken(
        self,
        name: str,
        node: nir.NIRNode,
        fit: Fit,
        by_reference: bool,
        passed_over: Sequence[Unfit],
    ) -> Entry:
        kind = type(node).__name__
        ties_differ = remarks.has_ties(
            self.framework.fires, kind, by_reference=by_reference, lowered=ties.is_lowered(node)
        )
        how = remarks.detours(
            self._own.title,
            kind,
            normalized=fit.normalized,
            by_reference=by_reference,
            passed_over=[unfit.what for unfit in passed_over],
        )
        said = (*fit.annotations, *how, *remarks.traps(node, self.dt))
        return Entry(
            place=name,
            layer=fit.layer,
            node=kind,
            grade=Grade.ANNOTATED if fit.annotations else Grade.EXACT,
            formulas=tuple(_formulas(fit)),
            notes=(*said, remarks.TIES) if ties_differ else said,
            ties=ties_differ,
        )

    def _unknown(self, path: str, node: nir.NIRNode) -> Problem:
        known = sorted({k for k in self.mappings.nodes if any(_importing(self.framework, k))})
        what = f"{self._own.title} has no layer for {type(node).__name__}"
        return Problem(path, what, f"it has for: {', '.join(known)}")

    def _homeless_cycles(self, plan: order.Plan) -> Iterator[Problem]:
        """The cycles, if the framework can't hold any."""
        for component in plan.components:
            if self._own.cell is None and plan.recurs(component):
                named = ", ".join(repr(name) for name in component[:12])
                what = f"{self._own.title} can't hold nodes that feed each other: {named}"
                yield Problem(self.flat.places[component[0]], what)


def _importing(framework: FrameworkMappings, kind: str) -> Iterator[LayerMapping]:
    """The mappings that an import tries for a kind of node, unless asked for others."""
    for mapping in framework.layers:
        if kind in mapping.imported and mapping.on_request is None:
            yield mapping


def _formulas(fit: Fit) -> Iterator[Formula]:
    for row in fit.rows:
        yield from shown(row.name, row.text, fit.values.get(row.name, UNKNOWN))


def _unfit(path: str, unfit: Unfit) -> Problem:
    place = f"{path}/{unfit.field}" if unfit.field else path
    return Problem(place, unfit.what, unfit.advice)

"""What becomes of a network's layers: kept during an export, made a report when someone looks."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from torch import nn

from nir_runtime.contract.primitives import is_stateful
from nir_runtime.errors import ExportRefused
from nir_runtime.exports import ties
from nir_runtime.exports.traces import Call, Trace
from nir_runtime.reports.remarks import MENDED, TIES, has_ties, long_step, refused
from nir_runtime.reports.report import Entry, Formula, Grade, Report, Verified
from nir_runtime.reports.stated import (
    applied,
    hosts_reference,
    layer_name,
    of_node,
    stated,
    system,
)
from nir_runtime.sites import ExportOptions, Skipped
from nir_runtime.target import Exporter, Target

RETURNED = "the state that the forward returns is the node's own"
UNREAD = "left out: no output needs it"
HOOKS_LEFT_OUT = "its forward hooks are left out, and nobody looked at what they change"
DECOMPOSED = "its reset by subtraction is written in NIR's own primitives"


@dataclass
class ExportLog:
    """What became of a network's layers so far.

    Attributes:
        target, net, dt, options: what is exported, and how.
        calls: what goes into the graph, as far as that is known.
        unread: what the network calls besides.
        skipped: the layers that pass on what they are given, by path.
        returned: the layers whose states the forward returns besides, by their ids.
        hooked: the modules whose hooks were left out.
        refused: what NIR can't hold.
        verified: what was run of the network and its graph.
    """

    target: Target
    net: nn.Module
    dt: float
    options: ExportOptions
    calls: Sequence[Call] = ()
    unread: Sequence[Call] = ()
    skipped: Mapping[str, nn.Module] = field(default_factory=dict)
    returned: Mapping[int, nn.Module] = field(default_factory=dict)
    hooked: Sequence[str] = ()
    refused: Sequence[Entry] = ()
    verified: Verified | None = None

    def follow(self, traced: Trace, used: Trace) -> None:
        """Note what the network calls, and that of it only some is used."""
        layers = {(id(call.layer), call.part) for call in used.calls}
        self.unread = [
            call
            for call in traced.calls
            if call.layer and (id(call.layer), call.part) not in layers
        ]
        self.skipped = traced.skipped
        self.returned = traced.returned
        self.hooked = traced.hooked

    @property
    def report(self) -> Report:
        return Report(self.target.name, "export", self.dt, self._entries, verified=self.verified)

    @contextlib.contextmanager
    def reported(self) -> Iterator[None]:
        """A refusal inside gets the report of the whole."""
        try:
            yield
        except ExportRefused as refusal:
            self.calls = self.calls or refusal.converted
            entries = refused(refusal.problems)
            self.refused = [replace(entry, layer=self._name_at(entry.place)) for entry in entries]
            refusal.report = self.report
            raise

    def _entries(self) -> Iterator[Entry]:
        places = {entry.place for entry in self.refused}
        yield from (self._converted(call) for call in self.calls if _place(call) not in places)
        yield from (_left_out(_place(call), call.layer, UNREAD) for call in self.unread)
        for path, layer in self.skipped.items():
            yield _left_out(path, layer, f"skipped: {self._why(layer)}")
        for path in self.hooked:
            yield Entry(path, self._name_at(path), "", Grade.APPROXIMATE, notes=(HOOKS_LEFT_OUT,))
        yield from self.refused

    def _converted(self, call: Call) -> Entry:
        return Entry(
            place=_place(call),
            layer=layer_name(call.layer),
            node=type(call.node).__name__,
            grade=Grade.ANNOTATED if call.annotations else Grade.EXACT,
            formulas=tuple(self._formulas(call)),
            notes=(*call.annotations, *call.notes, *self._remarks(call)),
            ties=self._ties(call),
        )

    def _formulas(self, call: Call) -> Iterator[Formula]:
        rows = list(applied(stated(self._exporter(call.layer)), call.cases))
        kind = type(call.node).__name__
        later_in_a_chain = any(row.name.startswith(f"{kind}.") for row in rows)
        return of_node(rows, call.node, kind if later_in_a_chain else "node")

    def _remarks(self, call: Call) -> Iterator[str]:
        if self.options.soft_reset == "decompose" and "reset" in call.node.metadata:
            yield DECOMPOSED
        if id(call.layer) in self.returned and is_stateful(call.node):
            yield RETURNED
        yield from long_step(call.node, self.dt)
        if self._ties(call):
            yield f"{TIES}; {MENDED}"

    def _ties(self, call: Call) -> bool:
        return has_ties(
            self.target.fires,
            type(call.node).__name__,
            by_reference=call.layer is None or hosts_reference(call.layer),
            lowered=ties.is_lowered(call.node),
        )

    def _why(self, layer: nn.Module) -> str:
        """The reason for which a layer needs no node."""
        exporter = self._exporter(layer)
        if not isinstance(exporter, Skipped):
            return "its output is its input"
        if exporter.acts(layer):
            return f"{exporter.because}; it is in training mode, in which {exporter.in_training}"
        return exporter.because

    def _exporter(self, layer: nn.Module | None) -> Exporter | None:
        exporters = self.target.exporters
        return exporters.get(type(layer)) or exporters.get(type(system(layer)))  # type: ignore[arg-type]

    def _name_at(self, place: str) -> str:
        """The class of the layer at a place; empty if that is no layer's."""
        try:
            return layer_name(self.net.get_submodule(place)) if place else ""
        except AttributeError:
            return ""


def _left_out(place: str, layer: nn.Module | None, why: str) -> Entry:
    return Entry(place, layer_name(layer), "", Grade.EXACT, notes=(why,))


def _place(call: Call) -> str:
    return call.path or layer_name(call.layer)

"""Mappings -> the tables of what is supported and what is lost, as Markdown.

A test converts a real layer for every row, and holds its report against what the row says.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from nirgen.emit.render import HEADER
from nirgen.mapping.expressions import (
    Not,
    holds,
    show,
    substitute,
)
from nirgen.mapping.model import Framework, FrameworkMappings, LayerMapping, Mappings
from nirgen.mapping.samples import is_always_within
from nirgen.mapping.tables import chain

BUT_FOR_TIES = " but for ties"
DECOMPOSED = ("subtract", "subtract_next")
DECOMPOSE = "export with soft_reset='decompose', which says it in NIR's own primitives"


@dataclass(frozen=True)
class Export:
    """What becomes of a layer: `grade` is that of a layer as it is by default."""

    layer: str
    nodes: str
    grade: str
    remarks: str


@dataclass(frozen=True)
class Import:
    """What becomes of a node: the layer that computes it where one does, and otherwise."""

    node: str
    layer: str
    grade: str
    remarks: str


@dataclass(frozen=True)
class Loss:
    """Something of a layer that NIR can't hold, or needn't.

    Attributes:
        layer: of which it is.
        what: the shape of the layer, or the parameter.
        grade: of a conversion then.
        because, instead: why, and what to do.
    """

    layer: str
    what: str
    grade: str
    because: str
    instead: str


def support(mappings: Mappings) -> str:
    """The tables of all frameworks."""
    return "\n".join(_document(mappings)) + "\n"


def exports(framework: FrameworkMappings, mappings: Mappings) -> Iterator[Export]:
    """A row for each layer."""
    for mapping in framework.layers:
        remarks = "; ".join(_export_remarks(mapping))
        for layer in mapping.layers:
            grade = _export_grade(layer, mapping, framework, mappings)
            yield Export(layer, chain(mapping, ", then "), grade, remarks)


def imports(framework: FrameworkMappings, mappings: Mappings) -> Iterator[Import]:
    """A row for each NIR node, and each layer that computes it."""
    reference = framework.framework.fallback
    for node in mappings.nodes:
        makers = makers_of(node, framework)
        for mapping in makers:
            grade = "exact" + _but_for_ties(framework, (node,), mappings)
            remarks = "; ".join(_import_remarks(node, mapping, framework.framework))
            yield Import(node, mapping.layers[0], grade, remarks)
        if not makers and reference is None:
            yield Import(node, "", "refused", f"{framework.framework.title} has no layer for it")
        elif not makers:
            yield Import(node, f"{reference}.{node}", "exact", "a module of the reference")


def losses(framework: FrameworkMappings, mappings: Mappings) -> Iterator[Loss]:
    """A row for each thing that a mapping annotates, rejects, fixes, bounds or ignores."""
    for mapping in framework.layers:
        yield from _annotated(mapping, mappings)
        yield from _refused(mapping)
        for name, because in mapping.ignore.items():
            yield Loss(mapping.layers[0], name, "exact", because, "")


def makers_of(node: str, framework: FrameworkMappings) -> list[LayerMapping]:
    """The mappings whose layers an import makes of a node: of the first framework that has any."""
    for member in framework.family:
        makers = [mapping for mapping in member.layers if node in mapping.imported]
        if makers:
            return makers
    return []


# --- exports --------------------------------------------------------------------------------


def _export_grade(
    layer: str, mapping: LayerMapping, framework: FrameworkMappings, mappings: Mappings
) -> str:
    """The grade of a layer whose parameters are those that its constructor has by default."""
    if mapping.direction == "refuse":
        return "refused"
    signature = framework.signatures[layer].values()
    usual = {p.name: p.default for p in signature if not p.required}
    cases = [case for choice in mapping.choices for case in choice.cases if case.annotate]
    always = any(all(case.annotate for case in choice.cases) for choice in mapping.choices)
    annotated = always or any(holds(case.when, usual) for case in cases)
    grade = "annotated" if annotated else "exact"
    return grade + (BUT_FOR_TIES if mapping.state and mapping.step.fires_at_threshold else "")


def _but_for_ties(framework: FrameworkMappings, nodes: Iterable[str], mappings: Mappings) -> str:
    """The end of a grade: what is said of neurons that compare with >=."""
    spiking = any(mappings.nodes[node].fires for node in nodes)
    return BUT_FOR_TIES if spiking and framework.fires == ">=" else ""


def _export_remarks(mapping: LayerMapping) -> Iterator[str]:
    if mapping.direction == "skip":
        yield f"skipped: {mapping.because}"
    if mapping.direction == "refuse":
        yield f"{mapping.because}; {mapping.instead}"
    if mapping.fold:
        yield "folded into the layer before, where that is linear"
    if mapping.direction == "export":
        yield f"not imported: {mapping.because}"


# --- imports --------------------------------------------------------------------------------


def _import_remarks(node: str, mapping: LayerMapping, framework: Framework) -> Iterator[str]:
    if mapping.on_request is not None:
        yield f"with {mapping.on_request}=True"
    for form in mapping.normalize:
        if form.node == node:
            yield f"behind a gain and a shift of its input, where {show(form.when)}"
    if framework.fallback is not None:
        yield "otherwise a module of the reference"


# --- losses ---------------------------------------------------------------------------------


def _annotated(mapping: LayerMapping, mappings: Mappings) -> Iterator[Loss]:
    layer = mapping.layers[0]
    for choice in mapping.choices:
        for case in choice.cases:
            if case.annotate:
                instead = DECOMPOSE if case.annotate.get("reset") in DECOMPOSED else ""
                what = "always" if len(choice.cases) == 1 else show(case.when)
                yield Loss(layer, what, "annotated", case.because, instead)
    for variable, what in dict.fromkeys(_other_starts(mapping, mappings)):
        because = f"{variable} starts elsewhere than NIR has it, which has no field for it"
        yield Loss(layer, what, "annotated", because, "")


def _other_starts(mapping: LayerMapping, mappings: Mappings) -> Iterator[tuple[str, str]]:
    """Where a layer's state starts, if that is not provably where NIR has it."""
    for variant in mapping.variants() if mapping.nodes else ():
        stated = {binding.field: binding.formula for binding in variant.bind}
        for variable, layer in variant.start.items():
            node = substitute(mappings.nodes[variant.node].start[variable], stated)
            if node != layer:
                yield (
                    variable,
                    f"{variable} starts at {show(layer)}, where that is not {show(node)}",
                )


def _refused(mapping: LayerMapping) -> Iterator[Loss]:
    layer = mapping.layers[0]
    for name, fixed in mapping.fix.items():
        what = f"{name} other than {fixed.value!r}"
        yield Loss(layer, what, "refused", fixed.because, fixed.instead)
    for rejection in mapping.reject:
        what = show(rejection.when)
        yield Loss(layer, what, "refused", rejection.because, rejection.instead)
    for name, domain in mapping.domain.items():
        if is_always_within(name, mapping):
            continue
        if "is not" not in show(domain):  # the live layer has replaced None
            because = f"the layer needs {show(domain)}"
            yield Loss(layer, show(Not(domain)), "refused", because, "")


# --- Markdown -------------------------------------------------------------------------------


INTRODUCTION = """\
Grades: `exact`, the same numbers; `annotated`, the same for a reader of the node's metadata;
`refused`, with an error that says why. But for ties: a layer that fires at v >= v_threshold fires
where v is at the threshold, and NIR's node, at v > v_threshold, doesn't; an export with
`ties="exact"` makes them one.
"""


def _document(mappings: Mappings) -> Iterator[str]:
    yield "# What goes into NIR, what comes back, and what is lost"
    yield ""
    yield f"<!-- {HEADER} from mappings; not to be edited. -->"
    yield ""
    yield from INTRODUCTION.splitlines()
    for framework in mappings.frameworks:
        title = f"{framework.framework.title} {framework.framework.version}"
        yield from _section(f"{title} -> NIR", exports(framework, mappings), _also(framework))
        yield from _section(f"NIR -> {title}", imports(framework, mappings))
        yield from _section(f"{title}: losses, and what is none", losses(framework, mappings))


def _also(framework: FrameworkMappings) -> str:
    """Where to look for the other layers that a framework's networks are made of."""
    others = " and ".join(member.framework.title for member in framework.family[1:])
    return f"And the layers of {others}, as below." if others else ""


def _section(title: str, rows: Iterable[Export | Import | Loss], remark: str = "") -> Iterator[str]:
    """A table; layers of which the same is said share a row."""
    cells = [_cells(row) for row in rows]
    if not cells:
        return
    yield from ("", f"## {title}", "")
    yield from (remark, "") if remark else ()
    yield _line(cells[0])
    yield _line("---" for _ in cells[0])
    for same, group in groupby(cells, lambda row: {**row, "layer": ""}):
        layers = ", ".join(row["layer"] for row in group)
        yield _line({**same, "layer": layers}.values())


def _cells(row: Export | Import | Loss) -> dict[str, str]:
    """A row's texts by column; names and formulas as code."""
    code = ("layer", "what", "node", "nodes")
    return {name: f"`{t}`" if t and name in code else t for name, t in vars(row).items()}


def _line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"

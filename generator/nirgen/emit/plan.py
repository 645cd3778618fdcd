"""Mappings -> what the templates lay out: modules, functions, tables."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass

from nirgen.emit import exporters, importers
from nirgen.emit.code import (
    WIDTH,
    Block,
    Line,
    Statement,
    call,
    constant,
    layout,
    quote,
    signature,
)
from nirgen.mapping import inverse, tables
from nirgen.mapping.expressions import Expression, Name, calls, names, show, solve
from nirgen.mapping.model import (
    IN_ORDER,
    RESET,
    Called,
    Framework,
    FrameworkMappings,
    LayerMapping,
    Mappings,
    Node,
    Normalization,
)
from nirgen.mapping.tables import Row

RUNTIME = "nir_runtime."


@dataclass(frozen=True)
class FunctionPlan:
    """A generated function: its signature, its docstring's table, its body's lines."""

    head: tuple[str, ...]
    summary: str
    formulas: tuple[str, ...]
    where: str
    body: tuple[str, ...]


@dataclass(frozen=True)
class ModulePlan:
    """The module that one mapping becomes."""

    name: str
    file: str
    title: str
    also: tuple[str, ...]
    computes: tuple[str, ...]
    source: str
    state: tuple[str, ...]
    words: bool
    imports: tuple[tuple[str, str], ...]
    calling: FunctionPlan | None
    to_nir: FunctionPlan
    from_nir: tuple[FunctionPlan, ...]

    @property
    def functions(self) -> tuple[FunctionPlan, ...]:
        """All functions, in the order in which they are written."""
        calling = () if self.calling is None else (self.calling,)
        return (*calling, self.to_nir, *self.from_nir)


@dataclass(frozen=True)
class PackagePlan:
    """The package that a framework's mappings become.

    Attributes:
        beside: the converters beside it that it takes layers from.
    """

    framework: Framework
    fires: str
    folder: str
    modules: tuple[ModulePlan, ...]
    imports: tuple[tuple[str, str], ...]
    beside: tuple[str, ...]
    base: str | None
    fallback: str | None
    cell: str | None
    calling: FunctionPlan | None
    calls: tuple[tuple[str, str], ...]
    load_state: str | None
    read_state: str | None
    beginning: str | None
    reset_value: str | None
    without_node: tuple[tuple[str, ...], ...]
    exporters: tuple[tuple[str, str], ...]
    importers: tuple[tuple[str, tuple[str, ...]], ...]
    annotates: tuple[tuple[str, str], ...]
    state: tuple[tuple[str, tuple[str, ...]], ...]
    containers: tuple[tuple[str, str], ...]
    in_order: tuple[str, ...]

    @property
    def top_packages(self) -> list[str]:
        """What the import paths of its layers begin with."""
        return list(dict.fromkeys(path.partition(".")[0] for path in self.framework.packages))

    @property
    def builds_on_ours(self) -> bool:
        """Whether it takes layers from the converters that come with this project."""
        return not {self.base, self.fallback} <= {None, *self.beside}


def plan(mappings: Mappings) -> tuple[PackagePlan, ...]:
    """A package for each framework."""
    return tuple(_package(framework, mappings) for framework in mappings.frameworks)


def _package(framework: FrameworkMappings, mappings: Mappings) -> PackagePlan:
    layers = [mapping for mapping in framework.layers if mapping.nodes]
    declared = framework.framework
    named = [layer for mapping in framework.layers for layer in mapping.layers]
    named += [*declared.containers, *declared.sequences]
    used = {layer.rpartition(".")[0] for layer in named}
    others = {framework.framework.builds_on, framework.framework.fallback} - {None}
    beside = others & {other.framework.name for other in mappings.frameworks}
    return PackagePlan(
        framework=framework.framework,
        fires=framework.fires,
        folder=f"mappings/{framework.framework.name}",
        modules=tuple(_module(mapping, framework, mappings) for mapping in layers),
        imports=(
            *_imports(framework.framework, used),
            *_runtime_imports(framework),
            ("torch", "fx"),
            ("torch", "nn"),
            # Converters that come with this project, where the folder has none of their names.
            *(("nir_exchange", str(name)) for name in others - beside),
        ),
        beside=tuple(sorted(map(str, beside))),
        base=framework.framework.builds_on,
        fallback=framework.framework.fallback,
        cell=_named(framework.framework.cell)[1],
        calling=_calling(framework.framework.calls),
        calls=tuple((layer, f"{m.stem}.calling") for m in layers if m.calls for layer in m.layers),
        load_state=_named(framework.framework.load_state)[1],
        read_state=_named(framework.framework.read_state)[1],
        beginning=_named(framework.framework.beginning)[1],
        reset_value=_named(framework.framework.reset_value)[1],
        without_node=tuple(_without_node(m) for m in framework.layers if not m.nodes),
        exporters=tuple(
            (layer, _exporter(mapping)) for mapping in framework.layers for layer in mapping.layers
        ),
        importers=tuple(_importers(layers)),
        annotates=tuple(_annotates(framework, mappings)),
        state=tuple(
            (layer, tuple(mapping.held.values()))
            for mapping in framework.layers
            if mapping.state
            for layer in mapping.layers
        ),
        containers=tuple(item for item in declared.containers.items() if item[1] != IN_ORDER),
        in_order=tuple(layer for layer, way in declared.containers.items() if way == IN_ORDER),
    )


def _exporter(mapping: LayerMapping) -> str:
    return f"{mapping.stem}.to_nir" if mapping.nodes else mapping.stem.upper()


def _named(path: str | None) -> tuple[str, str]:
    """The module and the name of something in the runtime; empty if there is none."""
    module, _, name = (path or "").rpartition(".")
    return module, name


def _runtime_imports(framework: FrameworkMappings) -> Iterator[tuple[str, str]]:
    """What the framework's package calls of the runtime."""
    yield RUNTIME + "reports.explaining", "explanation"
    yield RUNTIME + "exports.exporting", "export_network"
    yield RUNTIME + "imports.importing", "import_graph"
    yield RUNTIME + "reports.report", "Report"
    yield RUNTIME + "sites", "ExportOptions"
    yield RUNTIME + "target", "Target"
    if framework.framework.calls:
        yield RUNTIME + "calling", "Call"
    if framework.framework.fallback is not None:
        yield RUNTIME + "imports.normalized", "Normalized"
        yield RUNTIME + "imports.normalized", "to_nir_again"
    own = framework.framework
    for path in (own.cell, own.load_state, own.read_state, own.beginning, own.reset_value):
        if path is not None:
            yield _named(path)
    if any(mapping.on_request for mapping in framework.layers):
        yield RUNTIME + "sites", "on_request"
    directions = {mapping.direction for mapping in framework.layers}
    makers = (("refuse", "Refused"), ("skip", "Skipped"))
    yield from ((RUNTIME + "sites", maker) for key, maker in makers if key in directions)


def _without_node(mapping: LayerMapping) -> tuple[str, ...]:
    """The definition of an exporter that makes no node, and why."""
    name = mapping.stem.upper()
    if mapping.direction == "skip":
        training = {"in_training": quote(mapping.in_training)} if mapping.in_training else {}
        statement = call("Skipped", quote(mapping.because), before=f"{name} = ", **training)
    else:
        reasons = quote(mapping.because), quote(mapping.instead)
        statement = call("Refused", *reasons, before=f"{name} = ")
    return tuple(layout([statement]))


def _imports(framework: Framework, aliases: set[str]) -> tuple[tuple[str, str], ...]:
    """`(package, name)` of every module that layer names start with, in import order."""
    paths = sorted((framework.modules[alias], alias) for alias in aliases)
    return tuple((path.rpartition(".")[0], _as(path, alias)) for path, alias in paths)


def _as(path: str, alias: str) -> str:
    """What is imported of a module's package, by the name that mappings have for the module."""
    name = path.rpartition(".")[2]
    return name if name == alias else f"{name} as {alias}"


def _module(mapping: LayerMapping, framework: FrameworkMappings, mappings: Mappings) -> ModulePlan:
    used = {layer.rpartition(".")[0] for layer in mapping.layers}
    used |= {m for p in framework.signature(mapping).values() for m in p.modules}
    to_nir = _to_nir(mapping, framework, mappings)
    from_nir = tuple(_from_nir(mapping, framework, mappings.nodes[n]) for n in mapping.imported)
    for form in mapping.normalize:
        from_nir = (*from_nir, _from_any(mapping, form, framework, mappings.nodes[form.node]))
    text = "\n".join(line for function in (to_nir, *from_nir) for line in function.body)
    return ModulePlan(
        name=mapping.stem,
        file=mapping.file,
        title=_title(mapping),
        also=_wrapped(", ".join(mapping.layers[1:])),
        computes=tuple(line for told in tables.computed(mapping) for line in _continued(told)),
        source=mapping.source,
        state=tuple(mapping.held.values()),
        words="Literal[" in text,
        imports=(
            *_imports(framework.framework, used),
            *((RUNTIME + "functions", name) for name in _functions(mapping, mappings)),
            *([(RUNTIME + "functions", "every")] if "every(" in text else []),
            *([(RUNTIME + "numbers", "invert")] if "invert(" in text else []),
            *([(RUNTIME + "imports.normalized", "Normalized")] if mapping.normalize else []),
            *([_named(framework.framework.preset)] if "preset(" in text else []),
            *([(RUNTIME + "calling", "Call")] if mapping.calls else []),
            *([(RUNTIME + "sites", "Chain")] if "Chain(" in text else []),
            (RUNTIME + "sites", "ExportSite"),
            *([(RUNTIME + "sites", "ImportSite")] if from_nir else []),
        ),
        calling=_calling(mapping.calls),
        to_nir=to_nir,
        from_nir=from_nir,
    )


def _title(mapping: LayerMapping) -> str:
    """`neuron.LIFNode <-> LIF`; a chain is `layer.MaxPool2d -> SumPool2d -> Threshold`."""
    arrow = "<->" if mapping.direction == "both" else "->"
    return f"{mapping.layers[0]} {arrow} {tables.chain(mapping)}"


def _wrapped(text: str) -> tuple[str, ...]:
    """A text as lines of a docstring."""
    return tuple(textwrap.wrap(text, WIDTH - 8))


def _continued(text: str) -> tuple[str, ...]:
    """A line of a docstring's table, or several where it is too long."""
    return tuple(textwrap.wrap(text, WIDTH - 8, subsequent_indent=" " * 4))


def _from(node: str) -> str:
    return f"from_{node.lower()}"


def _functions(mapping: LayerMapping, mappings: Mappings) -> set[str]:
    """The runtime's functions that the module's code calls."""
    formulas = [*mapping.formulas(), *mapping.read.values()]
    if mapping.direction == "both":
        formulas += _read_backwards(mapping)
        formulas += mapping.derive.values()
        for node in mapping.imported:
            backwards = inverse.invert(mapping, mappings.nodes[node])
            formulas += [solved.formula for solved in backwards.shared.solved]
            for choice in backwards.choices:
                for case in choice.cases:
                    formulas += [solved.formula for solved in case.inversion.solved]
    return {name for formula in formulas for name in calls(formula)}


def _read_backwards(mapping: LayerMapping) -> Iterator[Expression]:
    for parameter, formula in mapping.read.items():
        solutions = (solve(formula, name, Name(parameter)) for name in names(formula))
        yield from (solution for solution in solutions if solution is not None)


# --- functions ------------------------------------------------------------------------------


def _calling(ways: tuple[Called, ...]) -> FunctionPlan | None:
    """The function that tells how a layer is called; None where all remember."""
    if not ways:
        return None
    statements: list[Statement] = []
    for way in ways:
        told = Line(f"return {quote(way.call)}")
        if way.when is None:
            statements.append(told)
        else:
            held = {name: f"layer.{name}" for name in names(way.when)}
            statements.append(Block(f"if {show(way.when, held, constant)}:", (told,)))
    return FunctionPlan(
        head=signature("calling", (("layer", "Any"),), "Call"),
        summary="How a layer with state is called.",
        formulas=(),
        where=f"{ways[0].at.file}:{ways[0].at.line}",
        body=tuple(layout(statements, 1)),
    )


def _to_nir(
    mapping: LayerMapping, framework: FrameworkMappings, mappings: Mappings
) -> FunctionPlan:
    return FunctionPlan(
        head=signature(
            "to_nir",
            (("module", " | ".join(mapping.layers)), ("at", "ExportSite")),
            _nodes(mapping),
        ),
        summary=f"The node that computes what the layer does: {tables.chain(mapping)}.",
        formulas=tuple(_aligned(tables.forward(mapping))),
        where=_place(mapping),
        body=_body(exporters.body(mapping, framework, mappings)),
    )


def _from_nir(mapping: LayerMapping, framework: FrameworkMappings, node: Node) -> FunctionPlan:
    return FunctionPlan(
        head=signature(
            _from(node.name),
            (("node", f"nir.{node.name}"), ("at", "ImportSite")),
            mapping.layers[0],
        ),
        summary=f"The layer that computes what the node does: {mapping.layers[0]}.",
        formulas=tuple(_aligned(tables.backward(mapping, node))),
        where=_place(mapping),
        body=_body(importers.body(mapping, framework, node)),
    )


def _from_any(
    mapping: LayerMapping, form: Normalization, framework: FrameworkMappings, node: Node
) -> FunctionPlan:
    parameters = (("node", f"nir.{node.name}"), ("at", "ImportSite"))
    return FunctionPlan(
        head=signature(_from_any_name(node.name), parameters, "Normalized"),
        summary=f"{mapping.layers[0]} for any {node.name} with {show(form.when)}.",
        formulas=tuple(_aligned(tables.normalized(form))),
        where=f"{form.at.file}:{form.at.line}",
        body=_body(importers.normalized_body(mapping, form, framework, node)),
    )


def _from_any_name(node: str) -> str:
    return f"from_any_{node.lower()}"


def _importers(mappings: list[LayerMapping]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Every node's importers, in the order in which they are tried: those on request first."""
    found: dict[str, list[str]] = {}
    for mapping in sorted(mappings, key=lambda mapping: mapping.on_request is None):
        for node in mapping.imported:
            functions = [f"{mapping.stem}.{_from(node)}"]
            if any(form.node == node for form in mapping.normalize):
                functions.append(f"{mapping.stem}.{_from_any_name(node)}")
            if mapping.on_request is not None:
                option = quote(mapping.on_request)
                functions = [f"on_request({option}, {function})" for function in functions]
            found.setdefault(node, []).extend(functions)
    for node in sorted(found):
        yield node, tuple(found[node])


def _annotates(framework: FrameworkMappings, mappings: Mappings) -> Iterator[tuple[str, str]]:
    """By node, what the framework's exports annotate, and those of what it builds on: but for what
    every reader knows."""
    beside = [m for m in mappings.frameworks if m.framework.name == framework.framework.fallback]
    members = [*framework.family, *beside]
    for node in sorted(mappings.nodes):
        found = (m.annotated(node) for member in members for m in member.layers)
        keys = dict.fromkeys(key for each in found for key in each if key != RESET)
        if keys:
            yield node, ", ".join(map(quote, keys)) + ("," if len(keys) == 1 else "")


def _place(mapping: LayerMapping) -> str:
    """The file and line of the mapping's formulas."""
    at = mapping.places.get("bind", mapping.places.get("cases", mapping.at))
    return f"{at.file}:{at.line}"


def _body(statements: tuple[Statement, ...]) -> tuple[str, ...]:
    """A function's lines; paragraphs are apart, and the first begins at the top."""
    begun = statements[1:] if statements[0] == Line("") else statements
    return tuple(layout(begun, 1))


def _nodes(mapping: LayerMapping) -> str:
    """The type that `to_nir` returns."""
    if mapping.all_links:
        return "Chain"
    return " | ".join(f"nir.{node}" for node in mapping.nodes)


def _aligned(rows: Iterator[Row]) -> Iterator[str]:
    """Rows as a table: the sign of equality and the conditions under one another."""
    table = list(rows)
    left = max((len(row.name) for row in table), default=0)
    middle = max((len(row.text) for row in table if row.where), default=0)
    for row in table:
        where = f"where {row.where}" if row.where else ""
        line = f"{row.name:<{left}} = {row.text:<{middle if where else 0}}  {where}".rstrip()
        if len(line) <= WIDTH - 8:
            yield line
        else:
            yield f"{row.name:<{left}} = {row.text}"
            yield from textwrap.wrap(
                where,
                WIDTH - 8,
                initial_indent=" " * (left + 5),
                subsequent_indent=" " * (left + 11),
                break_long_words=False,
                break_on_hyphens=False,
            )

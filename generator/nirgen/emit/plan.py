"""Mappings -> what the templates lay out: modules, functions, tables."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from nirgen.emit import exporters, importers
from nirgen.emit.code import Line, Statement, layout
from nirgen.mapping import inverse
from nirgen.mapping.expressions import Name, calls, names, show, substitute
from nirgen.mapping.model import (
    NODE,
    Binding,
    Choice,
    Framework,
    FrameworkMappings,
    LayerMapping,
    Mappings,
    Node,
)


@dataclass(frozen=True)
class FunctionPlan:
    """A generated function: its signature, its docstring's table, its body's lines."""

    name: str
    argument: str
    takes: str
    site: str
    returns: str
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
    equation: tuple[str, ...]
    source: str
    state: tuple[str, ...]
    modules: tuple[tuple[str, str], ...]
    functions: tuple[str, ...]
    numbers: tuple[str, ...]
    sites: tuple[str, ...]
    to_nir: FunctionPlan
    from_nir: tuple[FunctionPlan, ...]


@dataclass(frozen=True)
class PackagePlan:
    """The package that a framework's mappings become."""

    framework: Framework
    folder: str
    modules: tuple[ModulePlan, ...]
    imports: tuple[tuple[str, str], ...]
    exporters: tuple[tuple[str, str], ...]
    importers: tuple[tuple[str, str], ...]
    state: tuple[tuple[str, tuple[str, ...]], ...]


def plan(mappings: Mappings) -> tuple[PackagePlan, ...]:
    """A package for each framework."""
    return tuple(_package(framework, mappings) for framework in mappings.frameworks)


def _package(framework: FrameworkMappings, mappings: Mappings) -> PackagePlan:
    layers = framework.layers
    importing = [mapping for mapping in layers if mapping.direction == "both"]
    used = {layer.rpartition(".")[0] for mapping in layers for layer in mapping.layers}
    return PackagePlan(
        framework=framework.framework,
        folder=f"mappings/{framework.framework.name}",
        modules=tuple(_module(mapping, framework, mappings) for mapping in layers),
        imports=_imports(framework.framework, used),
        exporters=tuple(
            (layer, f"{mapping.stem}.to_nir") for mapping in layers for layer in mapping.layers
        ),
        importers=tuple(
            (node, f"{mapping.stem}.{_from(node)}")
            for mapping in importing
            for node in mapping.nodes
        ),
        state=tuple(
            (layer, tuple(mapping.state.values()))
            for mapping in layers
            if mapping.state
            for layer in mapping.layers
        ),
    )


def _imports(framework: Framework, aliases: set[str]) -> tuple[tuple[str, str], ...]:
    """`(package, name)` of every module that layer names start with, in import order."""
    paths = sorted(framework.modules[alias] for alias in aliases)
    return tuple((path.rpartition(".")[0], path.rpartition(".")[2]) for path in paths)


def _module(mapping: LayerMapping, framework: FrameworkMappings, mappings: Mappings) -> ModulePlan:
    used = {layer.rpartition(".")[0] for layer in mapping.layers}
    to_nir = _to_nir(mapping, framework, mappings)
    from_nir = tuple(_from_nir(mapping, framework, mappings.nodes[n]) for n in _imported(mapping))
    text = "\n".join(line for function in (to_nir, *from_nir) for line in function.body)
    return ModulePlan(
        name=mapping.stem,
        file=mapping.file,
        title=f"{_layers_title(mapping)} {_arrow(mapping)} {', '.join(mapping.nodes)}",
        equation=tuple(mapping.equation.splitlines()),
        source=mapping.source,
        state=tuple(mapping.state.values()),
        modules=_imports(framework.framework, used),
        functions=tuple(sorted(_functions(mapping, mappings))),
        numbers=("invert",) if "invert(" in text else (),
        sites=("ExportSite", "ImportSite") if from_nir else ("ExportSite",),
        to_nir=to_nir,
        from_nir=from_nir,
    )


def _layers_title(mapping: LayerMapping) -> str:
    return ", ".join(mapping.layers)


def _arrow(mapping: LayerMapping) -> str:
    return "<->" if mapping.direction == "both" else "->"


def _imported(mapping: LayerMapping) -> tuple[str, ...]:
    return mapping.nodes if mapping.direction == "both" else ()


def _from(node: str) -> str:
    return f"from_{node.lower()}"


def _functions(mapping: LayerMapping, mappings: Mappings) -> set[str]:
    """The runtime's functions that the module's code calls."""
    formulas = [*mapping.formulas(), *mapping.read.values()]
    if mapping.direction == "both":
        formulas += mapping.derive.values()
        for node in mapping.nodes:
            backwards = inverse.invert(mapping, mappings.nodes[node])
            formulas += [solved.formula for solved in backwards.shared.solved]
            for choice in backwards.choices:
                for case in choice.cases:
                    formulas += [solved.formula for solved in case.inversion.solved]
    return {name for formula in formulas for name in calls(formula)}


# --- functions ------------------------------------------------------------------------------


def _to_nir(
    mapping: LayerMapping, framework: FrameworkMappings, mappings: Mappings
) -> FunctionPlan:
    return FunctionPlan(
        name="to_nir",
        argument="module",
        takes=" | ".join(mapping.layers),
        site="ExportSite",
        returns=" | ".join(f"nir.{node}" for node in mapping.nodes),
        summary=f"The node that computes what the layer does: {', '.join(mapping.nodes)}.",
        formulas=tuple(_aligned(_forward_table(mapping))),
        where=_place(mapping),
        body=_body(exporters.body(mapping, framework, mappings)),
    )


def _from_nir(mapping: LayerMapping, framework: FrameworkMappings, node: Node) -> FunctionPlan:
    return FunctionPlan(
        name=_from(node.name),
        argument="node",
        takes=f"nir.{node.name}",
        site="ImportSite",
        returns=mapping.layers[0],
        summary=f"The layer that computes what the node does: {mapping.layers[0]}.",
        formulas=tuple(_aligned(_backward_table(mapping, node))),
        where=_place(mapping),
        body=_body(importers.body(mapping, framework, node)),
    )


def _place(mapping: LayerMapping) -> str:
    """The file and line of the mapping's formulas."""
    at = mapping.places.get("bind", mapping.places.get("cases", mapping.at))
    return f"{at.file}:{at.line}"


def _body(statements: tuple[Statement, ...]) -> tuple[str, ...]:
    """A function's lines; paragraphs are apart, and the first begins at the top."""
    begun = statements[1:] if statements[0] == Line("") else statements
    return tuple(layout(begun, 1))


Row = tuple[str, str, str]


def _forward_table(mapping: LayerMapping) -> Iterator[Row]:
    for name, formula in mapping.read.items():
        attributes = {n: Name(f"module.{n}") for n in names(formula)}
        yield name, show(substitute(formula, attributes)), ""
    for binding in mapping.part.bind:
        yield _row(binding, "")
    for choice in mapping.choices:
        yield from _choice_rows(choice)


def _choice_rows(choice: Choice) -> Iterator[Row]:
    for case in choice.cases:
        where = f"where {show(case.when)}"
        for binding in case.part.bind:
            yield _row(binding, where)
        for key, value in case.metadata.items():
            yield f"node.metadata[{key!r}]", repr(value), where


def _row(binding: Binding, where: str) -> Row:
    return NODE + binding.field, show(binding.formula), where


def _backward_table(mapping: LayerMapping, node: Node) -> Iterator[Row]:
    backwards = inverse.invert(mapping, node)
    for solved in backwards.shared.solved:
        yield solved.parameter, show(solved.formula), ""
    for choice in backwards.choices:
        for case in choice.cases:
            where = _where(case)
            for name, value in case.given.items():
                yield name, repr(value), where
            for solved in case.inversion.solved:
                yield solved.parameter, show(solved.formula), where
    for name, formula in mapping.derive.items():
        fields = {field: Name(NODE + field) for field in names(formula)}
        yield name, show(substitute(formula, fields)), ""


def _where(case: inverse.CaseInverse) -> str:
    conditions = [f"node.metadata[{k!r}] = {v!r}" for k, v in case.case.metadata.items()]
    if not conditions:
        conditions = [
            f"{NODE}{demand.field} = {show(demand.formula)}" for demand in case.inversion.demands
        ]
    if not conditions and case.guard is not None:
        solved = {s.parameter: s.formula for s in case.inversion.solved}
        conditions = [show(importers.simpler(substitute(case.guard, solved)))]
    return f"where {' and '.join(conditions)}" if conditions else ""


def _aligned(rows: Iterator[Row]) -> Iterator[str]:
    """Rows as a table: the sign of equality and the conditions under one another."""
    table = list(rows)
    left = max((len(row[0]) for row in table), default=0)
    middle = max((len(row[1]) for row in table if row[2]), default=0)
    for name, value, where in table:
        line = f"{name:<{left}} = {value:<{middle if where else 0}}  {where}"
        yield line.rstrip()

"""A mapping as people would write it in a paper: equations, formulas both ways, their limits."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Iterator, Mapping

from nirgen.mapping import inverse, tables
from nirgen.mapping.expressions import Binary, Expression, Name, show, substitute
from nirgen.mapping.inverse import CaseInverse, Inversion
from nirgen.mapping.model import (
    NODE,
    Case,
    FrameworkMappings,
    LayerMapping,
    Mappings,
    Node,
    Normalization,
)
from nirgen.mapping.problems import did_you_mean
from nirgen.mapping.tables import Row, simpler
from nirgen.review import statements, support
from nirgen.review.errors import ReviewError
from nirgen.review.measure import shown
from nirgen.review.statements import Statements

WIDTH = 100
INDENT = "    "


def explain(mappings: Mappings, framework: str, layer: str) -> str:
    """The text of a mapping, found by its layer: `neuron.LIFNode`, or `LIFNode` where that is one.

    Raises:
        ReviewError: there is no such framework or layer; with the nearest one there is.
    """
    found = find_framework(mappings, framework)
    mapping = find_layer(found, layer)
    return "\n".join(_paper(mapping, found, mappings)) + "\n"


def listing(mappings: Mappings, framework: str) -> str:
    """The layers of a framework, a mapping a line.

    Raises:
        ReviewError: there is no such framework.
    """
    found = find_framework(mappings, framework)
    return "".join(f"{support.title(m)}{_grade_of(m)}\n" for m in found.layers)


def _grade_of(mapping: LayerMapping) -> str:
    return {"skip": "  skipped", "refuse": "  refused"}.get(mapping.direction, "")


def find_framework(mappings: Mappings, name: str) -> FrameworkMappings:
    """A framework by the name of its folder."""
    by_name = {found.framework.name: found for found in mappings.frameworks}
    if name not in by_name:
        raise ReviewError(f"there are no mappings of `{name}`", did_you_mean(name, by_name))
    return by_name[name]


def find_layer(framework: FrameworkMappings, name: str) -> LayerMapping:
    """A layer's mapping, by any of its classes; the module may be left out."""
    by_name = {layer: mapping for mapping in framework.layers for layer in mapping.layers}
    found = {m.file: m for layer, m in by_name.items() if name in (layer, layer.split(".")[-1])}
    if name in by_name:
        return by_name[name]
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        several = sorted(layer for layer in by_name if layer.split(".")[-1] == name)
        raise ReviewError(f"`{name}` may be {' or '.join(several)}", "name one of them")
    title = framework.framework.title
    classes = {layer.split(".")[-1]: layer for layer in by_name}
    near = did_you_mean(name, by_name if "." in name else classes)
    raise ReviewError(f"{title} has no mapping of `{name}`", near)


# --- the paper ------------------------------------------------------------------------------


def _paper(
    mapping: LayerMapping, framework: FrameworkMappings, mappings: Mappings
) -> Iterator[str]:
    table = statements.of_layer(mapping, framework.signature(mapping))
    release = f"{framework.framework.title} {framework.framework.version}"
    yield support.title(mapping)
    yield f"{release}, {mapping.at.file}"
    yield from _section("Also", [", ".join(mapping.layers[1:])] if mapping.layers[1:] else [])
    yield from _section("The layer computes", _equation(mapping))
    for name in dict.fromkeys((*mapping.nodes, *(n.node for n in mapping.all_links))):
        node = mappings.nodes[name]
        yield from _section(f"{name} ({node.says}) computes", _equation_of_node(node))
    yield from _section("Read off the layer", _aligned(_readings(mapping)))
    yield from _section("From the layer to the node", _aligned(_said(table, "field")))
    for name in mapping.imported:
        heading = "From the node to the layer" if mapping.node else f"From {name} to the layer"
        yield from _section(heading, _backwards(mapping, mappings.nodes[name]))
    for form in mapping.normalize:
        kind = "node" if len(mapping.normalize) == 1 else form.node
        yield from _section(f"Any other {kind}, behind x -> gain * x + shift", _normalized(form))
    yield from _section("The state", _state(mapping, table))
    for heading, lines in _limits(mapping, table):
        yield from _section(heading, lines)
    yield from _section("Examples", _examples(mapping))


def _section(heading: str, lines: Iterable[str]) -> Iterator[str]:
    """A heading and its lines; nothing where there are none."""
    held = list(lines)
    if held:
        yield from ("", heading)
        yield from (line for text in held for line in _wrapped(text))


def _wrapped(text: str) -> list[str]:
    """A line, or several where it is too long; those that follow stand further in."""
    if len(text) <= WIDTH - len(INDENT):
        return [INDENT + text]
    return textwrap.wrap(text, WIDTH, initial_indent=INDENT, subsequent_indent=INDENT * 2)


def _equation(mapping: LayerMapping) -> Iterator[str]:
    yield from tables.computed(mapping)
    if mapping.source:
        yield f"({mapping.source})"


def _equation_of_node(node: Node) -> Iterator[str]:
    yield from tables.computed(node)
    units = [f"{field.name} in {field.unit}" for field in node.fields.values() if field.unit]
    if units:
        yield f"({', '.join(units)})"


# --- formulas -------------------------------------------------------------------------------


def _aligned(equations: Iterable[Row]) -> Iterator[str]:
    """Equations with their signs of equality, and then their conditions, under one another."""
    held = list(equations)
    left = max((len(equation.name) for equation in held), default=0)
    middle = max((len(equation.text) for equation in held if equation.where), default=0)
    before = ""
    for equation in held:
        name = "" if equation.name == before else equation.name
        where = f"  where {equation.where}" if equation.where else ""
        yield f"{name:<{left}} = {equation.text:<{middle if where else 0}}{where}"
        before = equation.name


def _said(table: Statements, kind: str) -> Iterator[Row]:
    """The statements of a kind."""
    for key, rows in table.items():
        for row in rows if key.kind == kind else ():
            where = "" if row.where is None else show(row.where)
            yield Row(key.what, row.text, where)


def _readings(mapping: LayerMapping) -> Iterator[Row]:
    """What a live layer holds under another name, or in another form."""
    for name, attribute in mapping.attributes.items():
        yield Row(name, f"module.{attribute}")
    yield from tables.readings(mapping)


def _backwards(mapping: LayerMapping, node: Node) -> Iterator[str]:
    yield from _aligned(tables.backward(mapping, node, _told_by))
    shared = inverse.invert(mapping, node).shared
    yield from (f"if {show(condition)}" for condition in _demanded(shared))


def _told_by(case: CaseInverse) -> str:
    """How a node tells that it is the case, in full."""
    return " and ".join(_signs(case))


def _signs(case: CaseInverse) -> Iterator[str]:
    """What of a node tells the case: its metadata, its fields, what is left of the guard."""
    for key, value in case.case.metadata.items():
        yield f"node.metadata[{key!r}] == {value!r}"
    yield from map(show, _demanded(case.inversion))
    if case.guard is not None:
        solved = {s.parameter: s.formula for s in case.inversion.solved}
        yield show(simpler(substitute(case.guard, solved)))


def _demanded(inversion: Inversion) -> Iterator[Expression]:
    for demand in inversion.demands:
        yield Binary("==", Name(NODE + demand.field), demand.formula)


def _normalized(form: Normalization) -> Iterator[str]:
    yield f"where {show(form.when)}"
    yield from _aligned(tables.normalized(form))


# --- the rest -------------------------------------------------------------------------------


def _state(mapping: LayerMapping, table: Statements) -> Iterator[str]:
    for variable in mapping.state:
        (relation,) = table[statements.Key("rule", f"state {variable}")]
        yield f"{variable} is {relation.text}"
    yield from _aligned(_said(table, "start"))
    yield from (row.text for row in table.get(statements.ELSEWHERE, ()))


def _limits(mapping: LayerMapping, table: Statements) -> Iterator[tuple[str, list[str]]]:
    """What the formulas don't hold for, and what they don't speak of."""
    yield "The formulas hold for", [domain.text for domain in _said(table, "domain")]
    yield (
        "Annotated",
        [
            f"{_constants(case.annotate)}{_where(case)}: {case.because}"
            for choice in mapping.choices
            for case in choice.cases
            if case.annotate
        ],
    )
    yield (
        "Remembered, to come back as it was",
        [
            f"{_constants(case.remember)}{_where(case)}"
            for choice in mapping.choices
            for case in choice.cases
            if case.remember
        ],
    )
    headings = {"export": "Export only", "skip": "Skipped", "refuse": "Refused"}
    if mapping.direction in headings:
        yield headings[mapping.direction], [_reason(mapping.because, mapping.instead)]
    yield (
        "Refused where",
        [f"{show(r.when)}: {_reason(r.because, r.instead)}" for r in mapping.reject],
    )
    yield (
        "Fixed",
        [
            f"{name} = {fixed.value!r}: {_reason(fixed.because, fixed.instead)}"
            for name, fixed in mapping.fix.items()
        ],
    )
    yield "Ignored", [f"{name}: {reason}" for name, reason in mapping.ignore.items()]
    yield "Chosen by who imports", list(mapping.options)
    held = ("state ", "array ", "step")
    rules = (rule for rule in _said(table, "rule") if not rule.name.startswith(held))
    yield "Besides", [f"{rule.name} {rule.text}" for rule in rules]


def _reason(because: str, instead: str) -> str:
    return f"{because}; {instead}" if instead else because


def _where(case: Case) -> str:
    return "" if case.condition is None else f" where {show(case.condition)}"


def _constants(values: Mapping[str, object]) -> str:
    return ", ".join(f"{name}: {value}" for name, value in values.items())


def _examples(mapping: LayerMapping) -> Iterator[str]:
    cls = mapping.layers[0].split(".")[-1]
    for example in mapping.examples:
        arguments = shown(example.layer).replace(" = ", "=")
        yield f"{cls}({arguments}) at dt = {example.dt:g} is"
        yield f"    {', '.join(mapping.nodes)} with {shown(example.node)}"

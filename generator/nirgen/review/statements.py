"""A mapping as a table of statements: what is spoken of, and the rows that are said of it.

Two versions of a mapping are compared statement by statement, whatever moved in their files; and
an explanation is their table, in words.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace

from nirgen.mapping import steps, tables
from nirgen.mapping.expressions import Expression, show
from nirgen.mapping.model import (
    NODE,
    Binding,
    Called,
    Case,
    Field,
    Framework,
    LayerMapping,
    Links,
    Node,
    Parameter,
    Part,
)
from nirgen.mapping.rules import bound_parameters

ANY_OTHER = "any other: "
"""What the formulas of a normalization are called: they are for any other node of the kind."""


@dataclass(frozen=True)
class Key:
    """What a statement is about.

    `kind` tells what a change of it does: `choice`, `node`, `field`, `start`, `note`, `normalize`,
    `read`, `domain`, `parameter`, `rule`, `words`.
    """

    kind: str
    what: str


STEP = Key("rule", "step")
ELSEWHERE = Key("words", "why it starts elsewhere")


@dataclass(frozen=True)
class Row:
    """One thing that is said, and where it holds; `formula` where it is one."""

    text: str
    where: Expression | None = None
    formula: Expression | None = None

    def __str__(self) -> str:
        return self.text if self.where is None else f"{self.text}  where {show(self.where)}"


def lines(rows: tuple[Row, ...]) -> tuple[str, ...]:
    """Rows as lines, with their conditions under one another."""
    width = max((len(row.text) for row in rows if row.where is not None), default=0)
    return tuple(str(replace(row, text=f"{row.text:<{width}}")).rstrip() for row in rows)


Statements = Mapping[Key, tuple[Row, ...]]


def of_layer(mapping: LayerMapping, signature: Iterable[str]) -> Statements:
    """All that a layer's mapping says, except for its node, its direction and its examples."""
    return _table(_layer(mapping, signature))


def of_node(node: Node) -> Statements:
    """All that `nir.yaml` says of a node."""
    return _table(_node(node))


def of_framework(framework: Framework) -> Statements:
    """All that `framework.yaml` says."""
    return _table(_framework(framework))


def parameter(given: Parameter) -> str:
    """A constructor's parameter as its signature would have it: `float = 2.0`."""
    text = given.type if given.required else f"{given.type} = {given.default!r}"
    text = text if given.kept is None else f"{text}, kept as {given.kept}"
    return text if given.part_of is None else f"{text}, in {given.held}"


def at_first(variable: str) -> str:
    """What the start of a state variable is called."""
    return f"{variable} at first"


def cases_of(choice: str) -> str:
    """What the guards of a choice are called."""
    return f"cases of {choice}"


def _table(statements: Iterable[tuple[Key, Row]]) -> Statements:
    table: dict[Key, tuple[Row, ...]] = {}
    for key, row in statements:
        table[key] = (*table.get(key, ()), row)
    return table


def _layer(mapping: LayerMapping, signature: Iterable[str]) -> Iterator[tuple[Key, Row]]:
    for choice in mapping.choices:
        for case in choice.cases:
            if case.condition is not None:
                yield Key("choice", cases_of(choice.name)), _formula(case.when)
            if case.node is not None:
                yield Key("node", "node"), Row(case.node, case.when)
    for part, of in _parts(mapping):
        yield from _part(part, None if of is None else of.when)
        if of is not None and of.export_only:
            yield Key("words", "why export only"), Row(of.export_only, of.when)
        if of is not None:
            yield from (*_linked(of.links, of.when), *_notes(of))
    yield from _linked(mapping.links, None)
    yield from _normalization(mapping)
    yield from _held(mapping)
    for name, domain in mapping.domain.items():
        yield Key("domain", f"domain of {name}"), _formula(domain)
    for name in signature:
        yield Key("parameter", name), _role(name, mapping)
    yield from _words(mapping)


def _parts(mapping: LayerMapping) -> Iterator[tuple[Part, Case | None]]:
    yield mapping.part, None
    for choice in mapping.choices:
        yield from ((case.part, case) for case in choice.cases)


def _part(part: Part, where: Expression | None) -> Iterator[tuple[Key, Row]]:
    for binding in part.bind:
        yield _binding(binding, NODE, where)
    for field, attribute in part.tensors.items():
        yield Key("field", NODE + field), Row(f"module.{attribute}", where)
    for variable, start in part.start.items():
        yield Key("start", at_first(variable)), _formula(start, where)


def _binding(binding: Binding, prefix: str, where: Expression | None) -> tuple[Key, Row]:
    return Key("field", prefix + binding.field), _formula(binding.formula, where)


def _formula(formula: Expression, where: Expression | None = None) -> Row:
    return Row(show(formula), where, formula)


def _notes(case: Case) -> Iterator[tuple[Key, Row]]:
    """The metadata of a case, and why."""
    for word, constants in (("annotated", case.annotate), ("remembered", case.remember)):
        for key, value in constants.items():
            yield Key("note", f"{word} {key}"), Row(repr(value), case.condition)
    if case.because:
        yield Key("words", f"why {', '.join(case.metadata)}"), Row(case.because)


def _normalization(mapping: LayerMapping) -> Iterator[tuple[Key, Row]]:
    for form in mapping.normalize:
        node = "" if len(mapping.normalize) == 1 else f"{form.node} "
        formulas = {"where": form.when, "gain": form.gain, "shift": form.shift, **form.layer}
        formulas |= {at_first(variable): start for variable, start in form.start.items()}
        for name, formula in formulas.items():
            yield Key("normalize", ANY_OTHER + node + name), _formula(formula)


def _linked(links: Links, where: Expression | None) -> Iterator[tuple[Key, Row]]:
    """The nodes around a layer's own, and their fields."""
    for way in ("before", "then", "feedback"):
        for link in getattr(links, way):
            yield Key("node", way), Row(link.node, where)
            for field, attribute in link.tensors.items():
                yield Key("field", f"{link.node}.{field}"), Row(f"module.{attribute}", where)
            yield from (_binding(binding, f"{link.node}.", where) for binding in link.bind)


def _of_the_layer(formula: Expression, mapping: LayerMapping) -> str:
    """A relation between states, in which the layer's own variables are its attributes."""
    return show(formula, {held: f"module.{held}" for held in mapping.held.values()})


def _called(way: Called) -> Row:
    return Row(way.call, way.when)


def _held(mapping: LayerMapping) -> Iterator[tuple[Key, Row]]:
    """What a live layer computes, where it holds what the mapping speaks of, how it is called."""
    for line in steps.for_people(mapping.step):
        yield STEP, Row(line)
    for way in mapping.calls:
        yield Key("rule", "called"), _called(way)
    for variable, formula in mapping.state.items():
        yield Key("rule", f"state {variable}"), Row(_of_the_layer(formula, mapping))
    for name, attribute in mapping.attributes.items():
        yield Key("rule", f"array {name}"), Row(f"module.{attribute}")
    for name, formula in mapping.read.items():
        yield Key("read", f"{name} as it is read"), _formula(formula)
    if mapping.fold:
        yield Key("rule", "merged"), Row("into the layer before, where that is linear")
    if mapping.on_request is not None:
        yield Key("rule", "imported"), Row(f"on request only, with {mapping.on_request}=True")


def _role(name: str, mapping: LayerMapping) -> Row:
    """What becomes of a constructor parameter."""
    if name in mapping.fix:
        return Row(f"fixed to {mapping.fix[name].value!r}")
    if name in mapping.derive:
        return Row(f"derived: {show(mapping.derive[name])}", formula=mapping.derive[name])
    if name == mapping.time_step:
        return Row("the time step")
    if name in mapping.options:
        return Row("an option of the import")
    if name in mapping.ignore:
        return Row("ignored")
    return Row("bound" if name in bound_parameters(mapping) else "not accounted for")


_WHY = {"export": "why export only", "skip": "why skipped", "refuse": "why refused"}


def _words(mapping: LayerMapping) -> Iterator[tuple[Key, Row]]:
    """Texts for people."""
    for line in mapping.equation.splitlines():
        yield Key("words", "equation"), Row(line)
    for part, _ in _parts(mapping):
        for variable, reason in part.starts_elsewhere.items():
            yield ELSEWHERE, Row(f"{variable}: {reason}")
    texts = {"source": mapping.source, _WHY.get(mapping.direction, "why"): mapping.because}
    texts |= {"instead": mapping.instead, "in training mode": mapping.in_training}
    texts |= {f"why {name} is ignored": reason for name, reason in mapping.ignore.items()}
    texts |= {f"why {name} is fixed": fixed.because for name, fixed in mapping.fix.items()}
    texts |= {f"instead of {name}": fixed.instead for name, fixed in mapping.fix.items()}
    yield from ((Key("words", what), Row(text)) for what, text in texts.items() if text)


def _node(node: Node) -> Iterator[tuple[Key, Row]]:
    yield Key("words", "says"), Row(node.says)
    for line in tables.computed(node):
        yield STEP, Row(line)
    for name, reset in node.resets.items():
        for line in (*steps.for_people(reset.before), *steps.for_people(reset.spike, node.start)):
            yield Key("rule", f"reset {name}"), Row(line)
    for variable, start in node.start.items():
        yield Key("rule", at_first(variable)), _formula(start)
    for field in node.fields.values():
        yield Key("rule", NODE + field.name), Row(_field(field))


def _field(field: Field) -> str:
    """`parameter in s, membrane time constant, tau > 0`"""
    kind = f"{field.kind} in {field.unit}" if field.unit else field.kind
    domain = show(field.domain) if field.domain is not None else ""
    return ", ".join(text for text in (kind, field.says, domain) if text)


def _framework(framework: Framework) -> Iterator[tuple[Key, Row]]:
    """Every entry, so that one which the language gains is compared too."""
    for entry in fields(framework):
        value = getattr(framework, entry.name)
        if entry.name not in _PLACES and value:
            yield from ((Key("rule", what), row) for what, row in _entry(entry.name, value))


_PLACES = ("name", "places", "at")
"""What says where an entry is, and nothing of it."""


def _entry(name: str, value: object) -> Iterator[tuple[str, Row]]:
    match value:
        case Mapping():
            yield from ((f"{name}: {key}", Row(_said(inner))) for key, inner in value.items())
        case tuple():
            yield from (_listed(name, item) for item in value)
        case _:
            yield name, Row(_said(value))


def _listed(name: str, item: object) -> tuple[str, Row]:
    return (name, _called(item)) if isinstance(item, Called) else (f"{name}: {item}", Row("listed"))


def _said(value: object) -> str:
    """A value without the place where it was said."""
    if hasattr(value, "__dataclass_fields__"):
        held = {entry: getattr(value, entry) for entry in value.__dataclass_fields__}
        return ", ".join(f"{entry} {_said(v)}" for entry, v in held.items() if entry not in _PLACES)
    return value if isinstance(value, str) else repr(value)

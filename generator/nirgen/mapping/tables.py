"""A mapping's formulas as tables for people: in a converter's docstrings, and in reports."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from nirgen.mapping import inverse, steps
from nirgen.mapping.expressions import Binary, Expression, Literal, Name, names, show, substitute
from nirgen.mapping.inverse import CaseInverse
from nirgen.mapping.model import NODE, Binding, Choice, LayerMapping, Links, Node, Normalization


@dataclass(frozen=True)
class Row:
    """`name = text`, in the case that `where` tells; in all, if that is empty."""

    name: str
    text: str
    where: str = ""


def computed(told: LayerMapping | Node) -> Iterator[str]:
    """What a layer or a node computes in a step, line by line."""
    yield from steps.for_people(told.step)
    yield from told.equation.splitlines()


def forward(mapping: LayerMapping) -> Iterator[Row]:
    """The node's fields over the layer's parameters."""
    yield from readings(mapping)
    for binding in mapping.part.bind:
        yield _bound(binding)
    for choice in mapping.choices:
        yield from _alternatives(choice)
    yield from _linked(mapping.links)


def readings(mapping: LayerMapping) -> Iterator[Row]:
    """The parameters that a live layer holds in another form."""
    for name, formula in mapping.read.items():
        attributes = {n: Name(f"module.{n}") for n in names(formula)}
        yield Row(name, show(substitute(formula, attributes)))


def _alternatives(choice: Choice) -> Iterator[Row]:
    for case in choice.cases:
        guard = "" if len(choice.cases) == 1 else show(case.when)
        for binding in case.part.bind:
            yield _bound(binding, guard)
        yield from _linked(case.links, guard)
        for key, value in case.metadata.items():
            yield Row(f"node.metadata[{key!r}]", repr(value), guard)


def _linked(links: Links, where: str = "") -> Iterator[Row]:
    """The fields of the nodes around a layer's own."""
    for link in links:
        for field, tensor in link.tensors.items():
            yield Row(f"{link.node}.{field}", f"module.{tensor}", where)
        for binding in link.bind:
            yield Row(f"{link.node}.{binding.field}", show(binding.formula), where)


def _bound(binding: Binding, where: str = "") -> Row:
    return Row(NODE + binding.field, show(binding.formula), where)


def backward(
    mapping: LayerMapping, node: Node, told_by: Callable[[CaseInverse], str] | None = None
) -> Iterator[Row]:
    """The layer's parameters over the node's fields.

    Args:
        mapping: the mapping.
        node: the primitive.
        told_by: what is said of a node that a case takes; `where`, unless given.
    """
    backwards = inverse.invert(mapping, node)
    for solved in backwards.shared.solved:
        yield Row(solved.parameter, show(solved.formula))
    for choice in backwards.choices:
        for case in choice.cases:
            condition = (told_by or where)(case)
            for name, value in case.given.items():
                yield Row(name, repr(value), condition)
            for solved in case.inversion.solved:
                yield Row(solved.parameter, show(solved.formula), condition)
    for variable, parameter in backwards.starts.items():
        yield Row(parameter, f"node.metadata['{variable}_initial'] or None")
    for name, formula in mapping.derive.items():
        fields = {field: Name(NODE + field) for field in names(formula) if field in node.fields}
        yield Row(name, show(substitute(formula, fields)))


def normalized(form: Normalization) -> Iterator[Row]:
    """The map of the input, and the layer's parameters behind it."""
    yield Row("gain", show(form.gain))
    yield Row("shift", show(form.shift))
    yield from (Row(name, show(formula)) for name, formula in form.layer.items())
    yield from (Row(f"{name} at first", show(formula)) for name, formula in form.start.items())


def for_people(formula: Expression) -> str:
    """A formula as it stands in messages and docstrings: fields without their prefix."""
    return show(formula, {name: name.removeprefix(NODE) for name in names(formula)})


def chain(mapping: LayerMapping, between: str = " -> ", either: str = ", ") -> str:
    """The nodes that a layer becomes, one behind the other: `SumPool2d -> Threshold`."""
    before, then = mapping.links.before, mapping.links.then
    own = either.join(mapping.nodes)
    return between.join([*(n.node for n in before), own, *(n.node for n in then)])


def where(case: CaseInverse) -> str:
    """What is true of a node that a case takes; empty if there is nothing to say."""
    conditions = [f"node.metadata[{k!r}] = {v!r}" for k, v in case.case.metadata.items()]
    if not conditions:
        conditions = [f"{NODE}{d.field} = {show(d.formula)}" for d in case.inversion.demands]
    if not conditions and case.guard is not None:
        solved = {s.parameter: s.formula for s in case.inversion.solved}
        conditions = [show(simpler(substitute(case.guard, solved)))]
    if not conditions and case.otherwise:
        conditions = ["node.metadata tells nothing else"]
    return " and ".join(conditions)


def simpler(guard: Expression) -> Expression:
    """`a + b >= b` as `a >= 0`."""
    match guard:
        case Binary(symbol, Binary("+", left, right), bound) if right == bound:
            return Binary(symbol, left, Literal(0))
    return guard

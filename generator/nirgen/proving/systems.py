"""What is compared: the layer as a discrete system, and the nodes that the mapping makes of it.

Both have one input, one output and a state, all of them numbers: a neuron is tried alone, and of a
linear map that stands before, behind or in a cycle with it one weight.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from nirgen.mapping.expressions import Expression, Name, names
from nirgen.mapping.model import LayerMapping, Link, Links, Node, Variant
from nirgen.mapping.steps import INPUT, OUTPUT, Step


@dataclass(frozen=True)
class System:
    """A step; the names of its state, of which the last output may be one; fixed values.

    `fields` give the step's names by formulas over the layer's parameters, where it is a node's.
    """

    step: Step
    fields: Mapping[str, Expression]
    state: tuple[str, ...]


@dataclass(frozen=True)
class Chain:
    """The nodes that a layer becomes; `node` alone has a state besides what goes back."""

    before: tuple[System, ...]
    node: System
    then: tuple[System, ...]
    feedback: tuple[System, ...]

    @property
    def systems(self) -> tuple[System, ...]:
        return (*self.before, self.node, *self.then, *self.feedback)


@dataclass(frozen=True)
class Pair:
    """A layer and its nodes, in one variant of a mapping.

    Attributes:
        layer: the layer.
        chain: the nodes.
        relation: the node's state variables, as formulas of the layer's.
        held: the layer's variable of each.
        start: the node's state variables before the first step.
        usual: where NIR has them then.
    """

    layer: System
    chain: Chain
    relation: Mapping[str, Expression]
    held: Mapping[str, str]
    start: Mapping[str, Expression]
    usual: Mapping[str, Expression]

    def formulas(self) -> Iterator[Expression]:
        """All that is computed."""
        for system in (self.layer, *self.chain.systems):
            yield from system.fields.values()
            yield from (line.formula for line in system.step.lines)
        yield from (*self.relation.values(), *self.start.values())


def pair(mapping: LayerMapping, variant: Variant, nodes: Mapping[str, Node]) -> Pair | None:
    """What a variant says; None where a node of a chain has no step."""
    node = nodes[variant.node]
    links = variant.links
    if not all(nodes[link.node].step for link in links):
        return None
    reset = variant.metadata.get("reset")
    step = node.step_with(None if reset is None else str(reset))
    fields: dict[str, Expression] = {b.field: b.formula for b in variant.bind}
    fields |= {field: Name(tensor) for field, tensor in variant.tensors.items()}
    spoken_of = {name for formula in node.start.values() for name in names(formula)}
    own = System(step, _wanted(fields, step.read | spoken_of), tuple(node.start))
    return Pair(
        layer=layer(mapping),
        chain=_chain(own, links, nodes),
        relation=mapping.state,
        held=mapping.held,
        start=variant.start,
        usual=node.start,
    )


def layer(mapping: LayerMapping) -> System:
    """The layer by itself."""
    return System(mapping.step, {}, mapping.step.kept)


def alone(node: Node) -> System:
    """A node by itself, its fields given as they are."""
    return System(node.step, {}, tuple(node.start))


def _chain(node: System, links: Links, nodes: Mapping[str, Node]) -> Chain:
    def made(several: tuple[Link, ...]) -> tuple[System, ...]:
        return tuple(_linked(link, nodes[link.node]) for link in several)

    return Chain(made(links.before), node, made(links.then), made(links.feedback))


def _linked(link: Link, node: Node) -> System:
    fields: dict[str, Expression] = {b.field: b.formula for b in link.bind}
    fields |= {field: Name(tensor) for field, tensor in link.tensors.items()}
    return System(node.step, _wanted(fields, node.step.read), ())


def _wanted(fields: Mapping[str, Expression], read: frozenset[str]) -> dict[str, Expression]:
    """The fields that are read; geometry is none of them."""
    return {field: formula for field, formula in fields.items() if field in read}


def read(pair_: Pair) -> frozenset[str]:
    """The names that have to be given: the layer's parameters and tensors."""
    own = pair_.layer.step.read - frozenset(pair_.layer.step.assigned)
    formulas = [f for system in pair_.chain.systems for f in system.fields.values()]
    formulas += [*pair_.relation.values(), *pair_.start.values()]
    others = {name for formula in formulas for name in names(formula)}
    return frozenset(own | others) - {INPUT, OUTPUT, *pair_.layer.step.assigned}

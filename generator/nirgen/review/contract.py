"""What each NIR node computes in a step, as a table in Markdown: printed from `nir.yaml`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from nirgen.mapping import steps, tables
from nirgen.mapping.expressions import show
from nirgen.mapping.model import Node
from nirgen.mapping.steps import Step


def table(nodes: Mapping[str, Node]) -> str:
    """The steps of all nodes, of their resets, and where their states start."""
    rows = [("node", "one step"), ("---", "---"), *_rows(list(nodes.values()))]
    return "".join(f"| {name} | {told} |\n" for name, told in rows)


def _rows(nodes: list[Node]) -> Iterator[tuple[str, str]]:
    neurons = [node for node in nodes if node.is_neuron]
    yield from _shared(neurons, _charge)
    yield from _shared(neurons, _output)
    resets = {name: reset for node in neurons for name, reset in node.resets.items()}
    for name, reset in resets.items():
        before, spike = _lines(reset.before), _lines(reset.spike, ("v",))
        told = f"before it {before}, and then {spike}" if before else spike
        yield f"the same, with `reset: {name}` in the metadata", told
    yield from _shared([node for node in nodes if not node.is_neuron], _all)
    yield from _shared(neurons, _start, "before the first step, ")


def _shared(
    nodes: Iterable[Node], told: Callable[[Node], str], before: str = ""
) -> Iterator[tuple[str, str]]:
    """A row for all nodes of which the same is said."""
    found: dict[str, list[str]] = {}
    for node in nodes:
        found.setdefault(told(node), []).append(node.name)
    yield from ((before + ", ".join(names), text) for text, names in found.items())


def _charge(node: Node) -> str:
    return _lines(Step(node.step.until_output()), node.start)


def _output(node: Node) -> str:
    return _lines(Step(node.step.from_output()), node.start)


def _all(node: Node) -> str:
    return _code(tables.computed(node))


def _start(node: Node) -> str:
    return ", ".join(f"`{variable} = {show(start)}`" for variable, start in node.start.items())


def _lines(step: Step, state: Iterable[str] = ()) -> str:
    return _code(steps.for_people(step, state))


def _code(lines: Iterable[str]) -> str:
    return ", then ".join(f"`{line}`" for line in lines)

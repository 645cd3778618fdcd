"""Which layers are exported as what, and which nodes are imported: gained, lost, changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from nirgen.mapping.model import LayerMapping
from nirgen.mapping.tables import chain
from nirgen.review.changes import Change


@dataclass(frozen=True, order=True)
class Support:
    """What becomes of a layer or a node; `rank` orders it: 0 refused, 1 skipped, 2 converted."""

    rank: int
    says: str
    because: str = ""


def title(mapping: LayerMapping) -> str:
    """`neuron.LIFNode <-> LIF`, `layer.MaxPool2d -> SumPool2d -> Threshold`, `nn.Identity`."""
    arrow = "<->" if mapping.direction == "both" else "->"
    first = mapping.layers[0] if mapping.layers else mapping.stem
    return f"{first} {arrow} {chain(mapping, either=' or ')}" if mapping.nodes else first


def changes(old: Iterable[LayerMapping], new: Iterable[LayerMapping]) -> Iterator[Change]:
    """The layers and nodes of which more is supported, or less, or otherwise."""
    old, new = tuple(old), tuple(new)
    yield from _changes("export", dict(_exports(old)), dict(_exports(new)))
    yield from _changes("import", dict(_imports(old)), dict(_imports(new)))


Step = tuple["Support | None", "Support | None"]


def _changes(verb: str, old: dict[str, Support], new: dict[str, Support]) -> Iterator[Change]:
    """A change for each step that was made, with all the layers or nodes that made it."""
    steps: dict[Step, list[str]] = {}
    for name in dict.fromkeys((*new, *old)):
        step = old.get(name), new.get(name)
        if not _is_same(*step):
            steps.setdefault(step, []).append(name)
    for (was, now), names in steps.items():
        yield Change(
            kind="support",
            what=f"{verb} {', '.join(names)}",
            old=(was.says,) if was is not None else (),
            new=(now.says,) if now is not None else (),
            effect=now.because if now is not None else "",
            loss=was is not None and was.rank > (now.rank if now is not None else 0),
        )


def _is_same(was: Support | None, now: Support | None) -> bool:
    """A reason in other words is compared with the layer's other words."""
    return was is not None and now is not None and was.says == now.says


def _exports(mappings: Iterable[LayerMapping]) -> Iterator[tuple[str, Support]]:
    for mapping in mappings:
        for layer in mapping.layers:
            if mapping.direction == "refuse":
                yield layer, Support(0, "refused", mapping.because)
            elif mapping.direction == "skip":
                yield layer, Support(1, "skipped", mapping.because)
            else:
                yield layer, Support(2, chain(mapping, either=" or "), mapping.because)


def _imports(mappings: Iterable[LayerMapping]) -> Iterator[tuple[str, Support]]:
    for mapping in mappings:
        for node in mapping.nodes if mapping.direction == "both" else ():
            if mapping.on_request is None:
                yield node, Support(2, mapping.layers[0])
            else:
                yield f"{node} with {mapping.on_request}=True", Support(2, mapping.layers[0])

"""Two networks run side by side, and compared as they go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from nir_runtime.verifying import causes
from nir_runtime.verifying.comparing import Comparison, Place
from nir_runtime.verifying.pair import Pair, listed
from nir_runtime.verifying.running import Seen, affordable, running
from nir_runtime.verifying.verification import Agreement, first_to_differ

Tensor = torch.Tensor

TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-4}
"""How far numbers may be apart, by the precision, as a part of the largest so far."""

COARSE = 1e-2
"""The same in half precision."""


@dataclass(frozen=True)
class Watched:
    """What was found: see `Verification`."""

    tolerance: float
    nodes: tuple[Agreement, ...]
    cause: str
    notes: tuple[str, ...]


def watched(
    pair: Pair, x: Mapping[str, Tensor], tolerance: float | None, progress: Callable[[], None]
) -> Watched:
    """Run both on inputs [T, N, *features], by the Inputs of the first, and compare."""
    watching = _Watching(pair, _tolerance(pair) if tolerance is None else tolerance)
    steps, batch = next(iter(x.values())).shape[:2]
    size = together(pair, batch, steps)
    with running(pair.sides[0]) as first, running(pair.sides[1]) as second:
        for start in range(0, steps, size):
            part = {name: values[start : start + size] for name, values in x.items()}
            watching.see(first.run(part), second.run(pair.renamed(part)), start)
            for _ in range(min(size, steps - start)):
                progress()
    nodes = tuple(watching.agreements())
    cause = watching.cause(first_to_differ(nodes))
    return Watched(watching.tolerance, nodes, cause, tuple(watching.notes()))


def together(pair: Pair, batch: int, steps: int) -> int:
    """How many steps are run at once: as many as memory allows; all, if a network takes all."""
    if any(side.loops for side in pair.sides):
        return steps
    return min(affordable(side, batch, steps) for side in pair.sides)


def _tolerance(pair: Pair) -> float:
    """What the coarser of both precisions lets expect."""
    return max(TOLERANCES.get(side.dtype, COARSE) for side in pair.sides)


class _Watching:
    """What is compared, as far as it was seen.

    Attributes:
        sent: what nodes and Outputs send on, by their names on both sides.
        membranes: of nodes, by their names.
        silent: by node, the membrane potential of the side that didn't fire where the other did
            first.
    """

    def __init__(self, pair: Pair, tolerance: float) -> None:
        self.pair = pair
        self.tolerance = tolerance
        self.sent = {
            names: Comparison(0.0 if pair.fires(*names) else tolerance) for names in pair.ends
        }
        self.membranes: dict[str, Comparison] = {}
        self.silent: dict[str, float] = {}

    def see(self, a: Seen, b: Seen, step: int) -> None:
        """Go on with what both gave, from a step on."""
        for names, comparison in self.sent.items():
            if names[0] not in a.values or names[1] not in b.values:
                continue  # a network that returns more than its outputs doesn't show these
            fresh = comparison.first is None
            comparison.see(a.values[names[0]], b.values[names[1]], step)
            if fresh and comparison.first is not None:
                self._note_silence(names[0], comparison.first, (a, b), step)
        for name in self.pair.nodes:
            if name in a.membranes and name in b.membranes:
                self._see_membranes(name, a.membranes[name], b.membranes[name], step, a)

    def _see_membranes(self, name: str, a: Tensor, b: Tensor, step: int, seen: Seen) -> None:
        """Membranes of the last steps, as far as both show them."""
        if name not in self.membranes:
            self.membranes[name] = Comparison(self.tolerance, self._scale(name))
        ran = len(next(iter(seen.values.values())))
        common = min(len(a), len(b))
        self.membranes[name].see(a[-common:], b[-common:], step + ran - common)

    def _scale(self, name: str) -> float:
        """The threshold: a membrane that moves much less is as good as still."""
        nodes: list[Any] = [side.flat.nodes[name] for side in self.pair.sides]
        held = [np.abs(n.v_threshold).max() for n in nodes if hasattr(n, "v_threshold")]
        return float(max(held, default=0.0))

    def _note_silence(self, name: str, place: Place, seen: tuple[Seen, Seen], step: int) -> None:
        """Keep the potential of a neuron that didn't fire, if it was seen in that step."""
        quiet = seen[1] if place.values[0] > place.values[1] else seen[0]
        potentials = quiet.membranes.get(name)
        if potentials is not None and len(potentials) == len(quiet.values[name]):
            at = (place.step - step, place.sample, *place.neuron)
            self.silent[name] = float(potentials[at])

    # What was found

    def agreements(self) -> Iterator[Agreement]:
        """How far each node agrees, its membrane behind it; Outputs come last."""
        for names, comparison in self.sent.items():
            if not comparison.compared:
                continue
            kind, fires = self.pair.kind(*names), self.pair.fires(*names)
            yield _agreement(names[0], kind, "spikes" if fires else "values", comparison)
            if names[0] in self.membranes:
                yield _agreement(names[0], kind, "v", self.membranes[names[0]])

    def cause(self, first: Agreement | None) -> str:
        """Why the node that differs first does, where that can be seen."""
        if first is None or first.first is None or first.node not in self.pair.nodes:
            return ""
        if first.quantity == "spikes":
            silent = self.silent.get(first.node)
            if why := causes.at_threshold(self.pair.sides, first.node, first.first, silent):
                return why
        return causes.parameters(self.pair.sides, first.node)

    def notes(self) -> Iterator[str]:
        """What is to be known besides."""
        if self.pair.spiking:
            quiet = [name for name in self.pair.spiking if self.sent[name, name].totals == (0, 0)]
            if len(quiet) == len(self.pair.spiking):
                yield "nothing fired, so that they agree says little: give a larger input"
            elif quiet:
                yield f"these never fired: {listed(quiet)}"
        yield from self.pair.apart


def _agreement(name: str, kind: str, quantity: str, found: Comparison) -> Agreement:
    a, b = found.totals
    return Agreement(
        node=name,
        kind=kind,
        quantity=quantity,
        compared=found.compared,
        differing=found.differing,
        apart=found.apart,
        spikes=(round(a), round(b)) if quantity == "spikes" else None,
        first=found.first,
    )

"""Two networks run side by side, and compared as they go."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from nir_runtime.verifying import causes
from nir_runtime.verifying.comparing import Comparison, Place
from nir_runtime.verifying.margins import Margins, Measuring, Stretch
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
    margins: Margins


def watched(
    pair: Pair, x: Mapping[str, Tensor], tolerance: float | None, progress: Callable[[], None]
) -> Watched:
    """Run both on inputs [T, N, *features], by the Inputs of the first, and compare."""
    watching = Watching(pair, tolerance_of(pair) if tolerance is None else tolerance)
    steps, batch = next(iter(x.values())).shape[:2]
    size = together(pair, batch, steps)
    with running(pair.sides[0]) as first, running(pair.sides[1]) as second:
        for start in range(0, steps, size):
            part = {name: values[start : start + size] for name, values in x.items()}
            watching.see(first.run(part), second.run(pair.renamed(part)), start)
            for _ in range(min(size, steps - start)):
                progress()
    return watching.watched()


def together(pair: Pair, batch: int, steps: int) -> int:
    """How many steps are run at once: as many as memory allows; all, if a network takes all."""
    if any(side.loops for side in pair.sides):
        return steps
    return min(affordable(side, batch, steps) for side in pair.sides)


def tolerance_of(pair: Pair) -> float:
    """What the coarser of both precisions lets expect."""
    return max(TOLERANCES.get(side.dtype, COARSE) for side in pair.sides)


class Watching:
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
        coarse = any(side.dtype != torch.float64 for side in pair.sides)
        self.measuring = Measuring(tolerance, excuses_ties=coarse)
        self._largest: dict[str, float] = {}

    def restart(self) -> None:
        """Both go on from their start."""
        self.measuring.restart()

    def watched(self) -> Watched:
        """What was found."""
        nodes = tuple(self.agreements())
        cause = self.cause(first_to_differ(nodes))
        return Watched(self.tolerance, nodes, cause, tuple(self.notes()), self.measuring.found)

    def see(self, a: Seen, b: Seen, step: int) -> None:
        """Go on with what both gave, from a step on."""
        self.measuring.see(list(self._stretches(a, b, step)), step)

    def _stretches(self, a: Seen, b: Seen, step: int) -> Iterator[Stretch]:
        """All numbers, compared, in the order of execution."""
        for names, comparison in self.sent.items():
            name = names[0]
            if name in a.values and names[1] in b.values:
                # A network that returns more than its outputs doesn't show these.
                fresh = comparison.first is None
                first, second = a.values[name], b.values[names[1]]
                differs = comparison.see(first, second, step)
                if fresh and comparison.first is not None:
                    self._note_silence(name, comparison.first, (a, b), step)
                yield self._stretch(names, first, second, differs, (a, b))
            if name in self.pair.nodes and name in a.membranes and name in b.membranes:
                yield self._see_membranes(name, a.membranes[name], b.membranes[name], step, a)

    def _see_membranes(self, name: str, a: Tensor, b: Tensor, step: int, seen: Seen) -> Stretch:
        """Membranes of the last steps, as far as both show them."""
        if name not in self.membranes:
            self.membranes[name] = Comparison(self.tolerance, self._scale(name))
        ran = len(next(iter(seen.values.values())))
        common = min(len(a), len(b))
        differs = self.membranes[name].see(a[-common:], b[-common:], step + ran - common)
        a, b, differs = (_at_the_end(each, common, ran) for each in (a, b, differs))
        return Stretch(name, "v", a, b, differs)

    def _stretch(
        self, names: tuple[str, str], a: Tensor, b: Tensor, differs: Tensor, seen: tuple[Seen, Seen]
    ) -> Stretch:
        """A node's numbers, and where they differ by rounding at the threshold."""
        if not self.pair.fires(*names):
            return Stretch(names[0], "values", a, b, differs)
        threshold = self._threshold(names[0])
        potential = self._compared(names[0], a, b, seen)
        if threshold is None or potential is None:
            return Stretch(names[0], "spikes", a, b, differs)
        largest = max(self._largest.get(names[0], 0.0), float(potential.abs().max()))
        self._largest[names[0]] = largest
        distance = (potential - threshold).abs()
        near = distance <= self.tolerance * torch.clamp(threshold.abs(), min=largest)
        fires_at = [side.target.fires == ">=" for side in self.pair.sides]
        first, second = map(torch.tensor, fires_at)
        tie = (distance == 0) & torch.where(a > b, first, second)
        return Stretch(names[0], "spikes", a, b, differs, tie, near)

    def _threshold(self, name: str) -> Tensor | None:
        """What the second side's node compares with."""
        node: Any = self.pair.sides[1].flat.nodes.get(name)
        held = getattr(node, "v_threshold", getattr(node, "threshold", None))
        return None if held is None else torch.from_numpy(np.array(held, dtype=np.float64))

    def _compared(self, name: str, a: Tensor, b: Tensor, seen: tuple[Seen, Seen]) -> Tensor | None:
        """The potentials that were compared with the threshold: as the reference has them, or those
        of the side that didn't fire."""
        for each in reversed(seen):
            if name in each.compared:
                return each.compared[name].double()
        left = [each.membranes.get(name) for each in seen]
        first, second = (v if v is not None and len(v) == len(a) else None for v in left)
        if first is None or second is None:
            return None
        return torch.where(a > b, second, first).double()

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
        if hidden := [names[0] for names, found in self.sent.items() if not found.compared]:
            yield f"not compared, as a network returns more than its outputs: {listed(hidden)}"


def _at_the_end(part: Tensor, common: int, steps: int) -> Tensor:
    """The last numbers of a stretch; before them zeros, or False."""
    part = part[-common:]
    return torch.cat((part.new_zeros((steps - common, *part.shape[1:])), part))


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

"""What some neurons of two networks did, recorded for a plot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from nir_runtime.verifying.pair import Pair
from nir_runtime.verifying.running import Seen, running
from nir_runtime.verifying.verification import Agreement, Trace, first_to_differ

Tensor = torch.Tensor

NODES = 6
"""How many nodes are recorded."""

NEURONS = 32
"""How many neurons of each."""


def recorded(
    pair: Pair,
    x: Mapping[str, Tensor],
    agreements: Sequence[Agreement],
    progress: Callable[[], None],
) -> tuple[Trace, ...]:
    """Run both once more, step by step, and record the nodes that fire, as far as they are few.

    The node that differs first is among them; so is of each node the neuron that does.
    """
    first = first_to_differ(agreements)
    sample = first.first.sample if first and first.first else 0
    recordings = [_Recording(pair, name, agreements) for name in _chosen(pair, first)]
    steps = len(next(iter(x.values())))
    size = steps if any(side.loops for side in pair.sides) else 1
    with running(pair.sides[0]) as left, running(pair.sides[1]) as right:
        for start in range(0, steps, size):
            part = {name: values[start : start + size] for name, values in x.items()}
            seen = left.run(part), right.run(pair.renamed(part))
            for recording in recordings:
                recording.see(seen, sample)
            for _ in range(size):
                progress()
    return tuple(recording.trace() for recording in recordings)


def _chosen(pair: Pair, first: Agreement | None) -> list[str]:
    """The first nodes that fire, in the order of execution; the one that differs instead of the
    last."""
    if first is None or first.node not in pair.spiking[NODES:]:
        return list(pair.spiking[:NODES])
    return [*pair.spiking[: NODES - 1], first.node]


class _Recording:
    """One node, as it is recorded.

    Attributes:
        differing: the neuron that differs first, in its spikes or else in its membrane.
        neurons: it, and others from the first to the last.
        spikes, membranes: of these on both sides, [T, neurons]; no membranes, if not both show
            them behind each step.
    """

    def __init__(self, pair: Pair, name: str, agreements: Sequence[Agreement]) -> None:
        self.name = name
        self.node: Any = pair.sides[0].flat.nodes[name]
        shape = pair.sides[0].shape(name)
        place = next((a.first for a in agreements if a.node == name and a.first), None)
        self.differing = None if place is None else int(np.ravel_multi_index(place.neuron, shape))
        size = int(np.prod(shape))
        spread = np.linspace(0, size - 1, min(size, NEURONS)).astype(int).tolist()
        self.neurons = sorted({*spread, *([] if place is None else [self.differing])})
        self.spikes: tuple[list[Tensor], list[Tensor]] = ([], [])
        self.membranes: tuple[list[Tensor], list[Tensor]] = ([], [])

    def see(self, seen: tuple[Seen, Seen], sample: int) -> None:
        """Record some steps of both."""
        steps = len(seen[0].values[self.name])
        shown = all(len(each.membranes.get(self.name, ())) == steps for each in seen)
        for side, each in enumerate(seen):
            self.spikes[side].append(self._of_neurons(each.values[self.name], sample))
            if shown:
                self.membranes[side].append(self._of_neurons(each.membranes[self.name], sample))

    def _of_neurons(self, values: Tensor, sample: int) -> Tensor:
        return values[:, sample].flatten(1)[:, self.neurons]

    def trace(self) -> Trace:
        """What was recorded; of membranes that of the neuron that differs, or else fires most."""
        a, b = (torch.cat(each).T.round().int() for each in self.spikes)
        busiest = self.neurons[int(a.sum(1).argmax())]
        neuron = busiest if self.differing is None else self.differing
        row = self.neurons.index(neuron)
        v, w = (torch.cat(each)[:, row].tolist() if each else [] for each in self.membranes)
        threshold = getattr(self.node, "v_threshold", None)
        return Trace(
            node=self.name,
            neurons=tuple(self.neurons),
            spikes=(tuple(map(tuple, a.tolist())), tuple(map(tuple, b.tolist()))),
            neuron=neuron,
            membranes=(tuple(v), tuple(w)),
            threshold=None if threshold is None else float(np.ravel(threshold)[neuron]),
        )

"""What some neurons of two networks did, recorded for a plot."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from nirgen.verifying.pair import Pair
from nirgen.verifying.running import Seen, running
from nirgen.verifying.verification import Agreement, Trace, first_to_differ

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
    """One node, as it is recorded."""

    def __init__(self, pair: Pair, name: str, agreements: Sequence[Agreement]) -> None:
        self.name = name
        self.node: Any = pair.sides[0].flat.nodes[name]
        shape = pair.sides[0].shape(name)
        size = int(np.prod(shape))
        own = (a.first for a in agreements if a.node == name and a.first is not None)
        place = next(own, None)  # of its spikes, if they differ, and else of its membrane
        self.neuron = int(np.ravel_multi_index(place.neuron, shape)) if place else 0
        spread = np.linspace(0, size - 1, min(size, NEURONS)).astype(int).tolist()
        self.neurons = sorted({*spread, self.neuron})
        self.spikes: tuple[list[Tensor], list[Tensor]] = ([], [])
        self.membranes: tuple[list[float], list[float]] = ([], [])

    def see(self, seen: tuple[Seen, Seen], sample: int) -> None:
        """Record some steps of both; membranes, if both show them behind each."""
        values = [each.values[self.name] for each in seen]
        potentials = [each.membranes.get(self.name) for each in seen]
        shown = all(p is not None and len(p) == len(values[0]) for p in potentials)
        for side, (sent, potential) in enumerate(zip(values, potentials, strict=True)):
            self.spikes[side].append(sent[:, sample].flatten(1)[:, self.neurons])
            if shown and potential is not None:
                held = potential[:, sample].flatten(1)[:, self.neuron]
                self.membranes[side].extend(held.tolist())

    def trace(self) -> Trace:
        """What was recorded."""
        a, b = (torch.cat(each).T.round().int().tolist() for each in self.spikes)
        threshold = getattr(self.node, "v_threshold", None)
        at = None if threshold is None else float(np.ravel(threshold)[self.neuron])
        return Trace(
            node=self.name,
            neurons=tuple(self.neurons),
            spikes=(tuple(map(tuple, a)), tuple(map(tuple, b))),
            neuron=self.neuron,
            membranes=(tuple(self.membranes[0]), tuple(self.membranes[1])),
            threshold=at,
        )

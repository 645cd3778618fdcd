"""An export beside its network: the network as it is called, and the graph in the reference.

The network gets inputs of exactly the shapes of the export's example, so that it is called as its
author calls it: once for each step, or once for a sequence. The graph goes through the same steps.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import nir
import torch
from torch import nn

from nir_runtime.contract import shapes
from nir_runtime.contract.nesting import Flat, thin_copy, without_ports
from nir_runtime.contract.reference import Cell
from nir_runtime.errors import InvalidArgument, Problem, VerificationFailed
from nir_runtime.exports.layout import Examples, Layout, examples_of, layout_of
from nir_runtime.exports.observing import layers_of
from nir_runtime.exports.traces import Call
from nir_runtime.imports.building import calling, core, graph_names, memory
from nir_runtime.imports.importing import import_graph
from nir_runtime.reports.report import Verified
from nir_runtime.target import Target
from nir_runtime.verifying import sides
from nir_runtime.verifying.inputs import TRIAL, fitting_scale
from nir_runtime.verifying.margins import Margins
from nir_runtime.verifying.pair import Pair, pair_of
from nir_runtime.verifying.running import Runner, Seen, running
from nir_runtime.verifying.sides import Side, in_training
from nir_runtime.verifying.verification import Verification
from nir_runtime.verifying.watching import Watched, Watching, tolerance_of

Tensor = torch.Tensor
Numbers = Callable[[int], Examples]
"""What the network is given at its k-th call."""

SEED = 0


@dataclass(frozen=True)
class Exported:
    """A network and its graph.

    Attributes:
        target: the framework that the network is written in.
        net, example_input, dt: as they were exported.
        graph: what came out.
        inputs: the names of the graph's Inputs, in the order of the example's tensors.
        calls: what the network calls, by the names of the graph's nodes.
    """

    target: Target
    net: nn.Module
    example_input: Any
    graph: nir.NIRGraph
    dt: float
    inputs: tuple[str, ...]
    calls: Mapping[str, Call]

    @cached_property
    def layout(self) -> Layout:
        """The axes that the network's layers take before the features."""
        return layout_of(self.target, self.net, self.example_input)

    @cached_property
    def examples(self) -> Examples:
        """The tensors that were given."""
        return examples_of(self.target, self.net, self.example_input, self.layout)

    @cached_property
    def flat(self) -> Flat:
        """The graph, with shapes and without ports."""
        return without_ports(shapes.infer(thin_copy(self.graph)))

    @property
    def axes(self) -> int:
        """How many axes stand before the features in what the network takes."""
        node: Any = self.flat.nodes[self.inputs[0]]
        return self.examples.all[0].dim() - len(node.input_type["input"])

    @property
    def batch(self) -> int:
        """How many samples the network takes at once."""
        return int(self.examples.all[0].shape[self.axes - 1])


def verified(exported: Exported, steps: int) -> Verified:
    """What was compared of an export and its network, which agree.

    Args:
        exported: both.
        steps: how many steps to run; more, if the network takes several at once.

    Raises:
        InvalidArgument: the network can't be run on the example.
        VerificationFailed: they differ, otherwise than by rounding.
    """
    pair = pair_of(_network(exported), _graph(exported))
    numbers, says = _shuffled(exported.examples), "its numbers shuffled at each call but the first"
    finite = all(bool(torch.isfinite(x).all()) for x in exported.examples.all)
    ran = _run(exported, pair, numbers, steps) if finite else None
    if _may_be_drawn(exported) and (ran is None or _is_quiet(pair, ran.found)):
        scale = fitting_scale(lambda s: _firing(exported, pair, s), len(pair.spiking))
        ran = _run(exported, pair, _drawn(exported.examples, scale), steps)
        says = (
            f"normal numbers of mean 0.5 and deviation 1, times {scale:g}, as example_input's "
            + ("make nothing fire" if finite else "are not finite")
        )
    if ran is None:
        what = "is NaN or infinite in some elements"
        raise InvalidArgument(Problem("example_input", what, "give finite numbers"))
    if not ran.found.margins.explained:
        raise _failure(exported, pair, ran, says)
    return Verified(
        steps=ran.steps,
        batch=exported.batch,
        input=f"given example_input, {says}" if says.startswith("its") else f"given {says}",
        spikes=_spikes(ran.found) if pair.spiking else None,
        ties=ran.found.margins.ties,
        rounding=ran.found.margins.near,
        after=ran.found.margins.after,
        bound=ran.found.margins.bound,
        notes=tuple(_notes(exported, ran.found)),
    )


# --- both sides -----------------------------------------------------------------------------


def _network(exported: Exported) -> Side:
    """The network, to be called as its author does."""
    net = exported.net
    imported = graph_names(net) is not None
    side = sides.side(
        f"the network in {exported.target.name}",
        exported.target,
        net,
        exported.flat,
        None if imported else layers_of(exported.calls),
    )
    example = exported.examples.all[0]
    if not any(t.is_floating_point() for t in (*net.parameters(), *net.buffers())):
        wanted = example.dtype if example.is_floating_point() else torch.get_default_dtype()
        side = replace(side, dtype=wanted, device=example.device)
    given = set(exported.examples.by_keyword)
    carries = "state" in inspect.signature(net.forward).parameters and "state" not in given
    return replace(side, inputs=exported.inputs, carries=carries)


def _graph(exported: Exported) -> Side:
    """The graph in the reference, in the precision of the network."""
    like, target = _network(exported), reference_of(exported.target)
    options = {"step_mode": "s", "if_gain": "as_written"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they say is in the export's own report
        net = import_graph(
            target, exported.graph, exported.dt, like.device, like.dtype, options, strict=False
        )
    made = sides.side("the graph in the reference", target, net, exported.flat, None, ours=True)
    return replace(made, dtype=like.dtype, device=like.device)


def reference_of(target: Target) -> Target:
    """The reference, by which a framework's graphs are run.

    Raises:
        InvalidArgument: the framework's converter has none.
    """
    importers = target.fallback or target.importers
    if not target.fallback and target.cell is not Cell:
        what = f"{target.name} has no reference that its graphs can be run in"
        advice = "say `fallback: reference` in its framework.yaml, or use nir_exchange.verify"
        raise InvalidArgument(Problem("verify", what, advice))
    return Target(
        name="the reference",
        packages=("nir_runtime.contract.reference", "nir_runtime.contract.dynamics"),
        exporters={},
        importers=importers,
        state={},
        mode_attribute="step_mode",
        leading_axes={"s": 1, "m": 2},
        cell=Cell,
    )


# --- inputs ---------------------------------------------------------------------------------


def _shuffled(examples: Examples) -> Numbers:
    """The example's numbers; after the first call, in another order at each."""

    def numbers(call: int) -> Examples:
        generator = torch.Generator().manual_seed(SEED + call)

        def anew(x: Tensor) -> Tensor:
            if not call:
                return x.detach()
            order = torch.randperm(x.numel(), generator=generator).to(x.device)
            return x.detach().flatten()[order].reshape(x.shape)

        return _each(examples, anew)

    return numbers


def _drawn(examples: Examples, scale: float) -> Numbers:
    """Normal numbers of the example's shapes."""

    def numbers(call: int) -> Examples:
        generator = torch.Generator().manual_seed(SEED + call)

        def anew(x: Tensor) -> Tensor:
            normal = torch.randn(x.shape, generator=generator, dtype=torch.float64)
            return ((0.5 + normal) * scale).to(x)

        return _each(examples, anew)

    return numbers


def _each(examples: Examples, function: Callable[[Tensor], Tensor]) -> Examples:
    named = {name: function(x) for name, x in examples.by_keyword.items()}
    return Examples(examples.names, tuple(map(function, examples.positional)), named)


def _may_be_drawn(exported: Exported) -> bool:
    """Whether random numbers can be the network's input: it doesn't take whole ones."""
    return all(x.is_floating_point() for x in exported.examples.all)


def _firing(exported: Exported, pair: Pair, scale: float) -> int:
    """How many nodes of the graph fire, given normal numbers times a scale."""
    numbers = _drawn(exported.examples, scale)
    with running(pair.sides[1]) as runner:
        fired: set[str] = set()
        for call in range(TRIAL if exported.axes == 1 else 1):
            seen = runner.run(_over_time(exported, numbers(call), 1))
            fired |= {name for name in pair.spiking if bool(seen.values[name].any())}
    return len(fired)


def _over_time(exported: Exported, examples: Examples, steps: int) -> dict[str, Tensor]:
    """What the graph is given, [T, N, *features]: the same at each step, where there is no time."""
    timed = [
        x if exported.axes > 1 else x.unsqueeze(0).expand(steps, *x.shape) for x in examples.all
    ]
    return dict(zip(exported.inputs, timed, strict=True))


# --- running --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ran:
    """What was found, in how many steps."""

    found: Watched
    steps: int


def _run(exported: Exported, pair: Pair, numbers: Numbers, steps: int) -> Ran:
    """Run both for at least some steps, or until they differ otherwise than by rounding."""
    watching, done, call = Watching(pair, tolerance_of(pair)), 0, 0
    with running(pair.sides[0]) as first, running(pair.sides[1]) as second:
        while done < steps and watching.measuring.found.explained:
            given = numbers(call)
            a = _called(exported, first, given)
            ran = max(len(value) for value in a.values.values())
            b = second.run(_over_time(exported, given, ran))
            watching.see(_at_each_step(a, ran), b, done)
            done, call = done + ran, call + 1
            if _starts_afresh(exported, pair.sides[0], ran):
                first.restart()
                second.restart()
                watching.restart()
    return Ran(watching.watched(), done)


def _called(exported: Exported, runner: Runner, given: Examples) -> Seen:
    """A call of the network."""
    try:
        return runner.call(given.positional, given.by_keyword, exported.batch)
    except Exception as error:  # whatever a network's own forward may raise
        what = f"the network can't be run on it: {type(error).__name__}: {error}"
        advice = "give what the network can be called with, or export without verify"
        raise InvalidArgument(Problem("example_input", what, advice)) from error


def _at_each_step(seen: Seen, steps: int) -> Seen:
    """What layers sent on that were called once, before a loop over time, at each of its steps."""
    values = {
        name: value.expand(steps, *value.shape[1:]) if len(value) == 1 else value
        for name, value in seen.values.items()
    }
    return replace(seen, values=values)


def _starts_afresh(exported: Exported, side: Side, steps: int) -> bool:
    """Whether each call of the network begins anew: it loops over time itself, or it neither
    remembers a state nor is given one."""
    loops = exported.axes > exported.layout.axes or (exported.axes == 1 and steps > 1)
    stateful = [m for m in side.layers.values() if memory(side.target, core(m))]
    forgetful = any(not calling(side.target, layer).remembers for layer in stateful)
    return loops or (forgetful and not side.carries)


# --- what was found -------------------------------------------------------------------------


def _spikes(found: Watched) -> int:
    """How many spikes the network's layers fired."""
    return sum(n.spikes[0] for n in found.nodes if n.spikes and n.kind != "Output")


def _is_quiet(pair: Pair, found: Watched) -> bool:
    """Whether layers could have fired, and none did."""
    return bool(pair.spiking) and found.margins == Margins(found.tolerance) and not _spikes(found)


def _notes(exported: Exported, found: Watched) -> Iterator[str]:
    """What else is to be known of a comparison."""
    yield from found.notes
    if in_training(exported.net):
        yield "run in evaluation mode, and in training mode before and after"


def _failure(exported: Exported, pair: Pair, ran: Ran, says: str) -> VerificationFailed:
    """The error to raise, at the layer that differs first."""
    found = ran.found
    verification = Verification(
        sides=pair.labels,
        dt=exported.dt,
        dt_says=f"{exported.dt:g} s, that of the export",
        steps=ran.steps,
        batch=exported.batch,
        tolerance=found.tolerance,
        input=says,
        nodes=found.nodes,
        cause=found.cause,
        notes=tuple(_notes(exported, found)),
        margins=found.margins,
    )
    assert found.margins.first is not None
    node, quantity, place = found.margins.first
    call = exported.calls.get(node)
    kind = type(exported.flat.nodes[node]).__name__
    what = (
        f"the network and its graph, run side by side, differ first in {node} ({kind}), "
        f"{quantity}: {place}"
    )
    advice = found.cause or (
        "the network does something besides its layers that the graph doesn't have; this error's "
        "`verification` has all nodes, and an export without verify gives the graph as it is"
    )
    where = (call.path if call else "") or node
    failure = VerificationFailed(Problem(where, what, advice))
    failure.verification = verification
    return failure

"""From a network to a NIR graph, and to a file."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import get_args, get_type_hints

import nir
import numpy as np
from torch import nn

from nir_runtime import files
from nir_runtime.arguments import as_dt, wrong_dt
from nir_runtime.collecting import uncollected
from nir_runtime.contract import order, shapes
from nir_runtime.contract.nesting import Flat
from nir_runtime.contract.origin import is_near, origin_of
from nir_runtime.errors import (
    AnnotatedWarning,
    ExportRefused,
    InvalidArgument,
    InvalidGraph,
    Problem,
)
from nir_runtime.exports.folding import folded
from nir_runtime.exports.layout import Example
from nir_runtime.exports.naming import Names, names
from nir_runtime.exports.pruning import without_junctions, without_unused
from nir_runtime.exports.soft_reset import decomposed
from nir_runtime.exports.traces import Call, Reader, Trace
from nir_runtime.exports.tracing import trace
from nir_runtime.imports.building import time_steps
from nir_runtime.reports.export_report import HOOKS_LEFT_OUT, ExportLog
from nir_runtime.sites import DEFAULT_OPTIONS, ExportOptions, Skipped
from nir_runtime.target import Target


def export_network(
    target: Target,
    net: nn.Module,
    example_input: Example,
    save_path: str | Path | None,
    dt: float | None,
    *,
    strict: bool,
    options: ExportOptions = DEFAULT_OPTIONS,
    verify: int | None = None,
) -> nir.NIRGraph:
    """The NIR graph of a network; see `export_to_nir` of the framework's converter.

    Args:
        target: the framework that the network is written in.
        net: the network; left exactly as found.
        example_input: tensors of the shapes that the network takes, batch (and time) included: one,
            a tuple of them in order, or a dictionary by parameter.
        save_path: where to write the graph; None writes nothing.
        dt: the time step, in seconds; None for that of the imports in the network, or else the
            framework's.
        strict: refuse every layer that is not exact by its node's fields alone.
        options: what else the caller chose.
        verify: for how many steps to run the network and the graph side by side; None runs nothing.

    Returns:
        The graph: nodes and edges in the order of execution, shapes without batch and time.
        Weights in main memory are views of the network's; they change with it. Its attribute
        `report` says what became of each layer.

    Raises:
        InvalidArgument: an argument can't be meant.
        ExportRefused: NIR can't hold the network; `problems` has all reasons found.
        VerificationFailed: the graph computes something else than the network.

    Warns:
        AnnotatedWarning: layers are exact only for a reader of their nodes' metadata.
        UserWarning: layers are left out that do something in training mode, in which they are.
    """
    _demand_arguments(net, save_path, dt, options, verify)
    step = _time_step(target, net, dt)
    log = ExportLog(target, net, step, options)
    with uncollected(), log.reported():
        traced = trace(target, net, example_input, step, options)
        used = without_unused(traced)
        log.follow(traced, used)
        traced = folded(without_junctions(used))
        log.calls = traced.calls
        if strict:
            _refuse_inexact(traced)
            _refuse_training(target, traced)
        named = names(traced, net)
        graph = _assembled(traced, named)
        flat = _complete(graph, traced, named)
        if options.soft_reset == "decompose":
            calls = dict(zip(named.calls, traced.calls, strict=True))
            graph = _decomposed(graph, flat, step, calls)
    graph.metadata |= origin_of(target.name, target.packages[0], step)
    if verify is not None:
        from nir_runtime.verifying.exported import Exported, verified  # no layer runs without

        calls = dict(zip(named.calls, traced.calls, strict=True))
        exported = Exported(target, net, example_input, graph, step, named.inputs, calls)
        log.verified = verified(exported, verify)
    graph.report = log.report
    if save_path is not None:
        files.write(save_path, graph)
    for category, message in _warnings(target, traced):
        # Past this function and the converter's export_to_nir, to the user's call.
        warnings.warn(message, category, stacklevel=3)
    return graph


def _demand_arguments(
    net: object, save_path: str | Path | None, dt: object, options: ExportOptions, verify: object
) -> None:
    problems = [*_wrong_net(net), *wrong_dt(dt), *_wrong_path(save_path), *_wrong(options)]
    problems += _wrong_verify(verify)
    if problems:
        raise InvalidArgument(problems)


def _time_step(target: Target, net: nn.Module, given: float | None) -> float:
    """The time step of an export. What was imported goes out at the one that it came in at."""
    built = time_steps(net)
    dt = as_dt(given)
    if dt is not None:
        return next((known for known in built if is_near(known, dt)), dt)
    if not all(is_near(built[0], known) for known in built):
        listed = " and ".join(f"{known:.9g}" for known in built)
        what = f"is missing, and parts of the network were imported at dt = {listed}"
        raise InvalidArgument(Problem("dt", what, "give one, or import all parts at the same"))
    return built[0] if built else target.dt


def _wrong_net(net: object) -> Iterable[Problem]:
    if not isinstance(net, nn.Module):
        yield Problem("net", f"is a {type(net).__name__}", "give a torch.nn.Module")


def _wrong_verify(steps: object) -> Iterable[Problem]:
    whole = isinstance(steps, int) and not isinstance(steps, bool)
    if steps is not None and not (whole and steps >= 1):  # type: ignore[operator]
        advice = "give a number of steps, 1 at least; or None, to run nothing"
        yield Problem("verify", f"is {steps!r}", advice)


def _wrong(options: ExportOptions) -> Iterable[Problem]:
    types = get_type_hints(ExportOptions)
    for field in fields(options):
        value, known = getattr(options, field.name), get_args(types[field.name])
        if value not in known:
            advice = f"give one of {', '.join(map(repr, known))}"
            yield Problem(field.name, f"is {value!r}", advice)


def _wrong_path(save_path: object) -> Iterable[Problem]:
    if save_path is None:
        return
    if not isinstance(save_path, (str, os.PathLike)):
        yield Problem("save_path", f"is a {type(save_path).__name__}", "give a path, or None")
        return
    path = Path(save_path)
    if path.is_dir():
        yield Problem("save_path", f"{path} is a folder", "name a file in it")
    elif not path.parent.is_dir():
        yield Problem("save_path", f"there is no folder {path.parent}", "make it first")


def _assembled(trace: Trace, names: Names) -> nir.NIRGraph:
    """Nodes and edges in the order of execution."""
    nodes: dict[str, nir.NIRNode] = {}
    edges: list[tuple[str, str]] = []
    for name, port in zip(names.inputs, trace.inputs, strict=True):
        nodes[name] = nir.Input(input_type={"input": np.array(port.shape)})
    for name, call in zip(names.calls, trace.calls, strict=True):
        nodes[name] = call.node
        edges += ((names.numbered[k], name) for k in call.reads)
    for name, port in zip(names.outputs, trace.outputs, strict=True):
        nodes[name] = nir.Output(output_type={"output": np.array(port.shape)})
        edges += ((names.numbered[k], name) for k in port.reads)
    return nir.NIRGraph(nodes=nodes, edges=edges, metadata={}, type_check=False)


def _complete(graph: nir.NIRGraph, trace: Trace, names: Names) -> Flat:
    """Check the graph and fill in all shapes; what is wrong is said of the network's layers."""
    try:
        flat = shapes.infer(graph)
        _demand_delays(flat, trace, names)
    except InvalidGraph as invalid:
        layers = {
            f"/node/nodes/{n}": _path(c) for n, c in zip(names.calls, trace.calls, strict=True)
        }
        raise ExportRefused(_of_layer(p, layers) for p in invalid.problems) from invalid
    return flat


def _decomposed(
    graph: nir.NIRGraph, flat: Flat, dt: float, calls: Mapping[str, Call]
) -> nir.NIRGraph:
    """The graph with soft resets in primitives; what is refused is said of the network's layers."""
    try:
        return decomposed(graph, flat, dt)
    except ExportRefused as refused:
        problems = [replace(p, place=_path(calls[p.place])) for p in refused.problems]
        raise ExportRefused(problems) from None


def _demand_delays(flat: Flat, trace: Trace, names: Names) -> None:
    """Refuse a graph whose cycles the contract cuts elsewhere than the network does."""
    readers: tuple[Reader, ...] = (*trace.calls, *trace.outputs)
    wanted = {
        (names.numbered[k], name)
        for name, reader in zip((*names.calls, *names.outputs), readers, strict=True)
        for k in reader.previous
    }
    cut = order.plan(flat).delayed if wanted else frozenset()
    problems = [
        Problem(
            flat.places[target],
            f"reads {source!r} {'now' if (source, target) in cut else 'one step later'}, and NIR "
            "would have it the other way",
            "put a neuron or a layer.Delay on the way back",
        )
        for source, target in sorted(wanted ^ cut)
    ]
    if problems:
        raise InvalidGraph(problems)


def _of_layer(problem: Problem, layers: Mapping[str, str]) -> Problem:
    """A problem of a node or of a node's field, as one of the layer it came from."""
    if problem.place in layers:
        return replace(problem, place=layers[problem.place])
    node, _, field = problem.place.rpartition("/")
    if node in layers:
        return replace(problem, place=layers[node], what=f"{field} {problem.what}")
    return problem


def _path(call: Call) -> str:
    """What messages call a layer: its path, or its class if it is the network itself."""
    return call.path or type(call.layer).__name__


def _annotated(calls: Iterable[Call]) -> list[tuple[str, str]]:
    """The layers that are exact with their nodes' metadata only, each with all its reasons."""
    return [(_path(call), "; ".join(call.annotations)) for call in calls if call.annotations]


def _refuse_inexact(trace: Trace) -> None:
    problems = [
        Problem(path, why, "change the layer, or export with strict=False, and annotate the node")
        for path, why in _annotated(trace.calls)
    ]
    problems += [
        Problem(path, HOOKS_LEFT_OUT, 'remove the hooks, or export with hooks="check"')
        for path in trace.hooked
    ]
    if problems:
        raise ExportRefused(problems)


def _in_training(target: Target, trace: Trace) -> list[tuple[str, str]]:
    """The layers that are left out, and do something in training mode, in which they are."""
    skipped = ((p, layer, target.exporters.get(type(layer))) for p, layer in trace.skipped.items())
    return [
        (path, exporter.in_training)
        for path, layer, exporter in skipped
        if isinstance(exporter, Skipped) and exporter.acts(layer)
    ]


def _refuse_training(target: Target, trace: Trace) -> None:
    problems = [
        Problem(
            path, f"it is in training mode, in which {why}", "call net.eval() before the export"
        )
        for path, why in _in_training(target, trace)
    ]
    if problems:
        raise ExportRefused(problems)


def _warnings(target: Target, trace: Trace) -> Iterable[tuple[type[Warning], str]]:
    """What a user must know about an export that succeeded: category and message."""
    annotated = _annotated(trace.calls)
    if annotated:
        listed = "".join(f"\n  {path}: {why}" for path, why in annotated)
        yield (
            AnnotatedWarning,
            f"exact only for a reader of the nodes' metadata (strict=True refuses them):{listed}",
        )
    training = _in_training(target, trace)
    if training:
        listed = "".join(f"\n  {path}: {why}" for path, why in training)
        yield (
            UserWarning,
            "the graph is of the network in evaluation mode, and these layers are in training mode "
            f"(strict=True refuses them; call net.eval()):{listed}",
        )

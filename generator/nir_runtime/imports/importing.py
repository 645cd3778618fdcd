"""From a NIR graph, or a file, to a framework's module."""

from __future__ import annotations

import functools
import inspect
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import torch
from torch import fx, nn

from nir_runtime import numbers
from nir_runtime.arguments import DEFAULT_DT, as_dt, wrong_dt
from nir_runtime.arrays import Unshared
from nir_runtime.collecting import uncollected
from nir_runtime.contract import order, origin, shapes
from nir_runtime.contract.dynamics import Dynamics
from nir_runtime.contract.nesting import Flat, thin_copy, without_ports
from nir_runtime.contract.order import Plan
from nir_runtime.contract.reference import Remembering
from nir_runtime.errors import (
    FaintInputWarning,
    ImportRefused,
    InvalidArgument,
    LayerUnfit,
    Problem,
    TimeStepWarning,
)
from nir_runtime.exports import ties
from nir_runtime.imports import building, if_gain
from nir_runtime.imports.normalized import Normalized
from nir_runtime.reports.import_report import ImportLog
from nir_runtime.reports.report import Report
from nir_runtime.sites import ImportSite
from nir_runtime.target import Target


def import_graph(
    target: Target,
    graph: nir.NIRGraph | str | Path,
    dt: float | None,
    device: torch.device | str,
    dtype: torch.dtype,
    options: Mapping[str, Any],
    *,
    strict: bool,
) -> fx.GraphModule:
    """The module that computes a NIR graph; see `import_from_nir` of the framework's converter.

    Args:
        target: the framework to build the module in.
        graph: the graph, which stays as it is, or the path of a file that holds one.
        dt: the time step, in seconds; None for the one that the graph carries, or else
            `DEFAULT_DT`.
        device, dtype: of the module's parameters.
        options: what else the framework's import takes; the layout of the layers (`step_mode`)
            is one of them, if they have several.
        strict: refuse nodes that are exact only because their metadata was honoured.

    Returns:
        A GraphModule; `building` says what its forward takes and returns. Its attribute `report`
        says what became of each node.

    Raises:
        InvalidArgument: an argument can't be meant.
        InvalidFile: the file is not a NIR file.
        InvalidGraph: the graph means nothing.
        ImportRefused: the framework can't compute the graph; `problems` has all reasons.

    Warns:
        TimeStepWarning: the graph carries another time step.
        FaintInputWarning: an input of 1 hardly moves its IF neurons.
    """
    where = _checked_arguments(target, graph, dt, device, dtype, options)
    target = _with_options(target, options)
    given = as_dt(dt)
    log = ImportLog(target, given or DEFAULT_DT)
    with uncollected():
        source = _read(graph)
        with log.reported():
            log.dt = step = _time_step(source, given, log)
            flat = without_ports(shapes.infer(thin_copy(source)))
            if source is not graph:
                _give_up_arrays(flat)
            log.flat = flat = _gained(flat, step, options)
            plan = order.plan(flat)
            importing = _Importing(target, flat, step, where, dtype, options, strict, log)
            layers = importing.layers(plan)
        module = building.build(target, flat, plan, layers, step)
        _set_mode(target, module, options)
    _attach(module, log.report)
    return module


def _with_options(target: Target, options: Mapping[str, Any]) -> Target:
    """The framework, its cells made as the caller wants the layers to be."""
    if target.cell is None:
        return target
    taken = inspect.signature(target.cell).parameters
    chosen = {name: value for name, value in options.items() if name in taken}
    return replace(target, cell=functools.partial(target.cell, **chosen)) if chosen else target


def _give_up_arrays(flat: Flat) -> None:
    """Let the layers keep the arrays of nodes that were read for them alone."""
    for node in flat.nodes.values():
        for name, value in vars(node).items():
            if type(value) is np.ndarray:
                setattr(node, name, value.view(Unshared))


def _attach(module: fx.GraphModule, report: Report) -> None:
    """Give a module its report, to be pickled and copied with it."""
    module.report = report  # type: ignore[assignment]
    # Of a GraphModule's other attributes, a copy keeps these.
    module.meta.setdefault("_user_preserved_attributes", {})["report"] = report


def _time_step(graph: nir.NIRGraph, given: float | None, log: ImportLog) -> float:
    """The time step of the import; what is to be known of it is said."""
    chosen = origin.time_step(graph, given)
    log.notes = chosen.notes
    if chosen.anew:
        # Past this function, import_graph and the converter, to the user's call.
        warnings.warn("; ".join(chosen.anew), TimeStepWarning, stacklevel=4)
    return chosen.dt


def _gained(flat: Flat, dt: float, options: Mapping[str, Any]) -> Flat:
    """The graph with the IFs' input in the unit that the caller says the file means."""
    if options.get("if_gain") == "per_step":
        nodes = {name: if_gain.per_step(node, dt) for name, node in flat.nodes.items()}
        return replace(flat, nodes=nodes)
    faint = [f"\n  {name}: {share:.3g}" for name, share in if_gain.faint(flat.nodes, dt)]
    if faint:
        # Past this function, import_graph and the converter, to the user's call.
        warnings.warn(
            "an input of 1 moves these IF neurons by no more than this share of the way to their "
            'threshold; import with if_gain="per_step" if the file means that a step adds r * x, '
            f"not dt * r * x:{''.join(faint)}",
            FaintInputWarning,
            stacklevel=4,
        )
    return flat


def _checked_arguments(
    target: Target,
    graph: object,
    dt: object,
    device: torch.device | str,
    dtype: object,
    options: Mapping[str, Any],
) -> torch.device:
    """The device, if all arguments can be meant."""
    problems = [*_wrong_graph(graph), *wrong_dt(dt), *_wrong_dtype(dtype)]
    problems += [*_wrong_mode(target, options), *_wrong_gain(options)]
    problems += _wrong_switches(target, options)
    try:
        where = torch.device(device)
    except (RuntimeError, TypeError):
        problems.append(Problem("device", f"is {device!r}", "give a torch.device, or 'cpu'"))
    if problems:
        raise InvalidArgument(problems)
    return where


def _wrong_graph(graph: object) -> Iterator[Problem]:
    if not isinstance(graph, (nir.NIRGraph, str, Path)):
        yield Problem("graph", f"is a {type(graph).__name__}", "give a nir.NIRGraph or a path")


def _wrong_dtype(dtype: object) -> Iterator[Problem]:
    if not isinstance(dtype, torch.dtype) or not dtype.is_floating_point:
        yield Problem("dtype", f"is {dtype!r}", "give a floating-point type: torch.float32")


def _wrong_mode(target: Target, options: Mapping[str, Any]) -> Iterator[Problem]:
    attribute = target.mode_attribute
    if attribute is not None and options.get(attribute) not in target.leading_axes:
        known = " or ".join(repr(mode) for mode in target.leading_axes)
        yield Problem(attribute, f"is {options.get(attribute)!r}", f"{target.name} has {known}")


def _wrong_gain(options: Mapping[str, Any]) -> Iterator[Problem]:
    gain = options.get("if_gain", "as_written")
    if gain not in ("as_written", "per_step"):
        yield Problem("if_gain", f"is {gain!r}", "give 'as_written' or 'per_step'")


def _wrong_switches(target: Target, options: Mapping[str, Any]) -> Iterator[Problem]:
    """All other options are on or off."""
    for name, value in options.items():
        if name not in (target.mode_attribute, "if_gain") and not isinstance(value, bool):
            yield Problem(name, f"is {value!r}", "give True or False")


def _read(graph: nir.NIRGraph | str | Path) -> nir.NIRGraph:
    if isinstance(graph, nir.NIRGraph):
        return graph
    from nir_runtime import files  # h5py is not needed for a graph in memory

    return files.read(graph)


class _Importing:
    """The nodes of a graph on their way into layers, and what stands in the way."""

    def __init__(
        self,
        target: Target,
        flat: Flat,
        dt: float,
        device: torch.device,
        dtype: torch.dtype,
        options: Mapping[str, Any],
        strict: bool,
        log: ImportLog,
    ) -> None:
        self.target = target
        self.flat = flat
        self.dt = dt
        self.device = device
        self.dtype = dtype
        self.options = options
        self.strict = strict
        self.log = log

    def layers(self, plan: Plan) -> dict[str, nn.Module]:
        """A layer for each node but Inputs and Outputs; refuses all that can't have one."""
        layers: dict[str, nn.Module] = {}
        problems = list(self._homeless_cycles(plan))
        for name in plan.order:
            node = self.flat.nodes[name]
            if isinstance(node, (nir.Input, nir.Output)):
                continue
            try:
                layers[name] = self._layer(name, node)
            except ImportRefused as refused:
                problems += refused.problems
        if problems:
            raise ImportRefused(problems)
        return layers

    def _site(self, name: str, node: nir.NIRNode) -> ImportSite:
        return ImportSite(
            path=self.flat.places[name],
            node=node,
            shape=tuple(int(size) for size in node.input_type["input"]),
            dt=self.dt,
            device=self.device,
            dtype=self.dtype,
            options=self.options,
            annotates=self.target.annotates.get(type(node), ()),
        )

    def _layer(self, name: str, node: nir.NIRNode) -> nn.Module:
        """The first layer of the framework that computes the node, or else the reference's."""
        site = self._site(name, node)
        if self.target.fires == ">=":
            site.node = ties.restored(node)
        own = self.target.importers.get(type(node), ())
        reference = self.target.fallback.get(type(node), ())
        unfit: list[Problem] = []
        for importer in (*own, *reference):
            try:
                with np.errstate(all="ignore"):  # what has no value is unfit
                    layer = importer(site.node, site)
                site.demand_plain()
                _demand_room(layer, self.dtype)
            except OverflowError as overflow:
                unfit.append(Problem(site.path, str(overflow), "import with a wider dtype"))
                site.forget()
                continue
            except (LayerUnfit, ArithmeticError) as reason:
                unfit += _reasons(reason, site)
                site.forget()
                continue
            layer = self._hosted(layer) if importer in reference else layer
            if isinstance(layer, Normalized):
                kept = self.target.state.get(type(layer.neuron), ())
                layer.remember(self.dt, self.target.exporters[type(layer.neuron)], kept)
            self.log.add(name, node, site, layer, importer, unfit)
            return self._demand_strict(layer, site)
        decisive = unfit[-1:] if reference else unfit  # the reference lacks the fewest
        raise ImportRefused(decisive or [self._unknown(node, site)])

    def _hosted(self, layer: nn.Module) -> nn.Module:
        """A module of the reference, its memory kept in the framework's own idiom."""
        if isinstance(layer, Remembering) and self.target.cell is not None:
            return self.target.cell(layer.alone())
        return layer

    def _unknown(self, node: nir.NIRNode, site: ImportSite) -> Problem:
        known = ", ".join(sorted(kind.__name__ for kind in self.target.importers))
        what = f"{self.target.name} has no layer for {type(node).__name__}"
        return Problem(site.path, what, f"it has for: {known}")

    def _demand_strict(self, layer: nn.Module, site: ImportSite) -> nn.Module:
        if self.strict and site.annotations:
            raise site.refuse(
                f"the node's metadata says what its fields don't: {'; '.join(site.annotations)}",
                "import with strict=False to follow it, or remove it from the metadata",
            )
        return layer

    def _homeless_cycles(self, plan: Plan) -> Iterator[Problem]:
        """The cycles, if the framework can't hold any."""
        for component in plan.components:
            if self.target.cell is None and plan.recurs(component):
                named = ", ".join(repr(name) for name in component[:12])
                what = f"{self.target.name} can't hold nodes that feed each other: {named}"
                yield Problem(self.flat.places[component[0]], what)


def _reasons(reason: LayerUnfit | ArithmeticError, site: ImportSite) -> tuple[Problem, ...]:
    """Why a layer doesn't compute a node: what its importer says, or that a formula fails."""
    if isinstance(reason, LayerUnfit):
        return reason.problems
    return site.unfit(f"the layer's parameters can't be computed: {reason}").problems


def _demand_room(layer: nn.Module, dtype: torch.dtype) -> None:
    """Raise an OverflowError for a layer with numbers that its tensors can't have."""
    for held in vars(building.core(layer)).values():
        if isinstance(held, float):
            numbers.demand_room(held, dtype)
    if isinstance(layer, Dynamics):
        for name, tensor in layer.named_buffers(recurse=False):
            if name.startswith("tau") and not bool(tensor.all()):
                raise OverflowError(f"{name} is rounded to 0 in {dtype}")


def _set_mode(target: Target, module: nn.Module, options: Mapping[str, Any]) -> None:
    """Set all layers to the layout that was asked for."""
    attribute = target.mode_attribute
    if attribute is None:
        return
    for layer in module.modules():
        if hasattr(layer, attribute):
            setattr(layer, attribute, options[attribute])

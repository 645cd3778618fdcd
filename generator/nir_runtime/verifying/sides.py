"""What is compared: a network, a graph, or a file, ready to run."""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import nir
import torch
from torch import fx, nn

from nir_runtime import files
from nir_runtime.contract import order, shapes
from nir_runtime.contract.nesting import Flat, thin_copy, without_ports
from nir_runtime.contract.primitives import SPIKING
from nir_runtime.errors import AnnotatedWarning, InvalidArgument, PackageMissing, Problem
from nir_runtime.exports.layout import layout_of
from nir_runtime.exports.observing import layers_of_nodes
from nir_runtime.exports.preserving import preserved
from nir_runtime.exports.tracing import takes_time
from nir_runtime.imports.building import graph_names, memory
from nir_runtime.target import Target
from nirgen.mapping.problems import did_you_mean

Subject: TypeAlias = nn.Module | nir.NIRGraph | str | Path
"""What can be compared."""

Opened: TypeAlias = nn.Module | nir.NIRGraph
"""The same, with the graph of a file."""


class Converter(Protocol):
    """A converter of `nir_exchange`."""

    TARGET: Target
    export_to_nir: Callable[..., nir.NIRGraph]
    import_from_nir: Callable[..., fx.GraphModule]


@dataclass(frozen=True)
class Converters:
    """The converters that there are.

    Attributes:
        packages: by their names, the top-level packages whose modules they take.
        load: gives one, by its name.
    """

    packages: Mapping[str, tuple[str, ...]]
    load: Callable[[str], Converter]

    def of(self, net: nn.Module) -> Converter:
        """The converter for a network, by the packages that its layers' classes come from."""
        classes = {cls for module in net.modules() for cls in type(module).__mro__}
        held = {cls.__module__.partition(".")[0] for cls in classes}
        fitting = [name for name, packages in self.packages.items() if held & set(packages)]
        own = [name for name in fitting if not set(self.packages[name]) <= _EVERYWHERE]
        return self.load(next(iter([*own, *fitting, REFERENCE])))

    def named(self, name: str) -> Converter:
        """The converter of a name.

        Raises:
            InvalidArgument: there is none.
            PackageMissing: its framework isn't installed.
        """
        if name not in self.packages:
            mend = did_you_mean(name, self.packages) or f"known are {', '.join(self.packages)}"
            raise InvalidArgument(Problem("run_in", f"is {name!r}", mend))
        try:
            return self.load(name)
        except ModuleNotFoundError as error:
            what = f"{name} takes the package {error.name}, which isn't installed"
            advice = f'pip install "nir-exchange[{name}]"'
            raise PackageMissing(Problem("run_in", what, advice)) from error


REFERENCE = "reference"

_EVERYWHERE = {"torch", "nir_runtime"}
"""Packages whose modules are in the networks of all frameworks."""


@dataclass(frozen=True)
class Side:
    """A network that can be run and looked into.

    Attributes:
        label: what it is called in a report.
        target: the framework that it is in.
        net: the module. It stays as it is between runs.
        flat: its graph, with shapes and without ports.
        nodes: its nodes in the order of execution, but for Inputs and Outputs.
        layers: by node, the layer whose output is the node's.
        inputs: the names of its Inputs, in the order of the forward's arguments.
        outputs: the names of its Outputs, in the order of what the forward returns.
        axes: how many axes stand before the features in what the forward takes: batch, or time
            and batch.
        loops: whether the forward itself loops over time, and starts afresh in every call.
        dtype, device: of what it takes.
        carries: whether the forward takes a state and returns the next one.
        ours: whether it was made for the comparison, and is nobody else's.
    """

    label: str
    target: Target
    net: nn.Module
    flat: Flat
    nodes: tuple[str, ...]
    layers: Mapping[str, nn.Module]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    axes: int
    loops: bool
    dtype: torch.dtype
    device: torch.device
    carries: bool
    ours: bool

    def shape(self, name: str) -> tuple[int, ...]:
        """The features that a node sends on."""
        return tuple(int(size) for size in self.flat.nodes[name].output_type["output"])

    def fires(self, name: str) -> bool:
        """Whether what a node sends on, or an Output, are spikes."""
        if isinstance(self.flat.nodes[name], nir.Output):
            return all(self.fires(source) for source in self.flat.sources[name])
        return isinstance(self.flat.nodes[name], SPIKING)


def opened(subject: Subject) -> Opened:
    """What is compared; of a file its graph."""
    return files.read(subject) if isinstance(subject, (str, Path)) else subject


def name_of(subject: Subject) -> str:
    """What a graph, or the graph of a file, is called."""
    return Path(subject).name if isinstance(subject, (str, Path)) else "the graph"


def of_graph(
    graph: nir.NIRGraph,
    name: str,
    converter: Converter,
    dt: float,
    dtype: torch.dtype,
    if_gain: str,
) -> Side:
    """A graph, imported."""
    net = converter.import_from_nir(graph, dt=dt, dtype=dtype, if_gain=if_gain)
    label = f"{name} in {converter.TARGET.name}"
    return side(label, converter.TARGET, net, _flat(graph), ours=True)


def of_network(net: nn.Module, converter: Converter, example: Sequence[Any], dt: float) -> Side:
    """A network: hand-written, or imported.

    Args:
        net: the network.
        converter: of its framework.
        example: a tensor for each input, [T, N, *features].
        dt: the time step of its graph, in seconds.

    Raises:
        ExportRefused: NIR can't hold the network, so that nothing can be said about its nodes.
    """
    target = converter.TARGET
    what = "the network" if graph_names(net) is None else "the import"
    several = _axes(target, net) == 2
    with warnings.catch_warnings(), evaluated(net), at_its_start(target, net):
        warnings.simplefilter("ignore", AnnotatedWarning)  # what differs by it is found
        loops = not several and takes_time(target, net, tuple(example), dt)
        given = tuple(x if loops else x[:1] if several else x[0] for x in example)
        graph = converter.export_to_nir(net, given, dt=dt)
        layers = layers_of_nodes(target, net, given, dt) if graph_names(net) is None else None
    return side(f"{what} in {target.name}", target, net, _flat(graph), layers, loops=loops)


def _flat(graph: nir.NIRGraph) -> Flat:
    return without_ports(shapes.infer(thin_copy(graph)))


@contextlib.contextmanager
def at_its_start(target: Target, net: nn.Module) -> Iterator[None]:
    """Inside, a network has been reset; afterwards it is where it was."""
    with preserved(net, lambda module: _remembers(target, module)):
        for module in net.modules():
            if _remembers(target, module):
                reset(module)
        yield


def _remembers(target: Target, module: nn.Module) -> bool:
    return bool(memory(target, module)) or target.way(type(module)) is not None


def reset(module: nn.Module) -> None:
    """Let a layer that remembers forget, if it is one that has a way to."""
    for name in _RESETS:
        if callable(forget := getattr(module, name, None)):
            forget()
            return


_RESETS = ("reset", "reset_mem")
"""What the method is called that lets a layer forget."""


@contextlib.contextmanager
def evaluated(net: nn.Module) -> Iterator[None]:
    """Inside, a network is in evaluation mode; afterwards all its modules are in their own."""
    training = {module: module.training for module in net.modules()}
    net.eval()
    try:
        yield
    finally:
        for module, mode in training.items():
            module.training = mode


def in_training(net: nn.Module) -> bool:
    """Whether a network, or a part of it, is in training mode."""
    return any(module.training for module in net.modules())


def side(
    label: str,
    target: Target,
    net: nn.Module,
    flat: Flat,
    layers: Mapping[str, nn.Module] | None = None,
    *,
    loops: bool = False,
    ours: bool = False,
) -> Side:
    """A network with its graph; without `layers`, one that was imported."""
    known = graph_names(net)
    inputs = tuple(known.inputs.values()) if known else flat.inputs
    outputs = known.outputs if known else flat.outputs
    seen = dict(_imported_layers(net)) if layers is None else layers
    like = next((t for t in (*net.parameters(), *net.buffers()) if t.is_floating_point()), None)
    return Side(
        label=label,
        target=target,
        net=net,
        flat=flat,
        nodes=tuple(n for n in order.plan(flat).order if not _is_port(flat.nodes[n])),
        layers={name: layer for name, layer in seen.items() if name in flat.nodes},
        inputs=inputs,
        outputs=outputs,
        axes=2 if loops else _axes(target, net),
        loops=loops,
        dtype=torch.float32 if like is None else like.dtype,
        device=torch.device("cpu") if like is None else like.device,
        carries=not loops and "state" in inspect.signature(net.forward).parameters,
        ours=ours,
    )


def _axes(target: Target, net: nn.Module) -> int:
    return layout_of(target, net, None).axes


def _imported_layers(net: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """The layers of an imported network, cycles included, by the names of their nodes."""
    known = graph_names(net)
    graphs = (module for module in net.modules() if isinstance(module, fx.GraphModule))
    for graph in graphs:
        for identifier, layer in graph.named_children():
            if known is not None and identifier in known.nodes:
                yield known.nodes[identifier], layer


def _is_port(node: nir.NIRNode) -> bool:
    return isinstance(node, (nir.Input, nir.Output))

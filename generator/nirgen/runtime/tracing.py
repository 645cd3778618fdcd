"""What a network does to its input, found out without executing a layer.

`trace` calls the network's forward with a `Signal` in place of data. Modules that the mappings
know are leaves: each is converted into its node where it is called, and answers with a signal of
the shape that the node gives. Modules that a user wrote, and plain containers, are run through.
All that stands in the way of an export is collected, and raised at once when the forward is done.

For the duration of a trace `torch.nn.Module.__call__` is patched, as torch.fx does it: one trace
at a time runs in a process, and modules called by other threads meanwhile run as ever. Hooks of
the network are not run.
"""

from __future__ import annotations

import contextlib
import inspect
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import nir
import numpy as np
import torch
from torch import fx, nn

from nirgen.runtime import containers, operations, refusing, shapes, ties
from nirgen.runtime.building import memory
from nirgen.runtime.dynamics import Dynamics
from nirgen.runtime.errors import ExportRefused, Problem
from nirgen.runtime.layout import Examples, Layout, examples_of, layout_of, own_axes
from nirgen.runtime.places import (
    bare_name,
    calling_line,
    class_name,
    full_name,
    raising_line,
    within,
)
from nirgen.runtime.preserving import preserved
from nirgen.runtime.recording import Recording
from nirgen.runtime.recurrence import Recurrent
from nirgen.runtime.refusing import Unsupported
from nirgen.runtime.signals import Leading, Memory, Signal, Sources, signals_in
from nirgen.runtime.sites import DEFAULT_OPTIONS, ExportOptions, ExportSite, Shape
from nirgen.runtime.target import Exporter, Target
from nirgen.runtime.traces import Call, Port, Trace


def trace(
    target: Target,
    net: nn.Module,
    example_input: object,
    dt: float,
    options: ExportOptions = DEFAULT_OPTIONS,
) -> Trace:
    """Follow `net` from its inputs to its outputs, and convert its layers on the way.

    Args:
        target: the framework, and what it has exporters for.
        net: the network; left exactly as found.
        example_input: tensors of the shapes that the network takes, batch (and time) included:
            one, a tuple of them in order, or a dictionary by parameter. Their numbers are not
            read.
        dt: the time step, in seconds.
        options: what the caller of the export chose.

    Raises:
        InvalidArgument: `example_input` can't be the network's input.
        ExportRefused: NIR can't hold the network; `problems` has all reasons found.
    """
    layout = layout_of(target, net, example_input)
    examples = examples_of(target, net, example_input, layout)
    tracer = _Tracer(target, net, layout, dt, options)
    with _patched(tracer.call), preserved(net, tracer.is_traced_through), torch.no_grad():
        try:
            return tracer.run(examples)
        except ExportRefused as refusal:
            refusal.converted = tracer.record.finish()
            raise


class _Halt(Exception):
    """Tracing can't go on; the reason is among the tracer's problems."""


class _Tracer:
    """The state of one trace. Implements `signals.Recorder` and `containers.Loops`."""

    def __init__(
        self, target: Target, net: nn.Module, layout: Layout, dt: float, options: ExportOptions
    ) -> None:
        self.target = target
        self.net = net
        self.layout = layout
        self.dt = dt
        self.options = options
        self.record = Recording(inputs=0)
        self.problems: dict[Problem, None] = {}  # an ordered set
        self.hooked: dict[str, None] = {}
        self.skipped: dict[str, nn.Module] = {}
        self.paths = {id(module): path for path, module in net.named_modules()}
        self.inside: list[str] = []  # the places of the modules whose forward is running
        self.called: set[int] = set()  # modules with state
        self.failed: tuple[Exception, str] | None = None  # the last, and the place it came from
        self.not_users = ("torch", "nir", "nirgen.runtime", *target.packages)

    def run(self, examples: Examples) -> Trace:
        """Call the network; raises all problems at once."""
        self.record = Recording(len(examples.names))
        sources = [self._source(tensor, k) for k, tensor in enumerate(examples.all)]
        args, others = sources[: len(examples.positional)], sources[len(examples.positional) :]
        try:
            result = self.call(self.net, args, dict(zip(examples.by_keyword, others, strict=True)))
        except _Halt:
            raise ExportRefused(self.problems) from None
        except Exception as error:
            raise ExportRefused(self.problems or [self._failure(error)]) from error
        outputs = self._outputs(result)
        if self.problems:
            raise ExportRefused(self.problems) from (self.failed and self.failed[0])
        return Trace(
            inputs=tuple(map(_port, examples.names, sources)),
            calls=self.record.finish(),
            outputs=tuple(map(self.record.resolved, outputs)),
            skipped=self.skipped,
            hooked=tuple(self.hooked),
        )

    def _source(self, example: torch.Tensor, number: int) -> Signal:
        """A signal that enters the network."""
        shape, axes = tuple(example.shape), self.layout.axes
        return Signal(
            Leading(shape[:axes]), shape[axes:], example.dtype, example.device, self, (number,)
        )

    # Modules

    def is_traced_through(self, module: nn.Module) -> bool:
        """Whether a module's forward is run, so that what it calls is seen."""
        cls = type(module)
        if cls in self.target.containers:
            return True
        return not (
            _mapped_base(self.target, cls)
            or isinstance(getattr(module, "dynamics", None), Dynamics)
            or (cls is not nn.Sequential and within(cls.__module__, self._not_run))
        )

    @property
    def _not_run(self) -> Sequence[str]:
        """The packages whose modules are layers, but for the plainest container."""
        return ("torch.nn", *self.target.packages)

    def call(self, module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What stands in for `module(*args, **kwargs)`."""
        self._note_hooks(module)
        system = getattr(module, "dynamics", None)
        with self._inside(module):
            if isinstance(system, Recurrent):
                return containers.hosted(self, system, signals_in((args, kwargs)))
            if self.is_traced_through(module) and type(module) not in self.target.containers:
                return module.forward(*args, **kwargs)
            return self._layer(module, args, kwargs)

    def _layer(self, module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Signal:
        """The output of a layer, which is converted, not executed."""
        signals = signals_in((args, kwargs))
        if not signals:
            raise self._halt(
                "is called with a constant: its output doesn't depend on the network's input",
                "call it in the module's __init__, and keep the result in a layer",
            )
        x = signals[0]
        way = self.target.containers.get(type(module))
        if way is None and self._exporter(module) is None:
            self.problem(*self._unmapped(type(module)))
        elif len(args) + len(kwargs) != 1 or len(signals) != 1:
            self.problem(
                f"is called with {len(args) + len(kwargs)} arguments",
                "call it with one tensor; NIR's nodes take one input",
            )
        else:
            self._demand_registered(module)
            self._demand_one_call(module)
            self._demand_layout(module, x)
            return self._contained(way, module, x) if way else self._converted(module, x)
        return x.guess()

    def _exporter(self, module: nn.Module) -> Exporter | None:
        """What converts a layer: by its class, or by that of the system that it hosts."""
        return self.target.exporters.get(type(self._system(module)))

    def _system(self, module: nn.Module) -> nn.Module:
        """What an exporter is given: the layer, or the system that it hosts for the reference."""
        hosted = getattr(module, "dynamics", None)
        mapped = type(module) in self.target.exporters
        return hosted if isinstance(hosted, Dynamics) and not mapped else module

    def _contained(self, way: str, container: nn.Module, x: Signal) -> Signal:
        """The signal behind a container."""
        try:
            return containers.WAYS[way](self, container, x)
        except ExportRefused as refusal:
            self.problems.update(dict.fromkeys(refusal.problems))
            return x.guess()

    def _converted(self, module: nn.Module, x: Signal) -> Signal:
        """The signal behind a mapped layer."""
        self._demand_own_weights(module)
        site = self._site(module, x)
        try:
            nodes = self._nodes(module, site, x.dtype)
            steps = _features(nodes, x.features)
        except ExportRefused as refusal:
            self.problems.update(dict.fromkeys(refusal.problems))
            return x.guess()
        except shapes.ShapeMismatch as mismatch:
            self._mismatch(str(mismatch), x)
            return x.guess()
        except Exception as error:  # nir's constructors stumble over shapes in various ways
            self.failed = (error, self.inside[-1])
            what = f"no node can be made of it for features {x.features}"
            self._mismatch(f"{what}: {type(error).__name__}: {error}", x)
            return x.guess()
        return self._chained(module, site, zip(nodes, steps, strict=True), x)

    def _site(self, module: nn.Module, x: Signal) -> ExportSite:
        """The place where a layer reads `x`. One that takes several axes itself merges them."""
        own, seen = own_axes(self.target, module), len(x.leading.shape)
        return ExportSite(
            path=self._place(module),
            shape=x.features,
            batch_axes=1 if own is not None and own > 1 else seen,
            dt=self.dt,
            binary=x.binary,
            training=module.training,
            options=self.options,
        )

    def _nodes(
        self, module: nn.Module, site: ExportSite, dtype: torch.dtype
    ) -> tuple[nir.NIRNode, ...]:
        """What a layer is converted into."""
        exporter = self._exporter(module)
        if exporter is None:
            raise site.refuse(*self._unmapped(type(module)))
        made = exporter(self._system(module), site)
        nodes = made if isinstance(made, tuple) else (made,)
        if self.options.ties == "exact" and self._fires_at_threshold(module):
            return tuple(ties.lowered(node, dtype) for node in nodes)
        return nodes

    def _fires_at_threshold(self, module: nn.Module) -> bool:
        """Whether a layer compares otherwise than NIR; those of the reference don't."""
        return self.target.fires == ">=" and self._system(module) is module

    def _chained(
        self,
        module: nn.Module,
        site: ExportSite,
        steps: Iterable[tuple[nir.NIRNode, Shape]],
        x: Signal,
    ) -> Signal:
        """The signal behind the nodes of one layer; `x` itself if there are none."""
        path = self.paths.get(id(module), "")
        annotations, before = tuple(site.annotations), x
        for part, (node, features) in enumerate(steps):
            call = Call(
                path,
                module,
                node,
                part,
                annotations,
                foldable=site.folds,
                cases=tuple(site.cases),
                inputs=x.sources,
            )
            x, annotations = self._behind(call, x, features), ()
        if x is before:
            self.skipped[path] = module
        return x

    def _behind(self, call: Call, x: Signal, features: Shape) -> Signal:
        """The signal behind a node that reads `x`."""
        return x.successor(
            features,
            self.record.add(call),
            binary=_is_binary(call.node, x),
            memory=_memory(call.node, x),
        )

    # Loops

    def feedback(self, like: Signal, features: Shape) -> Signal:
        """The previous step's value of what `close` will say, zero at the first step."""
        return like.successor(features, self.record.feedback())

    def close(self, feedback: Signal, y: Signal) -> None:
        """Say what is fed back: nodes with state; a delay by no time, where some have none."""
        if not self.record.have_state(y.sources):
            y = self.insert("delay", nir.Delay(np.zeros(y.features)), y, y.features)
        self.record.close(feedback.sources, y.sources)

    def nodes_of(self, module: nn.Module, x: Signal) -> tuple[nir.NIRNode, ...]:
        """What a layer is converted into where it reads `x`."""
        return self._nodes(module, self._site(module, x), x.dtype)

    def insert_part(self, module: nn.Module, part: int, node: nir.NIRNode, x: Signal) -> Signal:
        """The signal behind a node that stands for a part of a layer."""
        call = Call(self.paths[id(module)], module, node, part, inputs=x.sources)
        return self._behind(call, x, shapes.output_shape(node, x.features))

    # What a layer must be like

    def _demand_registered(self, module: nn.Module) -> None:
        if id(module) not in self.paths:
            self.problem(
                "is not a submodule of the network",
                "make it in __init__, as an attribute of the module or in an nn.ModuleList",
            )

    def _demand_one_call(self, module: nn.Module) -> None:
        if id(module) in self.called:
            self.problem(
                f"is called more than once in a forward; a {type(module).__name__} has a state, "
                "and NIR would need one node for all its calls",
                "give each call a layer of its own; where forward runs over time, export the "
                "network inside the loop",
            )
        if memory(self.target, module):
            self.called.add(id(module))

    def _demand_layout(self, module: nn.Module, x: Signal) -> None:
        own, seen = own_axes(self.target, module), len(x.leading.shape)
        stateful = bool(memory(self.target, module))
        if stateful and x.leading.merged:
            self.problem(
                "gets time and batch as one axis, and would take them for one step",
                "use layer.MultiStepContainer for layers with a state",
            )
        elif own is not None and (own > seen or (own < seen and stateful)):
            mode = self.target.mode_attribute
            by = f", by its layer {self.layout.decided_by}" if self.layout.decided_by else ""
            self.problem(
                f"is in {mode}={getattr(module, str(mode))!r} and takes {own} axes before the "
                f"features, and gets {seen}; the network has {self.layout.axes}{by}",
                f"give all layers of the network one {mode}",
            )

    def _demand_own_weights(self, module: nn.Module) -> None:
        """Refuse a layer whose weights are made anew by a hook at each call."""
        for hook in module._forward_pre_hooks.values():
            if type(hook).__module__.startswith("torch.nn.utils."):
                self.problem(
                    f"has its weights computed at each call, by {type(hook).__name__}",
                    "make them permanent first (remove_weight_norm, remove_spectral_norm, "
                    "prune.remove)",
                )

    def _unmapped(self, cls: type[nn.Module]) -> tuple[str, str]:
        """Why a layer is not converted, and what to do."""
        name, base = class_name(cls), _mapped_base(self.target, cls)
        if base is None:
            return (
                f"{name} has no mapping to NIR",
                "replace it by a mapped layer, or map it (mappings/README.md)",
            )
        return (
            f"{name} is a subclass of {base.__name__}, and may compute something else",
            f"use {base.__name__} itself, or map the class (mappings/README.md)",
        )

    def _note_hooks(self, module: nn.Module) -> None:
        if module._forward_hooks or module._forward_pre_hooks:
            self.hooked[self._place(module)] = None

    # Operations in a forward

    def operate(
        self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """What stands in for a torch function that was given a signal."""
        if function in operations.QUERIES:
            with torch._C.DisableTorchFunctionSubclass():
                return function(*args, **kwargs)
        operation = operations.OPERATIONS.get(function)
        try:
            if operation is None or not _takes(operation, args, kwargs):
                name = bare_name(function)
                raise Unsupported("no node stands for", refusing.advice(name))
            return operation(*args, **kwargs)
        except Unsupported as refusal:
            return self._refused_operation(function, refusal, signals_in((args, kwargs)))

    def insert(
        self, name: str, node: nir.NIRNode, x: Signal, features: Shape, *, junction: bool = False
    ) -> Signal:
        """The signal behind an operation that becomes a node of its own."""
        call = Call(name, None, node, junction=junction, inputs=x.sources)
        return self._behind(call, x, features)

    def _refused_operation(
        self, function: Callable[..., Any], refusal: Unsupported, signals: list[Signal]
    ) -> Signal:
        reads_numbers = bare_name(function) in refusing.READS_NUMBERS
        guessed = any(signal.uncertain for signal in signals)
        if not (guessed and (refusal.about_shape or reads_numbers)):
            where = calling_line(self.not_users)
            what = f"forward calls {full_name(function)}, which {refusal.what} ({where})"
            self.problem(what, refusal.advice)
        if reads_numbers:
            raise _Halt
        return signals[0].guess()

    # Places and problems

    @contextlib.contextmanager
    def _inside(self, module: nn.Module) -> Iterator[None]:
        place = self._place(module)
        self.inside.append(place)
        try:
            yield
        except Exception as error:
            if self.failed is None or self.failed[0] is not error:
                self.failed = (error, place)
            raise
        finally:
            self.inside.pop()

    def _place(self, module: nn.Module) -> str:
        """A module's path; the class for the network itself, and for what isn't part of it."""
        return self.paths.get(id(module)) or type(module).__name__

    def problem(self, what: str, advice: str) -> None:
        self.problems[Problem(self.inside[-1], what, advice)] = None

    def _halt(self, what: str, advice: str) -> _Halt:
        self.problem(what, advice)
        return _Halt()

    def _mismatch(self, what: str, x: Signal) -> None:
        """A layer that doesn't take the shape it gets; unless that shape is only a guess."""
        if not x.uncertain:
            axes = len(x.leading.shape)
            before = "one axis" if axes == 1 else f"{axes} axes"
            self.problem(
                what,
                f"the signal has the shape {tuple(x.shape)} here, features {x.features} behind "
                f"{before} of batch or time; check that example_input is what the network takes",
            )

    def _failure(self, error: Exception) -> Problem:
        """A forward that raised an error of its own."""
        place = self.failed[1] if self.failed else type(self.net).__name__
        where = raising_line(error, self.not_users)
        return Problem(
            place,
            f"forward raised {type(error).__name__}: {error}" + (f" ({where})" if where else ""),
            "an export runs forward with a tensor of the example_input's shape that has no numbers",
        )

    # Outputs

    def _outputs(self, result: Any) -> tuple[Port, ...]:
        """What the network returns."""
        # An imported network returns (output, state), as nirtorch has it, and keeps its state.
        if isinstance(self.net, fx.GraphModule) and _is_output_and_state(result):
            result = result[0]
        if isinstance(result, Mapping) and all(isinstance(key, str) for key in result):
            return tuple(self._output(key, value, f" in {key!r}") for key, value in result.items())
        if isinstance(result, (tuple, list)) and result:
            several = enumerate(result)
            return tuple(self._output("", value, f" at {k}") for k, value in several)
        return (self._output("", result, ""),)

    def _output(self, name: str, value: object, where: str) -> Port:
        if isinstance(value, Signal):
            self._demand_whole(value, where)
            return _port(name, value, value.sources)
        held = "a constant" if isinstance(value, torch.Tensor) else f"a {type(value).__name__}"
        problem = Problem(
            type(self.net).__name__,
            f"forward returns {held}{where} where NIR has an output",
            "return a tensor that comes from the input, or a tuple or dictionary of such",
        )
        self.problems[problem] = None
        return Port(name, ())

    def _demand_whole(self, value: Signal, where: str) -> None:
        if len(value.leading.shape) != self.layout.axes:
            problem = Problem(
                type(self.net).__name__,
                f"forward returns {tuple(value.shape)}{where}, with time and batch in one axis",
                "give the output the axes that the input has",
            )
            self.problems[problem] = None


def _port(name: str, signal: Signal, inputs: Sources = ()) -> Port:
    return Port(name, signal.features, inputs=inputs)


def _features(nodes: Sequence[nir.NIRNode], features: Shape) -> list[Shape]:
    """The features behind each node of a chain."""
    behind = []
    for node in nodes:
        features = shapes.output_shape(node, features)
        behind.append(features)
    return behind


def _is_binary(node: nir.NIRNode, x: Signal) -> bool:
    """Whether what a node sends on is 0 or 1 everywhere."""
    if isinstance(node, (nir.IF, nir.LIF, nir.CubaLIF, nir.Threshold)):
        return True
    return x.binary and isinstance(node, (nir.Flatten, nir.Delay))


def _memory(node: nir.NIRNode, x: Signal) -> Memory:
    """The memory of what a layer returns, as far as others look at it too."""
    if isinstance(node, nir.Flatten):
        return x.memory  # a view of its input
    if isinstance(node, (nir.I, nir.LI, nir.CubaLI)):
        return Memory(tensors=1)  # the layer's own state
    return Memory()


def _mapped_base(target: Target, cls: type[nn.Module]) -> type[nn.Module] | None:
    """The mapped class that `cls` is, or derives from."""
    return next((base for base in cls.__mro__ if base in target.exporters), None)


def _is_output_and_state(output: object) -> bool:
    return (
        isinstance(output, tuple)
        and len(output) == 2
        and isinstance(output[0], (Signal, dict))
        and (output[1] is None or isinstance(output[1], dict))
    )


def _takes(operation: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether an operation knows all the arguments it is given."""
    try:
        inspect.signature(operation).bind(*args, **kwargs)
    except TypeError:
        return False
    return True


_LOCK = threading.RLock()


@contextlib.contextmanager
def _patched(
    call: Callable[[nn.Module, Sequence[Any], Mapping[str, Any]], Any],
) -> Iterator[None]:
    """Inside, `module(...)` is `call(module, ...)` in this thread."""
    with _LOCK:
        original = nn.Module.__call__
        thread = threading.get_ident()

        def patched(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            if threading.get_ident() != thread:
                return original(module, *args, **kwargs)
            return call(module, args, kwargs)

        nn.Module.__call__ = patched  # type: ignore[method-assign]
        try:
            yield
        finally:
            nn.Module.__call__ = original  # type: ignore[method-assign]

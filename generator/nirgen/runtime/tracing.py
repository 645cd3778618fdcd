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
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import nir
import torch
from torch import fx, nn

from nirgen.runtime import operations, shapes
from nirgen.runtime.errors import ExportRefused, Problem
from nirgen.runtime.layout import Layout, demand_example, layout_of, own_axes
from nirgen.runtime.operations import Unsupported
from nirgen.runtime.places import (
    bare_name,
    calling_line,
    class_name,
    full_name,
    raising_line,
    within,
)
from nirgen.runtime.preserving import preserved
from nirgen.runtime.signals import Memory, Signal, Sources, signals_in
from nirgen.runtime.sites import ExportSite, Shape
from nirgen.runtime.target import Target


@dataclass(frozen=True)
class Call:
    """One node on the signal's way.

    Attributes:
        path: the layer's path in the network, `features.3`, empty for the network itself; or the
            name of the function that the forward called.
        layer: the layer; None where the forward called a function.
        node: what it was converted into.
        inputs: whose sum it reads: 0 is the network's input, `k` the k-th call's output.
        annotations: why a reader of the node must honour its metadata.
    """

    path: str
    layer: nn.Module | None
    node: nir.NIRNode
    inputs: Sources
    annotations: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trace:
    """What a network does to its input.

    Attributes:
        input_name: the name of the forward's parameter.
        input_shape: the input's features.
        calls: in the order of execution.
        output: whose sum the network returns.
        output_shape: the output's features.
        hooked: the modules whose forward hooks were not run.
    """

    input_name: str
    input_shape: Shape
    calls: tuple[Call, ...]
    output: Sources
    output_shape: Shape
    hooked: tuple[str, ...]


def trace(target: Target, net: nn.Module, example_input: torch.Tensor, dt: float) -> Trace:
    """Follow `net` from its input to its output, and convert its layers on the way.

    Args:
        target: the framework, and what it has exporters for.
        net: the network; left exactly as found.
        example_input: a tensor of the shape that the network takes, batch (and time) included.
            Its numbers are not read.
        dt: the time step, in seconds.

    Raises:
        InvalidArgument: `example_input` can't be an input of the network.
        ExportRefused: NIR can't hold the network; `problems` has all reasons found.
    """
    layout = layout_of(target, net)
    demand_example(example_input, layout)
    tracer = _Tracer(target, net, layout, dt)
    source = tracer.source(example_input)
    with _patched(tracer.call), preserved(net, tracer.is_traced_through), torch.no_grad():
        output = tracer.run(source)
    return Trace(
        input_name=_input_name(target, net),
        input_shape=source.features,
        calls=tuple(tracer.calls),
        output=output.sources,
        output_shape=output.features,
        hooked=tuple(tracer.hooked),
    )


class _Halt(Exception):
    """Tracing can't go on; the reason is among the tracer's problems."""


class _Tracer:
    """The state of one trace. Implements `signals.Recorder`."""

    def __init__(self, target: Target, net: nn.Module, layout: Layout, dt: float) -> None:
        self.target = target
        self.net = net
        self.layout = layout
        self.dt = dt
        self.calls: list[Call] = []
        self.problems: dict[Problem, None] = {}  # an ordered set
        self.hooked: dict[str, None] = {}
        self.paths = {id(module): path for path, module in net.named_modules()}
        self.inside: list[str] = []  # the places of the modules whose forward is running
        self.called: set[int] = set()  # stateful layers
        self.failed: tuple[Exception, str] | None = None  # the last, and the place it came from
        self.not_users = ("torch", "nir", "nirgen.runtime", *target.packages)

    def source(self, example: torch.Tensor) -> Signal:
        """The signal that enters the network."""
        shape, axes = tuple(example.shape), self.layout.axes
        return Signal(shape[:axes], shape[axes:], example.dtype, example.device, self, (0,))

    def run(self, source: Signal) -> Signal:
        """The network's output; raises all problems at once."""
        try:
            output = self.call(self.net, (source,), {})
        except _Halt:
            raise ExportRefused(self.problems) from None
        except Exception as error:
            raise ExportRefused(self.problems or [self._failure(error)]) from error
        result = self._single_output(output)
        if self.problems or result is None:
            raise ExportRefused(self.problems) from (self.failed and self.failed[0])
        return result

    # Modules

    def is_traced_through(self, module: nn.Module) -> bool:
        """Whether a module's forward is run, so that what it calls is seen."""
        cls = type(module)
        return _mapped_base(self.target, cls) is None and (
            cls is nn.Sequential or not within(cls.__module__, ("torch.nn", *self.target.packages))
        )

    def call(self, module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What stands in for `module(*args, **kwargs)`."""
        self._note_hooks(module)
        with self._inside(module):
            if self.is_traced_through(module):
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
        if type(module) not in self.target.exporters:
            self._problem(*self._unmapped(type(module)))
        elif len(args) + len(kwargs) != 1 or len(signals) != 1:
            self._problem(
                f"is called with {len(args) + len(kwargs)} arguments",
                "call it with one tensor; NIR's nodes take one input",
            )
        else:
            return self._converted(module, x)
        return x.guess()

    def _converted(self, module: nn.Module, x: Signal) -> Signal:
        """The signal behind a mapped layer."""
        self._demand_registered(module)
        self._demand_one_call(module)
        self._demand_layout(module)
        self._demand_own_weights(module)
        site = ExportSite(self.inside[-1], x.features, self._batch_axes(module), self.dt)
        try:
            node = self.target.exporters[type(module)](module, site)
            features = shapes.output_shape(node, x.features)
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
        path = self.paths.get(id(module), "")
        self.calls.append(Call(path, module, node, x.sources, tuple(site.annotations)))
        return x.successor(features, (len(self.calls),), memory=_memory(node, x))

    def _demand_registered(self, module: nn.Module) -> None:
        if id(module) not in self.paths:
            self._problem(
                "is not a submodule of the network",
                "make it in __init__, as an attribute of the module or in an nn.ModuleList",
            )

    def _demand_one_call(self, module: nn.Module) -> None:
        if id(module) in self.called:
            self._problem(
                f"is called more than once in a forward; a {type(module).__name__} has a state, "
                "and NIR would need one node for all its calls",
                "give each call a layer of its own; where forward runs over time, export the "
                "network inside the loop",
            )
        if type(module) in self.target.state:
            self.called.add(id(module))

    def _demand_layout(self, module: nn.Module) -> None:
        own = own_axes(self.target, module)
        stateful = type(module) in self.target.state
        if own is None or own == self.layout.axes or (own < self.layout.axes and not stateful):
            return
        mode = self.target.mode_attribute
        self._problem(
            f"is in {mode}={getattr(module, str(mode))!r} and takes {own} axes before the "
            f"features, the network has {self.layout.axes}, by its layer {self.layout.decided_by}",
            f"give all layers of the network one {mode}",
        )

    def _demand_own_weights(self, module: nn.Module) -> None:
        """Refuse a layer whose weights are made anew by a hook at each call."""
        for hook in module._forward_pre_hooks.values():
            if type(hook).__module__.startswith("torch.nn.utils."):
                self._problem(
                    f"has its weights computed at each call, by {type(hook).__name__}",
                    "make them permanent first (remove_weight_norm, remove_spectral_norm, "
                    "prune.remove)",
                )

    def _batch_axes(self, module: nn.Module) -> int:
        """The axes that the layer sees: one that takes several itself merges them."""
        own = own_axes(self.target, module)
        return 1 if own is not None and own > 1 else self.layout.axes

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
                raise Unsupported("no node stands for", operations.advice(name))
            return operation(*args, **kwargs)
        except Unsupported as refusal:
            return self._refused_operation(function, refusal, signals_in((args, kwargs)))

    def insert(self, name: str, node: nir.NIRNode, x: Signal, features: Shape) -> Signal:
        """The signal behind an operation that becomes a node of its own."""
        self.calls.append(Call(name, None, node, x.sources))
        return x.successor(features, (len(self.calls),), memory=_memory(node, x))

    def _refused_operation(
        self, function: Callable[..., Any], refusal: Unsupported, signals: list[Signal]
    ) -> Signal:
        reads_numbers = bare_name(function) in operations.READS_NUMBERS
        guessed = any(signal.uncertain for signal in signals)
        if not (guessed and (refusal.about_shape or reads_numbers)):
            where = calling_line(self.not_users)
            what = f"forward calls {full_name(function)}, which {refusal.what} ({where})"
            self._problem(what, refusal.advice)
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

    def _problem(self, what: str, advice: str) -> None:
        self.problems[Problem(self.inside[-1], what, advice)] = None

    def _halt(self, what: str, advice: str) -> _Halt:
        self._problem(what, advice)
        return _Halt()

    def _mismatch(self, what: str, x: Signal) -> None:
        """A layer that doesn't take the shape it gets; unless that shape is only a guess."""
        if not x.uncertain:
            axes = self.layout.axes
            before = "one axis" if axes == 1 else f"{axes} axes"
            self._problem(
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

    def _single_output(self, output: Any) -> Signal | None:
        if isinstance(output, Signal):
            return output
        # An imported network returns (output, state), as nirtorch has it, and keeps its state.
        if isinstance(self.net, fx.GraphModule) and _is_output_and_state(output):
            signal: Signal = output[0]
            return signal
        held = "no tensor" if not signals_in(output) else f"a {type(output).__name__}"
        if isinstance(output, torch.Tensor):
            held = "a constant"
        problem = Problem(
            type(self.net).__name__,
            f"forward returns {held} where NIR has an output",
            "return one tensor that comes from the input",
        )
        self.problems[problem] = None
        return None


def _input_name(target: Target, net: nn.Module) -> str:
    """The name of the forward's first parameter; `input` for a layer that names none."""
    if type(net) in target.exporters:
        return "input"
    for name, parameter in inspect.signature(net.forward).parameters.items():
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            return name
    return "input"


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
        and isinstance(output[0], Signal)
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

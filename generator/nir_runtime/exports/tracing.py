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
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import nir
import numpy as np
import torch
from torch import fx, nn

from nir_runtime.contract import shapes
from nir_runtime.contract.dynamics import Dynamics
from nir_runtime.contract.primitives import SPIKING
from nir_runtime.errors import ExportRefused, InvalidArgument
from nir_runtime.exports import containers, demands, operations, refusing, states, ties
from nir_runtime.exports.complaints import Complaints
from nir_runtime.exports.containers import FedBack
from nir_runtime.exports.demands import Complaint, mapped_base
from nir_runtime.exports.layout import (
    Example,
    Examples,
    Layout,
    examples_of,
    layout_of,
    own_axes,
)
from nir_runtime.exports.places import bare_name, full_name, within
from nir_runtime.exports.preserving import preserved
from nir_runtime.exports.recording import Recording
from nir_runtime.exports.refusing import Unsupported
from nir_runtime.exports.reshaping import TimeTaken
from nir_runtime.exports.rounds import Rounds, Written
from nir_runtime.exports.signals import Leading, Memory, Signal, Sources, signals_in
from nir_runtime.exports.states import Held
from nir_runtime.exports.traces import Call, Port, Trace
from nir_runtime.imports.building import LoadState, ReadState
from nir_runtime.imports.normalized import Normalized
from nir_runtime.imports.recurrence import Recurrent
from nir_runtime.sites import DEFAULT_OPTIONS, Chain, ExportOptions, ExportSite, Shape
from nir_runtime.target import Exporter, Target


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
    try:
        return _traced(target, net, example_input, layout, dt, options)
    except TimeTaken:
        layout = Layout(layout.axes + 1, "the forward's loop over time")
        return _traced(target, net, example_input, layout, dt, options)


def takes_time(target: Target, net: nn.Module, sequence: Example, dt: float) -> bool:
    """Whether a network takes an axis of time before what its layers take: its forward loops.

    Args:
        target, net, dt: as `trace` has them.
        sequence: what the network would be given for several steps, if it took such.
    """
    layout = layout_of(target, net, sequence)
    try:
        _traced(target, net, sequence, layout, dt, DEFAULT_OPTIONS)
    except TimeTaken:
        return True
    except (ExportRefused, InvalidArgument):
        pass  # an export will say why
    return False


def _traced(
    target: Target,
    net: nn.Module,
    example_input: object,
    layout: Layout,
    dt: float,
    options: ExportOptions,
) -> Trace:
    examples = examples_of(target, net, example_input, layout)
    tracer = _Tracer(target, net, layout, dt, options)
    with _patched(tracer.call), preserved(net, tracer.is_traced_through), torch.no_grad():
        try:
            return tracer.run(examples)
        except ExportRefused as refusal:
            refusal.converted = tracer.record.finish()
            raise


class _Halt(Exception):
    """Tracing can't go on; the reason is among the complaints."""


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
        self.complaints = Complaints(net, ("torch", "nir", "nir_runtime", *target.packages))
        self.hooked: dict[str, None] = {}
        self.skipped: dict[str, nn.Module] = {}
        self.rounds = Rounds(target, self)
        self.written = Written()
        self.fed_back: dict[nn.Module, FedBack] = {}

    def run(self, examples: Examples) -> Trace:
        """Call the network; raises all problems at once."""
        self.record = Recording(len(examples.names))
        sources = [self._source(tensor, k) for k, tensor in enumerate(examples.all)]
        args, others = sources[: len(examples.positional)], sources[len(examples.positional) :]
        try:
            result = self.call(self.net, args, dict(zip(examples.by_keyword, others, strict=True)))
        except TimeTaken:
            raise
        except _Halt:
            raise self.complaints.refusal() from None
        except Exception as error:
            raise self.complaints.failure(error) from error
        outputs = self._outputs(result)
        if self.complaints.problems:
            raise self.complaints.refusal() from self.complaints.cause
        return Trace(
            inputs=tuple(map(_port, examples.names, sources)),
            calls=self.record.finish(),
            outputs=tuple(map(self.record.resolved, outputs)),
            skipped=self.skipped,
            hooked=tuple(self.hooked),
            returned=states.layers_in(result),
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
        if cls in self.target.containers or isinstance(module, (LoadState, ReadState)):
            return True
        return not (
            mapped_base(self.target, cls)
            or isinstance(getattr(module, "dynamics", None), Dynamics)
            or (not self._runs_in_order(cls) and within(cls.__module__, self._not_run))
        )

    def _runs_in_order(self, cls: type[nn.Module]) -> bool:
        """Whether a class is one of the plainest containers."""
        return cls in (nn.Sequential, *self.target.in_order)

    @property
    def _not_run(self) -> Sequence[str]:
        """The packages whose modules are layers, but for the plainest containers."""
        return ("torch.nn", *self.target.packages)

    def call(self, module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What stands in for `module(*args, **kwargs)`."""
        self._note_hooks(module)
        system = getattr(module, "dynamics", None)
        with self.complaints.inside(module):
            if isinstance(system, Recurrent):
                inputs = [x for x in signals_in((args, kwargs)) if not isinstance(x, Held)]
                result = containers.hosted(self, module, system, inputs)
                return self.rounds.returned(module, result, inputs[0])
            if self.is_traced_through(module) and self.target.way(type(module)) is None:
                return module.forward(*args, **kwargs)
            return self._layer(module, args, kwargs)

    def _layer(self, module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What a layer returns, which is converted, not executed."""
        signals = [x for x in signals_in((args, kwargs)) if not isinstance(x, Held)]
        if not signals:
            self.problem(*demands.OF_A_CONSTANT)
            raise _Halt
        x = signals[0]
        way = self.target.way(type(module))
        if way is None and self._exporter(module) is None:
            self.problem(*demands.unmapped(self.target, type(module)))
            return self.rounds.returned(module, x.guess(), x)
        given = self._given(module, args, kwargs)
        if given is None:
            return self.rounds.returned(module, x.guess(), x)
        for complaint in self._complaints_of(module, x):
            self.problem(*complaint)
        if way and not self.rounds.variables(module):
            return self._contained(way, module, x, given)
        return self._at_its_step(module, x, given)

    def _at_its_step(self, module: nn.Module, x: Signal, given: list[Any]) -> Any:
        """What a layer returns at this step of time; it is converted at the first."""
        wrong = self.rounds.complaint(module, x, given)
        if wrong is not None:
            self.problem(*wrong)
            return self.rounds.returned(module, x.guess(), x)
        way = self.target.way(type(module))
        if way:
            y = self._contained(way, module, x, [])
            return self.rounds.returned(module, self.rounds.note(module, x, y), y)
        y = self.rounds.again(module, x)
        if y is None:
            y = self._converted(module, x)
            for complaint in self.rounds.started_elsewhere(given, self.record.last()):
                self.problem(*complaint)
        return self.rounds.returned(module, self.rounds.note(module, x, y), y)

    def _given(
        self, module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> list[Any] | None:
        """What a layer is called with besides its input; None, and a problem, if that is wrong."""
        first, *given = _in_order(module, args, kwargs)
        if isinstance(first, tuple) and self.target.way(type(module)) is not None:
            first, given = first[0], [*first[1:], *given]
        if isinstance(first, (tuple, list)):
            self.problem(
                "gets the output and the state of the layer before as one",
                "pass on the output alone, or run the layers in a container that does",
            )
            return None
        takes = self.rounds.calling(module).takes or self.target.way(type(module))
        if not isinstance(first, Signal) or (given and not takes):
            self.problem(
                f"is called with {len(args) + len(kwargs)} arguments",
                "call it with one tensor; NIR's nodes take one input",
            )
            return None
        return given

    def _exporter(self, module: nn.Module) -> Exporter | None:
        """What converts a layer: by its class, or by that of the system that it hosts."""
        return self.target.exporters.get(type(self._system(module)))

    def _system(self, module: nn.Module) -> nn.Module:
        """What an exporter is given: the layer, or the system that it hosts for the reference."""
        hosted = getattr(module, "dynamics", None)
        mapped = type(module) in self.target.exporters
        return hosted if isinstance(hosted, Dynamics) and not mapped else module

    def _contained(self, way: str, container: nn.Module, x: Signal, given: list[Any]) -> Any:
        """What a container returns."""
        try:
            return containers.WAYS[way](self, container, x, *given)
        except ExportRefused as refusal:
            self.complaints.take(refusal.problems)
            return x.guess()

    def _converted(self, module: nn.Module, x: Signal) -> Signal:
        """The signal behind a mapped layer."""
        site = self._site(module, x)
        try:
            chain = self._chain(module, site, x.dtype)
            features = None if chain is None else _features(chain, x.features)
        except ExportRefused as refusal:
            self.complaints.take(refusal.problems)
            return x.guess()
        except shapes.ShapeMismatch as mismatch:
            self.complaints.note_mismatch(str(mismatch), x)
            return x.guess()
        except Exception as error:  # nir's constructors stumble over shapes in various ways
            what = f"no node can be made of it for features {x.features}"
            self.complaints.note_error(what, error, x)
            return x.guess()
        if chain is None or features is None:
            self.skipped[self.complaints.paths.get(id(module), "")] = module
            return x
        return self._chained(module, site, chain, features, x)

    def _site(self, module: nn.Module, x: Signal) -> ExportSite:
        """The place where a layer reads `x`. One that takes several axes itself merges them."""
        own, seen = own_axes(self.target, module), len(x.leading.shape)
        return ExportSite(
            path=self.complaints.place(module),
            shape=x.features,
            batch_axes=1 if own is not None and own > 1 else seen,
            dt=self.dt,
            binary=x.binary,
            training=module.training,
            layer=module,
            remembers=self.rounds.calling(module).remembers,
            reset_value=self.target.reset_value,
            options=self.options,
        )

    def _chain(self, module: nn.Module, site: ExportSite, dtype: torch.dtype) -> Chain | None:
        """What a layer is converted into; None if it returns what it is given."""
        exporter = self._exporter(module)
        if exporter is None:
            raise site.refuse(*demands.unmapped(self.target, type(module)))
        if isinstance(module, Normalized) and site.remembers:
            for kept in self.target.state.get(type(module.neuron), ()):
                site.begins(module.neuron, kept, 0.0)
        made = exporter(self._system(module), site)
        if isinstance(made, tuple):
            return None
        chain = made if isinstance(made, Chain) else Chain(made)
        if self.options.ties == "exact" and self._fires_at_threshold(module):
            return replace(chain, node=ties.lowered(chain.node, dtype))
        return chain

    def _fires_at_threshold(self, module: nn.Module) -> bool:
        """Whether a layer compares otherwise than NIR; the reference's systems don't."""
        return self.target.fires == ">=" and not isinstance(self._system(module), Dynamics)

    def _chained(
        self, module: nn.Module, site: ExportSite, chain: Chain, features: Features, x: Signal
    ) -> Signal:
        """The signal behind the nodes of one layer. The layer's name is its own node's."""
        parts = itertools.count(1)

        def behind(nodes: Iterable[nir.NIRNode], sizes: Iterable[Shape], y: Signal) -> Signal:
            for node, size in zip(nodes, sizes, strict=True):
                y = self._behind(self._call(module, site, node, next(parts), y), y, size)
            return y

        x = behind(chain.before, features.before, x)
        fed, back = x, None
        if chain.feedback:
            step = containers.step_of(x)
            back = self.feedback(step, features.output)
            fed = operations.add(step, behind(chain.feedback, features.feedback, back))
        own = self._call(module, site, chain.node, 0, fed)
        y = behind(chain.then, features.then, self._behind(own, fed, features.node))
        if back is not None:
            self.close(back, y)
            y = y.alias(x.leading)
        return y

    def _call(
        self, module: nn.Module, site: ExportSite, node: nir.NIRNode, part: int, x: Signal
    ) -> Call:
        """A node of a layer, where it reads `x`. What is said of the layer is said of its own."""
        return Call(
            self.complaints.paths.get(id(module), ""),
            module,
            node,
            part,
            tuple(site.annotations) if part == 0 else (),
            foldable=site.folds,
            cases=tuple(site.cases),
            inputs=x.sources,
        )

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

    def node_of(self, module: nn.Module, x: Signal) -> nir.NIRNode:
        """What a layer that is one node is converted into where it reads `x`."""
        chain = self._chain(module, self._site(module, x), x.dtype)
        if chain is None or chain.before or chain.then or chain.feedback:
            raise TypeError(f"{type(module).__name__} is not one node")
        return chain.node

    def insert_part(self, module: nn.Module, part: int, node: nir.NIRNode, x: Signal) -> Signal:
        """The signal behind a node that stands for a part of a layer."""
        call = Call(self.complaints.paths[id(module)], module, node, part, inputs=x.sources)
        return self._behind(call, x, shapes.output_shape(node, x.features))

    # Problems

    def problem(self, what: str, advice: str) -> None:
        """Note a problem with the module that is being called."""
        self.complaints.note(what, advice)

    def _complaints_of(self, module: nn.Module, x: Signal) -> Iterator[Complaint]:
        """What is wrong with a call of a layer, whatever the layer computes."""
        if id(module) not in self.complaints.paths:
            yield demands.UNREGISTERED
        yield from demands.wrong_axes(self.target, self.layout, module, x)
        yield from demands.weights_of_hooks(module)

    def _note_hooks(self, module: nn.Module) -> None:
        if module._forward_hooks or module._forward_pre_hooks:
            self.hooked[self.complaints.place(module)] = None

    # Operations in a forward

    def operate(
        self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """What stands in for a torch function that was given a signal."""
        if function in operations.QUERIES:
            with torch._C.DisableTorchFunctionSubclass():
                return function(*args, **kwargs)
        if function is torch.Tensor.__setitem__ and self.written.take(*args):
            return None
        if any(isinstance(signal, Held) for signal in signals_in((args, kwargs))):
            return self._of_states(function, args, kwargs)
        operation = operations.OPERATIONS.get(function)
        try:
            if operation is None or not _takes(operation, args, kwargs):
                name = bare_name(function)
                raise Unsupported("no node stands for", refusing.advice(name))
            return operation(*args, **kwargs)
        except Unsupported as refusal:
            return self._refused_operation(function, refusal, signals_in((args, kwargs)))

    def _of_states(
        self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """What stands in for a torch function that was given a layer's state."""
        result = states.operate(function, args)
        if result is not None:
            return result
        refusal = Unsupported(*refusing.COMPUTES_WITH_STATE)
        return self._refused_operation(function, refusal, signals_in((args, kwargs)))

    def as_layer(self, name: str, layer: nn.Module, x: Signal) -> Signal:
        """The signal behind a function that computes what a mapped layer does."""
        try:
            chain = self._chain(layer, self._site(layer, x), x.dtype)
            for node in () if chain is None else (*chain.before, chain.node, *chain.then):
                x = self.insert(name, node, x, shapes.output_shape(node, x.features))
        except ExportRefused as refusal:
            (problem, *_) = refusal.problems
            raise Unsupported(f"has no node here: {problem.what}", problem.advice) from None
        except shapes.ShapeMismatch as mismatch:
            advice = "check that example_input is what the network takes"
            raise Unsupported(f"has no node here: {mismatch}", advice, about_shape=True) from None
        return x

    def is_input(self, x: Signal) -> bool:
        """Whether a signal is what the network was given."""
        return all(0 <= source < self.record.inputs for source in x.sources)

    def alike(self, x: Signal, y: Signal) -> bool:
        """Whether two signals are the same one, maybe of different steps of time."""
        return x.features == y.features and self.record.alike(x.sources, y.sources)

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
            what = f"forward calls {full_name(function)}, which {refusal.what}"
            self.complaints.note_call(what, refusal.advice)
        if reads_numbers:
            raise _Halt
        return signals[0].guess()

    # Outputs

    def _outputs(self, result: Any) -> tuple[Port, ...]:
        """What the network returns."""
        # An imported network returns (output, state), as nirtorch has it, and keeps its state.
        if isinstance(self.net, fx.GraphModule) and _is_output_and_state(result):
            result = result[0]
        result = states.without_states(result)
        if isinstance(result, Mapping) and all(isinstance(key, str) for key in result):
            return tuple(self._output(key, value, f" in {key!r}") for key, value in result.items())
        if isinstance(result, (tuple, list)) and result:
            several = enumerate(result)
            return tuple(self._output("", value, f" at {k}") for k, value in several)
        return (self._output("", result, ""),)

    def _output(self, name: str, value: object, where: str) -> Port:
        value = self.written.result(value)
        if isinstance(value, Held):
            self.problem(f"forward returns a layer's state{where}", refusing.COMPUTES_WITH_STATE[1])
            return Port(name, ())
        if isinstance(value, Signal):
            self._demand_whole(value, where)
            return _port(name, value, value.sources)
        held = "a constant" if isinstance(value, torch.Tensor) else f"a {type(value).__name__}"
        self.problem(
            f"forward returns {held}{where} where NIR has an output",
            "return a tensor that comes from the input, or a tuple or dictionary of such",
        )
        return Port(name, ())

    def _demand_whole(self, value: Signal, where: str) -> None:
        loops = self.rounds.most > 1 or value.leading.inside
        if loops and len(value.leading.shape) != 2 and not value.uncertain:
            self.problem(
                f"forward runs over time and returns one step of its output{where}",
                "return all steps: collect them in a list, and return torch.stack(list)",
            )
        elif not loops and len(value.leading.shape) != self.layout.axes:
            self.problem(
                f"forward returns {tuple(value.shape)}{where}, with time and batch in one axis",
                "give the output the axes that the input has",
            )


def _in_order(module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> tuple[Any, ...]:
    """The arguments of a call, in the order of the forward's parameters."""
    if not kwargs:
        return tuple(args)
    try:
        bound = inspect.signature(module.forward).bind(*args, **kwargs)
    except TypeError:
        return (*args, *kwargs.values())
    return (*bound.args, *bound.kwargs.values())


def _port(name: str, signal: Signal, inputs: Sources = ()) -> Port:
    return Port(name, signal.features, inputs=inputs)


@dataclass(frozen=True)
class Features:
    """The features behind each node of a chain."""

    before: tuple[Shape, ...]
    node: Shape
    then: tuple[Shape, ...]
    feedback: tuple[Shape, ...]

    @property
    def output(self) -> Shape:
        """What the layer sends on."""
        return (self.node, *self.then)[-1]


def _features(chain: Chain, features: Shape) -> Features:
    """The features behind each node; raises ShapeMismatch where a node can't take them."""
    before = _behind_each(chain.before, features)
    (node,) = _behind_each((chain.node,), (features, *before)[-1])
    then = _behind_each(chain.then, node)
    return Features(before, node, then, _behind_each(chain.feedback, (node, *then)[-1]))


def _behind_each(nodes: Sequence[nir.NIRNode], features: Shape) -> tuple[Shape, ...]:
    behind = []
    for node in nodes:
        features = shapes.output_shape(node, features)
        behind.append(features)
    return tuple(behind)


def _is_binary(node: nir.NIRNode, x: Signal) -> bool:
    """Whether what a node sends on is 0 or 1 everywhere."""
    if isinstance(node, SPIKING):
        return True
    return x.binary and isinstance(node, (nir.Flatten, nir.Delay))


def _memory(node: nir.NIRNode, x: Signal) -> Memory:
    """The memory of what a layer returns, as far as others look at it too."""
    if isinstance(node, nir.Flatten):
        return x.memory  # a view of its input
    if isinstance(node, (nir.I, nir.LI, nir.CubaLI)):
        return Memory(tensors=1)  # the layer's own state
    return Memory()


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

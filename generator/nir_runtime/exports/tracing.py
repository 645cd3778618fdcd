"""What a network does to its input, found out without executing a layer.

`trace` calls the network's forward with a `Signal` in place of data. Modules that the mappings
know are leaves: each is converted into its node where it is called, and answers with a signal of
the shape that the node gives. Modules that a user wrote, and plain containers, are run through.
All that stands in the way of an export is collected, and raised at once when the forward is done.

For the duration of a trace each module of the network has a call of its own, in place of torch's;
other modules, and other threads' traces by torch.fx, have nothing to do with that.

A trace sees what a forward does to its signals. That it does nothing else is found out besides: it
is traced a second time from where the first left off, and all that it can reach is compared.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import itertools
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import nir
import numpy as np
import torch
from torch import fx, nn

from nir_runtime.contract import shapes
from nir_runtime.contract.dynamics import Dynamics
from nir_runtime.contract.primitives import SPIKING
from nir_runtime.errors import ExportRefused, InvalidArgument, Problem
from nir_runtime.exports import (
    containers,
    demands,
    hooks,
    operations,
    overrides,
    refusing,
    second_step,
    side_effects,
    states,
    ties,
    unchanging,
)
from nir_runtime.exports.complaints import Complaints
from nir_runtime.exports.containers import FedBack
from nir_runtime.exports.demands import Complaint, mapped_base
from nir_runtime.exports.hidden_states import HiddenStates
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
from nir_runtime.exports.recording import Recording, are_equal
from nir_runtime.exports.refusing import Unsupported
from nir_runtime.exports.reshaping import TimeTaken
from nir_runtime.exports.rounds import Rounds, Written
from nir_runtime.exports.signals import Leading, Memory, Signal, Sources, signals_in
from nir_runtime.exports.snapshots import Snapshot
from nir_runtime.exports.states import Held
from nir_runtime.exports.traces import Call, Port, Trace
from nir_runtime.imports.building import LoadState, ReadState, TakeState, graph_names, memory
from nir_runtime.imports.normalized import Normalized
from nir_runtime.imports.recurrence import Recurrent
from nir_runtime.sites import DEFAULT_OPTIONS, Chain, ExportOptions, ExportSite, Refused, Shape
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
    step = _Step(_Modules(target, net), layout, dt, options)
    with (
        preserved(net, step.modules.runs_users_code, target.packages) as found,
        torch.no_grad(),
        contextlib.ExitStack() as written,
    ):
        tracer = _Tracer(step)
        written.callback(tracer.effects.restore)
        try:
            traced = tracer.run(examples, found)
            if step.modules.has_users_code:
                _demand_the_same_again(tracer, traced, examples, found, written)
        except ExportRefused as refusal:
            refusal.converted = tracer.record.finish()
            raise
    return traced


def _demand_the_same_again(
    tracer: _Tracer,
    traced: Trace,
    examples: Examples,
    found: Snapshot,
    written: contextlib.ExitStack,
) -> None:
    """Refuse a network whose second step, from where the first left off, is another one."""
    step = tracer.step
    net, target = step.modules.net, step.modules.target
    between = Snapshot(net, step.modules.runs_users_code, target.packages, layers=False)
    second = _Tracer(step, earlier=_Earlier(tracer, between))
    written.callback(second.effects.restore)
    tracer.later = second
    again = second.run(examples, found)
    complaints = second.complaints
    complaints.take(second_step.kept_between(between, complaints.place_or_network))
    difference = second_step.difference(traced, again)
    if difference is not None and not complaints.problems:
        changed = "; ".join(dict.fromkeys(second_step.named(found, complaints.place_or_network)))
        complaints.note(
            f"its second step differs from the first: {difference}"
            + (f"; the first changed {changed}" if changed else ""),
            "let each call compute the same of its input, whatever the time and whatever came "
            "before; random numbers and counters belong outside of the forward",
        )
    if complaints.problems:
        raise complaints.refusal()


class _Halt(Exception):
    """Tracing can't go on; the reason is among the complaints."""


class _Modules:
    """Which of a network's modules are layers, and whose code the others run.

    Attributes:
        layers: the modules that are converted, and not run.
        called: those, and the modules that call them.
        has_users_code: whether there is a module that runs another's code than torch's, the
            framework's or ours.
    """

    def __init__(self, target: Target, net: nn.Module) -> None:
        self.target = target
        self.net = net
        self._imported = {
            id(module)
            for graph in net.modules()
            if isinstance(graph, fx.GraphModule) and graph_names(graph) is not None
            for module in graph.modules()
            if isinstance(module, fx.GraphModule) and _calls_layers_only(module)
        }
        self.layers: list[nn.Module] = []
        self.called: list[nn.Module] = []
        self._users: set[int] = set()
        self._sort()
        self.has_users_code = bool(self._users)

    def _sort(self) -> None:
        """Walk down to the layers. The modules inside of a layer are its own affair."""
        pending, seen = [self.net], {id(self.net)}
        while pending:
            module = pending.pop()
            self.called.append(module)
            held = isinstance(module, (nn.ModuleList, nn.ModuleDict))  # which have no forward
            if not held and not self.is_traced_through(module):
                self.layers.append(module)
                if isinstance(getattr(module, "dynamics", None), Recurrent):
                    self.called += [inner for inner in module.modules() if inner is not module]
                continue
            if not held and self._runs_users_code(module):
                self._users.add(id(module))
            children = [m for m in module.children() if id(m) not in seen]
            seen.update(map(id, children))
            pending.extend(reversed(children))

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

    def runs_users_code(self, module: nn.Module) -> bool:
        """Whether a module's forward is run and isn't torch's, the framework's or ours."""
        return id(module) in self._users

    def _runs_users_code(self, module: nn.Module) -> bool:
        if "forward" in vars(module):
            return True
        cls = type(module)
        ours = isinstance(module, (LoadState, ReadState, TakeState)) or id(module) in self._imported
        return not (ours or self._runs_in_order(cls) or cls in self.target.containers)

    def _runs_in_order(self, cls: type[nn.Module]) -> bool:
        """Whether a class is one of the plainest containers."""
        return cls in (nn.Sequential, *self.target.in_order)

    @property
    def _not_run(self) -> Sequence[str]:
        """The packages whose modules are layers, but for the plainest containers."""
        return ("torch.nn", *self.target.packages)


@dataclass
class _Step:
    """A step of a network, which may be traced more than once.

    Attributes:
        modules: the network's.
        layout, dt, options: as `trace` has them.
        chains: what layers were converted into, by the layer and what reached it.
        checked: the classes that were looked at, and what is wrong with them.
        looked_at: the layers that were compared with their classes, by their ids.
        has_global_hooks: whether hooks run beside all modules.
    """

    modules: _Modules
    layout: Layout
    dt: float
    options: ExportOptions
    chains: dict[Any, tuple[ExportSite, Chain | None]] = field(default_factory=dict)
    checked: dict[type[nn.Module], list[Complaint]] = field(default_factory=dict)
    looked_at: set[int] = field(default_factory=set)
    has_global_hooks: bool = field(default_factory=hooks.has_global_hooks)


@dataclass(frozen=True)
class _Done:
    """A call of a layer that became one node.

    Attributes:
        module: the layer.
        read: what told what it read from other signals.
        call: the node.
        features: those behind it.
    """

    module: nn.Module
    read: tuple[Any, ...]
    call: Call
    features: Shape


def _telling(x: Signal) -> tuple[Any, ...]:
    """What tells a signal from others, of this step or another."""
    return x.sources, x.features, x.leading, x.dtype, x.binary, x.uncertain


@dataclass(frozen=True)
class _Earlier:
    """The step before, and what it left behind."""

    tracer: _Tracer
    left: Snapshot


class _Tracer:
    """The state of one trace. Implements `signals.Recorder` and `containers.Loops`.

    Attributes:
        later: the trace of the next step, which what is left of this one is handed to.
        done: by the order of the layers' calls, those that became one node.
        behind_last: the features behind the last node.
    """

    def __init__(self, step: _Step, earlier: _Earlier | None = None) -> None:
        self.step = step
        self.target = target = step.modules.target
        self.net = step.modules.net
        self.layout, self.dt, self.options = step.layout, step.dt, step.options
        self.earlier = earlier
        self.later: _Tracer | None = None
        self.done: list[_Done | None] = []
        self.behind_last: Shape = ()
        self.record = Recording(inputs=0)
        not_users = ("torch", "nir", "nir_runtime", *target.packages)
        self.complaints = Complaints(self.net, not_users)
        self.effects = side_effects.SideEffects(not_users, self.complaints.current)
        self.hidden: HiddenStates = HiddenStates(target, earlier.tracer.hidden if earlier else None)
        self.first_calls = unchanging.FirstCalls()
        self.hooked: list[hooks.Hooked] = []
        self.skipped: dict[str, nn.Module] = {}
        before = earlier.tracer.rounds if earlier else None
        self.rounds: Rounds = Rounds(target, self, before)
        self.written = Written()
        self.fed_back: dict[nn.Module, FedBack] = {}
        self.result: Any = None

    def run(self, examples: Examples, found: Snapshot) -> Trace:
        """Call the network; raises all problems at once.

        Args:
            examples: what it takes.
            found: the network as it was before.
        """
        self.record = Recording(len(examples.names))
        sources = [self._source(tensor, k) for k, tensor in enumerate(examples.all)]
        args, others = sources[: len(examples.positional)], sources[len(examples.positional) :]
        kwargs = dict(zip(examples.by_keyword, others, strict=True))
        if self.earlier:
            kwargs |= second_step.handed_back(self.net, examples, self.earlier.tracer.result)
        try:
            self.result = result = self._observed(found, args, kwargs)
        except TimeTaken:
            raise
        except _Halt:
            raise self.complaints.refusal() from None
        except Exception as error:
            raise self.complaints.failure(error) from error
        outputs = self._outputs(result)
        self._account_for_the_rest(found)
        if self.complaints.problems:
            raise self.complaints.refusal() from self.complaints.cause
        return Trace(
            inputs=tuple(map(_port, examples.names, sources)),
            calls=self.record.finish(),
            outputs=tuple(map(self.record.resolved, outputs)),
            skipped=self.skipped,
            hooked=self._left_out_hooks(),
            returned=states.layers_in(result),
        )

    def _observed(self, found: Snapshot, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What the network returns; where a user's code runs, that is watched."""
        modules = (*self.step.modules.called, *found.unregistered)
        for module in modules:
            if (own := vars(module).get(_OWN_CALL)) is not None and not _is_compiled(own):
                self._problem_of(module, overrides.replaced("its call", type(module).__name__))
        with _called_by(self.call, modules), self._others_refused():
            if not self.step.modules.has_users_code:
                return self.call(self.net, args, kwargs)
            with self.hidden.hidden(self.step.modules.layers), self.effects.watching():
                own_call = _has_own_call(type(self.net))
                return self.net(*args, **kwargs) if own_call else self.call(self.net, args, kwargs)

    def _left_out_hooks(self) -> tuple[str, ...]:
        """The modules whose hooks nobody looked at."""
        if self.options.hooks == "check":
            return ()
        return tuple(dict.fromkeys(self.complaints.place(h.module) for h in self.hooked))

    @contextlib.contextmanager
    def _others_refused(self) -> Iterator[None]:
        """Inside, modules that the network doesn't have are refused where they read signals."""
        if not self.step.modules.has_users_code:
            yield
            return
        thread = threading.get_ident()

        def refuse(module: nn.Module, args: Any) -> None:
            if threading.get_ident() == thread and signals_in(args):
                self._problem_of(module, demands.UNREGISTERED)
                raise _Halt

        handle = nn.modules.module.register_module_forward_pre_hook(refuse)
        try:
            yield
        finally:
            handle.remove()

    def _account_for_the_rest(self, found: Snapshot) -> None:
        """Note what the forward did besides what its signals show."""
        if self.step.modules.has_users_code:
            self._account_for_layers(found)
        if self.hooked and self.options.hooks == "check" and not self.earlier:
            variables = functools.partial(memory, self.target)
            for module, complaint in hooks.complaints(self.hooked, self.net, variables):
                self._problem_of(module, complaint)

    def _account_for_layers(self, found: Snapshot) -> None:
        """Note what the forward did to layers, and to nobody's numbers."""
        sequence = self.rounds.most > 1 or self.layout.axes > 1
        for layer, complaint in self.hidden.left():
            self._problem_of(layer, complaint)
        through = self.step.modules.is_traced_through
        for change in found.changes():
            module = change.module
            if module is None or through(module) or change.name in memory(self.target, module):
                continue  # memories are looked after, where layers keep them
            self._problem_of(module, unchanging.changed(change.name))
        for layer in self.step.modules.layers:
            for complaint in unchanging.written_tensors(layer, self.effects):
                self._problem_of(layer, complaint)
        self.complaints.take(
            Problem(place, f"its forward draws random numbers ({line})", demands.NOT_RANDOM)
            for place, line in self.effects.draws
        )
        if self.earlier:
            for layer in self.rounds.dropped(whole_sequence=sequence):
                self._problem_of(layer, demands.dropped_state(layer))

    def _problem_of(self, layer: nn.Module, complaint: Complaint) -> None:
        with self.complaints.inside(layer):
            self.problem(*complaint)

    def _source(self, example: torch.Tensor, number: int) -> Signal:
        """A signal that enters the network."""
        shape, axes = tuple(example.shape), self.layout.axes
        return Signal(
            Leading(shape[:axes]), shape[axes:], example.dtype, example.device, self, (number,)
        )

    # Modules

    def call(self, module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What stands in for `module(*args, **kwargs)`."""
        with self.complaints.inside(module):
            result = self._called(module, args, kwargs)
        if self.step.has_global_hooks or hooks.has_hooks(module):
            self.hooked.append(hooks.Hooked(module, tuple(args), kwargs, result))
        return result

    def _called(self, module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What a module returns, without its hooks."""
        system = getattr(module, "dynamics", None)
        if isinstance(system, Recurrent):
            inputs = [x for x in signals_in((args, kwargs)) if not isinstance(x, Held)]
            with self.hidden.shown(module):
                result = containers.hosted(self, module, system, inputs)
            return self.rounds.returned(module, result, inputs[0])
        if self.step.modules.is_traced_through(module) and self.target.way(type(module)) is None:
            return module.forward(*args, **kwargs)
        return self._layer(module, args, kwargs)

    def _layer(self, module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """What a layer returns, which is converted, not executed."""
        position = len(self.done)
        self.done.append(None)
        if self.earlier and len(args) == 1 and not kwargs:
            y = self._as_before(position, module, args[0])
            if y is not None:
                return y
        signals = [x for x in signals_in((args, kwargs)) if not isinstance(x, Held)]
        if not signals:
            self.problem(*demands.OF_A_CONSTANT)
            raise _Halt
        self._demand_of_this_step(signals)
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
        if not self.step.modules.has_users_code:
            return self._at_its_step(module, x, given)
        calls, read = self.record.count, _telling(x)
        y = self._at_its_step(module, x, given)
        call = self.record.last()
        if call is not None and self.record.count == calls + 1 and not given:
            self.done[position] = _Done(module, read, call, self.behind_last)
        return y

    def _as_before(self, position: int, module: nn.Module, x: Any) -> Any:
        """What a layer returns that the step before called so, too; None if it was otherwise."""
        earlier = self.earlier.tracer.done if self.earlier else []
        done = earlier[position] if position < len(earlier) else None
        if done is None or not isinstance(x, Signal) or x.recorder is not self:
            return None
        if module is not done.module or _telling(x) != done.read:
            return None
        for complaint in self.hidden.before_call(module):
            self.problem(*complaint)
        y = self.rounds.note(module, x, self._behind(done.call, x, done.features))
        self.hidden.after_call(module, y, self.rounds.last_call(module))
        return self.rounds.returned(module, y, y)

    def _at_its_step(self, module: nn.Module, x: Signal, given: list[Any]) -> Any:
        """What a layer returns at this step of time; it is converted at the first."""
        for complaint in self.hidden.before_call(module):
            self.problem(*complaint)
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
            y = self._converted(module, x, self.rounds.starts_by_itself(module, given))
            for complaint in self.rounds.started_elsewhere(given, self.record.last()):
                self.problem(*complaint)
        y = self.rounds.note(module, x, y)
        self.hidden.after_call(module, y, self.rounds.last_call(module))
        return self.rounds.returned(module, y, y)

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

    def _converted(self, module: nn.Module, x: Signal, by_itself: bool) -> Signal:
        """The signal behind a mapped layer."""
        try:
            site, chain = self._converted_once(module, x, by_itself)
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

    def _converted_once(
        self, module: nn.Module, x: Signal, by_itself: bool
    ) -> tuple[ExportSite, Chain | None]:
        """What a layer is converted into, and where; as in the step before, if there was one."""
        reached = (id(module), x.features, x.leading.shape, x.dtype, x.binary)
        if self.earlier and reached in self.step.chains:
            return self.step.chains[reached]
        site = self._site(module, x, by_itself)
        chain = self._chain(module, site, x.dtype)
        for complaint in self._inner_complaints(module, x, chain):
            self.problem(*complaint)
        if self.step.modules.has_users_code:  # or else there is one step only
            _, first = self.step.chains.setdefault(reached, (site, chain))
            for complaint in unchanging.other_numbers(first, chain):
                self.problem(*complaint)
        return site, chain

    def _inner_complaints(
        self, module: nn.Module, x: Signal, chain: Chain | None
    ) -> Iterator[Complaint]:
        """What is wrong with the modules inside of a layer."""
        for inner in module.modules() if module._modules else ():
            if inner is not module and hooks.has_hooks(inner):
                self.hooked.append(hooks.Hooked(inner, (x,), {}, x.copy()))
        inside = module._modules and not isinstance(module, Normalized)
        if chain is None or not inside or module is not self._system(module):
            return iter(())

        def node_of(inner: nn.Module) -> nir.NIRNode | None:
            try:
                made = self._chain(inner, self._site(inner, x), x.dtype)
            except (ExportRefused, shapes.ShapeMismatch):
                return None
            return None if made is None else made.node

        return overrides.inner_modules(self.target, module, chain.nodes, node_of, are_equal)

    def _site(self, module: nn.Module, x: Signal, by_itself: bool = True) -> ExportSite:
        """The place where a layer reads `x`. One that takes several axes itself merges them.

        Args:
            module: the layer.
            x: what it reads.
            by_itself: whether it starts from what it has, and not from what it is given.
        """
        own, seen = own_axes(self.target, module), len(x.leading.shape)
        return ExportSite(
            path=self.complaints.place(module),
            shape=x.features,
            batch_axes=1 if own is not None and own > 1 else seen,
            dt=self.dt,
            binary=x.binary,
            training=module.training,
            layer=module,
            remembers=by_itself,
            reset_value=self.target.reset_value,
            options=self.options,
        )

    def _chain(self, module: nn.Module, site: ExportSite, dtype: torch.dtype) -> Chain | None:
        """What a layer is converted into; None if it returns what it is given."""
        exporter = self._exporter(module)
        if exporter is None:
            raise site.refuse(*demands.unmapped(self.target, type(module)))
        with self.hidden.shown(module), self.effects.quiet():
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
        self.behind_last = features
        if isinstance(call.node, nir.Delay):
            x.memory.tensors += 1  # it keeps what it is given
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
        if _autocast(x.device.type):
            yield demands.AUTOCAST
        for mode in self.effects.others():
            yield demands.under(mode)
        yield from demands.wrong_axes(self.target, self.layout, module, x)
        yield from demands.weights_of_hooks(module)
        if id(module) not in self.step.looked_at:  # what changes later is seen below
            self.step.looked_at.add(id(module))
            yield from self._instance_complaints(module)
        if self.step.modules.has_users_code:
            yield from self.first_calls.complaints(module, self.hidden.names(module))
            yield from unchanging.written_tensors(module, self.effects)

    def _instance_complaints(self, module: nn.Module) -> Iterator[Complaint]:
        """What a layer has otherwise than its class, which is what the mapping is of."""
        if isinstance(self._exporter(module), Refused):
            return  # what the mapping says of the class is enough
        yield from self._class_complaints(type(module))
        yield from self._inner_class_complaints(module)
        yield from overrides.replaced_methods(module)
        yield from overrides.tensors_of_another_kind(module)
        if type(module) in self.target.exporters:
            yield from overrides.other_functions(module)
        if isinstance(module, Normalized):
            yield from overrides.replaced_methods(module.neuron)
            yield from overrides.other_functions(module.neuron)

    def _class_complaints(self, cls: type[nn.Module]) -> list[Complaint]:
        """What is wrong with a layer's class."""
        if cls not in self.step.checked:
            self.step.checked[cls] = list(overrides.patched_class(self.target, cls))
        return self.step.checked[cls]

    def _inner_class_complaints(self, module: nn.Module) -> Iterator[Complaint]:
        """What is wrong with the classes of the modules inside of a layer."""
        for inner in module._modules.values():
            if inner is not None:
                yield from self._class_complaints(type(inner))

    def _demand_of_this_step(self, signals: Sequence[Signal]) -> None:
        """Stop where a forward reads what the step before left."""
        if self.earlier is None:
            return
        for signal in signals:
            if signal.recorder is not self and not isinstance(signal, Held):
                found = self.earlier.left.place_of(signal)
                problem = second_step.from_before(found, self.complaints.place_or_network)
                self.complaints.take([problem])
                raise _Halt

    # Operations in a forward

    def operate(
        self, function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """What stands in for a torch function that was given a signal."""
        if self.later is not None:
            return self.later.operate(function, args, kwargs)
        if function in operations.QUERIES:
            with torch._C.DisableTorchFunctionSubclass():
                return function(*args, **kwargs)
        signals = signals_in((args, kwargs))
        self._demand_of_this_step(signals)
        if any(isinstance(signal, Held) for signal in signals):
            return self._of_states(function, args, kwargs)
        operation = operations.OPERATIONS.get(function)
        try:
            if function is torch.Tensor.__setitem__ and self.written.take(*args):
                return None
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
        result = states.operate(function, args, kwargs)
        if result is not None:
            return result
        what, advice = refusing.COMPUTES_WITH_STATE
        held = next(x for x in signals_in((args, kwargs)) if isinstance(x, Held))
        refusal = Unsupported(
            f"{what} ({self.complaints.place(held.layer)}.{held.variable})", advice
        )
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
        if isinstance(value, Signal):
            self._demand_of_this_step([value])
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


def _autocast(device: str) -> bool:
    """Whether layers run in another precision than their own."""
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def _calls_layers_only(module: fx.GraphModule) -> bool:
    """Whether a module of torch.fx runs what its graph says, in functions of torch's."""
    own = itertools.takewhile(lambda cls: cls is not fx.GraphModule, type(module).__mro__)
    if not all(within(cls.__module__, ("torch",)) for cls in own):
        return False
    functions = (node.target for node in module.graph.nodes if node.op == "call_function")
    ours = ("torch", "operator", "_operator", "builtins", "nir_runtime")
    return all(within(getattr(f, "__module__", None) or "", ours) for f in functions)


def _has_own_call(cls: type[nn.Module]) -> bool:
    """Whether a class does more in a call than to call its forward."""
    defining = next(base for base in cls.__mro__ if "__call__" in vars(base))
    return not within(defining.__module__, ("torch",))


@contextlib.contextmanager
def _called_by(
    call: Callable[[nn.Module, Sequence[Any], Mapping[str, Any]], Any], modules: Iterable[nn.Module]
) -> Iterator[None]:
    """Inside, `module(...)` is `call(module, ...)` for these modules.

    `nn.Module.__call__` looks for an instance's own call first, where `module.compile()` puts one.
    """
    before = [(vars(module), vars(module).get(_OWN_CALL)) for module in modules]
    for module in modules:
        vars(module)[_OWN_CALL] = functools.partial(_own_call, call, module, threading.get_ident())
    try:
        yield
    finally:
        for attributes, held in before:
            if held is None:
                attributes.pop(_OWN_CALL, None)
            else:
                attributes[_OWN_CALL] = held


_OWN_CALL = "_compiled_call_impl"


def _is_compiled(call: Any) -> bool:
    """Whether a module's own call is what `module.compile()` makes of it."""
    return hasattr(call, "_torchdynamo_orig_callable")


def _own_call(
    call: Callable[[nn.Module, Sequence[Any], Mapping[str, Any]], Any],
    module: nn.Module,
    thread: int,
    /,
    *args: Any,
    **kwargs: Any,
) -> Any:
    if threading.get_ident() != thread:  # another thread's modules run as ever
        return module._call_impl(*args, **kwargs)  # type: ignore[no-untyped-call]
    return call(module, args, kwargs)

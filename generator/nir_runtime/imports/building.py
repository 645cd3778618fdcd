"""A module from the layers of a graph: one torch.fx call for each, and the neurons' states.

The forward takes one argument for each Input, in the order of their names, and `state`. It returns
the output, or a dictionary of them by name if the graph has several Outputs, and the state.

A state is a dictionary, by the names of the nodes that have one. Where a framework's layers
remember, it holds dictionaries of their state attributes, `{"lif": {"v": tensor}}`: given to a
call, it replaces what the layers remember; without it they go on from where they are. Where they
take and return their state (`calling`), it holds that as the layers have it, and nothing is
remembered: a call without it starts afresh.
"""

from __future__ import annotations

import functools
import operator
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import fx, nn

from nir_runtime.calling import Calling, taken_apart
from nir_runtime.contract.dynamics import Dynamics
from nir_runtime.contract.nesting import Edge, Flat
from nir_runtime.contract.order import Plan
from nir_runtime.contract.primitives import Shape
from nir_runtime.contract.reference import Host
from nir_runtime.errors import InvalidArgument, Problem
from nir_runtime.imports.identifiers import Namespace, parameters
from nir_runtime.imports.normalized import Normalized
from nir_runtime.imports.recurrence import Recurrent
from nir_runtime.target import Target

State = dict[str, Any]
"""By node, what its layer keeps: by attribute, or as the layer itself has it."""


@dataclass(frozen=True)
class Slot:
    """A place where a part of a node's state is kept: `layer.attribute`, known as `key`."""

    key: str
    layer: nn.Module
    attribute: str


Slots = Mapping[str, Sequence[Slot]]
"""By node, where its state is kept."""


@dataclass(frozen=True)
class Names:
    """What the parts of a built module are called in the graph that it was built from.

    Attributes:
        nodes: by the last part of a layer's path in the module.
        inputs: by the forward's parameters.
        outputs: in the order of the output.
        ranks: how many axes of features each input has, by the forward's parameters.
        dt: the time step that it was built for, in seconds.
    """

    nodes: dict[str, str]
    inputs: dict[str, str]
    outputs: tuple[str, ...]
    ranks: dict[str, int]
    dt: float


class LoadState(nn.Module):
    """Makes the neurons go on from a given state."""

    _is_impure = True  # or torch.fx would remove the call as dead code

    def __init__(self, slots: Slots) -> None:
        super().__init__()
        self.slots = slots  # no submodules: the neurons are the network's

    def forward(self, state: Mapping[str, Mapping[str, Any]] | None) -> None:
        """Give the nodes named in `state` what it holds for them; the others keep theirs."""
        for name, values in _checked(state, self.slots).items():
            for slot in self.slots[name]:
                # What layers write into is theirs: the state that is given stays as it is.
                setattr(slot.layer, slot.attribute, apart(values[slot.key]))


class ReadState(nn.Module):
    """Tells what the neurons remember.

    Attributes:
        names: of the module's parts in the graph; here, because pickle drops `GraphModule.meta`.
    """

    _is_impure = True

    def __init__(self, slots: Slots, names: Names) -> None:
        super().__init__()
        self.slots = slots
        self.names = names

    def forward(self) -> State:
        """The state that a later call may continue from."""
        return {
            name: {slot.key: apart(getattr(slot.layer, slot.attribute)) for slot in slots}
            for name, slots in self.slots.items()
        }


def apart(value: Any) -> Any:
    """A part of a state that a layer may go on writing into: SpikingJelly's Delay does, in a list.
    Tensors it replaces."""
    return value.copy() if type(value) is list else value


class TakeState(nn.Module):
    """Tells each layer the state that it is to go on from; one that starts, none.

    Attributes:
        starts: what a layer is given that starts, by its node.
        names: of the module's parts in the graph.
    """

    def __init__(self, starts: Mapping[str, Any], names: Names) -> None:
        super().__init__()
        self.starts = starts
        self.names = names

    def forward(self, state: Mapping[str, Any] | None) -> State:
        """The state of every node that has one."""
        return {**self.starts, **_checked(state, self.starts)}


def _checked(state: Mapping[str, Any] | None, known: Mapping[str, Any]) -> Mapping[str, Any]:
    """A state that was given, if all its nodes have one."""
    for name in state or ():
        if name not in known:
            listed = ", ".join(map(repr, known)) or "none"
            problem = Problem("state", f"no node {name!r} has a state", f"these have: {listed}")
            raise InvalidArgument(problem)
    return state or {}


def graph_names(module: nn.Module) -> Names | None:
    """The names that a module's parts had in the graph it was built from; None if in none."""
    known = (c.names for c in module.children() if isinstance(c, (ReadState, TakeState)))
    return next(known, None)


def time_steps(net: nn.Module) -> list[float]:
    """The time steps that a network's imported parts were built for, each once, in seconds."""
    known = (m.names for m in net.modules() if isinstance(m, (ReadState, TakeState)))
    return list(dict.fromkeys(names.dt for names in known))


def build(
    target: Target, flat: Flat, plan: Plan, layers: Mapping[str, nn.Module], dt: float
) -> fx.GraphModule:
    """A module that computes a graph.

    Args:
        target: tells where layers keep their state, and how to host a cycle.
        flat: the graph, with shapes.
        plan: its order of execution.
        layers: by name, one for each node that is not an Input or an Output. A layer takes and
            returns one tensor.
        dt: the time step that they are built for, in seconds.

    Returns:
        A GraphModule with the layers as its children, and the nodes that feed each other as
        children of a child `recurrent`.
    """
    return _Build(target, flat, plan, layers, dt).module()


class _Wires:
    """A torch.fx graph in the making.

    Attributes:
        values: what nodes send on in this step.
        previous: what nodes sent on in the step before, where that is known.
        taken: all states that layers are to go on from, and `given`, single ones of them by node.
        left: the states that they leave.
    """

    def __init__(self) -> None:
        self.values: dict[str, fx.Node] = {}
        self.previous: dict[str, fx.Node] = {}
        self.taken: fx.Node | None = None
        self.given: dict[str, fx.Node] = {}
        self.left: dict[str, Any] = {}
        self._graph = fx.Graph()
        self._modules: dict[str, nn.Module] = {}

    def placeholder(self, name: str, others: Collection[str] = (), *default: None) -> fx.Node:
        """An argument of the forward, beside others.

        Its value is called as the argument, or where torch.fx has that name for a builtin, as no
        other argument: the assignment would come before that one is read.
        """
        while True:
            node = self._graph.create_node("placeholder", name, default, name=name)
            if node.name == name or node.name not in others:
                return node
            self._graph.erase_node(node)  # torch.fx counts on, and gives the next another name

    def call(self, name: str, module: nn.Module, *arguments: Any) -> fx.Node:
        """A call of a module that is to have this name."""
        self._modules[name] = module
        return self._graph.create_node("call_module", name, arguments, name=name)

    def sum(self, values: Sequence[fx.Node]) -> fx.Node:
        """The sum of values, from left to right."""
        return functools.reduce(
            lambda a, b: self._graph.call_function(operator.add, (a, b)), values
        )

    def item(self, values: fx.Node, index: int | str) -> fx.Node:
        """One of several values."""
        return self._graph.call_function(operator.getitem, (values, index))

    def state_of(self, name: str) -> fx.Node:
        """The state that a node's layer is to go on from."""
        if name not in self.given and self.taken is not None:
            self.given[name] = self.item(self.taken, name)
        return self.given[name]

    def finish(self, result: Any) -> fx.GraphModule:
        """The module that returns `result`."""
        self._graph.output(result)
        return fx.GraphModule(self._modules, self._graph)


class _Build:
    """A graph on its way into a module."""

    def __init__(
        self,
        target: Target,
        flat: Flat,
        plan: Plan,
        layers: Mapping[str, nn.Module],
        dt: float,
    ) -> None:
        self.target = target
        self.flat = flat
        self.plan = plan
        self.layers = layers
        self.dt = dt
        self.namespace = Namespace()
        self.identifiers = self.namespace.give_all(layers)
        self.slots = state_slots(target, layers)
        self.starts = {
            name: _start(target, layer)
            for name, layer in layers.items()
            if not calling(target, layer).remembers
        }

    def module(self) -> fx.GraphModule:
        """The whole of it."""
        wires = _Wires()
        inputs = self._place_inputs(wires)
        given = wires.placeholder("state", (), None)
        if self.starts:
            state = self._with_states_handed_on(wires, given, self._names(inputs))
        else:
            state = self._with_memories(wires, given, self._names(inputs))
        results = {name: wires.values[name] for name in sorted(self.flat.outputs)}
        return wires.finish((results if len(results) > 1 else next(iter(results.values())), state))

    def _with_memories(self, wires: _Wires, given: fx.Node, names: Names) -> fx.Node:
        """All nodes placed, with a state that their layers remember."""
        load_state = (self.target.load_state or LoadState)(self.slots)
        wires.call(self.namespace.give("load_state"), load_state, given)
        self._place_all(wires)
        read_state = (self.target.read_state or ReadState)(self.slots, names)
        return wires.call(self.namespace.give("read_state"), read_state)

    def _with_states_handed_on(self, wires: _Wires, given: fx.Node, names: Names) -> Any:
        """All nodes placed, with a state that goes through them."""
        take = TakeState(self.starts, names)  # cycles that are placed have a start, too
        wires.taken = wires.call(self.namespace.give("take_state"), take, given)
        self._place_all(wires)
        return wires.left

    def _names(self, inputs: Mapping[str, str]) -> Names:
        nodes = {identifier: name for name, identifier in self.identifiers.items()}
        outputs = tuple(sorted(self.flat.outputs))
        ranks = {parameter: len(self._features(name)) for parameter, name in inputs.items()}
        return Names(nodes, dict(inputs), outputs, ranks, self.dt)

    def _place_all(self, wires: _Wires) -> None:
        for component in self.plan.components:
            if self.plan.recurs(component):
                self._place_cycle(component, wires)
            else:
                self._place(component[0], wires)

    def _place_inputs(self, wires: _Wires) -> dict[str, str]:
        """Arguments for the Inputs, and which is whose."""
        names = parameters(self.flat.inputs)
        for name, parameter in names.items():
            wires.values[name] = wires.placeholder(parameter, names.values())
        return {parameter: name for name, parameter in names.items()}

    def _place(self, name: str, wires: _Wires) -> None:
        """One node: its layer called with the sum of what arrives; as is, if it has no layer."""
        if name in wires.values:  # an Input of the whole graph
            return
        arriving = wires.sum([self._arriving(edge, wires) for edge in self._edges_to(name)])
        layer = self.layers.get(name)
        wires.values[name] = (
            arriving
            if layer is None
            else self._call(name, self.identifiers[name], layer, wires, arriving)
        )

    def _call(
        self, name: str, identifier: str, layer: nn.Module, wires: _Wires, *inputs: fx.Node
    ) -> fx.Node:
        """The output of a layer, called as it wants to be; its state is the node's."""
        form = calling(self.target, layer)
        if form.remembers:
            y = wires.call(identifier, layer, *inputs)
            return wires.item(y, 0) if form.gives else y
        x = inputs[0] if len(inputs) == 1 else inputs
        given = wires.state_of(name)
        if form.whole:
            result = wires.call(identifier, layer, x, given)
            y, wires.left[name] = wires.item(result, 0), wires.item(result, 1)
            return y
        variables = _start(self.target, layer)
        states = [wires.item(given, variable) for variable in variables]
        result = wires.call(identifier, layer, x, *states)
        first = 0 if "y" in form.takes else 1  # the output is a part of the state
        wires.left[name] = {v: wires.item(result, k) for k, v in enumerate(variables, first)}
        return wires.item(result, 0)

    def _edges_to(self, name: str) -> Iterator[Edge]:
        return ((source, name) for source in self.plan.sources[name])

    def _arriving(self, edge: Edge, wires: _Wires) -> fx.Node:
        return (wires.previous if edge in self.plan.delayed else wires.values)[edge[0]]

    def _place_cycle(self, component: Sequence[str], wires: _Wires) -> None:
        """The nodes of a component: one call of a cell that takes their steps together."""
        members = set(component)
        edges = [edge for name in component for edge in self._edges_to(name)]
        inputs = sorted({source for source, _ in edges} - members) or [min(self.flat.inputs)]
        delayed = sorted({edge[0] for edge in edges if edge in self.plan.delayed})
        outputs = [n for n in component if not members.issuperset(self.flat.targets[n])]
        memory = [f"previous_{self.identifiers[name]}" for name in delayed]
        inner = {name: self.starts.pop(name) for name in component if name in self.starts}
        cell = self._host(
            Recurrent(
                self._body(component, inputs, delayed, outputs, tuple(inner)),
                inputs=len(inputs),
                rank=len(self._features(inputs[0])),
                previous=memory,
                shapes=[self._features(name) for name in delayed],
                one_step=self.target.one_step,
                starts={f"state_{self.identifiers[name]}": s for name, s in inner.items()},
            )
        )
        identifier = self.namespace.give("recurrent")
        if calling(self.target, cell).remembers:
            for name, attribute in zip(delayed, memory, strict=True):
                self.slots[name] = (*self.slots.get(name, ()), Slot("previous", cell, attribute))
        else:
            self.starts[identifier] = _start(self.target, cell)
        arguments = (wires.values[name] for name in inputs)
        result = self._call(identifier, identifier, cell, wires, *arguments)
        for index, name in enumerate(outputs):
            wires.values[name] = wires.item(result, index) if len(outputs) > 1 else result

    def _body(
        self,
        component: Sequence[str],
        inputs: Sequence[str],
        delayed: Sequence[str],
        outputs: Sequence[str],
        states: Sequence[str],
    ) -> fx.GraphModule:
        """One step of a component: `(*inputs, *memory) -> (outputs, memory)`.

        The memory is what was sent on in the step before, and then the layers' own states.
        """
        wires = _Wires()
        arguments = Namespace()
        for name, argument in arguments.give_all(inputs).items():
            wires.values[name] = wires.placeholder(argument)
        for name in delayed:
            argument = arguments.give(f"previous_{self.identifiers[name]}")
            wires.previous[name] = wires.placeholder(argument)
        for name in states:
            argument = arguments.give(f"state_{self.identifiers[name]}")
            wires.given[name] = wires.placeholder(argument)
        for name in component:
            self._place(name, wires)
        following = (
            *(wires.values[name] for name in delayed),
            *(wires.left[name] for name in states),
        )
        return wires.finish((tuple(wires.values[name] for name in outputs), following))

    def _features(self, name: str) -> Shape:
        return tuple(int(size) for size in self.flat.nodes[name].output_type["output"])

    def _host(self, cycle: Recurrent) -> nn.Module:
        if self.target.cell is None:
            raise TypeError(f"{self.target.name} has no cell to hold a cycle")
        return self.target.cell(cycle)


def calling(target: Target, layer: nn.Module) -> Calling:
    """How a layer is called; those of the reference remember, as those without a state."""
    own = core(layer)
    if not memory(target, own) or isinstance(own, Host):
        return taken_apart("y = layer(x)")
    return taken_apart(target.calls.get(type(own), target.calling)(own))


def core(layer: nn.Module) -> nn.Module:
    """The framework's own layer, without the map of its input before it."""
    return layer.neuron if isinstance(layer, Normalized) else layer


def _start(target: Target, layer: nn.Module) -> Any:
    """What a layer that starts is given as its state: nothing, in the form that it takes."""
    form = calling(target, layer)
    if form.whole:
        return None
    variables = (*form.takes[:-1], *memory(target, core(layer)))
    begin = target.beginning
    return {variable: None if begin is None else begin() for variable in variables}


def state_slots(target: Target, layers: Mapping[str, nn.Module]) -> dict[str, tuple[Slot, ...]]:
    """Where layers that remember keep their state, by their nodes' names."""
    remembering = ((n, layer) for n, layer in layers.items() if calling(target, layer).remembers)
    found = ((name, tuple(_slots(target, layer))) for name, layer in remembering)
    return {name: slots for name, slots in found if slots}


def _slots(target: Target, layer: nn.Module) -> Iterator[Slot]:
    """The state of a layer and of all modules in it; with their paths, if several keep one."""
    keeping = [(path, m, kept) for path, m in layer.named_modules() if (kept := memory(target, m))]
    for path, module, attributes in keeping:
        for attribute in attributes:
            key = attribute if len(keeping) == 1 else f"{path}.{attribute}"
            yield Slot(key, module, attribute)


def memory(target: Target, module: nn.Module) -> tuple[str, ...]:
    """The attributes in which a module keeps its own state."""
    attributes = target.state.get(type(module))
    if attributes is None:
        hosted = getattr(module, "dynamics", None)
        attributes = hosted.memory if isinstance(hosted, Dynamics) else ()
    return attributes

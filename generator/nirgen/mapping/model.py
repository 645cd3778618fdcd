"""What mappings say, as frozen data: read, checked, and still knowing their places."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import product

from nirgen.mapping.expressions import Expression, Literal, names, show
from nirgen.mapping.problems import Location
from nirgen.mapping.source import Constant
from nirgen.mapping.steps import Step

NODE = "node."
"""The prefix of a node's field in a formula that also speaks of a layer's parameters."""

SURROUNDINGS: Mapping[str, str] = {
    "dt": "the time step, in seconds",
    "shape": "the shape of the features that reach the layer",
    "rank": "the number of feature axes",
    "channels": "the size of the first feature axis",
    "length": "the size of the last feature axis",
    "spatial_shape": "the feature axes behind the channels",
    "batch_axes": "how many axes the layer sees before the features",
    "input_type": "the shape of the features, as a node's `input_type` holds it",
    "binary": "whether only 0 and 1 reach the layer",
    "training": "whether the layer is in training mode",
}
"""What a formula may name besides the layer's parameters."""

IMPORT_SURROUNDINGS: Mapping[str, str] = {
    "dt": "the time step, in seconds",
    "dtype": "the precision of the layer's tensors",
    "device": "where the layer's tensors will be",
}
"""What a derived parameter may follow from besides the node's fields."""

CALLS = (
    "y = layer(x)",
    "y, state = layer(x, state)",
    "y, *state = layer(x)",
    "y, *state = layer(x, *state)",
    "y, *state = layer(x, y, *state)",
)
"""How layers with state are called: they remember; or their caller keeps the state, as one thing or
as one tensor for each variable, possibly with the last output; or they remember and show it."""


@dataclass(frozen=True)
class Field:
    """A field of a NIR node.

    `kind` is `parameter` (a number for each neuron), `tensor` (an array of its own shape),
    `size` (numbers or a word that fix the layer's geometry) or `shape` (follows from the graph).
    """

    name: str
    kind: str
    unit: str
    says: str
    domain: Expression | None
    at: Location


@dataclass(frozen=True)
class Reset:
    """What a spike does to a node's state, where its metadata names it: lines before the node's,
    and lines in place of the node's own from its output on."""

    name: str
    says: str
    before: Step
    spike: Step
    at: Location


@dataclass(frozen=True)
class Node:
    """A NIR primitive: its fields, what it computes, and where its state starts.

    `step` is one step as formulas; `equation` is for people, where formulas of numbers can't say
    what it computes. `resets` are those that its metadata may name in place of its own.
    """

    name: str
    says: str
    step: Step
    equation: str
    fields: Mapping[str, Field]
    start: Mapping[str, Expression]
    resets: Mapping[str, Reset]
    at: Location

    @property
    def fires(self) -> bool:
        """Whether it is a neuron that compares its v with a threshold."""
        return "v_threshold" in self.fields

    @property
    def is_neuron(self) -> bool:
        """Whether it has a state, and formulas say what becomes of it."""
        return bool(self.step and self.start)

    def step_with(self, reset: str | None) -> Step:
        """Its step, with another reset than its own."""
        if reset is None:
            return self.step
        other = self.resets[reset]
        return Step((*other.before.lines, *self.step.until_output(), *other.spike.lines))


@dataclass(frozen=True)
class Structure:
    """A constructor parameter that holds others as its fields, and the class of what is passed."""

    parameter: str
    cls: str


@dataclass(frozen=True)
class Parameter:
    """A constructor parameter, as the framework's signature has it; or a field of one.

    Of its `type`, the generator knows `float`, `int`, `bool`, and `Tensor` (a number for each
    neuron, or for all), each also as `Optional[...]`; any other is passed on as it is. Where there
    is an `of`, the words of its type are names in that module, and what they name is passed.

    What is `kept` is none of the constructor's: it is what a live layer has besides and may compute
    with, a `buffer`, a `parameter` of torch's, or another `attribute`.
    """

    name: str
    type: str
    required: bool
    default: Constant
    at: Location
    part_of: Structure | None = None
    of: str | None = None
    kept: str | None = None

    @property
    def held(self) -> str:
        """Where a live layer has it: `p.tau_mem_inv`."""
        return self.name if self.part_of is None else f"{self.part_of.parameter}.{self.name}"

    @property
    def modules(self) -> frozenset[str]:
        """What the names start with that making it takes."""
        made = () if self.part_of is None else (self.part_of.cls.rpartition(".")[0],)
        return frozenset((*made, self.of) if self.of else made)


@dataclass(frozen=True)
class Mode:
    """The layers' attribute that tells which axes stand before the features, and its values."""

    attribute: str
    axes: Mapping[str, int]
    default: str


@dataclass(frozen=True)
class Option:
    """A switch of the import."""

    name: str
    says: str
    default: bool
    at: Location


KEPT = ("buffer", "parameter", "attribute")
"""How a live layer may keep what its constructor doesn't take."""

IN_ORDER = "in_order"
WAYS = (IN_ORDER, "through", "elementwise_recurrent", "linear_recurrent", "fed_back")
"""How a container may run its layers; all but the first are the runtime's."""


@dataclass(frozen=True)
class Called:
    """One way of calling layers with state, of `CALLS`, where `when` holds of their attributes."""

    call: str
    when: Expression | None
    at: Location


@dataclass(frozen=True)
class Framework:
    """A framework: its name, its packages, and the modules that layer names start with.

    Attributes:
        packages: what is defined in them, and not mapped, is an unmapped layer.
        modules: what the names of layers start with: the module to import.
        dt: the time step of an export, in seconds, where a caller gives none.
        options: switches of the import.
        calls: how its layers with state are called; the first way whose condition holds.
        sequences: classes that take an axis of time in front, where all others take one step.
        containers: classes whose forward runs other layers, and the way in which it does (`WAYS`).
        builds_on: the framework whose layers its networks are made of too.
        fallback: the framework whose layers take the nodes that none of this one's computes.
        cell: `package.module.Class` that gives a discrete system a memory in the framework's own
            idiom; None where cycles and missing primitives can't be imported.
        load_state: the class of an imported module's part that the framework's reset finds, where
            it doesn't find layers inside of others.
        read_state: the class of an imported module's part that reads the layers' attributes of
            state, where the framework has a shorter way to them than `getattr`.
        beginning: the function that makes what a layer is given for a variable of its state when it
            starts; None where that is None.
        reset_value: the function that tells what a reset sets a layer's attribute to; None where
            layers don't tell, and start where their mappings say.
        preset: the function that lets a layer's state start elsewhere; None where it can't.
        places: where the keys are.
    """

    name: str
    title: str
    version: str
    packages: tuple[str, ...]
    modules: Mapping[str, str]
    mode: Mode | None
    dt: str
    options: Mapping[str, Option]
    calls: tuple[Called, ...]
    sequences: tuple[str, ...]
    containers: Mapping[str, str]
    cell: str | None
    load_state: str | None
    read_state: str | None
    beginning: str | None
    reset_value: str | None
    preset: str | None
    builds_on: str | None
    fallback: str | None
    places: Mapping[str, Location]
    at: Location


@dataclass(frozen=True)
class Binding:
    """A node's field, and the formula over the layer's parameters that gives it."""

    field: str
    formula: Expression
    at: Location


@dataclass(frozen=True)
class Part:
    """What a mapping, or one case of it, states about the node.

    `starts_elsewhere` is why a state variable does not start where NIR has it, if it doesn't.
    """

    bind: tuple[Binding, ...] = ()
    tensors: Mapping[str, str] = field(default_factory=dict)
    start: Mapping[str, Expression] = field(default_factory=dict)
    starts_elsewhere: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Link:
    """One more node of a layer that NIR says in several."""

    node: str
    bind: tuple[Binding, ...]
    tensors: Mapping[str, str]
    at: Location


@dataclass(frozen=True)
class Links:
    """The nodes around a layer's own: before it, behind it, and on the way from the layer's output
    back to it, which takes a step."""

    before: tuple[Link, ...] = ()
    then: tuple[Link, ...] = ()
    feedback: tuple[Link, ...] = ()

    def __iter__(self) -> Iterator[Link]:
        yield from (*self.before, *self.then, *self.feedback)

    def __add__(self, other: Links) -> Links:
        """Those of a case are behind those that are there already."""
        return Links(
            self.before + other.before, self.then + other.then, self.feedback + other.feedback
        )

    def __bool__(self) -> bool:
        return any(self)


@dataclass(frozen=True)
class Case:
    """One shape of a layer: when it applies, and what it states then.

    `annotate` is metadata without which the node would mean something else; `remember` is
    metadata that an import restores, and that the numbers don't need. A case with `links` becomes
    several nodes, and no import makes it; nor one that gives a reason for `export_only`.
    """

    when: Expression
    node: str | None
    part: Part
    links: Links
    annotate: Mapping[str, Constant]
    remember: Mapping[str, Constant]
    because: str
    export_only: str
    at: Location

    @property
    def metadata(self) -> Mapping[str, Constant]:
        return {**self.annotate, **self.remember}

    @property
    def condition(self) -> Expression | None:
        """When it applies; None where that is always."""
        return None if self.when == Literal(True) else self.when

    @property
    def imported(self) -> bool:
        """Whether an import makes such a layer."""
        return not self.links and not self.export_only


RESET = "reset"
"""The metadata that every reader looks for in a node with a `v_reset`: how it is reset instead."""

ALWAYS = "annotate"
"""The choice of one case that holds what a mapping annotates in every case."""


@dataclass(frozen=True)
class Choice:
    """Alternatives of which exactly one applies; `name` says what is chosen."""

    name: str
    cases: tuple[Case, ...]
    at: Location


@dataclass(frozen=True)
class Fixed:
    """A parameter that only one value of has a meaning in NIR."""

    parameter: str
    value: Constant
    because: str
    instead: str
    at: Location


@dataclass(frozen=True)
class Rejection:
    """A shape of the layer that NIR can't hold."""

    when: Expression
    because: str
    instead: str
    at: Location


@dataclass(frozen=True)
class Normalization:
    """The same layer for any other node of a kind, behind an affine map of its input.

    `gain` and `shift` are formulas over the node's fields, elementwise; `layer` gives the layer's
    parameters in the units that this makes; `start` is where the state is before the first step,
    in those units. All holds where `when` does, for every neuron.
    """

    node: str
    when: Expression
    gain: Expression
    shift: Expression
    layer: Mapping[str, Expression]
    start: Mapping[str, Expression]
    at: Location


@dataclass(frozen=True)
class Example:
    """Numbers for the reviewer: a layer's parameters, and the node's fields they give."""

    layer: Mapping[str, Constant]
    node: Mapping[str, Constant]
    dt: float
    at: Location


@dataclass(frozen=True)
class Variant:
    """A layer's mapping with one case chosen of each choice."""

    node: str
    cases: tuple[Case, ...]
    bind: tuple[Binding, ...]
    tensors: Mapping[str, str]
    start: Mapping[str, Expression]
    links: Links

    @property
    def metadata(self) -> Mapping[str, Constant]:
        return {key: value for case in self.cases for key, value in case.metadata.items()}

    @property
    def imported(self) -> bool:
        """Whether an import makes such a layer: it is one node."""
        return all(case.imported for case in self.cases)


@dataclass(frozen=True)
class LayerMapping:
    """How one layer (or several that compute the same) corresponds to a NIR node.

    A layer may also have no node: it is skipped, where it does nothing that NIR would say, or
    refused, where NIR can't say what it does.

    Attributes:
        file: its path below the mappings' folder, and `stem`, the file's name without ending.
        layers: the classes, `neuron.LIFNode`; an import makes the first.
        node: the NIR node; None where the cases of one choice name it.
        step: what the layer computes in a step, as formulas; `equation`, the same for people, where
            formulas of numbers can't say it; and `source`, where that was read.
        on_request: the option with which an import makes this layer before any other.
        direction: `both`; `export` where no import makes this layer; `skip` where no node is
            needed, `refuse` where none exists; and why (`because`, `instead`).
        in_training: what a layer that is skipped does in training mode.
        attributes: arrays of a live layer that formulas may name, and the attributes they are in.
        links: the nodes around the layer's own, if it becomes several.
        fold: whether the node is merged into the layer before, where that is linear.
        normalize: how an import uses the layer for nodes that it doesn't compute as they are.
        read: constructor parameters that a live layer holds under another form.
        state: the node's state variables, as formulas of the layer's own.
        calls: how the layer is called, if otherwise than the framework's others.
        part: what holds in every case.
        derive: constructor parameters that follow from the node.
        time_step: the constructor parameter that is the time step.
        domain: the values for which the formulas hold, by parameter.
    """

    file: str
    stem: str
    layers: tuple[str, ...]
    node: str | None
    step: Step
    equation: str
    source: str
    direction: str
    because: str
    instead: str
    in_training: str
    on_request: str | None
    read: Mapping[str, Expression]
    attributes: Mapping[str, str]
    state: Mapping[str, Expression]
    calls: tuple[Called, ...]
    part: Part
    links: Links
    fold: bool
    normalize: tuple[Normalization, ...]
    choices: tuple[Choice, ...]
    derive: Mapping[str, Expression]
    time_step: str | None
    fix: Mapping[str, Fixed]
    reject: tuple[Rejection, ...]
    options: tuple[str, ...]
    ignore: Mapping[str, str]
    domain: Mapping[str, Expression]
    examples: tuple[Example, ...]
    places: Mapping[str, Location]
    at: Location

    @property
    def nodes(self) -> tuple[str, ...]:
        """The NIR nodes that the layer can become."""
        if self.node is not None:
            return (self.node,)
        named = [case.node for choice in self.choices for case in choice.cases if case.node]
        return tuple(dict.fromkeys(named))

    @property
    def imported(self) -> tuple[str, ...]:
        """The NIR nodes that an import makes the layer of."""
        if self.direction != "both":
            return ()
        if self.node is not None:
            return (self.node,)
        return tuple(node for node in self.nodes if any(c.imported for c in self._naming(node)))

    def annotated(self, node: str) -> tuple[str, ...]:
        """The keys of the metadata without which such a node of the layer means something else."""
        variants = (variant for variant in self.variants() if variant.node == node)
        cases = (case for variant in variants for case in variant.cases)
        return tuple(dict.fromkeys(key for case in cases for key in case.annotate))

    def _naming(self, node: str) -> list[Case]:
        return [case for choice in self.choices for case in choice.cases if case.node == node]

    @property
    def held(self) -> dict[str, str]:
        """The node's state variables, and the layer's attributes that hold them."""
        return {variable: self._holds(formula) for variable, formula in self.state.items()}

    def _holds(self, formula: Expression) -> str:
        """The layer's variable that a relation speaks of; its text, where that is unclear."""
        own = names(formula) & frozenset(self.step.assigned) if self.step else names(formula)
        return next(iter(own)) if len(own) == 1 else show(formula)

    @property
    def all_links(self) -> tuple[Link, ...]:
        """The nodes around the layer's own, in any case."""
        cases = (link for choice in self.choices for case in choice.cases for link in case.links)
        return (*self.links, *cases)

    def variants(self) -> tuple[Variant, ...]:
        """Every way to choose one case of each choice."""
        return tuple(map(self.variant, product(*(choice.cases for choice in self.choices))))

    def variant(self, cases: tuple[Case, ...]) -> Variant:
        """What holds in some cases, one of each choice."""
        parts = (self.part, *(case.part for case in cases))
        node = next((case.node for case in cases if case.node), self.node)
        return Variant(
            node=node or "",
            cases=cases,
            bind=tuple(binding for part in parts for binding in part.bind),
            tensors={field: name for part in parts for field, name in part.tensors.items()},
            start={name: value for part in parts for name, value in part.start.items()},
            links=sum((case.links for case in cases), self.links),
        )

    def formulas(self) -> tuple[Expression, ...]:
        """Every formula over the layer's parameters: bindings, guards, starts, rejections."""
        parts = (self.part, *(case.part for choice in self.choices for case in choice.cases))
        return (
            *(binding.formula for part in parts for binding in part.bind),
            *(binding.formula for link in self.all_links for binding in link.bind),
            *(start for part in parts for start in part.start.values()),
            *(case.when for choice in self.choices for case in choice.cases),
            *(rejection.when for rejection in self.reject),
        )

    def parameters_read(self) -> frozenset[str]:
        """The parameters that an export reads off a live layer."""
        mentioned = frozenset(name for formula in self.formulas() for name in names(formula))
        known = frozenset(SURROUNDINGS) | frozenset(self.attributes)
        return (mentioned | frozenset(self.fix)) - known


@dataclass(frozen=True)
class FrameworkMappings:
    """A framework with its layers' mappings, and the signatures they must account for.

    Attributes:
        base: the framework that it builds on: its layers are layers of this one too.
    """

    framework: Framework
    signatures: Mapping[str, Mapping[str, Parameter]]
    layers: tuple[LayerMapping, ...]
    base: FrameworkMappings | None = None

    @property
    def fires(self) -> str:
        """How its neurons compare with their threshold: NIR's `>`, or `>=`, as their steps say."""
        neurons = (mapping for mapping in self.layers if mapping.state)
        return ">=" if any(neuron.step.fires_at_threshold for neuron in neurons) else ">"

    @property
    def family(self) -> tuple[FrameworkMappings, ...]:
        """The framework, and what it builds on."""
        return (self, *(self.base.family if self.base is not None else ()))

    def constructor(self, mapping: LayerMapping) -> dict[str, Parameter]:
        """What an import makes a layer of: the parameters of the first class of a mapping."""
        signature = self.signatures.get(mapping.layers[0], {})
        return {name: found for name, found in signature.items() if found.kept is None}

    def signature(self, mapping: LayerMapping) -> dict[str, Parameter]:
        """The parameters of all classes of a mapping, the first class's first, and what live layers
        keep besides."""
        merged: dict[str, Parameter] = {}
        for layer in mapping.layers:
            for name, parameter in self.signatures.get(layer, {}).items():
                merged.setdefault(name, parameter)
        return merged


@dataclass(frozen=True)
class Mappings:
    """Everything in a mappings folder."""

    nodes: Mapping[str, Node]
    frameworks: tuple[FrameworkMappings, ...]

"""Which layer an import makes of a node, told from the mapping alone.

What a generated `from_<node>` does step by step is done here on the model, with the node's numbers:
parameters are solved, domains and demands checked, cases told apart. A test holds the two together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import nir
import numpy as np

from nir_runtime.arrays import distinct
from nir_runtime.contract.primitives import telling
from nir_runtime.errors import LayerUnfit
from nir_runtime.values import agree, compact, resolution, says, uniform
from nirgen.mapping import inverse, tables
from nirgen.mapping.expressions import (
    Call,
    Expression,
    Literal,
    Name,
    NotComputable,
    conjuncts,
    evaluate,
    finite,
    is_call_of,
    names,
    show,
    solve,
    substitute,
    walk,
)
from nirgen.mapping.inverse import (
    CaseInverse,
    ChoiceInverse,
    Inversion,
    MappingInverse,
    Solved,
)
from nirgen.mapping.model import (
    NODE,
    Binding,
    FrameworkMappings,
    LayerMapping,
    Node,
    Normalization,
    Part,
)
from nirgen.mapping.samples import includes_low, interval
from nirgen.mapping.tables import Row, for_people


@dataclass(frozen=True)
class Fit:
    """A layer that computes a node.

    Attributes:
        layer: its class, `neuron.LIFNode`.
        normalized: whether it does so behind a gain and a shift of its input.
        rows: the formulas that applied, and `values`, what they gave, as far as that is known.
        annotations: what of the node's metadata was honoured.
    """

    layer: str
    normalized: bool
    rows: tuple[Row, ...]
    values: Mapping[str, Any]
    annotations: tuple[str, ...] = ()


class Unfit(Exception):
    """The layer doesn't compute the node; another one may."""

    def __init__(self, what: str, field: str = "", advice: str = LayerUnfit.REFERENCE) -> None:
        super().__init__(what)
        self.what = what
        self.field = field
        self.advice = advice


class Outside(Exception):
    """A parameter is outside of its domain at this time step; the import is refused."""

    def __init__(self, what: str, advice: str, field: str) -> None:
        super().__init__(what)
        self.what = what
        self.advice = advice
        self.field = field


def as_it_is(
    mapping: LayerMapping, framework: FrameworkMappings, kind: Node, node: nir.NIRNode, dt: float
) -> Fit:
    """The layer whose parameters solve the mapping's formulas; raises Unfit or Outside."""
    return _Native(mapping, framework, kind, node, dt).fit()


def behind_a_map(
    form: Normalization,
    mapping: LayerMapping,
    framework: FrameworkMappings,
    kind: Node,
    node: nir.NIRNode,
    dt: float,
) -> Fit:
    """The layer in units of its own, behind a map of its input; raises Unfit or Outside."""
    return _Normalized(form, mapping, framework, kind, node, dt).fit()


@dataclass
class _Native:
    """A node on its way into a layer's parameters; `found` is what is known so far."""

    mapping: LayerMapping
    framework: FrameworkMappings
    kind: Node
    node: nir.NIRNode
    dt: float
    found: dict[str, Any] = field(default_factory=dict)
    taken: list[str] = field(default_factory=list)
    annotations: list[str] = field(default_factory=list)
    followed: set[str] = field(default_factory=set)

    def fit(self) -> Fit:
        backwards = inverse.invert(self.mapping, self.kind)
        self.found |= {"dt": self.dt, "batch_axes": 1, **_features(self.node)}
        self._read(_reading_order(backwards, self.kind))
        self._solve(backwards.shared)
        self._demand_domains(backwards.shared.solved)
        self._demand(backwards.shared.demands)
        for choice in backwards.choices:
            self._choose(choice, backwards)
        for variable in backwards.starts:
            if f"{variable}_initial" in self.node.metadata:
                self.followed.add(f"{variable}_initial")
                self.annotations.append(f"{variable} starts where the metadata says")
        self._demand_starts(self.mapping.part, backwards.starts)
        demand_followed(self.node, self.followed)
        self._derive()
        self._demand_axes()
        rows = tables.backward(self.mapping, self.kind)
        applied = tuple(row for row in rows if row.where in ("", *self.taken))
        return Fit(self.mapping.layers[0], False, applied, self.found, tuple(self.annotations))

    # Numbers

    def _read(self, fields: Iterable[str]) -> None:
        for name in fields:
            self.found[NODE + name] = self._field(name)

    def _field(self, name: str) -> Any:
        """A field of the node: one number, where the layer has one for all neurons."""
        value = getattr(self.node, name)
        if self.kind.fields[name].kind != "parameter" or self._is_elementwise(name):
            return value
        return _one(value, name)

    def _is_elementwise(self, name: str) -> bool:
        """Whether the layer has a number for each neuron in the field's place."""
        cases = (case.part for choice in self.mapping.choices for case in choice.cases)
        bound = (b for part in (self.mapping.part, *cases) for b in part.bind if b.field == name)
        signature = self.framework.constructor(self.mapping)
        types = {signature[n].type for b in bound for n in names(b.formula) if n in signature}
        return bool(types & {"Tensor", "Optional[Tensor]"})

    def _solve(self, inversion: Inversion) -> None:
        for solved in inversion.solved:
            value = _computed(solved.formula, self.found)
            counted = self._is_counted(solved)
            self.found[solved.parameter] = round(value) if counted else value
            if counted:  # it was rounded, and may not be what the node says
                self._demand(solved.equations)

    def _is_counted(self, solved: Solved) -> bool:
        """Whether a whole number follows from numbers that aren't whole: steps from seconds."""
        parameter = self.framework.constructor(self.mapping).get(solved.parameter)
        fields = (name.removeprefix(NODE) for name in names(solved.formula) if NODE in name)
        whole = parameter is not None and parameter.type == "int"
        return whole and any(self.kind.fields[name].kind == "parameter" for name in fields)

    def _derive(self) -> None:
        """What follows from the node's fields, as far as it can be computed without tensors."""
        fields = {name: self.found[NODE + name] for name in self.kind.fields}
        for name, formula in self.mapping.derive.items():
            value = _computed(formula, {"dt": self.dt, **fields})
            if value is not None:
                self.found[name] = value

    # Conditions

    def _demand_domains(self, solutions: Sequence[Solved]) -> None:
        solved = {solution.parameter: solution for solution in solutions}
        for name, domain in self.mapping.domain.items():
            if name not in solved or "is not" in show(domain) or evaluate(domain, self.found):
                continue
            if np.ndim(self.found[name]):
                raise Unfit(f"the layer needs {show(domain)} for all neurons")
            binding = solved[name].equations[0]
            low = {name: Literal(interval(domain).low)}
            limit = solve(substitute(binding.formula, low), "dt", Name(NODE + binding.field))
            fitting = _fitting(limit, self.found)
            raise _outside(self.mapping, name, self.found, binding.field, fitting)

    def _demand(self, demands: Iterable[Binding]) -> None:
        for demand in demands:
            if self._meets(demand):
                continue
            if is_call_of(demand.formula, "zeros"):
                raise Unfit(f"{demand.field} is not zero", demand.field)
            held = compact(self.found[NODE + demand.field])
            wanted = compact(_computed(demand.formula, self.found))
            if np.ndim(held) or np.ndim(wanted):
                formula = for_people(demand.formula)
                raise Unfit(f"{demand.field} is not {formula} in all neurons", demand.field)
            raise Unfit(
                f"{demand.field} is {held:g}, and the layer has {demand.field} = "
                f"{_with_number(demand.formula, wanted)}",
                demand.field,
            )

    def _meets(self, demand: Binding) -> bool:
        held = self.found[NODE + demand.field]
        if is_call_of(demand.formula, "zeros"):
            return not np.any(distinct(held))
        return self._agree(held, _computed(demand.formula, self.found))

    def _agree(self, a: Any, b: Any) -> bool:
        return agree(a, b, resolution(self.node))

    def _demand_starts(self, part: Part, given: Iterable[str]) -> None:
        """The state starts where the node has it, or its metadata says."""
        stated: dict[str, Expression] = {name: Name(NODE + name) for name in self.kind.fields}
        stated |= {b.field: b.formula for b in (*self.mapping.part.bind, *part.bind)}
        for variable, formula in part.start.items():
            contract = substitute(self.kind.start[variable], stated)
            if variable in given:
                continue
            self.followed.add(f"{variable}_initial")
            layer, usual = (_computed(f, self.found) for f in (formula, contract))
            told = self.node.metadata.get(f"{variable}_initial")
            wanted = usual if told is None else uniform(told)
            if wanted is None:
                raise Unfit(f"{variable} would start elsewhere in each neuron")
            if not self._agree(layer, wanted):
                raise Unfit(
                    f"{variable} starts at {wanted:g}, and in the layer at {layer:g}",
                    "" if told is None else f"metadata/{variable}_initial",
                )

    def _demand_axes(self) -> None:
        """The layer's tensors have the axes whose sizes it is constructed with, and no others."""
        for name in self.mapping.part.tensors:
            shape, axes = np.shape(self.found[NODE + name]), _axes(self.mapping, name)
            if axes is not None and len(axes) != len(shape):
                own = tuple(shape[axis] for axis in axes)
                raise Unfit(f"{name} has shape {shape}, and the layer's has {own}", name)

    # Cases

    def _choose(self, choice: ChoiceInverse, backwards: MappingInverse) -> None:
        """Take the case that the node is of: those that metadata names first."""
        if len(choice.cases) == 1:
            (case,) = choice.cases
            if not says(self.node, **case.case.annotate):
                told = ", ".join(f"{key}: {value}" for key, value in case.case.annotate.items())
                raise Unfit(f"the node's metadata doesn't say {told}, and the layer does so")
            self._take(case, backwards, demanding=True)
            return
        for case in choice.told:
            alone = choice.is_told_alone(case)
            if says(self.node, **case.case.metadata) and (alone or self._applies(case, backwards)):
                self._take(case, backwards, demanding=alone)
                return
        plain = choice.plain
        for case in plain:
            if len(plain) == 1 or self._applies(case, backwards):
                self._take(case, backwards, demanding=len(plain) == 1)
                return
        raise self._no_case(choice)

    def _applies(self, case: CaseInverse, backwards: MappingInverse) -> bool:
        return all(map(self._meets, case.inversion.demands)) and self._is_guarded(case, backwards)

    def _is_guarded(self, case: CaseInverse, backwards: MappingInverse) -> bool:
        """Whether what is left of a case's guard holds."""
        left = backwards.guard_left(case)
        solved = {s.parameter: s.formula for s in case.inversion.solved}
        given = {**self.found, **case.given}
        return left is None or bool(_computed(substitute(left, solved), given))

    def _take(self, case: CaseInverse, backwards: MappingInverse, demanding: bool) -> None:
        self.followed |= set(case.case.metadata)
        if case.case.annotate:
            self.annotations.append(case.case.because)
        self.taken.append(tables.where(case))
        self.found |= case.given
        self._solve(case.inversion)
        if demanding:
            self._demand(case.inversion.demands)
            if not self._is_guarded(case, backwards):
                left = backwards.guard_left(case) or case.case.when
                raise Unfit(f"the layer computes such a node only where {show(left)}")
        for demand in case.inversion.restated:
            self.found[show(demand.formula)] = self.found[NODE + demand.field]
        self._demand_starts(case.case.part, backwards.starts)

    def _no_case(self, choice: ChoiceInverse) -> Unfit:
        demands = [(case, demand) for case in choice.plain for demand in case.inversion.demands]
        if not demands:
            cases = " or ".join(filter(None, map(tables.where, choice.cases)))
            return Unfit(f"{self.mapping.layers[0]} has {cases}")
        fields = list(dict.fromkeys(demand.field for _, demand in demands))
        held = " and ".join(f"{name} is {self.found[NODE + name]:g}" for name in fields)
        offers = " or ".join(
            f"{d.field} = {_with_number(d.formula, _computed(d.formula, self.found))} "
            f"where {show(case.case.when)}"
            for case, d in demands
        )
        return Unfit(f"{held}; {self.mapping.layers[0]} has {offers}", fields[0])


@dataclass
class _Normalized:
    """A node on its way into a layer in units in which its threshold is 1 and its reset 0."""

    form: Normalization
    mapping: LayerMapping
    framework: FrameworkMappings
    kind: Node
    node: nir.NIRNode
    dt: float

    def fit(self) -> Fit:
        self._demand_plain()
        found = self._layer()
        held = ((name, getattr(self.node, name)) for name in self.kind.fields)
        neurons = {"dt": self.dt, **{name: np.asarray(value, np.float64) for name, value in held}}
        for part in conjuncts(self.form.when):
            if not np.all(evaluate(part, neurons)):
                raise Unfit(f"the layer needs {show(part)} for all neurons")
        for name, formula in self.form.layer.items():
            if name not in found:
                found[name] = evaluate(formula, neurons)
                domain = self.mapping.domain.get(name)
                if domain is not None and not np.all(evaluate(domain, found)):
                    raise Unfit(f"the layer needs {show(domain)} for all neurons")
        found["gain"] = evaluate(self.form.gain, neurons)
        found["shift"] = evaluate(self.form.shift, neurons)
        self._demand_starts(neurons)
        return Fit(self.mapping.layers[0], True, tuple(tables.normalized(self.form)), found)

    def _demand_plain(self) -> None:
        demand_followed(self.node, ())

    def _layer(self) -> dict[str, Any]:
        """The layer's parameters that are one number for all neurons, within their domains."""
        signature = self.framework.constructor(self.mapping)
        alike = {n: f for n, f in self.form.layer.items() if "Tensor" not in signature[n].type}
        named = {name for formula in alike.values() for name in names(formula)}
        fields = [name for name in self.kind.fields if name in named]
        held = {name: _one(getattr(self.node, name), name) for name in fields}
        found: dict[str, Any] = {}
        for name, formula in alike.items():
            found[name] = evaluate(formula, {"dt": self.dt, **held})
            domain = self.mapping.domain.get(name)
            if domain is None or evaluate(domain, found):
                continue
            field, *others = names(formula) - {"dt"}
            if others:
                raise Unfit(f"the layer computes such a node only where {show(domain)}")
            limit = solve(formula, "dt", Literal(interval(domain).low))
            fitting = _fitting(limit, held)
            values = {NODE + field: held[field], "dt": self.dt, name: found[name]}
            raise _outside(self.mapping, name, values, field, fitting)
        return found

    def _demand_starts(self, neurons: Mapping[str, Any]) -> None:
        """A start other than zero is one number for all, and the framework can say it."""
        for variable, formula in self.form.start.items():
            value = evaluate(formula, neurons)
            if self.framework.framework.preset is None and np.any(value):
                raise Unfit(f"the layer needs {show(formula)} == 0 for all neurons")
            if uniform(np.asarray(value)) is None:
                raise Unfit(f"{variable} would start elsewhere in each neuron")


def demand_followed(node: nir.NIRNode, followed: Collection[str]) -> None:
    """Refuse a layer that doesn't follow what the node's metadata says besides the fields."""
    left = [key for key in telling(node) if key not in followed]
    if left:
        what = f"the node's metadata says more: {', '.join(left)}"
        raise Unfit(what, "metadata", LayerUnfit.LESS_METADATA)


def _features(node: nir.NIRNode) -> dict[str, Any]:
    """What formulas say of the features that reach a node."""
    shape = tuple(int(size) for size in node.input_type["input"])
    channels = {"channels": shape[0], "length": shape[-1]} if shape else {}
    return {"shape": shape, "rank": len(shape), "spatial_shape": shape[1:], **channels}


def _reading_order(backwards: inverse.MappingInverse, kind: Node) -> list[str]:
    """The node's fields in the order in which they are read, and the first misfit is told."""
    inversions = [backwards.shared]
    inversions += [case.inversion for choice in backwards.choices for case in choice.cases]
    demanded = {demand.field for inversion in inversions for demand in inversion.demands}
    exact = [show(s.formula).removeprefix(NODE) for s in backwards.shared.solved if s.exact]
    in_place = [name for name in exact if name not in demanded]
    return [*(name for name in kind.fields if name not in in_place), *in_place]


def _axes(mapping: LayerMapping, tensor: str) -> list[int] | None:
    """The axes of a tensor that derived parameters tell of; None if that may be any number."""
    spoken_of = (part for formula in mapping.derive.values() for part in walk(formula))
    axes: list[int] = []
    for part in spoken_of:
        match part:
            case Call("size", (Name(name), axis)) if name == tensor:
                axes.append(evaluate(axis, {}))
            case Call("sizes_from", (Name(name), _)) if name == tensor:
                return None
    return sorted(axes) or None


def _one(array: Any, name: str) -> float:
    value = uniform(array)
    if value is None:
        raise Unfit(f"{name} differs between neurons, and the layer has one {name} for all", name)
    return value


def _computed(formula: Expression, values: Mapping[str, Any]) -> Any:
    """A formula's value; None where only the runtime can compute it."""
    try:
        return evaluate(formula, values)
    except NotComputable:
        return None


def _fitting(limit: Expression | None, values: Mapping[str, Any]) -> float | None:
    """The time step at which a parameter reaches its bound; None where there is none."""
    limit = None if limit is None else finite(limit)
    return None if limit is None else evaluate(limit, values)


def _outside(
    mapping: LayerMapping,
    name: str,
    values: Mapping[str, float],
    field: str,
    fitting: float | None,
) -> Outside:
    """A parameter outside of its domain, and the time step at which it would be inside."""
    domain = mapping.domain[name]
    what = (
        f"{field} = {values[NODE + field]:g} at dt = {values['dt']:g} gives the layer "
        f"{name} = {values[name]:g}, and {mapping.layers[0]} needs {show(domain)}"
    )
    comparison = "at most" if includes_low(domain) else "below"
    advice = "" if fitting is None else f"choose dt {comparison} {fitting:g}"
    return Outside(what, advice, field)


def _with_number(formula: Expression, value: float) -> str:
    """A formula as people read it, with its number where that is not in sight."""
    text = for_people(formula)
    return text if text == f"{value:g}" else f"{text} = {value:g}"

"""The body of `from_<node>`: from a node to a layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from nirgen.emit.code import (
    Block,
    Line,
    Scope,
    Statement,
    call,
    constant,
    quote,
)
from nirgen.emit.exporters import elementwise, for_all, opposite, unknown_first
from nirgen.mapping import inverse
from nirgen.mapping.expressions import (
    Binary,
    Call,
    Expression,
    Literal,
    Name,
    Not,
    conjuncts,
    finite,
    is_call_of,
    names,
    show,
    solve,
    substitute,
)
from nirgen.mapping.inverse import CaseInverse, ChoiceInverse, Inversion, Solved
from nirgen.mapping.model import (
    IMPORT_SURROUNDINGS,
    NODE,
    RESET,
    Binding,
    FrameworkMappings,
    LayerMapping,
    Node,
    Normalization,
    Parameter,
    Part,
    Structure,
)
from nirgen.mapping.samples import includes_low, interval
from nirgen.mapping.tables import for_people, simpler, where


def body(mapping: LayerMapping, framework: FrameworkMappings, node: Node) -> tuple[Statement, ...]:
    """What `from_<node>` does: solve, tell the cases apart, check the domain, make the layer."""
    return tuple(_Importer(mapping, framework, node).statements())


def normalized_body(
    mapping: LayerMapping, form: Normalization, framework: FrameworkMappings, node: Node
) -> tuple[Statement, ...]:
    """What `from_any_<node>` does: check, compute gain and shift, make the layer behind them."""
    return tuple(_Normalizer(mapping, form, framework, node).statements())


class _Normalizer:
    """The layer in units of its own, behind a map of its input."""

    def __init__(
        self,
        mapping: LayerMapping,
        form: Normalization,
        framework: FrameworkMappings,
        node: Node,
    ) -> None:
        self.mapping = mapping
        self.form = form
        self.signature = framework.constructor(mapping)
        self.options = framework.framework.options
        self.elementwise = elementwise(mapping, self.signature)
        self.presets = framework.framework.preset is not None
        self.node = node
        self.scope = Scope({"dt": "at.dt"})
        self.uniform = Scope({"dt": "at.dt", **{f: f"node_{f}" for f in node.fields}})

    def statements(self) -> Iterator[Statement]:
        yield Line("at.demand_plain()")
        yield from self._layer_parameters()
        yield from self._elementwise()
        for part in conjuncts(self.form.when):
            yield call("at.demand_all", self.scope.code(part), quote(show(part)))
        for name, formula in self._each_neuron():
            if formula != Name(name):
                yield Line(f"{name} = {self.scope.number(formula)}")
            if name in self.mapping.domain:
                domain = self.mapping.domain[name]
                yield call("at.demand_all", _each(domain, self.scope), quote(show(domain)))
        yield Line(f"gain = {self.scope.number(self.form.gain)}")
        yield Line(f"shift = {self.scope.number(self.form.shift)}")
        yield Line("")
        structures, arguments = structured(self.signature, dict(self._arguments()))
        yield from structures
        yield call(self.mapping.layers[0], before="made = ", **arguments)
        learned = learned_tensors(self.mapping, self.uniform)
        if learned:
            yield call("at.refine", "made", **learned)
        yield from self._starts()
        mapped = {"gain": "at.map_of_input(gain)", "shift": "at.map_of_input(shift)"}
        volts = {"in_volts": "True"} if self._in_volts() else {}
        yield call("Normalized", "made", before="return ", **mapped, node="node", **volts)

    def _in_volts(self) -> bool:
        """Whether the layer keeps the node's threshold, and with it the unit of its potential."""
        given = self.form.layer.values()
        return "v_threshold" not in self.node.fields or Name("v_threshold") in given

    def _layer_parameters(self) -> Iterator[Statement]:
        """Those that the layer has one of for all neurons, within their domains."""
        alike = {n: f for n, f in self.form.layer.items() if n not in self.elementwise}
        for field in self._fields(*alike.values()):
            yield Line(f"node_{field} = at.uniform({quote(field)})")
        for name, formula in alike.items():
            if not isinstance(formula, Literal):
                yield Line(f"{name} = {self.uniform.code(formula)}")
                if name in self.mapping.domain:
                    yield self._domain(name, self.mapping.domain[name], formula)

    def _domain(self, name: str, domain: Expression, formula: Expression) -> Statement:
        field, *others = self._fields(formula)
        if others:  # no one field is to blame
            return call("at.demand_case", self.scope.code(domain), quote(show(domain)))
        limit = solve(formula, "dt", Literal(interval(domain).low))
        limit = None if limit is None else finite(limit)
        held, fitting = f"node_{field}", None if limit is None else self.uniform.code(limit)
        return _outside(self.mapping.layers[0], name, domain, field, held, fitting, self.scope)

    def _elementwise(self) -> Iterator[Statement]:
        own = (formula for _, formula in self._each_neuron())
        others = (self.form.when, self.form.gain, self.form.shift, *self.form.start.values())
        for field in self._fields(*own, *others):
            yield Line(f"{field} = at.values({quote(field)})")

    def _each_neuron(self) -> list[tuple[str, Expression]]:
        """The layer's parameters that have a number for each neuron."""
        given = self.form.layer.items()
        return [(n, f) for n, f in given if n in self.elementwise and not isinstance(f, Literal)]

    def _fields(self, *formulas: Expression) -> list[str]:
        """The node's fields that some formulas name, in the node's order."""
        named = {name for formula in formulas for name in names(formula)}
        return [field for field in self.node.fields if field in named]

    def _arguments(self) -> Iterator[tuple[str, str]]:
        for name, formula in self.form.layer.items():
            if isinstance(formula, Literal):
                yield name, self.uniform.number(formula)
            else:
                yield name, f"at.map_of_input({name})" if name in self.elementwise else name
        if self.mapping.time_step is not None:
            yield self.mapping.time_step, "at.dt"
        surroundings = {name: f"at.{name}" for name in IMPORT_SURROUNDINGS}
        for name, formula in self.mapping.derive.items():
            if names(formula) <= set(surroundings):
                yield name, self.scope.with_names(surroundings).code(formula)
        for name in self.mapping.options:
            if name in self.options:
                yield name, f"at.options[{quote(name)}]"

    def _starts(self) -> Iterator[Statement]:
        for variable, formula in self.form.start.items():
            own = substitute(self.mapping.part.start.get(variable, Literal(0)), self.form.layer)
            if formula == own:  # the layer starts there itself
                continue
            value = self.scope.code(formula)
            if self.presets:
                attribute = quote(self.mapping.held[variable])
                yield call("preset", "made", attribute, f"at.one({quote(variable)}, {value})")
            else:
                yield call("at.demand_all", f"{value} == 0", quote(f"{show(formula)} == 0"))


def structured(
    signature: Mapping[str, Parameter], arguments: Mapping[str, str]
) -> tuple[list[Statement], dict[str, str]]:
    """What makes a constructor's structures of their fields, and its arguments with them.

    A word that names something in a module is passed as that.
    """
    fields: dict[Structure, dict[str, str]] = {}
    passed: dict[str, str] = {}
    for name, text in arguments.items():
        parameter = signature[name]
        value = text if parameter.of is None else _named(parameter.of, text)
        if parameter.part_of is None:
            passed[name] = value
        else:
            fields.setdefault(parameter.part_of, {})[name] = value
            passed[parameter.part_of.parameter] = parameter.part_of.parameter
    makers: list[Statement] = [
        call(structure.cls, before=f"{structure.parameter} = ", **held)
        for structure, held in fields.items()
    ]
    return makers, passed


def _named(module: str, text: str) -> str:
    """What a word names in a module: `reset.reset_subtract`."""
    return f"{module}.{text[1:-1]}" if text.startswith('"') else f"getattr({module}, {text})"


def learned_tensors(mapping: LayerMapping, scope: Scope) -> dict[str, str]:
    """What `read` says backwards: the live layer's attributes, from the constructor's parameters.

    A constructor rounds such a number to its own precision; an import has one of its own.
    """
    solved: dict[str, str] = {}
    for parameter, formula in mapping.read.items():
        for attribute in names(formula):
            solution = solve(formula, attribute, Name(parameter))
            if solution is not None:
                solved[attribute] = scope.code(solution)
    return solved


def _each(domain: Expression, scope: Scope) -> str:
    """A domain as Python code that holds or not for each neuron."""
    parts = [scope.code(unknown_first(part)) for part in conjuncts(domain)]
    return parts[0] if len(parts) == 1 else " & ".join(f"({part})" for part in parts)


def _outside(
    layer: str,
    name: str,
    domain: Expression,
    field: str,
    held: str,
    fitting: str | None,
    scope: Scope,
) -> Statement:
    """The refusal of a parameter outside of its domain, and the dt at which it would be inside."""
    what = (
        f"{field} = {{{held}:g}} at dt = {{at.dt:g}} gives the layer {name} = {{{name}:g}}, "
        f"and {layer} needs {show(domain)}"
    )
    comparison = "at most" if includes_low(domain) else "below"
    advice = () if fitting is None else (f'f"choose dt {comparison} {{{fitting}:g}}"',)
    refuse = call("at.refuse", f"f{quote(what)}", *advice, field=quote(field), before="raise ")
    return Block(f"if {scope.code(Not(domain))}:", (refuse,))


class _Importer:
    def __init__(self, mapping: LayerMapping, framework: FrameworkMappings, node: Node) -> None:
        self.mapping = mapping
        self.signature = framework.constructor(mapping)
        self.options = framework.framework.options
        self.elementwise = elementwise(mapping, self.signature)
        self.node = node
        self.backwards = inverse.invert(mapping, node)
        self.demands = _demands(self.backwards)
        self.fixed_by_node = {
            name: value
            for choice in self.backwards.choices
            if len(choice.cases) == 1
            for name, value in choice.cases[0].given.items()
        }
        self.scope = Scope({NODE + name: self._spelled(name) for name in node.fields})

    def statements(self) -> Iterator[Statement]:
        yield from self._fields()
        yield from self._solve(self.backwards.shared)
        yield from self._domains()
        yield from self._demand(self.backwards.shared.demands)
        for choice in self.backwards.choices:
            yield from self._choice(choice)
        for variable, parameter in self.backwards.starts.items():
            yield Line(f"{parameter} = at.initial({quote(variable)})")
        yield from self._starts(self.mapping.part)
        yield Line("")
        yield from self._layer()

    # --- the node's fields ---

    def _fields(self) -> Iterator[Statement]:
        """Numbers that more than one statement needs get a name first."""
        for field in self.node.fields.values():
            if field.kind == "parameter" and not self._is_read_in_place(field.name):
                yield Line(f"node_{field.name} = {self._reading(field.name)}")

    def _is_read_in_place(self, field: str) -> bool:
        """Whether the field is a parameter of the layer as it is, and nothing else."""
        exact = {s.formula for s in self.backwards.shared.solved if s.exact}
        return Name(NODE + field) in exact and field not in self.demands

    def _spelled(self, field: str) -> str:
        kind = self.node.fields[field].kind
        if kind != "parameter":
            return f"node.{field}"
        if self._is_read_in_place(field):
            return self._reading(field)
        return f"node_{field}"

    def _reading(self, field: str) -> str:
        """One number of the field where the layer has one for all neurons; else all of them."""
        stated = [b for part in self._parts() for b in part.bind if b.field == field]
        parameters = {name for binding in stated for name in names(binding.formula)}
        types = {self.signature[name].type for name in parameters if name in self.signature}
        reader = "values" if types & {"Tensor", "Optional[Tensor]"} else "uniform"
        return f"at.{reader}({quote(field)})"

    # --- solving ---

    def _solve(self, inversion: Inversion) -> Iterator[Statement]:
        for solved in inversion.solved:
            yield self._solution(solved)
            if self._is_counted(solved):  # it was rounded, and may not be what the node says
                yield from self._demand(solved.equations)

    def _solution(self, solved: Solved) -> Statement:
        name = solved.parameter
        value = self.scope.code(solved.formula)
        kind = self.signature[name].type if name in self.signature else ""
        if self._is_counted(solved):
            return Line(f"{name} = round({value})")
        if kind == "int":
            return Line(f"{name} = {self.scope.code(_as_int(solved.formula))}")
        if solved.exact or not ("float" in kind or name in self.elementwise):
            return Line(f"{name} = {value}")
        equations = [
            f"(lambda {name}: {self.scope.code(binding.formula)}, {self._spelled(binding.field)})"
            for binding in solved.equations
        ]
        return call("invert", value, *equations, before=f"{name} = ")

    def _is_counted(self, solved: Solved) -> bool:
        """Whether a whole number follows from numbers that aren't whole: steps from seconds."""
        parameter = self.signature.get(solved.parameter)
        fields = (name.removeprefix(NODE) for name in names(solved.formula) if NODE in name)
        return (
            parameter is not None
            and parameter.type == "int"
            and any(self.node.fields[field].kind == "parameter" for field in fields)
        )

    def _demand(self, demands: tuple[Binding, ...]) -> Iterator[Statement]:
        for demand in demands:
            yield self._demanded(demand)

    def _demanded(self, demand: Binding) -> Statement:
        if is_call_of(demand.formula, "zeros"):
            return Block(
                f"if not at.all_zero({quote(demand.field)}):",
                (
                    call(
                        "at.unfit",
                        quote(f"{demand.field} is not zero"),
                        quote(demand.field),
                        before="raise ",
                    ),
                ),
            )
        held = self._spelled(demand.field)
        wanted = self.scope.number(demand.formula)
        formula = quote(for_people(demand.formula))
        return call("at.demand", quote(demand.field), held, wanted, formula)

    # --- telling cases apart ---

    def _choice(self, choice: ChoiceInverse) -> Iterator[Statement]:
        if len(choice.cases) == 1:
            (case,) = choice.cases
            if case.case.annotate:
                yield call("at.demand_noted", **_constants(case.case.annotate))
            yield from self._case(case, alone=True)
            return
        yield Line("")
        yield from self._declarations(choice)
        plain = choice.plain
        keyword = "if"
        for case in choice.told:
            body = tuple(self._case(case, alone=choice.is_told_alone(case)))
            yield Block(f"{keyword} {self._noted(case, choice)}:", body or (Line("pass"),))
            keyword = "elif"
        for position, case in enumerate(plain):
            last = position + 1 == len(plain)
            condition = self._condition(case)
            complements = self._complements(plain)
            if last and (len(plain) == 1 or complements):
                body = tuple(self._case(case, alone=not complements))
                yield Block("else:", body or (Line("pass"),))
                return
            body = tuple(self._case(case, alone=False))
            yield Block(f"{keyword} {condition}:", body or (Line("pass"),))
            keyword = "elif"
        yield Block("else:", (self._no_case(choice),))

    def _declarations(self, choice: ChoiceInverse) -> Iterator[Statement]:
        """Types that don't show in what a case assigns: a number or None, one of some words."""
        given = [pair for case in choice.cases for pair in case.given.items()]
        for name in sorted({name for name, value in given if value is None}):
            yield Line(f"{name}: float | None")
        for name in sorted({name for name, value in given if isinstance(value, str)}):
            yield Line(f"{name}: {self.signature[name].type.replace(chr(39), chr(34))}")

    def _noted(self, case: CaseInverse, choice: ChoiceInverse) -> str:
        """What tells a case that has metadata.

        Where that alone tells it, the numbers are demanded of it; a note that no longer fits them
        doesn't bind otherwise. What was noted counts as followed, so it is asked for last where it
        must be followed, and first, which costs less, where not.
        """
        metadata = case.case.metadata
        told = ", ".join(f"{k}={v}" for k, v in _constants(metadata).items())
        noted = [f"at.noted({told})"]
        fitting = [] if choice.is_told_alone(case) else self._conditions(case)
        must_be_followed = {RESET, *self.mapping.annotated(self.node.name)}
        last = any(key in must_be_followed for key in metadata)
        return " and ".join([*fitting, *noted] if last else [*noted, *fitting])

    def _condition(self, case: CaseInverse) -> str:
        return " and ".join(self._conditions(case)) or "True"

    def _conditions(self, case: CaseInverse) -> list[str]:
        """What must be true of the node's numbers."""
        conditions = [self._meets(demand) for demand in case.inversion.demands]
        solved = {s.parameter: s.formula for s in case.inversion.solved}
        guard = self._guard(case, solved)
        return [*conditions, guard] if guard else conditions

    def _guard(self, case: CaseInverse, solved: Mapping[str, Expression]) -> str:
        """What of a case's guard isn't certain, as code; empty if all is."""
        left = self.backwards.guard_left(case)
        if left is None:
            return ""
        fixed = {name: Literal(value) for name, value in self.fixed_by_node.items()}
        known: dict[str, Expression] = {**fixed, **solved}
        guard = for_all(simpler(substitute(left, known)), self.elementwise)
        text = self.scope.code(guard)
        return f"({text})" if isinstance(guard, Binary) and guard.symbol == "or" else text

    def _complements(self, cases: Sequence[CaseInverse]) -> bool:
        """Whether the last of two guards is what the first leaves."""
        guards = [
            simpler(substitute(c.guard, {s.parameter: s.formula for s in c.inversion.solved}))
            for c in cases
            if c.guard is not None and not c.inversion.demands
        ]
        return len(guards) == len(cases) == 2 and guards[1] == opposite(guards[0])

    def _meets(self, demand: Binding) -> str:
        if is_call_of(demand.formula, "zeros"):
            return f"at.all_zero({quote(demand.field)})"
        held = self._spelled(demand.field)
        return f"at.agree({held}, {self.scope.number(demand.formula)})"

    def _case(self, case: CaseInverse, alone: bool) -> Iterator[Statement]:
        """A case's parameters. Alone, its demands are still to be checked."""
        if (case.given or case.inversion.solved) and where(case):
            yield call("at.where", quote(where(case)))  # for the report
        if case.case.annotate:
            yield call("at.honour", quote(case.case.because))
        for name, value in case.given.items():
            if name not in self.fixed_by_node:
                yield Line(f"{name} = {constant(value)}")
        yield from self._solve(case.inversion)
        if alone:
            yield from self._demand(case.inversion.demands)
            guard = self._guard(case, {})
            if guard:
                left = self.backwards.guard_left(case)
                yield call("at.demand_case", guard, quote(show(left or case.case.when)))
        else:
            for demand in case.inversion.restated:
                held = self._spelled(demand.field)
                yield Line(f"{self.scope.code(demand.formula)} = {held}")
        yield from self._starts(case.case.part)

    def _no_case(self, choice: ChoiceInverse) -> Statement:
        """The refusal of a node that is of no case: by its numbers, or else by its metadata."""
        layer = self.mapping.layers[0]
        demands = [(case, demand) for case in choice.plain for demand in case.inversion.demands]
        if not demands:
            cases = " or ".join(filter(None, map(where, choice.cases)))
            return call("at.unfit", quote(f"{layer} has {cases}"), before="raise ")
        fields = list(dict.fromkeys(demand.field for _, demand in demands))
        held = " and ".join(f"{field} is {{{self._spelled(field)}:g}}" for field in fields)
        offers = " or ".join(
            f"{demand.field} = {_offer(demand.formula)} where {show(case.case.when)}"
            for case, demand in demands
        )
        what = f"{held}; {layer} has {offers}"
        return call("at.unfit", f"f{quote(what)}", quote(fields[0]), before="raise ")

    # --- checking ---

    def _domains(self) -> Iterator[Statement]:
        for name, domain in self.mapping.domain.items():
            solved = {s.parameter: s for s in self.backwards.shared.solved}
            if name not in solved or "is not" in show(domain):
                continue
            yield self._domain(name, domain, solved[name])

    def _domain(self, name: str, domain: Expression, solved: Solved) -> Statement:
        if name in self.elementwise:
            return call("at.demand_all", _each(domain, self.scope), quote(show(domain)))
        field = solved.equations[0].field
        held, fitting = self._spelled(field), self._fitting_dt(domain, solved)
        layer = self.mapping.layers[0]
        return _outside(layer, name, domain, field, held, fitting, self.scope)

    def _fitting_dt(self, domain: Expression, solved: Solved) -> str | None:
        """The dt at which the parameter reaches the bound that a large dt breaks."""
        bound = {solved.parameter: Literal(interval(domain).low)}
        binding = solved.equations[0]
        limit = solve(substitute(binding.formula, bound), "dt", Name(NODE + binding.field))
        limit = None if limit is None else finite(limit)
        return None if limit is None else self.scope.code(limit)

    def _starts(self, part: Part) -> Iterator[Statement]:
        """Where the layer's state starts; the node's metadata may say that it starts elsewhere."""
        for variable, layer in part.start.items():
            if variable in self.backwards.starts:
                continue
            stated: dict[str, Expression] = {f: Name(NODE + f) for f in self.node.fields}
            stated |= {b.field: b.formula for b in (*self.mapping.part.bind, *part.bind)}
            node = substitute(self.node.start[variable], stated)
            where = {"layer": self.scope.number(layer)}
            if node != layer:
                where["node"] = self.scope.number(node)
            yield call("at.start", quote(variable), **where)

    # --- making the layer ---

    def _layer(self) -> Iterator[Statement]:
        make = f"{self.mapping.layers[0]}"
        structures, arguments = structured(self.signature, dict(self._arguments()))
        yield from structures
        learned = self._learned()
        if not self._has_tensors() and not learned:
            yield call(make, before="return ", **arguments)
            return
        if learned:
            yield call(make, before="module = ", **arguments)
            yield call("at.refine", "module", **learned)
            yield Line("return module")
            return
        yield Block(
            "with at.without_initialization():", (call(make, before="module = ", **arguments),)
        )
        yield from self._loads()
        yield Line("return module")

    def _arguments(self) -> Iterator[tuple[str, str]]:
        found = {solved.parameter for solved in self.backwards.shared.solved}
        found |= set(self.backwards.starts.values())
        for choice in self.backwards.choices:
            for case in choice.cases:
                found |= {*case.given, *(s.parameter for s in case.inversion.solved)}
        for name, parameter in self.signature.items():
            if name in self.fixed_by_node:
                if self.fixed_by_node[name] != parameter.default:
                    yield name, constant(self.fixed_by_node[name])
            elif name in found:
                yield name, self._passed(name)
            elif name == self.mapping.time_step:
                yield name, "at.dt"
            elif name in self.mapping.options and name in self.options:
                yield name, f"at.options[{quote(name)}]"
            elif name in self.mapping.derive:
                yield name, self._derived(self.mapping.derive[name])
            elif name in self.mapping.fix and self.mapping.fix[name].value != parameter.default:
                yield name, constant(self.mapping.fix[name].value)

    def _passed(self, name: str) -> str:
        """A parameter as the constructor takes it: one with a device makes tensors itself."""
        makes = name in self.elementwise and "device" not in self.mapping.derive
        return f"at.map_of_input({name})" if makes else name

    def _learned(self) -> dict[str, str]:
        """Tensors of the live layer in which it holds a parameter of the constructor."""
        return learned_tensors(self.mapping, self.scope)

    def _derived(self, formula: Expression) -> str:
        """Over the node's fields; a field that is a parameter already is not read again."""
        known = {s.formula: Name(s.parameter) for s in self.backwards.shared.solved if s.exact}
        fields = {name: Name(NODE + name) for name in names(formula) if name in self.node.fields}
        spelled = {field: known.get(name, name) for field, name in fields.items()}
        surroundings = {name: f"at.{name}" for name in IMPORT_SURROUNDINGS}
        return self.scope.with_names(surroundings).code(substitute(formula, spelled))

    def _has_tensors(self) -> bool:
        return any(part.tensors for part in self._parts())

    def _parts(self) -> Iterator[Part]:
        yield self.mapping.part
        for choice in self.backwards.choices:
            for case in choice.cases:
                yield case.case.part

    def _loads(self) -> Iterator[Statement]:
        always = dict(self.mapping.part.tensors)
        sometimes: list[tuple[Expression, Mapping[str, str]]] = []
        for choice in self.backwards.choices:
            for case in choice.cases:
                if len(choice.cases) == 1:
                    always |= case.case.part.tensors
                elif case.case.part.tensors:
                    sometimes.append((case.case.when, case.case.part.tensors))
        yield self._load(always)
        for guard, tensors in sometimes:
            yield Block(f"if {self.scope.code(guard)}:", (self._load(tensors),))

    def _load(self, tensors: Mapping[str, str]) -> Statement:
        arrays = {attribute: f"node.{field}" for field, attribute in tensors.items()}
        return call("at.load", "module", **arrays)


def _constants(metadata: Mapping[str, object]) -> dict[str, str]:
    """Metadata as the arguments of a call."""
    return {key: constant(value) for key, value in metadata.items()}


def _demands(backwards: inverse.MappingInverse) -> frozenset[str]:
    """The fields that something is demanded of."""
    inversions = [backwards.shared]
    inversions += [case.inversion for choice in backwards.choices for case in choice.cases]
    return frozenset(demand.field for inversion in inversions for demand in inversion.demands)


def _as_int(formula: Expression) -> Expression:
    """Files hold integers as NumPy's; layers want Python's."""
    fields = {name: Call("int", (Name(name),)) for name in names(formula) if NODE in name}
    return substitute(formula, fields)


def _offer(formula: Expression) -> str:
    """What a case would have had, with its number where that is not in sight."""
    text = for_people(formula)
    return text if isinstance(formula, Literal) else f"{text} = {{{text}:g}}"

"""The body of `from_<node>`: from a node to a layer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nirgen.emit.code import (
    Block,
    Line,
    Scope,
    Statement,
    call,
    constant,
    for_people,
    quote,
)
from nirgen.emit.exporters import opposite
from nirgen.mapping import inverse
from nirgen.mapping.expressions import (
    Binary,
    Call,
    Expression,
    Literal,
    Name,
    Not,
    fold,
    names,
    show,
    solve,
    substitute,
    walk,
)
from nirgen.mapping.inverse import CaseInverse, ChoiceInverse, Inversion, Solved
from nirgen.mapping.model import NODE, Binding, FrameworkMappings, LayerMapping, Node, Part
from nirgen.mapping.samples import interval


def body(mapping: LayerMapping, framework: FrameworkMappings, node: Node) -> tuple[Statement, ...]:
    """What `from_<node>` does: solve, tell the cases apart, check the domain, make the layer."""
    return tuple(_Importer(mapping, framework, node).statements())


class _Importer:
    def __init__(self, mapping: LayerMapping, framework: FrameworkMappings, node: Node) -> None:
        self.mapping = mapping
        self.signature = framework.signatures[mapping.layers[0]]
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
        yield from self._starts(self.mapping.part)
        yield Line("")
        yield from self._layer()

    # --- the node's fields ---

    def _fields(self) -> Iterator[Statement]:
        """Numbers that more than one statement needs get a name first."""
        for field in self.node.fields.values():
            if field.kind == "parameter" and not self._is_read_in_place(field.name):
                yield Line(f"node_{field.name} = at.uniform({quote(field.name)})")

    def _is_read_in_place(self, field: str) -> bool:
        """Whether the field is a parameter of the layer as it is, and nothing else."""
        exact = {s.formula for s in self.backwards.shared.solved if s.exact}
        return Name(NODE + field) in exact and field not in self.demands

    def _spelled(self, field: str) -> str:
        kind = self.node.fields[field].kind
        if kind != "parameter":
            return f"node.{field}"
        if self._is_read_in_place(field):
            return f"at.uniform({quote(field)})"
        return f"node_{field}"

    # --- solving ---

    def _solve(self, inversion: Inversion) -> Iterator[Statement]:
        for solved in inversion.solved:
            yield self._solution(solved)

    def _solution(self, solved: Solved) -> Statement:
        name = solved.parameter
        value = self.scope.code(solved.formula)
        kind = self.signature[name].type if name in self.signature else ""
        if kind == "int":
            return Line(f"{name} = {self.scope.code(_as_int(solved.formula))}")
        if solved.exact or "float" not in kind:
            return Line(f"{name} = {value}")
        equations = [
            f"(lambda {name}: {self.scope.code(binding.formula)}, {self._spelled(binding.field)})"
            for binding in solved.equations
        ]
        return call("invert", value, *equations, before=f"{name} = ")

    def _demand(self, demands: tuple[Binding, ...]) -> Iterator[Statement]:
        for demand in demands:
            yield self._demanded(demand)

    def _demanded(self, demand: Binding) -> Statement:
        if _is_zeros(demand.formula):
            return Block(
                f"if not at.all_zero({quote(demand.field)}):",
                (call("at.refuse", quote(f"{demand.field} is not zero"), before="raise "),),
            )
        held = self._spelled(demand.field)
        wanted = self.scope.number(demand.formula)
        formula = quote(for_people(demand.formula))
        return call("at.demand", quote(demand.field), held, wanted, formula)

    # --- telling cases apart ---

    def _choice(self, choice: ChoiceInverse) -> Iterator[Statement]:
        if len(choice.cases) == 1:
            yield from self._case(choice.cases[0], alone=True)
            return
        yield Line("")
        yield from self._declarations(choice)
        noted = [case for case in choice.cases if case.case.metadata]
        plain = [case for case in choice.cases if not case.case.metadata]
        keyword = "if"
        for case in noted:
            yield Block(f"{keyword} {self._noted(case)}:", tuple(self._case(case, alone=False)))
            keyword = "elif"
        for position, case in enumerate(plain):
            last = position + 1 == len(plain)
            condition = self._condition(case)
            if last and (len(plain) == 1 or self._complements(plain)):
                body = tuple(self._case(case, alone=True))
                yield Block("else:", body or (Line("pass"),))
                return
            body = tuple(self._case(case, alone=False))
            yield Block(f"{keyword} {condition}:", body or (Line("pass"),))
            keyword = "elif"
        yield Block("else:", (self._no_case(plain),))

    def _declarations(self, choice: ChoiceInverse) -> Iterator[Statement]:
        """Types of variables that are a number in one case and None in another."""
        given = {name for case in choice.cases for name, v in case.given.items() if v is None}
        for name in sorted(given):
            yield Line(f"{name}: float | None")

    def _noted(self, case: CaseInverse) -> str:
        metadata = ", ".join(f"{k}={constant(v)}" for k, v in case.case.metadata.items())
        conditions = [f"at.noted({metadata})"]
        if not case.case.annotate:  # a note that no longer fits the numbers doesn't bind
            conditions += [self._meets(demand) for demand in case.inversion.demands]
        return " and ".join(conditions)

    def _condition(self, case: CaseInverse) -> str:
        conditions = [self._meets(demand) for demand in case.inversion.demands]
        if case.guard is not None:
            solved = {s.parameter: s.formula for s in case.inversion.solved}
            conditions.append(self.scope.code(simpler(substitute(case.guard, solved))))
        return " and ".join(conditions) or "True"

    def _complements(self, cases: list[CaseInverse]) -> bool:
        """Whether the last of two guards is what the first leaves."""
        guards = [
            simpler(substitute(c.guard, {s.parameter: s.formula for s in c.inversion.solved}))
            for c in cases
            if c.guard is not None and not c.inversion.demands
        ]
        return len(guards) == len(cases) == 2 and guards[1] == opposite(guards[0])

    def _meets(self, demand: Binding) -> str:
        if _is_zeros(demand.formula):
            return f"at.all_zero({quote(demand.field)})"
        held = self._spelled(demand.field)
        return f"at.agree({held}, {self.scope.number(demand.formula)})"

    def _case(self, case: CaseInverse, alone: bool) -> Iterator[Statement]:
        """A case's parameters. Alone, its demands are still to be checked."""
        if case.case.annotate:
            yield call("at.honour", quote(case.case.because))
        for name, value in case.given.items():
            if name not in self.fixed_by_node:
                yield Line(f"{name} = {constant(value)}")
        yield from self._solve(case.inversion)
        if alone or case.case.annotate:
            yield from self._demand(case.inversion.demands)
        else:
            for demand in case.inversion.restated:
                held = self._spelled(demand.field)
                yield Line(f"{self.scope.code(demand.formula)} = {held}")
        yield from self._starts(case.case.part)

    def _no_case(self, cases: list[CaseInverse]) -> Statement:
        demands = [(case, demand) for case in cases for demand in case.inversion.demands]
        fields = list(dict.fromkeys(demand.field for _, demand in demands))
        held = " and ".join(f"{field} is {{{self._spelled(field)}:g}}" for field in fields)
        offers = " or ".join(
            f"{demand.field} = {_offer(demand.formula)} where {show(case.case.when)}"
            for case, demand in demands
        )
        what = f"{held}; {self.mapping.layers[0]} has {offers}"
        return call("at.refuse", f"f{quote(what)}", field=quote(fields[0]), before="raise ")

    # --- checking ---

    def _domains(self) -> Iterator[Statement]:
        for name, domain in self.mapping.domain.items():
            solved = {s.parameter: s for s in self.backwards.shared.solved}
            if name not in solved or "is not" in show(domain):
                continue
            yield self._domain(name, domain, solved[name])

    def _domain(self, name: str, domain: Expression, solved: Solved) -> Statement:
        field = solved.equations[0].field
        what = (
            f"{field} = {{{self._spelled(field)}:g}} at dt = {{at.dt:g}} gives the layer {name} = "
            f"{{{name}:g}}, and {self.mapping.layers[0]} needs {show(domain)}"
        )
        advice = self._fitting_dt(domain, solved)
        refuse = call("at.refuse", f"f{quote(what)}", *advice, field=quote(field), before="raise ")
        return Block(f"if {self.scope.code(Not(domain))}:", (refuse,))

    def _fitting_dt(self, domain: Expression, solved: Solved) -> tuple[str, ...]:
        """The dt at which the parameter reaches the bound that a large dt breaks."""
        bound = {solved.parameter: Literal(interval(domain).low)}
        binding = solved.equations[0]
        limit = solve(substitute(binding.formula, bound), "dt", Name(NODE + binding.field))
        if limit is None:
            return ()
        comparison = "at most" if _includes_low(domain) else "below"
        return (f'f"choose dt {comparison} {{{self.scope.code(fold(limit))}:g}}"',)

    def _starts(self, part: Part) -> Iterator[Statement]:
        for variable, layer in part.start.items():
            stated = {b.field: b.formula for b in (*self.mapping.part.bind, *part.bind)}
            node = substitute(self.node.start[variable], stated)
            if node != layer:
                where = {"layer": self.scope.number(layer), "node": self.scope.number(node)}
                yield call("at.start", quote(variable), **where)

    # --- making the layer ---

    def _layer(self) -> Iterator[Statement]:
        make = f"{self.mapping.layers[0]}"
        arguments = dict(self._arguments())
        if not self._has_tensors():
            yield call(make, before="return ", **arguments)
            return
        yield Block(
            "with at.without_initialization():", (call(make, before="module = ", **arguments),)
        )
        yield from self._loads()
        yield Line("return module")

    def _arguments(self) -> Iterator[tuple[str, str]]:
        found = {solved.parameter for solved in self.backwards.shared.solved}
        for choice in self.backwards.choices:
            for case in choice.cases:
                found |= {*case.given, *(s.parameter for s in case.inversion.solved)}
        for name, parameter in self.signature.items():
            if name in self.fixed_by_node:
                yield name, constant(self.fixed_by_node[name])
            elif name in found:
                yield name, name
            elif name in self.mapping.derive:
                yield name, self._derived(self.mapping.derive[name])
            elif name in self.mapping.fix and self.mapping.fix[name].value != parameter.default:
                yield name, constant(self.mapping.fix[name].value)

    def _derived(self, formula: Expression) -> str:
        """Over the node's fields; a field that is a parameter already is not read again."""
        known = {s.formula: Name(s.parameter) for s in self.backwards.shared.solved if s.exact}
        fields = {field: Name(NODE + field) for field in names(formula)}
        spelled = {field: known.get(name, name) for field, name in fields.items()}
        return self.scope.code(substitute(formula, spelled))

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


def _demands(backwards: inverse.MappingInverse) -> frozenset[str]:
    """The fields that something is demanded of."""
    inversions = [backwards.shared]
    inversions += [case.inversion for choice in backwards.choices for case in choice.cases]
    return frozenset(demand.field for inversion in inversions for demand in inversion.demands)


def _as_int(formula: Expression) -> Expression:
    """Files hold integers as NumPy's; layers want Python's."""
    fields = {name: Call("int", (Name(name),)) for name in names(formula) if NODE in name}
    return substitute(formula, fields)


def _is_zeros(formula: Expression) -> bool:
    return isinstance(formula, Call) and formula.function == "zeros"


def _offer(formula: Expression) -> str:
    """What a case would have had, with its number where that is not in sight."""
    text = for_people(formula)
    return text if isinstance(formula, Literal) else f"{text} = {{{text}:g}}"


def simpler(guard: Expression) -> Expression:
    """`a + b >= b` as `a >= 0`."""
    match guard:
        case Binary(symbol, Binary("+", left, right), bound) if right == bound:
            return Binary(symbol, left, Literal(0))
    return guard


def _includes_low(domain: Expression) -> bool:
    """Whether the domain's lower bound belongs to it."""
    bounds = (part for part in walk(domain) if isinstance(part, Binary))
    return any(
        (bound.symbol == ">=" and isinstance(bound.left, Name))
        or (bound.symbol == "<=" and isinstance(bound.right, Name))
        for bound in bounds
    )

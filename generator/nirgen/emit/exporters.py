"""The body of `to_nir`: from a live layer to a node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nirgen.emit.code import Block, Line, Scope, Statement, call, constant, quote
from nirgen.mapping.expressions import (
    Binary,
    Call,
    Expression,
    Literal,
    Name,
    Not,
    names,
    show,
    substitute,
)
from nirgen.mapping.model import (
    Binding,
    Case,
    Choice,
    FrameworkMappings,
    LayerMapping,
    Mappings,
    Node,
    Parameter,
    Part,
)

_OPPOSITE = {"<": ">=", "<=": ">", ">": "<=", ">=": "<", "is": "is not", "is not": "is"}


def body(
    mapping: LayerMapping, framework: FrameworkMappings, mappings: Mappings
) -> tuple[Statement, ...]:
    """What `to_nir` does: read the layer, refuse what NIR can't hold, choose, make the node."""
    return tuple(_Exporter(mapping, framework, mappings).statements())


def opposite(guard: Expression) -> Expression:
    """`not guard`, without a `not` where the comparison itself can be turned."""
    match guard:
        case Not(operand):
            return operand
        case Binary(symbol, left, right) if symbol in _OPPOSITE:
            return Binary(_OPPOSITE[symbol], left, right)
    return Not(guard)


class _Exporter:
    def __init__(
        self, mapping: LayerMapping, framework: FrameworkMappings, mappings: Mappings
    ) -> None:
        self.mapping = mapping
        self.signature = framework.signature(mapping)
        self.nodes = mappings.nodes
        self.scope = Scope({})

    def statements(self) -> Iterator[Statement]:
        yield from self._reads()
        yield from self._domains()
        yield from self._refusals()
        for choice in self.mapping.choices:
            yield Line("")
            yield from self._choice(choice)
        yield from self._starts(self.mapping.part)
        if self.mapping.node is not None:
            yield Line("")
            yield self._node(self.nodes[self.mapping.node], ())

    # --- reading ---

    def _reads(self) -> Iterator[Statement]:
        wanted = self.mapping.parameters_read()
        for name, parameter in self.signature.items():
            if name in wanted:
                yield Line(f"{name} = {self._read(name, parameter)}")

    def _read(self, name: str, parameter: Parameter) -> str:
        held = f"module.{name}"
        if name in self.mapping.read:
            formula = self.mapping.read[name]
            held = show(formula, {n: f"module.{n}" for n in names(formula)}, constant)
        if parameter.type == "float":
            return f"at.number({quote(name)}, {held})"
        if parameter.type == "Optional[float]":
            return f"at.optional_number({quote(name)}, {held})"
        if parameter.type == "bool" and name not in self.mapping.read:
            return f"bool({held})"
        return held

    def _domains(self) -> Iterator[Statement]:
        for name, domain in self.mapping.domain.items():
            if isinstance(domain, Binary) and domain.symbol == "is not":
                continue  # the live layer has replaced None already
            what = f'f"{name} is {{{name}:g}}, and the layer needs {show(domain)}"'
            refuse = call("at.refuse", what, before="raise ")
            yield Block(f"if {self.scope.code(Not(domain))}:", (refuse,))

    def _refusals(self) -> Iterator[Statement]:
        for fixed in self.mapping.fix.values():
            symbol = "is not" if fixed.value is None or isinstance(fixed.value, bool) else "!="
            guard = Binary(symbol, Name(fixed.parameter), Literal(fixed.value))
            what = f"{fixed.parameter} is {{{fixed.parameter}!r}}: {fixed.because}"
            yield self._refusal(guard, f"f{quote(what)}", fixed.instead)
        for rejection in self.mapping.reject:
            yield self._refusal(rejection.when, quote(rejection.because), rejection.instead)

    def _refusal(self, guard: Expression, what: str, instead: str) -> Statement:
        refuse = call("at.refuse", what, quote(instead), before="raise ")
        return Block(f"if {self.scope.code(guard)}:", (refuse,))

    # --- choosing ---

    def _choice(self, choice: Choice) -> Iterator[Statement]:
        for number, case in enumerate(choice.cases):
            header = "else:"
            if number == 0:
                header = f"if {self.scope.code(case.when)}:"
            elif number + 1 < len(choice.cases):
                header = f"elif {self.scope.code(case.when)}:"
            yield Block(header, tuple(self._case(case)) or (Line("pass"),))

    def _case(self, case: Case) -> Iterator[Statement]:
        if case.node is not None:
            yield from self._starts(case.part)
            yield self._node(self.nodes[case.node], (case.part,))
            return
        for binding in case.part.bind:
            yield Line(f"{self._local(binding.field)} = {self.scope.number(binding.formula)}")
        for field, attribute in case.part.tensors.items():
            yield Line(f"{self._local(field)} = at.tensor(module.{attribute})")
        yield from self._starts(case.part)
        if case.annotate:
            yield call("at.annotate", quote(case.because), **_literals(case.annotate))
        if case.remember:
            yield call("at.remember", **_literals(case.remember))

    def _starts(self, part: Part) -> Iterator[Statement]:
        """Where the state starts, unless that is provably where NIR has it."""
        for variable, layer in part.start.items():
            node = self._contract_start(variable, part)
            if node != layer:
                where = {"layer": self.scope.number(layer), "node": self.scope.number(node)}
                yield call("at.start", quote(variable), **where)

    def _contract_start(self, variable: str, part: Part) -> Expression:
        node = self.nodes[self.mapping.nodes[0]]
        stated = {b.field: b.formula for b in (*self.mapping.part.bind, *part.bind)}
        return substitute(node.start[variable], stated)

    # --- making the node ---

    def _node(self, node: Node, parts: tuple[Part, ...]) -> Statement:
        stated = (self.mapping.part, *parts)
        bindings = {binding.field: binding for part in stated for binding in part.bind}
        tensors = {field: name for part in stated for field, name in part.tensors.items()}
        arguments: dict[str, str] = {}
        for field in node.fields:
            arguments[field] = self._argument(node, field, bindings, tensors)
        return call(f"nir.{node.name}", before="return ", **arguments, metadata="at.metadata")

    def _argument(
        self, node: Node, field: str, bindings: Mapping[str, Binding], tensors: Mapping[str, str]
    ) -> str:
        if field in tensors:
            return f"at.tensor(module.{tensors[field]})"
        if field not in bindings:
            value = self._local(field)
        elif _is_array(bindings[field].formula):
            return self.scope.code(bindings[field].formula)
        else:
            value = self.scope.number(bindings[field].formula)
            if node.fields[field].kind != "parameter":
                value = self.scope.code(bindings[field].formula)
        return f"at.fill({value})" if node.fields[field].kind == "parameter" else value

    def _local(self, field: str) -> str:
        """The variable that holds a field which a case states."""
        return f"node_{field}" if field in self.mapping.parameters_read() else field


def _is_array(formula: Expression) -> bool:
    return isinstance(formula, Call) and formula.function == "zeros"


def _literals(values: Mapping[str, object]) -> dict[str, str]:
    return {name: constant(value) for name, value in values.items()}

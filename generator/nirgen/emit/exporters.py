"""The body of `to_nir`: from a live layer to a node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from nirgen.emit.code import Block, Line, Scope, Statement, call, constant, is_name, quote
from nirgen.mapping.expressions import (
    Binary,
    Expression,
    Literal,
    Name,
    Not,
    names,
    show,
    substitute,
    walk,
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

_OPPOSITE = {
    "==": "!=",
    "!=": "==",
    "<": ">=",
    "<=": ">",
    ">": "<=",
    ">=": "<",
    "is": "is not",
    "is not": "is",
}


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
        yield from self._time_step()
        yield from self._parameters()
        yield from self._fixed()
        yield from self._attributes()
        yield from self._domains()
        yield from self._rejected()
        for choice in self.mapping.choices:
            yield Line("")
            yield from self._choice(choice)
        yield from self._starts(self.mapping.part)
        if self.mapping.fold and self.mapping.node is not None:
            yield Line("at.foldable()")
        if self.mapping.then:
            yield from self._chain()
        elif self.mapping.node is not None:
            yield Line("")
            yield self._node(self.nodes[self.mapping.node], (), "return ")

    # --- reading ---

    def _time_step(self) -> Iterator[Statement]:
        name = self.mapping.time_step
        if name is not None:
            yield call("at.demand_time_step", quote(name), f"module.{self.signature[name].held}")

    def _parameters(self) -> Iterator[Statement]:
        wanted = self.mapping.parameters_read()
        for name, parameter in self.signature.items():
            if name in wanted:
                yield Line(f"{name} = {self._read(name, parameter)}")

    def _attributes(self) -> Iterator[Statement]:
        """The tensors, which a layer may lack unless its parameters are as they must be."""
        for name, attribute in self.mapping.attributes.items():
            yield Line(f"{name} = at.array({quote(attribute)}, module.{attribute})")

    def _read(self, name: str, parameter: Parameter) -> str:
        held = f"module.{parameter.held}"
        if parameter.of is not None:
            return f"at.named({quote(name)}, {held}, {parameter.of})"
        if name in self.mapping.read:
            formula = self.mapping.read[name]
            held = show(formula, {n: f"module.{n}" for n in names(formula)}, constant)
        reader = self._reader(name, parameter.type)
        if reader is not None:
            return f"at.{reader}({quote(name)}, {held})"
        if parameter.type == "bool" and name not in self.mapping.read:
            return f"bool({held})"
        return held

    def _reader(self, name: str, type_: str) -> str | None:
        """The site's method that checks a parameter of such a type."""
        if type_ == "Tensor" and name in self._arrays():
            return None
        if type_ == "float" and self._is_rejected_if_none(name):
            return "optional_number"
        return {
            "float": "number",
            "Optional[float]": "optional_number",
            "Tensor": "values",
            "Optional[Tensor]": "optional_values",
        }.get(type_)

    def _is_rejected_if_none(self, name: str) -> bool:
        """Whether the mapping has a reason of its own against None, whatever the signature says."""
        is_none = Binary("is", Name(name), Literal(None))
        return any(is_none in walk(rejection.when) for rejection in self.mapping.reject)

    def _arrays(self) -> frozenset[str]:
        """The parameters that are tensors of a shape of their own, such as a weight."""
        node = self.nodes[self.mapping.nodes[0]]
        return frozenset(
            binding.formula.name
            for binding in self.mapping.part.bind
            if isinstance(binding.formula, Name)
            and binding.field in node.fields
            and node.fields[binding.field].kind == "tensor"
        )

    def _domains(self) -> Iterator[Statement]:
        for name, domain in self.mapping.domain.items():
            if isinstance(domain, Binary) and domain.symbol == "is not":
                continue  # the live layer has replaced None already
            what = f'f"{name} is {{{name}:g}}, and the layer needs {show(domain)}"'
            refuse = call("at.refuse", what, before="raise ")
            yield Block(f"if {self.scope.code(Not(domain))}:", (refuse,))

    def _fixed(self) -> Iterator[Statement]:
        for fixed in self.mapping.fix.values():
            symbol = "is not" if fixed.value is None or isinstance(fixed.value, bool) else "!="
            guard = Binary(symbol, Name(fixed.parameter), Literal(fixed.value))
            what = f"{fixed.parameter} is {{{fixed.parameter}!r}}: {fixed.because}"
            yield self._refusal(guard, f"f{quote(what)}", fixed.instead)

    def _rejected(self) -> Iterator[Statement]:
        for rejection in self.mapping.reject:
            yield self._refusal(rejection.when, quote(rejection.because), rejection.instead)

    def _refusal(self, guard: Expression, what: str, instead: str) -> Statement:
        refuse = call("at.refuse", what, quote(instead), before="raise ")
        return Block(f"if {self.scope.code(guard)}:", (refuse,))

    # --- choosing ---

    def _choice(self, choice: Choice) -> Iterator[Statement]:
        bodies = [tuple(self._case(case)) for case in choice.cases]
        if len(bodies) == 1:  # one always applies
            yield from bodies[0]
            return
        if len(bodies) == 2 and not bodies[0]:
            guard = opposite(choice.cases[0].when)
            yield Block(f"if {self.scope.code(guard)}:", bodies[1] or (Line("pass"),))
            return
        for number, case in enumerate(choice.cases):
            header = "else:"
            if number == 0:
                header = f"if {self.scope.code(case.when)}:"
            elif number + 1 < len(choice.cases):
                header = f"elif {self.scope.code(case.when)}:"
            yield Block(header, bodies[number] or (Line("pass"),))

    def _case(self, case: Case) -> Iterator[Statement]:
        if case.part.bind:  # for the report, which shows the formulas that applied
            yield call("at.where", quote(show(case.when)))
        if case.node is not None:
            yield from self._starts(case.part)
            if self.mapping.fold:
                yield Line("at.foldable()")
            yield self._node(self.nodes[case.node], (case.part,), "return ")
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
        """Where NIR has it: a formula of the layer's parameters, or of what a case has stated."""
        node = self.nodes[self.mapping.nodes[0]]
        stated: dict[str, Expression] = {field: Name(self._local(field)) for field in node.fields}
        stated |= {b.field: b.formula for b in (*self.mapping.part.bind, *part.bind)}
        return substitute(node.start[variable], stated)

    # --- making the node ---

    def _chain(self) -> Iterator[Statement]:
        """A node for each link, and the chain of them."""
        yield Line("")
        first = self.nodes[self.mapping.nodes[0]]
        yield self._node(first, (), "first = ")
        names = ["first"]
        for number, link in enumerate(self.mapping.then, start=2):
            names.append(f"node_{number}")
            part = Part(bind=link.bind)
            yield self._node(self.nodes[link.node], (part,), f"{names[-1]} = ", only=part)
        yield Line(f"return {', '.join(names)}")

    def _node(
        self, node: Node, parts: tuple[Part, ...], before: str, only: Part | None = None
    ) -> Statement:
        stated = (self.mapping.part, *parts) if only is None else (only,)
        bindings = {binding.field: binding for part in stated for binding in part.bind}
        tensors = {field: name for part in stated for field, name in part.tensors.items()}
        arguments: dict[str, str] = {}
        for field in node.fields:
            arguments[field] = self._argument(node, field, bindings, tensors, only is not None)
        if only is None:
            arguments["metadata"] = "at.metadata"
        return call(f"nir.{node.name}", before=before, **arguments)

    def _argument(
        self,
        node: Node,
        field: str,
        bindings: Mapping[str, Binding],
        tensors: Mapping[str, str],
        linked: bool,
    ) -> str:
        if field in tensors:
            return f"at.tensor(module.{tensors[field]})"
        if field not in bindings:
            value = self._local(field)
        elif node.fields[field].kind == "parameter":
            value = self.scope.number(bindings[field].formula)
        elif node.fields[field].kind == "tensor" and is_name(bindings[field].formula):
            value = f"at.tensor({self.scope.code(bindings[field].formula)})"
        else:
            value = self.scope.code(bindings[field].formula)
        if node.fields[field].kind != "parameter":
            return value
        # The shape behind a link of a chain is the graph's to infer.
        return f"at.scalar({value})" if linked else f"at.fill({value})"

    def _local(self, field: str) -> str:
        """The variable that holds a field which a case states."""
        return f"node_{field}" if field in self.mapping.parameters_read() else field


def _literals(values: Mapping[str, object]) -> dict[str, str]:
    return {name: constant(value) for name, value in values.items()}

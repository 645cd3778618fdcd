"""The body of `to_nir`: from a live layer to a node."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from nirgen.emit import code
from nirgen.emit.code import Block, Line, Scope, Statement, call, constant, is_name, quote
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
    walk,
)
from nirgen.mapping.model import (
    Binding,
    Case,
    Choice,
    FrameworkMappings,
    LayerMapping,
    Link,
    Links,
    Mappings,
    Node,
    Parameter,
    Part,
)
from nirgen.mapping.samples import is_always_within

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
        self.elementwise = elementwise(mapping, self.signature)
        self.linked = {way for case in _cases(mapping) for way in _ways(case.links)}

    def statements(self) -> Iterator[Statement]:
        yield from self._time_step()
        yield from self._ahead()
        yield from self._parameters()
        yield from self._fixed()
        yield from self._attributes()
        yield from self._domains()
        yield from self._rejected()
        for way in sorted(self.linked):
            yield Line(f"{way}: tuple[nir.NIRNode, ...] = ()")
        for choice in self.mapping.choices:
            yield Line("")
            yield from self._choice(choice)
        if self.mapping.node is not None:
            node = self.nodes[self.mapping.node]
            yield from self._starts(self.mapping.part, node)
            if self.mapping.fold:
                yield Line("at.foldable()")
            yield Line("")
            yield from self._made(node, ())

    # --- reading ---

    def _time_step(self) -> Iterator[Statement]:
        name = self.mapping.time_step
        if name is not None:
            yield call("at.demand_time_step", quote(name), f"module.{self.signature[name].held}")

    def _ahead(self) -> Iterator[Statement]:
        """The nodes before the layer's own, whose features are those behind them."""
        if self.mapping.links.before:
            yield from self._linked(Links(before=self.mapping.links.before))
            yield Line("at.go_behind(*before)")

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
            if is_always_within(name, self.mapping):
                continue
            what = f'f"{name} is {{{name}:g}}, and the layer needs {show(domain)}"'
            if name in self.elementwise:
                what = quote(f"{name} is out of bounds, and the layer needs {show(domain)}")
            refuse = call("at.refuse", what, before="raise ")
            yield Block(f"if {self._guard(Not(domain))}:", (refuse,))

    def _fixed(self) -> Iterator[Statement]:
        for fixed in self.mapping.fix.values():
            symbol = "is not" if fixed.value is None or isinstance(fixed.value, bool) else "!="
            name, value = Name(fixed.parameter), Literal(fixed.value)
            what = f"f{quote(f'{fixed.parameter} is {{{fixed.parameter}!r}}: {fixed.because}')}"
            guard: Expression = Binary(symbol, name, value)
            if fixed.parameter in self.elementwise:  # one neuron that differs is one too many
                guard = Not(Binary("==", name, value))
                what = quote(f"{fixed.parameter} is not {show(value)} everywhere: {fixed.because}")
            yield self._refusal(guard, what, fixed.instead)

    def _rejected(self) -> Iterator[Statement]:
        for rejection in self.mapping.reject:
            yield self._refusal(rejection.when, quote(rejection.because), rejection.instead)

    def _refusal(self, guard: Expression, what: str, instead: str) -> Statement:
        refuse = call("at.refuse", what, quote(instead), before="raise ")
        return Block(f"if {self._guard(guard)}:", (refuse,))

    def _guard(self, guard: Expression) -> str:
        return self.scope.code(for_all(guard, self.elementwise))

    # --- choosing ---

    def _choice(self, choice: Choice) -> Iterator[Statement]:
        bodies = [tuple(self._case(case)) for case in choice.cases]
        guards = frozenset(name for case in choice.cases for name in names(case.when))
        varied = sorted(guards & self.elementwise)
        if len(bodies) == 1:
            (case,) = choice.cases
            if case.condition is not None:
                refusal = self._mixed(choice, varied) if varied else self._no_case(choice)
                yield Block(f"if {self._guard(Not(case.when))}:", (refusal,))
            yield from bodies[0]
            return
        complete = not varied and _is_complete(choice)
        if complete and not bodies[0]:
            guard = opposite(choice.cases[0].when)
            yield Block(f"if {self._guard(guard)}:", bodies[1] or (Line("pass"),))
            return
        for number, case in enumerate(choice.cases):
            header = "else:"
            if number == 0:
                header = f"if {self._guard(case.when)}:"
            elif not complete:
                header = f"elif {self._guard(case.when)}:"
            yield Block(header, bodies[number] or (Line("pass"),))
        if not complete:
            refusal = self._mixed(choice, varied) if varied else self._no_case(choice)
            yield Block("else:", (refusal,))

    def _no_case(self, choice: Choice) -> Statement:
        """The refusal of a layer of which the mapping doesn't speak."""
        cases = ", or ".join(show(case.when) for case in choice.cases)
        what = f"the layer is of no case that is known: {cases}"
        return call("at.refuse", quote(what), before="raise ")

    def _mixed(self, choice: Choice, varied: Sequence[str]) -> Statement:
        """The refusal of a layer whose neurons are of several cases."""
        cases = " or ".join(show(case.when) for case in choice.cases)
        what = f"its neurons differ in {', '.join(varied)}; all must be of one case: {cases}"
        advice = "make them layers of their own"
        return call("at.refuse", quote(what), quote(advice), before="raise ")

    def _case(self, case: Case) -> Iterator[Statement]:
        if case.part.bind or case.links:  # for the report, which shows the formulas that applied
            yield call("at.where", quote(show(case.when)))
        yield from self._linked(case.links)
        if case.node is not None:
            yield from self._noted(case)
            node, always = self.nodes[case.node], self.mapping.part.start
            yield from self._starts(replace(case.part, start={**always, **case.part.start}), node)
            if self.mapping.fold:
                yield Line("at.foldable()")
            yield from self._made(node, (case.part,))
            return
        for binding in case.part.bind:
            yield Line(f"{self._local(binding.field)} = {self.scope.number(binding.formula)}")
        for field, attribute in case.part.tensors.items():
            yield Line(f"{self._local(field)} = at.tensor(module.{attribute})")
        yield from self._starts(case.part, self.nodes[self.mapping.nodes[0]])
        yield from self._noted(case)

    def _noted(self, case: Case) -> Iterator[Statement]:
        """What the node's metadata says besides."""
        if case.annotate:
            yield call("at.annotate", quote(case.because), **_literals(case.annotate))
        if case.remember:
            yield call("at.remember", **_literals(case.remember))

    def _starts(self, part: Part, node: Node) -> Iterator[Statement]:
        """Where the state starts: as the mapping says, or the live layer."""
        for variable, layer in part.start.items():
            usual = self._contract_start(variable, part, node)
            where = {"node": self.scope.number(usual)}
            if usual != layer:
                where = {"layer": self.scope.number(layer), **where}
            if variable in self.mapping.held:
                where["kept"] = quote(self.mapping.held[variable])
            yield call("at.start", quote(variable), **where)

    def _contract_start(self, variable: str, part: Part, node: Node) -> Expression:
        """Where NIR has it: a formula of the layer's parameters, or of what a case has stated."""
        stated: dict[str, Expression] = {field: Name(self._local(field)) for field in node.fields}
        stated |= {b.field: b.formula for b in (*self.mapping.part.bind, *part.bind)}
        return substitute(node.start[variable], stated)

    # --- making the node ---

    def _made(self, node: Node, parts: tuple[Part, ...]) -> Iterator[Statement]:
        """The node, and the chain of those around it, if it has any."""
        ways = dict.fromkeys(_ways(self.mapping.links), "") | dict.fromkeys(self.linked, "")
        if not ways:
            yield self._node(node, parts, "return ")
            return
        yield from self._linked(replace(self.mapping.links, before=()))
        yield self._node(node, parts, "node = ")
        arguments = (("", "node"), *((way, way) for way in WAYS if way in ways))
        yield code.Call("Chain", arguments, "return ")

    def _linked(self, links: Links) -> Iterator[Statement]:
        """The nodes around the layer's own, behind those that other cases have put there."""
        for way in _ways(links):
            made: list[Link] = list(getattr(links, way))
            variables = [_LINK[way] + (str(k) if k else "") for k in range(len(made))]
            for variable, link in zip(variables, made, strict=True):
                part = Part(bind=link.bind, tensors=link.tensors)
                yield self._node(self.nodes[link.node], (part,), f"{variable} = ", only=part)
            items = [*([f"*{way}"] if way in self.linked else []), *variables]
            yield Line(f"{way} = ({', '.join(items)}{',' if len(items) == 1 else ''})")

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


WAYS = ("before", "then", "feedback")
"""Where the nodes around a layer's own are: the arguments of `Chain`."""


_LINK = {"before": "ahead", "then": "behind", "feedback": "back"}
"""What one of them is called."""


def _ways(links: Links) -> list[str]:
    return [way for way in WAYS if getattr(links, way)]


def _cases(mapping: LayerMapping) -> Iterator[Case]:
    return (case for choice in mapping.choices for case in choice.cases)


def _is_complete(choice: Choice) -> bool:
    """Whether two cases leave nothing out: one is where the other is not."""
    guards = [case.when for case in choice.cases]
    return len(guards) == 2 and opposite(guards[0]) == guards[1]


def elementwise(mapping: LayerMapping, signature: Mapping[str, Parameter]) -> frozenset[str]:
    """The parameters that have a number for each neuron."""
    tensors = {name for name, parameter in signature.items() if "Tensor" in parameter.type}
    return frozenset(tensors)


def for_all(guard: Expression, elementwise: frozenset[str]) -> Expression:
    """A guard in which a comparison of such parameters holds where it does for all neurons."""
    match guard:
        case Not(operand):
            return Not(for_all(operand, elementwise))
        case Binary("and" | "or" as symbol, left, right):
            return Binary(symbol, for_all(left, elementwise), for_all(right, elementwise))
        case Binary(symbol) if symbol in _MIRRORED and names(guard) & elementwise:
            return Call("every", (unknown_first(guard),))
    return guard


def unknown_first(comparison: Expression) -> Expression:
    """`0 <= x` as `x >= 0`."""
    match comparison:
        case Binary(symbol, Literal() as left, right) if symbol in _MIRRORED:
            return Binary(_MIRRORED[symbol], right, left)
    return comparison


_MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


def _literals(values: Mapping[str, object]) -> dict[str, str]:
    return {name: constant(value) for name, value in values.items()}

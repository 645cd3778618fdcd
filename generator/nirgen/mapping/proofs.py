"""What can be proved of a mapping by computing: on samples of its declared domain.

Every proof runs on plain numbers, without torch or a framework: cases neither overlap nor leave a
hole, a node read backwards gives the layer it came from, and the examples' numbers come out.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nirgen.mapping import inverse
from nirgen.mapping.expressions import NotComputable, evaluate, names, show
from nirgen.mapping.inverse import CaseInverse, ChoiceInverse, MappingInverse
from nirgen.mapping.model import (
    NODE,
    Binding,
    Case,
    Choice,
    Example,
    FrameworkMappings,
    LayerMapping,
    Mappings,
    Node,
    Normalization,
    Parameter,
    Variant,
)
from nirgen.mapping.problems import Problems, did_you_mean
from nirgen.mapping.read import constants
from nirgen.mapping.rules import bound_parameters
from nirgen.mapping.samples import (
    at_bounds,
    interval,
    is_domain_of,
    is_empty,
    node_samples,
    samples,
)

Values = Mapping[str, Any]
_EXACT = 1e-12
_ROUNDED = 1e-6
"""How far a parameter may come back from where it started: rounding, amplified by a formula
near the edge of its domain. A wrong formula is wrong by far more."""


def check(mappings: Mappings, problems: Problems) -> None:
    """Prove all mappings; what can't be proved is a problem."""
    for framework in mappings.frameworks:
        for mapping in framework.layers:
            _check_mapping(mapping, framework, mappings, problems)


def _check_mapping(
    mapping: LayerMapping, framework: FrameworkMappings, mappings: Mappings, problems: Problems
) -> None:
    if not mapping.nodes:
        return
    signature = framework.signature(mapping)
    if not _domains_are_intervals(mapping, problems):
        return
    drawn = list(samples(mapping, signature))
    drawn += at_bounds(mapping, drawn)
    if not _cases_are_alternatives(mapping, drawn, problems):
        return
    _formulas_can_be_computed(mapping, drawn, problems)
    _inverses_hold(mapping, framework, mappings, drawn, problems)
    for form in mapping.normalize:
        _form_is_plain(form, mapping, signature, mappings.nodes[form.node], problems)
    for example in mapping.examples:
        _example_holds(example, mapping, signature, problems)


def _domains_are_intervals(mapping: LayerMapping, problems: Problems) -> bool:
    wrong = [n for n, domain in mapping.domain.items() if not is_domain_of(domain, n)]
    within = {n: interval(domain) for n, domain in mapping.domain.items() if n not in wrong}
    empty = [n for n, own in within.items() if is_empty(own, mapping.domain[n], n)]
    for name in empty:
        what = f"the domain of `{name}` holds no number: `{show(mapping.domain[name])}`"
        problems.add(mapping.places["domain"], what)
    for name in wrong:
        problems.add(
            mapping.places["domain"],
            f"the domain of `{name}` must bound it by numbers, or exclude None",
            f"such as `{name} > 1`, `0 <= {name} < 1` or `{name} is not None`",
        )
    return not wrong and not empty


# --- cases ----------------------------------------------------------------------------------


def _cases_are_alternatives(
    mapping: LayerMapping, drawn: list[dict[str, Any]], problems: Problems
) -> bool:
    """For every layer, exactly one case of each choice applies."""
    sound = True
    for choice in mapping.choices:
        applying = ((values, _applying(choice, values)) for values in drawn)
        values, cases = next(((v, c) for v, c in applying if len(c) != 1), ({}, []))
        if not values:
            continue
        sound = False
        layer = _shown(values, {name for case in choice.cases for name in names(case.when)})
        if cases:
            guards = " and ".join(f"`{show(case.when)}`" for case in cases)
            problems.add(choice.at, f"cases of `{choice.name}` overlap: {guards} hold for {layer}")
        else:
            problems.add(choice.at, f"no case of `{choice.name}` applies to {layer}")
    return sound


def _applying(choice: Choice, values: Values) -> list[Case]:
    def applies(case: Case) -> bool:
        try:
            return bool(evaluate(case.when, values))
        except NotComputable:
            return False

    return [case for case in choice.cases if applies(case)]


def _variant_of(mapping: LayerMapping, values: Values) -> Variant:
    chosen = tuple(_applying(choice, values)[0] for choice in mapping.choices)
    return mapping.variant(chosen)


def _formulas_can_be_computed(
    mapping: LayerMapping, drawn: list[dict[str, Any]], problems: Problems
) -> None:
    """No formula divides by zero, or leaves a function's domain, where the mapping applies."""
    failed: set[Binding] = set()
    for values in drawn:
        for binding in _variant_of(mapping, values).bind:
            if binding in failed or not names(binding.formula) <= set(values):
                continue
            try:
                result = evaluate(binding.formula, values)
            except NotComputable as error:
                if "function of tensors" in str(error):
                    continue
                result = math.nan
            if isinstance(result, float) and not math.isfinite(result):
                failed.add(binding)
                layer = _shown(values, names(binding.formula))
                problems.add(
                    binding.at,
                    f"`{show(binding.formula)}` has no finite value for {layer}",
                    "declare the `domain` in which it holds",
                )


# --- inverses -------------------------------------------------------------------------------


def _inverses_hold(
    mapping: LayerMapping,
    framework: FrameworkMappings,
    mappings: Mappings,
    drawn: list[dict[str, Any]],
    problems: Problems,
) -> None:
    """A node read backwards gives the layer it came from, and only that."""
    if mapping.direction != "both":
        return
    backwards = {name: inverse.invert(mapping, mappings.nodes[name]) for name in mapping.imported}
    for name, case in _left_open(backwards.values()):
        problems.add(
            case.case.at,
            f"an import can't know `{name}` here, which other cases give",
            f"say so in `when`: `{show(case.case.when)} and {name} == ...`",
        )
        return
    made = framework.constructor(mapping)
    told = bound_parameters(mapping) & set(made)
    usual = {name: made[name].default for name in told if not made[name].required}
    for values in drawn:
        variant = _variant_of(mapping, values)
        if not variant.imported:
            continue
        failure = _read_back(backwards[variant.node], variant, values, usual)
        if failure is not None:
            at = mapping.places.get("bind", mapping.at)
            layer = _shown(values, mapping.parameters_read() | {"dt"})
            problems.add(at, f"an import does not undo the export: {failure}; for {layer}")
            return


def _left_open(backwards: Iterable[MappingInverse]) -> Iterator[tuple[str, CaseInverse]]:
    """The parameters that some cases of a choice give, and the cases that don't."""
    for choice in (choice for each in backwards for choice in each.choices):
        given = [{*c.given, *(s.parameter for s in c.inversion.solved)} for c in choice.cases]
        every = set().union(*given)
        for case, here in zip(choice.cases, given, strict=True):
            yield from ((name, case) for name in sorted(every - here))


def _read_back(
    backwards: MappingInverse, variant: Variant, values: Values, usual: Values
) -> str | None:
    """What goes wrong when a node is read back; None if nothing does.

    A parameter that the node doesn't tell is what the constructor has by default: `usual`.
    """
    surroundings = {name: values[name] for name in ("dt", "rank")} | {"batch_axes": 1}
    forward = {**values, "batch_axes": 1}
    node = _node_of(variant, forward)
    found: dict[str, Any] = {**surroundings, **node}
    for solved in backwards.shared.solved:
        if not _assign(solved.parameter, evaluate_or_none(solved.formula, found), found):
            return f"`{solved.parameter}` has no value"
    for choice in backwards.choices:
        accepted = [case for case in choice.cases if _accepts(case, choice, variant, found)]
        expected = next(case for case in variant.cases if case in choice.choice.cases)
        if len(accepted) != 1:
            what = "no case" if not accepted else f"{len(accepted)} cases"
            return f"{what} of `{choice.choice.name}` would take the node"
        if accepted[0].case is not expected:
            return f"`{show(accepted[0].case.when)}` takes the node of `{show(expected.when)}`"
        found |= _found_by(accepted[0], found)
    started = set(backwards.starts.values())
    made = {**{name: value for name, value in usual.items() if name not in started}, **found}
    wrong = [name for name in made if name in values and not _same(made[name], forward[name])]
    found = made
    wrong = [name for name in wrong if not _equivalent(name, found, variant, forward)]
    if wrong:
        return f"`{wrong[0]}` comes back as {found[wrong[0]]!r}"
    return None


def _node_of(variant: Variant, values: Values) -> dict[str, Any]:
    computed = {NODE + b.field: evaluate_or_none(b.formula, values) for b in variant.bind}
    return {name: value for name, value in computed.items() if value is not None}


def evaluate_or_none(formula: Any, values: Values) -> Any:
    try:
        return evaluate(formula, values)
    except NotComputable:
        return None


def _assign(name: str, value: Any, found: dict[str, Any]) -> bool:
    if value is None:
        return False
    found[name] = value
    return True


def _found_by(case: CaseInverse, found: Values) -> dict[str, Any]:
    result = {**found, **case.given}
    for solved in case.inversion.solved:
        value = evaluate_or_none(solved.formula, result)
        if value is not None:
            result[solved.parameter] = value
    return result


def _accepts(case: CaseInverse, choice: ChoiceInverse, variant: Variant, found: Values) -> bool:
    """Whether an import would choose this case for the variant's node."""
    kept = variant.metadata
    if any(kept.get(key) != value for key, value in case.case.metadata.items()):
        return False
    if any(key in kept for key in _keys_of_others(case, choice)):
        return False
    values = _found_by(case, found)
    if case.guard is not None and not evaluate_or_none(case.guard, values):
        return False
    return all(_meets(demand, values) for demand in case.inversion.demands)


def _keys_of_others(case: CaseInverse, choice: ChoiceInverse) -> Iterable[str]:
    """Metadata that other cases of the same choice would have written."""
    return (
        key
        for other in choice.cases
        for key in other.case.metadata
        if key not in case.case.metadata
    )


def _meets(demand: Binding, values: Values) -> bool:
    stated = values.get(NODE + demand.field)
    wanted = evaluate_or_none(demand.formula, values)
    return stated is None or wanted is None or _same(stated, wanted)


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, bool) or isinstance(b, bool) or a is None or b is None:
        return a is b or a == b
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return math.isclose(a, b, rel_tol=_ROUNDED, abs_tol=1e-9)
    return bool(a == b)


def _equivalent(name: str, found: Values, variant: Variant, values: Values) -> bool:
    """Whether another value of a parameter gives the same node: `3` and `(3, 3)` as a size."""
    node = _node_of(variant, values)
    again = _node_of(variant, {**values, name: found[name]})
    return all(_same(node[field], again.get(field)) for field in node)


# --- normalizations -------------------------------------------------------------------------


def _form_is_plain(
    form: Normalization,
    mapping: LayerMapping,
    signature: Mapping[str, Parameter],
    node: Node,
    problems: Problems,
) -> None:
    """A normalized layer is of a case that is the node, without anything noted or around it."""
    usual = {name: p.default for name, p in signature.items() if not p.required}
    for values in node_samples(form, node):
        given = {name: evaluate_or_none(f, values) for name, f in form.layer.items()}
        layer = {**usual, **given, "dt": values["dt"], "batch_axes": 1}
        for case in (case for choice in mapping.choices for case in _applying(choice, layer)):
            if case.annotate or case.links or case.node not in (None, form.node):
                made = "several nodes" if case.links else case.node or form.node
                noted = f" with {constants(case.annotate)}" if case.annotate else ""
                of = _shown(values, names(form.when) | {"dt"})
                problems.add(
                    form.at,
                    f"`normalize` makes a layer of the case `{show(case.when)}`, which is {made}"
                    f"{noted}, and not a plain {form.node}; for {of}",
                    "give `layer` parameters of another case, or narrow `when`",
                )
                return


# --- examples -------------------------------------------------------------------------------


def _example_holds(
    example: Example,
    mapping: LayerMapping,
    signature: Mapping[str, Parameter],
    problems: Problems,
) -> None:
    for name in sorted(set(example.layer) - set(signature)):
        problems.add(example.at, f"the layer has no `{name}`", did_you_mean(name, signature))
    defaults = {name: p.default for name, p in signature.items() if not p.required}
    values = {**defaults, **example.layer, "dt": example.dt, "batch_axes": 1, "rank": 3}
    applying = [_applying(choice, values) for choice in mapping.choices]
    if any(len(cases) != 1 for cases in applying):
        problems.add(example.at, "the example's layer is in no case, or in several")
        return
    variant = _variant_of(mapping, values)
    formulas = {binding.field: binding.formula for binding in variant.bind}
    for field, stated in example.node.items():
        if field not in formulas:
            problems.add(example.at, f"no formula of `{field}`", did_you_mean(field, formulas))
            continue
        computed = evaluate_or_none(formulas[field], values)
        if not _agrees_exactly(computed, stated):
            problems.add(
                example.at,
                f"`{field}` is stated as {stated!r}, and `{show(formulas[field])}`"
                f" gives {computed!r}",
            )


def _agrees_exactly(computed: Any, stated: Any) -> bool:
    if isinstance(computed, (int, float)) and isinstance(stated, (int, float)):
        return math.isclose(computed, stated, rel_tol=_EXACT, abs_tol=0.0)
    return bool(computed == stated)


def _shown(values: Values, wanted: Iterable[str]) -> str:
    return ", ".join(f"{name} = {values[name]!r}" for name in sorted(wanted) if name in values)

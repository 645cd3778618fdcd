"""What every mapping must satisfy before anything is computed: one rule, one function."""

from __future__ import annotations

import keyword
from collections import Counter
from collections.abc import Callable, Iterable

from nirgen.mapping import inverse
from nirgen.mapping.expressions import Call, Expression, names, walk
from nirgen.mapping.functions import FUNCTIONS, Function
from nirgen.mapping.model import (
    IMPORT_SURROUNDINGS,
    RESET,
    SURROUNDINGS,
    Binding,
    Case,
    Choice,
    FrameworkMappings,
    LayerMapping,
    Mappings,
    Node,
    Normalization,
    Parameter,
)
from nirgen.mapping.problems import Location, Problems, did_you_mean
from nirgen.mapping.source import Constant
from nirgen.mapping.steps import INPUT, OUTPUT

LINKS = ("before", "then", "feedback")

Rule = Callable[[LayerMapping, FrameworkMappings, Mappings, Problems], None]


def check(mappings: Mappings, problems: Problems) -> None:
    """Apply all rules to all mappings."""
    for framework in mappings.frameworks:
        _layers_are_mapped_once(framework, problems)
        _neurons_fire_alike(framework, problems)
        for mapping in framework.layers:
            for rule in RULES if mapping.nodes else RULES_WITHOUT_NODE:
                rule(mapping, framework, mappings, problems)


def _layers_are_mapped_once(framework: FrameworkMappings, problems: Problems) -> None:
    """A layer has one mapping, and a node is imported as one layer."""
    exported: dict[str, str] = {}
    imported: dict[str, str] = {}
    for mapping in framework.layers:
        for layer in mapping.layers:
            if layer in exported:
                problems.add(mapping.at, f"`{layer}` is mapped already, in {exported[layer]}")
            exported.setdefault(layer, mapping.file)
        plain = mapping.on_request is None
        for node in mapping.imported if plain else ():
            if node in imported:
                problems.add(
                    mapping.at,
                    f"{node} is imported already, as {imported[node]} says",
                    "say in one of them why it is `export_only`, or make it `on_request`",
                )
            imported.setdefault(node, mapping.file)


def _neurons_fire_alike(framework: FrameworkMappings, problems: Problems) -> None:
    """A framework's neurons compare with their threshold in one way: its converter has one."""
    spiking = [m for m in framework.layers if m.state and m.step.is_comparison]
    found = {m.step.fires_at_threshold: m for m in spiking}
    if len(found) == 2:
        there, here = found[False].layers[0], found[True]
        what = f"{here.layers[0]} fires at its threshold, and {there} only above it"
        mend = "make them frameworks of their own, each with its folder"
        problems.add(here.places["step"], what, mend)


def layers_have_signatures(
    mapping: LayerMapping, framework: FrameworkMappings, mappings: Mappings, problems: Problems
) -> None:
    """Each layer's module is declared and its signature is on record."""
    for layer in mapping.layers:
        at = mapping.places.get("layer" if layer == mapping.layers[0] else "also", mapping.at)
        module, dot, _ = layer.rpartition(".")
        if not dot or module not in framework.framework.modules:
            mend = did_you_mean(module, framework.framework.modules)
            problems.add(at, f"`{layer}` is in no module that framework.yaml declares", mend)
        declared = framework.framework.modules
        for parameter in framework.signatures.get(layer, {}).values():
            for module in sorted(parameter.modules - set(declared)):
                what = f"`{module}` of `{parameter.name}` is no module that framework.yaml declares"
                problems.add(parameter.at, what, did_you_mean(module, declared))
        if layer not in framework.signatures:
            mend = did_you_mean(layer, framework.signatures)
            problems.add(at, f"signatures.yaml has no signature of `{layer}`", mend)


def nodes_exist(
    mapping: LayerMapping, framework: FrameworkMappings, mappings: Mappings, problems: Problems
) -> None:
    """The node is a NIR primitive, named at the top or by the cases of one choice."""
    at = mapping.places.get("node", mapping.at)
    for link in mapping.all_links:
        if link.node not in mappings.nodes:
            problems.add(
                link.at, f"NIR has no `{link.node}`", did_you_mean(link.node, mappings.nodes)
            )
    if mapping.links and mapping.direction != "export":
        at_links = next(mapping.places[key] for key in LINKS if key in mapping.places)
        problems.add(at_links, "several nodes have no import", "add `export_only`")
    for node in mapping.nodes:
        if node not in mappings.nodes:
            problems.add(at, f"NIR has no `{node}`", did_you_mean(node, mappings.nodes))
    naming = [c for c in mapping.choices if any(case.node for case in c.cases)]
    for choice in naming:
        if mapping.node is not None or choice is not naming[0]:
            problems.add(choice.at, "the node is named already")
        if not all(case.node for case in choice.cases):
            problems.add(choice.at, "either all cases of a choice name a node, or none")
        if choice is not mapping.choices[-1]:
            problems.add(choice.at, "the choice that names the node must be the last")


def node_is_named(
    mapping: LayerMapping, framework: FrameworkMappings, mappings: Mappings, problems: Problems
) -> None:
    """A mapping without a node says that the layer is skipped or refused."""
    if mapping.direction not in ("skip", "refuse"):
        problems.add(mapping.at, "the mapping names no node", "add `node:`")


def names_are_declared(
    mapping: LayerMapping, framework: FrameworkMappings, mappings: Mappings, problems: Problems
) -> None:
    """Formulas name the layer's parameters and the surroundings; `derive`, the node's fields."""
    signature = framework.signature(mapping)
    for at, formula in _formulas_with_places(mapping):
        known = {*signature, *SURROUNDINGS, *mapping.attributes}
        for name in sorted(names(formula) - known):
            mend = did_you_mean(name, known)
            problems.add(at, f"`{name}` is no parameter of the layer", mend)
    fields = {field for node in _nodes(mapping, mappings) for field in node.fields}
    for name, formula in mapping.derive.items():
        for unknown in sorted(names(formula) - fields - set(IMPORT_SURROUNDINGS)):
            at = mapping.places["derive"]
            problems.add(
                at, f"`{name}`: the node has no `{unknown}`", did_you_mean(unknown, fields)
            )


def _formulas_with_places(mapping: LayerMapping) -> Iterable[tuple[Location, Expression]]:
    parts = [(mapping.at, mapping.part)]
    parts += [(case.at, case.part) for choice in mapping.choices for case in choice.cases]
    for at, part in parts:
        yield from ((binding.at, binding.formula) for binding in part.bind)
        yield from ((at, start) for start in part.start.values())
    yield from ((b.at, b.formula) for link in mapping.all_links for b in link.bind)
    yield from ((case.at, case.when) for choice in mapping.choices for case in choice.cases)
    yield from ((rejection.at, rejection.when) for rejection in mapping.reject)
    yield from ((mapping.places["domain"], domain) for domain in mapping.domain.values())


def functions_take_what_they_are_given(
    mapping: LayerMapping, framework: FrameworkMappings, mappings: Mappings, problems: Problems
) -> None:
    """A parameter with a number for each neuron goes through functions that have one for each."""
    signature = framework.signature(mapping)
    several = {name for name, parameter in signature.items() if "Tensor" in parameter.type}
    for at, formula in _formulas_with_places(mapping):
        for part in walk(formula):
            if not isinstance(part, Call) or _takes_arrays(FUNCTIONS[part.function]):
                continue
            for name in sorted(names(part) & several):
                what = f"`{part.function}` takes one number, and `{name}` has one for each neuron"
                elementwise = [f.name for f in FUNCTIONS.values() if f.elementwise]
                mend = f"those of each element are {', '.join(elementwise)}"
                problems.add(at, what, mend)


def _takes_arrays(function: Function) -> bool:
    """Each element for itself, or an array as a whole, of which only the runtime knows."""
    return function.elementwise or function.evaluate is None


def parameters_are_accounted_for(
    mapping: LayerMapping, framework: FrameworkMappings, mappings: Mappings, problems: Problems
) -> None:
    """Every constructor parameter is bound, derived, fixed, an option or ignored; exactly once."""
    signature = framework.signature(mapping)
    stated = {
        "derive": set(mapping.derive),
        "time_step": set(_time_step(mapping)),
        "fix": set(mapping.fix),
        "options": set(mapping.options),
        "ignore": set(mapping.ignore),
    }
    roles = Counter(name for group in stated.values() for name in group)
    bound = bound_parameters(mapping)
    held = _held(mapping).union(*(names(rejection.when) for rejection in mapping.reject))
    for name, parameter in signature.items():
        if not roles[name] and name not in bound and (parameter.kept is None or name not in held):
            kept = "" if parameter.kept is None else f", {_kept(parameter)},"
            problems.add(
                mapping.at,
                f"`{name}` of {mapping.layers[0]}{kept} is not accounted for",
                "bind, derive, fix or ignore it (with a reason)",
            )
    for name, times in sorted(roles.items()):
        if name not in signature:
            at = next(mapping.places[key] for key, group in stated.items() if name in group)
            problems.add(at, f"the layer has no `{name}`", did_you_mean(name, signature))
        elif times > 1:
            where = [key for key, group in stated.items() if name in group]
            problems.add(
                mapping.at, f"`{name}` is accounted for twice, under {' and '.join(where)}"
            )
    for key, group in (("read", mapping.read), ("domain", mapping.domain)):
        for name in sorted(set(group) - set(signature)):
            problems.add(mapping.places[key], f"no `{name}`", did_you_mean(name, signature))


def _held(mapping: LayerMapping) -> frozenset[str]:
    """What of a live layer a mapping speaks of otherwise than by parameters: its tensors, what is
    read of it, its state."""
    parts = [mapping.part, *(case.part for choice in mapping.choices for case in choice.cases)]
    tensors = [part.tensors for part in parts] + [link.tensors for link in mapping.all_links]
    read = (name for formula in mapping.read.values() for name in names(formula))
    named = (name for each in tensors for name in each.values())
    state = (name for formula in mapping.state.values() for name in names(formula))
    return frozenset((*named, *read, *mapping.attributes.values(), *state))


def _kept(parameter: Parameter) -> str:
    """`a buffer that no constructor takes`"""
    article = "an" if parameter.kept == "attribute" else "a"
    return f"{article} {parameter.kept} that its constructor doesn't take"


def kept_is_as_made(
    mapping: LayerMapping, framework: FrameworkMappings, mappings: Mappings, problems: Problems
) -> None:
    """An import can't give a layer what its constructor doesn't take: cases must not want that."""
    kept = {n: p for n, p in framework.signature(mapping).items() if p.kept is not None}
    if mapping.direction != "both" or not kept:
        return
    bound = bound_parameters(mapping) & set(kept)
    for node in (mappings.nodes[n] for n in mapping.imported if n in mappings.nodes):
        given = dict.fromkeys(bound, frozenset[Constant]())
        for choice in inverse.invert(mapping, node).choices:
            for case in choice.cases:
                for name, value in case.given.items():
                    if name in given:
                        given[name] |= {value}
        for name, values in given.items():
            if values != {kept[name].default}:
                what = f"an import can't give a layer `{name}`, {_kept(kept[name])}"
                mend = (
                    f"fix it, or say `{name} == {kept[name].default}` in all cases but those that "
                    "are `export_only`"
                )
                problems.add(mapping.at, what, mend)


def _time_step(mapping: LayerMapping) -> tuple[str, ...]:
    return () if mapping.time_step is None else (mapping.time_step,)


def bound_parameters(mapping: LayerMapping) -> frozenset[str]:
    """The parameters that bindings and guards speak of, and nothing else accounts for."""
    cases = [case for choice in mapping.choices for case in choice.cases]
    parts = [mapping.part, *(case.part for case in cases)]
    formulas = [binding.formula for part in parts for binding in part.bind]
    formulas += [binding.formula for link in mapping.all_links for binding in link.bind]
    formulas += [start for part in parts for start in part.start.values()]
    formulas += [case.when for case in cases]
    spoken_of = frozenset(name for formula in formulas for name in names(formula))
    accounted = {*mapping.derive, *mapping.fix, *mapping.ignore, *mapping.options}
    return (
        spoken_of
        - accounted
        - set(_time_step(mapping))
        - set(SURROUNDINGS)
        - set(mapping.attributes)
    )


def fields_are_accounted_for(
    mapping: LayerMapping, framework: FrameworkMappings, mappings: Mappings, problems: Problems
) -> None:
    """Every field of the node is stated exactly once, whichever cases apply."""
    stated = [(mapping.at, v.node, v.bind, tuple(v.tensors)) for v in mapping.variants()]
    stated += [(n.at, n.node, n.bind, tuple(n.tensors)) for n in mapping.all_links]
    found = {
        problem
        for at, name, bindings, tensors in stated
        if name in mappings.nodes
        for problem in _unaccounted(at, mappings.nodes[name], bindings, tensors)
    }
    for at, what, mend in sorted(found):
        problems.add(at, what, mend)


def _unaccounted(
    at: Location, node: Node, bindings: tuple[Binding, ...], tensors: tuple[str, ...]
) -> Iterable[tuple[Location, str, str]]:
    """The fields of one node that are stated never, more than once, or not there at all."""
    times = Counter([*(binding.field for binding in bindings), *tensors])
    places = {binding.field: binding.at for binding in reversed(bindings)}
    for field in node.fields:
        if not times[field]:
            yield at, f"{node.name}'s `{field}` is not accounted for", "bind it"
    for field, count in times.items():
        place = places.get(field, at)
        if field not in node.fields:
            yield place, f"{node.name} has no `{field}`", did_you_mean(field, node.fields)
        elif count > 1:
            yield place, f"{node.name}'s `{field}` is stated {count} times", ""


def state_is_accounted_for(
    mapping: LayerMapping, framework: FrameworkMappings, mappings: Mappings, problems: Problems
) -> None:
    """Every state variable of the node has a place in the layer and a start in every case."""
    found: set[tuple[Location, str, str]] = set()
    for variant in mapping.variants():
        node = mappings.nodes.get(variant.node)
        if node is None:
            continue
        for group, key in ((mapping.state, "state"), (variant.start, "start")):
            at = mapping.places.get(key, mapping.at)
            for variable in sorted(set(node.start) - set(group)):
                found.add((at, f"the `{key}` of {node.name}'s {variable} is not stated", ""))
            for variable in sorted(set(group) - set(node.start)):
                mend = did_you_mean(variable, node.start)
                found.add((at, f"{node.name} has no state `{variable}`", mend))
    for at, what, mend in sorted(found):
        problems.add(at, what, mend)


def metadata_tells(
    mapping: LayerMapping, framework: FrameworkMappings, mappings: Mappings, problems: Problems
) -> None:
    """What cases note can be written, read back, and belongs to one choice."""
    told: dict[str, Choice] = {}
    for choice in mapping.choices:
        for case in choice.cases:
            _notes_are_words(case, problems)
        for key in dict.fromkeys(key for case in choice.cases for key in case.metadata):
            if key in told:
                what = f"`{key}` is noted by cases of `{told[key].name}` already"
                problems.add(choice.at, what, "each choice needs keys of its own")
            told.setdefault(key, choice)
    for variant in mapping.variants():
        node = mappings.nodes.get(variant.node)
        lacking = node is not None and "v_reset" not in node.fields and inverse.is_possible(variant)
        for case in variant.cases if lacking else ():
            if RESET in case.annotate:
                what = f"{variant.node} has no reset of which `{RESET}` could say how it is"
                problems.add(case.at, what, "annotate it by another key")


_RESERVED = {
    "fires_at": "an export with `ties` notes there which threshold a layer has",
    "annotated": "an export notes there what readers must follow",
    "dt": "an export notes there the time step",
}


def _notes_are_words(case: Case, problems: Problems) -> None:
    """Keys are names that are nobody else's, and values are what a file holds."""
    for key, value in case.metadata.items():
        if not key.isidentifier() or keyword.iskeyword(key):
            problems.add(case.at, f"`{key}` can't be a key of the metadata", "give it a plain name")
        elif key.endswith("_initial"):
            mend = "say under `start` where the layer's state starts"
            problems.add(case.at, f"`{key}` says where a state starts", mend)
        elif key in _RESERVED:
            problems.add(case.at, f"`{key}` is taken: {_RESERVED[key]}", "give it another name")
        elif value is None or value == "":
            problems.add(case.at, f"`{key}` has no value that a file can hold", "give it a word")
        elif not isinstance(value, (str, bool)) and not abs(value) < 2**53:
            problems.add(case.at, f"`{key}` is a number that files hold rounded", "make it a word")
    for key in sorted(set(case.annotate) & set(case.remember)):
        problems.add(case.at, f"`{key}` is annotated and remembered", "annotate it")


def normalization_is_complete(
    mapping: LayerMapping, framework: FrameworkMappings, mappings: Mappings, problems: Problems
) -> None:
    """A normalization speaks of the node's fields, and gives every parameter that is bound."""
    for form in mapping.normalize:
        if form.node not in mapping.imported:
            mend = did_you_mean(form.node, mapping.imported)
            problems.add(form.at, f"no import makes the layer of `{form.node}`", mend)
        elif form.node in mappings.nodes:
            _complete(form, mapping, framework, mappings.nodes[form.node], problems)


def _complete(
    form: Normalization,
    mapping: LayerMapping,
    framework: FrameworkMappings,
    node: Node,
    problems: Problems,
) -> None:
    fields = set(node.fields)
    formulas = [form.when, form.gain, form.shift, *form.layer.values(), *form.start.values()]
    for unknown in sorted({name for f in formulas for name in names(f)} - fields - {"dt"}):
        problems.add(form.at, f"the node has no `{unknown}`", did_you_mean(unknown, fields))
    bound = bound_parameters(mapping) & set(framework.constructor(mapping))
    for name in sorted(set(form.layer) ^ bound):
        what = "is not given" if name in bound else "is no bound parameter of the layer"
        problems.add(form.at, f"`{name}` {what} in `normalize`", did_you_mean(name, bound))
    if set(form.start) != set(mapping.state):
        problems.add(form.at, f"`start` must give {', '.join(mapping.state)}")


def reasons_are_given(
    mapping: LayerMapping, framework: FrameworkMappings, mappings: Mappings, problems: Problems
) -> None:
    """One direction only, or none, need a reason; every layer needs its equation."""
    if mapping.direction != "both" and not mapping.because:
        key = {"export": "export_only"}.get(mapping.direction, mapping.direction)
        problems.add(mapping.places[key], f"`{key}` needs the reason as its text")
    neurons = [node.name for node in _nodes(mapping, mappings) if node.is_neuron]
    if neurons and not mapping.step:
        what = f"the mapping needs the layer's `step`: it is proved against {neurons[0]}'s"
        problems.add(mapping.places.get("equation", mapping.at), what, _STEP)
    elif not mapping.equation and not mapping.step:
        problems.add(mapping.at, "the mapping needs the layer's `equation`")


_STEP = "with `x` for its input and `y` for its output, such as `v = v + x`, `y = v > 1`"


def steps_are_complete(
    mapping: LayerMapping, framework: FrameworkMappings, mappings: Mappings, problems: Problems
) -> None:
    """A step gives the output, of names that have a value; what it keeps is the node's state."""
    step = mapping.step
    if not step:
        return
    at = mapping.places["step"]
    if OUTPUT not in step.assigned:
        problems.add(at, f"no line of the step gives its output, `{OUTPUT}`", _STEP)
    known = {*framework.signature(mapping), *mapping.attributes, "dt", INPUT, OUTPUT}
    known |= {name for formula in mapping.read.values() for name in names(formula)}
    tensors = (mapping.part.tensors, *(link.tensors for link in mapping.all_links))
    known |= {name for held in tensors for name in held.values()}
    for line in step.lines:
        for name in sorted(names(line.formula) - known - set(step.assigned)):
            mend = did_you_mean(name, {*known, *step.assigned})
            problems.add(line.at, f"`{name}` is neither given nor assigned", mend)
    related = set().union(*(names(formula) for formula in mapping.state.values()))
    for name in step.kept:
        if name not in {*related, OUTPUT}:
            what = f"`{name}` is read before it is assigned, and no `state` speaks of it"
            problems.add(next(line.at for line in step.lines if line.name == name), what)
    for variable, formula in mapping.state.items():
        own = names(formula) & set(step.assigned)
        for name in sorted(names(formula) - known - own):
            mend = did_you_mean(name, step.assigned)
            problems.add(mapping.places["state"], f"`{name}` is no variable of the step", mend)
        if len(own) != 1:
            what = f"{variable} must follow from one variable that the step assigns"
            problems.add(mapping.places["state"], what, f"it assigns {', '.join(step.assigned)}")


def options_are_declared(
    mapping: LayerMapping, framework: FrameworkMappings, mappings: Mappings, problems: Problems
) -> None:
    """An import on request names an option of the framework."""
    option, known = mapping.on_request, framework.framework.options
    if option is not None and option not in known:
        mend = did_you_mean(option, known)
        problems.add(mapping.places["on_request"], f"framework.yaml has no option `{option}`", mend)


def imports_are_determined(
    mapping: LayerMapping, framework: FrameworkMappings, mappings: Mappings, problems: Problems
) -> None:
    """Backwards, every formula can be solved, and every required parameter is found."""
    if mapping.direction != "both":
        return
    for node in (mappings.nodes[n] for n in mapping.imported if n in mappings.nodes):
        backwards = inverse.invert(mapping, node)
        for binding in backwards.unsolved():
            problems.add(
                binding.at,
                f"`{binding.field}` can't be solved for the layer's parameters",
                "each unknown must occur once, behind + - * / and functions with an inverse;"
                " or say why the mapping is `export_only`",
            )
    found = bound_parameters(mapping) | {*mapping.derive, *mapping.fix, *_time_step(mapping)}
    for name, parameter in framework.constructor(mapping).items():
        if parameter.required and name not in found:
            problems.add(
                mapping.at, f"an import can't know `{name}`, which the layer requires", "derive it"
            )


def _nodes(mapping: LayerMapping, mappings: Mappings) -> list[Node]:
    return [mappings.nodes[name] for name in mapping.nodes if name in mappings.nodes]


RULES: tuple[Rule, ...] = (
    layers_have_signatures,
    nodes_exist,
    names_are_declared,
    functions_take_what_they_are_given,
    parameters_are_accounted_for,
    kept_is_as_made,
    fields_are_accounted_for,
    state_is_accounted_for,
    metadata_tells,
    normalization_is_complete,
    steps_are_complete,
    reasons_are_given,
    options_are_declared,
    imports_are_determined,
)

RULES_WITHOUT_NODE: tuple[Rule, ...] = (layers_have_signatures, node_is_named, reasons_are_given)
"""For layers that are skipped or refused: nothing of them is converted."""

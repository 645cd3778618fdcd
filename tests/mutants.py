"""Wrong mappings, made of the right ones by one change each; and who notices.

`python -m tests.mutants` (or `make mutants`) changes the formulas of all neurons: what a binding,
a guard, a start, a normalization, a relation of states or a step says, and the words of metadata.
It prints how many the generator refuses, and those that it doesn't.
"""

from __future__ import annotations

import argparse
import random
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from nirgen import proving
from nirgen.mapping import load_shipped, proofs, rules
from nirgen.mapping.expressions import (
    Binary,
    Call,
    Conditional,
    Expression,
    Literal,
    Name,
    Negative,
    Not,
    names,
    show,
)
from nirgen.mapping.model import Case, FrameworkMappings, LayerMapping, Mappings, Part
from nirgen.mapping.problems import Problem, Problems
from nirgen.mapping.steps import Step

LOADED = load_shipped()
_OTHER = {
    "+": "-", "-": "+", "*": "/", "/": "*", "@": "/", "<": ">", ">": "<", "<=": ">=", ">=": "<=",
    "==": "!=", "!=": "==", "and": "or", "or": "and", "is": "is not", "is not": "is",
}  # fmt: skip

NOT_DUE = "a reset to zero at once leaves nothing due: the line is for states that no run reaches"
NEXT = "the line after it decides"
AS_DONE = "the relation of states takes a late reset for done"
EQUIVALENT = {
    r"\S+ normalize \w+\.when: ": "a narrower guard leaves more nodes to the reference",
    r"snntorch/(synaptic|rleaky).yaml step h.\d: (0|h - threshold) if due": NOT_DUE,
    r"snntorch/\w+\.yaml step mem\.\d: h - \((y|fired) - due\) \* h if ": AS_DONE,
    r"snntorch/rsynaptic.yaml step back.* due$": "with a late reset, what is due is the last spike",
    r"snntorch/\w+.yaml step mem.\d: h - .* -> (mem - |.*\* mem if )": "mem is h there",
    r"snntorch/r?synaptic.yaml step .* -> clamp\(\w+, 0, 2\)": "what is clamped at 1 is refused",
    r"\S+/(li|non_spiking)\S* step v.0: .* - y\b": "the last output is v",
    r"snntorch/r?(leaky|synaptic).yaml step mem.7: .* if not reset_delay else": NEXT,
    r"\S+ step after\.\d: .*else v_reset -> .*else rest$": "`rest` is v_reset where there is one",
    r"\S+ bind (reset\.\d\.)?v_reset: ": "v_reset has no part in a reset by subtraction",
}
"""Changes that change nothing that a network computes, and why; tried on what is not noticed."""


@dataclass(frozen=True)
class Mutant:
    """A mapping with one change."""

    framework: FrameworkMappings
    mapping: LayerMapping
    kind: str
    what: str

    def __str__(self) -> str:
        return f"{self.mapping.file.removeprefix('mappings/')} {self.kind} {self.what}"

    def problems(self) -> list[Problem]:
        """What the generator finds wrong with it."""
        others = tuple(
            self.mapping if other.file == self.mapping.file else other
            for other in self.framework.layers
        )
        whole = replace(self.framework, layers=others)
        alone = replace(self.framework, layers=(self.mapping,))
        found = Problems()
        rules.check(Mappings(LOADED.nodes, (whole,)), found)
        for check in (proofs.check, proving.check):
            if not found.found:
                check(Mappings(LOADED.nodes, (alone,)), found)
        return found.found


def neurons() -> Iterator[tuple[FrameworkMappings, LayerMapping]]:
    """All mappings that have a step to be proved."""
    for framework in LOADED.frameworks:
        for mapping in framework.layers:
            if mapping.step and mapping.nodes:
                yield framework, mapping


def mutants(framework: FrameworkMappings, mapping: LayerMapping) -> Iterator[Mutant]:
    """All mutants of a mapping."""
    words = frozenset(framework.signature(mapping))
    for kind, label, formula, put in _formulas(mapping):
        pool = sorted((words & mapping.parameters_read()) | names(formula))
        if kind == "step":
            pool = sorted({*names(formula), *mapping.step.assigned, *(mapping.step.read)})
        if kind == "normalize":
            node = next(form.node for form in mapping.normalize if form.node in label)
            pool = sorted(LOADED.nodes[node].fields)
        for changed in _changes(formula, pool):
            what = f"{label}: {show(formula)} -> {show(changed)}"
            yield Mutant(framework, put(changed), kind, what)
    yield from (Mutant(framework, *rest) for rest in _words(mapping))


# --- places ---------------------------------------------------------------------------------

Put = Callable[[Expression], LayerMapping]


def _formulas(mapping: LayerMapping) -> Iterator[tuple[str, str, Expression, Put]]:
    """Every formula of a mapping: its kind, its name, and how another is put in its place."""
    yield from _of_part(mapping.part, "", lambda part: replace(mapping, part=part))
    for number, choice in enumerate(mapping.choices):
        for k, case in enumerate(choice.cases):

            def put_case(changed: Case, number: int = number, k: int = k) -> LayerMapping:
                held = mapping.choices[number]
                cases = (*held.cases[:k], changed, *held.cases[k + 1 :])
                choices = list(mapping.choices)
                choices[number] = replace(held, cases=cases)
                return replace(mapping, choices=tuple(choices))

            label = f"{choice.name}.{k}."
            yield (
                "when",
                f"{label}when",
                case.when,
                lambda f, c=case, p=put_case: p(replace(c, when=f)),
            )
            yield from _of_part(
                case.part, label, lambda part, c=case, p=put_case: p(replace(c, part=part))
            )
    for number, line in enumerate(mapping.step.lines):

        def put_line(formula: Expression, number: int = number) -> LayerMapping:
            lines = list(mapping.step.lines)
            lines[number] = replace(lines[number], formula=formula)
            return replace(mapping, step=Step(tuple(lines)))

        yield "step", f"{line.name}.{number}", line.formula, put_line
    for variable, formula in mapping.state.items():
        yield (
            "state",
            variable,
            formula,
            lambda f, v=variable: replace(mapping, state={**mapping.state, v: f}),
        )
    for number, form in enumerate(mapping.normalize):

        def put_form(changed: Any, number: int = number) -> LayerMapping:
            forms = list(mapping.normalize)
            forms[number] = changed
            return replace(mapping, normalize=tuple(forms))

        for key in ("when", "gain", "shift"):
            yield (
                "normalize",
                f"{form.node}.{key}",
                getattr(form, key),
                lambda f, k=key, o=form, p=put_form: p(replace(o, **{k: f})),
            )
        for key in ("layer", "start"):
            held = getattr(form, key)
            for name, formula in held.items():
                yield (
                    "normalize",
                    f"{form.node}.{key}.{name}",
                    formula,
                    lambda f, n=name, k=key, h=held, o=form, p=put_form: p(
                        replace(o, **{k: {**h, n: f}})
                    ),
                )


def _of_part(
    part: Part, label: str, put: Callable[[Part], LayerMapping]
) -> Iterator[tuple[str, str, Expression, Put]]:
    for number, binding in enumerate(part.bind):

        def put_binding(formula: Expression, number: int = number) -> LayerMapping:
            bind = list(part.bind)
            bind[number] = replace(bind[number], formula=formula)
            return put(replace(part, bind=tuple(bind)))

        yield "bind", f"{label}{binding.field}", binding.formula, put_binding
    for variable, formula in part.start.items():
        yield (
            "start",
            f"{label}{variable}",
            formula,
            lambda f, v=variable: put(replace(part, start={**part.start, v: f})),
        )


def _words(mapping: LayerMapping) -> Iterator[tuple[LayerMapping, str, str]]:
    """Metadata with other words, or without; resets exchanged between cases."""
    resets = ("subtract", "subtract_next", "subtract_carried")
    for number, choice in enumerate(mapping.choices):
        for k, case in enumerate(choice.cases):
            told = case.annotate.get("reset")
            others = [{"reset": word} for word in resets if word != told]
            others += [{}] if told is not None else []
            if not any(mapping_node.fires for mapping_node in map(LOADED.nodes.get, mapping.nodes)):  # type: ignore[union-attr]
                continue
            for other in others if told is not None or "reset" in choice.name else []:
                cases = (*choice.cases[:k], replace(case, annotate=other), *choice.cases[k + 1 :])
                choices = list(mapping.choices)
                choices[number] = replace(choice, cases=cases)
                what = f"{choice.name}.{k}: {told} -> {other.get('reset')}"
                yield replace(mapping, choices=tuple(choices)), "metadata", what


# --- changes --------------------------------------------------------------------------------


def _changes(formula: Expression, pool: list[str]) -> Iterator[Expression]:
    """The formula with one change."""
    seen = {formula}
    for changed in _changed(formula, pool):
        if changed not in seen:
            seen.add(changed)
            yield changed


def _changed(formula: Expression, pool: list[str]) -> Iterator[Expression]:
    match formula:
        case Literal(bool() as value):
            yield Literal(not value)
        case Literal(int() | float() as value):
            yield from (Literal(value + 1), Literal(2 * value), Literal(0))
        case Name(name):
            yield from (Name(other) for other in pool if other != name)
            yield Binary("*", formula, Literal(2))
        case Negative(operand):
            yield operand
            yield from (Negative(c) for c in _changed(operand, pool))
        case Not(operand):
            yield operand
            yield from (Not(c) for c in _changed(operand, pool))
        case Conditional(test, then, other):
            yield from (then, other, Conditional(test, other, then))
            yield from (Conditional(c, then, other) for c in _changed(test, pool))
            yield from (Conditional(test, c, other) for c in _changed(then, pool))
            yield from (Conditional(test, then, c) for c in _changed(other, pool))
        case Call(function, arguments):
            yield arguments[0]
            for number, argument in enumerate(arguments):
                for c in _changed(argument, pool):
                    yield Call(function, (*arguments[:number], c, *arguments[number + 1 :]))
        case Binary(symbol, left, right):
            yield Binary(_OTHER[symbol], left, right)
            if symbol not in _OTHER or symbol in "+-*/@andor":
                yield from (left, right)
            yield from (Binary(symbol, c, right) for c in _changed(left, pool))
            yield from (Binary(symbol, left, c) for c in _changed(right, pool))


# --- who notices ----------------------------------------------------------------------------


def equivalent(mutant: Mutant) -> str | None:
    """Why a mutant that nobody notices is no mistake; None if it is one."""
    found = (reason for what, reason in EQUIVALENT.items() if re.match(what, str(mutant)))
    return next(found, None)


def all_mutants() -> list[Mutant]:
    return [mutant for neuron in neurons() for mutant in mutants(*neuron)]


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--samples", type=int, help="try so many, drawn by chance; all, if left out"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--quiet", action="store_true", help="do not list the survivors")
    options = parser.parse_args(arguments)
    found = all_mutants()
    if options.samples is not None:
        found = random.Random(options.seed).sample(found, min(options.samples, len(found)))
    began = time.perf_counter()
    total: Counter[str] = Counter()
    refused: Counter[str] = Counter()
    equal: Counter[str] = Counter()
    for mutant in found:
        noticed = bool(mutant.problems())
        reason = None if noticed else equivalent(mutant)
        if reason is not None:
            equal[reason] += 1
            continue
        total[mutant.kind] += 1
        refused[mutant.kind] += noticed
        if not noticed and not options.quiet:
            print(f"not noticed: {mutant}", flush=True)
    for kind in (*total, ""):
        one, all_ = (refused[kind], total[kind]) if kind else (refused.total(), total.total())
        print(f"{kind or 'all':<10} {one:>5} of {all_:>5} refused, {one / all_:.1%}")
    for reason, count in equal.items():
        print(f"{count:>5} change nothing: {reason}")
    print(f"{time.perf_counter() - began:.0f} s")
    return 0 if refused.total() >= 0.95 * total.total() else 1


if __name__ == "__main__":
    sys.exit(main())

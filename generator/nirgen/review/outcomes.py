"""A mapping as a function: a layer's parameters in, a node out; on samples of two mappings."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nirgen.mapping.expressions import Expression, holds, names
from nirgen.mapping.model import NODE, Case, Field, LayerMapping, Node, Parameter
from nirgen.mapping.samples import SAMPLES, Interval, interval, samples
from nirgen.review.measure import Measured, Trial, Values, computed, measure
from nirgen.review.statements import at_first, cases_of


@dataclass(frozen=True)
class Outcome:
    """What a mapping makes of a layer.

    Attributes:
        stated: values by what they are of, as statements name it: the node's fields, where its
            state starts, the cases that apply.
        grade: `exact`; `annotated`, with the reasons in `because`; or `undecided` where a choice
            has no case for the layer, or several, and nothing else is stated.
    """

    stated: Mapping[str, Any]
    grade: str
    because: str


def outcome(mapping: LayerMapping, values: Values) -> Outcome | None:
    """What a mapping makes of a layer with such parameters; None where it refuses the layer."""
    if not _is_accepted(mapping, values):
        return None
    applying = [[c for c in choice.cases if holds(c.when, values)] for choice in mapping.choices]
    chosen = dict(_chosen(mapping, applying))
    if any(len(cases) != 1 for cases in applying):
        return Outcome(chosen, grade="undecided", because="")
    cases = [case for (case,) in applying]
    return Outcome(
        stated={**dict(_stated(mapping, cases, values)), **chosen},
        grade="annotated" if any(case.annotate for case in cases) else "exact",
        because="; ".join(case.because for case in cases if case.annotate),
    )


def _chosen(mapping: LayerMapping, applying: list[list[Case]]) -> Iterator[tuple[str, str]]:
    """The cases of each choice that apply; a sound mapping has one of each."""
    for choice, cases in zip(mapping.choices, applying, strict=True):
        numbers = [str(choice.cases.index(case) + 1) for case in cases]
        one = "no case" if not numbers else f"case {numbers[0]}"
        yield cases_of(choice.name), f"cases {' and '.join(numbers)}" if numbers[1:] else one


def _stated(
    mapping: LayerMapping, cases: Sequence[Case], values: Values
) -> Iterator[tuple[str, Any]]:
    for part in (mapping.part, *(case.part for case in cases)):
        yield from ((NODE + b.field, computed(b.formula, values)) for b in part.bind)
        yield from ((at_first(name), computed(f, values)) for name, f in part.start.items())
    for link in (*mapping.links, *(link for case in cases for link in case.links)):
        yield from ((f"{link.node}.{b.field}", computed(b.formula, values)) for b in link.bind)


def _is_accepted(mapping: LayerMapping, values: Values) -> bool:
    return (
        all(holds(domain, values, unknown=True) for domain in mapping.domain.values())
        and all(values.get(n, f.value) == f.value for n, f in mapping.fix.items())
        and not any(holds(rejection.when, values) for rejection in mapping.reject)
    )


@dataclass(frozen=True)
class Sample:
    """A layer's parameters, and what two mappings make of it."""

    values: Values
    old: Outcome | None
    new: Outcome | None


@dataclass(frozen=True)
class Versions:
    """Two versions of a layer's mapping, with the signatures and nodes that they speak of."""

    old: LayerMapping
    new: LayerMapping
    old_signature: Mapping[str, Parameter]
    new_signature: Mapping[str, Parameter]
    nodes: Mapping[str, Node]

    @property
    def are_alike(self) -> bool:
        """Whether both say the same, word for word, of the same parameters."""
        return self.old == self.new and self.old_signature == self.new_signature

    @cached_property
    def samples(self) -> tuple[Sample, ...]:
        """Layers from the domains of both, so that what was accepted shows, and what is."""
        return tuple(
            Sample(values, outcome(self.old, values), outcome(self.new, values))
            for values in (
                *self._drawn(self.old, self.old_signature),
                *self._drawn(self.new, self.new_signature),
            )
        )

    def _drawn(
        self, mapping: LayerMapping, signature: Mapping[str, Parameter]
    ) -> Iterator[dict[str, Any]]:
        """A mapping's samples; parameters that only one version knows have their default."""
        known = {**self.new_signature, **self.old_signature}
        defaults = {name: p.default for name, p in known.items() if not p.required}
        shared = set(self.old_signature) & set(self.new_signature)
        source = random.Random(mapping.stem)
        for drawn in samples(mapping, signature):
            one_sided = {name for name in drawn if name in known and name not in shared}
            kept = {name: value for name, value in drawn.items() if name not in one_sided}
            arrays = {name: Interval(low=0.0).draw(source) for name in self._arrays}
            yield {**defaults, **kept, **arrays}

    @cached_property
    def _arrays(self) -> tuple[str, ...]:
        return tuple(sorted({*self.old.attributes, *self.new.attributes}))

    def measure_free(self, old: Expression, new: Expression) -> Measured | None:
        """What separates two formulas over the node's fields, or over a live layer's attributes."""
        wanted = sorted(n for n in names(old) | names(new) if not self._is_tensor(n))
        source = random.Random(" ".join(wanted))
        inputs = ({name: self._draw(name, source) for name in wanted} for _ in range(SAMPLES))
        return measure(Trial(v, computed(old, v), computed(new, v)) for v in inputs)

    def measure_guards(self, old: Expression, new: Expression) -> Measured | None:
        """On how many layers two guards disagree."""
        wanted = sorted(names(old) | names(new))
        return measure(
            Trial(
                {name: s.values[name] for name in wanted if name in s.values},
                computed(old, s.values),
                computed(new, s.values),
            )
            for s in self.samples
        )

    def _draw(self, name: str, source: random.Random) -> float:
        if name == "dt":
            return math.exp(source.uniform(math.log(1e-6), math.log(1e-1)))
        field = self._field(name)
        domain = field.domain if field is not None else None
        domain = domain or self.new.domain.get(name) or self.old.domain.get(name)
        return (interval(domain) if domain is not None else Interval()).draw(source)

    def _field(self, name: str) -> Field | None:
        """The field of the node that has the name, if one has."""
        nodes = (self.nodes[node] for node in self.new.nodes if node in self.nodes)
        return next((node.fields[name] for node in nodes if name in node.fields), None)

    def _is_tensor(self, name: str) -> bool:
        field = self._field(name)
        return field is not None and field.kind == "tensor"

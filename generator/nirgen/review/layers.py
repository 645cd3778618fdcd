"""Two versions of a layer's mapping -> what changed, and what that does to the numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from operator import attrgetter
from typing import Any

from nirgen.mapping.expressions import Expression, Name, NotComputable, evaluate, names, show, walk
from nirgen.mapping.model import NODE, Example, Parameter, Rejection
from nirgen.mapping.samples import interval
from nirgen.mapping.source import Constant
from nirgen.review import statements
from nirgen.review.changes import Change
from nirgen.review.measure import ROUNDING, Measured, Trial, distance, measure, shown
from nirgen.review.outcomes import Versions, outcome
from nirgen.review.statements import Key, Row, lines

Rows = tuple[Row, ...]

KINDS: Mapping[str, str] = {
    "field": "formula",
    "start": "formula",
    "choice": "formula",
    "normalize": "formula",
    "read": "formula",
    "domain": "rule",
    "node": "rule",
    "note": "grade",
}
"""What a change of a statement is called, where it isn't called like the statement."""


def changes(versions: Versions) -> Iterator[Change]:
    """All that changed in a layer's mapping, the gravest first."""
    yield from _grades(versions)
    old = statements.of_layer(versions.old, versions.old_signature)
    new = statements.of_layer(versions.new, versions.new_signature)
    found = list(compare(old, new, lambda key, was, now: _effect(key, was, now, versions)))
    yield from (change for change in found if change.kind != "words")
    yield from _rejections(versions)
    yield from _examples(versions)
    yield from (change for change in found if change.kind == "words")


Judgement = tuple[str, "Measured | None", bool]
"""What a change of a statement does: in words, in numbers, and whether something is lost."""

Judge = Callable[[Key, Rows, Rows], Judgement]


def compare(
    old: statements.Statements, new: statements.Statements, judge: Judge
) -> Iterator[Change]:
    """The statements that differ, in the order of the new version."""
    for key in dict.fromkeys((*new, *old)):
        was, now = old.get(key, ()), new.get(key, ())
        if list(map(str, was)) == list(map(str, now)):
            continue
        effect, measured, loss = judge(key, was, now)
        old_rows, new_rows = (was, now) if key.kind == "choice" else _apart(was, now)
        yield Change(
            kind=KINDS.get(key.kind, key.kind),
            what=key.what,
            old=lines(old_rows),
            new=lines(new_rows),
            effect=effect,
            measured=measured,
            loss=loss,
        )


def _apart(was: Rows, now: Rows) -> tuple[Rows, Rows]:
    """The rows without those that both sides have."""
    common = set(map(str, was)) & set(map(str, now))
    return (
        tuple(row for row in was if str(row) not in common),
        tuple(row for row in now if str(row) not in common),
    )


# --- what a change does ---------------------------------------------------------------------


def _effect(key: Key, was: Rows, now: Rows, versions: Versions) -> Judgement:
    match key.kind:
        case "domain":
            return _of_domain(was, now)
        case "field" | "start" | "choice":
            return _told(was, now, _of_outcomes(key.what, was, now, versions), False)
        case "parameter":
            loss = _is_loss_of_parameter(key.what, was, now, versions)
            return _told(was, now, _of_formulas(was, now, versions), loss)
        case "normalize" | "read":
            gone = key.what == statements.ANY_OTHER + "where" and not now
            return _told(was, now, _of_formulas(was, now, versions), gone)
    return "", None, False


def _told(was: Rows, now: Rows, measured: Measured | None, loss: bool) -> Judgement:
    """What the numbers say, or that they say nothing of formulas."""
    both = bool(was and now) and all(row.formula is not None for row in (*was, *now))
    return "can't be computed here" if both and measured is None else "", measured, loss


def _of_outcomes(what: str, was: Rows, now: Rows, versions: Versions) -> Measured | None:
    """What becomes of a value of the node, on layers that both versions accept."""
    if not was or not now:
        return None
    concerned = _names((*was, *now))
    return measure(
        Trial(
            {name: sample.values[name] for name in concerned if name in sample.values},
            sample.old.stated[what],
            sample.new.stated[what],
        )
        for sample in versions.samples
        if sample.old is not None and sample.new is not None
        if what in sample.old.stated and what in sample.new.stated
    )


def _names(rows: Iterable[Row]) -> list[str]:
    """The names that some rows speak of, in their order."""
    expressions = [e for row in rows for e in (row.formula, row.where) if e is not None]
    found = (part.name for e in expressions for part in walk(e) if isinstance(part, Name))
    return list(dict.fromkeys(found))


def _of_formulas(was: Rows, now: Rows, versions: Versions) -> Measured | None:
    """What separates two formulas, if a statement was one and is one."""
    if len(was) != 1 or len(now) != 1:
        return None
    old, new = was[0].formula, now[0].formula
    return None if old is None or new is None else versions.measure_free(old, new)


def _is_loss_of_parameter(name: str, was: Rows, now: Rows, versions: Versions) -> bool:
    """Whether a parameter that the node followed from is dropped, or all but one value refused."""
    if not was or not now:
        return False
    follows = ("bound", "derived")
    dropped = was[0].text.startswith(follows) and not now[0].text.startswith(follows)
    return dropped or name in versions.new.fix


# --- domains --------------------------------------------------------------------------------


def _of_domain(was: Rows, now: Rows) -> Judgement:
    """Whether layers are refused that were not, or the other way round."""
    old, new = (rows[0].formula if rows else None for rows in (was, now))
    probes = _probes(*(domain for domain in (old, new) if domain is not None))
    narrower = any(_is_inside(old, x) and not _is_inside(new, x) for x in probes)
    wider = any(_is_inside(new, x) and not _is_inside(old, x) for x in probes)
    words = {(True, False): "narrower", (False, True): "wider", (True, True): "moved"}
    return words.get((narrower, wider), "the same values"), None, narrower


def _probes(*domains: Expression) -> list[float | None]:
    """Values on either side of every bound, on the bounds, and None."""
    bounds = {b for d in domains for b in (interval(d).low, interval(d).high) if math.isfinite(b)}
    near = [b + shift for b in (*bounds, 0.0) for shift in (-1e-6, 0.0, 1e-6)]
    return [None, -1e9, *near, 1e9]


def _is_inside(domain: Expression | None, value: float | None) -> bool:
    if domain is None:
        return True
    try:
        return bool(evaluate(domain, dict.fromkeys(names(domain), value)))
    except NotComputable:
        return False


# --- grades ---------------------------------------------------------------------------------


def _grades(versions: Versions) -> Iterator[Change]:
    """Layers that were exported exactly and are annotated now, or the other way round."""
    both = [(s.values, s.old, s.new) for s in versions.samples if s.old and s.new]
    choices = (*versions.new.choices, *versions.old.choices)
    guards = [Row("", case.when) for choice in choices for case in choice.cases]
    for was, now in (("exact", "annotated"), ("annotated", "exact")):
        turned = [found for found in both if (found[1].grade, found[2].grade) == (was, now)]
        if not turned:
            continue
        values, old, new = turned[0]
        layer = shown({name: values[name] for name in _names(guards) if name in values})
        effect = f"{len(turned)} of {len(both)} samples, such as {layer}"
        reason = new.because or old.because
        yield Change(
            "grade", "export", (was,), (now,), f"{effect}: {reason}", loss=now == "annotated"
        )


# --- rejections -----------------------------------------------------------------------------


def _rejections(versions: Versions) -> Iterator[Change]:
    """Shapes of the layer that are refused now, or no longer; a reason says which is which."""
    for old, new in _paired(versions.old.reject, versions.new.reject):
        if old is None or new is None:
            yield Change("rule", "rejected", _rejected(old), _rejected(new), loss=new is not None)
            continue
        if old.when != new.when:
            measured = versions.measure_guards(old.when, new.when)
            loss = measured is None or not measured.equal
            guards = (show(old.when),), (show(new.when),)
            yield Change("rule", "rejected", *guards, measured=measured, loss=loss)
        if (old.because, old.instead) != (new.because, new.instead):
            texts = (old.because, old.instead), (new.because, new.instead)
            yield Change("words", f"why rejected where {show(new.when)}", *texts)


def _rejected(rejection: Rejection | None) -> tuple[str, ...]:
    return () if rejection is None else (f"where {show(rejection.when)}: {rejection.because}",)


def _paired(
    old: tuple[Rejection, ...], new: tuple[Rejection, ...]
) -> Iterator[tuple[Rejection | None, Rejection | None]]:
    """Rejections of the same guard, then of the same reason; what is left has no partner."""
    left_old, left_new = list(old), list(new)
    for same in (attrgetter("when"), attrgetter("because")):
        for one in tuple(left_old):
            partner = next((other for other in left_new if same(other) == same(one)), None)
            if partner is not None:
                left_old.remove(one)
                left_new.remove(partner)
                yield one, partner
    yield from ((one, None) for one in left_old)
    yield from ((None, other) for other in left_new)


# --- examples -------------------------------------------------------------------------------


def _examples(versions: Versions) -> Iterator[Change]:
    """Examples whose numbers moved, whether or not the example was changed with them."""
    old = {_example_key(example): example for example in versions.old.examples}
    new = {_example_key(example): example for example in versions.new.examples}
    for key in dict.fromkeys((*new, *old)):
        before, after = old.get(key), new.get(key)
        if before is None:
            yield Change("example", key, (), (shown(new[key].node),))
            continue
        moved = _moved(before, versions)
        if moved is not None:
            yield Change("example", key, *moved, loss=moved[1] == ("refused",))
        elif after is None:
            yield Change("example", key, (shown(before.node),), ())


def _moved(example: Example, versions: Versions) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The example's numbers, and what the new version gives, where it gives others."""
    values = next((v for v in _layers_of(example, versions) if outcome(versions.old, v)), None)
    if values is None:
        return None  # the old version itself refused it; there was nothing to move
    made = outcome(versions.new, values)
    if made is None:
        return (shown(example.node),), ("refused",)
    now = {field: made.stated.get(NODE + field, value) for field, value in example.node.items()}
    moved = [f for f, value in example.node.items() if distance(value, now[f]) > ROUNDING]
    if not moved:
        return None
    was = {field: example.node[field] for field in moved}
    return (shown(was),), (shown({field: now[field] for field in moved}),)


def _layers_of(example: Example, versions: Versions) -> Iterator[dict[str, Any]]:
    """The example's layer where it sees the batch, and where it sees time before that."""
    defaults = {**_defaults(versions.old_signature), **_defaults(versions.new_signature)}
    for axes in (1, 2):
        yield {**defaults, **example.layer, "dt": example.dt, "batch_axes": axes, "rank": 3}


def _defaults(signature: Mapping[str, Parameter]) -> dict[str, Constant]:
    return {name: p.default for name, p in signature.items() if not p.required}


def _example_key(example: Example) -> str:
    return f"example {shown(example.layer)}, dt = {example.dt:g}"

"""Two sides of mappings -> a report of all that changed between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from nirgen.mapping.model import Framework, FrameworkMappings, LayerMapping, Mappings, Node
from nirgen.mapping.problems import Problem
from nirgen.review import layers, signatures, statements, support
from nirgen.review.changes import Change, Report, Subject, subject
from nirgen.review.outcomes import Versions
from nirgen.review.sides import Side, unproved
from nirgen.review.statements import Key


def compare(base: Side, head: Side) -> Report:
    """What the head means that the base didn't."""
    if base.problems or head.problems:
        unreadable = (*base.problems, *head.problems)
        return Report(base.label, head.label, unreadable, (), (), ())
    known = unproved(base.mappings, _changed(base.mappings, head.mappings))
    problems = unproved(head.mappings, _changed(head.mappings, base.mappings))
    return Report(
        base=base.label,
        head=head.label,
        unreadable=(),
        problems=_without(problems, known),
        mended=_without(known, problems),
        subjects=tuple(_subjects(base.mappings, head.mappings)),
    )


def _changed(mappings: Mappings, other: Mappings) -> Mappings:
    """The mappings without those that the other side has word for word: nothing new is wrong."""
    if mappings.nodes != other.nodes:
        return mappings
    known = {found.framework.name: found for found in other.frameworks}
    frameworks = (_changed_layers(f, known.get(f.framework.name)) for f in mappings.frameworks)
    return replace(mappings, frameworks=tuple(frameworks))


def _changed_layers(
    mappings: FrameworkMappings, other: FrameworkMappings | None
) -> FrameworkMappings:
    if other is None or mappings.signatures != other.signatures:
        return mappings
    return replace(mappings, layers=tuple(m for m in mappings.layers if m not in other.layers))


def _without(problems: Iterable[Problem], known: Iterable[Problem]) -> tuple[Problem, ...]:
    """Problems that are not known already, whatever line they moved to."""
    seen = {(_file(problem), problem.what) for problem in known}
    return tuple(problem for problem in problems if (_file(problem), problem.what) not in seen)


def _file(problem: Problem) -> str:
    """A problem's file below the folder of mappings, which may be called otherwise."""
    return problem.at.file.partition("/")[2]


def _subjects(old: Mappings, new: Mappings) -> Iterator[Subject]:
    yield from _nodes(old, new)
    before = {mappings.framework.name: mappings for mappings in old.frameworks}
    after = {mappings.framework.name: mappings for mappings in new.frameworks}
    for name in dict.fromkeys((*before, *after)):
        yield from _framework(name, before.get(name), after.get(name), old, new)


# --- nir.yaml -------------------------------------------------------------------------------


def _nodes(old: Mappings, new: Mappings) -> Iterator[Subject]:
    for name in dict.fromkeys((*old.nodes, *new.nodes)):
        yield from subject(
            f"NIR: {name}", "nir.yaml", _node(old.nodes.get(name), new.nodes.get(name))
        )


def _node(before: Node | None, after: Node | None) -> Iterator[Change]:
    if before is None or after is None:
        was = () if before is None else (before.says,)
        now = () if after is None else (after.says,)
        yield Change("support", "node", was, now, loss=after is None)
        return
    was_said, now_said = statements.of_node(before), statements.of_node(after)
    yield from layers.compare(was_said, now_said, lambda key, was, now: ("", None, False))


# --- frameworks -----------------------------------------------------------------------------


def _framework(
    name: str,
    before: FrameworkMappings | None,
    after: FrameworkMappings | None,
    old: Mappings,
    new: Mappings,
) -> Iterator[Subject]:
    was, now = before or _empty(after), after or _empty(before)
    about = (*_of_framework(before, after), *support.changes(was.layers, now.layers))
    yield from subject(name, f"{name}/framework.yaml", about)
    releases = _of_signatures(was, now)
    yield from subject(f"{name}: signatures", f"{name}/signatures.yaml", releases)
    for one, other in _paired(was.layers, now.layers):
        versions = Versions(
            old=one,
            new=other,
            old_signature=was.signature(one),
            new_signature=now.signature(other),
            nodes={**old.nodes, **new.nodes},
        )
        if versions.are_alike:
            continue
        file = other.file.partition("/")[2]
        yield from subject(f"{name}: {support.title(other)}", file, layers.changes(versions))


def _empty(other: FrameworkMappings | None) -> FrameworkMappings:
    """A framework before it had mappings, or after."""
    if other is None:
        raise ValueError("a framework that neither side has")
    return FrameworkMappings(other.framework, {}, ())


def _of_framework(
    before: FrameworkMappings | None, after: FrameworkMappings | None
) -> Iterator[Change]:
    if before is None and after is not None:
        yield Change("support", "framework", (), (_release(after.framework),))
    elif after is None and before is not None:
        yield Change("support", "framework", (_release(before.framework),), (), loss=True)
    elif before is not None and after is not None:
        was, now = (statements.of_framework(side.framework) for side in (before, after))
        yield from layers.compare(was, now, _judge_framework)


def _judge_framework(key: Key, was: layers.Rows, now: layers.Rows) -> layers.Judgement:
    """What an import or an export builds on is lost when its entry goes."""
    return "", None, bool(was) and not now and key.what.partition(":")[0] in _BUILT_ON


_BUILT_ON = frozenset(
    (
        *("mode", "options", "containers", "builds_on", "fallback"),
        *("cell", "load_state", "read_state", "beginning", "reset_value", "preset"),
    )
)


def _release(framework: Framework) -> str:
    return f"{framework.title} {framework.version}"


def _of_signatures(was: FrameworkMappings, now: FrameworkMappings) -> Iterator[Change]:
    """What a framework's release brought, for the layers that both sides know."""
    for layer, signature in now.signatures.items():
        if layer in was.signatures:
            yield from signatures.changes(layer, was.signatures[layer], signature)


def _paired(
    old: Iterable[LayerMapping], new: Iterable[LayerMapping]
) -> Iterator[tuple[LayerMapping, LayerMapping]]:
    """Versions of one mapping: they map the same class, first of all, whatever their files."""
    left = list(old)
    for mapping in new:
        by_first = (m for m in left if m.layers[:1] == mapping.layers[:1])
        by_any = (m for m in left if set(m.layers) & set(mapping.layers))
        partner = next(by_first, None) or next(by_any, None)
        if partner is not None:
            left.remove(partner)
            yield partner, mapping

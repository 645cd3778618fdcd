"""What a graph says of where it comes from: its time step, and what wrote it.

NIR has no field for a time step, and a network's spikes depend on it. So the metadata of a graph
that is exported here hold::

    dt                 the time step at which it is the network that was exported, in seconds
    framework          the framework of that network, "SpikingJelly"
    framework_version  "2.0.0", where it is known
    exporter           "nir-exchange 0.1.0"

A number and strings, side by side: nir keeps those, and versions of it that know no metadata pass
over them. Any other writer may say `dt` in the same way. Known without torch.
"""

from __future__ import annotations

import functools
import importlib.metadata
import math
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import nir

from nir_runtime.arguments import DEFAULT_DT, as_dt, described
from nir_runtime.contract.nesting import DEEPEST
from nir_runtime.contract.primitives import PRIMITIVES, is_stateful
from nir_runtime.errors import InvalidGraph, Problem

DT = "dt"
FRAMEWORK = "framework"
FRAMEWORK_VERSION = "framework_version"
EXPORTER = "exporter"
KEYS = (DT, FRAMEWORK, FRAMEWORK_VERSION, EXPORTER)
"""The keys of a graph's metadata that say where it comes from."""

NEARNESS = 1e-6
"""How far two time steps may be apart, relative to the larger, and be the same number, rounded: a
few roundings in single precision, which changes a decay by less than computing in it does."""


# --- writing --------------------------------------------------------------------------------


def origin_of(framework: str, package: str, dt: float) -> dict[str, Any]:
    """The metadata of a graph that is exported.

    Args:
        framework: its title, `SpikingJelly`.
        package: a package or module of it.
        dt: the time step, in seconds.
    """
    version = _version(package.partition(".")[0])
    found = {FRAMEWORK: framework.removeprefix("the "), FRAMEWORK_VERSION: version}
    said = {name: text for name, text in found.items() if text is not None}
    return {DT: dt, **said, EXPORTER: " ".join(filter(None, (_OURS, _version(_OURS))))}


_OURS = "nir-exchange"


@functools.cache
def _version(package: str) -> str | None:
    """The version of what is installed; None if that can't be found out."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        version = getattr(sys.modules.get(package), "__version__", None)
        return version if isinstance(version, str) else None


# --- reading --------------------------------------------------------------------------------


@dataclass(frozen=True)
class Said:
    """What the metadata of a graph, or of a graph in it, have as `dt`.

    Attributes:
        place: its path in a file.
        value: what is there.
        dt: the time step, in seconds; None if the value is none.
    """

    place: str
    value: Any
    dt: float | None

    @property
    def problem(self) -> Problem:
        """What is wrong with it, if it is no time step."""
        what = f"is {described(self.value)}, which is no time step in seconds"
        return Problem(self.place, what, "give dt, or correct the metadata")


def said(graph: nir.NIRGraph) -> Iterator[Said]:
    """All that a graph and the graphs in it say of their time steps; the outermost come first."""
    pending = deque([(graph, "/node", 0)])
    seen: set[int] = set()
    while pending:
        level, place, depth = pending.popleft()
        if id(level) in seen or depth > DEEPEST:
            continue
        seen.add(id(level))
        metadata = getattr(level, "metadata", None)
        if isinstance(metadata, Mapping) and DT in metadata:
            yield Said(f"{place}/metadata/{DT}", metadata[DT], as_dt(metadata[DT]))
        for name, node in level.nodes.items():
            if isinstance(node, nir.NIRGraph):
                pending.append((node, f"{place}/nodes/{name}", depth + 1))


def carried(graph: nir.NIRGraph) -> float | None:
    """The time step that a graph carries, in seconds; None if it says none.

    The graph's own counts, or else that on which all graphs in it agree.

    Raises:
        InvalidGraph: it says what is no time step, or several.
    """
    return _decided(list(said(graph)))


def readable(graph: nir.NIRGraph) -> float | None:
    """The same for who only shows it: None, too, if it says what is no time step, or several."""
    try:
        return carried(graph)
    except InvalidGraph:
        return None


def _decided(claims: Sequence[Said]) -> float | None:
    if not claims:
        return None
    outermost = claims[0].place == f"/node/metadata/{DT}"
    counting = claims[:1] if outermost else claims
    wrong = [claim.problem for claim in counting if claim.dt is None]
    if wrong:
        raise InvalidGraph(wrong)
    first, *others = (claim.dt for claim in counting if claim.dt is not None)
    if not all(is_near(first, other) for other in others):
        raise InvalidGraph(
            Problem(claim.place, f"is {claim.dt:.9g}, and another graph's differs", "give one dt")
            for claim in counting
        )
    return first


def is_near(dt: float, other: float) -> bool:
    """Whether two time steps are the same but for rounding."""
    return math.isclose(dt, other, rel_tol=NEARNESS)


def told(graph: nir.NIRGraph) -> str:
    """What a graph says of where it comes from: a line."""
    metadata = graph.metadata if isinstance(graph.metadata, Mapping) else {}
    framework = " ".join(_texts(metadata, FRAMEWORK, FRAMEWORK_VERSION))
    exporter = " ".join(_texts(metadata, EXPORTER))
    written = f"from {framework}" if framework else ""
    by = f"by {exporter}" if exporter else ""
    return ", ".join(filter(None, (" ".join(filter(None, (written, by))), _told_dt(graph))))


def _texts(metadata: Mapping[str, Any], *keys: str) -> Iterator[str]:
    for key in keys:
        if isinstance(text := metadata.get(key), str) and text.isprintable():
            yield text


def _told_dt(graph: nir.NIRGraph) -> str:
    try:
        dt = carried(graph)
    except InvalidGraph as invalid:
        found = ", ".join(f"{problem.place} {problem.what}" for problem in invalid.problems)
        return f"dt unknown: {found}"
    if dt is not None:
        return f"dt = {dt:.9g}"
    return f"says no dt: an import takes {DEFAULT_DT:g}" if depends_on_dt(graph) else ""


# --- choosing -------------------------------------------------------------------------------


@dataclass(frozen=True)
class TimeStep:
    """The time step of an import.

    Attributes:
        dt: in seconds.
        assumed: what a report says if nobody said which it is.
        aside: what it says of metadata that are not followed, since they are no time step.
        anew: what it says, and a warning, if a graph or a part of it carries another one.
    """

    dt: float
    assumed: str = ""
    aside: tuple[str, ...] = ()
    anew: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """All that a report says."""
        return (*filter(None, [self.assumed]), *self.aside, *self.anew)


def time_step(graph: nir.NIRGraph, given: float | None) -> TimeStep:
    """Which time step a graph is imported at, and what is to be said of it.

    Args:
        graph: the graph.
        given: what the caller wants; None for what the graph carries, or else `DEFAULT_DT`. If it
            is what the graph carries but for rounding, that is taken as it is there.

    Raises:
        InvalidGraph: nothing is given, and the graph says what is no time step, or several.
    """
    claims = list(said(graph))
    if given is None:
        own = _decided(claims)
    else:
        near = (claim.dt for claim in claims if claim.dt and is_near(claim.dt, given))
        own = next(near, given)
    if own is None:
        return TimeStep(DEFAULT_DT, _ASSUMED if depends_on_dt(graph) else "")
    aside = tuple(
        f"{claim.place} is {described(claim.value)}, which is no time step, and not followed"
        for claim in claims
        if claim.dt is None
    )
    others = [claim for claim in claims if claim.dt is not None and not is_near(claim.dt, own)]
    if not others or not depends_on_dt(graph):
        return TimeStep(own, aside=aside)
    return TimeStep(own, aside=aside, anew=tuple(_anew(claim, own) for claim in others))


_ASSUMED = f"the graph does not say its time step: dt = {DEFAULT_DT:g} is assumed"


def _anew(claim: Said, dt: float) -> str:
    return (
        f"{claim.place} is {claim.dt:.9g}, and the import is at dt = {dt:.9g}: the graph is "
        "discretized anew, and the spikes are not those of the network that was exported"
    )


def depends_on_dt(graph: nir.NIRGraph) -> bool:
    """Whether any node computes something else at another time step."""
    pending, seen = [graph], {id(graph)}
    while pending:
        for node in pending.pop().nodes.values():
            if isinstance(node, nir.NIRGraph):
                if id(node) not in seen:
                    seen.add(id(node))
                    pending.append(node)
            elif type(node) in PRIMITIVES and is_stateful(node):
                return True
    return False

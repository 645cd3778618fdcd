"""What a conversion can refuse, and how it says so.

Every error carries all problems found, each naming the place (a module's path in a network,
a node's path in a graph), what is wrong there, and what to do about it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nir_runtime.reports.report import Report


@dataclass(frozen=True)
class Problem:
    """One thing that stands in the way of a conversion.

    Attributes:
        place: where it is: `features.3`, `/node/nodes/lif/tau`, `dt`.
        what: what is wrong there, in one sentence.
        advice: what to do about it; empty where the sentence already says so.
    """

    place: str
    what: str
    advice: str = ""

    def __str__(self) -> str:
        text = f"{self.place}: {self.what}" if self.place else self.what
        return f"{text}\n    {self.advice}" if self.advice else text


class NirExchangeError(Exception):
    """The base of all errors raised here.

    Attributes:
        problems: everything that was found.
        report: what would have become of the whole network or graph; None if nothing is known.
    """

    report: Report | None = None

    def __init__(self, problems: Problem | Iterable[Problem]) -> None:
        self.problems: tuple[Problem, ...] = (
            (problems,) if isinstance(problems, Problem) else tuple(problems)
        )
        super().__init__(*self.problems)

    def __str__(self) -> str:
        if len(self.problems) == 1:
            return str(self.problems[0])
        listed = "\n".join(f"  {problem}" for problem in self.problems)
        return f"{len(self.problems)} problems:\n{listed}"


class InvalidArgument(NirExchangeError, ValueError):
    """An argument of an export or import that can't be meant: `dt=0`, an empty example input."""


class ExportRefused(NirExchangeError):
    """A network, or some layers of it, that NIR can't hold.

    Attributes:
        converted: the calls that could be converted, for the report.
    """

    converted: Sequence[Any] = ()


class ImportRefused(NirExchangeError):
    """A graph, or some nodes of it, that the framework can't compute."""


class LayerUnfit(ImportRefused):
    """A node that this layer can't compute; another one, or the reference, may.

    Attributes:
        REFERENCE, LESS_METADATA: advice, for when no other one does either.
    """

    REFERENCE = "import into `reference`, which computes every NIR graph"
    LESS_METADATA = "take out of the metadata what no layer follows"


class VerificationFailed(NirExchangeError):
    """An export that was run beside its network, and gave other numbers.

    Attributes:
        verification: how far the two agree, node by node.
    """

    verification: Any = None


class InvalidGraph(NirExchangeError):
    """A graph that means nothing: dangling edges, wrong shapes, parameters that are NaN."""


class InvalidFile(NirExchangeError):
    """A file that is not a NIR file, or a damaged one."""


class PackageMissing(NirExchangeError, ImportError):
    """What was asked for takes an optional package that isn't installed."""


class DrawingFailed(NirExchangeError):
    """A picture that could not be laid out."""


class AnnotatedWarning(UserWarning):
    """A layer went into a node that means the same only to a reader of the node's metadata."""


class FaintInputWarning(UserWarning):
    """A graph whose IF neurons hardly feel their input, as files of some tools are read."""


class TimeStepWarning(UserWarning):
    """A graph that is imported at another time step than the one that it carries."""

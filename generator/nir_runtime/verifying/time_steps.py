"""The time steps at which two networks are run."""

from __future__ import annotations

from dataclasses import dataclass

import nir
from torch import nn

from nir_runtime.arguments import DEFAULT_DT, as_dt
from nir_runtime.contract import origin
from nir_runtime.imports.building import time_steps
from nir_runtime.verifying.sides import Converters, Opened


@dataclass(frozen=True)
class TimeSteps:
    """The time steps of two networks, in seconds.

    Attributes:
        first, second: of them.
        says: which they are, and why, in words.
    """

    first: float
    second: float
    says: str

    @property
    def both(self) -> tuple[float, float]:
        """In order."""
        return self.first, self.second


def time_steps_of(
    subjects: tuple[Opened, Opened], given: float | None, converters: Converters
) -> TimeSteps:
    """The time step of each: as given, or else its own, or the other's, or its framework's usual.

    Raises:
        InvalidGraph: nothing is given, and a graph says what is no time step, or several.
    """
    if (dt := as_dt(given)) is not None:
        return TimeSteps(dt, dt, f"{dt:.9g}, as given")
    a, b = (_own(subject) for subject in subjects)
    if a is not None and b is not None and not origin.is_near(a, b):
        says = f"{a:.9g} and {b:.9g}, each its own: steps are compared, not seconds"
        return TimeSteps(a, b, says)
    dt = a or b or _usual(subjects, converters)
    whose = {
        (True, True): "as both have it",
        (True, False): "as the first has it",
        (False, True): "as the second has it",
        (False, False): "as neither says its own",
    }
    return TimeSteps(dt, dt, f"{dt:.9g}, {whose[a is not None, b is not None]}")


def _own(subject: Opened) -> float | None:
    """What a graph carries, or an import was built for; None if there is none."""
    if isinstance(subject, nir.NIRGraph):
        return origin.carried(subject)
    return next(iter(time_steps(subject)), None)


def _usual(subjects: tuple[Opened, Opened], converters: Converters) -> float:
    """What the framework of a network takes; without networks, what imports take."""
    networks = (subject for subject in subjects if isinstance(subject, nn.Module))
    return next((converters.of(net).TARGET.dt for net in networks), DEFAULT_DT)

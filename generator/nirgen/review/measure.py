"""What a change does to numbers: the largest relative change, and the input where it happens."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from nirgen.mapping.expressions import Call, Expression, Name, NotComputable, evaluate
from nirgen.mapping.functions import FUNCTIONS

Values = Mapping[str, Any]
ROUNDING = 1e-12
"""Relative changes up to this are rounding: the same formula, computed in another order."""


@dataclass(frozen=True)
class Unknown:
    """The value of a formula that only the runtime can compute."""


UNKNOWN = Unknown()


@dataclass(frozen=True)
class Trial:
    """Some inputs, and what was and is computed from them."""

    inputs: Values
    old: Any
    new: Any


@dataclass(frozen=True)
class Measured:
    """The difference between two formulas on samples.

    Attributes:
        samples: how many inputs both were computed for; `differing`, how many came out otherwise.
        largest: the largest relative change; None where something else than a number changed.
        ratio: new by old, where that is the same for all samples.
        worst: the inputs where the change is largest, and both values.
    """

    samples: int
    differing: int
    largest: float | None
    ratio: float | None
    worst: Trial

    @property
    def equal(self) -> bool:
        return self.differing == 0

    def __str__(self) -> str:
        if self.equal:
            return f"equal to rounding, on all {self.samples} samples"
        if self.ratio is not None:
            return f"{self.ratio:.4g} times as much, on all {self.samples} samples"
        where = f"{shown(self.worst.inputs)}: " if self.worst.inputs else ""
        values = f"{value_shown(self.worst.old)} -> {value_shown(self.worst.new)}"
        some = f"changes {self.differing} of {self.samples} samples"
        if self.largest is None:
            return f"{some}, such as {where}{values}"
        return f"{some}, by up to {self.largest:.3g} (relative) at {where}{values}"


def measure(trials: Iterable[Trial]) -> Measured | None:
    """The difference over all trials with two values; None where there is none."""
    known = [t for t in trials if not (_is_unknown(t.old) or _is_unknown(t.new))]
    if not known:
        return None
    distances = [_distance(trial.old, trial.new) for trial in known]
    differing = [distance for distance in distances if distance > ROUNDING]
    finite = [distance for distance in differing if math.isfinite(distance)]
    largest = max(finite, default=None)
    position = distances.index(max(distances) if largest is None else largest)
    return Measured(len(known), len(differing), largest, _common_ratio(known), known[position])


def computed(formula: Expression, values: Values) -> Any:
    """The value of a formula; of a function of tensors, what goes into it.

    So `zeros(a)` and `zeros(b)` can be told apart, or not, without a tensor.
    """
    match formula:
        case Call(function, arguments) if FUNCTIONS[function].evaluate is None:
            return (function, *(computed(argument, values) for argument in arguments))
        case Name(name) if name not in values:
            return (name,)
    try:
        return evaluate(formula, values)
    except NotComputable:
        return UNKNOWN


def shown(values: Values) -> str:
    """Inputs as a reader sees them: `tau = 2.5, decay_input = True`."""
    return ", ".join(f"{name} = {value_shown(value)}" for name, value in values.items())


def value_shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _is_unknown(value: Any) -> bool:
    return value is UNKNOWN or (isinstance(value, tuple) and any(map(_is_unknown, value)))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _distance(old: Any, new: Any) -> float:
    """The relative change; infinite where something else than a number changed, or zero did."""
    if isinstance(old, tuple) and isinstance(new, tuple) and len(old) == len(new):
        return max(map(_distance, old, new), default=0.0)
    if _is_number(old) and _is_number(new) and old != 0:
        return abs(float(new) - old) / abs(old)
    return 0.0 if old == new else math.inf


def _common_ratio(trials: list[Trial]) -> float | None:
    """New by old, where that is one number, other than 1, for all trials."""
    ratios = [
        float(trial.new / trial.old)
        for trial in trials
        if _is_number(trial.old) and _is_number(trial.new) and trial.old != 0
    ]
    if len(ratios) < len(trials) or abs(ratios[0] - 1.0) <= ROUNDING:
        return None
    same = all(math.isclose(ratio, ratios[0], rel_tol=1e-9) for ratio in ratios)
    return ratios[0] if same else None

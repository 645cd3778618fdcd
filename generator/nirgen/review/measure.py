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
class Symbol:
    """A tensor, or what a function makes of tensors: not computed, but told from any other."""

    name: str
    arguments: tuple[Any, ...] | None = None

    def __str__(self) -> str:
        if self.arguments is None:
            return self.name
        return f"{self.name}({', '.join(map(value_shown, self.arguments))})"


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
        values = f"{where}{value_shown(self.worst.old)} -> {value_shown(self.worst.new)}"
        some = f"changes {self.differing} of {self.samples} samples"
        if self.largest is None:
            return f"{some}, such as {values}"
        return f"{some}; largest relative change {self.largest:.3g}, at {values}"


def measure(trials: Iterable[Trial]) -> Measured | None:
    """The difference over all trials with two values; None where there is none."""
    known = [t for t in trials if not (_is_unknown(t.old) or _is_unknown(t.new))]
    if not known:
        return None
    distances = [distance(trial.old, trial.new) for trial in known]
    differing = [distance for distance in distances if distance > ROUNDING]
    finite = [distance for distance in differing if math.isfinite(distance)]
    largest = max(finite, default=None)
    position = distances.index(max(distances) if largest is None else largest)
    return Measured(len(known), len(differing), largest, _common_ratio(known), known[position])


def computed(formula: Expression, values: Values) -> Any:
    """The value of a formula; a symbol, where it is a tensor or a function of tensors."""
    match formula:
        case Call(function, arguments) if FUNCTIONS[function].evaluate is None:
            return Symbol(function, tuple(computed(argument, values) for argument in arguments))
        case Name(name) if name not in values:
            return Symbol(name)
    try:
        return evaluate(formula, values)
    except NotComputable:
        return UNKNOWN


def shown(values: Values) -> str:
    """Inputs as a reader sees them: `tau = 2.5, decay_input = True`."""
    return ", ".join(f"{name} = {value_shown(value)}" for name, value in values.items())


def value_shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def distance(old: Any, new: Any) -> float:
    """The relative change; infinite where something else than a number changed, or zero did."""
    match old, new:
        case Symbol(name, tuple() as before), Symbol(other, tuple() as after) if name == other:
            return distance(before, after)
        case tuple(), tuple() if len(old) == len(new):
            return max(map(distance, old, new), default=0.0)
    if _is_number(old) and _is_number(new) and old != 0:
        return abs(float(new) - float(old)) / abs(float(old))
    return 0.0 if old == new else math.inf


def _is_unknown(value: Any) -> bool:
    arguments = value.arguments if isinstance(value, Symbol) else None
    return value is UNKNOWN or any(map(_is_unknown, arguments or ()))


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _common_ratio(trials: list[Trial]) -> float | None:
    """New by old, where that is one number, other than 1, for all trials; nothing of zeros."""
    if not all(_is_number(trial.old) and _is_number(trial.new) for trial in trials):
        return None
    changed = [trial for trial in trials if trial.old != 0 or trial.new != 0]
    if any(trial.old == 0 for trial in changed):
        return None
    ratios = [float(trial.new) / float(trial.old) for trial in changed] or [1.0]
    same = all(math.isclose(ratio, ratios[0], rel_tol=1e-9) for ratio in ratios)
    return ratios[0] if same and abs(ratios[0] - 1.0) > ROUNDING else None

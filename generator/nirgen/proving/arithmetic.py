"""Formulas computed exactly: on fractions, or on decimals of sixty digits where `exp` occurs.

A formula is compiled once into functions of Python, and run on many numbers. What it compares is
noted, so that a proof knows how far a neuron was from its threshold.
"""

from __future__ import annotations

import math
import operator
import struct
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from decimal import Context, Decimal, localcontext
from fractions import Fraction
from typing import Any, Union

from nirgen.mapping.expressions import (
    Binary,
    Call,
    Conditional,
    Expression,
    Literal,
    Name,
    Negative,
    Not,
    NotComputable,
    calls,
    names,
    show,
)

Number = Union[Fraction, Decimal]
Values = Mapping[str, Any]
Compiled = Callable[[Values], Any]

DIGITS = 60
CLOSE = Decimal(10) ** -40
"""How near decimals must come to be the same: far beyond rounding, far below any mistake."""

_TRANSCENDENTAL = frozenset({"exp", "log", "sqrt", "sigmoid", "logit"})
_ARITHMETIC: Mapping[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "@": operator.mul,
    "/": operator.truediv,
}
_ORDER: Mapping[str, tuple[bool, bool, bool]] = {
    "<": (True, False, False),
    "<=": (True, True, False),
    "==": (False, True, False),
    "!=": (True, False, True),
    ">=": (False, True, True),
    ">": (False, False, True),
}
"""Whether a comparison holds of a smaller, an equal and a larger number."""


class Meaningless(NotComputable):
    """A formula that no number makes sense of: it adds words, or asks a number as a condition."""


def needs_decimals(formulas: Iterable[Expression]) -> bool:
    """Whether some formula gives numbers that are no fractions."""
    return any(calls(formula) & _TRANSCENDENTAL for formula in formulas)


def sixty_digits() -> AbstractContextManager[Context]:
    """The precision in which decimals have to be computed."""
    return localcontext(Context(prec=DIGITS))


@dataclass
class Arithmetic:
    """One way to compute, and what was compared since the notes were last cleared.

    Attributes:
        decimal: whether numbers are decimals, instead of fractions.
        differences: of every comparison of order, by how much the left side was more.
        otherwise: whether comparisons of order are decided otherwise where both sides are equal.
    """

    decimal: bool = False
    differences: list[Number] = field(default_factory=list)
    otherwise: bool = False
    _compiled: dict[int, tuple[Expression, Compiled]] = field(default_factory=dict)

    def number(self, value: Any) -> Any:
        """A value as this arithmetic has it; what is no number stays as it is."""
        if isinstance(value, bool) or not isinstance(value, (int, float, Fraction, Decimal)):
            return value
        if isinstance(value, float) and not math.isfinite(value):
            raise NotComputable(f"{value} is no number to compute with")
        if isinstance(value, Fraction):
            return self._decimal(value) if self.decimal else value
        return Decimal(str(value)) if self.decimal else Fraction(str(value))

    def same(self, a: Any, b: Any) -> bool:
        """Whether two values are one; a spike is 1."""
        if a is None or b is None or isinstance(a, str) or isinstance(b, str):
            return bool(a == b)
        if not self.decimal or a == b:
            return bool(a == b)
        one, other = Decimal(a), Decimal(b)
        return abs(one - other) <= CLOSE * max(abs(one), abs(other), Decimal(1))

    @property
    def tied(self) -> bool:
        """Whether numbers were compared that are equal."""
        return any(self.same(difference, 0) for difference in self.differences)

    def value(self, formula: Expression, values: Values) -> Any:
        """A formula's value.

        Raises:
            NotComputable: it has none there, or only the runtime can compute it.
            Meaningless: it has none anywhere.
        """
        return self.run(formula, self.compiled(formula), values)

    @staticmethod
    def run(formula: Expression, compiled: Compiled, values: Values) -> Any:
        """A compiled formula's value; raises what `value` does."""
        try:
            return compiled(values)
        except ArithmeticError as error:
            raise NotComputable(f"`{show(formula)}` has no finite value") from error
        except (TypeError, ValueError, KeyError, AttributeError, struct.error) as error:
            told = {name: values.get(name, "nothing") for name in sorted(names(formula))}
            shown = ", ".join(f"{name} = {value}" for name, value in told.items())
            raise Meaningless(f"`{show(formula)}` has no meaning for {shown}") from error

    def compiled(self, formula: Expression) -> Compiled:
        """A formula as a function of its names' values."""
        held = self._compiled.get(id(formula))
        if held is None:
            held = self._compiled[id(formula)] = (formula, self._compile(formula))
        return held[1]

    @staticmethod
    def _decimal(value: Fraction) -> Decimal:
        return Decimal(value.numerator) / Decimal(value.denominator)

    def _compile(self, formula: Expression) -> Compiled:
        match formula:
            case Literal(value):
                number = self.number(value)
                return lambda values: number
            case Name(name):
                return operator.itemgetter(name)
            case Negative(operand):
                inner = self._compile(operand)
                return lambda values: -inner(values)
            case Not(operand):
                inner = self._compile(operand)
                return lambda values: not _condition(inner(values))
            case Conditional(test, then, other):
                holds, yes, no = map(self._compile, (test, then, other))
                return lambda values: yes(values) if _condition(holds(values)) else no(values)
            case Call(function, arguments):
                return self._call(function, [self._compile(argument) for argument in arguments])
            case Binary(symbol, left, right):
                return self._binary(symbol, self._compile(left), self._compile(right))

    def _binary(self, symbol: str, left: Compiled, right: Compiled) -> Compiled:
        match symbol:
            case "and":
                return lambda values: _condition(left(values)) and _condition(right(values))
            case "or":
                return lambda values: _condition(left(values)) or _condition(right(values))
            case "is":
                return lambda values: left(values) is right(values)
            case "is not":
                return lambda values: left(values) is not right(values)
        if symbol in _ORDER:
            return lambda values: self._compare(symbol, left(values), right(values))
        compute = _ARITHMETIC[symbol]
        return lambda values: compute(left(values), right(values))

    def _compare(self, symbol: str, left: Any, right: Any) -> bool:
        if symbol in ("==", "!="):
            if isinstance(left, str) != isinstance(right, str):
                raise TypeError("a word is compared with what is none")
            return self.same(left, right) == (symbol == "==")
        difference = left - right
        self.differences.append(difference)
        if self.same(difference, 0):
            return _ORDER[symbol][1] != self.otherwise
        return _ORDER[symbol][2 if difference > 0 else 0]

    def _call(self, function: str, arguments: list[Compiled]) -> Compiled:
        compute = _FUNCTIONS.get(function)
        if compute is None:
            raise NotComputable(f"{function} is a function of tensors")
        if function in _TRANSCENDENTAL and not self.decimal:
            raise NotComputable(f"{function} gives no fraction")
        number = self.number
        return lambda values: compute(*(number(argument(values)) for argument in arguments))


def _condition(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("a number is no condition")
    return value


def _float32(x: Any) -> Any:
    rounded = struct.unpack("f", struct.pack("f", float(x)))[0]
    return Decimal(rounded) if isinstance(x, Decimal) else Fraction(rounded)


_FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "exp": lambda x: x.exp(),
    "log": lambda x: x.ln(),
    "sqrt": lambda x: x.sqrt(),
    "sigmoid": lambda x: 1 / (1 + (-x).exp()),
    "logit": lambda p: (p / (1 - p)).ln(),
    "clamp": lambda x, low, high: min(max(x, low), high),
    "float32": _float32,
}
"""What functions compute on exact numbers; those of tensors have no part in a proof."""

COMPUTABLE = frozenset(_FUNCTIONS)

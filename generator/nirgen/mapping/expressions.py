"""The formulas of the mapping language: parsed, printed, evaluated, solved; never executed.

The syntax is Python's for numbers, names, `+ - * /`, comparisons, `and`/`or`/`not`, `is None`,
words in quotes, and calls of registered functions. The lines of a step (`steps`) have conditional
expressions besides, and `weight @ x` for a linear map. Anything else is an error with its place.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Union

from nirgen.mapping.functions import FUNCTIONS
from nirgen.mapping.problems import Location, Problems, did_you_mean


@dataclass(frozen=True)
class Literal:
    """A number, a word in quotes, True, False or None."""

    value: bool | int | float | str | None


@dataclass(frozen=True)
class Name:
    """A quantity: a layer's parameter, a node's field, or something of the surroundings."""

    name: str


@dataclass(frozen=True)
class Negative:
    operand: Expression


@dataclass(frozen=True)
class Not:
    operand: Expression


@dataclass(frozen=True)
class Binary:
    """`symbol` is one of + - * / @ < <= > >= == != is is-not and or."""

    symbol: str
    left: Expression
    right: Expression


@dataclass(frozen=True)
class Call:
    function: str
    arguments: tuple[Expression, ...]


@dataclass(frozen=True)
class Conditional:
    """`then if test else other`; in steps and state relations only."""

    test: Expression
    then: Expression
    other: Expression


Expression = Union[Literal, Name, Negative, Not, Binary, Call, Conditional]

_SYMBOLS: dict[type[ast.AST], str] = {
    ast.Add: "+",
    ast.Sub: "-",
    ast.Mult: "*",
    ast.Div: "/",
    ast.MatMult: "@",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.And: "and",
    ast.Or: "or",
}
_ARITHMETIC: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "@": operator.mul,  # steps are tried on numbers, where a linear map is a factor
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "is": operator.is_,
    "is not": operator.is_not,
}
_PRECEDENCE = {"or": 1, "and": 2, "+": 5, "-": 5, "*": 6, "/": 6, "@": 6}
_CONDITIONAL, _NOT, _COMPARISON, _CHAINED, _NEGATIVE, _ATOM = 0.5, 3, 4, 5, 7, 9


def _is_comparison(symbol: str) -> bool:
    return symbol not in _PRECEDENCE


# --- text -> expression ---------------------------------------------------------------------


def parse(text: str, at: Location, problems: Problems, of_step: bool = False) -> Expression | None:
    """The expression of a text at a place; None, with the reasons in `problems`, if it is none.

    Args:
        text: one line.
        at: where it stands.
        problems: takes what is wrong.
        of_step: whether conditional expressions, `@` and tensors' names with dots are allowed.
    """
    try:
        tree = ast.parse(text.strip() or " ", mode="eval")
    except SyntaxError as error:
        shift = max((error.offset or 1) - 1, 0)
        problems.add(at.shifted(shift), f"not a formula: {error.msg}: `{text}`")
        return None
    parser = _Parser(at, problems, of_step)
    expression = parser.expression(tree.body)
    return None if parser.failed else expression


class _Parser:
    def __init__(self, at: Location, problems: Problems, of_step: bool) -> None:
        self.at = at
        self.problems = problems
        self.of_step = of_step
        self.failed = False

    def expression(self, node: ast.expr) -> Expression:
        match node:
            case ast.Constant(value=float() as value) if not math.isfinite(value):
                return self._fail(node, f"`{ast.unparse(node)}` is no finite number")
            case ast.Constant(value=bool() | int() | float() | str() | None as value):
                return Literal(value)
            case ast.Name(id=name):
                return Name(name)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return Negative(self.expression(operand))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return Not(self.expression(operand))
            case ast.IfExp(test=test, body=then, orelse=other) if self.of_step:
                parts = self.expression(test), self.expression(then), self.expression(other)
                return Conditional(*parts)
            case ast.Attribute() if self.of_step and _is_path(node):
                return Name(ast.unparse(node))
            case ast.BinOp(op=ast.MatMult()) if not self.of_step:
                pass
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _SYMBOLS:
                return Binary(_SYMBOLS[type(op)], self.expression(left), self.expression(right))
            case ast.BoolOp(op=op, values=values):
                return self._chain(_SYMBOLS[type(op)], [self.expression(v) for v in values])
            case ast.Compare() if all(type(op) in _SYMBOLS for op in node.ops):
                return self._comparison(node)
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                return self._call(name, args, node)
        return self._fail(node, f"`{ast.unparse(node)}` is not part of the formula language")

    def _chain(self, symbol: str, operands: list[Expression]) -> Expression:
        result = operands[0]
        for operand in operands[1:]:
            result = Binary(symbol, result, operand)
        return result

    def _comparison(self, node: ast.Compare) -> Expression:
        operands = [self.expression(operand) for operand in (node.left, *node.comparators)]
        symbols = [_SYMBOLS[type(op)] for op in node.ops]
        links = [
            Binary(symbol, left, right)
            for symbol, left, right in zip(symbols, operands, operands[1:], strict=False)
        ]
        return self._chain("and", list(links))

    def _call(self, name: str, args: list[ast.expr], node: ast.expr) -> Expression:
        function = FUNCTIONS.get(name)
        if function is None:
            return self._fail(node, f"unknown function `{name}`", did_you_mean(name, FUNCTIONS))
        if len(args) != function.arity:
            return self._fail(node, f"`{name}` takes {function.arity} arguments, not {len(args)}")
        return Call(name, tuple(self.expression(arg) for arg in args))

    def _fail(self, node: ast.expr, what: str, mend: str = "") -> Expression:
        self.failed = True
        mend = mend or "a formula has numbers, names, + - * /, comparisons and known functions"
        self.problems.add(self.at.shifted(node.col_offset), what, mend)
        return Literal(None)


def _is_path(node: ast.expr) -> bool:
    """Whether it is names with dots between: where a layer holds a tensor."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name)


# --- expression -> text ---------------------------------------------------------------------


def show(
    expression: Expression,
    rename: Mapping[str, str] | None = None,
    literal: Callable[[object], str] = repr,
) -> str:
    """The canonical text: `parse(show(e)) == e`. `rename` and `literal` spell its atoms."""
    return _Printer(rename or {}, literal).text(expression, 0)


@dataclass(frozen=True)
class _Printer:
    rename: Mapping[str, str]
    literal: Callable[[object], str]

    def text(self, expression: Expression, outer: float) -> str:
        text, own = self._bare(expression)
        return f"({text})" if own < outer else text

    def _bare(self, expression: Expression) -> tuple[str, float]:
        match expression:
            case Conditional(test, then, other):
                inner = self.text(then, _CONDITIONAL + 0.5), self.text(test, _CONDITIONAL + 0.5)
                return (
                    f"{inner[0]} if {inner[1]} else {self.text(other, _CONDITIONAL)}",
                    _CONDITIONAL,
                )
            case Literal(value):
                negative = isinstance(value, (int, float)) and value < 0
                return self.literal(value), _NEGATIVE if negative else _ATOM
            case Name(name):
                return self.rename.get(name, name), _ATOM
            case Negative(operand):
                return f"-{self.text(operand, _NEGATIVE)}", _NEGATIVE
            case Not(operand):
                return f"not {self.text(operand, _NOT)}", _NOT
            case Call(function, arguments):
                inside = ", ".join(self.text(argument, 0) for argument in arguments)
                return f"{function}({inside})", _ATOM
            case Binary("and", Binary(first, a, b), Binary(second, c, d)) if (
                b == c and _is_comparison(first) and _is_comparison(second)
            ):
                chain = f"{self.text(a, _CHAINED)} {first} {self.text(b, _CHAINED)}"
                return f"{chain} {second} {self.text(d, _CHAINED)}", _COMPARISON
            case Binary(symbol, left, right):
                own = _PRECEDENCE.get(symbol, _COMPARISON)
                left_text = self.text(left, own + (own == _COMPARISON))
                return f"{left_text} {symbol} {self.text(right, own + 1)}", own


# --- what is in an expression ---------------------------------------------------------------


def walk(expression: Expression) -> Iterator[Expression]:
    """The expression and all its parts."""
    yield expression
    match expression:
        case Negative(operand) | Not(operand):
            yield from walk(operand)
        case Binary(_, left, right):
            yield from walk(left)
            yield from walk(right)
        case Call(_, arguments):
            for argument in arguments:
                yield from walk(argument)
        case Conditional(test, then, other):
            for part in (test, then, other):
                yield from walk(part)


def names(expression: Expression) -> frozenset[str]:
    """The names that occur."""
    return frozenset(part.name for part in walk(expression) if isinstance(part, Name))


def conjuncts(expression: Expression) -> Iterator[Expression]:
    """`a and b` as a, b: each holds for arrays, while `and` does not."""
    match expression:
        case Binary("and", left, right):
            yield from conjuncts(left)
            yield from conjuncts(right)
        case _:
            yield expression


def is_call_of(expression: Expression, function: str) -> bool:
    """Whether an expression is a call of a function, whatever its arguments."""
    return isinstance(expression, Call) and expression.function == function


def occurrences(expression: Expression, name: str) -> int:
    """How often a name occurs."""
    return sum(part == Name(name) for part in walk(expression))


def calls(expression: Expression) -> frozenset[str]:
    """The functions that are called."""
    return frozenset(part.function for part in walk(expression) if isinstance(part, Call))


def substitute(expression: Expression, by: Mapping[str, Expression]) -> Expression:
    """The expression with names replaced by expressions."""
    match expression:
        case Name(name):
            return by.get(name, expression)
        case Negative(operand):
            return Negative(substitute(operand, by))
        case Not(operand):
            return Not(substitute(operand, by))
        case Binary(symbol, left, right):
            return Binary(symbol, substitute(left, by), substitute(right, by))
        case Call(function, arguments):
            return Call(function, tuple(substitute(a, by) for a in arguments))
        case Conditional(test, then, other):
            parts = substitute(test, by), substitute(then, by), substitute(other, by)
            return Conditional(*parts)
    return expression


# --- numbers --------------------------------------------------------------------------------


class NotComputable(Exception):
    """An expression that only the runtime can compute, or that has no value there."""


def evaluate(expression: Expression, values: Mapping[str, Any]) -> Any:
    """The value of an expression, given its names' values.

    Raises:
        NotComputable: a function of tensors, a name without a value, a division by zero.
    """
    try:
        return _evaluate(expression, values)
    except (ArithmeticError, ValueError, TypeError, KeyError) as error:
        raise NotComputable(str(error)) from error


def _evaluate(expression: Expression, values: Mapping[str, Any]) -> Any:
    match expression:
        case Literal(value):
            return value
        case Name(name):
            return values[name]
        case Negative(operand):
            return -_evaluate(operand, values)
        case Not(operand):
            return not _evaluate(operand, values)
        case Binary("and", left, right):
            return _evaluate(left, values) and _evaluate(right, values)
        case Binary("or", left, right):
            return _evaluate(left, values) or _evaluate(right, values)
        case Binary(symbol, left, right):
            result = _ARITHMETIC[symbol](_evaluate(left, values), _evaluate(right, values))
            return _for_all(result) if _is_comparison(symbol) else result
        case Call(function, arguments):
            compute = FUNCTIONS[function].evaluate
            if compute is None:
                raise NotComputable(f"{function} is a function of tensors")
            return compute(*(_evaluate(argument, values) for argument in arguments))
        case Conditional(test, then, other):
            return _evaluate(then if _evaluate(test, values) else other, values)


def _for_all(holds: Any) -> Any:
    """A comparison of numbers for each neuron holds where it does for all of them."""
    return bool(holds.all()) if hasattr(holds, "all") else holds


def holds(guard: Expression, values: Mapping[str, Any], unknown: bool = False) -> bool:
    """Whether a guard is true; `unknown` where it can't be computed."""
    try:
        return bool(evaluate(guard, values))
    except NotComputable:
        return unknown


# --- solving --------------------------------------------------------------------------------


def solve(expression: Expression, unknown: str, value: Expression) -> Expression | None:
    """`unknown` from `expression == value`; None unless it occurs once, behind inverses only.

    Peels the expression from outside: `tau * dt == t` gives `tau == t / dt`.
    """
    if occurrences(expression, unknown) != 1:
        return None
    while expression != Name(unknown):
        peeled = _peel(expression, unknown, value)
        if peeled is None:
            return None
        expression, value = peeled
    return value


def _peel(
    expression: Expression, unknown: str, value: Expression
) -> tuple[Expression, Expression] | None:
    match expression:
        case Negative(operand):
            return operand, Negative(value)
        case Call(function, (argument,)):
            inverse = FUNCTIONS[function].inverse
            return None if inverse is None else (argument, Call(inverse, (value,)))
        case Binary(symbol, left, right) if occurrences(left, unknown):
            undo = {"+": "-", "-": "+", "*": "/", "/": "*"}.get(symbol)
            return None if undo is None else (left, _simple(undo, value, right))
        case Binary("+", left, right):
            return right, _simple("-", value, left)
        case Binary("*", left, right):
            return right, _simple("/", value, left)
        case Binary("-" | "/" as symbol, left, right):
            return right, _simple(symbol, left, value)
    return None


def fold(expression: Expression) -> Expression:
    """The expression with what can be computed computed, and what does nothing left out."""
    match expression:
        case Binary("+" | "-" | "*" | "/" as symbol, left, right):
            folded = _simple(symbol, fold(left), fold(right))
            if isinstance(folded, Binary) and not names(folded):
                return _computed(folded)
            return folded
        case Negative(operand):
            return Negative(fold(operand))
        case Call(function, arguments):
            return Call(function, tuple(fold(argument) for argument in arguments))
    return expression


def finite(expression: Expression) -> Expression | None:
    """The expression, folded; None if a part of it that names nothing has no finite value."""
    constant = (part for part in walk(expression) if not names(part))
    try:
        values = [evaluate(part, {}) for part in constant]
    except NotComputable:
        return None
    numbers = [value for value in values if isinstance(value, (int, float))]
    return fold(expression) if all(map(math.isfinite, numbers)) else None


def _computed(constant: Expression) -> Expression:
    """The value of what names nothing; itself, if it has none."""
    try:
        return Literal(evaluate(constant, {}))
    except NotComputable:
        return constant


def _simple(symbol: str, left: Expression, right: Expression) -> Expression:
    """`left symbol right`, without the operations that do nothing."""
    match symbol, left, right:
        case ("*" | "/", _, Literal(1)) | ("+" | "-", _, Literal(0)):
            return left
        case ("*", Literal(1), _) | ("+", Literal(0), _):
            return right
        case ("*", Binary("/", Literal(1), divisor), _):
            return Binary("/", right, divisor)
        case ("*", _, Binary("/", Literal(1), divisor)):
            return Binary("/", left, divisor)
    return Binary(symbol, left, right)

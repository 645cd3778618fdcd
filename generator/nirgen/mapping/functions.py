"""The functions that a formula may call, each with its inverse.

A function is known here by what it does to plain values, which is what the proofs compute with,
and by the name under which `nir_runtime.functions` has it, which is what converters call.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Function:
    """One function of the expression language.

    Attributes:
        name: in formulas, and in `nir_runtime.functions`.
        arity: how many arguments it takes.
        evaluate: what it computes, on plain values; None where only the runtime can
            (a function of tensors).
        inverse: the name of the function that undoes it; None where there is none.
        says: what it computes, in a few words.
        elementwise: whether it takes an array, too, and gives its value for each element.
    """

    name: str
    arity: int
    evaluate: Callable[..., Any] | None
    inverse: str | None
    says: str
    elementwise: bool = False


def _each(function: Callable[[float], float]) -> Callable[[Any], Any]:
    """The function of a number as one of arrays, too: nan where it has no value."""

    def of_number(x: float) -> float:
        try:
            return function(x)
        except (ArithmeticError, ValueError):
            return math.nan

    def of_any(x: Any) -> Any:
        if not hasattr(x, "__array__") or not x.ndim:
            return function(x)
        import numpy as np  # whoever has an array has it

        return np.vectorize(of_number, otypes=[np.float64])(x)

    return of_any


def _sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x)) if x > 0 else math.exp(x) / (1.0 + math.exp(x))


def _logit(p: float) -> float:
    return math.log(p / (1.0 - p))


def _pair(size: Any) -> tuple[int, int]:
    first, second = size if isinstance(size, tuple) else (size, size)
    return int(first), int(second)


def _single(size: Any) -> int:
    (only,) = size if isinstance(size, tuple) else (size,)
    return int(only)


def _pair_or_word(padding: Any) -> Any:
    return padding if isinstance(padding, str) else _pair(padding)


def _single_or_word(padding: Any) -> Any:
    return padding if isinstance(padding, str) else _single(padding)


def _any_nonzero(size: Any) -> bool:
    return any(size) if isinstance(size, tuple) else bool(size)


def _float32(x: float) -> float:
    rounded: float = struct.unpack("f", struct.pack("f", x))[0]
    return rounded


FUNCTIONS: dict[str, Function] = {
    function.name: function
    for function in (
        Function("sigmoid", 1, _each(_sigmoid), "logit", "1 / (1 + exp(-x))", elementwise=True),
        Function("logit", 1, _each(_logit), "sigmoid", "log(p / (1 - p))", elementwise=True),
        Function("exp", 1, _each(math.exp), "log", "e to the power x", elementwise=True),
        Function("log", 1, _each(math.log), "exp", "the natural logarithm", elementwise=True),
        Function("sqrt", 1, _each(math.sqrt), None, "the square root", elementwise=True),
        Function(
            "float32", 1, _each(_float32), None, "the number in single precision", elementwise=True
        ),
        Function("pair", 1, _pair, "pair", "(height, width) of one number or two"),
        Function("single", 1, _single, "single", "the one size of a number or a sequence of one"),
        Function("pair_or_word", 1, _pair_or_word, "pair_or_word", "`pair`, or a word as it is"),
        Function(
            "single_or_word", 1, _single_or_word, "single_or_word", "`single`, or a word as it is"
        ),
        Function(
            "any_nonzero", 1, _any_nonzero, None, "whether a number or a pair is other than zero"
        ),
        Function("half", 1, None, None, "half of a size, or of two, rounded down"),
        Function("clamp", 3, None, None, "a number moved into low <= x <= high", elementwise=True),
        Function("size", 2, None, None, "the size of an array along an axis"),
        Function("sizes_from", 2, None, None, "the sizes of an array from an axis on"),
        Function("zeros", 1, None, None, "an array of that many zeros"),
        Function("features", 1, None, None, "the shape that a node's input type holds"),
        Function("diagonal", 1, None, None, "the square array with a vector on its diagonal"),
        Function("depthwise", 2, None, None, "a kernel of size one for each channel, over axes"),
        Function("turned", 2, None, None, "a transposed convolution's weight, for a convolution"),
        Function("remaining_padding", 3, None, None, "the padding of that convolution"),
        Function("least", 1, None, None, "the smallest of some numbers"),
        Function("mean_kernel", 2, None, None, "a kernel for each channel that means a window"),
        Function("mean_of_groups", 2, None, None, "the matrix that means consecutive elements"),
        Function("divides", 2, None, None, "whether an output size divides the spatial shape"),
        Function("window", 2, None, None, "the window that gives an output size"),
        Function("standardized", 3, None, None, "weights of mean 0 and one spread, times a gain"),
        Function("reset_of", 2, None, None, "the reset of a layer of snnTorch, as it runs"),
        Function("is_step", 1, None, None, "whether a surrogate function is 1 above 0, else 0"),
        Function("is_heaviside", 1, None, None, "whether it is 1 at 0 and above, else 0"),
        Function("step_in", 1, None, None, "a surrogate step that keeps a precision"),
        Function("spiking", 1, None, None, "whether a surrogate function passes spikes on"),
    )
}

"""What a forward does that NIR has nothing for, and what to do instead."""

from __future__ import annotations

from collections.abc import Mapping


class Unsupported(Exception):
    """An operation that NIR has nothing for.

    Attributes:
        what: what is wrong, to follow the operation's name: `adds a constant`.
        advice: what to do instead.
        about_shape: whether this is about shapes only, and means nothing where they are guesses.
    """

    def __init__(self, what: str, advice: str, *, about_shape: bool = False) -> None:
        super().__init__(what)
        self.what = what
        self.advice = advice
        self.about_shape = about_shape


READS_NUMBERS = frozenset(
    [
        *("__bool__", "__int__", "__float__", "__index__", "__complex__", "__array__"),
        *("__iter__", "__contains__", "__reversed__", "unbind"),
        *("item", "tolist", "numpy", "is_nonzero", "equal", "allclose"),
    ]
)
"""Functions whose result is not a tensor: after one of these a trace can't go on."""

TIME_LOOP = "where forward runs over time, export the network inside the loop"
_WHOLE = f"NIR passes on whole signals; {TIME_LOOP}"
NO_AXES = f"NIR has no axes of time or batch; {TIME_LOOP}"
_NO_CAT = "NIR has no concatenation: join signals by a sum, or a Linear for each of them"
_BRANCH = "branch on self.training, step_mode, shapes or constants, not on the data"
_LAYER = "use the layer instead of the function, so that it can be mapped: nn.{}"

COMPUTES_WITH_STATE = (
    "computes with a layer's state",
    "a node of NIR gives its output and keeps its state: compute with the output, or with that of "
    "a layer whose output is its membrane",
)

ADVICE: Mapping[str, str] = {
    "__getitem__": _WHOLE,
    "__setitem__": _WHOLE,
    "unbind": _WHOLE,
    "__iter__": _WHOLE,
    "mean": f"NIR has no mean over time or features; {TIME_LOOP}, and average its output yourself",
    "sum": f"NIR has no sum over time or features; {TIME_LOOP}, and sum up its output yourself",
    "cat": _NO_CAT,
    "concat": _NO_CAT,
    "concatenate": _NO_CAT,
    "unsqueeze": NO_AXES,
    "repeat": NO_AXES,
    "expand": NO_AXES,
    "linear": _LAYER.format("Linear"),
    "matmul": _LAYER.format("Linear"),
    "conv1d": _LAYER.format("Conv1d"),
    "conv2d": _LAYER.format("Conv2d"),
    "avg_pool2d": _LAYER.format("AvgPool2d"),
    "max_pool2d": _LAYER.format("MaxPool2d"),
    "adaptive_avg_pool2d": _LAYER.format("AdaptiveAvgPool2d"),
    "batch_norm": _LAYER.format("BatchNorm2d"),
    "__bool__": _BRANCH,
    "item": _BRANCH,
}
"""What to do instead, by the function's name."""

DEFAULT_ADVICE = (
    "take it out of the network (before its input, behind its output), "
    "or put it into a module and map that (mappings/README.md)"
)


def advice(name: str) -> str:
    """What to do instead of calling the function `name`."""
    return ADVICE.get(name, DEFAULT_ADVICE)

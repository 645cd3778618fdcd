"""What a forward does to tensors that hold numbers, while its signals hold none.

A trace sees the operations on signals. Beside them a forward may write into its own tensors
(weights among them, also through `.data`), share their memory with NumPy, or draw random numbers.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode, _get_current_function_mode_stack
from torch.utils._device import DeviceContext
from torch.utils._python_dispatch import TorchDispatchMode, _get_current_dispatch_mode_stack

from nir_runtime.exports.places import calling_line
from nir_runtime.exports.preserving import same_state
from nir_runtime.exports.snapshots import same

_SHARING = frozenset(
    {
        torch.Tensor.numpy,
        torch.Tensor.__array__,
        torch.Tensor.__dlpack__,
        torch.Tensor.data_ptr,
        torch.Tensor.untyped_storage,
        torch.Tensor.storage,
    }
)
"""What lets others write into a tensor's memory."""


@dataclass
class SideEffects:
    """What was seen.

    Attributes:
        not_users: packages whose code is not the user's, so that lines of others are named.
        place: tells which module runs.
        draws: the places and lines that drew random numbers.
    """

    not_users: Sequence[str]
    place: Callable[[], str] = lambda: ""
    draws: dict[tuple[str, str], None] = field(default_factory=dict)
    _before: dict[int, tuple[torch.Tensor, torch.Tensor, str]] = field(default_factory=dict)
    _moved: list[tuple[torch.Tensor, torch.Tensor, str]] = field(default_factory=list)
    _quiet: int = 0

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Inside, what runs is watched; afterwards, random numbers of Python and NumPy too."""
        python, arrays = random.getstate(), np.random.get_state()
        with _Dispatched(self), _Called(self):
            yield
        if random.getstate() != python:
            self.draws[self.place(), "by Python's random"] = None
        if not same_state(np.random.get_state(), arrays):
            self.draws[self.place(), "by numpy.random"] = None

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Inside, what runs is ours, and isn't watched."""
        self._quiet += 1
        try:
            yield
        finally:
            self._quiet -= 1

    def others(self) -> Iterator[str]:
        """The modes of others that tensors go through now, if some numbers come out otherwise."""
        functions = _get_current_function_mode_stack()  # type: ignore[no-untyped-call]
        modes = (*functions, *_get_current_dispatch_mode_stack())
        others = [type(mode).__name__ for mode in modes if not isinstance(mode, _HARMLESS)]
        if others:
            with self.quiet():
                yield from () if _numbers_are_right() else others

    @property
    def any_written(self) -> bool:
        """Whether a tensor may have been written to."""
        return bool(self._before or self._moved)

    def line_of_write(self, tensor: torch.Tensor) -> str | None:
        """Where a tensor was written to; None if it wasn't."""
        moved = (line for held, _, line in self._moved if held is tensor)
        if (line := next(moved, None)) is not None:
            return line
        if tensor.is_meta or (found := self._before.get(_address(tensor))) is None:
            return None
        held, before, line = found
        return None if same(held, before) else line

    def restore(self) -> None:
        """Put back the numbers that were written over."""
        for tensor, before, _ in reversed(self._moved):
            tensor.data = before
        for tensor, before, _ in self._before.values():
            if not same(tensor, before):
                tensor.copy_(before)

    def dispatched(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Note an operation on tensors that hold numbers, before it is done."""
        if self._quiet:
            return
        if torch.Tag.nondeterministic_seeded in func.tags:
            self.draws[self.place(), calling_line(self.not_users)] = None
        if func._schema.is_mutable:
            for tensor in _written(func, args, kwargs):
                self._keep(tensor)

    def called(self, func: Callable[..., Any], args: Sequence[Any]) -> None:
        """Note a function of tensors that doesn't get as far as an operation."""
        if self._quiet or not args or type(args[0]) not in (torch.Tensor, torch.nn.Parameter):
            return
        if func in _SHARING:
            with self.quiet():
                self._keep(args[0].detach())
        elif getattr(func, "__name__", "") == "__set__" and func == torch.Tensor.data.__set__:  # type: ignore[attr-defined]
            self._moved.append((args[0], args[0].data, calling_line(self.not_users)))

    def _keep(self, tensor: torch.Tensor) -> None:
        """Keep all numbers in the memory that a tensor looks at."""
        if tensor.is_meta or tensor.layout is not torch.strided:
            return
        with torch._C.DisableTorchFunctionSubclass(), self.quiet():
            whole = torch.empty(0, dtype=tensor.dtype, device=tensor.device)
            whole.set_(tensor.untyped_storage())
            if _address(tensor) not in self._before:
                line = calling_line(self.not_users)
                self._before[_address(tensor)] = whole, whole.clone(), line


def _written(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Iterator[torch.Tensor]:
    """The tensors that an operation writes to."""
    for position, argument in enumerate(func._schema.arguments):
        info = argument.alias_info
        if info is None or not info.is_write:
            continue
        value = args[position] if position < len(args) else kwargs.get(argument.name)
        for tensor in value if isinstance(value, (list, tuple)) else (value,):
            if isinstance(tensor, torch.Tensor):
                yield tensor


def _address(tensor: torch.Tensor) -> int:
    """The address of the memory that a tensor looks at."""
    with torch._C.DisableTorchFunctionSubclass():
        return tensor.untyped_storage().data_ptr()


class _Dispatched(TorchDispatchMode):  # type: ignore[no-untyped-call]
    def __init__(self, seen: SideEffects) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._seen = seen

    def __torch_dispatch__(
        self,
        func: Any,
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        self._seen.dispatched(func, args, kwargs or {})
        return func(*args, **(kwargs or {}))


class _Called(TorchFunctionMode):
    def __init__(self, seen: SideEffects) -> None:
        super().__init__()
        self._seen = seen

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        self._seen.called(func, args)
        return func(*args, **(kwargs or {}))


def _numbers_are_right() -> bool:
    """Whether torch computes what layers need as it should, tried on a few numbers."""
    x, w = torch.tensor([[1.0, -2.0], [0.5, 4.0]]), torch.tensor([[2.0, 1.0], [0.0, -1.0]])
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    tried = (
        (F.linear(x, w, w[0]), [[2.0, 3.0], [7.0, -3.0]]),
        (x @ w, [[2.0, 3.0], [1.0, -3.5]]),
        (x + w, [[3.0, -1.0], [0.5, 3.0]]),
        (x - w, [[-1.0, -3.0], [0.5, 5.0]]),
        (x * 3, [[3.0, -6.0], [1.5, 12.0]]),
        (x / 2, [[0.5, -1.0], [0.25, 2.0]]),
        ((x > 0.75).to(x), [[1.0, 0.0], [0.0, 1.0]]),
        ((x >= 1).to(x), [[1.0, 0.0], [0.0, 1.0]]),
        (torch.where(x > 0, x, w), [[1.0, 1.0], [0.5, 4.0]]),
        (x.clamp(0, 1), [[1.0, 0.0], [0.5, 1.0]]),
        (F.conv2d(image, torch.ones(1, 1, 2, 2)), [[[[8.0, 12.0], [20.0, 24.0]]]]),
        (F.avg_pool2d(image, 3), [[[[4.0]]]]),
        (torch.zeros_like(x), [[0.0, 0.0], [0.0, 0.0]]),
    )
    return all(y.tolist() == expected for y, expected in tried)


_HARMLESS = (_Dispatched, _Called, DeviceContext)
"""Ours, and the one that says where new tensors are made."""

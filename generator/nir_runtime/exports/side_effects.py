"""What a forward does to tensors that hold numbers, while its signals hold none.

A trace sees the operations on signals. Beside them a forward may write into its own tensors
(weights among them, also through `.data`), share their memory with NumPy, or draw random numbers.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

from nir_runtime.exports.places import calling_line

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
        written: by their memory's address, the lines that wrote into tensors.
        draws: the lines that drew random numbers.
        shared: tensors whose memory was given away, with their numbers before.
    """

    not_users: Sequence[str]
    written: dict[int, str] = field(default_factory=dict)
    draws: list[str] = field(default_factory=list)
    shared: list[tuple[torch.Tensor, torch.Tensor, str]] = field(default_factory=list)
    _quiet: int = 0

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        """Inside, what runs is watched."""
        with _Dispatched(self), _Called(self):
            yield

    @contextlib.contextmanager
    def quiet(self) -> Iterator[None]:
        """Inside, what runs is ours, and isn't watched."""
        self._quiet += 1
        try:
            yield
        finally:
            self._quiet -= 1

    def line_of_write(self, tensor: torch.Tensor) -> str | None:
        """Where a tensor was written to; None if it wasn't."""
        if self.written and (line := self.written.get(_address(tensor))):
            return line
        for shared, before, line in self.shared:
            if _address(shared) == _address(tensor) and not torch.equal(shared, before):
                return line
        return None

    def dispatched(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        """Note an operation on tensors that hold numbers."""
        if self._quiet:
            return
        if torch.Tag.nondeterministic_seeded in func.tags:
            self.draws.append(calling_line(self.not_users))
        if func._schema.is_mutable:
            for tensor in _written(func, args, kwargs):
                self.written.setdefault(_address(tensor), calling_line(self.not_users))

    def called(self, func: Callable[..., Any], args: Sequence[Any]) -> None:
        """Note a function of tensors that doesn't get as far as an operation."""
        if self._quiet or not args or type(args[0]) not in (torch.Tensor, torch.nn.Parameter):
            return
        if func in _SHARING:
            tensor = args[0].detach()
            self.shared.append((tensor, tensor.clone(), calling_line(self.not_users)))
        elif func is torch.Tensor.data.__set__:  # type: ignore[attr-defined]
            self.written.setdefault(_address(args[0]), calling_line(self.not_users))


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

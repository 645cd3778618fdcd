"""A network stays as it was found, whatever its forward did to it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn


@contextlib.contextmanager
def preserved(net: nn.Module, is_executed: Callable[[nn.Module], bool]) -> Iterator[None]:
    """Inside, a forward of `net` may run; afterwards its modules are as before, also on failure.

    Restored are all modules' attributes, the contents of dictionaries, lists and sets among them
    (parameters, buffers, memories, hooks), the numbers in the tensors of modules whose forward
    is executed, and the state of torch's random numbers. The cost is one shallow copy of each
    module's `__dict__`, and one of the tensors that executed modules hold themselves.
    """
    restorers = [_keep_attributes(module) for module in net.modules()]
    restorers += [_keep_numbers(t) for m in net.modules() if is_executed(m) for t in _tensors(m)]
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    with torch.random.fork_rng(devices=gpus):
        try:
            yield
        finally:
            for restore in restorers:
                restore()


def _keep_attributes(module: nn.Module) -> Callable[[], None]:
    attributes = dict(module.__dict__)
    contents = [(value, value.copy()) for value in attributes.values() if _is_container(value)]

    def restore() -> None:
        module.__dict__.clear()
        module.__dict__.update(attributes)
        for container, content in contents:
            _refill(container, content)

    return restore


def _is_container(value: object) -> bool:
    return isinstance(value, (dict, list, set))


def _refill(container: Any, content: Any) -> None:
    container.clear()
    if isinstance(container, list):
        container.extend(content)
    else:
        container.update(content)


def _tensors(module: nn.Module) -> list[torch.Tensor]:
    return [*module.parameters(recurse=False), *module.buffers(recurse=False)]


def _keep_numbers(tensor: torch.Tensor) -> Callable[[], None]:
    numbers = tensor.detach().clone()

    def restore() -> None:
        # Writing marks a tensor as changed for autograd, so only what did change is written.
        if not torch.equal(tensor, numbers):
            with torch.no_grad():
                tensor.copy_(numbers)

    return restore

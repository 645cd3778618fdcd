"""Forward hooks: those that only look on are harmless, those that change numbers are refused.

Which it is, is found by running a hook on random numbers of the shapes that the module takes and
gives: several times, for some count their calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as of_torch

from nir_runtime.exports.demands import Complaint, computes_weights
from nir_runtime.exports.preserving import same_random_numbers
from nir_runtime.exports.signals import Signal
from nir_runtime.exports.snapshots import Snapshot, same

CALLS = 8
"""How often each hook is tried."""

INSTEAD = (
    'remove the hook, put what it does into the network, or export with hooks="ignore" if the '
    "graph is to be without it"
)


@dataclass(frozen=True)
class Hooked:
    """A call of a module that has hooks.

    Attributes:
        module: the module.
        args, kwargs: what it was given.
        result: what it returned.
    """

    module: nn.Module
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    result: Any


def has_hooks(module: nn.Module) -> bool:
    """Whether something runs beside a module's forward. (Hooks of a backward pass don't.)"""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def has_global_hooks() -> bool:
    """Whether something runs beside the forward of all modules."""
    return bool(of_torch._global_forward_hooks or of_torch._global_forward_pre_hooks)


def complaints(hooked: Hooked, net: nn.Module, variables: tuple[str, ...]) -> Iterator[Complaint]:
    """What the hooks of a module change, each named.

    Args:
        hooked: the call. Its signals give the shapes.
        net: the network, which hooks must leave as it is.
        variables: the attributes in which the module keeps its state.
    """
    module = hooked.module
    around: tuple[tuple[str, Any, Callable[..., Any], bool], ...] = (
        *_hooks(of_torch._global_forward_pre_hooks, {}, "global forward pre-hook", before=True),
        *_hooks(
            module._forward_pre_hooks,
            module._forward_pre_hooks_with_kwargs,
            "forward pre-hook",
            before=True,
        ),
        *_hooks(of_torch._global_forward_hooks, {}, "global forward hook", before=False),
        *_hooks(
            module._forward_hooks, module._forward_hooks_with_kwargs, "forward hook", before=False
        ),
    )
    own = Snapshot.of_objects(hook for _, _, hook, _ in around)
    network = Snapshot(net, lambda module: False)
    tensors = dict((*module.named_parameters(), *module.named_buffers()))
    numbers = {name: tensor.detach().clone() for name, tensor in tensors.items()}
    try:
        for kind, with_kwargs, hook, before in around:
            what = _change(hook, hooked, variables, with_kwargs=with_kwargs, before=before)
            if what is None:
                what = _written_tensor(tensors, numbers) or _written_attribute(network)
            if what is not None:
                yield f"its {kind} {_name(hook)} {what}", INSTEAD
    finally:
        for name, tensor in tensors.items():
            if not same(tensor.detach(), numbers[name]):
                tensor.data.copy_(numbers[name])
        network.restore()
        own.restore()


def _hooks(
    registered: Mapping[int, Callable[..., Any]],
    with_kwargs: Mapping[int, bool],
    kind: str,
    *,
    before: bool,
) -> Iterator[tuple[str, Any, Callable[..., Any], bool]]:
    for key, hook in registered.items():
        if not computes_weights(hook):
            yield kind, bool(with_kwargs.get(key)), hook, before


def _name(hook: Callable[..., Any]) -> str:
    return getattr(hook, "__qualname__", type(hook).__name__)


def _written_tensor(
    tensors: Mapping[str, torch.Tensor], numbers: Mapping[str, torch.Tensor]
) -> str | None:
    """What a hook wrote into the module's tensors."""
    for name, tensor in tensors.items():
        if not same(tensor.detach(), numbers[name]):
            return f"changes {name} of the module"
    return None


def _written_attribute(network: Snapshot) -> str | None:
    """What a hook changed in the network, of what isn't its own."""
    for change in network.changes():
        if not change.name.startswith(("_forward_hooks", "_forward_pre_hooks")):
            return f"changes {change.name} of the network's {type(change.module).__name__}"
    return None


def _change(
    hook: Callable[..., Any],
    hooked: Hooked,
    variables: tuple[str, ...],
    *,
    with_kwargs: bool,
    before: bool,
) -> str | None:
    """What a hook changes; None if it only looks on."""
    module = hooked.module
    generator = torch.Generator().manual_seed(0)
    kept = {name: getattr(module, name) for name in variables}
    try:
        for call in range(CALLS):
            args, kwargs, result = (
                _numbers(value, generator, 10.0 ** (call % 4 - 1))
                for value in (hooked.args, dict(hooked.kwargs), hooked.result)
            )
            given = [args, *([kwargs] if with_kwargs else []), *([] if before else [result])]
            copies = _numbers_again(given)
            for name in variables:
                setattr(module, name, _state_like(hooked, generator))
            with torch.no_grad(), same_random_numbers():
                returned = hook(module, *given)
            if not same(given, copies):
                return "writes into what the module is given or returns"
            if returned is not None and not _is_the_same(returned, given, before):
                return f"changes what the module {'is given' if before else 'returns'}"
    except Exception as error:
        return f"can't be tried on numbers: it raises {type(error).__name__}: {error}"
    finally:
        for name, value in kept.items():
            setattr(module, name, value)
    return None


def _is_the_same(returned: Any, given: list[Any], before: bool) -> bool:
    """Whether a hook returned what it was given."""
    if not before:
        return same(returned, given[-1])
    args = given[0]
    wholly = returned if isinstance(returned, tuple) else (returned,)
    return same(wholly, args) or same(wholly, tuple(given))


def _state_like(hooked: Hooked, generator: torch.Generator) -> Any:
    first = next(iter(_signals((hooked.result, hooked.args, hooked.kwargs))), None)
    return 0.0 if first is None else _numbers(first, generator, 1.0)


def _signals(value: Any) -> Iterator[Signal]:
    if isinstance(value, Signal):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _signals(item)
    elif isinstance(value, Mapping):
        yield from _signals(list(value.values()))


def _numbers(value: Any, generator: torch.Generator, scale: float) -> Any:
    """The same with random numbers in place of signals; spikes where there are spikes."""
    if isinstance(value, Signal):
        # A hook takes any batch: two samples and two steps show what it does.
        shape = (*(min(size, 2) for size in value.leading.shape), *value.features)
        drawn = torch.randn(shape, generator=generator, dtype=torch.float64)
        numbers = (drawn > 0.3).double() if value.binary else drawn * scale
        return numbers.to(value.device, value.dtype)
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_numbers(item, generator, scale) for item in value))
    if isinstance(value, (tuple, list)):
        return type(value)(_numbers(item, generator, scale) for item in value)
    if isinstance(value, dict):
        return {key: _numbers(item, generator, scale) for key, item in value.items()}
    return value


def _numbers_again(value: Any) -> Any:
    """A copy, with tensors of their own."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(_numbers_again, value))
    if isinstance(value, (tuple, list)):
        return type(value)(map(_numbers_again, value))
    if isinstance(value, dict):
        return {key: _numbers_again(item) for key, item in value.items()}
    return value

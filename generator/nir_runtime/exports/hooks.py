"""Forward hooks: those that only look on are harmless, those that change numbers are refused.

Which it is, is found by running a hook on random numbers of the shapes that the module takes and
gives: several times, for some count their calls.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn.modules import module as of_torch
from torch.nn.parameter import is_lazy

from nir_runtime.exports.demands import Complaint, computes_weights
from nir_runtime.exports.preserving import same_random_numbers
from nir_runtime.exports.side_effects import SideEffects
from nir_runtime.exports.signals import Signal
from nir_runtime.exports.snapshots import Snapshot, same

CALLS = 8
"""How often each hook is tried."""

MOST_STEPS, MOST_SAMPLES = 64, 4
"""Of how many steps and samples it is given numbers."""

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


@dataclass(frozen=True)
class _Hook:
    """A hook of a module.

    Attributes:
        kind: what it is called.
        call: the hook.
        with_kwargs: whether it is given the keyword arguments, too.
        before: whether it runs before the forward.
    """

    kind: str
    call: Callable[..., Any]
    with_kwargs: bool
    before: bool

    @property
    def name(self) -> str:
        return getattr(self.call, "__qualname__", type(self.call).__name__)


def has_hooks(module: nn.Module) -> bool:
    """Whether something runs beside a module's forward. (Hooks of a backward pass don't.)"""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def has_global_hooks() -> bool:
    """Whether something runs beside the forward of all modules."""
    return bool(of_torch._global_forward_hooks or of_torch._global_forward_pre_hooks)


def complaints(
    calls: Sequence[Hooked], net: nn.Module, variables: Callable[[nn.Module], Sequence[str]]
) -> Iterator[tuple[nn.Module, Complaint]]:
    """What the hooks of a network's modules change, each named.

    All are tried together, in the order of the calls: one may keep what another passes on.

    Args:
        calls: the calls of modules with hooks. Their signals give the shapes.
        net: the network, which hooks must leave as it is.
        variables: the attributes in which a module keeps its state.
    """
    hooks = [(hooked, hook) for hooked in calls for hook in _hooks_of(hooked.module)]
    own = Snapshot.of_objects(hook.call for _, hook in hooks)
    network = Snapshot(net, lambda module: False)
    effects = SideEffects(("torch", "nir_runtime"))
    trial = _Trial(net, variables)
    told: set[int] = set()
    try:
        for call in range(CALLS):
            trial.begin(10.0 ** (call % 4 - 1))
            for hooked, hook in hooks:
                if id(hook) in told:
                    continue
                with effects.watching():
                    what = trial.change(hook, hooked)
                trial.put_back()
                what = what or _written_tensor(net, effects) or _written_attribute(network)
                if what is not None:
                    told.add(id(hook))
                    yield hooked.module, (f"its {hook.kind} {hook.name} {what}", INSTEAD)
                    effects.restore()
                    network.restore()
    finally:
        effects.restore()
        network.restore()
        own.restore()


def _hooks_of(module: nn.Module) -> tuple[_Hook, ...]:
    """All that runs beside a module's forward, in order."""
    pre, behind = module._forward_pre_hooks, module._forward_hooks
    return (
        *_registered(of_torch._global_forward_pre_hooks, {}, "global forward pre-hook", True),
        *_registered(pre, module._forward_pre_hooks_with_kwargs, "forward pre-hook", True),
        *_registered(of_torch._global_forward_hooks, {}, "global forward hook", False),
        *_registered(behind, module._forward_hooks_with_kwargs, "forward hook", False),
    )


def _registered(
    hooks: Mapping[int, Callable[..., Any]],
    with_kwargs: Mapping[int, bool],
    kind: str,
    before: bool,
) -> Iterator[_Hook]:
    for key, hook in hooks.items():
        if not computes_weights(hook):
            yield _Hook(kind, hook, bool(with_kwargs.get(key)), before)


def _written_tensor(net: nn.Module, effects: SideEffects) -> str | None:
    """What a hook wrote into the network's tensors."""
    if effects.any_written:
        for name, tensor in (*net.named_parameters(), *net.named_buffers()):
            if not is_lazy(tensor) and effects.line_of_write(tensor) is not None:
                return f"changes {name} of the network"
    return None


def _written_attribute(network: Snapshot) -> str | None:
    """What a hook changed in the network, of what isn't its own."""
    for change in network.changes():
        return f"changes {change.name} of the network's {type(change.module).__name__}"
    return None


class _Trial:
    """Hooks on random numbers, while all layers remember some."""

    def __init__(self, net: nn.Module, variables: Callable[[nn.Module], Sequence[str]]) -> None:
        self._generator = torch.Generator().manual_seed(0)
        self._scale = 1.0
        self._found = {
            (module, name): getattr(module, name)
            for module in net.modules()
            for name in variables(module)
            if hasattr(module, name)
        }

    def begin(self, scale: float) -> None:
        """Numbers of another size from here on."""
        self._scale = scale

    def change(self, hook: _Hook, hooked: Hooked) -> str | None:
        """What a hook changes of what it is given and of the layers' states; None if nothing."""
        args, kwargs, result = (
            _numbers(value, self._generator, self._scale)
            for value in (hooked.args, dict(hooked.kwargs), hooked.result)
        )
        given = [args, *([kwargs] if hook.with_kwargs else []), *([] if hook.before else [result])]
        copies = _copied(given)
        states = self._states_for(hooked)
        before = _copied(states)
        for (module, name), value in states.items():
            setattr(module, name, value)
        try:
            with torch.no_grad(), same_random_numbers():
                returned = hook.call(hooked.module, *given)
        except Exception as error:
            return f"can't be tried on numbers: it raises {type(error).__name__}: {error}"
        for module, name in states:
            if not same(getattr(module, name, None), before[module, name]):
                whose = "the module" if module is hooked.module else f"a {type(module).__name__}"
                return f"changes the state of {whose} ({name})"
        if not same(given, copies):
            return "writes into what the module is given or returns"
        if returned is not None and not _is_the_same(returned, given, hook.before):
            return f"changes what the module {'is given' if hook.before else 'returns'}"
        return None

    def put_back(self) -> None:
        """Let the layers remember what they did."""
        for (module, name), value in self._found.items():
            setattr(module, name, value)

    def _states_for(self, hooked: Hooked) -> dict[tuple[nn.Module, str], Any]:
        """Random numbers for all states; those of the module that is called have its shape."""
        like = next(_signals((hooked.result, hooked.args, hooked.kwargs)), None)
        any_shape = torch.randn(4, generator=self._generator)
        return {
            (module, name): _numbers(like, self._generator, 1.0)
            if module is hooked.module and like is not None
            else any_shape.clone()
            for module, name in self._found
        }


def _is_the_same(returned: Any, given: list[Any], before: bool) -> bool:
    """Whether a hook returned what it was given."""
    if not before:
        return same(returned, given[-1])
    args = given[0]
    wholly = returned if isinstance(returned, tuple) else (returned,)
    return same(wholly, args) or same(wholly, tuple(given))


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
        # A hook takes any batch: a few samples show what it does.
        *time, batch = value.leading.shape
        shape = (
            *(min(size, MOST_STEPS) for size in time),
            min(batch, MOST_SAMPLES),
            *value.features,
        )
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


def _copied(value: Any) -> Any:
    """A copy, with tensors of its own."""
    if isinstance(value, torch.Tensor):
        return value.clone()
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*map(_copied, value))
    if isinstance(value, (tuple, list)):
        return type(value)(map(_copied, value))
    if isinstance(value, dict):
        return {key: _copied(item) for key, item in value.items()}
    return value

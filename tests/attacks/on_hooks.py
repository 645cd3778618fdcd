"""Hooks: those that change numbers, and those that only watch."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from spikingjelly.activation_based import layer, monitor, neuron
from torch import Tensor, nn
from torch.nn.modules import module as global_hooks
from torch.nn.utils import parametrizations, parametrize, prune

from tests.attacks.carriers import (
    JELLY,
    Carrier,
    JellyLoop,
    JellyMulti,
    JellySteps,
    NorseLoop,
    NorseSteps,
    TorchLoop,
    TorchSteps,
    attacked,
    does,
)
from tests.attacks.corpus import attack, noise

EACH = (JellySteps, JellyMulti, TorchSteps, TorchLoop, NorseSteps, NorseLoop)
SOME = (JellySteps, TorchLoop, NorseSteps)


def _first(y: Any) -> Tensor:
    return y[0] if isinstance(y, tuple) else y


def _doubled(y: Any) -> Any:
    """Twice an output; of several, the first."""
    return (y[0] * 2, *y[1:]) if isinstance(y, tuple) else y * 2


# Hooks that change numbers


@attacked("hook: returns another output, of a Linear", EACH, "refused", "out")
def doubled_linear(net: Any) -> None:
    net.out.register_forward_hook(lambda module, args, y: y * 2)


@attacked("hook: returns another output, of a neuron", EACH, "refused", "lif")
def doubled_neuron(net: Any) -> None:
    net.lif.register_forward_hook(lambda module, args, y: _doubled(y))


@attacked("hook: returns another output, of the network", EACH, "refused")
def doubled_network(net: Any) -> None:
    net.register_forward_hook(lambda module, args, y: _doubled(y))


@attacked("hook: returns another input, of a Linear", EACH, "refused", "out")
def input_doubled(net: Any) -> None:
    net.out.register_forward_pre_hook(lambda module, args: (args[0] * 2, *args[1:]))


@attacked("hook: returns a tensor as the input", EACH, "refused", "out")
def tensor_as_input(net: Any) -> None:
    net.out.register_forward_pre_hook(lambda module, args: args[0] * 2)


@attacked("hook: returns another input, of the network", EACH, "refused")
def network_input(net: Any) -> None:
    net.register_forward_pre_hook(lambda module, args: (args[0] * 2, *args[1:]))


@attacked("hook: with keywords", EACH, "refused", "out")
def with_kwargs(net: Any) -> None:
    net.out.register_forward_hook(lambda module, args, kwargs, y: y * 2, with_kwargs=True)


@attacked("hook: before, with keywords", EACH, "refused", "out")
def pre_with_kwargs(net: Any) -> None:
    net.out.register_forward_pre_hook(
        lambda module, args, kwargs: ((args[0] * 2,), kwargs), with_kwargs=True
    )


@attacked("hook: always called", SOME, "refused", "out")
def always(net: Any) -> None:
    net.out.register_forward_hook(lambda module, args, y: y * 2, always_call=True)


@attacked("hook: first of several", SOME, "refused", "out")
def prepended(net: Any) -> None:
    net.out.register_forward_hook(lambda module, args, y: None)
    net.out.register_forward_hook(lambda module, args, y: y * 2, prepend=True)


@attacked("hook: writes the output in place", EACH, "refused", "out")
def in_place(net: Any) -> None:
    def hook(module: Any, args: Any, y: Tensor) -> None:
        y.mul_(2)

    net.out.register_forward_hook(hook)


@attacked("hook: writes the input in place", EACH, "refused", "fc")
def input_in_place(net: Any) -> None:
    def hook(module: Any, args: Any) -> None:
        args[0].mul_(2)

    net.fc.register_forward_pre_hook(hook)


@attacked("hook: writes output.data", EACH, "refused", "out")
def data(net: Any) -> None:
    def hook(module: Any, args: Any, y: Tensor) -> None:
        y.data.mul_(2)

    net.out.register_forward_hook(hook)


@attacked("hook: writes a part of the output", SOME, "refused", "out")
def a_part(net: Any) -> None:
    def hook(module: Any, args: Any, y: Tensor) -> None:
        y[..., :8] = 0

    net.out.register_forward_hook(hook)


@attacked("hook: ReLU in place", SOME, "refused", "out")
def relu_in_place(net: Any) -> None:
    def hook(module: Any, args: Any, y: Tensor) -> Tensor:
        return torch.relu(y)

    net.out.register_forward_hook(hook)


@attacked("hook: clamps what is large", SOME, "refused", "out")
def clamps(net: Any) -> None:
    net.out.register_forward_hook(lambda module, args, y: y.clamp(max=1.0))


@attacked("hook: acts from the third call on", EACH, "refused", "out")
def third_call(net: Any) -> None:
    calls = [0]

    def hook(module: Any, args: Any, y: Tensor) -> Any:
        calls[0] += 1
        return y * 2 if calls[0] >= 3 else None

    net.out.register_forward_hook(hook)


@attacked("hook: acts on large numbers only", SOME, "refused", "out")
def on_large(net: Any) -> None:
    def hook(module: Any, args: Any, y: Tensor) -> Any:
        return y * 0 if float(y.abs().max()) > 2 else None

    net.out.register_forward_hook(hook)


@attacked("hook: acts on an attribute of the module", SOME, "refused", "out")
def by_attribute(net: Any) -> None:
    net.out.gain = 3.0
    net.out.register_forward_hook(lambda module, args, y: y * module.gain)


@attacked("hook: changes the module's weight", EACH, "refused", "out")
def changes_weight(net: Any) -> None:
    def hook(module: Any, args: Any) -> None:
        module.weight.data.mul_(1.4)

    net.out.register_forward_pre_hook(hook)


@attacked("hook: changes the module's attribute", JELLY, "refused", "lif")
def changes_threshold(net: Any) -> None:
    def hook(module: Any, args: Any, y: Tensor) -> None:
        module.v_threshold += 0.3

    net.lif.register_forward_hook(hook)


@attacked("hook: changes the threshold of snnTorch's", (TorchSteps, TorchLoop), "refused", "lif")
def changes_torch_threshold(net: Any) -> None:
    def hook(module: Any, args: Any, y: Any) -> None:
        module.threshold = module.threshold + 0.3

    net.lif.register_forward_hook(hook)


@attacked("hook: resets the neuron", (JellySteps, JellyLoop, JellyMulti), "refused", "lif")
def resets(net: Any) -> None:
    def hook(module: Any, args: Any, y: Any) -> None:
        module.reset()

    net.lif.register_forward_hook(hook)


@attacked("hook: resets mem", (TorchSteps,), "refused", "lif")
def resets_mem(net: Any) -> None:
    def hook(module: Any, args: Any, y: Any) -> None:
        module.reset_mem()

    net.lif.register_forward_hook(hook)


@attacked("hook: writes v", JELLY, "refused", "lif")
def writes_v(net: Any) -> None:
    def hook(module: Any, args: Any, y: Any) -> None:
        module.v = module.v * 0.3

    net.lif.register_forward_hook(hook)


@attacked("hook: writes v in place", JELLY, "refused", "lif")
def writes_v_in_place(net: Any) -> None:
    def hook(module: Any, args: Any, y: Any) -> None:
        module.v.mul_(0.3)

    net.lif.register_forward_hook(hook)


@attacked("hook: changes another module", (JellySteps, JellyLoop, TorchSteps), "refused")
def changes_another(net: Any) -> None:
    others = [net.out]

    def hook(module: Any, args: Any, y: Any) -> None:
        others[0].weight.data.mul_(1.4)

    net.fc.register_forward_hook(hook)


@attacked("hook: writes the state that is returned", (TorchLoop,), "refused", "lif")
def writes_state(net: Any) -> None:
    def hook(module: Any, args: Any, y: Any) -> Any:
        return y[0], y[1] * 0.3

    net.lif.register_forward_hook(hook)


@attacked("hook: writes Norse's state", (NorseSteps, NorseLoop), "refused", "lif")
def writes_norse_state(net: Any) -> None:
    def hook(module: Any, args: Any, y: Any) -> Any:
        return y[0], y[1]._replace(v=y[1].v * 0.3)

    net.lif.register_forward_hook(hook)


@attacked("hook: adds noise", EACH, "refused", "out")
def adds_noise(net: Any) -> None:
    net.out.register_forward_hook(lambda module, args, y: y + 2 * torch.rand_like(y))


@attacked("hook: keeps the last output, and adds it", EACH, "refused", "out")
def adds_last(net: Any) -> None:
    kept: list[Tensor] = []

    def hook(module: Any, args: Any, y: Tensor) -> Any:
        kept.append(y)
        return y + kept[-2] if len(kept) > 1 else None

    net.out.register_forward_hook(hook)


@attacked("hook: adds a hook", SOME, "refused", "out")
def adds_hook(net: Any) -> None:
    def hook(module: Any, args: Any, y: Tensor) -> None:
        module.register_forward_hook(lambda module, args, y: y * 2)

    handle = net.out.register_forward_hook(hook)
    net.out.register_forward_hook(lambda module, args, y: handle.remove())


@attacked("hook: of an inner module", EACH, "refused", "mid")
def of_inner(net: Any) -> None:
    class Inner(nn.Module):
        def forward(self, h: Tensor, t: Any) -> Tensor:
            return h

    net.mid = Inner()
    net.mid.register_forward_hook(lambda module, args, y: y * 2)


@attacked("hook: of a Sequential inside", EACH, "refused", "between")
def of_sequential(net: Any) -> None:
    net.between = nn.Sequential(nn.Identity())
    net.between.register_forward_hook(lambda module, args, y: y * 2)
    does(net, act=lambda self, h, t: self.between(h))


@attacked("hook: of an Identity", EACH, "refused", "between")
def of_identity(net: Any) -> None:
    net.between = nn.Identity()
    net.between.register_forward_hook(lambda module, args, y: y * 2)
    does(net, act=lambda self, h, t: self.between(h))


@attacked("hook: of the surrogate function", JELLY, "refused", "lif")
def of_surrogate(net: Any) -> None:
    net.lif.surrogate_function.register_forward_hook(lambda module, args, y: y * 2)


@attacked("hook: before the surrogate function", JELLY, "refused", "lif")
def before_surrogate(net: Any) -> None:
    net.lif.surrogate_function.register_forward_pre_hook(lambda module, args: (args[0] - 0.5,))


@attacked("hook: a callable object", SOME, "refused", "out")
def callable_object(net: Any) -> None:
    class Hook:
        def __init__(self) -> None:
            self.gain = 2.0

        def __call__(self, module: Any, args: Any, y: Tensor) -> Tensor:
            return y * self.gain

    net.out.register_forward_hook(Hook())


@attacked("hook: a partial", SOME, "refused", "out")
def a_partial(net: Any) -> None:
    def hook(gain: float, module: Any, args: Any, y: Tensor) -> Tensor:
        return y * gain

    net.out.register_forward_hook(functools.partial(hook, 2.0))


@attacked("hook: put into the dictionary", SOME, "refused", "out")
def into_dictionary(net: Any) -> None:
    net.out._forward_hooks[99] = lambda module, args, y: y * 2


@attack("hook: of a container, SeqToANNContainer", "spikingjelly", "refused", names=("0",),
        mode="sequences")  # fmt: skip
def of_container() -> Any:
    net = nn.Sequential(
        layer.SeqToANNContainer(nn.Linear(4, 8), nn.Identity()), neuron.LIFNode(step_mode="m")
    )
    net[0][0].weight.data *= 5
    net[0].register_forward_hook(lambda module, args, y: y * 2)
    return net, noise()


@attack("hook: inside of a container, SeqToANNContainer", "spikingjelly", "refused",
        names=("0.0",), mode="sequences")  # fmt: skip
def inside_container() -> Any:
    net = nn.Sequential(
        layer.SeqToANNContainer(nn.Linear(4, 8), nn.Identity()), neuron.LIFNode(step_mode="m")
    )
    net[0][0].weight.data *= 5
    net[0][0].register_forward_hook(lambda module, args, y: y * 2)
    return net, noise()


# Global hooks


def everywhere(name: str, register: Callable[[], Any], carrier: type[Carrier], expect: Any) -> None:
    @attack(f"hook: global, {name}, {carrier.__name__}", carrier.framework, expect,
            mode=carrier.mode)  # fmt: skip
    def build() -> Iterator[Any]:
        net = carrier()
        handle = register()
        try:
            yield net, noise()
        finally:
            handle.remove()


def _globally_doubled() -> Any:
    return global_hooks.register_module_forward_hook(
        lambda module, args, y: y * 2 if type(module).__name__ == "Linear" else None
    )


def _globally_before() -> Any:
    return global_hooks.register_module_forward_pre_hook(
        lambda module, args: (args[0] * 2,) if type(module).__name__ == "Linear" else None
    )


def _globally_in_place() -> Any:
    def hook(module: Any, args: Any, y: Any) -> None:
        if isinstance(module, nn.Linear):
            y.mul_(2)

    return global_hooks.register_module_forward_hook(hook)


def _globally_watching() -> Any:
    seen: list[str] = []

    def hook(module: Any, args: Any, y: Any) -> None:
        seen.append(type(module).__name__)

    return global_hooks.register_module_forward_hook(hook)


def _globally_backward() -> Any:
    return global_hooks.register_module_full_backward_hook(lambda module, gi, go: None)


for _carrier in (JellySteps, JellyMulti, TorchSteps, NorseLoop):
    everywhere("returns another output", _globally_doubled, _carrier, "refused")
    everywhere("returns another input", _globally_before, _carrier, "refused")
    everywhere("writes in place", _globally_in_place, _carrier, "refused")
    everywhere("watches", _globally_watching, _carrier, "equal")
    everywhere("backward", _globally_backward, _carrier, "equal")


# Weights that hooks and parametrizations make


@attacked("hook: old weight_norm", SOME, "refused", "out")
def weight_norm(net: Any) -> None:
    nn.utils.weight_norm(net.out)
    net.out.weight_g.data *= 2


@attacked("hook: old spectral_norm", SOME, "refused", "out")
def spectral_norm(net: Any) -> None:
    nn.utils.spectral_norm(net.out)


@attacked("hook: new weight_norm", SOME, "either")
def new_weight_norm(net: Any) -> None:
    parametrizations.weight_norm(net.out)
    net.out.parametrizations.weight.original0.data *= 2


@attacked("hook: new spectral_norm", SOME, "either")
def new_spectral_norm(net: Any) -> None:
    parametrizations.spectral_norm(net.out)
    net.out.parametrizations.weight.original.data *= 20


@attacked("hook: new spectral_norm in training mode", SOME, "either", train=True)
def spectral_norm_training(net: Any) -> None:
    parametrizations.spectral_norm(net.out)


@attacked("hook: a parametrization", SOME, "either")
def parametrization(net: Any) -> None:
    class Symmetric(nn.Module):
        def forward(self, w: Tensor) -> Tensor:
            return w.triu() + w.triu(1).T

    parametrize.register_parametrization(net.out, "weight", Symmetric())


@attacked("hook: a random parametrization", SOME, "refused")
def random_parametrization(net: Any) -> None:
    class Noisy(nn.Module):
        def forward(self, w: Tensor) -> Tensor:
            return w * (1 + torch.rand_like(w))

    parametrize.register_parametrization(net.out, "weight", Noisy())


@attacked("hook: a pruned weight", SOME, "refused", "out")
def pruned(net: Any) -> None:
    prune.l1_unstructured(net.out, "weight", amount=0.5)
    net.out.weight_orig.data *= 2


@attacked("hook: a pruned weight, made permanent", SOME, "equal")
def pruned_for_good(net: Any) -> None:
    prune.l1_unstructured(net.out, "weight", amount=0.3)
    prune.remove(net.out, "weight")


# Hooks that only watch


@attacked("hook, harmless: counts spikes", EACH, "equal")
def counts_outside(net: Any) -> None:
    spikes: dict[str, int] = {}

    def hook(module: Any, args: Any, y: Any) -> None:
        spikes["lif"] = spikes.get("lif", 0) + int(_first(y).sum())

    net.lif.register_forward_hook(hook)


@attacked("hook, harmless: keeps outputs outside", EACH, "equal")
def keeps_outside(net: Any) -> None:
    kept: list[Tensor] = []

    def hook(module: Any, args: Any, y: Any) -> None:
        kept.append(_first(y).detach().clone())

    for module in (net.fc, net.lif, net.last):
        module.register_forward_hook(hook)


@attacked("hook, harmless: counts spikes in the network", EACH, "either")
def counts(net: Any) -> None:
    net.spikes = 0

    def hook(module: Any, args: Any, y: Any) -> None:
        net.spikes += int(_first(y).sum())

    net.lif.register_forward_hook(hook)


@attacked("hook, harmless: keeps outputs in the network", EACH, "either")
def keeps(net: Any) -> None:
    net.kept = []

    def hook(module: Any, args: Any, y: Any) -> None:
        net.kept.append(_first(y).detach().clone())

    net.lif.register_forward_hook(hook)


@attacked("hook, harmless: returns the same output", EACH, "equal")
def same(net: Any) -> None:
    net.out.register_forward_hook(lambda module, args, y: y)


@attacked("hook, harmless: returns the same input", EACH, "equal")
def same_input(net: Any) -> None:
    net.out.register_forward_pre_hook(lambda module, args: args)


@attacked("hook, harmless: returns a copy", EACH, "either")
def a_copy(net: Any) -> None:
    net.out.register_forward_hook(lambda module, args, y: y.clone())


@attacked("hook, harmless: watches the input of the network", EACH, "equal")
def watches_network(net: Any) -> None:
    net.register_forward_pre_hook(lambda module, args: None)
    net.register_forward_hook(lambda module, args, y: None)


@attacked("hook, harmless: notes shapes", EACH, "equal")
def shapes(net: Any) -> None:
    seen: dict[str, Any] = {}

    def hook(module: Any, args: Any, y: Any) -> None:
        seen[type(module).__name__] = tuple(_first(y).shape)

    for module in net.modules():
        module.register_forward_hook(hook)


@attacked("hook, harmless: of the backward pass", EACH, "equal")
def backward(net: Any) -> None:
    net.out.register_full_backward_hook(lambda module, gi, go: None)
    net.out.register_full_backward_pre_hook(lambda module, go: None)
    net.fc.weight.register_hook(lambda grad: grad * 2)


@attacked("hook, harmless: of the state_dict", EACH, "equal")
def of_state_dict(net: Any) -> None:
    net.out.register_state_dict_post_hook(lambda *args: None)
    net.out.register_state_dict_pre_hook(lambda *args: None)
    net.register_load_state_dict_post_hook(lambda *args: None)
    net.register_load_state_dict_pre_hook(lambda *args: None)


@attacked("hook, harmless: one that was removed", EACH, "equal")
def removed(net: Any) -> None:
    net.out.register_forward_hook(lambda module, args, y: y * 2).remove()


@attacked("hook, harmless: of a module that isn't called", EACH, "equal")
def of_uncalled(net: Any) -> None:
    net.unused = nn.Linear(3, 3)
    net.unused.register_forward_hook(lambda module, args, y: y * 2)


@attacked("hook, harmless: fails on odd numbers", SOME, "either")
def fails(net: Any) -> None:
    def hook(module: Any, args: Any, y: Any) -> None:
        if not bool(torch.isfinite(_first(y)).all()):
            raise FloatingPointError("not finite")

    net.out.register_forward_hook(hook)


def monitored(name: str, make: Callable[[Any], Any]) -> None:
    @attacked(f"hook, harmless: {name}", JELLY, "equal")
    def change(net: Any) -> None:
        net.__dict__["monitor"] = make(net)


monitored("OutputMonitor", lambda net: monitor.OutputMonitor(net, neuron.LIFNode))
monitored("OutputMonitor with a function", lambda net: monitor.OutputMonitor(
    net, neuron.LIFNode, lambda y: y.mean()))  # fmt: skip
monitored("InputMonitor", lambda net: monitor.InputMonitor(net, neuron.LIFNode))
monitored("AttributeMonitor", lambda net: monitor.AttributeMonitor(
    "v", False, net, neuron.LIFNode))  # fmt: skip
monitored("AttributeMonitor before", lambda net: monitor.AttributeMonitor(
    "v", True, net, neuron.LIFNode))  # fmt: skip
monitored("GradOutputMonitor", lambda net: monitor.GradOutputMonitor(net, neuron.LIFNode))
monitored("GradInputMonitor", lambda net: monitor.GradInputMonitor(net, neuron.LIFNode))


@attack("hook: an OutputMonitor whose function writes", "spikingjelly", "refused")
def writing_monitor() -> Any:
    net = JellySteps()
    net.__dict__["monitor"] = monitor.OutputMonitor(net, neuron.LIFNode, lambda y: y.mul_(2))
    return net, noise()

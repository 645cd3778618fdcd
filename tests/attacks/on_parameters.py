"""Parameters and settings that a forward changes: at a step of its loop, or from call to call."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import norse.torch as norse
import snntorch
import torch
from spikingjelly.activation_based import neuron, surrogate
from torch import Tensor, nn

from tests.attacks.carriers import (
    FAST,
    HIDDEN,
    LEAKY,
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

Change = Callable[[Any], None]


def changed_at(step: int, change: Change, net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        if t == step:
            change(self)
        return h

    does(net, act=act)


def changed_each(change: Change, net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        change(self)
        return h

    does(net, act=act)


def restored_after(change: Change, restore: Change, net: Any) -> None:
    """Changed at step 1, and put back at step 2, so that nothing is left to be seen."""

    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        if t in (1, 2):
            (change if t == 1 else restore)(self)
        return h

    does(net, act=act)


def jelly(
    name: str, change: Change, restore: Change | None = None, *names: str, again: bool = True
) -> None:
    """A change of SpikingJelly's layers; `again` if it is another one each time."""
    expect: Any = "refused" if again else "either"
    at = functools.partial(changed_at, 1, change)
    attacked(f"parameter: {name}, at a step", JellyLoop, "refused", *names)(at)
    each = functools.partial(changed_each, change)
    attacked(f"parameter: {name}, before each step", JellySteps, expect, *names)(each)
    attacked(f"parameter: {name}, in each sequence", JellyMulti, expect, *names)(each)
    if restore is not None:
        back = functools.partial(restored_after, change, restore)
        attacked(f"parameter: {name}, for one step", JellyLoop, "refused", *names)(back)


def _threshold(net: Any) -> None:
    net.lif.v_threshold += 0.2


def _threshold_back(net: Any) -> None:
    net.lif.v_threshold -= 0.2


jelly("v_threshold", _threshold, _threshold_back, "lif")


def _tau(net: Any) -> None:
    net.lif.tau *= 1.5


def _tau_back(net: Any) -> None:
    net.lif.tau /= 1.5


jelly("tau", _tau, _tau_back, "lif")


def _decay_input(net: Any) -> None:
    net.lif.decay_input = not net.lif.decay_input


jelly("decay_input", _decay_input, _decay_input, "lif")


def _v_reset(net: Any) -> None:
    net.lif.v_reset = -0.5


jelly("v_reset", _v_reset, None, "lif", again=False)


def _soft(net: Any) -> None:
    net.lif.v_reset = None


jelly("v_reset is None", _soft, None, "lif", again=False)


def _weight(net: Any) -> None:
    net.out.weight.data = net.out.weight.data * 1.5


def _weight_back(net: Any) -> None:
    net.out.weight.data = net.out.weight.data / 1.5


jelly("weight.data", _weight, _weight_back, "out")


def _weight_copied(net: Any) -> None:
    with torch.no_grad():
        net.out.weight.copy_(net.out.weight.abs())


jelly("weight.copy_", _weight_copied, None, "out", again=False)


def _weight_scaled(net: Any) -> None:
    with torch.no_grad():
        net.fc.weight.mul_(1.3)


jelly("weight.mul_", _weight_scaled, None, "fc")


def _weight_indexed(net: Any) -> None:
    net.fc.weight.data[0] += 0.5


jelly("a row of the weight", _weight_indexed, None, "fc")


def _weight_new(net: Any) -> None:
    net.out.weight = nn.Parameter(net.out.weight.detach() * 1.5)


jelly("a new weight", _weight_new, None, "out")


def _bias(net: Any) -> None:
    net.out.bias.data += 0.3


jelly("bias", _bias, None, "out")


def _no_bias(net: Any) -> None:
    net.fc.bias = None


jelly("the bias goes", _no_bias, None, "fc", again=False)


def _through_numpy(net: Any) -> None:
    net.out.weight.detach().numpy()[:] *= 1.5


jelly("weight through numpy", _through_numpy, None, "out")


def _through_vector(net: Any) -> None:
    vector = nn.utils.parameters_to_vector(net.out.parameters())
    nn.utils.vector_to_parameters(vector * 1.5, net.out.parameters())


jelly("parameters as a vector", _through_vector, None, "out")


def _loaded(net: Any) -> None:
    state = {k: v * 1.5 for k, v in net.out.state_dict().items()}
    net.out.load_state_dict(state)


jelly("load_state_dict", _loaded, None, "out")


def _swapped_layer(net: Any) -> None:
    if not isinstance(net.lif, neuron.IFNode):
        net.lif = neuron.IFNode(step_mode=net.lif.step_mode)


jelly("another neuron", _swapped_layer, None, again=False)


def _surrogate(net: Any) -> None:
    net.lif.surrogate_function = surrogate.Sigmoid(spiking=False)


jelly("a surrogate that passes on its primitive", _surrogate, None, "lif", again=False)


def _class(net: Any) -> None:
    class Other(neuron.LIFNode):
        def single_step_forward(self, x: Tensor) -> Tensor:
            return super().single_step_forward(x * 2)

        multi_step_forward = single_step_forward  # type: ignore[assignment]

    if type(net.lif) is neuron.LIFNode:
        net.lif.__class__ = Other


jelly("the class", _class, None, "lif", again=False)


def _forward(net: Any) -> None:
    net.lif.forward = lambda x: type(net.lif).forward(net.lif, x) * 2


jelly("the forward", _forward, None, "lif", again=False)


def _hook(net: Any) -> None:
    if not net.lif._forward_hooks:
        net.lif.register_forward_hook(lambda module, args, y: y * 2)


jelly("a hook", _hook, None, "lif", again=False)


def _step_mode(net: Any) -> None:
    net.lif.step_mode = "m"  # the batch becomes time


attacked("parameter: step_mode, at a step", JellyLoop, "refused", "lif")(
    functools.partial(changed_at, 1, _step_mode)
)
attacked("parameter: step_mode, in each step", JellySteps, "refused", "lif")(
    functools.partial(changed_each, _step_mode)
)


# snnTorch


def torches(
    name: str, change: Change, restore: Change | None = None, *names: str, again: bool = True
) -> None:
    expect: Any = "refused" if again else "either"
    at = functools.partial(changed_at, 1, change)
    attacked(f"parameter: {name}, at a step", TorchLoop, "refused", *names)(at)
    each = functools.partial(changed_each, change)
    attacked(f"parameter: {name}, before each step", TorchSteps, expect, *names)(each)
    if restore is not None:
        back = functools.partial(restored_after, change, restore)
        attacked(f"parameter: {name}, for one step", TorchLoop, "refused", *names)(back)


def _beta(net: Any) -> None:
    net.lif.beta = net.lif.beta * 0.7


def _beta_back(net: Any) -> None:
    net.lif.beta = net.lif.beta / 0.7


torches("beta", _beta, _beta_back, "lif")


def _beta_in_place(net: Any) -> None:
    net.lif.beta.mul_(0.7)


torches("beta in place", _beta_in_place, None, "lif")


def _torch_threshold(net: Any) -> None:
    net.lif.threshold = net.lif.threshold + 0.3


torches("threshold", _torch_threshold, None, "lif")


def _graded(net: Any) -> None:
    net.lif.graded_spikes_factor = net.lif.graded_spikes_factor * 0.5


torches("graded_spikes_factor", _graded, None, "lif")


def _mechanism(net: Any) -> None:
    net.lif.reset_mechanism_val = torch.tensor(2)
    net.lif.state_function = net.lif._base_int


torches("state_function", _mechanism, None, "lif", again=False)


def _inhibition(net: Any) -> None:
    net.lif.inhibition = True


torches("inhibition", _inhibition, None, "lif", again=False)


def _delay(net: Any) -> None:
    net.lif.reset_delay = False


torches("reset_delay", _delay, None, "lif", again=False)
torches("weight", _weight, _weight_back, "out")


def _quantized(net: Any) -> None:
    net.lif.state_quant = torch.round


torches("state_quant", _quantized, None, "lif", again=False)


# Norse


def norses(
    name: str, change: Change, restore: Change | None = None, *names: str, again: bool = True
) -> None:
    expect: Any = "refused" if again else "either"
    at = functools.partial(changed_at, 1, change)
    attacked(f"parameter: {name}, at a step", NorseLoop, "refused", *names)(at)
    each = functools.partial(changed_each, change)
    attacked(f"parameter: {name}, before each step", NorseSteps, expect, *names)(each)
    if restore is not None:
        back = functools.partial(restored_after, change, restore)
        attacked(f"parameter: {name}, for one step", NorseLoop, "refused", *names)(back)


def _p(net: Any) -> None:
    net.lif.p = net.lif.p._replace(v_th=net.lif.p.v_th + 0.5)


def _p_back(net: Any) -> None:
    net.lif.p = net.lif.p._replace(v_th=net.lif.p.v_th - 0.5)


norses("p", _p, _p_back, "lif")


def _p_in_place(net: Any) -> None:
    net.lif.p.v_th.add_(0.5)


def _own_p(net: Any) -> None:
    net.lif.p = net.lif.p._replace(v_th=torch.tensor(1.0), tau_mem_inv=torch.tensor(500.0))


for _carrier, _when in ((NorseLoop, functools.partial(changed_at, 1, _p_in_place)),
                        (NorseSteps, functools.partial(changed_each, _p_in_place))):  # fmt: skip

    def _with_own(net: Any, when: Any = _when) -> None:
        _own_p(net)
        when(net)

    attacked("parameter: p in place", _carrier, "refused", "lif")(_with_own)


def _dt(net: Any) -> None:
    net.lif.dt = net.lif.dt * 0.5


norses("dt", _dt, None, "lif")


def _activation(net: Any) -> None:
    activation = norse.LIFBoxCell().activation
    net.lif.activation = lambda x, s, p, dt: activation(x * 2, s, p, dt)


norses("activation", _activation, None, "lif", again=False)
norses("weight", _weight, _weight_back, "out")


# In any framework


def both(name: str, act: Any, expect: Any = "refused", *names: str, **options: Any) -> None:
    for carrier in (JellyLoop, TorchLoop, NorseLoop):
        _acts(name, carrier, act, expect, names, options)


def _acts(
    name: str, carrier: type[Carrier], act: Any, expect: Any, names: Any, options: Any
) -> None:
    attacked(name, carrier, expect, *names, **options)(lambda net: does(net, act=act))


both("parameter: the gain depends on the step", lambda self, h, t: h * (1 + t))
both("parameter: one step is twice", lambda self, h, t: h * 2 if t == 2 else h)
both("parameter: the sign alternates", lambda self, h, t: -h if t % 2 else h)
both("parameter: the first step is left as it is", lambda self, h, t: h * 2 if t else h)
both("parameter: the gain depends on the step, all the same", lambda self, h, t: h * (t * 0 + 2),
     "equal")  # fmt: skip


def _training(self: Any, h: Tensor, t: int | None) -> Tensor:
    return h * 2 if self.training else h


both("parameter: training mode is asked for, in eval", _training, "either")
both("parameter: training mode is asked for, in training", _training, "either", train=True)


def _switching(self: Any, h: Tensor, t: int | None) -> Tensor:
    self.train(not self.training)
    return h * 2 if self.training else h


both("parameter: training mode is switched", _switching)


def _two_layers(carrier: type[Carrier]) -> None:
    def change(net: Any) -> None:
        net.even, net.odd = nn.Linear(HIDDEN, HIDDEN), nn.Linear(HIDDEN, HIDDEN)
        net.even.weight.data *= 3
        net.odd.weight.data *= 3
        does(net, act=lambda self, h, t: (self.odd if t % 2 else self.even)(h))

    attacked("parameter: two layers take turns", carrier, "refused")(change)

    def same(net: Any) -> None:
        net.even = nn.Linear(HIDDEN, HIDDEN)
        net.even.weight.data *= 3
        net.odd = net.even
        does(net, act=lambda self, h, t: (self.odd if t % 2 else self.even)(h))

    attacked("parameter: one layer by two names takes turns", carrier, "equal")(same)


for _looped in (JellyLoop, TorchLoop, NorseLoop):
    _two_layers(_looped)


def _popped(carrier: type[Carrier]) -> None:
    def change(net: Any) -> None:
        net.many = nn.ModuleList(nn.Linear(HIDDEN, HIDDEN) for _ in range(3))

        def act(self: Any, h: Tensor, t: int | None) -> Tensor:
            y = self.many[0](h)
            self.many.append(self.many.pop(0))
            return y

        does(net, act=act)

    attacked("parameter: layers in rotation", carrier, "refused", "many"
             if carrier in (JellySteps, JellyMulti) else "")(change)  # fmt: skip


for _each in (JellySteps, JellyLoop, JellyMulti, TorchSteps, NorseLoop):
    _popped(_each)


@attack("parameter: two neurons take turns", "spikingjelly", "refused", mode="sequences")
def neurons_take_turns() -> Any:
    class Net(JellyLoop):
        def prepare(self) -> None:
            self.other = neuron.LIFNode(5.0)

        def step(self, x: Tensor, t: int) -> Tensor:
            lif = self.other if t % 2 else self.lif
            return self.last(self.out(lif(self.fc(x))))

    return Net(), noise()


@attack("parameter: a neuron skips steps", "spikingjelly", "refused", mode="sequences")
def skips() -> Any:
    class Net(JellyLoop):
        def step(self, x: Tensor, t: int) -> Tensor:
            z = self.lif(self.fc(x))
            self.kept = self.out(z) if t % 2 == 0 else self.kept
            return self.last(self.kept)

    return Net(), noise()


@attack("parameter: the loop runs backwards", "spikingjelly", "refused", mode="sequences")
def backwards() -> Any:
    class Net(JellyLoop):
        def forward(self, x: Tensor) -> Any:
            return torch.stack([self.step(x[t], t) for t in reversed(range(len(x)))])

    return Net(), noise()


@attack("parameter: the outputs are reversed", "snntorch", "refused", mode="afresh")
def reversed_outputs() -> Any:
    class Net(TorchLoop):
        def forward(self, x: Tensor) -> Any:
            return torch.stack(list(super().forward(x).unbind())[::-1])

    return Net(), noise()


@attack("parameter: the loop leaves out the last step", "norse", "refused", mode="afresh")
def one_less() -> Any:
    class Net(NorseLoop):
        def forward(self, x: Tensor, state: Any = None) -> Any:
            states: list[Any] = [None, None]
            steps = [self.step(x[t], t, states) for t in range(len(x) - 1)]
            return torch.stack([*steps, steps[-1]])

    return Net(), noise()


@attack("parameter: the input is shifted by one step", "snntorch", "refused", mode="afresh")
def shifted() -> Any:
    class Net(TorchLoop):
        def forward(self, x: Tensor) -> Any:
            states, outputs = [self.lif.init_leaky(), self.last.init_leaky()], []
            for t in range(len(x)):
                outputs.append(self.step(x[max(0, t - 1)], t, states))
            return torch.stack(outputs)

    return Net(), noise()


@attack("parameter: a first step that warms up", "snntorch", "refused", mode="afresh")
def warms_up() -> Any:
    class Net(TorchLoop):
        def forward(self, x: Tensor) -> Any:
            states = [self.lif.init_leaky(), self.last.init_leaky()]
            self.step(x[0], 0, states)
            return torch.stack([self.step(x[t], t, states) for t in range(len(x))])

    return Net(), noise()


@attack("parameter: Leaky in a loop with a threshold that adapts", "snntorch", "refused",
        mode="afresh")  # fmt: skip
def adapts() -> Any:
    class Net(TorchLoop):
        def step(self, x: Tensor, t: int, states: Any) -> Tensor:
            z, states[0] = self.lif(self.fc(x), states[0])
            self.lif.threshold = self.lif.threshold * 1.1
            y, states[1] = self.last(self.out(z), states[1])
            return y

    return Net(), noise()


@attack("parameter: p of Norse is a new one, alike", "norse", "either", mode="afresh")
def alike() -> Any:
    class Net(NorseLoop):
        def act(self, h: Tensor, t: int | None) -> Tensor:
            self.lif.p = FAST
            return h

    return Net(), noise()


@attack("parameter: snnTorch layers made in the forward", "snntorch", "refused", mode="afresh")
def made_in_forward() -> Any:
    class Net(TorchLoop):
        def step(self, x: Tensor, t: int, states: Any) -> Tensor:
            self.lif = snntorch.Leaky(**{**LEAKY, "beta": 0.9 - 0.05 * t})
            return super().step(x, t, states)

    return Net(), noise()

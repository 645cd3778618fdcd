"""Attributes of layers that act, and that no constructor lists, or that changed since."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import norse.torch as norse
import snntorch
import torch
from spikingjelly.activation_based import layer, neuron, surrogate
from torch import Tensor, nn

from tests.attacks.carriers import (
    FAST,
    HIDDEN,
    JELLY,
    LEAKY,
    STEP,
    JellyMulti,
    JellySteps,
    NorseLoop,
    NorseSteps,
    TorchLoop,
    TorchSteps,
    attacked,
)
from tests.attacks.corpus import Expect, attack, noise

LEAKIES = (TorchSteps, TorchLoop)
NORSES = (NorseSteps, NorseLoop)
SOME = (JellySteps, TorchLoop, NorseSteps)

# snnTorch


@attacked("attribute: graded_spikes_factor", LEAKIES, "either")
def graded(net: Any) -> None:
    net.lif.graded_spikes_factor = torch.tensor(2.5)


@attacked("attribute: graded_spikes_factor of each neuron", LEAKIES, "either")
def graded_each(net: Any) -> None:
    net.lif.graded_spikes_factor = torch.linspace(-2.0, 3.0, HIDDEN)


@attacked("attribute: graded_spikes_factor is learned", LEAKIES, "either")
def graded_learned(net: Any) -> None:
    more = {"init_hidden": net.lif.init_hidden, "learn_graded_spikes_factor": True}
    net.lif = snntorch.Leaky(**LEAKY, **more, graded_spikes_factor=1.0)
    net.lif.graded_spikes_factor.data.fill_(0.4)


@attacked("attribute: graded_spikes_factor without reset_delay", LEAKIES, "either")
def graded_reset(net: Any) -> None:
    net.lif.graded_spikes_factor = torch.tensor(0.5)
    net.lif.reset_delay = False


@attacked("attribute: graded_spikes_factor in place", LEAKIES, "either")
def graded_in_place(net: Any) -> None:
    net.lif.graded_spikes_factor.fill_(2.5)


@attacked("attribute: inhibition", LEAKIES, "refused", "lif", "inhibition")
def inhibition(net: Any) -> None:
    net.lif.inhibition = True


@attacked("attribute: state_quant", LEAKIES, "refused", "lif", "state_quant")
def state_quant(net: Any) -> None:
    net.lif.state_quant = lambda mem: torch.round(mem * 2) / 2


@attacked("attribute: reset_delay", LEAKIES, "either")
def reset_delay(net: Any) -> None:
    net.lif.reset_delay = False


@attacked("attribute: reset_mechanism", LEAKIES, "either")
def reset_mechanism(net: Any) -> None:
    net.lif.reset_mechanism = "subtract"


@attacked("attribute: reset_mechanism_val", LEAKIES, "either")
def reset_mechanism_val(net: Any) -> None:
    net.lif.reset_mechanism_val = torch.tensor(0)
    net.lif.reset_delay = False


@attacked("attribute: reset_mechanism_val in place", LEAKIES, "either")
def reset_val_in_place(net: Any) -> None:
    net.lif.reset_delay = False
    net.lif.reset_mechanism_val.fill_(2)


@attacked("attribute: beta above 1", LEAKIES, "either")
def beta_above(net: Any) -> None:
    net.lif.beta = torch.tensor(1.3)


@attacked("attribute: beta of each neuron", LEAKIES, "equal")
def beta_each(net: Any) -> None:
    net.lif.beta = torch.linspace(0.1, 0.95, HIDDEN)


@attacked("attribute: beta of each sample", LEAKIES, "either")
def beta_each_sample(net: Any) -> None:
    net.lif.beta = torch.tensor([[0.2], [0.9]])


@attacked("attribute: threshold of each neuron", LEAKIES, "equal")
def threshold_each(net: Any) -> None:
    net.lif.threshold = torch.linspace(0.1, 2.0, HIDDEN)


@attacked("attribute: threshold below zero", LEAKIES, "either")
def threshold_below(net: Any) -> None:
    net.lif.threshold = torch.tensor(-0.5)


@attacked("attribute: threshold is learned", LEAKIES, "equal")
def threshold_learned(net: Any) -> None:
    net.lif = snntorch.Leaky(**LEAKY, init_hidden=net.lif.init_hidden, learn_threshold=True,
                             learn_beta=True)  # fmt: skip
    net.lif.threshold.data.fill_(0.4)
    net.lif.beta.data.fill_(0.6)


@attack("attribute: output is turned on", "snntorch", "either")
def output_on() -> Any:
    net = nn.Sequential(nn.Linear(4, 8), snntorch.Leaky(**LEAKY, init_hidden=True))
    net[0].weight.data *= 4
    net[1].output = True
    return net, noise()


@attack("attribute: init_hidden is turned on", "snntorch", "either")
def init_hidden_on() -> Any:
    net = nn.Sequential(nn.Linear(4, 8), snntorch.Leaky(**LEAKY))
    net[0].weight.data *= 4
    net[1].init_hidden = True
    return net, noise()


@attack("attribute: init_hidden is turned off, and the state is kept all the same", "snntorch",
        "either")  # fmt: skip
def init_hidden_off() -> Any:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.lif = nn.Linear(4, 8), snntorch.Leaky(**LEAKY, init_hidden=True)
            self.fc.weight.data *= 4
            self.lif.init_hidden = False

        def forward(self, x: Tensor) -> Tensor:
            return self.lif(self.fc(x))[0]

    return Net(), noise()


def _synaptic(change: Callable[[Any], None]) -> Any:
    lif = snntorch.Synaptic(alpha=0.8, beta=0.9, init_hidden=True, reset_mechanism="zero",
                            reset_delay=False, spike_grad=STEP)  # fmt: skip
    net = nn.Sequential(nn.Linear(4, 8), lif)
    net[0].weight.data *= 4
    change(lif)
    return net, noise()


def _rleaky(change: Callable[[Any], None]) -> Any:
    lif = snntorch.RLeaky(beta=0.9, spike_grad=STEP, init_hidden=True, reset_mechanism="zero",
                          reset_delay=False, linear_features=4)  # fmt: skip
    lif.recurrent.weight.data *= 3
    change(lif)
    return nn.Sequential(lif), noise(4)


def _lapicque(change: Callable[[Any], None]) -> Any:
    lif = snntorch.Lapicque(beta=0.9, init_hidden=True, reset_mechanism="zero", spike_grad=STEP)
    net = nn.Sequential(nn.Linear(4, 8), lif)
    net[0].weight.data *= 10
    change(lif)
    return net, noise()


def _graded(lif: Any) -> None:
    lif.graded_spikes_factor = torch.tensor(2.0)


def _alpha(lif: Any) -> None:
    lif.alpha = torch.tensor(0.3)


def _late(lif: Any) -> None:
    lif.reset_delay = True


def _one_to_one(lif: Any) -> None:
    lif.all_to_all = False


def _time_step(lif: Any) -> None:
    lif.time_step = torch.tensor(0.5)


def _r(lif: Any) -> None:
    lif.R = torch.tensor(7.0)


def _c(lif: Any) -> None:
    lif.C = torch.tensor(0.2)


for _name, _make, _change in (
    ("Synaptic, graded_spikes_factor", _synaptic, _graded),
    ("Synaptic, alpha", _synaptic, _alpha),
    ("Synaptic, reset_delay", _synaptic, _late),
    ("RLeaky, graded_spikes_factor", _rleaky, _graded),
    ("RLeaky, reset_delay", _rleaky, _late),
    ("RLeaky, all_to_all", _rleaky, _one_to_one),
    ("Lapicque, graded_spikes_factor", _lapicque, _graded),
    ("Lapicque, time_step", _lapicque, _time_step),
    ("Lapicque, R", _lapicque, _r),
    ("Lapicque, C", _lapicque, _c),
):

    def _built(make: Any = _make, change: Any = _change) -> Any:
        return make(change)

    attack(f"attribute: {_name}", "snntorch", "either")(_built)


# SpikingJelly


@attacked("attribute: lava_s_cale", JELLY, "equal")
def lava(net: Any) -> None:
    net.lif.lava_s_cale = 3


@attacked("attribute: detach_reset", JELLY, "equal")
def detach_reset(net: Any) -> None:
    net.lif.detach_reset = True


@attacked("attribute: store_v_seq", JELLY, "equal")
def store_v_seq(net: Any) -> None:
    net.lif.store_v_seq = True


@attacked("attribute: v_threshold is a tensor", JELLY, "either")
def threshold_tensor(net: Any) -> None:
    net.lif.v_threshold = torch.linspace(0.2, 2.0, HIDDEN)


@attacked("attribute: tau is a tensor", JELLY, "either")
def tau_tensor(net: Any) -> None:
    net.lif.tau = torch.linspace(1.5, 4.0, HIDDEN)


@attacked("attribute: tau is a parameter", JELLY, "either")
def tau_parameter(net: Any) -> None:
    net.lif.tau = nn.Parameter(torch.tensor(3.0))


@attacked("attribute: tau below 1", JELLY, "either")
def tau_below(net: Any) -> None:
    net.lif.tau = 0.7


@attacked("attribute: tau is negative", JELLY, "either")
def tau_negative(net: Any) -> None:
    net.lif.tau = -2.0


@attacked("attribute: v_threshold is an int", JELLY, "either")
def threshold_int(net: Any) -> None:
    net.lif.v_threshold = 1


@attacked("attribute: v_reset above the threshold", JELLY, "either")
def reset_above(net: Any) -> None:
    net.lif.v_reset = 1.5
    net.lif.set_reset_value("v", 1.5)
    net.lif.reset()


@attacked("attribute: decay_input", JELLY, "equal")
def decay_input(net: Any) -> None:
    net.lif.decay_input = False


@attacked("attribute: decay_input is a number", JELLY, "either")
def decay_input_number(net: Any) -> None:
    net.lif.decay_input = 2


@attacked("attribute: backend is unknown", (JellySteps,), "either")
def backend(net: Any) -> None:
    net.lif._backend = "torch"


@attacked("attribute: _neuron_precision", (JellySteps,), "either")
def precision(net: Any) -> None:
    net.lif._neuron_precision = (torch.float16, torch.float16, torch.float16, torch.float16)


@attacked("attribute: the surrogate's alpha", JELLY, "equal")
def alpha(net: Any) -> None:
    net.lif.surrogate_function.alpha = 9.0


@attacked("attribute: the surrogate's spiking", JELLY, "refused", "lif")
def not_spiking(net: Any) -> None:
    net.lif.surrogate_function.spiking = False


@attacked("attribute: _step_mode of one layer", (JellySteps,), "either")
def step_mode(net: Any) -> None:
    net.lif._step_mode = "m"


@attack("attribute: ParametricLIFNode, w of each neuron", "spikingjelly", "either")
def plif() -> Any:
    net = nn.Sequential(nn.Linear(4, 8), neuron.ParametricLIFNode())
    net[1].w = nn.Parameter(torch.linspace(-2, 2, 8))
    net[0].weight.data *= 4
    return net, noise()


@attack("attribute: ParametricLIFNode, trained", "spikingjelly", "equal")
def plif_trained() -> Any:
    net = nn.Sequential(nn.Linear(4, 8), neuron.ParametricLIFNode())
    net[1].w.data.fill_(1.3)
    net[0].weight.data *= 4
    return net, noise()


@attack("attribute: CUBALIFNode, decays", "spikingjelly", "either")
def cuba() -> Any:
    net = nn.Sequential(nn.Linear(4, 8), neuron.CUBALIFNode(0.5, 0.6))
    net[1].c_decay, net[1].v_decay = 0.2, 0.95
    net[0].weight.data *= 4
    return net, noise()


@attack("attribute: Delay, _delay_steps", "spikingjelly", "equal")
def delay() -> Any:
    net = nn.Sequential(nn.Linear(4, 8), layer.Delay(1), neuron.LIFNode())
    net[1]._delay_steps = 3
    net[0].weight.data *= 4
    return net, noise()


# Norse


def _p(name: str, expect: Expect = "either", **changes: Any) -> None:
    def change(net: Any) -> None:
        net.lif.p = FAST._replace(**changes)

    attacked(f"attribute: p, {name}", NORSES, expect)(change)


_p("v_th of each neuron", "equal", v_th=torch.linspace(0.2, 2.0, HIDDEN))
_p("tau of each neuron", "equal", tau_mem_inv=torch.linspace(50.0, 900.0, HIDDEN))
_p("a number for a tensor", v_th=0.6)
_p("tau of each sample", tau_mem_inv=torch.tensor([[300.0], [900.0]]))
_p("tau negative", tau_mem_inv=torch.tensor(-300.0))
_p("a reset above the threshold", v_reset=torch.tensor(1.4))
_p("another method", method="tanh")
_p("alpha", "equal", alpha=torch.tensor(5.0))
_p("reset_method", reset_method=norse.functional.reset.reset_subtract
   if hasattr(norse.functional, "reset") else None)  # fmt: skip


@attacked("attribute: dt of the cell", NORSES, "either")
def cell_dt(net: Any) -> None:
    net.lif.dt = 5e-4


@attacked("attribute: dt of the cell is a tensor", NORSES, "either")
def cell_dt_tensor(net: Any) -> None:
    net.lif.dt = torch.tensor(5e-4)


@attacked("attribute: activation_sparse", NORSES, "either")
def sparse(net: Any) -> None:
    net.lif.activation_sparse = lambda x, s, p, dt: (x, s)


# Layers of PyTorch


@attacked("attribute: Linear, the weight is a buffer", SOME, "equal")
def buffer_weight(net: Any) -> None:
    weight = net.out.weight.detach() * 2
    del net.out.weight
    net.out.register_buffer("weight", weight)


@attacked("attribute: Linear, the weight is a plain tensor", SOME, "either")
def plain_weight(net: Any) -> None:
    weight = net.out.weight.detach() * 2
    del net.out.weight
    net.out.weight = weight


@attacked("attribute: Linear, out_features says something else", SOME, "either")
def features_lie(net: Any) -> None:
    net.out.out_features = 3


@attacked("attribute: Linear, the weight is transposed memory", SOME, "equal")
def transposed(net: Any) -> None:
    net.out.weight = nn.Parameter(net.out.weight.detach().T.contiguous().T * 2)


@attacked("attribute: Linear, weights tied to another's", SOME, "equal")
def tied(net: Any) -> None:
    net.out.bias = nn.Parameter(net.fc.bias.detach())
    net.fc.bias = net.out.bias


@attacked("attribute: Linear, the bias is of another shape", SOME, "either")
def odd_bias(net: Any) -> None:
    net.out.bias = nn.Parameter(torch.tensor([0.7]))


@attacked("attribute: Linear, the bias is a tensor of two axes", SOME, "either")
def wide_bias(net: Any) -> None:
    net.out.bias = nn.Parameter(torch.tensor([[0.7] * 16, [-0.7] * 16]))


class _Scaled(Tensor):
    """A tensor that computes otherwise."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            y = func(*args, **(kwargs or {}))
        return y * 2 if func is torch.nn.functional.linear else y


@attacked("attribute: Linear, the weight is a tensor of a class that computes otherwise", SOME,
          "refused", "out")  # fmt: skip
def subclassed_weight(net: Any) -> None:
    weight = net.out.weight.detach().as_subclass(_Scaled)
    net.out._parameters.pop("weight")
    net.out.__dict__["weight"] = weight


def _conv(change: Callable[[Any], None], make: Any = None) -> Any:
    conv = (make or (lambda: nn.Conv2d(2, 3, 3, padding=1)))()
    change(conv)
    net = nn.Sequential(conv, neuron.LIFNode())
    conv.weight.data *= 5
    return net, noise(2, 6, 6)


def conv_attack(name: str, expect: Expect, change: Callable[[Any], None], make: Any = None) -> None:
    attack(f"attribute: Conv2d, {name}", "spikingjelly", expect)(lambda: _conv(change, make))


def _set(**values: Any) -> Callable[[Any], None]:
    def change(module: Any) -> None:
        for name, value in values.items():
            setattr(module, name, copy.deepcopy(value))  # each building has its own

    return change


conv_attack("padding_mode", "either", _set(padding_mode="circular"))
conv_attack("padding_mode and what follows of it", "refused", _set(
    padding_mode="circular", _reversed_padding_repeated_twice=[1, 1, 1, 1]))  # fmt: skip
conv_attack("padding", "equal", _set(padding=(2, 0)))
conv_attack("padding is an int", "either", _set(padding=2))
conv_attack("padding is a word", "either", _set(padding="same"))
conv_attack("stride", "equal", _set(stride=(2, 1)))
conv_attack("stride is an int", "either", _set(stride=2))
conv_attack("dilation", "equal", _set(dilation=(2, 1)))
conv_attack("groups", "either", _set(groups=2, weight=nn.Parameter(torch.ones(4, 1, 3, 3).double()),
                                     bias=None, out_channels=4))  # fmt: skip
conv_attack("kernel_size says something else", "either", _set(kernel_size=(5, 5)))
conv_attack("in_channels says something else", "either", _set(in_channels=7))
conv_attack("the weight is of another kernel", "either", _set(
    weight=nn.Parameter(torch.ones(3, 2, 1, 1).double())))  # fmt: skip
conv_attack("reflect", "refused", _set(), lambda: nn.Conv2d(2, 3, 3, padding=1,
                                                           padding_mode="reflect"))  # fmt: skip
conv_attack("SpikingJelly's, in step mode s", "equal", _set(), lambda: layer.Conv2d(2, 3, 3))


def pool_attack(name: str, expect: Expect, pool: Any, **values: Any) -> None:
    @attack(f"attribute: {name}", "spikingjelly", expect)
    def build() -> Any:
        made = pool()
        _set(**values)(made)
        net = nn.Sequential(nn.Conv2d(2, 3, 3), neuron.LIFNode(), made, neuron.IFNode(0.37))
        net[0].weight.data *= 6
        return net, noise(2, 8, 8)


pool_attack("AvgPool2d, divisor_override", "either", lambda: nn.AvgPool2d(2), divisor_override=1)
pool_attack("AvgPool2d, ceil_mode", "either", lambda: nn.AvgPool2d(4), ceil_mode=True)
pool_attack("AvgPool2d, count_include_pad", "either", lambda: nn.AvgPool2d(2, padding=1),
            count_include_pad=False)  # fmt: skip
pool_attack("AvgPool2d, stride", "equal", lambda: nn.AvgPool2d(2), stride=1)
pool_attack("AvgPool2d, kernel_size", "equal", lambda: nn.AvgPool2d(2, 2), kernel_size=3)
pool_attack("MaxPool2d, return_indices", "either", lambda: nn.MaxPool2d(2), ceil_mode=True)


def flatten_attack(name: str, expect: Expect, **values: Any) -> None:
    @attack(f"attribute: Flatten, {name}", "spikingjelly", expect)
    def build() -> Any:
        flatten = nn.Flatten()
        _set(**values)(flatten)
        net = nn.Sequential(nn.Conv2d(2, 3, 3), neuron.LIFNode(), flatten, neuron.IFNode(0.37))
        net[0].weight.data *= 6
        return net, noise(2, 6, 6)


flatten_attack("start_dim", "equal", start_dim=2)
flatten_attack("end_dim", "equal", end_dim=2)
flatten_attack("start_dim joins the batch", "refused", start_dim=0)
flatten_attack("start_dim from behind", "either", start_dim=-2)


def norm_attack(name: str, expect: Expect, *, train: bool = False, **values: Any) -> None:
    @attack(f"attribute: BatchNorm1d, {name}", "spikingjelly", expect, train=train)
    def build() -> Any:
        norm = nn.BatchNorm1d(8)
        norm.running_mean += 0.3  # type: ignore[operator]
        norm.running_var *= 2  # type: ignore[operator]
        norm.weight.data += 0.5
        _set(**values)(norm)
        net = nn.Sequential(nn.Linear(4, 8), norm, neuron.LIFNode())
        net[0].weight.data *= 6
        return net, noise()


norm_attack("as it is", "equal")
norm_attack("eps", "equal", eps=0.5)
norm_attack("momentum is None", "equal", momentum=None)
norm_attack("track_running_stats is turned off", "either", track_running_stats=False)
norm_attack("no running statistics", "refused", running_mean=None, running_var=None)
norm_attack("no weight", "either", weight=None)
norm_attack("no bias", "either", bias=None)
norm_attack("affine is turned off", "either", affine=False)
norm_attack("training", "refused", train=True)
norm_attack("num_features says something else", "either", num_features=3)


@attack("attribute: BatchNorm1d, in training mode by itself", "spikingjelly", "refused")
def norm_alone() -> Any:
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), neuron.LIFNode())
    net[0].weight.data *= 6
    net.train = lambda mode=True: net  # type: ignore[method-assign]
    net[1].training = True
    return net, noise()


@attack("attribute: BatchNorm1d of [T, N, C]", "spikingjelly", "refused", mode="sequences")
def norm_of_sequence() -> Any:
    norm = nn.BatchNorm1d(2)  # the batch is taken for the channels
    norm.running_mean += torch.tensor([0.5, -1.0])  # type: ignore[operator]
    net = nn.Sequential(nn.Linear(4, 2), norm, neuron.LIFNode(step_mode="m"))
    net[0].weight.data *= 6
    return net, noise()


@attack("attribute: SpikingJelly's BatchNorm1d of [T, N, C]", "spikingjelly", "either",
        mode="sequences")  # fmt: skip
def jelly_norm_of_sequence() -> Any:
    norm = layer.BatchNorm1d(2, step_mode="m")
    norm.running_mean += torch.tensor([0.5, -1.0])
    net = nn.Sequential(nn.Linear(4, 2), norm, neuron.LIFNode(step_mode="m"))
    net[0].weight.data *= 6
    return net, noise()


@attack("attribute: a Conv2d of [T, C, H, W]", "spikingjelly", "either", mode="sequences")
def conv_of_sequence() -> Any:
    net = nn.Sequential(nn.Conv2d(2, 3, 3), neuron.LIFNode(step_mode="m"))
    net[0].weight.data *= 6
    return net, noise(6, 6)


@attack("attribute: a Flatten of [T, N, C, H]", "spikingjelly", "either", mode="sequences")
def flatten_of_sequence() -> Any:
    return nn.Sequential(nn.Flatten(), neuron.LIFNode(step_mode="m")), noise(3, 4)


def dropout_attack(name: str, expect: Expect, make: Any, *, train: bool, **values: Any) -> None:
    # Not strict, what drops numbers in training is exported as in eval, and said.
    options = {"strict": train}

    @attack(f"attribute: {name}", "spikingjelly", expect, train=train, options=options)
    def build() -> Any:
        made = make()
        _set(**values)(made)
        net = nn.Sequential(nn.Linear(4, 8), made, neuron.LIFNode())
        net[0].weight.data *= 6
        return net, noise()


dropout_attack("Dropout in eval", "equal", nn.Dropout, train=False)
dropout_attack("Dropout in training", "refused", nn.Dropout, train=True)
dropout_attack("Dropout of nothing in training", "either", nn.Dropout, train=True, p=0.0)
dropout_attack("Dropout of all", "either", nn.Dropout, train=False, p=1.0)
dropout_attack("SpikingJelly's Dropout in training", "refused", layer.Dropout, train=True)
dropout_attack("SpikingJelly's Dropout in eval", "equal", layer.Dropout, train=False)


@attack("attribute: a Dropout of its own mode", "spikingjelly", "refused", names=("1",),
        options={"strict": True})  # fmt: skip
def dropout_alone() -> Any:
    net = nn.Sequential(nn.Linear(4, 8), nn.Dropout(), neuron.LIFNode())
    net[0].weight.data *= 6
    net.train = lambda mode=True: net  # type: ignore[method-assign]
    net[1].training = True
    return net, noise()


@attack("attribute: F.dropout", "spikingjelly", "refused")
def functional_dropout() -> Any:
    class Net(JellySteps):
        def act(self, h: Tensor, t: int | None) -> Tensor:
            return nn.functional.dropout(h)

    return Net(), noise()


@attack("attribute: F.dropout in eval", "spikingjelly", "either")
def functional_dropout_eval() -> Any:
    class Net(JellySteps):
        def act(self, h: Tensor, t: int | None) -> Tensor:
            return nn.functional.dropout(h, training=self.training)

    return Net(), noise()


@attack("attribute: two step modes in one network", "spikingjelly", "refused", mode="sequences")
def two_modes() -> Any:
    net = JellyMulti()
    net.last.step_mode = "s"
    return net, noise()


@attack("attribute: a shared surrogate that is not spiking, of the last neuron only",
        "spikingjelly", "refused")  # fmt: skip
def shared_surrogate() -> Any:
    net = JellySteps()
    net.last.surrogate_function = net.lif.surrogate_function = surrogate.ATan(spiking=False)
    return net, noise()

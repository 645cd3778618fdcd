"""A neuron's state, written or read in a forward."""

from __future__ import annotations

from typing import Any

import snntorch
import torch
from snntorch import utils
from spikingjelly.activation_based import base, functional, neuron
from torch import Tensor, nn

from tests.attacks.carriers import (
    HIDDEN,
    JELLY,
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

# SpikingJelly


@attacked("hidden: v is set before each call", JELLY, "refused", "lif", "v")
def v_set(net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        self.lif.v = 0.3
        return h

    does(net, act=act)


@attacked("hidden: v is set to zero, where it starts", JELLY, "refused", "lif", "v")
def v_zeroed(net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        self.lif.v = 0.0
        return h

    does(net, act=act)


@attacked("hidden: v decays besides", JELLY, "refused", "lif", "v")
def v_decayed(net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        self.lif.v = self.lif.v * 0.5
        return h

    does(net, act=act)


@attacked("hidden: v += a constant", JELLY, "refused", "lif", "v")
def v_increased(net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        self.lif.v += 0.5
        return h

    does(net, act=act)


@attacked("hidden: v is written where it is a tensor", JELLY, "refused", "lif")
def v_if_tensor(net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        if torch.is_tensor(self.lif.v):
            self.lif.v = self.lif.v * 0.2
        return h

    does(net, act=act)


@attacked("hidden: v is written in place where it is a tensor", JELLY, "refused")
def v_in_place(net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        if isinstance(self.lif.v, Tensor):
            self.lif.v.mul_(0.2)
        return h

    does(net, act=act)


@attacked("hidden: v.data is written where it is a tensor", (JellySteps, JellyLoop), "refused")
def v_data(net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        if isinstance(self.lif.v, Tensor):
            self.lif.v.data.zero_()
        return h

    does(net, act=act)


@attacked("hidden: lateral inhibition", (JellySteps, JellyLoop), "refused")
def lateral(net: Any) -> None:
    def after(self: Any, z: Tensor, t: int | None) -> Tensor:
        self.lif.v = self.lif.v - 0.5 * z.sum(-1, keepdim=True)
        return z

    does(net, after=after)


@attacked("hidden: v is clamped behind a call", JELLY, "refused", "lif", "v")
def v_clamped(net: Any) -> None:
    def after(self: Any, z: Tensor, t: int | None) -> Tensor:
        if not isinstance(self.lif.v, float):
            self.lif.v = self.lif.v.clamp(min=-0.1)
        return z

    does(net, after=after)


@attacked("hidden: reset() of a neuron", JELLY, "refused", "lif")
def reset(net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        self.lif.reset()
        return h

    does(net, act=act)


@attacked("hidden: reset_net of the network", JellySteps, "refused")
@attacked("hidden: reset_net of the network", JellyMulti, "either", mode="afresh")
def reset_net(net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        functional.reset_net(self)
        return h

    does(net, act=act)


@attacked("hidden: reset_net at a step", JellyLoop, "refused")
def reset_net_at(net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        if t == 2:
            functional.reset_net(self)
        return h

    does(net, act=act)


@attacked("hidden: reset of all modules that have one", JellySteps, "refused")
@attacked("hidden: reset of all modules that have one", JellyMulti, "either", mode="afresh")
def reset_all(net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        for module in self.modules():
            if hasattr(module, "reset"):
                module.reset()
        return h

    does(net, act=act)


@attack("hidden: reset_net before a loop", "spikingjelly", "either", mode="afresh")
def reset_net_before() -> Any:
    class Net(JellyLoop):
        def forward(self, x: Tensor) -> Any:
            functional.reset_net(self)
            return super().forward(x)

    return Net(), noise()


@attack(
    "hidden: one of two neurons is reset before a loop", "spikingjelly", "refused", mode="afresh"
)
def reset_one_before() -> Any:
    class Net(JellyLoop):
        def forward(self, x: Tensor) -> Any:
            self.lif.reset()  # and the other goes on
            return super().forward(x)

    return Net(), noise()


@attack("hidden: one of two neurons is reset before a loop, in snnTorch", "snntorch", "refused",
        mode="afresh")  # fmt: skip
def reset_one_of_torch() -> Any:
    class Net(TorchSteps):
        def forward(self, x: Tensor) -> Any:
            self.lif.reset_mem()
            return torch.stack([super(Net, self).forward(step) for step in x])

    return Net(), noise()


@attack("hidden: reset_net behind a loop", "spikingjelly", "either", mode="afresh")
def reset_net_behind() -> Any:
    class Net(JellyLoop):
        def forward(self, x: Tensor) -> Any:
            y = super().forward(x)
            functional.reset_net(self)
            return y

    return Net(), noise()


@attacked("hidden: memories are written past the attribute", JELLY, "refused", "lif")
def past_attribute(net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        self.lif._memories["v"] = 0.0
        return h

    does(net, act=act)


@attacked("hidden: load_memories", (JellySteps,), "refused")
def loaded(net: Any) -> None:
    net.kept = base.extract_memories(net)

    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        base.load_memories(self, [0.0 for _ in self.kept])
        return h

    does(net, act=act)


@attacked("hidden: v is read into the signal", JELLY, "refused")
def v_read(net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        return h + self.lif.v if isinstance(self.lif.v, float) else h - self.lif.v

    does(net, act=act)


@attacked("hidden: v is read from the neuron behind", JELLY, "refused", "last")
def v_of_the_last(net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        v = self.last.v
        return h if isinstance(v, float) else h * 2

    does(net, act=act)


@attacked("hidden: whether v is a tensor yet", (JellySteps, JellyMulti), "refused", "lif")
def first_by_v(net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        return h if isinstance(self.lif.v, float) else h * 2

    does(net, act=act)


@attacked("hidden: v_seq is read", (JellySteps, JellyMulti), "refused", "lif")
def v_seq(net: Any) -> None:
    net.lif.store_v_seq = True

    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        return h if self.lif.v_seq is None else h * 2

    does(net, act=act)


@attack("hidden: v_seq is the output", "spikingjelly", "refused", mode="sequences")
def v_seq_out() -> Any:
    class Net(JellyMulti):
        def forward(self, x: Tensor) -> Any:
            super().forward(x)
            return self.last.v_seq

    net = Net()
    net.last.store_v_seq = True
    return net, noise()


@attack("hidden: v is the output", "spikingjelly", "refused")
def v_out() -> Any:
    class Net(JellySteps):
        def forward(self, x: Tensor) -> Any:
            super().forward(x)
            return self.last.v

    return Net(), noise()


@attack("hidden: spikes and v", "spikingjelly", "refused")
def spikes_and_v() -> Any:
    class Net(JellySteps):
        def forward(self, x: Tensor) -> Any:
            return super().forward(x) + self.last.v * 0.5

    return Net(), noise()


@attack("hidden: two neurons swap their potentials", "spikingjelly", "refused")
def swapped() -> Any:
    net = nn.Sequential(nn.Linear(4, 4), neuron.LIFNode(), nn.Linear(4, 4), neuron.LIFNode())

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net
            for k in (0, 2):
                net[k].weight.data *= 4

        def forward(self, x: Tensor) -> Any:
            y = self.net(x)
            self.net[1].v, self.net[3].v = self.net[3].v, self.net[1].v
            return y

    return Net(), noise()


@attacked("hidden: v is set by setattr at a step", JellyLoop, "refused")
def set_at(net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        if t == 2:
            setattr(self.lif, "v", 0.0)  # noqa: B010
        return h

    does(net, act=act)


@attacked("hidden: memory saved before a call, and put back", (JellySteps, JellyLoop), "refused",
          "lif")  # fmt: skip
def put_back(net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        self.__dict__["kept"] = self.lif.v
        return h

    def after(self: Any, z: Tensor, t: int | None) -> Tensor:
        self.lif.v = self.__dict__.pop("kept")
        return z

    does(net, act=act, after=after)


@attacked("hidden, harmless: detach", (JellySteps, JellyLoop, JellyMulti), "either")
def detached(net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        self.lif.detach()
        functional.detach_net(self)
        return h

    does(net, act=act)


@attacked("hidden, harmless: v is written as it is", (JellySteps,), "either")
def as_it_is(net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        self.lif.v = self.lif.v
        return h

    does(net, act=act)


@attacked("hidden, harmless: store_v_seq", JELLY, "equal")
def stores(net: Any) -> None:
    net.lif.store_v_seq = True


# snnTorch


@attacked("hidden: mem is set", TorchSteps, "refused", "lif", "mem")
def mem_set(net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        self.lif.mem = torch.zeros_like(self.lif.mem)
        return h

    does(net, act=act)


@attacked("hidden: mem decays besides", TorchSteps, "refused", "lif", "mem")
def mem_decayed(net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        self.lif.mem = self.lif.mem * 0.5
        return h

    does(net, act=act)


@attacked("hidden: mem is written in place", TorchSteps, "refused")
def mem_in_place(net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        self.lif.mem.mul_(0.3)
        return h

    does(net, act=act)


@attacked("hidden: mem.data is written", TorchSteps, "refused")
def mem_data(net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        self.lif.mem.data.zero_()
        return h

    does(net, act=act)


@attacked("hidden: mem is written where there is one", TorchSteps, "refused", "lif")
def mem_if_any(net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        if self.lif.mem.numel():
            self.lif.mem = self.lif.mem * 0.3
        return h

    does(net, act=act)


@attacked("hidden: reset_mem", TorchSteps, "refused", "lif")
def reset_mem(net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        self.lif.reset_mem()
        return h

    does(net, act=act)


@attacked("hidden: init_leaky", TorchSteps, "refused", "lif")
def init_leaky(net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        self.lif.init_leaky()
        return h

    does(net, act=act)


@attacked("hidden: utils.reset", TorchSteps, "refused")
def utils_reset(net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        utils.reset(self)
        return h

    does(net, act=act)


@attacked("hidden: reset_hidden of the class", TorchSteps, "refused")
def reset_hidden(net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        snntorch.Leaky.reset_hidden()
        return h

    does(net, act=act)


@attacked("hidden: whether there is a mem", TorchSteps, "refused", "lif")
def by_mem(net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        return h * 2 if self.lif.mem.numel() else h

    does(net, act=act)


@attacked("hidden: reset is read", TorchSteps, "refused", "lif")
def by_reset(net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        return h * 2 if torch.is_tensor(getattr(self.lif, "reset", None)) else h

    does(net, act=act)


@attack("hidden: mem is the output", "snntorch", "refused")
def mem_out() -> Any:
    class Net(TorchSteps):
        def forward(self, x: Tensor) -> Any:
            super().forward(x)
            return self.last.mem

    return Net(), noise()


@attack("hidden: mem is initialized at a step", "snntorch", "refused", mode="afresh",
        names=("lif",))  # fmt: skip
def init_at() -> Any:
    class Net(TorchLoop):
        def step(self, x: Tensor, t: int, states: Any) -> Tensor:
            if t == 3:
                states[0] = self.lif.init_leaky()
            return super().step(x, t, states)

    return Net(), noise()


def _torch_state(name: str, change: Any, expect: Any = "refused") -> None:
    """A state of snnTorch's that the forward has in hand, before each step but the first."""

    @attack(f"hidden: {name}, TorchLoop", "snntorch", expect, mode="afresh")
    def build() -> Any:
        class Net(TorchLoop):
            def step(self, x: Tensor, t: int, states: Any) -> Tensor:
                if t:
                    change(states)
                return super().step(x, t, states)

        return Net(), noise()


def _scale(states: Any) -> None:
    states[0] = states[0] * 0.3


def _zero(states: Any) -> None:
    states[0].zero_()


def _data(states: Any) -> None:
    states[0].data.mul_(0.3)


def _fill(states: Any) -> None:
    torch.fill_(states[0], 0.0)


def _copy(states: Any) -> None:
    states[0].copy_(torch.zeros_like(states[0]))


def _set(states: Any) -> None:
    states[0][:] = 0.0


def _clamp(states: Any) -> None:
    states[0] = torch.clamp(states[0], min=-0.1)


def _int(states: Any) -> None:
    states[0] = states[0].to(torch.int32).to(torch.float64)


def _half(states: Any) -> None:
    states[0] = (states[0].half() * 1).double()


def _float8(states: Any) -> None:
    states[0] = (states[0] * 1).to(torch.float8_e5m2).to(torch.float64)


def _long(states: Any) -> None:
    states[0] = states[0].long().double()


def _round(states: Any) -> None:
    states[0] = torch.round(states[0])


def _new(states: Any) -> None:
    states[0] = torch.zeros(2, HIDDEN)


def _detach(states: Any) -> None:
    states[0] = states[0].detach().clone()


for _name, _change in (
    ("scaled", _scale), ("zeroed", _zero), ("data scaled", _data), ("filled", _fill),
    ("copied into", _copy), ("set", _set), ("clamped", _clamp), ("cast to int", _int),
    ("cast to half", _half), ("cast to float8", _float8), ("cast to long", _long),
    ("rounded", _round), ("made anew", _new),
):  # fmt: skip
    _torch_state(f"the state in hand is {_name}", _change)
_torch_state("the state in hand is detached", _detach, "equal")


@attack("hidden: two states are exchanged", "snntorch", "refused", mode="afresh")
def exchanged() -> Any:
    class Net(TorchLoop):
        def step(self, x: Tensor, t: int, states: Any) -> Tensor:
            states.reverse()
            return super().step(x, t, states)

    net = Net()
    net.out.weight.data *= 5
    return net, noise()


@attack("hidden: the state of two steps ago", "snntorch", "refused", mode="afresh")
def two_ago() -> Any:
    class Net(TorchLoop):
        def step(self, x: Tensor, t: int, states: Any) -> Tensor:
            held = self.__dict__.setdefault("held", [])
            if t == 0:
                held.clear()
            held.append(states[0])
            states[0] = held[max(0, t - 1)]
            return super().step(x, t, states)

    return Net(), noise()


@attacked("hidden, harmless: detach_hidden", TorchSteps, "either")
def detach_hidden(net: Any) -> None:
    def act(self: Any, h: Tensor, t: int | None) -> Tensor:
        snntorch.Leaky.detach_hidden()
        return h

    does(net, act=act)


@attack("hidden, harmless: utils.reset before a loop", "snntorch", "either", mode="afresh")
def reset_before_loop() -> Any:
    class Net(TorchSteps):
        def forward(self, x: Tensor) -> Any:
            utils.reset(self)
            return torch.stack([super(Net, self).forward(step) for step in x])

    return Net(), noise()


# Norse


def _norse_state(name: str, change: Any, expect: Any = "refused") -> None:
    @attack(f"hidden: {name}, NorseLoop", "norse", expect, mode="afresh")
    def build() -> Any:
        class Net(NorseLoop):
            def step(self, x: Tensor, t: int | None, states: Any) -> Tensor:
                if t:
                    change(states, t)
                return super().step(x, t, states)

        return Net(), noise()

    @attack(f"hidden: {name}, NorseSteps", "norse", "either" if expect == "equal" else expect)
    def build_steps() -> Any:
        class Net(NorseSteps):
            def step(self, x: Tensor, t: int | None, states: Any) -> Tensor:
                if states[0] is not None:
                    change(states, 3)
                return super().step(x, t, states)

        return Net(), noise()


def _norse_scaled(states: Any, t: int) -> None:
    states[0] = states[0]._replace(v=states[0].v * 0.3)


def _norse_zeroed(states: Any, t: int) -> None:
    states[0].v.data.zero_()


def _norse_none(states: Any, t: int) -> None:
    if t == 3:
        states[0] = None


def _norse_cast(states: Any, t: int) -> None:
    states[0] = type(states[0])(v=states[0].v.to(torch.bool).double())


def _norse_other(states: Any, t: int) -> None:
    states[0] = type(states[0])(torch.full((2, HIDDEN), 0.4))


def _norse_rebuilt(states: Any, t: int) -> None:
    states[0] = type(states[0])(*states[0])


for _name, _changed in (
    ("scaled", _norse_scaled), ("zeroed in place", _norse_zeroed), ("dropped", _norse_none),
    ("cast", _norse_cast), ("made anew", _norse_other),
):  # fmt: skip
    _norse_state(f"the state in hand is {_name}", _changed)
_norse_state("the state in hand is taken apart and put together", _norse_rebuilt, "equal")


def _norse_returned(name: str, returned: Any) -> None:
    @attack(f"hidden: {name}", "norse", "refused")
    def build() -> Any:
        class Net(NorseSteps):
            def forward(self, x: Tensor, state: Any = None) -> Any:
                y, states = super().forward(x, state)
                return y, returned(states, state)

        return Net(), noise()


_norse_returned("the state is dropped in a step", lambda new, old: None)
_norse_returned("one of two states is dropped in a step", lambda new, old: [new[0], None])
_norse_returned("the state that was given is returned", lambda new, old: old)
_norse_returned(
    "the state is scaled on return", lambda new, old: [new[0]._replace(v=new[0].v * 0.2), new[1]]
)


@attack("hidden: the state is never passed on", "norse", "refused")
def never_passed() -> Any:
    class Net(NorseSteps):
        def step(self, x: Tensor, t: int | None, states: Any) -> Tensor:
            z, _ = self.lif(self.fc(x))
            y, states[1] = self.last(self.out(z), states[1])
            return y

    return Net(), noise()


@attack("hidden: the state is kept in the module", "norse", "either")
def kept_in_module() -> Any:
    class Net(NorseSteps):
        def prepare(self) -> None:
            self.kept: Any = None

        def step(self, x: Tensor, t: int | None, states: Any) -> Tensor:
            z, self.kept = self.lif(self.fc(x), self.kept)
            y, states[1] = self.last(self.out(z), states[1])
            return y

    return Net(), noise()


@attack("hidden: the potential is the output", "norse", "refused")
def potential() -> Any:
    class Net(NorseSteps):
        def step(self, x: Tensor, t: int | None, states: Any) -> Tensor:
            _z, states[0] = self.lif(self.fc(x), states[0])
            super().step(x, t, [None, None])
            return states[0].v

    return Net(), noise()

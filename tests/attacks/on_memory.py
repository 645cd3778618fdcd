"""Memory that tensors share, what is written into it, and casts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import norse.torch as norse
import snntorch
import torch
from spikingjelly.activation_based import functional, layer, neuron, surrogate
from torch import Tensor, nn

from tests.attacks.carriers import (
    ALL,
    HIDDEN,
    LEAKY,
    STEPPED,
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
from tests.attacks.corpus import Expect, attack, noise

SOME = (JellySteps, TorchLoop, NorseSteps, JellyMulti)


def acts(name: str, act: Any, where: Any = SOME, expect: Expect = "either") -> None:
    """Something that is done to the first Linear's output."""
    attacked(f"memory: {name}", where, expect)(lambda net: does(net, act=act))


def after(name: str, function: Any, where: Any = SOME, expect: Expect = "either") -> None:
    """Something that is done to the first neuron's output."""
    attacked(f"memory: {name}", where, expect)(lambda net: does(net, after=function))


def _twice(self: Any, h: Tensor, t: Any) -> Tensor:
    h *= 2
    return h


def _twice_after_use(self: Any, h: Tensor, t: Any) -> Tensor:
    y = h + 0
    h *= 2
    return y


def _alias(self: Any, h: Tensor, t: Any) -> Tensor:
    y = h
    y += h
    return h


def _view(self: Any, h: Tensor, t: Any) -> Tensor:
    y = h.view(h.shape)
    y *= 2
    return h


def _viewed(self: Any, h: Tensor, t: Any) -> Tensor:
    y = h[...]
    h *= 2
    return y


def _flat_view(self: Any, h: Tensor, t: Any) -> Tensor:
    h.flatten().mul_(3)
    return h


def _data(self: Any, h: Tensor, t: Any) -> Tensor:
    h.data.mul_(2)
    return h


def _data_assigned(self: Any, h: Tensor, t: Any) -> Tensor:
    h.data = h.data * 2
    return h


def _detached(self: Any, h: Tensor, t: Any) -> Tensor:
    h.detach().mul_(2)
    return h


def _row(self: Any, h: Tensor, t: Any) -> Tensor:
    h[..., 0] = 0
    return h


def _masked(self: Any, h: Tensor, t: Any) -> Tensor:
    h[h > 1] = 0.0
    return h


def _masked_fill(self: Any, h: Tensor, t: Any) -> Tensor:
    return h.masked_fill_(h < 0, 0.0)


def _out(self: Any, h: Tensor, t: Any) -> Tensor:
    torch.mul(h, 2, out=h)
    return h


def _add_out(self: Any, h: Tensor, t: Any) -> Tensor:
    y = torch.empty_like(h)
    torch.add(h, h, out=y)
    return y


def _copied(self: Any, h: Tensor, t: Any) -> Tensor:
    y = torch.empty_like(h)
    y.copy_(h * 2)
    return y


def _copied_back(self: Any, h: Tensor, t: Any) -> Tensor:
    h.copy_(h.clone() * 2)
    return h


def _empty_filled(self: Any, h: Tensor, t: Any) -> Tensor:
    y = torch.zeros(h.shape)
    y[...] = h * 2
    return y


def _zero(self: Any, h: Tensor, t: Any) -> Tensor:
    h.zero_()
    return h + self.fc.bias


def _resized(self: Any, h: Tensor, t: Any) -> Tensor:
    return h.set_(h * 2) if hasattr(h, "set_") else h


def _swapped_data(self: Any, h: Tensor, t: Any) -> Tensor:
    g = h * 3
    h.data, g.data = g.data, h.data
    return h


def _numpy(self: Any, h: Tensor, t: Any) -> Tensor:
    h.detach().numpy()[...] *= 2
    return h


def _numpy_back(self: Any, h: Tensor, t: Any) -> Tensor:
    return torch.from_numpy(h.detach().numpy() * 2)


def _chunked(self: Any, h: Tensor, t: Any) -> Tensor:
    a, _b = h.chunk(2, dim=-1)
    a *= 2
    return h


def _unbound(self: Any, h: Tensor, t: Any) -> Tensor:
    for part in h.unbind(-1):
        part.mul_(2)
    return h


def _foreach(self: Any, h: Tensor, t: Any) -> Tensor:
    torch._foreach_mul_([h], 2.0)
    return h


def _relu_in_place(self: Any, h: Tensor, t: Any) -> Tensor:
    torch.relu_(h)
    return h


def _module_in_place(self: Any, h: Tensor, t: Any) -> Tensor:
    nn.ReLU(inplace=True)(h)
    return h


def _requires_grad(self: Any, h: Tensor, t: Any) -> Tensor:
    return h.detach().requires_grad_()


def _if_grad(self: Any, h: Tensor, t: Any) -> Tensor:
    return h * 2 if h.requires_grad else h


def _if_grad_mode(self: Any, h: Tensor, t: Any) -> Tensor:
    return h * 2 if torch.is_grad_enabled() else h


def _no_grad(self: Any, h: Tensor, t: Any) -> Tensor:
    with torch.no_grad():
        return h * 2


def _inference(self: Any, h: Tensor, t: Any) -> Tensor:
    with torch.inference_mode():
        return h * 2


def _enable_grad(self: Any, h: Tensor, t: Any) -> Tensor:
    torch.set_grad_enabled(False)
    return h * 2


def _by_value(self: Any, h: Tensor, t: Any) -> Tensor:
    try:
        positive = bool(h.sum() > 0)
    except Exception:
        positive = False
    return h * 2 if positive else h


def _by_pointer(self: Any, h: Tensor, t: Any) -> Tensor:
    try:
        there = h.data_ptr() != 0
    except Exception:
        there = False
    return h * 2 if there else h


def _by_item(self: Any, h: Tensor, t: Any) -> Tensor:
    try:
        gain = 1 + abs(h.reshape(-1)[0].item())
    except BaseException:
        gain = 1
    return h * gain


def _caught(self: Any, h: Tensor, t: Any) -> Tensor:
    try:
        return h * torch.sigmoid(h)
    except Exception:
        return h


def _by_version(self: Any, h: Tensor, t: Any) -> Tensor:
    return h * (1 + h._version)


def _by_stride(self: Any, h: Tensor, t: Any) -> Tensor:
    return h * 2 if h.is_contiguous() else h


def _by_device(self: Any, h: Tensor, t: Any) -> Tensor:
    return h * 2 if h.device.type == "cpu" else h


def _by_fn(self: Any, h: Tensor, t: Any) -> Tensor:
    return h * 2 if h.grad_fn is None else h


def _by_compiling(self: Any, h: Tensor, t: Any) -> Tensor:
    return h if torch.compiler.is_compiling() or torch.jit.is_tracing() else h * 2


def _by_fx(self: Any, h: Tensor, t: Any) -> Tensor:
    return h if torch.fx._symbolic_trace.is_fx_tracing() else h * 2


def _by_batch(self: Any, h: Tensor, t: Any) -> Tensor:
    return h * 2 if h.shape[-2] > 1 else h


def _by_length(self: Any, h: Tensor, t: Any) -> Tensor:
    return h / h.shape[0]


def _directly(self: Any, h: Tensor, t: Any) -> Tensor:
    return nn.functional.linear(h, torch.eye(HIDDEN) * 2)


def _unpatched(self: Any, h: Tensor, t: Any) -> Tensor:
    with torch._C.DisableTorchFunctionSubclass():
        return h * 2


def _aten(self: Any, h: Tensor, t: Any) -> Tensor:
    return torch.ops.aten.mul.Scalar(h, 2.0)


def _as_plain(self: Any, h: Tensor, t: Any) -> Tensor:
    return h.as_subclass(Tensor) * 2


for _name, _act in (
    ("h *= 2", _twice), ("h *= 2, behind a copy", _twice_after_use), ("y = h; y += h", _alias),
    ("a view is doubled", _view), ("what is viewed is doubled", _viewed),
    ("a flat view is tripled", _flat_view), ("h.data is doubled", _data),
    ("h.data is assigned", _data_assigned), ("h.detach() is doubled", _detached),
    ("a column is zeroed", _row), ("large numbers are zeroed", _masked),
    ("masked_fill_", _masked_fill), ("mul into itself", _out), ("add into another", _add_out),
    ("copy_ into another", _copied), ("copy_ into itself", _copied_back),
    ("written into zeros", _empty_filled), ("zero_", _zero), ("set_", _resized),
    ("data are swapped", _swapped_data), ("through numpy", _numpy),
    ("through numpy and back", _numpy_back), ("a chunk is doubled", _chunked),
    ("unbound parts are doubled", _unbound), ("_foreach_mul_", _foreach),
    ("relu_", _relu_in_place), ("nn.ReLU(inplace)", _module_in_place),
    ("requires_grad_", _requires_grad), ("by requires_grad", _if_grad),
    ("by grad mode", _if_grad_mode), ("in no_grad", _no_grad), ("in inference_mode", _inference),
    ("by value, errors caught", _by_value), ("by pointer, errors caught", _by_pointer),
    ("by item, errors caught", _by_item), ("an error is caught", _caught),
    ("by version", _by_version), ("by contiguity", _by_stride), ("by device", _by_device),
    ("by grad_fn", _by_fn), ("by compiling", _by_compiling), ("by fx", _by_fx),
    ("by the batch", _by_batch),
    ("F.linear with a constant", _directly), ("past __torch_function__", _unpatched),
    ("aten", _aten), ("as a plain tensor", _as_plain),
):  # fmt: skip
    acts(_name, _act)
acts("divided by the size of the first axis", _by_length, (JellySteps, TorchLoop, NorseSteps))


# The neuron's output


def _spikes_twice(self: Any, z: Tensor, t: Any) -> Tensor:
    z *= 2
    return z


def _spikes_added(self: Any, z: Tensor, t: Any) -> Tensor:
    z += z
    return z


def _logical(self: Any, z: Tensor, t: Any) -> Tensor:
    return z.logical_not().to(z)


def _bool(self: Any, z: Tensor, t: Any) -> Tensor:
    return z.bool().double()


def _int(self: Any, z: Tensor, t: Any) -> Tensor:
    return z.int().double()


def _uint8(self: Any, z: Tensor, t: Any) -> Tensor:
    return (z * 300).to(torch.uint8).double()


def _half(self: Any, z: Tensor, t: Any) -> Tensor:
    return (z * 1e5).half().double()


for _name, _function in (
    ("spikes *= 2", _spikes_twice), ("spikes += spikes", _spikes_added),
    ("not", _logical), ("to bool and back", _bool), ("to int and back", _int),
    ("to uint8, which is too small", _uint8), ("to half, which is too small", _half),
):  # fmt: skip
    after(_name, _function)


# Casts of the signal


def _cast(dtype: torch.dtype) -> Any:
    def act(self: Any, h: Tensor, t: Any) -> Tensor:
        return h.to(dtype).double()

    return act


for _dtype in (torch.int32, torch.int64, torch.int8, torch.bool, torch.float8_e5m2):
    acts(f"cast to {_dtype}", _cast(_dtype), SOME, "refused")
acts("cast to float64", _cast(torch.float64), SOME, "equal")


def _like(self: Any, h: Tensor, t: Any) -> Tensor:
    return h.type_as(torch.zeros(1, dtype=torch.int32)).double()


def _long(self: Any, h: Tensor, t: Any) -> Tensor:
    return h.long() * 1.0


def _type(self: Any, h: Tensor, t: Any) -> Tensor:
    return h.type(torch.int16).type(torch.float64)


def _rounded(self: Any, h: Tensor, t: Any) -> Tensor:
    return h.round()


def _trunc_divided(self: Any, h: Tensor, t: Any) -> Tensor:
    return h // 1


def _as_view(self: Any, h: Tensor, t: Any) -> Tensor:
    return h.view(torch.int64).view(torch.float64) * 2


for _name, _act in (
    ("cast by type_as", _like), ("cast by long()", _long), ("cast by type()", _type),
    ("rounded", _rounded), ("divided by // 1", _trunc_divided),
):  # fmt: skip
    acts(_name, _act, SOME, "refused")
acts("the bits seen as int and back", _as_view)


# Autocast


def _autocast(self: Any, h: Tensor, t: Any) -> Tensor:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return torch.nn.functional.linear(h, torch.eye(HIDDEN)).double()


acts("autocast in act", _autocast)


def _autocast_forward(carrier: type[Carrier]) -> None:
    @attack(f"memory: autocast in the forward, {carrier.__name__}", carrier.framework, "either",
            mode=carrier.mode)  # fmt: skip
    def build() -> Any:
        net = carrier().float()
        original = type(net).forward

        class Net(carrier):  # type: ignore[misc, valid-type]
            def forward(self, x: Tensor, *rest: Any) -> Any:
                with torch.autocast("cpu", dtype=torch.bfloat16):
                    return original(self, x, *rest)

        net.__class__ = Net
        return net, noise().float()

    @attack(f"memory: autocast around, {carrier.__name__}", carrier.framework, "either",
            mode=carrier.mode)  # fmt: skip
    def build_around() -> Iterator[Any]:
        net = carrier().float()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            yield net, noise().float()


for _carrier in (JellySteps, JellyMulti, TorchLoop):
    _autocast_forward(_carrier)


# A Delay, which keeps what it is given


def _delayed(change: Callable[[Tensor], Tensor], *, multi: bool = False) -> Any:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.delay = nn.Linear(4, 8), layer.Delay(1)
            self.lif = neuron.LIFNode(surrogate_function=surrogate.Sigmoid())
            self.fc.weight.data *= 4

        def forward(self, x: Tensor) -> Tensor:
            h = self.fc(x)
            y = self.delay(h)
            z = change(h)
            return self.lif(y + z)

    net = Net()
    if multi:
        functional.set_step_mode(net, "m")
    return net, noise()


def _in_place(h: Tensor) -> Tensor:
    h *= 2
    return h


def _plain(h: Tensor) -> Tensor:
    return h * 2


def _by_data(h: Tensor) -> Tensor:
    h.data.mul_(2)
    return h


def _by_view(h: Tensor) -> Tensor:
    h.view(-1).mul_(2)
    return h


def _zeroed(h: Tensor) -> Tensor:
    y = h.clone()
    h.zero_()
    return y


for _name, _change in (
    ("h *= 2", _in_place), ("h.data is doubled", _by_data), ("a view is doubled", _by_view),
    ("h is zeroed", _zeroed), ("h * 2", _plain),
):  # fmt: skip

    def _built(change: Any = _change) -> Any:
        return _delayed(change)

    def _built_multi(change: Any = _change) -> Any:
        return _delayed(change, multi=True)

    _expect: Expect = "equal" if _change is _plain else "either"
    attack(f"memory: after a Delay kept h, {_name}", "spikingjelly", _expect)(_built)
    attack(f"memory: after a Delay kept h, {_name}, multi", "spikingjelly", _expect,
           mode="sequences")(_built_multi)  # fmt: skip


# What a loop writes its outputs into


def _writing(name: str, expect: Expect, loop: Callable[[Any, Tensor], Any]) -> None:
    for carrier, mode in ((JellyLoop, "sequences"), (TorchLoop, "afresh"), (NorseLoop, "afresh")):

        def build(carrier: Any = carrier) -> Any:
            class Net(carrier):  # type: ignore[misc]
                def forward(self, x: Tensor, state: Any = None) -> Any:
                    states: list[Any] = [None, None]
                    if carrier is TorchLoop:
                        states = [self.lif.init_leaky(), self.last.init_leaky()]
                    rest = () if carrier is JellyLoop else (states,)
                    return loop(lambda t: self.step(x[t], t, *rest), x)

            return Net(), noise()

        full = f"memory: outputs, {name}, {carrier.__name__}"
        attack(full, carrier.framework, expect, mode=mode)(build)


def _buffer(x: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.zeros(len(x), 2, 16, dtype=dtype)


def _written(step: Any, x: Tensor) -> Tensor:
    out = _buffer(x)
    for t in range(len(x)):
        out[t] = step(t)
    return out


def _then_changed(step: Any, x: Tensor) -> Tensor:
    out = _buffer(x)
    for t in range(len(x)):
        y = step(t)
        out[t] = y
        y *= 2
    return out


def _written_then_scaled(step: Any, x: Tensor) -> Tensor:
    out = _written(step, x)
    out *= 3
    return out


def _written_scaled(step: Any, x: Tensor) -> Tensor:
    out = _buffer(x)
    for t in range(len(x)):
        out[t] = step(t) * 0.5
    return out


def _int_buffer(step: Any, x: Tensor) -> Tensor:
    out = _buffer(x, torch.int64)
    for t in range(len(x)):
        out[t] = step(t) * 0.5
    return out.double()


def _int_returned(step: Any, x: Tensor) -> Tensor:
    out = _buffer(x, torch.int64)
    for t in range(len(x)):
        out[t] = step(t) * 1.5
    return out


def _half_buffer(step: Any, x: Tensor) -> Tensor:
    out = _buffer(x, torch.float16)
    for t in range(len(x)):
        out[t] = step(t) * 1e6
    return out.double()


def _bool_buffer(step: Any, x: Tensor) -> Tensor:
    out = _buffer(x, torch.bool)
    for t in range(len(x)):
        out[t] = step(t) * 3
    return out.double()


def _filled_buffer(step: Any, x: Tensor) -> Tensor:
    out = _buffer(x) + 5
    for t in range(len(x)):
        out[t] += step(t)
    return out


def _twice_written(step: Any, x: Tensor) -> Tensor:
    out = _buffer(x)
    for t in range(len(x)):
        out[t] = step(t)
        out[t] = out[t] * 2
    return out


def _other_order(step: Any, x: Tensor) -> Tensor:
    out = _buffer(x)
    for t in range(len(x)):
        out[len(x) - 1 - t] = step(t)
    return out


def _not_all(step: Any, x: Tensor) -> Tensor:
    out = _buffer(x)
    for t in range(len(x)):
        y = step(t)
        if t != 1:
            out[t] = y
    return out


def _overwritten(step: Any, x: Tensor) -> Tensor:
    out = _buffer(x)
    for t in range(len(x)):
        out[t] = step(t)
    out[1] = 7.0
    return out


def _part(step: Any, x: Tensor) -> Tensor:
    out = _buffer(x)
    for t in range(len(x)):
        out[t, :, :8] = step(t)[:, :8]
    return out


def _into_expanded(step: Any, x: Tensor) -> Tensor:
    out = torch.zeros(1, 2, 16).expand(len(x), 2, 16)
    for t in range(len(x)):
        out[t] = step(t)
    return out


def _into_view(step: Any, x: Tensor) -> Tensor:
    whole = torch.zeros(len(x), 2, 32)
    out = whole[..., :16]
    for t in range(len(x)):
        out[t] = step(t)
    return whole[..., 16:] + out * 2


def _by_copy(step: Any, x: Tensor) -> Tensor:
    out = _buffer(x)
    for t in range(len(x)):
        out[t].copy_(step(t))
    return out


def _by_select(step: Any, x: Tensor) -> Tensor:
    out = _buffer(x)
    for t in range(len(x)):
        out.select(0, t).add_(step(t))
    return out


def _list_then_changed(step: Any, x: Tensor) -> Tensor:
    outs = []
    for t in range(len(x)):
        y = step(t)
        outs.append(y)
        y *= 2
    return torch.stack(outs)


def _list_one_changed(step: Any, x: Tensor) -> Tensor:
    outs = [step(t) for t in range(len(x))]
    outs[1] *= 2
    return torch.stack(outs)


def _stacked_then_changed(step: Any, x: Tensor) -> Tensor:
    outs = torch.stack([step(t) for t in range(len(x))])
    outs[1] = 0
    return outs


def _summed(step: Any, x: Tensor) -> Tensor:
    total, outs = 0, []
    for t in range(len(x)):
        total = total + step(t)
        outs.append(total)
    return torch.stack(outs)


def _cumsum(step: Any, x: Tensor) -> Tensor:
    return torch.stack([step(t) for t in range(len(x))]).cumsum(0)


def _flipped(step: Any, x: Tensor) -> Tensor:
    return torch.stack([step(t) for t in range(len(x))]).flip(0)


def _rolled(step: Any, x: Tensor) -> Tensor:
    return torch.stack([step(t) for t in range(len(x))]).roll(1, 0)


def _repeated(step: Any, x: Tensor) -> Tensor:
    y = [step(t) for t in range(len(x))]
    return torch.stack([y[0]] * len(x))


def _scaled_late(step: Any, x: Tensor) -> Tensor:
    return torch.stack([step(t) for t in range(len(x))]) * 2


for _name, _expect, _loop in (
    ("written", "equal", _written), ("y *= 2 once it is written", "either", _then_changed),
    ("scaled once they are written", "either", _written_then_scaled),
    ("scaled when they are written", "equal", _written_scaled),
    ("a buffer of int64", "either", _int_buffer),
    ("a buffer of int64 is returned", "either", _int_returned),
    ("a buffer of half", "either", _half_buffer), ("a buffer of bool", "either", _bool_buffer),
    ("a buffer that isn't zero", "either", _filled_buffer),
    ("each is written twice", "either", _twice_written),
    ("in another order", "refused", _other_order), ("not all", "refused", _not_all),
    ("one is overwritten", "refused", _overwritten), ("a part of each", "refused", _part),
    ("into a view", "either", _into_view),
    ("by copy_", "either", _by_copy), ("by select", "either", _by_select),
    ("y *= 2 once it is in a list", "either", _list_then_changed),
    ("one is doubled", "refused", _list_one_changed),
    ("one is zeroed", "refused", _stacked_then_changed), ("summed", "refused", _summed),
    ("cumsum", "refused", _cumsum), ("flipped", "refused", _flipped),
    ("rolled", "refused", _rolled), ("the first, over and over", "refused", _repeated),
    ("scaled when they are stacked", "either", _scaled_late),
):  # fmt: skip
    _writing(_name, _expect, _loop)  # type: ignore[arg-type]


# The input


def _input(name: str, change: Callable[[Tensor], Any], expect: Expect = "either") -> None:
    for carrier in (JellySteps, TorchLoop, NorseSteps):

        def build(carrier: Any = carrier) -> Any:
            class Net(carrier):  # type: ignore[misc]
                def forward(self, x: Tensor, *rest: Any) -> Any:
                    changed = change(x)
                    return super().forward(x if changed is None else changed, *rest)

            return Net(), noise()

        full = f"memory: the input is {name}, {carrier.__name__}"
        attack(full, carrier.framework, expect, mode=carrier.mode)(build)


_input("doubled in place", lambda x: x.mul_(2))
_input("doubled in place, and used as it was", lambda x: x.clone() if x.mul_(2) is None else None)
_input("written to by data", lambda x: x.data.mul_(2) * 0 + x)
_input("flipped in its batch", lambda x: x.flip(-2), "refused")
_input("sorted", lambda x: x.sort(-1).values, "refused")
_input("normalized", lambda x: x / x.abs().max(), "refused")
_input("cast to int", lambda x: x.int().double(), "refused")
_input("less its mean", lambda x: x - x.mean(-1, keepdim=True), "refused")


# Default dtype and threads


@attacked("memory: set_default_dtype in the forward", SOME, "either")
def default_dtype(net: Any) -> None:
    def act(self: Any, h: Tensor, t: Any) -> Tensor:
        torch.set_default_dtype(torch.float64)
        return h * 2

    does(net, act=act)


@attack("memory: a seed is set in the forward", "spikingjelly", "refused")
def seeded() -> Any:
    class Net(JellySteps):
        def act(self, h: Tensor, t: Any) -> Tensor:
            torch.manual_seed(1)  # the same numbers each time, and others than a graph's
            return h + torch.rand(h.shape) * 3

    return Net(), noise()


@attack("memory: a seed is set in the forward, of one number", "spikingjelly", "either")
def seeded_number() -> Any:
    class Net(JellySteps):
        def act(self, h: Tensor, t: Any) -> Tensor:
            torch.manual_seed(1)
            return h * (1 + float(torch.rand(())))

    return Net(), noise()


# BatchNorm in training mode, a dropped batch, and layers called twice


@attacked("memory: one Linear called twice", STEPPED, "either")
def called_twice(net: Any) -> None:
    net.mix = nn.Linear(HIDDEN, HIDDEN)
    does(net, act=lambda self, h, t: self.mix(self.mix(h)))


@attacked("memory: one neuron called twice", (JellySteps, TorchSteps), "refused", "lif")
def neuron_twice(net: Any) -> None:
    does(net, after=lambda self, z, t: self.lif(z * 3))


@attacked("memory: a call whose output is dropped", (JellySteps, TorchSteps), "refused")
def dropped_call(net: Any) -> None:
    def act(self: Any, h: Tensor, t: Any) -> Tensor:
        self.lif(h)  # its potential has moved
        return h

    does(net, act=act)


@attacked("memory: a neuron that is called with something else first", (JellySteps, JellyLoop),
          "refused")  # fmt: skip
def called_with_another(net: Any) -> None:
    def act(self: Any, h: Tensor, t: Any) -> Tensor:
        self.lif(torch.ones(2, HIDDEN))
        return h

    does(net, act=act)


@attacked("memory: a neuron that is called by its method", (JellySteps, JellyLoop), "either")
def by_method(net: Any) -> None:
    net.mid_lif = neuron.LIFNode(surrogate_function=surrogate.Sigmoid())
    does(net, act=lambda self, h, t: self.mid_lif.single_step_forward(h) * 3)


@attacked("memory: a Linear that is called by its forward", ALL, "either")
def by_forward(net: Any) -> None:
    net.mix = nn.Linear(HIDDEN, HIDDEN)
    does(net, act=lambda self, h, t: self.mix.forward(h) * 3)


@attack("memory: a neuron that is called by its forward, in snnTorch", "snntorch", "either")
def leaky_by_forward() -> Any:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.lif = nn.Linear(4, 8), snntorch.Leaky(**LEAKY, init_hidden=True)
            self.fc.weight.data *= 4

        def forward(self, x: Tensor) -> Tensor:
            return self.lif.forward(self.fc(x))

    return Net(), noise()


@attack("memory: a cell that is called by its forward, in Norse", "norse", "either")
def cell_by_forward() -> Any:
    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc, self.lif = nn.Linear(4, 8), norse.LIFBoxCell()
            self.fc.weight.data *= 40

        def forward(self, x: Tensor, state: Any = None) -> Any:
            return self.lif.forward(self.fc(x), state)

    return Net(), noise()


@attack("memory: functional of a neuron", "norse", "either")
def functional_step() -> Any:
    class Net(NorseSteps):
        def step(self, x: Tensor, t: Any, states: Any) -> Tensor:
            z, states[0] = self.lif.activation(
                self.fc(x), states[0] or self.lif.state_fallback(x), self.lif.p, self.lif.dt
            )
            y, states[1] = self.last(self.out(z), states[1])
            return y

    return Net(), noise()


@attacked("memory: only a part of the batch spikes", (TorchSteps, JellySteps), "either")
def part_of_batch(net: Any) -> None:
    def after(self: Any, z: Tensor, t: Any) -> Tensor:
        return torch.cat([z[:1], z[1:] * 0])

    does(net, after=after)


@attacked("memory: samples are mixed", (TorchSteps, JellySteps, NorseSteps), "refused")
def mixed_samples(net: Any) -> None:
    does(net, act=lambda self, h, t: h + h.roll(1, 0))


@attacked("memory: sequences are mixed", (JellyMulti,), "refused")
def mixed_steps(net: Any) -> None:
    does(net, act=lambda self, h, t: h + h.roll(1, 0))


@attacked("memory: a sequence is cut", (JellyMulti,), "refused")
def cut(net: Any) -> None:
    does(net, act=lambda self, h, t: torch.cat([h[1:], h[:1]]))


@attacked("memory: a step of a sequence is scaled", (JellyMulti,), "refused")
def step_scaled(net: Any) -> None:
    gains = torch.arange(1.0, 4.0, dtype=torch.float64).view(3, 1, 1)
    does(net, act=lambda self, h, t: h * gains)

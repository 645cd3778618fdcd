"""The contract as code: what each NIR primitive that has state computes in one step.

A `Dynamics` holds parameters and no memory: `step(*inputs, *state) -> (output, *state)`. Its host
keeps the state between the steps, in whatever way a framework does that; `reference` has a host in
plain PyTorch. With the time step `dt`, in seconds, an input `x` and the state before the step on
the right::

    I, IF             v <- v + dt * r * x
    LI, LIF           v <- v + dt/tau * ((v_leak - v) + r * x)
    CubaLI, CubaLIF   i <- i + dt/tau_syn * (w_in * x - i)
                      v <- v + dt/tau_mem * ((v_leak - v) + r * i)      with the new i
    IF, LIF, CubaLIF  z = v > v_threshold, and then v <- v_reset where z
    Delay             y[t] = x[t - round(delay/dt)], zero before

Before the first step v is v_leak where the node has one, v_reset for an IF, 0 for an I; i is 0.
I, LI and CubaLI give v, the others z.

A parameter is a number, an array or a tensor, of one element or of the shape of the features.
Inputs have any axes before the features: [..., *features].
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import nn

from nir_runtime import numbers

Tensor = torch.Tensor
Reset = Literal["set", "subtract", "subtract_next", "subtract_carried"]
"""What a spike does to v: "set" it to v_reset, as NIR has it, or else subtract the threshold, for
which NIR has no field. "subtract" does so at once, "subtract_next" in the next step, after v has
leaked. "subtract_carried" does it at once too, but where v is above the threshold still, the next
step begins by subtracting it again, and its own spike then subtracts nothing."""


class Dynamics(nn.Module):
    """A discrete system, without the memory to run it.

    Attributes:
        memory: the names of its state variables, in the order of `step`'s arguments. Before the
            first step each is None.
    """

    memory: tuple[str, ...] = ()

    def step(self, *arguments: Any) -> tuple[Any, ...]:
        """`(*inputs, *state) -> (output, *state)` for inputs of shape [..., *features]."""
        raise NotImplementedError

    def steps(self, *arguments: Any) -> tuple[Any, ...]:
        """The same over inputs of shape [T, ..., *features]: T steps, their outputs stacked."""
        count = len(arguments) - len(self.memory)
        state = list(arguments[count:])
        outputs = []
        for inputs in zip(*arguments[:count], strict=True):
            output, *state = self.step(*inputs, *state)
            outputs.append(output)
        return (torch.stack(outputs), *state)

    def extra_repr(self) -> str:
        """The parameters: the number where all neurons share it, else the shape."""
        shown = (f"{name}={_short(value)}" for name, value in self.named_buffers(recurse=False))
        return ", ".join(shown)


class _Neuron(Dynamics):
    """What all neurons share: a time step, fixed parameters, and where v starts.

    Attributes:
        dt: the time step, in seconds.
        v_initial: v before the first step; None for where the contract has it.
        reset_by: what a spike does to v.
    """

    v_initial: Tensor | None
    v_threshold: Tensor
    v_reset: Tensor
    reset_by: Reset = "set"

    def __init__(
        self,
        dt: float,
        v_initial: Any,
        dtype: torch.dtype | None,
        device: torch.device | str | None,
        **parameters: Any,
    ) -> None:
        super().__init__()
        self.dt = dt
        for name, value in parameters.items():
            self.register_buffer(name, as_tensor(value, dtype, device))
        start = None if v_initial is None else as_tensor(v_initial, dtype, device)
        self.register_buffer("v_initial", start)

    def started(self, v: Tensor | None, rest: Tensor | float) -> Tensor | float:
        """The state `v`; before the first step `v_initial`, or `rest` if that is None."""
        if v is not None:
            return v
        return rest if self.v_initial is None else self.v_initial

    def fired(self, old: Tensor | float, charged: Tensor) -> tuple[Tensor, Tensor]:
        """The spikes of a membrane that was charged from `old`, and what they leave of it."""
        threshold = self.v_threshold
        if self.reset_by == "set":
            return fire(charged, threshold, self.v_reset)
        if self.reset_by == "subtract":
            return fire(charged, threshold, charged - threshold)
        due = torch.as_tensor(old > threshold)
        charged = self.compared(old, charged)
        spikes = spike(charged, threshold)
        if self.reset_by == "subtract_next":
            return spikes, charged
        return spikes, charged - (spikes.detach() - due.to(spikes.dtype)) * threshold

    def compared(self, old: Tensor | float, charged: Tensor) -> Tensor:
        """What is compared with the threshold: less what a spike of the step before left to do."""
        if self.reset_by in ("set", "subtract"):
            return charged
        due = torch.as_tensor(old > self.v_threshold)
        return torch.where(due, charged - self.v_threshold, charged)

    def extra_repr(self) -> str:
        soft = f", reset_by={self.reset_by!r}" if self.reset_by != "set" else ""
        return f"{super().extra_repr()}, dt={self.dt:g}{soft}"


class I(_Neuron):  # noqa: E742
    """An integrator: v <- v + dt * r * x."""

    memory = ("v",)
    r: Tensor

    def __init__(
        self,
        r: Any,
        *,
        dt: float,
        v_initial: Any = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(dt, v_initial, dtype, device, r=r)

    def step(self, x: Tensor, v: Tensor | None) -> tuple[Tensor, Tensor]:
        """`(x, v) -> (v, v)`"""
        new = self.started(v, 0.0) + self.dt * self.r * x
        return new, new


class IF(_Neuron):
    """An integrator that fires: v <- v + dt * r * x; z = v > v_threshold; v <- v_reset where z."""

    memory = ("v",)
    r: Tensor
    v_threshold: Tensor
    v_reset: Tensor

    def __init__(
        self,
        r: Any,
        v_threshold: Any,
        v_reset: Any = 0.0,
        *,
        dt: float,
        v_initial: Any = None,
        reset_by: Reset = "set",
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(
            dt, v_initial, dtype, device, r=r, v_threshold=v_threshold, v_reset=v_reset
        )
        self.reset_by = reset_by

    def step(self, x: Tensor, v: Tensor | None) -> tuple[Tensor, Tensor]:
        """`(x, v) -> (z, v)`"""
        old = self.started(v, self.v_reset)
        return self.fired(old, old + self.dt * self.r * x)


class LI(_Neuron):
    """A leaky integrator: v <- v + dt/tau * ((v_leak - v) + r * x)."""

    memory = ("v",)
    tau: Tensor
    r: Tensor
    v_leak: Tensor

    def __init__(
        self,
        tau: Any,
        r: Any,
        v_leak: Any,
        *,
        dt: float,
        v_initial: Any = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(dt, v_initial, dtype, device, tau=tau, r=r, v_leak=v_leak)

    def step(self, x: Tensor, v: Tensor | None) -> tuple[Tensor, Tensor]:
        """`(x, v) -> (v, v)`"""
        old = self.started(v, self.v_leak)
        new = old + fraction(self.dt, self.tau) * ((self.v_leak - old) + self.r * x)
        return new, new


class LIF(_Neuron):
    """A leaky integrator that fires.

    v <- v + dt/tau * ((v_leak - v) + r * x); z = v > v_threshold; v <- v_reset where z.
    """

    memory = ("v",)
    tau: Tensor
    r: Tensor
    v_leak: Tensor
    v_threshold: Tensor
    v_reset: Tensor

    def __init__(
        self,
        tau: Any,
        r: Any,
        v_leak: Any,
        v_threshold: Any,
        v_reset: Any = 0.0,
        *,
        dt: float,
        v_initial: Any = None,
        reset_by: Reset = "set",
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(
            dt,
            v_initial,
            dtype,
            device,
            tau=tau,
            r=r,
            v_leak=v_leak,
            v_threshold=v_threshold,
            v_reset=v_reset,
        )
        self.reset_by = reset_by

    def step(self, x: Tensor, v: Tensor | None) -> tuple[Tensor, Tensor]:
        """`(x, v) -> (z, v)`"""
        old = self.started(v, self.v_leak)
        charged = old + fraction(self.dt, self.tau) * ((self.v_leak - old) + self.r * x)
        return self.fired(old, charged)


class CubaLI(_Neuron):
    """A leaky integrator behind a synapse.

    i <- i + dt/tau_syn * (w_in * x - i); v <- v + dt/tau_mem * ((v_leak - v) + r * i).
    """

    memory = ("v", "i")
    tau_syn: Tensor
    tau_mem: Tensor
    r: Tensor
    v_leak: Tensor
    w_in: Tensor

    def __init__(
        self,
        tau_syn: Any,
        tau_mem: Any,
        r: Any,
        v_leak: Any,
        w_in: Any = 1.0,
        *,
        dt: float,
        v_initial: Any = None,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(
            dt,
            v_initial,
            dtype,
            device,
            tau_syn=tau_syn,
            tau_mem=tau_mem,
            r=r,
            v_leak=v_leak,
            w_in=w_in,
        )

    def step(self, x: Tensor, v: Tensor | None, i: Tensor | None) -> tuple[Tensor, ...]:
        """`(x, v, i) -> (v, v, i)`"""
        charged, current = self.charge(x, v, i)
        return charged, charged, current

    def charge(self, x: Tensor, v: Tensor | None, i: Tensor | None) -> tuple[Tensor, Tensor]:
        """The new v and i, before any spike."""
        flowing: Tensor | float = 0.0 if i is None else i
        current = flowing + fraction(self.dt, self.tau_syn) * (self.w_in * x - flowing)
        old = self.started(v, self.v_leak)
        charged = old + fraction(self.dt, self.tau_mem) * ((self.v_leak - old) + self.r * current)
        return charged, current


class CubaLIF(CubaLI):
    """A leaky integrator behind a synapse that fires: a CubaLI with

    z = v > v_threshold; v <- v_reset where z.
    """

    v_threshold: Tensor
    v_reset: Tensor

    def __init__(
        self,
        tau_syn: Any,
        tau_mem: Any,
        r: Any,
        v_leak: Any,
        v_threshold: Any,
        v_reset: Any = 0.0,
        w_in: Any = 1.0,
        *,
        dt: float,
        v_initial: Any = None,
        reset_by: Reset = "set",
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(
            tau_syn,
            tau_mem,
            r,
            v_leak,
            w_in,
            dt=dt,
            v_initial=v_initial,
            dtype=dtype,
            device=device,
        )
        self.register_buffer("v_threshold", as_tensor(v_threshold, dtype, device))
        self.register_buffer("v_reset", as_tensor(v_reset, dtype, device))
        self.reset_by = reset_by

    def step(self, x: Tensor, v: Tensor | None, i: Tensor | None) -> tuple[Tensor, ...]:
        """`(x, v, i) -> (z, v, i)`"""
        charged, current = self.charge(x, v, i)
        spikes, left = self.fired(self.started(v, self.v_leak), charged)
        return spikes, left, current


class Delay(Dynamics):
    """A delay: y[t] = x[t - round(delay/dt)], zero before.

    Attributes:
        delay: in seconds, and in double precision whatever the network's is.
        dt: the time step, in seconds.
    """

    memory = ("history",)
    delay: Tensor

    def __init__(self, delay: Any, *, dt: float, device: torch.device | str | None = None) -> None:
        super().__init__()
        self.dt = dt
        self.register_buffer("delay", as_tensor(delay, torch.float64, device))

    @property
    def steps_back(self) -> Tensor:
        """The delays in steps."""
        return (self.delay / self.dt).round().long()

    def step(self, x: Tensor, history: Tensor | None) -> tuple[Tensor, Tensor]:
        """`(x, history) -> (y, history)`, where `history[k]` is the input of `k + 1` steps ago."""
        steps_back = self.steps_back
        missing = int(steps_back.max()) - (0 if history is None else len(history))
        if history is None:
            history = x.new_zeros((missing, *x.shape))
        elif missing > 0:  # the delays grew since
            history = torch.cat((history, x.new_zeros((missing, *x.shape))))
        recent = torch.cat((x.unsqueeze(0), history))
        output = recent.gather(0, steps_back.expand(x.shape).unsqueeze(0)).squeeze(0)
        return output, recent[:-1]

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Any:
        held = self.delay
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        if self.delay.dtype != held.dtype:
            self.delay = held.to(self.delay.device)
        return self


class _Spike(torch.autograd.Function):
    """v > threshold as numbers, with the gradient of an arctangent through the threshold."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, threshold: Tensor) -> Tensor:
        ctx.save_for_backward(v - threshold)
        ctx.threshold_shape = threshold.shape
        return (v > threshold).to(v.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, Tensor]:
        (above,) = ctx.saved_tensors
        slope = gradients[0] / (1 + (math.pi * above) ** 2)
        return slope, (-slope).sum_to_size(ctx.threshold_shape)


def spike(v: Tensor, threshold: Tensor) -> Tensor:
    """1 where v > threshold, else 0; backward as arctan(pi (v - threshold)) / pi."""
    spikes: Tensor = _Spike.apply(v, threshold)  # type: ignore[no-untyped-call]
    return spikes


def fire(v: Tensor, threshold: Tensor, reset: Tensor) -> tuple[Tensor, Tensor]:
    """The spikes of a charged membrane, and what they leave of it. They are not in its gradient."""
    spikes = spike(v, threshold)
    return spikes, torch.where(spikes > 0, reset, v)


def fraction(dt: float, tau: Tensor) -> Tensor:
    """dt/tau, rounded once; the operator on a number and a tensor rounds the reciprocal first."""
    return (torch.tensor(dt, dtype=torch.float64) / tau).to(tau.dtype)


def as_tensor(
    value: Any, dtype: torch.dtype | None = None, device: torch.device | str | None = None
) -> Tensor:
    """A tensor; of a number one without axes, in double precision unless `dtype` says otherwise.

    (Without axes it takes part in other tensors' precision, and does not raise it.)
    """
    if isinstance(value, torch.Tensor):
        return value.detach().to(dtype=dtype, device=device)
    return numbers.as_tensor(value, dtype, device)


def _short(tensor: Tensor) -> str:
    first = tensor.flatten()[:1]
    if tensor.numel() and bool((tensor == first).all()):
        return f"{first.item():g}"
    return f"{list(tensor.shape)}"

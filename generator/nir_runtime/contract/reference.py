"""NIR's primitives as plain PyTorch modules: the contract as a framework of its own.

Each class is called as its node, and takes the node's fields and the time step `dt`, in seconds.
Modules take inputs [..., *features] with any axes in front. Those with state remember between
calls, until `reset`, and take [T, ..., *features] in step mode "m".

    >>> lif = LIF(tau=1e-2, r=1.0, v_leak=0.0, v_threshold=0.5, dt=1e-3)
    >>> lif(torch.full((3,), 10.0))
    tensor([1., 1., 1.])
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from nir_runtime.contract import dynamics
from nir_runtime.contract.dynamics import Dynamics, Tensor, as_tensor, spike

Padding = int | Sequence[int] | str
Pair = int | Sequence[int]


class Host(nn.Module):
    """Runs a discrete system, and remembers its state between calls.

    The state is in attributes called as in `dynamics.memory`; they are None before the first step.

    Attributes:
        step_mode: "s" for inputs of one step, "m" for inputs with an axis of time in front.
    """

    step_mode: str = "s"

    @property
    def dynamics(self) -> Dynamics:
        """The system."""
        raise NotImplementedError

    def forward(self, *inputs: Tensor) -> Any:
        """Inputs of one step, or of several, to the system's output."""
        system = self.dynamics
        run = system.step if self.step_mode == "s" else system.steps
        output, *state = run(*inputs, *(getattr(self, name) for name in system.memory))
        for name, value in zip(system.memory, state, strict=True):
            setattr(self, name, value)
        return output

    def reset(self) -> None:
        """Forget: the next step is the first."""
        for name in self.dynamics.memory:
            setattr(self, name, None)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Host:
        super()._apply(fn, recurse)  # type: ignore[no-untyped-call]
        for name in self.dynamics.memory:
            value = getattr(self, name)
            if value is not None:
                setattr(self, name, fn(value))
        return self


class Cell(Host):
    """A home for any discrete system."""

    def __init__(self, dynamics: Dynamics) -> None:
        super().__init__()
        self._system = dynamics
        self.reset()

    @property
    def dynamics(self) -> Dynamics:
        return self._system


class Remembering(Host, Dynamics):
    """A discrete system that is its own host."""

    @property
    def dynamics(self) -> Dynamics:
        return self

    def alone(self) -> Dynamics:
        """The same system, sharing its parameters, without a memory: for another host."""
        kind: Any = next(
            base for base in type(self).__mro__ if base.__module__ == dynamics.__name__
        )
        system: Dynamics = kind.__new__(kind)
        system.__dict__.update({k: v for k, v in vars(self).items() if k not in self.memory})
        return system


class I(Remembering, dynamics.I):  # noqa: E742
    __doc__ = dynamics.I.__doc__
    v: Tensor | None = None


class IF(Remembering, dynamics.IF):
    __doc__ = dynamics.IF.__doc__
    v: Tensor | None = None


class LI(Remembering, dynamics.LI):
    __doc__ = dynamics.LI.__doc__
    v: Tensor | None = None


class LIF(Remembering, dynamics.LIF):
    __doc__ = dynamics.LIF.__doc__
    v: Tensor | None = None


class CubaLI(Remembering, dynamics.CubaLI):
    __doc__ = dynamics.CubaLI.__doc__
    v: Tensor | None = None
    i: Tensor | None = None


class CubaLIF(Remembering, dynamics.CubaLIF):
    __doc__ = dynamics.CubaLIF.__doc__
    v: Tensor | None = None
    i: Tensor | None = None


class Delay(Remembering, dynamics.Delay):
    __doc__ = dynamics.Delay.__doc__
    history: Tensor | None = None


class Threshold(nn.Module):
    """A step: z = x > threshold."""

    threshold: Tensor

    def __init__(
        self,
        threshold: Any,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.register_buffer("threshold", as_tensor(threshold, dtype, device))

    def forward(self, x: Tensor) -> Tensor:
        """[..., *features] to spikes of the same shape."""
        return spike(x, self.threshold)


class Scale(nn.Module):
    """A gain for each feature: y = scale * x."""

    def __init__(
        self,
        scale: Any,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.scale = nn.Parameter(as_tensor(scale, dtype, device))

    def forward(self, x: Tensor) -> Tensor:
        """[..., *features] to the same shape."""
        return self.scale * x


class Linear(nn.Module):
    """y[*lead, o] = sum over i of weight[*lead, o, i] * x[*lead, i]."""

    def __init__(
        self,
        weight: Any,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.weight = nn.Parameter(as_tensor(weight, dtype, device))

    def forward(self, x: Tensor) -> Tensor:
        """[..., *lead, i] to [..., *lead, o]."""
        if self.weight.dim() == 2:
            return F.linear(x, self.weight)
        return torch.matmul(self.weight, x.unsqueeze(-1)).squeeze(-1)

    def extra_repr(self) -> str:
        return f"weight={list(self.weight.shape)}"


class Affine(Linear):
    """y[*lead, o] = sum over i of weight[*lead, o, i] * x[*lead, i] + bias[*lead, o]."""

    def __init__(
        self,
        weight: Any,
        bias: Any,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__(weight, dtype=dtype, device=device)
        self.bias = nn.Parameter(as_tensor(bias, dtype, device))

    def forward(self, x: Tensor) -> Tensor:
        """[..., *lead, i] to [..., *lead, o]."""
        if self.weight.dim() == 2:
            return F.linear(x, self.weight, self.bias)
        return super().forward(x) + self.bias


class _Convolution(nn.Module):
    """What both convolutions share.

    Attributes:
        input_shape: the sizes of the axes that the kernel slides over, if known; for the node.
    """

    def __init__(
        self,
        input_shape: Any,
        weight: Any,
        stride: Pair,
        padding: Padding,
        dilation: Pair,
        groups: int,
        bias: Any,
        *,
        dtype: torch.dtype | None = None,
        device: torch.device | str | None = None,
    ) -> None:
        super().__init__()
        self.input_shape = input_shape
        self.weight = nn.Parameter(as_tensor(weight, dtype, device))
        self.bias = nn.Parameter(as_tensor(bias, dtype, device))
        self.stride: Any = stride
        self.padding: Any = padding
        self.dilation: Any = dilation
        self.groups = groups

    def forward(self, x: Tensor) -> Tensor:
        """[..., groups * c, *n] to [..., o, *m]."""
        return _by_sample(x, self.weight.dim() - 1, self._convolved)

    def _convolved(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def extra_repr(self) -> str:
        geometry = ("stride", "padding", "dilation", "groups")
        shown = ", ".join(f"{name}={getattr(self, name)}" for name in geometry)
        return f"weight={list(self.weight.shape)}, {shown}"


class Conv1d(_Convolution):
    """A convolution over one axis: [..., groups * c, n] to [..., o, m], with weight[o, c, k]."""

    def _convolved(self, x: Tensor) -> Tensor:
        geometry = self.stride, self.padding, self.dilation, self.groups
        return F.conv1d(x, self.weight, self.bias, *geometry)


class Conv2d(_Convolution):
    """A convolution over two axes: [..., groups * c, *n] to [..., o, *m], with weight[o, c, *k]."""

    def _convolved(self, x: Tensor) -> Tensor:
        geometry = self.stride, self.padding, self.dilation, self.groups
        return F.conv2d(x, self.weight, self.bias, *geometry)


class SumPool2d(nn.Module):
    """The sum over a window: [..., c, h, w] to [..., c, *m]; the padding is zeros."""

    divisor: int | None = 1

    def __init__(self, kernel_size: Pair, stride: Pair, padding: Pair) -> None:
        super().__init__()
        self.kernel_size = _pair(kernel_size)
        self.stride = _pair(stride)
        self.padding = _pair(padding)

    def forward(self, x: Tensor) -> Tensor:
        """[..., c, h, w] to [..., c, *m]."""
        return _by_sample(x, 3, self._pooled)

    def _pooled(self, x: Tensor) -> Tensor:
        high, wide = self.padding
        # Padded here, since the pooling itself allows half a window at most.
        padded = F.pad(x, (wide, wide, high, high)) if high or wide else x
        return F.avg_pool2d(padded, self.kernel_size, self.stride, divisor_override=self.divisor)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool2d(SumPool2d):
    """The mean over a window: [..., c, h, w] to [..., c, *m]; the padding is zeros, and counts."""

    divisor = None


class Flatten(nn.Module):
    """The axes start_dim to end_dim of the features as one.

    Attributes:
        input_type: the features' shape. (As in the node; only its length matters here.)
        start_dim, end_dim: among the features' axes; negative ones count from the last.
    """

    def __init__(self, input_type: Sequence[int], start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.input_type = tuple(int(size) for size in input_type)
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, x: Tensor) -> Tensor:
        """[..., *a, *b, *c] to [..., *a, prod(b), *c]."""
        rank = len(self.input_type)
        return x.flatten(self.start_dim % rank - rank, self.end_dim % rank - rank)

    def extra_repr(self) -> str:
        return f"{self.input_type}, start_dim={self.start_dim}, end_dim={self.end_dim}"


def _by_sample(x: Tensor, rank: int, function: Callable[[Tensor], Tensor]) -> Tensor:
    """Apply a function of [N, *features] to [..., *features], with `rank` axes of features."""
    leading, features = x.shape[: x.dim() - rank], x.shape[x.dim() - rank :]
    if len(leading) == 1:
        return function(x)
    result = function(x.reshape(-1, *features))
    return result.reshape(*leading, *result.shape[1:])


def _pair(value: Pair) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (int(value[0]), int(value[1]))

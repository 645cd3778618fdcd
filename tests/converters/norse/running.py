"""Norse's layers, run step by step or over time, and compared with the reference."""

from __future__ import annotations

from typing import Any

import nir
import torch
from torch import Tensor, nn

from nir_exchange import norse, reference

DT = 1e-3
STEPS = 120


def over_time(module: nn.Module, x: Tensor, state: Any = None) -> Tensor:
    """The outputs of a cell, or of an imported network, for [T, N, *]."""
    outputs = []
    with torch.no_grad():
        for step in x:
            result = module(step) if state is None else module(step, state)
            y, state = result if isinstance(result, tuple) else (result, None)
            outputs.append(y.detach())
    return torch.stack(outputs)


def inputs(shape: tuple[int, ...], seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    """Random inputs [T, N, *shape], that make a neuron fire now and then."""
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.rand(STEPS, 2, *shape, generator=generator, dtype=dtype) - 0.5


def of_the_reference(graph: nir.NIRGraph, x: Tensor, dt: float = DT) -> Tensor:
    """What the graph means, in numbers."""
    module = reference.import_from_nir(graph, dt=dt, dtype=x.dtype)
    with torch.no_grad():
        return torch.stack([module(step)[0] for step in x])


def exported(net: nn.Module, *shape: int, dt: float = DT, **options: Any) -> nir.NIRGraph:
    """A network's graph, of an example of this shape."""
    return norse.export_to_nir(net, torch.zeros(*shape), dt=dt, **options)

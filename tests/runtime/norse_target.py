"""A converter to Norse by hand: layers that take their state and return the new one."""

from __future__ import annotations

from typing import Any

import nir
import norse.torch as norse
import torch
from torch import nn

from nir_runtime.frameworks.norse import Cell
from nir_runtime.sites import ExportSite, ImportSite
from nir_runtime.target import Target

from .hand_target import conv2d, flatten, linear


def _lif_box(module: Any, at: ExportSite) -> nir.NIRNode:
    p = module.p
    fields = {"v_leak": p.v_leak, "v_threshold": p.v_th, "v_reset": p.v_reset}
    return nir.LIF(
        tau=at.fill(1 / at.values("tau_mem_inv", p.tau_mem_inv)),
        r=at.fill(1.0),
        **{name: at.fill(at.values(name, value)) for name, value in fields.items()},
        metadata=at.metadata,
    )


def _from_lif(node: nir.LIF, at: ImportSite) -> nn.Module:
    def tensor(name: str) -> torch.Tensor:
        return torch.tensor(at.uniform(name), dtype=at.dtype)

    p = norse.LIFBoxParameters(
        1 / tensor("tau"), tensor("v_leak"), tensor("v_threshold"), tensor("v_reset")
    )
    return norse.LIFBoxCell(p, dt=at.dt)


def _li(module: Any, at: ExportSite) -> nir.NIRNode:
    p = module.p
    return nir.CubaLI(
        tau_mem=at.fill(1 / p.tau_mem_inv),
        tau_syn=at.fill(1 / p.tau_syn_inv),
        r=at.fill(1.0),
        v_leak=at.fill(p.v_leak),
        w_in=at.fill(1 / (p.tau_syn_inv * at.dt)),
        metadata=at.metadata,
    )


def _affine(node: nir.Affine, at: ImportSite) -> nn.Module:
    with at.without_initialization():
        made = nn.Linear(*node.weight.shape[::-1])
    at.load(made, weight=node.weight, bias=node.bias)
    return made


def _calling(layer: Any) -> Any:
    return "y, state = layer(x, state)"


TARGET = Target(
    name="Norse",
    packages=("norse",),
    exporters={
        nn.Linear: linear,
        nn.Conv2d: conv2d,
        nn.Flatten: flatten,
        norse.LIFBoxCell: _lif_box,
        norse.LICell: _li,
        norse.LI: _li,
    },
    importers={nir.Affine: (_affine,), nir.LIF: (_from_lif,)},
    state={norse.LIFBoxCell: ("v",), norse.LICell: ("v", "i"), norse.LI: ("v", "i")},
    calling=_calling,
    sequences=(norse.LI, norse.Lift),
    containers={
        norse.Lift: "through",
        norse.RecurrentSequential: "fed_back",
    },
    in_order=(norse.SequentialState,),
    cell=Cell,
)
"""As a generated converter declares it."""

"""A layer of Norse's for every row of the tables of what is supported and lost."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import norse.torch as snn
import torch
from norse.torch.functional.izhikevich import tonic_spiking
from norse.torch.functional.reset import reset_subtract

SIZES = {"input_size": 3, "hidden_size": 3}
FIELDS = {
    "size": 3, "in_channels": 2, "scales": torch.ones(1), "angles": torch.ones(1),
    "ratios": torch.ones(1), "derivatives": 0,
}  # fmt: skip
ENCODERS = ("ConstantCurrentLIFEncoder", "PoissonEncoder", "SignedPoissonEncoder")
PLAIN = (
    *("LIF", "LI", "IAF", "LIFCell", "LICell", "IAFCell", "LIFBoxCell", "LIBoxCell"),
    *("LIFAdEx", "LIFEx", "LSNN", "SpikeLatencyEncoder"),
)
WITH_WEIGHTS = ("Recurrent", "RecurrentCell", "Linear", "LinearCell", "Correlation", "CobaLIFCell")
IZHIKEVICH = {"spiking_method": tonic_spiking}

ARGUMENTS: dict[str, dict[str, Any]] = {
    **{
        f"norse.{name}": SIZES
        for name in vars(snn)
        if name.endswith(WITH_WEIGHTS) and isinstance(getattr(snn, name), type)
    },
    **{f"norse.{name}": {"seq_length": 5} for name in (*ENCODERS, "SpikeLatencyLIFEncoder")},
    **{f"norse.{name}": {} for name in PLAIN},
    "norse.PopulationEncoder": {"out_features": 3},
    "norse.IzhikevichCell": IZHIKEVICH,
    "norse.Izhikevich": IZHIKEVICH,
    "norse.IzhikevichRecurrent": {**SIZES, **IZHIKEVICH},
    "norse.IzhikevichRecurrentCell": {**SIZES, **IZHIKEVICH},
    "norse.LConv2d": {"in_channels": 2, "out_channels": 3, "kernel_size": 3},
    "norse.SpatialReceptiveField2d": {
        "in_channels": 2, "size": 3, "rf_parameters": torch.ones(1, 7),
    },
    "norse.ParameterizedSpatialReceptiveField2d": FIELDS,
    "norse.SampledSpatialReceptiveField2d": FIELDS,
    "norse.TemporalReceptiveField": {"shape": (3,)},
}  # fmt: skip
"""What their constructors need, by layer."""

With = Callable[..., Any]
"""`with_(**changed)` of the tests of the tables."""

DOUBLE = torch.tensor(0.1, dtype=torch.float64)


def shown(with_: With) -> dict[str, dict[str, Any]]:
    """How a layer is made such that a row of its losses is about it."""

    def given(parameters: Any, **fields: Any) -> Any:
        return with_(p=parameters(**fields))

    def spiking(parameters: Any) -> dict[str, Any]:
        return {
            "method": given(parameters, method="tanh"),
            "alpha": given(parameters, alpha=torch.tensor(5.0)),
        }

    def decaying(parameters: Any, *names: str) -> dict[str, Any]:
        wrong = torch.tensor(-1.0)
        return {f"not {name} > 0": given(parameters, **{name: wrong}) for name in names}

    lif, li, box = snn.LIFParameters, snn.LIParameters, snn.LIBoxParameters
    both = ("tau_syn_inv", "tau_mem_inv")
    late = "v starts at float32(v_leak), where that is not v_leak"
    recorded = {"record_states": with_(record_states=True)}
    sparse = {"activation_sparse": with_(activation_sparse=None)}
    weights = {name: with_() for name in SIZES}
    return {
        "norse.IAF": spiking(snn.IAFParameters),
        "norse.IAFCell": spiking(snn.IAFParameters),
        "norse.LI": {
            **decaying(li, *both), **recorded, **sparse, late: given(li, v_leak=DOUBLE),
        },
        "norse.LIBoxCell": {**decaying(box, "tau_mem_inv"), **sparse},
        "norse.LICell": {**decaying(li, *both), **sparse},
        "norse.LILinearCell": {**decaying(li, *both), **weights},
        "norse.LIF": {
            **decaying(lif, *both), **spiking(lif), **recorded, late: given(lif, v_leak=DOUBLE),
        },
        "norse.LIFCell": {**decaying(lif, *both), **spiking(lif)},
        "norse.LIFRecurrentCell": {
            **decaying(lif, *both), **spiking(lif), **weights, late: given(lif, v_leak=DOUBLE),
            "input_weights": with_(input_weights=torch.ones(3, 3)),
            "recurrent_weights": with_(recurrent_weights=torch.ones(3, 3)),
            "autapses": with_(autapses=True),
            "record_states": with_(),
        },
        "norse.LIFBoxCell": {
            **decaying(snn.LIFBoxParameters, "tau_mem_inv"), **spiking(snn.LIFBoxParameters),
            "reset_method == 'reset_subtract'": given(
                snn.LIFBoxParameters, reset_method=reset_subtract
            ),
        },
    }  # fmt: skip

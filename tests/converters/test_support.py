"""The tables of what is supported and lost say what really happens: a real layer for every row."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import norse.torch as snn
import pytest
import snntorch as snntorch_package
import torch
from spikingjelly.activation_based import layer, neuron, rnn, surrogate
from torch import nn

from nir_exchange import norse, reference, snntorch, spikingjelly, torch_nn
from nir_runtime.contract import dynamics
from nir_runtime.contract import reference as modules
from nir_runtime.reports.report import Entry, Grade
from nirgen import mapping
from nirgen.emit.support import Export, Import, Loss, exports, imports, losses
from nirgen.mapping.model import FrameworkMappings
from tests.converters.in_numbers import assert_exported_as_it_is, assert_imported_as_it_is
from tests.converters.norse import supported as norse_supported
from tests.converters.spikingjelly import unsayable

DT = 1e-3
MAPPINGS = mapping.load(mapping.shipped())
FRAMEWORKS: dict[str, FrameworkMappings] = {f.framework.name: f for f in MAPPINGS.frameworks}
CONVERTERS: dict[str, Any] = {
    "norse": norse, "reference": reference, "snntorch": snntorch, "spikingjelly": spikingjelly,
    "torch_nn": torch_nn,
}  # fmt: skip
PACKAGES: dict[str, Any] = {
    "layer": layer, "neuron": neuron, "nn": nn, "rnn": rnn, "norse": snn,
    "reference": modules, "dynamics": dynamics, "snntorch": snntorch_package,
}  # fmt: skip

IN_NUMBERS = ("reference", "spikingjelly", "torch_nn")
"""The converters whose layers are called as modules are: what a row grades exact is also run."""

LEAKY = {"tau": 1e-2, "r": 1.0, "v_leak": 0.0}
FIRING = {"v_threshold": 1.0, "v_reset": 0.0}
CUBA = {"tau_syn": 1e-2, "tau_mem": 1e-2, "r": 1.0, "v_leak": 0.0, "w_in": 1.0}
HIDDEN = {"init_hidden": True}
KERNEL, KERNEL2 = torch.ones(3, 2, 3), torch.ones(3, 2, 3, 3)
ARGUMENTS: dict[str, dict[str, Any]] = {
    "I": {"r": 1.0}, "LI": LEAKY, "IF": {"r": 1e3, **FIRING}, "LIF": {**LEAKY, **FIRING},
    "CubaLI": CUBA, "CubaLIF": {**CUBA, **FIRING},
    "reference.Delay": {"delay": 3e-3}, "dynamics.Delay": {"delay": 3e-3},
    "layer.Delay": {"delay_steps": 3}, "Scale": {"scale": 2.0}, "Threshold": {"threshold": 1.0},
    "reference.Linear": {"weight": torch.ones(2, 3)},
    "reference.Affine": {"weight": torch.ones(2, 3), "bias": torch.ones(2)},
    "reference.Conv1d": {"input_shape": 8, "weight": KERNEL, "stride": 1, "padding": 0,
                         "dilation": 1, "groups": 1, "bias": torch.ones(3)},
    "reference.Conv2d": {"input_shape": (8, 8), "weight": KERNEL2, "stride": 1, "padding": 0,
                         "dilation": 1, "groups": 1, "bias": torch.ones(3)},
    "reference.SumPool2d": {"kernel_size": 2, "stride": 2, "padding": 0},
    "reference.AvgPool2d": {"kernel_size": 2, "stride": 2, "padding": 0},
    "reference.Flatten": {"input_type": (2, 8, 8), "start_dim": 0},
    "Linear": {"in_features": 3, "out_features": 2}, "VotingLayer": {"voting_size": 3},
    "AdaptiveAvgPool2d": {"output_size": 2}, "MaxPool2d": {"kernel_size": 2},
    "AvgPool1d": {"kernel_size": 2}, "AvgPool2d": {"kernel_size": 2},
    "Conv1d": {"in_channels": 2, "out_channels": 3, "kernel_size": 3},
    "Conv2d": {"in_channels": 2, "out_channels": 3, "kernel_size": 3},
    "ConvTranspose1d": {"in_channels": 2, "out_channels": 3, "kernel_size": 3},
    "ConvTranspose2d": {"in_channels": 2, "out_channels": 3, "kernel_size": 3},
    "BatchNorm1d": {"num_features": 2}, "BatchNorm2d": {"num_features": 2},
    "ThresholdDependentBatchNorm1d": {"alpha": 1.0, "v_th": 1.0, "num_features": 2},
    "ThresholdDependentBatchNorm2d": {"alpha": 1.0, "v_th": 1.0, "num_features": 2},
    "TemporalEffectiveBatchNorm1d": {"T": 4, "num_features": 2},
    "TemporalEffectiveBatchNorm2d": {"T": 4, "num_features": 2},
    "TemporalEffectiveBatchNorm3d": {"T": 4, "num_features": 2},
    "Upsample": {"scale_factor": 2}, "PrintShapeModule": {"ext_str": "here"},
    "CUBALIFNode": {"c_decay": 0.5, "v_decay": 0.5}, "LIFNode": {"tau": 10.0},
    "NonSpikingIFNode": {"decode": None},
    "NonSpikingLIFNode": {"tau": 10.0, "decode": None},
    "SimpleIFNode": {"v_threshold": 1.0, "v_reset": 0.0},
    "SimpleLIFNode": {"tau": 10.0, "decay_input": True},
    "AdaptiveAvgPool1d": {"output_size": 2}, "MaxPool1d": {"kernel_size": 2},
    "WSLinear": {"in_features": 3, "out_features": 2},
    "WSConv2d": {"in_channels": 2, "out_channels": 3, "kernel_size": 3},
    **unsayable.ARGUMENTS, **norse_supported.ARGUMENTS,
    "Leaky": {"beta": 0.9, **HIDDEN}, "Lapicque": {"beta": 0.9, **HIDDEN},
    "RLeaky": {"beta": 0.9, "linear_features": 3, **HIDDEN},
    "Synaptic": {"alpha": 0.8, "beta": 0.9, **HIDDEN},
    "RSynaptic": {"alpha": 0.8, "beta": 0.9, "linear_features": 3, **HIDDEN},
    "Alpha": {"alpha": 0.9, "beta": 0.8, **HIDDEN},
    "DeltaLeaky": {"beta": 0.9, **HIDDEN}, "GradedSpikes": {"size": 3, "constant_factor": 1.0},
    "SLSTM": {"input_size": 3, "hidden_size": 3, **HIDDEN},
    "SConv2dLSTM": {"in_channels": 2, "out_channels": 2, "kernel_size": 3, **HIDDEN},
    "LeakyParallel": {"input_size": 3, "hidden_size": 3},
    "StateLeaky": {"beta": 0.9, "channels": 3},
    "LinearLeaky": {"beta": 0.9, "in_features": 3, "out_features": 3},
    "AssociativeLeaky": {"in_dim": 3, "d_value": 3, "d_key": 3, "num_spiking_neurons": 9},
}  # fmt: skip
SHAPES: dict[str, tuple[int, ...]] = {
    "LConv2d": (4, 2, 8, 8), "ReceptiveField2d": (2, 8, 8),
    "1d": (2, 8), "2d": (2, 8, 8), "3d": (2, 4, 8, 8), "Upsample": (2, 8, 8),
    "Flatten": (2, 8, 8), "Conv1d": (2, 8),
}  # fmt: skip
"""Features by how a class's name ends; (3,) for any other."""


def made(name: str, **changed: Any) -> nn.Module:
    """A layer by its name in the mappings; one without a memory in the reference's cell."""
    package, _, cls = name.rpartition(".")
    arguments = {**ARGUMENTS.get(name, ARGUMENTS.get(cls, {})), **changed}
    if package in ("reference", "dynamics") and "dt" in FRAMEWORKS["reference"].signatures[name]:
        arguments["dt"] = DT
    module: nn.Module = getattr(PACKAGES[package], cls)(**arguments)
    return modules.Cell(module) if package == "dynamics" else module  # type: ignore[arg-type]


def shape(name: str) -> tuple[int, ...]:
    return next((size for ending, size in SHAPES.items() if name.endswith(ending)), (3,))


def usual(name: str) -> nn.Module | None:
    """The layer that another one needs before it: one that spikes, or one that takes all steps."""
    if name.startswith("nn.MaxPool"):
        return made("reference.IF")
    if "MaxPool" in name:
        return neuron.IFNode()
    over_time = "NonSpiking" in name or name.endswith("Attention")
    return neuron.IFNode(step_mode="m") if over_time else None


def exported(
    target: str, module: nn.Module, *features: int, before: nn.Module | None = None, **changed: Any
) -> Entry:
    """The entry of a layer, changed and behind another one, in an export's report."""
    net = nn.Sequential(before or nn.Identity(), module).eval()
    for name, value in changed.items():
        setattr(module, name, value)
    over_time = type(module) in CONVERTERS[target].TARGET.sequences
    modes = {getattr(part, "step_mode", "s") for part in net}
    steps = (4,) if over_time or "m" in modes else ()
    report = CONVERTERS[target].explain(net, torch.zeros(*steps, 2, *features), DT)
    of_layer = (entry for entry in report.entries if entry.place == "1")
    entry = min(of_layer, key=lambda entry: entry.grade.value)
    if entry.grade is not Grade.REFUSED and target in IN_NUMBERS:
        run = net if before is not None else net[1:]
        assert_exported_as_it_is(CONVERTERS[target], run, features, DT)
    return entry


# --- what goes out --------------------------------------------------------------------------

EXPORTS = [(name, row) for name, f in FRAMEWORKS.items() for row in exports(f, MAPPINGS)]


@pytest.mark.parametrize(("target", "row"), EXPORTS, ids=[row.layer for _, row in EXPORTS])
def test_a_layer_that_goes_out(target: str, row: Export) -> None:
    entry = exported(target, made(row.layer), *shape(row.layer), before=usual(row.layer))
    assert entry.graded == row.grade
    assert entry.node in row.nodes.replace(",", "").split() or entry.node == row.nodes
    if row.remarks.startswith("skipped"):
        assert entry.notes == (row.remarks,)
    if row.grade == "refused":
        because, instead = row.remarks.split("; ")
        assert because in entry.notes[0]
        assert instead == entry.notes[1]


# --- what comes back ------------------------------------------------------------------------

IMPORTS = [(name, row) for name, f in FRAMEWORKS.items() for row in imports(f, MAPPINGS)]
ZERO = {"reset_mechanism": "zero", "reset_delay": False}
COMING_BACK: dict[tuple[str, str], dict[str, Any]] = {
    ("layer.Linear", "Linear"): {"bias": False}, ("nn.Linear", "Linear"): {"bias": False},
    ("snntorch.Leaky", "LIF"): ZERO, ("snntorch.Leaky", "IF"): {"beta": 1.0, **ZERO},
    ("snntorch.Synaptic", "CubaLIF"): ZERO,
}  # fmt: skip
"""How a layer is made such that it becomes a node, where it wouldn't by default."""
REQUESTS = {m.layers[0]: m.on_request for m in FRAMEWORKS["spikingjelly"].layers if m.on_request}


@pytest.mark.parametrize(
    ("target", "row"), IMPORTS, ids=[f"{row.node} as {row.layer}" for _, row in IMPORTS]
)
def test_a_node_that_comes_back(target: str, row: Import) -> None:
    changed = COMING_BACK.get((row.layer, row.node), {})
    net = nn.Sequential(made(row.layer, **changed))
    example = torch.zeros(2, *shape(row.layer))
    graph = CONVERTERS[target].export_to_nir(net, example, dt=DT)
    options = {REQUESTS[row.layer]: True} if row.layer in REQUESTS else {}
    if target in IN_NUMBERS:
        assert_imported_as_it_is(CONVERTERS[target], graph, DT, **options)
    (entry,) = CONVERTERS[target].explain(graph, dt=DT, **options).entries
    assert (entry.node, entry.layer, entry.graded) == (row.node, row.layer, row.grade)


# --- what is lost ---------------------------------------------------------------------------

Make = Callable[[str], Entry]


def with_(**changed: Any) -> Make:
    """The layer, constructed otherwise."""
    return lambda name: _exported_as(name, made(name, **changed))


def setting(**attributes: Any) -> Make:
    """The layer, changed after it was made."""
    return lambda name: _exported_as(name, made(name), **attributes)


TARGETS = {
    "reference": "reference",
    "dynamics": "reference",
    "norse": "norse",
    "snntorch": "snntorch",
}


def _exported_as(name: str, module: nn.Module, **attributes: Any) -> Entry:
    target = TARGETS.get(name.partition(".")[0], "spikingjelly")
    return exported(target, module, *shape(name), before=usual(name), **attributes)


def in_time(name: str) -> Entry:
    """The layer, which merges no axes, in a network of many steps."""
    return exported("spikingjelly", made(name), *shape(name), before=neuron.IFNode(step_mode="m"))


def in_mode_s(name: str) -> Entry:
    """The layer as it takes one step, in a network of many."""
    return exported("spikingjelly", made(name), *shape(name), before=neuron.IFNode(step_mode="m"))


def in_steps(name: str) -> Entry:
    """The layer in a network of one step."""
    return exported("spikingjelly", made(name), 3)


def of_other_class(other: str, **changed: Any) -> Make:
    """Another class of the same mapping."""
    return lambda name: _exported_as(other, made(other, **changed))


def behind_no_spikes(name: str) -> Entry:
    """The layer where it reads the network's input."""
    return exported("spikingjelly", made(name), *shape(name))


def with_features(*features: int) -> Make:
    """The layer, behind features of another shape."""
    return lambda name: exported("spikingjelly", made(name), *features)


SOFT = {"v_reset is None": with_(v_reset=None)}
NOT_SPIKES = {
    "not is_heaviside(surrogate_function)": with_(surrogate_function=torch.sigmoid),
    "not spiking(surrogate_function)": with_(surrogate_function=surrogate.Sigmoid(spiking=False)),
}
GRADIENT = {
    "surrogate_function": with_(surrogate_function=surrogate.ATan()),
    "detach_reset": with_(detach_reset=True),
}
RECORD = {"store_v_seq": setting(store_v_seq=True)}


IN_PLACE = {"device": with_(device="cpu"), "dtype": with_(dtype=torch.float64)}
TRANSPOSED = {
    **IN_PLACE,
    "in_channels": with_(), "output_padding": with_(), "padding_mode": with_(),
    "any_nonzero(output_padding)": with_(dilation=2, output_padding=1),
    "least(remaining_padding(kernel_size, padding, dilation)) < 0": with_(padding=3),
}  # fmt: skip
CIRCULAR = {"padding_mode other than 'zeros'": with_(padding_mode="circular")}
WINDOWS = {"ceil_mode other than False": with_(ceil_mode=True)}
TIME = {"batch_axes != 1": in_time}
PADDED = {
    "not count_include_pad and any_nonzero(padding)": with_(count_include_pad=False, padding=1),
    "count_include_pad": with_(count_include_pad=False),
}
DECODED = {"decode other than None": with_(decode="last-mem"), "batch_axes != 2": in_steps}
STARTED = {
    "v starts at v_initial, where that is not v_leak": with_(v_initial=0.25),
    "v starts at v_initial, where that is not v_reset": with_(v_initial=0.25),
    "v starts at v_initial, where that is not 0": with_(v_initial=0.25),
    "steps_back": with_(),
    "reset_by == 'subtract'": with_(reset_by="subtract"),
    "reset_by == 'subtract_next'": with_(reset_by="subtract_next"),
    "reset_by == 'subtract_carried'": with_(reset_by="subtract_carried"),
}
NORMS = {
    "track_running_stats other than True": with_(track_running_stats=False),
    "affine other than True": with_(affine=False),
    "training": setting(training=True),
    "momentum": with_(momentum=0.5),
    "num_batches_tracked": setting(num_batches_tracked=torch.tensor(3)),
}
SNN = {
    "inhibition other than False": with_(inhibition=True),
    "state_quant other than False": with_(state_quant=torch.round),
    "not is_step(spike_grad)": with_(spike_grad=torch.sigmoid),
    "spike_grad": with_(spike_grad=snntorch_package.surrogate.fast_sigmoid()),
    "surrogate_disable": with_(surrogate_disable=True),
    "not threshold >= 0": with_(threshold=-0.5),
    "not 0 <= alpha < 1": with_(alpha=1.0),
    "not 0 <= beta < 1": with_(beta=1.0),
    "init_hidden": with_(init_hidden=True),
    "output": with_(output=False),
    "learn_alpha": with_(learn_alpha=True),
    "learn_beta": with_(learn_beta=True),
    "learn_threshold": with_(learn_threshold=True),
    "learn_graded_spikes_factor": with_(learn_graded_spikes_factor=True),
    "graded_spikes_factor other than 1.0": setting(graded_spikes_factor=torch.tensor(2.0)),
    "init_hidden and any_nonzero(spk)": setting(spk=torch.ones(1, 3)),
    "learn_recurrent": with_(learn_recurrent=False),
    "V": with_(all_to_all=False, linear_features=None, V=0.5),
    "conv2d_channels": lambda name: exported(
        "snntorch",
        made(name, linear_features=None, conv2d_channels=2, kernel_size=3), 2, 8, 8,
    ),
    "always": with_(),
    "reset_mechanism == 'subtract'": with_(reset_mechanism="subtract"),
    "reset_mechanism == 'zero'": with_(reset_mechanism="zero"),
    "reset_mechanism == 'none'": with_(reset_mechanism="none"),
    "reset_mechanism == 'zero' and reset_delay": with_(reset_mechanism="zero"),
    "reset_mechanism == 'subtract' and reset_delay": with_(reset_mechanism="subtract"),
    "reset_mechanism == 'subtract' and not reset_delay": with_(reset_delay=False),
    "reset_delay other than True": with_(reset_delay=False),
    "not R > 0": setting(R=torch.tensor(-1.0)),
    "not C > 0": setting(C=torch.tensor(-1.0)),
    "not time_step > 0": setting(time_step=torch.tensor(-1.0)),
    "beta": with_(beta=0.5),
}  # fmt: skip
TDBN = "layer.ThresholdDependentBatchNorm2d"
SHOWN: dict[str, dict[str, Make]] = {
    "reference": STARTED, "snntorch": SNN,
    "AdaptiveAvgPool2d": {
        **TIME, "not divides(output_size, spatial_shape)": with_(output_size=3),
    },
    "AvgPool1d": {
        **WINDOWS, **PADDED,
        "batch_axes != 1 or rank != 2": in_time,
        "rank != 2": with_features(4, 2, 8),
    },
    "AvgPool2d": {
        **WINDOWS, **PADDED, **TIME, "divisor_override other than None": with_(divisor_override=3),
    },
    "BatchNorm1d": {**NORMS, **IN_PLACE, **TIME, "bias other than True": with_(bias=False)},
    "layer.BatchNorm2d": {
        **NORMS,
        "alpha": of_other_class(TDBN, alpha=2.0),
        "v_th": of_other_class(TDBN, v_th=2.0),
        "args": of_other_class(TDBN),
        "bias other than True": of_other_class(TDBN, bias=False),
        "device": of_other_class(TDBN, device="cpu"),
        "dtype": of_other_class(TDBN, dtype=torch.float64),
    },
    "Conv1d": {**IN_PLACE, **TIME, **CIRCULAR},
    "Conv2d": {**IN_PLACE, **TIME, **CIRCULAR},
    "ConvTranspose1d": {
        **TRANSPOSED,
        "single(stride) != 1": with_(stride=2),
        "batch_axes != 1 or rank != 2": in_time,
    },
    "ConvTranspose2d": {**TRANSPOSED, **TIME, "pair(stride) != pair(1)": with_(stride=(2, 1))},
    "Linear": IN_PLACE,
    "Flatten": {
        "0 <= start_dim < batch_axes or start_dim < -rank": with_(start_dim=0),
        "0 <= end_dim < batch_axes or end_dim < -rank": with_(start_dim=1, end_dim=0),
    },
    "MaxPool2d": {
        **WINDOWS, **TIME,
        "dilation other than 1": with_(dilation=2),
        "return_indices other than False": with_(return_indices=True),
        "not binary": behind_no_spikes,
    },
    "layer.VotingLayer": {"rank != 1": with_features(3, 3)},
    "AdaptiveAvgPool1d": {
        "batch_axes != 1 or rank != 2": in_time,
        "not divides(output_size, spatial_shape)": with_(output_size=3),
    },
    "MaxPool1d": {
        **WINDOWS,
        "dilation other than 1": with_(dilation=2),
        "return_indices other than False": with_(return_indices=True),
        "not binary": behind_no_spikes,
        "batch_axes != 1 or rank != 2": in_time,
    },
    "layer.WSLinear": {
        "gain other than True": with_(gain=False),
        "in_features": with_(), "out_features": with_(),
    },
    "layer.WSConv2d": {
        "gain other than True": with_(gain=False),
        "padding_mode": with_(padding_mode="circular"),
        "in_channels": with_(), "kernel_size": with_(),
        "batch_axes != 1": in_mode_s,
    },
    "neuron.HalfThresholdIFNode": {
        "v_reset other than None": setting(v_reset=0.25),
        **NOT_SPIKES, **GRADIENT, **RECORD,
        "always": with_(), "v starts at v_threshold / 2, where that is not 0": with_(),
    },
    "neuron.OTTTLIFNode": {
        **SOFT, **NOT_SPIKES, **GRADIENT, **RECORD,
        "training": setting(training=True), "not tau > 1": setting(tau=0.5),
    },
    "neuron.CUBALIFNode": {
        **SOFT, **NOT_SPIKES, **GRADIENT,
        "v starts at v_reset, where that is not 0": with_(v_reset=0.25),
        "not 0 <= c_decay < 1": setting(c_decay=1.0),
        "not 0 <= v_decay < 1": setting(v_decay=1.0),
    },
    "neuron.IFNode": {**SOFT, **NOT_SPIKES, **GRADIENT, **RECORD},
    "neuron.LIFNode": {
        **SOFT, **NOT_SPIKES, **GRADIENT, **RECORD, "not tau > 1": setting(tau=0.5),
    },
    "neuron.ParametricLIFNode": {
        **SOFT, **NOT_SPIKES, **GRADIENT, **RECORD,
        "not init_tau > 1": setting(w=nn.Parameter(torch.tensor(100.0))),
    },
    "neuron.NonSpikingIFNode": DECODED,
    "neuron.NonSpikingLIFNode": {**DECODED, "not tau > 0": setting(tau=-1.0)},
    "neuron.SimpleIFNode": {
        **SOFT, **NOT_SPIKES, **GRADIENT,
        "v starts at 0, where that is not v_reset": with_(v_reset=0.25),
    },
    "neuron.SimpleLIFNode": {
        **SOFT, **NOT_SPIKES, **GRADIENT,
        "v starts at 0, where that is not v_reset": with_(v_reset=0.25),
        "not tau > 1": setting(tau=0.5),
    },
    **norse_supported.shown(with_),
}  # fmt: skip
"""How a layer is made such that a row is about it: by the layer, by what the row says."""

LOSSES = [row for f in FRAMEWORKS.values() for row in losses(f, MAPPINGS)]


@pytest.mark.parametrize("row", LOSSES, ids=[f"{row.layer}: {row.what}" for row in LOSSES])
def test_a_loss(row: Loss) -> None:
    package, _, cls = row.layer.partition(".")
    shown = SHOWN.get(row.layer) or SHOWN.get(package) or SHOWN[cls]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        entry = shown[row.what](row.layer)
    if row.grade == "exact":  # it costs nothing
        assert entry.grade == _exported_as(row.layer, made(row.layer)).grade
    else:
        assert str(entry.grade) == row.grade
    if row.grade != "exact":
        assert row.because in " ".join(entry.notes)
    if row.grade == "refused":
        assert row.instead in " ".join(entry.notes)

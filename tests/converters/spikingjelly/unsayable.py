"""How layers are constructed that NIR can't hold, for the test that all are refused."""

from __future__ import annotations

from typing import Any

import torch
from spikingjelly.activation_based import neuron
from torch import nn

_TABLE = neuron.FewSpikeTable([1.0], [1.0], [1.0])
_BY_STEP = {"T": 4, "num_features": 2}
_CONVOLUTION = {"in_channels": 2, "out_channels": 3, "kernel_size": 3}
_HEADS = {"dim": 8, "num_heads": 2}
_RECURRENT = {"input_size": 3, "hidden_size": 2}
_LAYERS = {**_RECURRENT, "num_layers": 1}

ARGUMENTS: dict[str, dict[str, Any]] = {
    "AdaptiveAvgPool3d": {"output_size": 2}, "AvgPool3d": {"kernel_size": 2},
    "BatchNorm3d": {"num_features": 2}, "Conv3d": _CONVOLUTION, "ConvTranspose3d": _CONVOLUTION,
    "MaxPool3d": {"kernel_size": 2},
    "ThresholdDependentBatchNorm3d": {"alpha": 1.0, "v_th": 1.0, "num_features": 2},
    "MaxUnpool1d": {"kernel_size": 2}, "MaxUnpool2d": {"kernel_size": 2},
    "MaxUnpool3d": {"kernel_size": 2},
    "BatchNormThroughTime1d": _BY_STEP, "BatchNormThroughTime2d": _BY_STEP,
    "BatchNormThroughTime3d": _BY_STEP,
    "GroupNorm": {"num_groups": 1, "num_channels": 2}, "LayerNorm": {"normalized_shape": 3},
    "NeuNorm": {"in_channels": 2, "height": 8, "width": 8},
    "ChannelQKAttention": _HEADS, "QKAttention": _HEADS, "SpikeDrivenSelfAttention": _HEADS,
    "SpikingSelfAttention": _HEADS, "TokenQKAttention": _HEADS,
    "MultiDimensionalAttention": {"T": 4, "C": 16, "reduction_t": 1},
    "TemporalWiseAttention": {"T": 4, "reduction": 1},
    "DropConnectLinear": {"in_features": 3, "out_features": 2},
    "GradwithTrace": {"module": nn.Identity()}, "SpikeTraceOp": {"module": nn.Identity()},
    "SpikeCountToBinary": {"num_slots": 2}, "TemporalBinSum": {"num_slots": 2},
    "FewSpikeNode": {"table": _TABLE},
    "HGNode": {"tables": [_TABLE], "gate_thresholds": torch.zeros(0)},
    "OutlierAwareThresholdNode": {
        "table": _TABLE, "outlier_table": _TABLE, "split_threshold": 1.0,
    },
    "STBIFNode": {"q_threshold": 1.0, "level": 4},
    "LIAFNode": {"act": torch.relu, "threshold_related": False},
    "ILCIFNode": {"act_dim": 3, "dec_pop_dim": 1}, "ILCLIFNode": {"act_dim": 3, "dec_pop_dim": 1},
    "ILCCUBALIFNode": {"act_dim": 3, "dec_pop_dim": 1},
    "FlexSN": {"core": lambda x, v: (x, v), "num_states": 1}, "MPBNLIFNode": {"out_features": 3},
    "NoisyCUBALIFNode": {"num_node": 3}, "NoisyNonSpikingIFNode": {"num_node": 3},
    "NoisyILCCUBALIFNode": {"act_dim": 3, "dec_pop_dim": 1},
    "GatedLIFNode": {"T": 4}, "MaskedPSN": {"k": 2, "T": 4}, "PSN": {"T": 4},
    "SlidingPSN": {"k": 2},
    "SpikingGRU": _LAYERS, "SpikingLSTM": _LAYERS, "SpikingVanillaRNN": _LAYERS,
    "SpikingGRUCell": _RECURRENT, "SpikingLSTMCell": _RECURRENT,
    "SpikingVanillaRNNCell": _RECURRENT,
}  # fmt: skip

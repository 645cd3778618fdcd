"""The main job, seen working: the tutorial's network goes to NIR and back (`make demo`)."""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import torch
from spikingjelly.activation_based import layer, neuron
from torch import nn

from nir_exchange import spikingjelly

STEPS = 100
DT = 1e-4


def main() -> int:
    torch.manual_seed(0)
    warnings.simplefilter("always")
    net = nn.Sequential(
        layer.Conv2d(3, 16, 3, 1, 1, step_mode="s"),
        neuron.IFNode(),
        nn.AvgPool2d((2, 2)),
        layer.Flatten(step_mode="s"),
        nn.Linear(4096, 10),
        neuron.ParametricLIFNode(10.0, decay_input=False, v_reset=None),
    )
    x = torch.rand(STEPS, 8, 3, 32, 32)

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "example.h5"
        graph = spikingjelly.export_to_nir(net, example_input=x[0], save_path=path, dt=DT)
        print(f"\n{path.name}: {path.stat().st_size:,} bytes\n")
        for name, node in graph.nodes.items():
            features = tuple(int(n) for n in node.output_type["output"])
            print(f"  {name:8} {type(node).__name__:10} -> {features}")
        module = spikingjelly.import_from_nir(path, dt=DT, step_mode="s")

    print(f"\n{module}\n")
    return compare(net, module, x)


def compare(net: nn.Module, module: nn.Module, x: torch.Tensor) -> int:
    """Print how far two networks agree, step by step; 0 if they do everywhere."""
    differing = 0
    total = 0
    with torch.no_grad():
        for step in x:
            expected, (actual, _) = net(step), module(step)
            differing += int((expected != actual).sum())
            total += int(expected.sum())
    print(f"{STEPS} steps, batch of {x.shape[1]}: {total} spikes, {differing} differ")
    return 1 if differing or not total else 0


if __name__ == "__main__":
    raise SystemExit(main())

"""The main job, seen working (`make demo`).

The tutorial's network goes to NIR and back; and a network that was trained in snnTorch runs in
SpikingJelly and in Norse, spike for spike.
"""

from __future__ import annotations

import tempfile
import warnings
from pathlib import Path

import snntorch as snn
import torch
import torch.nn.functional as F
from snntorch import utils
from spikingjelly.activation_based import layer, neuron
from torch import nn

from nir_exchange import norse, snntorch, spikingjelly

STEPS = 100
DT = 1e-4


def main() -> int:
    torch.manual_seed(0)
    warnings.simplefilter("always")
    return max(there_and_back(), across())


def there_and_back() -> int:
    """The tutorial's network, through a file."""
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
        graph = spikingjelly.export_to_nir(net, x[0], path, dt=DT, verify=STEPS)
        print(f"\n{graph.report.verified}")
        print(f"\n{path.name}: {path.stat().st_size:,} bytes\n")
        for name, node in graph.nodes.items():
            features = tuple(int(n) for n in node.output_type["output"])
            print(f"  {name:8} {type(node).__name__:10} -> {features}")
        module = spikingjelly.import_from_nir(path, dt=DT, step_mode="s")

    print(f"\n{module}\n")
    return compare(net, module, x)


def across() -> int:
    """A network trained in snnTorch, in SpikingJelly and in Norse."""
    net = nn.Sequential(
        nn.Linear(20, 32),
        snn.Leaky(beta=0.9, reset_mechanism="zero", init_hidden=True),
        nn.Linear(32, 2),
        snn.Leaky(beta=0.8, reset_mechanism="zero", init_hidden=True),
    )
    print()
    train(net)
    x, _ = patterns(8)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "trained.nir"
        snntorch.export_to_nir(net, x[0], path, dt=DT, verify=STEPS)
        others = {
            "SpikingJelly": spikingjelly.import_from_nir(path, dt=DT),
            "Norse": norse.import_from_nir(path, dt=DT),
        }
    results = []
    for name, module in others.items():
        utils.reset(net)
        print(f"snnTorch and {name}: ", end="")
        results.append(compare(net, module, x))
    return max(results)


def patterns(count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Spikes [STEPS, count, 20] of two classes, that fire more on the one half or the other."""
    labels = torch.arange(count) % 2
    rates = torch.where(torch.arange(20) < 10, labels[:, None], 1 - labels[:, None])
    return torch.bernoulli((0.1 + 0.3 * rates).expand(STEPS, count, 20)), labels


def train(net: nn.Module, rounds: int = 10) -> None:
    """Teach a network to tell the patterns apart, by who of its two outputs spikes more."""
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-2)
    for k in range(rounds):
        x, labels = patterns(32)
        utils.reset(net)
        counts = torch.stack([net(step) for step in x]).sum(0)
        loss = F.cross_entropy(counts, labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if k in (0, rounds - 1):
            right = int((counts.argmax(1) == labels).sum())
            print(f"trained for {k + 1:2} rounds in snnTorch: {right} of {len(labels)} right")


def compare(net: nn.Module, module: nn.Module, x: torch.Tensor) -> int:
    """Print how far two networks agree, step by step; 0 if they do everywhere."""
    differing, total, state = 0, 0, None
    with torch.no_grad():
        for step in x:
            expected = net(step)
            actual, state = module(step, state)
            differing += int((expected != actual).sum())
            total += int(expected.sum())
    print(f"{len(x)} steps, batch of {x.shape[1]}: {total} spikes, {differing} differ")
    return 1 if differing or not total else 0


if __name__ == "__main__":
    raise SystemExit(main())

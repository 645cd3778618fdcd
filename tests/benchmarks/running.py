"""What an export of images costs, and what running an imported network does."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence

import nir
import torch
from spikingjelly.activation_based import functional
from spikingjelly.activation_based import nir_exchange as spikingjelly_s_own
from torch import nn

from nir_exchange import spikingjelly
from tests.benchmarks.networks import (
    Deep,
    Recurrent,
    Tutorial,
    image_network,
    recurrent_graph,
)
from tests.benchmarks.tables import Table, beside, duration, times
from tests.benchmarks.timing import PROCESSOR, Contender, Step, fastest, seconds, step_by_step

DT = 1e-4


def shapes(extents: Sequence[tuple[int, int]]) -> Table:
    """The export of a network for images, at growing numbers of time steps and samples."""
    net = image_network()
    rows, short = [], []
    for steps, samples in extents:
        x = torch.zeros(steps, samples, 3, 224, 224)
        ours = seconds(lambda x=x: spikingjelly.export_to_nir(net, x, dt=DT), 9)
        theirs = seconds(lambda x=x: spikingjelly_s_own.export_to_nir(net, x, dt=DT))
        functional.reset_net(net)
        extent = f"T = {steps}, N = {samples}"
        rows.append([extent, duration(theirs), duration(ours), times(theirs / ours)])
        short = [beside(f"export a CNN for 224 x 224 images, {extent}", theirs, ours)]
    return Table(
        "Export of a network for 224 x 224 images",
        "Four convolutions and a Linear. SpikingJelly's own runs the network to learn its shapes.",
        ("example input", "spikingjelly", "ours", "ratio"),
        rows,
        short,
    )


def forward(steps: int, samples: int, repeats: int) -> Table:
    """Steps of imported networks beside the hand-written ones that they were exported from."""
    torch.set_num_threads(1)
    images, few = torch.rand(steps, samples, 3, 32, 32), torch.rand(steps, samples, 16)
    cases = {
        "the tutorial's kind of network": (Tutorial().eval(), images),
        # Tensors of 1 KB: where none is larger, any larger piece of memory, such as that of a
        # dictionary of 50 states, costs glibc what it else spends while the layers run.
        "100 layers of 16 features": (Deep(100, 16).eval(), few),
    }
    rows = [
        _beside_hand_written(f"{name}, step_mode={mode!r}", net, x, mode, repeats)
        for name, (net, x) in cases.items()
        for mode in ("s", "m")
    ]
    return Table(
        "Running an imported network",
        f"{steps} steps of {samples} samples, without gradients, in one thread. The layers of the "
        "second network have next to nothing to compute, so that what calling them costs shows. "
        "Processor time; of each step that of its fastest run, in which all take turns. Ratios are "
        "to the hand-written network: 1.00 is no difference.",
        ("", "hand-written", "ours", "ratio", "spikingjelly", "ratio"),
        rows,
    )


def recurrent(steps: int, samples: int, repeats: int) -> Table:
    """A recurrent network in multi-step mode beside one written by hand."""
    torch.set_num_threads(1)
    net = Recurrent(256).eval()
    x = torch.rand(steps, samples, 256)
    graph = recurrent_graph(net, DT)
    runs = {"hand-written": _run(net, x, "m")}
    for mode in ("m", "s"):
        runs[f"ours, step_mode={mode!r}"] = _run(_ours(graph, mode), x, mode)
    taken = fastest([Contender(name, run, repeats) for name, run in runs.items()], PROCESSOR)
    limit = taken["hand-written"]
    return Table(
        "Running a recurrent network",
        "Four layers of 256 neurons, of which the last feeds itself. By hand, and in multi-step "
        "mode, the first three take all steps in one call, and a loop over time runs the last. "
        f"{steps} steps of {samples} samples, in one thread. Processor time.",
        ("network", "time", "to hand-written"),
        [[name, duration(time), times(time / limit)] for name, time in taken.items()],
    )


def _beside_hand_written(
    name: str, net: nn.Module, x: torch.Tensor, mode: str, repeats: int
) -> list[str]:
    functional.set_step_mode(net, mode)
    graph = spikingjelly.export_to_nir(net, x if mode == "m" else x[0], dt=DT)
    makers = {
        "hand-written": lambda: _remembering(copy.deepcopy(net)),
        "ours": lambda: _remembering(_ours(graph, mode)),
        "spikingjelly": lambda: _told(_theirs(graph, mode)),
    }
    taken = step_by_step(makers, [x] if mode == "m" else list(x), repeats)
    limit = taken.pop("hand-written")
    cells = [cell for time in taken.values() for cell in (duration(time), times(time / limit))]
    return [name, duration(limit), *cells]


def _ours(graph: nir.NIRGraph, mode: str) -> nn.Module:
    return spikingjelly.import_from_nir(graph, dt=DT, step_mode=mode).eval()


def _theirs(graph: nir.NIRGraph, mode: str) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return spikingjelly_s_own.import_from_nir(graph, dt=DT, step_mode=mode).eval()


def _run(net: nn.Module, x: torch.Tensor, mode: str) -> Callable[[], None]:
    """All steps of `x`, by a network that remembers its state."""

    def run() -> None:
        functional.reset_net(net)
        with torch.no_grad():
            for part in [x] if mode == "m" else x:
                net(part)

    return run


def _remembering(net: nn.Module) -> Step:
    """Steps of a network that remembers its state."""
    return torch.no_grad()(net)


def _told(net: nn.Module) -> Step:
    """Steps of a network that is to be told its state."""
    state = None

    @torch.no_grad()
    def step(x: torch.Tensor) -> object:
        nonlocal state
        y, state = net(x, state)
        return y

    return step

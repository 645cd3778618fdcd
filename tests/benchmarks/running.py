"""What an export of images costs, and what running an imported network does."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import nir
import torch
from spikingjelly.activation_based import functional
from spikingjelly.activation_based import nir_exchange as spikingjelly_s_own
from torch import nn

from nir_exchange import spikingjelly
from tests.benchmarks.networks import HandWritten, image_network, recurrent_graph
from tests.benchmarks.tables import Table, duration, times
from tests.benchmarks.timing import Contender, fastest, seconds

DT = 1e-4


def shapes(extents: Sequence[tuple[int, int]]) -> Table:
    """The export of a network for images, at growing numbers of time steps and samples."""
    net = image_network()
    rows = []
    for steps, samples in extents:
        x = torch.zeros(steps, samples, 3, 224, 224)
        ours = seconds(lambda x=x: spikingjelly.export_to_nir(net, x, dt=DT), 5)
        theirs = seconds(lambda x=x: spikingjelly_s_own.export_to_nir(net, x, dt=DT))
        functional.reset_net(net)
        rows.append(
            [f"T = {steps}, N = {samples}", duration(theirs), duration(ours), times(theirs / ours)]
        )
    return Table(
        "Export of a network for 224 x 224 images",
        "Four convolutions and a Linear. SpikingJelly's own runs the network to learn its shapes.",
        ("example input", "spikingjelly", "ours", "ratio"),
        rows,
    )


def forward(steps: int, samples: int, repeats: int) -> Table:
    """Steps of an imported network beside the hand-written one that it was exported from."""
    torch.set_num_threads(1)
    rows = []
    for mode in ("s", "m"):
        net = HandWritten(mode).eval()
        x = torch.rand(steps, samples, 3, 32, 32)
        graph = spikingjelly.export_to_nir(net, x if mode == "m" else x[0], dt=DT)
        imported = spikingjelly.import_from_nir(graph, dt=DT, step_mode=mode).eval()
        runs = {
            "hand-written": _run(net, x, mode),
            "ours": _run(imported, x, mode),
            "spikingjelly": _run_with_state(_theirs(graph, mode), x, mode),
        }
        taken = fastest([Contender(name, run, repeats) for name, run in runs.items()])
        rows.append(_beside(f"step mode {mode!r}", taken, "hand-written"))
    return Table(
        "Running an imported network",
        f"The tutorial's kind of network, {steps} steps of {samples} samples, without gradients, "
        "in one thread. Ratios are to the hand-written network; 1.00 is no difference.",
        ("", "hand-written", "ours", "ratio", "spikingjelly", "ratio"),
        rows,
    )


def recurrent(steps: int, samples: int, repeats: int) -> Table:
    """A recurrent network in multi-step mode beside the same one step by step."""
    graph = recurrent_graph()
    x = torch.rand(steps, samples, 256)
    by_step = spikingjelly.import_from_nir(graph, dt=DT, step_mode="s").eval()
    at_once = spikingjelly.import_from_nir(graph, dt=DT, step_mode="m").eval()
    runs = {"step by step": _run(by_step, x, "s"), "at once": _run(at_once, x, "m")}
    taken = fastest([Contender(name, run, repeats) for name, run in runs.items()])
    ratio = times(taken["step by step"] / taken["at once"])
    row = [f"{steps} steps", duration(taken["step by step"]), duration(taken["at once"]), ratio]
    return Table(
        "Running a recurrent network",
        "Four layers of 256 neurons, of which the last feeds itself: the first three take all "
        f"steps in one call. {samples} samples.",
        ("", "step mode 's'", "step mode 'm'", "ratio"),
        [row],
    )


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


def _run_with_state(net: nn.Module, x: torch.Tensor, mode: str) -> Callable[[], None]:
    """All steps of `x`, by a network that is to be told its state."""

    def run() -> None:
        functional.reset_net(net)
        state = None
        with torch.no_grad():
            for part in [x] if mode == "m" else x:
                _, state = net(part, state)

    return run


def _beside(name: str, taken: dict[str, float], base: str) -> list[str]:
    cells = [name, duration(taken[base])]
    for contender, time in taken.items():
        if contender != base:
            cells += [duration(time), times(time / taken[base])]
    return cells

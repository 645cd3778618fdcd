"""An export leaves everything as it was found, also where it is cut short."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, fx, nn

from nir_exchange import spikingjelly
from nir_runtime.errors import ExportRefused
from tests.attacks.carriers import JellySteps
from tests.attacks.corpus import noise
from tests.attacks.judging import DT
from tests.attacks.residue import residue


class Interrupted(JellySteps):
    """A forward that is cut short."""

    def prepare(self) -> None:
        self.history: list[Any] = []
        self.calls = 0

    def act(self, h: Tensor, t: int | None) -> Tensor:
        self.history.append(h)
        self.calls += 1
        self.lif.v = 3.0
        torch.rand(3)
        raise self.error


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, RecursionError, MemoryError])
def test_interrupted(error: type[BaseException]) -> None:
    net = Interrupted()
    net.error = error
    example = noise()[0].float()
    with residue(net, example) as left, pytest.raises((error, ExportRefused)):
        spikingjelly.export_to_nir(net, example, dt=DT)
    assert not left


class Gate:
    """A place that a thread says that it has come to, and waits at."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def wait(self) -> None:
        self.reached.set()
        self.opened.wait(10)


def _fx(gate: Gate) -> None:
    class Net(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            gate.wait()
            return x

    fx.symbolic_trace(Net())


def _export(gate: Gate) -> None:
    class Net(JellySteps):
        def act(self, h: Tensor, t: int | None) -> Tensor:
            gate.wait()
            return h

    # While torch.fx traces, it patches how modules find their own parts, for all threads.
    with contextlib.suppress(ExportRefused):
        spikingjelly.export_to_nir(Net().float(), noise()[0].float(), dt=DT)


@pytest.mark.parametrize("order", ["fx, export", "export, fx"])
@pytest.mark.parametrize("first_in_is_first_out", [True, False])
def test_beside_another_thread_s_trace(order: str, first_in_is_first_out: bool) -> None:
    """torch.fx patches nn.Module.__call__, too; whoever ends first must not undo the other's."""
    original = nn.Module.__call__
    run = {"fx": _fx, "export": _export}
    gates = [Gate(), Gate()]
    threads = [
        threading.Thread(target=run[name], args=(gate,))
        for name, gate in zip(order.split(", "), gates, strict=True)
    ]
    for thread, gate in zip(threads, gates, strict=True):
        thread.start()
        gate.reached.wait(2)
    leaving = list(zip(threads, gates, strict=True))
    for thread, gate in leaving if first_in_is_first_out else leaving[::-1]:
        gate.opened.set()
        thread.join(10)
    try:
        assert nn.Module.__call__ is original
    finally:
        nn.Module.__call__ = original  # type: ignore[method-assign]


def test_modules_of_another_thread_run_meanwhile(tmp_path: Path) -> None:
    linear, x = nn.Linear(4, 4), torch.rand(2, 4)
    expected, seen = linear(x), tmp_path / "seen"

    class Net(JellySteps):
        def act(self, h: Tensor, t: int | None) -> Tensor:
            other = threading.Thread(target=lambda: torch.save(linear(x), seen))
            other.start()
            other.join()
            return h

    spikingjelly.export_to_nir(Net().float(), noise()[0].float(), dt=DT)
    assert torch.equal(torch.load(seen), expected)

"""What a large model takes of memory, on its way out and in: each step in a fresh process."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import nir
import torch
from spikingjelly.activation_based import layer
from torch import nn

import nir_exchange
from nir_exchange import spikingjelly
from tests.benchmarks.processes import alone, most_memory
from tests.benchmarks.tables import Table, megabytes, percent

DT = 1e-4

Step = Callable[[Path, int, int], int]
"""`(path, weights, width) -> bytes`: a step, and the memory that it took."""


def peaks(weights: int, width: int) -> Table:
    """The most memory that each step has beyond what was there before."""
    raw = 4 * weights * width**2
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for name, step in STEPS.items():
            more = alone(step, Path(folder) / "model.nir", weights, width)
            rows.append([name, megabytes(more), percent(more / raw)])
    return Table(
        f"Peak memory of a model of {megabytes(raw)}",
        f"{weights} weights of {width} x {width}. Resident memory at its highest, mapped pages of "
        "the file included, beyond what the process had before the step.",
        ("step", "more memory", "of the weights"),
        rows,
    )


def export_and_save(path: Path, weights: int, width: int) -> int:
    net, x = network(weights, width), torch.zeros(1, width)
    return most_memory(lambda: spikingjelly.export_to_nir(net, x, save_path=path, dt=DT))


def save_by_nir(path: Path, weights: int, width: int) -> int:
    graph = spikingjelly.export_to_nir(network(weights, width), torch.zeros(1, width), dt=DT)
    theirs = path.with_name("theirs.nir")
    more = most_memory(lambda: nir.write(theirs, graph, compression=None))
    theirs.unlink()
    return more


def read(path: Path, weights: int, width: int) -> int:
    return most_memory(lambda: nir_exchange.read(path))


def read_mapped(path: Path, weights: int, width: int) -> int:
    return most_memory(lambda: nir_exchange.read(path, mmap=True))


def read_by_nir(path: Path, weights: int, width: int) -> int:
    return most_memory(lambda: nir.read(path, type_check=False))


def import_from_file(path: Path, weights: int, width: int) -> int:
    return most_memory(lambda: spikingjelly.import_from_nir(path, dt=DT))


def import_and_use_one(path: Path, weights: int, width: int) -> int:
    def work() -> tuple[nn.Module, torch.Tensor]:
        module = spikingjelly.import_from_nir(path, dt=DT)
        return module, next(module.parameters()).sum()

    return most_memory(work)


def import_and_run(path: Path, weights: int, width: int) -> int:
    def work() -> tuple[nn.Module, object]:
        module = spikingjelly.import_from_nir(path, dt=DT)
        return module, module(torch.zeros(1, width))

    return most_memory(work)


STEPS: Mapping[str, Step] = {
    "export, and save": export_and_save,
    "save without compression by nir.write": save_by_nir,
    "read": read,
    "read, mmap=True": read_mapped,
    "read by nir.read": read_by_nir,
    "import from the file": import_from_file,
    "import, and use one of the weights": import_and_use_one,
    "import, and run": import_and_run,
}


def network(weights: int, width: int) -> nn.Sequential:
    """Linear layers with numbers that are not all the same, made without a second copy."""
    with torch.device("meta"):
        layers = [layer.Linear(width, width, bias=False) for _ in range(weights)]
    for made in layers:
        numbers = torch.arange(width * width, dtype=torch.float32).reshape(width, width)
        made.weight = nn.Parameter(numbers)
    return nn.Sequential(*layers)

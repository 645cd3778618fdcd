"""How time grows with the number of nodes; beside the peers, as far as they go."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import nir
import nirtorch
import torch
from spikingjelly.activation_based import nir_exchange as spikingjelly_s_own
from torch import nn

from nir_exchange import spikingjelly
from nirgen.runtime import files
from tests.benchmarks.networks import chain_graph, chain_network
from tests.benchmarks.tables import Table, duration, times
from tests.benchmarks.timing import seconds

DT = 1e-4
EXAMPLE = torch.zeros(1, 8)
WORKS = ("export", "write", "read", "import")

Work = Callable[[], object]


def growth(sizes: Sequence[int]) -> Table:
    """Our own times for chains of growing sizes, and the factor that each ten times costs."""
    rows: list[list[str]] = []
    before: dict[str, float] = {}
    for size in sizes:
        taken = _ours(size)
        factors = {work: times(taken[work] / before[work]) if before else "" for work in WORKS}
        cells = [f"{duration(taken[work])}  {factors[work]:>6}".rstrip() for work in WORKS]
        rows.append([f"{size:,}", *cells])
        before = taken
    return Table(
        "Chains of growing size",
        "Affine and LIF nodes in turns, 8 features. Behind each time: how many times as long as "
        "for the size above.",
        ("nodes", *WORKS),
        rows,
    )


def beside_peers(sizes: Sequence[int]) -> Table:
    """The same chains through the tools that there are."""
    rows = [row for size in sizes for row in _beside_peers(size)]
    return Table(
        "Chains beside the peers",
        "SpikingJelly's own `nir_exchange` with nirtorch, nirtorch alone with layers that take no "
        "time to make, and nir's own reader and writer (gzip, and without compression).",
        ("work", "nodes", "peer", "ours", "ratio"),
        rows,
    )


def _ours(size: int) -> dict[str, float]:
    repeats = 3 if size <= 1000 else 1
    with tempfile.TemporaryDirectory() as folder:
        works = _our_works(size, Path(folder) / "chain.nir")
        return {work: seconds(works[work], repeats) for work in WORKS}


def _our_works(size: int, path: Path) -> dict[str, Work]:
    """What we do with a chain, in this order: it is written before it is read."""
    graph, net = chain_graph(size), chain_network(size)
    return {
        "export": lambda: spikingjelly.export_to_nir(net, EXAMPLE, dt=DT),
        "write": lambda: files.write(path, graph),
        "read": lambda: files.read(path),
        "import": lambda: spikingjelly.import_from_nir(graph, dt=DT),
    }


def _beside_peers(size: int) -> Iterator[list[str]]:
    graph, net = chain_graph(size), chain_network(size)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        path = Path(folder) / "theirs.nir"
        ours = _our_works(size, Path(folder) / "ours.nir")
        taken = {work: seconds(ours[work], 3) for work in WORKS}
        peers: list[tuple[str, str, Work]] = [
            ("export", "spikingjelly", lambda: spikingjelly_s_own.export_to_nir(net, EXAMPLE)),
            ("write", "nir.write", lambda: nir.write(path, graph)),
            ("write", "nir.write, None", lambda: nir.write(path, graph, compression=None)),
            ("read", "nir.read", lambda: nir.read(path, type_check=False)),
            (
                "import",
                "nirtorch",
                lambda: nirtorch.nir_to_torch(graph, _TRIVIAL),
            ),
            ("import", "spikingjelly", lambda: spikingjelly_s_own.import_from_nir(graph, DT)),
        ]
        for work, peer, run in peers:
            theirs = seconds(run)
            ratio = times(theirs / taken[work])
            yield [f"{work}, {peer}", f"{size:,}", duration(theirs), duration(taken[work]), ratio]


def _by_nirtorch(graph: nir.NIRGraph) -> nn.Module:
    """A module of layers that take no time to make, so that what is left is nirtorch's own."""
    return nirtorch.nir_to_torch(graph, _TRIVIAL)


_TRIVIAL: dict[type[nir.NIRNode], Callable[[nir.NIRNode], nn.Module]] = {
    nir.Affine: lambda node: nn.Identity(),
    nir.LIF: lambda node: nn.Identity(),
}

"""How time grows with the number of nodes; beside the peers, as far as they go."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import nir
import nirtorch
import torch
from spikingjelly.activation_based import nir_exchange as spikingjelly_s_own
from torch import nn

import nir_exchange
from nir_exchange import spikingjelly
from tests.benchmarks.networks import chain_graph, chain_network
from tests.benchmarks.tables import Row, Table, beside, duration, times
from tests.benchmarks.timing import PROCESSOR, seconds

DT = 1e-4
EXAMPLE = torch.zeros(1, 8)
WORKS = ("export", "write", "read", "import")

Work = Callable[[], object]


def growth(sizes: Sequence[int]) -> Table:
    """Our own times for chains of growing sizes, and the factor that each ten times costs."""
    rows: list[list[str]] = []
    before: dict[str, float] = {}
    for size in sizes:
        taken = _ours(size, min(9, 50_000 // size) or 1)
        factors = {work: times(taken[work] / before[work]) if before else "" for work in WORKS}
        rows.append([f"{size:,}", *(f"{duration(taken[w])} {factors[w]:>7}" for w in WORKS)])
        before = taken
    return Table(
        "Chains of growing size",
        "Affine and LIF nodes in turns, 8 features. Processor time, and behind it how many times "
        "as long as for the size above, which has a tenth of the nodes.",
        ("nodes", *WORKS),
        rows,
    )


@dataclass(frozen=True)
class Peer:
    """A tool that does a piece of work on a chain, and the longest that it is given."""

    work: str
    name: str
    run: Work
    longest: int = 1_000_000


def beside_peers(sizes: Sequence[int]) -> Table:
    """The same chains through the tools that there are."""
    measured = [found for size in sizes for found in _beside_peers(size)]
    largest = max(sizes)
    return Table(
        "Chains beside the peers",
        "SpikingJelly's own `nir_exchange` with nirtorch; nirtorch alone with layers that take no "
        "time to make, up to 1,000 nodes; and nir's own reader and writer. Processor time.",
        ("work", "nodes", "peer", "ours", "ratio"),
        [
            [f"{p.work}, {p.name}", f"{size:,}", duration(theirs), duration(ours), ratio]
            for p, size, theirs, ours in measured
            for ratio in [times(theirs / ours)]
        ],
        [
            _short(p, size, t, o)
            for p, size, t, o in measured
            if size == largest and p.name in SHORT
        ],
    )


SHORT = ("spikingjelly", "nir.write", "nir.read")
"""The peers that stand in the short table."""


def _short(peer: Peer, size: int, theirs: float, ours: float) -> Row:
    return beside(f"{peer.work} a chain of {size:,} nodes ({peer.name})", theirs, ours)


def _ours(size: int, repeats: int) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        works = _our_works(size, Path(folder) / "chain.nir")
        return {work: seconds(works[work], repeats, PROCESSOR) for work in WORKS}


def _our_works(size: int, path: Path) -> dict[str, Work]:
    """What we do with a chain, in this order: it is written before it is read."""
    graph, net = chain_graph(size), chain_network(size)
    return {
        "export": lambda: spikingjelly.export_to_nir(net, EXAMPLE, dt=DT),
        "write": lambda: nir_exchange.write(path, graph),
        "read": lambda: nir_exchange.read(path),
        "import": lambda: spikingjelly.import_from_nir(graph, dt=DT),
    }


def _beside_peers(size: int) -> Iterator[tuple[Peer, int, float, float]]:
    """Each peer, the number of nodes, its seconds and ours."""
    taken = _ours(size, 3)
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for peer in _peers(size, Path(folder) / "theirs.nir"):
            if size <= peer.longest:
                yield peer, size, seconds(peer.run, 1, PROCESSOR), taken[peer.work]


def _peers(size: int, path: Path) -> Iterator[Peer]:
    graph, net = chain_graph(size), chain_network(size)
    own = spikingjelly_s_own
    yield Peer("export", "spikingjelly", lambda: own.export_to_nir(net, EXAMPLE))
    yield Peer("write", "nir.write, no gzip", lambda: nir.write(path, graph, compression=None))
    yield Peer("write", "nir.write", lambda: nir.write(path, graph))
    yield Peer("read", "nir.read", lambda: nir.read(path))
    yield Peer("import", "nirtorch", lambda: nirtorch.nir_to_torch(graph, _TRIVIAL), longest=1_000)
    yield Peer("import", "spikingjelly", lambda: own.import_from_nir(graph, DT))


_TRIVIAL: Mapping[type[nir.NIRNode], Callable[[nir.NIRNode], nn.Module]] = {
    nir.Affine: lambda node: nn.Identity(),
    nir.LIF: lambda node: nn.Identity(),
}
"""Layers that take no time to make, so that what is left is nirtorch's own."""

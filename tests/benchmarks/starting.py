"""What it costs to import the package and its converters, in fresh processes."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import nir_exchange
from tests.benchmarks.networks import chain_graph
from tests.benchmarks.tables import Table, duration
from tests.benchmarks.timing import Contender, children, fastest

PEER = "from spikingjelly.activation_based import nir_exchange"

CODES = (
    "pass",
    "import nir_exchange",
    "import nir_exchange; nir_exchange.read(path)",
    "import nir; nir.read(path)",
    "import torch",
    "import torch; from spikingjelly.activation_based import layer, neuron",
    PEER,
    "from nir_exchange import spikingjelly",
)


def imports() -> Table:
    """Python's own start, and what each import adds to it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.nir"
        nir_exchange.write(path, chain_graph(4))
        taken = fastest([Contender(code, _run(code, path), 3) for code in CODES], children)
    return Table(
        "Importing",
        "Each in a Python of its own; the first is Python alone. `path` holds four nodes.",
        ("code", "processor time"),
        [[f"`{code}`", duration(time)] for code, time in taken.items()],
    )


def _run(code: str, path: Path) -> Callable[[], object]:
    program = f"path = {str(path)!r}\n{code}"
    return lambda: subprocess.run([sys.executable, "-c", program], check=True)

"""What a large model takes of memory, on its way out and in: each step in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.benchmarks.tables import Table, megabytes

PRELUDE = """
import gc, json, resource, sys
import numpy as np, nir, torch
from nir_exchange import spikingjelly
from nirgen.runtime import files
from spikingjelly.activation_based import layer

path, weights, width = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])

def network():
    with torch.device("meta"):
        layers = [layer.Linear(width, width, bias=False) for _ in range(weights)]
    for k, made in enumerate(layers):
        numbers = torch.arange(width * width, dtype=torch.float32).reshape(width, width)
        made.weight = torch.nn.Parameter(numbers)
    return torch.nn.Sequential(*layers)

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
"""

STEPS = {
    "export, and save": """
held = network()
before = peak()
spikingjelly.export_to_nir(held, torch.zeros(1, width), save_path=path, dt=1e-4)
""",
    "save without compression by nir.write": """
held = spikingjelly.export_to_nir(network(), torch.zeros(1, width), dt=1e-4)
before = peak()
nir.write(path + ".theirs", held, compression=None)
""",
    "read": """
before = peak()
held = files.read(path)
""",
    "read by nir.read": """
before = peak()
held = nir.read(path, type_check=False)
""",
    "import from the file": """
before = peak()
held = spikingjelly.import_from_nir(path, dt=1e-4)
""",
    "import, and use one of the weights": """
before = peak()
held = spikingjelly.import_from_nir(path, dt=1e-4)
next(held.parameters()).sum()
""",
    "import, and run": """
before = peak()
held = spikingjelly.import_from_nir(path, dt=1e-4)
held(torch.zeros(1, width))
""",
}


def peaks(weights: int, width: int) -> Table:
    """The most memory that each step has beyond what was there before."""
    raw = 4 * weights * width**2
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for step, code in STEPS.items():
            more = _peak(code, Path(folder) / "model.nir", weights, width)
            rows.append([step, megabytes(more), f"{100 * more / raw:.1f} %"])
    return Table(
        f"Peak memory of a model of {megabytes(raw)}",
        f"{weights} weights of {width} x {width}. Resident memory at its highest, mapped pages of "
        "the file included, beyond what the process had before the step.",
        ("step", "more memory", "of the weights"),
        rows,
    )


def _peak(code: str, path: Path, weights: int, width: int) -> int:
    program = f"{PRELUDE}\n{code}\nprint(json.dumps(peak() - before))"
    command = [sys.executable, "-c", program, str(path), str(weights), str(width)]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(json.loads(finished.stdout.splitlines()[-1]))

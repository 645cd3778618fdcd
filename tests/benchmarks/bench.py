"""`make bench`: speed and memory beside the peers and the machine's limits.

It prints tables, and writes them to `results.md` beside this file. Each table is measured in a
process of its own. No test asserts a time; what a test can count (calls, copies, bytes) it counts.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks import chains, memory, running, weights
from tests.benchmarks.tables import Table

RESULTS = Path(__file__).with_name("results.md")
PACKAGES = ("torch", "spikingjelly", "nir", "nirtorch", "h5py", "numpy")

SECTIONS: Mapping[str, Callable[[], Table]] = {
    "peers": partial(chains.beside_peers, (400, 1_000)),
    "growth": partial(chains.growth, (100, 1_000, 10_000, 100_000)),
    "saving": partial(weights.saving, 4, 4096),
    "loading": partial(weights.loading, 4, 4096),
    "memory": partial(memory.peaks, 8, 8192),
    "shapes": partial(running.shapes, ((1, 1), (1, 4), (16, 4))),
    "forward": partial(running.forward, 32, 16, 25),
    "recurrent": partial(running.recurrent, 64, 16, 15),
}

SLOW: Mapping[str, Callable[[], Table]] = {
    "peers": partial(chains.beside_peers, (400, 1_000, 2_000)),
}
"""Sections in which the peers go further than ten minutes allow."""


def main() -> None:
    """Measure, print and write what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__, prog="bench")
    parser.add_argument("--section", choices=SECTIONS, help="measure one, and print it as JSON")
    parser.add_argument("--slow", action="store_true", help="take the peers to 2,000 nodes")
    arguments = parser.parse_args()
    if arguments.section:
        sections = {**SECTIONS, **SLOW} if arguments.slow else SECTIONS
        print(json.dumps(asdict(sections[arguments.section]())))
        return
    texts = [heading()]
    for section in SECTIONS:
        texts.append(_measured(section, arguments.slow).markdown())
        print(texts[-1], flush=True)
    RESULTS.write_text("\n".join(texts), encoding="utf-8")


def _measured(section: str, slow: bool) -> Table:
    """One section's table, from a process of its own."""
    command = [sys.executable, "-m", "tests.benchmarks.bench", "--section", section]
    command += ["--slow"] if slow else []
    finished = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return Table(**json.loads(finished.stdout.splitlines()[-1]))


def heading() -> str:
    """What the results are, and of what machine."""
    packages = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    return (
        "# Speed and memory\n\n"
        "Written by `make bench`. Times are those of the fastest of several runs; contenders take "
        "turns in one process.\n\n"
        f"- {_processor()}, {os.cpu_count()} cores, {_memory()}, {platform.system()}\n"
        f"- Python {platform.python_version()}, {packages}\n"
    )


def _processor() -> str:
    """The processor's model, as the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def _memory() -> str:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return f"{pages / 2**30:.0f} GiB of memory"


if __name__ == "__main__":
    main()

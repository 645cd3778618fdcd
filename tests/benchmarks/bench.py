"""Speed and memory beside the peers and the machine's limits: `make bench`.

It prints tables, and writes them to `results.md` beside this file. Each table is measured in a
process of its own. No test asserts a time; what a test can count (calls, copies, bytes) it counts.
"""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path

from tests.benchmarks import chains, memory, running, starting, weights
from tests.benchmarks.processes import alone
from tests.benchmarks.tables import SHORT, Table, markdown

RESULTS = Path(__file__).with_name("results.md")
PACKAGES = ("torch", "spikingjelly", "nir", "nirtorch", "h5py", "numpy")

Section = Callable[[], Table]

WHOLE: Mapping[str, Section] = {
    "growth": partial(chains.growth, (100, 1_000, 10_000, 100_000)),
    "peers": partial(chains.beside_peers, (400, 1_000, 2_000)),
    "saving": partial(weights.saving, 4, 4096),
    "loading": partial(weights.loading, 4, 4096),
    "memory": partial(memory.peaks, 8, 8192),
    "shapes": partial(running.shapes, ((1, 1), (1, 4), (16, 4))),
    "forward": partial(running.forward, 32, 16, 25),
    "recurrent": partial(running.recurrent, 64, 16, 25),
    "imports": starting.imports,
}
"""What results.md says."""

QUICK: Mapping[str, Section] = {
    **WHOLE,
    "peers": partial(chains.beside_peers, (400,)),
    "growth": partial(chains.growth, (100, 1_000, 10_000)),
    "saving": partial(weights.saving, 4, 2048),
    "loading": partial(weights.loading, 4, 2048),
    "memory": partial(memory.peaks, 4, 4096),
    "shapes": partial(running.shapes, ((1, 1), (4, 1))),
}
"""The same without what takes minutes."""


def main() -> None:
    """Measure, print, and write down the whole."""
    parser = argparse.ArgumentParser(description=__doc__, prog="bench")
    parser.add_argument("--quick", action="store_true", help="leave out what takes minutes")
    parser.add_argument("sections", nargs="*", help=f"of {', '.join(WHOLE)}; all if none is named")
    arguments = parser.parse_args()
    sections = QUICK if arguments.quick else WHOLE
    unknown = set(arguments.sections) - set(sections)
    if unknown:
        parser.error(f"there is no section {', '.join(sorted(unknown))}")
    tables = []
    for name in arguments.sections or sections:
        tables.append(alone(sections[name]))
        print(tables[-1].markdown(), flush=True)
    if not arguments.quick and not arguments.sections:
        RESULTS.write_text(report(tables), encoding="utf-8")
        print(f"{RESULTS.name} is written")


def report(tables: Sequence[Table]) -> str:
    """What results.md says."""
    packages = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    heading = (
        "# Speed and memory\n\n"
        "Written by `make bench`. Times are those of the fastest of several runs, in which all "
        "take turns in one process. A ratio is how many times as long it takes others.\n\n"
        f"- {_processor()}, {os.cpu_count()} cores, {_memory()}, {platform.system()}\n"
        f"- Python {platform.python_version()}, {packages}\n"
    )
    short = markdown(SHORT, [row for table in tables for row in table.short])
    return "\n".join([heading, f"{short}\n", *(table.markdown() for table in tables)])


def _processor() -> str:
    """The processor's model, as the system calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())


def _memory() -> str:
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return f"{pages / 2**30:.0f} GiB of memory"


if __name__ == "__main__":
    main()

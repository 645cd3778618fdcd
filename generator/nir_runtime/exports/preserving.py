"""A network stays as it was found, whatever its forward did to it."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

from nir_runtime.exports.snapshots import Snapshot


@contextlib.contextmanager
def preserved(
    net: nn.Module, is_executed: Callable[[nn.Module], bool], packages: Iterable[str] = ()
) -> Iterator[Snapshot]:
    """Inside, a forward of `net` may run; afterwards all is as before, also on failure.

    Restored are all modules' attributes, the contents of their dictionaries, lists and deques
    (parameters, buffers, memories, hooks); of modules whose forward is executed also the numbers
    in their tensors, and whatever objects their code reaches; and the states of the random numbers
    of torch, NumPy and Python. Gives the snapshot that is restored.
    """
    before = Snapshot(net, is_executed, packages)
    with same_random_numbers():
        try:
            yield before
        finally:
            before.restore()


@contextlib.contextmanager
def same_random_numbers() -> Iterator[None]:
    """Random numbers drawn inside are drawn again afterwards."""
    gpus = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()  # type: ignore[no-untyped-call]
    python, arrays = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=gpus):
        try:
            yield
        finally:
            if not same_state(arrays, np.random.get_state()):
                np.random.set_state(arrays)
            if random.getstate() != python:
                random.setstate(python)


def same_state(a: Any, b: Any) -> bool:
    """Whether NumPy would draw the same numbers in two states of its."""
    return all(map(np.array_equal, a, b))

"""Networks that do something besides their layers, each with what an export must make of it."""

from __future__ import annotations

import contextlib
import inspect
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

Expect = Literal["refused", "equal", "either"]
Mode = Literal["steps", "sequences", "afresh"]

STEPS, BATCH, SIZE = 12, 2, 4


@dataclass(frozen=True)
class Attack:
    """A network, and what an export of it must be.

    Attributes:
        name: `class: what it does`.
        framework: the converter, as `nir_exchange` calls it.
        expect: "refused", with `names` in the message; "equal", the network's own numbers; or
            "either" of them, where only wrong numbers are wrong.
        names: what the message of a refusal must contain.
        mode: how the network runs over time: a step a call ("steps"), or several calls with
            sequences that go on from each other ("sequences") or start anew ("afresh").
        train: whether the network is in training mode.
        options: of the export.
        looked_into: whether what the export leaves behind is looked for, too.
        build: makes the network and its input [T, N, *]; or yields them, and clears up.
    """

    name: str
    framework: str
    expect: Expect
    build: Callable[[], Any]
    names: tuple[str, ...] = ()
    mode: Mode = "steps"
    train: bool = False
    options: dict[str, Any] = field(default_factory=dict)
    looked_into: bool = True

    @contextlib.contextmanager
    def built(self) -> Iterator[tuple[nn.Module, Tensor]]:
        """The network and its input, as they are at each building."""
        torch.manual_seed(0)
        random.seed(0)
        np.random.seed(0)
        default = torch.get_default_dtype()
        torch.set_default_dtype(torch.float64)
        built = self.build() if not inspect.isgeneratorfunction(self.build) else None
        try:
            if built is None:
                with contextlib.contextmanager(self.build)() as (net, x):
                    yield net.train(self.train), x
            else:
                net, x = built
                yield net.train(self.train), x
        finally:
            torch.set_default_dtype(default)


ATTACKS: dict[str, Attack] = {}


def attack(
    name: str, framework: str, expect: Expect, **options: Any
) -> Callable[[Callable[[], Any]], Callable[[], Any]]:
    """Register what builds a network and its input [T, N, *]."""

    def register(build: Callable[[], Any]) -> Callable[[], Any]:
        full = f"{name} [{framework}]"
        if full in ATTACKS:
            raise ValueError(f"{full} is there already")
        ATTACKS[full] = Attack(full, framework, expect, build, **options)
        return build

    return register


def noise(*features: int) -> Tensor:
    """An input that makes networks spike, [T, N, *features]; the same at each call."""
    source = torch.Generator().manual_seed(3)
    shape = (STEPS, BATCH, *(features or (SIZE,)))
    return torch.randn(*shape, generator=source, dtype=torch.float64) * 3

"""What became of an attack: the network's own numbers, and those of its graph."""

from __future__ import annotations

import contextlib
import importlib
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import nir
import torch
from torch import Tensor

from nir_exchange import reference
from nir_runtime.errors import ExportRefused, InvalidArgument, NirExchangeError
from tests.attacks.corpus import Attack
from tests.attacks.residue import residue

DT = 1e-3
Outcome = Literal["REFUSED", "EQUAL", "WRONG", "ERROR", "BROKEN", "ASLEEP"]


@dataclass(frozen=True)
class Verdict:
    """What became of an attack.

    Attributes:
        outcome: "REFUSED"; exported, with the numbers "EQUAL" or "WRONG"; an "ERROR" that no user
            should see; "BROKEN" if the network itself doesn't run; "ASLEEP" if it says nothing.
        message: of the refusal or error, or where the numbers differ.
        left: what the export changed in the network and its surroundings.
    """

    outcome: Outcome
    message: str = ""
    left: tuple[str, ...] = ()

    def holds(self, attack: Attack) -> bool:
        """Whether it is what the attack expects."""
        if self.left:
            return False
        if self.outcome == "REFUSED":
            named = all(name in self.message for name in attack.names)
            return attack.expect == "either" or (attack.expect == "refused" and named)
        return self.outcome == "EQUAL" and attack.expect in ("equal", "either")


def judged(attack: Attack) -> Verdict:
    """Run a network, export its twin, and run the graph."""
    with quiet():
        try:
            truth = _truth(attack)
        except Exception as error:
            return Verdict("BROKEN", f"{type(error).__name__}: {error}")
        with attack.built() as (net, x):
            try:
                example = _example(attack, x)
                with residue(net if attack.looked_into else None, example) as left:
                    graph = _exported(attack, net, example)
            except (ExportRefused, InvalidArgument) as refusal:
                return Verdict("REFUSED", str(refusal), tuple(left))
            except NirExchangeError as error:
                found: Outcome = "REFUSED" if "verify" in attack.options else "ERROR"
                return Verdict(found, f"{type(error).__name__}: {error}", tuple(left))
            except Exception as error:
                return Verdict("ERROR", f"{type(error).__name__}: {error}", tuple(left))
        try:
            actual = _meant(attack, graph, x)
        except Exception as error:
            return Verdict("ERROR", f"import: {type(error).__name__}: {error}", tuple(left))
        return _compared(truth, actual, tuple(left))


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Inside, nothing is warned of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _example(attack: Attack, x: Tensor) -> Tensor:
    return (x[0] if attack.mode == "steps" else _calls(attack, x)[0]).clone()


def _exported(attack: Attack, net: Any, example: Tensor) -> nir.NIRGraph:
    converter = importlib.import_module(f"nir_exchange.{attack.framework}")
    graph: nir.NIRGraph = converter.export_to_nir(net, example, **{"dt": DT, **attack.options})
    return graph


def _calls(attack: Attack, x: Tensor) -> tuple[Tensor, ...]:
    """The sequences that a network is called with, one after the other."""
    return x.split(len(x) // (2 if attack.mode == "afresh" else 4))


def _truth(attack: Attack) -> Tensor:
    """What the network itself gives."""
    with attack.built() as (net, x), torch.no_grad():
        if attack.mode != "steps":
            return torch.cat([_first(net(part)) for part in _calls(attack, x.clone())])
        if attack.framework == "norse":
            return _handed_on(net, x.clone())
        return torch.stack([_first(net(step)).clone() for step in x.clone()])


def _handed_on(net: Any, x: Tensor) -> Tensor:
    """A network whose caller keeps the state."""
    outputs, state = [], None
    for step in x:
        y, state = net(step, state)
        outputs.append(y)
    return torch.stack(outputs)


def _meant(attack: Attack, graph: nir.NIRGraph, x: Tensor) -> Tensor:
    """What the graph gives."""
    dt = attack.options.get("dt", DT)
    parts = _calls(attack, x) if attack.mode == "afresh" else (x,)
    outputs = []
    with torch.no_grad():
        for part in parts:
            oracle = reference.import_from_nir(graph, dt=dt, dtype=torch.float64)
            outputs += [_first(oracle(step)) for step in part.double()]
    return torch.stack(outputs)


def _first(output: Any) -> Tensor:
    result: Tensor = output[0] if isinstance(output, tuple) else output
    return result


def _compared(truth: Tensor, actual: Tensor, left: tuple[str, ...]) -> Verdict:
    if truth.shape != actual.shape:
        return Verdict("WRONG", f"shape {tuple(actual.shape)}, not {tuple(truth.shape)}", left)
    apart = (truth.double() - actual.double()).abs()
    scale = truth.double().abs().clamp(min=1)
    if not bool((apart <= 1e-9 * scale).all()):
        steps = (~(apart <= 1e-9 * scale)).reshape(len(truth), -1).any(dim=1)
        (first, *_) = steps.nonzero().flatten().tolist()
        return Verdict("WRONG", f"{apart.max():.3g} apart, first at step {first}", left)
    if len(truth.unique()) < 2 or int((truth != 0).sum()) < 3:
        return Verdict("ASLEEP", "the network says nothing", left)
    return Verdict("EQUAL", "", left)

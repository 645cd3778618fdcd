"""The reference computes what `nir.yaml` states, to the last bit: modules beside formulas."""

from __future__ import annotations

import math
import random
from collections.abc import Iterator

import pytest
import torch

from nir_runtime.contract import dynamics, reference
from nirgen.mapping import load_shipped
from nirgen.mapping.expressions import evaluate
from nirgen.mapping.model import Node

NODES = load_shipped().nodes
NEURONS = [name for name, node in NODES.items() if node.is_neuron]
COUNT, STEPS, DT = 24, 120, 1e-3


def resets() -> Iterator[tuple[str, str | None]]:
    for name in NEURONS:
        yield name, None
        yield from ((name, reset) for reset in NODES[name].resets)


def drawn(node: Node, source: random.Random) -> list[dict[str, float]]:
    """Fields of some neurons; time constants of a few steps, thresholds that are reached."""
    ranges = {"tau": (1.2, 9), "r": (0.5, 4), "v_threshold": (0.1, 1), "w_in": (1, 4)}
    seconds = {name for name, field in node.fields.items() if field.unit == "s"}

    def value(name: str) -> float:
        low, high = ranges.get("tau" if name in seconds else name, (-0.5, 0.1))
        number = source.uniform(low, high)
        return number * DT if name in seconds else number

    neurons = [{name: value(name) for name in node.fields} for _ in range(COUNT)]
    if "tau" not in node.fields and "tau_mem" not in node.fields:  # integrators count per second
        neurons = [{**neuron, "r": neuron["r"] / DT} for neuron in neurons]
    return neurons


@pytest.mark.parametrize(("name", "reset"), list(resets()))
@pytest.mark.parametrize("module", [reference, dynamics])
def test_a_neuron(name: str, reset: str | None, module: object) -> None:
    node, source = NODES[name], random.Random(f"{name} {reset}")
    step, neurons = node.step_with(reset), drawn(NODES[name], source)
    fields = {f: torch.tensor([n[f] for n in neurons], dtype=torch.float64) for f in node.fields}
    options = {} if reset is None else {"reset_by": reset}
    made = getattr(module, name)(**fields, dt=DT, dtype=torch.float64, **options)
    state: tuple[torch.Tensor | None, ...] = (None,) * len(made.memory)
    values = [{**neuron, "dt": DT} for neuron in neurons]
    for held in values:
        held |= {variable: evaluate(start, held) for variable, start in node.start.items()}
    fired = 0.0
    for _ in range(STEPS):
        x = [source.gauss(0.4, 1) for _ in neurons]
        for held, number in zip(values, x, strict=True):
            held["x"] = number
            for line in step.lines:
                held[line.name] = evaluate(line.formula, held)
        inputs = torch.tensor([x], dtype=torch.float64)
        if module is reference:
            y = made(inputs)
        else:
            y, *after = made.step(inputs, *state)
            state = tuple(after)
            for variable, now in zip(made.memory, after, strict=True):
                assert now.flatten().tolist() == [held[variable] for held in values]
        assert y.flatten().tolist() == [float(held["y"]) for held in values]
        fired += float(y.sum())
    assert math.isfinite(fired)
    assert fired > COUNT or not node.fires


@pytest.mark.parametrize("name", ["Threshold", "Scale", "Linear", "Affine"])
def test_without_a_state(name: str) -> None:
    node, source = NODES[name], random.Random(name)
    for _ in range(COUNT):
        values = {field: source.gauss(0, 1) for field in node.fields} | {"x": source.gauss(0, 1)}
        shaped = {"weight": (1, 1), "bias": (1,)}
        tensors = {f: torch.full(shaped.get(f, (1,)), values[f]).double() for f in node.fields}
        tensors = {f: t.fill_(values[f]) for f, t in tensors.items()}
        made = getattr(reference, name)(**tensors, dtype=torch.float64)
        y = made(torch.tensor([[values["x"]]], dtype=torch.float64))
        (line,) = node.step.lines
        assert y.item() == float(evaluate(line.formula, values))

"""Running a whole graph in an imported module, and comparing what came out."""

from __future__ import annotations

from collections.abc import Mapping

import nir
import numpy as np
import numpy.typing as npt
import torch
from torch import nn

Array = npt.NDArray[np.float64]


def outputs(
    module: nn.Module, graph: nir.NIRGraph, inputs: Mapping[str, Array], step_mode: str
) -> dict[str, Array]:
    """What each Output gives, [T, N, *features]: one step at a time or all at once.

    A module takes its inputs in the order of their names.
    """
    x = [torch.from_numpy(inputs[name]) for name in sorted(inputs)]
    names = sorted(name for name, node in graph.nodes.items() if isinstance(node, nir.Output))
    with torch.no_grad():
        if step_mode == "m":
            result = _by_name(module(*x)[0], names)
            return {name: values.numpy() for name, values in result.items()}
        every = [_by_name(module(*step)[0], names) for step in zip(*x, strict=True)]
    return {name: torch.stack([step[name] for step in every]).numpy() for name in names}


def _by_name(output: object, names: list[str]) -> dict[str, torch.Tensor]:
    if isinstance(output, torch.Tensor):
        (name,) = names
        return {name: output}
    assert isinstance(output, dict)
    assert sorted(output) == names
    return output


def assert_close(actual: Mapping[str, Array], expected: Mapping[str, Array]) -> None:
    """The same Outputs, equal to nine digits of the largest value so far; so spikes are equal."""
    assert set(actual) == set(expected)
    for name, values in expected.items():
        assert np.isfinite(values).all(), f"{name}: the test's own numbers run away"
        assert actual[name].shape == values.shape, name
        largest = np.abs(values).reshape(len(values), -1).max(axis=1)
        scale = np.maximum(1.0, np.maximum.accumulate(largest))
        apart = np.abs(actual[name] - values).reshape(len(values), -1).max(axis=1)
        worst = int(np.argmax(apart / scale))
        assert apart[worst] <= 1e-9 * scale[worst], f"{name}: {apart[worst]:g} at step {worst}"


def needed(graph: nir.NIRGraph) -> set[str]:
    """The names of the Inputs, and of all nodes that an Output depends on."""
    ends = [n for n, node in graph.nodes.items() if isinstance(node, (nir.Input, nir.Output))]
    found = set(ends)
    while more := {s for s, t in graph.edges if t in found} - found:
        found |= more
    return found

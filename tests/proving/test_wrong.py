"""Wrong mappings are refused, with numbers to check that by, and the formula that is right."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from nirgen import mapping
from nirgen.mapping.problems import Problem

MAPPINGS = Path(__file__).parents[2] / "mappings"
EXAMPLES = re.compile(r"^examples:\n(  .*\n)+", re.MULTILINE)


def problems(tmp_path: Path, file: str, *changes: tuple[str, str]) -> tuple[Problem, ...]:
    """What is wrong with a mapping after some changes; its examples would notice, too."""
    folder, framework = tmp_path / "mappings", file.partition("/")[0]
    shutil.copytree(MAPPINGS / framework, folder / framework)
    path = folder / file
    text = EXAMPLES.sub("", path.read_text(encoding="utf-8"))
    for old, new in changes:
        assert old in text, f"{file} has no {old!r}"
        text = text.replace(old, new, 1)
    path.write_text(text, encoding="utf-8")
    try:
        mapping.load(folder)
    except mapping.MappingError as error:
        return error.problems
    return ()


LIF, LEAKY = "spikingjelly/lif_node.yaml", "snntorch/leaky.yaml"
CELL = "norse/lif_cell.yaml"
MENDED = {
    "a factor dt dropped": (LIF, "tau: tau * dt", "tau: tau", "`tau: dt * tau`"),
    "a factor dt dropped, of a decay": (
        LEAKY, "tau: dt / (1 - beta)", "tau: 1 / (1 - beta)", "`tau: dt / (1 - beta)`",
    ),
    "a factor dt dropped, behind a synapse": (
        CELL, "w_in: 1 / (tau_syn_inv * dt)", "w_in: 1 / tau_syn_inv",
        "`w_in: 1 / (dt * tau_syn_inv)`",
    ),
    "2 for 1": (LIF, "bind: {r: 1}", "bind: {r: 2}", "`r: 1`"),
    "a step less": (LIF, "bind: {r: tau}", "bind: {r: tau - 1}", "`r: tau`"),
    "a gain that is left out": (LEAKY, "r: 1 / (1 - beta)", "r: 1", "`r: 1 / (1 - beta)`"),
    "another decay": (
        "spikingjelly/cuba_lif_node.yaml", "dt / (1 - v_decay)", "dt / v_decay",
        "`tau_mem: dt / (1 - v_decay)`",
    ),
    "a gain per second": ("spikingjelly/if_node.yaml", "r: 1 / dt", "r: 1", "`r: 1 / dt`"),
    "a learned tau": (
        "spikingjelly/parametric_lif_node.yaml", "tau: init_tau * dt", "tau: init_tau",
        "`tau: init_tau * dt`",
    ),
    "leak and reset exchanged": (
        CELL,
        "  v_leak: v_leak\n  v_threshold: v_th\n  v_reset: v_reset\n",
        "  v_leak: v_reset\n  v_threshold: v_th\n  v_reset: v_leak\n",
        "`v_leak: v_leak` and `v_reset: v_reset`",
    ),
    "in a cycle": ("snntorch/rleaky.yaml", "r: 1 / (1 - beta)", "r: beta", "`r: 1 / (1 - beta)`"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", MENDED)
def test_the_right_formula_is_told(wrong: str, tmp_path: Path) -> None:
    file, old, new, right = MENDED[wrong]
    problem = next(p for p in problems(tmp_path, file, (old, new)) if "compute" in p.what)
    lines = problem.mend.splitlines()
    assert "does not compute the" in problem.what
    assert lines[2].strip().startswith("before the step: ")
    assert lines[3].strip().startswith("the layer then gives y = ")
    assert lines[4].strip().startswith("the node then gives  y = ")
    assert lines[-1].strip() == f"{right} would be right"
    text = (tmp_path / "mappings" / file).read_text(encoding="utf-8")
    field = right[1:].partition(":")[0]
    assert text.splitlines()[problem.at.line - 1][problem.at.column - 1 :].startswith(field)


REFUSED = {
    "a start": (LIF, "start: {v: v_reset}", "start: {v: 0}", "v starts at 0"),
    "a start that is NIR's": (
        "spikingjelly/simple_lif_node.yaml", "start: {v: 0}", "start: {v: v_reset}",
        "v starts where NIR has it",
    ),
    "a start beside one that is said to be elsewhere": (
        "norse/lif.yaml", "float32(v_leak), i: 0}", "float32(v_leak), i: 1}", "i starts at 1",
    ),
    "a gain": (LIF, "gain: r / (", "gain: dt * r / (", "does not compute the LIF of `normalize`"),
    "a shift": (LIF, "shift: (v_leak - v_reset)", "shift: v_leak / 1", "of `normalize`"),
    "a start behind a gain": (
        LIF, "  start: {v: (v_leak - v_reset) / (v_threshold - v_reset)}", "  start: {v: 0}",
        "of `normalize`",
    ),
    "a guard": (
        "spikingjelly/cuba_lif_node.yaml", "v_threshold > v_reset and v_leak == v_reset",
        "v_threshold > v_reset", "does not compute the CubaLIF of `normalize`",
    ),
    "a domain behind a gain": (
        CELL, "tau_syn_inv: 1 / tau_syn\n", "tau_syn_inv: 0 / tau_syn\n",
        "makes layers of no CubaLIF",
    ),
    "a reset": (
        LEAKY, "annotate: {reset: subtract_next}", "annotate: {reset: subtract}",
        "with reset 'subtract' that it becomes",
    ),
    "a reset that there is not": (
        LEAKY, "annotate: {reset: subtract_next}", "annotate: {reset: subtract_late}",
        "nir.yaml has no reset `subtract_late`",
    ),
    "a relation of states": (
        CELL, "i / (1 - dt * tau_syn_inv)", "i", "does not compute the CubaLIF",
    ),
    "a delayed reset": (
        LEAKY, '  v: 0 if mem > threshold and reset_mechanism == "zero" and reset_delay else mem',
        "  v: mem", "does not compute the",
    ),
    "states exchanged": (
        "snntorch/synaptic.yaml", "state: {i: syn, v: mem}", "state: {i: mem, v: syn}",
        "does not compute the CubaLIF",
    ),
    "an edge of a domain": (
        "spikingjelly/cuba_lif_node.yaml", "0 <= v_decay < 1", "0 <= v_decay <= 1",
        "`dt / (1 - v_decay)` has no finite value for dt = ",
    ),
    "cases that overlap at an edge": (
        LEAKY, 'beta < 1 and reset_mechanism != "none"', 'beta <= 1 and reset_mechanism != "none"',
        "overlap",
    ),
    "a hole between cases, at an edge": (
        LEAKY, 'when: beta == 1 and reset_mechanism == "none"',
        'when: beta == 2 and reset_mechanism == "none"', "no case of `leak` applies to beta = 1",
    ),
    "a reset of a node that has none": (
        LEAKY, '    - when: reset_mechanism == "none"\n',
        '    - when: reset_mechanism == "none"\n      annotate: {reset: subtract}\n'
        "      because: it is tried\n",
        "has no reset of which `reset` could say how it is",
    ),
    "a threshold that is none": (
        "spikingjelly/parametric_lif_node.yaml", "y = h >= v_threshold", "y = h >= h",
        "does not compute the LIF",
    ),
    "a decay that is not clamped": (
        "snntorch/synaptic.yaml", "h = clamp(beta, 0, 1) * mem", "h = beta * mem",
        "does not compute the CubaLIF",
    ),
    "a parameter behind a gain": (
        LEAKY, "beta: 1 - dt / tau", "beta: 1 - v_leak / tau", "of `normalize`",
    ),
    "a chain": (LEAKY, "bind: {scale: graded_spikes_factor}", "bind: {scale: 1}", "does not"),
    "a way back": (
        "norse/lif_recurrent_cell.yaml", "recurrent_weights @ y", "recurrent_weights @ x",
        "does not compute the CubaLIF",
    ),
    "a neuron without a step": (
        "spikingjelly/non_spiking_if_node.yaml", "step: |\n  v = v + x\n  y = v",
        "equation: y = v, and v <- v + x", "the mapping needs the layer's `step`",
    ),
    "a step without an output": (LIF, "y = h >=", "z = h >=", "no line of the step gives"),
    "a step of unknown names": (LIF, "/ tau if", "/ taw if", "`taw` is neither given nor assigned"),
    "a step that adds words": (
        LEAKY, "beta, 0, 1) * held + x", "beta, 0, 1) * held + reset_mechanism",
        "has no meaning for",
    ),
    "a number as a condition": (LIF, "after if y else h", "after if h else h", "has no meaning"),
    "a call in a step": (LIF, "h >= v_threshold", "open('f')", "unknown function `open`"),
    "a loop in a step": (LIF, "  y = h >= v_threshold", "  for y in h: pass", "is not a line"),
    "an attribute of a parameter": (LIF, "h >= v_threshold", "h >= h.real", "`h.real` is neither"),
    "neurons of two ways": (
        LIF, "y = h >= v_threshold", "y = h > v_threshold", "fires at its threshold, and",
    ),
}  # fmt: skip


FORMS = {
    "a factor dt": (LIF, "gain: r / (", "gain: dt * r / (", "`gain: r / (v_threshold - v_reset)`"),
    "a factor left out": (
        LIF, "gain: r / (v_threshold - v_reset)", "gain: r", "`gain: r / (v_threshold - v_reset)`",
    ),
    "no shift": (
        LIF, "shift: (v_leak - v_reset) / (v_threshold - v_reset)", "shift: 0",
        "`shift: (v_leak - v_reset) / (v_threshold - v_reset)`",
    ),
    "seconds for steps": (LIF, "layer: {tau: tau / dt,", "layer: {tau: tau,", "`tau: tau / dt`"),
    "a start": (
        LIF, "  start: {v: (v_leak - v_reset) / (v_threshold - v_reset)}", "  start: {v: 0}",
        "`v at first: (v_leak - v_reset) / (v_threshold - v_reset)`",
    ),
    "a decay": (LEAKY, "beta: 1 - dt / tau", "beta: dt / tau", "`beta: 1 - dt / tau`"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", FORMS)
def test_the_right_formula_of_a_normalization_is_told(wrong: str, tmp_path: Path) -> None:
    file, old, new, right = FORMS[wrong]
    (problem,) = problems(tmp_path, file, (old, new))
    assert problem.mend.splitlines()[-1].strip() == f"{right} would be right"


@pytest.mark.parametrize("wrong", REFUSED)
def test_refused(wrong: str, tmp_path: Path) -> None:
    file, old, new, told = REFUSED[wrong]
    found = problems(tmp_path, file, (old, new))
    assert any(told in f"{problem}" for problem in found), "\n".join(map(str, found)) or "accepted"
    assert all(problem.at.file.startswith("mappings/") for problem in found)


SAME = {
    "a formula written otherwise": (LIF, "tau: tau * dt", "tau: dt / (1 / tau)"),
    "a step written otherwise": (
        LIF,
        "  h = v + (x - (v - rest)) / tau if decay_input else v - (v - rest) / tau + x\n",
        "  kept = rest + (1 - 1 / tau) * (v - rest)\n"
        "  h = kept + x / tau if decay_input else kept + x\n",
    ),
    "a comment": (LIF, "  y = h >= v_threshold", "  # it fires\n  y = h >= v_threshold  # at it"),
    "an empty line": (LIF, "  y = h >= v_threshold", "\n  y = h >= v_threshold"),
    "a condition for a product": (
        "snntorch/rsynaptic.yaml", "mem = h - threshold if due else h", "mem = h - due * threshold",
    ),
}  # fmt: skip


@pytest.mark.parametrize("same", SAME)
def test_what_is_right_otherwise_is_accepted(same: str, tmp_path: Path) -> None:
    file, old, new = SAME[same]
    assert problems(tmp_path, file, (old, new)) == ()

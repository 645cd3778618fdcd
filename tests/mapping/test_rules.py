"""Every check of the mapping language, by a mapping that it refuses.

Each case damages the mappings in `folder` in one place, and states the problem in full: where,
what, and how to mend it.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from nirgen import mapping

from .conftest import MAPPINGS, Edit

COMMITTED = Path(__file__).parents[2] / "mappings"
LIF = "spikingjelly/lif_node.yaml"
POOL = "spikingjelly/max_pool2d.yaml"
CONV = "spikingjelly/conv2d.yaml"

CASES = {
    # --- keys ---
    "unknown key": (
        LIF, "domain:", "domian:",
        "mappings/spikingjelly/lif_node.yaml:29:1: the file has no key `domian`",
        "did you mean `domain`?",
    ),
    "missing key": (
        LIF, "layer: neuron.LIFNode\n", "",
        "mappings/spikingjelly/lif_node.yaml:1:1: the file needs `layer`", "",
    ),
    "duplicate key": (
        LIF, "  v_threshold: v_threshold\n", "  v_threshold: v_threshold\n  tau: tau\n",
        "mappings/spikingjelly/lif_node.yaml:13:3: duplicate key `tau`",
        "it stands already at mappings/spikingjelly/lif_node.yaml:11:3",
    ),
    "case without guard": (
        LIF, "when: decay_input", "if: decay_input",
        "mappings/spikingjelly/lif_node.yaml:15:7: a case needs `when`", "",
    ),
    "annotation without reason": (
        LIF, "      because: NIR has no field for a reset by subtraction\n", "",
        "mappings/spikingjelly/lif_node.yaml:23:7: a case needs `because`", "",
    ),
    "unknown kind of field": (
        "nir.yaml", "kind: tensor", "kind: tensr",
        "mappings/nir.yaml:99:14: unknown kind `tensr`", "did you mean `tensor`?",
    ),
    "mode that is none": (
        "spikingjelly/framework.yaml", "default: s", "default: x",
        "mappings/spikingjelly/framework.yaml:13:3: `x` is not one of the modes", "there are: m, s",
    ),
    "fallback that is none": (
        "spikingjelly/framework.yaml", "options:", "fallback: refrence\noptions:",
        "mappings/spikingjelly/framework.yaml:15:1: there is no framework `refrence`",
        "did you mean `reference`?",
    ),
    "base that is none": (
        "spikingjelly/framework.yaml", "options:", "builds_on: torch\noptions:",
        "mappings/spikingjelly/framework.yaml:15:1: there is no framework `torch`",
        "did you mean `torch_nn`?",
    ),
    "way that is none": (
        "spikingjelly/framework.yaml", "options:", "containers: {nn.Identity: thru}\noptions:",
        "mappings/spikingjelly/framework.yaml:15:1: nn.Identity: `thru` is not a way to run layers",
        "did you mean `through`?",
    ),
    # --- names ---
    "undeclared name": (
        LIF, "tau: tau * dt", "tau: taw * dt",
        "mappings/spikingjelly/lif_node.yaml:11:3: `taw` is no parameter of the layer",
        "did you mean `tau`?",
    ),
    "unknown node": (
        LIF, "node: LIF", "node: LIFF",
        "mappings/spikingjelly/lif_node.yaml:2:1: NIR has no `LIFF`", "did you mean `LIF`?",
    ),
    "unknown field": (
        LIF, "  v_threshold: v_threshold", "  v_treshold: v_threshold",
        "mappings/spikingjelly/lif_node.yaml:12:3: LIF has no `v_treshold`",
        "did you mean `v_threshold`?",
    ),
    "unknown module": (
        LIF, "layer: neuron.LIFNode", "layer: neurons.LIFNode",
        "mappings/spikingjelly/lif_node.yaml:1:1: "
        "`neurons.LIFNode` is in no module that framework.yaml declares",
        "did you mean `neuron`?",
    ),
    "unknown signature": (
        LIF, "layer: neuron.LIFNode", "layer: neuron.LIFNod",
        "mappings/spikingjelly/lif_node.yaml:1:1: signatures.yaml has no signature of "
        "`neuron.LIFNod`",
        "did you mean `neuron.LIFNode`?",
    ),
    "derived from no field": (
        CONV, "size(weight, 0)", "size(wait, 0)",
        "mappings/spikingjelly/conv2d.yaml:23:1: `out_channels`: the node has no `wait`",
        "did you mean `weight`?",
    ),
    # --- totality ---
    "parameter not accounted for": (
        LIF, "  store_v_seq: records v, and does not change it\n", "",
        "mappings/spikingjelly/lif_node.yaml:1:1: "
        "`store_v_seq` of neuron.LIFNode is not accounted for",
        "bind, derive, fix or ignore it (with a reason)",
    ),
    "two fields of one name": (
        "spikingjelly/signatures.yaml", "neuron.LIFNode:\n",
        "neuron.LIFNode:\n  p: {type: neuron.P, fields: {tau: {type: float}}}\n",
        "mappings/spikingjelly/signatures.yaml:25:3: `neuron.LIFNode` has two parameters `tau`",
        "formulas can't tell them apart",
    ),
    "structure of no module": (
        "spikingjelly/signatures.yaml", "neuron.LIFNode:\n",
        "neuron.LIFNode:\n  p: {type: cells.P, fields: {rate: {type: float}}}\n",
        "mappings/spikingjelly/signatures.yaml:24:31: `cells` of `rate` is no module that "
        "framework.yaml declares",
        "there are: layer, neuron, nn",
    ),
    "time step that is none": (
        LIF, "options: [step_mode]", "options: [step_mode]\ntime_step: taw",
        "mappings/spikingjelly/lif_node.yaml:36:1: the layer has no `taw`", "did you mean `tau`?",
    ),
    "new parameter in a release": (
        "spikingjelly/signatures.yaml",
        "neuron.LIFNode:\n", "neuron.LIFNode:\n  v_floor: {type: float, default: 0.0}\n",
        "mappings/spikingjelly/lif_node.yaml:1:1: "
        "`v_floor` of neuron.LIFNode is not accounted for",
        "bind, derive, fix or ignore it (with a reason)",
    ),
    "parameter accounted for twice": (
        LIF, "options: [step_mode]", "options: [step_mode, detach_reset]",
        "mappings/spikingjelly/lif_node.yaml:1:1: "
        "`detach_reset` is accounted for twice, under options and ignore", "",
    ),
    "reason missing": (
        LIF, "detach_reset: shapes the gradient only", "detach_reset:",
        "mappings/spikingjelly/lif_node.yaml:38:3: `detach_reset` needs a text", "",
    ),
    "parameter that is none": (
        LIF, "  detach_reset: shapes", "  detach_rest: x\n  detach_reset: shapes",
        "mappings/spikingjelly/lif_node.yaml:36:1: the layer has no `detach_rest`",
        "did you mean `detach_reset`?",
    ),
    "field not accounted for": (
        LIF, "  v_threshold: v_threshold\n", "",
        "mappings/spikingjelly/lif_node.yaml:1:1: LIF's `v_threshold` is not accounted for",
        "bind it",
    ),
    "field stated twice": (
        LIF, "bind: {r: 1}", "bind: {r: 1, tau: tau}",
        "mappings/spikingjelly/lif_node.yaml:11:3: LIF's `tau` is stated 2 times", "",
    ),
    "state without place": (
        LIF, "state: {v: v}", "state: {u: v}",
        "mappings/spikingjelly/lif_node.yaml:8:1: the `state` of LIF's v is not stated", "",
    ),
    "state without start": (
        LIF, "      start: {v: 0}\n", "",
        "mappings/spikingjelly/lif_node.yaml:1:1: the `start` of LIF's v is not stated", "",
    ),
    "required parameter that no import knows": (
        CONV, "  in_channels: size(weight, 1) * groups\n", "",
        "mappings/spikingjelly/conv2d.yaml:1:1: "
        "`in_channels` of layer.Conv2d is not accounted for",
        "bind, derive, fix or ignore it (with a reason)",
    ),
    "layer mapped twice": (
        LIF, "layer: neuron.LIFNode\n", "layer: neuron.LIFNode\nalso: [neuron.IFNode]\n",
        "mappings/spikingjelly/lif_node.yaml:1:1: `neuron.IFNode` is mapped already, in "
        "mappings/spikingjelly/if_node.yaml", "",
    ),
    "node imported twice": (
        "spikingjelly/parametric_lif_node.yaml",
        "on_request: learn_tau\n", "",
        "mappings/spikingjelly/parametric_lif_node.yaml:1:1: LIF is imported already, as "
        "mappings/spikingjelly/lif_node.yaml says",
        "say in one of them why it is `export_only`, or make it `on_request`",
    ),
    # --- chains, normalizations, options, refusals ---
    "chain of an unknown node": (
        POOL, "node: Threshold", "node: Treshold",
        "mappings/spikingjelly/max_pool2d.yaml:5:5: NIR has no `Treshold`",
        "did you mean `Threshold`?",
    ),
    "chain with a field too few": (
        POOL, "    bind: {threshold: 0.5}", "    bind: {}",
        "mappings/spikingjelly/max_pool2d.yaml:5:5: Threshold's `threshold` is not accounted for",
        "bind it",
    ),
    "chain with an import": (
        POOL, "export_only: NIR's sum and threshold come back as themselves\n", "",
        "mappings/spikingjelly/max_pool2d.yaml:4:1: several nodes have no import",
        "add `export_only`",
    ),
    "normalization of an unknown field": (
        LIF, "gain: r / (v_thr", "gain: rr / (v_thr",
        "mappings/spikingjelly/lif_node.yaml:42:3: the node has no `rr`", "did you mean `r`?",
    ),
    "normalization without a parameter": (
        LIF, "layer: {tau: tau / dt, decay_input: true", "layer: {tau: tau / dt",
        "mappings/spikingjelly/lif_node.yaml:42:3: `decay_input` is not given in `normalize`",
        "did you mean `decay_input`?",
    ),
    "normalization without a start": (
        LIF, "  start: {v: (v_leak - v_reset)", "  start: {u: (v_leak - v_reset)",
        "mappings/spikingjelly/lif_node.yaml:42:3: `start` must give v", "",
    ),
    "option that is none": (
        "spikingjelly/parametric_lif_node.yaml", "on_request: learn_tau", "on_request: learn_taw",
        "mappings/spikingjelly/parametric_lif_node.yaml:3:1: framework.yaml has no option "
        "`learn_taw`",
        "did you mean `learn_tau`?",
    ),
    "refusal without advice": (
        "spikingjelly/upsample.yaml", "instead:", "insted:",
        "mappings/spikingjelly/upsample.yaml:1:1: the file needs `instead`", "",
    ),
    "no node and no reason": (
        "spikingjelly/upsample.yaml",
        "refuse: NIR has no node that repeats or interpolates pixels\n", "",
        "mappings/spikingjelly/upsample.yaml:1:1: the mapping names no node", "add `node:`",
    ),
    # --- inverses ---
    "no inverse": (
        LIF, "tau: tau * dt", "tau: tau * tau * dt",
        "mappings/spikingjelly/lif_node.yaml:11:3: `tau` can't be solved for the layer's "
        "parameters",
        "each unknown must occur once, behind + - * / and functions with an inverse;"
        " or say why the mapping is `export_only`",
    ),
    # --- proofs ---
    "cases overlap": (
        LIF, "when: not decay_input", "when: tau > 1",
        "mappings/spikingjelly/lif_node.yaml:14:3: cases of `input` overlap: "
        "`decay_input` and `tau > 1` hold for",
        None,
    ),
    "cases leave a hole": (
        LIF, "when: v_reset is None", "when: v_reset is None and decay_input",
        "mappings/spikingjelly/lif_node.yaml:19:3: no case of `reset` applies to",
        None,
    ),
    "outside of the domain": (
        "spikingjelly/cuba_lif_node.yaml", "  c_decay: 0 <= c_decay < 1\n", "",
        None, None,
    ),
    "a domain that is no interval": (
        LIF, "tau: tau > 1", "tau: tau > dt",
        "mappings/spikingjelly/lif_node.yaml:29:1: "
        "the domain of `tau` must bound it by numbers, or exclude None",
        "such as `tau > 1`, `0 <= tau < 1` or `tau is not None`",
    ),
    "wrong example": (
        LIF, "node: {tau: 1e-3, r: 10.0", "node: {tau: 1e-2, r: 10.0",
        "mappings/spikingjelly/lif_node.yaml:49:5: `tau` is stated as 0.01, and `tau * dt` gives",
        None,
    ),
    "example of no field": (
        LIF, "node: {tau: 1e-3, r: 10.0", "node: {taw: 1e-3, r: 10.0",
        "mappings/spikingjelly/lif_node.yaml:49:5: no formula of `taw`", "did you mean `tau`?",
    ),
    "example of no parameter": (
        LIF, "layer: {tau: 10.0", "layer: {taw: 10.0",
        "mappings/spikingjelly/lif_node.yaml:49:5: the layer has no `taw`", "did you mean `tau`?",
    ),
    "two cases with the same node": (
        LIF, "bind: {r: tau}", "bind: {r: 1}",
        "mappings/spikingjelly/lif_node.yaml:10:1: an import does not undo the export: "
        "2 cases of `input` would take the node",
        None,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_refused(name: str, edit: Edit) -> None:
    file, old, new, what, mend = CASES[name]
    folder = edit(file, old, new)
    with pytest.raises(mapping.MappingError) as caught:
        mapping.load(folder)
    problems = caught.value.problems
    if what is None:
        assert any(file in str(problem) for problem in problems)
        return
    found = [p for p in problems if f"{p.at}: {p.what}".startswith(what)]
    assert found, "\n".join(map(str, problems))
    if mend is not None:
        assert found[0].mend == mend


def test_all_problems_at_once(edit: Edit) -> None:
    edit(LIF, "tau: tau * dt", "tau: taw * dt")
    edit(CONV, "stride: pair(stride)", "stride: pair(strid)")
    folder = edit("spikingjelly/if_node.yaml", "r: 1 / dt", "rr: 1 / dt")
    with pytest.raises(mapping.MappingError) as caught:
        mapping.load(folder)
    files = {problem.at.file.rpartition("/")[2] for problem in caught.value.problems}
    assert files == {"lif_node.yaml", "conv2d.yaml", "if_node.yaml"}


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(mapping.MappingError, match="there are no mappings here"):
        mapping.load(tmp_path)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "framework.yaml").write_text("framework: Mine\nversion: 1.0.0\n")
    with pytest.raises(mapping.MappingError, match=r"signatures\.yaml:1:1: the file is missing"):
        mapping.load(tmp_path)


@pytest.mark.parametrize("folder", [MAPPINGS, COMMITTED])
def test_undamaged_mappings_are_sound(folder: Path) -> None:
    names = [framework.framework.name for framework in mapping.load(folder).frameworks]
    assert "spikingjelly" in names

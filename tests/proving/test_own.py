"""Neurons of somebody else's: what computes a LIF is accepted, however written; nothing else is."""

from __future__ import annotations

from pathlib import Path

import pytest

from nirgen import mapping

DECAY = "{decay: {type: float}, th: {type: float, default: 1.0}}"
FRAMEWORK = "framework: Ring\nversion: 1.0.0\npackages: [ring]\nmodules: {ring: ring}\n"
LEAK = "tau: dt / (1 - decay), r: 1 / (1 - decay)"
FIRE = ("y = u > th", "u = 0 if y else u")
SOFT = (
    "cases:\n  reset:\n    - when: true\n      annotate: {reset: subtract}\n      because: it is\n"
)


def problems(
    tmp_path: Path,
    *lines: str,
    signature: str = DECAY,
    bind: str = LEAK,
    state: str = "u",
    start: str = "0",
    domain: str = "decay: 0 <= decay < 1",
    more: str = "",
) -> str:
    """What the generator says of a neuron; nothing, where it accepts it."""
    folder = tmp_path / "mappings" / "ring"
    folder.mkdir(parents=True)
    (folder / "framework.yaml").write_text(FRAMEWORK)
    (folder / "signatures.yaml").write_text(f"ring.Neuron: {signature}\n")
    (folder / "neuron.yaml").write_text(
        "layer: ring.Neuron\nnode: LIF\nexport_only: it is tried\nstep: |\n"
        + "".join(f"  {line}\n" for line in lines)
        + f"state: {{v: {state}}}\nstart: {{v: {start}}}\ndomain: {{{domain}}}\n"
        + f"bind: {{{bind}, v_leak: 0, v_threshold: th, v_reset: 0}}\n{more}"
    )
    try:
        mapping.load(folder.parent)
    except mapping.MappingError as error:
        return str(error)
    return ""


EULER = {"signature": "{tau: {type: float}, th: {type: float}}", "domain": "tau: tau > 0"}
WHOLE = {"signature": "{n: {type: int}, th: {type: float}}", "domain": "n: n >= 1"}
RIGHT = {
    "as it is": (("u = decay * u + x", *FIRE), {}),
    "per neuron": (
        ("u = decay * u + x", *FIRE), {"signature": DECAY.replace("float", "Tensor")},
    ),
    "a product resets": (("u = decay * u + x", "y = u > th", "u = u * (1 - y)"), {}),
    "the input is scaled first": (("x = x / 2", "u = decay * u + 2 * x", *FIRE), {}),
    "fires at its threshold": (("u = decay * u + x", "y = u >= th", "u = 0 if y else u"), {}),
    "a multiple of a comparison": (
        ("u = decay * u + x", "fires = u >= th", "y = 1 * fires", "u = 0 if fires else u"), {},
    ),
    "compares the other way": (("u = decay * u + x", "y = th < u", "u = 0 if y else u"), {}),
    "late, and related": (
        ("u = 0 if u > th else u", "u = decay * u + x", "y = u > th"),
        {"state": "0 if u > th else u", "domain": "decay: 0 <= decay < 1, th: th >= 0"},
    ),
    "in milliseconds": (
        ("u = u + dt / (tau * 1e-3) * (x - u)", *FIRE), {**EULER, "bind": "tau: tau * 1e-3, r: 1"},
    ),
    "in whole steps": (
        ("k = 1 / n", "u = u + k * (x - u)", *FIRE), {**WHOLE, "bind": "tau: dt / (1 / n), r: 1"},
    ),
    "by an exponential": (
        ("u = exp(-dt / tau) * u + (1 - exp(-dt / tau)) * x", *FIRE),
        {**EULER, "bind": "tau: dt / (1 - exp(-dt / tau)), r: 1"},
    ),
    "soft": (("u = decay * u + x", "y = u > th", "u = u - th if y else u"), {"more": SOFT}),
    "in units of its threshold": (
        ("u = decay * u + x", "y = u > 1", "u = 0 if y else u"),
        {
            "state": "th * u", "bind": "tau: dt / (1 - decay), r: th / (1 - decay)",
            "domain": "decay: 0 <= decay < 1, th: th > 0",
        },
    ),
    "half full, and said so": (
        ("u = decay * u + x", *FIRE),
        {"start": "th / 2", "more": "starts_elsewhere: {v: it is half full}\n"},
    ),
}  # fmt: skip


@pytest.mark.parametrize("right", RIGHT)
def test_right(right: str, tmp_path: Path) -> None:
    lines, how = RIGHT[right]
    assert problems(tmp_path, *lines, **how) == ""


DIFFERENT = "does not compute the LIF that it becomes"
WRONG = {
    "fires on what was": (("y = u > th", "u = 0 if y else u", "u = decay * u + x"), {}, DIFFERENT),
    "reset a step late": (("u = 0 if y else u", "u = decay * u + x", "y = u > th"), {}, DIFFERENT),
    "never reset": (("u = decay * u + x", "y = u > th"), {}, DIFFERENT),
    "soft, unsaid": (("u = decay * u + x", "y = u > th", "u = u - th if y else u"), {}, DIFFERENT),
    "hard, said to be soft": (
        ("u = decay * u + x", *FIRE), {"more": SOFT}, "the LIF with reset 'subtract'",
    ),
    "fires below, too": (
        ("u = decay * u + x", "y = u > th or u < -th", "u = 0 if y else u"), {}, DIFFERENT,
    ),
    "a floor": (("u = decay * u + x", "u = -1 if u < -1 else u", *FIRE), {}, DIFFERENT),
    "a ceiling": (("u = clamp(decay * u + x, -9, 9)", *FIRE), {}, DIFFERENT),
    "several spikes": (
        ("u = decay * u + x", "y = 2 if u > 2 * th else u > th", "u = 0 if u > th else u"), {},
        DIFFERENT,
    ),
    "an exponential taken for a step": (
        ("u = exp(-dt / tau) * u + (1 - exp(-dt / tau)) * x", *FIRE),
        {**EULER, "bind": "tau: tau, r: 1"}, "`tau: dt / (1 - exp(-dt / tau))` would be right",
    ),
    "an exponential without its gain": (
        ("u = exp(-dt / tau) * u + x", *FIRE),
        {**EULER, "bind": "tau: dt / (1 - exp(-dt / tau)), r: 1"},
        "`r: 1 / (1 - exp(-dt / tau))` would be right",
    ),
    "milliseconds taken for seconds": (
        ("u = u + dt / (tau * 1e-3) * (x - u)", *FIRE), {**EULER, "bind": "tau: tau, r: 1"},
        "`tau: tau * 0.001` would be right",
    ),
    "in units, unrelated": (
        ("u = decay * u + x", "y = u > 1", "u = 0 if y else u"),
        {"bind": "tau: dt / (1 - decay), r: th / (1 - decay)"}, DIFFERENT,
    ),
    "half full, unsaid": (
        ("u = decay * u + x", *FIRE), {"start": "th / 2"}, "v starts at th / 2 = ",
    ),
    "a state that NIR lacks": (
        ("u = decay * u + x if n == 0 else u", "n = 2 * (u > th)", *FIRE), {},
        "`n` is read before it is assigned, and no `state` speaks of it",
    ),
    "no domain": (("u = decay * u + x", *FIRE), {"domain": ""}, "declare the `domain`"),
    "chance": (("u = decay * u + rand(x)", *FIRE), {}, "unknown function `rand`"),
    "code": (('u = __import__("os").getcwd()', *FIRE), {}, "is not part of the formula language"),
    "a statement": (("import os", "u = x", *FIRE), {}, "`import os` is not a line of a step"),
    "two at once": (("u = w = x", *FIRE), {}, "is not a line of a step"),
    "a name on the way": (("u = (k := decay) * u", *FIRE), {}, "is not part of the formula"),
    "an infinite number": (("u = decay * u + x * 1e999", *FIRE), {}, "is no finite number"),
    "at its threshold, in other words": (
        ("u = decay * u + x", "y = not u < th", "u = 0 if y else u"), {},
        "ring.Neuron fires at its threshold, and NIR's node only above it",
    ),
    "nothing": (("# to be written",), {}, "the mapping needs the layer's `step`"),
}  # fmt: skip


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong(wrong: str, tmp_path: Path) -> None:
    lines, how, told = WRONG[wrong]
    assert told in problems(tmp_path, *lines, **how)

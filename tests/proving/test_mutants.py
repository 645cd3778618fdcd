"""The generator refuses what it should: some of the mutants of all neurons, in every run.

`make mutants` tries all of them.
"""

from __future__ import annotations

import random

import pytest

from tests import mutants

SAMPLES = {
    "bind": 25, "metadata": 5, "normalize": 15, "start": 5, "state": 10, "step": 35, "when": 10,
}  # fmt: skip
AT_LEAST = 0.95


@pytest.fixture(scope="module")
def drawn() -> list[mutants.Mutant]:
    found, source = mutants.all_mutants(), random.Random(3)
    return [
        mutant
        for kind, count in SAMPLES.items()
        for mutant in source.sample([m for m in found if m.kind == kind], count)
    ]


def test_the_generator_notices(drawn: list[mutants.Mutant]) -> None:
    """All but a few, besides those that change nothing."""
    unnoticed = [mutant for mutant in drawn if not mutant.problems()]
    wrong = [str(mutant) for mutant in unnoticed if mutants.equivalent(mutant) is None]
    tried = len(drawn) - len(unnoticed) + len(wrong)
    assert tried > 0.9 * len(drawn)
    assert len(wrong) <= (1 - AT_LEAST) * tried, wrong


@pytest.mark.parametrize("framework", mutants.LOADED.frameworks, ids=lambda f: f.framework.name)
def test_unchanged_mappings_are_refused_by_none(framework: mutants.FrameworkMappings) -> None:
    """What is refused is refused for the change: put back as they were, mappings are sound."""
    for mapping in framework.layers:
        if mapping.step and mapping.nodes:
            same = mutants.Mutant(framework, mapping, "none", "")
            assert same.problems() == []

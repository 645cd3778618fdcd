"""The generator refuses what it should: some of the mutants of all neurons, in every run.

`make mutants` tries all of them.
"""

from __future__ import annotations

import random

import pytest

from tests import mutants

SAMPLES, AT_LEAST = 100, 0.95


@pytest.fixture(scope="module")
def drawn() -> list[mutants.Mutant]:
    return random.Random(3).sample(mutants.all_mutants(), SAMPLES)


def test_the_generator_notices(drawn: list[mutants.Mutant]) -> None:
    """All but a few, besides those that change nothing; and they are of all kinds."""
    assert {mutant.kind for mutant in drawn} >= {"bind", "normalize", "state", "step", "when"}
    unnoticed = [mutant for mutant in drawn if not mutant.problems()]
    wrong = [str(mutant) for mutant in unnoticed if mutants.equivalent(mutant) is None]
    tried = SAMPLES - len(unnoticed) + len(wrong)
    assert tried > 0.9 * SAMPLES
    assert len(wrong) <= (1 - AT_LEAST) * tried, wrong


@pytest.mark.parametrize("framework", mutants.LOADED.frameworks, ids=lambda f: f.framework.name)
def test_unchanged_mappings_are_refused_by_none(framework: mutants.FrameworkMappings) -> None:
    """What is refused is refused for the change: put back as they were, mappings are sound."""
    for mapping in framework.layers:
        if mapping.step and mapping.nodes:
            same = mutants.Mutant(framework, mapping, "none", "")
            assert same.problems() == []

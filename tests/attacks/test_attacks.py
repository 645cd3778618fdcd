"""No export gives a graph with other numbers than the network's, whatever the network does."""

from __future__ import annotations

import pytest

from tests.attacks.judging import judged
from tests.attacks.loading import attacks, sampled


@pytest.mark.parametrize("name", sampled())
def test_nothing_wrong_goes_through(name: str) -> None:
    attack = attacks()[name]
    verdict = judged(attack)
    assert verdict.holds(attack), (attack.expect, attack.names, verdict)

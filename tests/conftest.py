"""Hypothesis profiles: `short` in `make test`, `long` by hand (HYPOTHESIS_PROFILE=long)."""

from __future__ import annotations

import os

# The tests' tensors are small and the workers several: threads of one would wait for the others'.
os.environ.setdefault("OMP_NUM_THREADS", "1")

from hypothesis import HealthCheck, settings

settings.register_profile(
    "short", max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.register_profile("long", settings.get_profile("short"), max_examples=1000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "short"))

"""Random NIR nodes and graphs, for property-based tests of all converters."""

from __future__ import annotations

from typing import Any

import nir
import numpy as np
import numpy.typing as npt
from hypothesis import strategies as st

Array = npt.NDArray[np.float64]
DT = 1e-3
NEURONS = ("I", "IF", "LI", "LIF", "CubaLI", "CubaLIF")
SPIKING = ("IF", "LIF", "CubaLIF")


@st.composite
def neurons(draw: st.DrawFn, size: int, kinds: tuple[str, ...] = NEURONS) -> nir.NIRNode:
    """A neuron with parameters that are the same for all or differ, each by chance.

    Time constants are above the time step, thresholds mostly above the reset.
    """
    kind = draw(st.sampled_from(kinds))
    source = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))

    def values(low: float, high: float) -> Array:
        same = draw(st.booleans())
        return np.full(size, source.uniform(low, high)) if same else source.uniform(low, high, size)

    reset = np.zeros(size) if draw(st.booleans()) else values(-0.5, 0.3)
    leak = reset.copy() if draw(st.booleans()) else values(-0.3, 0.3)
    threshold = values(0.4, 1.5)
    fields: dict[str, Any] = {"r": values(0.5, 5.0)}
    if kind in ("I", "IF") and draw(st.booleans()):
        fields["r"] = np.full(size, 1 / DT)
    if kind in ("LI", "LIF"):
        fields |= {"tau": values(1.5 * DT, 20 * DT), "v_leak": leak}
    if kind in ("CubaLI", "CubaLIF"):
        fields |= {
            "tau_syn": values(1.5 * DT, 20 * DT), "tau_mem": values(1.5 * DT, 20 * DT),
            "v_leak": leak, "w_in": values(0.5, 5.0),
        }  # fmt: skip
    if kind in SPIKING:
        fields |= {"v_threshold": threshold, "v_reset": reset}
    return getattr(nir, kind)(**fields)


def single(node: nir.NIRNode, size: int) -> nir.NIRGraph:
    """A graph of one node."""
    shape = np.array([size])
    nodes = {"input": nir.Input({"input": shape}), "node": node,
             "output": nir.Output({"output": shape})}  # fmt: skip
    edges = [("input", "node"), ("node", "output")]
    return nir.NIRGraph(nodes, edges, type_check=False)

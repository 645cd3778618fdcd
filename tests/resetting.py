"""A graph starts at a reset: networks that were run are reset before they are exported again."""

from __future__ import annotations

from torch import nn

from nir_runtime.verifying import sides


def reset(net: nn.Module) -> None:
    """Let all layers of a network forget what they remember."""
    for module in net.modules():
        sides.reset(module)

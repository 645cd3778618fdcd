"""NIR graphs as tables in a notebook: `%load_ext nir_exchange`."""

from __future__ import annotations

from typing import Any

import nir

from nir_runtime.errors import NirExchangeError
from nir_runtime.graphs.info import info


def show_graphs(ipython: Any) -> None:
    """Let a notebook show graphs as tables. nir's class stays as it is.

    Args:
        ipython: the IPython shell.
    """
    _tables(ipython).for_type(nir.NIRGraph, _table)


def show_graphs_as_before(ipython: Any) -> None:
    """Undo that."""
    _tables(ipython).pop(nir.NIRGraph, None)


def _tables(ipython: Any) -> Any:
    return ipython.display_formatter.formatters["text/html"]


def _table(graph: nir.NIRGraph) -> str | None:
    """The table; None where there is none, and the graph shows as text."""
    try:
        return info(graph)._repr_html_()
    except NirExchangeError:
        return None

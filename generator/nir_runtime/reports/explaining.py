"""What a conversion would make of each layer or node, whether or not it would succeed."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

from nir_runtime.errors import ExportRefused, ImportRefused, InvalidGraph
from nir_runtime.reports.report import Report


def explanation(
    export: Callable[..., Any],
    import_: Callable[..., Any],
    subject: Any,
    example_input: Any,
    dt: float | None,
    options: Mapping[str, Any],
) -> Report:
    """The report of a conversion that is made for its sake.

    Args:
        export, import_: a converter's `export_to_nir` and `import_from_nir`.
        subject: a network; or a graph, or the path of a file that holds one.
        example_input: what a network takes.
        dt: the time step, in seconds; None for the conversion's own choice.
        options: what else the conversion is to be called with.

    Raises:
        InvalidArgument, InvalidFile: there is nothing to explain.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they say is in the report
        try:
            if isinstance(subject, nn.Module):
                report: Report = export(subject, example_input, dt=dt, **options).report
            else:
                report = import_(subject, dt, **options).report
        except (ExportRefused, ImportRefused, InvalidGraph) as refusal:
            if refusal.report is None:
                raise
            report = refusal.report
    return report.settled()

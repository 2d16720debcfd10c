"""The tape's validation figures as metrics, so that a gate can ask for clean data."""

from __future__ import annotations

from collections.abc import Mapping

from evals.metrics.accumulator import Metric


def validation_metrics(*summaries: Mapping[str, int]) -> dict[str, Metric]:
    """Return ``tape_<figure>`` of each figure of the datasets' validation summaries.

    Of several datasets counts are added up; of the longest and the largest (``longest_…``, ``…_max``) the largest is
    taken.
    """
    figures: dict[str, Metric] = {}
    for name in dict.fromkeys(name for summary in summaries for name in summary):
        counts = [summary.get(name, 0) for summary in summaries]
        figures[f"tape_{name}"] = max(counts) if name.startswith("longest_") or name.endswith("_max") else sum(counts)
    return figures

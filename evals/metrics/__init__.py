"""The metrics of a replay: names, formulas and units, computed from log rows as the run hands them over.

Money is x 10^9 in the settlement currency, positions x 10^8, ratios are fractions of 1. What is kept between two
pieces are integer sums and fixed histograms, so the figures depend neither on how the logs were cut nor on the length
of the run, and memory does not grow with it. docs/metrics.md lists every figure with its formula and sampling.
"""

from __future__ import annotations

from evals.metrics.accumulator import Metric, Metrics, RunTotals
from evals.metrics.band import band
from evals.metrics.tape import validation_metrics

__all__ = ["Metric", "Metrics", "RunTotals", "band", "validation_metrics"]

"""The band over queue models: how far a figure depends on what nobody can see, the place in the queue.

A recorded book does not say which of the orders ahead were cancelled, so every queue model is an assumption. Running
the same inputs under all of them shows what a figure is worth: wide bands are the model's, not the algo's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from evals.metrics.accumulator import Metric

BAND_NAMES: Final = (
    "traps",
    "risk_breaches",
    "fills",
    "maker_fills",
    "net_pnl_1e9",
    "spread_pnl_1e9",
    "inventory_pnl_1e9",
    "fees_1e9",
    "return_bps",
    "max_drawdown_1e9",
    "max_drawdown_pct",
    "max_abs_position_1e8",
    "markout_1s_bps",
)
"""The metrics that get a band: what a queue model can change and a gate would ask for."""


def band(runs: Mapping[str, Mapping[str, Metric]], names: Sequence[str] = BAND_NAMES) -> dict[str, Metric]:
    """Return ``band_<metric>_low`` and ``_high`` over runs by queue model, and their number as ``band_models``.

    Low and high are None where a run does not define the metric: a band that leaves a model out would promise too much.
    """
    figures: dict[str, Metric] = {"band_models": len(runs)}
    for name in names:
        values = [run[name] for run in runs.values()]
        known = [value for value in values if value is not None]
        complete = bool(known) and len(known) == len(values)
        figures[f"band_{name}_low"] = min(known) if complete else None
        figures[f"band_{name}_high"] = max(known) if complete else None
    return figures

"""The metrics of a review: realised, the twin's beside them, and what lies between the two.

Whatever rests on the whole of a recording is None once something of it is missing: then gates say inconclusive.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from evals.metrics import Metric, Metrics, RunTotals
from evals.recordings.history import halted_ns
from evals.recordings.review import Review
from evals.recordings.schema import CONFIG, HALT, LIMIT_BREACH, TRAP
from evals.recordings.twin_names import TWIN_NAMES
from evals.statistics.paired import compare_paired

UNKNOWN_NAMES: Final = frozenset(
    {
        "callbacks",
        "log_lines",
        "fuel_p50",
        "fuel_p99",
        "fuel_max",
        "time_at_touch",
        "off_market_trades",
        "off_market_volume_1e8",
        "fills_queue_front",
        "fills_trade_through",
        "fills_crossed_book",
        "queue_ahead_mean_1e8",
        "queue_ahead_p50_1e8",
        "spread_pnl_1e9",
        "inventory_pnl_1e9",
        "adverse_share_100ms",
        "adverse_share_1s",
        "adverse_share_10s",
    }
)
"""Metrics of a replay that a recording cannot tell: nobody outside of the exchange saw the queue, nor between which two
changes of the book a fill happened."""


def metrics_of(review: Review) -> dict[str, Metric]:
    """Return every metric by name."""
    known = _realised(review)
    resting = known | _comparison(review, known["markout_1s_bps"])
    if review.gaps:
        resting = dict.fromkeys(resting)
    twin = review.twin.metrics
    return {
        "recording_gaps": len(review.gaps),
        **resting,
        "fuel_p99": twin["fuel_p99"],
        **{f"twin_{name}": twin[name] for name in TWIN_NAMES},
    }


def _realised(review: Review) -> dict[str, Metric]:
    """Take the metrics of a replay on what really happened, and the history of limits and halts."""
    found, document = review.realised, review.document
    measured = Metrics([review.instrument], document.capital_1e9, review.settings.equity_interval_ns)
    measured.add_fills(found.fills)
    measured.add_orders(found.orders)
    measured.add_equity(found.equity)
    held = np.append(np.abs(found.fills["position_1e8"]), abs(document.start_position_1e8))
    totals = RunTotals(
        trapped=False,
        callbacks=0,
        fuel_counts=np.zeros(1, np.int64),
        fuel_of_bucket=int,
        fuel_max=0,
        duration_ns=found.last_ns - found.first_ns,
        both_sides_ns=found.both_sides_ns,
        at_touch_ns=0,
        max_abs_position_1e8=int(held.max()),
        off_market_trades=0,
        off_market_volume_1e8=0,
        log_lines=0,
    )
    breaches = review.count(LIMIT_BREACH)
    refused = int(np.count_nonzero(found.orders["reject_code"] >= 100))
    return {
        **{name: value for name, value in measured.finish(totals).items() if name not in UNKNOWN_NAMES},
        "traps": review.count(TRAP),
        "risk_breaches": breaches + refused,
        "limit_breaches": breaches,
        "halts": review.count(HALT),
        "halted_s": halted_ns(review.events) / 1e9,
        "config_changes": review.count(CONFIG),
    }


def _comparison(review: Review, markout_bps: Metric) -> dict[str, Metric]:
    """Set the realised against the twin; None where the replay is no twin, or broke."""
    rows, matches = review.differences, review.matches
    drift = compare_paired(
        rows["realised_1e9"] - rows["twin_1e9"],
        capital_1e9=review.document.capital_1e9,
        look=review.look,
        seed=review.seed,
    )
    twin_bps = review.twin.metrics["markout_1s_bps"]
    metrics: dict[str, Metric] = {
        **drift.metrics("pnl_drift"),
        "comparison": drift.comparison,
        "compared_intervals": len(rows),
        "fill_match": matches.fill_match,
        "unmatched_fills": matches.unmatched,
        "unmatched_twin_fills": matches.unmatched_twin,
        "slippage_bps": matches.slippage_bps,
        "markout_drift_1s_bps": None if markout_bps is None or twin_bps is None else markout_bps - twin_bps,
    }
    whole = len(rows) == len(review.realised.equity) and review.twin.status == "completed"
    return metrics if whole and not review.apart else dict.fromkeys(metrics)

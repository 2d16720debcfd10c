"""The sections on a policy's live review: what parent orders really came to against the same orders replayed."""

from __future__ import annotations

from typing import Final

import numpy as np

from evals.reports.confidence import bounds, difference_table, gaps_note, history_section, marks_of, side_by_side
from evals.reports.curves import distribution
from evals.reports.recorded import Recorded
from evals.reports.routing import by_size, by_venue, worst
from evals.reports.series import bps
from evals.reports.tables import Chart, Note, Section, section
from evals.reports.timeline import against
from evals.reports.vega import BUY, PRICE, SELL

_ROWS: Final = ("arrival_ns", "notional_1e9", "shortfall_1e9", "twin_shortfall_1e9")


def policy_review_sections(record: Recorded) -> list[Section]:
    """Return the sections of a policy's live review, in reading order."""
    metrics = record.metrics
    return [
        section(
            "Live against its replay",
            gaps_note(metrics),
            difference_table(metrics, "shortfall_drift_bps", "", "of the notional; above zero live was dearer"),
            _cumulative(record),
            side_by_side(metrics, "twin_", ("Metric", "Live", "Replay", "Difference")),
        ),
        section("Shortfall of each parent order", _distributions(record)),
        section("By venue", by_venue(record)),
        section("By size", by_size(record)),
        section("The worst parent orders", worst(record)),
        history_section(record),
    ]


def _cumulative(record: Recorded) -> Chart | None:
    parents = record.log("parents", *_ROWS)
    if parents is None:
        return None
    more = parents["shortfall_1e9"] - parents["twin_shortfall_1e9"]
    whole, ends = float(parents["notional_1e9"].sum()), bounds(record.metrics, "shortfall_drift_bps")
    interval = None if ends is None else (ends[0] * whole / 1e4, ends[1] * whole / 1e4)
    marks = marks_of(record)
    legend = [("line", PRICE, "live less replay")]
    if interval is not None:
        legend.append(("bar", BUY, "95 % interval of the whole difference"))
    return Chart(
        "drift",
        "Cumulative shortfall of the deployment less that of its replay, by arrival of the parent orders",
        against({}, parents["arrival_ns"], more, interval, marks),
        tuple(legend),
        "By arrival of the parent orders, in ccy; times are UTC."
        + (" Dashed lines are halts and limit events." if marks else ""),
    )


def _distributions(record: Recorded) -> Chart | Note:
    parents = record.log("parents", *_ROWS)
    if parents is None:
        return Note("No parent order was recorded.")
    series = {}
    for name, column in (("live", "shortfall_1e9"), ("replay", "twin_shortfall_1e9")):
        values = bps(parents[column], parents["notional_1e9"])
        known = np.isfinite(values)
        if not known.any():
            return Note("No parent order had a market.")
        series[name] = (values[known], parents["notional_1e9"][known])
    return Chart(
        "shortfall",
        "Distributions of the implementation shortfall per parent order, live and replayed, in basis points",
        distribution(series, "Shortfall, bps of the arrival notional", "% of notional"),
        (("dot", BUY, "live"), ("dot", SELL, "replay")),
        "Each parent counts by its notional. A cost is above zero.",
    )

"""The sections on a routing policy's run: shortfall, what it is made of, savings, venues, sizes, the worst parents."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from evals.reports.confidence import bounds
from evals.reports.curves import distribution
from evals.reports.edge import shade_of
from evals.reports.recorded import Recorded
from evals.reports.series import bps, column
from evals.reports.tables import UNKNOWN, Bar, Chart, Metrics, Note, Row, Section, Table, section
from evals.reports.wording import figure, interval, money, share, signed, utc
from evals.statistics.ratios import weighted_quantiles

if TYPE_CHECKING:
    from numpy.typing import NDArray

_COSTS: Final = ("arrival_ns", "notional_1e9", "shortfall_1e9")
COMPONENTS: Final = (
    ("spread_1e9", "spread_cost_bps", "Spread"),
    ("impact_1e9", "market_impact_bps", "Impact"),
    ("fees_1e9", "fees_bps", "Fees"),
    ("delay_1e9", "delay_cost_bps", "Delay"),
    ("opportunity_1e9", "opportunity_cost_bps", "Opportunity"),
)
"""Column of the parents, metric and label of each part of the shortfall; they add up to it."""

BENCHMARKS: Final = (
    ("arrival", "Arrival price"),
    ("twap", "TWAP of the market"),
    ("vwap", "VWAP of the market"),
    ("best_venue", "Best single venue"),
    ("oracle", "Oracle"),
)
PERCENTS: Final = (50, 75, 95, 99)
WORST: Final = 10
"""Parents that the table of the worst names."""

_REJECTED, _UNFILLED = 4, 5
"""Values of ``reason`` of a child that got nothing."""

_SIZES: Final = 4
"""Buckets of size, of equal numbers of parents."""


def routing_sections(record: Recorded) -> list[Section]:
    """Return the sections of a routing policy's run, in reading order."""
    return [
        section("Shortfall of each parent order", *_shortfall(record)),
        section("What the shortfall is made of", decomposition(record.metrics)),
        section("Savings", savings(record.metrics, "savings_vs_", BENCHMARKS)),
        section("By venue", by_venue(record)),
        section("By size", by_size(record)),
        section("The worst parent orders", worst(record)),
    ]


def shortfalls(record: Recorded) -> tuple[NDArray[Any], NDArray[Any]] | None:
    """Return the shortfall in bps and the notional of each parent that has one."""
    parents = record.log("parents", *_COSTS)
    if parents is None:
        return None
    values, weights = bps(parents["shortfall_1e9"], parents["notional_1e9"]), parents["notional_1e9"]
    known = np.isfinite(values)
    return (values[known], weights[known]) if known.any() else None


def _shortfall(record: Recorded) -> list[Table | Chart | Note]:
    found = shortfalls(record)
    if found is None:
        return [Note("No parent order was recorded.")]
    values, weights = found
    quantiles = weighted_quantiles(values, weights, PERCENTS)
    # Where the metrics tell them, theirs are shown: the verdict rests on them.
    told = [record.metrics.get(f"implementation_shortfall_bps_p{percent}", quantiles[percent]) for percent in PERCENTS]
    marks = [
        (f"p{percent}", None if value is None else float(value)) for percent, value in zip(PERCENTS, told, strict=True)
    ]
    mean = record.metrics.get("implementation_shortfall_bps")
    ends = bounds(record.metrics, "implementation_shortfall_bps")
    certain = UNKNOWN if ends is None else interval(*ends)
    rows = (
        Row(("Mean", figure(None if mean is None else float(mean)))),
        Row(("… with 95 % confidence", certain)),
        *(Row((name, figure(value))) for name, value in marks),
    )
    return [
        Chart(
            "shortfall",
            "Distribution of the implementation shortfall per parent order in basis points, "
            + ", ".join(f"{name} {figure(value)}" for name, value in marks),
            distribution({"parents": found}, "Shortfall, bps of the arrival notional", "% of notional", marks),
            note="Each parent counts by its notional. A cost is above zero. The outermost bars hold what is beyond.",
        ),
        Table("shortfall", ("Shortfall", "bps"), rows),
    ]


def decomposition(metrics: Metrics) -> Table | Note:
    """Return a waterfall of the parts of the shortfall that ends at the whole."""
    rows, at = [], 0.0
    for _, name, label in COMPONENTS:
        value = metrics.get(name)
        if value is None:
            return Note("This evaluation does not say what the shortfall is made of.")
        rows.append(Row((label, signed(float(value), 3)), Bar(at, at + value, shade_of(-float(value)))))
        at += float(value)
    rows.append(Row(("Shortfall", signed(at, 3)), Bar(0.0, at, shade_of(-at))))
    note = (
        "In bps of the arrival notional, weighted by it; above zero is a cost. Delay: the mid's way until a slice was "
        "sent. Opportunity: what was left undone, at the mid of the end."
    )
    return Table("decomposition", ("Part", "bps"), tuple(rows), note)


def savings(metrics: Metrics, prefix: str, benchmarks: tuple[tuple[str, str], ...]) -> Table | Note:
    """Return the savings against each benchmark with their intervals as bars on one axis."""
    rows = []
    for name, label in benchmarks:
        metric = f"{prefix}{name}_bps"
        value = metrics.get(metric)
        if value is None:
            continue
        ends = bounds(metrics, metric)
        bar = None if ends is None else Bar(*ends, _side(ends), float(value))
        rows.append(Row((label, signed(float(value)), UNKNOWN if ends is None else interval(*ends)), bar))
    if not rows:
        return Note("This evaluation was compared with no benchmark.")
    note = "In bps of the arrival notional; above zero is a saving. The bar is the 95 % interval, its mark the value."
    if any(name == "oracle" for name, _ in benchmarks):
        note += " Nothing can save against the oracle, which knows the future."
    return Table("savings", ("Against", "Saved, bps", "95 %"), tuple(rows), note)


def _side(ends: tuple[float, float]) -> Any:
    """Return the shade of an interval: gain or loss only where it does not hold zero."""
    return "gain" if ends[0] > 0 else "loss" if ends[1] < 0 else "range"


def _venues(record: Recorded, count: int) -> list[str]:
    names = [venue for _, venue in record.markets]
    return [names[n] if n < len(names) else f"venue {n}" for n in range(max(count, len(names)))]


def by_venue(record: Recorded) -> Table | Note:
    """Return each venue's share, fees and rejects."""
    children = record.log("children", "venue", "px_1e9", "qty_1e8", "fee_1e9")
    if children is None:
        return Note("No child order was recorded.")
    venue = children["venue"].astype(np.int64)
    known = venue >= 0
    children, venue = children[known], venue[known]
    value = children["px_1e9"].astype(np.float64) * children["qty_1e8"].astype(np.float64) / 1e17
    fees = children["fee_1e9"].astype(np.float64) / 1e9
    size = int(venue.max(initial=-1)) + 1
    values, paid = np.bincount(venue, value, minlength=size), np.bincount(venue, fees, minlength=size)
    reason = column(children, "reason")
    rejected, unfilled = (np.bincount(venue[reason == which], minlength=size) for which in (_REJECTED, _UNFILLED))
    # A row is a fill; a child, one for each parent, slice and venue, may have several. Recordings tell no slices.
    told = {"parent", "slice"} <= set(children.dtype.names or ())
    which = np.stack([children["parent"], children["slice"], venue]) if told else np.arange(len(venue))[None]
    sent = np.bincount(venue[np.unique(which, axis=1, return_index=True)[1]], minlength=size)
    whole = float(values.sum())
    rows = []
    for n, name in enumerate(_venues(record, size)):
        if n >= size:
            rows.append(Row((name, "0", share(0, 1), "0", UNKNOWN, "0", "0")))
            continue
        bar = Bar(0, 100 * values[n] / whole, "first") if whole else None
        rate = UNKNOWN if not values[n] else signed(paid[n] / values[n] * 1e4)
        counts = (f"{rejected[n]:,}", f"{unfilled[n]:,}")
        rows.append(Row((name, f"{sent[n]:,}", share(values[n], whole), figure(values[n], 0), rate, *counts), bar))
    columns = ("Venue", "Children" if told else "Fills", "Share", "Traded, ccy", "Fees, bps", "Rejected", "Unfilled")
    return Table("venues", columns, tuple(rows), "Share of the value traded.")


def by_size(record: Recorded) -> Table | Note:
    """Return the shortfall of small and large parents."""
    parents = record.log("parents", *_COSTS)
    if parents is None:
        return Note("No parent order was recorded.")
    notional = parents["notional_1e9"]
    edges = np.quantile(notional, np.linspace(0, 1, _SIZES + 1))
    bucket = np.clip(np.searchsorted(edges, notional, side="right") - 1, 0, _SIZES - 1)
    rows = []
    for n in range(_SIZES):
        own = parents[bucket == n]
        total = float(own["notional_1e9"].astype(np.float64).sum())
        if not total:
            continue
        cost = float(own["shortfall_1e9"].astype(np.float64).sum()) / total * 1e4
        filled = UNKNOWN
        if {"qty_1e8", "filled_1e8"} <= set(own.dtype.names or ()):
            done = own["filled_1e8"] / np.maximum(own["qty_1e8"], 1) * own["notional_1e9"]
            filled = share(float(done.sum()), total)
        ends = f"{_short(int(own['notional_1e9'].min()))} to {_short(int(own['notional_1e9'].max()))}"
        rows.append(Row((ends, f"{len(own):,}", filled, signed(cost)), Bar(0, cost, shade_of(-cost))))
    note = "Parents sorted by notional, in groups of one size; the shortfall is weighted by notional."
    return Table("sizes", ("Notional, ccy", "Parents", "Filled", "Shortfall, bps"), tuple(rows), note)


def _short(amount_1e9: int) -> str:
    value = amount_1e9 / 1e9
    for size, letter in ((1e9, " bn"), (1e6, " m"), (1e3, " k")):
        if abs(value) >= size:
            return f"{value / size:.3g}{letter}"
    return f"{value:.3g}"


def worst(record: Recorded) -> Table | Note:
    """Return the parents that cost most."""
    parents = record.log("parents", *_COSTS, "parent_id")
    if parents is None:
        return Note("No parent order was recorded.")
    names = parents.dtype.names or ()
    order = np.argsort(-parents["shortfall_1e9"], kind="stable")[:WORST]
    rows = []
    for row in parents[order]:
        notional = max(int(row["notional_1e9"]), 1)
        largest = max(((int(row[part]), label) for part, _, label in COMPONENTS if part in names), default=(0, ""))
        filled = (
            share(int(row["filled_1e8"]), int(row["qty_1e8"])) if {"filled_1e8", "qty_1e8"} <= set(names) else UNKNOWN
        )
        side = ("buy" if row["side"] > 0 else "sell") if "side" in names else UNKNOWN
        cost = int(row["shortfall_1e9"])
        rows.append(
            Row(
                (
                    str(row["parent_id"]),
                    utc(int(row["arrival_ns"]))[11:],
                    side,
                    _short(int(row["notional_1e9"])),
                    filled,
                    money(cost),
                    signed(cost / notional * 1e4),
                    largest[1] or UNKNOWN,
                )
            )
        )
    columns = ("Parent", "Arrived, UTC", "Side", "Notional", "Filled", "Shortfall, ccy", "bps", "Mostly")
    return Table("worst", columns, tuple(rows), "By what they cost in money. Mostly: the largest part of it.")

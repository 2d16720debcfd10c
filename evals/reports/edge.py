"""The sections on an algo's run: where the result came from, markouts, the queue band, latency, fuel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from evals.engine.layout import TAKER
from evals.labels import METRICS, format_metric
from evals.reports.curves import curves, steps
from evals.reports.recorded import Recorded
from evals.reports.series import has, has_columns, sample
from evals.reports.tables import UNKNOWN, Bar, Chart, Note, Row, Section, Shade, Table, section
from evals.reports.timeline import price_equity_inventory, shown_symbols
from evals.reports.vega import SHADES
from evals.reports.wording import figure, share, shown, span, titled
from evals.statistics.ratios import weighted_quantiles
from evals.wasm.abi import AMEND, CANCEL, NEW

if TYPE_CHECKING:
    from numpy.typing import NDArray

_EQUITY: Final = ("exchange_ns", "mid_1e9", "position_1e8", "equity_1e9")
_FILLS: Final = ("exchange_ns", "px_1e9", "qty_1e8", "fee_1e9", "queue_ahead_1e8", "side", "reason")
_ORDERS: Final = ("decided_ns", "arrived_ns", "done_ns", "px_1e9", "kind", "side")
_MARKOUTS: Final = (*_FILLS, "mid_1e9", "mid_100ms_1e9", "mid_1s_1e9", "mid_10s_1e9")
_PLACES: Final = (
    ("at the fill", "mid_1e9"),
    ("100 ms", "mid_100ms_1e9"),
    ("1 s", "mid_1s_1e9"),
    ("10 s", "mid_10s_1e9"),
)
_SPLIT: Final = (("spread_pnl_1e9", "Spread", 1), ("inventory_pnl_1e9", "Inventory", 1), ("fees_1e9", "Fees", -1))
_ACTIONS: Final = ((NEW, "Place"), (CANCEL, "Cancel"), (AMEND, "Amend"))
_LEGEND: Final = (
    ("line", "var(--price)", "mid price"),
    ("line", "var(--buy)", "own bids"),
    ("line", "var(--sell)", "own offers"),
    ("up", "var(--buy)", "own buy"),
    ("down", "var(--sell)", "own sell"),
)


def edge_sections(record: Recorded) -> list[Section]:
    """Return the sections that every run of an algo has, in reading order."""
    return [
        section("Price with own quotes and fills, equity, drawdown, inventory", over_time(record)),
        section("Where the result came from", *_split(record)),
        section("Markouts", *markouts({"": record.logs.get("fills")})),
        section("Band over queue models", *_band(record)),
        section("Latency and orders", *_latency(record)),
        section("Fuel", _fuel(record)),
    ]


def over_time(record: Recorded) -> Chart | Note:
    """Return price with quotes and fills, equity, drawdown and inventory over time."""
    equity = record.log("equity", *_EQUITY)
    fills, orders = record.logs.get("fills"), record.logs.get("orders")
    if equity is None or fills is None or orders is None:
        return Note("There is nothing to draw over time: equity, fills or orders were not recorded.")
    if not has_columns(fills, *_FILLS) or not has_columns(orders, *_ORDERS):
        return Note("The recorded fills and orders are of another layout, which is not drawn.")
    quotes = _rested(orders)
    quotes = quotes[quotes["px_1e9"] > 0]
    drawn_fills, drawn_quotes = sample(fills), sample(quotes)
    counts = {
        "symbols": (len(shown_symbols(fills, record.assets)), len(set(record.assets))),
        "fills": (len(drawn_fills), len(fills)),
        "quotes": (len(drawn_quotes), len(quotes)),
    }
    parts = [f"{drawn:,} of {total:,} {what}" for what, (drawn, total) in counts.items() if drawn < total]
    thinned = f" Drawn: {', '.join(parts)}; of fills and quotes an even sample." if parts else ""
    return Chart(
        "timeline",
        f"Over time: price with {len(fills):,} own fills and own quotes, equity, drawdown and inventory",
        price_equity_inventory(equity, drawn_fills, drawn_quotes, record.assets),
        _LEGEND,
        "Drag to pan, Alt and scroll to zoom, double-click to reset: all charts together. Times are UTC. "
        f"Drawdown: equity below its highest value so far.{thinned}",
    )


def _split(record: Recorded) -> list[Table | Note]:
    """Return a waterfall from spread over inventory and fees to the net."""
    steps_: list[tuple[str, float, float, float]] = []
    at: float = 0
    for name, label, sign in _SPLIT:
        value = record.metrics.get(name)
        if value is None:
            return [Note("This evaluation does not say where its result came from.")]
        steps_.append((label, sign * value, at, at + sign * value))
        at += sign * value
    steps_.append(("Net", at, 0.0, at))
    rows = tuple(
        Row((label, format_metric(value, 9)), Bar(start, stop, shade_of(value))) for label, value, start, stop in steps_
    )
    note = (
        "Spread: earned against the mid at the moment of each fill. Inventory: earned by holding while the mid moved. "
        "In ccy, the currency of settlement."
    )
    return [Table("split", ("Part", "ccy"), rows, note)]


def shade_of(value: float) -> Shade:
    """Return the shade of what is gained or lost."""
    return "gain" if value > 0 else "loss" if value else "none"


def markouts(logs: dict[str, NDArray[Any] | None]) -> list[Table | Chart | Note]:
    """Return the markout by horizon of maker buys, maker sells and takers apart; ``logs`` are fill logs by name.

    The markout of some fills at a horizon is sum of side * (mid then - price) * quantity over sum of price * quantity,
    over those whose mid is known then.
    """
    lines: dict[str, list[float | None]] = {}
    counts: dict[str, int] = {}
    for name, fills in logs.items():
        if not has(fills, *_MARKOUTS) or fills is None:
            continue
        maker, buy = fills["reason"] != TAKER, fills["side"] > 0
        groups = {"maker buys": maker & buy, "maker sells": maker & ~buy, "taker": ~maker}
        if name:
            groups = {name: np.ones(len(fills), bool)}
        for label, chosen in groups.items():
            if chosen.any():
                lines[label] = [_markout(fills[chosen], at) for _, at in _PLACES]
                counts[label] = int(chosen.sum())
    if not lines:
        return [Note("No fill was recorded, so there is nothing to mark out.")]
    rows = [
        Row((label, f"{counts[label]:,}", *(figure(value, 3) for value in values))) for label, values in lines.items()
    ]
    return [
        Chart(
            "markouts",
            "Markout in basis points by time after the fill, for " + ", ".join(lines),
            curves(lines, [place for place, _ in _PLACES], "bps"),
            tuple(("line", SHADES[n], label) for n, label in enumerate(lines)),
        ),
        Table(
            "markouts",
            ("Fills", "Number", *(place for place, _ in _PLACES)),
            tuple(rows),
            "The mid's way in our favour from the price of the fill, in bps, weighted by value. Above zero the fill "
            "was still a gain by then; a curve that falls tells of adverse selection.",
        ),
    ]


def _markout(fills: NDArray[Any], at: str) -> float | None:
    known = fills[fills[at] > 0]
    qty, px = known["qty_1e8"].astype(np.float64), known["px_1e9"].astype(np.float64)
    traded = float((px * qty).sum())
    moved = float((known["side"] * (known[at] - known["px_1e9"]).astype(np.float64) * qty).sum())
    return moved / traded * 1e4 if traded else None


def _band(record: Recorded) -> list[Table | Note]:
    metrics = record.metrics
    names = [name for name in METRICS if f"band_{name}_low" in metrics and f"band_{name}_high" in metrics]
    if not names:
        return [Note("Only one queue model was run: how much the figures depend on it is not known.")]
    rows = []
    for name in names:
        scale = METRICS[name].scale
        low, here, high = metrics[f"band_{name}_low"], metrics.get(name), metrics[f"band_{name}_high"]
        bar = None if low is None or high is None else Bar(low, high, "range", here)
        rows.append(Row((titled(name), *(format_metric(value, scale) for value in (low, here, high))), bar))
    models = format_metric(metrics.get("band_models"), 0)
    own = str(record.evaluation.inputs.settings.get("queue_model", "")).replace("_", " ")
    note = (
        f"The same inputs under {models} queue models; the mark is this run's{own and f', {own}'}. Where the band is "
        "wide, the figure tells of the model rather than of the algo."
    )
    return [Table("band", ("Metric", "Lowest", "This run", "Highest"), tuple(rows), note, own_axes=True)]


def _rested(orders: NDArray[Any]) -> NDArray[Any]:
    arrived, done = orders["arrived_ns"], orders["done_ns"]
    rested: NDArray[Any] = orders[(orders["kind"] == NEW) & (arrived > 0) & (done > arrived)]
    return rested


def _latency(record: Recorded) -> list[Table | Chart | Note]:
    orders = record.log("orders", *_ORDERS)
    if orders is None:
        return [Note("No action was recorded.")]
    arrived = orders[(orders["arrived_ns"] > 0) & (orders["decided_ns"] > 0)]
    times = {
        label: (rows["arrived_ns"] - rows["decided_ns"])
        for kind, label in _ACTIONS
        if len(rows := arrived[arrived["kind"] == kind])
    }
    rested = _rested(orders)
    lifetimes = rested["done_ns"] - rested["arrived_ns"]
    rows = [_quantile_row(f"{label}: from decision to exchange", values) for label, values in times.items()]
    if len(lifetimes):
        rows.append(_quantile_row("Order at the exchange", lifetimes))
    parts: list[Table | Chart | Note] = []
    if rows:
        columns = ("Time", "Number", "Median", "p95", "p99", "Longest")
        parts.append(Table("latency", columns, tuple(rows), "Entry latencies are simulated, as the settings say."))
    if len(lifetimes):
        decades = _decades(lifetimes)
        label = "How long orders rested at the exchange, in percent by decade"
        parts.insert(0, Chart("lifetimes", label, steps(decades, "rested at least", "% of orders")))
    return parts or [Note("No action reached the exchange.")]


def _quantile_row(label: str, values: NDArray[Any]) -> Row:
    found = weighted_quantiles(values.astype(np.float64), np.ones(len(values)), (50, 95, 99, 100))
    return Row((label, f"{len(values):,}", *(span(value) for value in found.values())))


def _decades(lifetimes_ns: NDArray[Any]) -> list[tuple[str, float]]:
    """Return the share of orders in percent whose lifetime lies in each decade, those between named though empty."""
    decade = np.clip(np.floor(np.log10(np.maximum(lifetimes_ns, 1))).astype(int), 4, 13)
    counts = np.bincount(decade, minlength=int(decade.max()) + 1)
    first = int(decade.min())
    return [(_decade(power), 100 * float(counts[power]) / len(decade)) for power in range(first, len(counts))]


def _decade(power: int) -> str:
    start = 10**power
    unit, size = ("µs", 1_000) if start < 10**6 else ("ms", 10**6) if start < 10**9 else ("s", 10**9)
    return f"{start // size} {unit}"


def _fuel(record: Recorded) -> Table | Note:
    metrics, limits = record.metrics, record.limits
    per_callback = record.evaluation.inputs.settings.get("fuel_per_callback")
    hard = float(per_callback) if isinstance(per_callback, (int, str)) else None
    rows = []
    for name, limit, whose in (
        ("fuel_p50", limits.get("fuel_p50"), "gate"),
        ("fuel_p99", limits.get("fuel_p99"), "gate"),
        ("fuel_max", limits.get("fuel_max", hard), "gate" if "fuel_max" in limits else "trap"),
    ):
        value = metrics.get(name)
        if value is None:
            continue
        told = UNKNOWN if limit is None else f"{limit:,.0f} ({whose})"
        used = UNKNOWN if limit is None else share(value, limit)
        bar = None if not limit else Bar(0, 100 * value / limit, "loss" if value > limit else "range", 100.0)
        rows.append(Row((METRICS[name].label, shown(metrics, name), told, used), bar))
    if not rows:
        return Note("This evaluation did not measure fuel.")
    note = (
        f"WASM instructions of one callback, over {shown(metrics, 'callbacks')} callbacks: the same on every machine. "
        "The mark is the limit."
    )
    return Table("fuel", ("Callback", "Fuel", "Limit", "Used"), tuple(rows), note)

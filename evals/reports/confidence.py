"""What is told apart and how surely: intervals of the figures that have bounds, looks, trials; and pairs of runs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

import numpy as np

from evals.labels import METRICS, meaning_of
from evals.reports.recorded import Recorded
from evals.reports.series import has, has_columns, sample
from evals.reports.tables import UNKNOWN, Bar, Chart, Metrics, Note, Row, Section, Table, section
from evals.reports.timeline import against, fills_by_state
from evals.reports.vega import BAD, BUY, PRICE, SELL
from evals.reports.wording import figure, interval, money, share, shown, signed, span, titled, utc

_RAN: Final = (
    ("look", "Look"),
    ("compared_intervals", "Intervals compared"),
    ("block_length", "Block length"),
    ("bootstrap_draws", "Bootstrap draws"),
    ("trials", "Trials so far"),
    ("probabilistic_sharpe", "Probabilistic Sharpe"),
    ("deflated_sharpe", "Deflated Sharpe"),
    ("min_track_s", "Shortest track that would do"),
    ("detectable_diff_bps", "Difference found with power 0.9"),
)
_SAID: Final = {
    "look": "How often this bundle was looked at in this way; the intervals hold over all looks together",
    "compared_intervals": "Equal stretches of time of which both sides are known",
    "block_length": "Consecutive intervals that are drawn together, chosen from the data",
    "bootstrap_draws": "Samples behind the intervals",
    "trials": "Bundles of the same lineage that were evaluated before",
    "probabilistic_sharpe": "Probability that the true Sharpe ratio is above zero",
    "deflated_sharpe": "The same against the best of so many trials without skill",
    "min_track_s": "Time after which this Sharpe ratio would be told from zero",
    "detectable_diff_bps": "A smaller true difference is likely to be missed on this much data",
}

_COUNTED: Final = (("halts", "halts"), ("limit_breaches", "limit breaches"), ("recording_gaps", "recording gaps"))

_BOUND: Final = re.compile(r"_(lower|upper)\d\d$")

MOST_EVENTS: Final = 50
"""Events that the table lists."""


def bounds(metrics: Metrics, name: str, percent: int = 95) -> tuple[float, float] | None:
    """Return both ends of a figure's confidence interval, or None where it has none."""
    low, high = metrics.get(f"{name}_lower{percent}"), metrics.get(f"{name}_upper{percent}")
    return None if low is None or high is None else (float(low), float(high))


def is_bound(name: str) -> bool:
    """Tell whether a metric is an end of another one's confidence interval."""
    return _BOUND.search(name) is not None


def bounded(metrics: Metrics) -> list[str]:
    """Return the figures that have bounds, in the order of the labels."""
    names = _in_order(name.removesuffix("_lower95") for name in metrics if name.endswith("_lower95"))
    return [name for name in names if name in metrics]


def _in_order(names: Iterable[str]) -> list[str]:
    """Return metrics in the order of the labels; a record keeps them in that of the alphabet."""
    places = {name: place for place, name in enumerate(METRICS)}
    return sorted(names, key=lambda name: (places.get(name, len(places)), name))


def statistics_section(record: Recorded) -> Section:
    """Return the figures with their intervals at 90, 95 and 99 %, and what these rest on."""
    metrics = record.metrics
    rows = []
    for name in bounded(metrics):
        scale = 10 ** meaning_of(name).scale
        ends = bounds(metrics, name)
        value = metrics[name]
        told = (UNKNOWN if value is None else shown(metrics, name), *(_told(metrics, name, p) for p in (90, 95, 99)))
        bar = None if ends is None else Bar(ends[0] / scale, ends[1] / scale, "range", _scaled(value, scale))
        rows.append(Row((titled(name), *told), bar))
    intervals = None
    if rows:
        intervals = Table(
            "intervals",
            ("Figure", "Value", "90 %", "95 %", "99 %"),
            tuple(rows),
            "Confidence intervals by a block bootstrap; the bar is the one of 95 %, its mark the value, the thin line "
            "zero. Every bar has an axis of its own.",
            own_axes=True,
        )
    ran = tuple(Row((label, _ran(metrics, name), _SAID[name])) for name, label in _RAN if metrics.get(name) is not None)
    rested = Table("statistics", ("Statistic", "Value", "Meaning"), ran) if ran else None
    return section("Statistics", intervals, rested)


def _scaled(value: float | None, scale: int) -> float | None:
    return None if value is None else value / scale


def _told(metrics: Metrics, name: str, percent: int) -> str:
    ends, scale = bounds(metrics, name, percent), 10 ** meaning_of(name).scale
    return UNKNOWN if ends is None else interval(ends[0] / scale, ends[1] / scale)


def _ran(metrics: Metrics, name: str) -> str:
    value = metrics[name]
    if name == "min_track_s" and value is not None:
        return span(value * 1e9)
    if name in {"probabilistic_sharpe", "deflated_sharpe"}:
        return figure(value, 3)
    return f"{shown(metrics, name)} bps" if name.endswith("_bps") else shown(metrics, name)


def shadow_sections(record: Recorded) -> list[Section]:
    """Return what a candidate is against its incumbent."""
    return [
        section(
            "Candidate against incumbent",
            Note(_verdict(record.metrics)),
            difference_table(record.metrics, "pnl_diff_bps", "pnl_diff_1e9"),
            _pair_chart(
                record, {"candidate": "equity", "incumbent": "incumbent_equity"}, "candidate_1e9", "pnl_diff_bps"
            ),
            side_by_side(record.metrics, "incumbent_", ("Metric", "Candidate", "Incumbent", "Difference")),
            _agreement(record.metrics),
        )
    ]


def review_sections(record: Recorded) -> list[Section]:
    """Return what a deployment's recording is against its replay twin."""
    metrics = record.metrics
    return [
        section(
            "Live against its replay twin",
            gaps_note(metrics),
            difference_table(metrics, "pnl_drift_bps", "pnl_drift_1e9"),
            _pair_chart(record, {"live": "equity", "twin": "twin_equity"}, "realised_1e9", "pnl_drift_bps"),
            side_by_side(metrics, "twin_", ("Metric", "Live", "Twin", "Difference")),
        ),
        section("Fills, live and simulated", *_matched(record)),
        history_section(record),
    ]


def gaps_note(metrics: Metrics) -> Note | None:
    """Return a loud note where a recording has gaps."""
    gaps = metrics.get("recording_gaps")
    return Note(f"Gaps of the recording: {gaps:,}. What happened in them is not known.", loud=True) if gaps else None


def history_section(record: Recorded) -> Section:
    """Return the history of halts and limit events."""
    return section("Halts and limits", *_events(record))


def _verdict(metrics: Metrics) -> str:
    comparison, ends = metrics.get("comparison"), bounds(metrics, "pnl_diff_bps")
    if comparison is None or ends is None:
        return "The difference cannot be judged: there are too few intervals to tell it from chance."
    said = {1: "Better than the incumbent", -1: "Worse than the incumbent"}.get(
        int(comparison), "Not told apart from the incumbent"
    )
    zero = "lies above zero" if ends[0] > 0 else "lies below zero" if ends[1] < 0 else "holds zero"
    look = metrics.get("look")
    looked = "" if look is None else f", at look {look}"
    value = signed(_float(metrics.get("pnl_diff_bps")))
    return (
        f"{said}: the difference is {value} bps of the capital and its 95 % interval, {interval(*ends)}, "
        f"{zero}{looked}."
    )


def _float(value: float | None) -> float | None:
    return None if value is None else float(value)


def difference_table(metrics: Metrics, name: str, money_name: str, of: str = "of the capital") -> Table | None:
    """Return a difference with its intervals as bars on one axis."""
    value = metrics.get(name)
    if value is None:
        return None
    rows = []
    for percent in (90, 95, 99):
        ends = bounds(metrics, name, percent)
        bar = None if ends is None else Bar(*ends, "range", float(value))
        rows.append(Row((f"{percent} %", UNKNOWN if ends is None else interval(*ends)), bar))
    amount = metrics.get(money_name)
    whole = "" if amount is None else f" ({money(amount)} ccy)"
    note = f"The difference is {signed(float(value))} bps {of}{whole}: the mark in the bars, whose thin line is zero."
    return Table(name, ("Confidence", "Difference, bps"), tuple(rows), note)


def _pair_chart(record: Recorded, logs: dict[str, str], first: str, name: str) -> Chart | None:
    """Return two equities and their cumulative difference, with the interval of the whole at the end."""
    differences = record.logs.get("differences")
    if differences is None or not has(differences, "at_ns"):
        return None
    columns = [each for each in differences.dtype.names or () if each != "at_ns"]
    mine = first if first in columns else columns[0]
    other = next((each for each in columns if each != mine), None)
    if other is None:
        return None
    found = {label: record.log(of, "exchange_ns", "equity_1e9") for label, of in logs.items()}
    curves = {label: rows for label, rows in found.items() if rows is not None}
    names = tuple(logs)
    marks = marks_of(record)
    shades = ("line", BUY), ("line", SELL)
    drawn = [(*shades[n], name) for n, name in enumerate(curves)]
    return Chart(
        "against",
        f"Equity of {names[0]} and {names[1]} over time, and their cumulative difference below",
        against(curves, differences["at_ns"], differences[mine] - differences[other], _ends_1e9(record, name), marks),
        (
            *drawn,
            ("line", PRICE, f"{names[0]} less {names[1]}"),
            ("bar", BUY, "95 % interval of the whole difference"),
        ),
        "In ccy; times are UTC." + (" Dashed lines are halts and limit events." if marks else ""),
    )


def _ends_1e9(record: Recorded, name: str) -> tuple[float, float] | None:
    ends, capital = bounds(record.metrics, name), record.capital_1e9
    return None if ends is None or capital is None else (ends[0] * capital / 1e4, ends[1] * capital / 1e4)


def side_by_side(metrics: Metrics, prefix: str, columns: tuple[str, ...]) -> Table | None:
    """Return the metrics that there are with and without a prefix."""
    names = _in_order(name.removeprefix(prefix) for name in metrics if name.startswith(prefix))
    rows = []
    for name in names:
        if name in metrics:
            mine, other = metrics[name], metrics[prefix + name]
            rows.append(Row((titled(name), shown(metrics, name), _like(name, other), difference(name, mine, other))))
    return Table("side-by-side", columns, tuple(rows)) if rows else None


def _like(name: str, value: float | None) -> str:
    return shown({name: value}, name)


def difference(name: str, mine: float | None, other: float | None) -> str:
    """Return mine less other as the metric is written, with its sign."""
    if mine is None or other is None:
        return UNKNOWN
    text = _like(name, mine - other)
    if not text.strip("-0.,"):
        return text.lstrip("-")
    return f"+{text}" if mine > other else text


def _agreement(metrics: Metrics) -> Table | None:
    known = (("action_agreement", "Agreement of actions"), ("inventory_overlap", "Overlap of inventory"))
    rows = [
        Row((label, share(value, 1)), Bar(0, 100 * float(value), "range", 100.0))
        for name, label in known
        if (value := metrics.get(name)) is not None
    ]
    note = "How often both did the same, and how much of what they held was on the same side at the same time."
    return Table("agreement", ("Alike", "Share"), tuple(rows), note) if rows else None


def _matched(record: Recorded) -> list[Table | Chart | Note]:
    """Return the fills of both by whether the other had them too, and what their prices and markouts differ by."""
    metrics, drawn = record.metrics, _fills_chart(record)
    rows = []
    for name, log in (("Live", "fills"), ("Twin", "twin_fills")):
        if (fills := record.logs.get(log)) is not None:
            rows.append(Row((f"{name} fills", f"{len(fills):,}")))
    if metrics.get("fill_match") is not None:
        rows.append(Row(("Matched, by quantity of both", share(metrics["fill_match"] or 0, 1))))
    for name in ("slippage_bps", "markout_drift_1s_bps"):
        if metrics.get(name) is not None:
            ends = bounds(metrics, name)
            told = f" ({interval(*ends)})" if ends else ""
            rows.append(Row((titled(name), f"{shown(metrics, name)}{told}")))
    table = Table("matched", ("Fills", "Value"), tuple(rows)) if rows else Note("No fills were recorded.")
    return [table] if drawn is None else [drawn, table]


_FILL: Final = ("exchange_ns", "px_1e9", "qty_1e8", "side")
_STATES: Final = (("matched", BUY), ("live only", BAD), ("twin only", SELL))


def _fills_chart(record: Recorded) -> Chart | None:
    live, twin = record.logs.get("fills"), record.logs.get("twin_fills")
    equity, matches = record.log("equity", "exchange_ns", "mid_1e9"), record.logs.get("matches")
    if live is None or twin is None or matches is None or equity is None or len(live) + len(twin) == 0:
        return None
    columns = (has_columns(live, *_FILL), has_columns(twin, *_FILL), has_columns(matches, "realised_row", "twin_row"))
    if not all(columns):
        return None
    ours, theirs = np.zeros(len(live), bool), np.zeros(len(twin), bool)
    ours[matches["realised_row"]] = True
    theirs[matches["twin_row"]] = True
    groups = {"matched": live[ours], "live only": live[~ours], "twin only": twin[~theirs]}
    counts = ", ".join(f"{len(rows):,} {name}" for name, rows in groups.items())
    return Chart(
        "fills",
        f"Fills of the deployment and of its twin on the mid price: {counts}",
        fills_by_state(equity, {name: sample(rows) for name, rows in groups.items()}, dict(_STATES)),
        (("line", PRICE, "mid price"), *(("dot", colour, name) for name, colour in _STATES)),
        f"{counts.capitalize()}. Triangles point up for a buy, down for a sell. Times are UTC.",
    )


def events_of(record: Recorded) -> list[tuple[int, str]]:
    """Return the moments of a deployment's events with what happened, signs of life left out."""
    events = record.log("events", "at_ns", "kind")
    if events is None:
        return []
    texts = events["detail"] if "detail" in (events.dtype.names or ()) else [""] * len(events)
    said = [
        (int(at_ns), _said(kind), str(text))
        for at_ns, kind, text in zip(events["at_ns"].tolist(), events["kind"].tolist(), texts, strict=True)
    ]
    return [(at_ns, f"{kind}{text and f': {text}'}") for at_ns, kind, text in said if kind != "heartbeat"]


def marks_of(record: Recorded) -> list[tuple[int, str]]:
    """Return the events to draw: all but the ordinary start and stop."""
    return [(at_ns, what) for at_ns, what in events_of(record) if not what.startswith(("start", "stop"))]


def _said(kind: object) -> str:
    from evals.recordings.schema import EVENT_KINDS

    known = isinstance(kind, int) and 0 <= kind < len(EVENT_KINDS)
    return (EVENT_KINDS[int(str(kind))] if known else str(kind)).replace("_", " ")


def _events(record: Recorded) -> list[Table | Note]:
    metrics, events = record.metrics, events_of(record)
    counts = [f"{shown(metrics, name)} {what}" for name, what in _COUNTED if metrics.get(name) is not None]
    parts: list[Table | Note] = [Note(f"{', '.join(counts).capitalize()}.")] if counts else []
    if events:
        rows = tuple(Row((utc(at_ns), what)) for at_ns, what in events[:MOST_EVENTS])
        more = f"The first {MOST_EVENTS} of {len(events):,}." if len(events) > MOST_EVENTS else ""
        parts.append(Table("events", ("Time, UTC", "Event"), rows, more))
    return parts or [Note("The record holds no history of halts and limits.")]

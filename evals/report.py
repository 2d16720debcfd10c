"""One evaluation as a self-contained HTML page: verdict and why, price with own fills, equity, inventory, metrics.

The page loads nothing from anywhere (Vega is inlined from vl-convert) and can be mailed, archived or opened on a phone.
"""

from __future__ import annotations

import html
import io
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pyarrow.parquet as pq
import vl_convert

from bundles.canonical import short_id
from bundles.catalog import Catalog
from bundles.evidence import Evaluation
from bundles.gates import GateResult
from evals.engine.layout import FILL_REASONS

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_POINTS: Final = 4_000
"""Points that one line of a chart keeps; a longer series keeps the extremes of equal stretches of time."""

MOST_FILLS: Final = 3_000
"""Fills that the price chart shows, and as many quotes; of more, an even sample."""


class Meaning(NamedTuple):
    """What a metric says: label, the power of ten that its stored integer carries, unit and explanation."""

    group: str
    label: str
    scale: int
    unit: str
    text: str


METRICS: Final[dict[str, Meaning]] = {
    "traps": Meaning("Safety", "Traps", 0, "", "Callbacks in which the WASM module broke"),
    "risk_breaches": Meaning("Safety", "Risk breaches", 0, "", "Actions that the risk limits refused"),
    "rejects": Meaning("Safety", "Rejects", 0, "", "Actions refused for any reason"),
    "net_pnl_1e9": Meaning("Profit", "Net P&L", 9, "quote", "Profit or loss after fees, inventory at the last mid"),
    "gross_pnl_1e9": Meaning("Profit", "Gross P&L", 9, "quote", "Before fees"),
    "spread_pnl_1e9": Meaning("Profit", "Spread P&L", 9, "quote", "Earned against the mid at the moment of each fill"),
    "inventory_pnl_1e9": Meaning("Profit", "Inventory P&L", 9, "quote", "Earned by holding while the mid moved"),
    "fees_1e9": Meaning("Profit", "Fees", 9, "quote", "Paid to the venue; negative is a rebate"),
    "return_bps": Meaning("Profit", "Return", 0, "bps", "Net P&L over the capital of the settings"),
    "sharpe": Meaning("Profit", "Sharpe ratio", 0, "", "Of one-second equity changes, annualised over 365 days"),
    "max_drawdown_1e9": Meaning(
        "Profit", "Largest drawdown", 9, "quote", "Deepest fall of equity below an earlier peak"
    ),
    "max_drawdown_pct": Meaning("Profit", "Largest drawdown", 0, "%", "The same, of the capital"),
    "fills": Meaning("Trading", "Fills", 0, "", "Executions, partial ones included"),
    "maker_fills": Meaning("Trading", "Maker fills", 0, "", "Of them, executions of a resting order"),
    "orders": Meaning("Trading", "Orders", 0, "", "New orders sent"),
    "cancels": Meaning("Trading", "Cancels", 0, "", "Cancellations sent"),
    "amends": Meaning("Trading", "Amends", 0, "", "Amendments sent"),
    "fill_ratio": Meaning("Trading", "Fill ratio", 0, "", "Orders with at least one fill, of all orders"),
    "cancel_ratio": Meaning("Trading", "Cancel ratio", 0, "", "Cancels over orders"),
    "order_to_trade": Meaning("Trading", "Order-to-trade", 0, "", "Orders, cancels and amends for each fill"),
    "volume_notional_1e9": Meaning("Trading", "Volume", 9, "quote", "Notional of all fills"),
    "turnover": Meaning("Trading", "Turnover", 0, "x", "Volume over the capital"),
    "quote_uptime": Meaning("Trading", "Quote uptime", 0, "", "Share of time with a quote on both sides"),
    "time_at_touch": Meaning("Trading", "Time at touch", 0, "", "Share of time with a quote at the best price"),
    "final_position_1e8": Meaning("Inventory", "Final position", 8, "base", "Held at the end"),
    "max_abs_position_1e8": Meaning("Inventory", "Largest position", 8, "base", "Largest absolute position"),
    "mean_abs_position_1e8": Meaning(
        "Inventory", "Mean position", 8, "base", "Time-weighted mean of the absolute position"
    ),
    "markout_100ms_bps": Meaning(
        "Fill quality", "Markout 100 ms", 0, "bps", "Mid's move in our favour 100 ms after a fill"
    ),
    "markout_1s_bps": Meaning("Fill quality", "Markout 1 s", 0, "bps", "The same after 1 s"),
    "markout_10s_bps": Meaning("Fill quality", "Markout 10 s", 0, "bps", "The same after 10 s"),
    "callbacks": Meaning("Compute", "Callbacks", 0, "", "Times the algo was called"),
    "fuel_p50": Meaning(
        "Compute", "Fuel, median", 0, "fuel", "WASM instructions a callback uses; equal on every machine"
    ),
    "fuel_p99": Meaning("Compute", "Fuel, p99", 0, "fuel", "99 of 100 callbacks use at most this"),
    "fuel_max": Meaning("Compute", "Fuel, largest", 0, "fuel", "The most that one callback used"),
}
"""The metrics of a replay in the order in which a report shows them."""


def metric_rows(metrics: Mapping[str, int | float | None]) -> list[tuple[str, str, str, str, str]]:
    """Return (group, label, value, unit, meaning) of every metric, known ones first in reading order."""
    rows = []
    for name, meaning in METRICS.items():
        if name in metrics:
            value = format_metric(metrics[name], meaning.scale)
            rows.append((meaning.group, meaning.label, value, meaning.unit, meaning.text))
    for name in sorted(set(metrics) - set(METRICS)):
        code = name.removeprefix("rejects_")
        known = ("Rejects by code", code.replace("_", " ").upper(), "Refused with this code of the platform")
        group, label, text = known if code != name else ("Other", name, "")
        rows.append((group, label, format_metric(metrics[name], 0), "", text))
    return rows


def format_metric(value: float | None, scale: int) -> str:
    """Return a metric as people read it: scaled from its stored integer, thousands apart, a dash where undefined."""
    if value is None:
        return "\N{EN DASH}"
    if isinstance(value, int) and scale == 0:
        return f"{value:,}"
    scaled = value / 10**scale
    if scale == 8:
        return f"{scaled:,.8f}".rstrip("0").rstrip(".")
    return f"{scaled:,.2f}" if abs(scaled) >= 10 else f"{scaled:,.4f}"


def report_of(catalog: Catalog, evaluation: Evaluation, gate: GateResult | None) -> str:
    """Return the report of a recorded evaluation; its fills, orders and equity come from the store, verified."""
    dataset = catalog.dataset(short_id("data", evaluation.inputs.datasets[0]))
    bundle = short_id("bun", evaluation.inputs.bundle)
    logs = {name: _read_log(catalog.blob(evaluation.outputs[name].digest)) for name in ("fills", "orders", "equity")}
    title = f"{evaluation.inputs.kind.capitalize()} of {bundle} on {dataset.venue} {dataset.symbol}"
    return render_report(evaluation, gate, title=title, **logs)


def _read_log(content: bytes) -> NDArray[Any]:
    """Return a recorded parquet log as the structured array that it was written from."""
    table = pq.read_table(io.BytesIO(content))
    columns = [table[name].to_numpy() for name in table.column_names]
    dtype = np.dtype([(name, column.dtype) for name, column in zip(table.column_names, columns, strict=True)])
    rows = np.empty(table.num_rows, dtype)
    for name, column in zip(table.column_names, columns, strict=True):
        rows[name] = column
    return rows


def render_report(
    evaluation: Evaluation,
    gate: GateResult | None,
    *,
    title: str,
    fills: NDArray[Any],
    orders: NDArray[Any],
    equity: NDArray[Any],
) -> str:
    """Return the report as one HTML page.

    ``fills``, ``orders`` and ``equity`` are the structured arrays of the replay (FILL_LOG, ORDER_LOG and EQUITY_LOG of
    `evals.engine.layout`); ``gate`` is None where no rule judged the evaluation.
    """
    verdict = gate.verdict if gate else "unjudged"
    coverage = evaluation.coverage
    detail = f": {evaluation.status_detail}" if evaluation.status_detail else ""
    quotes = orders[
        (orders["kind"] == 0)
        & (orders["arrived_ns"] > 0)
        & (orders["done_ns"] > orders["arrived_ns"])
        & (orders["px_1e9"] > 0)
    ]
    shown_fills, shown_quotes = _sample(fills), _sample(quotes)
    parts = {
        "title": _text(title),
        "verdict": _text(verdict),
        "verdict_class": _text(verdict),
        "lead": _text(
            f"{_utc(coverage.first_ns)} to {_utc(coverage.last_ns)} UTC · {coverage.events:,} events in "
            f"{coverage.packets:,} packets · run {evaluation.status}{detail}"
        ),
        "figures": _figures(evaluation),
        "checklist": _checklist(gate),
        "legend": _LEGEND,
        "chart_note": _text(
            _chart_note({"fills": (len(shown_fills), len(fills)), "quotes": (len(shown_quotes), len(quotes))})
        ),
        "metrics": _metric_table(evaluation.metrics),
        "validation": _validation(evaluation.validation),
        "provenance": _provenance(evaluation),
        "eval_id": _text(evaluation.eval_id),
        "spec": _script_json(_charts(_thin(equity), shown_fills, shown_quotes)),
        "vega": _vega(),
    }
    page = resources.files("evals").joinpath("report.html").read_text("utf-8")
    head, *rest = page.split("{{")
    return head + "".join(parts[name] + tail for name, tail in (piece.split("}}", 1) for piece in rest))


_LEGEND: Final = (
    '<span><i class="swatch" style="background:var(--price)"></i>mid price</span>'
    '<span><i class="swatch" style="background:var(--buy);opacity:.5"></i>own bids</span>'
    '<span><i class="swatch" style="background:var(--sell);opacity:.5"></i>own offers</span>'
    '<span><b class="up">▲</b> own buy</span><span><b class="down">▼</b> own sell</span>'
)


def _chart_note(counts: Mapping[str, tuple[int, int]]) -> str:
    samples = [f"{shown:,} of {total:,} {what}" for what, (shown, total) in counts.items() if shown < total]
    drawn = f" Drawn: an even sample of {' and '.join(samples)}." if samples else ""
    return (
        f"Drag to pan, Alt and scroll to zoom, double-click to reset: all three charts together. Times are UTC.{drawn}"
    )


def _sample(rows: NDArray[Any]) -> NDArray[Any]:
    return rows[:: -(-max(len(rows), 1) // MOST_FILLS)]


@cache
def _vega() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script; vl-convert takes two seconds to bundle it."""
    script: str = vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")
    return script.replace("</script", "<\\/script")


def _text(value: object) -> str:
    return html.escape(str(value), quote=True)


def _script_json(value: object) -> str:
    """Return JSON that is safe inside a script element."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _utc(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // 10**9, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _figures(evaluation: Evaluation) -> str:
    chosen = ("net_pnl_1e9", "max_drawdown_1e9", "fills", "max_abs_position_1e8", "risk_breaches", "fuel_p99")
    cells = []
    for name in chosen:
        if name in evaluation.metrics:
            meaning = METRICS[name]
            value = format_metric(evaluation.metrics[name], meaning.scale)
            label = f"{meaning.label}, {meaning.unit}" if meaning.unit else meaning.label
            cells.append(f'<div class="figure"><b>{_text(value)}</b><span>{_text(label)}</span></div>')
    return "".join(cells)


def _checklist(gate: GateResult | None) -> str:
    if gate is None:
        return '<p class="note">No gate rule judged this evaluation.</p>'
    marks = {True: ("yes", "✓", "met"), False: ("no", "✗", "not met"), None: ("unknown", "?", "cannot be judged")}
    items = []
    for check in gate.checks:
        css, sign, spoken = marks[check.ok]
        tag = '<span class="tag">dry run</span>' if check.dry_run else ""
        items.append(
            f'<li><span class="mark {css}" title="{spoken}">{sign}</span><span>{_text(check.text)}</span>{tag}</li>'
        )
    return f'<ul class="checks">{"".join(items)}</ul>'


def _metric_table(metrics: Mapping[str, int | float | None]) -> str:
    rows, current = [], ""
    for group, label, value, unit, meaning in metric_rows(metrics):
        if group != current:
            current = group
            rows.append(f'<tr><th class="group" colspan="4">{_text(group)}</th></tr>')
        rows.append(
            f'<tr><td>{_text(label)}</td><td class="value">{_text(value)}</td><td class="unit">{_text(unit)}</td>'
            f'<td class="meaning">{_text(meaning)}</td></tr>'
        )
    return "".join(rows)


def _validation(counts: Mapping[str, int]) -> str:
    if not counts:
        return '<p class="note">The dataset carries no validation summary.</p>'
    rows = "".join(
        f'<tr><td>{_text(name.replace("_", " "))}</td><td class="value">{count:,}</td></tr>'
        for name, count in sorted(counts.items())
    )
    return f"<table><tbody>{rows}</tbody></table>"


def _provenance(evaluation: Evaluation) -> str:
    inputs = evaluation.inputs
    engine = ", ".join(
        [
            f"{inputs.engine.name} {inputs.engine.version}",
            *(f"{k} {v}" for k, v in sorted(inputs.engine.runtime.items())),
        ]
    )
    rows = [
        ("Evaluation", evaluation.eval_id),
        ("Bundle", inputs.bundle),
        *(("Dataset", digest) for digest in inputs.datasets),
        ("Result", evaluation.result_digest),
        ("Engine", engine),
        ("Engine source", inputs.engine.source),
        ("Seed", inputs.seed),
        ("Settings", json.dumps(inputs.settings, sort_keys=True)),
    ]
    return "".join(f"<tr><th>{_text(name)}</th><td><code>{_text(value)}</code></td></tr>" for name, value in rows)


def _thin(equity: NDArray[Any]) -> NDArray[Any]:
    """Keep the lowest and highest equity, position and mid of equal stretches of rows, and both ends."""
    if len(equity) <= MOST_POINTS:
        return equity
    columns = ("equity_1e9", "position_1e8", "mid_1e9")
    edges = np.linspace(0, len(equity), MOST_POINTS // (2 * len(columns)) + 1, dtype=np.int64)
    keep = {0, len(equity) - 1}
    for start, stop in pairwise(edges):
        for column in columns:
            stretch = equity[column][start:stop]
            keep.update((int(start + stretch.argmin()), int(start + stretch.argmax())))
    return equity[sorted(keep)]


def _charts(equity: NDArray[Any], fills: NDArray[Any], quotes: NDArray[Any]) -> dict[str, Any]:
    """Return the Vega-Lite specification: three charts over one time axis, zoomed together."""
    samples = [
        {
            "t": int(row["exchange_ns"]) / 1e6,
            "mid": int(row["mid_1e9"]) / 1e9,
            "eq": int(row["equity_1e9"]) / 1e9,
            "pos": int(row["position_1e8"]) / 1e8,
        }
        for row in equity
    ]
    executions = [
        {
            "t": int(row["exchange_ns"]) / 1e6,
            "px": int(row["px_1e9"]) / 1e9,
            "qty": int(row["qty_1e8"]) / 1e8,
            "side": "buy" if row["side"] > 0 else "sell",
            "fee": int(row["fee_1e9"]) / 1e9,
            "why": FILL_REASONS[row["reason"]].replace("_", " "),
            "ahead": int(row["queue_ahead_1e8"]) / 1e8,
        }
        for row in fills
    ]
    resting = [
        {
            "t": int(row["arrived_ns"]) / 1e6,
            "end": int(row["done_ns"]) / 1e6,
            "px": int(row["px_1e9"]) / 1e9,
            "side": "buy" if row["side"] > 0 else "sell",
        }
        for row in quotes
    ]
    time_axis = {"field": "t", "type": "temporal", "scale": {"type": "utc"}}
    bare = {"x": {**time_axis, "axis": {"labels": False, "ticks": False, "title": None, "domain": False}}}
    dated = {"x": {**time_axis, "axis": {"title": None, "format": "%H:%M:%S", "labelOverlap": True}}}

    def line(field: str, title: str, colour: str, step: bool = False) -> dict[str, Any]:
        mark = {"type": "line", "strokeWidth": 1.4, "color": colour, **({"interpolate": "step-after"} if step else {})}
        axis = {"title": title, "minExtent": 52, "maxExtent": 52, "tickCount": 5}
        return {
            "mark": mark,
            "encoding": {"y": {"field": field, "type": "quantitative", "scale": {"zero": False}, "axis": axis}},
        }

    colours = {"domain": ["buy", "sell"], "range": ["var(--buy)", "var(--sell)"]}
    side = {"field": "side", "type": "nominal", "legend": None}
    own_quotes = {
        "data": {"values": resting},
        "mark": {"type": "rule", "opacity": 0.35, "strokeWidth": 1},
        "encoding": {
            "x2": {"field": "end"},
            "y": {"field": "px", "type": "quantitative"},
            "color": {**side, "scale": colours},
        },
    }
    markers = {
        "data": {"values": executions},
        "mark": {"type": "point", "filled": True, "size": 46, "opacity": 0.85},
        "encoding": {
            "y": {"field": "px", "type": "quantitative"},
            "color": {**side, "scale": colours},
            "shape": {**side, "scale": {"domain": colours["domain"], "range": ["triangle-up", "triangle-down"]}},
            "tooltip": [
                {"field": "t", "type": "temporal", "title": "time", "timeUnit": "utchoursminutessecondsmilliseconds"},
                {"field": "side", "title": "side"},
                {"field": "px", "type": "quantitative", "title": "price", "format": ",.2f"},
                {"field": "qty", "type": "quantitative", "title": "size"},
                {"field": "fee", "type": "quantitative", "title": "fee", "format": ",.4f"},
                {"field": "why", "title": "reason"},
                {"field": "ahead", "type": "quantitative", "title": "queue ahead", "format": ",.4f"},
            ],
        },
    }
    zoom = {
        "name": "zoom",
        "select": {"type": "interval", "encodings": ["x"], "zoom": "wheel![event.altKey]"},
        "bind": "scales",
    }
    zero = {
        "data": {"values": [{}]},
        "mark": {"type": "rule", "color": "var(--line)"},
        "encoding": {"y": {"datum": 0}, "x": None},
    }
    return {
        "$schema": "https://vega.github.io/schema/vega-lite/v6.json",
        "data": {"values": samples},
        "background": "transparent",
        "spacing": 14,
        "vconcat": [
            {
                "height": 260,
                "encoding": bare,
                "layer": [own_quotes, line("mid", "Price", "var(--price)") | {"params": [zoom]}, markers],
            },
            {
                "height": 130,
                "encoding": bare,
                "layer": [zero, line("eq", "Equity", "var(--good)") | {"params": [zoom]}],
            },
            {
                "height": 110,
                "encoding": dated,
                "layer": [zero, line("pos", "Inventory", "var(--buy)", step=True) | {"params": [zoom]}],
            },
        ],
        "resolve": {"scale": {"x": "shared"}},
        "config": {
            "view": {"stroke": None},
            "axis": {
                "labelColor": "var(--soft)",
                "titleColor": "var(--soft)",
                "titleFontWeight": "normal",
                "gridColor": "var(--grid)",
                "domainColor": "var(--line)",
                "tickColor": "var(--line)",
            },
        },
    }

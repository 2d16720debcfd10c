"""One evaluation as a self-contained HTML page: verdict and why, price with own fills, equity, inventory, metrics.

The page loads nothing from anywhere (Vega is inlined from vl-convert) and can be mailed, archived or opened on a phone.
"""

from __future__ import annotations

import html
import io
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow.parquet as pq
import vl_convert

from bundles.canonical import short_id
from bundles.catalog import Catalog
from bundles.evidence import Evaluation
from bundles.gates import GateResult
from evals.bars import band_table, profit_split
from evals.charts import shown_symbols, specification
from evals.labels import METRICS, format_metric, meaning_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_FILLS: Final = 3_000
"""Fills that the price chart shows, and as many quotes; of more, an even sample."""

MOST_MARKETS: Final = 4
"""Markets that the title names."""


def metric_rows(metrics: Mapping[str, int | float | None]) -> list[tuple[str, str, str, str, str]]:
    """Return (group, label, value, unit, meaning) of every metric, known ones first in reading order."""
    known = [name for name in METRICS if name in metrics]
    meanings = {name: meaning_of(name) for name in sorted(set(metrics) - set(known))}
    others = sorted(meanings, key=lambda name: (meanings[name].group == "Other", meanings[name].group))
    rows = []
    for name in (*known, *others):
        meaning = meaning_of(name)
        value = format_metric(metrics[name], meaning.scale)
        rows.append((meaning.group, meaning.label, value, meaning.unit, meaning.text))
    return rows


def report_of(catalog: Catalog, evaluation: Evaluation, gate: GateResult | None) -> str:
    """Return the report of a recorded evaluation; its fills, orders and equity come from the store, verified."""
    datasets = [catalog.dataset(short_id("data", digest)) for digest in evaluation.inputs.datasets]
    assets = sorted({(dataset.symbol, dataset.venue) for dataset in datasets})
    bundle = short_id("bun", evaluation.inputs.bundle)
    logs = {name: _read_log(catalog.blob(evaluation.outputs[name].digest)) for name in ("fills", "orders", "equity")}
    markets = ", ".join(f"{venue} {symbol}" for symbol, venue in assets[:MOST_MARKETS])
    more = f" and {len(assets) - MOST_MARKETS} more" if len(assets) > MOST_MARKETS else ""
    title = f"{evaluation.inputs.kind.capitalize()} of {bundle} on {markets}{more}"
    return render_report(evaluation, gate, title=title, assets=[symbol for symbol, _ in assets], **logs)


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
    assets: Sequence[str] = ("",),
) -> str:
    """Return the report as one HTML page.

    ``fills``, ``orders`` and ``equity`` are the structured arrays of the replay (FILL_LOG, ORDER_LOG and EQUITY_LOG of
    `evals.engine.layout`); ``gate`` is None where no rule judged the evaluation; ``assets`` is the symbol of each
    asset by index.
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
            _chart_note(
                {
                    "symbols": (len(shown_symbols(fills, assets)), len(set(assets))),
                    "fills": (len(shown_fills), len(fills)),
                    "quotes": (len(shown_quotes), len(quotes)),
                }
            )
        ),
        "split": profit_split(evaluation.metrics, format_metric) or _UNKNOWN_SPLIT,
        "band": _band(evaluation),
        "metrics": _metric_table(evaluation.metrics),
        "validation": _validation(evaluation.validation),
        "provenance": _provenance(evaluation),
        "eval_id": _text(evaluation.eval_id),
        "spec": _script_json(specification(equity, shown_fills, shown_quotes, assets)),
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
    parts = [f"{shown:,} of {total:,} {what}" for what, (shown, total) in counts.items() if shown < total]
    drawn = f" Drawn: {', '.join(parts)}; of fills and quotes an even sample." if parts else ""
    return f"Drag to pan, Alt and scroll to zoom, double-click to reset: all charts together. Times are UTC.{drawn}"


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


def _in_table(metrics: Mapping[str, int | float | None]) -> dict[str, int | float | None]:
    """Leave out what has a section of its own, and the reject codes that nothing was refused with."""
    return {
        name: value
        for name, value in metrics.items()
        if not name.startswith(("band_", "tape_")) and not (name.startswith("rejects_") and value == 0)
    }


def _metric_table(metrics: Mapping[str, int | float | None]) -> str:
    rows, current = [], ""
    for group, label, value, unit, meaning in metric_rows(_in_table(metrics)):
        if group != current:
            current = group
            rows.append(f'<tr><th class="group" colspan="4">{_text(group)}</th></tr>')
        rows.append(
            f'<tr><td>{_text(label)}</td><td class="value">{_text(value)}</td><td class="unit">{_text(unit)}</td>'
            f'<td class="meaning">{_text(meaning)}</td></tr>'
        )
    return "".join(rows)


_UNKNOWN_SPLIT: Final = '<p class="note">This evaluation does not say where its result came from.</p>'


def _band(evaluation: Evaluation) -> str:
    table = band_table(evaluation.metrics, format_metric)
    if not table:
        return '<p class="note">Only one queue model was run: how much the figures depend on it is not known.</p>'
    models = format_metric(evaluation.metrics.get("band_models"), 0)
    own = str(evaluation.inputs.settings.get("queue_model", "")).replace("_", " ")
    note = f"The same inputs under {models} queue models; the mark is this run's{own and f', {own}'}."
    wide = "Where the band is wide, the figure tells of the model rather than of the algo."
    return f'{table}<p class="note">{_text(note)} {wide}</p>'


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

"""The HTML report: complete, self-contained, and safe whatever names people give."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from bundles.canonical import digest_of
from bundles.evidence import Coverage, EngineFingerprint, Evaluation, EvaluationInputs
from bundles.gates import Check, GateResult
from evals.bars import profit_split
from evals.charts import MOST_POINTS, MOST_SYMBOLS, shown_symbols, specification
from evals.engine.layout import EQUITY_LOG, FILL_LOG, ORDER_LOG
from evals.labels import METRICS, format_metric
from evals.report import metric_rows, render_report

SPITE = "</script><script>alert(1)</script>"
START_NS = 1_531_514_831 * 10**9


def evaluation(**changes: object) -> Evaluation:
    known = {name: 1.5 if meaning.scale == 0 else 10**meaning.scale for name, meaning in METRICS.items()}
    fields: dict[str, object] = {
        "inputs": EvaluationInputs(
            kind="replay",
            bundle=digest_of(b"bundle"),
            datasets=(digest_of(b"data"),),
            settings={"note": SPITE},
            seed=42,
            engine=EngineFingerprint(name="engine", version="1", source=digest_of(b""), runtime={"wasmtime": "48"}),
        ),
        "status": "failed",
        "status_detail": SPITE,
        "result_digest": digest_of(b"result"),
        "coverage": Coverage(first_ns=START_NS, last_ns=START_NS + 10**12, events=1_234_567, packets=9),
        "metrics": known | {"sharpe": None, "rejects_post_only": 3},
        "outputs": {},
        "validation": {"crossed_books": 0, "unknown_orders": 598},
    }
    return Evaluation.model_validate(fields | changes)


def page(rows: int = 50, **metrics: object) -> str:
    equity = np.zeros(rows, EQUITY_LOG)
    equity["exchange_ns"] = START_NS + np.arange(rows) * 10**9
    equity["mid_1e9"] = 6_000 * 10**9
    equity["equity_1e9"][rows // 2] = -987_654_321_000
    fills, orders = np.zeros(3, FILL_LOG), np.zeros(3, ORDER_LOG)
    fills["side"], fills["px_1e9"], fills["reason"] = (1, -1, 1), 6_000 * 10**9, (0, 1, 3)
    orders["arrived_ns"], orders["done_ns"], orders["px_1e9"] = START_NS, START_NS + 5 * 10**9, 5_999 * 10**9
    gate = GateResult("fail", (Check(f"traps 1 == 0 {SPITE}", False), Check("fills 3 >= 20", None, dry_run=True)))
    shown = evaluation(metrics=evaluation().metrics | metrics)
    return render_report(shown, gate, title=SPITE, fills=fills, orders=orders, equity=equity, assets=[SPITE])


class Loads(HTMLParser):
    """Collects what a browser would load, and the scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "action", "data", "poster"}]


def test_the_page_loads_nothing_and_no_text_becomes_a_script() -> None:
    html = page()
    found = Loads()
    found.feed(html)
    assert found.addresses == []
    assert found.scripts == 2
    assert "@import" not in html
    assert "url(" not in html.split("</style>")[0]
    assert "alert(1)</script>" not in html
    assert "default-src 'none'" in html
    assert len(html) < 2_000_000


def test_the_page_shows_verdict_checks_metrics_and_provenance() -> None:
    html = page()
    for text in ("fail", "traps 1 == 0", "dry run", "Largest drawdown", "POST ONLY", "598", "1,234,567 events"):
        assert text in html
    shown = evaluation()
    for text in (shown.eval_id, shown.inputs.bundle, *shown.inputs.datasets, shown.result_digest):
        assert text in html
    assert not re.search(r"\{\{\w+\}\}", html), "a placeholder was left"


def test_a_long_run_is_thinned_but_keeps_its_extremes() -> None:
    html = page(rows=100_000)
    assert len(html) < 2_000_000
    assert html.count('"mid":') <= MOST_POINTS
    assert "-987.654321" in html


@pytest.mark.parametrize(
    ("value", "scale", "shown"),
    [
        (1_234_567_890_000, 9, "1,234.57"),
        (-5, 8, "-0.00000005"),
        (150_000_000, 8, "1.5"),
        (1234, 0, "1,234"),
        (0.123456, 0, "0.1235"),
        (-6_395_000, 9, "-0.0064"),
        (None, 9, "\N{EN DASH}"),
    ],
)
def test_metrics_are_scaled_exactly(value: float | None, scale: int, shown: str) -> None:
    assert format_metric(value, scale) == shown


def test_a_metric_that_the_report_does_not_know_is_still_shown() -> None:
    assert metric_rows({"brand_new": 7, "fills": 2})[-1][1:3] == ("brand_new", "7")


def test_what_belongs_to_a_family_is_named_after_it() -> None:
    rows = metric_rows({"tape_gaps": 3, "band_net_pnl_1e9_low": -(10**10), "band_models": 7, "other": 1})
    assert [row[:4] for row in rows] == [
        ("Queue models", "Models", "7", ""),
        ("Queue models", "Net P&L, lowest", "-10.00", "ccy"),
        ("Tape", "Gaps", "3", ""),
        ("Other", "other", "1", ""),
    ]


def test_sections_of_their_own_and_codes_without_rejects_stay_out_of_the_table() -> None:
    html = page(tape_gaps=3, rejects_network=0, band_models=7, band_fills_low=1, band_fills_high=123)
    table = html.split('<table class="metrics">')[1].split("</table>")[0]
    assert "POST ONLY" in table
    for text in ("NETWORK", "Gaps", "lowest"):
        assert text not in table
    band = html.split('<table class="bars band">')[1].split("</table>")[0]
    assert re.findall(r'class="value">([^<]*)</td>', band) == ["1", "1.5000", "123"]
    assert "under 7 queue models" in html


def test_without_a_band_the_page_says_so() -> None:
    assert "Only one queue model was run" in page()


def test_the_split_is_a_waterfall_that_ends_at_the_net() -> None:
    split = profit_split({"spread_pnl_1e9": 60, "inventory_pnl_1e9": -100, "fees_1e9": 20}, lambda value, _: str(value))
    assert re.findall(r'class="value">([^<]*)<', split) == ["60", "-100", "-20", "-60"]
    bars = re.findall(r'<i class="(\w+)" style="left:([\d.]+)%;width:([\d.]+)%"', split)
    assert bars == [
        ("gain", "50.00", "50.00"),
        ("loss", "16.67", "83.33"),
        ("loss", "0.00", "16.67"),
        ("loss", "0.00", "50.00"),
    ]
    assert profit_split({"spread_pnl_1e9": 60}, format_metric) == ""
    assert "width:0.00%" in profit_split(
        dict.fromkeys(("spread_pnl_1e9", "inventory_pnl_1e9", "fees_1e9"), 0), format_metric
    )


def log(dtype: np.dtype[Any], rows: int, **columns: object) -> Any:
    """Return a log with a column more than one asset needs."""
    added = [(name, "<i4") for name in ("asset", "symbol") if name in columns and name not in (dtype.names or ())]
    records = np.zeros(rows, np.dtype([*dtype.descr, *added]))
    for name, values in columns.items():
        records[name] = values
    return records


def test_several_symbols_have_a_price_chart_each_and_one_equity() -> None:
    equity = log(EQUITY_LOG, 4, symbol=[0, 1, 0, 1], equity_1e9=[10**9, 2 * 10**9, 3 * 10**9, -(10**9)], mid_1e9=5)
    fills = log(FILL_LOG, 3, asset=[0, 1, 2], side=1, px_1e9=[10**9, 2 * 10**9, 3 * 10**9])
    orders = log(ORDER_LOG, 0, asset=0)
    views = specification(equity, fills, orders, ["a", "a", "b"])["vconcat"]
    titles = [view["layer"][1]["encoding"]["y"]["axis"]["title"] for view in views]
    assert titles == ["a price", "b price", "Equity", "Inventory"]
    assert [[fill["px"] for fill in view["layer"][2]["data"]["values"]] for view in views[:2]] == [[1, 2], [3]]
    assert [point["eq"] for point in views[2]["layer"][1]["data"]["values"]] == [3, 2]
    assert {point["of"] for point in views[3]["layer"][1]["data"]["values"]} == {"a", "b"}


def test_of_many_symbols_the_most_traded_are_drawn() -> None:
    symbols = [f"s{n}" for n in range(MOST_SYMBOLS + 2)]
    fills = log(FILL_LOG, 5, asset=[5, 5, 2, 3, 4])
    assert shown_symbols(fills, symbols) == ["s2", "s3", "s4", "s5"]
    assert shown_symbols(fills, symbols[:3]) == symbols[:3]


def test_a_mid_that_is_not_known_yet_is_not_drawn() -> None:
    equity = log(EQUITY_LOG, 3, mid_1e9=[0, 5 * 10**9, 6 * 10**9])
    spec = specification(equity, log(FILL_LOG, 0), log(ORDER_LOG, 0), ["a"])
    assert [point["mid"] for point in spec["vconcat"][0]["layer"][1]["data"]["values"]] == [5, 6]
    json.dumps(spec, allow_nan=False)

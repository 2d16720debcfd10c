"""The HTML report: complete, self-contained, and safe whatever names people give."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from bundles.canonical import digest_of
from bundles.evidence import Coverage, EngineFingerprint, Evaluation, EvaluationInputs
from bundles.gates import Check, GateResult
from evals.engine.layout import EQUITY_LOG, FILL_LOG, ORDER_LOG
from evals.report import METRICS, MOST_POINTS, format_metric, metric_rows, render_report

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


def page(rows: int = 50) -> str:
    equity = np.zeros(rows, EQUITY_LOG)
    equity["exchange_ns"] = START_NS + np.arange(rows) * 10**9
    equity["mid_1e9"] = 6_000 * 10**9
    equity["equity_1e9"][rows // 2] = -987_654_321_000
    fills, orders = np.zeros(3, FILL_LOG), np.zeros(3, ORDER_LOG)
    fills["side"], fills["px_1e9"], fills["reason"] = (1, -1, 1), 6_000 * 10**9, (0, 1, 3)
    orders["arrived_ns"], orders["done_ns"], orders["px_1e9"] = START_NS, START_NS + 5 * 10**9, 5_999 * 10**9
    gate = GateResult("fail", (Check(f"traps 1 == 0 {SPITE}", False), Check("fills 3 >= 20", None, dry_run=True)))
    return render_report(evaluation(), gate, title=SPITE, fills=fills, orders=orders, equity=equity)


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

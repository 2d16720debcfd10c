"""The HTML report: complete for every kind, self-contained, and safe whatever names people give."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from bundles.gates import Check
from bundles.judging import Judgement
from evals.labels import METRICS, format_metric
from evals.reports.figures import metric_rows
from evals.reports.page import render_report
from evals.reports.recorded import Recorded
from evals.reports.series import MOST_POINTS
from tests.evals.reports import made

SPITE = "</script><script>alert(1)</script>"
KINDS: dict[str, Callable[[], Recorded]] = {
    "replay": made.replay,
    "shadow": made.shadow,
    "live-review": made.live_review,
    "sor": made.sor,
    "sandbox": lambda: made.sor("sandbox"),
    "assignment": made.assignment,
    "review of a policy": made.policy_review,
    "review of an assignment": lambda: made.policy_review("assignment", gaps=1),
}
LARGEST_PAGE = 2_000_000


def spiteful() -> Recorded:
    """A report in which everything that people name tries to be a script."""
    known = {name: 1.5 if meaning.scale == 0 else 10**meaning.scale for name, meaning in METRICS.items()}
    evaluation = made.evaluation_of(
        "replay",
        known | {"sharpe": None, "rejects_post_only": 3, SPITE: 1},
        settings={"note": SPITE, "queue_model": SPITE},
        status="failed",
        status_detail=SPITE,
        validation={SPITE: 1, "unknown_orders": 598},
    )
    checks = (Check(f"traps 1 == 0 {SPITE}", False), Check("fills 3 >= 20", None, dry_run=True))
    told = Judgement("fail", checks, SPITE, others=(Judgement("fail", checks, SPITE),))
    return replace(made.replay(), evaluation=evaluation, judged=told, title=SPITE, markets=[(SPITE, SPITE)])


class Loads(HTMLParser):
    """Collects what a browser would load, and the scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.scripts = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.scripts += tag == "script"
        self.addresses += [value or "" for name, value in attrs if name in {"src", "href", "action", "data", "poster"}]


def test_no_text_becomes_a_script() -> None:
    html = render_report(spiteful())
    found = Loads()
    found.feed(html)
    assert found.scripts == 2
    assert "alert(1)</script>" not in html
    for text in ("traps 1 == 0", "dry run", "POST ONLY", "598"):
        assert text in html


@pytest.mark.parametrize("kind", KINDS)
def test_a_page_is_whole_and_loads_nothing(kind: str) -> None:
    record = KINDS[kind]()
    html = render_report(record)
    found = Loads()
    found.feed(html)
    assert found.addresses == []
    assert "@import" not in html
    assert "url(" not in html.split("</style>")[0]
    assert "default-src 'none'" in html
    assert len(html) < LARGEST_PAGE
    assert not re.search(r"\{\{\w+\}\}", html), "a placeholder was left"
    inputs = record.evaluation.inputs
    for text in (record.evaluation.eval_id, inputs.bundle, *inputs.datasets, record.evaluation.result_digest):
        assert text in html


@pytest.mark.parametrize("kind", KINDS)
def test_a_record_without_outputs_and_metrics_has_a_page_that_says_so(kind: str) -> None:
    record = KINDS[kind]()
    bare = replace(record, logs={}, evaluation=record.evaluation.model_copy(update={"metrics": {}}), limits={})
    html = render_report(bare)
    assert "const charts = [];" in html
    assert "nan" not in html.split("<script>")[0].lower().replace("finance", "")


@pytest.mark.parametrize("kind", KINDS)
def test_empty_outputs_are_no_failure(kind: str) -> None:
    record = KINDS[kind]()
    empty = replace(record, logs={name: rows[:0] for name, rows in record.logs.items()})
    assert "const charts = [];" in render_report(empty)


@pytest.mark.parametrize("kind", KINDS)
def test_columns_that_an_older_record_lacks_are_no_failure(kind: str) -> None:
    record = KINDS[kind]()
    for name, rows in record.logs.items():
        for column in rows.dtype.names or ():
            kept = [each for each in rows.dtype.names or () if each != column]
            fewer = replace(record, logs={**record.logs, name: _only(rows, kept)})
            assert "Metrics" in render_report(fewer), f"{name} without {column}"


def _only(rows: np.ndarray[Any, Any], names: list[str]) -> np.ndarray[Any, Any]:
    kept = np.empty(len(rows), [(name, rows.dtype[name]) for name in names])
    for name in names:
        kept[name] = rows[name]
    return kept


def test_a_long_run_is_thinned_but_keeps_its_extremes() -> None:
    record = made.replay()
    logs = made.edge_logs(seconds=100_000)
    logs["equity"]["equity_1e9"][77_777] = -987_654_321_000
    html = render_report(replace(record, logs=logs))
    assert len(html) < LARGEST_PAGE
    assert html.split("const charts = ")[1].count('"mid":') <= MOST_POINTS
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


def test_sections_of_their_own_bounds_and_codes_without_rejects_stay_out_of_the_table() -> None:
    metrics = {"tape_gaps": 3, "rejects_network": 0, "return_bps_lower95": -9.876}
    html = render_report(made.replay(metrics=metrics))
    table = html.split('<table class="metrics">')[1].split("</table>")[0]
    assert "POST ONLY" in table
    for text in ("NETWORK", "Gaps", "lowest", "9.876"):
        assert text not in table

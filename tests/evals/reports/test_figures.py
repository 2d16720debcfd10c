"""The figures of each kind: they add up, they agree with the metrics, and Markdown has all of them."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.engine.layout import EQUITY_LOG, FILL_LOG, ORDER_LOG, TAKER
from evals.metrics.fills import FillSums
from evals.reports.confidence import events_of, marks_of
from evals.reports.figures import markdown_of, sections_of
from evals.reports.markup import sections_html
from evals.reports.recorded import Recorded
from evals.reports.tables import Bar, Chart, Note, Row, Section, Table
from evals.reports.timeline import MOST_SYMBOLS, drawdown, price_equity_inventory, shown_symbols, total_equity
from evals.reports.wording import figure, signed, span
from tests.evals.reports import made


def tables(record: Recorded) -> dict[str, Table]:
    return {table.key: table for each in sections_of(record) for table in each.tables}


def charts(record: Recorded) -> dict[str, Chart]:
    return {part.key: part for each in sections_of(record) for part in each.parts if isinstance(part, Chart)}


def cells(table: Table) -> dict[str, tuple[str, ...]]:
    return {row.cells[0]: row.cells[1:] for row in table.rows}


def test_the_split_is_a_waterfall_that_ends_at_the_net() -> None:
    metrics = {"spread_pnl_1e9": 60 * 10**9, "inventory_pnl_1e9": -100 * 10**9, "fees_1e9": 20 * 10**9}
    split = tables(made.replay(metrics=metrics))["split"]
    assert [row.cells[1] for row in split.rows] == ["60.00", "-100.00", "-20.00", "-60.00"]
    html = sections_html([Section("split", (split,))])
    assert re.findall(r'<i class="(\w+)" style="left:([\d.]+)%;width:([\d.]+)%"', html) == [
        ("gain", "50.00", "50.00"),
        ("loss", "16.67", "83.33"),
        ("loss", "0.00", "16.67"),
        ("loss", "0.00", "50.00"),
    ]


def test_without_a_band_the_report_says_so() -> None:
    record = made.replay()
    without = {name: value for name, value in record.metrics.items() if not name.startswith("band_")}
    bare = replace(record, evaluation=record.evaluation.model_copy(update={"metrics": without}))
    assert "Only one queue model was run" in markdown_of(bare)
    assert "under 7 queue models" in markdown_of(record)


def test_markouts_of_all_fills_are_those_of_the_metrics() -> None:
    from evals.market.schema import Instrument
    from evals.reports.edge import markouts

    fills = made.edge_logs(fills=200)["fills"]
    fills["mid_10s_1e9"][:20] = 0  # not known yet when the run ended
    sums = FillSums([Instrument(venue="v", symbol="s", tick_size_1e9=1, lot_size_1e8=1)])
    sums.add(fills)
    table = next(part for part in markouts({"all": fills}) if isinstance(part, Table))
    told = table.rows[0].cells[3:]
    wanted = [figure(each.moved / each.traded * 1e4, 3) for each in sums.markouts.values()]
    assert list(told) == wanted


def test_makers_and_takers_buys_and_sells_have_curves_of_their_own() -> None:
    fills = np.zeros(3, FILL_LOG)
    fills["px_1e9"], fills["qty_1e8"], fills["mid_1e9"] = 100 * 10**9, 10**8, 101 * 10**9
    fills["mid_100ms_1e9"] = fills["mid_1s_1e9"] = fills["mid_10s_1e9"] = 102 * 10**9
    fills["side"], fills["reason"] = (1, -1, 1), (0, 0, TAKER)
    record = replace(made.replay(), logs=made.edge_logs() | {"fills": fills})
    assert cells(tables(record)["markouts"]) == {
        "maker buys": ("1", "100.000", "200.000", "200.000", "200.000"),
        "maker sells": ("1", "-100.000", "-200.000", "-200.000", "-200.000"),
        "taker": ("1", "100.000", "200.000", "200.000", "200.000"),
    }


def test_fuel_stands_against_the_limits_of_gate_and_run() -> None:
    fuel = cells(tables(made.replay())["fuel"])
    assert fuel["Fuel, p99"] == ("61,344", "1,000,000 (gate)", "6.1 %")
    assert fuel["Fuel, largest"] == ("240,981", "10,000,000 (trap)", "2.4 %")


def test_latencies_are_those_of_the_order_log() -> None:
    orders = np.zeros(100, ORDER_LOG)
    orders["decided_ns"] = made.START_NS
    orders["arrived_ns"] = orders["decided_ns"] + np.arange(1, 101) * 10**6
    orders["done_ns"] = orders["arrived_ns"] + 5 * 10**9
    record = replace(made.replay(), logs=made.edge_logs() | {"orders": orders})
    latency = cells(tables(record)["latency"])
    assert latency["Place: from decision to exchange"] == ("100", "50 ms", "95 ms", "99 ms", "100 ms")
    assert latency["Order at the exchange"] == ("100", "5 s", "5 s", "5 s", "5 s")
    assert [bar["x"] for bar in charts(record)["lifetimes"].spec["layer"][0]["data"]["values"]] == ["1 s"]


def test_drawdown_is_measured_from_the_highest_value_so_far_and_from_zero() -> None:
    assert drawdown(np.array([-3, 2, 5, 4, 6, 1])).tolist() == [-3, 0, 0, -1, 0, -5]


def test_the_cumulative_difference_ends_at_the_recorded_one() -> None:
    record = made.shadow()
    view = charts(record)["against"].spec["vconcat"][1]
    whole = record.metrics["pnl_diff_1e9"]
    assert view["layer"][1]["data"]["values"][-1]["diff"] == pytest.approx((whole or 0) / 1e9)
    end = view["layer"][2]["data"]["values"][0]
    bps = [float(record.metrics[f"pnl_diff_bps_{side}95"] or 0) for side in ("lower", "upper")]
    assert [end["low"], end["high"]] == pytest.approx([each * made.CAPITAL / 1e13 for each in bps])


@pytest.mark.parametrize(
    ("comparison", "ends", "said"),
    [
        (1, (0.5, 2.0), "Better than the incumbent"),
        (0, (-0.5, 2.0), "Not told apart"),
        (-1, (-2.0, -0.5), "Worse than the incumbent"),
        (None, (None, None), "cannot be judged"),
    ],
)
def test_a_shadow_report_says_what_the_verdict_rests_on(comparison: Any, ends: Any, said: str) -> None:
    record = made.shadow()
    metrics = dict(record.metrics) | {
        "comparison": comparison,
        "pnl_diff_bps_lower95": ends[0],
        "pnl_diff_bps_upper95": ends[1],
    }
    judged = replace(record, evaluation=record.evaluation.model_copy(update={"metrics": metrics}))
    first = next(each for each in sections_of(judged) if each.title == "Candidate against incumbent").parts[0]
    assert isinstance(first, Note)
    assert said in first.text


def test_a_shadow_against_a_flat_baseline_draws_the_candidate_alone() -> None:
    record = made.shadow()
    flat = replace(record, logs={name: log for name, log in record.logs.items() if not name.startswith("incumbent")})
    assert len(charts(flat)["against"].legend) == 3


def test_halts_and_limit_events_are_named_and_drawn() -> None:
    record = made.live_review()
    assert [what for _, what in events_of(record)] == [
        "start",
        "halt: by the desk",
        "resume",
        "limit breach: daily loss",
    ]
    assert len(marks_of(record)) == 3
    marks = charts(record)["against"].spec["vconcat"][0]["layer"][-1]["data"]["values"]
    assert [mark["t"] for mark in marks] == [at_ns / 1e6 for at_ns, _ in marks_of(record)]


def test_a_gapped_recording_is_told_loudly() -> None:
    loud = [
        part for each in sections_of(made.live_review(2)) for part in each.parts if isinstance(part, Note) and part.loud
    ]
    assert len(loud) == 1
    assert not any(isinstance(p, Note) and p.loud for each in sections_of(made.live_review()) for p in each.parts)


def test_the_drift_of_a_policy_adds_up_over_its_parents() -> None:
    record = made.policy_review()
    parents = record.logs["parents"]
    whole = int((parents["shortfall_1e9"] - parents["twin_shortfall_1e9"]).sum())
    view = charts(record)["drift"].spec["vconcat"][0]
    assert drawn(view, "line")["data"]["values"][-1]["diff"] == pytest.approx(whole / 1e9)
    assert {series["of"] for series in charts(record)["shortfall"].spec["layer"][0]["data"]["values"]} == {
        "live",
        "replay",
    }


def test_costs_of_an_assignment_are_against_the_notional_at_arrival() -> None:
    record = made.assignment()
    parents = record.logs["parents"][:2]
    rows = np.zeros(2, [*parents.dtype.descr, ("base_1e9", "<i8")])
    for name in parents.dtype.names or ():
        rows[name] = parents[name]
    rows["base_1e9"], rows["edge_cost_1e9"], rows["sor_cost_1e9"], rows["to_sor"] = 10**13, 10**9, 2 * 10**9, 1
    rows["cost_1e9"] = rows["sor_cost_1e9"]
    points = charts(replace(record, logs={"parents": rows}))["costs"].spec["layer"][0]["data"]["values"]
    assert [(point["x"], point["y"]) for point in points] == [(1.0, 2.0), (1.0, 2.0)]
    assert cells(tables(replace(record, logs={"parents": rows}))["regret"])["p50"] == ("1.00",)


def test_the_parts_of_the_shortfall_add_up_to_it() -> None:
    record = made.sor()
    rows = tables(record)["decomposition"].rows
    assert rows[-1].bar == Bar(0.0, pytest.approx(record.metrics["implementation_shortfall_bps"]), "loss")
    for row, after in pairwise(rows[:-1]):
        assert row.bar is not None
        assert after.bar is not None
        assert row.bar.stop == after.bar.start


def test_shares_of_venues_are_of_the_value_traded() -> None:
    record = made.sor()
    children = record.logs["children"][:5].copy()
    children["venue"], children["reason"] = (0, 0, 1, 1, 0), (0, 4, 0, 5, 0)
    children["parent"], children["slice"] = (7, 7, 7, 7, 7), (0, 1, 0, 1, 0)
    children["px_1e9"], children["qty_1e8"] = 100 * 10**9, (2 * 10**8, 0, 10**8, 0, 10**8)
    children["fee_1e9"] = (2 * 10**7, 0, 10**8, 0, 10**7)
    venues = cells(tables(replace(record, logs={**record.logs, "children": children}))["venues"])
    assert venues["gdax"] == ("2", "75.0 %", "300", "+1.00", "1", "0")
    assert venues["kraken"] == ("2", "25.0 %", "100", "+10.00", "0", "1")
    assert venues["gemini"][0] == "0"


def test_the_worst_parents_come_first() -> None:
    record = made.sor()
    worst = tables(record)["worst"].rows
    parents = record.logs["parents"]
    assert worst[0].cells[0] == parents["parent_id"][parents["shortfall_1e9"].argmax()]


def test_every_parent_is_in_one_bucket_of_size() -> None:
    sizes = tables(made.sor(parents=1_001))["sizes"].rows
    assert sum(int(row.cells[1].replace(",", "")) for row in sizes) == 1_001


def test_a_saving_is_coloured_only_where_its_interval_does_not_hold_zero() -> None:
    shades = {row.cells[0]: row.bar.shade for row in tables(made.sor())["savings"].rows if row.bar}
    assert shades["VWAP of the market"] == "range"
    assert shades["Best single venue"] == "gain"
    assert shades["Oracle"] == "loss"


def test_regret_is_against_the_cheaper_way() -> None:
    record = made.assignment()
    parents = record.logs["parents"]
    wrong = int((parents["cost_1e9"] > np.minimum(parents["edge_cost_1e9"], parents["sor_cost_1e9"])).sum())
    assert cells(tables(record)["regret"])["Parents sent the dearer way"] == (f"{wrong} of 1,500",)


@pytest.mark.parametrize("make", [made.shadow, made.live_review, made.sor, made.assignment, made.policy_review])
def test_every_figure_with_bounds_is_among_the_statistics(make: Any) -> None:
    record = make()
    bounded = {name.removesuffix("_lower95") for name in record.metrics if name.endswith("_lower95")}
    assert len(tables(record)["intervals"].rows) == len(bounded)
    assert "Block length" in cells(tables(record)["statistics"])


@pytest.mark.parametrize("make", [made.replay, made.shadow, made.live_review, made.sor, made.assignment])
def test_markdown_has_every_cell_of_the_page(make: Any) -> None:
    record = make()
    text = markdown_of(record).replace("\\", "")
    for table in tables(record).values():
        for row in table.rows:
            assert all(" ".join(cell.split()) in text for cell in row.cells)


@given(st.text())
def test_a_cell_of_markdown_stays_one_cell(spite: str) -> None:
    table = Table("t", ("a", "b"), (Row((spite, "1")),))
    last = table.markdown().split("\n")[-1]
    assert len(re.findall(r"(?<!\\)(?:\\\\)*\|", last)) == 3


def test_fills_of_a_deployment_are_drawn_by_whether_the_twin_had_them() -> None:
    record = made.live_review()
    drawn = charts(record)["fills"].spec["vconcat"][0]["layer"][1]["data"]["values"]
    counts = {state: sum(point["of"] == state for point in drawn) for state in ("matched", "live only", "twin only")}
    assert counts == {"matched": 60, "live only": 30, "twin only": 10}


@pytest.mark.parametrize(
    ("duration_ns", "shown"), [(999, "999 ns"), (1_500, "1.5 µs"), (2 * 10**6, "2 ms"), (90 * 10**9, "1.5 min")]
)
def test_durations_are_in_the_unit_that_people_use(duration_ns: int, shown: str) -> None:
    assert span(duration_ns) == shown


@pytest.mark.parametrize(
    ("value", "shown"), [(1.234, "+1.23"), (-1.234, "-1.23"), (0.0, "0.00"), (-0.0012, "-0.00120")]
)
def test_differences_have_a_sign_and_digits_that_tell(value: float, shown: str) -> None:
    assert signed(value) == shown


def log(dtype: np.dtype[Any], rows: int, **columns: object) -> Any:
    """Return a log with the columns given."""
    records = np.zeros(rows, dtype)
    for name, values in columns.items():
        records[name] = values
    return records


def drawn(view: dict[str, Any], *marks: str) -> Any:
    """Return the layer of a chart that has one of these marks."""
    return next(layer for layer in view["layer"] if layer["mark"]["type"] in marks)


def test_a_run_without_fills_and_quotes_draws_the_market_alone() -> None:
    logs = made.edge_logs()
    quiet = replace(made.replay(), logs=logs | {"fills": logs["fills"][:0], "orders": logs["orders"][:0]})
    assert [layer["mark"]["type"] for layer in charts(quiet)["timeline"].spec["vconcat"][0]["layer"]] == ["line"]


def test_several_symbols_have_a_price_chart_each_and_one_equity() -> None:
    equity = log(EQUITY_LOG, 4, symbol=[0, 1, 0, 1], equity_1e9=[10**9, 2 * 10**9, 3 * 10**9, -(10**9)], mid_1e9=5)
    fills = log(FILL_LOG, 3, asset=[0, 1, 2], side=1, px_1e9=[10**9, 2 * 10**9, 3 * 10**9])
    orders = log(ORDER_LOG, 0, asset=0)
    views = price_equity_inventory(equity, fills, orders, ["a", "a", "b"])["vconcat"]
    lines = [drawn(view, "line", "area") for view in views]
    titles = [line["encoding"]["y"]["axis"]["title"] for line in lines]
    assert titles == ["a price", "b price", "Equity", "Drawdown", "Inventory"]
    assert [[fill["px"] for fill in drawn(view, "point")["data"]["values"]] for view in views[:2]] == [[1, 2], [3]]
    assert [point["eq"] for point in lines[2]["data"]["values"]] == [3, 2]
    assert [point["dd"] for point in lines[3]["data"]["values"]] == [0, -1]
    assert {point["of"] for point in lines[4]["data"]["values"]} == {"a", "b"}
    assert total_equity(equity)[1].tolist() == [3 * 10**9, 2 * 10**9]


def test_of_many_symbols_the_most_traded_are_drawn() -> None:
    symbols = [f"s{n}" for n in range(MOST_SYMBOLS + 2)]
    fills = log(FILL_LOG, 5, asset=[5, 5, 2, 3, 4])
    assert shown_symbols(fills, symbols) == ["s2", "s3", "s4", "s5"]
    assert shown_symbols(fills, symbols[:3]) == symbols[:3]


def test_a_mid_that_is_not_known_yet_is_not_drawn() -> None:
    equity = log(EQUITY_LOG, 3, mid_1e9=[0, 5 * 10**9, 6 * 10**9])
    spec = price_equity_inventory(equity, log(FILL_LOG, 0), log(ORDER_LOG, 0), ["a"])
    assert [point["mid"] for point in drawn(spec["vconcat"][0], "line")["data"]["values"]] == [5, 6]

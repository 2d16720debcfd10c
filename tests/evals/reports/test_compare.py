"""Two evaluations side by side: who may be compared with whom, what is told of their inputs, and the differences."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bundles.catalog import Catalog
from bundles.errors import InvalidInputError, NotFoundError
from bundles.judging import judge, judged_at
from bundles.policy import default_policy
from evals.reports.compare import Comparison, compare
from evals.reports.comparison_page import comparison_report, comparison_sections
from evals.reports.figures import figures_markdown
from evals.reports.page import report_of
from evals.reports.recorded import recorded
from evals.reports.tables import Chart
from tests.evals.reports import made, stored


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    return stored.open_catalog(tmp_path)


@pytest.mark.parametrize(("kind", "make"), [("edge", made.shadow), ("sor", made.sor), ("assignment", made.assignment)])
def test_what_the_store_holds_comes_into_page_and_markdown(catalog: Catalog, kind: str, make: object) -> None:
    assert callable(make)
    original = make()
    evaluation = stored.record(catalog, original, stored.bundle(catalog, kind))
    read = recorded(catalog, evaluation)
    assert read.bundle_kind == kind
    assert {name: rows.tolist() for name, rows in read.logs.items()} == {
        name: rows.tolist() for name, rows in original.logs.items()
    }
    judged = judge(catalog, evaluation)
    assert evaluation.eval_id in report_of(catalog, evaluation, judged)
    assert judged.told in figures_markdown(catalog, evaluation, judged)


def test_limits_are_those_of_the_stage_that_judged(catalog: Catalog) -> None:
    evaluation = stored.record(catalog, made.shadow(), stored.bundle(catalog, "edge"))
    assert recorded(catalog, evaluation, judge(catalog, evaluation)).limits["fuel_p99"] == 1_000_000
    at_live = judged_at("live", evaluation, default_policy(), "edge")
    assert recorded(catalog, evaluation, at_live).limits["fuel_p99"] == 500_000


def test_differences_are_b_less_a(catalog: Catalog) -> None:
    first, second = (stored.bundle(catalog, "edge", n) for n in (0, 1))
    a = stored.record(catalog, made.replay(), first)
    b = stored.record(catalog, made.replay(seed=2, metrics={"fills": 100, "net_pnl_1e9": None}), second)
    comparison = compare(catalog, a.eval_id, b.eval_id)
    assert comparison.same_data
    assert comparison.alarms == []
    found = {each.name: (each.a, each.b, each.difference) for each in comparison.metrics()}
    assert found["fills"] == ("90", "100", "+10")
    assert found["net_pnl_1e9"][1:] == ("\N{EN DASH}", "\N{EN DASH}")
    assert not {"band_models", "tape_crossed_books"} & set(found)


def test_of_bundles_the_latest_of_the_highest_common_kind_is_taken(catalog: Catalog) -> None:
    first, second = (stored.bundle(catalog, "edge", n) for n in (0, 1))
    stored.record(catalog, made.replay(), first)
    latest = stored.record(catalog, made.replay(), first, seed=43)
    stored.record(catalog, made.shadow(), first)
    other = stored.record(catalog, made.replay(), second)
    comparison = compare(catalog, first.bundle_id, second.bundle_id)
    assert (comparison.a.evaluation, comparison.b.evaluation) == (latest, other)
    shadowed = stored.record(catalog, made.shadow(), second)
    assert compare(catalog, first.bundle_id, second.bundle_id).b.evaluation == shadowed
    assert compare(catalog, first.bundle_id, other.eval_id).a.evaluation == latest


def test_different_kinds_are_refused(catalog: Catalog) -> None:
    edge, sor = stored.bundle(catalog, "edge"), stored.bundle(catalog, "sor")
    replay, shadow = (stored.record(catalog, each, edge) for each in (made.replay(), made.shadow()))
    routed = stored.record(catalog, made.sor(parents=10), sor)
    with pytest.raises(InvalidInputError, match=r"a replay of a bundle of kind edge.* a shadow of one of kind edge"):
        compare(catalog, replay.eval_id, shadow.eval_id)
    with pytest.raises(InvalidInputError, match="their figures do not mean the same"):
        compare(catalog, replay.eval_id, routed.eval_id)
    with pytest.raises(InvalidInputError, match="the same evaluation"):
        compare(catalog, replay.eval_id, replay.eval_id)
    empty = stored.bundle(catalog, "edge", 1)
    with pytest.raises(NotFoundError, match=f"{empty.bundle_id} has none"):
        compare(catalog, empty.bundle_id, shadow.eval_id)


def test_other_data_is_told_loudly(catalog: Catalog) -> None:
    edge = stored.bundle(catalog, "edge")
    a, b = stored.record(catalog, made.replay(), edge), stored.record(catalog, made.replay(), edge, data=1, seed=7)
    comparison = compare(catalog, a.eval_id, b.eval_id)
    assert not comparison.same_data
    assert "DIFFERENT DATA: A saw venue0 BTC-USD" in comparison.alarms[0]
    assert comparison.remarks == ["Different seeds: 42 and 7.", "Both are of the same bundle."]
    page = comparison_report(comparison)
    assert '<p class="loud" role=alert>DIFFERENT DATA' in page
    assert "B less A below" not in page


def test_settings_engines_and_failures_are_told() -> None:
    other = made.replay(settings={"queue_model": "log", "look": 2}, status="failed", status_detail="trap", bundle=b"o")
    comparison = Comparison(made.replay(settings={"look": 1}), other)
    assert comparison.alarms == ["B did not complete: failed, trap."]
    assert comparison.remarks == ["Different settings: queue_model."]


def test_the_difference_of_equities_is_over_common_samples() -> None:
    a, b = made.replay(seed=1), made.replay(seed=2)
    charts = [part for each in comparison_sections(Comparison(a, b)) for part in each.parts if isinstance(part, Chart)]
    drawn = charts[0].spec["vconcat"][1]["layer"][1]["data"]["values"]
    gap = (b.logs["equity"]["equity_1e9"] - a.logs["equity"]["equity_1e9"]) / 1e9
    assert [point["diff"] for point in drawn] == pytest.approx(gap.tolist())


def test_a_difference_over_the_same_parents_has_intervals_of_its_own() -> None:
    a = made.sor()
    parents = a.logs["parents"].copy()
    parents["shortfall_1e9"] += parents["notional_1e9"] // 10_000
    tables = {
        table.key: table
        for b in (replace(made.sor(bundle=b"other"), logs={**a.logs, "parents": parents}),)
        for each in comparison_sections(Comparison(a, b))
        for table in each.tables
    }
    assert {row.cells[1] for row in tables["more_bps"].rows} == {"+1.00 to +1.00"}
    other = made.sor(seed=9)
    sections = comparison_sections(Comparison(a, other))
    assert "more_bps" not in {table.key for each in sections for table in each.tables}


def test_a_pair_on_other_data_has_no_paired_intervals() -> None:
    same, other = Comparison(made.replay(), made.replay(seed=2)), Comparison(made.replay(), made.replay(data=b"other"))
    found = [
        {table.key for each in comparison_sections(pair) for table in each.tables} & {"diff_bps"}
        for pair in (same, other)
    ]
    assert found == [{"diff_bps"}, set()]


@pytest.mark.parametrize(
    "make", [made.replay, made.shadow, made.live_review, made.sor, made.assignment, made.policy_review]
)
def test_each_kind_has_a_page_of_two(make: object) -> None:
    assert callable(make)
    html = comparison_report(Comparison(make(), make()))
    assert "At a glance" in html
    assert html.count("<script>") == 2

"""Nightly evaluations of real bundles on real (synthetic) tapes: what stands where, and what that asks for."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from bundles.catalog import Catalog
from bundles.compile import compile_assignment
from bundles.judging import judge
from bundles.store import open_store
from evals.market.datasets import build_dataset
from tests.bundles.conftest import AUTHOR
from tests.flows.artifacts import published
from tests.flows.conftest import lend
from tests.ladders import markets as days
from tests.ladders.conftest import compiled_algo, maker, markets
from tests.ladders.firm import HOUR_NS, Climber, Firm
from tests.ladders.markets import DEPLOYED, FIRST, LATER, SYMBOL, VENUES, Markets

if TYPE_CHECKING:
    from prefect.client.schemas.objects import State

__all__ = ["compiled_algo", "maker", "markets"]

pytestmark = pytest.mark.usefixtures("prefect_server")

NEWEST = days.day_of(DEPLOYED)


@pytest.fixture
def firm(tmp_path: Path, markets: Markets) -> Firm:
    """Return a firm that began twenty days ago, with tapes of its own up to the day of deployments."""
    root = tmp_path / "data"
    shutil.copytree(markets.root, root, ignore=shutil.ignore_patterns(f"date={days.day_of(days.RUNAWAY)}"))
    catalog = Catalog(open_store((tmp_path / "store").as_uri()))
    return Firm(catalog, Markets(root, markets.days), tmp_path, now_ns=time.time_ns() - 20 * 24 * HOUR_NS).govern()


def night(firm: Firm, **given: Any) -> tuple[State[Any], list[dict[str, str]]]:
    """Run the flow; return how it ended and the rows that it showed."""
    from flows.nightly import nightly_evaluations

    state = nightly_evaluations(data=str(firm.data_root), store=firm.catalog.store.url, return_state=True, **given)
    table = published(state).get("nightly-evaluations")
    return state, json.loads(table) if table else []


def lent(firm: Firm, manifest: Any, stage: str) -> str:
    """Register a bundle and lend it a stage by breaking the glass now."""
    bundle = firm.catalog.register_bundle(manifest, author=AUTHOR.name, now_ns=firm.now_ns)
    lend(firm.catalog, bundle, stage)
    return bundle


def rows_of(rows: list[dict[str, str]], kind: str) -> list[dict[str, str]]:
    return [row for row in rows if row["kind"] == kind]


def wanted(rows: list[dict[str, str]]) -> set[tuple[str, str]]:
    return {(row["bundle"], row["kind"]) for row in rows}


def assert_evaluated(firm: Firm, rows: list[dict[str, str]]) -> None:
    """Each row names an evaluation that the store has, and the verdicts that the policy in force derives from it."""
    for row in rows:
        evaluation = firm.catalog.evaluation(row["evaluation"])
        assert evaluation.inputs.kind == row["kind"]
        assert evaluation.status == "completed", evaluation.status_detail
        told = judge(firm.catalog, evaluation)
        assert (told.told, ". ".join(each.reasoned for each in told.others)) == (row["verdict"], row["also"])


def test_each_bundle_is_evaluated_by_the_kinds_that_no_stage_ahead_asks_for(firm: Firm, maker: bytes) -> None:
    algo, routing = firm.algo(maker).climb("live"), firm.routing().climb("live")
    assignment, beginner = firm.assignment().climb("sandbox"), firm.algo(maker, num_levels=2).climb("replay")
    firm.routing("pov")  # stands at research
    state, rows = night(firm)
    assert state.is_completed(), state.message
    asked = {(each.bundle, "replay") for each in (beginner, algo, routing, assignment)}
    asked |= {(algo.bundle, "shadow"), (routing.bundle, "sandbox")}
    assert wanted(rows) == asked
    assert len(rows) == len(asked)
    assert_evaluated(firm, rows)
    assert {row["verdict"] for row in rows if row["kind"] != "shadow"} == {"passes replay", "passes live"}
    assert rows_of(rows, "shadow")[0]["verdict"] in {"passes live", "inconclusive for live"}, (
        "ten minutes may be too few"
    )
    assert sorted(each.eval_id for each in state.result()) == sorted(row["evaluation"] for row in rows)
    assert f"4 bundles on {SYMBOL} on {NEWEST}" in (state.message or "")
    for row in rows:
        datasets = firm.catalog.evaluation(row["evaluation"]).inputs.datasets
        home = [firm.dataset(DEPLOYED).digest()]
        assert list(datasets) == (home if row["bundle"] in {algo.bundle, beginner.bundle} else digests(firm, DEPLOYED))
    again, same = night(firm)
    assert again.is_completed(), again.message
    assert [row["evaluation"] for row in same] == [row["evaluation"] for row in rows], "nothing is evaluated twice"


def digests(firm: Firm, day: int) -> list[str]:
    return [firm.dataset(day, venue).digest() for venue in VENUES]


def test_without_parent_orders_the_rows_say_why(firm: Firm, maker: bytes) -> None:
    algo, routing = firm.algo(maker).climb("replay"), firm.routing().climb("live")
    orders = firm.markets.parents(DEPLOYED)
    orders.rename(orders.with_name(".orders.parquet"))  # as a recorder does while it writes
    state, rows = night(firm)
    assert state.is_completed(), state.message
    assert wanted(rows) == {(algo.bundle, "replay"), (routing.bundle, "replay"), (routing.bundle, "sandbox")}
    for row in rows:
        if row["bundle"] == routing.bundle:
            assert (row["verdict"], row["evaluation"]) == ("none", "")
            assert f"no parent orders of {SYMBOL} on {NEWEST}" in row["why"]
    assert_evaluated(firm, [row for row in rows if row["bundle"] == algo.bundle])


def test_what_is_scaled_is_reviewed_against_its_recording(firm: Firm, maker: bytes) -> None:
    algo, routing, silent = firm.algo(maker), firm.routing(), firm.assignment()
    for each in (algo, routing, silent):
        each.climb("scaled")
    for each in (algo, routing):
        each.recorded(firm.data_root / "recordings" / each.bundle / f"date={NEWEST}")
    # The algo was deployed on another venue than the one on which algos run this night.
    state, rows = night(firm, venue="alpha")
    assert state.is_completed(), state.message
    reviews = {row["bundle"]: row for row in rows if row["kind"] == "live-review"}
    assert set(reviews) == {algo.bundle, routing.bundle, silent.bundle}
    assert "no recording of its deployment" in reviews.pop(silent.bundle)["why"]
    assert_evaluated(firm, list(reviews.values()))
    assert {row["verdict"] for row in reviews.values()} == {"passes scaled"}
    review = firm.catalog.evaluation(reviews[algo.bundle]["evaluation"])
    assert list(review.inputs.datasets) == [firm.dataset(DEPLOYED).digest()]


def test_a_policy_that_learns_volume_is_given_the_days_before(firm: Firm) -> None:
    routing = firm.routing("vwap")
    start, end = days.day_of(FIRST), days.day_of(LATER)
    before = [
        firm.catalog.register_dataset(build_dataset(firm.data_root, venue, SYMBOL, start=start, end=end))
        for venue in VENUES
    ]
    replay = routing.evaluated("replay", LATER, dataset=before)
    assert routing.promote("replay", replay).decision == "promoted"
    state, rows = night(firm)
    assert state.is_completed(), state.message
    assert wanted(rows) == {(routing.bundle, "replay")}
    assert_evaluated(firm, rows)
    evaluation = firm.catalog.evaluation(rows[0]["evaluation"])
    assert evaluation.metrics["parents_filled"] == evaluation.metrics["parents"]
    for digest in evaluation.inputs.datasets:
        held = next(each for each in firm.catalog.datasets() if each.digest() == digest)
        assert len(held.partitions) == 3


def test_a_policy_without_its_model_does_not_stop_the_night(firm: Firm) -> None:
    routing: Climber = firm.routing().climb("replay")
    broken = lent(firm, compile_assignment(artifact="art_research", min_venues=2), "live")
    state, rows = night(firm)
    assert state.is_failed()
    assert "2 of 3 evaluations could not be made (1 pass" in (state.message or "")
    assert "assignment-model.json" in (state.message or "")
    verdicts = {(row["bundle"], row["kind"]): row["verdict"] for row in rows}
    assert verdicts == {
        (routing.bundle, "replay"): "passes replay",
        (broken, "replay"): "could not be evaluated",
        (broken, "sandbox"): "could not be evaluated",
    }


def test_a_night_without_tapes_says_so(firm: Firm) -> None:
    firm.routing().climb("replay")
    state, _ = night(firm, symbol="DOGE-USD")
    assert state.is_failed()
    assert (state.message or "").startswith(f"{firm.data_root} holds no tape of DOGE-USD")

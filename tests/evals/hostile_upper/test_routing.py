"""Routing under attack: looking ahead by a millisecond, amounts beyond 64 bits, tapes that end before the others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from bundles.errors import InvalidInputError
from bundles.routing import ImpactModel
from evals.market.schema import ASK, BID, BUY_TRADE
from evals.market.tape import Tape
from evals.parents.orders import PARENT, ParentOrders
from evals.routing.execution import RoutingRun
from evals.routing.figures import figures
from evals.routing.settings import FaultPlan, RoutingSettings
from tests.evals.routing.desk import MS, S, book_rows, model_of, parents_of, tape_of
from tests.evals.routing.test_replay import COSTS, ROOT_LAW, market, run

ALL_REJECTED = FaultPlan(reject_ppm=1_000_000, partial_fill_ppm=0)


def delayed(tape: Tape, delay_ns: int) -> Tape:
    """Return a tape whose rows come so long after they happened."""
    events = tape.events.copy()
    events["receive_ns"] = events["exchange_ns"] + delay_ns
    return Tape(events, tape.info)


def scrambled_after(tapes: Sequence[Tape], then_ns: int) -> list[Tape]:
    """Return tapes on which everything that is received after a moment is at twice the price, and of another size."""
    scrambled = []
    for tape in tapes:
        events = tape.events.copy()
        after = events["receive_ns"] > then_ns
        assert after.any()
        events["px_1e9"][after] *= 2
        events["sz_1e8"][after] = np.where(events["sz_1e8"][after] > 0, 3_000, 0)
        scrambled.append(Tape(events, tape.info))
    return scrambled


def crowd(then_ns: int, count: int, apart_ns: int, horizon_ns: int) -> ParentOrders:
    """Return parents that arrive shortly before a moment, the last of them at it."""
    rows = np.zeros(count, PARENT)
    rows["arrival_ns"] = then_ns - apart_ns * np.arange(count)[::-1]
    rows["qty_1e8"], rows["horizon_ns"] = 7_000_000, horizon_ns
    rows["side"] = np.where(np.arange(count) % 2, 1, -1)
    return ParentOrders("BTC-USD", tuple(f"p{at:04}" for at in range(count)), rows)


@pytest.mark.parametrize("slicing", ["twap", "pov", "immediate"])
@pytest.mark.parametrize("faults", [None, ALL_REJECTED], ids=["replay", "sandbox"])
def test_no_decision_knows_a_row_that_was_received_a_nanosecond_later(slicing: str, faults: FaultPlan | None) -> None:
    tapes = [delayed(tape, 300 * MS) for tape in market(13)]
    names = [tape.info.instrument.venue for tape in tapes]
    costs = {"v0": COSTS, "v1": COSTS | {"freshness_ppm_per_s": 900}, "v2": COSTS | {"adverse_selection_ppm": 40}}
    model = model_of(*names, version="V3", costs=costs, max_book_age_ns=40 * MS)
    how: dict[str, Any] = {"model": model, "slicing": slicing, "faults": faults, "impact": ROOT_LAW}

    def decided(of: RoutingRun, then_ns: int) -> Any:
        # In the sandbox every child is rejected on arrival, and its row shows the limit that was decided.
        rows = of.children[of.children["sent_ns"] <= then_ns]
        return rows[["sent_ns", "px_1e9", "parent", "slice", "venue", "reason"]]

    for part in range(3, 11):
        then_ns = int(tapes[0].events["receive_ns"][len(tapes[0].events) * part // 12])
        parents = crowd(then_ns, 200, MS // 5, 4 * S)
        found = [run(each, parents, **how) for each in (tapes, scrambled_after(tapes, then_ns))]
        assert len(decided(found[0], then_ns)) >= 150
        assert decided(found[0], then_ns).tolist() == decided(found[1], then_ns).tolist()
        assert found[0].digest() != found[1].digest()


def test_the_weights_of_a_decision_are_of_the_market_that_was_seen() -> None:
    # South's ask is dearer by 0.5 %, north has terms worth 0.6 % of the mid; at half the mid they weigh 0.3 %.
    rows = book_rows({99: 5}, {100: 5}), book_rows({99: 5}, {100.5: 5})
    costs = {"north": {"adverse_selection_ppm": 6_000}}
    model = model_of("north", "south", version="V2", costs=costs)
    for later in (100.0, 40.0):
        # Received after the decision, but it has happened already: the exchange's market falls.
        late = [(1_005 * MS, BID, 99, 0), (1_005 * MS, ASK, 100, 0), (1_005 * MS, BID, later - 1, 5)]
        late += [(1_005 * MS, ASK, later, 5), (60 * S, BID, 1, 1)]
        tapes = [
            tape_of(name, [*own, *late], latency_ns=10 * MS) for name, own in zip(("north", "south"), rows, strict=True)
        ]
        found = run(tapes, parents_of({"qty": 1}), model=model, slicing="immediate", faults=ALL_REJECTED)
        assert found.children["venue"].tolist() == [1], later


@pytest.mark.parametrize("faults", [None, ALL_REJECTED], ids=["replay", "sandbox"])
def test_participation_is_of_the_volume_that_was_seen(faults: FaultPlan | None) -> None:
    # The trade happened before the decision, and was received after it.
    for at, children in ((1_200 * MS, 0), (900 * MS, 1)):
        rows = [*book_rows({99: 5}, {100: 5}), (at, BUY_TRADE, 100, 5), (60 * S, BID, 98, 1)]
        tape = tape_of("one", rows, latency_ns=400 * MS)
        found = run([tape], parents_of({"qty": 1}), slicing="pov", faults=faults)
        assert found.parents["children"].tolist() == [children]


@pytest.mark.parametrize("faults", [None, FaultPlan()], ids=["replay", "sandbox"])
def test_a_parent_that_is_worth_more_than_can_be_counted_is_refused_by_name(faults: FaultPlan | None) -> None:
    tape = tape_of("one", [*book_rows({99_999: 50}, {100_000: 50}), (60 * S, BID, 99_998, 1)])
    orders = parents_of({"qty": 1}, {"qty": 100_000, "at": 2 * S})
    with pytest.raises(InvalidInputError, match="Parent order order-1 asks for 100,000"):
        run([tape], orders, faults=faults)
    one = parents_of({"qty": 23_000})
    largest = run([tape], one, faults=faults, single_venues=True)
    assert largest.parents["notional_1e9"][0] == 23_000 * 99_999_500_000_000
    assert figures(largest, one, RoutingSettings(), seed=1, look=1)["fill_ratio"] == pytest.approx(50 / 23_000)


@pytest.mark.parametrize(
    "impact",
    [
        {"form": "square-root", "coefficient_ppm": 10**8, "daily_volatility_ppm": 10**7},
        {"form": "almgren-chriss", "permanent_ppm": 10**8, "temporary_ppm": 10**8, "fixed_ppm": 10**6},
    ],
    ids=["root", "chriss"],
)
@pytest.mark.parametrize("volume", [1, 10**6, 10**12])
@pytest.mark.parametrize("side", [1, -1])
def test_an_impact_beyond_all_bounds_is_a_cost_and_never_a_gain(impact: dict[str, Any], volume: int, side: int) -> None:
    tape = tape_of("one", [*book_rows({99_999: 9_000}, {100_000: 9_000}), (60 * S, BID, 99_998, 1)])
    model = ImpactModel(daily_volume_1e8=volume, half_life_ns=None, **impact)
    orders = parents_of({"qty": 8_000, "horizon": 4 * S, "side": side})
    row = run([tape], orders, impact=model).parents[0]
    assert row["filled_1e8"] == row["qty_1e8"]
    # Three of four slices pay, at most the price once more.
    most = int(row["notional_1e9"])
    assert 0 <= row["impact_1e9"] <= most
    assert row["oracle_1e9"] <= row["shortfall_1e9"] <= most
    if volume == 1:
        assert row["impact_1e9"] == pytest.approx(most * 3 / 4, rel=1e-6)


@pytest.mark.parametrize("faults", [None, FaultPlan(stale_ppm=0)], ids=["replay", "sandbox"])
def test_a_tape_that_ends_is_nothing_to_trade_on_however_old_a_book_the_model_trusts(faults: FaultPlan | None) -> None:
    # The tape of "gone" ends after 2 s with an ask that the market has long left behind.
    gone = tape_of("gone", [*book_rows({98: 5}, {99: 5}), (2 * S, BID, 97, 1)])
    rows = []
    for at in range(60):
        rows += [(at * S, BID, 99 + at, 0), (at * S, ASK, 100 + at, 0)] if at else []
        rows += book_rows({100 + at: 5}, {101 + at: 5}, at_ns=at * S)
    there = tape_of("there", rows)
    model = model_of("gone", "there", max_book_age_ns=86_400 * S)
    found = run([gone, there], parents_of({"qty": 1, "at": 30 * S}), model=model, slicing="immediate", faults=faults)
    assert set(found.children["venue"].tolist()) <= {1}
    assert found.parents["stale_venues"][0] == 1

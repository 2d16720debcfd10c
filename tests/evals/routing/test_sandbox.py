"""The sandbox: children travel, meet the book of the exchange, rest in a queue; faults come by a seeded plan."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.market.schema import ASK, BID, BUY_TRADE, SELL_TRADE
from evals.routing.execution import RoutingRun
from evals.routing.kernels.money import drawn
from evals.routing.kernels.router import STALE
from evals.routing.layout import CROSSED_BOOK, QUEUE_FRONT, REJECTED, TAKEN, TRADE_THROUGH, UNFILLED
from evals.routing.settings import FaultPlan, RoutingSettings
from evals.routing.split import identity_of
from tests.evals.routing.desk import COIN, MS, START_NS, USD, S, book_rows, model_of, parents_of, tape_of
from tests.evals.routing.test_replay import market, orders_for, run

STILL = 3600 * S
"""How old a book may be where nothing happens for long."""
CALM = FaultPlan(reject_ppm=0, partial_fill_ppm=0, stale_ppm=0, burst_ppm=0)
END = (100 * S, BID, 90, 1)


def sent(rows: list[tuple[Any, ...]], order: dict[str, Any], plan: FaultPlan = CALM, **how: Any) -> RoutingRun:
    settings = RoutingSettings(slices=1, latency_ns=5 * MS, market_age_ns=STILL)
    given: dict[str, Any] = {"settings": settings, "faults": plan}
    return run([tape_of("one", rows, maker_fee_ppm=-100, taker_fee_ppm=200)], parents_of(order), **given | how)


def fills(found: RoutingRun) -> list[tuple[int, float, float, int]]:
    """Return time after START_NS, price, size and reason of each row."""
    return [
        (int(f["filled_ns"]) - START_NS, f["px_1e9"] / USD, f["qty_1e8"] / COIN, int(f["reason"]))
        for f in found.children
    ]


def test_a_child_meets_the_book_that_stands_when_it_arrives() -> None:
    # The ask at 100 goes 1 ms after the decision; the router will hear of it 1 ms later.
    rows = [*book_rows({99: 5}, {100: 2, 101: 5}), (S + 2 * MS, ASK, 100, 0.5), END]
    found = sent(rows, {"qty": 2})
    assert fills(found) == [(S + 5 * MS, 100, 0.5, TAKEN)]
    assert found.parents["partial_fills"][0] == 1
    # An order without horizon leaves nothing behind; its child came 5 ms after its end.
    assert found.parents["filled_1e8"][0] == COIN // 2


def test_the_rest_waits_behind_what_is_displayed_and_trades_take_that_first() -> None:
    rows = [
        *book_rows({99: 5}, {100: 2, 101: 5}),
        (S + 2 * MS, ASK, 100, 0),  # gone before the child arrives
        (S + 3 * MS, BID, 100, 3),  # and others bid there
        (2 * S, SELL_TRADE, 100, 2),
        (3 * S, SELL_TRADE, 100, 1.5),
        (4 * S, SELL_TRADE, 100, 9),
        END,
    ]
    found = sent(rows, {"qty": 2, "horizon": 20 * S})
    at = [when - MS for when in (3 * S, 4 * S)]  # on the clock of the exchange
    assert fills(found) == [(at[0], 100, 0.5, QUEUE_FRONT), (at[1], 100, 1.5, QUEUE_FRONT)]
    # A maker's fee, here a rebate, and no spread beyond its own price.
    assert found.children["fee_1e9"].tolist() == [-5 * 10**6, -15 * 10**6]
    assert (found.children["touch_1e9"] == found.children["px_1e9"]).all()


def test_cancels_are_behind_until_the_level_is_too_small() -> None:
    rows = [
        *book_rows({99: 5}, {100: 2, 101: 5}),
        (S + 2 * MS, ASK, 100, 0),
        (S + 3 * MS, BID, 100, 3),
        (2 * S, BID, 100, 1),  # two of three cancelled: one is left, ahead
        (3 * S, SELL_TRADE, 100, 1.25),
        END,
    ]
    assert fills(sent(rows, {"qty": 2, "horizon": 20 * S}))[0] == (3 * S - MS, 100, 0.25, QUEUE_FRONT)


def test_a_trade_through_fills_whatever_stood_ahead() -> None:
    rows = [
        *book_rows({99: 5}, {100: 2, 101: 5}),
        (S + 2 * MS, ASK, 100, 0),
        (S + 3 * MS, BID, 100, 3),
        (2 * S, SELL_TRADE, 99.9, 0.5),
        END,
    ]
    assert fills(sent(rows, {"qty": 2, "horizon": 20 * S}))[0] == (2 * S - MS, 100, 0.5, TRADE_THROUGH)


def test_the_other_side_that_comes_to_the_price_picks_it_off() -> None:
    rows = [
        *book_rows({99: 5}, {100: 2, 101: 5}),
        (S + 2 * MS, ASK, 100, 0),
        (2 * S, ASK, 99.5, 1.5),
        (3 * S, ASK, 99.5, 1.75),
        END,
    ]
    found = sent(rows, {"qty": 2, "horizon": 20 * S})
    # Only what comes to it: of the level that grew, the growth.
    assert fills(found) == [(2 * S - MS, 100, 1.5, CROSSED_BOOK), (3 * S - MS, 100, 0.25, CROSSED_BOOK)]
    assert found.parents["oracle_1e9"][0] <= found.parents["shortfall_1e9"][0]


def test_a_trade_far_off_the_market_fills_nothing() -> None:
    rows = [*book_rows({99: 5}, {100: 2, 101: 5}), (S + 2 * MS, ASK, 100, 0), (2 * S, SELL_TRADE, 90, 9), END]
    assert [row[3] for row in fills(sent(rows, {"qty": 2, "horizon": 20 * S}))] == [UNFILLED]


def test_a_slice_cancels_what_rests_and_sends_it_again() -> None:
    rows = [*book_rows({99: 5}, {100: 2, 101: 5}), (S + 2 * MS, ASK, 100, 0), END]
    two = RoutingSettings(slices=2, latency_ns=5 * MS)
    found = sent(rows, {"qty": 2, "horizon": 20 * S}, settings=two)
    # The first half found nothing at 100; the second slice sends all of it to 101.
    assert fills(found) == [(11 * S, 100, 0, UNFILLED), (11 * S + 5 * MS, 101, 2, TAKEN)]
    assert found.parents["children"][0] == 2


def test_a_level_that_is_set_again_while_a_child_travels_is_there_again() -> None:
    rows = [*book_rows({99: 5}, {100: 1, 101: 9}), (5 * S + 3 * MS, ASK, 100, 1), END]
    two = RoutingSettings(slices=2, latency_ns=5 * MS)
    # The second slice still thinks 100 gone and asks for 101; the exchange has 100 again 2 ms later.
    found = sent(rows, {"qty": 2, "horizon": 8 * S}, settings=two)
    assert fills(found) == [(S + 5 * MS, 100, 1, TAKEN), (5 * S + 5 * MS, 100, 1, TAKEN)]


def test_children_slower_than_the_slices_never_fill_too_much() -> None:
    rows = [*book_rows({99: 5}, {100: 1, 101: 1, 102: 9}), END]
    slow = RoutingSettings(slices=5, latency_ns=15 * S, market_age_ns=STILL)
    found = sent(rows, {"qty": 5, "horizon": 20 * S}, settings=slow)
    assert found.parents["filled_1e8"][0] <= 5 * COIN
    assert found.parents["children"][0] == 5
    # All five were decided on the one coin at 100. The second comes at 20 s and rests until the end at 21 s; those that
    # come after the end do not rest.
    assert fills(found) == [
        (16 * S, 100, 1, TAKEN),
        (21 * S, 100, 0, UNFILLED),
        (24 * S, 100, 0, UNFILLED),
        (28 * S, 100, 0, UNFILLED),
        (32 * S, 101, 1, TAKEN),
    ]


def test_rejected_children_fill_nothing_and_are_tried_again_by_the_next_slice() -> None:
    rows = [*book_rows({99: 5}, {100: 9}), END]
    always = CALM.model_copy(update={"reject_ppm": 1_000_000})
    found = sent(rows, {"qty": 2, "horizon": 20 * S}, always, settings=RoutingSettings(slices=4, market_age_ns=STILL))
    assert [row[3] for row in fills(found)] == [REJECTED] * 4
    assert found.parents["rejects"][0] == 4
    assert found.parents["shortfall_1e9"][0] == found.parents["opportunity_1e9"][0]


def test_a_frozen_view_is_left_out_once_it_is_old_and_shows_old_prices_before() -> None:
    rows = [
        *book_rows({99: 5}, {100: 9}),
        (10 * S + 1, ASK, 100, 0),
        (10 * S + 2, ASK, 103, 9),
        *((at * S, BID, 98, 1 + at) for at in range(11, 40)),
        END,
    ]
    frozen = CALM.model_copy(update={"stale_ppm": 1_000_000, "stale_ns": 20 * S})
    # Everything is frozen: nothing is ever seen, and the venue is left out.
    found = sent(rows, {"qty": 1, "at": 15 * S, "horizon": 5 * S}, frozen, model=model_of("one", max_book_age_ns=S))
    assert found.parents["stale_venues"][0] == 1
    assert found.parents["filled_1e8"][0] == 0


def test_decisions_in_a_frozen_window_rest_on_what_was_seen_before_it() -> None:
    window, most = 10 * S, 100_000
    key = identity_of("one")
    first = START_NS // window + 1  # the window from 10 s to 20 s

    def frozen(seed: int, at: int) -> bool:
        return drawn(seed, STALE, key, at, 10**6) < most

    seed = next(s for s in range(10_000) if frozen(s, first) and not frozen(s, first - 1) and not frozen(s, first + 1))
    rows = [*book_rows({99: 5}, {100: 9}), (12 * S, ASK, 100, 0), (12 * S, ASK, 103, 9), END]
    plan = CALM.model_copy(update={"stale_ppm": most, "stale_ns": window})
    inside = sent(rows, {"qty": 1, "at": 15 * S}, plan, seed=seed)
    # It asks for 100, as it saw last, and nothing is there any more; afterwards it sees what is.
    assert fills(inside) == [(15 * S + 5 * MS, 100, 0, UNFILLED)]
    after = sent(rows, {"qty": 1, "at": 20 * S}, plan, seed=seed)
    assert fills(after) == [(20 * S + 5 * MS, 103, 1, TAKEN)]


def test_latency_bursts_are_the_plan_s() -> None:
    rows = [*book_rows({99: 5}, {100: 9}), END]
    burst = CALM.model_copy(update={"burst_ppm": 1_000_000, "burst_factor": 30})
    assert fills(sent(rows, {"qty": 1}, burst))[0][0] == S + 150 * MS


def test_a_part_and_no_more() -> None:
    rows = [*book_rows({99: 5}, {100: 9}), (3 * S, SELL_TRADE, 99.5, 9), END]
    cut = CALM.model_copy(update={"partial_fill_ppm": 1_000_000})
    found = sent(rows, {"qty": 8, "horizon": 20 * S}, cut)
    assert found.parents["partial_fills"][0] == 1
    assert [row[3] for row in fills(found)] == [TAKEN], "the rest is cancelled, it does not wait"
    assert 0 < found.parents["filled_1e8"][0] < 8 * COIN


@settings(max_examples=20)
@given(
    seed=st.integers(0, 999),
    reject=st.sampled_from([0, 300_000]),
    partial=st.sampled_from([0, 500_000]),
    stale=st.sampled_from([0, 300_000]),
    burst=st.sampled_from([0, 400_000]),
)
def test_limits_and_quantities_hold_whatever_goes_wrong(
    seed: int, reject: int, partial: int, stale: int, burst: int
) -> None:
    tapes = market(seed, venues=2, duration_s=20)
    parents = orders_for(tapes, seed, 20)
    plan = FaultPlan(
        reject_ppm=reject,
        partial_fill_ppm=partial,
        stale_ppm=stale,
        stale_ns=500 * MS,
        burst_ppm=burst,
        burst_factor=500,
    )
    found = run(tapes, parents, faults=plan, seed=seed)
    again = run(tapes, parents, faults=plan, seed=seed)
    assert found.digest() == again.digest()
    of = found.children["parent"]
    limit, side = parents.rows["limit_px_1e9"][of], parents.rows["side"][of]
    assert not ((limit > 0) & (side * (found.children["px_1e9"] - limit) > 0)).any()
    assert (found.parents["filled_1e8"] <= parents.rows["qty_1e8"]).all()
    filled = np.zeros(len(parents), np.int64)
    np.add.at(filled, of, found.children["qty_1e8"])
    assert (filled == found.parents["filled_1e8"]).all()
    assert (found.children["sent_ns"] <= found.children["filled_ns"]).all()


def test_the_seed_decides_what_goes_wrong_and_the_parents_do_not() -> None:
    tapes = market(3)
    parents = orders_for(tapes, 3, 40)
    plan = FaultPlan(reject_ppm=300_000)
    one, other = (run(tapes, parents, faults=plan, seed=seed) for seed in (1, 2))
    assert one.parents["rejects"].sum() > 0
    assert (one.parents["rejects"] != other.parents["rejects"]).any()
    last = type(parents)(parents.symbol, parents.ids[-1:], parents.rows[-1:])
    assert run(tapes, last, faults=plan, seed=1).parents[0] == one.parents[-1]


@pytest.mark.parametrize("aggressor", [BUY_TRADE, SELL_TRADE])
def test_without_latency_and_faults_what_is_taken_at_once_is_the_replay_s(aggressor: int) -> None:
    rows = [*book_rows({99: 5, 98: 5}, {100: 2, 101: 5}), (50 * S, aggressor, 99.5, 1), END]
    order = {"qty": 3, "side": 1 if aggressor == BUY_TRADE else -1}
    now = RoutingSettings(slices=1, latency_ns=0)
    calm, replayed = sent(rows, order, settings=now), sent(rows, order, settings=now, faults=None)
    assert calm.digest() == replayed.digest()

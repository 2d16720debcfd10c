"""Hand-computed runs: each order type, queue, fee, latency, reject and limit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from evals.engine.layout import FILL_REASONS, OUTCOMES, REASONS
from evals.errors import TapeError
from evals.market.schema import ASK, BID, BUY_TRADE, SELL_TRADE
from evals.replay import ReplayResult

LIMIT, MARKET, IOC, FOK, POST_ONLY = range(5)
NEW, CANCEL, AMEND, INTENT = range(4)
PX, SZ = 10**9, 10**8
START_NS = 1_700_000_000_000_000_000
Play = Callable[..., ReplayResult]

BOOK = [
    (0, 0, BID, 99, 5, False),
    (0, 0, BID, 98, 5, False),
    (0, 0, ASK, 101, 2, False),
    (0, 0, ASK, 102, 4, True),
]
"""98/5 99/5 | 101/2 102/4 at time 0: one packet."""


def tick(at_ns: int) -> tuple[Any, ...]:
    """Return an event that changes nothing near the top and calls the algo."""
    return (at_ns, at_ns, BID, 90, 1 + at_ns % 7)


def order(oid: int, side: int, px: int, qty: int, order_type: int = LIMIT) -> tuple[int, ...]:
    return (oid, px * PX, qty * SZ, side, NEW, order_type)


def fills_of(result: ReplayResult) -> list[tuple[int, int, int, str]]:
    return [
        (int(f["order_id"]), int(f["px_1e9"]) // PX, int(f["qty_1e8"]) // SZ, FILL_REASONS[f["reason"]])
        for f in result.fills
    ]


def outcomes_of(result: ReplayResult) -> list[tuple[int, str, int]]:
    return [(int(o["order_id"]), OUTCOMES[o["outcome"]], int(o["reject_code"])) for o in result.orders]


@pytest.mark.parametrize(
    ("order_type", "px", "qty", "fills", "outcome"),
    [
        (MARKET, 0, 3, [(101, 2), (102, 1)], "filled"),
        (MARKET, 0, 9, [(101, 2), (102, 4)], "expired"),
        (IOC, 101, 3, [(101, 2)], "expired"),
        (IOC, 100, 3, [], "expired"),
        (FOK, 102, 6, [(101, 2), (102, 4)], "filled"),
        (FOK, 102, 7, [], "rejected"),
        (LIMIT, 101, 3, [(101, 2)], "open"),
        (POST_ONLY, 101, 1, [], "rejected"),
        (POST_ONLY, 100, 1, [], "open"),
    ],
)
def test_order_types(
    play: Play, order_type: int, px: int, qty: int, fills: list[tuple[int, int]], outcome: str
) -> None:
    result = play([*BOOK, tick(100)], {0: [order(1, 1, px, qty, order_type)]})
    assert [f[1:3] for f in fills_of(result)] == fills
    assert outcomes_of(result) == [(1, outcome, 2 if outcome == "rejected" else -1)]


def test_what_we_took_is_gone_until_the_tape_refreshes_the_level(play: Play) -> None:
    buy = {0: [order(1, 1, 101, 2, IOC)], 1: [order(2, 1, 101, 1, IOC)], 3: [order(3, 1, 101, 1, IOC)]}
    result = play([*BOOK, tick(100), (200, 200, ASK, 101, 2), tick(300), tick(400)], buy)
    assert fills_of(result) == [(1, 101, 2, "taker"), (3, 101, 1, "taker")]


def test_queue_advances_by_trades_and_is_clamped_by_the_level(play: Play) -> None:
    rows = [
        *BOOK,
        (100, 100, SELL_TRADE, 99, 3),  # 5 ahead -> 2
        (110, 110, BID, 99, 4),  # 5 + 2 of ours: the level shows the trade's decrease; 2 ahead stays
        (120, 120, BID, 99, 1),  # -> 1 ahead
        (130, 130, SELL_TRADE, 99, 2),  # 1 ahead, 1 for us
        (140, 140, SELL_TRADE, 98, 9),  # through
        tick(200),
    ]
    result = play(rows, {0: [order(1, 1, 99, 3)]})
    assert fills_of(result) == [(1, 99, 1, "queue_front"), (1, 99, 2, "trade_through")]
    assert [int(f["queue_ahead_1e8"]) // SZ for f in result.fills] == [1, 0]


def test_a_level_that_reaches_our_price_fills_up_to_what_comes_to_it(play: Play) -> None:
    rows = [*BOOK, (100, 100, ASK, 99, 2), (110, 110, ASK, 99, 2), (120, 120, ASK, 99, 3), tick(200)]
    result = play(rows, {0: [order(1, 1, 99, 3)]})
    assert fills_of(result) == [(1, 99, 2, "crossed_book"), (1, 99, 1, "crossed_book")]


def test_own_orders_queue_behind_each_other(play: Play) -> None:
    rows = [*BOOK, (100, 100, SELL_TRADE, 99, 7), tick(200)]
    result = play(rows, {0: [order(1, 1, 99, 1), order(2, 1, 99, 3)]})
    assert fills_of(result) == [(1, 99, 1, "queue_front"), (2, 99, 1, "queue_front")]


def test_an_order_that_would_meet_our_own_is_rejected(play: Play) -> None:
    rows = [*BOOK, tick(100), tick(200), tick(300)]
    script = {0: [order(1, -1, 100, 1)], 1: [order(2, 1, 100, 1)], 2: [order(3, 1, 99, 1)]}
    result = play(rows, script)
    assert outcomes_of(result) == [(1, "open", -1), (2, "rejected", 2), (3, "open", -1)]
    assert REASONS[result.orders["reason"][1]] == "would trade with own order"


def test_less_at_the_same_price_keeps_the_place_and_more_loses_it(play: Play) -> None:
    rows = [*BOOK, tick(50), (100, 100, SELL_TRADE, 99, 6), tick(200)]
    place = [order(1, 1, 99, 3), order(2, 1, 99, 1)]
    less = play(rows, {0: place, 1: [(1, 99 * PX, 2 * SZ, 0, AMEND, 0)]})
    assert fills_of(less) == [(1, 99, 1, "queue_front")]
    more = play(rows, {0: place, 1: [(1, 99 * PX, 4 * SZ, 0, AMEND, 0)]})
    assert fills_of(more) == [(2, 99, 1, "queue_front")]


def test_latencies_delay_arrival_and_answer(play: Play) -> None:
    rows = [*BOOK, tick(100), (500, 500, ASK, 101, 1), tick(2_000)]
    result = play(rows, {0: [order(1, 1, 101, 2, IOC)]}, place_entry_ns=501, place_response_ns=40)
    assert fills_of(result) == [(1, 101, 1, "taker")], "the level had shrunk when the order arrived"
    assert int(result.fills["exchange_ns"][0]) == START_NS + 501
    assert int(result.fills["receive_ns"][0]) == START_NS + 541
    assert int(result.orders["arrived_ns"][0]) == START_NS + 501


def test_an_answer_comes_before_a_packet_of_the_same_time(play: Play) -> None:
    """Cancelled at 110, heard of at 120: in the packet of 120 the id is free again."""
    script = {0: [order(1, 1, 98, 1)], 1: [(1, 0, 0, 0, CANCEL, 0)], 2: [order(1, 1, 98, 1)]}
    result = play([*BOOK, tick(100), tick(120), tick(200)], script)
    assert outcomes_of(result) == [(1, "canceled", -1), (1, "done", -1), (1, "open", -1)]


def test_the_exchange_moves_on_its_own_clock(play: Play) -> None:
    """The ask is gone at the exchange before the algo sees it, although its packet comes later."""
    rows = [*BOOK, tick(100), (105, 900, ASK, 101, 0), tick(2_000)]
    result = play(rows, {1: [order(1, 1, 101, 1, IOC)]})
    assert outcomes_of(result) == [(1, "expired", -1)]


def test_fees_are_rounded_against_us_and_booked(play: Play) -> None:
    fees = {"maker_fee_ppm": -100, "taker_fee_ppm": 333}
    rows = [*BOOK, tick(50), (100, 100, BUY_TRADE, 102, 9), tick(200)]
    result = play(rows, {0: [order(1, 1, 101, 1, IOC)], 1: [order(2, -1, 102, 1)]}, instrument=fees)
    assert [int(f) for f in result.fills["fee_1e9"]] == [101 * 333_000, -102 * 100_000]
    metrics = result.metrics
    assert metrics["fees_1e9"] == 101 * 333_000 - 102 * 100_000
    assert metrics["net_pnl_1e9"] == PX - (101 * 333_000 - 102 * 100_000)
    assert metrics["gross_pnl_1e9"] == PX
    assert metrics["final_position_1e8"] == 0


def test_an_inverse_contract_settles_in_its_base(play: Play) -> None:
    """Long 2 contracts of 100 USD from 101 to 99: 200 / 101 - 200 / 99 in base currency."""
    facts = {"contract": "inverse", "contract_size_1e8": 100 * SZ}
    result = play(
        [*BOOK, tick(50), tick(200)],
        {0: [order(1, 1, 0, 2, MARKET)], 1: [order(2, -1, 0, 2, MARKET)]},
        instrument=facts,
    )
    bought, sold = 200 * 10**9 // 101, 200 * 10**9 // 99
    assert result.metrics["net_pnl_1e9"] == bought - sold
    assert result.metrics["volume_notional_1e9"] == bought + sold


@pytest.mark.parametrize(
    ("action", "reason"),
    [
        ((1, PX // 2 + 98 * PX, SZ, 1, NEW, LIMIT), "price not a positive multiple of the tick"),
        ((1, 98 * PX, SZ + 1, 1, NEW, LIMIT), "quantity not a positive multiple of the lot"),
        ((1, 98 * PX, SZ, 1, NEW, LIMIT), "below the minimum quantity"),
        ((1, 90 * PX, 2 * SZ, 1, NEW, LIMIT), "below the minimum notional"),
    ],
)
def test_the_exchange_rejects_what_breaks_its_rules(play: Play, action: tuple[int, ...], reason: str) -> None:
    rules = {"min_qty_1e8": 2 * SZ, "min_notional_1e9": 190 * PX}
    result = play([*BOOK, tick(100)], {0: [action]}, instrument=rules)
    assert outcomes_of(result) == [(1, "rejected", 2)]
    assert REASONS[result.orders["reason"][0]] == reason


@pytest.mark.parametrize(
    ("action", "code", "reason"),
    [
        ((1, 98 * PX, SZ, 1, NEW, 5), 2, "unknown order type"),
        ((1, 98 * PX, SZ, 0, NEW, LIMIT), 2, "side is neither 1 nor -1"),
        ((1, 98 * PX, -SZ, 1, NEW, LIMIT), 2, "quantity not a positive multiple of the lot"),
        ((1, 0, SZ, 1, NEW, LIMIT), 2, "price not a positive multiple of the tick"),
        ((1, 98 * PX, SZ, 0, AMEND, 0), 2, "no such order"),
        ((1, 98 * PX, SZ, 1, INTENT, 0), 105, "a venue, pool or symbol that this run does not have"),
        ((1, 98 * PX, 6 * SZ, 1, NEW, LIMIT), 101, "position limit"),
        ((1, 2**62, 5 * SZ, 1, NEW, LIMIT), 100, "order notional limit"),
        ((1, 98 * PX, 5 * SZ, 1, NEW, LIMIT), 100, "order notional limit"),
        ((1, 97 * PX, SZ, 1, NEW, LIMIT), 103, "price too far from the market"),
        ((1, 104 * PX, SZ, -1, NEW, LIMIT), 103, "price too far from the market"),
    ],
)
def test_the_host_refuses(play: Play, action: tuple[int, ...], code: int, reason: str) -> None:
    limits = {"max_position_1e8": 5 * SZ, "max_order_notional_1e9": 400 * PX, "max_price_deviation_bps": 150}
    result = play([*BOOK, tick(100)], {0: [action]}, risk=limits)
    assert outcomes_of(result) == [(1, "refused", code)]
    assert REASONS[result.orders["reason"][0]] == reason
    assert int(result.orders["arrived_ns"][0]) == 0, "a refused action never reaches the exchange"


def test_the_position_limit_counts_open_orders_of_that_side(play: Play) -> None:
    script = {0: [order(1, 1, 99, 2), order(2, 1, 98, 2), order(3, 1, 98, 2), order(4, -1, 102, 5)]}
    result = play([*BOOK, tick(100)], script, risk={"max_position_1e8": 5 * SZ})
    assert outcomes_of(result) == [(1, "open", -1), (2, "open", -1), (3, "refused", 101), (4, "open", -1)]


def test_the_order_rate_is_counted_over_any_second(play: Play) -> None:
    second = 10**9
    rows = [*BOOK, tick(second // 2), tick(second - 1), tick(second), tick(3 * second)]
    script = {n: [order(n + 1, 1, 98, 1)] for n in range(4)}
    result = play(rows, script, risk={"max_order_rate": 2})
    assert [o[1] for o in outcomes_of(result)] == ["open", "open", "refused", "open"]


def test_a_daily_loss_pauses_until_midnight_and_cancels_what_is_open(play: Play) -> None:
    day = 86_400 * 10**9
    to_midnight = day - START_NS % day
    rows = [*BOOK, (100, 100, BID, 99, 0, False), (100, 100, BID, 98, 0), tick(200), tick(to_midnight)]
    script = {0: [order(1, 1, 101, 2, IOC), order(2, 1, 95, 1)], 2: [order(3, 1, 95, 1)], 3: [order(4, 1, 95, 1)]}
    result = play(rows, script, risk={"max_daily_loss_1e9": 10 * PX}, place_entry_ns=10)
    rows_of = {(o[0], k): o[1] for o, k in zip(outcomes_of(result), result.orders["kind"].tolist(), strict=True)}
    assert rows_of[3, NEW] == "refused"
    assert int(result.orders["reject_code"][result.orders["order_id"] == 3][0]) == 104
    assert rows_of[2, NEW] == "canceled"


def test_the_thirty_third_order_is_refused(play: Play) -> None:
    script = {
        0: [order(n, 1, 98, 1) for n in range(1, 17)],
        1: [order(n, 1, 98, 1) for n in range(17, 33)],
        2: [order(33, 1, 98, 1)],
    }
    result = play([*BOOK, tick(100), tick(200), tick(300)], script)
    assert outcomes_of(result)[-1] == (33, "refused", 100)
    assert result.metrics["risk_breaches"] == 1


def test_markouts_take_the_mid_after_each_horizon(play: Play) -> None:
    """Bought at 101 with the mid at 100: the mid is 100 after 100 ms, 102 after 1 s, and the tape ends before 10 s."""
    rows = [*BOOK, tick(100), (500_000_000, 500_000_000, BID, 103, 1), (2 * 10**9, 2 * 10**9, BID, 90, 9)]
    result = play(rows, {0: [order(1, 1, 101, 1, IOC)]})
    fill = result.fills[0]
    assert [int(fill[f"mid_{h}_1e9"]) / PX for h in ("100ms", "1s", "10s")] == [100, 102, 0]
    assert result.metrics["markout_1s_bps"] == pytest.approx(1 / 101 * 10_000)
    assert result.metrics["markout_10s_bps"] is None
    assert result.metrics["spread_pnl_1e9"] == -PX


def test_presence_is_measured_in_exchange_time(play: Play) -> None:
    """From 10 to 1000 quoted on both sides; the bid at the touch all that time, the ask never."""
    rows = [*BOOK, tick(500), tick(1_000)]
    result = play(rows, {0: [order(1, 1, 99, 1), order(2, -1, 102, 1)]})
    assert result.metrics["quote_uptime"] == pytest.approx(0.99)
    assert result.metrics["time_at_touch"] == pytest.approx(0.495)


def test_a_tape_out_of_receive_order_is_refused(play: Play) -> None:
    with pytest.raises(TapeError, match="Row 5 was received before"):
        play([*BOOK, tick(100), tick(50)], {})


def test_a_deep_book_and_a_long_sweep_find_room(play: Play) -> None:
    rows = [(0, 0, ASK, 101 + n, 1, n == 9_999) for n in range(10_000)]
    result = play([*rows, tick(100)], {0: [order(1, 1, 0, 9_000, MARKET)]})
    assert result.metrics["fills"] == 9_000
    assert result.metrics["final_position_1e8"] == 9_000 * SZ

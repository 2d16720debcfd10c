"""The report counts what it says it counts, and refuses a crossed or backward tape naming the place."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.errors import TapeError
from evals.market.schema import ASK, BID, BUY_TRADE, CLEAR, LAST_OF_PACKET, SELL_TRADE, SNAPSHOT
from evals.market.tape import Tape
from evals.market.validation import Validator, validate

MakeTape = Callable[..., Tape]
S = 10**9
ROWS = st.lists(
    st.tuples(st.integers(0, 20 * S), st.integers(1, 5), st.integers(1, 12), st.integers(0, 2), st.integers(0, 1)),
    min_size=1,
    max_size=80,
)


@given(rows=ROWS)
def test_agrees_with_a_slow_and_obvious_walk(make_tape: MakeTape, rows: list[tuple[int, int, int, int, int]]) -> None:
    tape = make_tape([row[:4] for row in rows])
    tape.events["flags"] = [row[4] for row in rows]
    bids: dict[int, int] = {}
    asks: dict[int, int] = {}
    crossed, off_book, bid_levels, first = 0, 0, 0, None
    for i, (_, kind, px, sz, last) in enumerate(rows):
        if kind == CLEAR:
            bids, asks = {}, {}
        elif kind in {BID, ASK}:
            side = bids if kind == BID else asks
            side[px] = sz
            if not sz:
                del side[px]
            bid_levels = max(bid_levels, len(bids))
        else:
            off_book += px < max(bids, default=0) or px > min(asks, default=99)
        if last and bids and asks and max(bids) >= min(asks):
            crossed += 1
            first = i if first is None else first
    report = validate(tape)
    assert (report.summary["crossed_books"], report.summary["trades_off_book"]) == (crossed, off_book)
    assert report.summary["bid_levels_max"] == bid_levels
    assert report.summary["packets"] == sum(row[4] for row in rows)
    assert any(f"first at row {first} " in reason for reason in report.refuse if "crossed" in reason) == bool(crossed)
    assert max(len(line) for line in report.text().splitlines()) <= 80


@given(rows=ROWS, chunk_rows=st.integers(1, 80))
def test_how_the_tape_is_cut_makes_no_difference(
    make_tape: MakeTape, rows: list[tuple[int, int, int, int, int]], chunk_rows: int
) -> None:
    tape = make_tape([row[:4] for row in rows])
    tape.events["flags"] = [row[4] for row in rows]
    validator = Validator()
    for chunk in tape.chunks(chunk_rows):
        validator.take(chunk)
    assert validator.report(tape.info) == validate(tape)


@settings(max_examples=20)
@given(seed=st.integers(0, 2**32), spread=st.sampled_from([40, 1_000, 10**9]), removals=st.integers(1, 4))
def test_agrees_on_books_of_many_levels(make_tape: MakeTape, seed: int, spread: int, removals: int) -> None:
    # Enough levels that come and go for the tables to be built anew.
    random = np.random.default_rng(seed)
    count = 4_000
    kinds = random.choice([BID, ASK, BUY_TRADE, CLEAR], count, p=[0.48, 0.48, 0.0395, 0.0005])
    prices = random.integers(1, spread, count) * 10**7 + (kinds == ASK) * (spread // 3) * 10**7
    sizes = random.integers(0, 1 + removals, count) > 0
    prices[1::3], kinds[1::3] = prices[:-1:3], kinds[:-1:3]
    tape = make_tape(np.column_stack([np.arange(count) * S, kinds, prices, sizes]).tolist())
    sides: dict[int, set[int]] = {BID: set(), ASK: set()}
    crossed, off_book, most = 0, 0, {BID: 0, ASK: 0}
    for kind, px, there in zip(kinds.tolist(), prices.tolist(), sizes.tolist(), strict=True):
        if kind == CLEAR:
            sides = {BID: set(), ASK: set()}
        elif kind in sides:
            (sides[kind].add if there else sides[kind].discard)(px)
            most[kind] = max(most[kind], len(sides[kind]))
        bid, ask = max(sides[BID], default=0), min(sides[ASK], default=2**63)
        crossed += bid >= ask
        off_book += kind == BUY_TRADE and not bid <= px <= ask
    summary = validate(tape).summary
    expected = {"crossed_books": crossed, "trades_off_book": off_book}
    expected |= {"bid_levels_max": most[BID], "ask_levels_max": most[ASK]}
    assert summary | expected == summary


@pytest.mark.parametrize(
    ("px", "off"),
    [(102_010_000_000, 0), (102_010_000_001, 1), (99_000_000_000, 0), (98_999_999_999, 1), (100_500_000_000, 0)],
)
def test_a_trade_far_outside_the_book_is_off_the_market(make_tape: MakeTape, px: int, off: int) -> None:
    rows = [(S, CLEAR, 0, 0), (S, BID, 100 * S, 1), (S, ASK, 101 * S, 1), (2 * S, SELL_TRADE, px, 1)]
    report = validate(make_tape([*rows, (3 * S, BUY_TRADE, px, 1)]))
    assert report.summary["trades_off_market"] == 2 * off
    place = "row 3 (1970-01-01T00:00:02.000000000Z)"
    found = [note for note in report.problems if place in note and "best bid is 100 and the best ask 101" in note]
    assert len(found) == off
    assert not report.refuse


def test_a_market_of_one_side_has_prices_off_it_too(make_tape: MakeTape) -> None:
    report = validate(
        make_tape([(1, CLEAR, 0, 0), (1, ASK, 2**63 - 1, 1), (1, ASK, 5 * S, 1), (2, BUY_TRADE, 6 * S, 1)])
    )
    assert report.summary["trades_off_market"] == 1
    assert any("the best bid is none and the best ask 5." in note for note in report.problems)
    assert validate(make_tape([(1, BUY_TRADE, 6, 1)])).summary["trades_off_market"] == 0


def test_a_crossed_book_is_refused_naming_row_time_and_prices(make_tape: MakeTape) -> None:
    tape = make_tape([(S, CLEAR, 0, 0), (S, BID, 100 * S, 1), (2 * S, ASK, 101 * S, 1), (3 * S, BID, 101 * S + 5, 1)])
    report = validate(tape)
    with pytest.raises(TapeError) as caught:
        report.raise_if_refused("the capture")
    for part in ("the capture", "row 3", "1970-01-01T00:00:03", "best bid 101.000000005", "best ask 101"):
        assert part in str(caught.value)


def test_a_locked_book_counts_as_crossed(make_tape: MakeTape) -> None:
    report = validate(make_tape([(1, CLEAR, 0, 0), (1, BID, 5, 1), (1, ASK, 5, 1), (2, BID, 6, 1)]))
    assert (report.summary["crossed_books"], report.summary["locked_books"]) == (2, 1)


def test_a_book_may_cross_within_a_packet(make_tape: MakeTape) -> None:
    tape = make_tape([(1, CLEAR, 0, 0), (1, ASK, 5, 1), (2, BID, 6, 1), (2, ASK, 5, 0), (2, ASK, 7, 1)])
    tape.events["flags"][2:4] = 0
    assert not validate(tape).refuse


def test_a_lost_snapshot_is_suspected_where_the_book_crosses_without_one(make_tape: MakeTape) -> None:
    report = validate(make_tape([(1, BID, 6, 1), (1, ASK, 5, 1)]))
    assert report.summary["starts_without_snapshot"] == 1
    assert "start on an earlier day" in report.refuse[0]


def test_backward_clocks_are_refused_naming_the_row(make_tape: MakeTape) -> None:
    tape = make_tape([(5, CLEAR, 0, 0), (6, BID, 5, 1), (4, BID, 5, 2)])
    report = validate(tape)
    assert [
        f"The {clock} clock" in reason for clock, reason in zip(("receive", "exchange"), report.refuse, strict=True)
    ]
    assert all("first at row 2 " in reason for reason in report.refuse)


def test_exchange_time_must_be_in_order_within_book_and_trades_only(make_tape: MakeTape) -> None:
    tape = make_tape([(10, BID, 5, 1), (11, BUY_TRADE, 6, 1), (12, ASK, 6, 1), (13, SELL_TRADE, 5, 1)])
    tape.events["exchange_ns"] = [4, 2, 5, 3]
    assert not validate(tape).refuse
    tape.events["exchange_ns"] = [4, 2, 5, 1]
    report = validate(tape)
    assert report.summary["backward_exchange_clock"] == 1
    assert "first at row 3 " in report.refuse[0]


def test_counts_gaps_latency_snapshots_and_empty_trades(make_tape: MakeTape) -> None:
    tape = make_tape(
        [(0, CLEAR, 0, 0), (0, BID, 5, 1), (6 * S, BUY_TRADE, 6, 0), (11 * S, BID, 5, 2), (18 * S, BID, 4, 2)]
    )
    tape.events["flags"][:2] = SNAPSHOT, SNAPSHOT | LAST_OF_PACKET
    tape.events["exchange_ns"][3] = 11 * S + 1
    summary = validate(tape).summary
    expected = {"rows": 5, "packets": 4, "trades": 1, "snapshots": 1, "gaps": 2, "longest_gap_ms": 7000}
    expected |= {"negative_latency": 1, "zero_size_trades": 1, "starts_without_snapshot": 0}
    assert summary | expected == summary
    assert validate(tape, gap_ns=S // 2).summary["gaps"] == 3


def test_what_the_importer_counted_is_reported_but_cannot_hide_a_finding(make_tape: MakeTape) -> None:
    tape = make_tape([(1, CLEAR, 0, 0), (1, BID, 6, 1), (1, ASK, 5, 1)])
    feed = {"sequence_breaks": 3, "crossed_books": 0}
    report = validate(Tape(tape.events, tape.info.model_copy(update={"feed": feed})))
    assert report.summary["sequence_breaks"] == 3
    assert report.summary["crossed_books"] == 1
    assert any("3 sequence_breaks" in problem for problem in report.problems)
    assert report.document() == {"summary": report.summary, "problems": report.problems, "refuse": report.refuse}
    assert all(type(count) is int for count in report.summary.values())


def test_any_tape_gets_a_report(make_tape: MakeTape) -> None:
    tape = make_tape([(1, BUY_TRADE, 6, 1)])
    tape.events["flags"] = 0
    assert validate(tape).summary["packets"] == 0
    assert np.array(validate(tape).refuse).size == 0

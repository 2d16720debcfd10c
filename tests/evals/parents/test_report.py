"""The report: each oddity is counted, and the books at arrival are those of a slow book."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bundles.errors import InvalidInputError
from evals.market.book import Book
from evals.market.schema import ASK, BID, CLEAR, LAST_OF_PACKET, TAPE_DTYPE, Instrument, TapeInfo
from evals.market.source import Columns
from evals.market.tape import Tape
from evals.parents.arrivals import seen_at_arrival
from evals.parents.orders import PARENT, ParentOrders
from evals.parents.report import validate_parents

S = 10**9


def parents_at(arrivals: list[int], side: int = 1, qty: int = 10**8, limit: int = 0, horizon: int = 0) -> ParentOrders:
    rows = np.zeros(len(arrivals), PARENT)
    rows["arrival_ns"], rows["side"], rows["qty_1e8"] = arrivals, side, qty
    rows["limit_px_1e9"], rows["horizon_ns"] = limit, horizon
    return ParentOrders("BTC-USD", tuple(f"p{row:05d}" for row in range(len(arrivals))), rows)


def tiny(*rows: tuple[int, int, int, int], venue: str = "one", **facts: int) -> Tape:
    """A tape from (seconds, kind, price, size)."""
    events = np.zeros(len(rows), TAPE_DTYPE)
    for event, (at, kind, px, size) in zip(events, rows, strict=True):
        event["exchange_ns"] = event["receive_ns"] = at * S
        event["kind"], event["px_1e9"], event["sz_1e8"], event["flags"] = kind, px * S, size * 10**8, LAST_OF_PACKET
    instrument = Instrument(venue=venue, symbol="BTC-USD", **{"tick_size_1e9": S, "lot_size_1e8": 10**7, **facts})
    return Tape(events, TapeInfo(instrument=instrument, importer="t", importer_version="1"))


BOOK = ((10, BID, 100, 5), (10, ASK, 102, 5), (20, ASK, 103, 9), (30, ASK, 103, 0))


@pytest.mark.parametrize("chunk_rows", [1, 7, 1 << 16])
@pytest.mark.parametrize("side", [1, -1])
def test_the_book_at_each_arrival_is_that_of_a_slow_book(tape: Tape, chunk_rows: int, side: int) -> None:
    tape = Tape(tape.events[:3_000], tape.info)
    receive_ns = tape.events["receive_ns"]
    arrivals = sorted({int(receive_ns[k]) + shift for k in range(0, 3_000, 97) for shift in (-1, 0, 1)})
    parents = parents_at([int(receive_ns[0]) - 5, *arrivals], side, qty=3 * 10**6)

    class Cut:
        info = tape.info

        def chunks(self) -> list[Columns]:
            return list(tape.chunks(chunk_rows))

    seen = seen_at_arrival(parents, Cut())  # type: ignore[arg-type]
    most = 0
    for row, at in enumerate(parents.rows["arrival_ns"].tolist()):
        book = Book()
        known = tape.events[receive_ns <= at]
        book.apply(known)
        bid, ask = book.best()
        taken = book.asks() if side > 0 else book.bids()
        assert seen.bid_1e9[row] == (bid[0] if bid else 0)
        assert seen.ask_1e9[row] == (ask[0] if ask else 0)
        assert seen.depth_1e8[row] == sum(size for _, size in taken)
        books = known[known["kind"] <= ASK]
        assert seen.updated_ns[row] == (books["receive_ns"][-1] if len(books) else 0)
        reached = list(seen.levels[row])
        assert reached == taken[: len(reached)]
        assert len(reached) == len(taken) or sum(size for _, size in reached) >= 3 * 10**6
        assert sum(size for _, size in reached[:-1]) < 3 * 10**6
        most = max(most, sum(size for _, size in taken))
    assert (seen.rows, seen.packets) == (3_000, int((tape.events["flags"] & LAST_OF_PACKET != 0).sum()))
    assert (seen.most_asks_1e8 if side > 0 else seen.most_bids_1e8) >= most


def counts(parents: ParentOrders, *tapes: Tape) -> dict[str, int]:
    return validate_parents(parents, tapes).summary


@pytest.mark.parametrize(
    ("name", "parents", "count"),
    [
        ("outside_tape", parents_at([9 * S, 10 * S, 30 * S, 30 * S + 1]), 2),
        ("ending_after_tape", parents_at([25 * S, 25 * S + 1], horizon=5 * S), 1),
        ("ending_after_tape", parents_at([31 * S], horizon=5 * S), 0),
        ("without_book", parents_at([9 * S, 10 * S]), 1),
        ("off_lot", parents_at([10 * S, 11 * S], qty=10**7 + 1), 2),
        ("below_minimum", parents_at([10 * S], qty=10**7), 1),
        ("larger_than_book", parents_at([10 * S, 20 * S, 30 * S], qty=6 * 10**8), 2),
        ("larger_than_book_ever", parents_at([10 * S], qty=14 * 10**8), 0),
        ("larger_than_book_ever", parents_at([10 * S], qty=14 * 10**8 + 1), 1),
        ("off_tick", parents_at([10 * S], limit=100 * S + 1), 1),
        ("with_limit", parents_at([10 * S, 11 * S], limit=100 * S), 2),
        ("limit_far_passive", parents_at([10 * S], limit=95 * S), 1),
        ("limit_far_passive", parents_at([10 * S], limit=96 * S), 0),
        ("limit_far_aggressive", parents_at([10 * S], limit=107 * S), 1),
        ("limit_far_aggressive", parents_at([10 * S], limit=106 * S), 0),
        ("overlapping", parents_at([10 * S, 12 * S, 15 * S], horizon=3 * S), 1),
        ("overlapping_most", parents_at([10 * S, 11 * S, 12 * S, 25 * S], horizon=3 * S), 3),
        ("same_arrival", parents_at([10 * S, 10 * S, 11 * S]), 1),
        ("longest_side_run", parents_at([10 * S] * 21), 21),
        ("long_side_runs", parents_at([10 * S] * 21), 1),
        ("long_side_runs", parents_at([10 * S] * 19), 0),
    ],
)
def test_each_oddity_is_counted(name: str, parents: ParentOrders, count: int) -> None:
    report = validate_parents(parents, [tiny(*BOOK, min_qty_1e8=2 * 10**7)])
    assert report.summary[name] == count
    assert len(report.refuse) == sum(bool(report.summary[each]) for each in ("outside_tape", "ending_after_tape"))


def test_what_lies_outside_the_tapes_is_refused_by_its_id() -> None:
    short = tiny((12, BID, 100, 1), (20, ASK, 102, 1), venue="two")
    report = validate_parents(parents_at([9 * S, 11 * S, 15 * S, 25 * S, 29 * S], horizon=2 * S), [tiny(*BOOK), short])
    found = {name: report.summary[name] for name in ("outside_tape", "ending_after_tape", "missing_venue")}
    assert found == {"outside_tape": 1, "ending_after_tape": 1, "missing_venue": 3}
    assert report.refuse[0].startswith("1 parent orders arrive outside the tapes")
    assert "the first is p00000, 1970-01-01T00:00:09.000000000Z for 2 s" in report.refuse[0]
    assert report.refuse[1].startswith("1 parent orders work beyond the end of the tapes")
    assert "the first is p00004, 1970-01-01T00:00:29" in report.refuse[1]


def test_depth_is_that_of_all_venues_and_a_cleared_book_has_none() -> None:
    tapes = [tiny(*BOOK), tiny((10, BID, 99, 1), (10, ASK, 101, 2), (28, CLEAR, 0, 0), (30, BID, 99, 1), venue="two")]
    assert counts(parents_at([10 * S], qty=7 * 10**8), *tapes)["larger_than_book"] == 0
    assert counts(parents_at([29 * S], qty=15 * 10**8), *tapes)["larger_than_book"] == 1
    assert counts(parents_at([10 * S], qty=7 * 10**8 + 1), *tapes)["larger_than_book"] == 1


def test_tapes_that_do_not_go_with_the_orders_are_refused(venue: Callable[..., Tape]) -> None:
    parents = parents_at([10 * S])
    other = tiny(*BOOK)
    other = Tape(
        other.events,
        other.info.model_copy(update={"instrument": other.info.instrument.model_copy(update={"symbol": "ETH-USD"})}),
    )
    with pytest.raises(InvalidInputError, match="the tape of one is of ETH-USD"):
        validate_parents(parents, [other])
    with pytest.raises(InvalidInputError, match="Two tapes are of one"):
        validate_parents(parents, [tiny(*BOOK), tiny(*BOOK)])
    with pytest.raises(InvalidInputError, match="Name a dataset for each venue"):
        validate_parents(parents, [])


def test_a_clean_set_has_no_problems() -> None:
    report = validate_parents(parents_at([10 * S, 15 * S]), [tiny(*BOOK)])
    assert (report.problems, report.refuse) == ([], [])

"""The rules of the GDAX importer on a book of a few orders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evals.errors import TapeError
from evals.market.gdax import OrderBook, import_gdax
from evals.market.schema import ASK, BID, BUY_TRADE, CLEAR, LAST_OF_PACKET, SELL_TRADE
from evals.market.tape import Tape

START = {
    "sequence": 10,
    "bids": [["100.00", "1", "b1"], ["100.00", "2", "b2"], ["99", "3", "b3"]],
    "asks": [["101", "4", "a1"], ["9999999999", "0.1", "far"]],
}


def message(sequence: int, what: str, **more: Any) -> dict[str, Any]:
    stamp = f"2018-07-13T20:47:{sequence:02d}.025000Z"
    return {"type": what, "sequence": sequence, "product_id": "BTC-USD", "time": stamp} | more


def imported(tmp_path: Path, messages: Any) -> Tape:
    book, feed = tmp_path / "book.json", tmp_path / "messages.json"
    book.write_text(json.dumps(START))
    feed.write_text(json.dumps(messages))
    return import_gdax(book, feed)


def packets(tape: Tape) -> list[list[tuple[int, float, float]]]:
    rows = [(int(e["kind"]), e["px_1e9"] / 1e9, e["sz_1e8"] / 1e8) for e in tape.events]
    ends = [i + 1 for i, flags in enumerate(tape.events["flags"]) if flags & LAST_OF_PACKET]
    return [rows[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def test_orders_become_levels_and_matches_trades(tmp_path: Path) -> None:
    match = {"maker_order_id": "b1", "taker_order_id": "t", "size": "0.4", "price": "100", "side": "buy", "trade_id": 7}
    tape = imported(
        tmp_path,
        [
            message(11, "received", order_id="n1", side="sell", price="100.5", size="5"),
            message(12, "open", order_id="n1", side="sell", price="100.5", remaining_size="5"),
            message(13, "match", **match),
            message(14, "done", order_id="t", reason="filled", side="sell", price="100"),
            message(15, "match", **match | {"size": "0.6", "trade_id": 8}),
            message(16, "done", order_id="b1", reason="filled", side="buy", price="100", remaining_size="0"),
            message(17, "change", order_id="b2", side="buy", price="100", new_size="1.5", old_size="2"),
            message(18, "done", order_id="b2", reason="canceled", side="buy", price="100", remaining_size="1.5"),
            message(18, "done", order_id="b3", reason="canceled", side="buy", price="99", remaining_size="3"),
            message(19, "match", **match | {"maker_order_id": "n1", "price": "100.5", "side": "sell", "trade_id": 10}),
        ],
    )
    assert packets(tape) == [
        [(CLEAR, 0, 0), (BID, 100, 3), (BID, 99, 3), (ASK, 101, 4)],
        [(ASK, 100.5, 5)],
        [(SELL_TRADE, 100, 0.4), (BID, 100, 2.6)],
        [(SELL_TRADE, 100, 0.6), (BID, 100, 2)],
        [(BID, 100, 1.5)],
        [(BID, 100, 0)],
        [(BUY_TRADE, 100.5, 0.4), (ASK, 100.5, 4.6)],
    ]
    assert tape.info.feed == {"messages": 10, "rows_out_of_range": 1, "trade_id_gaps": 1, "trade_id_duplicates": 0}
    assert set((tape.events["receive_ns"] - tape.events["exchange_ns"]).tolist()) == {5_000_000}
    assert tape.events["exchange_ns"][0] == 1_531_514_831_025_000_000


@pytest.mark.parametrize(
    ("messages", "fault"),
    [
        ([message(12, "received")], "message 1: the sequence jumps from 10 to 12"),
        ([message(11, "auction")], "message 1: unknown type 'auction'"),
        ([message(11, "open", order_id="n")], "message 1 is not a GDAX"),
        ([message(11, "received") | {"product_id": "ETH-USD"}], "message 1: it is of ETH-USD"),
        ([message(11, "open", order_id="n", side="buy", price="101.5", remaining_size="1")], "refused.* row 4 .*101.5"),
        (
            [message(11, "match", maker_order_id="x", size="1", price="1", side="buy", trade_id=1)],
            "order x, which is not",
        ),
        (
            [message(11, "match", maker_order_id="b1", size="9", price="100", side="buy", trade_id=1)],
            "not fit order b1",
        ),
        ([message(11, "open", order_id="b1", side="buy", price="98", remaining_size="1")], "b1 is on the book already"),
        ([], "holds no messages"),
        ([1], "message 1 is not a GDAX"),
    ],
)
def test_a_feed_that_does_not_fit_is_refused(tmp_path: Path, messages: Any, fault: str) -> None:
    with pytest.raises(TapeError, match=rf"messages\.json.*{fault}"):
        imported(tmp_path, messages)


def test_a_damaged_book_is_refused(tmp_path: Path) -> None:
    for content, fault in (("{", "not a readable JSON"), ("{}", "not a level-3 book"), ("[]", "not a level-3 book")):
        (tmp_path / "book.json").write_text(content)
        with pytest.raises(TapeError, match=rf"book\.json.*{fault}"):
            import_gdax(tmp_path / "book.json", tmp_path / "messages.json")


def test_the_snapshot_is_sorted_best_first() -> None:
    assert OrderBook(START).snapshot()[1:4] == [
        (BID, 100 * 10**9, 3 * 10**8),
        (BID, 99 * 10**9, 3 * 10**8),
        (ASK, 101 * 10**9, 4 * 10**8),
    ]

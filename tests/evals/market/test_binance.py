"""The rules of the Binance importer on captures of a few lines."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from evals.errors import TapeError
from evals.market.binance import BTC_INSTRUMENTS, Market, import_binance
from evals.market.book import Book
from evals.market.schema import BUY_TRADE, CLEAR, LAST_OF_PACKET, SELL_TRADE, SNAPSHOT
from evals.market.tape import Tape

MS = 10**6
Side = list[list[str]]


def depth(ms: int, first: int, last: int, previous: int | None = None, bids: Side = [], asks: Side = []) -> Any:  # noqa: B006
    data = {"e": "depthUpdate", "E": ms, "s": "BTCUSDT", "U": first, "u": last, "b": bids, "a": asks}
    if previous is not None:
        data |= {"T": ms - 5, "pu": previous}
    return {"stream": "btcusdt@depth@100ms", "data": data}


def trade(ms: int, trade_id: int, px: str = "100.1", *, maker_buys: bool = False, **more: Any) -> Any:
    data = {"e": "trade", "E": ms + 9, "s": "BTCUSDT", "t": trade_id, "p": px, "q": "0.5", "T": ms, "m": maker_buys}
    return {"stream": "btcusdt@trade", "data": data | more}


def snapshot(last: int, bids: Side, asks: Side) -> Any:
    return {"lastUpdateId": last, "bids": bids, "asks": asks}


def ticker() -> Any:
    return {"stream": "btcusdt@bookTicker", "data": {"s": "BTCUSDT", "u": 1, "b": "1", "B": "1", "a": "2", "A": "2"}}


def capture(tmp_path: Path, lines: list[tuple[int, Any]], name: str = "capture.gz") -> Path:
    path = tmp_path / name
    path.write_bytes(gzip.compress("".join(f"{ms * MS} {json.dumps(message)}\n" for ms, message in lines).encode()))
    return path


def packets(tape: Tape) -> list[tuple[int, list[tuple[int, int, int]]]]:
    """Return receive time less the shift (ms) and rows of each packet."""
    found: list[tuple[int, list[tuple[int, int, int]]]] = [(0, [])]
    for event in tape.events:
        rows = [*found[-1][1], (int(event["kind"]), int(event["px_1e9"]), int(event["sz_1e8"]))]
        found[-1] = ((int(event["receive_ns"]) - tape.info.clock_shift_ns) // MS, rows)
        if event["flags"] & LAST_OF_PACKET:
            found.append((0, []))
    return found[:-1]


START = snapshot(10, [["100.0", "1"], ["99.9", "2"]], [["100.1", "3"]])


def test_a_late_snapshot_is_followed_by_the_updates_that_are_newer(tmp_path: Path) -> None:
    lines = [
        (1000, depth(990, 5, 8, bids=[["98", "7"]])),
        (1001, trade(995, 1)),
        (1010, depth(1000, 9, 12, bids=[["99.9", "0"]])),
        (1020, depth(1010, 13, 14, asks=[["100.2", "4"]])),
        (1030, START),
        (1040, trade(1035, 2, maker_buys=True)),
        (1050, depth(1045, 15, 15, asks=[["100.1", "0"]])),
        (1051, ticker()),
        (1052, trade(1046, 3)),
    ]
    tape = import_binance([capture(tmp_path, lines)], market="spot")
    px, one = 10**9, 10**8
    assert packets(tape) == [
        (1030, [(CLEAR, 0, 0), (1, 100 * px, one), (1, 99_900_000_000, 2 * one), (2, 100_100_000_000, 3 * one)]),
        (1030, [(1, 99_900_000_000, 0)]),
        (1030, [(2, 100_200_000_000, 4 * one)]),
        (1040, [(SELL_TRADE, 100_100_000_000, one // 2)]),
        (1050, [(2, 100_100_000_000, 0)]),
        (1052, [(BUY_TRADE, 100_100_000_000, one // 2)]),
    ]
    assert (tape.events["flags"][:4] & SNAPSHOT).all()
    assert not (tape.events["flags"][4:] & SNAPSHOT).any()
    # The snapshot is as old as the last update that it makes superfluous.
    assert tape.events["exchange_ns"][[0, 4, 5, 6]].tolist() == [990 * MS, 1000 * MS, 1010 * MS, 1035 * MS]
    expected = {"depth_messages": 4, "trade_messages": 3, "book_tickers": 1, "trades_before_snapshot": 1}
    assert tape.info.feed | expected == tape.info.feed
    assert tape.info.clock_shift_ns == 0


def test_a_clock_behind_is_moved_so_that_the_quickest_message_takes_the_floor(tmp_path: Path) -> None:
    lines = [(1000, START), (1001, depth(2260, 11, 11)), (1010, trade(2280, 1)), (1030, trade(2290, 2))]
    path = capture(tmp_path, lines)
    tape = import_binance([path], market="spot")
    assert tape.info.clock_shift_ns == 1271 * MS
    latency = tape.events["receive_ns"] - tape.events["exchange_ns"]
    assert latency[-2:].tolist() == [1 * MS, 11 * MS]
    assert import_binance([path], market="spot", latency_floor_ns=5 * MS).info.clock_shift_ns == 1275 * MS


@pytest.mark.parametrize("market", ["spot", "usdm"])
def test_after_a_break_the_book_is_empty_until_a_snapshot_joins(tmp_path: Path, market: Market) -> None:
    def update(ms: int, last: int, previous: int, **levels: Side) -> Any:
        return depth(ms, previous + 1, last, None if market == "spot" else previous, **levels)

    lines = [
        (1000, START),
        (1010, update(1005, 12, 9)),
        (1020, update(1015, 13, 12, bids=[["99.8", "1"]])),
        (1030, update(1025, 20, 15, bids=[["99.7", "1"]])),
        (1040, snapshot(14, [["1", "1"]], [["2", "1"]])),
        (1050, update(1045, 22, 20, bids=[["99.6", "1"]])),
        (1060, snapshot(21, [["100.0", "5"]], [["100.3", "5"]])),
        (1070, update(1065, 23, 22, asks=[["100.3", "6"]])),
    ]
    tape = import_binance([capture(tmp_path, lines)], market=market)
    assert tape.info.feed["sequence_breaks"] == 1
    assert tape.info.feed["unusable_snapshots"] == 1
    times = [time for time, _ in packets(tape)]
    assert times == [1000, 1020, 1030, 1060, 1060, 1070]
    assert packets(tape)[2][1] == [(CLEAR, 0, 0)]
    book = Book()
    book.apply(tape.events)
    assert book.bids() == [(100 * 10**9, 5 * 10**8), (99_600_000_000, 10**8)]
    assert book.asks() == [(100_300_000_000, 6 * 10**8)]


def test_trades_come_once_and_only_from_the_book(tmp_path: Path) -> None:
    odd = trade(1011, 5, px="0", X="INSURANCE_FUND")
    lines = [
        (1000, START),
        *((1010, trade(1005, number)) for number in (1, 2, 2, 1, 4)),
        (1012, odd),
        (1013, trade(1012, 6)),
    ]
    tape = import_binance([capture(tmp_path, lines)], market="spot")
    counts = tape.info.feed
    assert int((tape.events["kind"] == BUY_TRADE).sum()) == 4
    names = ("trade_id_duplicates", "trade_id_gaps", "trades_outside_matching", "trade_messages")
    assert [counts[name] for name in names] == [2, 1, 1, 7]


def test_several_files_are_one_stream(tmp_path: Path) -> None:
    first = capture(tmp_path, [(1000, START), (1010, depth(1005, 11, 11, bids=[["99", "1"]]))], "1.gz")
    plain = tmp_path / "2.txt"
    plain.write_text(f"{1020 * MS} {json.dumps(depth(1015, 12, 12, bids=[['98', '1']]))}\n")
    tape = import_binance([first, plain], market="spot")
    assert len(packets(tape)) == 3
    assert tape.info.feed["sequence_breaks"] == 0
    with pytest.raises(TapeError, match=r"1\.gz line 1: the local clock goes back"):
        import_binance([plain, first], market="spot")


def test_other_symbols_need_their_instrument(tmp_path: Path) -> None:
    lines = [(1000, START), (1010, trade(1005, 1, s="ETHUSDT"))]
    path = capture(tmp_path, lines)
    with pytest.raises(TapeError, match=r"ETHUSDT \(spot\) are not built in"):
        import_binance([path], market="spot")
    own = BTC_INSTRUMENTS["spot"].model_copy(update={"symbol": "ETH-USDT"})
    assert import_binance([path], market="spot", instrument=own).info.instrument == own
    both = capture(tmp_path, [*lines, (1011, trade(1006, 2))])
    with pytest.raises(TapeError, match=r"line 3: the capture holds ETHUSDT and BTCUSDT"):
        import_binance([both], market="spot")


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"nonsense", "line 2 is not"),
        (b"1000000001 {", "line 2 is not"),
        (b"1000000001 []", "line 2 is not"),
        (b'1000000001 {"stream": "x@trade", "data": {}}', "line 2 is not"),
        (b"1000000001 " + json.dumps(trade(1, 1, px="1e3")).encode(), "line 2: '1e3' is not a plain"),
        (b"1000000001 " + json.dumps(trade(1, 1, px="0.1234567891")).encode(), "line 2: .*more than the 9 decimals"),
        (b"1000000001 " + json.dumps(trade(1, 1, px="9999999999")).encode(), "too large for a tape"),
    ],
)
def test_a_damaged_line_is_named(tmp_path: Path, line: bytes, fault: str) -> None:
    path = tmp_path / "capture.txt"
    path.write_bytes(f"{10**9} {json.dumps(START)}\n".encode() + line + b"\n")
    with pytest.raises(TapeError, match=fault):
        import_binance([path], market="spot")


def test_a_truncated_or_headless_capture_is_refused(tmp_path: Path) -> None:
    path = capture(tmp_path, [(1000, START), *((1001 + n, trade(900, n)) for n in range(1, 50))])
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(TapeError, match=r"capture\.gz cannot be read after line"):
        import_binance([path], market="spot")
    for lines in ([], [(1000, trade(900, 1))], [(1000, depth(990, 20, 21)), (1001, START)]):
        with pytest.raises(TapeError, match="no depth snapshot"):
            import_binance([capture(tmp_path, lines)], market="spot")


def test_a_crossed_book_is_refused_naming_the_place(tmp_path: Path) -> None:
    lines = [(1000, START), (1010, depth(1005, 11, 11, bids=[["100.15", "1"]]))]
    with pytest.raises(TapeError, match=r"capture\.gz is refused.*row 4 .*best bid 100\.15 >= best ask 100\.1\."):
        import_binance([capture(tmp_path, lines)], market="spot")

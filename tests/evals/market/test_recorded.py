"""The importers against recorded markets, with what the samples' provenance file states about them."""

from __future__ import annotations

import gzip
import json
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evals.market.binance import Market, import_binance
from evals.market.book import Book
from evals.market.captures import json_document
from evals.market.datasets import build_dataset, load_dataset
from evals.market.decimals import scaled
from evals.market.gdax import import_gdax, read_book
from evals.market.schema import ASK, BID, LAST_OF_PACKET
from evals.market.tape import Tape, write_tape
from evals.market.validation import validate

Quote = tuple[tuple[int, int], tuple[int, int]]


@dataclass(frozen=True)
class Stated:
    """What the provenance file says of one Binance market."""

    market: Market
    files: tuple[str, ...]
    depth_messages: int
    level_updates: int
    book_tickers: int
    trades: int
    compared: int
    differing: int


BINANCE = [
    Stated("spot", ("spot_btcusdt_20240808", "spot_btcusdt_20240809"), 6_495, 298_111, 73_174, 19_904, 6_492, 2),
    Stated(
        "coinm",
        ("coinm_btcusd_perp_20240808", "coinm_btcusd_perp_20240809"),
        44_795,
        659_671,
        48_355,
        5_235,
        44_770,
        0,
    ),
    Stated("usdm", ("usdm_btcusdt_20240808",), 6_551, 443_521, 66_089, 21_313, 6_545, 0),
]


@pytest.fixture(scope="module", params=BINANCE, ids=lambda stated: stated.market)
def stated(request: pytest.FixtureRequest) -> Stated:
    found: Stated = request.param
    return found


def paths_of(raw: Path, stated: Stated) -> list[Path]:
    return [raw / "binance-2024-08-08" / f"{name}.gz" for name in stated.files]


@pytest.fixture(scope="module")
def tape(raw: Path, stated: Stated) -> Tape:
    return import_binance(paths_of(raw, stated), market=stated.market)


@pytest.fixture(scope="module")
def gdax(raw: Path) -> Path:
    return raw / "gdax-btcusd-l3-2018-07-13"


@pytest.fixture(scope="module")
def gdax_tape(gdax: Path) -> Tape:
    return import_gdax(gdax / "beginning_level_3.json.gz", gdax / "messages.json.gz")


def messages(paths: list[Path]) -> Iterator[dict[str, Any]]:
    for path in paths:
        with gzip.open(path, "rb") as file:
            for line in file:
                yield json.loads(line.split(b" ", 1)[1])


def tops(tape: Tape) -> Iterator[Quote | None]:
    """Yield the top of the book after each packet of levels (not of trades)."""
    book = Book()
    start = 0
    for end in (np.flatnonzero(tape.events["flags"] & LAST_OF_PACKET) + 1).tolist():
        packet = tape.events[start:end]
        start = end
        if packet["kind"][0] in {BID, ASK}:
            book.apply(packet)
            bid, ask = book.best()
            yield None if bid is None or ask is None else (bid, ask)
        else:
            book.apply(packet)


def test_binance_counts_are_those_stated(tape: Tape, stated: Stated) -> None:
    report = validate(tape)
    names = ("depth_messages", "book_tickers", "trade_messages", "other_messages")
    assert [report.summary[name] for name in names] == [
        stated.depth_messages,
        stated.book_tickers,
        stated.trades,
        0,
    ]
    assert report.summary["trades"] + report.summary["trades_before_snapshot"] == stated.trades
    clean = ("crossed_books", "sequence_breaks", "trade_id_gaps", "trade_id_duplicates", "negative_latency", "gaps")
    assert {name: report.summary[name] for name in clean} == dict.fromkeys(clean, 0)
    assert report.summary["snapshots"] == 1
    levels = report.summary["rows"] - report.summary["trades"] - 2001
    assert 0.99 * stated.level_updates < levels <= stated.level_updates


def test_binance_clock_is_moved_by_what_it_is_behind(tape: Tape) -> None:
    assert 1.25e9 < tape.info.clock_shift_ns < 1.30e9
    latency = (tape.events["receive_ns"] - tape.events["exchange_ns"])[3000:]
    assert latency.min() == 1_000_000
    assert np.median(latency) < 50_000_000


def test_binance_tops_agree_with_the_recorded_best_quotes(raw: Path, tape: Tape, stated: Stated) -> None:
    # The k-th packet of levels on the tape is the k-th depth message that the snapshot does not make superfluous.
    paths = paths_of(raw, stated)
    (last_id,) = (message["lastUpdateId"] for message in messages(paths) if "stream" not in message)
    quotes: list[tuple[int, Quote]] = []
    depths: list[int] = []
    waited: set[int] = set()  # updates that came before the snapshot; the provenance file does not compare these
    for message in messages(paths):
        data = message.get("data", {})
        if "stream" not in message:
            waited.update(depths)
        if message.get("stream", "").endswith("@bookTicker"):
            bid = scaled(data["b"], 9), scaled(data["B"], 8)
            ask = scaled(data["a"], 9), scaled(data["A"], 8)
            quotes.append((data["u"], (bid, ask)))
        elif "@depth" in message.get("stream", "") and data["u"] > last_id and (data["b"] or data["a"]):
            depths.append(data["u"])
    quote_ids = [update_id for update_id, _ in quotes]
    assert quote_ids == sorted(quote_ids)
    found = list(tops(tape))
    assert len(found) == len(depths)
    compared = prices = sizes = 0
    for update_id, top in zip(depths, found, strict=True):
        place = bisect_right(quote_ids, update_id)
        if place == 0 or update_id in waited:
            continue
        assert top is not None
        (bid, ask), (quoted_bid, quoted_ask) = top, quotes[place - 1][1]
        compared += 1
        wrong_price = (bid[0], ask[0]) != (quoted_bid[0], quoted_ask[0])
        prices += wrong_price
        sizes += not wrong_price and (bid[1], ask[1]) != (quoted_bid[1], quoted_ask[1])
    assert (compared, prices, sizes) == (stated.compared, stated.differing, 0)


def test_binance_import_is_reproducible_and_splits_at_midnight(
    raw: Path, tape: Tape, stated: Stated, tmp_path: Path
) -> None:
    again = import_binance(paths_of(raw, stated), market=stated.market)
    first, second = write_tape(tmp_path / "one", tape), write_tape(tmp_path / "two", again)
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]
    assert [path.parent.name for path in first] == ["date=2024-08-08", "date=2024-08-09"]
    instrument = tape.info.instrument
    whole = build_dataset(tmp_path / "one", instrument.venue, instrument.symbol)
    assert (load_dataset(tmp_path / "one", whole).events == tape.events).all()
    # The second day has no snapshot in the capture, and can be replayed alone all the same.
    later = build_dataset(tmp_path / "one", instrument.venue, instrument.symbol, start=date(2024, 8, 9))
    assert later.validation["snapshots"] == 1
    alone, together = Book(), Book()
    alone.apply(load_dataset(tmp_path / "one", later).events)
    together.apply(tape.events)
    assert (alone.bids(), alone.asks()) == (together.bids(), together.asks())


def test_gdax_orders_end_as_published(gdax: Path) -> None:
    book, end = read_book(gdax / "beginning_level_3.json.gz"), read_book(gdax / "ending_level_3.json.gz")
    for message in json_document(gdax / "messages.json.gz"):
        book.apply(message)
    assert book.sequence == end.sequence
    assert len(end.orders) == 66_833
    assert book.orders == end.orders
    assert book.levels == end.levels


def test_gdax_tape_ends_in_the_published_book(gdax: Path, gdax_tape: Tape) -> None:
    end = read_book(gdax / "ending_level_3.json.gz")
    book = Book()
    book.apply(gdax_tape.events)
    rebuilt = {(BID, px): sz for px, sz in book.bids()} | {(ASK, px): sz for px, sz in book.asks()}
    beyond = {key: sz for key, sz in end.levels.items() if key[1] >= 2**63}
    # One ask, at 9,999,999,999 dollars, does not fit into a tape's 64 bits.
    assert beyond.keys() == {(ASK, 9_999_999_999 * 10**9)}
    assert rebuilt | beyond == end.levels


def test_gdax_counts_are_those_stated(gdax_tape: Tape) -> None:
    summary = validate(gdax_tape).summary
    expected = {"messages": 36_743, "trades": 501, "snapshots": 1, "longest_gap_ms": 551, "rows_out_of_range": 1}
    clean = ("crossed_books", "trade_id_gaps", "trade_id_duplicates", "trades_off_book", "negative_latency")
    assert summary | expected | dict.fromkeys(clean, 0) == summary
    trades = np.isin(gdax_tape.events["kind"], (3, 4))
    assert gdax_tape.events["sz_1e8"][trades].sum() == 5_237_848_097


def test_gdax_import_is_the_same_from_plain_files(gdax: Path, gdax_tape: Tape, tmp_path: Path) -> None:
    plain = []
    for name in ("beginning_level_3.json", "messages.json"):
        plain.append(tmp_path / name)
        plain[-1].write_bytes(gzip.decompress((gdax / f"{name}.gz").read_bytes()))
    again = import_gdax(*plain)
    assert again.info == gdax_tape.info
    assert (again.events == gdax_tape.events).all()

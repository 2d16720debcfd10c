"""Several symbols, venues and days on one timeline: each asset has an exchange of its own, each symbol one position."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wasmtime

from bundles.errors import InvalidInputError
from evals.engine.layout import FILL_REASONS, OUTCOMES, REASONS, Records
from evals.engine.markets import market_of, seed_of
from evals.market.datasets import build_dataset, open_dataset
from evals.market.schema import ASK, BID, BUY_TRADE, SELL_TRADE, Instrument, TapeInfo
from evals.market.source import TapeSource
from evals.market.tape import Tape, write_tape
from evals.replay import ReplayResult, ReplaySettings
from evals.wasm.abi import VENUE_IDS
from tests.evals.conftest import UNIT_PX, UNIT_SZ, events_of, module_text
from tests.evals.engine.busy_algo import DRAWN, RISK, busy_algo, market, replay

KRAKEN, COINBASE = VENUE_IDS["kraken"], VENUE_IDS["coinbase"]
LIMIT, POST_ONLY = 0, 4

SAYS_SYMBOL = """
  (i64.store (i32.const 0x26100) (i64.const 1))
  (i64.store (i32.const 0x26108) (i64.add (i64.const 100) (i64.load16_u offset=642 (local.get 0))))
  (i64.store (i32.const 0x26120) (i64.const 0x100))
  (i32.const 0x26100)"""
"""Cancels an order whose id is 100 and the symbol id of the book."""


def tape(rows: Sequence[tuple[Any, ...]], venue: str = "kraken", symbol: str = "BTC-USD") -> Tape:
    instrument = Instrument(venue=venue, symbol=symbol, tick_size_1e9=UNIT_PX, lot_size_1e8=UNIT_SZ)
    return Tape(events_of(rows), TapeInfo(instrument=instrument, importer="test", importer_version="1"))


def once(*actions: tuple[int, int, int, int, int, int, int]) -> bytes:
    """Return an algo that does this at the third book and nothing else.

    An action is order id, price, quantity, side, type, venue id, symbol id.
    """
    blocks = b"".join(
        struct.pack("<QQqbBBBBH1x", oid, px * UNIT_PX, qty * UNIT_SZ, side, 0, kind, venue, 0, symbol)
        for oid, px, qty, side, kind, venue, symbol in actions
    )
    data = "".join(f"\\{byte:02x}" for byte in struct.pack("<II", len(actions), 0) + blocks.ljust(512, b"\0"))
    on_book = """
      (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
      (select (i32.const 0x26100) (i32.const 0x26000) (i32.eq (global.get $calls) (i32.const 3)))"""
    return bytes(wasmtime.wat2wasm(module_text(on_book, data=f'(data (i32.const 0x26100) "{data}")')))


NEAR = ReplaySettings(
    off_market_bps=0, **{f"{a}_{w}_ns": 10 for a in ("place", "cancel") for w in ("entry", "response")}
)


def but(log: Records, *names: str) -> list[tuple[Any, ...]]:
    """Return a log without columns that number assets and rows."""
    kept = [name for name in log.dtype.names or () if name not in {"asset", "pad", "order_row", *names}]
    return log[kept].tolist()


def fate(result: ReplayResult) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    assert result.status == "completed", result.detail
    return but(result.fills), but(result.orders)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    ("venue", "symbol"), [("kraken", "ADA-USD"), ("kraken", "ETH-USD"), ("coinbase", "BTC-USD"), ("binance", "XRP-USD")]
)
def test_an_asset_that_the_algo_ignores_changes_nothing_else(seed: int, venue: str, symbol: str) -> None:
    wasm = busy_algo(first_symbol_only=True)
    own, other = market(seed, seconds=20), market(100 + seed, venue=venue, symbol=symbol, seconds=20)
    # Both end together: what is under way at the end would otherwise have longer to arrive.
    other = Tape(other.events[other.events["receive_ns"] <= own.events["receive_ns"][-1]], other.info)
    alone, beside = replay(own, wasm), replay([own, other], wasm)
    assert fate(beside) == fate(alone)
    assert len(alone.fills) > 100
    number = sorted({"BTC-USD", symbol}).index("BTC-USD")
    equity = beside.equity[beside.equity["symbol"] == number]
    known = np.isin(equity["exchange_ns"], alone.equity["exchange_ns"])
    same = but(equity[known], "symbol")
    assert set(same) <= set(but(alone.equity, "symbol"))
    assert equity["cash_1e9"][-1] == alone.equity["cash_1e9"][-1]
    assert equity["position_1e8"][-1] == alone.equity["position_1e8"][-1]
    assert beside.metrics["callbacks"] != alone.metrics["callbacks"]


@pytest.mark.parametrize(
    ("listed", "ids"),
    [
        (["ETH-USD", "BTC-USD", "ADA-USD"], {"ETH-USD": 1, "BTC-USD": 2, "ADA-USD": 3}),
        (["ADA-USD", "BTC-USD"], {"ADA-USD": 1, "BTC-USD": 2}),
        (["BTC-USD"], {"BTC-USD": 0}),
    ],
)
def test_symbols_are_numbered_as_they_are_listed(listed: list[str], ids: dict[str, int]) -> None:
    rows = [(0, 1, BID, 99, 5), (2, 3, ASK, 101, 5)]
    result = replay(
        [tape(rows, symbol=symbol) for symbol in listed], bytes(wasmtime.wat2wasm(module_text(SAYS_SYMBOL)))
    )
    said = {sorted(listed)[order["asset"]]: int(order["order_id"]) - 100 for order in result.orders}
    assert said == ids


def test_assets_are_in_the_order_of_symbol_and_venue() -> None:
    listed = [tape([], venue, symbol) for symbol in ("ETH-USD", "BTC-USD") for venue in ("okx", "bybit")]
    arranged = market_of(listed)
    names = [(place.instrument.symbol, place.instrument.venue) for place in arranged.assets]
    assert names == sorted(names)
    assert [place.home for place in arranged.assets] == [False, True, False, True], "the first listed is the home"
    assert [(symbol.name, symbol.symbol_id) for symbol in arranged.symbols] == [("BTC-USD", 2), ("ETH-USD", 1)]
    assert arranged.primary == 1
    seeds = {seed_of(42, place.instrument) for place in arranged.assets}
    assert len(seeds) == len(listed)


def test_what_cannot_be_told_apart_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="cannot tell apart"):
        market_of([tape([], "acme"), tape([], "umbrella")])
    with pytest.raises(InvalidInputError, match="cannot tell apart"):
        market_of([tape([]), tape([])])


VENUES_APART = {
    "kraken": [(0, 1, BID, 99, 5), (0, 2, ASK, 103, 5), (90, 100, SELL_TRADE, 99, 7), (95, 101, BID, 98, 1)],
    "coinbase": [(0, 1, BID, 99, 20), (0, 2, ASK, 103, 5), (90, 100, SELL_TRADE, 99, 7), (95, 101, BID, 98, 1)],
}


def test_each_venue_matches_by_itself() -> None:
    """The same order on two venues: each stands behind what its own venue shows, and only its trades reach it."""
    tapes: list[TapeSource] = [tape(rows, venue) for venue, rows in VENUES_APART.items()]
    tapes[0] = tape([*VENUES_APART["kraken"][:2], (3, 4, BID, 97, 1), *VENUES_APART["kraken"][2:]])
    wasm = once((1, 99, 4, 1, LIMIT, KRAKEN, 0), (2, 99, 4, 1, LIMIT, COINBASE, 0))
    result = replay(tapes, wasm, NEAR)
    assert [OUTCOMES[outcome] for outcome in result.orders["outcome"]] == ["open", "open"]
    # Assets by venue: coinbase 0, kraken 1.
    assert result.orders["asset"].tolist() == [1, 0]
    (fill,) = result.fills
    assert (fill["order_id"], fill["qty_1e8"], fill["queue_ahead_1e8"]) == (1, 2 * UNIT_SZ, 5 * UNIT_SZ)
    assert FILL_REASONS[fill["reason"]] == "queue_front"


def test_a_symbol_has_one_position_over_its_venues_and_limits_of_its_own() -> None:
    quiet: list[tuple[Any, ...]] = [(0, 1, BID, 99, 5), (0, 2, ASK, 103, 5), (3, 4, BID, 97, 1), (99, 100, BID, 96, 1)]
    tapes: list[TapeSource] = [tape(quiet), tape(quiet, "coinbase"), tape(quiet, "kraken", "ETH-USD")]
    wasm = once(
        (1, 103, 2, 1, LIMIT, KRAKEN, 1),
        (2, 103, 2, 1, LIMIT, COINBASE, 1),
        (3, 103, 2, 1, LIMIT, 0, 1),
        (4, 103, 5, 1, LIMIT, 0, 2),
    )
    result = replay(tapes, wasm, NEAR, RISK.model_copy(update={"max_position_1e8": 5 * UNIT_SZ}))
    assert [REASONS[reason] for reason in result.orders["reason"]] == ["", "", "position limit", ""]
    assert sorted(result.fills["position_1e8"].tolist()) == [2 * UNIT_SZ, 4 * UNIT_SZ, 5 * UNIT_SZ]
    last = result.equity[-2:]
    assert last["position_1e8"].tolist() == [4 * UNIT_SZ, 5 * UNIT_SZ], "BTC-USD on both venues, ETH-USD"


def test_equal_times_go_by_symbol_and_venue() -> None:
    rows: list[tuple[Any, ...]] = [(0, 1, BID, 99, 5), (0, 2, ASK, 103, 5), (3, 4, BID, 97, 1)]
    rows += [(50, 60, SELL_TRADE, 90, 50), (61, 62, BUY_TRADE, 200, 50)]
    listed = [tape(rows, venue, symbol) for symbol in ("ETH-USD", "BTC-USD") for venue in ("okx", "bybit")]
    okx, bybit = VENUE_IDS["okx"], VENUE_IDS["bybit"]
    wasm = once(*((n, 99, 1, 1, LIMIT, venue, symbol) for n, (venue, symbol) in enumerate(
        ((okx, 1), (bybit, 1), (okx, 2), (bybit, 2)), start=1)))  # fmt: skip
    result = replay(list(listed), wasm, NEAR)
    # The third book comes at 4 ns, or at 2 ns; every fill happens at 50 ns.
    assert len(set(result.fills["exchange_ns"].tolist())) == 1
    assert result.fills["asset"].tolist() == [0, 1, 2, 3]


def test_two_symbols_two_venues_three_days_from_datasets(tmp_path: Path) -> None:
    tapes: list[TapeSource] = []
    datasets: list[TapeSource] = []
    for number, (symbol, venue) in enumerate((s, v) for s in ("ETH-USD", "BTC-USD") for v in ("kraken", "coinbase")):
        each = market(number, venue=venue, symbol=symbol, seconds=15, days=3)
        assert len(write_tape(tmp_path, each)) == 3
        tapes.append(each)
        datasets.append(open_dataset(tmp_path, build_dataset(tmp_path, venue, symbol), 500))
    held, streamed = replay(tapes), replay(datasets)
    assert held.result_digest == streamed.result_digest
    assert held.metrics == streamed.metrics
    days = held.fills["exchange_ns"] // 86_400_000_000_000
    assert len(set(days.tolist())) == 3
    assert set(held.fills["asset"].tolist()) == {1, 3}, "orders without a venue go to each symbol's home, kraken"
    assert held.coverage.events == sum(len(each.events) for each in tapes if isinstance(each, Tape))
    assert (np.diff(held.fills["exchange_ns"]) >= 0).all()


def test_latencies_of_an_asset_are_its_own() -> None:
    """Two symbols draw different latencies from one seed; see above for what another asset does to them: nothing."""
    result = replay([market(1), market(1, symbol="ETH-USD")], settings=DRAWN)
    delays = [
        (rows["arrived_ns"] - rows["decided_ns"])[rows["arrived_ns"] > 0][:50].tolist()
        for rows in (result.orders[result.orders["asset"] == asset] for asset in (0, 1))
    ]
    assert delays[0] != delays[1]

"""Algos over several symbols and venues: numbers, names, who is home, where an action goes, what a snapshot shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bundles.mm_types import MmConfig, MmRiskLimits
from evals.engine.layout import OUTCOMES
from evals.market.schema import ASK, BID, LAST_OF_PACKET, TAPE_DTYPE, Instrument, TapeInfo
from evals.market.tape import Tape
from evals.replay import ReplayResult, ReplaySettings, run_replay
from evals.wasm.abi import VENUE_IDS

START_NS = 1_700_000_000_000_000_000
PX, SZ, MS = 10**9, 10**8, 10**6
Compiled = Callable[[str], bytes]
Quote = tuple[int, int, int]
"""Milliseconds, bid, ask."""


def tape(symbol: str, venue: str, quotes: Sequence[Quote], tick: int = PX, sizes: tuple[int, int] = (5, 5)) -> Tape:
    """Return a tape on which bid and ask are replaced once per packet."""
    events = []
    old: dict[int, int] = {}
    for at_ms, *pxs in quotes:
        rows = [(kind, old.get(kind), px, sz) for kind, px, sz in zip((BID, ASK), pxs, sizes, strict=True)]
        levels = [(kind, before, 0) for kind, before, px, _ in rows if before not in (None, px)]
        levels += [(kind, px, sz * SZ) for kind, _, px, sz in rows]
        for number, (kind, px, sz) in enumerate(levels):
            now = START_NS + at_ms * MS
            events.append((now, now, (px or 0) * PX, sz, kind, LAST_OF_PACKET if number == len(levels) - 1 else 0))
        old = dict(zip((BID, ASK), pxs, strict=True))
    instrument = Instrument(venue=venue, symbol=symbol, tick_size_1e9=tick, lot_size_1e8=SZ)
    return Tape(np.array(events, TAPE_DTYPE), TapeInfo(instrument=instrument, importer="test", importer_version="1"))


def replay(wasm: bytes, tapes: Sequence[Tape], **more: Any) -> ReplayResult:
    latencies = {f"{what}_{way}_ns": 10 for what in ("place", "cancel", "amend") for way in ("entry", "response")}
    limits = {"max_position_1e8": 10**12, "max_order_notional_1e9": 10**18, "max_order_rate": 1_000}
    result = run_replay(
        wasm,
        tapes,
        config=MmConfig(),
        risk=MmRiskLimits(**limits),
        settings=ReplaySettings(**latencies, **more),
    )
    assert result.status == "completed", result.detail
    return result


def texts(result: ReplayResult) -> list[tuple[float, str]]:
    return [((line.at_ns - START_NS) / MS, line.text) for line in result.logs]


def test_two_symbols_and_three_venues(compiled_algo: Compiled) -> None:
    """ETH is listed first, so it is symbol 1; BTC is at home on OKX, and Kraken's packets bring no on_book."""
    result = replay(
        compiled_algo("desk"),
        [
            tape("ETH-USD", "binance", [(0, 10, 12), (30, 11, 12)], 10**8),
            tape("BTC-USD", "okx-spot", [(10, 100, 103), (40, 100, 103)]),
            tape("BTC-USD", "kraken", [(20, 99, 102), (1_050, 99, 101)]),
        ],
    )
    okx, kraken = VENUE_IDS["okx"], VENUE_IDS["kraken"]
    tick = {1: 10**8, 2: PX}
    name = {1: "ETH-USD", 2: "BTC-USD"}

    def state(callback: str, symbol: int, position: int = 0, orders: int = 0) -> str:
        return f"{callback} state {symbol} {name[symbol]} {position * SZ} {orders} {tick[symbol]}"

    def book(symbol: int, bid: int, ask: int, at_ms: int) -> str:
        return f"book {symbol} {bid * PX} {ask * PX} {START_NS + at_ms * MS}"

    def nbbo(sequence: int, bid: tuple[int, int], ask: tuple[int, int]) -> str:
        return f"nbbo 2 {sequence} {bid[0] * PX}@{bid[1]} {ask[0] * PX}@{ask[1]} 2"

    later = 1e-5 * 2
    assert texts(result) == [
        (0, book(1, 10, 12, 0)),
        (0, state("book", 1)),
        (10, book(2, 100, 103, 10)),
        (10, state("book", 2)),
        # Order 104 is for a third symbol.
        (10, "reject 104 2 105"),
        (10, nbbo(1, (100, okx), (103, okx))),
        (10, state("nbbo", 2, orders=2)),
        # Bought at BTC's home; sell order 103 rests there, buy order 102 in ETH.
        (10 + later, f"fill 101 2 {103 * PX}"),
        (10 + later, state("fill", 2, 1, 1)),
        (20, nbbo(2, (100, okx), (102, kraken))),
        (20, state("nbbo", 2, 1, 1)),
        (30, book(1, 11, 12, 30)),
        (30, state("book", 1, orders=1)),
        (40, book(2, 100, 103, 40)),
        (40, state("book", 2, 1, 1)),
        (40, nbbo(3, (100, okx), (102, kraken))),
        (40, state("nbbo", 2, 1, 1)),
        (40, "reject 201 2 105"),
        (40 + later, f"fill 202 2 {100 * PX}"),
        (40 + later, state("fill", 2, 0, 1)),
        # The heartbeat is the first symbol's.
        (1_000, state("heartbeat", 1, orders=1)),
        (1_050, nbbo(4, (100, okx), (101, kraken))),
        (1_050, state("nbbo", 2, 0, 1)),
        (1_050, state("shutdown", 1, orders=1)),
    ]
    fills = [(int(f["order_id"]), int(f["asset"])) for f in result.fills]
    # Assets in order of symbol and venue: BTC on Kraken, BTC on OKX, ETH on Binance.
    assert fills == [(101, 1), (202, 1)]
    assert {int(o["order_id"]): int(o["asset"]) for o in result.orders if o["reject_code"] < 0} == {
        101: 1,
        102: 2,
        103: 1,
        202: 1,
    }


def test_a_multi_venue_algo_of_sdk_0_3(compiled_algo: Compiled) -> None:
    result = replay(
        compiled_algo("router"),
        [
            tape("BTC-USD", "coinbase", [(0, 100, 103), (40, 100, 103)], sizes=(5, 7)),
            tape("BTC-USD", "kraken", [(20, 100, 102), (1_000, 99, 102), (70_000, 99, 101)], sizes=(2, 60)),
        ],
    )
    kraken, coinbase = VENUE_IDS["kraken"], VENUE_IDS["coinbase"]
    full = 2**32 - 1

    def at(at_ms: float) -> list[str]:
        return [text for when, text in texts(result) if round(when, 3) == at_ms]

    assert at(0) == [
        f"nbbo 1 {100 * PX}x{5 * SZ}@{coinbase} {103 * PX}x{7 * SZ}@{coinbase} {START_NS}",
        f"venue {kraken} 0 0 0 0 65535 true",
        f"venue {coinbase} {100 * PX} {5 * SZ} {103 * PX} {7 * SZ} 0 false",
        f"book {kraken} 0 0 0 0",
        f"book {coinbase} 1 1 {100 * PX} {START_NS}",
        f"merged 1 1 {5 * SZ} {START_NS}",
        "state 0 0",
    ]
    # Equal bids: the lower slot is named, sizes add up in the merged book; 60 x 10^8 does not fit 32 bits.
    assert at(20) == [
        f"nbbo 2 {100 * PX}x{2 * SZ}@{kraken} {102 * PX}x{60 * SZ}@{kraken} {START_NS + 20 * MS}",
        f"venue {kraken} {100 * PX} {2 * SZ} {102 * PX} {full} 0 false",
        f"venue {coinbase} {100 * PX} {5 * SZ} {103 * PX} {7 * SZ} 20 false",
        f"book {kraken} 1 1 {100 * PX} {START_NS + 20 * MS}",
        f"book {coinbase} 1 1 {100 * PX} {START_NS}",
        f"merged 1 2 {7 * SZ} {START_NS + 20 * MS}",
        "state 0 0",
    ]
    # Order 1 buys where it is cheapest, order 2 at home, order 3 has no venue, order 4 rests on Kraken and is amended.
    assert "reject 3 BAD_VENUE" in at(40)
    fills = [text for _, text in texts(result) if text.startswith("fill")]
    # Both at one time: Coinbase comes before Kraken.
    assert fills == [f"fill 2 {103 * PX} {SZ}", f"fill 1 {102 * PX} {2 * SZ}"]
    assert [text for text in at(1_000) if text.startswith(("venue", "state"))] == [
        f"venue {kraken} {99 * PX} {2 * SZ} {102 * PX} {full} 0 false",
        f"venue {coinbase} {100 * PX} {5 * SZ} {103 * PX} {7 * SZ} 960 false",
        f"state {2 * SZ} 1",
    ]
    assert f"venue {coinbase} {100 * PX} {5 * SZ} {103 * PX} {7 * SZ} 65535 true" in at(70_000)
    assert texts(result)[-1][1] == f"shutdown {2 * SZ} 1"
    orders = {(int(o["order_id"]), int(o["kind"])): (int(o["asset"]), OUTCOMES[o["outcome"]]) for o in result.orders}
    assert orders == {
        (1, 0): (1, "filled"),
        (2, 0): (0, "filled"),
        (3, 0): (0, "refused"),
        (4, 0): (1, "open"),
        (4, 2): (1, "done"),
    }


def test_a_multi_venue_algo_on_a_single_venue(compiled_algo: Compiled) -> None:
    """SDK 0.3's multi-venue form has no other callback: it gets a snapshot of the one venue on every packet."""
    result = replay(compiled_algo("router"), [tape("BTC-USD", "kraken", [(0, 100, 102), (5, 100, 101)])])
    found = [text for _, text in texts(result) if text.startswith("nbbo")]
    assert found == [
        f"nbbo 1 {100 * PX}x{5 * SZ}@1 {102 * PX}x{5 * SZ}@1 {START_NS}",
        f"nbbo 2 {100 * PX}x{5 * SZ}@1 {101 * PX}x{5 * SZ}@1 {START_NS + 5 * MS}",
    ]

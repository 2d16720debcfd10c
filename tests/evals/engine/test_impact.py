"""Self-impact: what the algo is shown against a plain composition from the tape and from what it had been told."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pytest
import wasmtime
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bundles.mm_types import MmConfig, MmRiskLimits
from evals.engine import layout
from evals.engine.impact import MIRROR_WORDS, compose
from evals.engine.layout import FILL_REASONS, OUTCOMES
from evals.market.schema import ASK, BID, BUY_TRADE, CLEAR, SELL_TRADE, Instrument, TapeInfo
from evals.market.tape import Tape
from evals.replay import ReplayResult, ReplaySettings, run_replay
from evals.wasm import abi
from tests.evals.conftest import events_of, module_text

LIMIT, MARKET, IOC, FOK, POST_ONLY = range(5)
NEW, CANCEL, AMEND = range(3)
PX, SZ = 10**9, 10**8
START_NS = 1_700_000_000_000_000_000
LATENCY_NS = 8
SHOWN = 6
ECHO = 1_000
Play = Callable[..., ReplayResult]
View = dict[int, list[tuple[int, int]]]
"""Levels of a side (1 bids, -1 asks) in whole units, best first."""

BOOK = [(0, 0, BID, 99, 5, False), (0, 0, BID, 98, 5, False), (0, 0, ASK, 101, 2, False), (0, 0, ASK, 102, 4, True)]


def quiet(at_ns: int) -> tuple[Any, ...]:
    """Return a trade that reaches nobody: a packet without a level."""
    return (at_ns, at_ns, BUY_TRADE, 95, 1)


@pytest.fixture
def watch(play: Play, wat: Callable[..., bytes]) -> Callable[..., tuple[ReplayResult, list[View]]]:
    """Run a script in an algo that also tells what it sees: in orders of an unknown type, which the log keeps."""

    def run(
        rows: Sequence[tuple[Any, ...]], script: Mapping[int, Sequence[tuple[int, ...]]], **settings: Any
    ) -> tuple[ReplayResult, list[View]]:
        calls = len(rows) + 1
        echoes = [(ECHO + n, 0, 0, 1, NEW, 9) for n in range(2 * SHOWN)]
        blocks = b""
        for n in range(calls):
            actions = [*echoes, *script.get(n, ())]
            packed = b"".join(struct.pack("<QQqbBBB4x", *action, 0) for action in actions)
            blocks += struct.pack("<II", len(actions), 0) + packed.ljust(512, b"\0")
        data = "".join(f"\\{byte:02x}" for byte in blocks)
        copies = "".join(
            f"local.get $n local.get 0 i64.load offset={320 * (k // SHOWN) + 16 * (k % SHOWN) + word}"
            f" i64.store offset={8 + 32 * k + 8 + word} "
            for k in range(2 * SHOWN)
            for word in (0, 8)
        )
        on_book = f"""
          global.get $calls i32.const 520 i32.mul i32.const 0x26100 i32.add local.set $n
          global.get $calls i32.const 1 i32.add global.set $calls {copies} local.get $n"""
        wasm = wat(on_book, data=f'(data (i32.const 0x26100) "{data}")')
        result = play(rows, wasm, **settings)
        assert result.status == "completed", result.detail
        echoed = [o for o in result.orders if int(o["order_id"]) >= ECHO]
        views = []
        for first in range(0, len(echoed), 2 * SHOWN):
            levels = [(int(o["px_1e9"]) // PX, int(o["qty_1e8"]) // SZ) for o in echoed[first : first + 2 * SHOWN]]
            views.append({1: levels[:SHOWN], -1: levels[SHOWN:]})
        return result, [{side: [lv for lv in view[side] if lv[0]] for side in view} for view in views]

    return run


Watch = Callable[..., tuple[ReplayResult, list[View]]]


def order(oid: int, side: int, px: int, qty: int, order_type: int = LIMIT) -> tuple[int, ...]:
    return (oid, px * PX, qty * SZ, side, NEW, order_type)


def test_own_orders_are_added_where_they_rest(watch: Watch) -> None:
    script = {
        0: [order(1, 1, 99, 2), order(2, 1, 100, 1), order(3, -1, 103, 7)],
        2: [(1, 0, 0, 0, CANCEL, 0), (2, 97 * PX, 1 * SZ, 0, AMEND, 0)],
    }
    rows = [*BOOK, quiet(15), quiet(50), quiet(100)]
    market = {1: [(99, 5), (98, 5)], -1: [(101, 2), (102, 4)]}
    assert watch(rows, script)[1] == [market] * 4
    _, views = watch(rows, script, self_impact_enabled=True)
    assert views == [
        market,
        market,  # on their way
        {1: [(100, 1), (99, 7), (98, 5)], -1: [(101, 2), (102, 4), (103, 7)]},
        {1: [(99, 5), (98, 5), (97, 1)], -1: [(101, 2), (102, 4), (103, 7)]},
    ]


def test_what_we_took_is_gone_from_the_next_row_of_levels_until_its_own(watch: Watch) -> None:
    rows = [
        *BOOK,
        quiet(50),
        (60, 60, BID, 97, 1),
        quiet(70),
        (80, 80, ASK, 101, 2),
        (90, 90, ASK, 102, 3),
    ]
    _, views = watch(rows, {0: [order(1, 1, 102, 3, IOC)]}, self_impact_enabled=True)
    assert [view[-1] for view in views] == [
        [(101, 2), (102, 4)],
        [(101, 2), (102, 4)],
        [(102, 3)],
        [(102, 3)],
        [(101, 2), (102, 3)],
        [(101, 2), (102, 3)],
    ]


def test_a_level_that_reaches_our_order_is_shown_without_what_it_gave(watch: Watch) -> None:
    rows = [*BOOK, quiet(40), (50, 50, ASK, 99, 2), (55, 55, BID, 90, 1), quiet(100)]
    _, views = watch(rows, {0: [order(1, 1, 99, 3)]}, self_impact_enabled=True)
    assert views[1] == {1: [(99, 8), (98, 5)], -1: [(101, 2), (102, 4)]}
    assert views[2] == {1: [(99, 8), (98, 5)], -1: [(101, 2), (102, 4)]}, "the fill has not been reported yet"
    assert views[4] == {1: [(99, 6), (98, 5), (90, 1)], -1: [(101, 2), (102, 4)]}


def test_an_order_that_meets_the_market_is_not_shown(watch: Watch) -> None:
    rows = [*BOOK, (30, 900, BID, 99, 0, False), (30, 900, BID, 98, 0, False), (30, 900, ASK, 99, 9), quiet(950)]
    _, views = watch(rows, {0: [order(1, 1, 99, 3)]}, self_impact_enabled=True, place_response_ns=5_000)
    assert views[1:] == [{1: [], -1: [(99, 6), (101, 2), (102, 4)]}] * 2


def composed(bids: int, own: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Compose a book with bids of size 1 from 100 down and our orders of price and size; return its bids."""
    sims, assets, symbols = (np.zeros(1, dtype) for dtype in (layout.SIM, layout.ASSET, layout.SYMBOL))
    slots, mirror, book = np.zeros(len(own), layout.SLOT), np.zeros(MIRROR_WORDS, np.int64), np.zeros(82, np.int64)
    sim: Any = sims[0]
    asset: Any = assets[0]
    sim["symbols"], symbols["slots"] = symbols.ctypes.data, slots.ctypes.data
    symbols["open_orders"], symbols["open_slots"][0, : len(own)] = len(own), range(len(own))
    slots["status"], slots["px_1e9"], slots["qty_1e8"] = 1, [px for px, _ in own], [qty for _, qty in own]
    asset["mirror"], asset["seen_levels"][0] = mirror.ctypes.data, bids
    mirror[: 2 * bids : 2], mirror[1 : 2 * bids : 2] = range(100, 100 - bids, -1), 1
    count = compose(sim, asset, book.ctypes.data)
    assert not book[2 * count :].any()
    return [(int(book[2 * n]), int(book[2 * n + 1])) for n in range(count)]


def test_beyond_the_twentieth_level_nothing_is_known() -> None:
    market = [(100 - n, 1) for n in range(20)]
    assert composed(20, [(80, 7), (79, 7)]) == market
    assert composed(20, [(101, 7), (81, 7)]) == [(101, 7), *market[:-1]]
    assert composed(19, [(80, 7), (81, 7)]) == [*market[:-1], (81, 7)]
    assert composed(0, [(5, 7), (80, 7), (5, 1)]) == [(80, 7), (5, 8)]


def test_venues_together_show_what_their_books_show() -> None:
    """Our bid on one venue is the best of both; the algo tells best price and size, and the first two merged bids."""
    fields = abi.NBBO.fields or {}
    at = [(0, fields[name][1]) for name in ("nbbo_bid_px_1e9", "nbbo_bid_sz_1e8")]
    at += [(1, offset) for offset in (0, 8, 16, 24, 640)]
    on_nbbo = "".join(
        f"i32.const {0x26100 + 16 + 32 * n} local.get {argument} i64.load offset={offset} i64.store "
        f"i32.const {0x26100 + 8 + 32 * n} i64.const {ECHO + n} i64.store "
        f"i32.const {0x26100 + 24 + 32 * n} i64.const 1 i64.store "
        f"i32.const {0x26100 + 32 + 32 * n} i64.const 0x90001 i64.store "
        for n, (argument, offset) in enumerate(at)
    )
    action = struct.pack("<II", 1, 0) + struct.pack("<QQqbBBB4x", *order(1, 1, 100, 2), 0)
    blocks = {0x26100: struct.pack("<II", len(at), 0), 0x26800: action.ljust(520, b"\0")}
    data = "".join(
        f'(data (i32.const {place}) "{"".join(f"{chr(92)}{byte:02x}" for byte in block)}")'
        for place, block in blocks.items()
    )
    on_book = """
      global.get $calls i32.const 1 i32.add global.set $calls
      i32.const 0x26800 i32.const 0x26000 global.get $calls i32.const 1 i32.eq select"""
    empty = "(param i32 i32 i32) (result i32) i32.const 0x26000"
    text = module_text(on_book, data=data)
    assert empty in text
    wasm = bytes(
        wasmtime.wat2wasm(text.replace(empty, f"(param i32 i32 i32) (result i32) {on_nbbo} i32.const 0x26100"))
    )
    tapes = [
        Tape(events_of(rows), TapeInfo(instrument=instrument, importer="test", importer_version="1"))
        for rows, instrument in (
            ([*BOOK, quiet(5_000)], Instrument(venue=venue, symbol="BTC-USD", tick_size_1e9=PX, lot_size_1e8=SZ))
            for venue in ("kraken", "coinbase")
        )
    ]
    latencies = {f"{a}_{w}_ns": 10 for a in ("place", "cancel", "amend") for w in ("entry", "response")}
    limits = MmRiskLimits(max_position_1e8=10**15, max_order_notional_1e9=10**18, max_order_rate=10**6)
    last = {}
    for enabled in (False, True):
        replay_settings = ReplaySettings(off_market_bps=0, self_impact_enabled=enabled, **latencies)
        result = run_replay(wasm, tapes, config=MmConfig(), risk=limits, settings=replay_settings)
        echoed = [int(o["px_1e9"]) for o in result.orders if int(o["order_id"]) >= ECHO]
        last[enabled] = [*echoed[-len(at) : -1], echoed[-1] & 0xFFFF]
    assert last[False] == [99 * PX, 5 * SZ, 99 * PX, 10 * SZ, 98 * PX, 10 * SZ, 0x202]
    assert last[True] == [100 * PX, 2 * SZ, 100 * PX, 2 * SZ, 99 * PX, 10 * SZ, 0x203]


def market_at(rows: Sequence[tuple[Any, ...]], end: int, fills: Sequence[dict[str, Any]]) -> dict[int, dict[int, int]]:
    """Return what rows up to an index leave of each level, less what our fills took and the feed has told."""
    levels: dict[int, dict[int, int]] = {1: {}, -1: {}}
    waiting = [f for f in fills if f["reason"] in ("taker", "crossed_book")]
    for at, _, kind, px, sz, *_ in rows[:end]:
        if kind in (BUY_TRADE, SELL_TRADE):
            continue
        told = [f for f in waiting if f["at"] < at]
        for fill in told:
            levels[-fill["side"]][fill["px"]] -= fill["qty"]
        waiting = [f for f in waiting if f["at"] >= at]
        if kind == CLEAR:
            levels = {1: {}, -1: {}}
            continue
        side = 1 if kind == BID else -1
        levels[side].pop(px, None)
        if sz:
            levels[side][px] = sz - sum(f["qty"] for f in waiting if f["at"] == at and f["reason"] == "crossed_book")
        waiting = [f for f in waiting if f["at"] > at or f["reason"] == "taker"]
    return levels


def own_at(result: ReplayResult, now: int, fills: Sequence[dict[str, Any]]) -> list[tuple[int, int, int]]:
    """Return side, price and size of the orders that had been accepted and not ended as far as was known."""
    own = []
    for o in result.orders[result.orders["order_id"] < ECHO]:
        arrived, done = (int(o[name]) - START_NS + LATENCY_NS for name in ("arrived_ns", "done_ns"))
        accepted = OUTCOMES[o["outcome"]] != "rejected" and 0 < arrived <= now
        if accepted and not 0 < done <= now and o["order_type"] in (LIMIT, POST_ONLY):
            filled = sum(f["qty"] for f in fills if f["oid"] == o["order_id"] and 0 < f["heard"] <= now)
            own.append((int(o["side"]), int(o["px_1e9"]) // PX, int(o["qty_1e8"]) // SZ - filled))
    return own


def view_of(market: dict[int, dict[int, int]], own: Sequence[tuple[int, int, int]]) -> View:
    sizes = {side: dict(levels) for side, levels in market.items()}
    for side, px, left in own:
        if all((other - px) * side > 0 for other, size in market[-side].items() if size > 0):
            sizes[side][px] = sizes[side].get(px, 0) + left
    return {s: [(px, n) for px, n in sorted(sizes[s].items(), reverse=s == 1) if n > 0][:SHOWN] for s in (1, -1)}


KINDS = st.sampled_from((BID, BID, ASK, ASK, BUY_TRADE, SELL_TRADE, CLEAR))
EVENTS = st.tuples(KINDS, st.integers(0, 3), st.integers(0, 4), st.booleans(), st.integers(0, 9))
ORDERS = st.tuples(
    st.sampled_from((1, -1)), st.integers(97, 103), st.integers(1, 6), st.sampled_from((LIMIT, LIMIT, POST_ONLY, IOC))
)


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    events=st.lists(EVENTS, min_size=5, max_size=50),
    orders=st.lists(st.lists(ORDERS, max_size=2), min_size=5, max_size=30),
)
def test_the_view_is_the_plain_composition(
    watch: Watch, events: list[tuple[Any, ...]], orders: list[list[tuple[int, ...]]]
) -> None:
    """No two things happen at one time, so that a fill's time tells the row that made it."""
    rows: list[tuple[Any, ...]] = list(BOOK)
    for n, (kind, offset, size, last, behind) in enumerate(events):
        px = {BID: 100 - offset, ASK: 100 + offset, CLEAR: 0}.get(kind, 98 + offset)
        least = {BUY_TRADE: 1, SELL_TRADE: 1}.get(kind, 0)
        rows.append((40 * (n + 1), 40 * (n + 1) + 4 * behind + 1, kind, px, least + size * (kind != CLEAR), last))
    script = {
        n: [order(2 * n + k + 1, side, px, qty, kind) for k, (side, px, qty, kind) in enumerate(placed)]
        for n, placed in enumerate(orders)
    }
    latencies = {"place_entry_ns": 9, "place_response_ns": LATENCY_NS}
    result, views = watch(rows, script, self_impact_enabled=True, **latencies)
    fills = [
        {
            "oid": int(f["order_id"]),
            "at": int(f["exchange_ns"]) - START_NS,
            "heard": int(f["receive_ns"]) - START_NS,
            "side": int(f["side"]),
            "px": int(f["px_1e9"]) // PX,
            "qty": int(f["qty_1e8"]) // SZ,
            "reason": FILL_REASONS[f["reason"]],
        }
        for f in result.fills
    ]
    packets = [(i + 1, row[1]) for i, row in enumerate(rows) if row[5:] != (False,) or i + 1 == len(rows)]
    assert views == [view_of(market_at(rows, end, fills), own_at(result, now, fills)) for end, now in packets]

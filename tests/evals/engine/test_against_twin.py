"""The whole loop against a slow, obvious simulator: same fills, same outcomes, to the nanosecond and the last digit."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Mapping, Sequence
from typing import get_args

import numpy as np
import pytest
import wasmtime
from hypothesis import given, settings
from hypothesis import strategies as st

from bundles.mm_types import MmConfig, MmRiskLimits
from evals.engine.layout import FILL_REASONS, OUTCOMES, WINDOW
from evals.engine.queue import ln
from evals.engine.settings import QueueModel
from evals.market.schema import ASK, BID, BUY_TRADE, CLEAR, LAST_OF_PACKET, SELL_TRADE, TAPE_DTYPE, Instrument, TapeInfo
from evals.market.tape import Tape
from evals.replay import ReplayResult, ReplaySettings, run_replay
from evals.wasm import abi
from tests.evals.conftest import START_NS, module_text, pack_actions
from tests.evals.engine.slow_twin import (
    AMEND,
    CANCEL,
    IOC,
    LIMIT,
    MARKET,
    NEW,
    POST_ONLY,
    UNIT_SZ,
    Action,
    Row,
    Rules,
    Twin,
)

PX = 10**9
MODELS = get_args(QueueModel)
SCRIPT_AT, BLOCK_BYTES = 0x100000, 520


def replayed(rows: Sequence[Row], wasm: bytes, rules: Rules) -> ReplayResult:
    events = np.array(
        [
            (START_NS + exchange_ns, START_NS + receive_ns, px, sz, kind, LAST_OF_PACKET if all(last) else 0)
            for exchange_ns, receive_ns, kind, px, sz, *last in rows
        ],
        TAPE_DTYPE,
    )
    names = [f"{action}_{way}_ns" for way in ("entry", "response") for action in ("place", "cancel", "amend")]
    latencies = dict(zip(names, (*rules.entry_ns, *rules.response_ns), strict=True))
    return run_replay(
        wasm,
        Tape(
            events,
            TapeInfo(
                instrument=Instrument(venue="test", symbol="BTC-USD", tick_size_1e9=rules.tick, lot_size_1e8=UNIT_SZ),
                importer="test",
                importer_version="1",
            ),
        ),
        config=MmConfig(),
        risk=MmRiskLimits(
            max_position_1e8=rules.max_position,
            max_order_notional_1e9=rules.max_notional,
            max_order_rate=rules.max_rate,
            max_price_deviation_bps=rules.max_deviation_bps,
        ),
        settings=ReplaySettings(
            queue_model=rules.queue_model,
            queue_exponent=rules.exponent,
            off_market_bps=rules.off_market_bps,
            **latencies,
        ),
    )


def scripted(script: Mapping[int, Sequence[Action]]) -> bytes:
    """Return a module that answers its n-th book with the n-th entry, however long the script is."""
    last = max(script, default=-1) + 1
    blocks = b"".join(pack_actions(script.get(n, ())) for n in range(last + 1))
    on_book = f"""
      global.get $calls local.set $n
      local.get $n i32.const {last} i32.lt_u
      if local.get $n i32.const 1 i32.add global.set $calls end
      local.get $n i32.const {BLOCK_BYTES} i32.mul i32.const {SCRIPT_AT} i32.add"""
    text = "".join(f"\\{byte:02x}" for byte in blocks)
    pages = (SCRIPT_AT + len(blocks)) // 65_536 + 1
    return bytes(wasmtime.wat2wasm(module_text(on_book, data=f'(data (i32.const {SCRIPT_AT}) "{text}")', pages=pages)))


def assert_equal(rows: Sequence[Row], script: Mapping[int, Sequence[Action]], rules: Rules) -> Twin:
    """Run a script through both; return the twin."""
    twin = Twin(rules)
    twin.run(rows, script)
    result = replayed(rows, scripted(script), rules)
    assert result.status == "completed", result.detail
    fills = [
        {
            "id": int(f["order_id"]),
            "at": int(f["exchange_ns"]) - START_NS,
            "px": int(f["px_1e9"]),
            "qty": int(f["qty_1e8"]),
            "reason": FILL_REASONS[f["reason"]],
            "ahead": int(f["queue_ahead_1e8"]),
            "mid": int(f["mid_1e9"]),
            "position": int(f["position_1e8"]),
            "received": max(int(f["receive_ns"]) - START_NS, 0),
        }
        for f in result.fills
    ]
    log = [
        {
            "id": int(o["order_id"]),
            "outcome": OUTCOMES[o["outcome"]],
            "filled": int(o["filled_1e8"]),
            "arrived": max(int(o["arrived_ns"]) - START_NS, 0),
            "done": max(int(o["done_ns"]) - START_NS, 0),
        }
        for o in result.orders
    ]
    assert fills == [{name: fill[name] for name in fill if name != "complete"} for fill in twin.fills]
    assert log == twin.log
    return twin


PRICES = st.integers(97, 103)
LEVELS = st.tuples(st.sampled_from((BID, ASK)), PRICES, st.integers(0, 4))
SANE_LEVELS = st.one_of(
    st.tuples(st.just(BID), st.integers(96, 99), st.integers(0, 4)),
    st.tuples(st.just(ASK), st.integers(101, 104), st.integers(0, 4)),
)
TRADES = st.tuples(st.sampled_from((BUY_TRADE, SELL_TRADE)), PRICES, st.integers(1, 6))
EVENTS = st.one_of(LEVELS, SANE_LEVELS, SANE_LEVELS, TRADES, TRADES, TRADES, st.just((CLEAR, 0, 0)))
OPENING = [
    (0, 0, side, 100 - n if side == BID else 100 + n, 3, n == 2 and side == ASK) for side in (BID, ASK) for n in (1, 2)
]
ANY_ORDERS = st.tuples(PRICES, st.integers(1, 6), st.sampled_from((1, -1)), st.sampled_from(range(5)))
QUOTES = st.one_of(
    st.tuples(st.integers(97, 100), st.integers(1, 5), st.just(1), st.sampled_from((LIMIT, POST_ONLY))),
    st.tuples(st.integers(100, 103), st.integers(1, 5), st.just(-1), st.sampled_from((LIMIT, POST_ONLY))),
)
ORDERS = st.one_of(ANY_ORDERS, QUOTES, QUOTES, QUOTES).map(lambda order: (NEW, 0, *order))
CHANGES = st.tuples(
    st.sampled_from((CANCEL, AMEND, AMEND)), st.integers(0, 6), PRICES, st.integers(1, 6), st.just(0), st.just(0)
)
"""Kind, how many orders ago (changes only), price, quantity, side, type."""

COARSE = 10
"""Times on a coarse grid meet often, and then the written order of events decides."""


@st.composite
def tapes(draw: st.DrawFn, grid: int) -> list[Row]:
    rows = [(*times, kind, px * PX, sz * UNIT_SZ, last) for *times, kind, px, sz, last in OPENING]
    received = 60 // grid
    for kind, px, sz in draw(st.lists(EVENTS, min_size=8, max_size=60)):
        received += draw(st.integers(0, 30 // grid))
        happened = received - draw(st.integers(-1, 60 // grid))
        rows.append((happened * grid, received * grid, kind, px * PX, sz * UNIT_SZ, draw(st.booleans())))
    return rows


@st.composite
def rules_for(draw: st.DrawFn, grid: int) -> Rules:
    latency = st.integers(0, 40 // grid).map(lambda n: n * grid)
    limited = draw(st.booleans())
    return Rules(
        entry_ns=draw(st.tuples(latency, latency, latency)),
        response_ns=draw(st.tuples(latency, latency, latency)),
        queue_model=draw(st.sampled_from(MODELS)),
        exponent=draw(st.integers(1, 4)),
        off_market_bps=draw(st.sampled_from((0, 0, 100, 200))),
        max_position=draw(st.integers(1, 12)) * UNIT_SZ if limited else 10**15,
        max_notional=draw(st.integers(200, 800)) * PX if limited else 10**18,
        max_rate=draw(st.integers(1, 20)) if limited else 10**6,
        max_deviation_bps=draw(st.sampled_from((0, 100, 200))) if limited else 0,
    )


def script_of(decided: list[list[tuple[int, ...]]]) -> dict[int, list[Action]]:
    """Number the orders in turn. No id is used twice: about the id of a dead order the two sides may rightly differ."""
    script: dict[int, list[Action]] = {}
    orders = 0
    for n, actions in enumerate(decided):
        script[n] = []
        for kind, ago, px, qty, side, order_type in actions:
            orders += kind == NEW
            px_1e9 = 0 if kind == NEW and order_type == MARKET else px * PX
            script[n].append((max(orders - ago, 1), px_1e9, qty * UNIT_SZ, side, kind, order_type))
    return script


@settings(max_examples=300)
@given(data=st.data(), grid=st.sampled_from((1, COARSE)))
def test_kernels_equal_the_twin(data: st.DataObject, grid: int) -> None:
    _short_tape(data, grid)


@pytest.mark.long
@settings(max_examples=3_000)
@given(data=st.data(), grid=st.sampled_from((1, COARSE)))
def test_kernels_equal_the_twin_on_thousands_of_tapes(data: st.DataObject, grid: int) -> None:
    _short_tape(data, grid)


def _short_tape(data: st.DataObject, grid: int) -> None:
    actions = st.lists(st.one_of(ORDERS, ORDERS, CHANGES), max_size=3)
    decided = data.draw(st.lists(actions, min_size=4, max_size=30))
    assert_equal(data.draw(tapes(grid)), script_of(decided), data.draw(rules_for(grid)))


class Walk:
    """A market of ticks of 1000, deep and ragged, that walks and jumps through many windows of the book."""

    TICK = 1_000

    def __init__(self, seed: int, steps: int) -> None:
        self.random = random.Random(seed)
        self.held: dict[int, set[int]] = {BID: set(), ASK: set()}
        self.rows: list[Row] = []
        self.now_ns = 100
        self.mid = self.random.randrange(50 * WINDOW, 60 * WINDOW)
        self.speed = self.random.choice((1, 30, WINDOW // 200, WINDOW // 20))
        self.mids: list[int] = []
        for _ in range(steps):
            self.step()

    def step(self) -> None:
        draw = self.random
        self.mid = max(self.mid + draw.randint(-self.speed, self.speed), 1_000)
        if draw.random() < 0.005:
            self.mid = max(self.mid + draw.randint(-3 * WINDOW, 3 * WINDOW), 1_000)
        self.mids.append(self.mid)
        if draw.random() < 0.004:
            self.held = {BID: set(), ASK: set()}
            self.add(CLEAR, 0, 0)
        self.cross_out()
        for _ in range(draw.randint(1, 4)):
            self.change(draw.choice((BID, ASK)))
        if draw.random() < 0.3:
            kind = draw.choice((BUY_TRADE, SELL_TRADE))
            self.add(kind, self.price(draw.randint(-3, 3)), draw.randint(1, 6))

    def cross_out(self) -> None:
        """Remove what the walk has run over, all but a few stale levels: books of real feeds cross for a moment."""
        for kind, sign in ((BID, 1), (ASK, -1)):
            for px in sorted(p for p in self.held[kind] if (p - self.mid * self.TICK) * sign > 0):
                if self.random.random() < 0.8:
                    self.held[kind].discard(px)
                    self.add(kind, px, 0)

    def change(self, kind: int) -> None:
        draw, held = self.random, self.held[kind]
        if held and draw.random() < 0.45:
            px = draw.choice(sorted(held))
        else:
            depth = draw.randint(1, draw.choice((4, 40, 400, 3 * WINDOW)))
            px = self.price(-depth if kind == BID else depth)
        size = 0 if px in held and draw.random() < 0.5 else draw.randint(1, 5)
        (held.add if size else held.discard)(px)
        self.add(kind, px, size)

    def price(self, ticks: int) -> int:
        off_tick = self.random.randrange(1, self.TICK) if self.random.random() < 0.1 else 0
        return max((self.mid + ticks) * self.TICK + off_tick, 1)

    def add(self, kind: int, px: int, size: int) -> None:
        self.now_ns += self.random.randint(0, 30)
        happened_ns = self.now_ns - self.random.randint(0, 60)
        self.rows.append((happened_ns, self.now_ns, kind, px, size * UNIT_SZ, self.random.random() < 0.6))

    def script(self) -> dict[int, list[Action]]:
        """Orders around the mid of about that time, one or two a packet; a few off the tick, a few far away."""
        packets = sum(row[5] for row in self.rows)
        script: dict[int, list[Action]] = {}
        draw, orders = self.random, 0
        for packet in range(1, packets, 3):
            mid = self.mids[min(packet * len(self.mids) // packets, len(self.mids) - 1)]
            actions: list[Action] = []
            for _ in range(draw.randint(0, 2)):
                side, qty = draw.choice((1, -1)), draw.randint(1, 6) * UNIT_SZ
                px = max(mid - side * draw.randint(-2, draw.choice((3, 30))), 1) * self.TICK
                px += draw.random() < 0.02
                if orders > 3 and draw.random() < 0.5:
                    actions.append((orders - draw.randint(0, 3), px, qty, 0, draw.choice((CANCEL, AMEND)), 0))
                else:
                    orders += 1
                    kind = draw.choice((LIMIT, LIMIT, POST_ONLY, IOC, MARKET))
                    actions.append((orders, 0 if kind == MARKET else px, qty, side, NEW, kind))
            script[packet] = actions
        return script


def walk_equals_the_twin(seed: int) -> None:
    walk = Walk(seed, steps=600)
    draw = walk.random
    rules = Rules(
        tick=Walk.TICK,
        entry_ns=(draw.randint(0, 200), draw.randint(0, 200), draw.randint(0, 200)),
        response_ns=(draw.randint(0, 200), draw.randint(0, 200), draw.randint(0, 200)),
        queue_model=draw.choice(MODELS),
        off_market_bps=draw.choice((0, 10)),
    )
    assert_equal(walk.rows, walk.script(), rules)


@pytest.mark.parametrize("seed", range(40))
def test_kernels_equal_the_twin_while_the_market_walks_far(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every other walk begins with tables that hold next to nothing."""
    if seed % 2:
        for name, size in {"_LOG_ROOM": 400, "_QUEUE_ROOM": 1, "_FAR_ROOM": 2, "_CHANGES_ROOM": 1}.items():
            monkeypatch.setattr(f"evals.engine.memory.{name}", size)
    walk_equals_the_twin(seed)


@pytest.mark.long
@pytest.mark.parametrize("block", range(20))
def test_kernels_equal_the_twin_on_many_far_walks(block: int) -> None:
    for seed in range(1_000 + 50 * block, 1_050 + 50 * block):
        walk_equals_the_twin(seed)


BOOK_WORDS = abi.L2_BOOK.itemsize // 8
FACTOR = 0x100000001B3

HASHING = f"""
  (local $h i64) (local $end i32)
  i64.const 7 local.set $h
  local.get 0 i32.const {8 * BOOK_WORDS} i32.add local.set $end
  (loop $each
    (local.set $h (i64.mul (i64.xor (local.get $h) (i64.load (local.get 0))) (i64.const {FACTOR})))
    (local.set 0 (i32.add (local.get 0) (i32.const 8)))
    (br_if $each (i32.lt_u (local.get 0) (local.get $end))))
  (i64.store (i32.const 0x26108) (local.get $h))
  i32.const 0x26100"""
"""Cancels an order whose id is a hash of the book that it sees: the order log then holds a hash a packet."""


def hashing_algo() -> bytes:
    cancel = struct.pack("<II", 1, 0) + struct.pack("<QQqbBBBBB2x", 1, 0, 0, 0, CANCEL, 0, 0, 0, 0)
    data = "".join(f"\\{byte:02x}" for byte in cancel.ljust(520, b"\0"))
    text = module_text(HASHING, data=f'(data (i32.const 0x26100) "{data}")')
    return bytes(wasmtime.wat2wasm(text.replace("(local $n i32)", "", 1)))


def naive_hashes(rows: Sequence[Row]) -> list[int]:
    twin, hashes, first = Twin(Rules()), [], 0
    for i, row in enumerate(rows):
        if not row[5] and i < len(rows) - 1:
            continue
        twin.see(rows[first : i + 1])
        first = i + 1
        book = np.zeros(1, abi.L2_BOOK)
        for side, levels in zip(("bids", "asks"), twin.visible(abi.BOOK_LEVELS), strict=True):
            book[side][0, : len(levels)] = levels
            book["bid_ct" if side == "bids" else "ask_ct"] = len(levels)
        book["recv_ns"] = START_NS + row[1]
        h = 7
        for word in book.view(np.uint64).tolist():
            h = ((h ^ word) * FACTOR) % 2**64
        hashes.append(h)
    return hashes


@pytest.mark.parametrize("seed", range(12))
def test_the_algo_sees_the_best_20_levels_of_a_naive_book(seed: int) -> None:
    walk = Walk(seed, steps=1_500)
    result = replayed(walk.rows, hashing_algo(), Rules(tick=Walk.TICK))
    assert result.orders["order_id"].tolist() == naive_hashes(walk.rows)


def test_walks_are_what_they_are_for() -> None:
    """They leave the window, come back, hold more than 20 levels a side, cross, and lie off the tick."""
    walks = [Walk(seed, steps=1_500) for seed in range(12)]
    assert any(max(walk.mids) - min(walk.mids) > 5 * WINDOW for walk in walks)
    assert any(len(walk.held[BID]) > 60 for walk in walks)
    assert any(row[3] % Walk.TICK for row in walks[0].rows)


def test_the_logarithm_is_one() -> None:
    for x in (1.0, 1.0 + 1e-9, 1.5, 2.0, 3.0, 1e3, 123456.789, 1e12):
        assert math.isclose(ln(x), math.log(x), rel_tol=1e-14, abs_tol=1e-15)
        assert ln(x) == ln.py_func(x)  # type: ignore[attr-defined]

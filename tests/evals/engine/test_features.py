"""The online features against docs/features.md in plain Python, and against pandas where pandas has the formula."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bundles.mm_types import MmConfig, MmRiskLimits
from evals.market.schema import ASK, BID, BUY_TRADE, CLEAR, LAST_OF_PACKET, SELL_TRADE, TAPE_DTYPE, Instrument, TapeInfo
from evals.market.source import Columns, TapeSource
from evals.market.tape import Tape
from evals.replay import ReplayResult, ReplaySettings, run_replay
from evals.wasm import abi, inspect_module
from tests.evals.engine.plain_features import Row, packets_of, plain_features

START_NS = 1_700_000_000_000_000_000
TICK, LOT = 10**7, 10**4
ROOT = Path(__file__).parents[3]
Compiled = Callable[[str], bytes]
FIELDS = np.dtype([abi.ONLINE_FEATURES.descr[i] for i in range(len(abi.ONLINE_FEATURES) - 1)])


@dataclass(frozen=True)
class Chunked:
    """A tape in chunks of a few rows."""

    tape: Tape
    rows: int

    @property
    def info(self) -> TapeInfo:
        return self.tape.info

    def chunks(self) -> Iterator[Columns]:
        return self.tape.chunks(self.rows)


def tape_of(rows: Sequence[Row], symbol: str = "BTC-USD", venue: str = "kraken") -> Tape:
    events = np.zeros(len(rows), TAPE_DTYPE)
    for event, (exchange_ns, receive_ns, kind, px, sz, last) in zip(events, rows, strict=True):
        event["exchange_ns"], event["receive_ns"] = exchange_ns, receive_ns
        event["kind"], event["px_1e9"], event["sz_1e8"], event["flags"] = kind, px, sz, LAST_OF_PACKET if last else 0
    instrument = Instrument(venue=venue, symbol=symbol, tick_size_1e9=TICK, lot_size_1e8=LOT)
    return Tape(events, TapeInfo(instrument=instrument, importer="test", importer_version="1"))


def replay(wasm: bytes, tapes: TapeSource | Sequence[TapeSource], every: int = 1, levels: int = 1) -> ReplayResult:
    result = run_replay(
        wasm,
        tapes,
        config=MmConfig(quote_size_1e8=every, num_levels=levels),
        risk=MmRiskLimits(max_position_1e8=1, max_order_notional_1e9=1, max_order_rate=1),
        settings=ReplaySettings(),
    )
    assert result.status == "completed", result.detail
    return result


def shown(result: ReplayResult, kind: str = "b") -> list[dict[str, int]]:
    """Return the features that the algo logged in one kind of callback."""
    lines = [line.text.split() for line in result.logs]
    return [decoded(text) | {"symbol": int(symbol)} for what, symbol, text in lines if what == kind]


def decoded(text: str) -> dict[str, int]:
    record = np.frombuffer(bytes.fromhex(text), FIELDS)[0]
    return {name: int(record[name]) for name in FIELDS.names or () if record[name].shape == ()}


def assert_same(found: dict[str, int], expected: dict[str, Any], where: Any = None) -> None:
    different = {n: (found[n], expected.get(n, 0)) for n in found if n != "symbol" and found[n] != expected.get(n, 0)}
    assert not different, where


@st.composite
def flows(draw: st.DrawFn) -> list[Row]:
    """Rows of a market that trades, quotes, cancels, empties, pauses and starts again, a few to a packet."""
    times = st.sampled_from([0, 1, 10**6, 40 * 10**6, 10**8, 3 * 10**8, 10**9, 7 * 10**9, 65 * 10**9])
    gaps = draw(st.lists(st.one_of(times, st.integers(0, 2 * 10**9)), min_size=5, max_size=120))
    if draw(st.booleans()):
        gaps[len(gaps) // 2] = 5_000 * 10**9
    kinds = st.sampled_from([BID, ASK] * 6 + [BUY_TRADE, SELL_TRADE] * 2 + [CLEAR])
    size = st.one_of(st.integers(1, 50), st.integers(1, 10**6), st.just(0))
    rows, now = [], START_NS + draw(st.integers(0, 10**9))
    for gap in gaps:
        now += gap
        kind = draw(kinds)
        ticks = draw(st.integers(1_000, 1_030))
        px = (ticks + (25 if kind in (ASK, BUY_TRADE) else 0)) * TICK
        sz = max(draw(size), 1 if kind > ASK else 0) * LOT
        rows.append((now - 50, now, kind, 0 if kind == CLEAR else px, 0 if kind == CLEAR else sz, draw(st.booleans())))
    return rows


def remove_nothing_twice(rows: list[Row]) -> list[Row]:
    """Leave out removals of levels that are not there: a tape does not have them."""
    books: dict[int, set[int]] = {BID: set(), ASK: set()}
    kept = []
    for row in rows:
        _, _, kind, px, sz, _ = row
        if kind == CLEAR:
            books = {BID: set(), ASK: set()}
        elif kind in books:
            if sz == 0 and px not in books[kind]:
                continue
            books[kind].add(px) if sz else books[kind].discard(px)
        kept.append(row)
    return kept


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(rows=flows(), chunk=st.sampled_from([1, 2, 7, 1_000]))
def test_generated_tapes(compiled_algo: Compiled, rows: list[Row], chunk: int) -> None:
    rows = remove_nothing_twice(rows)
    if not rows:
        return
    found = shown(replay(compiled_algo("snapshots"), Chunked(tape_of(rows), chunk)))
    expected = plain_features(rows)
    assert len(found) == len(expected)
    for number, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert_same(a, b, number)


def busy(packets: int, seed: int) -> list[Row]:
    """A market with enough trades for VPIN and enough seconds for the spread."""
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    now, mid = START_NS, 5_000
    for n in range(packets):
        now += int(rng.exponential(300e6))
        mid += int(rng.integers(-1, 2))
        near = 1 if n % 400 < 350 else 30
        packet = [(BID, mid - near - int(rng.integers(0, 30)), int(rng.integers(0, 900))) for _ in range(2)]
        packet += [(ASK, mid + near + int(rng.integers(0, 30)), int(rng.integers(0, 900))) for _ in range(2)]
        packet += [
            (BUY_TRADE if rng.random() < 0.6 else SELL_TRADE, mid, int(rng.pareto(1.2) * 20) + 1)
            for _ in range(int(rng.integers(0, 5)))
        ]
        if n % 200 == 150:
            packet = [(CLEAR, 0, 0), *packet]
        order = rng.permutation(len(packet)) if packet[0][0] != CLEAR else range(len(packet))
        for k, i in enumerate(order):
            kind, px, sz = packet[i]
            rows.append((now, now, kind, px * TICK, sz * LOT, k == len(packet) - 1))
    return remove_nothing_twice([*rows, (now + 1, now + 1, BID, TICK, LOT, True)])


def mirrored(rows: Sequence[Row]) -> list[Row]:
    """Swap bids with asks and buyers with sellers, prices turned around a pivot."""
    other = {BID: ASK, ASK: BID, BUY_TRADE: SELL_TRADE, SELL_TRADE: BUY_TRADE, CLEAR: CLEAR}
    pivot = 10_000 * TICK
    return [(a, b, other[kind], pivot - px if kind != CLEAR else 0, sz, last) for a, b, kind, px, sz, last in rows]


def test_a_busy_market(compiled_algo: Compiled) -> None:
    rows = busy(1_000, 4)
    found = shown(replay(compiled_algo("snapshots"), Chunked(tape_of(rows), 50)))
    expected = plain_features(rows)
    assert len(found) == len(expected)
    for number, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert_same(a, b, number)
    assert found[-1]["flags"] == abi.VPIN_VALID
    assert 0 < found[-1]["vpin_1e4"] < 10_000
    assert {row["spread_regime"] for row in found} == {1, 2, 3}
    assert all(found[-1][f"rv_{window}_bps"] > 0 for window in ("1m", "5m", "1h"))
    assert all(row[name] == 0 for row in found for name in row if name.startswith(("pred", "fill", "queue")))


def test_a_mirrored_market_has_mirrored_features(compiled_algo: Compiled) -> None:
    rows = busy(300, 5)
    wasm = compiled_algo("snapshots")
    turned = ("ofi_1level_1e8", "ofi_5level_1e8", "mlofi_10_1e8", "ofi_ewma_1e6", "trade_sign_imbalance_1e6")
    for a, b in zip(shown(replay(wasm, tape_of(rows))), shown(replay(wasm, tape_of(mirrored(rows)))), strict=True):
        assert [a[n] for n in (*turned, "depth_imbalance_1e4")] == [-b[n] for n in (*turned, "depth_imbalance_1e4")]
        assert [a[n] for n in ("vpin_1e4", "cancel_rate_1e4")] == [b[n] for n in ("vpin_1e4", "cancel_rate_1e4")]


def test_the_spread_is_tight_normal_wide_or_a_crisis(compiled_algo: Compiled) -> None:
    """The ask stands 10 or 12 away for 100 s, then where it is called by another name."""
    asks = [1_010 + 2 * (n % 2) for n in range(100)] + [1_011, 1_009, 1_011, 1_013, 1_025]
    rows: list[Row] = [(START_NS, START_NS, BID, 1_000 * TICK, LOT, False)]
    for n, (before, ask) in enumerate(zip([1_010, *asks], asks, strict=False)):
        now = START_NS + n * 10**9
        rows += [(now, now, ASK, px * TICK, sz, px == ask) for px, sz in {before: 0, ask: LOT}.items()]
    rows = remove_nothing_twice(rows)
    found = shown(replay(compiled_algo("snapshots"), tape_of(rows)))
    assert {row["spread_regime"] for row in found[:60]} == {1}
    assert [row["spread_regime"] for row in found[100:]] == [1, 0, 1, 2, 3]
    for a, b in zip(found, plain_features(rows), strict=True):
        assert_same(a, b)


def test_one_trade_may_fill_many_buckets(compiled_algo: Compiled) -> None:
    """Once a trade is larger than 50 buckets, all of them are one-sided."""
    book = [(START_NS, START_NS, BID, 100 * TICK, LOT, False), (START_NS, START_NS, ASK, 101 * TICK, LOT, True)]
    trades = [(START_NS + n, START_NS + n, SELL_TRADE, 100 * TICK, LOT, True) for n in range(100)]
    huge = (START_NS + 200, START_NS + 200, BUY_TRADE, 101 * TICK, 2_000 * LOT, True)
    rows = [*book, *trades, huge]
    found = shown(replay(compiled_algo("snapshots"), tape_of(rows)))
    assert (found[-1]["flags"], found[-1]["vpin_1e4"]) == (1, 10_000)
    assert_same(found[-1], plain_features(rows)[-1])


def test_sizes_beyond_all_markets_do_no_harm(compiled_algo: Compiled) -> None:
    largest = 2**63 - 1
    rows = []
    for n in range(400):
        now = START_NS + n * 10**6
        for kind, px in ((BID, 100 - n % 9), (ASK, 120 + n % 9), (BUY_TRADE, 120), (SELL_TRADE, 100)):
            rows.append((now, now, kind, px * TICK, largest, kind == SELL_TRADE))
    found = shown(replay(compiled_algo("snapshots"), tape_of(rows)))
    assert all(abs(row["depth_imbalance_1e4"]) <= 10_000 and row["vpin_1e4"] <= 10_000 for row in found)
    assert all(100 * TICK - 9 * TICK <= row["microprice_1e9"] <= 129 * TICK for row in found)


def test_heartbeats_show_the_last_packet(compiled_algo: Compiled) -> None:
    rows = [
        (START_NS + n * 10**8, START_NS + n * 10**8, BID, (100 + n % 7) * TICK, (n + 1) * LOT, True) for n in range(35)
    ]
    result = replay(compiled_algo("snapshots"), tape_of(rows), levels=2)
    books, beats = shown(result), shown(result, "h")
    assert len(beats) == 3
    for number, beat in enumerate(beats, start=1):
        assert beat == books[number * 10]


def test_each_symbol_sees_its_home_venues_features(compiled_algo: Compiled) -> None:
    """Other symbols and venues change nothing, in whatever order their packets come."""
    wasm = compiled_algo("snapshots")
    tapes = {
        ("BTC-USD", "kraken"): busy(60, 1),
        ("BTC-USD", "coinbase"): busy(60, 2),
        ("ETH-USD", "kraken"): busy(60, 3),
    }
    sources = [tape_of(rows, *name) for name, rows in tapes.items()]
    result = replay(wasm, sources)
    alone = {number: plain_features(tapes[name, "kraken"]) for number, name in ((1, "BTC-USD"), (2, "ETH-USD"))}
    for number, expected in alone.items():
        found = [row for row in shown(result) if row["symbol"] == number]
        assert len(found) == len(expected)
        for a, b in zip(found, expected, strict=True):
            assert_same(a, b)
    of_venues = shown(result, "n")
    assert {row["symbol"] for row in of_venues} == {1}
    assert len(of_venues) == len(packets_of(tapes["BTC-USD", "kraken"])) + len(packets_of(tapes["BTC-USD", "coinbase"]))
    known = {row["feature_ts_ns"]: row for row in alone[1]} | {0: {"version": 1}}
    for row in of_venues:
        assert_same(row, known[row["feature_ts_ns"]])
    assert of_venues[0]["feature_ts_ns"] == 0


@pytest.fixture(scope="session")
def recorded() -> Tape:
    """Return a real tape: the demo's sample."""
    from evals.market.gdax import import_gdax
    from sequence.sample import fetch_sample

    try:
        files = fetch_sample(ROOT / ".cache/sample")
    except Exception as error:  # noqa: BLE001 -- without a network there is no sample
        pytest.skip(f"no sample: {error}")
    return import_gdax(*files)


@pytest.fixture(scope="session")
def recorded_rows(recorded: Tape) -> list[Row]:
    events = recorded.events
    return [
        (
            int(e["exchange_ns"]),
            int(e["receive_ns"]),
            int(e["kind"]),
            int(e["px_1e9"]),
            int(e["sz_1e8"]),
            bool(e["flags"] & 1),
        )
        for e in events
    ]


def test_a_recorded_market(compiled_algo: Compiled, recorded: Tape, recorded_rows: list[Row]) -> None:
    every = 29
    source = Chunked(Tape(recorded.events[: len(recorded_rows)], recorded.info), 1_000)
    found = shown(replay(compiled_algo("snapshots"), source, every))
    expected = plain_features(recorded_rows, every)
    assert len(found) == len(expected) > 200
    for number, (a, b) in enumerate(zip(found, expected, strict=True)):
        assert_same(a, b, number)


def test_a_recorded_market_as_pandas_sees_it(compiled_algo: Compiled, recorded: Tape) -> None:
    """The formulas that pandas has itself, on the whole tape: returns of resampled mids, rolling counts of trades."""
    every = max(len(recorded.events) // 900, 1)
    found = pd.DataFrame(shown(replay(compiled_algo("snapshots"), recorded, every)))
    frame = pd.DataFrame({name: recorded.events[name] for name in ("receive_ns", "kind", "px_1e9", "sz_1e8")})
    second = frame["receive_ns"] // 10**9
    trades = frame[frame["kind"].isin([BUY_TRADE, SELL_TRADE])].groupby(second).size()
    trades = trades.reindex(range(second.iloc[0], second.iloc[-1] + 1), fill_value=0)
    # The last sample of a second still lacks what comes later in it: compare the seconds before with nine of ten.
    at = found["feature_ts_ns"] // 10**9
    rolled = trades.rolling(9, min_periods=1).sum().shift(1, fill_value=0)
    own = (found["trade_arrival_rate_1e3"] / 100 - rolled.reindex(at).to_numpy()).to_numpy()
    assert (own >= 0).all()
    assert (own <= trades.reindex(at).to_numpy()).all()


def test_modules_that_name_no_feature_are_told(compiled_algo: Compiled, wat: Callable[..., bytes]) -> None:
    assert inspect_module(compiled_algo("snapshots")).reads_features
    assert not inspect_module(compiled_algo("maker")).reads_features
    assert not inspect_module(compiled_algo("legacy")).reads_features
    empty = "i32.const 0x26000"
    for reading in (
        f"i32.const 0x1a008 i64.load drop {empty}",
        f"i32.const 0 i64.load offset=0x1a0f8 drop {empty}",
        f"i64.const 0x1a000 i32.wrap_i64 i64.load drop {empty}",
        f"i64.const 0x780001a000 i32.wrap_i64 i64.load drop {empty}",
        f"i64.const 0x1a0f800000078 i64.const 32 i64.shr_u i32.wrap_i64 i64.load drop {empty}",
        f"i64.const 0x1a00800000000 i64.const 32 i64.shr_u i32.wrap_i64 i64.load drop {empty}",
    ):
        assert inspect_module(wat(reading)).reads_features
    assert inspect_module(wat(empty, data='(data (i32.const 0x30000) "\\70\\a0\\01\\00")')).reads_features
    assert not inspect_module(wat(f"i32.const 0x1a100 i64.load drop {empty}")).reads_features
    assert not inspect_module(wat(empty)).reads_features

"""Maker adverse selection against a plain Python version, at its extremes, and switched off."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.engine import adverse, layout
from evals.engine.latency import mix
from evals.engine.layout import FILL_REASONS
from evals.market.schema import ASK, BID, BUY_TRADE, SELL_TRADE
from evals.replay import ReplayResult

LIMIT, IOC = 0, 2
PX, SZ = 10**9, 10**8
START_NS = 1_700_000_000_000_000_000
STEP_NS = 100_000_000
Play = Callable[..., ReplayResult]

BOOK = [(0, 0, BID, 99, 5, False), (0, 0, BID, 98, 5, False), (0, 0, ASK, 101, 2, False), (0, 0, ASK, 102, 4, True)]
CERTAIN = {"maker_adverse_enabled": True, "maker_adverse_bias_ppm": -100_000_000}
HARMLESS = {
    "maker_adverse_enabled": True,
    "maker_adverse_skip_rate_ppm": 0,
    "maker_adverse_penalty_k_ppm": 0,
}


class Twin:
    """The model from its description in docs/realism.md: sums in lists, no shifts, no saturation."""

    def __init__(self, seed: int, skip: int, k: int, bias: int, tick: int) -> None:
        self.seed, self.skip, self.k, self.bias, self.tick = seed, skip, k, bias, tick
        self.at: int | None = None
        self.usual = self.mid = self.spread = self.draws = self.penalty = 0
        self.sums = dict.fromkeys(("buy", "sell", "fast", "slow", "fast_ones", "slow_ones", "spreads"), 0)

    def pass_time(self, now: int) -> None:
        self.at = now if self.at is None else self.at
        while now - self.at >= STEP_NS:
            self.at += STEP_NS
            lost = {"slow": 4096, "slow_ones": 4096, "spreads": 4096}
            for name, total in self.sums.items():
                self.sums[name] -= -(-total // lost.get(name, 64))
            self.sums["fast_ones"] += 2**20
            self.sums["slow_ones"] += 2**20
            self.sums["spreads"] += self.spread

    def trade(self, now: int, aggressor: int, size: int) -> None:
        self.pass_time(now)
        self.sums["sell" if aggressor else "buy"] += size
        self.usual = self.usual + math.floor((size - self.usual) / 128) if self.usual else size

    def quote(self, now: int, bid: int, ask: int) -> None:
        self.pass_time(now)
        mid = (bid + ask) // 2
        if self.mid:
            self.sums["fast"] += 256 * abs(mid - self.mid)
            self.sums["slow"] += 256 * abs(mid - self.mid)
        self.mid, self.spread = mid, max(ask - bid, 0)

    def decide(self, now: int, aggressor: int, size: int) -> tuple[bool, int]:
        self.pass_time(now)
        with_it, against = ("sell", "buy") if aggressor else ("buy", "sell")
        score = 1.0 * contrast(self.sums[with_it], self.sums[against])
        score += 1.0 * contrast(size, self.usual) if self.usual else 0.0
        if self.sums["slow_ones"]:
            ones = self.sums["slow_ones"]
            score += contrast(self.sums["fast"] / self.sums["fast_ones"], self.sums["slow"] / ones)
            score += contrast(self.spread, self.sums["spreads"] / (ones / 2**20))
        toxicity = 1 / (1 + math.exp(self.bias / 1e6 - score))
        self.draws += 1
        uniform = (int(mix(mix(self.seed, 0), self.draws)) >> 10) / 2**53
        cost = self.k / 1e6 * toxicity * max(self.spread, self.tick) / 2
        return uniform < self.skip / 1e6 * toxicity, math.ceil(cost)


def contrast(a: float, b: float) -> float:
    return (a - b) / (a + b) if a + b else 0.0


GAPS = st.one_of(st.integers(0, 3 * STEP_NS), st.integers(0, 600 * STEP_NS))
EVENTS = st.one_of(
    st.tuples(st.just("trade"), GAPS, st.integers(0, 1), st.integers(1, 10**12)),
    st.tuples(st.just("quote"), GAPS, st.integers(10**12, 10**12 + 10**10), st.integers(-(10**9), 10**10)),
    st.tuples(st.just("decide"), GAPS, st.integers(0, 1), st.integers(1, 10**12)),
)


@settings(max_examples=100, deadline=None)
@given(
    events=st.lists(EVENTS, min_size=5, max_size=60),
    seed=st.integers(0, 2**62),
    skip=st.integers(0, 10**6),
    k=st.integers(0, 10**7),
    bias=st.integers(-5_000_000, 5_000_000),
)
def test_kernels_equal_the_twin(events: list[tuple[Any, ...]], seed: int, skip: int, k: int, bias: int) -> None:
    sims, assets = np.zeros(1, layout.SIM), np.zeros(1, layout.ASSET)
    sim: Any = sims[0]
    asset: Any = assets[0]
    asset["seed"] = seed
    asset["rules"]["tick_size_1e9"] = PX
    for name, value in (("skip", skip), ("penalty", k), ("bias", bias)):
        asset["rules"][f"adverse_{name}_ppm"] = value
    twin = Twin(seed, skip, k, bias, PX)
    now = START_NS
    for what, gap, a, b in events:
        now += gap
        sim["run"]["now_ns"] = now
        if what == "trade":
            adverse.note_trade(sim, asset, a, b)
            twin.trade(now, a, b)
        elif what == "quote":
            asset["book"]["top"][:, 0] = a, -(a + b)
            mid = (a + a + b) // 2
            adverse.note_quote(sim, asset, mid)
            asset["mid_1e9"] = mid
            twin.quote(now, a, a + b)
        else:
            missed = adverse.passes_by(sim, asset, a, b)
            expected, penalty = twin.decide(now, a, b)
            assert missed == expected
            # The twin's exponential is the library's: the last digit before rounding up may differ.
            assert abs(int(asset["toxicity"]["penalty_1e9"]) - penalty) <= 1
    state = asset["toxicity"]
    assert [int(v) for v in state["flow_1e8"]] == [twin.sums["buy"], twin.sums["sell"]]
    for field, name in (("fast_path", "fast"), ("slow_path", "slow"), ("slow_spread", "spreads")):
        assert int(state[field]) == twin.sums[name]
    assert int(state["size_1e8"]) == twin.usual
    assert int(state["draws"]) == twin.draws


@given(st.floats(-128, 128))
def test_the_sigmoid_is_one(x: float) -> None:
    assert adverse.sigmoid(x) == pytest.approx(1 / (1 + math.exp(-x)), rel=1e-12)


def test_sums_of_everything_at_its_largest_stay_in_64_bits() -> None:
    sims, assets = np.zeros(1, layout.SIM), np.zeros(1, layout.ASSET)
    sim: Any = sims[0]
    asset: Any = assets[0]
    most = 2**63 - 1
    for n in range(200):
        sim["run"]["now_ns"] = START_NS + n * STEP_NS // 2
        adverse.note_trade(sim, asset, n % 2, most)
        asset["book"]["top"][:, 0] = 1, -(2**62 if n % 2 else 2)
        adverse.note_quote(sim, asset, 2**62 if n % 2 else 1)
        asset["mid_1e9"] = 2**62 if n % 2 else 1
        adverse.passes_by(sim, asset, 0, most)
    state = asset["toxicity"]
    assert all(int(state[name]) >= 0 for name in ("fast_path", "slow_path", "slow_spread", "size_1e8", "penalty_1e9"))
    assert 0 <= adverse.toxicity(state, 0, most, 0.0) <= 1


ROWS = [
    *BOOK,
    (100, 100, SELL_TRADE, 99, 7),  # 5 ahead, 2 for us
    (200, 200, SELL_TRADE, 98, 1),  # through
    (300, 300, ASK, 99, 1),  # crosses
    (400, 400, BID, 90, 1),
]
BUYS = {0: [(1, 99 * PX, 9 * SZ, 1, 0, LIMIT)]}


def passive(result: ReplayResult) -> list[tuple[int, int, int, str]]:
    return [
        (int(f["exchange_ns"]), int(f["px_1e9"]), int(f["qty_1e8"]) // SZ, FILL_REASONS[f["reason"]])
        for f in result.fills
        if FILL_REASONS[f["reason"]] != "taker"
    ]


def test_when_every_fill_is_toxic_and_skipped_only_takers_are_left(play: Play) -> None:
    assert [f[3] for f in passive(play(ROWS, BUYS))] == ["queue_front", "trade_through", "crossed_book"]
    script = {0: [*BUYS[0], (2, 102 * PX, 3 * SZ, 1, 0, IOC)]}
    result = play(ROWS, script, **CERTAIN, maker_adverse_skip_rate_ppm=10**6)
    assert passive(result) == []
    assert result.metrics["fills"] == 2


def test_half_the_spread_is_what_certain_toxicity_costs(play: Play) -> None:
    """Every way to fill pays it: the spread is 2, and 1 less the ask at 99 is no spread, so a tick counts there."""
    result = play(ROWS, BUYS, **CERTAIN, maker_adverse_skip_rate_ppm=0, maker_adverse_penalty_k_ppm=500_000)
    assert [f[1:] for f in passive(result)] == [
        (99 * PX + PX // 2, 2, "queue_front"),
        (99 * PX + PX // 2, 1, "trade_through"),
        (99 * PX + PX // 4, 1, "crossed_book"),
    ]
    sells = {0: [(1, 101 * PX, 1 * SZ, -1, 0, LIMIT)]}
    result = play([*BOOK, (100, 100, BUY_TRADE, 102, 9), (400, 400, BID, 90, 1)], sells, **CERTAIN)
    assert [f[1] for f in passive(result)] in ([101 * PX - PX // 2], [])


def test_an_ordinary_first_trade_has_the_toxicity_of_the_bias(play: Play) -> None:
    settings = {"maker_adverse_enabled": True, "maker_adverse_skip_rate_ppm": 0}
    result = play([*BOOK, (100, 100, SELL_TRADE, 98, 1), (400, 400, BID, 90, 1)], BUYS, **settings)
    assert passive(result)[0][1] == 99 * PX + math.ceil(0.5 * PX / (1 + math.exp(2)))


def test_a_skipped_fill_keeps_its_place_and_the_draw_depends_on_the_seed_alone(play: Play) -> None:
    rows = [*BOOK, *((100 * n, 100 * n, SELL_TRADE, 99, 6) for n in range(1, 20)), (9_000, 9_000, BID, 90, 1)]
    settings = {**CERTAIN, "maker_adverse_skip_rate_ppm": 500_000, "maker_adverse_penalty_k_ppm": 0}
    buys = {0: [(1, 99 * PX, 1 * SZ, 1, 0, LIMIT)]}
    symbols = ("BTC-USD", "ETH-USD", "SOL-USD", "ADA-USD", "XRP-USD", "LTC-USD")
    fills = []
    for symbol in symbols:
        first, again = (play(rows, buys, instrument={"symbol": symbol}, **settings) for _ in range(2))
        assert first.result_digest == again.result_digest
        fills.append(passive(first)[0][0] - START_NS)
        ahead = int(first.fills["queue_ahead_1e8"][0]) // SZ
        assert ahead == (5 if fills[-1] == 100 else 0), "the first trade cleared the way, filled or not"
    assert len(set(fills)) > 1


def random_run(seed: int) -> tuple[list[tuple[Any, ...]], dict[int, list[tuple[int, ...]]]]:
    """Return a tape and quotes that depend on nothing that happens."""
    rng = np.random.default_rng(seed)
    rows: list[tuple[Any, ...]] = list(BOOK)
    at = 0
    for _ in range(200):
        at += int(rng.integers(1, 50_000_000))
        kind = int(rng.choice([BID, ASK, BUY_TRADE, SELL_TRADE, BUY_TRADE, SELL_TRADE]))
        trade = kind in (BUY_TRADE, SELL_TRADE)
        px = int(rng.integers(97, 104)) if trade else int(rng.integers(97, 101) + 3 * (kind == ASK))
        rows.append((at, at + 5, kind, px, int(rng.integers(1, 9) if trade else rng.integers(0, 5))))
    script = {
        n: [
            (2 * n + 1, int(rng.integers(97, 101)) * PX, int(rng.integers(1, 4)) * SZ, 1, 0, LIMIT),
            (2 * n + 2, int(rng.integers(101, 104)) * PX, int(rng.integers(1, 4)) * SZ, -1, 0, LIMIT),
        ]
        for n in range(100)
    }
    return rows, script


@pytest.mark.parametrize("seed", range(4))
def test_a_model_that_neither_skips_nor_charges_changes_nothing(play: Play, seed: int) -> None:
    rows, script = random_run(seed)
    off = play(rows, script, latency_model="lognormal")
    assert len(passive(off)) > 20
    assert play(rows, script, latency_model="lognormal", **HARMLESS).result_digest == off.result_digest


@pytest.mark.parametrize("seed", range(4))
def test_a_charge_alone_leaves_the_fills_and_makes_every_one_of_them_worse(play: Play, seed: int) -> None:
    rows, script = random_run(seed)
    off = play(rows, script)
    on = play(rows, script, **HARMLESS | {"maker_adverse_penalty_k_ppm": 500_000})
    for name in ("exchange_ns", "order_id", "qty_1e8", "reason", "queue_ahead_1e8", "mid_1e9", "side"):
        assert on.fills[name].tolist() == off.fills[name].tolist()
    worse = (on.fills["px_1e9"] - off.fills["px_1e9"]) * on.fills["side"]
    takers = on.fills["reason"] == FILL_REASONS.index("taker")
    assert (worse[takers] == 0).all()
    assert (worse[~takers] > 0).all()
    net = [run.metrics["net_pnl_1e9"] for run in (on, off)]
    assert isinstance(net[0], int)
    assert isinstance(net[1], int)
    assert net[0] < net[1]


def test_skips_do_not_shift_the_draws_of_latencies(play: Play) -> None:
    rows, _ = random_run(1)
    script = {n: [(n + 1, 98 * PX, SZ, 1, 0, LIMIT)] for n in range(30)}
    off, on = (
        play(rows, script, latency_model="lognormal", place_entry_ns=10**6, maker_adverse_enabled=enabled)
        for enabled in (False, True)
    )
    assert on.orders["arrived_ns"].tolist() == off.orders["arrived_ns"].tolist()

"""Latencies: drawn as they say, by the seed and the asset alone; recorded ones interpolated; nothing overtakes."""

from __future__ import annotations

import math
from statistics import NormalDist
from typing import Any

import numpy as np
import pytest

from evals.engine import layout
from evals.engine.latency import CONSTANT, LOGNORMAL, ONE, QUANTILES, RECORDED, entry_latency, response_latency
from evals.engine.markets import seed_of
from evals.engine.quantiles import lognormal
from evals.market.synthetic import DEFAULT_INSTRUMENT
from evals.replay import ReplaySettings, run_replay
from tests.evals.engine.busy_algo import CONFIG, RISK, busy_algo, market, replay

SECOND_NS = 10**9
PLACE, CANCEL, AMEND = range(3)


class Drawn:
    """An asset that only draws latencies."""

    def __init__(self, seed: int = 42, symbol: str = "BTC-USD", sigma: float = 0.5, **rules: Any) -> None:
        self._assets = np.zeros(1, layout.ASSET)
        self._table = lognormal(round(sigma * 1e6))
        self.asset: Any = self._assets[0]
        self.asset["seed"] = seed_of(seed, DEFAULT_INSTRUMENT.model_copy(update={"symbol": symbol}))
        self.asset["quantiles"] = self._table.ctypes.data
        defaults = {"latency_model": LOGNORMAL, "entry_ns": (10**6, 2 * 10**6, 3 * 10**6, 0), "burst_ns": SECOND_NS}
        for name, value in (defaults | rules).items():
            self.asset["rules"][name] = value

    def entries(self, count: int, kind: int = PLACE, now_ns: int = 0) -> list[int]:
        return [entry_latency(self.asset, kind, now_ns) for _ in range(count)]


def test_constant_latencies_are_by_kind() -> None:
    drawn = Drawn(latency_model=CONSTANT, response_ns=(7, 8, 9, 0))
    assert [entry_latency(drawn.asset, kind, 0) for kind in range(3)] == [10**6, 2 * 10**6, 3 * 10**6]
    assert [response_latency(drawn.asset, kind, 0) for kind in range(3)] == [7, 8, 9]
    assert drawn.asset["draws"] == 0


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.5])
def test_the_quantiles_are_the_distributions(sigma: float) -> None:
    table = lognormal(round(sigma * 1e6))
    assert len(table) == QUANTILES
    for at in (0, 1, 40, 409, 2_047, 2_048, 3_686, 4_055, 4_095):
        exact = math.exp(sigma * NormalDist().inv_cdf((at + 0.5) / QUANTILES))
        assert table[at] / ONE == pytest.approx(exact, abs=1.5 / ONE)


@pytest.mark.parametrize("sigma", [0.2, 0.5, 1.0])
@pytest.mark.parametrize("kind", [PLACE, CANCEL, AMEND])
def test_draws_have_the_median_the_spread_and_the_tails(sigma: float, kind: int) -> None:
    count, median_ns = 40_000, (kind + 1) * 10**6
    draws = np.array(Drawn(sigma=sigma).entries(count, kind), float)
    logs = np.log(draws / median_ns)
    # Standard errors of 40,000 draws: 1.25 sigma / 200 of the median, sigma / 283 of the spread.
    assert np.median(logs) == pytest.approx(0, abs=5 * 1.25 * sigma / 200)
    assert logs.std() == pytest.approx(sigma, rel=0.02)
    for share in (0.01, 0.1, 0.25, 0.75, 0.9, 0.99):
        z = NormalDist().inv_cdf(share)
        error = math.sqrt(share * (1 - share) / count) / NormalDist().pdf(z) * sigma
        assert np.quantile(logs, share) == pytest.approx(sigma * z, abs=5 * error)


def test_a_seed_and_a_name_are_all_that_a_draw_depends_on() -> None:
    once = Drawn().entries(1_000)
    assert Drawn().entries(1_000) == once
    assert Drawn(seed=43).entries(1_000) != once
    assert Drawn(symbol="ETH-USD").entries(1_000) != once
    assert np.corrcoef(once[:-1], once[1:])[0, 1] == pytest.approx(0, abs=0.1)
    assert np.corrcoef(once, Drawn(symbol="ETH-USD").entries(1_000))[0, 1] == pytest.approx(0, abs=0.1)


def test_bursts_are_stretches_of_time() -> None:
    calm = Drawn(sigma=0.0)
    burst = Drawn(sigma=0.0, burst_ppm=100_000, burst_factor=7)
    base = calm.entries(1)[0]
    at_start = [burst.entries(1, now_ns=second * SECOND_NS)[0] for second in range(5_000)]
    at_end = [burst.entries(1, now_ns=second * SECOND_NS + SECOND_NS - 1)[0] for second in range(5_000)]
    assert at_start == at_end, "a whole second is in a burst, or none of it"
    assert set(at_start) == {base, 7 * base}
    assert at_start.count(7 * base) / 5_000 == pytest.approx(0.1, abs=0.02)


def test_recorded_latencies_are_interpolated() -> None:
    trace = np.array([(1_000, 100, 10), (2_000, 200, 0), (2_000, 300, 0), (4_000, 100, 1_000)], np.int64)

    def at(now_ns: int) -> tuple[int, int]:
        drawn = Drawn(latency_model=RECORDED)
        drawn.asset["recorded"], drawn.asset["recorded_rows"] = trace.ctypes.data, len(trace)
        return entry_latency(drawn.asset, PLACE, now_ns), response_latency(drawn.asset, CANCEL, now_ns)

    assert at(0) == (100, 10), "before the first row"
    assert at(1_000) == (100, 10)
    assert at(1_500) == (150, 5)
    assert at(1_999) == (199, 1), "rounded towards the earlier value"
    assert at(2_000) == (300, 0), "the later of two rows at one time"
    assert at(3_000) == (200, 500)
    assert at(4_000) == at(10**18) == (100, 1_000), "after the last row"


def test_recorded_latencies_in_a_run() -> None:
    tape = market()
    first, last = int(tape.events["receive_ns"][0]), int(tape.events["receive_ns"][-1])
    trace = np.array([(first, 10**6, 0), (last, 5 * 10**6, 0)], np.int64)
    settings = ReplaySettings(latency_model="recorded")
    result = run_replay(busy_algo(), tape, config=CONFIG, risk=RISK, settings=settings, trace=trace)
    sent = result.orders[result.orders["arrived_ns"] > 0]
    delay = sent["arrived_ns"] - sent["decided_ns"]
    expected = 10**6 + 4 * 10**6 * (sent["decided_ns"] - first) // (last - first)
    assert (np.abs(delay - expected) <= 1).mean() > 0.99
    assert (delay >= expected - 1).all(), "later only where it would have overtaken"


def test_nothing_overtakes() -> None:
    """One ordered session each way an asset, however wild the latencies are."""
    settings = ReplaySettings(
        latency_model="lognormal", latency_sigma_ppm=1_500_000, place_entry_ns=10**7, cancel_entry_ns=10**5,
        place_response_ns=10**7, cancel_response_ns=10**5, burst_ppm=50_000, burst_factor=3,
    )  # fmt: skip
    result = replay(market(), settings=settings)
    arrived = result.orders["arrived_ns"][result.orders["arrived_ns"] > 0]
    heard = result.fills["receive_ns"][result.fills["receive_ns"] > 0]
    assert len(arrived) > 500
    assert len(heard) > 100
    assert (np.diff(arrived) >= 0).all()
    assert (np.diff(heard) >= 0).all()

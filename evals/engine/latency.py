"""How long an action takes to the exchange and an answer back: constant, recorded, or drawn from a seeded lognormal.

A draw depends on the seed, the asset and how many draws the asset has made, never on other assets. The lognormal is a
table of quantiles made by `evals.engine.quantiles`; bursts are stretches of time in which every latency is
longer, chosen by the seed alone.
"""

from __future__ import annotations

import numpy as np

from evals.engine.arithmetic import muldiv
from evals.engine.kernel import kernel
from evals.engine.layout import Record
from evals.engine.tables import get_word

CONSTANT, RECORDED, LOGNORMAL = range(3)
"""Values of ``rules.latency_model``."""

QUANTILES = 4_096
ONE = 1 << 16
"""The unit of a quantile: a factor on the median."""

_RECORD_WORDS = 3
_MILLION = 1_000_000


@kernel
def mix(state: int, salt: int) -> int:
    """Return 63 random bits of two numbers (the finaliser of SplitMix64, Steele, Lea and Flood 2014)."""
    z = np.uint64(state) + np.uint64(salt) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return np.int64(z >> np.uint64(1))  # type: ignore[return-value]


@kernel
def draw(asset: Record) -> int:
    """Return the asset's next 63 random bits."""
    asset.draws += 1
    return mix(asset.seed, asset.draws)


@kernel
def entry_latency(asset: Record, kind: int, now_ns: int) -> int:
    """Return how long an action that is sent now takes to the exchange, in ns."""
    model = asset.rules.latency_model
    if model == CONSTANT:
        return asset.rules.entry_ns[kind]
    if model == RECORDED:
        return _recorded(asset, now_ns, 1)
    return _lognormal(asset, asset.rules.entry_ns[kind], now_ns)


@kernel
def response_latency(asset: Record, kind: int, now_ns: int) -> int:
    """Return how long an answer that is given now takes to the algo, in ns."""
    model = asset.rules.latency_model
    if model == CONSTANT:
        return asset.rules.response_ns[kind]
    if model == RECORDED:
        return _recorded(asset, now_ns, 2)
    return _lognormal(asset, asset.rules.response_ns[kind], now_ns)


@kernel
def _lognormal(asset: Record, median_ns: int, now_ns: int) -> int:
    """Draw one latency; in a burst it is longer by the burst's factor."""
    rules = asset.rules
    latency_ns = muldiv(median_ns, get_word(asset.quantiles, draw(asset) & (QUANTILES - 1)), ONE)
    if rules.burst_ppm > 0 and mix(asset.seed, -1 - now_ns // rules.burst_ns) % _MILLION < rules.burst_ppm:
        latency_ns *= rules.burst_factor
    return latency_ns


@kernel
def _recorded(asset: Record, now_ns: int, column: int) -> int:
    """Interpolate between the recorded latencies around now; before the first and after the last they stay."""
    rows, at = asset.recorded_rows, asset.recorded_at
    while at + 1 < rows and get_word(asset.recorded, (at + 1) * _RECORD_WORDS) <= now_ns:
        at += 1
    asset.recorded_at = at
    here_ns = get_word(asset.recorded, at * _RECORD_WORDS)
    value = get_word(asset.recorded, at * _RECORD_WORDS + column)
    if now_ns <= here_ns or at + 1 == rows:
        return value
    span = get_word(asset.recorded, (at + 1) * _RECORD_WORDS) - here_ns
    change = get_word(asset.recorded, (at + 1) * _RECORD_WORDS + column) - value
    part = muldiv(abs(change), now_ns - here_ns, span)
    return value + (part if change > 0 else -part)

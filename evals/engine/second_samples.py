"""What the online features sample once a second: realised volatility, and what spread is usual.

Realised variance as in Andersen and Bollerslev (1998): the sum of squared returns. The spread's mean and variance are
exponentially weighted (Finch, "Incremental calculation of weighted mean and variance", 2009). All formulas are in
`docs/features.md`.
"""

from __future__ import annotations

import math

from evals.engine.arithmetic import muldiv
from evals.engine.kernel import kernel
from evals.engine.layout import Record

HOUR_S = 3_600
_MINUTE, _FIVE_MINUTES, _HOUR = range(3)
LARGEST_RETURN_1E8 = 20_000_000
LARGEST_SPREAD_1E10 = 1_000_000_000
"""A fifth in a second, a tenth of the mid: beyond, returns and spreads count as these."""

SPREAD_WEIGHT = 64
SPREAD_SAMPLES = 60
"""A sample weighs a 64th; before there are 60, the z-score is 0."""

NO_SPREAD = -1
TIGHT, NORMAL, WIDE, CRISIS = range(4)
_LARGEST_I16 = 32_767


@kernel
def integer_root(square: int) -> int:
    """Return floor(sqrt(square)) for 0 <= square < 2^62."""
    root = int(math.sqrt(square))
    while root * root > square:
        root -= 1
    while (root + 1) * (root + 1) <= square:
        root += 1
    return root


@kernel
def sample_seconds(features: Record, now_ns: int) -> None:
    """Take the samples of the seconds that are over: the last mid and spread that were seen in each."""
    second = now_ns // 1_000_000_000
    over = min(second - features.second, HOUR_S) if features.second > 0 else 0
    features.second = second
    if over == 0 or features.mid_1e9 == 0:
        return
    for _ in range(over):
        _sample_mid(features)
        if features.spread_1e10 != NO_SPREAD:
            _sample_spread(features)
    for window in range(3):
        root = integer_root(features.variances_1e16[window])
        _show_volatility(features.shown, window, (root + 5_000) // 10_000)
    features.spread_deviation_1e10 = max(integer_root(features.spread_variance_1e20), 1)


@kernel
def _sample_mid(features: Record) -> None:
    square = 0
    if features.sampled_mid_1e9 > 0:
        change = abs(features.mid_1e9 - features.sampled_mid_1e9)
        square = min(muldiv(change, 100_000_000, features.sampled_mid_1e9), LARGEST_RETURN_1E8) ** 2
    features.sampled_mid_1e9 = features.mid_1e9
    at = features.samples
    for window in range(3):
        length = 60 if window == _MINUTE else 300 if window == _FIVE_MINUTES else HOUR_S
        features.variances_1e16[window] += square - features.squares_1e16[(at - length) % HOUR_S]
    features.squares_1e16[at % HOUR_S] = square
    features.samples = at + 1


@kernel
def _show_volatility(shown: Record, window: int, bps: int) -> None:
    if window == _MINUTE:
        shown.rv_1m_bps = bps
    elif window == _FIVE_MINUTES:
        shown.rv_5m_bps = bps
    else:
        shown.rv_1h_bps = bps


@kernel
def _sample_spread(features: Record) -> None:
    features.spread_samples += 1
    if features.spread_samples == 1:
        features.spread_mean_1e10 = features.spread_1e10
        return
    off = features.spread_1e10 - features.spread_mean_1e10
    variance = features.spread_variance_1e20 + off * off // SPREAD_WEIGHT
    features.spread_variance_1e20 = variance - variance // SPREAD_WEIGHT
    features.spread_mean_1e10 += off // SPREAD_WEIGHT


@kernel
def see_spread(features: Record) -> None:
    """Take note of mid and spread after a packet."""
    bid, ask = features.best_px_1e9[0], features.best_px_1e9[1]
    if bid > 0 and ask > 0:
        features.mid_1e9 = (bid + ask) // 2
        spread = muldiv(max(ask - bid, 0), 10_000_000_000, max(features.mid_1e9, 1))
        features.spread_1e10 = min(spread, LARGEST_SPREAD_1E10)
    else:
        features.spread_1e10 = NO_SPREAD


@kernel
def show_spread(features: Record) -> None:
    """Show how usual the spread is."""
    shown, score = features.shown, 0
    if features.spread_1e10 != NO_SPREAD and features.spread_samples >= SPREAD_SAMPLES:
        off = features.spread_1e10 - features.spread_mean_1e10
        score = min(abs(off) * 1_000 // features.spread_deviation_1e10, _LARGEST_I16)
        if off < 0:
            score = -score
    shown.spread_zscore_1e3 = score
    shown.spread_regime = TIGHT if score < -1_000 else NORMAL if score <= 1_000 else WIDE if score <= 3_000 else CRISIS

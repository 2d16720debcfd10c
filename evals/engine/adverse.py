"""Maker adverse selection: trades that are likely to be informed pass our resting orders by, or cost them more.

The platform's model by its public names (MAKER_ADVERSE_*): toxicity = sigmoid(weighted features - BIAS), the chance
that a fill is skipped is toxicity x SKIP_RATE, the price penalty grows with PENALTY_K x toxicity. What it does not
publish is ours: features, weights, memory, and that the penalty is a share of half the spread (`docs/realism.md`).

Every feature is (a - b) / (a + b), in [-1, 1], 0 in ordinary times: the size of the trade against the usual one, flow
with the aggressor against flow the other way, the distance that the mid went lately against usually, the spread
against the usual one. The state is integers, what is computed from it uses + - * / alone: the same on every machine.
"""

from __future__ import annotations

import numpy as np

from evals.engine.kernel import kernel
from evals.engine.latency import mix
from evals.engine.layout import Record

SIZE_WEIGHT, FLOW_WEIGHT, VOLATILITY_WEIGHT, SPREAD_WEIGHT = 1.0, 1.0, 1.0, 1.0
"""The weights of the features."""

STEP_NS = 100_000_000
"""Sums decay once a step of exchange time: fast ones by 1/2^6 (6.4 s), slow ones by 1/2^12 (410 s)."""

FAST, SLOW = 6, 12
TRADES = 7
"""The usual size of a trade is remembered over about 2^7 of them."""

_LONGEST = 1 << 16
_WEIGHT = 1 << 20
_FINER = 8
_MOST = 1 << 61
_MILLION = 1_000_000.0
_UNIT = 1.0 / (1 << 53)


@kernel
def note_trade(sim: Record, asset: Record, aggressor: int, sz_1e8: int) -> None:
    """Remember a trade of the tape, after it has reached our orders."""
    state = asset.toxicity
    _decay(state, sim.run.now_ns)
    size = min(sz_1e8, _MOST)
    state.flow_1e8[aggressor] = min(state.flow_1e8[aggressor] + size, _MOST)
    state.size_1e8 = size if state.size_1e8 == 0 else state.size_1e8 + ((size - state.size_1e8) >> TRADES)


@kernel
def note_quote(sim: Record, asset: Record, mid_1e9: int) -> None:
    """Remember that the best prices changed, before ``asset.mid_1e9`` becomes the new mid."""
    state = asset.toxicity
    _decay(state, sim.run.now_ns)
    if asset.mid_1e9 > 0:
        moved = min(abs(mid_1e9 - asset.mid_1e9), 1 << 50) << _FINER
        state.fast_path = min(state.fast_path + moved, _MOST)
        state.slow_path = min(state.slow_path + moved, _MOST)
    state.spread_1e9 = min(max(-asset.book.top[1, 0] - asset.book.top[0, 0], 0), 1 << 48)


@kernel
def _decay(state: Record, now_ns: int) -> None:
    """Let the steps since the last look pass; what lies longer back than the longest stretch is forgotten anyway."""
    if state.at_ns == 0:
        state.at_ns = now_ns
    steps = (now_ns - state.at_ns) // STEP_NS
    state.at_ns += steps * STEP_NS
    for _ in range(min(steps, _LONGEST)):
        for side in range(2):
            state.flow_1e8[side] -= _part(state.flow_1e8[side], FAST)
        state.fast_path -= _part(state.fast_path, FAST)
        state.slow_path -= _part(state.slow_path, SLOW)
        # What a sum of ones would be: sums are divided by it, so that they are means from the first step on.
        state.fast_weight += _WEIGHT - _part(state.fast_weight, FAST)
        state.slow_weight += _WEIGHT - _part(state.slow_weight, SLOW)
        state.slow_spread += state.spread_1e9 - _part(state.slow_spread, SLOW)


@kernel
def _part(total: int, shift: int) -> int:
    """Return total / 2^shift, rounded up: sums reach zero."""
    return -(-total >> shift)


@kernel
def passes_by(sim: Record, asset: Record, aggressor: int, sz_1e8: int) -> bool:
    """Decide whether a trade (or a level that reaches our orders) passes them by, and what it costs them if not."""
    state, rules = asset.toxicity, asset.rules
    _decay(state, sim.run.now_ns)
    toxic = toxicity(state, aggressor, sz_1e8, rules.adverse_bias_ppm / _MILLION)
    half_spread = max(state.spread_1e9, rules.tick_size_1e9) * 0.5
    cost = rules.adverse_penalty_ppm / _MILLION * toxic * half_spread
    whole = int(cost)
    state.penalty_1e9 = whole + (1 if whole < cost else 0)
    state.draws += 1
    chance = rules.adverse_skip_ppm / _MILLION * toxic
    return (mix(mix(asset.seed, 0), state.draws) >> 10) * _UNIT < chance


@kernel
def toxicity(state: Record, aggressor: int, sz_1e8: int, bias: float) -> float:
    """Return how likely a trade knows something, in [0, 1]; what is not known yet counts as ordinary."""
    score = FLOW_WEIGHT * _contrast(state.flow_1e8[aggressor], state.flow_1e8[1 - aggressor])
    if state.size_1e8 > 0:
        score += SIZE_WEIGHT * _contrast(sz_1e8, state.size_1e8)
    if state.slow_weight > 0:
        lately, usually = state.fast_path / state.fast_weight, state.slow_path / state.slow_weight
        score += VOLATILITY_WEIGHT * _contrast(lately, usually)
        score += SPREAD_WEIGHT * _contrast(state.spread_1e9, state.slow_spread / (state.slow_weight / _WEIGHT))
    return sigmoid(score - bias)


@kernel
def _contrast(a: float, b: float) -> float:
    total = np.float64(a) + np.float64(b)
    return (a - b) / total if total > 0 else 0.0


@kernel
def sigmoid(x: float) -> float:
    """Return 1 / (1 + e^-x) for |x| <= 128; the series is summed for x / 2^7 and squared, so no library decides."""
    small = -abs(x) / 128.0
    term, power = 1.0, 1.0
    for k in range(1, 24):
        term *= small / k
        power += term
    for _ in range(7):
        power *= power
    return 1.0 / (1.0 + power) if x >= 0 else power / (1.0 + power)


@kernel
def paid_px(asset: Record, side: int, px_1e9: int) -> int:
    """Return the price of a passive fill with its penalty; the same price while the model is off."""
    return px_1e9 + (1 - 2 * side) * min(asset.toxicity.penalty_1e9, px_1e9 - 1)

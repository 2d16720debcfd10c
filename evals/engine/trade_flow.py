"""Trades, and what left the book, as the online features count them: rolling ten seconds, and VPIN's volume buckets.

VPIN: Easley, Lopez de Prado and O'Hara, "Flow toxicity and liquidity in a high-frequency world" (2012), with the
aggressor that the tape names in place of their guess. All formulas are in `docs/features.md`.
"""

from __future__ import annotations

from evals.engine.arithmetic import muldiv
from evals.engine.kernel import kernel
from evals.engine.layout import Record
from evals.market import schema

SECONDS = 10
"""The window of arrival rate, sign imbalance and cancel rate, with the second that is not over yet."""

CALIBRATION_TRADES = 100
BUCKETS_IN_CALIBRATION = 4
BUCKETS = 50
"""VPIN's sample: a bucket is as large as a quarter of the first hundred trades; they themselves are in none."""

BUYS, SELLS, TRADED, REMOVED = range(4)
"""Rows of ``coming`` and ``flow``."""

_BUY_TRADE = schema.BUY_TRADE
LARGEST_SUM = 1 << 62
_LARGEST_SIZE = 1 << 56


@kernel
def bounded(total: int) -> int:
    """Keep a sum in its bounds; no market comes near."""
    return max(min(total, LARGEST_SUM), -LARGEST_SUM)


@kernel
def take_trade(features: Record, kind: int, sz_1e8: int) -> None:
    """Take note of a trade of the packet that comes next."""
    size, buy = min(sz_1e8, _LARGEST_SIZE), kind == _BUY_TRADE
    features.coming[BUYS if buy else SELLS] += 1
    features.coming[TRADED] = bounded(features.coming[TRADED] + size)
    _fill_buckets(features, size, buy)


@kernel
def roll_flow(features: Record, now_ns: int) -> None:
    """Count the packet that is there now into its second, and forget seconds that are out of the window."""
    second = now_ns // 1_000_000_000
    for gone in range(max(features.flow_second, second - SECONDS) + 1, second + 1):
        for what in range(4):
            features.flow[what, gone % SECONDS] = 0
    features.flow_second = second
    for what in range(4):
        at = second % SECONDS
        features.flow[what, at] = bounded(features.flow[what, at] + features.coming[what])
        features.coming[what] = 0


@kernel
def show_flow(features: Record) -> None:
    """Bring the fields about trades and cancels up to date."""
    shown = features.shown
    buys, sells = _of_window(features, BUYS), _of_window(features, SELLS)
    trades = buys + sells
    shown.trade_arrival_rate_1e3 = min(trades * 1_000 // SECONDS, 2**32 - 1)
    if trades == 0:
        shown.trade_sign_imbalance_1e6 = 0
    else:
        share = abs(buys - sells) * 1_000_000 // trades
        shown.trade_sign_imbalance_1e6 = share if buys > sells else -share
    removed = _of_window(features, REMOVED)
    canceled = removed - min(removed, _of_window(features, TRADED))
    shown.cancel_rate_1e4 = muldiv(canceled, 10_000, removed) if removed > 0 else 0
    shown.flags = 1 if features.buckets >= BUCKETS else 0
    if features.buckets >= BUCKETS:
        shown.vpin_1e4 = muldiv(features.imbalance_1e8, 10_000, BUCKETS * features.bucket_1e8)


@kernel
def _of_window(features: Record, what: int) -> int:
    total = 0
    for at in range(SECONDS):
        total = bounded(total + features.flow[what, at])
    return total


@kernel
def _fill_buckets(features: Record, size: int, buy: bool) -> None:
    """Pour a trade into the buckets; it may fill several."""
    if features.calibration_trades < CALIBRATION_TRADES:
        features.calibration_trades += 1
        features.calibration_1e8 = min(features.calibration_1e8 + size, BUCKETS_IN_CALIBRATION * _LARGEST_SIZE)
        features.bucket_1e8 = max(features.calibration_1e8 // BUCKETS_IN_CALIBRATION, 1)
        return
    bucket, sign = features.bucket_1e8, 1 if buy else -1
    room = bucket - features.bucket_filled_1e8
    if size < room:
        features.bucket_filled_1e8 += size
        features.bucket_net_1e8 += sign * size
        return
    _close_bucket(features, abs(features.bucket_net_1e8 + sign * room))
    rest = size - room
    for _ in range(min(rest // bucket, BUCKETS)):
        _close_bucket(features, bucket)
    features.bucket_filled_1e8 = rest % bucket
    features.bucket_net_1e8 = sign * (rest % bucket)


@kernel
def _close_bucket(features: Record, imbalance_1e8: int) -> None:
    at = features.buckets % BUCKETS
    features.imbalance_1e8 += imbalance_1e8 - features.imbalances_1e8[at]
    features.imbalances_1e8[at] = imbalance_1e8
    features.buckets += 1

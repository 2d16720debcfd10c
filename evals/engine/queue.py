"""Queue position: what stands ahead of our orders, and what the tape's trades and level changes do to it.

Everything displayed when an order arrives stands ahead of it, and our own earlier orders at the price do. A trade at
its price takes from what stands ahead and fills the order with the excess. When a level shrinks by more than what
traded there since the tape last set it, somebody cancelled; the models differ in where they stood:

* risk-averse: behind us, until the level is too small for that;
* optimistic: ahead of us;
* power and log families: both, in proportion to a function f of what stands ahead and behind. ``power`` and ``log``:
  f(behind) / (f(behind) + f(ahead)) is the share that cancels behind us; ``power_total`` and ``log_total``:
  f(behind) / f(behind + ahead); ``power_front``: 1 - f(ahead / (ahead + behind)). f is x^n, or ln(1 + x) with x in
  whole units. These are hftbacktest's probability models. Its documentation names as the source of the first ones
  E. Rigtorp, "Estimating order queue position" (2013), and question 3782 of Quantitative Finance Stack Exchange;
  ``power_total``, ``log_total`` and ``power_front`` are its own variations.
"""

from __future__ import annotations

import numpy as np

from evals.engine.adverse import paid_px, passes_by
from evals.engine.books import size_at, take_at
from evals.engine.impact import note_taken
from evals.engine.kernel import kernel
from evals.engine.layout import BUY, CROSSED_BOOK, QUEUE_FRONT, SELL, TRADE_THROUGH, Record
from evals.engine.orders import fill
from evals.engine.tables import slot_at, symbol_of

RISK_AVERSE, OPTIMISTIC, POWER, POWER_TOTAL, POWER_FRONT, LOG, LOG_TOTAL = range(7)
"""Values of ``rules.queue_model``."""

_ONE_1E8 = 100_000_000.0
_LN_2 = 0.6931471805599453


@kernel
def best_own_through(sim: Record, asset: Record, side: int, key: int) -> int:
    """Return the slot of our best order of a side (first come first among equals) not worse than a key; -1 if none."""
    found, found_key = -1, key
    symbol = symbol_of(sim, asset)
    for i in range(asset.resting_count):
        slot = slot_at(symbol, asset.resting[i])
        if slot.side == side:
            own_key = slot.ex_px_1e9 * (1 - 2 * side)
            if own_key > found_key or (own_key == found_key and found < 0):
                found, found_key = asset.resting[i], own_key
    return found


@kernel
def on_trade(sim: Record, asset: Record, aggressor: int, px_1e9: int, sz_1e8: int) -> None:
    """Let a trade of the tape reach our orders on the side it took from."""
    side = SELL if aggressor == BUY else BUY
    symbol = symbol_of(sim, asset)
    missed = asset.rules.adverse != 0 and passes_by(sim, asset, aggressor, sz_1e8)
    budget = sz_1e8 if missed else _trade_through(sim, asset, side, px_1e9, sz_1e8)
    own_filled, i = 0, 0
    while i < asset.resting_count:
        index = asset.resting[i]
        slot = slot_at(symbol, index)
        i += 1
        if slot.side != side or slot.ex_px_1e9 != px_1e9:
            continue
        ahead = slot.queue_ahead_1e8
        slot.traded_1e8 += budget - own_filled
        slot.queue_ahead_1e8 = ahead - min(ahead, budget - own_filled)
        qty = fill_size(asset, slot, _whole_lots(asset, budget - own_filled - ahead))
        if qty > 0 and not missed:
            own_filled = min(own_filled + qty, budget) if asset.rules.partial_fills else 0
            fill(sim, asset, index, paid_px(asset, side, px_1e9), qty, QUEUE_FRONT, ahead)
            i -= 0 if slot.resting else 1


@kernel
def _whole_lots(asset: Record, reached_1e8: int) -> int:
    """Return the nearest whole number of lots: cancels shared in proportion leave fractions of a lot ahead."""
    lot = asset.rules.lot_size_1e8
    return max(reached_1e8 + lot // 2, 0) // lot * lot


@kernel
def fill_size(asset: Record, slot: Record, reached_1e8: int) -> int:
    """Return how much of an order is filled when so much reaches it: all of it if the exchange knows no partial fills.

    Without partial fills what reaches one order is not used up by it, so it reaches the next one as well.
    """
    left = slot.ex_qty_1e8 - slot.ex_filled_1e8
    return left if reached_1e8 > 0 and not asset.rules.partial_fills else min(reached_1e8, left)


@kernel
def _trade_through(sim: Record, asset: Record, side: int, px_1e9: int, sz_1e8: int) -> int:
    """Fill our orders at better prices than the trade's, best first, up to its size; return what is left of it."""
    symbol = symbol_of(sim, asset)
    while sz_1e8 > 0:
        index = best_own_through(sim, asset, side, px_1e9 * (1 - 2 * side) + 1)
        if index < 0:
            break
        slot = slot_at(symbol, index)
        qty = fill_size(asset, slot, sz_1e8)
        if asset.rules.partial_fills:
            sz_1e8 -= qty
        fill(sim, asset, index, paid_px(asset, side, slot.ex_px_1e9), qty, TRADE_THROUGH, slot.queue_ahead_1e8)
    return sz_1e8


@kernel
def on_level(sim: Record, asset: Record, side: int, px_1e9: int, sz_1e8: int, before_1e8: int) -> None:
    """Let a level of the tape, already in the book, reach our orders.

    Ours at that price see what stands ahead change. Ours on the other side that the level reaches are filled at their
    own price, up to what came to it: in the recorded market it can only stand because nothing like our order did.
    """
    symbol = symbol_of(sim, asset)
    for i in range(asset.resting_count):
        slot = slot_at(symbol, asset.resting[i])
        if slot.side == side and slot.ex_px_1e9 == px_1e9:
            slot.queue_ahead_1e8 = _ahead_after(asset.rules, slot, sz_1e8, before_1e8)
            slot.traded_1e8 = 0
    came_1e8, own_key = sz_1e8 - before_1e8, -px_1e9 * (1 - 2 * side)
    if (
        asset.rules.adverse != 0
        and asset.high_key[1 - side] >= own_key
        and came_1e8 > 0
        and passes_by(sim, asset, side, came_1e8)
    ):
        return
    while came_1e8 > 0:
        index = best_own_through(sim, asset, 1 - side, own_key)
        if index < 0:
            break
        slot = slot_at(symbol, index)
        qty = fill_size(asset, slot, came_1e8)
        if asset.rules.partial_fills:
            came_1e8 -= qty
            take_at(asset.book, side, px_1e9, qty)
            note_taken(asset)
        fill(sim, asset, index, paid_px(asset, 1 - side, slot.ex_px_1e9), qty, CROSSED_BOOK, slot.queue_ahead_1e8)


@kernel
def _ahead_after(rules: Record, slot: Record, sz_1e8: int, before_1e8: int) -> int:
    """Return what stands ahead of an order after its level changed."""
    ahead = slot.queue_ahead_1e8
    canceled = before_1e8 - sz_1e8 - slot.traded_1e8
    if rules.queue_model != RISK_AVERSE and canceled > 0:
        behind = before_1e8 - ahead
        cancels_behind = int(_share_behind(rules, ahead, behind) * canceled)
        ahead -= canceled - cancels_behind
        # What would have cancelled behind us beyond what stood there stood ahead.
        ahead += min(behind - cancels_behind, 0)
    return max(min(ahead, sz_1e8), 0)


@kernel
def _share_behind(rules: Record, ahead_1e8: int, behind_1e8: int) -> float:
    """Return the share of cancelled size that stood behind us, in [0, 1]."""
    model, n = rules.queue_model, rules.queue_exponent
    if model == OPTIMISTIC:
        return 0.0
    ahead, behind = max(ahead_1e8, 0) / _ONE_1E8, max(behind_1e8, 0) / _ONE_1E8
    if model == POWER_FRONT:
        return 1.0 - _power(ahead / (ahead + behind), n) if ahead + behind > 0 else 1.0
    if model in (LOG, LOG_TOTAL):
        top = ln(1.0 + behind)
        whole = top + ln(1.0 + ahead) if model == LOG else ln(1.0 + ahead + behind)
    else:
        top = _power(behind, n)
        whole = top + _power(ahead, n) if model == POWER else _power(ahead + behind, n)
    return min(top / whole, 1.0) if whole > 0 else 1.0


@kernel
def _power(x: float, n: int) -> float:
    y = 1.0
    for _ in range(n):
        y *= x
    return y


@kernel
def ln(x: float) -> float:
    """Return the natural logarithm for x >= 1, from additions, products and quotients alone.

    Those are the same on every machine, a mathematical library's logarithm is not. x = m 2^e with m in [1, 2), and
    ln m = 2 artanh((m - 1) / (m + 1)), whose series is summed until it no longer changes anything.
    """
    e = 0
    while x >= 2.0:
        x *= 0.5
        e += 1
    z = (x - 1.0) / (x + 1.0)
    square, term, total = z * z, z, 0.0
    for k in range(1, 60, 2):
        total += term / np.float64(k)
        term *= square
    return e * _LN_2 + 2.0 * total


@kernel
def queue_behind(sim: Record, asset: Record, side: int, px_1e9: int) -> int:
    """Return what stands ahead of an order that joins a price now: what is displayed, but not less than ahead of ours.

    They differ after the tape cleared its book: our earlier order there keeps its place, the new one is behind it.
    """
    ahead = size_at(asset.book, side, px_1e9)
    symbol = symbol_of(sim, asset)
    for i in range(asset.resting_count):
        slot = slot_at(symbol, asset.resting[i])
        if slot.side == side and slot.ex_px_1e9 == px_1e9:
            ahead = max(ahead, slot.queue_ahead_1e8)
    return ahead

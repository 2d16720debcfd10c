"""Risk limits between the algo and its orders: what is refused never reaches the exchange. Cancels always pass.

Checked for each symbol on what the algo's side knows (its own account and the books it sees), in this order: daily
loss (104), position with all open orders of that side filled (101), order notional (100), order rate in any one second
(100), distance from the market (103).
"""

from __future__ import annotations

from evals.engine import layout
from evals.engine.arithmetic import exceeds_bps, quote_notional
from evals.engine.kernel import kernel
from evals.engine.layout import BUY, Record
from evals.engine.tables import get_word, set_word, slot_at
from evals.wasm.abi import DAILY_LOSS_LIMIT, MARKET, POSITION_LIMIT, PRICE_DEVIATION, RISK

_SECOND_NS = 1_000_000_000
_DAY_NS = 86_400 * _SECOND_NS


@kernel
def refusal_code(reason: int) -> int:
    """Return the platform's reject code for a reason of the risk checks."""
    if reason == layout.LOSS_PAUSE:
        return DAILY_LOSS_LIMIT
    if reason == layout.OVER_POSITION:
        return POSITION_LIMIT
    if reason == layout.FAR_FROM_MARKET:
        return PRICE_DEVIATION
    return RISK


@kernel
def loses_too_much(symbol: Record) -> bool:
    """Return whether the session's result, realised after fees and unrealised, is below the limit."""
    limit = symbol.limits.max_daily_loss_1e9
    return limit != 0 and symbol.known.session_1e9 + symbol.unrealized_1e9 < -limit


@kernel
def paused(sim: Record, symbol: Record) -> bool:
    """Return whether a loss has paused new orders for the rest of this UTC day."""
    return symbol.paused_day == sim.run.now_ns // _DAY_NS


@kernel
def refusal(
    sim: Record, asset: Record, symbol: Record, side: int, order_type: int, px_1e9: int, qty_1e8: int, replaced: int
) -> int:
    """Return why a new order (or an amend of slot ``replaced`` >= 0) is refused; 0 if it may pass."""
    limits = symbol.limits
    if paused(sim, symbol):
        return layout.LOSS_PAUSE
    if qty_1e8 > _room(symbol, side, replaced):
        return layout.OVER_POSITION
    reference_px = asset.best_px_1e9[1 - side] if order_type == MARKET else px_1e9
    if quote_notional(asset.rules, reference_px, qty_1e8) > limits.max_order_notional_1e9:
        return layout.OVER_NOTIONAL
    if sim.run.now_ns - get_word(symbol.order_times, symbol.order_times_at) < _SECOND_NS:
        return layout.OVER_RATE
    if order_type != MARKET and _deviates(asset, limits.max_price_deviation_bps, px_1e9):
        return layout.FAR_FROM_MARKET
    return layout.NO_REASON


@kernel
def _room(symbol: Record, side: int, replaced: int) -> int:
    """Return what may still be bought or sold below the position limit, all open orders of that side filled."""
    position = symbol.known.position_1e8
    room = symbol.limits.max_position_1e8 - (position if side == BUY else -position)
    for i in range(symbol.open_orders):
        index = symbol.open_slots[i]
        slot = slot_at(symbol, index)
        if slot.side == side:
            room -= -slot.filled_1e8 if index == replaced else slot.qty_1e8 - slot.filled_1e8
    return room


@kernel
def _deviates(asset: Record, limit: int, px_1e9: int) -> bool:
    """Return whether a price lies further outside the best bid and ask than the limit allows."""
    bid, ask = asset.best_px_1e9[0], asset.best_px_1e9[1]
    if limit == 0 or bid == 0 or ask == 0:
        return False
    if px_1e9 > ask:
        return exceeds_bps(px_1e9 - ask, ask, limit)
    return exceeds_bps(bid - px_1e9, bid, limit)


@kernel
def count_order(sim: Record, symbol: Record) -> None:
    """Remember when an accepted order or amend was sent."""
    at = symbol.order_times_at
    set_word(symbol.order_times, at, sim.run.now_ns)
    symbol.order_times_at = at + 1 if at + 1 < symbol.order_times_room else 0

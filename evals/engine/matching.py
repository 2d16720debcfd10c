"""The exchange: what the tape does to the book and to our orders, and what our orders do when they arrive."""

from __future__ import annotations

from evals.engine import layout
from evals.engine.arithmetic import quote_notional
from evals.engine.books import available, best_at, best_px, clear, locate, mid_px, set_level
from evals.engine.kernel import kernel
from evals.engine.layout import (
    AMENDED,
    BUY,
    CANCELED,
    DONE,
    EXPIRED,
    SELL,
    TAKER,
    TOO_LATE,
    Exchange,
    Record,
)
from evals.engine.orders import acknowledge, answer, end, fill, reject, rest, unrest
from evals.engine.queue import best_own_through, on_level, on_trade, queue_behind
from evals.market import schema
from evals.wasm.abi import AMEND, CANCEL, FOK, IOC, MARKET, NEW, POST_ONLY

_ANY_PRICE = 1 << 62
_CLEAR, _BID, _ASK, _BUY_TRADE = schema.CLEAR, schema.BID, schema.ASK, schema.BUY_TRADE


@kernel
def on_tape_event(x: Exchange, kind: int, px_1e9: int, sz_1e8: int) -> None:
    """Apply one row of the tape to the exchange."""
    run = x.run[0]
    if kind == _BID or kind == _ASK:
        side = BUY if kind == _BID else SELL
        set_level(x.book, side, px_1e9, sz_1e8)
        if run.resting > 0:
            on_level(x, side, px_1e9, sz_1e8, locate(x.book, side, px_1e9))
        mid = mid_px(x.book)
        if mid > 0:
            run.mid_1e9 = mid
    elif kind == _CLEAR:
        clear(x.book)
    elif run.resting > 0:
        on_trade(x, BUY if kind == _BUY_TRADE else SELL, px_1e9, sz_1e8)
    if run.resting > 0 or run.quoting > 0:
        measure_presence(x)


@kernel
def measure_presence(x: Exchange) -> None:
    """Add the time since the last look to the time quoted on both sides and the time at the touch; look again."""
    run = x.run[0]
    elapsed = run.now_ns - run.quoted_since_ns
    run.quoted_since_ns = run.now_ns
    if run.quoting == 2:
        run.both_sides_ns += elapsed
    run.at_touch_ns += elapsed * run.touching
    quoting, touching = 0, 0
    for side in range(2):
        index = best_own_through(x, side, 0 if side == BUY else _ANY_PRICE, 1)
        if index >= 0:
            quoting += 1
            best = best_px(x.book, side)
            sign = 1 - 2 * side
            if best == 0 or x.slots[index].ex_px_1e9 * sign >= best * sign:
                touching += 1
    run.quoting = quoting
    run.touching = touching


@kernel
def on_request(x: Exchange, message: Record) -> None:
    """Execute one action that has arrived at the exchange."""
    x.orders[message.row].arrived_ns = x.run[0].now_ns
    if message.kind == NEW:
        _place(x, message.slot, message.row)
    elif message.slot < 0 or not _still_rests(x, message):
        _too_late(x, message)
    elif message.kind == CANCEL:
        unrest(x, message.slot)
        end(x, message.slot, CANCELED, CANCEL)
        _done(x, message.row)
    else:
        _amend(x, message.slot, message.row, message.px_1e9, message.qty_1e8)
    measure_presence(x)


@kernel
def _still_rests(x: Exchange, message: Record) -> bool:
    slot = x.slots[message.slot]
    return slot.resting == 1 and slot.order_id == message.order_id


@kernel
def _done(x: Exchange, row: int) -> None:
    x.orders[row].outcome = DONE
    x.orders[row].done_ns = x.run[0].now_ns


@kernel
def _too_late(x: Exchange, message: Record) -> None:
    """The order was gone when the action arrived: a cancel is then silent, an amend is rejected."""
    order = x.orders[message.row]
    order.outcome = TOO_LATE
    order.reason = layout.UNKNOWN_ORDER
    order.done_ns = x.run[0].now_ns
    if message.kind == AMEND:
        order.reject_code = 2
        at = answer(x, layout.REJECT, 0, message.row, 2, AMEND)
        x.answers[at].order_id = message.order_id
        x.answers[at].slot = -1


@kernel
def _flaw(x: Exchange, order_type: int, px_1e9: int, qty_1e8: int, least_1e8: int) -> int:
    """Return why the exchange would not take such an order; 0 if it would."""
    rules = x.rules[0]
    if order_type != MARKET and (px_1e9 <= 0 or px_1e9 % rules.tick_size_1e9 != 0):
        return layout.BAD_PRICE
    if qty_1e8 <= least_1e8 or qty_1e8 % rules.lot_size_1e8 != 0:
        return layout.BAD_QUANTITY
    if qty_1e8 < rules.min_qty_1e8:
        return layout.BELOW_MINIMUM
    if order_type != MARKET and quote_notional(rules, px_1e9, qty_1e8) < rules.min_notional_1e9:
        return layout.BELOW_NOTIONAL
    return layout.NO_REASON


@kernel
def _conflict(x: Exchange, side: int, order_type: int, limit_px_1e9: int, qty_1e8: int) -> int:
    """Return why an order that is well formed cannot be executed now; 0 if it can."""
    other = 1 - side
    own = best_own_through(x, other, limit_px_1e9, 1)
    if own >= 0:
        better_px = x.slots[own].ex_px_1e9 - (1 if side == BUY else -1)
        if available(x.book, other, better_px, qty_1e8) < qty_1e8:
            return layout.SELF_TRADE
    if order_type == POST_ONLY and available(x.book, other, limit_px_1e9, 1) > 0:
        return layout.WOULD_CROSS
    if order_type == FOK and available(x.book, other, limit_px_1e9, qty_1e8) < qty_1e8:
        return layout.CANNOT_FILL
    return layout.NO_REASON


@kernel
def _limit_px(side: int, order_type: int, px_1e9: int) -> int:
    if order_type == MARKET:
        return _ANY_PRICE if side == BUY else 0
    return px_1e9


@kernel
def _place(x: Exchange, index: int, row: int) -> None:
    slot = x.slots[index]
    limit_px = _limit_px(slot.side, slot.order_type, slot.ex_px_1e9)
    reason = _flaw(x, slot.order_type, slot.ex_px_1e9, slot.ex_qty_1e8, 0)
    if reason == 0:
        reason = _conflict(x, slot.side, slot.order_type, limit_px, slot.ex_qty_1e8)
    if reason != 0:
        reject(x, index, row, reason, NEW)
        return
    acknowledge(x, index)
    _take(x, index, limit_px)
    if slot.ex_filled_1e8 < slot.ex_qty_1e8:
        if slot.order_type == MARKET or slot.order_type == IOC or slot.order_type == FOK:
            end(x, index, EXPIRED, NEW)
        else:
            rest(x, index, queue_behind(x, slot.side, slot.ex_px_1e9))


@kernel
def _take(x: Exchange, index: int, limit_px_1e9: int) -> None:
    """Take what the book offers up to a price, best level first; what is taken stays taken until the tape refreshes the level."""
    slot, levels = x.slots[index], x.book.levels
    other = 1 - slot.side
    sign = 1 - 2 * other
    at = best_at(x.book, other)
    while at >= x.book.first[other] and slot.ex_filled_1e8 < slot.ex_qty_1e8 and levels[other, at, 0] * sign >= limit_px_1e9 * sign:
        qty = min(levels[other, at, 1] - levels[other, at, 2], slot.ex_qty_1e8 - slot.ex_filled_1e8)
        if qty > 0:
            levels[other, at, 2] += qty
            fill(x, index, levels[other, at, 0], qty, TAKER, 0)
        at -= 1


@kernel
def _amend(x: Exchange, index: int, row: int, px_1e9: int, qty_1e8: int) -> None:
    """Change price and total quantity of a resting order. Less at the same price keeps its place; anything else queues again."""
    slot = x.slots[index]
    keeps_place = px_1e9 == slot.ex_px_1e9 and qty_1e8 <= slot.ex_qty_1e8
    reason = _flaw(x, slot.order_type, px_1e9, qty_1e8, slot.ex_filled_1e8)
    if reason == 0 and not keeps_place:
        reason = _conflict(x, slot.side, slot.order_type, px_1e9, qty_1e8 - slot.ex_filled_1e8)
    if reason != 0:
        reject(x, index, row, reason, AMEND)
        return
    slot.ex_px_1e9 = px_1e9
    slot.ex_qty_1e8 = qty_1e8
    at = answer(x, AMENDED, index, row, 0, AMEND)
    x.answers[at].px_1e9 = px_1e9
    x.answers[at].qty_1e8 = qty_1e8
    _done(x, row)
    if not keeps_place:
        unrest(x, index)
        _take(x, index, px_1e9)
        if slot.ex_filled_1e8 < slot.ex_qty_1e8:
            rest(x, index, queue_behind(x, slot.side, px_1e9))

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
    Record,
)
from evals.engine.orders import acknowledge, answer, end, fill, reject, rest, unrest
from evals.engine.queue import best_own_through, on_level, on_trade, queue_behind
from evals.engine.tables import answer_at, level_at, order_at, slot_at
from evals.market import schema
from evals.wasm.abi import AMEND, CANCEL, FOK, IOC, MARKET, NEW, POST_ONLY

_ANY_PRICE = 1 << 62
_CLEAR, _BID, _ASK, _BUY_TRADE = schema.CLEAR, schema.BID, schema.ASK, schema.BUY_TRADE


@kernel
def on_tape_event(sim: Record, kind: int, px_1e9: int, sz_1e8: int) -> None:
    """Apply one row of the tape to the exchange."""
    run = sim.run
    if kind in (_BID, _ASK):
        side = BUY if kind == _BID else SELL
        set_level(sim.book, side, px_1e9, sz_1e8)
        if run.resting > 0:
            on_level(sim, side, px_1e9, sz_1e8, locate(sim.book, side, px_1e9))
        mid = mid_px(sim.book)
        if mid > 0:
            run.mid_1e9 = mid
    elif kind == _CLEAR:
        clear(sim.book)
    elif run.resting > 0:
        on_trade(sim, BUY if kind == _BUY_TRADE else SELL, px_1e9, sz_1e8)
    if run.resting > 0 or run.quoting > 0:
        measure_presence(sim)


@kernel
def measure_presence(sim: Record) -> None:
    """Add the time since the last look to the time quoted on both sides and the time at the touch; look again."""
    run = sim.run
    elapsed = run.now_ns - run.quoted_since_ns
    run.quoted_since_ns = run.now_ns
    if run.quoting == 2:
        run.both_sides_ns += elapsed
    run.at_touch_ns += elapsed * run.touching
    quoting, touching = 0, 0
    for side in range(2):
        index = best_own_through(sim, side, 0 if side == BUY else _ANY_PRICE, 1)
        if index >= 0:
            quoting += 1
            best = best_px(sim.book, side)
            sign = 1 - 2 * side
            if best == 0 or slot_at(sim, index).ex_px_1e9 * sign >= best * sign:
                touching += 1
    run.quoting = quoting
    run.touching = touching


@kernel
def on_request(sim: Record, message: Record) -> None:
    """Execute one action that has arrived at the exchange."""
    order_at(sim, message.row).arrived_ns = sim.run.now_ns
    if message.kind == NEW:
        _place(sim, message.slot, message.row)
    elif message.slot < 0 or not _still_rests(sim, message):
        _too_late(sim, message)
    elif message.kind == CANCEL:
        unrest(sim, message.slot)
        end(sim, message.slot, CANCELED, CANCEL)
        _done(sim, message.row)
    else:
        _amend(sim, message.slot, message.row, message.px_1e9, message.qty_1e8)
    measure_presence(sim)


@kernel
def _still_rests(sim: Record, message: Record) -> bool:
    slot = slot_at(sim, message.slot)
    return slot.resting == 1 and slot.order_id == message.order_id  # type: ignore[no-any-return]


@kernel
def _done(sim: Record, row: int) -> None:
    order_at(sim, row).outcome = DONE
    order_at(sim, row).done_ns = sim.run.now_ns


@kernel
def _too_late(sim: Record, message: Record) -> None:
    """Note that the order was gone when the action arrived: a cancel is then silent, an amend is rejected."""
    order = order_at(sim, message.row)
    order.outcome = TOO_LATE
    order.reason = layout.UNKNOWN_ORDER
    order.done_ns = sim.run.now_ns
    if message.kind == AMEND:
        order.reject_code = 2
        at = answer(sim, layout.REJECT, 0, message.row, 2, AMEND)
        answer_at(sim, at).order_id = message.order_id
        answer_at(sim, at).slot = -1


@kernel
def _flaw(sim: Record, order_type: int, px_1e9: int, qty_1e8: int, least_1e8: int) -> int:
    """Return why the exchange would not take such an order; 0 if it would."""
    rules = sim.rules
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
def _conflict(sim: Record, side: int, order_type: int, limit_px_1e9: int, qty_1e8: int) -> int:
    """Return why an order that is well formed cannot be executed now; 0 if it can."""
    other = 1 - side
    own = best_own_through(sim, other, limit_px_1e9, 1)
    if own >= 0:
        better_px = slot_at(sim, own).ex_px_1e9 - (1 if side == BUY else -1)
        if available(sim.book, other, better_px, qty_1e8) < qty_1e8:
            return layout.SELF_TRADE
    if order_type == POST_ONLY and available(sim.book, other, limit_px_1e9, 1) > 0:
        return layout.WOULD_CROSS
    if order_type == FOK and available(sim.book, other, limit_px_1e9, qty_1e8) < qty_1e8:
        return layout.CANNOT_FILL
    return layout.NO_REASON


@kernel
def _limit_px(side: int, order_type: int, px_1e9: int) -> int:
    if order_type == MARKET:
        return _ANY_PRICE if side == BUY else 0
    return px_1e9


@kernel
def _place(sim: Record, index: int, row: int) -> None:
    slot = slot_at(sim, index)
    limit_px = _limit_px(slot.side, slot.order_type, slot.ex_px_1e9)
    reason = _flaw(sim, slot.order_type, slot.ex_px_1e9, slot.ex_qty_1e8, 0)
    if reason == 0:
        reason = _conflict(sim, slot.side, slot.order_type, limit_px, slot.ex_qty_1e8)
    if reason != 0:
        reject(sim, index, row, reason, NEW)
        return
    acknowledge(sim, index)
    _take(sim, index, limit_px)
    if slot.ex_filled_1e8 < slot.ex_qty_1e8:
        if slot.order_type in (MARKET, IOC, FOK):
            end(sim, index, EXPIRED, NEW)
        else:
            rest(sim, index, queue_behind(sim, slot.side, slot.ex_px_1e9))


@kernel
def _take(sim: Record, index: int, limit_px_1e9: int) -> None:
    """Take what the book offers up to a price, best first; it stays taken until the tape refreshes the level."""
    slot = slot_at(sim, index)
    other = 1 - slot.side
    sign = 1 - 2 * other
    at = best_at(sim.book, other)
    while at >= sim.book.first[other] and slot.ex_filled_1e8 < slot.ex_qty_1e8:
        level = level_at(sim.book, other, at)
        if level.px_1e9 * sign < limit_px_1e9 * sign:
            break
        qty = min(level.sz_1e8 - level.taken_1e8, slot.ex_qty_1e8 - slot.ex_filled_1e8)
        if qty > 0:
            level.taken_1e8 += qty
            fill(sim, index, level.px_1e9, qty, TAKER, 0)
        at -= 1


@kernel
def _amend(sim: Record, index: int, row: int, px_1e9: int, qty_1e8: int) -> None:
    """Change price and total quantity of an order. Less at the same price keeps its place; else it queues again."""
    slot = slot_at(sim, index)
    keeps_place = px_1e9 == slot.ex_px_1e9 and qty_1e8 <= slot.ex_qty_1e8
    reason = _flaw(sim, slot.order_type, px_1e9, qty_1e8, slot.ex_filled_1e8)
    if reason == 0 and not keeps_place:
        reason = _conflict(sim, slot.side, slot.order_type, px_1e9, qty_1e8 - slot.ex_filled_1e8)
    if reason != 0:
        reject(sim, index, row, reason, AMEND)
        return
    slot.ex_px_1e9 = px_1e9
    slot.ex_qty_1e8 = qty_1e8
    at = answer(sim, AMENDED, index, row, 0, AMEND)
    answer_at(sim, at).px_1e9 = px_1e9
    answer_at(sim, at).qty_1e8 = qty_1e8
    _done(sim, row)
    if not keeps_place:
        unrest(sim, index)
        _take(sim, index, px_1e9)
        if slot.ex_filled_1e8 < slot.ex_qty_1e8:
            rest(sim, index, queue_behind(sim, slot.side, px_1e9))

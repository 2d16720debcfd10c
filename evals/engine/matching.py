"""The exchange: what the tape does to the book and to our orders, and what our orders do when they arrive."""

from __future__ import annotations

from evals.engine import layout
from evals.engine.adverse import note_quote, note_trade
from evals.engine.arithmetic import exceeds_bps, quote_notional
from evals.engine.books import available, best_key, clear, left_at, mid_px, next_key, set_level, take_at
from evals.engine.impact import note_taken, publish_taken
from evals.engine.kernel import inlined, kernel
from evals.engine.layout import (
    AMENDED,
    BUY,
    CANCELED,
    DONE,
    EXPIRED,
    NO_KEY,
    RESIZED,
    SELL,
    TAKER,
    TOO_LATE,
    UNSEEN,
    Record,
)
from evals.engine.orders import acknowledge, answer, end, fill, reject, rest, unrest
from evals.engine.queue import best_own_through, fill_size, on_level, on_trade, queue_behind
from evals.engine.tables import change_at, order_at, slot_at, symbol_of
from evals.market import schema
from evals.wasm.abi import AMEND, CANCEL, FOK, IOC, MARKET, NEW, POST_ONLY

_CLEAR, _BID, _BUY_TRADE = schema.CLEAR, schema.BID, schema.BUY_TRADE


@inlined
def on_book_row(sim: Record, asset: Record, row: Record) -> None:
    """Apply a row of the tape to the exchange's book, and send what changed in sight on its way to the algo."""
    book, px_1e9, sz_1e8 = asset.book, row.px_1e9, row.sz_1e8
    if row.kind == _CLEAR:
        clear(book)
        _publish(asset, row.row, 0, 0, 0)
        measure_presence(sim, asset)
        return
    side = row.kind - _BID
    set_level(book, side, px_1e9, row.tick, sz_1e8)
    moved = False
    if book.change != UNSEEN:
        _publish(asset, row.row, side, px_1e9, sz_1e8)
        moved = book.change_depth == 0 and book.change != RESIZED
        if moved:
            mid = mid_px(book)
            if mid > 0:
                if asset.rules.adverse != 0:
                    note_quote(sim, asset, mid)
                asset.mid_1e9 = mid
    key = px_1e9 * (1 - 2 * side)
    if asset.low_key[side] <= key <= asset.high_key[side] or asset.high_key[1 - side] >= -key:
        on_level(sim, asset, side, px_1e9, sz_1e8, book.before_1e8)
        measure_presence(sim, asset)
    elif moved and (asset.resting_count > 0 or asset.quoting > 0):
        measure_presence(sim, asset)
    if asset.taken_untold != 0:
        publish_taken(asset, row.row)


@kernel
def on_trade_row(sim: Record, asset: Record, kind: int, px_1e9: int, sz_1e8: int) -> None:
    """Let a trade of the tape reach our orders, unless it was not one that anybody in the market could have had."""
    if _off_market(asset, px_1e9):
        asset.off_market_trades += 1
        asset.off_market_1e8 += sz_1e8
        return
    aggressor = kind - _BUY_TRADE
    if asset.high_key[1 - aggressor] >= px_1e9 * (2 * aggressor - 1):
        on_trade(sim, asset, aggressor, px_1e9, sz_1e8)
        measure_presence(sim, asset)
    if asset.rules.adverse != 0:
        note_trade(sim, asset, aggressor, sz_1e8)


@inlined
def _publish(asset: Record, row: int, side: int, px_1e9: int, sz_1e8: int) -> None:
    """Put the book's last change on its way to the algo."""
    book = asset.book
    change = change_at(asset.changes, asset.changes_tail & (asset.changes_room - 1))
    asset.changes_tail += 1
    change.row = row
    change.px_1e9 = px_1e9
    change.sz_1e8 = sz_1e8
    change.tail_px_1e9 = book.tail_px_1e9
    change.tail_sz_1e8 = book.tail_sz_1e8
    change.best_px_1e9 = book.top[side, 0] * (1 - 2 * side) if book.depth[side] > 0 else 0
    change.change = book.change
    change.side = side
    change.depth = book.change_depth
    change.levels = book.top_levels[side]


@kernel
def _off_market(asset: Record, px_1e9: int) -> bool:
    """Return whether a trade lies further outside the best bid and ask than trades do.

    Exchanges publish such prints for fills against an insurance fund, at prices that nobody in the book could get.
    """
    limit = asset.rules.off_market_bps
    bid_key, ask_key = best_key(asset.book, BUY), best_key(asset.book, SELL)
    if limit == 0 or NO_KEY in (bid_key, ask_key):
        return False
    if bid_key <= px_1e9 <= -ask_key:
        return False
    if px_1e9 > -ask_key:
        return exceeds_bps(px_1e9 + ask_key, -ask_key, limit)
    return exceeds_bps(bid_key - px_1e9, bid_key, limit)


@kernel
def measure_presence(sim: Record, asset: Record) -> None:
    """Add the time since the last look to the time quoted on both sides and the time at the touch; look again."""
    elapsed = sim.run.now_ns - asset.quoted_since_ns
    asset.quoted_since_ns = sim.run.now_ns
    if asset.quoting == 2:
        asset.both_sides_ns += elapsed
    asset.at_touch_ns += elapsed * asset.touching
    quoting, touching = 0, 0
    for side in range(2):
        own_key = asset.high_key[side]
        if own_key > NO_KEY:
            quoting += 1
            if own_key >= best_key(asset.book, side):
                touching += 1
    asset.quoting = quoting
    asset.touching = touching


@kernel
def on_request(sim: Record, asset: Record, message: Record) -> None:
    """Execute one action that has arrived at the exchange."""
    order_at(sim, message.row).arrived_ns = sim.run.now_ns
    if message.kind == NEW:
        _place(sim, asset, message.slot, message.row)
    elif message.slot < 0 or not _still_rests(sim, asset, message):
        _too_late(sim, asset, message)
    elif message.kind == CANCEL:
        unrest(sim, asset, message.slot)
        end(sim, asset, message.slot, CANCELED, CANCEL)
        _done(sim, message.row)
    else:
        _amend(sim, asset, message.slot, message.row, message.px_1e9, message.qty_1e8)
    measure_presence(sim, asset)


@kernel
def _still_rests(sim: Record, asset: Record, message: Record) -> bool:
    slot = slot_at(symbol_of(sim, asset), message.slot)
    return slot.resting == 1 and slot.order_id == message.order_id


@kernel
def _done(sim: Record, row: int) -> None:
    order_at(sim, row).outcome = DONE
    order_at(sim, row).done_ns = sim.run.now_ns


@kernel
def _too_late(sim: Record, asset: Record, message: Record) -> None:
    """Note that the order was gone when the action arrived: a cancel is then silent, an amend is rejected."""
    order = order_at(sim, message.row)
    order.outcome = TOO_LATE
    order.reason = layout.UNKNOWN_ORDER
    order.done_ns = sim.run.now_ns
    if message.kind == AMEND:
        order.reject_code = 2
        said = answer(sim, asset, layout.REJECT, 0, message.row, 2, AMEND)
        said.order_id = message.order_id
        said.slot = -1


@kernel
def _flaw(asset: Record, order_type: int, px_1e9: int, qty_1e8: int, least_1e8: int) -> int:
    """Return why the exchange would not take such an order; 0 if it would."""
    rules = asset.rules
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
def _conflict(sim: Record, asset: Record, side: int, order_type: int, limit_key: int, qty_1e8: int) -> int:
    """Return why an order that is well formed cannot be executed now; 0 if it can."""
    other = 1 - side
    own = best_own_through(sim, asset, other, limit_key)
    if own >= 0:
        own_key = slot_at(symbol_of(sim, asset), own).ex_px_1e9 * (1 - 2 * other)
        if available(asset.book, other, own_key + 1, qty_1e8) < qty_1e8:
            return layout.SELF_TRADE
    if order_type == POST_ONLY and available(asset.book, other, limit_key, 1) > 0:
        return layout.WOULD_CROSS
    enough_1e8 = qty_1e8 if asset.rules.partial_fills else 1
    if order_type == FOK and available(asset.book, other, limit_key, enough_1e8) < enough_1e8:
        return layout.CANNOT_FILL
    return layout.NO_REASON


@kernel
def _limit_key(side: int, order_type: int, px_1e9: int) -> int:
    """Return the key down to which an order may take from the other side."""
    return NO_KEY + 1 if order_type == MARKET else -px_1e9 * (1 - 2 * side)


@kernel
def _place(sim: Record, asset: Record, index: int, row: int) -> None:
    slot = slot_at(symbol_of(sim, asset), index)
    limit_key = _limit_key(slot.side, slot.order_type, slot.ex_px_1e9)
    reason = _flaw(asset, slot.order_type, slot.ex_px_1e9, slot.ex_qty_1e8, 0)
    if reason == 0:
        reason = _conflict(sim, asset, slot.side, slot.order_type, limit_key, slot.ex_qty_1e8)
    if reason != 0:
        reject(sim, asset, index, row, reason, NEW)
        return
    acknowledge(sim, asset, index)
    _take(sim, asset, index, limit_key)
    if slot.ex_filled_1e8 < slot.ex_qty_1e8:
        if slot.order_type in (MARKET, IOC, FOK):
            end(sim, asset, index, EXPIRED, NEW)
        else:
            rest(sim, asset, index, queue_behind(sim, asset, slot.side, slot.ex_px_1e9))


@kernel
def _take(sim: Record, asset: Record, index: int, limit_key: int) -> None:
    """Take what the book offers down to a key, best first; it stays taken until the tape refreshes the level."""
    slot = slot_at(symbol_of(sim, asset), index)
    other = 1 - slot.side
    key = best_key(asset.book, other)
    while key >= limit_key and slot.ex_filled_1e8 < slot.ex_qty_1e8:
        px_1e9 = key * (1 - 2 * other)
        qty = fill_size(asset, slot, left_at(asset.book, other, px_1e9))
        if qty > 0:
            if asset.rules.partial_fills:
                take_at(asset.book, other, px_1e9, qty)
                note_taken(asset)
            fill(sim, asset, index, px_1e9, qty, TAKER, 0)
        key = next_key(asset.book, other, key)


@kernel
def _amend(sim: Record, asset: Record, index: int, row: int, px_1e9: int, qty_1e8: int) -> None:
    """Change price and total quantity of an order. Less at the same price keeps its place; else it queues again."""
    slot = slot_at(symbol_of(sim, asset), index)
    keeps_place = px_1e9 == slot.ex_px_1e9 and qty_1e8 <= slot.ex_qty_1e8
    limit_key = _limit_key(slot.side, slot.order_type, px_1e9)
    reason = _flaw(asset, slot.order_type, px_1e9, qty_1e8, slot.ex_filled_1e8)
    if reason == 0 and not keeps_place:
        reason = _conflict(sim, asset, slot.side, slot.order_type, limit_key, qty_1e8 - slot.ex_filled_1e8)
    if reason != 0:
        reject(sim, asset, index, row, reason, AMEND)
        return
    slot.ex_px_1e9 = px_1e9
    slot.ex_qty_1e8 = qty_1e8
    said = answer(sim, asset, AMENDED, index, row, 0, AMEND)
    said.px_1e9 = px_1e9
    said.qty_1e8 = qty_1e8
    _done(sim, row)
    if not keeps_place:
        unrest(sim, asset, index)
        _take(sim, asset, index, limit_key)
        if slot.ex_filled_1e8 < slot.ex_qty_1e8:
            rest(sim, asset, index, queue_behind(sim, asset, slot.side, px_1e9))

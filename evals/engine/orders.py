"""The exchange's list of resting orders and what it says back: fills, rejects, ends; every word is logged.

Answers travel over one ordered session an asset: none overtakes an earlier one, whatever its own latency is.
"""

from __future__ import annotations

from evals.engine.accounting import book_fill, trade_fee
from evals.engine.kernel import kernel
from evals.engine.latency import response_latency
from evals.engine.layout import (
    ACK,
    BUY,
    END,
    FILL,
    FILLED,
    MARKOUT_HORIZONS_NS,
    NO_KEY,
    REJECT,
    REJECTED,
    TAKER,
    Record,
)
from evals.engine.tables import fill_at, message_at, order_at, slot_at, symbol_of
from evals.wasm.abi import INVALID_PARAMS

_FIRST_HORIZON_NS = MARKOUT_HORIZONS_NS[0]


@kernel
def post(queue: Record, at_ns: int) -> Record:
    """Return a new last message of a queue; it does not overtake those before it."""
    message = message_at(queue.at, queue.tail)
    queue.tail += 1
    queue.last_ns = max(queue.last_ns, at_ns)
    message.at_ns = queue.last_ns
    message.px_1e9 = 0
    message.qty_1e8 = 0
    return message


@kernel
def answer(sim: Record, asset: Record, kind: int, slot: int, row: int, code: int, action: int) -> Record:
    """Queue an answer to an action of a kind; return it."""
    now_ns = sim.run.now_ns
    message = post(asset.answers, now_ns + response_latency(asset, action, now_ns))
    message.kind = kind
    message.slot = slot
    message.row = row
    message.code = code
    message.order_id = slot_at(symbol_of(sim, asset), slot).order_id
    return message


@kernel
def reject(sim: Record, asset: Record, slot: int, row: int, reason: int, action: int) -> None:
    """Reject an action with INVALID_PARAMS, the exchange's only code; a rejected place ends its order."""
    order = order_at(sim, row)
    order.outcome = REJECTED
    order.reject_code = INVALID_PARAMS
    order.reason = reason
    order.done_ns = sim.run.now_ns
    answer(sim, asset, REJECT, slot, row, INVALID_PARAMS, action)


@kernel
def acknowledge(sim: Record, asset: Record, slot: int) -> None:
    """Tell the algo that its order was accepted."""
    answer(sim, asset, ACK, slot, slot_at(symbol_of(sim, asset), slot).order_row, 0, 0)


@kernel
def rest(sim: Record, asset: Record, slot: int, queue_ahead_1e8: int) -> None:
    """Put an order into the book behind everything that is there."""
    order = slot_at(symbol_of(sim, asset), slot)
    order.resting = 1
    order.queue_ahead_1e8 = queue_ahead_1e8
    order.traded_1e8 = 0
    asset.resting[asset.resting_count] = slot
    asset.resting_count += 1
    _note_keys(sim, asset)


@kernel
def unrest(sim: Record, asset: Record, slot: int) -> None:
    """Take an order out of the book; the others keep their order."""
    slot_at(symbol_of(sim, asset), slot).resting = 0
    kept = 0
    for i in range(asset.resting_count):
        if asset.resting[i] != slot:
            asset.resting[kept] = asset.resting[i]
            kept += 1
    asset.resting_count = kept
    _note_keys(sim, asset)


@kernel
def _note_keys(sim: Record, asset: Record) -> None:
    """Remember between which keys our orders rest: what the tape does elsewhere is none of their business."""
    symbol = symbol_of(sim, asset)
    for side in range(2):
        asset.low_key[side] = -NO_KEY
        asset.high_key[side] = NO_KEY
    for i in range(asset.resting_count):
        slot = slot_at(symbol, asset.resting[i])
        side = slot.side
        key = slot.ex_px_1e9 * (1 - 2 * side)
        asset.low_key[side] = min(asset.low_key[side], key)
        asset.high_key[side] = max(asset.high_key[side], key)


@kernel
def end(sim: Record, asset: Record, slot: int, outcome: int, action: int) -> None:
    """End an order that is not filled completely."""
    row = slot_at(symbol_of(sim, asset), slot).order_row
    order = order_at(sim, row)
    order.outcome = outcome
    order.done_ns = sim.run.now_ns
    answer(sim, asset, END, slot, row, 0, action)


@kernel
def fill(
    sim: Record, asset: Record, slot_index: int, px_1e9: int, qty_1e8: int, reason: int, queue_ahead_1e8: int
) -> None:
    """Execute a part of an order: account, log, answer; take it out of the book when nothing is left."""
    run, rules, symbol = sim.run, asset.rules, symbol_of(sim, asset)
    account, slot = symbol.account, slot_at(symbol, slot_index)
    side = 1 if slot.side == BUY else -1
    fee_1e9 = trade_fee(rules, px_1e9, qty_1e8, 1 if reason == TAKER else 0)
    book_fill(account, rules, side, px_1e9, qty_1e8, fee_1e9)
    symbol.max_abs_position_1e8 = max(symbol.max_abs_position_1e8, abs(account.position_1e8))
    slot.ex_filled_1e8 += qty_1e8
    complete = slot.ex_filled_1e8 == slot.ex_qty_1e8
    row = run.fills
    run.fills = row + 1
    log = fill_at(sim, row)
    log.order_id = slot.order_id
    log.exchange_ns = run.now_ns
    log.px_1e9 = px_1e9
    log.qty_1e8 = qty_1e8
    log.fee_1e9 = fee_1e9
    log.queue_ahead_1e8 = queue_ahead_1e8
    log.mid_1e9 = asset.mid_1e9
    log.position_1e8 = account.position_1e8
    log.order_row = slot.order_row
    log.side = side
    log.reason = reason
    log.asset = asset.index
    order = order_at(sim, slot.order_row)
    order.filled_1e8 = slot.ex_filled_1e8
    answer(sim, asset, FILL, slot_index, row, 1 if complete else 0, 0)
    run.housekeeping_ns = min(run.housekeeping_ns, run.now_ns + _FIRST_HORIZON_NS)
    if complete:
        order.outcome = FILLED
        order.done_ns = run.now_ns
        if slot.resting:
            unrest(sim, asset, slot_index)

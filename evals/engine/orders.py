"""The exchange's list of resting orders and what it says back: fills, rejects, ends; every word is logged.

Answers travel over one ordered session: none overtakes an earlier one, whatever its own latency is.
"""

from __future__ import annotations

from evals.engine.accounting import book_fill, trade_fee
from evals.engine.kernel import kernel
from evals.engine.layout import (
    ACK,
    BUY,
    END,
    FILL,
    FILLED,
    MARKOUT_HORIZONS_NS,
    REJECT,
    REJECTED,
    TAKER,
    Exchange,
)
from evals.wasm.abi import INVALID_PARAMS

_FIRST_HORIZON_NS = MARKOUT_HORIZONS_NS[0]


@kernel
def answer(x: Exchange, kind: int, slot: int, row: int, code: int, action: int) -> int:
    """Queue an answer to an action of a kind; return its place in the queue."""
    run = x.run[0]
    at = run.answers_tail
    run.answers_tail = at + 1
    message = x.answers[at]
    message.at_ns = max(run.last_answer_ns, run.now_ns + x.rules[0].response_ns[action])
    run.last_answer_ns = message.at_ns
    message.kind = kind
    message.slot = slot
    message.row = row
    message.code = code
    message.order_id = x.slots[slot].order_id
    message.px_1e9 = 0
    message.qty_1e8 = 0
    return at


@kernel
def reject(x: Exchange, slot: int, row: int, reason: int, action: int) -> None:
    """Reject an action with INVALID_PARAMS, the exchange's only code; a rejected place ends its order."""
    order = x.orders[row]
    order.outcome = REJECTED
    order.reject_code = INVALID_PARAMS
    order.reason = reason
    order.done_ns = x.run[0].now_ns
    answer(x, REJECT, slot, row, INVALID_PARAMS, action)


@kernel
def acknowledge(x: Exchange, slot: int) -> None:
    """Tell the algo that its order was accepted."""
    answer(x, ACK, slot, x.slots[slot].order_row, 0, 0)


@kernel
def rest(x: Exchange, slot: int, queue_ahead_1e8: int) -> None:
    """Put an order into the book behind everything that is there."""
    run = x.run[0]
    x.slots[slot].resting = 1
    x.slots[slot].queue_ahead_1e8 = queue_ahead_1e8
    x.resting[run.resting] = slot
    run.resting += 1


@kernel
def unrest(x: Exchange, slot: int) -> None:
    """Take an order out of the book; the others keep their order."""
    run = x.run[0]
    x.slots[slot].resting = 0
    kept = 0
    for i in range(run.resting):
        if x.resting[i] != slot:
            x.resting[kept] = x.resting[i]
            kept += 1
    run.resting = kept


@kernel
def end(x: Exchange, slot: int, outcome: int, action: int) -> None:
    """End an order that is not filled completely."""
    order = x.orders[x.slots[slot].order_row]
    order.outcome = outcome
    order.done_ns = x.run[0].now_ns
    answer(x, END, slot, x.slots[slot].order_row, 0, action)


@kernel
def fill(x: Exchange, slot_index: int, px_1e9: int, qty_1e8: int, reason: int, queue_ahead_1e8: int) -> None:
    """Execute a part of an order: account, log, answer; take it out of the book when nothing is left."""
    run, rules, account, slot = x.run[0], x.rules[0], x.account[0], x.slots[slot_index]
    side = 1 if slot.side == BUY else -1
    fee_1e9 = trade_fee(rules, px_1e9, qty_1e8, 1 if reason == TAKER else 0)
    book_fill(account, rules, side, px_1e9, qty_1e8, fee_1e9)
    run.max_abs_position_1e8 = max(run.max_abs_position_1e8, abs(account.position_1e8))
    slot.ex_filled_1e8 += qty_1e8
    complete = slot.ex_filled_1e8 == slot.ex_qty_1e8
    row = run.fills
    run.fills = row + 1
    log = x.fills[row]
    log.order_id = slot.order_id
    log.exchange_ns = run.now_ns
    log.px_1e9 = px_1e9
    log.qty_1e8 = qty_1e8
    log.fee_1e9 = fee_1e9
    log.queue_ahead_1e8 = queue_ahead_1e8
    log.mid_1e9 = run.mid_1e9
    log.position_1e8 = account.position_1e8
    log.order_row = slot.order_row
    log.side = side
    log.reason = reason
    order = x.orders[slot.order_row]
    order.filled_1e8 = slot.ex_filled_1e8
    answer(x, FILL, slot_index, row, 1 if complete else 0, 0)
    run.housekeeping_ns = min(run.housekeeping_ns, run.now_ns + _FIRST_HORIZON_NS)
    if complete:
        order.outcome = FILLED
        order.done_ns = run.now_ns
        if slot.resting:
            unrest(x, slot_index)

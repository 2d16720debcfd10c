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
    Record,
)
from evals.engine.tables import answer_at, fill_at, order_at, slot_at
from evals.wasm.abi import INVALID_PARAMS

_FIRST_HORIZON_NS = MARKOUT_HORIZONS_NS[0]


@kernel
def answer(sim: Record, kind: int, slot: int, row: int, code: int, action: int) -> int:
    """Queue an answer to an action of a kind; return its place in the queue."""
    run = sim.run
    at = run.answers_tail
    run.answers_tail = at + 1
    message = answer_at(sim, at)
    message.at_ns = max(run.last_answer_ns, run.now_ns + sim.rules.response_ns[action])
    run.last_answer_ns = message.at_ns
    message.kind = kind
    message.slot = slot
    message.row = row
    message.code = code
    message.order_id = slot_at(sim, slot).order_id
    message.px_1e9 = 0
    message.qty_1e8 = 0
    return at  # type: ignore[no-any-return]


@kernel
def reject(sim: Record, slot: int, row: int, reason: int, action: int) -> None:
    """Reject an action with INVALID_PARAMS, the exchange's only code; a rejected place ends its order."""
    order = order_at(sim, row)
    order.outcome = REJECTED
    order.reject_code = INVALID_PARAMS
    order.reason = reason
    order.done_ns = sim.run.now_ns
    answer(sim, REJECT, slot, row, INVALID_PARAMS, action)


@kernel
def acknowledge(sim: Record, slot: int) -> None:
    """Tell the algo that its order was accepted."""
    answer(sim, ACK, slot, slot_at(sim, slot).order_row, 0, 0)


@kernel
def rest(sim: Record, slot: int, queue_ahead_1e8: int) -> None:
    """Put an order into the book behind everything that is there."""
    run = sim.run
    slot_at(sim, slot).resting = 1
    slot_at(sim, slot).queue_ahead_1e8 = queue_ahead_1e8
    sim.resting[run.resting] = slot
    run.resting += 1


@kernel
def unrest(sim: Record, slot: int) -> None:
    """Take an order out of the book; the others keep their order."""
    run = sim.run
    slot_at(sim, slot).resting = 0
    kept = 0
    for i in range(run.resting):
        if sim.resting[i] != slot:
            sim.resting[kept] = sim.resting[i]
            kept += 1
    run.resting = kept


@kernel
def end(sim: Record, slot: int, outcome: int, action: int) -> None:
    """End an order that is not filled completely."""
    order = order_at(sim, slot_at(sim, slot).order_row)
    order.outcome = outcome
    order.done_ns = sim.run.now_ns
    answer(sim, END, slot, slot_at(sim, slot).order_row, 0, action)


@kernel
def fill(sim: Record, slot_index: int, px_1e9: int, qty_1e8: int, reason: int, queue_ahead_1e8: int) -> None:
    """Execute a part of an order: account, log, answer; take it out of the book when nothing is left."""
    run, rules, account, slot = sim.run, sim.rules, sim.account, slot_at(sim, slot_index)
    side = 1 if slot.side == BUY else -1
    fee_1e9 = trade_fee(rules, px_1e9, qty_1e8, 1 if reason == TAKER else 0)
    book_fill(account, rules, side, px_1e9, qty_1e8, fee_1e9)
    run.max_abs_position_1e8 = max(run.max_abs_position_1e8, abs(account.position_1e8))
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
    log.mid_1e9 = run.mid_1e9
    log.position_1e8 = account.position_1e8
    log.order_row = slot.order_row
    log.side = side
    log.reason = reason
    order = order_at(sim, slot.order_row)
    order.filled_1e8 = slot.ex_filled_1e8
    answer(sim, FILL, slot_index, row, 1 if complete else 0, 0)
    run.housekeeping_ns = min(run.housekeeping_ns, run.now_ns + _FIRST_HORIZON_NS)
    if complete:
        order.outcome = FILLED
        order.done_ns = run.now_ns
        if slot.resting:
            unrest(sim, slot_index)

"""Between algo and exchange: takes its actions, refuses what risk forbids, sends the rest, brings answers back."""

from __future__ import annotations

from evals.engine import layout
from evals.engine.accounting import book_fill
from evals.engine.guest import write_fill, write_reject, write_state, write_unrealized
from evals.engine.kernel import kernel
from evals.engine.layout import MAX_ORDERS, Record
from evals.engine.risk import count_order, loses_too_much, paused, refusal, refusal_code
from evals.engine.tables import fill_at, get_word, order_at, request_at, set_word, slot_at
from evals.wasm import native
from evals.wasm.abi import (
    ACKED,
    ACTION,
    AMEND,
    BAD_VENUE,
    CANCEL,
    INTENT,
    INVALID_PARAMS,
    MARKET,
    MAX_ACTIONS,
    NEW,
    PARTIAL,
    PENDING,
    POST_ONLY,
    WASM_ACTIONS,
)

_ACTION_WORDS = ACTION.itemsize // 8
_ACTIONS_BYTES = WASM_ACTIONS.itemsize
_LARGEST_QUANTITY = 10**18
_DAY_NS = 86_400_000_000_000
_EXACT_FUEL = 1 << 14
_FUEL_STEPS = 1 << 13


@kernel
def fuel_bucket(fuel: int) -> int:
    """Return the bucket of a fuel count: itself below 2^14, then 2^13 steps an octave."""
    if fuel < _EXACT_FUEL:
        return fuel
    shift = 0
    while fuel >> shift >= _EXACT_FUEL:
        shift += 1
    return _EXACT_FUEL + (shift - 1) * _FUEL_STEPS + (fuel >> shift) - _FUEL_STEPS


@kernel
def fuel_of_bucket(bucket: int) -> int:
    """Return the least fuel count of a bucket."""
    if bucket < _EXACT_FUEL:
        return bucket
    octave, step = (bucket - _EXACT_FUEL) // _FUEL_STEPS, (bucket - _EXACT_FUEL) % _FUEL_STEPS
    return (_FUEL_STEPS + step) << (octave + 1)


@kernel
def call(sim: Record, callback: int, arguments: int) -> bool:
    """Call the algo with the arguments that are in the value words; False if it broke."""
    run = sim.run
    set_word(sim.log, native.LOG_NOW, run.now_ns)
    limit = sim.rules.fuel_per_callback
    failure = native.call_guest(sim.host, callback, arguments, limit)
    used = limit - get_word(sim.host, native.FUEL_LEFT)
    run.callbacks += 1
    run.fuel_total += used
    run.fuel_max = max(run.fuel_max, used)
    bucket = fuel_bucket(used)
    set_word(sim.fuel_counts, bucket, get_word(sim.fuel_counts, bucket) + 1)
    if failure == layout.NO_FAILURE:
        return True
    return fail(sim, failure, callback, used, 0)


@kernel
def fail(sim: Record, failure: int, callback: int, fuel: int, value: int) -> bool:
    """End the run; always False."""
    run = sim.run
    run.failure = failure
    run.failed_callback = callback
    run.failed_fuel = fuel
    run.failed_value = value
    return False


@kernel
def call_with_state(sim: Record, callback: int) -> bool:
    """Call on_heartbeat or on_shutdown, which take the state."""
    set_word(sim.host, native.VALUES, get_word(sim.host, native.STATE_WORD) * 8)
    return call(sim, callback, 1)


@kernel
def call_on_book(sim: Record) -> bool:
    """Call on_book with the book and the state."""
    set_word(sim.host, native.VALUES, get_word(sim.host, native.BOOK_WORD) * 8)
    set_word(sim.host, native.VALUES + 2, get_word(sim.host, native.STATE_WORD) * 8)
    return call(sim, native.ON_BOOK, 2)


@kernel
def _call_on_reject(sim: Record, order_id: int, code: int) -> bool:
    write_reject(sim, order_id, code)
    set_word(sim.host, native.VALUES, get_word(sim.host, native.EVENT_WORD) * 8)
    return call(sim, native.ON_REJECT, 1)


@kernel
def refresh_state(sim: Record) -> None:
    """Bring state and unrealised profit up to date before a callback; pause the algo if it has lost too much."""
    run, rules = sim.run, sim.rules
    _roll_session(sim)
    write_state(sim)
    if sim.known.position_1e8 != 0:
        write_unrealized(sim)
    if rules.max_daily_loss_1e9 > 0 and not paused(sim) and loses_too_much(sim):
        run.paused_day = run.now_ns // _DAY_NS
        for i in range(run.open_orders):
            slot = slot_at(sim, sim.open_slots[i])
            row = _log(sim, slot.order_id, CANCEL, 0, 0, 0, 0)
            order_at(sim, row).reason = layout.LOSS_PAUSE
            _send(sim, CANCEL, sim.open_slots[i], row, 0, 0)


@kernel
def _roll_session(sim: Record) -> None:
    """Begin a new session at UTC midnight of the algo's clock: its realised profit starts from zero."""
    run, account = sim.run, sim.known
    day = run.now_ns // _DAY_NS
    if day != account.session_day:
        account.session_day = day
        account.session_1e9 = 0
        run.state_dirty = 1


@kernel
def take_actions(sim: Record, callback: int, send: int) -> bool:
    """Act on what a callback returned; with ``send`` 0 only log it. False if it is not a list of actions."""
    count = _read_actions(sim, callback)
    refused = 0
    for i in range(max(count, 0)):
        order_id, px_1e9, qty_1e8, packed = sim.inbox[i, 0], sim.inbox[i, 1], sim.inbox[i, 2], sim.inbox[i, 3]
        if order_id == 0 and px_1e9 == 0 and qty_1e8 == 0 and packed == 0:
            continue
        side = _signed_byte(packed)
        kind, order_type = (packed >> 8) & 0xFF, (packed >> 16) & 0xFF
        row = _log(sim, order_id, kind, order_type, side, px_1e9, qty_1e8)
        if send == 0:
            order_at(sim, row).outcome = layout.NOT_SENT
            continue
        code = _act(sim, row, order_id, kind, order_type, side, px_1e9, qty_1e8, packed >> 24)
        if code >= 0:
            sim.refused[refused, 0] = order_id
            sim.refused[refused, 1] = code
            refused += 1
            at = get_word(sim.host, native.ACTIONS_AT) // 8 + 1 + _ACTION_WORDS * i
            for word in range(_ACTION_WORDS):
                set_word(sim.words, at + word, 0)
    for i in range(refused):
        if not _call_on_reject(sim, sim.refused[i, 0], sim.refused[i, 1]):
            return False
    return count >= 0


@kernel
def _read_actions(sim: Record, callback: int) -> int:
    """Copy the actions out of the guest; return how many, -1 if the answer is not a list of actions."""
    at = get_word(sim.host, native.VALUES) & 0xFFFFFFFF
    if at != get_word(sim.host, native.ACTIONS_AT):
        if at % 8 != 0 or at + _ACTIONS_BYTES > native.memory_bytes(sim.host):
            fail(sim, layout.BAD_POINTER, callback, 0, at)
            return -1
        set_word(sim.host, native.ACTIONS_AT, at)
    word = at // 8
    count = get_word(sim.words, word) & 0xFFFFFFFF
    if count > MAX_ACTIONS:
        fail(sim, layout.TOO_MANY_ACTIONS, callback, 0, count)
        return -1
    for i in range(count):
        for field in range(_ACTION_WORDS):
            sim.inbox[i, field] = get_word(sim.words, word + 1 + _ACTION_WORDS * i + field)
        kind = (sim.inbox[i, 3] >> 8) & 0xFF
        if kind > get_word(sim.host, native.LARGEST_ACTION_KIND):
            fail(sim, layout.UNKNOWN_ACTION, callback, 0, kind)
            return -1
    return count  # type: ignore[no-any-return]


@kernel
def _signed_byte(packed: int) -> int:
    byte = packed & 0xFF
    return byte - 256 if byte > 127 else byte


@kernel
def _log(sim: Record, order_id: int, kind: int, order_type: int, side: int, px_1e9: int, qty_1e8: int) -> int:
    run = sim.run
    row = run.orders
    run.orders = row + 1
    order = order_at(sim, row)
    order.order_id = order_id
    order.decided_ns = run.now_ns
    order.px_1e9 = px_1e9
    order.qty_1e8 = qty_1e8
    order.kind = kind
    order.order_type = order_type
    order.side = side
    order.outcome = layout.IN_FLIGHT
    order.reject_code = -1
    return row  # type: ignore[no-any-return]


@kernel
def _find_open(sim: Record, order_id: int) -> int:
    for i in range(sim.run.open_orders):
        index = sim.open_slots[i]
        if slot_at(sim, index).order_id == order_id:
            return index  # type: ignore[no-any-return]
    return -1


@kernel
def _act(
    sim: Record, row: int, order_id: int, kind: int, order_type: int, side: int, px_1e9: int, qty_1e8: int, targets: int
) -> int:
    """Send one action or refuse it; return the reject code, -1 if it was sent or needs no answer."""
    open_slot = _find_open(sim, order_id)
    if kind == INTENT or targets & 0xFFFFFF != 0:
        return _refuse(sim, row, layout.OTHER_VENUE, BAD_VENUE)
    if kind == CANCEL:
        if open_slot < 0:
            order = order_at(sim, row)
            order.outcome = layout.TOO_LATE
            order.reason = layout.UNKNOWN_ORDER
            order.done_ns = order.decided_ns
        else:
            _send(sim, CANCEL, open_slot, row, 0, 0)
        return -1
    reason = _malformed(kind, order_type, side, px_1e9, qty_1e8)
    if reason == 0 and kind == NEW and open_slot >= 0:
        reason = layout.DUPLICATE_ID
    if reason == 0 and kind == AMEND and open_slot < 0:
        reason = layout.UNKNOWN_ORDER
    if reason != 0:
        return _refuse(sim, row, reason, INVALID_PARAMS)
    if kind == AMEND:
        order_type, side_index = slot_at(sim, open_slot).order_type, slot_at(sim, open_slot).side
    else:
        side_index = (1 - side) // 2
    reason = refusal(sim, side_index, order_type, px_1e9, qty_1e8, open_slot)
    if reason == 0 and kind == NEW and sim.run.open_orders == MAX_ORDERS:
        reason = layout.TOO_MANY_ORDERS
    if reason != 0:
        return _refuse(sim, row, reason, refusal_code(reason))
    count_order(sim)
    if kind == NEW:
        open_slot = _open(sim, row, order_id, order_type, side_index, px_1e9, qty_1e8)
    _send(sim, kind, open_slot, row, px_1e9, qty_1e8)
    return -1


@kernel
def _malformed(kind: int, order_type: int, side: int, px_1e9: int, qty_1e8: int) -> int:
    """Return why an order or amend makes no sense on any venue; 0 if it does."""
    if kind == NEW and order_type > POST_ONLY:
        return layout.BAD_TYPE
    if kind == NEW and side not in (1, -1):
        return layout.BAD_SIDE
    if qty_1e8 <= 0 or qty_1e8 > _LARGEST_QUANTITY:
        return layout.BAD_QUANTITY
    if px_1e9 < 0 or (px_1e9 == 0 and (kind == AMEND or order_type != MARKET)):
        return layout.BAD_PRICE
    return layout.NO_REASON


@kernel
def _refuse(sim: Record, row: int, reason: int, code: int) -> int:
    order = order_at(sim, row)
    order.outcome = layout.REFUSED
    order.reason = reason
    order.reject_code = code
    order.done_ns = order.decided_ns
    return code


@kernel
def _open(sim: Record, row: int, order_id: int, order_type: int, side: int, px_1e9: int, qty_1e8: int) -> int:
    """Take a free slot for a new order; it is PENDING until the exchange answers."""
    run = sim.run
    index = 0
    while slot_at(sim, index).used == 1:
        index += 1
    slot = slot_at(sim, index)
    slot.order_id = order_id
    slot.px_1e9 = px_1e9
    slot.qty_1e8 = qty_1e8
    slot.filled_1e8 = 0
    slot.used = 1
    slot.status = PENDING
    slot.side = side
    slot.order_type = order_type
    slot.order_row = row
    slot.resting = 0
    slot.ex_px_1e9 = px_1e9
    slot.ex_qty_1e8 = qty_1e8
    slot.ex_filled_1e8 = 0
    slot.queue_ahead_1e8 = 0
    sim.open_slots[run.open_orders] = index
    run.open_orders += 1
    run.state_dirty = 1
    return index


@kernel
def _close(sim: Record, index: int) -> None:
    """Free the slot of an order about which the last word has come."""
    run = sim.run
    slot_at(sim, index).used = 0
    kept = 0
    for i in range(run.open_orders):
        if sim.open_slots[i] != index:
            sim.open_slots[kept] = sim.open_slots[i]
            kept += 1
    run.open_orders = kept
    run.state_dirty = 1


@kernel
def _send(sim: Record, kind: int, slot: int, row: int, px_1e9: int, qty_1e8: int) -> None:
    """Put a request on its way; none overtakes an earlier one."""
    run = sim.run
    message = request_at(sim, run.requests_tail)
    run.requests_tail += 1
    message.at_ns = max(run.last_arrival_ns, run.now_ns + sim.rules.entry_ns[kind])
    run.last_arrival_ns = message.at_ns
    message.kind = kind
    message.slot = slot
    message.row = row
    message.code = 0
    message.order_id = slot_at(sim, slot).order_id
    message.px_1e9 = px_1e9
    message.qty_1e8 = qty_1e8


@kernel
def on_answer(sim: Record, message: Record) -> bool:
    """Let the algo know what the exchange said; False if it broke over it."""
    run = sim.run
    index = message.slot
    if message.kind == layout.ACK:
        slot_at(sim, index).status = ACKED
        run.state_dirty = 1
    elif message.kind == layout.END:
        _close(sim, index)
    elif message.kind == layout.AMENDED:
        slot_at(sim, index).px_1e9 = message.px_1e9
        slot_at(sim, index).qty_1e8 = message.qty_1e8
        run.state_dirty = 1
    elif message.kind == layout.REJECT:
        if order_at(sim, message.row).kind == NEW:
            _close(sim, index)
        return _call_on_reject(sim, message.order_id, message.code)
    else:
        return _on_fill(sim, index, message.row, message.code)
    return True


@kernel
def _on_fill(sim: Record, index: int, row: int, complete: int) -> bool:
    """Book a fill on the algo's side, then tell it: by then a filled order has left the state."""
    run, rules, slot, fill = sim.run, sim.rules, slot_at(sim, index), fill_at(sim, row)
    fill.receive_ns = run.now_ns
    slot.filled_1e8 += fill.qty_1e8
    slot.status = PARTIAL
    order_id = slot.order_id
    if complete:
        _close(sim, index)
    _roll_session(sim)
    book_fill(sim.known, rules, fill.side, fill.px_1e9, fill.qty_1e8, fill.fee_1e9)
    run.state_dirty = 1
    refresh_state(sim)
    write_fill(sim, order_id, fill.px_1e9, fill.qty_1e8, fill.side, run.now_ns)
    set_word(sim.host, native.VALUES, get_word(sim.host, native.EVENT_WORD) * 8)
    set_word(sim.host, native.VALUES + 2, get_word(sim.host, native.STATE_WORD) * 8)
    return call(sim, native.ON_FILL, 2)

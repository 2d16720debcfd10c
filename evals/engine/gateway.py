"""Between algo and exchange: takes its actions, refuses what risk forbids, sends the rest, brings answers back."""

from __future__ import annotations

from evals.engine import layout
from evals.engine.accounting import book_fill
from evals.engine.guest import write_fill, write_reject, write_state
from evals.engine.kernel import inlined, kernel
from evals.engine.latency import entry_latency
from evals.engine.layout import MAX_ORDERS, Record
from evals.engine.orders import post
from evals.engine.risk import count_order, loses_too_much, paused, refusal, refusal_code
from evals.engine.tables import (
    asset_at,
    fill_at,
    get_word,
    mail_at,
    order_at,
    set_word,
    slot_at,
    symbol_at,
    symbol_of,
)
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
    MAX_MESSAGE_BYTES,
    NEW,
    PARTIAL,
    PENDING,
    POST_ONLY,
    VENUE_BOOKS_AT,
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
    failure = native.call_guest(sim.host, callback, arguments, sim.fuel_per_callback)
    used = _fuel_used(sim)
    run.callbacks += 1
    run.fuel_total += used
    run.fuel_max = max(run.fuel_max, used)
    bucket = fuel_bucket(used)
    set_word(sim.fuel_counts, bucket, get_word(sim.fuel_counts, bucket) + 1)
    if failure == layout.NO_FAILURE:
        return True
    return fail(sim, failure, callback, used, 0)


@kernel
def _fuel_used(sim: Record) -> int:
    """Return what the last callback cost."""
    return sim.fuel_per_callback - get_word(sim.host, native.FUEL_LEFT)


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
    """Call on_heartbeat or on_shutdown, which take the state of the first symbol."""
    set_word(sim.host, native.VALUES, symbol_at(sim, sim.primary).state_word * 8)
    return call(sim, callback, 1)


@inlined
def call_on_book(sim: Record, asset: Record, symbol: Record) -> bool:
    """Call on_book with a book and the state of its symbol."""
    set_word(sim.host, native.VALUES, asset.book_word * 8)
    set_word(sim.host, native.VALUES + 2, symbol.state_word * 8)
    return call(sim, native.ON_BOOK, 2)


@kernel
def call_on_nbbo(sim: Record, symbol: Record) -> bool:
    """Call on_nbbo with the snapshot, the venues' books and the state."""
    set_word(sim.host, native.VALUES, get_word(sim.host, native.NBBO_WORD) * 8)
    set_word(sim.host, native.VALUES + 2, VENUE_BOOKS_AT)
    set_word(sim.host, native.VALUES + 4, symbol.state_word * 8)
    return call(sim, native.ON_NBBO, 3)


@kernel
def call_on_message(sim: Record, index: int) -> bool:
    """Call on_message with a message from another instance and the state of the first symbol."""
    mail = mail_at(sim.mail, index)
    at = get_word(sim.host, native.MAIL_WORD)
    for word in range(MAX_MESSAGE_BYTES // 8):
        set_word(sim.words, at + word, mail.text[word])
    set_word(sim.host, native.VALUES, mail.sender)
    set_word(sim.host, native.VALUES + 2, at * 8)
    set_word(sim.host, native.VALUES + 4, mail.length)
    set_word(sim.host, native.VALUES + 6, symbol_at(sim, sim.primary).state_word * 8)
    return call(sim, native.ON_MESSAGE, 4)


@kernel
def _call_on_reject(sim: Record, symbol: Record, order_id: int, code: int) -> bool:
    write_reject(sim, symbol, order_id, code)
    set_word(sim.host, native.VALUES, get_word(sim.host, native.EVENT_WORD) * 8)
    return call(sim, native.ON_REJECT, 1)


@inlined
def refresh_state(sim: Record, symbol: Record) -> None:
    """Bring state and unrealised profit up to date before a callback; pause the algo if it has lost too much."""
    _roll_session(sim, symbol)
    if symbol.state_dirty != 0 or symbol.marked_mid_1e9 != symbol.local_mid_1e9:
        _refresh_state(sim, symbol)


@kernel
def _refresh_state(sim: Record, symbol: Record) -> None:
    write_state(sim, symbol)
    if loses_too_much(symbol) and not paused(sim, symbol):
        symbol.paused_day = sim.run.now_ns // _DAY_NS
        for i in range(symbol.open_orders):
            slot = slot_at(symbol, symbol.open_slots[i])
            asset = asset_at(sim, slot.asset)
            row = _log(sim, asset, slot.order_id, CANCEL, 0, 0, 0, 0)
            order_at(sim, row).reason = layout.LOSS_PAUSE
            _send(sim, asset, symbol, CANCEL, symbol.open_slots[i], row, 0, 0)


@inlined
def _roll_session(sim: Record, symbol: Record) -> None:
    """Begin a new session at UTC midnight of the algo's clock: its realised profit starts from zero."""
    account = symbol.known
    since_ns = sim.run.now_ns - account.session_day * _DAY_NS
    if since_ns >= _DAY_NS or since_ns < 0:
        account.session_day = sim.run.now_ns // _DAY_NS
        account.session_1e9 = 0
        symbol.state_dirty = 1


@kernel
def take_actions(sim: Record, asset: Record, callback: int, send: int) -> bool:
    """Act on what a callback about an asset returned; with ``send`` 0 only log it. False if it is no action list."""
    count = _read_actions(sim, callback)
    if count == 0:
        return True
    refused = 0
    for i in range(max(count, 0)):
        order_id, px_1e9, qty_1e8, packed = sim.inbox[i, 0], sim.inbox[i, 1], sim.inbox[i, 2], sim.inbox[i, 3]
        if order_id == 0 and px_1e9 == 0 and qty_1e8 == 0 and packed == 0:
            continue
        if sim.run.orders >= sim.orders_limit:
            return fail(sim, layout.LOG_FULL, callback, _fuel_used(sim), sim.orders_limit)
        side = _signed_byte(packed)
        kind, order_type = (packed >> 8) & 0xFF, (packed >> 16) & 0xFF
        index = _target(sim, asset, kind, order_id, packed >> 24)
        target = asset_at(sim, max(index, 0))
        row = _log(sim, asset if index < 0 else target, order_id, kind, order_type, side, px_1e9, qty_1e8)
        if send == 0:
            order_at(sim, row).outcome = layout.NOT_SENT
            continue
        if index < 0:
            code = _refuse(sim, row, layout.OTHER_VENUE, BAD_VENUE)
        else:
            code = _act(sim, target, row, order_id, kind, order_type, side, px_1e9, qty_1e8)
        if code >= 0:
            sim.refused[refused, 0] = order_id
            sim.refused[refused, 1] = code
            sim.refused[refused, 2] = asset.symbol if index < 0 else target.symbol
            refused += 1
            at = get_word(sim.host, native.ACTIONS_AT) // 8 + 1 + _ACTION_WORDS * i
            for word in range(_ACTION_WORDS):
                set_word(sim.words, at + word, 0)
    for i in range(refused):
        symbol = symbol_at(sim, sim.refused[i, 2])
        if not _call_on_reject(sim, symbol, sim.refused[i, 0], sim.refused[i, 1]):
            return False
    return count >= 0


@kernel
def _target(sim: Record, asset: Record, kind: int, order_id: int, targets: int) -> int:
    """Return the asset that an action is about; -1 if this run does not have it.

    Venue 0 is the symbol's first, symbol 0 the callback's. A cancel or amend finds its order wherever it is, first
    among those of the callback's symbol.
    """
    venue_id, pool, symbol_id = targets & 0xFF, (targets >> 8) & 0xFF, (targets >> 16) & 0xFF
    if kind == INTENT or pool != 0 or targets >> 24 != 0:
        return -1
    own = asset.symbol
    if symbol_id != 0:
        own = -1
        for i in range(sim.symbol_count):
            if symbol_at(sim, i).symbol_id == symbol_id or (sim.symbol_count == 1 and symbol_id == 1):
                own = i
        if own < 0:
            return -1
    if kind != NEW:
        for n in range(sim.symbol_count):
            symbol = symbol_at(sim, (own + n) % sim.symbol_count)
            slot = _find_open(symbol, order_id)
            if slot >= 0:
                found = slot_at(symbol, slot).asset
                return found if venue_id in (0, asset_at(sim, found).venue_id) else -1
            if symbol_id != 0:
                break
    symbol = symbol_at(sim, own)
    if venue_id == 0:
        return symbol.home
    for i in range(symbol.first_asset, symbol.first_asset + symbol.assets):
        if asset_at(sim, i).venue_id == venue_id:
            return i
    return -1


@inlined
def _read_actions(sim: Record, callback: int) -> int:
    """Copy the actions out of the guest; return how many, -1 if the answer is not a list of actions."""
    at = get_word(sim.host, native.VALUES) & 0xFFFFFFFF
    if at != get_word(sim.host, native.ACTIONS_AT):
        if at % 8 != 0 or at + _ACTIONS_BYTES > native.memory_bytes(sim.host):
            fail(sim, layout.BAD_POINTER, callback, _fuel_used(sim), at)
            return -1
        set_word(sim.host, native.ACTIONS_AT, at)
    word = at // 8
    count = get_word(sim.words, word) & 0xFFFFFFFF
    if count > MAX_ACTIONS:
        fail(sim, layout.TOO_MANY_ACTIONS, callback, _fuel_used(sim), count)
        return -1
    for i in range(count):
        for field in range(_ACTION_WORDS):
            sim.inbox[i, field] = get_word(sim.words, word + 1 + _ACTION_WORDS * i + field)
        kind = (sim.inbox[i, 3] >> 8) & 0xFF
        if kind > get_word(sim.host, native.LARGEST_ACTION_KIND):
            fail(sim, layout.UNKNOWN_ACTION, callback, _fuel_used(sim), kind)
            return -1
    return count


@kernel
def _signed_byte(packed: int) -> int:
    byte = packed & 0xFF
    return byte - 256 if byte > 127 else byte


@kernel
def _log(
    sim: Record, asset: Record, order_id: int, kind: int, order_type: int, side: int, px_1e9: int, qty_1e8: int
) -> int:
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
    order.arrived_ns = 0
    order.done_ns = 0
    order.filled_1e8 = 0
    order.reason = 0
    order.asset = asset.index
    return row


@kernel
def _find_open(symbol: Record, order_id: int) -> int:
    for i in range(symbol.open_orders):
        index = symbol.open_slots[i]
        if slot_at(symbol, index).order_id == order_id:
            return index
    return -1


@kernel
def _act(
    sim: Record,
    asset: Record,
    row: int,
    order_id: int,
    kind: int,
    order_type: int,
    side: int,
    px_1e9: int,
    qty_1e8: int,
) -> int:
    """Send one action or refuse it; return the reject code, -1 if it was sent or needs no answer."""
    symbol = symbol_of(sim, asset)
    open_slot = _find_open(symbol, order_id)
    if kind == CANCEL:
        if open_slot < 0:
            order = order_at(sim, row)
            order.outcome = layout.TOO_LATE
            order.reason = layout.UNKNOWN_ORDER
            order.done_ns = order.decided_ns
        else:
            _send(sim, asset, symbol, CANCEL, open_slot, row, 0, 0)
        return -1
    reason = _malformed(kind, order_type, side, px_1e9, qty_1e8)
    if reason == 0 and kind == NEW and open_slot >= 0:
        reason = layout.DUPLICATE_ID
    if reason == 0 and kind == AMEND and open_slot < 0:
        reason = layout.UNKNOWN_ORDER
    if reason != 0:
        return _refuse(sim, row, reason, INVALID_PARAMS)
    if kind == AMEND:
        order_type, side_index = slot_at(symbol, open_slot).order_type, slot_at(symbol, open_slot).side
    else:
        side_index = (1 - side) // 2
    reason = refusal(sim, asset, symbol, side_index, order_type, px_1e9, qty_1e8, open_slot)
    if reason == 0 and kind == NEW and symbol.open_orders == MAX_ORDERS:
        reason = layout.TOO_MANY_ORDERS
    if reason != 0:
        return _refuse(sim, row, reason, refusal_code(reason))
    count_order(sim, symbol)
    if kind == NEW:
        open_slot = _open(asset, symbol, row, order_id, order_type, side_index, px_1e9, qty_1e8)
    _send(sim, asset, symbol, kind, open_slot, row, px_1e9, qty_1e8)
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
def _open(
    asset: Record, symbol: Record, row: int, order_id: int, order_type: int, side: int, px_1e9: int, qty_1e8: int
) -> int:
    """Take a free slot for a new order; it is PENDING until the exchange answers."""
    index = 0
    while slot_at(symbol, index).used == 1:
        index += 1
    slot = slot_at(symbol, index)
    slot.order_id = order_id
    slot.px_1e9 = px_1e9
    slot.qty_1e8 = qty_1e8
    slot.filled_1e8 = 0
    slot.used = 1
    slot.status = PENDING
    slot.side = side
    slot.order_type = order_type
    slot.order_row = row
    slot.asset = asset.index
    slot.resting = 0
    slot.ex_px_1e9 = px_1e9
    slot.ex_qty_1e8 = qty_1e8
    slot.ex_filled_1e8 = 0
    slot.queue_ahead_1e8 = 0
    symbol.open_slots[symbol.open_orders] = index
    symbol.open_orders += 1
    symbol.state_dirty = 1
    asset.active = 1
    return index


@kernel
def _close(symbol: Record, index: int) -> None:
    """Free the slot of an order about which the last word has come."""
    slot_at(symbol, index).used = 0
    kept = 0
    for i in range(symbol.open_orders):
        if symbol.open_slots[i] != index:
            symbol.open_slots[kept] = symbol.open_slots[i]
            kept += 1
    symbol.open_orders = kept
    symbol.state_dirty = 1


@kernel
def _send(
    sim: Record, asset: Record, symbol: Record, kind: int, slot: int, row: int, px_1e9: int, qty_1e8: int
) -> None:
    """Put a request on its way; none overtakes an earlier one to that exchange."""
    now_ns = sim.run.now_ns
    message = post(asset.requests, now_ns + entry_latency(asset, kind, now_ns))
    message.kind = kind
    message.slot = slot
    message.row = row
    message.code = 0
    message.order_id = slot_at(symbol, slot).order_id
    message.px_1e9 = px_1e9
    message.qty_1e8 = qty_1e8


@kernel
def on_answer(sim: Record, asset: Record, message: Record) -> bool:
    """Let the algo know what an exchange said; False if it broke over it."""
    symbol, index = symbol_of(sim, asset), message.slot
    if message.kind == layout.ACK:
        slot_at(symbol, index).status = ACKED
        symbol.state_dirty = 1
    elif message.kind == layout.END:
        _close(symbol, index)
    elif message.kind == layout.AMENDED:
        slot_at(symbol, index).px_1e9 = message.px_1e9
        slot_at(symbol, index).qty_1e8 = message.qty_1e8
        symbol.state_dirty = 1
    elif message.kind == layout.REJECT:
        if order_at(sim, message.row).kind == NEW:
            _close(symbol, index)
        return _call_on_reject(sim, symbol, message.order_id, message.code)
    else:
        return _on_fill(sim, asset, index, message.row, message.code)
    return True


@kernel
def _on_fill(sim: Record, asset: Record, index: int, row: int, complete: int) -> bool:
    """Book a fill on the algo's side, then tell it: by then a filled order has left the state."""
    symbol = symbol_of(sim, asset)
    run, slot, fill = sim.run, slot_at(symbol, index), fill_at(sim, row)
    fill.receive_ns = run.now_ns
    slot.filled_1e8 += fill.qty_1e8
    slot.status = PARTIAL
    order_id = slot.order_id
    if complete:
        _close(symbol, index)
    _roll_session(sim, symbol)
    book_fill(symbol.known, asset.rules, fill.side, fill.px_1e9, fill.qty_1e8, fill.fee_1e9)
    symbol.state_dirty = 1
    refresh_state(sim, symbol)
    write_fill(sim, symbol, order_id, fill.px_1e9, fill.qty_1e8, fill.side, run.now_ns)
    set_word(sim.host, native.VALUES, get_word(sim.host, native.EVENT_WORD) * 8)
    set_word(sim.host, native.VALUES + 2, symbol.state_word * 8)
    return call(sim, native.ON_FILL, 2)

"""The event loop: two clocks, one order of events.

The exchange's book advances on exchange time, the algo's on receive time. At equal times the order is: event of the
tape at the exchange, arrival of an action there, answer to the algo, packet to the algo, heartbeat, samples. The loop
stops for more room, for a slice that is over, for a failure or for the end of the tape, and goes on where it stopped.
"""

from __future__ import annotations

from evals.engine.accounting import equity
from evals.engine.books import clear, lacks_room, mid_px, set_level
from evals.engine.gateway import call_on_book, call_with_state, on_answer, refresh_state, take_actions
from evals.engine.guest import write_book
from evals.engine.kernel import kernel
from evals.engine.layout import BUY, ENDED, FAILED, FULL, MARKOUT_HORIZONS_NS, NEVER, RUNNING, SELL, Record
from evals.engine.matching import measure_presence, on_request, on_tape_event
from evals.engine.tables import answer_at, fill_at, get_word, order_at, request_at, sample_at, slot_at, tape_row
from evals.market import schema
from evals.wasm import native
from evals.wasm.abi import MAX_ACTIONS, MAX_ORDERS

_BID, _ASK, _CLEAR, _LAST = schema.BID, schema.ASK, schema.CLEAR, schema.LAST_OF_PACKET
_HEARTBEAT_NS = 1_000_000_000
_HORIZON_0, _HORIZON_1, _HORIZON_2 = MARKOUT_HORIZONS_NS
_MARGIN = 2 * (MAX_ACTIONS + MAX_ORDERS)


@kernel
def start(sim: Record) -> None:
    """Set the clocks to the first events."""
    run = sim.run
    run.first_ns = tape_row(sim.tape, _row(sim, 0)).exchange_ns
    run.quoted_since_ns = run.first_ns
    run.equity_ns = run.first_ns + sim.rules.equity_interval_ns
    run.paused_day = -1
    last = sim.tape_rows - 1
    run.last_ns = max(tape_row(sim.tape, _row(sim, last)).exchange_ns, tape_row(sim.tape, last).receive_ns)
    _next_packet(sim)
    run.heartbeat_ns = run.packet_ns + _HEARTBEAT_NS if get_word(sim.host, native.HAS_HEARTBEAT) else NEVER
    _next_housekeeping(sim)


@kernel
def advance(sim: Record, steps: int) -> int:
    """Go on for a number of steps at most; return why the loop stopped."""
    run = sim.run
    rows = sim.tape_rows
    tape_ns = tape_row(sim.tape, _row(sim, run.tape_at)).exchange_ns if run.tape_at < rows else NEVER
    for _ in range(steps):
        if _nearly_full(sim):
            return FULL
        request_ns = request_at(sim, run.requests_head).at_ns if run.requests_head < run.requests_tail else NEVER
        answer_ns = answer_at(sim, run.answers_head).at_ns if run.answers_head < run.answers_tail else NEVER
        now = min(tape_ns, request_ns, answer_ns, run.packet_ns, run.heartbeat_ns, run.housekeeping_ns)
        if now > run.last_ns:
            return ENDED
        run.now_ns = now
        if tape_ns == now:
            run.event_index = _row(sim, run.tape_at)
            event = tape_row(sim.tape, run.event_index)
            on_tape_event(sim, event.kind, event.px_1e9, event.sz_1e8)
            run.tape_at += 1
            tape_ns = tape_row(sim.tape, _row(sim, run.tape_at)).exchange_ns if run.tape_at < rows else NEVER
        elif request_ns == now:
            run.requests_head += 1
            on_request(sim, request_at(sim, run.requests_head - 1))
        elif answer_ns == now:
            run.answers_head += 1
            if not on_answer(sim, answer_at(sim, run.answers_head - 1)):
                return FAILED
        elif run.packet_ns == now:
            run.event_index = run.packet_end
            if not _on_packet(sim):
                return FAILED
        elif run.heartbeat_ns == now:
            run.heartbeat_ns = now + _HEARTBEAT_NS
            refresh_state(sim)
            if not call_with_state(sim, native.ON_HEARTBEAT) or not take_actions(sim, native.ON_HEARTBEAT, 1):
                return FAILED
        else:
            _keep_house(sim)
    return RUNNING


@kernel
def finish(sim: Record) -> bool:
    """Close the books of the run and call on_shutdown, whose actions are only logged; False if the algo broke."""
    run = sim.run
    run.now_ns = run.last_ns
    measure_presence(sim)
    _sample(sim)
    for i in range(run.resting):
        order_at(sim, slot_at(sim, sim.resting[i]).order_row).outcome = 0
    if run.failure != 0:
        return False
    refresh_state(sim)
    return call_with_state(sim, native.ON_SHUTDOWN) and take_actions(sim, native.ON_SHUTDOWN, 0)


@kernel
def _row(sim: Record, at: int) -> int:
    return get_word(sim.exchange_order, at) if sim.exchange_order != 0 else at


@kernel
def _nearly_full(sim: Record) -> bool:
    """Return whether the next step might not fit: one order may sweep a whole side of the book, fill by fill."""
    run = sim.run
    if run.requests_head == run.requests_tail:
        run.requests_head = run.requests_tail = 0
    if run.answers_head == run.answers_tail:
        run.answers_head = run.answers_tail = 0
    sweep = max(sim.book.depth[0], sim.book.depth[1]) + _MARGIN
    return (
        run.answers_tail + sweep > sim.answers_room
        or run.fills + sweep > sim.fills_room
        or run.orders + _MARGIN > sim.orders_room
        or run.requests_tail + _MARGIN > sim.requests_room
        or run.samples + 2 > sim.equity_room
        or lacks_room(sim.book, 1)
        or lacks_room(sim.local, run.packet_end + 1 - run.packet_at)
    )


@kernel
def _next_packet(sim: Record) -> None:
    """Find the end of the next packet and when it is received."""
    run = sim.run
    end = run.packet_at
    last = sim.tape_rows - 1
    if end > last:
        run.packet_ns = NEVER
        return
    while end < last and tape_row(sim.tape, end).flags & _LAST == 0:
        end += 1
    run.packet_end = end
    run.packet_ns = tape_row(sim.tape, end).receive_ns


@kernel
def _on_packet(sim: Record) -> bool:
    """Apply a packet to the algo's book and call on_book."""
    run, book = sim.run, sim.local
    for i in range(run.packet_at, run.packet_end + 1):
        event = tape_row(sim.tape, i)
        if event.kind == _BID:
            set_level(book, BUY, event.px_1e9, event.sz_1e8)
        elif event.kind == _ASK:
            set_level(book, SELL, event.px_1e9, event.sz_1e8)
        elif event.kind == _CLEAR:
            clear(book)
    run.packet_at = run.packet_end + 1
    write_book(sim, run.now_ns)
    mid = mid_px(book)
    if mid > 0:
        run.local_mid_1e9 = mid
    refresh_state(sim)
    ok = call_on_book(sim) and take_actions(sim, native.ON_BOOK, 1)
    _next_packet(sim)
    return ok


@kernel
def _keep_house(sim: Record) -> None:
    """Take the samples that are due: equity, and mids after fills."""
    run = sim.run
    if run.equity_ns <= run.now_ns:
        _sample(sim)
        run.equity_ns += sim.rules.equity_interval_ns
    while run.markout_at[0] < run.fills and fill_at(sim, run.markout_at[0]).exchange_ns + _HORIZON_0 <= run.now_ns:
        fill_at(sim, run.markout_at[0]).mid_100ms_1e9 = run.mid_1e9
        run.markout_at[0] += 1
    while run.markout_at[1] < run.fills and fill_at(sim, run.markout_at[1]).exchange_ns + _HORIZON_1 <= run.now_ns:
        fill_at(sim, run.markout_at[1]).mid_1s_1e9 = run.mid_1e9
        run.markout_at[1] += 1
    while run.markout_at[2] < run.fills and fill_at(sim, run.markout_at[2]).exchange_ns + _HORIZON_2 <= run.now_ns:
        fill_at(sim, run.markout_at[2]).mid_10s_1e9 = run.mid_1e9
        run.markout_at[2] += 1
    _next_housekeeping(sim)


@kernel
def _next_housekeeping(sim: Record) -> None:
    run = sim.run
    due = run.equity_ns
    if run.markout_at[0] < run.fills:
        due = min(due, fill_at(sim, run.markout_at[0]).exchange_ns + _HORIZON_0)
    if run.markout_at[1] < run.fills:
        due = min(due, fill_at(sim, run.markout_at[1]).exchange_ns + _HORIZON_1)
    if run.markout_at[2] < run.fills:
        due = min(due, fill_at(sim, run.markout_at[2]).exchange_ns + _HORIZON_2)
    run.housekeeping_ns = due


@kernel
def _sample(sim: Record) -> None:
    run, account = sim.run, sim.account
    sample = sample_at(sim, run.samples)
    run.samples += 1
    sample.exchange_ns = run.now_ns
    sample.cash_1e9 = account.cash_1e9
    sample.position_1e8 = account.position_1e8
    sample.mid_1e9 = run.mid_1e9
    sample.equity_1e9 = equity(account, sim.rules, run.mid_1e9)
    sample.fees_1e9 = account.fees_1e9

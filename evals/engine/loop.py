"""The event loop: two clocks, one order of events.

The exchange's book advances on exchange time, the algo's on receive time. At equal times the order is: event of the tape at the
exchange, arrival of an action there, answer to the algo, packet to the algo, heartbeat, samples. The loop stops for more room,
for a slice that is over, for a failure or for the end of the tape, and goes on where it stopped.
"""

from __future__ import annotations

from evals.engine.accounting import equity
from evals.engine.books import clear, lacks_room, mid_px, set_level
from evals.engine.gateway import call_on_book, call_with_state, on_answer, refresh_state, take_actions
from evals.engine.guest import write_book
from evals.engine.kernel import kernel
from evals.engine.layout import BUY, ENDED, FAILED, FULL, MARKOUT_HORIZONS_NS, NEVER, RUNNING, SELL, Sim
from evals.engine.matching import measure_presence, on_request, on_tape_event
from evals.market import schema
from evals.wasm import native
from evals.wasm.abi import MAX_ACTIONS, MAX_ORDERS

_BID, _ASK, _CLEAR, _LAST = schema.BID, schema.ASK, schema.CLEAR, schema.LAST_OF_PACKET
_HEARTBEAT_NS = 1_000_000_000
_HORIZON_0, _HORIZON_1, _HORIZON_2 = MARKOUT_HORIZONS_NS
_MARGIN = 2 * (MAX_ACTIONS + MAX_ORDERS)


@kernel
def start(sim: Sim) -> None:
    """Set the clocks to the first events."""
    run = sim.exchange.run[0]
    run.first_ns = sim.tape[_row(sim, 0)].exchange_ns
    run.quoted_since_ns = run.first_ns
    run.equity_ns = run.first_ns + sim.exchange.rules[0].equity_interval_ns
    run.paused_day = -1
    last = len(sim.tape) - 1
    run.last_ns = max(sim.tape[_row(sim, last)].exchange_ns, sim.tape[last].receive_ns)
    _next_packet(sim)
    run.heartbeat_ns = run.packet_ns + _HEARTBEAT_NS if sim.guest.host[native.HAS_HEARTBEAT] else NEVER
    _next_housekeeping(sim)


@kernel
def advance(sim: Sim, steps: int) -> int:
    """Go on for a number of steps at most; return why the loop stopped."""
    exchange = sim.exchange
    run = exchange.run[0]
    rows = len(sim.tape)
    tape_ns = sim.tape[_row(sim, run.tape_at)].exchange_ns if run.tape_at < rows else NEVER
    for _ in range(steps):
        if _nearly_full(sim):
            return FULL
        request_ns = sim.requests[run.requests_head].at_ns if run.requests_head < run.requests_tail else NEVER
        answer_ns = exchange.answers[run.answers_head].at_ns if run.answers_head < run.answers_tail else NEVER
        now = min(min(tape_ns, request_ns), min(answer_ns, run.packet_ns))
        now = min(now, min(run.heartbeat_ns, run.housekeeping_ns))
        if now > run.last_ns:
            return ENDED
        run.now_ns = now
        if tape_ns == now:
            run.event_index = _row(sim, run.tape_at)
            event = sim.tape[run.event_index]
            on_tape_event(exchange, event.kind, event.px_1e9, event.sz_1e8)
            run.tape_at += 1
            tape_ns = sim.tape[_row(sim, run.tape_at)].exchange_ns if run.tape_at < rows else NEVER
        elif request_ns == now:
            run.requests_head += 1
            on_request(exchange, sim.requests[run.requests_head - 1])
        elif answer_ns == now:
            run.answers_head += 1
            if not on_answer(sim, exchange.answers[run.answers_head - 1]):
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
def finish(sim: Sim) -> bool:
    """Close the books of the run and call on_shutdown, whose actions are only logged; False if the algo broke."""
    run = sim.exchange.run[0]
    run.now_ns = run.last_ns
    measure_presence(sim.exchange)
    _sample(sim)
    for i in range(run.resting):
        sim.exchange.orders[sim.exchange.slots[sim.exchange.resting[i]].order_row].outcome = 0
    if run.failure != 0:
        return False
    refresh_state(sim)
    return call_with_state(sim, native.ON_SHUTDOWN) and take_actions(sim, native.ON_SHUTDOWN, 0)


@kernel
def _row(sim: Sim, at: int) -> int:
    return sim.exchange_order[at] if len(sim.exchange_order) > 0 else at


@kernel
def _nearly_full(sim: Sim) -> bool:
    """Return whether the next step might not fit: one order may sweep a whole side of the book, fill by fill."""
    exchange = sim.exchange
    run = exchange.run[0]
    if run.requests_head == run.requests_tail:
        run.requests_head = run.requests_tail = 0
    if run.answers_head == run.answers_tail:
        run.answers_head = run.answers_tail = 0
    sweep = max(exchange.book.depth[0], exchange.book.depth[1]) + _MARGIN
    return (  # type: ignore[no-any-return]
        run.answers_tail + sweep > len(exchange.answers)
        or run.fills + sweep > len(exchange.fills)
        or run.orders + _MARGIN > len(exchange.orders)
        or run.requests_tail + _MARGIN > len(sim.requests)
        or run.samples + 2 > len(exchange.equity)
        or lacks_room(exchange.book, 1)
        or lacks_room(sim.guest.book, run.packet_end + 1 - run.packet_at)
    )


@kernel
def _next_packet(sim: Sim) -> None:
    """Find the end of the next packet and when it is received."""
    run = sim.exchange.run[0]
    end = run.packet_at
    last = len(sim.tape) - 1
    if end > last:
        run.packet_ns = NEVER
        return
    while end < last and sim.tape[end].flags & _LAST == 0:
        end += 1
    run.packet_end = end
    run.packet_ns = sim.tape[end].receive_ns


@kernel
def _on_packet(sim: Sim) -> bool:
    """Apply a packet to the algo's book and call on_book."""
    run, book = sim.exchange.run[0], sim.guest.book
    for i in range(run.packet_at, run.packet_end + 1):
        event = sim.tape[i]
        if event.kind == _BID:
            set_level(book, BUY, event.px_1e9, event.sz_1e8)
        elif event.kind == _ASK:
            set_level(book, SELL, event.px_1e9, event.sz_1e8)
        elif event.kind == _CLEAR:
            clear(book)
    run.packet_at = run.packet_end + 1
    write_book(sim.guest, run.now_ns)
    mid = mid_px(book)
    if mid > 0:
        run.local_mid_1e9 = mid
    refresh_state(sim)
    ok = call_on_book(sim) and take_actions(sim, native.ON_BOOK, 1)
    _next_packet(sim)
    return ok


@kernel
def _keep_house(sim: Sim) -> None:
    """Take the samples that are due: equity, and mids after fills."""
    run, fills = sim.exchange.run[0], sim.exchange.fills
    if run.equity_ns <= run.now_ns:
        _sample(sim)
        run.equity_ns += sim.exchange.rules[0].equity_interval_ns
    while run.markout_at[0] < run.fills and fills[run.markout_at[0]].exchange_ns + _HORIZON_0 <= run.now_ns:
        fills[run.markout_at[0]].mid_100ms_1e9 = run.mid_1e9
        run.markout_at[0] += 1
    while run.markout_at[1] < run.fills and fills[run.markout_at[1]].exchange_ns + _HORIZON_1 <= run.now_ns:
        fills[run.markout_at[1]].mid_1s_1e9 = run.mid_1e9
        run.markout_at[1] += 1
    while run.markout_at[2] < run.fills and fills[run.markout_at[2]].exchange_ns + _HORIZON_2 <= run.now_ns:
        fills[run.markout_at[2]].mid_10s_1e9 = run.mid_1e9
        run.markout_at[2] += 1
    _next_housekeeping(sim)


@kernel
def _next_housekeeping(sim: Sim) -> None:
    run, fills = sim.exchange.run[0], sim.exchange.fills
    due = run.equity_ns
    if run.markout_at[0] < run.fills:
        due = min(due, fills[run.markout_at[0]].exchange_ns + _HORIZON_0)
    if run.markout_at[1] < run.fills:
        due = min(due, fills[run.markout_at[1]].exchange_ns + _HORIZON_1)
    if run.markout_at[2] < run.fills:
        due = min(due, fills[run.markout_at[2]].exchange_ns + _HORIZON_2)
    run.housekeeping_ns = due


@kernel
def _sample(sim: Sim) -> None:
    run, account = sim.exchange.run[0], sim.exchange.account[0]
    sample = sim.exchange.equity[run.samples]
    run.samples += 1
    sample.exchange_ns = run.now_ns
    sample.cash_1e9 = account.cash_1e9
    sample.position_1e8 = account.position_1e8
    sample.mid_1e9 = run.mid_1e9
    sample.equity_1e9 = equity(account, sim.exchange.rules[0], run.mid_1e9)
    sample.fees_1e9 = account.fees_1e9

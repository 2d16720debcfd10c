"""The event loop: two clocks, one order of events.

Exchanges advance on exchange time, the algo on receive time. At equal times the order is: the exchanges, each with its
rows of the tape and then the actions that arrive there; answers to the algo; messages from other instances; packets;
heartbeat; samples. Among equals the asset that comes first in (symbol, venue). The loop stops for rows, for more room,
for a slice that is over, for a failure or for the end of the tapes, and goes on where it stopped.
"""

from __future__ import annotations

from evals.engine.accounting import equity
from evals.engine.books import fetch_level, in_window
from evals.engine.features import collect_trades, show_features, watch_packet
from evals.engine.feed import UNKNOWN, find_packet, see_packet, seen_mid
from evals.engine.gateway import (
    call_on_book,
    call_on_message,
    call_on_nbbo,
    call_with_state,
    on_answer,
    refresh_state,
    take_actions,
)
from evals.engine.kernel import inlined, kernel
from evals.engine.layout import (
    CHANGES_MARGIN,
    DISORDERED,
    ENDED,
    FAILED,
    FULL,
    LEVELS,
    MARKOUT_HORIZONS_NS,
    NEEDS_ROWS,
    NEVER,
    PACKETS,
    RUNNING,
    TRADES,
    UNSEEN,
    Record,
)
from evals.engine.matching import measure_presence, on_book_row, on_request, on_trade_row
from evals.engine.nbbo import write_nbbo
from evals.engine.streams import refill_packets, seek_level, seek_trade, trade_is_next, used_up
from evals.engine.tables import (
    asset_at,
    fill_at,
    get_word,
    mail_at,
    message_at,
    order_at,
    row_at,
    sample_at,
    slot_at,
    symbol_at,
    symbol_of,
)
from evals.engine.unnoticed import apply_unnoticed
from evals.wasm import native
from evals.wasm.abi import MAX_ACTIONS, MAX_ORDERS

_HEARTBEAT_NS = 1_000_000_000
_HORIZON_0, _HORIZON_1, _HORIZON_2 = MARKOUT_HORIZONS_NS
_MARGIN = 2 * (MAX_ACTIONS + MAX_ORDERS)
_AHEAD = 12
"""How many rows ahead a level is fetched into the cache."""

# What comes next on the algo's side.
_NOTHING, _ANSWER, _MESSAGE, _PACKET, _HEARTBEAT, _HOUSEKEEPING = range(6)

_ANSWERED = -1
"""Between kernels: an exchange has answered, which may come before what was thought to be next."""


@kernel
def start(sim: Record) -> None:
    """Set the clocks; ``run.first_ns`` is when the first row of all happened."""
    run = sim.run
    for i in range(sim.asset_count):
        asset_at(sim, i).quoted_since_ns = run.first_ns
    run.equity_ns = run.first_ns + sim.equity_interval_ns
    run.heartbeat_ns = NEVER
    _next_housekeeping(sim)


@kernel
def hand_over(asset: Record, reader: int) -> None:
    """Take note of rows that were handed over to a reader, or that there are no more."""
    if reader == LEVELS:
        seek_level(asset)
    elif reader == TRADES:
        seek_trade(asset)
    else:
        _find_packet(asset)


@inlined
def _find_packet(asset: Record) -> None:
    while used_up(asset.packets):
        if asset.features != 0:
            asset.packet_ns = UNKNOWN
            collect_trades(asset)
        refill_packets(asset)
    find_packet(asset)
    if asset.features != 0:
        collect_trades(asset)


@kernel
def advance(sim: Record, steps: int) -> int:
    """Go on for a number of steps at most; return why the loop stopped."""
    run = sim.run
    for _ in range(steps):
        if _nearly_full(sim):
            return FULL
        what, who, at_ns = _next_local(sim)
        if what < 0:
            run.wanted = who
            run.reader = PACKETS
            return NEEDS_ROWS if asset_at(sim, who).packet_ns == UNKNOWN else DISORDERED
        until_ns = min(at_ns, run.last_ns)
        if until_ns >= run.until_ns:
            why = _run_exchanges(sim, run.until_ns - 1)
            if why == _ANSWERED:
                continue
            return why
        why = _run_exchanges(sim, until_ns)
        if why == _ANSWERED:
            continue
        if why != RUNNING:
            return why
        if at_ns > run.last_ns:
            return ENDED
        run.now_ns = at_ns
        if not _act_locally(sim, what, who):
            return FAILED
    return RUNNING


@inlined
def _next_local(sim: Record) -> tuple[int, int, int]:
    """Return what comes next on the algo's side, for which asset, and when; -1 first if that depends on more rows."""
    run = sim.run
    what, who, at_ns = _NOTHING, 0, NEVER
    for i in range(sim.asset_count):
        asset = asset_at(sim, i)
        answers = asset.answers
        if answers.head < answers.tail:
            answer_ns = message_at(answers.at, answers.head).at_ns
            if answer_ns < at_ns:
                what, who, at_ns = _ANSWER, i, answer_ns
    if sim.mail_head < sim.mail_tail and mail_at(sim.mail, sim.mail_head).at_ns < at_ns:
        what, at_ns = _MESSAGE, mail_at(sim.mail, sim.mail_head).at_ns
    for i in range(sim.asset_count):
        packet_ns = asset_at(sim, i).packet_ns
        if packet_ns < at_ns:
            if packet_ns < 0:
                return -1, i, 0
            what, who, at_ns = _PACKET, i, packet_ns
    if run.heartbeat_ns < at_ns:
        what, at_ns = _HEARTBEAT, run.heartbeat_ns
    if run.housekeeping_ns < at_ns:
        what, at_ns = _HOUSEKEEPING, run.housekeeping_ns
    return what, who, at_ns


@kernel
def earliest_ns(sim: Record) -> int:
    """Return before when the algo hears of nothing new; what an exchange may still do to its orders included."""
    what, _who, at_ns = _next_local(sim)
    if what < 0:
        return sim.run.now_ns
    at_ns = min(at_ns, sim.run.last_ns)
    for i in range(sim.asset_count):
        asset = asset_at(sim, i)
        if asset.requests.head < asset.requests.tail:
            at_ns = min(at_ns, message_at(asset.requests.at, asset.requests.head).at_ns)
        if asset.resting_count > 0:
            at_ns = min(at_ns, asset.exchange_ns)
    return at_ns


@inlined
def _act_locally(sim: Record, what: int, who: int) -> bool:
    run = sim.run
    if what == _PACKET:
        return _on_packet(sim, asset_at(sim, who))
    if what == _ANSWER:
        asset = asset_at(sim, who)
        asset.answers.head += 1
        return on_answer(sim, asset, message_at(asset.answers.at, asset.answers.head - 1))
    home = asset_at(sim, symbol_at(sim, sim.primary).home)
    if what == _MESSAGE:
        sim.mail_head += 1
        refresh_state(sim, symbol_at(sim, sim.primary))
        return call_on_message(sim, sim.mail_head - 1) and take_actions(sim, home, native.ON_MESSAGE, 1)
    if what == _HEARTBEAT:
        run.heartbeat_ns += _HEARTBEAT_NS
        if home.features != 0:
            show_features(sim, home)
        refresh_state(sim, symbol_at(sim, sim.primary))
        return call_with_state(sim, native.ON_HEARTBEAT) and take_actions(sim, home, native.ON_HEARTBEAT, 1)
    _keep_house(sim)
    return True


@inlined
def _on_packet(sim: Record, asset: Record) -> bool:
    """Apply a packet to the algo's book, and call on_book for a home venue, on_nbbo where there are several."""
    run, symbol = sim.run, symbol_of(sim, asset)
    run.event_row = asset.packet_row
    run.event_asset = asset.index
    if asset.features != 0:
        watch_packet(sim, asset)
    see_packet(sim, asset, symbol.symbol_id)
    if run.heartbeat_ns == NEVER and get_word(sim.host, native.HAS_HEARTBEAT):
        run.heartbeat_ns = run.now_ns + _HEARTBEAT_NS
    ok = True
    if asset.home:
        mid = seen_mid(asset)
        if mid > 0:
            symbol.local_mid_1e9 = mid
        refresh_state(sim, symbol)
        if get_word(sim.host, native.HAS_BOOK):
            ok = call_on_book(sim, asset, symbol) and take_actions(sim, asset, native.ON_BOOK, 1)
    if ok and (symbol.assets > 1 or get_word(sim.host, native.HAS_BOOK) == 0) and get_word(sim.host, native.HAS_NBBO):
        home = asset_at(sim, symbol.home)
        write_nbbo(sim, symbol, asset)
        if home.features != 0:
            show_features(sim, home)
        refresh_state(sim, symbol)
        ok = call_on_nbbo(sim, symbol) and take_actions(sim, home, native.ON_NBBO, 1)
    _find_packet(asset)
    return ok


@kernel
def _run_exchanges(sim: Record, until_ns: int) -> int:
    """Run every exchange up to a time, in one order of events over all of them."""
    if sim.asset_count == 1:
        return _run_exchange(sim, asset_at(sim, 0), until_ns, until_ns)
    while True:
        first, first_ns, second, second_ns = -1, NEVER, -1, NEVER
        for i in range(sim.asset_count):
            asset = asset_at(sim, i)
            requests = asset.requests
            next_ns = asset.exchange_ns
            if requests.head < requests.tail:
                next_ns = min(next_ns, message_at(requests.at, requests.head).at_ns)
            if next_ns < first_ns:
                second, second_ns = first, first_ns
                first, first_ns = i, next_ns
            elif next_ns < second_ns:
                second, second_ns = i, next_ns
        if first_ns > until_ns:
            return RUNNING
        bound_ns = min(until_ns, second_ns - 1 if second >= 0 and second < first else second_ns)
        why = _run_exchange(sim, asset_at(sim, first), bound_ns, until_ns)
        if why != RUNNING:
            return why


@kernel
def _run_exchange(sim: Record, asset: Record, bound_ns: int, until_ns: int) -> int:
    """Run one exchange up to a time; stop early when it answers by ``until_ns``."""
    run, requests, answers = sim.run, asset.requests, asset.answers
    request_ns = message_at(requests.at, requests.head).at_ns if requests.head < requests.tail else NEVER
    answered = answers.tail
    while True:
        tape_ns = asset.exchange_ns
        if tape_ns <= request_ns:
            if tape_ns > bound_ns:
                return RUNNING
            trade = trade_is_next(asset)
            stream = asset.trades if trade else asset.levels
            if stream.at == stream.end:
                run.wanted = asset.index
                run.reader = TRADES if trade else LEVELS
                return NEEDS_ROWS
            if not trade and asset.unnoticed != 0 and asset.taken_untold == 0:
                asset.unnoticed = apply_unnoticed(asset, min(bound_ns, request_ns, asset.trade_ns - 1))
                if asset.unnoticed != 0:
                    continue
            if asset.changes_tail + CHANGES_MARGIN - asset.changes_head > asset.changes_room or asset.book.wants_care:
                return FULL
            run.now_ns = tape_ns
            row = row_at(stream.rows, stream.at)
            stream.at += 1
            if trade:
                on_trade_row(sim, asset, row.kind, row.px_1e9, row.sz_1e8)
                seek_trade(asset)
            else:
                fetch_level(asset.book, row_at(stream.rows, stream.at + _AHEAD))
                on_book_row(sim, asset, row)
                seek_level(asset)
                if asset.book.change == UNSEEN and in_window(asset.book, row):
                    asset.unnoticed = 1
        else:
            if request_ns > bound_ns:
                return RUNNING
            if _nearly_full(sim):
                return FULL
            run.now_ns = request_ns
            requests.head += 1
            on_request(sim, asset, message_at(requests.at, requests.head - 1))
            request_ns = message_at(requests.at, requests.head).at_ns if requests.head < requests.tail else NEVER
        if answers.tail != answered:
            answered = answers.tail
            # At equal times an answer comes before what was to be next, and before the end.
            if message_at(answers.at, answers.head).at_ns <= until_ns or run.housekeeping_ns < until_ns:
                return _ANSWERED
            if _nearly_full(sim):
                return FULL


@kernel
def finish(sim: Record) -> bool:
    """Close the books of the run and call on_shutdown, whose actions are only logged; False if the algo broke."""
    run = sim.run
    run.now_ns = max(run.last_ns, run.now_ns) if run.last_ns < NEVER else run.now_ns
    for i in range(sim.asset_count):
        asset = asset_at(sim, i)
        measure_presence(sim, asset)
        symbol = symbol_of(sim, asset)
        for k in range(asset.resting_count):
            order_at(sim, slot_at(symbol, asset.resting[k]).order_row).outcome = 0
    _sample(sim)
    if run.failure != 0:
        return False
    for i in range(sim.symbol_count):
        refresh_state(sim, symbol_at(sim, i))
    home = asset_at(sim, symbol_at(sim, sim.primary).home)
    return call_with_state(sim, native.ON_SHUTDOWN) and take_actions(sim, home, native.ON_SHUTDOWN, 0)


@kernel
def _nearly_full(sim: Record) -> bool:
    """Return whether the next step might not fit: one order may sweep a whole side of a book, fill by fill."""
    run = sim.run
    sweep = _MARGIN
    for i in range(sim.asset_count):
        asset = asset_at(sim, i)
        requests, answers = asset.requests, asset.answers
        if requests.head == requests.tail:
            requests.head = requests.tail = 0
        if answers.head == answers.tail:
            answers.head = answers.tail = 0
        depth = max(asset.book.depth[0], asset.book.depth[1]) + _MARGIN
        sweep = max(sweep, depth)
        if answers.tail + depth > answers.room or requests.tail + _MARGIN > requests.room:
            return True
    return (
        run.fills + sweep > sim.fills_first + sim.fills_room
        or run.orders + _MARGIN > sim.orders_first + sim.orders_room
        or run.samples + sim.symbol_count + 1 > sim.equity_first + sim.equity_room
    )


@kernel
def _keep_house(sim: Record) -> None:
    """Take the samples that are due: equity, and mids after fills."""
    run = sim.run
    if run.equity_ns <= run.now_ns:
        _sample(sim)
        run.equity_ns += sim.equity_interval_ns
    while run.markout_at[0] < run.fills and fill_at(sim, run.markout_at[0]).exchange_ns + _HORIZON_0 <= run.now_ns:
        fill = fill_at(sim, run.markout_at[0])
        fill.mid_100ms_1e9 = asset_at(sim, fill.asset).mid_1e9
        run.markout_at[0] += 1
    while run.markout_at[1] < run.fills and fill_at(sim, run.markout_at[1]).exchange_ns + _HORIZON_1 <= run.now_ns:
        fill = fill_at(sim, run.markout_at[1])
        fill.mid_1s_1e9 = asset_at(sim, fill.asset).mid_1e9
        run.markout_at[1] += 1
    while run.markout_at[2] < run.fills and fill_at(sim, run.markout_at[2]).exchange_ns + _HORIZON_2 <= run.now_ns:
        fill = fill_at(sim, run.markout_at[2])
        fill.mid_10s_1e9 = asset_at(sim, fill.asset).mid_1e9
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
    run = sim.run
    for i in range(sim.symbol_count):
        symbol = symbol_at(sim, i)
        account, home = symbol.account, asset_at(sim, symbol.home)
        sample = sample_at(sim, run.samples)
        run.samples += 1
        sample.exchange_ns = run.now_ns
        sample.cash_1e9 = account.cash_1e9
        sample.position_1e8 = account.position_1e8
        sample.mid_1e9 = home.mid_1e9
        sample.equity_1e9 = equity(account, home.rules, home.mid_1e9)
        sample.fees_1e9 = account.fees_1e9
        sample.symbol = i

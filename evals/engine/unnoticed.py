"""Rows of the tape that nobody notices: levels out of the algo's sight, and below every order of its own.

Four of five rows of a deep book are such. They are applied in a loop of their own that holds all it needs in local
variables: the compiler has to assume that a store to a table changes the records, and would load them anew each time.
"""

from __future__ import annotations

from evals.engine.books import note_level, whole_ticks
from evals.engine.kernel import kernel
from evals.engine.layout import WINDOW, Record
from evals.engine.rows import happened_ns, seek_book_row
from evals.engine.tables import get_byte, get_word, prefetch, set_word
from evals.market import schema

_BID, _ASK, _LAST = schema.BID, schema.ASK, schema.LAST_OF_PACKET
_BUY_TRADE, _SELL_TRADE = schema.BUY_TRADE, schema.SELL_TRADE
_AHEAD = 8
"""How many rows ahead a level is fetched into the cache."""


@kernel
def apply_unnoticed(asset: Record, until_ns: int) -> None:
    """Apply rows of levels that happened by a time, until one that is noticed or outside the window.

    The reader stands at a row that was found, before and after; after the last row of a chunk it has found none.
    """
    tape, book = asset.book_rows, asset.book
    exchange, exchange_step = tape.exchange.at, tape.exchange.step
    receive, receive_step = tape.receive.at, tape.receive.step
    px, px_step = tape.px.at, tape.px.step
    sz, sz_step = tape.sz.at, tape.sz.step
    kinds, kind_step = tape.kind.at, tape.kind.step
    flags, flag_step = tape.flags.at, tape.flags.step
    bid_base, ask_base = book.base[0], book.base[1]
    bid_key = min(book.worst_key[0], asset.low_key[0], -asset.high_key[1])
    ask_key = min(book.worst_key[1], asset.low_key[1], -asset.high_key[0])
    tick_size, ticks_per_1e9 = book.tick_size_1e9, book.ticks_per_1e9
    sizes, words, summary = book.sizes, book.words, book.summary
    taken = book.taken if book.taken_levels != 0 else 0
    at, end, packet, ns, tick = tape.at, tape.end, tape.packet, asset.book_ns, asset.book_tick
    bids, asks = 0, 0
    while ns <= until_ns:
        kind = get_byte(kinds + at * kind_step)
        size_1e8 = get_word(sz + at * sz_step, 0)
        side = kind - _BID
        sign = 1 - 2 * side
        index = tick * sign - (bid_base if side == 0 else ask_base)
        if kind > _ASK or tick <= 0 or index < 0 or index >= WINDOW:
            break
        if tick * tick_size * sign >= (bid_key if side == 0 else ask_key):
            break
        word = side * WINDOW + index
        before_1e8 = get_word(sizes, word)
        set_word(sizes, word, size_1e8)
        if taken != 0:
            set_word(taken, word, 0)
        grown = (1 if size_1e8 > 0 else 0) - (1 if before_1e8 > 0 else 0)
        bids += grown * (1 - side)
        asks += grown * side
        note_level(words, summary, side, index, 1 if size_1e8 > 0 else 0)
        while True:
            packet += get_byte(flags + at * flag_step) & _LAST
            at += 1
            if at == end:
                break
            kind = get_byte(kinds + at * kind_step)
            if kind not in (_BUY_TRADE, _SELL_TRADE):
                break
        if at == end:
            break
        happened = happened_ns(get_word(exchange + at * exchange_step, 0), get_word(receive + at * receive_step, 0))
        ns = max(ns, happened)
        px_1e9 = get_word(px + at * px_step, 0)
        tick = whole_ticks(px_1e9, tick_size, ticks_per_1e9)
        if at + _AHEAD < end:
            ahead = at + _AHEAD
            side = get_byte(kinds + ahead * kind_step) - _BID
            index = int(get_word(px + ahead * px_step, 0) * ticks_per_1e9) * (1 - 2 * side)
            index -= bid_base if side == 0 else ask_base
            if 0 <= index < WINDOW:
                prefetch(sizes + ((side & 1) * WINDOW + index) * 8)
    book.depth[0] += bids
    book.depth[1] += asks
    tape.at = at
    tape.packet = packet
    if at == end:
        seek_book_row(asset)
    else:
        asset.book_ns = ns
        asset.book_tick = tick
        asset.exchange_ns = min(ns, asset.trade_ns)

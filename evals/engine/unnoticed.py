"""Rows of the tape that nobody notices: levels out of the algo's sight, and below every order of its own.

Four of five rows of a deep book are such. They are applied in a loop of their own that holds all it needs in local
variables: the compiler has to assume that a store to a table changes the records, and would load them anew each time.
"""

from __future__ import annotations

from evals.engine.books import note_level
from evals.engine.kernel import kernel
from evals.engine.layout import ROW, WINDOW, Record
from evals.engine.streams import seek_level
from evals.engine.tables import get_word, prefetch_to_write, row_at, set_word
from evals.market import schema

_BID, _ASK = schema.BID, schema.ASK
_ROW_BYTES = ROW.itemsize
_AHEAD = 12
"""How many rows ahead a level is fetched into the cache."""


@kernel
def apply_unnoticed(asset: Record, until_ns: int) -> int:
    """Apply levels that happened by a time, until one that is noticed or outside the window; return how many."""
    stream, book = asset.levels, asset.book
    first = stream.rows + stream.at * _ROW_BYTES
    end = stream.rows + stream.end * _ROW_BYTES
    bid_base, ask_base = book.base[0], book.base[1]
    bid_key = min(book.worst_key[0], asset.low_key[0], -asset.high_key[1])
    ask_key = min(book.worst_key[1], asset.low_key[1], -asset.high_key[0])
    sizes, words, summary = book.sizes, book.words, book.summary
    taken = book.taken if book.taken_levels != 0 else 0
    at, bids, both = first, 0, 0
    while at < end:
        row = row_at(at, 0)
        side = row.kind - _BID
        index = row.tick - (bid_base if side == 0 else ask_base)
        key = row.px_1e9 if side == 0 else -row.px_1e9
        if row.at_ns > until_ns or index < 0 or index >= WINDOW or key >= (bid_key if side == 0 else ask_key):
            break
        ahead = row_at(at, _AHEAD)
        place = (ahead.kind - _BID) & 1
        near = ahead.tick - (bid_base if place == 0 else ask_base)
        if 0 <= near < WINDOW:
            prefetch_to_write(sizes + (place * WINDOW + near) * 8)
        sz_1e8, word = row.sz_1e8, side * WINDOW + index
        before_1e8 = get_word(sizes, word)
        set_word(sizes, word, sz_1e8)
        if taken != 0:
            set_word(taken, word, 0)
        exists = 1 if sz_1e8 > 0 else 0
        grown = exists - (1 if before_1e8 > 0 else 0)
        both += grown
        bids += grown if side == 0 else 0
        note_level(words, summary, side, index, exists)
        at += _ROW_BYTES
    book.depth[0] += bids
    book.depth[1] += both - bids
    count = (at - first) // _ROW_BYTES
    stream.at += count
    if count > 0:
        seek_level(asset)
    return count

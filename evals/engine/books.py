"""Order books: a window of ticks around the market as plain arrays, with bitmaps to find the next level; the rest far.

A price that lies in the window and on a tick costs one array access, whatever the depth of the book. The best 20
levels are kept in view, so that each change tells what an algo that sees 20 levels has to be told (`LAYOUT.CHANGE`).
"""

from __future__ import annotations

from evals.engine.far import (
    clear_far,
    far_at,
    far_holds,
    far_locate,
    note_far_best,
    set_far,
)
from evals.engine.kernel import inlined, kernel
from evals.engine.layout import CLEARED, INSERTED, NO_KEY, RANKS, REMOVED, RESIZED, UNSEEN, WINDOW, Record
from evals.engine.tables import get_word, highest_bit, prefetch_to_write, set_word
from evals.engine.vectors import insert_key, keys_above, remove_key
from evals.market import schema
from evals.wasm.abi import BOOK_LEVELS

_WORDS = WINDOW // 64
_SUMMARY = _WORDS // 64
_MARGIN = WINDOW // 8
_PATIENCE = 256
_LAST = BOOK_LEVELS - 1
_RANK_BYTES = RANKS * 8


@inlined
def tick_of(book: Record, px_1e9: int) -> int:
    """Return the tick of a price; -1 if it is not on one."""
    return whole_ticks(px_1e9, book.tick_size_1e9, book.ticks_per_1e9)


@inlined
def whole_ticks(px_1e9: int, tick_size_1e9: int, ticks_per_1e9: float) -> int:
    """Return how many ticks a price is; -1 if it is not on one.

    The quotient is taken in floating point and checked by multiplication. Rounded, as here, it is nearly always right
    at once; cut off, it would be one too small for every other price, and no processor can predict for which.
    """
    tick = int(px_1e9 * ticks_per_1e9 + 0.5)
    rest = px_1e9 - tick * tick_size_1e9
    if rest == 0:
        return tick
    if rest == tick_size_1e9:
        return tick + 1
    if rest == -tick_size_1e9:
        return tick - 1
    return -1


@kernel
def _index(book: Record, side: int, px_1e9: int) -> int:
    """Return the index of a price in the window of a side; -1 if it is far."""
    tick = tick_of(book, px_1e9)
    if tick < 0:
        return -1
    at = tick * (1 - 2 * side) - book.base[side]
    return at if 0 <= at < WINDOW else -1


@inlined
def _key_at(book: Record, side: int, at: int) -> int:
    return (book.base[side] + at) * book.tick_size_1e9


@inlined
def note_level(words: int, summary: int, side: int, at: int, exists: int) -> None:
    """Set or clear the bits of an index of the window; without a branch where nothing would predict it."""
    word = side * _WORDS + (at >> 6)
    bit = 1 << (at & 63)
    before = get_word(words, word)
    bits = (before & ~bit) | (-exists & bit)
    set_word(words, word, bits)
    up = side * _SUMMARY + (at >> 12)
    bit = 1 << ((at >> 6) & 63)
    set_word(summary, up, (get_word(summary, up) & ~bit) | (-(1 if bits != 0 else 0) & bit))


@kernel
def _next_in_window(book: Record, side: int, below: int) -> int:
    """Return the largest index of a level below an index; -1 if there is none."""
    if below <= 0:
        return -1
    at = below - 1
    word = at >> 6
    bits = get_word(book.words, side * _WORDS + word) & (((1 << (at & 63)) << 1) - 1)
    if bits != 0:
        return word * 64 + highest_bit(bits)
    up = word >> 6
    bits = get_word(book.summary, side * _SUMMARY + up) & ((1 << (word & 63)) - 1)
    while bits == 0:
        up -= 1
        if up < 0:
            return -1
        bits = get_word(book.summary, side * _SUMMARY + up)
    word = up * 64 + highest_bit(bits)
    return word * 64 + highest_bit(get_word(book.words, side * _WORDS + word))


@kernel
def next_key(book: Record, side: int, key: int) -> int:
    """Return the key of the best level that is worse than a key; NO_KEY if there is none."""
    sign = 1 - 2 * side
    tick = tick_of(book, key * sign)
    # A key that is not on a tick is rounded towards better.
    below = (tick * sign if tick >= 0 else -(-key // book.tick_size_1e9)) - book.base[side]
    at = _next_in_window(book, side, min(below, WINDOW))
    near = _key_at(book, side, at) if at >= 0 else NO_KEY
    if near >= book.far_best_key[side]:
        return near
    at = far_locate(book, side, key) - 1
    if at < book.far_first[side]:
        return near
    return max(near, far_at(book, side, at).px_1e9 * sign)


@kernel
def best_key(book: Record, side: int) -> int:
    """Return the key of the best level; NO_KEY if the side is empty."""
    return book.top[side, 0]


@kernel
def best_px(book: Record, side: int) -> int:
    """Return the best price of a side; 0 if the side is empty."""
    return book.top[side, 0] * (1 - 2 * side) if book.depth[side] > 0 else 0


@kernel
def mid_px(book: Record) -> int:
    """Return the mid as the SDK computes it (integer mean of the best prices); 0 if a side is empty."""
    if book.depth[0] == 0 or book.depth[1] == 0:
        return 0
    return (book.top[0, 0] - book.top[1, 0]) // 2


@kernel
def size_at(book: Record, side: int, px_1e9: int) -> int:
    """Return the displayed size at a price; 0 without such a level."""
    at = _index(book, side, px_1e9)
    if at >= 0:
        return get_word(book.sizes, side * WINDOW + at)
    at = far_locate(book, side, px_1e9 * (1 - 2 * side))
    return far_at(book, side, at).sz_1e8 if far_holds(book, side, at, px_1e9) else 0


@kernel
def left_at(book: Record, side: int, px_1e9: int) -> int:
    """Return the displayed size of a level less what our orders took from it."""
    at = _index(book, side, px_1e9)
    if at >= 0:
        return get_word(book.sizes, side * WINDOW + at) - get_word(book.taken, side * WINDOW + at)
    level = far_at(book, side, far_locate(book, side, px_1e9 * (1 - 2 * side)))
    return level.sz_1e8 - level.taken_1e8


@kernel
def take_at(book: Record, side: int, px_1e9: int, qty_1e8: int) -> None:
    """Take displayed size; it stays taken until the tape sets the level again."""
    at = _index(book, side, px_1e9)
    if at >= 0:
        word = side * WINDOW + at
        set_word(book.taken, word, get_word(book.taken, word) + qty_1e8)
        book.taken_levels = 1
    else:
        far_at(book, side, far_locate(book, side, px_1e9 * (1 - 2 * side))).taken_1e8 += qty_1e8


@kernel
def available(book: Record, side: int, limit_key: int, enough_1e8: int) -> int:
    """Return the size that may still be taken at keys down to a limit; stops counting at ``enough_1e8``."""
    total, key = 0, best_key(book, side)
    while key >= limit_key and key > NO_KEY and total < enough_1e8:
        total += left_at(book, side, key * (1 - 2 * side))
        key = next_key(book, side, key)
    return total


@inlined
def in_window(book: Record, row: Record) -> bool:
    """Return whether a row's level lies in the window of its side."""
    at = row.tick - book.base[(row.kind - schema.BID) & 1]
    return 0 <= at < WINDOW


@inlined
def fetch_level(book: Record, row: Record) -> None:
    """Ask the cache for the level of a row; it may also be no level at all."""
    side = (row.kind - schema.BID) & 1
    at = row.tick - book.base[side]
    if 0 <= at < WINDOW:
        prefetch_to_write(book.sizes + (side * WINDOW + at) * 8)


@inlined
def set_level(book: Record, side: int, px_1e9: int, tick: int, sz_1e8: int) -> None:
    """Set the absolute size of a level; 0 removes it. What was taken from it is forgotten: the tape has spoken.

    ``tick`` is that of the key, NO_TICK if the price is not on one.
    Afterwards ``change``, ``change_depth``, ``before_1e8`` and ``tail_*`` tell what happened.
    """
    if book.placed == 0:
        _place(book, px_1e9)
    sign = 1 - 2 * side
    at = tick - book.base[side]
    if 0 <= at < WINDOW:
        word = side * WINDOW + at
        before = get_word(book.sizes, word)
        set_word(book.sizes, word, sz_1e8)
        note_level(book.words, book.summary, side, at, 1 if sz_1e8 > 0 else 0)
        if book.taken_levels != 0:
            set_word(book.taken, word, 0)
    else:
        before = set_far(book, side, px_1e9, sz_1e8)
    book.before_1e8 = before
    had, has = 1 if before > 0 else 0, 1 if sz_1e8 > 0 else 0
    book.depth[side] += has - had
    book.change = UNSEEN
    key = px_1e9 * sign
    if key < book.worst_key[side]:
        return
    ranks = book.ranks + side * _RANK_BYTES
    if had == 0 and has == 0:
        return
    book.change_depth = keys_above(ranks, key)
    if had == 0:
        _inserted(book, side, key, ranks)
    elif has == 0:
        _removed(book, side, key, ranks)
    else:
        book.change = RESIZED


@inlined
def _inserted(book: Record, side: int, key: int, ranks: int) -> None:
    insert_key(ranks, key)
    book.top_levels[side] = min(book.top_levels[side] + 1, BOOK_LEVELS)
    book.worst_key[side] = book.top[side, _LAST]
    book.change = INSERTED
    if book.change_depth == 0:
        _keep_in_window(book, side)


@inlined
def _removed(book: Record, side: int, key: int, ranks: int) -> None:
    tail = next_key(book, side, book.worst_key[side]) if book.depth[side] >= BOOK_LEVELS else NO_KEY
    remove_key(ranks, key)
    book.top[side, _LAST] = tail
    book.worst_key[side] = tail
    if tail > NO_KEY:
        book.tail_px_1e9 = tail * (1 - 2 * side)
        book.tail_sz_1e8 = size_at(book, side, book.tail_px_1e9)
    else:
        book.tail_px_1e9 = 0
        book.tail_sz_1e8 = 0
        book.top_levels[side] -= 1
    book.change = REMOVED
    if book.change_depth == 0 and book.depth[side] > 0:
        _keep_in_window(book, side)


@kernel
def clear(book: Record) -> None:
    """Remove every level; the window is placed anew at the next price."""
    for side in range(2):
        at = _next_in_window(book, side, WINDOW)
        while at >= 0:
            set_word(book.sizes, side * WINDOW + at, 0)
            set_word(book.taken, side * WINDOW + at, 0)
            note_level(book.words, book.summary, side, at, 0)
            at = _next_in_window(book, side, at)
        book.depth[side] = 0
        book.top_levels[side] = 0
        for rank in range(RANKS):
            book.top[side, rank] = NO_KEY
        book.worst_key[side] = NO_KEY
        book.misplaced[side] = 0
    clear_far(book)
    book.wants_care = 0
    book.placed = 0
    book.taken_levels = 0
    book.before_1e8 = 0
    book.change = CLEARED


@kernel
def _place(book: Record, px_1e9: int) -> None:
    """Place the windows of an empty book around a price."""
    book.placed = 1
    for side in range(2):
        book.base[side] = px_1e9 // book.tick_size_1e9 * (1 - 2 * side) - WINDOW // 2


@kernel
def _keep_in_window(book: Record, side: int) -> None:
    """Count how often the best level changes near an end of its window, or outside: a stray price does not move it."""
    at = tick_of(book, book.top[side, 0] * (1 - 2 * side)) * (1 - 2 * side) - book.base[side]
    if at < _MARGIN or at >= WINDOW - _MARGIN:
        book.misplaced[side] += 1
        if book.misplaced[side] > _PATIENCE:
            book.wants_care = 1


@kernel
def move_window(book: Record, side: int) -> None:
    """Place the window of a side around its best level; there is room for every level among the far ones."""
    book.misplaced[side] = 0
    if book.depth[side] == 0:
        return
    sign = 1 - 2 * side
    at = _next_in_window(book, side, WINDOW)
    while at >= 0:
        word = side * WINDOW + at
        px_1e9 = _key_at(book, side, at) * sign
        set_far(book, side, px_1e9, get_word(book.sizes, word))
        far_at(book, side, far_locate(book, side, px_1e9 * sign)).taken_1e8 = get_word(book.taken, word)
        set_word(book.sizes, word, 0)
        set_word(book.taken, word, 0)
        note_level(book.words, book.summary, side, at, 0)
        at = _next_in_window(book, side, at)
    book.base[side] = book.top[side, 0] // book.tick_size_1e9 - 3 * WINDOW // 4
    kept = book.far_first[side]
    end = kept + book.far_depth[side]
    for i in range(book.far_first[side], end):
        level = far_at(book, side, i)
        at = _index(book, side, level.px_1e9)
        if at >= 0:
            set_word(book.sizes, side * WINDOW + at, level.sz_1e8)
            set_word(book.taken, side * WINDOW + at, level.taken_1e8)
            note_level(book.words, book.summary, side, at, 1)
        else:
            keep = far_at(book, side, kept)
            keep.px_1e9 = level.px_1e9
            keep.sz_1e8 = level.sz_1e8
            keep.taken_1e8 = level.taken_1e8
            kept += 1
    book.far_depth[side] = kept - book.far_first[side]
    note_far_best(book, side)
    book.taken_levels = 1

"""The best bid and offer over a symbol's venues, and the venues' books, as algos of SDK 0.3 and 0.4 read them.

Slots are the symbol's venues by ascending id. Prices, levels and times are the host's own; sizes and the levels of the
books are copied from the L2Books that the algo already has, so what they hold decides nothing here: an algo that
writes into them deceives itself.
"""

from __future__ import annotations

from evals.engine.impact import shown_levels, shown_px
from evals.engine.kernel import kernel
from evals.engine.layout import Record
from evals.engine.tables import asset_at, get_word, move_bytes, nbbo_at, set_byte, set_word, symbol_at
from evals.wasm import native
from evals.wasm.abi import BOOK_LEVELS, L2_BOOK, NBBO, STALE_MS, UNKNOWN_REGION, VENUE_BOOKS, VENUE_BOOKS_0_3
from evals.wasm.abi import VENUE_BOOKS_AT as _BOOKS_AT

_BOOK_BYTES = L2_BOOK.itemsize
_SIDE_WORDS = 2 * BOOK_LEVELS
_COUNTS_WORD = 2 * _SIDE_WORDS
_NBBO_WORDS = NBBO.itemsize // 8
_COUNT_BYTE: int = VENUE_BOOKS.fields["book_ct"][1]  # type: ignore[index]
_IDS_BYTE: int = VENUE_BOOKS.fields["venue_ids"][1]  # type: ignore[index]
_REGIONS_BYTE: int = VENUE_BOOKS.fields["venue_region_ids"][1]  # type: ignore[index]
_BOOKS_BYTE: int = VENUE_BOOKS.fields["books"][1]  # type: ignore[index]
_OLD_IDS_BYTE: int = VENUE_BOOKS_0_3.fields["venue_ids"][1]  # type: ignore[index]
_OLD_BOOKS_BYTE: int = VENUE_BOOKS_0_3.fields["books"][1]  # type: ignore[index]
_LARGEST_U32 = 2**32 - 1
_LARGEST_U8 = 255
_NS_PER_MS = 1_000_000


@kernel
def write_nbbo(sim: Record, symbol: Record, asset: Record) -> None:
    """Write NbboSnapshot and VenueBooks of a symbol after a packet of one of its assets."""
    nbbo = nbbo_at(sim.words + get_word(sim.host, native.NBBO_WORD) * 8, 0)
    # Only the multi-venue algos of SDK 0.3 have no book callback, and only their VenueBooks is the old one.
    old = get_word(sim.host, native.HAS_BOOK) == 0
    if sim.nbbo_symbol == asset.symbol + 1:
        changed = _write_venue(sim, nbbo, asset, old)
    else:
        _take_over(sim, symbol, nbbo, old)
        sim.nbbo_symbol = asset.symbol + 1
        for i in range(symbol.first_asset, symbol.first_asset + symbol.assets):
            _write_venue(sim, nbbo, asset_at(sim, i), old)
        changed = 3
    _write_best(sim, symbol, nbbo)
    merged = sim.words + _BOOKS_AT
    counts = get_word(merged, _COUNTS_WORD) & 0xFFFF
    if changed & 1:
        counts = (counts & ~0xFF) | _merge(sim, symbol, merged, 0)
    if changed & 2:
        counts = (counts & 0xFF) | (_merge(sim, symbol, merged, 1) << 8)
    set_word(merged, _COUNTS_WORD, counts | (symbol.symbol_id << 16))
    set_word(merged, _COUNTS_WORD + 1, sim.run.now_ns)


@kernel
def _take_over(sim: Record, symbol: Record, nbbo: Record, old: bool) -> None:
    """Make the regions those of another symbol: slots, ids and counts, nothing left of the symbol before."""
    books = sim.words + _BOOKS_AT
    first, count = symbol.first_asset, symbol.assets
    at = get_word(sim.host, native.NBBO_WORD)
    for word in range(_NBBO_WORDS):
        set_word(sim.words, at + word, 0)
    for word in range(_COUNT_BYTE // 8, _BOOKS_BYTE // 8):
        set_word(books, word, 0)
    if sim.nbbo_symbol > 0:
        for slot in range(count, symbol_at(sim, sim.nbbo_symbol - 1).assets):
            unused = _book_of(sim, slot, old)
            for word in range(_BOOK_BYTES // 8):
                set_word(unused, word, 0)
    set_word(books, _COUNT_BYTE // 8, count | (0 if old else symbol.symbol_id << 16))
    nbbo.venue_ct = count
    nbbo.symbol_id = 0 if old else min(symbol.symbol_id, _LARGEST_U8)
    for i in range(first, first + count):
        asset = asset_at(sim, i)
        slot = 0
        for other in range(first, first + count):
            if asset_at(sim, other).venue_id < asset.venue_id:
                slot += 1
        asset.slot = slot
        nbbo.venue_ids[slot] = asset.venue_id
        set_byte(books + (_OLD_IDS_BYTE if old else _IDS_BYTE) + slot, asset.venue_id)
        if not old:
            nbbo.venue_region_ids[slot] = UNKNOWN_REGION
            set_byte(books + _REGIONS_BYTE + slot, UNKNOWN_REGION)


@kernel
def _book_of(sim: Record, slot: int, old: bool) -> int:
    return sim.words + _BOOKS_AT + (_OLD_BOOKS_BYTE if old else _BOOKS_BYTE) + slot * _BOOK_BYTES


@kernel
def _write_venue(sim: Record, nbbo: Record, asset: Record, old: bool) -> int:
    """Write a venue's best prices and book; return which sides of it are new (1 bids, 2 asks)."""
    slot = asset.slot
    book, shown = sim.words + asset.book_word * 8, _book_of(sim, slot, old)
    nbbo.venue_bid_px[slot] = shown_px(asset, 0)
    nbbo.venue_ask_px[slot] = shown_px(asset, 1)
    nbbo.venue_bid_sz[slot] = _u32(get_word(book, 1))
    nbbo.venue_ask_sz[slot] = _u32(get_word(book, _SIDE_WORDS + 1))
    changed = 0
    for side in range(2):
        for word in range(side * _SIDE_WORDS, (side + 1) * _SIDE_WORDS):
            if get_word(book, word) != get_word(shown, word):
                changed |= 1 << side
                break
    move_bytes(shown, book, _BOOK_BYTES)
    return changed


@kernel
def _u32(sz_1e8: int) -> int:
    return sz_1e8 if 0 <= sz_1e8 <= _LARGEST_U32 else _LARGEST_U32


@kernel
def _write_best(sim: Record, symbol: Record, nbbo: Record) -> None:
    """Write the best prices over all venues (of equal ones the lowest slot's), and how old each venue's are."""
    now_ns = sim.run.now_ns
    bid, ask, bid_px, ask_px = -1, -1, 0, 0
    for i in range(symbol.first_asset, symbol.first_asset + symbol.assets):
        asset = asset_at(sim, i)
        px = shown_px(asset, 0)
        if px > bid_px or (px == bid_px and px > 0 and asset.slot < asset_at(sim, bid).slot):
            bid, bid_px = i, px
        px = shown_px(asset, 1)
        if px > 0 and (ask < 0 or px < ask_px or (px == ask_px and asset.slot < asset_at(sim, ask).slot)):
            ask, ask_px = i, px
        age_ms = (now_ns - asset.seen_ns) // _NS_PER_MS if asset.seen_ns > 0 else STALE_MS
        nbbo.venue_update_ms[asset.slot] = min(age_ms, STALE_MS)
    nbbo.nbbo_bid_px_1e9 = bid_px
    nbbo.nbbo_ask_px_1e9 = ask_px
    nbbo.nbbo_bid_sz_1e8 = get_word(sim.words, asset_at(sim, bid).book_word + 1) if bid >= 0 else 0
    nbbo.nbbo_ask_sz_1e8 = get_word(sim.words, asset_at(sim, ask).book_word + _SIDE_WORDS + 1) if ask >= 0 else 0
    nbbo.nbbo_bid_venue = asset_at(sim, bid).slot if bid >= 0 else 0
    nbbo.nbbo_ask_venue = asset_at(sim, ask).slot if ask >= 0 else 0
    symbol.nbbo_sequence += 1
    nbbo.sequence = symbol.nbbo_sequence
    nbbo.recv_ns = now_ns


@kernel
def _merge(sim: Record, symbol: Record, merged: int, side: int) -> int:
    """Merge one side of all venues' books, sizes at equal prices added up; return the number of levels, 20 at most."""
    first, count = symbol.first_asset, symbol.assets
    for k in range(count):
        sim.merging[k] = 0
    level = 0
    while level < BOOK_LEVELS:
        best = 0
        for k in range(count):
            asset = asset_at(sim, first + k)
            if sim.merging[k] < shown_levels(asset, side):
                px = get_word(sim.words, asset.book_word + side * _SIDE_WORDS + 2 * sim.merging[k])
                if best == 0 or (px > best if side == 0 else px < best):
                    best = px
        if best == 0:
            break
        size = 0
        for k in range(count):
            asset = asset_at(sim, first + k)
            at = asset.book_word + side * _SIDE_WORDS + 2 * sim.merging[k]
            if sim.merging[k] < shown_levels(asset, side) and get_word(sim.words, at) == best:
                size += get_word(sim.words, at + 1)
                sim.merging[k] += 1
        set_word(merged, side * _SIDE_WORDS + 2 * level, best)
        set_word(merged, side * _SIDE_WORDS + 2 * level + 1, size)
        level += 1
    for word in range(side * _SIDE_WORDS + 2 * level, (side + 1) * _SIDE_WORDS):
        set_word(merged, word, 0)
    return level

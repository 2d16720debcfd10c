"""Self-impact ("shadow book"): the algo is shown the market with its own resting orders, less what it took.

The market's best 20 levels as the algo's feed has them are kept in a mirror on the host's side. What our orders took
from a level travels the same way as the tape's changes and lies in the mirror until the tape sets the level again; our
resting orders, as the algo knows them, are added packet by packet.
"""

from __future__ import annotations

from evals.engine.books import best_px, left_at, size_at
from evals.engine.kernel import kernel
from evals.engine.layout import BUY, NO_KEY, RESIZED, SELL, Record
from evals.engine.tables import change_at, get_word, set_word, slot_at, symbol_of
from evals.wasm.abi import BOOK_LEVELS, LIMIT, PENDING, POST_ONLY

MIRROR_WORDS = 4 * BOOK_LEVELS
"""Two sides of price and size, as in L2Book."""

_SIDE_BYTES = 2 * BOOK_LEVELS * 8


@kernel
def note_taken(asset: Record) -> None:
    """Remember that our orders took displayed size; the feed tells with the next row that sets a level."""
    if asset.mirror != 0:
        asset.taken_untold = 1


@kernel
def publish_taken(asset: Record, row: int) -> None:
    """Put what is left of the levels that our orders took from on its way to the algo, together with a row."""
    asset.taken_untold = 0
    book = asset.book
    for side in range(2):
        for d in range(book.top_levels[side]):
            px_1e9 = book.top[side, d] * (1 - 2 * side)
            left = left_at(book, side, px_1e9)
            if left < size_at(book, side, px_1e9):
                change = change_at(asset.changes, asset.changes_tail & (asset.changes_room - 1))
                asset.changes_tail += 1
                change.row = row
                change.px_1e9 = px_1e9
                change.sz_1e8 = left
                change.tail_px_1e9 = 0
                change.tail_sz_1e8 = 0
                change.best_px_1e9 = best_px(book, side)
                change.change = RESIZED
                change.side = side
                change.depth = d
                change.levels = book.top_levels[side]


@kernel
def compose(sim: Record, asset: Record, book: int) -> int:
    """Write the levels that the algo sees to an address; return how many, bids + 256 x asks."""
    symbol = symbol_of(sim, asset)
    for side in range(2):
        target = book + side * _SIDE_BYTES
        asset.shown_levels[side] = _compose_side(symbol, asset, side, target)
        asset.shown_px_1e9[side] = get_word(target, 0)
    return asset.shown_levels[BUY] | (asset.shown_levels[SELL] << 8)


@kernel
def shown_px(asset: Record, side: int) -> int:
    """Return the best price that the algo is shown; 0 if it is shown none."""
    return asset.best_px_1e9[side] if asset.mirror == 0 else asset.shown_px_1e9[side]


@kernel
def shown_levels(asset: Record, side: int) -> int:
    """Return how many levels of a side the algo is shown."""
    return asset.seen_levels[side] if asset.mirror == 0 else asset.shown_levels[side]


@kernel
def _compose_side(symbol: Record, asset: Record, side: int, target: int) -> int:
    """Merge the market's levels with our own, best first. Beyond the 20th level of the market nothing is known."""
    sign, levels, source = 1 - 2 * side, asset.seen_levels[side], asset.mirror + side * _SIDE_BYTES
    shown, at = 0, 0
    own = _best_own(symbol, asset, side, -_best_left(asset, 1 - side))
    while shown < BOOK_LEVELS and (at < levels or (own > NO_KEY and levels < BOOK_LEVELS)):
        market = get_word(source, 2 * at) * sign if at < levels else NO_KEY
        key, size = max(market, own), 0
        if market == key:
            size = get_word(source, 2 * at + 1)
            at += 1
        if own == key:
            size += _own_size(symbol, asset, side, key)
            own = _best_own(symbol, asset, side, key)
        if size > 0:
            set_word(target, 2 * shown, key * sign)
            set_word(target, 2 * shown + 1, size)
            shown += 1
    for word in range(2 * shown, 2 * BOOK_LEVELS):
        set_word(target, word, 0)
    return shown


@kernel
def _best_left(asset: Record, side: int) -> int:
    """Return the key of the market's best level of which something is left; NO_KEY if there is none in sight."""
    source = asset.mirror + side * _SIDE_BYTES
    for at in range(asset.seen_levels[side]):
        if get_word(source, 2 * at + 1) > 0:
            return get_word(source, 2 * at) * (1 - 2 * side)
    return NO_KEY


@kernel
def _best_own(symbol: Record, asset: Record, side: int, below: int) -> int:
    """Return the best key of our orders that is worse than a key; NO_KEY if there is none.

    One that meets the other side is not looked for: it has been filled, or is about to be, and nobody has said so yet.
    """
    best = NO_KEY
    for i in range(symbol.open_orders):
        slot = slot_at(symbol, symbol.open_slots[i])
        key = slot.px_1e9 * (1 - 2 * side)
        if best < key < below and _rests(slot, asset, side):
            best = key
    return best


@kernel
def _own_size(symbol: Record, asset: Record, side: int, key: int) -> int:
    size = 0
    for i in range(symbol.open_orders):
        slot = slot_at(symbol, symbol.open_slots[i])
        if slot.px_1e9 * (1 - 2 * side) == key and _rests(slot, asset, side):
            size += slot.qty_1e8 - slot.filled_1e8
    return size


@kernel
def _rests(slot: Record, asset: Record, side: int) -> bool:
    """Return whether the algo's side takes an order for resting: accepted, of a type that rests, not yet ended."""
    if slot.asset != asset.index or slot.side != side:
        return False
    return slot.status != PENDING and slot.order_type in (LIMIT, POST_ONLY)

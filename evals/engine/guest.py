"""Writes what the algo sees into its memory, in place: book, features, state, fills, rejects (see `evals.wasm.abi`)."""

from __future__ import annotations

from evals.engine.accounting import average_entry, unrealized
from evals.engine.books import best_at, best_px
from evals.engine.kernel import kernel
from evals.engine.layout import Record
from evals.engine.tables import get_word, level_at, set_word, slot_at
from evals.wasm import native
from evals.wasm.abi import BOOK_LEVELS

_WHOLE_SIDE = 1 << 30
_SIDE_WORDS = 2 * BOOK_LEVELS
_COUNTS_WORD = 2 * _SIDE_WORDS
_ORDERS_WORD, _ORDER_WORDS = 4, 5
_ORDER_COUNT_WORD = 164
_UNREALIZED_WORD = 3
_MICROPRICE_WORD, _IMBALANCE_WORD, _FEATURE_TIME_WORD = 1, 8, 14
_IMBALANCE_LEVELS = 5
_LARGE_SIZE = 1 << 40


@kernel
def write_book(sim: Record, receive_ns: int) -> None:
    """Bring the algo's L2Book up to date: only the levels that changed since the last time are written."""
    book = sim.local
    at = get_word(sim.host, native.BOOK_WORD)
    top_changed = min(book.changed[0, 0], book.changed[1, 0])
    for side in range(2):
        depth, best = book.depth[side], best_at(book, side)
        first = at + side * _SIDE_WORDS
        for d in range(book.changed[side, 0], min(book.changed[side, 1], BOOK_LEVELS)):
            if d < depth:
                set_word(sim.words, first + 2 * d, level_at(book, side, best - d).px_1e9)
                set_word(sim.words, first + 2 * d + 1, level_at(book, side, best - d).sz_1e8)
            else:
                set_word(sim.words, first + 2 * d, 0)
                set_word(sim.words, first + 2 * d + 1, 0)
        book.changed[side, 0] = _WHOLE_SIDE
        book.changed[side, 1] = 0
    set_word(sim.words, at + _COUNTS_WORD, min(book.depth[0], BOOK_LEVELS) | (min(book.depth[1], BOOK_LEVELS) << 8))
    set_word(sim.words, at + _COUNTS_WORD + 1, receive_ns)
    if get_word(sim.host, native.READS_FIXED_REGIONS):
        _write_features(sim, receive_ns, top_changed)


@kernel
def _write_features(sim: Record, receive_ns: int, top_changed: int) -> None:
    """Write the features that follow from the book alone; all others stay at the SDK's neutral zero.

    Microprice: the best prices weighted by the opposite sizes, to 10^-6 of the spread. Imbalance: (bid - ask) / (bid
    + ask) of the sizes of the best five levels, x 10^4.
    """
    book = sim.local
    at = get_word(sim.host, native.FEATURES_WORD)
    set_word(sim.words, at + _FEATURE_TIME_WORD, receive_ns)
    if top_changed >= _IMBALANCE_LEVELS:
        return
    microprice, imbalance = 0, 0
    if book.depth[0] > 0 and book.depth[1] > 0:
        bid_sz, ask_sz = level_at(book, 0, best_at(book, 0)).sz_1e8, level_at(book, 1, best_at(book, 1)).sz_1e8
        while bid_sz > _LARGE_SIZE or ask_sz > _LARGE_SIZE:
            bid_sz, ask_sz = bid_sz // 1024, ask_sz // 1024
        bid_px = best_px(book, 0)
        if bid_sz + ask_sz > 0:
            microprice = (
                bid_px + (best_px(book, 1) - bid_px) // 1000 * (bid_sz * 1_000_000 // (bid_sz + ask_sz)) // 1000
            )
        bids, asks = 0, 0
        for d in range(_IMBALANCE_LEVELS):
            if d < book.depth[0]:
                bids += level_at(book, 0, best_at(book, 0) - d).sz_1e8 // 16
            if d < book.depth[1]:
                asks += level_at(book, 1, best_at(book, 1) - d).sz_1e8 // 16
        while bids > _LARGE_SIZE or asks > _LARGE_SIZE:
            bids, asks = bids // 1024, asks // 1024
        if bids + asks > 0:
            imbalance = (bids - asks) * 10_000 // (bids + asks)
    set_word(sim.words, at + _MICROPRICE_WORD, microprice)
    set_word(sim.words, at + _IMBALANCE_WORD, (imbalance & 0xFFFF) << 48)


@kernel
def write_unrealized(sim: Record) -> None:
    """Mark the algo's position to the mid of the book that it sees."""
    set_word(
        sim.words,
        get_word(sim.host, native.STATE_WORD) + _UNREALIZED_WORD,
        unrealized(sim.known, sim.rules, sim.run.local_mid_1e9),
    )


@kernel
def write_state(sim: Record) -> None:
    """Bring the algo's AlgoState up to date if anything in it changed."""
    run, rules = sim.run, sim.rules
    if run.state_dirty == 0:
        return
    run.state_dirty = 0
    account = sim.known
    at = get_word(sim.host, native.STATE_WORD)
    set_word(sim.words, at, account.position_1e8)
    set_word(sim.words, at + 1, average_entry(account, rules))
    set_word(sim.words, at + 2, account.realized_1e9)
    set_word(sim.words, at + _UNREALIZED_WORD, unrealized(account, rules, run.local_mid_1e9))
    order = at + _ORDERS_WORD
    for i in range(run.open_orders):
        slot = slot_at(sim, sim.open_slots[i])
        set_word(sim.words, order, slot.order_id)
        set_word(sim.words, order + 1, slot.px_1e9)
        set_word(sim.words, order + 2, slot.qty_1e8 if slot.side == 0 else -slot.qty_1e8)
        set_word(sim.words, order + 3, slot.filled_1e8)
        set_word(sim.words, order + 4, (1 if slot.side == 0 else 0xFF) | (slot.status << 8))
        order += _ORDER_WORDS
    set_word(sim.words, at + _ORDER_COUNT_WORD, run.open_orders)
    set_word(sim.words, at + _ORDER_COUNT_WORD + 1, account.session_1e9)
    set_word(sim.words, at + _ORDER_COUNT_WORD + 2, account.fills)


@kernel
def write_fill(sim: Record, order_id: int, px_1e9: int, qty_1e8: int, side: int, receive_ns: int) -> None:
    """Write a Fill; the quantity is a magnitude, the side says which way."""
    at = get_word(sim.host, native.EVENT_WORD)
    set_word(sim.words, at, order_id)
    set_word(sim.words, at + 1, px_1e9)
    set_word(sim.words, at + 2, qty_1e8)
    set_word(sim.words, at + 3, receive_ns)
    set_word(sim.words, at + 4, side & 0xFF)


@kernel
def write_reject(sim: Record, order_id: int, code: int) -> None:
    """Write a Reject."""
    at = get_word(sim.host, native.EVENT_WORD)
    set_word(sim.words, at, order_id)
    set_word(sim.words, at + 1, code)

"""Writes what the algo sees into its memory, in place: book, features, state, fills and rejects (layouts: `evals.wasm.abi`)."""

from __future__ import annotations

from evals.engine.accounting import average_entry, unrealized
from evals.engine.books import best_at, best_px
from evals.engine.kernel import kernel
from evals.engine.layout import Guest, Record
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
def write_book(guest: Guest, receive_ns: int) -> None:
    """Bring the algo's L2Book up to date: only the levels that changed since the last time are written."""
    words, book = guest.words, guest.book
    at = guest.host[native.BOOK_WORD]
    top_changed = min(book.changed[0, 0], book.changed[1, 0])
    for side in range(2):
        depth, best = book.depth[side], best_at(book, side)
        first = at + side * _SIDE_WORDS
        for d in range(book.changed[side, 0], min(book.changed[side, 1], BOOK_LEVELS)):
            if d < depth:
                words[first + 2 * d] = book.levels[side, best - d, 0]
                words[first + 2 * d + 1] = book.levels[side, best - d, 1]
            else:
                words[first + 2 * d] = 0
                words[first + 2 * d + 1] = 0
        book.changed[side, 0] = _WHOLE_SIDE
        book.changed[side, 1] = 0
    words[at + _COUNTS_WORD] = min(book.depth[0], BOOK_LEVELS) | (min(book.depth[1], BOOK_LEVELS) << 8)
    words[at + _COUNTS_WORD + 1] = receive_ns
    if guest.host[native.READS_FIXED_REGIONS]:
        _write_features(guest, receive_ns, top_changed)


@kernel
def _write_features(guest: Guest, receive_ns: int, top_changed: int) -> None:
    """Write the features that follow from the book alone; all others stay at the SDK's neutral zero.

    Microprice: the best prices weighted by the opposite sizes, to 10^-6 of the spread. Imbalance: (bid - ask) / (bid + ask) of
    the sizes of the best five levels, x 10^4.
    """
    words, book = guest.words, guest.book
    at = guest.host[native.FEATURES_WORD]
    words[at + _FEATURE_TIME_WORD] = receive_ns
    if top_changed >= _IMBALANCE_LEVELS:
        return
    microprice, imbalance = 0, 0
    if book.depth[0] > 0 and book.depth[1] > 0:
        bid_sz, ask_sz = book.levels[0, best_at(book, 0), 1], book.levels[1, best_at(book, 1), 1]
        while bid_sz > _LARGE_SIZE or ask_sz > _LARGE_SIZE:
            bid_sz, ask_sz = bid_sz // 1024, ask_sz // 1024
        bid_px = best_px(book, 0)
        if bid_sz + ask_sz > 0:
            microprice = bid_px + (best_px(book, 1) - bid_px) // 1000 * (bid_sz * 1_000_000 // (bid_sz + ask_sz)) // 1000
        bids, asks = 0, 0
        for d in range(_IMBALANCE_LEVELS):
            if d < book.depth[0]:
                bids += book.levels[0, best_at(book, 0) - d, 1] // 16
            if d < book.depth[1]:
                asks += book.levels[1, best_at(book, 1) - d, 1] // 16
        while bids > _LARGE_SIZE or asks > _LARGE_SIZE:
            bids, asks = bids // 1024, asks // 1024
        if bids + asks > 0:
            imbalance = (bids - asks) * 10_000 // (bids + asks)
    words[at + _MICROPRICE_WORD] = microprice
    words[at + _IMBALANCE_WORD] = (imbalance & 0xFFFF) << 48


@kernel
def write_unrealized(guest: Guest, run: Record, rules: Record) -> None:
    """Mark the algo's position to the mid of the book that it sees."""
    guest.words[guest.host[native.STATE_WORD] + _UNREALIZED_WORD] = unrealized(guest.account[0], rules, run.local_mid_1e9)


@kernel
def write_state(guest: Guest, run: Record, rules: Record, slots: Record) -> None:
    """Bring the algo's AlgoState up to date if anything in it changed."""
    if run.state_dirty == 0:
        return
    run.state_dirty = 0
    words, account = guest.words, guest.account[0]
    at = guest.host[native.STATE_WORD]
    words[at] = account.position_1e8
    words[at + 1] = average_entry(account, rules)
    words[at + 2] = account.realized_1e9
    words[at + _UNREALIZED_WORD] = unrealized(account, rules, run.local_mid_1e9)
    order = at + _ORDERS_WORD
    for i in range(run.open_orders):
        slot = slots[guest.open_slots[i]]
        words[order] = slot.order_id
        words[order + 1] = slot.px_1e9
        words[order + 2] = slot.qty_1e8 if slot.side == 0 else -slot.qty_1e8
        words[order + 3] = slot.filled_1e8
        words[order + 4] = (1 if slot.side == 0 else 0xFF) | (slot.status << 8)
        order += _ORDER_WORDS
    words[at + _ORDER_COUNT_WORD] = run.open_orders
    words[at + _ORDER_COUNT_WORD + 1] = account.session_1e9
    words[at + _ORDER_COUNT_WORD + 2] = account.fills


@kernel
def write_fill(guest: Guest, order_id: int, px_1e9: int, qty_1e8: int, side: int, receive_ns: int) -> None:
    """Write a Fill; the quantity is a magnitude, the side says which way."""
    words, at = guest.words, guest.host[native.EVENT_WORD]
    words[at] = order_id
    words[at + 1] = px_1e9
    words[at + 2] = qty_1e8
    words[at + 3] = receive_ns
    words[at + 4] = side & 0xFF


@kernel
def write_reject(guest: Guest, order_id: int, code: int) -> None:
    """Write a Reject."""
    words, at = guest.words, guest.host[native.EVENT_WORD]
    words[at] = order_id
    words[at + 1] = code

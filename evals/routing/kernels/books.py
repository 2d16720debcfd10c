"""The venues' books as sorted arrays, each level with the number of the row that last set it.

The best level stands last, so changes near the best move little. A key is a price such that the larger one is better:
bids by price, asks by negative price.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evals.routing.kernels.compiled import kernel

BIDS: Final = 0
ASKS: Final = 1
FIRST_ROOM: Final = 256
"""Levels a side that there is room for at first."""


class Books(NamedTuple):
    """One book for each venue; arrays of (venue, side, level) and (venue, side)."""

    keys: NDArray[np.int64]
    sizes: NDArray[np.int64]
    stamps: NDArray[np.int64]
    counts: NDArray[np.int64]
    heard_ns: NDArray[np.int64]
    """When the last row came, by venue; before the first: none ever did."""


NEVER: Final = -(2**62)


def no_books(venues: int, room: int = FIRST_ROOM) -> Books:
    """Return empty books."""
    levels = [np.zeros((venues, 2, room), np.int64) for _ in range(3)]
    return Books(levels[0], levels[1], levels[2], np.zeros((venues, 2), np.int64), np.full(venues, NEVER, np.int64))


def with_room(books: Books) -> Books:
    """Return the same books with room for twice as many levels."""
    grown = [np.concatenate([each, np.zeros_like(each)], axis=2) for each in books[:3]]
    return Books(grown[0], grown[1], grown[2], books.counts, books.heard_ns)


@kernel
def place_of(books: Books, venue: int, side: int, key: int) -> int:
    """Return the index of the first level whose key is not smaller."""
    low, high = 0, books.counts[venue, side]
    while low < high:
        middle = (low + high) >> 1
        if books.keys[venue, side, middle] < key:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def set_level(books: Books, venue: int, side: int, px_1e9: int, sz_1e8: int, stamp: int) -> int:
    """Set the absolute size of a level, 0 removes it; return its size before. There is room for one more."""
    keys, sizes, stamps = books.keys, books.sizes, books.stamps
    key = px_1e9 if side == BIDS else -px_1e9
    count = books.counts[venue, side]
    at = place_of(books, venue, side, key)
    if at < count and keys[venue, side, at] == key:
        before = sizes[venue, side, at]
        if sz_1e8 > 0:
            sizes[venue, side, at] = sz_1e8
            stamps[venue, side, at] = stamp
        else:
            for i in range(at, count - 1):
                keys[venue, side, i] = keys[venue, side, i + 1]
                sizes[venue, side, i] = sizes[venue, side, i + 1]
                stamps[venue, side, i] = stamps[venue, side, i + 1]
            books.counts[venue, side] = count - 1
        return before
    if sz_1e8 > 0:
        for i in range(count, at, -1):
            keys[venue, side, i] = keys[venue, side, i - 1]
            sizes[venue, side, i] = sizes[venue, side, i - 1]
            stamps[venue, side, i] = stamps[venue, side, i - 1]
        keys[venue, side, at] = key
        sizes[venue, side, at] = sz_1e8
        stamps[venue, side, at] = stamp
        books.counts[venue, side] = count + 1
    return 0


@kernel
def best_of(books: Books, venue: int, side: int) -> int:
    """Return the best price of a side; 0 if it is empty."""
    count = books.counts[venue, side]
    if count == 0:
        return 0
    key = books.keys[venue, side, count - 1]
    return key if side == BIDS else -key


@kernel
def is_live(books: Books, venue: int, now_ns: int, oldest_ns: int) -> bool:
    """Return whether a book has two sides, is neither crossed nor locked, and a row of it came recently enough."""
    if books.counts[venue, BIDS] == 0 or books.counts[venue, ASKS] == 0:
        return False
    if best_of(books, venue, BIDS) >= best_of(books, venue, ASKS):
        return False
    return now_ns - books.heard_ns[venue] <= oldest_ns


@kernel
def market_mid(books: Books, now_ns: int, oldest_ns: int) -> int:
    """Return the mean of the best bid and the best ask of all live venues, rounded down; 0 if there are none."""
    bid, ask = 0, 0
    for venue in range(len(books.counts)):
        if is_live(books, venue, now_ns, oldest_ns):
            bid = max(bid, best_of(books, venue, BIDS))
            theirs = best_of(books, venue, ASKS)
            ask = theirs if ask == 0 else min(ask, theirs)
    return (bid + ask) // 2

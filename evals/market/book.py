"""A small order book of price levels, for validation and tests; the engine has its own.

Each side is a pair of arrays sorted so that the best level comes last: bids by price, asks by negative price. An
update near the top of the book then moves few levels.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from evals.market.schema import ASK, BID, CLEAR, Events

Levels = NDArray[np.int64]


@njit(cache=True)
def room_for_one(levels: Levels, count: int) -> Levels:
    """Return the array, or a copy twice as long if it is full."""
    if count < len(levels):
        return levels
    larger = np.empty(2 * len(levels), np.int64)
    larger[:count] = levels[:count]
    return larger


@njit(cache=True)
def set_level(keys: Levels, sizes: Levels, count: int, key: int, size: int) -> int:
    """Set a level (size 0 removes it) in ``keys[:count]``, which has room for one more; return the new count."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if keys[middle] < key:
            low = middle + 1
        else:
            high = middle
    found = low < count and keys[low] == key
    if size > 0:
        if not found:
            for i in range(count, low, -1):
                keys[i] = keys[i - 1]
                sizes[i] = sizes[i - 1]
            keys[low] = key
            count += 1
        sizes[low] = size
    elif found:
        count -= 1
        for i in range(low, count):
            keys[i] = keys[i + 1]
            sizes[i] = sizes[i + 1]
    return count


@njit(cache=True)
def _apply(
    events: Events, bid_px: Levels, bid_sz: Levels, bids: int, ask_px: Levels, ask_sz: Levels, asks: int
) -> tuple[Levels, Levels, int, Levels, Levels, int]:
    for i in range(len(events)):
        kind = events[i]["kind"]
        if kind == BID:
            bid_px = room_for_one(bid_px, bids)
            bid_sz = room_for_one(bid_sz, bids)
            bids = set_level(bid_px, bid_sz, bids, events[i]["px_1e9"], events[i]["sz_1e8"])
        elif kind == ASK:
            ask_px = room_for_one(ask_px, asks)
            ask_sz = room_for_one(ask_sz, asks)
            asks = set_level(ask_px, ask_sz, asks, -events[i]["px_1e9"], events[i]["sz_1e8"])
        elif kind == CLEAR:
            bids = 0
            asks = 0
    return bid_px, bid_sz, bids, ask_px, ask_sz, asks


class Book:
    """The levels of both sides, moved on by tape events."""

    def __init__(self) -> None:
        self._state = (*_empty_side(), *_empty_side())

    def apply(self, events: Events) -> None:
        """Apply tape rows in order; trades leave the book as it is."""
        self._state = _apply(events, *self._state)

    def bids(self) -> list[tuple[int, int]]:
        """Return (price, size) of the bids, best first."""
        px, sz, count, _, _, _ = self._state
        return list(zip(px[:count][::-1].tolist(), sz[:count][::-1].tolist(), strict=True))

    def asks(self) -> list[tuple[int, int]]:
        """Return (price, size) of the asks, best first."""
        _, _, _, px, sz, count = self._state
        return list(zip((-px[:count][::-1]).tolist(), sz[:count][::-1].tolist(), strict=True))

    def best(self) -> tuple[tuple[int, int] | None, tuple[int, int] | None]:
        """Return (price, size) of the best bid and the best ask; None where a side is empty."""
        bid_px, bid_sz, bids, ask_px, ask_sz, asks = self._state
        return (
            (int(bid_px[bids - 1]), int(bid_sz[bids - 1])) if bids else None,
            (-int(ask_px[asks - 1]), int(ask_sz[asks - 1])) if asks else None,
        )


def _empty_side() -> tuple[Levels, Levels, int]:
    return np.empty(64, np.int64), np.empty(64, np.int64), 0

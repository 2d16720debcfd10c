"""The price levels of a book, for validation: whether one is there, how many are on a side, which is the best.

For each side a hash table (open addressing, linear probing) knows the levels, and a binary heap the best of them. A
level that goes stays in the heap until it comes to the top. Once half of a table is used, all are built anew from the
levels that are there, so they stay within a small multiple of those.

Keys are prices such that the smallest is the best: asks by price, bids by negative price.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

Int64s: TypeAlias = NDArray[np.int64]
Levels: TypeAlias = tuple[Int64s, Int64s, Int64s, Int64s]
"""keys, marks, heap and counts, a row for each side. A mark is four times the epoch in which its slot was last used,
plus one of the states; the epoch counts how often the side was cleared."""

BIDS: Final = 0
ASKS: Final = 1

EPOCH: Final = 0
USED: Final = 1
HEAPED: Final = 2
LIVE: Final = 3
"""Columns of counts: epoch, used slots, keys in the heap, levels."""

GONE: Final = 0
IN_HEAP: Final = 1
THERE: Final = 2
"""States of a slot: no level; no level, but a key in the heap; a level."""

_SMALLEST: Final = 256
_MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)


def no_levels() -> Levels:
    """Return an empty book."""
    counts = np.zeros((2, 4), np.int64)
    counts[:, EPOCH] = 1
    shape = 2, _SMALLEST
    return np.zeros(shape, np.int64), np.zeros(shape, np.int64), np.zeros((2, _SMALLEST // 2), np.int64), counts


@njit(cache=True)
def with_room(levels: Levels) -> Levels:
    """Return the same levels built anew, each side with at least four times as many slots as levels."""
    keys, marks, _, counts = levels
    slots = _SMALLEST
    while slots < 4 * max(counts[BIDS, LIVE], counts[ASKS, LIVE]):
        slots *= 2
    new_keys = np.zeros((2, slots), np.int64)
    new_marks = np.zeros((2, slots), np.int64)
    new_heap = np.zeros((2, slots // 2), np.int64)
    for side in range(2):
        epoch = counts[side, EPOCH]
        count = 0
        for old in range(keys.shape[1]):
            if marks[side, old] == epoch << 2 | THERE:
                slot = slot_of(new_keys, new_marks, side, epoch, keys[side, old])
                new_keys[side, slot] = keys[side, old]
                new_marks[side, slot] = epoch << 2 | THERE
                push(new_heap, side, count, keys[side, old])
                count += 1
        counts[side, USED] = count
        counts[side, HEAPED] = count
    return new_keys, new_marks, new_heap, counts


@njit(cache=True)
def slot_of(keys: Int64s, marks: Int64s, side: int, epoch: int, key: int) -> int:
    """Return the slot of a key, or the unused one that it would get."""
    last = keys.shape[1] - 1
    # Prices are multiples of the tick: their own low bits say little, the middle of the product depends on all others.
    slot = np.int64((np.uint64(key) * _MULTIPLIER) >> np.uint64(32)) & last
    while marks[side, slot] >> 2 == epoch and keys[side, slot] != key:
        slot = (slot + 1) & last
    return slot


@njit(cache=True)
def push(heap: Int64s, side: int, count: int, key: int) -> None:
    """Add a key to a heap of ``count``."""
    at = count
    while at > 0 and heap[side, (at - 1) >> 1] > key:
        heap[side, at] = heap[side, (at - 1) >> 1]
        at = (at - 1) >> 1
    heap[side, at] = key


@njit(cache=True)
def drop_first(heap: Int64s, side: int, count: int) -> None:
    """Remove the first of the ``count + 1`` keys of a heap."""
    key = heap[side, count]
    at = 0
    while 2 * at + 1 < count:
        child = 2 * at + 1
        child += child + 1 < count and heap[side, child + 1] < heap[side, child]
        if heap[side, child] >= key:
            break
        heap[side, at] = heap[side, child]
        at = child
    heap[side, at] = key

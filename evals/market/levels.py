"""The prices of one side of a book, for validation: whether a level is there, how many are, which is the best.

A hash table (open addressing, linear probing) knows the levels, and a binary heap the best of them. A level that goes
stays in the heap until it comes to the top. Once half of the table is used, both are built anew from the levels that
are there, so both stay within a small multiple of them.

Keys are prices such that the smallest is the best: asks by price, bids by negative price.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import numpy as np
from numba import njit
from numpy.typing import NDArray

Int64s: TypeAlias = NDArray[np.int64]
Side: TypeAlias = tuple[Int64s, Int64s, Int64s, Int64s]
"""keys, marks, heap, counts. A mark is four times the epoch in which its slot was last used, plus one of the states."""

# Slots of counts.
_EPOCH: Final = 0
USED: Final = 1
_HEAPED: Final = 2
LIVE: Final = 3
"""Number of levels."""

# States: gone; gone but still in the heap; there.
_GONE: Final = 0
_IN_HEAP: Final = 1
_THERE: Final = 2

_SMALLEST: Final = 256
_MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)


def no_levels() -> Side:
    """Return an empty side."""
    counts = np.zeros(4, np.int64)
    counts[_EPOCH] = 1
    return np.zeros(_SMALLEST, np.int64), np.zeros(_SMALLEST, np.int64), np.zeros(_SMALLEST // 2, np.int64), counts


@njit(cache=True)
def set_level(keys: Int64s, marks: Int64s, heap: Int64s, counts: Int64s, key: int, there: bool) -> None:
    """Add or remove a level. Before, ``counts[USED]`` must be less than the room in the heap."""
    slot = _slot(keys, marks, counts[_EPOCH], key)
    if marks[slot] >> 2 != counts[_EPOCH]:
        if not there:
            return
        keys[slot] = key
        marks[slot] = counts[_EPOCH] << 2 | _GONE
        counts[USED] += 1
    state = marks[slot] & 3
    if there and state != _THERE:
        counts[LIVE] += 1
        marks[slot] = counts[_EPOCH] << 2 | _THERE
        if state == _GONE:
            _push(heap, counts[_HEAPED], key)
            counts[_HEAPED] += 1
    elif not there and state == _THERE:
        counts[LIVE] -= 1
        marks[slot] = counts[_EPOCH] << 2 | _IN_HEAP


@njit(cache=True)
def best(keys: Int64s, marks: Int64s, heap: Int64s, counts: Int64s) -> int:
    """Return the best level; there must be one."""
    while True:
        slot = _slot(keys, marks, counts[_EPOCH], heap[0])
        if marks[slot] & 3 == _THERE:
            return heap[0]  # type: ignore[no-any-return]
        marks[slot] = counts[_EPOCH] << 2 | _GONE
        counts[_HEAPED] -= 1
        _drop_first(heap, counts[_HEAPED])


@njit(cache=True)
def clear(counts: Int64s) -> None:
    """Remove all levels."""
    counts[_EPOCH] += 1
    counts[USED] = 0
    counts[_HEAPED] = 0
    counts[LIVE] = 0


@njit(cache=True)
def with_room(keys: Int64s, marks: Int64s, counts: Int64s) -> tuple[Int64s, Int64s, Int64s]:
    """Return keys, marks and heap built anew: four to eight times as many slots as levels."""
    slots = _SMALLEST
    while slots < 4 * counts[LIVE]:
        slots *= 2
    new_keys = np.zeros(slots, np.int64)
    new_marks = np.zeros(slots, np.int64)
    new_heap = np.zeros(slots // 2, np.int64)
    there = counts[_EPOCH] << 2 | _THERE
    levels = 0
    for old in range(len(keys)):
        if marks[old] == there:
            slot = _slot(new_keys, new_marks, counts[_EPOCH], keys[old])
            new_keys[slot] = keys[old]
            new_marks[slot] = there
            _push(new_heap, levels, keys[old])
            levels += 1
    counts[USED] = levels
    counts[_HEAPED] = levels
    return new_keys, new_marks, new_heap


@njit(cache=True)
def _slot(keys: Int64s, marks: Int64s, epoch: int, key: int) -> int:
    """Return the slot of a key, or the unused one that it would get."""
    last = len(keys) - 1
    # Prices are multiples of the tick: their own low bits say little, the middle of the product depends on all others.
    slot = np.int64((np.uint64(key) * _MULTIPLIER) >> np.uint64(32)) & last
    while marks[slot] >> 2 == epoch and keys[slot] != key:
        slot = (slot + 1) & last
    return slot  # type: ignore[return-value]  # an int in Numba


@njit(cache=True)
def _push(heap: Int64s, count: int, key: int) -> None:
    at = count
    while at > 0 and heap[(at - 1) >> 1] > key:
        heap[at] = heap[(at - 1) >> 1]
        at = (at - 1) >> 1
    heap[at] = key


@njit(cache=True)
def _drop_first(heap: Int64s, count: int) -> None:
    """Remove the first of ``count + 1`` keys."""
    key = heap[count]
    at = 0
    while 2 * at + 1 < count:
        child = 2 * at + 1
        child += child + 1 < count and heap[child + 1] < heap[child]
        if heap[child] >= key:
            break
        heap[at] = heap[child]
        at = child
    heap[at] = key

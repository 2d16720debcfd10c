"""Order books as sorted arrays with the best level last, so that changes near the top move little memory."""

from __future__ import annotations

import numpy as np

from evals.engine.kernel import kernel
from evals.engine.layout import Book

_NEAR_TOP = 8
_WHOLE_SIDE = 1 << 30


def new_book(capacity: int) -> Book:
    """Return an empty book with room for ``capacity`` levels a side."""
    return Book(
        levels=np.zeros((2, capacity, 3), np.int64),
        depth=np.zeros(2, np.int64),
        changed=np.array([[0, _WHOLE_SIDE], [0, _WHOLE_SIDE]], np.int64),
    )


@kernel
def locate(book: Book, side: int, px_1e9: int) -> int:
    """Return how many levels of a side are worse than a price: its index if it is there, else where it belongs."""
    levels = book.levels
    sign = 1 - 2 * side
    key = px_1e9 * sign
    at = book.depth[side] - 1
    last_linear = max(at - _NEAR_TOP, -1)
    while at > last_linear:
        here = levels[side, at, 0] * sign
        if here < key:
            return at + 1
        if here == key:
            return at
        at -= 1
    if at < 0:
        return 0
    above, step = at + 1, _NEAR_TOP
    below = above - step
    while below >= 0 and levels[side, below, 0] * sign >= key:
        above = below
        step *= 2
        below = above - step
    below = max(below, -1)
    while above - below > 1:
        middle = (above + below) // 2
        if levels[side, middle, 0] * sign >= key:
            above = middle
        else:
            below = middle
    return above


@kernel
def set_level(book: Book, side: int, px_1e9: int, sz_1e8: int) -> None:
    """Set the absolute size of a level; 0 removes it. What we had taken from it is forgotten: the tape has spoken."""
    levels, depth = book.levels, book.depth[side]
    at = locate(book, side, px_1e9)
    if at < depth and levels[side, at, 0] == px_1e9:
        if sz_1e8 > 0:
            levels[side, at, 1] = sz_1e8
            levels[side, at, 2] = 0
            _mark(book, side, depth - 1 - at, depth - at)
            return
        for i in range(at, depth - 1):
            levels[side, i, 0] = levels[side, i + 1, 0]
            levels[side, i, 1] = levels[side, i + 1, 1]
            levels[side, i, 2] = levels[side, i + 1, 2]
        book.depth[side] = depth - 1
        _mark(book, side, depth - 1 - at, _WHOLE_SIDE)
    elif sz_1e8 > 0:
        for i in range(depth, at, -1):
            levels[side, i, 0] = levels[side, i - 1, 0]
            levels[side, i, 1] = levels[side, i - 1, 1]
            levels[side, i, 2] = levels[side, i - 1, 2]
        levels[side, at, 0] = px_1e9
        levels[side, at, 1] = sz_1e8
        levels[side, at, 2] = 0
        book.depth[side] = depth + 1
        _mark(book, side, depth - at, _WHOLE_SIDE)


@kernel
def _mark(book: Book, side: int, first_depth: int, end_depth: int) -> None:
    book.changed[side, 0] = min(book.changed[side, 0], first_depth)
    book.changed[side, 1] = max(book.changed[side, 1], end_depth)


@kernel
def clear(book: Book) -> None:
    """Remove every level."""
    for side in range(2):
        book.depth[side] = 0
        book.changed[side, 0] = 0
        book.changed[side, 1] = _WHOLE_SIDE


@kernel
def size_at(book: Book, side: int, px_1e9: int) -> int:
    """Return the displayed size at a price; 0 without such a level."""
    at = locate(book, side, px_1e9)
    if at < book.depth[side] and book.levels[side, at, 0] == px_1e9:
        return book.levels[side, at, 1]  # type: ignore[no-any-return]
    return 0


@kernel
def best_px(book: Book, side: int) -> int:
    """Return the best price of a side; 0 if the side is empty."""
    depth = book.depth[side]
    return book.levels[side, depth - 1, 0] if depth > 0 else 0


@kernel
def mid_px(book: Book) -> int:
    """Return the mid as the SDK computes it (integer mean of the best prices); 0 if a side is empty."""
    if book.depth[0] == 0 or book.depth[1] == 0:
        return 0
    return (best_px(book, 0) + best_px(book, 1)) // 2


@kernel
def available(book: Book, side: int, limit_px_1e9: int, enough_1e8: int) -> int:
    """Return the size that may still be taken at prices up to a limit; stops counting at ``enough_1e8``."""
    sign = 1 - 2 * side
    total, at = 0, book.depth[side] - 1
    while at >= 0 and total < enough_1e8 and book.levels[side, at, 0] * sign >= limit_px_1e9 * sign:
        total += book.levels[side, at, 1] - book.levels[side, at, 2]
        at -= 1
    return total

"""Order books as sorted arrays, best level last, with room at both ends: a change moves only the levels on its shorter side."""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from evals.engine.kernel import kernel
from evals.engine.layout import Book, Int64s

_NEAR_TOP = 8
_WHOLE_SIDE = 1 << 30
_LEVEL_WORDS = 3
_LEVEL_BYTES = 8 * _LEVEL_WORDS


def new_book(capacity: int) -> Book:
    """Return an empty book with room for ``capacity`` levels a side, half of it at either end."""
    return Book(
        levels=np.zeros((2, capacity, _LEVEL_WORDS), np.int64),
        first=np.full(2, capacity // 2, np.int64),
        depth=np.zeros(2, np.int64),
        changed=np.array([[0, _WHOLE_SIDE], [0, _WHOLE_SIDE]], np.int64),
    )


def with_room(book: Book, room: int) -> Book:
    """Return the same book with room for at least ``room`` more levels at either end of each side."""
    capacity = max(book.levels.shape[1], int(book.depth.max()) * 2 + 2 * room)
    larger = new_book(capacity)
    for side in range(2):
        depth, old = int(book.depth[side]), int(book.first[side])
        first = (capacity - depth) // 2
        larger.levels[side, first : first + depth] = book.levels[side, old : old + depth]
        larger.first[side] = first
    larger.depth[:] = book.depth
    larger.changed[:] = book.changed
    return larger


@kernel
def lacks_room(book: Book, room: int) -> bool:
    """Return whether fewer than ``room`` levels fit at some end."""
    capacity = book.levels.shape[1]
    for side in range(2):
        if book.first[side] < room or book.first[side] + book.depth[side] + room > capacity:
            return True
    return False


@intrinsic
def _memmove(_typing_context, target, source, count):  # type: ignore[no-untyped-def]
    """Move bytes between addresses; the ranges may overlap."""

    def emit(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        pointer, word = ir.IntType(8).as_pointer(), ir.IntType(64)
        move = builder.module.declare_intrinsic("llvm.memmove", [pointer, pointer, word])
        addresses = [builder.inttoptr(values[0], pointer), builder.inttoptr(values[1], pointer)]
        builder.call(move, [*addresses, values[2], ir.Constant(ir.IntType(1), 0)])
        return values[2]

    return types.int64(types.int64, types.int64, types.int64), emit


@kernel
def _move(levels: Int64s, side: int, target: int, source: int, count: int) -> None:
    """Move ``count`` levels of a side."""
    if count > 0:
        base = np.int64(levels.ctypes.data) + side * levels.shape[1] * _LEVEL_BYTES
        _memmove(base + target * _LEVEL_BYTES, base + source * _LEVEL_BYTES, np.int64(count * _LEVEL_BYTES))


@kernel
def best_at(book: Book, side: int) -> int:
    """Return the index of the best level of a side; below ``first`` if the side is empty."""
    return book.first[side] + book.depth[side] - 1  # type: ignore[no-any-return]


@kernel
def locate(book: Book, side: int, px_1e9: int) -> int:
    """Return the index of a price on a side if it is there, else the index that it would take."""
    levels, first = book.levels, book.first[side]
    sign = 1 - 2 * side
    key = px_1e9 * sign
    at = best_at(book, side)
    last_linear = max(at - _NEAR_TOP, first - 1)
    while at > last_linear:
        here = levels[side, at, 0] * sign
        if here < key:
            return at + 1
        if here == key:
            return at
        at -= 1
    if at < first:
        return first  # type: ignore[no-any-return]
    above, step = at + 1, _NEAR_TOP
    below = above - step
    while below >= first and levels[side, below, 0] * sign >= key:
        above = below
        step *= 2
        below = above - step
    below = max(below, first - 1)
    while above - below > 1:
        middle = (above + below) // 2
        if levels[side, middle, 0] * sign >= key:
            above = middle
        else:
            below = middle
    return above


@kernel
def holds(book: Book, side: int, at: int, px_1e9: int) -> bool:
    """Return whether an index of a side holds a price."""
    return at <= best_at(book, side) and book.levels[side, at, 0] == px_1e9  # type: ignore[no-any-return]


@kernel
def set_level(book: Book, side: int, px_1e9: int, sz_1e8: int) -> None:
    """Set the absolute size of a level; 0 removes it. What we had taken from it is forgotten: the tape has spoken."""
    at = locate(book, side, px_1e9)
    d = best_at(book, side) - at
    if holds(book, side, at, px_1e9):
        if sz_1e8 > 0:
            book.levels[side, at, 1] = sz_1e8
            book.levels[side, at, 2] = 0
            _mark(book, side, d, d + 1)
        else:
            _remove(book, side, at)
            _mark(book, side, d, _WHOLE_SIDE)
    elif sz_1e8 > 0:
        at = _make_room(book, side, at)
        book.levels[side, at, 0] = px_1e9
        book.levels[side, at, 1] = sz_1e8
        book.levels[side, at, 2] = 0
        _mark(book, side, d + 1, _WHOLE_SIDE)


@kernel
def _remove(book: Book, side: int, at: int) -> None:
    """Close the gap of a level from its shorter side."""
    worse, better = at - book.first[side], best_at(book, side) - at
    if worse < better:
        _move(book.levels, side, book.first[side] + 1, book.first[side], worse)
        book.first[side] += 1
    else:
        _move(book.levels, side, at, at + 1, better)
    book.depth[side] -= 1


@kernel
def _make_room(book: Book, side: int, at: int) -> int:
    """Open a gap before the level at an index from its shorter side; return the gap's index."""
    worse, better = at - book.first[side], best_at(book, side) + 1 - at
    book.depth[side] += 1
    if worse < better:
        book.first[side] -= 1
        _move(book.levels, side, book.first[side], book.first[side] + 1, worse)
        return at - 1
    _move(book.levels, side, at + 1, at, better)
    return at


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
    if holds(book, side, at, px_1e9):
        return book.levels[side, at, 1]  # type: ignore[no-any-return]
    return 0


@kernel
def best_px(book: Book, side: int) -> int:
    """Return the best price of a side; 0 if the side is empty."""
    return book.levels[side, best_at(book, side), 0] if book.depth[side] > 0 else 0


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
    total, at = 0, best_at(book, side)
    while at >= book.first[side] and total < enough_1e8 and book.levels[side, at, 0] * sign >= limit_px_1e9 * sign:
        total += book.levels[side, at, 1] - book.levels[side, at, 2]
        at -= 1
    return total

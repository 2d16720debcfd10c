"""Order books as sorted arrays, best level last, with room at both ends: a change moves only its shorter side."""

from __future__ import annotations

from evals.engine.kernel import kernel
from evals.engine.layout import LEVEL, Record
from evals.engine.tables import level_at, move_bytes

_NEAR_TOP = 8
_WHOLE_SIDE = 1 << 30
_LEVEL_BYTES = LEVEL.itemsize


@kernel
def lacks_room(book: Record, room: int) -> bool:
    """Return whether fewer than ``room`` levels fit at some end."""
    for side in range(2):
        if book.first[side] < room or book.first[side] + book.depth[side] + room > book.capacity:
            return True
    return False


@kernel
def _move(book: Record, side: int, target: int, source: int, count: int) -> None:
    """Move ``count`` levels of a side."""
    if count > 0:
        base = book.levels + side * book.capacity * _LEVEL_BYTES
        move_bytes(base + target * _LEVEL_BYTES, base + source * _LEVEL_BYTES, count * _LEVEL_BYTES)


@kernel
def best_at(book: Record, side: int) -> int:
    """Return the index of the best level of a side; below ``first`` if the side is empty."""
    return book.first[side] + book.depth[side] - 1  # type: ignore[no-any-return]


@kernel
def locate(book: Record, side: int, px_1e9: int) -> int:
    """Return the index of a price on a side if it is there, else the index that it would take."""
    first = book.first[side]
    sign = 1 - 2 * side
    key = px_1e9 * sign
    at = best_at(book, side)
    last_linear = max(at - _NEAR_TOP, first - 1)
    while at > last_linear:
        here = level_at(book, side, at).px_1e9 * sign
        if here < key:
            return at + 1
        if here == key:
            return at
        at -= 1
    if at < first:
        return first  # type: ignore[no-any-return]
    above, step = at + 1, _NEAR_TOP
    below = above - step
    while below >= first and level_at(book, side, below).px_1e9 * sign >= key:
        above = below
        step *= 2
        below = above - step
    below = max(below, first - 1)
    while above - below > 1:
        middle = (above + below) // 2
        if level_at(book, side, middle).px_1e9 * sign >= key:
            above = middle
        else:
            below = middle
    return above


@kernel
def holds(book: Record, side: int, at: int, px_1e9: int) -> bool:
    """Return whether an index of a side holds a price."""
    return at <= best_at(book, side) and level_at(book, side, at).px_1e9 == px_1e9


@kernel
def set_level(book: Record, side: int, px_1e9: int, sz_1e8: int) -> None:
    """Set the absolute size of a level; 0 removes it. What we had taken from it is forgotten: the tape has spoken."""
    at = locate(book, side, px_1e9)
    d = best_at(book, side) - at
    if holds(book, side, at, px_1e9):
        if sz_1e8 > 0:
            level_at(book, side, at).sz_1e8 = sz_1e8
            level_at(book, side, at).taken_1e8 = 0
            _mark(book, side, d, d + 1)
        else:
            _remove(book, side, at)
            _mark(book, side, d, _WHOLE_SIDE)
    elif sz_1e8 > 0:
        at = _make_room(book, side, at)
        level_at(book, side, at).px_1e9 = px_1e9
        level_at(book, side, at).sz_1e8 = sz_1e8
        level_at(book, side, at).taken_1e8 = 0
        _mark(book, side, d + 1, _WHOLE_SIDE)


@kernel
def _remove(book: Record, side: int, at: int) -> None:
    """Close the gap of a level from its shorter side."""
    worse, better = at - book.first[side], best_at(book, side) - at
    if worse < better:
        _move(book, side, book.first[side] + 1, book.first[side], worse)
        book.first[side] += 1
    else:
        _move(book, side, at, at + 1, better)
    book.depth[side] -= 1


@kernel
def _make_room(book: Record, side: int, at: int) -> int:
    """Open a gap before the level at an index from its shorter side; return the gap's index."""
    worse, better = at - book.first[side], best_at(book, side) + 1 - at
    book.depth[side] += 1
    if worse < better:
        book.first[side] -= 1
        _move(book, side, book.first[side], book.first[side] + 1, worse)
        return at - 1
    _move(book, side, at + 1, at, better)
    return at


@kernel
def _mark(book: Record, side: int, first_depth: int, end_depth: int) -> None:
    book.changed[side, 0] = min(book.changed[side, 0], first_depth)
    book.changed[side, 1] = max(book.changed[side, 1], end_depth)


@kernel
def clear(book: Record) -> None:
    """Remove every level."""
    for side in range(2):
        book.depth[side] = 0
        book.changed[side, 0] = 0
        book.changed[side, 1] = _WHOLE_SIDE


@kernel
def size_at(book: Record, side: int, px_1e9: int) -> int:
    """Return the displayed size at a price; 0 without such a level."""
    at = locate(book, side, px_1e9)
    if holds(book, side, at, px_1e9):
        return level_at(book, side, at).sz_1e8  # type: ignore[no-any-return]
    return 0


@kernel
def best_px(book: Record, side: int) -> int:
    """Return the best price of a side; 0 if the side is empty."""
    return level_at(book, side, best_at(book, side)).px_1e9 if book.depth[side] > 0 else 0


@kernel
def mid_px(book: Record) -> int:
    """Return the mid as the SDK computes it (integer mean of the best prices); 0 if a side is empty."""
    if book.depth[0] == 0 or book.depth[1] == 0:
        return 0
    return (best_px(book, 0) + best_px(book, 1)) // 2


@kernel
def available(book: Record, side: int, limit_px_1e9: int, enough_1e8: int) -> int:
    """Return the size that may still be taken at prices up to a limit; stops counting at ``enough_1e8``."""
    sign = 1 - 2 * side
    total, at = 0, best_at(book, side)
    while (
        at >= book.first[side] and total < enough_1e8 and level_at(book, side, at).px_1e9 * sign >= limit_px_1e9 * sign
    ):
        total += level_at(book, side, at).sz_1e8 - level_at(book, side, at).taken_1e8
        at -= 1
    return total

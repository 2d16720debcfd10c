"""Levels outside a book's window: sorted arrays, best last, with room at both ends so that a change moves few."""

from __future__ import annotations

from evals.engine.kernel import kernel
from evals.engine.layout import FAR_LEVEL, NO_KEY, Record
from evals.engine.tables import far_level, move_bytes

_LEVEL_BYTES = FAR_LEVEL.itemsize


@kernel
def far_at(book: Record, side: int, at: int) -> Record:
    """Return a far level by its index."""
    return far_level(book.far, side * book.far_capacity + at)


@kernel
def far_locate(book: Record, side: int, key: int) -> int:
    """Return the index of the worst far level that is not worse than a key; the end of the side if all are worse."""
    sign = 1 - 2 * side
    low = book.far_first[side]
    high = low + book.far_depth[side]
    while low < high:
        middle = (low + high) // 2
        if far_at(book, side, middle).px_1e9 * sign < key:
            low = middle + 1
        else:
            high = middle
    return low


@kernel
def _near_last(book: Record, side: int, key: int) -> int:
    """Return what :func:`far_locate` does, at once if the key belongs next to the one that was set last.

    Snapshots list levels in order, so this is where nearly all of theirs belong.
    """
    sign, first = 1 - 2 * side, book.far_first[side]
    end, last = first + book.far_depth[side], book.far_last[side]
    for at in range(max(last, first), min(last + 2, end + 1)):
        if (at == end or far_at(book, side, at).px_1e9 * sign >= key) and (
            at == first or far_at(book, side, at - 1).px_1e9 * sign < key
        ):
            return at
    return far_locate(book, side, key)


@kernel
def far_holds(book: Record, side: int, at: int, px_1e9: int) -> bool:
    """Return whether an index of a side holds a price."""
    end = book.far_first[side] + book.far_depth[side]
    return at < end and far_at(book, side, at).px_1e9 == px_1e9


@kernel
def set_far(book: Record, side: int, px_1e9: int, sz_1e8: int) -> int:
    """Set the size of a far level, 0 removes it; return its size before."""
    at = _near_last(book, side, px_1e9 * (1 - 2 * side))
    before = 0
    if far_holds(book, side, at, px_1e9):
        level = far_at(book, side, at)
        before = level.sz_1e8
        if sz_1e8 > 0:
            level.sz_1e8 = sz_1e8
            level.taken_1e8 = 0
        else:
            _remove(book, side, at)
    elif sz_1e8 > 0:
        at = _make_room(book, side, at)
        level = far_at(book, side, at)
        level.px_1e9 = px_1e9
        level.sz_1e8 = sz_1e8
        level.taken_1e8 = 0
    book.far_last[side] = at
    note_far_best(book, side)
    return before


@kernel
def note_far_best(book: Record, side: int) -> None:
    """Remember the key of the best far level."""
    depth = book.far_depth[side]
    best = NO_KEY
    if depth > 0:
        best = far_at(book, side, book.far_first[side] + depth - 1).px_1e9 * (1 - 2 * side)
    book.far_best_key[side] = best


@kernel
def clear_far(book: Record) -> None:
    """Remove every far level."""
    for side in range(2):
        book.far_depth[side] = 0
        book.far_first[side] = book.far_capacity // 2
        book.far_best_key[side] = NO_KEY


@kernel
def _move(book: Record, side: int, target: int, source: int, count: int) -> None:
    if count > 0:
        base = book.far + side * book.far_capacity * _LEVEL_BYTES
        move_bytes(base + target * _LEVEL_BYTES, base + source * _LEVEL_BYTES, count * _LEVEL_BYTES)


@kernel
def _remove(book: Record, side: int, at: int) -> None:
    """Close the gap of a level from its shorter side."""
    first = book.far_first[side]
    worse, better = at - first, first + book.far_depth[side] - 1 - at
    if worse < better:
        _move(book, side, first + 1, first, worse)
        book.far_first[side] = first + 1
    else:
        _move(book, side, at, at + 1, better)
    book.far_depth[side] -= 1


@kernel
def _make_room(book: Record, side: int, at: int) -> int:
    """Open a gap before the level at an index from its shorter side; return the gap's index."""
    first = book.far_first[side]
    worse, better = at - first, first + book.far_depth[side] - at
    book.far_depth[side] += 1
    if worse < better:
        book.far_first[side] = first - 1
        _move(book, side, first - 1, first, worse)
        at -= 1
    else:
        _move(book, side, at + 1, at, better)
    first = book.far_first[side]
    if first < 2 or first + book.far_depth[side] + 2 > book.far_capacity:
        book.wants_care = 1
    return at

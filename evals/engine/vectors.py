# ruff: noqa: ARG001 -- the parameters of an intrinsic are its signature; the code is in `emit`
"""Short lists in vector registers, changed without a branch: the keys of the best levels, and the levels themselves.

Where among twenty a level comes, goes or changes is what no processor predicts; a loop that looks for the place costs
more in wrong guesses than all its steps.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from llvmlite import ir
from numba import extending, types

from evals.engine.layout import NO_KEY, RANKS
from evals.wasm.abi import BOOK_LEVELS

_KEY = ir.IntType(64)
_KEYS = ir.VectorType(_KEY, RANKS)
_LANE = ir.IntType(32)
_intrinsic: Any = extending.intrinsic
_LARGEST = 2**63 - 1
_LEVEL_WORDS = 2
_PIECE = 8
"""Words that are moved at a time."""
_WORDS = ir.VectorType(_KEY, _PIECE)
_PIECES = BOOK_LEVELS * _LEVEL_WORDS // _PIECE


def _vector(values: Iterable[int]) -> Any:
    """Return a constant vector of words."""
    words = [ir.Constant(_KEY, value) for value in values]
    return ir.Constant(ir.VectorType(_KEY, len(words)), words)


def _pick(builder: Any, words: Any, others: Any, lanes: Iterable[int]) -> Any:
    """Take lanes of ``words``, and of ``others`` behind them."""
    order = [ir.Constant(_LANE, lane) for lane in lanes]
    return builder.shuffle_vector(words, others, ir.Constant(ir.VectorType(_LANE, len(order)), order))


def _repeated(builder: Any, word: Any, lanes: int) -> Any:
    kind = ir.VectorType(_KEY, lanes)
    one = builder.insert_element(ir.Constant(kind, ir.Undefined), word, ir.Constant(_LANE, 0))
    return _pick(builder, one, one, [0] * lanes)


def _loaded(builder: Any, address: Any) -> tuple[Any, Any]:
    at = builder.inttoptr(address, _KEYS.as_pointer())
    return at, builder.load(at, align=8)


@_intrinsic
def keys_above(_typing_context, address, key):  # type: ignore[no-untyped-def]
    """Count the keys at an address that are better than a key."""

    def emit(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        _, keys = _loaded(builder, values[0])
        above = builder.icmp_signed(">", keys, _repeated(builder, values[1], RANKS))
        return builder.zext(builder.ctpop(builder.bitcast(above, ir.IntType(RANKS))), _KEY)

    return types.int64(types.int64, types.int64), emit


@_intrinsic
def insert_key(_typing_context, address, key):  # type: ignore[no-untyped-def]
    """Insert a key that is not there among those at an address; the last of BOOK_LEVELS falls out."""

    def emit(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        at, keys = _loaded(builder, values[0])
        new = _repeated(builder, values[1], RANKS)
        moved = _pick(builder, keys, _vector([_LARGEST] * RANKS), [RANKS, *range(RANKS - 1)])
        behind = builder.select(builder.icmp_signed(">", moved, new), new, moved)
        found = builder.select(builder.icmp_signed(">", keys, new), keys, behind)
        lanes = [*range(BOOK_LEVELS), *range(RANKS, 2 * RANKS - BOOK_LEVELS)]
        builder.store(_pick(builder, found, _vector([NO_KEY] * RANKS), lanes), at, align=8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), emit


@_intrinsic
def remove_key(_typing_context, address, key):  # type: ignore[no-untyped-def]
    """Remove a key that is there from those at an address."""

    def emit(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        at, keys = _loaded(builder, values[0])
        moved = _pick(builder, keys, _vector([NO_KEY] * RANKS), list(range(1, RANKS + 1)))
        above = builder.icmp_signed(">", keys, _repeated(builder, values[1], RANKS))
        builder.store(builder.select(above, keys, moved), at, align=8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), emit


def _move_levels(builder: Any, address: Any, depth: Any, by: int) -> None:
    """Move the levels from a depth on by one place, to the end (1) or to the front (-1): then the last is zero."""
    first = builder.mul(depth, ir.Constant(_KEY, _LEVEL_WORDS))
    limit = _repeated(builder, builder.add(first, ir.Constant(_KEY, _LEVEL_WORDS)) if by > 0 else first, _PIECE)
    pointer = _WORDS.as_pointer()
    pieces = range(_PIECES)
    for piece in reversed(pieces) if by > 0 else pieces:
        at = builder.inttoptr(builder.add(address, ir.Constant(_KEY, piece * _PIECE * 8)), pointer)
        here = builder.load(at, align=8)
        if piece == (0 if by > 0 else _PIECES - 1):
            # There is nothing before the first and behind the last to be read.
            sources = [lane - by * _LEVEL_WORDS for lane in range(_PIECE)]
            lanes = [source if 0 <= source < _PIECE else _PIECE for source in sources]
            moved = _pick(builder, here, _vector([0] * _PIECE), lanes)
        else:
            offset = (piece * _PIECE - by * _LEVEL_WORDS) * 8
            moved = builder.load(builder.inttoptr(builder.add(address, ir.Constant(_KEY, offset)), pointer), align=8)
        beyond = builder.icmp_signed(">=", _vector(range(piece * _PIECE, (piece + 1) * _PIECE)), limit)
        builder.store(builder.select(beyond, moved, here), at, align=8)


@_intrinsic
def open_level(_typing_context, address, depth):  # type: ignore[no-untyped-def]
    """Make room for a level at a depth among the BOOK_LEVELS levels at an address; the last falls out."""

    def emit(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        _move_levels(builder, values[0], values[1], 1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), emit


@_intrinsic
def close_level(_typing_context, address, depth):  # type: ignore[no-untyped-def]
    """Take away the level at a depth among the BOOK_LEVELS levels at an address; the last is zero then."""

    def emit(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        _move_levels(builder, values[0], values[1], -1)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), emit

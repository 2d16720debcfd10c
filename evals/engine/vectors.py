# ruff: noqa: ARG001 -- the parameters of an intrinsic are its signature; the code is in `emit`
"""Short lists in vector registers, changed without a branch: the keys of the best levels, and the levels themselves.

Where among twenty a level comes, goes or changes is what no processor predicts; a loop that looks for the place costs
more in wrong guesses than all its steps.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import extending, types

from evals.engine.layout import NO_KEY, RANKS
from evals.wasm.abi import BOOK_LEVELS

_KEY = ir.IntType(64)
_KEYS = ir.VectorType(_KEY, RANKS)
_ORDER = ir.VectorType(ir.IntType(32), RANKS)
_intrinsic: Any = extending.intrinsic
_LARGEST = 2**63 - 1
_LEVEL_WORDS = 2
_PIECE = 8
"""Words that are moved at a time."""
_WORDS = ir.VectorType(_KEY, _PIECE)
_PIECES = BOOK_LEVELS * _LEVEL_WORDS // _PIECE


def _constant(values: list[int]) -> Any:
    return ir.Constant(_KEYS, [ir.Constant(_KEY, value) for value in values])


def _pick(builder: Any, keys: Any, others: Any, lanes: list[int]) -> Any:
    """Take lanes of ``keys``, and of ``others`` behind them."""
    return builder.shuffle_vector(keys, others, ir.Constant(_ORDER, [ir.Constant(ir.IntType(32), at) for at in lanes]))


def _repeated(builder: Any, key: Any) -> Any:
    one = builder.insert_element(ir.Constant(_KEYS, ir.Undefined), key, ir.Constant(ir.IntType(32), 0))
    return _pick(builder, one, one, [0] * RANKS)


def _loaded(builder: Any, address: Any) -> tuple[Any, Any]:
    at = builder.inttoptr(address, _KEYS.as_pointer())
    return at, builder.load(at, align=8)


@_intrinsic
def keys_above(_typing_context, address, key):  # type: ignore[no-untyped-def]
    """Count the keys at an address that are better than a key."""

    def emit(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        _, keys = _loaded(builder, values[0])
        above = builder.icmp_signed(">", keys, _repeated(builder, values[1]))
        return builder.zext(builder.ctpop(builder.bitcast(above, ir.IntType(RANKS))), _KEY)

    return types.int64(types.int64, types.int64), emit


@_intrinsic
def insert_key(_typing_context, address, key):  # type: ignore[no-untyped-def]
    """Insert a key that is not there among those at an address; the last of BOOK_LEVELS falls out."""

    def emit(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        at, keys = _loaded(builder, values[0])
        new = _repeated(builder, values[1])
        moved = _pick(builder, keys, _constant([_LARGEST] * RANKS), [RANKS, *range(RANKS - 1)])
        behind = builder.select(builder.icmp_signed(">", moved, new), new, moved)
        found = builder.select(builder.icmp_signed(">", keys, new), keys, behind)
        lanes = [*range(BOOK_LEVELS), *range(RANKS, 2 * RANKS - BOOK_LEVELS)]
        builder.store(_pick(builder, found, _constant([NO_KEY] * RANKS), lanes), at, align=8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), emit


@_intrinsic
def remove_key(_typing_context, address, key):  # type: ignore[no-untyped-def]
    """Remove a key that is there from those at an address."""

    def emit(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        at, keys = _loaded(builder, values[0])
        moved = _pick(builder, keys, _constant([NO_KEY] * RANKS), list(range(1, RANKS + 1)))
        above = builder.icmp_signed(">", keys, _repeated(builder, values[1]))
        builder.store(builder.select(above, keys, moved), at, align=8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), emit


def _words(values: range | list[int]) -> Any:
    return ir.Constant(_WORDS, [ir.Constant(_KEY, value) for value in values])


def _splat(builder: Any, word: Any) -> Any:
    small = ir.IntType(32)
    one = builder.insert_element(ir.Constant(_WORDS, ir.Undefined), word, ir.Constant(small, 0))
    return builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(small, _PIECE), [ir.Constant(small, 0)] * _PIECE))


def _move_levels(builder: Any, address: Any, depth: Any, by: int) -> None:
    """Move the levels from a depth on by one place, to the end (1) or to the front (-1): then the last is zero."""
    first = builder.mul(depth, ir.Constant(_KEY, _LEVEL_WORDS))
    limit = _splat(builder, builder.add(first, ir.Constant(_KEY, _LEVEL_WORDS)) if by > 0 else first)
    pointer, small = _WORDS.as_pointer(), ir.IntType(32)
    pieces = range(_PIECES)
    for piece in reversed(pieces) if by > 0 else pieces:
        at = builder.inttoptr(builder.add(address, ir.Constant(_KEY, piece * _PIECE * 8)), pointer)
        here = builder.load(at, align=8)
        if piece == (0 if by > 0 else _PIECES - 1):
            # There is nothing before the first and behind the last to be read.
            lanes = [
                (lane - by * _LEVEL_WORDS) if 0 <= lane - by * _LEVEL_WORDS < _PIECE else _PIECE
                for lane in range(_PIECE)
            ]
            order = ir.Constant(ir.VectorType(small, _PIECE), [ir.Constant(small, lane) for lane in lanes])
            moved = builder.shuffle_vector(here, _words([0] * _PIECE), order)
        else:
            offset = (piece * _PIECE - by * _LEVEL_WORDS) * 8
            moved = builder.load(builder.inttoptr(builder.add(address, ir.Constant(_KEY, offset)), pointer), align=8)
        lanes_here = _words(range(piece * _PIECE, (piece + 1) * _PIECE))
        beyond = builder.icmp_signed(">=", lanes_here, limit)
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

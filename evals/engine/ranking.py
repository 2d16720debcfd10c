# ruff: noqa: ARG001 -- the parameters of an intrinsic are its signature; the code is in `emit`
"""The best keys of a side in view, best first: counted, inserted and removed in vector registers, without a branch.

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

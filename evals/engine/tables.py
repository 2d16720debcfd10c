# ruff: noqa: ARG001 -- the parameters of an intrinsic are its signature; the code is in `emit`
"""Access from kernels to tables by address.

A kernel gets one record, :data:`evals.engine.layout.SIM`, in which every table is an address. Passing Numba arrays
instead would copy seven words for each of them into every call, and count references to them: measured, that was
twenty times slower. Nothing here checks bounds: `evals.engine.loop` asks for room before it takes a step.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from llvmlite import ir
from numba import extending, types
from numba.np.numpy_support import from_dtype

from evals.engine import layout
from evals.engine.kernel import inlined, kernel
from evals.engine.layout import Record
from evals.wasm import abi

_WORD = ir.IntType(64)
intrinsic: Any = extending.intrinsic
"""Numba's decorator; what it makes has another signature than the function it decorates."""


def _rows_of(dtype: np.dtype[np.void]) -> Any:
    """Build the intrinsic that turns a table's address and an index into the row there."""
    row_type, row_bytes = from_dtype(dtype), dtype.itemsize

    @intrinsic
    def row(_typing_context, address, index):  # type: ignore[no-untyped-def]
        def emit(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
            offset = builder.mul(values[1], ir.Constant(_WORD, row_bytes))
            return builder.inttoptr(builder.add(values[0], offset), context.get_value_type(row_type))

        return row_type(types.int64, types.int64), emit

    return row


sim_at_address = _rows_of(layout.SIM)
asset_at_address = _rows_of(layout.ASSET)
symbol_at_address = _rows_of(layout.SYMBOL)
_slot = _rows_of(layout.SLOT)
_fill = _rows_of(layout.FILL_LOG)
_order = _rows_of(layout.ORDER_LOG)
_sample = _rows_of(layout.EQUITY_LOG)
message_at = _rows_of(layout.MESSAGE)
change_at = _rows_of(layout.CHANGE)
row_at = _rows_of(layout.ROW)
packet_at = _rows_of(layout.PACKET)
far_level = _rows_of(layout.FAR_LEVEL)
mail_at = _rows_of(layout.MAIL)
features_at = _rows_of(layout.FEATURES)
nbbo_at = _rows_of(abi.NBBO)


@intrinsic
def get_word(_typing_context, address, index):  # type: ignore[no-untyped-def]
    """Read a 64-bit word of a table of words."""

    def emit(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        at = builder.add(values[0], builder.shl(values[1], ir.Constant(_WORD, 3)))
        return builder.load(builder.inttoptr(at, _WORD.as_pointer()))

    return types.int64(types.int64, types.int64), emit


@intrinsic
def set_word(_typing_context, address, index, value):  # type: ignore[no-untyped-def]
    """Write a 64-bit word of a table of words."""

    def emit(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        at = builder.add(values[0], builder.shl(values[1], ir.Constant(_WORD, 3)))
        builder.store(values[2], builder.inttoptr(at, _WORD.as_pointer()))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), emit


@intrinsic
def move_bytes(_typing_context, target, source, count):  # type: ignore[no-untyped-def]
    """Move bytes between addresses; the ranges may overlap."""

    def emit(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        pointer = ir.IntType(8).as_pointer()
        move = builder.module.declare_intrinsic("llvm.memmove", [pointer, pointer, _WORD])
        addresses = [builder.inttoptr(values[0], pointer), builder.inttoptr(values[1], pointer)]
        builder.call(move, [*addresses, values[2], ir.Constant(ir.IntType(1), 0)])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, types.int64), emit


@intrinsic
def get_byte(_typing_context, address):  # type: ignore[no-untyped-def]
    """Read a byte."""

    def emit(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        byte = builder.load(builder.inttoptr(values[0], ir.IntType(8).as_pointer()))
        return builder.zext(byte, _WORD)

    return types.int64(types.int64), emit


@intrinsic
def set_byte(_typing_context, address, value):  # type: ignore[no-untyped-def]
    """Write a byte."""

    def emit(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        byte = builder.trunc(values[1], ir.IntType(8))
        builder.store(byte, builder.inttoptr(values[0], ir.IntType(8).as_pointer()))
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), emit


@intrinsic
def highest_bit(_typing_context, word):  # type: ignore[no-untyped-def]
    """Return the number of the highest bit that is set in a word that is not 0."""

    def emit(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        zeros = builder.ctlz(values[0], ir.Constant(ir.IntType(1), 1))
        return builder.sub(ir.Constant(_WORD, 63), zeros)

    return types.int64(types.int64), emit


@inlined
def asset_at(sim: Record, index: int) -> Record:
    """Return an asset."""
    return asset_at_address(sim.assets, index)


@inlined
def symbol_at(sim: Record, index: int) -> Record:
    """Return a symbol."""
    return symbol_at_address(sim.symbols, index)


@inlined
def symbol_of(sim: Record, asset: Record) -> Record:
    """Return the symbol of an asset."""
    return symbol_at_address(sim.symbols, asset.symbol)


@inlined
def slot_at(symbol: Record, index: int) -> Record:
    """Return one of a symbol's 32 order slots."""
    return _slot(symbol.slots, index)


def _prefetching(to_write: int) -> Any:
    @intrinsic
    def prefetch(_typing_context, address):  # type: ignore[no-untyped-def]
        def emit(context: Any, builder: Any, _signature: Any, values: Any) -> Any:
            pointer, small = ir.IntType(8).as_pointer(), ir.IntType(32)
            function = builder.module.declare_intrinsic(
                "llvm.prefetch", [pointer], ir.FunctionType(ir.VoidType(), [pointer, small, small, small])
            )
            # Whether for writing, to be kept in every cache, data.
            options = [ir.Constant(small, value) for value in (to_write, 3, 1)]
            builder.call(function, [builder.inttoptr(values[0], pointer), *options])
            return context.get_dummy_value()

        return types.void(types.int64), emit

    return prefetch


prefetch_to_read = _prefetching(0)
prefetch_to_write = _prefetching(1)
"""Ask for the cache line of an address, which need not exist."""


@kernel
def fill_at(sim: Record, row: int) -> Record:
    """Return a row of the fill log."""
    return _fill(sim.fills, row - sim.fills_first)


@kernel
def order_at(sim: Record, row: int) -> Record:
    """Return a row of the order log."""
    return _order(sim.orders, row - sim.orders_first)


@kernel
def sample_at(sim: Record, row: int) -> Record:
    """Return a row of the equity log."""
    return _sample(sim.equity, row - sim.equity_first)


@inlined
def word_of(column: Record, row: int) -> int:
    """Return a 64-bit value of a column."""
    return get_word(column.at + row * column.step, 0)


@inlined
def byte_of(column: Record, row: int) -> int:
    """Return a byte of a column."""
    return get_byte(column.at + row * column.step)

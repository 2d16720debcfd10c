"""Calls between kernels and the wasmtime C library, without Python in between.

Addresses travel as integers in an array (``host``), so the kernels stay cacheable across processes. The layout of that
array is the constants below.
"""

from __future__ import annotations

from typing import Any, Final

import numba
import numpy as np
from llvmlite import ir
from numba import cfunc, types

from evals.engine.kernel import kernel
from evals.engine.layout import HOST_ERROR, NO_FAILURE, TRAPPED
from evals.engine.tables import get_word, intrinsic, set_word
from evals.wasm.abi import MAX_MESH_PEERS, MAX_MESSAGE_BYTES

# Addresses of C functions and objects.
CONTEXT, CALL, SET_FUEL, GET_FUEL, MEMORY_SIZE, MEMORY = range(6)
# Addresses of the words below, which C writes.
VALUES_AT, TRAP_AT, FUEL_AT = 6, 7, 8
# Addresses of the exported functions' C structures, by callback.
FUNCTIONS: Final = 9
ON_BOOK, ON_FILL, ON_REJECT, ON_HEARTBEAT, ON_SHUTDOWN, ON_NBBO, ON_MESSAGE = range(7)
CALLBACKS: Final = ("on_book", "on_fill", "on_reject", "on_heartbeat", "on_shutdown", "on_nbbo", "on_message")
# Where the host's structures are in the guest, in words.
EVENT_WORD, NBBO_WORD, MAIL_WORD = 16, 17, 18
# What kind of algo it is.
LARGEST_ACTION_KIND, HAS_BOOK, HAS_HEARTBEAT, HAS_NBBO = 19, 20, 21, 22
# The last actions pointer that was found to be in range.
ACTIONS_AT: Final = 23
# The address of a function that makes the call instead, 0 for none: the plain path.
PLAIN: Final = 24
# Written by the library or the call.
TRAP, FUEL_LEFT, ERROR = 25, 26, 27
VALUES: Final = 28
# The size of the guest's memory, where the plain path writes it.
MEMORY_BYTES: Final = 36
HOST_WORDS: Final = 40

# What the algo says to the outside: header, log lines, messages.
LOG_CONTEXT, LOG_MEMORY, LOG_MEMORY_SIZE, LOG_BASE, LOG_NEW_TRAP, LOG_TRAP_TEXT, LOG_TRAP_BYTES, LOG_NOW, LOG_COUNT = (
    range(9)
)
# Messages: how many were kept, and how many were dropped and why.
SENT, TOO_LONG, OUT_OF_RANGE, UNKNOWN_RECEIVER, FLOOD = range(9, 14)
# How many messages were taken out again.
TAKEN: Final = 14
MESH_LATENCY, PEER_COUNT, PEERS = 15, 16, 17
LOG_HEADER: Final = PEERS + MAX_MESH_PEERS
LOG_FIRST_LINES: Final = 64
LOG_LAST_LINES: Final = 1024
LOG_TEXT_BYTES: Final = 256
LOG_LINE_WORDS: Final = 2 + LOG_TEXT_BYTES // 8
OUTBOX: Final = LOG_HEADER + (LOG_FIRST_LINES + LOG_LAST_LINES) * LOG_LINE_WORDS
OUTBOX_ROOM: Final = 1024
"""Messages of one sender that may be under way; more are dropped, so whoever drains the ring once a latency misses
none."""
OUTBOX_ROW_WORDS: Final = 3 + MAX_MESSAGE_BYTES // 8
LOG_WORDS: Final = OUTBOX + OUTBOX_ROOM * OUTBOX_ROW_WORDS

LARGEST_LOG_TEXT: Final = 1 << 20
_array_at: Any = numba.carray  # type: ignore[attr-defined]


def _call_of(arity: int) -> Any:
    """Build the intrinsic that calls a C function of int64 arguments and an int64 result at an address."""

    def generate(_typing: Any, *_arguments: Any) -> Any:
        signature = types.int64(*([types.int64] * (arity + 1)))

        def emit(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
            word = ir.IntType(64)
            kind = ir.FunctionType(word, [word] * arity)
            return builder.call(builder.inttoptr(values[0], kind.as_pointer()), list(values[1:]))

        return signature, emit

    return generate


@intrinsic
def call2(typing_context, address, a, b):  # type: ignore[no-untyped-def]
    """Call a C function of two arguments."""
    return _call_of(2)(typing_context, address, a, b)


@intrinsic
def call3(typing_context, address, a, b, c):  # type: ignore[no-untyped-def]
    """Call a C function of three arguments."""
    return _call_of(3)(typing_context, address, a, b, c)


@intrinsic
def call5(typing_context, address, a, b, c, d, e):  # type: ignore[no-untyped-def]
    """Call a C function of five arguments."""
    return _call_of(5)(typing_context, address, a, b, c, d, e)


@intrinsic
def _pointer(_typing_context, address):  # type: ignore[no-untyped-def]
    """Turn an address into a pointer."""

    def emit(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.inttoptr(values[0], ir.IntType(8).as_pointer())

    return types.voidptr(address), emit


@kernel
def call_guest(host: int, callback: int, arguments: int, fuel: int) -> int:
    """Call an exported function whose i32 arguments are in the value words; return a failure code.

    Fuel is set before and read after, so the limit and the cost are per callback. The result, if any, is in the first
    value word.
    """
    plain = get_word(host, PLAIN)
    if plain != 0:
        answer = call3(plain, callback, arguments, fuel)
        return HOST_ERROR if answer == 0 else answer - 1
    context = get_word(host, CONTEXT)
    set_word(host, TRAP, 0)
    error = call2(get_word(host, SET_FUEL), context, fuel)
    if error == 0:
        function, values = get_word(host, FUNCTIONS + callback), get_word(host, VALUES_AT)
        error = call5(get_word(host, CALL), context, function, values, max(arguments, 1), get_word(host, TRAP_AT))
        call2(get_word(host, GET_FUEL), context, get_word(host, FUEL_AT))
    set_word(host, ERROR, error)
    if get_word(host, TRAP) != 0:
        return TRAPPED
    return HOST_ERROR if error != 0 else NO_FAILURE


@kernel
def memory_bytes(host: int) -> int:
    """Return the current size of the guest's memory."""
    if get_word(host, PLAIN) != 0:
        return get_word(host, MEMORY_BYTES)
    return call2(get_word(host, MEMORY_SIZE), get_word(host, CONTEXT), get_word(host, MEMORY))


@kernel
def log_line(number: int) -> int:
    """Return where a log line goes: the first ones stay, the last ones go round a ring."""
    if number < LOG_FIRST_LINES:
        return LOG_HEADER + number * LOG_LINE_WORDS
    ring = LOG_HEADER + LOG_FIRST_LINES * LOG_LINE_WORDS
    return ring + (number - LOG_FIRST_LINES) % LOG_LAST_LINES * LOG_LINE_WORDS


def _log(environment, _caller, values, _count):  # type: ignore[no-untyped-def]
    """Copy one log line of the guest into the ring; trap if it points outside the memory."""
    header = _array_at(environment, (LOG_WORDS,), np.int64)
    arguments = _array_at(values, (6,), np.int64)
    level = arguments[0] & 0xFF
    at = arguments[2] & 0xFFFFFFFF
    length = arguments[4] & 0xFFFFFFFF
    if (
        at + length > call2(header[LOG_MEMORY_SIZE], header[LOG_CONTEXT], header[LOG_MEMORY])
        or length > LARGEST_LOG_TEXT
    ):
        return call2(header[LOG_NEW_TRAP], header[LOG_TRAP_TEXT], header[LOG_TRAP_BYTES])
    line = log_line(header[LOG_COUNT])
    header[LOG_COUNT] += 1
    kept = min(length, LOG_TEXT_BYTES)
    header[line] = header[LOG_NOW]
    header[line + 1] = level | (length << 8)
    text = _array_at(environment, (LOG_WORDS * 8,), np.uint8)
    source = _array_at(_pointer(header[LOG_BASE] + at), (kept,), np.uint8)
    first = (line + 2) * 8
    for i in range(kept):
        text[first + i] = source[i]
    return np.int64(0)


def _send(environment, _caller, values, _count):  # type: ignore[no-untyped-def]
    """Put a message of the guest into its outbox, or count why not: what it says about others never ends a run."""
    header = _array_at(environment, (LOG_WORDS,), np.int64)
    arguments = _array_at(values, (6,), np.int64)
    at = arguments[2] & 0xFFFFFFFF
    length = arguments[4] & 0xFFFFFFFF
    known = False
    for peer in range(header[PEER_COUNT]):
        known |= header[PEERS + peer] == arguments[0]
    row = OUTBOX + header[SENT] % OUTBOX_ROOM * OUTBOX_ROW_WORDS
    if length > MAX_MESSAGE_BYTES:
        header[TOO_LONG] += 1
    elif at + length > call2(header[LOG_MEMORY_SIZE], header[LOG_CONTEXT], header[LOG_MEMORY]):
        header[OUT_OF_RANGE] += 1
    elif not known:
        header[UNKNOWN_RECEIVER] += 1
    elif header[SENT] >= OUTBOX_ROOM and header[row] + header[MESH_LATENCY] > header[LOG_NOW]:
        header[FLOOD] += 1
    else:
        header[SENT] += 1
        header[row] = header[LOG_NOW]
        header[row + 1] = arguments[0]
        header[row + 2] = length
        for word in range(row + 3, row + OUTBOX_ROW_WORDS):
            header[word] = 0
        text = _array_at(environment, (LOG_WORDS * 8,), np.uint8)
        source = _array_at(_pointer(header[LOG_BASE] + at), (length,), np.uint8)
        for i in range(length):
            text[(row + 3) * 8 + i] = source[i]
    return np.int64(0)


_CALLBACK = types.int64(types.voidptr, types.voidptr, types.voidptr, types.uint64)
log_callback: Any = cfunc(_CALLBACK, cache=True)(_log)
send_callback: Any = cfunc(_CALLBACK, cache=True)(_send)

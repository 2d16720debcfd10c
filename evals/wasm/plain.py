"""The plain path: the same calls through wasmtime-py's public interface only, slow and obvious.

It is what the fast path is checked against, and what runs where wasmtime-py has changed inside. A kernel reaches it
through one function pointer (`native.PLAIN`). No exception crosses into a kernel: it is kept until Python asks.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Mapping
from typing import Final

import wasmtime

from evals.engine.layout import HOST_ERROR, NO_FAILURE, TRAPPED, Int64s
from evals.wasm import abi, native
from evals.wasm.calls import Calls
from evals.wasm.outgoing import LOG_TRAP

_SIGNATURE: Final = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64, ctypes.c_int64, ctypes.c_int64)
_UNSIGNED: Final = 0xFFFFFFFF


class PlainCalls(Calls):
    """Calls functions as Python objects."""

    def define(self, linker: wasmtime.Linker, module: str, name: str, kind: wasmtime.FuncType) -> None:
        """Offer a Python function; it must not hold the store, which holds it."""
        function = {"host_log_impl": _log, "__seq_send": _send}[name]
        bound = functools.partial(function, self.outgoing.words)
        linker.define(self.store, module, name, wasmtime.Func(self.store, kind, bound, access_caller=True))

    def connect(self, memory: wasmtime.Memory, functions: Mapping[int, wasmtime.Func]) -> None:
        """Give the kernels a function to call instead of the C library's."""
        self._errors: list[BaseException] = []
        self.host[native.MEMORY_BYTES] = memory.data_len(self.store)
        self._entry = _SIGNATURE(_caller(self.store, self.host, memory, functions, self._errors))
        self.host[native.PLAIN] = ctypes.cast(self._entry, ctypes.c_void_p).value or 0

    def last_error(self, code: int) -> BaseException:
        """Return the exception that the last call ended with."""
        return self._errors[-1] if self._errors else RuntimeError(f"The call was lost (code {code})")


def _caller(
    store: wasmtime.Store,
    host: Int64s,
    memory: wasmtime.Memory,
    functions: Mapping[int, wasmtime.Func],
    errors: list[BaseException],
) -> Callable[[int, int, int], int]:
    """Return what a kernel calls: (callback, number of arguments, fuel) to a failure code plus 1.

    If anything goes wrong outside of the `try`, ctypes prints it and answers 0, which no code is.
    """

    def call(callback: int, arguments: int, fuel: int) -> int:
        try:
            return 1 + _call(store, host, memory, functions[callback], arguments, fuel)
        except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
            errors.append(error)
            return 1 + TRAPPED
        except BaseException as error:  # noqa: BLE001 -- Ctrl-C too: a kernel cannot carry it, `last_error` does
            errors.append(error)
            return 1 + HOST_ERROR

    return call


def _call(
    store: wasmtime.Store, host: Int64s, memory: wasmtime.Memory, function: wasmtime.Func, arguments: int, fuel: int
) -> int:
    kinds = [str(kind) for kind in function.type(store).params]
    words = [int(host[native.VALUES + 2 * i]) for i in range(arguments)]
    values = [word if kind == abi.I64 else _signed(word) for kind, word in zip(kinds, words, strict=True)]
    store.set_fuel(fuel)
    try:
        answer = function(store, *values)
    finally:
        host[native.FUEL_LEFT] = store.get_fuel()
        host[native.MEMORY_BYTES] = memory.data_len(store)
    if answer is not None:
        host[native.VALUES] = answer & _UNSIGNED
    return NO_FAILURE


def _signed(word: int) -> int:
    """Return the low half of a word as an i32."""
    return ctypes.c_int32(word & _UNSIGNED).value


def _log(out: Int64s, caller: wasmtime.Caller, level: int, at: int, length: int) -> None:
    """Keep a log line, as `native._log` does."""
    memory = _memory_of(caller)
    at, length = at & _UNSIGNED, length & _UNSIGNED
    if length > native.LARGEST_LOG_TEXT or at + length > memory.data_len(caller):
        raise wasmtime.WasmtimeError(LOG_TRAP)
    line = native.log_line(int(out[native.LOG_COUNT]))
    out[native.LOG_COUNT] += 1
    out[line] = out[native.LOG_NOW]
    out[line + 1] = (level & 0xFF) | (length << 8)
    _write(out, line + 2, memory.read(caller, at, at + min(length, native.LOG_TEXT_BYTES)))


def _send(out: Int64s, caller: wasmtime.Caller, receiver: int, at: int, length: int) -> None:
    """Put a message into the outbox or count why not, as `native._send` does."""
    memory = _memory_of(caller)
    at, length = at & _UNSIGNED, length & _UNSIGNED
    number = int(out[native.SENT])
    row = native.OUTBOX + number % native.OUTBOX_ROOM * native.OUTBOX_ROW_WORDS
    if length > abi.MAX_MESSAGE_BYTES:
        out[native.TOO_LONG] += 1
    elif at + length > memory.data_len(caller):
        out[native.OUT_OF_RANGE] += 1
    elif receiver not in out[native.PEERS :][: int(out[native.PEER_COUNT])]:
        out[native.UNKNOWN_RECEIVER] += 1
    elif number >= native.OUTBOX_ROOM and out[row] + out[native.MESH_LATENCY] > out[native.LOG_NOW]:
        out[native.FLOOD] += 1
    else:
        out[native.SENT] += 1
        out[row : row + 3] = out[native.LOG_NOW], receiver, length
        out[row + 3 : row + native.OUTBOX_ROW_WORDS] = 0
        _write(out, row + 3, memory.read(caller, at, at + length))


def _memory_of(caller: wasmtime.Caller) -> wasmtime.Memory:
    memory = caller["memory"]
    assert isinstance(memory, wasmtime.Memory)  # noqa: S101 -- the module was checked
    return memory


def _write(out: Int64s, word: int, text: bytearray) -> None:
    """Write bytes from the beginning of a word; what stood behind them stays."""
    out[word:].view("u1")[: len(text)] = text

# ruff: noqa: SLF001 -- the C structures behind wasmtime-py's objects are what the kernels call
"""One running algo: its own engine and store, its limits, and the addresses that the kernels need."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import wasmtime
from wasmtime import _ffi as ffi

from bundles.errors import InvalidModuleError
from bundles.mm_types import MmConfig
from evals.engine.layout import TRAPPED
from evals.errors import AlgoFailure, AlgoProtocolError, AlgoTrapped, FuelExhausted
from evals.wasm import abi, native
from evals.wasm.module import load_module, new_engine

_LOG_TRAP: Final = b"host_log_impl: the text lies outside the memory or is longer than 1 MiB"
_LOG_LEVELS: Final = ("trace", "debug", "info", "warn", "error")
_BOOK_BYTES: Final = 704
"""More than the structure has, so that an algo that believes the SDK's old comment (688) stays in bounds."""
_EVENT_BYTES: Final = 64


class Interrupted(Exception):  # noqa: N818 -- not an error of anything: the wall-clock net closed
    """The wall-clock limit ended a callback."""


@dataclass(frozen=True)
class LogLine:
    """One line that the algo logged; text beyond 256 bytes is cut."""

    at_ns: int
    level: str
    text: str


class Instance:
    """An instantiated algo, ready to be called from kernels.

    Raises:
        InvalidModuleError: if the module is not an algo, or cannot be instantiated within the limits.
        AlgoFailure: if it fails while the host asks it for memory.

    """

    def __init__(
        self, wasm: bytes, *, fuel_per_callback: int, memory_limit_bytes: int, symbols: int = 1, assets: int = 1
    ) -> None:
        self._engine = new_engine()
        self._module, self.facts = load_module(self._engine, wasm)
        self._store = wasmtime.Store(self._engine)
        self._store.set_limits(memory_size=memory_limit_bytes, table_elements=65_536, instances=1, tables=8, memories=1)
        self._store.set_epoch_deadline(1)
        self._store.set_fuel(fuel_per_callback)
        self.log = np.zeros(native.LOG_WORDS, np.int64)
        self.host = np.zeros(native.HOST_WORDS, np.int64)
        self._keep: list[Any] = []
        linker = wasmtime.Linker(self._engine)
        self._define(linker, "host_log_impl", native.log_callback.address)
        self._define(linker, "__seq_send", native.send_callback.address)
        try:
            exports = linker.instantiate(self._store, self._module).exports(self._store)
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            raise InvalidModuleError(
                f"The module cannot be instantiated within {memory_limit_bytes} bytes of memory: {_last_line(error)}. "
                "Lower its initial memory, or mend its data segments."
            ) from error
        memory = exports["memory"]
        assert isinstance(memory, wasmtime.Memory)  # noqa: S101 -- load_module has checked it
        base = ctypes.addressof(memory.data_ptr(self._store).contents)
        self.words = np.ctypeslib.as_array((ctypes.c_int64 * (memory_limit_bytes // 8)).from_address(base))
        self._memory = memory
        self._fill_host(exports, base)
        alloc = exports["algo_alloc"]
        self.books = tuple(self._allocate(alloc, _BOOK_BYTES, fuel_per_callback) for _ in range(assets))
        """Addresses of the assets' L2Books in the guest's memory."""
        self.states = tuple(self._allocate(alloc, abi.ALGO_STATE.itemsize, fuel_per_callback) for _ in range(symbols))
        """Addresses of the symbols' AlgoStates."""
        self.host[native.EVENT_WORD] = self._allocate(alloc, _EVENT_BYTES, fuel_per_callback) // 8
        if self.host[native.HAS_NBBO]:
            self.host[native.NBBO_WORD] = self._allocate(alloc, abi.NBBO.itemsize, fuel_per_callback) // 8
        if "algo_on_message" in self.facts.exports:
            self.host[native.MAIL_WORD] = self._allocate(alloc, abi.MAX_MESSAGE_BYTES, fuel_per_callback) // 8

    def interrupt(self) -> None:
        """End the running or the next callback; may be called from another thread."""
        self._engine.increment_epoch()

    def region(self, at: int, layout: np.dtype[np.void]) -> Any:
        """Return a writable view of one structure in the guest's memory."""
        return self.words.view(np.uint8)[at : at + layout.itemsize].view(layout)[0]

    def write_config(self, config: MmConfig, now_ns: int) -> None:
        """Write the configuration where algos of SDK 0.3 and 0.4 read it: seven integers in slots 0 to 6."""
        if not self.facts.reads_fixed_regions:
            return
        region = self.region(abi.CONFIG_REGION_AT, abi.CONFIG_REGION)
        words = np.frombuffer(config.pack(), "<i8")
        region["version"] = 1
        region["param_count"] = len(words)
        region["update_seq"] = 1
        region["update_ns"] = now_ns
        region["params"][: len(words)] = words
        self.region(abi.ONLINE_FEATURES_AT, abi.ONLINE_FEATURES)["version"] = 1

    def state(self, symbol: int = 0) -> Any:
        """Return a writable view of a symbol's AlgoState in the guest's memory."""
        return self.region(self.states[symbol], abi.ALGO_STATE)

    def failure(self, code: int, callback: str, event_index: int, fuel_used: int) -> AlgoFailure:
        """Turn what a kernel reported into an error, and free what the library handed over.

        Raises:
            Interrupted: if the wall-clock net ended the callback.

        """
        place: dict[str, Any] = {"callback": callback, "event_index": event_index, "fuel_used": fuel_used}
        if code != TRAPPED:
            error = wasmtime.WasmtimeError._from_ptr(
                ctypes.cast(int(self.host[native.ERROR]), ctypes.POINTER(ffi.wasmtime_error_t))
            )
            return AlgoTrapped(f"The algo could not be called: {_last_line(error)}", **place)
        trap = wasmtime.Trap._from_ptr(ctypes.cast(int(self.host[native.TRAP]), ctypes.POINTER(ffi.wasm_trap_t)))
        return _explain(trap, place)

    def logs(self) -> tuple[LogLine, ...]:
        """Return the last lines that the algo logged, oldest first."""
        count = int(self.log[native.LOG_COUNT])
        lines = []
        for number in range(max(0, count - native.LOG_LINES), count):
            at = native.LOG_HEADER + number % native.LOG_LINES * native.LOG_LINE_WORDS
            words = self.log[at : at + native.LOG_LINE_WORDS]
            level, length = int(words[1]) & 0xFF, int(words[1]) >> 8
            text = words[2:].tobytes()[: min(length, native.LOG_TEXT_BYTES)].decode("utf-8", "replace")
            lines.append(LogLine(int(words[0]), _LOG_LEVELS[min(level, len(_LOG_LEVELS) - 1)], text))
        return tuple(lines)

    def _define(self, linker: wasmtime.Linker, name: str, address: int) -> None:
        params, results = abi.IMPORTS["env", name]
        kinds = {abi.I32: wasmtime.ValType.i32, abi.I64: wasmtime.ValType.i64}
        kind = wasmtime.FuncType([kinds[p]() for p in params], [kinds[r]() for r in results])
        error = ffi.wasmtime_linker_define_func_unchecked(
            linker.ptr(),
            ctypes.create_string_buffer(b"env"),
            len(b"env"),
            ctypes.create_string_buffer(name.encode()),
            len(name),
            kind.ptr(),
            ctypes.cast(address, ffi.wasmtime_func_unchecked_callback_t),
            self.log.ctypes.data,
            ctypes.cast(0, ctypes.CFUNCTYPE(None, ctypes.c_void_p)),
        )
        if ctypes.cast(error, ctypes.c_void_p).value is not None:
            raise wasmtime.WasmtimeError._from_ptr(error)

    def _fill_host(self, exports: Any, base: int) -> None:
        host, log = self.host, self.log
        memory = self._kept(self._memory._memory)
        host[native.CONTEXT] = ctypes.addressof(self._store._context().contents)
        host[native.CALL] = _address("wasmtime_func_call_unchecked")
        host[native.SET_FUEL] = _address("wasmtime_context_set_fuel")
        host[native.GET_FUEL] = _address("wasmtime_context_get_fuel")
        host[native.MEMORY_SIZE] = _address("wasmtime_memory_data_size")
        host[native.MEMORY] = memory
        host[native.VALUES_AT] = host[native.VALUES :].ctypes.data
        host[native.TRAP_AT] = host[native.TRAP :].ctypes.data
        host[native.FUEL_AT] = host[native.FUEL_LEFT :].ctypes.data
        names = {name: f"algo_{name}" for name in native.CALLBACKS} | {"on_book": self.facts.book_export}
        for number, name in enumerate(native.CALLBACKS):
            if names[name] in self.facts.exports:
                host[native.FUNCTIONS + number] = self._kept(exports[names[name]]._func)
        host[native.LARGEST_ACTION_KIND] = self.facts.largest_action_kind
        host[native.HAS_HEARTBEAT] = "algo_on_heartbeat" in self.facts.exports
        host[native.HAS_BOOK] = names["on_book"] in self.facts.exports
        host[native.HAS_NBBO] = "algo_on_nbbo" in self.facts.exports
        host[native.ACTIONS_AT] = -1
        log[native.LOG_CONTEXT] = host[native.CONTEXT]
        log[native.LOG_MEMORY] = memory
        log[native.LOG_MEMORY_SIZE] = host[native.MEMORY_SIZE]
        log[native.LOG_BASE] = base
        log[native.LOG_NEW_TRAP] = _address("wasmtime_trap_new")
        text = ctypes.create_string_buffer(_LOG_TRAP)
        log[native.LOG_TRAP_TEXT] = self._kept(text)
        log[native.LOG_TRAP_BYTES] = len(_LOG_TRAP)

    def _kept(self, structure: Any) -> int:
        """Keep a C structure alive as long as this instance and return its address."""
        self._keep.append(structure)
        return ctypes.addressof(structure)

    def _allocate(self, algo_alloc: Any, size: int, fuel: int) -> int:
        """Ask the algo for memory that is aligned, inside its memory and zeroed.

        Raises:
            AlgoFailure: if it fails or answers with something else.

        """
        self._store.set_fuel(fuel)
        place: dict[str, Any] = {"callback": "algo_alloc", "event_index": -1, "fuel_used": 0}
        try:
            at = int(algo_alloc(self._store, size)) & 0xFFFFFFFF
        except wasmtime.Trap as trap:
            raise _explain(trap, place | {"fuel_used": fuel - self._store.get_fuel()}) from trap
        if at == 0 or at % 8 or at + size > self._memory.data_len(self._store):
            raise AlgoProtocolError(
                f"algo_alloc({size}) returned {at:#x}, which is null, unaligned or outside the memory", **place
            )
        self.words.view(np.uint8)[at : at + size] = 0
        return at


def _explain(trap: wasmtime.Trap, place: dict[str, Any]) -> AlgoFailure:
    if trap.trap_code is wasmtime.TrapCode.INTERRUPT:
        raise Interrupted
    if trap.trap_code is wasmtime.TrapCode.OUT_OF_FUEL:
        return FuelExhausted(
            "The algo used up its fuel: an endless loop (a panic handler, perhaps) or too much work", **place
        )
    return AlgoTrapped(f"The algo trapped: {_last_line(trap)}", **place)


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].strip().removeprefix("wasm trap: ")


def _address(name: str) -> int:
    return ctypes.cast(getattr(ffi.dll, name), ctypes.c_void_p).value or 0

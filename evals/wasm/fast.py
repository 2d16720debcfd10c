# ruff: noqa: SLF001 -- the C structures behind wasmtime-py's objects are what the kernels call
"""The fast path: kernels call the C library, and the algo calls machine code; Python is not in between.

This leans on names inside wasmtime-py that are not part of its interface. Where one is missing there is `plain`.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from typing import Any, Final

import wasmtime

from evals.engine.layout import TRAPPED
from evals.wasm import native
from evals.wasm.calls import Calls
from evals.wasm.outgoing import LOG_TRAP

_FUNCTIONS: Final = (
    "wasmtime_func_call_unchecked",
    "wasmtime_context_set_fuel",
    "wasmtime_context_get_fuel",
    "wasmtime_memory_data_size",
    "wasmtime_trap_new",
    "wasmtime_linker_define_func_unchecked",
)
_INTERNALS: Final = ("dll", "wasmtime_func_unchecked_callback_t", "wasmtime_error_t", "wasm_trap_t")


def what_is_missing() -> str:
    """Return the name of something that this path needs and the installed wasmtime-py lacks; "" if it has all."""
    ffi = getattr(wasmtime, "_ffi", None)
    for name in _INTERNALS:
        if not hasattr(ffi, name):
            return f"_ffi.{name}"
    for name in _FUNCTIONS:
        if not hasattr(ffi, name) or not hasattr(ffi.dll, name):  # type: ignore[union-attr]
            return name
    for kind, name in (
        (wasmtime.Store, "_context"),
        (wasmtime.Trap, "_from_ptr"),
        (wasmtime.WasmtimeError, "_from_ptr"),
    ):
        if not hasattr(kind, name):
            return f"{kind.__name__}.{name}"
    return ""


class FastCalls(Calls):
    """Hands the addresses of C functions and structures to the kernels."""

    _keep: tuple[Any, ...] = ()

    def define(self, linker: wasmtime.Linker, module: str, name: str, kind: wasmtime.FuncType) -> None:
        """Offer a compiled callback; its environment is the array of what the algo says."""
        ffi = wasmtime._ffi
        address = {"host_log_impl": native.log_callback.address, "__seq_send": native.send_callback.address}[name]
        error = ffi.wasmtime_linker_define_func_unchecked(
            linker.ptr(),
            ctypes.create_string_buffer(module.encode()),
            len(module),
            ctypes.create_string_buffer(name.encode()),
            len(name),
            kind.ptr(),
            ctypes.cast(address, ffi.wasmtime_func_unchecked_callback_t),
            self.outgoing.words.ctypes.data,
            ctypes.cast(0, ctypes.CFUNCTYPE(None, ctypes.c_void_p)),
        )
        if ctypes.cast(error, ctypes.c_void_p).value is not None:
            raise wasmtime.WasmtimeError._from_ptr(error)

    def connect(self, memory: wasmtime.Memory, functions: Mapping[int, wasmtime.Func]) -> None:
        """Write the addresses."""
        host, out = self.host, self.outgoing.words
        text = ctypes.create_string_buffer(LOG_TRAP.encode())
        structures = {number: function._func for number, function in functions.items()}
        self._keep = (memory._memory, text, structures)
        host[native.CONTEXT] = ctypes.addressof(self.store._context().contents)
        host[native.CALL] = _address("wasmtime_func_call_unchecked")
        host[native.SET_FUEL] = _address("wasmtime_context_set_fuel")
        host[native.GET_FUEL] = _address("wasmtime_context_get_fuel")
        host[native.MEMORY_SIZE] = _address("wasmtime_memory_data_size")
        host[native.MEMORY] = ctypes.addressof(memory._memory)
        host[native.VALUES_AT] = host[native.VALUES :].ctypes.data
        host[native.TRAP_AT] = host[native.TRAP :].ctypes.data
        host[native.FUEL_AT] = host[native.FUEL_LEFT :].ctypes.data
        for number, structure in structures.items():
            host[native.FUNCTIONS + number] = ctypes.addressof(structure)
        out[native.LOG_CONTEXT] = host[native.CONTEXT]
        out[native.LOG_MEMORY] = host[native.MEMORY]
        out[native.LOG_MEMORY_SIZE] = host[native.MEMORY_SIZE]
        out[native.LOG_BASE] = ctypes.addressof(memory.data_ptr(self.store).contents)
        out[native.LOG_NEW_TRAP] = _address("wasmtime_trap_new")
        out[native.LOG_TRAP_TEXT] = ctypes.addressof(text)
        out[native.LOG_TRAP_BYTES] = len(LOG_TRAP)

    def last_error(self, code: int) -> BaseException:
        """Take over what the library returned; it is freed with the exception."""
        ffi = wasmtime._ffi
        if code == TRAPPED:
            return wasmtime.Trap._from_ptr(_pointer(self.host[native.TRAP], ffi.wasm_trap_t))
        return wasmtime.WasmtimeError._from_ptr(_pointer(self.host[native.ERROR], ffi.wasmtime_error_t))


def _pointer(address: int, kind: Any) -> Any:
    return ctypes.cast(int(address), ctypes.POINTER(kind))


def _address(name: str) -> int:
    return ctypes.cast(getattr(wasmtime._ffi.dll, name), ctypes.c_void_p).value or 0

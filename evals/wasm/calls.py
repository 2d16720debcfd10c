"""How kernels call an algo and how the algo calls the host: the part that the fast and the plain path do apart.

Everything else, from the checks of the module to the structures in the guest's memory, is common to both; so are fuel,
traps and limits, which wasmtime itself keeps. Results are therefore the same, and the tests hold them to that.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping

import wasmtime

from evals.engine.layout import Int64s
from evals.wasm import abi
from evals.wasm.outgoing import Outgoing


class Calls(ABC):
    """One way of calling; ``host`` is the array that `evals.wasm.native` describes."""

    def __init__(self, store: wasmtime.Store, host: Int64s, outgoing: Outgoing) -> None:
        self.store = store
        self.host = host
        self.outgoing = outgoing

    def define_imports(self, linker: wasmtime.Linker) -> None:
        """Offer the host's functions to the module."""
        kinds = {abi.I32: wasmtime.ValType.i32, abi.I64: wasmtime.ValType.i64}
        for (module, name), (params, results) in abi.IMPORTS.items():
            kind = wasmtime.FuncType([kinds[p]() for p in params], [kinds[r]() for r in results])
            self.define(linker, module, name, kind)

    @abstractmethod
    def define(self, linker: wasmtime.Linker, module: str, name: str, kind: wasmtime.FuncType) -> None:
        """Offer one host function."""

    @abstractmethod
    def connect(self, memory: wasmtime.Memory, functions: Mapping[int, wasmtime.Func]) -> None:
        """Write into ``host`` what `native.call_guest` needs; functions by the number of their callback."""

    @abstractmethod
    def last_error(self, code: int) -> BaseException:
        """Return what ended the last call, given the kernel's code, and give up whatever it holds."""

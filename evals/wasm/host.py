"""One running algo: its own engine and store, its limits, and the structures that the host keeps in its memory."""

from __future__ import annotations

import ctypes
import warnings
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import wasmtime

from bundles.errors import InvalidModuleError
from bundles.mm_types import MmConfig
from evals.errors import AlgoFailure, AlgoProtocolError, AlgoTrapped, FuelExhausted
from evals.wasm import abi, fast, native
from evals.wasm.calls import Calls
from evals.wasm.module import load_module, new_engine
from evals.wasm.outgoing import Outgoing
from evals.wasm.plain import PlainCalls
from evals.wasm.watch import Interrupted, Watch

_BOOK_BYTES: Final = 704
"""More than the structure has, so that an algo that believes the SDK's old comment (688) stays in bounds."""
_EVENT_BYTES: Final = 64
_FOREVER_S: Final = 86_400


@dataclass(frozen=True)
class MeshPlace:
    """Who an instance is among those that send each other messages."""

    label: str
    mesh_id: int
    peers: tuple[tuple[str, int], ...]
    """Labels and ids of the others, 16 at most."""
    latency_ns: int


class Instance:
    """An instantiated algo, ready to be called from kernels; ``plain`` calls it through Python, to compare.

    Raises:
        InvalidModuleError: if the module is not an algo, or cannot be instantiated within the limits.
        AlgoFailure: if it fails while the host asks it for memory.
        Interrupted: if that takes longer than ``wall_clock_limit_s``.

    """

    def __init__(
        self,
        wasm: bytes,
        *,
        fuel_per_callback: int,
        memory_limit_bytes: int,
        wall_clock_limit_s: float = _FOREVER_S,
        symbols: int = 1,
        assets: int = 1,
        plain: bool = False,
    ) -> None:
        self._engine = new_engine()
        self._module, self.facts = load_module(self._engine, wasm)
        self._store = wasmtime.Store(self._engine)
        self._store.set_limits(memory_size=memory_limit_bytes, table_elements=65_536, instances=1, tables=8, memories=1)
        self._store.set_epoch_deadline(1)
        self._store.set_fuel(fuel_per_callback)
        self.host = np.zeros(native.HOST_WORDS, np.int64)
        self.outgoing = Outgoing()
        """What the algo logs and sends."""
        self._calls = _calls_of(plain)(self._store, self.host, self.outgoing)
        linker = wasmtime.Linker(self._engine)
        self._calls.define_imports(linker)
        try:
            exports = linker.instantiate(self._store, self._module).exports(self._store)
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            raise _refusal(error, memory_limit_bytes) from error
        memory = exports["memory"]
        assert isinstance(memory, wasmtime.Memory)  # noqa: S101 -- load_module has checked it
        base = ctypes.addressof(memory.data_ptr(self._store).contents)
        self.words = np.ctypeslib.as_array((ctypes.c_int64 * (memory_limit_bytes // 8)).from_address(base))
        """The guest's linear memory at its largest; it does not move, but it ends where `memory_bytes` says."""
        self._memory = memory
        self._describe(exports)
        with Watch(wall_clock_limit_s, self.interrupt):
            self._furnish(exports["algo_alloc"], symbols, assets, fuel_per_callback)

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

    @property
    def takes_messages(self) -> bool:
        """Whether the algo was built with an SDK that has a mesh."""
        return "algo_on_message" in self.facts.exports

    def join_mesh(self, place: MeshPlace) -> None:
        """Tell the algo who it is and who its peers are, and let it send to them."""
        ids = [mesh_id for _, mesh_id in place.peers]
        self.outgoing.connect(ids, place.latency_ns)
        if not self.takes_messages:
            return
        table = self.region(abi.MESH_TABLE_AT, abi.MESH_TABLE)
        _write_label(table["self_label"], place.label)
        table["self_mesh_id"] = place.mesh_id
        table["peer_count"] = len(ids)
        for entry, (label, mesh_id) in zip(table["peers"], place.peers, strict=False):
            _write_label(entry["label"], label)
            entry["mesh_id"] = mesh_id
        for symbol in range(len(self.states)):
            state = self.state(symbol)
            state["mesh_id"], state["mesh_peer_count"] = place.mesh_id, len(ids)
            state["mesh_peers"][: len(ids)] = ids

    def state(self, symbol: int = 0) -> Any:
        """Return a writable view of a symbol's AlgoState in the guest's memory."""
        return self.region(self.states[symbol], abi.ALGO_STATE)

    def failure(self, code: int, callback: str, event_index: int, fuel_used: int) -> AlgoFailure:
        """Turn what a kernel reported into an error, and free what the library handed over.

        Raises:
            Interrupted: if the wall-clock net ended the callback.

        """
        return _explain(self._calls.last_error(code), callback, event_index, fuel_used)

    def _describe(self, exports: Any) -> None:
        """Tell the kernels what kind of algo it is and where its functions are."""
        host = self.host
        names = {name: f"algo_{name}" for name in native.CALLBACKS} | {"on_book": self.facts.book_export}
        present = {n: names[name] for n, name in enumerate(native.CALLBACKS) if names[name] in self.facts.exports}
        host[native.LARGEST_ACTION_KIND] = self.facts.largest_action_kind
        host[native.HAS_BOOK] = native.ON_BOOK in present
        host[native.HAS_HEARTBEAT] = native.ON_HEARTBEAT in present
        host[native.HAS_NBBO] = native.ON_NBBO in present
        host[native.ACTIONS_AT] = -1
        self._calls.connect(self._memory, {number: exports[name] for number, name in present.items()})

    def _furnish(self, alloc: Any, symbols: int, assets: int, fuel: int) -> None:
        """Ask the algo for room for what the host writes."""
        self.books = tuple(self._allocate(alloc, _BOOK_BYTES, fuel) for _ in range(assets))
        """Addresses of the assets' L2Books in the guest's memory."""
        self.states = tuple(self._allocate(alloc, abi.ALGO_STATE.itemsize, fuel) for _ in range(symbols))
        """Addresses of the symbols' AlgoStates."""
        self.host[native.EVENT_WORD] = self._allocate(alloc, _EVENT_BYTES, fuel) // 8
        if self.host[native.HAS_NBBO]:
            self.host[native.NBBO_WORD] = self._allocate(alloc, abi.NBBO.itemsize, fuel) // 8
        if self.takes_messages:
            self.host[native.MAIL_WORD] = self._allocate(alloc, abi.MAX_MESSAGE_BYTES, fuel) // 8

    def _allocate(self, algo_alloc: Any, size: int, fuel: int) -> int:
        """Ask the algo for memory that is aligned, inside its memory and zeroed.

        Raises:
            AlgoFailure: if it fails or answers with something else.

        """
        self._store.set_fuel(fuel)
        try:
            at = int(algo_alloc(self._store, size)) & 0xFFFFFFFF
        except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
            raise _explain(error, "algo_alloc", -1, fuel - self._store.get_fuel()) from error
        if at == 0 or at % 8 or at + size > self._memory.data_len(self._store):
            raise AlgoProtocolError(
                f"algo_alloc({size}) returned {at:#x}, which is null, unaligned or outside the memory",
                callback="algo_alloc",
                event_index=-1,
                fuel_used=fuel - self._store.get_fuel(),
            )
        self.words.view(np.uint8)[at : at + size] = 0
        return at


def _calls_of(plain: bool) -> type[Calls]:
    """Return the way of calling that was asked for, or the plain one where the fast one cannot be had."""
    missing = "" if plain else fast.what_is_missing()
    if missing:
        warnings.warn(
            f"wasmtime-py has no {missing} any more: the replay calls the algo through Python, which gives the same "
            "result a hundred times slower. Install the release that the lock file names.",
            RuntimeWarning,
            stacklevel=3,
        )
    return PlainCalls if plain or missing else fast.FastCalls


def _refusal(error: Exception, memory_limit_bytes: int) -> InvalidModuleError:
    """Say why a module was not instantiated, with the remedy for what it asks too much of."""
    reason = _last_line(error)
    remedy = "Mend its data and element segments: they must lie inside the initial memory and table."
    if "memory" in reason and "limit" in reason:
        remedy = "Lower its initial memory: the settings name the limit as memory_limit_bytes."
    elif "table" in reason and ("limit" in reason or "count" in reason):
        remedy = "An algo may have 8 tables of 65,536 elements; rustc makes one, as large as there are functions in it."
    return InvalidModuleError(
        f"The module cannot be instantiated within {memory_limit_bytes} bytes of memory: {reason}. {remedy}"
    )


def _explain(error: BaseException, callback: str, event_index: int, fuel_used: int) -> AlgoFailure:
    place: dict[str, Any] = {"callback": callback, "event_index": event_index, "fuel_used": fuel_used}
    code = error.trap_code if isinstance(error, wasmtime.Trap) else None
    if code is wasmtime.TrapCode.INTERRUPT:
        raise Interrupted from error
    if code is wasmtime.TrapCode.OUT_OF_FUEL:
        return FuelExhausted(
            "The algo used up its fuel: an endless loop (a panic handler, perhaps) or too much work", **place
        )
    if not isinstance(error, (wasmtime.Trap, wasmtime.WasmtimeError)):
        raise error
    return AlgoTrapped(f"The algo trapped: {_last_line(error)}", **place)


def _write_label(field: Any, label: str) -> None:
    content = label.encode()
    field[: len(content)] = np.frombuffer(content, np.uint8)


def _last_line(error: Exception) -> str:
    return str(error).strip().splitlines()[-1].strip().removeprefix("wasm trap: ")

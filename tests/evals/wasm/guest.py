"""A compiled algo behind wasmtime's public interface alone: none of the engine is between the bytes and the algo."""

from __future__ import annotations

from typing import Any

import numpy as np
import wasmtime


class Guest:
    """An instance whose log and messages are kept, and whose memory can be written."""

    def __init__(self, wasm: bytes) -> None:
        engine = wasmtime.Engine()
        self.store = wasmtime.Store(engine)
        self.lines: list[str] = []
        self.sent: list[tuple[int, bytes]] = []
        linker = wasmtime.Linker(engine)
        i32, i64 = wasmtime.ValType.i32(), wasmtime.ValType.i64()
        linker.define_func("env", "host_log_impl", wasmtime.FuncType([i32] * 3, []), self._log)
        linker.define_func("env", "__seq_send", wasmtime.FuncType([i64, i32, i32], []), self._send)
        self.exports = linker.instantiate(self.store, wasmtime.Module(engine, wasm)).exports(self.store)
        self.memory: Any = self.exports["memory"]

    def _log(self, _level: int, at: int, length: int) -> None:
        self.lines.append(self.memory.read(self.store, at, at + length).decode())

    def _send(self, to: int, at: int, length: int) -> None:
        self.sent.append((to, bytes(self.memory.read(self.store, at, at + length))))

    def put(self, record: Any, at: int | None = None) -> int:
        """Write a record, by default into memory that the algo allocates; return where."""
        at = self.call("algo_alloc", record.nbytes) if at is None else at
        self.memory.write(self.store, record.tobytes(), at)
        return at

    def call(self, name: str, *arguments: int) -> Any:
        return self.exports[name](self.store, *arguments)  # type: ignore[operator, union-attr]

    def read(self, at: int, dtype: np.dtype[np.void]) -> Any:
        return np.frombuffer(self.memory.read(self.store, at, at + dtype.itemsize), dtype)[0]

    def take_lines(self) -> list[str]:
        lines, self.lines = self.lines, []
        return lines


def lines_of(name: str, record: Any) -> list[str]:
    """Return what the crates below tests/evals/algos log about a structure: its size, then path, offset and value."""
    return [f"{name} size {record.nbytes}", *_lines(name, record, 0)]


def _lines(path: str, value: Any, at: int) -> list[str]:
    if isinstance(value, np.void):
        fields = value.dtype.fields or {}
        return [
            line
            for field, (_, offset, *_) in fields.items()
            if not field.startswith("gap")
            for line in _lines(f"{path}.{field}", value[field], at + offset)
        ]
    if isinstance(value, np.ndarray):
        return [
            line
            for number, each in enumerate(value)
            for line in _lines(f"{path}[{number}]", each, at + number * each.nbytes)
        ]
    return [f"{path} {at} {value}"]


def told(lines: list[str]) -> list[str]:
    """Strip the underscores that Rust authors put before padding."""
    return [line.replace("._", ".", 1) if "._" in line else line for line in lines]

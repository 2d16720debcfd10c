"""Reads the sections of a WASM binary that the host judges before it compiles (WebAssembly core specification, 5.5)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from bundles.errors import InvalidModuleError

_MAGIC: Final = b"\0asm\x01\0\0\0"
_IMPORT, _MEMORY, _GLOBAL, _START, _DATA = 2, 5, 6, 8, 11
_I32_TYPE: Final = 0x7F
_I32_CONST, _END = 0x41, 0x0B
_SHARED, _MEMORY64, _HAS_MAXIMUM = 0x02, 0x04, 0x01


@dataclass
class Sections:
    """What the binary says about its memory, its start function, its stack and its data."""

    memories: list[tuple[int, int]] = field(default_factory=list)
    """Limits flags and minimum pages of each memory defined in the module."""
    memory_imports: int = 0
    has_start: bool = False
    stack_pointer: int | None = None
    """Initial value of the first global if that is a mutable i32: where rustc keeps the shadow stack's top."""
    data: list[tuple[int, int]] = field(default_factory=list)
    """First and last address (exclusive) of each active data segment at a constant offset."""

    @property
    def shared(self) -> bool:
        """Whether any memory is shared between threads."""
        return any(flags & _SHARED for flags, _ in self.memories)

    @property
    def memory64(self) -> bool:
        """Whether any memory has 64-bit addresses."""
        return any(flags & _MEMORY64 for flags, _ in self.memories)


class _Reader:
    def __init__(self, content: bytes, at: int = 0, end: int | None = None) -> None:
        self.content = content
        self.at = at
        self.end = len(content) if end is None else end

    def byte(self) -> int:
        if self.at >= self.end:
            raise InvalidModuleError(
                "The WASM bytes end inside a section. Build the module again; this file is cut off."
            )
        self.at += 1
        return self.content[self.at - 1]

    def unsigned(self) -> int:
        value, shift = 0, 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def signed(self) -> int:
        value, shift = 0, 0
        while True:
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value - (1 << shift) if byte & 0x40 else value

    def skip(self, count: int) -> None:
        if self.at + count > self.end:
            raise InvalidModuleError(
                "The WASM bytes end inside a section. Build the module again; this file is cut off."
            )
        self.at += count

    def limits(self) -> tuple[int, int]:
        flags = self.byte()
        minimum = self.unsigned()
        if flags & _HAS_MAXIMUM:
            self.unsigned()
        return flags, minimum


def read_sections(wasm: bytes) -> Sections:
    """Read the sections that matter to the host.

    Raises:
        InvalidModuleError: if the bytes are not a core WASM module or are cut off.

    """
    if not wasm.startswith(_MAGIC):
        raise InvalidModuleError(
            "These bytes are not a WASM module (no \\0asm header of version 1). "
            "Give the .wasm file that `cargo build --target wasm32-unknown-unknown --release` wrote."
        )
    found = Sections()
    reader = _Reader(wasm, len(_MAGIC))
    while reader.at < reader.end:
        section, size = reader.byte(), reader.unsigned()
        start = reader.at
        reader.skip(size)
        body = _Reader(wasm, start, start + size)
        if section == _IMPORT:
            found.memory_imports = _count_memory_imports(body)
        elif section == _MEMORY:
            found.memories = [body.limits() for _ in range(body.unsigned())]
        elif section == _GLOBAL:
            found.stack_pointer = _first_mutable_i32(body)
        elif section == _START:
            found.has_start = True
        elif section == _DATA:
            found.data = _active_segments(body)
    return found


def _count_memory_imports(body: _Reader) -> int:
    memories = 0
    for _ in range(body.unsigned()):
        body.skip(body.unsigned())
        body.skip(body.unsigned())
        kind = body.byte()
        if kind == 0:
            body.unsigned()
        elif kind == 1:
            body.byte()
            body.limits()
        elif kind == 2:
            memories += 1
            body.limits()
        elif kind == 3:
            body.skip(2)
        else:
            return memories  # a kind that the allow-list refuses by name later
    return memories


def _first_mutable_i32(body: _Reader) -> int | None:
    if body.unsigned() == 0:
        return None
    if body.byte() != _I32_TYPE or body.byte() != 1 or body.byte() != _I32_CONST:
        return None
    return body.signed() & 0xFFFFFFFF


def _active_segments(body: _Reader) -> list[tuple[int, int]]:
    segments: list[tuple[int, int]] = []
    for _ in range(body.unsigned()):
        mode = body.unsigned()
        if mode == 2:
            body.unsigned()
        at = None
        if mode != 1:
            if body.byte() != _I32_CONST:
                return segments  # an offset taken from a global: wasmtime checks it when it instantiates
            at = body.signed() & 0xFFFFFFFF
            if body.byte() != _END:
                return segments
        size = body.unsigned()
        body.skip(size)
        if at is not None:
            segments.append((at, at + size))
    return segments

"""Reads the sections of a WASM binary that the host judges before it compiles (WebAssembly core specification, 5.5)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from bundles.errors import InvalidModuleError

_MAGIC: Final = b"\0asm\x01\0\0\0"
_TYPE, _IMPORT, _MEMORY, _GLOBAL, _START, _CODE, _DATA = 1, 2, 5, 6, 8, 10, 11
_FUNC_TYPE: Final = 0x60
_I32_TYPE: Final = 0x7F
_I32_CONST, _END = 0x41, 0x0B
_SHARED, _MEMORY64, _HAS_MAXIMUM = 0x02, 0x04, 0x01

_LARGEST_MODULE: Final = 16 << 20
_LONGEST_NUMBER: Final = 10
"""Bytes of a LEB128 number of 64 bits."""
_MOST: Final = {"sections": 1_000, "types": 10_000, "imports": 100, "functions": 10_000, "data segments": 10_000}
_LARGEST_COST: Final = 1 << 34
_COST_OF_A_LOCAL: Final = 700
"""Compiling takes longer than in proportion to a function's size. The worst bodies found (indirect calls, table copies)
take about 1.5 ns for each byte times each byte, and 1 us for each byte times each local (loops with many exits): the
largest cost is about 25 s of compiling by a hostile module. Real algos are below 2^28 optimised, below 2^33 without."""


@dataclass
class Sections:
    """What the binary says about its memory, its start function, its stack and its data."""

    memory_count: int = 0
    memories: list[tuple[int, int]] = field(default_factory=list)
    """Limits flags and minimum pages of the memory defined in the module, if there is one."""
    memory_imports: int = 0
    has_start: bool = False
    stack_pointer: int | None = None
    """Initial value of the first global if that is a mutable i32: where rustc keeps the shadow stack's top."""
    data: list[tuple[int, int]] = field(default_factory=list)
    """First and last address (exclusive) of each active data segment."""
    data_elsewhere: bool = False
    """Whether a segment lies at an address that is computed when the module is instantiated."""

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
        return self._number()[0]

    def signed(self) -> int:
        value, bits = self._number()
        return value - (1 << bits) if value >> (bits - 1) else value

    def count(self, of: str) -> int:
        """Read how many follow; refuse more than anything real has before reading them one by one."""
        found = self.unsigned()
        if found > _MOST[of]:
            raise InvalidModuleError(f"The module has {found:,} {of}; an algo has at most {_MOST[of]:,}.")
        return found

    def _number(self) -> tuple[int, int]:
        value, shift = 0, 0
        for _ in range(_LONGEST_NUMBER):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value, shift
        raise InvalidModuleError(
            f"The WASM bytes hold a number of more than {_LONGEST_NUMBER} bytes (at {self.at:#x}). "
            "Build the module again; this file is damaged."
        )

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
        InvalidModuleError: if the bytes are not a core WASM module, are cut off, or are more than may be compiled.

    """
    if len(wasm) > _LARGEST_MODULE:
        raise InvalidModuleError(
            f"The module has {len(wasm):,} bytes; at most {_LARGEST_MODULE:,} are taken. "
            "Build it with --release and strip its debug information."
        )
    if not wasm.startswith(_MAGIC):
        raise InvalidModuleError(
            "These bytes are not a WASM module (no \\0asm header of version 1). "
            "Give the .wasm file that `cargo build --target wasm32-unknown-unknown --release` wrote."
        )
    found = Sections()
    reader = _Reader(wasm, len(_MAGIC))
    sections, parameters = 0, 0
    while reader.at < reader.end:
        sections += 1
        if sections > _MOST["sections"]:
            raise InvalidModuleError(f"The module has more than {_MOST['sections']:,} sections. Build it again.")
        section, size = reader.byte(), reader.unsigned()
        start = reader.at
        reader.skip(size)
        body = _Reader(wasm, start, start + size)
        if section == _TYPE:
            parameters = _most_parameters(body)
        elif section == _IMPORT:
            found.memory_imports = _count_memory_imports(body)
        elif section == _MEMORY:
            found.memory_count = body.unsigned()
            found.memories = [body.limits()] if found.memory_count else []
        elif section == _GLOBAL:
            found.stack_pointer = _first_mutable_i32(body)
        elif section == _START:
            found.has_start = True
        elif section == _CODE:
            _refuse_endless_compiling(body, parameters)
        elif section == _DATA:
            found.data, found.data_elsewhere = _active_segments(body)
    return found


def _most_parameters(body: _Reader) -> int:
    most = 0
    for _ in range(body.count("types")):
        if body.byte() != _FUNC_TYPE:
            return most  # no function type: of a feature that is off, which wasmtime refuses before it compiles
        parameters = body.unsigned()
        body.skip(parameters)
        body.skip(body.unsigned())
        most = max(most, parameters)
    return most


def _refuse_endless_compiling(body: _Reader, parameters: int) -> None:
    """Refuse code that would take minutes or gigabytes to compile: the compiler itself has no limit."""
    cost = 0
    for _ in range(body.count("functions")):
        size = body.unsigned()
        cost += size * size
        function = _Reader(body.content, body.at, body.at + size)
        body.skip(size)
        if cost <= _LARGEST_COST:
            cost += size * _COST_OF_A_LOCAL * (parameters + _count_locals(function))
        if cost > _LARGEST_COST:
            raise InvalidModuleError(
                f"The module's functions are so large, or have so many variables, that compiling it may take minutes "
                f"(a function of {size:,} bytes goes beyond the limit). Build with --release, or split its functions."
            )


def _count_locals(function: _Reader) -> int:
    found = 0
    for _ in range(function.unsigned()):
        found += function.unsigned()
        function.byte()
    return found


def _count_memory_imports(body: _Reader) -> int:
    memories = 0
    for _ in range(body.count("imports")):
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


def _active_segments(body: _Reader) -> tuple[list[tuple[int, int]], bool]:
    segments: list[tuple[int, int]] = []
    for _ in range(body.count("data segments")):
        mode = body.unsigned()
        if mode == 2:
            body.unsigned()
        at = None
        if mode != 1:
            if body.byte() != _I32_CONST:
                return segments, True
            at = body.signed() & 0xFFFFFFFF
            if body.byte() != _END:
                return segments, True
        size = body.unsigned()
        body.skip(size)
        if at is not None:
            segments.append((at, at + size))
    return segments, False

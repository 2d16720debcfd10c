"""Modules that never run: refused by name when they are loaded, quickly and in bounded memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
import wasmtime

from bundles.errors import InvalidModuleError
from evals.replay import ReplayResult
from evals.wasm import inspect_module
from tests.evals.hostile.modules import EMPTY, LOG, MEMORY, ROWS, algo, custom, data, leb, sections, text

Play = Callable[..., ReplayResult]
HONEST = algo()
HEADER = b"\0asm\x01\0\0\0"


def body(wat: str) -> bytes:
    """Compile the honest module with one more function."""
    return algo(tail=f"(func (param i32) {wat})")


def many_exits(variables: int, exits: int) -> bytes:
    """Compile a loop that changes many variables and has many ways back: the compiler's worst case."""
    changed = "".join(f"(local.set {n} (i64.add (local.get {n}) (i64.const 1)))" for n in range(1, variables + 1))
    return body("(local i64)" * variables + f"(loop {changed} (br_table {'0 ' * exits} (local.get 0)))")


BYTES: dict[str, tuple[bytes, str]] = {
    "no bytes": (b"", "not a WASM module"),
    "the first half of the header": (b"\0asm", "not a WASM module"),
    "text instead of a binary": (text().encode(), "not a WASM module"),
    "an ELF executable": (b"\x7fELF" + bytes(60), "not a WASM module"),
    "a component": (b"\0asm\x0d\0\x01\0", "not a WASM module"),
    "version 2": (b"\0asm\x02\0\0\0", "not a WASM module"),
    "nothing but the header": (HEADER, "neither algo_on_book"),
    "a section beyond the end": (HEADER + b"\x05\x7f\x01", "cut off"),
    "a number without end": (HEADER + b"\x05" + b"\xff" * 1_000_000, "more than 10 bytes"),
    "a number of zeros without end": (HEADER + b"\x05" + b"\x80" * 1_000_000, "more than 10 bytes"),
    "a section of 2^35 bytes": (HEADER + b"\x05\xff\xff\xff\xff\x7f", "cut off"),
    "2^32 - 1 memories": (HEADER + b"\x05\x06\xff\xff\xff\xff\x0f\x00", "cut off"),
    "2^32 - 1 imports": (HEADER + b"\x02\x06\xff\xff\xff\xff\x0f\x00", "4,294,967,295 imports"),
    "2^32 - 1 functions": (HEADER + b"\x0a\x06\xff\xff\xff\xff\x0f\x00", "4,294,967,295 functions"),
    "2^32 - 1 data segments": (HEADER + b"\x0b\x06\xff\xff\xff\xff\x0f\x00", "4,294,967,295 data segments"),
    "2^32 - 1 types": (HEADER + b"\x01\x06\xff\xff\xff\xff\x0f\x00", "4,294,967,295 types"),
    "a million sections": (HEADER + custom(b"\0") * 1_000_000, "more than 1,000 sections"),
    "a custom section of 50 MB": (HONEST + custom(b"\x04note" + bytes(50_000_000)), "50,000,[0-9]{3} bytes; at most"),
    "a custom section with a name of invalid UTF-8": (HONEST + custom(b"\x04\xff\xfe\xfd\xfc"), "malformed UTF-8"),
    "an unknown section": (HONEST + b"\x7e\0", "malformed section id"),
    "sections twice": (HEADER + HONEST[8:] + HONEST[8:], "does not validate"),
    "an export named with invalid UTF-8": (
        HONEST.replace(b"algo_on_nbbo", b"algo_on_\xff\xfe\xfd\xfc"),
        "malformed UTF-8",
    ),
    "an export name twice": (HONEST.replace(b"algo_on_nbbo", b"algo_on_fill"), "duplicate export name"),
    "an import named with control characters": (
        algo(head='(import "env" "\\1b[2Jgone\\0a" (func))'),
        r"imports env\.\\x1b\[2Jgone\\n, which",
    ),
    "an import with a name of 90,000 characters": (
        algo(head=f'(import "env" "{"A" * 90_000}" (func))'),
        r"A{100}\.\.\. \(90,004 characters\)",
    ),
}

TEXTS: dict[str, tuple[Callable[[], bytes], str]] = {
    "a start function": (lambda: algo(tail="(func $s) (start $s)"), "start function"),
    "an endless start function": (lambda: algo(tail="(func $s (loop br 0)) (start $s)"), "start function"),
    "no memory": (lambda: algo(memory=""), "does not export its memory"),
    "a memory that is not exported": (lambda: algo(memory="(memory 8)"), "does not export its memory"),
    "a global exported as memory": (
        lambda: algo(memory='(memory 8) (global (export "memory") i32 (i32.const 0))'),
        "does not export its memory",
    ),
    "an imported memory": (
        lambda: algo(memory='(import "env" "memory" (memory 8)) (export "memory" (memory 0))'),
        "imports its memory",
    ),
    "two memories": (lambda: algo(memory=MEMORY + "(memory 1)"), "2 memories"),
    "a memory of 64 bits": (lambda: algo(memory='(memory (export "memory") i64 8)'), "memory64"),
    "a shared memory": (lambda: algo(memory='(memory (export "memory") 8 9 shared)'), "shared"),
    "a memory with pages of one byte": (
        lambda: algo(memory='(memory (export "memory") 600000 (pagesize 1))'),
        "does not validate",
    ),
    "an imported table": (lambda: algo(head='(import "env" "t" (table 1 funcref))'), "imports env.t"),
    "an imported global": (lambda: algo(head='(import "env" "g" (global i32))'), "imports env.g"),
    "a global imported under a function's name": (
        lambda: algo(head='(import "env" "host_log_impl" (global i32))'),
        "imports env.host_log_impl",
    ),
    "an imported clock": (
        lambda: algo(head='(import "wasi_snapshot_preview1" "clock_time_get" (func (param i32 i64 i32) (result i32)))'),
        "no clock, no files",
    ),
    "an imported log of another type": (
        lambda: algo(head='(import "env" "host_log_impl" (func (param i64 i32 i32)))'),
        r"has the type \(i64, i32, i32\)",
    ),
    "a thousand imports": (lambda: algo(head=LOG.replace("$log ", "") * 1_000), "1,000 imports"),
    "a memory exported as algo_alloc": (
        lambda: bytes(
            wasmtime.wat2wasm(
                text(tail='(export "algo_alloc" (memory 0))').replace('"algo_alloc") (param', '"x") (param')
            )
        ),
        "does not export algo_alloc",
    ),
    "on_book that returns 64 bits": (
        lambda: bytes(
            wasmtime.wat2wasm(
                text(on_book="(i64.const 0)").replace("(result i32) (local $n", "(result i64) (local $n", 1)
            )
        ),
        "algo_on_book_v3 has the type",
    ),
    "a stack inside the host's regions": (
        lambda: bytes(wasmtime.wat2wasm(text().replace("0x60000", "0x20000"))),
        "stack starts at 0x20000",
    ),
    "data over the configuration": (lambda: algo(tail=data(0x24000, b"x")), "Static data at 0x24000"),
    "data over the mesh table": (lambda: algo(tail=data(0x244A0, b"xxxx")), "Static data at 0x244a0"),
    "data that ends in the first region": (lambda: algo(tail=data(0xFFFF, b"xx")), "Static data at 0xffff"),
    "data over the regions behind a passive segment": (
        lambda: algo(tail='(data "passive")' + data(0x1A000, b"x")),
        "Static data at 0x1a000",
    ),
    "data at a computed address": (
        lambda: algo(tail='(data (i32.add (i32.const 0x20000) (i32.const 0x4000)) "x")'),
        "computed address",
    ),
    "data at the address in a global": (
        lambda: algo(tail='(global $at i32 (i32.const 0x24000)) (data (global.get $at) "x")'),
        "constant expression required",
    ),
    "memory of 0 pages": (lambda: algo(memory='(memory (export "memory") 0)'), "starts with 0 pages"),
    "memory of 2 pages": (lambda: algo("0.3.2", memory='(memory (export "memory") 2)'), "starts with 2 pages"),
    "threads": (lambda: body("(drop (i32.atomic.load (i32.const 0)))"), "threads support is not enabled"),
    "relaxed SIMD": (
        lambda: body("(drop (i32x4.relaxed_trunc_f32x4_s (v128.const i32x4 1 2 3 4)))"),
        "relaxed SIMD support is not enabled",
    ),
    "wide arithmetic": (
        lambda: body("(i64.add128 (i64.const 1) (i64.const 1) (i64.const 1) (i64.const 1)) drop drop"),
        "wide arithmetic",
    ),
    "exceptions": (lambda: algo(tail="(tag $e) (func (throw $e))"), "exceptions"),
    "garbage collection": (
        lambda: algo(tail="(type $a (array i64)) (func (drop (array.new_default $a (i32.const 1000))))"),
        "does not validate",
    ),
    "typed function references": (
        lambda: algo(tail="(type $t (func)) (func $f (param (ref $t)) (call_ref $t (local.get 0)))"),
        "does not validate",
    ),
    "tail calls": (lambda: algo(tail="(func $f return_call $f)"), "tail calls"),
    "stack switching": (lambda: algo(tail="(type $ft (func)) (type $ct (cont $ft))"), "does not validate"),
    "several results": (lambda: algo(tail="(func (result i32 i32) i32.const 1 i32.const 2)"), "multi-value"),
    "100,000 variables": (lambda: body("(local i64)" * 100_000), "too many locals"),
    "50,000 functions": (lambda: algo(tail="(func)" * 50_000), "50,008 functions|50,009 functions"),
    "50,000 data segments": (lambda: algo(tail=data(0x60000, b"x") * 50_000), "50,000 data segments"),
    "a loop of 5,000 variables and exits": (lambda: many_exits(5_000, 5_000), "compiling it may take minutes"),
    "30,000 indirect calls in one function": (
        lambda: algo(
            tail="(table 10 funcref) (type $v (func)) (func (param i32) "
            + "(call_indirect (type $v) (local.get 0))" * 30_000
            + ")"
        ),
        "compiling it may take minutes",
    ),
    "hundreds of costly functions": (
        lambda: algo(tail=("(func (param i32) " + "(local i64)" * 300 + "nop " * 9_000 + ")") * 100),
        "compiling it may take minutes",
    ),
    "blocks 100,000 deep": (lambda: body("block " * 100_000 + "end " * 100_000), "compiling it may take minutes"),
}


@pytest.mark.parametrize(("wasm", "told"), BYTES.values(), ids=BYTES)
def test_bytes_that_are_refused(wasm: bytes, told: str) -> None:
    _refused_quickly(wasm, told)


@pytest.mark.parametrize(("build", "told"), TEXTS.values(), ids=TEXTS)
def test_modules_that_are_refused(build: Callable[[], bytes], told: str) -> None:
    _refused_quickly(build(), told)


def _refused_quickly(wasm: bytes, told: str) -> None:
    started = time.perf_counter()
    with pytest.raises(InvalidModuleError, match=told) as raised:
        inspect_module(wasm)
    assert time.perf_counter() - started < 2
    assert len(str(raised.value)) < 700
    assert str(raised.value).isprintable()


TOO_MUCH: dict[str, tuple[dict[str, Any], str]] = {
    "2,000 pages of memory": (
        {"memory": '(memory (export "memory") 2000)'},
        "exceeds memory limits.*Lower its initial memory",
    ),
    "4 GiB of memory": (
        {"memory": '(memory (export "memory") 65536)'},
        "exceeds memory limits.*Lower its initial memory",
    ),
    "a table of ten million": ({"tail": "(table 10000000 funcref)"}, "exceeds table limits.*8 tables of 65,536"),
    "nine tables": ({"tail": "(table 1 funcref)" * 9}, "table count too high.*8 tables"),
    "data outside the memory": ({"tail": data(0x7FFFC, b"beyond")}, "out of bounds.*Mend its data and element"),
    "elements outside the table": (
        {"tail": "(table 1 funcref) (func $f) (elem (i32.const 9) $f)"},
        "out of bounds.*Mend its data and element",
    ),
}


@pytest.mark.parametrize(("parts", "told"), TOO_MUCH.values(), ids=TOO_MUCH)
def test_modules_that_ask_for_too_much_are_not_instantiated(play: Play, parts: dict[str, Any], told: str) -> None:
    with pytest.raises(InvalidModuleError, match=told):
        play(ROWS, algo(**parts))


@pytest.mark.parametrize("sdk", ["0.1.0", "0.3.2", "0.4.0"])
def test_a_module_cut_off_anywhere_is_refused(sdk: str) -> None:
    wasm = algo(sdk, tail=data(0x60000, b"something"))
    code = next(start for section, start, _ in sections(wasm) if section == 10)
    whole = {end for _, start, end in sections(wasm) if start >= code}
    for length in set(range(len(wasm))) - whole:
        with pytest.raises(InvalidModuleError):
            inspect_module(wasm[:length])


def test_a_module_with_any_byte_damaged_is_refused_or_sound() -> None:
    """Whatever one byte says instead: a typed refusal or a module that was checked, never anything else."""
    sound = 0
    for at in range(8, len(HONEST)):
        for damage in (0x00, 0x7F, 0x80, 0xFF):
            wasm = HONEST[:at] + bytes([damage]) + HONEST[at + 1 :]
            try:
                sound += inspect_module(wasm).abi == "0.4.0"
            except InvalidModuleError as error:
                assert str(error).isprintable()  # noqa: PT017 -- both ends are right
    assert sound > 0


def test_what_only_looks_dangerous_runs(play: Play) -> None:
    """Large tables, many globals, SIMD, a long br_table and a custom section of a megabyte are within the limits."""
    tail = (
        "(table 65000 funcref)"
        + "(global i32 (i32.const 0))" * 50_000
        + f"(func (param i32) (block (br_table {'0 ' * 50_000} (local.get 0))))"
        + "(func (drop (i32x4.add (v128.const i32x4 1 2 3 4) (v128.const i32x4 1 2 3 4))))"
    )
    wasm = algo(on_book=EMPTY, tail=tail) + custom(leb(4) + b"note" + bytes(1_000_000))
    assert play(ROWS, wasm).status == "completed"

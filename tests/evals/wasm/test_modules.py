"""What may run at all, and what happens to an algo that breaks its word."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import wasmtime

from bundles.errors import InvalidModuleError
from evals.market.schema import BID
from evals.replay import ReplayResult
from evals.wasm import abi, inspect_module

EMPTY = "i32.const 0x26000"
ROWS = [(0, 0, BID, 99, 1), (10, 10, BID, 98, 1), (2 * 10**9, 2 * 10**9, BID, 97, 1)]
Play = Callable[..., ReplayResult]
Wat = Callable[..., bytes]


@pytest.mark.parametrize(("name", "version"), [("maker", "0.4.0"), ("legacy", "0.1.0")])
def test_the_version_is_told_from_the_exports(compiled_algo: Callable[[str], bytes], name: str, version: str) -> None:
    facts = inspect_module(compiled_algo(name))
    assert facts.abi == version
    assert "algo_alloc" in facts.exports


@pytest.mark.parametrize(
    ("name", "form", "kinds"),
    [
        ("fields_0_1", "0.1.0", {abi.NEW, abi.CANCEL}),
        ("fields_0_3", "0.1.0", {abi.NEW, abi.CANCEL, abi.AMEND}),
        ("fields_0_3_v3", "0.3.2", {abi.NEW, abi.CANCEL, abi.AMEND}),
        ("fields_0_3_multi", abi.MULTI_VENUE, {abi.NEW, abi.CANCEL, abi.AMEND}),
        ("fields_0_4", "0.4.0", {abi.NEW, abi.CANCEL, abi.AMEND, abi.INTENT}),
    ],
)
def test_every_form_runs_with_every_kind_of_action(
    play: Play, compiled_algo: Callable[[str], bytes], name: str, form: str, kinds: set[int]
) -> None:
    """SDK 0.3's plain form cannot be told from 0.1's, so it may amend."""
    wasm = compiled_algo(name)
    facts = inspect_module(wasm)
    assert (facts.form, facts.abi) == (form, form[:5])
    result = play(ROWS, wasm)
    assert result.status == "completed", result.detail
    assert {int(kind) for kind in result.orders["kind"]} == kinds


def _without(text: str, old: str, new: str) -> bytes:
    return bytes(wasmtime.wat2wasm(text.replace(old, new)))


@pytest.fixture
def text(algo_text: Callable[..., str]) -> str:
    return algo_text(EMPTY)


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('(export "algo_on_fill") ', "", "does not export algo_on_fill"),
        ('(export "algo_on_heartbeat") ', "", "does not export algo_on_heartbeat"),
        ('(export "memory") ', "", "does not export its memory"),
        ('(export "algo_on_book_v3")', '(export "other")', "does not export algo_on_book_v3"),
        (
            '(func (export "algo_on_reject") (param i32))',
            '(func (export "algo_on_reject"))',
            "algo_on_reject has the type",
        ),
        (
            "(memory",
            '(import "wasi_snapshot_preview1" "fd_write" (func (param i32))) (memory',
            "wasi_snapshot_preview1.fd_write",
        ),
        ("(memory", '(import "env" "host_log_impl" (func (param i32))) (memory', "env.host_log_impl has the type"),
        (
            '(memory (export "memory") 8)',
            '(import "env" "memory" (memory 8)) (export "memory" (memory 0))',
            "imports its memory",
        ),
        ('(memory (export "memory") 8)', '(memory (export "memory") 8 9 shared)', "shared"),
        ('(memory (export "memory") 8)', '(memory (export "memory") i64 8)', "memory64"),
        ('(memory (export "memory") 8)', '(memory (export "memory") 8) (memory 1)', "2 memories"),
        ('(memory (export "memory") 8)', '(memory (export "memory") 2)', "at least 3 pages"),
        ("(memory", "(func $s) (start $s) (memory", "start function"),
        ("(i32.const 0x60000)", "(i32.const 0x20000)", "stack starts at 0x20000"),
        ("(memory", '(data (i32.const 0x24000) "x") (memory', "Static data at 0x24000"),
    ],
)
def test_a_module_that_is_no_algo_is_refused_by_name(text: str, old: str, new: str, told: str) -> None:
    assert old in text
    with pytest.raises(InvalidModuleError, match=told):
        inspect_module(_without(text, old, new))


def test_a_multi_venue_module_without_its_stub_is_refused_by_name(text: str) -> None:
    content = text.replace("algo_on_book_v3", "a").replace("algo_on_message", "b")
    with pytest.raises(
        InvalidModuleError, match=r"algo_on_book, which SDK 0\.3\.2 multi-venue .* export_multi_venue_algo!"
    ):
        inspect_module(bytes(wasmtime.wat2wasm(content)))


@pytest.mark.parametrize("content", [b"", b"\0asm", b"\x7fELF", b"\0asm\x01\0\0\0\x05\xff\x01"])
def test_bytes_that_are_no_module_are_refused(content: bytes) -> None:
    with pytest.raises(InvalidModuleError):
        inspect_module(content)


def test_a_module_without_any_book_callback_names_both(text: str) -> None:
    content = text.replace("algo_on_book_v3", "a").replace("algo_on_message", "b").replace("algo_on_nbbo", "c")
    with pytest.raises(InvalidModuleError, match="neither algo_on_book"):
        inspect_module(bytes(wasmtime.wat2wasm(content)))


@pytest.mark.parametrize(
    ("on_book", "more", "told"),
    [
        ("(loop br 0) unreachable", {}, "used up its fuel"),
        ("unreachable", {}, "unreachable"),
        ("i32.const 0x7fff0000 i32.load", {}, "out of bounds"),
        ("i32.const -8", {}, "0xfffffff8, which is no place"),
        ("i32.const 0x7fff8", {}, "no place for a list"),
        ("i32.const 0x26004", {}, "no place for a list"),
        (EMPTY, {"data": '(data (i32.const 0x26000) "\\11")'}, "17 actions"),
        (EMPTY, {"data": '(data (i32.const 0x26000) "\\01") (data (i32.const 0x26021) "\\04")'}, "unknown kind 4"),
        (f"(loop i32.const 4096 memory.grow i32.const -1 i32.ne br_if 0) unreachable {EMPTY}", {}, "unreachable"),
    ],
)
def test_an_algo_that_breaks_ends_the_run_as_failed(
    play: Play, wat: Wat, on_book: str, more: dict[str, Any], told: str
) -> None:
    result = play(ROWS, wat(on_book, **more))
    assert result.status == "failed"
    assert told in result.detail
    assert "callback on_book, event 0" in result.detail
    assert result.metrics["traps"] == 1


def test_a_log_that_points_outside_the_memory_traps(play: Play, wat: Wat) -> None:
    log = '(import "env" "host_log_impl" (func $log (param i32 i32 i32)))'
    result = play(ROWS, wat(f"i32.const 2 i32.const 0x7fff0 i32.const 99 call $log {EMPTY}", head=log))
    assert "host_log_impl: the text lies outside the memory" in result.detail


def test_the_memory_stays_below_its_limit(play: Play, wat: Wat) -> None:
    """The algo grows its memory until it may not, and goes on: 64 MiB are 1,024 pages."""
    grow = "(loop i32.const 1 memory.grow i32.const -1 i32.ne br_if 0)"
    check = "memory.size i32.const 1024 i32.ne if unreachable end"
    assert play(ROWS, wat(f"{grow} {check} {EMPTY}")).status == "completed"


def test_too_much_initial_memory_is_refused(play: Play, wat: Wat) -> None:
    with pytest.raises(InvalidModuleError, match="within 67108864 bytes"):
        play(ROWS, wat(EMPTY, pages=2_000))


@pytest.mark.parametrize("alloc", ["i32.const 0", "i32.const 4", "i32.const 0x7fffff8"])
def test_an_allocator_that_gives_no_memory_fails_the_run(play: Play, wat: Wat, alloc: str) -> None:
    result = play(ROWS, wat(EMPTY, alloc=alloc))
    assert result.status == "failed"
    assert "algo_alloc" in result.detail
    assert result.metrics["traps"] == 1


def test_the_result_of_a_shutdown_that_traps_is_failed(play: Play, wat: Wat) -> None:
    result = play(ROWS, wat(EMPTY, on_shutdown="unreachable"))
    assert result.status == "failed"
    assert "callback on_shutdown" in result.detail


def test_the_wall_clock_net_interrupts(play: Play, wat: Wat) -> None:
    result = play(ROWS, wat(f"(loop br 0) {EMPTY}"), fuel_per_callback=2**52, wall_clock_limit_s=1)
    assert result.status == "interrupted"


def test_messages_to_nobody_are_dropped(play: Play, wat: Wat) -> None:
    send = '(import "env" "__seq_send" (func $send (param i64 i32 i32)))'
    result = play(ROWS, wat(f"i64.const 7 i32.const -1 i32.const -1 call $send {EMPTY}", head=send))
    assert result.status == "completed"

"""Modules that break while they run: the run fails with a typed error that names callback, event and fuel used."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from evals.replay import ReplayResult
from tests.evals.conftest import pack_actions
from tests.evals.hostile.modules import (
    BUY,
    EMPTY,
    END_OF_MEMORY,
    FOREVER,
    LIST,
    LOG,
    NONSENSE,
    PX,
    ROWS,
    SZ,
    algo,
    data,
    listing,
    trading,
)

Play = Callable[..., ReplayResult]
END = END_OF_MEMORY
FUEL = 100_000
SDKS = ("0.1.0", "0.3.2", "0.4.0")
RECURSION = "(func $f call $f)"
TWO = (
    "(table funcref (elem $ping $pong)) (type $v (func))"
    "(func $ping (call_indirect (type $v) (i32.const 1))) (func $pong (call_indirect (type $v) (i32.const 0)))"
)
ENDLESS = "The algo used up its fuel: an endless loop"


@dataclass(frozen=True)
class Broken:
    """A module and how its run ends."""

    wasm: Callable[[], bytes]
    told: str
    callback: str = "on_book"
    event: int = 1
    fuel: int | None = None
    """Exactly; None if any amount up to the limit will do."""
    settings: dict[str, Any] = field(default_factory=dict)


def endless(callback: str, event: int, build: Callable[[], bytes]) -> Broken:
    return Broken(build, ENDLESS, callback, event, FUEL)


def on_book(wat: str, told: str, fuel: int | None = None, **parts: str) -> Broken:
    return Broken(lambda: algo(on_book=wat, **parts), told, fuel=fuel)


def points_at(address: int, told: str) -> Broken:
    return on_book(f"i32.const {address:#x}", told)


def sends(content: bytes, told: str) -> Broken:
    return on_book(f"i32.const {LIST}", told, tail=data(LIST, content))


def allocates(wat: str, told: str = "null, unaligned or outside the memory") -> Broken:
    return Broken(lambda: algo(alloc=wat), told, "algo_alloc", -1)


def kind(number: int) -> bytes:
    return pack_actions([(1, 100 * PX, SZ, 1, number, 0)])


BROKEN: dict[str, Broken] = {
    # Endless loops, in every callback of every shape.
    **{
        f"endless on_book, SDK {sdk}": endless("on_book", 1, lambda sdk=sdk: algo(sdk, on_book=FOREVER)) for sdk in SDKS
    },
    **{
        f"endless on_fill, SDK {sdk}": endless("on_fill", 2, lambda sdk=sdk: trading(BUY, sdk, on_fill=FOREVER))
        for sdk in SDKS
    },
    **{
        f"endless on_reject, SDK {sdk}": endless(
            "on_reject", 1, lambda sdk=sdk: trading(NONSENSE, sdk, on_reject=FOREVER)
        )
        for sdk in SDKS
    },
    **{
        f"endless on_shutdown, SDK {sdk}": endless("on_shutdown", 3, lambda sdk=sdk: algo(sdk, on_shutdown=FOREVER))
        for sdk in SDKS
    },
    **{
        f"endless on_heartbeat, SDK {sdk}": endless("on_heartbeat", 2, lambda sdk=sdk: algo(sdk, on_heartbeat=FOREVER))
        for sdk in SDKS[1:]
    },
    **{
        f"endless algo_alloc, SDK {sdk}": endless("algo_alloc", -1, lambda sdk=sdk: algo(sdk, alloc=FOREVER))
        for sdk in SDKS
    },
    "endless work in straight lines": on_book(
        f"(loop {'(drop (i64.div_u (i64.const 7) (i64.const 3)))' * 500} br 0) unreachable", ENDLESS, FUEL
    ),
    "endless filling of memory": on_book(
        "(loop (memory.fill (i32.const 0x60000) (i32.const 1) (i32.const 0x10000)) br 0) unreachable", ENDLESS, FUEL
    ),
    "endless copying of memory": on_book(
        "(loop (memory.copy (i32.const 0x60000) (i32.const 0x50000) (i32.const 0x10000)) br 0) unreachable",
        ENDLESS,
        FUEL,
    ),
    "endless filling of a table": on_book(
        "(loop (table.fill (i32.const 0) (ref.null func) (i32.const 60000)) br 0) unreachable",
        ENDLESS,
        FUEL,
        tail="(table 60000 funcref)",
    ),
    "logs without end": on_book(
        "(loop (call $log (i32.const 2) (i32.const 0x60000) (i32.const 9)) br 0) unreachable", ENDLESS, FUEL, head=LOG
    ),
    "a memory that grows without end": on_book(
        "(loop (drop (memory.grow (i32.const 1))) br 0) unreachable", ENDLESS, FUEL
    ),
    # Stacks.
    "recursion": on_book(f"call $f {EMPTY}", "call stack exhausted", tail=RECURSION),
    "mutual recursion through a table": on_book(f"call $ping {EMPTY}", "call stack exhausted", tail=TWO),
    "recursion with large frames": on_book(
        f"call $f {EMPTY}", "call stack exhausted", tail=f"(func $f {'(local i64)' * 500} call $f)"
    ),
    "recursion in on_fill": Broken(
        lambda: trading(BUY, on_fill="call $f", tail=RECURSION), "call stack exhausted", "on_fill", 2
    ),
    "recursion in algo_alloc": Broken(
        lambda: algo(alloc="call $f unreachable", tail=RECURSION), "call stack exhausted", "algo_alloc", -1
    ),
    "recursion in on_shutdown": Broken(
        lambda: algo(on_shutdown=f"call $f {EMPTY}", tail=RECURSION), "call stack exhausted", "on_shutdown", 3
    ),
    # Traps.
    "unreachable": on_book("unreachable", "unreachable"),
    "division by zero": on_book(f"(drop (i32.div_s (i32.const 1) (i32.const 0))) {EMPTY}", "divide by zero"),
    "an overflowing division": on_book(
        f"(drop (i64.div_s (i64.const 0x8000000000000000) (i64.const -1))) {EMPTY}", "integer overflow"
    ),
    "a conversion of NaN": on_book(f"(drop (i32.trunc_f64_s (f64.const nan))) {EMPTY}", "invalid conversion"),
    "a call through an empty table": on_book(
        f"(call_indirect (type $v) (i32.const 0)) {EMPTY}",
        "uninitialized element",
        tail="(table 1 funcref) (type $v (func))",
    ),
    "a call outside the table": on_book(
        f"(call_indirect (type $v) (i32.const 99)) {EMPTY}",
        "undefined element",
        tail="(table 1 funcref) (type $v (func))",
    ),
    "a call of another type": on_book(
        f"(call_indirect (type $v) (i32.const 0)) {EMPTY}",
        "indirect call type mismatch",
        tail="(table funcref (elem $g)) (type $v (func)) (func $g (param i64))",
    ),
    "a load just beyond the memory": on_book(
        f"(drop (i64.load (i32.const {END - 7}))) {EMPTY}", "out of bounds memory"
    ),
    "a load with the largest offset": on_book(
        f"(drop (i64.load offset=0xffffffff (i32.const -1))) {EMPTY}", "out of bounds memory"
    ),
    "a store beyond the memory": on_book(f"(i32.store (i32.const -4) (i32.const 1)) {EMPTY}", "out of bounds memory"),
    "a fill that wraps around": on_book(
        f"(memory.fill (i32.const -16) (i32.const 1) (i32.const 32)) {EMPTY}", "out of bounds memory"
    ),
    "a table access outside": on_book(
        f"(drop (table.get (i32.const 70000))) {EMPTY}", "out of bounds table", tail="(table 1 funcref)"
    ),
    "a dropped data segment": on_book(
        f"(data.drop $d) (memory.init $d (i32.const 0x60000) (i32.const 0) (i32.const 1)) {EMPTY}",
        "out of bounds memory",
        tail='(data $d "x")',
    ),
    "a trap in on_reject": Broken(lambda: trading(NONSENSE, on_reject="unreachable"), "unreachable", "on_reject", 1),
    "a trap in on_fill": Broken(lambda: trading(BUY, on_fill="unreachable"), "unreachable", "on_fill", 2),
    "a trap in on_heartbeat": Broken(lambda: algo(on_heartbeat="unreachable"), "unreachable", "on_heartbeat", 2),
    "a trap in on_shutdown": Broken(lambda: algo(on_shutdown="unreachable"), "unreachable", "on_shutdown", 3),
    "a trap after the memory has grown": on_book("(drop (memory.grow (i32.const 100))) unreachable", "unreachable"),
    # Where the list of actions is.
    "a list at the last byte": points_at(END - 1, "returned 0x7ffff, which is no place"),
    "a list that ends one word late": points_at(END - 512, "returned 0x7fe00, which is no place"),
    "a list just beyond the memory": points_at(END, "returned 0x80000, which is no place"),
    "a list at -1": points_at(0xFFFFFFFF, "returned 0xffffffff, which is no place"),
    "a list at -520": points_at(2**32 - 520, "returned 0xfffffdf8, which is no place"),
    "a list at the most negative address": points_at(0x80000000, "returned 0x80000000, which is no place"),
    "an unaligned list": points_at(LIST + 1, "returned 0x26201, which is no place"),
    "a list aligned to 4 bytes only": points_at(LIST + 4, "returned 0x26204, which is no place"),
    "a list where the memory could have grown": on_book(
        "(drop (memory.grow (i32.const 5000))) i32.const 0x80000", "returned 0x80000, which is no place"
    ),
    "a list beyond the memory from on_heartbeat": Broken(
        lambda: algo(on_heartbeat=f"i32.const {END}"), "no place for a list", "on_heartbeat", 2
    ),
    "a list beyond the memory from on_shutdown": Broken(
        lambda: algo(on_shutdown=f"i32.const {END}"), "no place for a list", "on_shutdown", 3
    ),
    # What is in it.
    **{
        f"{count} actions": sends(count.to_bytes(8, "little"), f"returned {count} actions; at most 16")
        for count in (17, 255, 65_536, 2**31, 2**32 - 1)
    },
    "17 actions from on_heartbeat": Broken(
        lambda: algo(on_heartbeat=f"i32.const {LIST}", tail=data(LIST, b"\x11")), "17 actions", "on_heartbeat", 2
    ),
    "17 actions from on_shutdown": Broken(
        lambda: algo(on_shutdown=f"i32.const {LIST}", tail=data(LIST, b"\x11")), "17 actions", "on_shutdown", 3
    ),
    **{
        f"an action of kind {number}": sends(kind(number), f"unknown kind {number}") for number in (4, 5, 127, 128, 255)
    },
    **{
        f"an intent from SDK {sdk}, which has none": Broken(
            lambda sdk=sdk: algo(sdk, on_book=f"i32.const {LIST}", tail=data(LIST, kind(3))), "unknown kind 3"
        )
        for sdk in SDKS[:2]
    },
    "the last of 16 actions of an unknown kind": on_book(
        f"i32.const {LIST}", "unknown kind 9", tail=listing([BUY] * 15 + [(1, PX, SZ, 1, 9, 0)])
    ),
    # What algo_alloc returns.
    "algo_alloc returns 0": allocates("i32.const 0"),
    "algo_alloc returns 4": allocates("i32.const 4"),
    "algo_alloc returns -8": allocates("i32.const -8"),
    "algo_alloc returns the end": allocates(f"i32.const {END}"),
    "algo_alloc returns the last word": allocates(f"i32.const {END - 8}"),
    "algo_alloc returns what could be grown": allocates("i32.const 0x100000"),
    "algo_alloc traps": allocates("unreachable", "unreachable"),
    "algo_alloc divides by zero": allocates("(i32.div_u (i32.const 1) (i32.const 0))", "divide by zero"),
    "algo_alloc fails the third time": allocates(
        "(global.set $calls (i32.add (global.get $calls) (i32.const 1)))"
        "(if (result i32) (i32.eq (global.get $calls) (i32.const 3)) (then unreachable) (else (i32.const 0x60000)))",
        "unreachable",
    ),
    "a memory of 0 pages, SDK 0.1.0": Broken(
        lambda: algo("0.1.0", memory='(memory (export "memory") 0)'), "outside the memory", "algo_alloc", -1
    ),
    # Host functions.
    "a log outside the memory": on_book(
        f"(call $log (i32.const 2) (i32.const {END - 8}) (i32.const 9)) {EMPTY}",
        "host_log_impl: the text lies outside",
        head=LOG,
    ),
    "a log of 2^32 - 1 bytes": on_book(
        f"(call $log (i32.const 2) (i32.const 0) (i32.const -1)) {EMPTY}",
        "host_log_impl: the text lies outside",
        head=LOG,
    ),
    "a log at -1": on_book(
        f"(call $log (i32.const 2) (i32.const -1) (i32.const 2)) {EMPTY}",
        "host_log_impl: the text lies outside",
        head=LOG,
    ),
    "a log of more than 1 MiB": on_book(
        f"(drop (memory.grow (i32.const 100))) (call $log (i32.const 2) (i32.const 0) (i32.const 0x100001)) {EMPTY}",
        "longer than 1 MiB",
        head=LOG,
    ),
}


@pytest.mark.parametrize("case", BROKEN.values(), ids=BROKEN)
def test_a_broken_module_ends_the_run_with_a_typed_error(play: Play, case: Broken) -> None:
    started = time.perf_counter()
    result = play(ROWS, case.wasm(), fuel_per_callback=FUEL, **case.settings)
    assert time.perf_counter() - started < 5
    assert result.status == "failed"
    assert re.search(case.told, result.detail), result.detail
    place = re.search(r"\(callback (\w+), event (-?\d+), fuel used (\d+)\)$", result.detail)
    assert place, result.detail
    assert (place[1], int(place[2])) == (case.callback, case.event)
    assert int(place[3]) <= FUEL
    assert case.fuel is None or int(place[3]) == case.fuel
    assert result.metrics["traps"] == 1


@pytest.mark.parametrize("name", ["recursion", "unreachable", "17 actions", "endless algo_alloc, SDK 0.4.0"])
def test_a_failure_is_the_same_every_time(play: Play, name: str) -> None:
    one, two = (play(ROWS, BROKEN[name].wasm(), fuel_per_callback=FUEL) for _ in range(2))
    assert (one.detail, one.result_digest) == (two.detail, two.result_digest)


def test_a_log_outside_the_memory_from_algo_alloc_fails_the_run(play: Play) -> None:
    wasm = algo(alloc="(call $log (i32.const 2) (i32.const -1) (i32.const 2)) unreachable", head=LOG)
    assert "callback algo_alloc, event -1" in play(ROWS, wasm).detail


def test_the_wall_clock_net_is_up_while_the_host_asks_for_memory(play: Play) -> None:
    result = play(ROWS, algo(alloc=FOREVER), fuel_per_callback=2**52, wall_clock_limit_s=1)
    assert result.status == "interrupted"


def test_a_protocol_error_says_how_much_fuel_the_callback_used(play: Play) -> None:
    detail = play(ROWS, algo(on_book=f"{'(drop (memory.size))' * 100} i32.const 4")).detail
    assert int(re.findall(r"fuel used (\d+)", detail)[0]) > 100


@pytest.mark.parametrize("callback", ["on_book", "on_fill", "on_reject", "on_heartbeat", "on_shutdown"])
def test_the_wall_clock_net_ends_every_callback(play: Play, callback: str) -> None:
    """With fuel for years: what the net is there for."""
    action = NONSENSE if callback == "on_reject" else BUY
    wasm = algo(on_book=FOREVER) if callback == "on_book" else trading(action, **{callback: FOREVER})
    started = time.perf_counter()
    result = play(ROWS, wasm, fuel_per_callback=2**52, wall_clock_limit_s=1)
    assert time.perf_counter() - started < 3
    assert result.status == "interrupted"
    assert "wall-clock limit of 1 s" in result.detail


def test_the_wall_clock_net_ends_slow_instructions(play: Play) -> None:
    """Each fill is one instruction that writes 60 MB."""
    fill = "(memory.fill (i32.const 0x60000) (i32.const 1) (i32.const 60000000))"
    wasm = algo(on_book=f"(drop (memory.grow (i32.const 1000))) (loop {fill} br 0) unreachable")
    started = time.perf_counter()
    result = play(ROWS, wasm, fuel_per_callback=2**52, wall_clock_limit_s=1)
    assert time.perf_counter() - started < 3
    assert result.status == "interrupted"


def test_a_run_at_exactly_the_limit_completes_and_one_below_fails(play: Play) -> None:
    """Fuel is checked where functions and loops begin: what follows the last check may still be used beyond it."""
    count = "(loop (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))"
    wasm = algo(on_book=f"(local.set $n (i32.const 100)) {count} {EMPTY}")
    used = int(play(ROWS, wasm).metrics["fuel_max"] or 0)
    completes = [
        limit for limit in range(used - 20, used + 3) if play(ROWS, wasm, fuel_per_callback=limit).status == "completed"
    ]
    assert used in completes
    assert completes == list(range(completes[0], used + 3))
    assert f"fuel used {completes[0] - 1})" in play(ROWS, wasm, fuel_per_callback=completes[0] - 1).detail


def test_a_host_thread_with_a_small_stack_survives_recursion(play: Play) -> None:
    results: list[ReplayResult] = []
    before = threading.stack_size(1 << 20)
    try:
        thread = threading.Thread(target=lambda: results.append(play(ROWS, BROKEN["recursion"].wasm())))
        thread.start()
        thread.join()
    finally:
        threading.stack_size(before)
    assert "call stack exhausted" in results[0].detail

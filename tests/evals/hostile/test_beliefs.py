"""What an algo does to its own memory, its logs and its numbers changes nothing that the host believes or prints."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from evals.replay import ReplayResult
from sequence.cli.layout import one_line
from tests.evals.conftest import START_NS
from tests.evals.hostile.modules import (
    BUY,
    EMPTY,
    END_OF_MEMORY,
    FOREVER,
    LIST,
    LOG,
    PX,
    ROWS,
    SEND,
    SZ,
    algo,
    data,
    listing,
    trading,
)

Play = Callable[..., ReplayResult]


def wipe(at: str, size: int) -> str:
    return f"(memory.fill {at} (i32.const 0xff) (i32.const {size}))"


WIPES = {
    "inputs": wipe("(local.get 0)", 656) + wipe("(local.get 1)", 1_576),
    "regions": wipe("(i32.const 0x10000)", 0x144B0),
    "everything but the lists": wipe("(i32.const 0)", 0x26000) + wipe("(i32.const 0x27000)", END_OF_MEMORY - 0x27000),
}


@pytest.mark.parametrize("sdk", ["0.1.0", "0.3.2", "0.4.0"])
@pytest.mark.parametrize("wiped", WIPES.values(), ids=WIPES)
def test_an_algo_that_overwrites_what_it_is_told_trades_as_before(play: Play, sdk: str, wiped: str) -> None:
    """Book, position, limits and fills in its memory are a copy: the account and the fills come out the same."""
    on_book = f"{{}} (call $once (i32.const {LIST}))"
    honest, wiping = (play(ROWS, algo(sdk, on_book=on_book.format(wat), tail=listing([BUY]))) for wat in ("", wiped))
    assert wiping.status == "completed", wiping.detail
    for name in ("fills", "orders", "equity"):
        assert getattr(wiping, name).tobytes() == getattr(honest, name).tobytes()
    assert len(wiping.fills) == 1


def test_an_algo_cannot_lift_its_position_limit(play: Play) -> None:
    """It writes a position far short and a limit without end into its state, then buys more than it may."""
    lie = (
        "(i64.store (local.get 1) (i64.const -1000000000000))"
        "(i64.store offset=1400 (local.get 1) (i64.const 0x7fffffffffffffff))"
        "(memory.fill (i32.add (local.get 1) (i32.const 1336)) (i32.const 0x7f) (i32.const 80))"
    )
    actions = [(n, 100 * PX, SZ, 1, 0, 0) for n in range(1, 17)]
    wasm = algo(on_book=f"{lie} (call $once (i32.const {LIST}))", tail=listing(actions))
    result = play(ROWS, wasm, risk={"max_position_1e8": 3 * SZ})
    assert result.status == "completed"
    assert list(result.orders["reject_code"]).count(101) == 13


def test_an_algo_cannot_fill_itself(play: Play) -> None:
    """It shows itself an ask at its own price and calls its own on_fill: nothing comes of it."""
    lie = "(i64.store offset=320 (local.get 0) (i64.const 90000000000)) (call $told (local.get 0) (local.get 1))"
    wasm = algo(
        on_book=f"{lie} (call $once (i32.const {LIST}))",
        tail=listing([(1, 90 * PX, SZ, 1, 0, 0)]) + "(func $told (param i32 i32))",
    )
    result = play(ROWS, wasm)
    assert (result.status, len(result.fills)) == ("completed", 0)


@pytest.mark.parametrize("at", [0x24000, 0x1A000, 0x60000, 8, 0x10000, LIST])
def test_an_allocator_that_gives_the_same_place_three_times_hurts_only_itself(play: Play, at: int) -> None:
    """Book, state and events lie over each other, over the fixed regions, or over the list of actions."""
    result = play(ROWS, trading(BUY, alloc=f"i32.const {at}"))
    assert result.status in ("completed", "failed")
    if result.status == "failed":
        assert "callback on_book, event 1" in result.detail
    elif at != LIST:
        assert len(result.fills) == 1


def test_memory_may_grow_in_every_callback(play: Play) -> None:
    """Up to its limit of 1,024 pages and not one further; what the host wrote stays where it is."""
    grow = "(drop (memory.grow (i32.const 300)))"
    wasm = trading(
        BUY,
        on_fill=f"{grow} (if (i64.ne (i64.load (local.get 0)) (i64.const 1)) (then unreachable))",
        on_heartbeat=f"{grow} {EMPTY}",
        on_shutdown=f"{grow} {grow} {grow} (if (i32.gt_u (memory.size) (i32.const 1024)) (then unreachable)) {EMPTY}",
    )
    result = play(ROWS, wasm)
    assert (result.status, len(result.fills)) == ("completed", 1)


def test_callbacks_that_no_replay_makes_are_not_called(play: Play) -> None:
    result = play(ROWS, algo(on_nbbo=FOREVER, on_message="unreachable"))
    assert result.status == "completed"


def test_a_table_grows_to_its_limit_only(play: Play) -> None:
    grow = "(loop (br_if 0 (i32.ne (table.grow (ref.null func) (i32.const 1000)) (i32.const -1))))"
    check = "(if (i32.gt_u (table.size) (i32.const 65536)) (then unreachable))"
    assert play(ROWS, algo(on_book=f"{grow} {check} {EMPTY}", tail="(table 1 funcref)")).status == "completed"


LINES = {
    "invalid UTF-8": (b"\xff\xfe\x80ok", "\ufffd\ufffd\ufffdok"),
    "an escape sequence": (b"\x1b[2J\x1b]0;owned\x07", r"\x1b[2J\x1b]0;owned\x07"),
    "newlines": (b"one\r\ntwo\x0b", r"one\r\ntwo\x0b"),
    "a NUL": (b"a\0b", r"a\x00b"),
    "text that turns around": ("\u202eevil".encode(), r"\u202eevil"),
    "a line separator": ("a\u2028b".encode(), r"a\u2028b"),
    "half a character at the cut": (b"x" * 255 + "\u20ac".encode(), "x" * 255 + "\ufffd"),
    "nothing": (b"", ""),
}


@pytest.mark.parametrize(("written", "shown"), LINES.values(), ids=LINES)
def test_logs_can_be_shown_whatever_they_hold(play: Play, written: bytes, shown: str) -> None:
    call = f"(call $log (i32.const 2) (i32.const 0x50000) (i32.const {len(written)}))"
    result = play(ROWS[:2], algo(on_book=f"{call} {EMPTY}", head=LOG, tail=data(0x50000, written)))
    assert [one_line(line.text) for line in result.logs] == [shown]


LEVELS = ("trace", "debug", "info", "warn", "error")


@pytest.mark.parametrize("level", [-1, 0, 4, 5, 255, 256, 2**31 - 1])
def test_any_log_level_has_a_name(play: Play, level: int) -> None:
    call = f"(call $log (i32.const {level}) (i32.const 0x50000) (i32.const 1))"
    result = play(ROWS[:2], algo(on_book=f"{call} {EMPTY}", head=LOG))
    assert [line.level for line in result.logs] == [LEVELS[min(level & 0xFF, 4)]]


def test_logs_of_a_mebibyte_and_without_end_keep_the_first_and_the_last_lines(play: Play) -> None:
    """Text ends at 256 bytes; a run keeps its first 64 lines and its last 1,024; a log may end at the memory's end."""
    large = "(drop (memory.grow (i32.const 20)))" + "(call $log (i32.const 2) (i32.const 0) (i32.const 0x100000))" * 20
    at_the_end = f"(call $log (i32.const 2) (i32.const {28 * 65_536 - 4}) (i32.const 4))"
    line = "(call $log (i32.const 1) (i32.const 0) (i32.const 3))"
    many = (
        f"(local.set $n (i32.const 5000)) (loop {line} (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))"
    )
    result = play(ROWS, algo(on_book=f"{many} {large} {at_the_end} {EMPTY}", head=LOG))
    assert result.status == "completed", result.detail
    callbacks = 3
    assert result.metrics["log_lines"] == result.log_lines == callbacks * 5_021
    assert (len(result.logs), result.logs_dropped) == (64 + 1_024, callbacks * 5_021 - 64 - 1_024)
    assert {line.at_ns - START_NS for line in result.logs[:64]} == {0}
    assert {line.at_ns - START_NS for line in result.logs[64:]} == {2 * 10**9}
    assert max(len(line.text) for line in result.logs) == 256
    assert result.logs[-1].text == "\0\0\0\0"


@pytest.mark.parametrize(
    ("arguments", "counted"),
    [
        ("(i64.const 0) (i32.const 0) (i32.const 0)", "unknown_receiver"),
        ("(i64.const -1) (i32.const -1) (i32.const -1)", "too_long"),
        (f"(i64.const 7) (i32.const {END_OF_MEMORY - 4}) (i32.const 64)", "out_of_range"),
        ("(i64.const 0x8000000000000000) (i32.const 0x80000000) (i32.const 0x7fffffff)", "too_long"),
        ("(i64.const 0x8000000000000000) (i32.const 0x80000000) (i32.const 256)", "out_of_range"),
    ],
)
def test_messages_with_wild_arguments_are_dropped_and_counted(play: Play, arguments: str, counted: str) -> None:
    send = f"(call $send {arguments})" * 50
    result = play(ROWS, algo(on_book=f"{send} {EMPTY}", head=SEND))
    assert result.status == "completed", result.detail
    assert {name: count for name, count in result.messages.items() if count} == {counted: 150}


DOUBLE, SINGLE = "(i64.reinterpret_f64 ({}))", "(i64.extend_i32_u (i32.reinterpret_f32 ({})))"
FIRST, SECOND = "(i64x2.extract_lane 0 ({}))", "(i64x2.extract_lane 1 ({}))"
NOT_A_NUMBER = {
    "0 / 0": (DOUBLE, "f64.div (f64.const 0) (f64.const 0)"),
    "-0 / 0": (DOUBLE, "f64.div (f64.const -0) (f64.const 0)"),
    "inf - inf": (DOUBLE, "f64.sub (f64.const inf) (f64.const inf)"),
    "the root of -1": (DOUBLE, "f64.sqrt (f64.const -1)"),
    "a payload through an addition": (DOUBLE, "f64.add (f64.const -nan:0x4000000000001) (f64.const 1)"),
    "the larger of two payloads": (DOUBLE, "f64.max (f64.const nan:0x1234) (f64.const -nan:0x4321)"),
    "a payload made longer": (DOUBLE, "f64.promote_f32 (f32.const -nan:0x200001)"),
    "a payload made shorter": (SINGLE, "f32.demote_f64 (f64.const -nan:0x4000000000001)"),
    "0 / 0 in single precision": (SINGLE, "f32.div (f32.const 0) (f32.const 0)"),
    "0 / 0 in a vector": (SECOND, "f64x2.div (v128.const f64x2 0 0) (v128.const f64x2 0 -0)"),
    "a payload in a vector": (FIRST, "f64x2.mul (v128.const f64x2 -nan:0x5 1) (v128.const f64x2 2 2)"),
}


@pytest.mark.parametrize(("bits", "wat"), NOT_A_NUMBER.values(), ids=NOT_A_NUMBER)
def test_a_result_that_is_not_a_number_has_one_pattern(play: Play, bits: str, wat: str) -> None:
    """Otherwise the bits would tell one processor from another."""
    canonical = 0x7FC00000 if bits == SINGLE else 0x7FF8000000000000
    different = f"(i64.ne {bits.format(wat)} (i64.const {canonical}))"
    result = play(ROWS, algo(on_book=f"(if {different} (then unreachable)) {EMPTY}"))
    assert result.status == "completed", result.detail

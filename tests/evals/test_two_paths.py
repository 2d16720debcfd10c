"""The fast path and the plain one: whatever the tape, the algo and its end, they say the same to the last digit."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import wasmtime
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bundles.mm_types import MmConfig, MmRiskLimits
from evals.market.gdax import import_gdax
from evals.market.source import TapeSource
from evals.market.synthetic import synthetic_tape
from evals.market.tape import Tape
from evals.replay import ReplayResult, ReplaySettings, run_replay
from evals.wasm import fast
from tests.evals.engine.test_against_twin import CHANGES, ORDERS, script_of, tapes
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
    SEND,
    SZ,
    algo,
    listing,
    trading,
)
from tests.evals.hostile.test_actions import SENT
from tests.evals.hostile.test_broken import BROKEN, FUEL, Broken
from tests.evals.market.conftest import RAW

Play = Callable[..., ReplayResult]
CONFIG = MmConfig(quote_size_1e8=10_000_000, min_spread_bps=1, max_position_1e8=10**9)
RISK = MmRiskLimits(max_position_1e8=10**10, max_order_notional_1e9=10**15, max_order_rate=10_000)


def same(one: ReplayResult, two: ReplayResult) -> ReplayResult:
    """Assert that two results say the same, apart from how long it took."""
    for name in ("fills", "orders", "equity"):
        assert getattr(one, name).tobytes() == getattr(two, name).tobytes(), name
    for field in dataclasses.fields(ReplayResult):
        if field.name not in ("rows", "timings"):
            assert getattr(one, field.name) == getattr(two, field.name), field.name
    return one


def both(play: Play, rows: Any, wasm: Any, **settings: Any) -> ReplayResult:
    return same(play(rows, wasm, **settings), play(rows, wasm, plain=True, **settings))


def both_on_tape(wasm: bytes, tape: TapeSource | list[TapeSource], **settings: Any) -> ReplayResult:
    fast_one, plain_one = (
        run_replay(wasm, tape, config=CONFIG, risk=RISK, settings=ReplaySettings(**settings), plain=plain)
        for plain in (False, True)
    )
    return same(fast_one, plain_one)


def whole_units(rows: list[Any]) -> list[tuple[Any, ...]]:
    """Return rows as `play` takes them."""
    return [(happened, received, kind, px // PX, sz // SZ, last) for happened, received, kind, px, sz, last in rows]


@pytest.mark.parametrize("case", BROKEN.values(), ids=BROKEN)
def test_failures_are_the_same(play: Play, case: Broken) -> None:
    """Same text, callback, event and fuel."""
    assert both(play, ROWS, case.wasm(), fuel_per_callback=FUEL, **case.settings).status == "failed"


@pytest.mark.parametrize("name", SENT)
def test_orders_are_taken_and_refused_the_same(play: Play, name: str) -> None:
    wasm = algo(on_book=f"(call $once (i32.const {LIST}))", tail=listing(SENT[name].actions))
    assert both(play, ROWS, wasm).status == "completed"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=tapes(1),
    decided=st.lists(st.lists(st.one_of(ORDERS, ORDERS, CHANGES), max_size=3), min_size=4, max_size=30),
    latency_ns=st.integers(0, 40),
)
def test_generated_tapes_give_the_same(
    play: Play, rows: list[tuple[Any, ...]], decided: list[list[tuple[int, ...]]], latency_ns: int
) -> None:
    both(play, whole_units(rows), script_of(decided), place_entry_ns=latency_ns, cancel_response_ns=latency_ns)


@pytest.mark.parametrize("name", ["maker", "probe", "legacy", "mesh_maker", "mesh_hedger"])
def test_compiled_algos_give_the_same(compiled_algo: Callable[[str], bytes], name: str) -> None:
    result = both_on_tape(compiled_algo(name), synthetic_tape(7, duration_s=60))
    assert result.status == "completed", result.detail


def test_several_markets_give_the_same(compiled_algo: Callable[[str], bytes]) -> None:
    one = synthetic_tape(1, duration_s=20)
    info = one.info.model_copy(update={"instrument": one.info.instrument.model_copy(update={"symbol": "ETH-USD"})})
    two = Tape(synthetic_tape(2, duration_s=20).events, info)
    assert both_on_tape(compiled_algo("maker"), [one, two]).status == "completed"


@pytest.mark.skipif(not RAW.is_dir(), reason="MARKET_DATA_RAW names no folder with recorded samples")
def test_a_recorded_market_gives_the_same(compiled_algo: Callable[[str], bytes]) -> None:
    folder = RAW / "gdax-btcusd-l3-2018-07-13"
    tape = import_gdax(folder / "beginning_level_3.json.gz", folder / "messages.json.gz")
    stretch = Tape(tape.events[:30_000], tape.info)
    result = both_on_tape(compiled_algo("maker"), stretch)
    assert result.metrics["orders"], "a run that does nothing proves nothing"


GROW = "(drop (memory.grow (i32.const 300)))"
WILD_LOG = "(call $log (i32.const {}) (i32.const {}) (i32.const {}))"
WILD_SEND = "(call $send (i64.const {}) (i32.const {}) (i32.const {}))"


@pytest.mark.parametrize(
    ("callbacks", "settings"),
    [
        ({"on_book": f"{GROW} {EMPTY}", "on_shutdown": f"{GROW} {GROW} {GROW} {EMPTY}"}, {}),
        ({"on_book": f"{GROW} (i32.store (i32.const 0x01400000) (i32.const 16)) i32.const 0x01400000"}, {}),
        *[
            ({"on_book": f"{WILD_LOG.format(*arguments)} {EMPTY}"}, {})
            for arguments in [
                (-1, 0, 0),
                (255, END_OF_MEMORY, 0),
                (2, END_OF_MEMORY - 4, 4),
                (2, END_OF_MEMORY - 3, 4),
                (3, 0, 0x80000),
                (3, -1, -1),
                (3, 0, 300),
            ]
        ],
        *[
            ({"on_book": f"{WILD_SEND.format(*arguments)} {EMPTY}"}, {})
            for arguments in [(0, 0, 0), (-1, -1, -1), (7, END_OF_MEMORY, 0), (7, END_OF_MEMORY - 9, 256), (7, 0, 257)]
        ],
        ({"on_book": f"{'(call $log (i32.const 1) (i32.const 0) (i32.const 3))' * 700} {EMPTY}"}, {}),
        ({"on_fill": FOREVER}, {"fuel_per_callback": 12_345}),
        ({"alloc": "(call $log (i32.const 2) (i32.const -1) (i32.const 2)) unreachable"}, {}),
        ({"on_book": FOREVER}, {"fuel_per_callback": 2**52, "wall_clock_limit_s": 1}),
        ({"alloc": FOREVER}, {"fuel_per_callback": 2**52, "wall_clock_limit_s": 1}),
    ],
)
def test_memory_logs_messages_and_limits_are_the_same(
    play: Play, callbacks: dict[str, str], settings: dict[str, Any]
) -> None:
    parts = {"on_book": f"(call $once (i32.const {LIST}))", "tail": listing([BUY, NONSENSE])} | callbacks
    both(play, ROWS, algo(head=LOG + SEND, **parts), **settings)


def test_no_exception_is_lost_in_a_kernel(play: Play, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever Python raises while a kernel waits comes out of the run."""

    def broken(*_: object) -> int:
        raise MemoryError("out of it")

    monkeypatch.setattr("evals.wasm.plain._call", broken)
    with pytest.raises(MemoryError, match="out of it"):
        play(ROWS, trading(BUY), plain=True)


@pytest.mark.parametrize("where", ["_ffi.wasmtime_error_t", "_ffi.wasmtime_trap_new", "Trap._from_ptr"])
def test_without_the_librarys_internals_the_plain_path_takes_over(
    play: Play, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    expected = play(ROWS, trading(BUY))
    owner, name = where.split(".")
    monkeypatch.delattr(getattr(wasmtime, owner), name)
    assert name in fast.what_is_missing()
    with pytest.warns(RuntimeWarning, match=f"has no .*{name} any more"):
        result = play(ROWS, trading(BUY))
    monkeypatch.undo()
    same(expected, result)


def test_the_plain_path_needs_no_internals() -> None:
    source = Path(fast.__file__).with_name("plain.py").read_text(encoding="utf-8")
    assert "_ffi" not in source
    assert set(re.findall(r"(\w+)\._\w", source)) <= {"self", "native"}, "native: in sentences only"

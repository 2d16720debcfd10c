"""Algos for the tests of the replay engine: compiled from Rust, or written as WAT around a script of actions."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wasmtime

from bundles.mm_types import MmConfig, MmRiskLimits
from bundles.toolchain import build_wasm, find_toolchain
from evals.market.schema import LAST_OF_PACKET, TAPE_DTYPE, Instrument, TapeInfo
from evals.market.tape import Tape
from evals.replay import ReplayResult, ReplaySettings, run_replay

ROOT = Path(__file__).parents[2]
START_NS = 1_700_000_000_000_000_000
UNIT_PX, UNIT_SZ = 10**9, 10**8

Action = tuple[int, int, int, int, int, int]
"""order id, price, quantity, side, kind, order type."""


@pytest.fixture(scope="session")
def compiled_algo() -> Callable[[str], bytes]:
    """Return the WASM of a crate below tests/evals/algos; built once, kept in .cache."""

    def build(name: str) -> bytes:
        target = str(ROOT / ".cache/target")
        project = ROOT / "tests/evals/algos" / name
        return build_wasm(project, find_toolchain(), environ={**os.environ, "CARGO_TARGET_DIR": target}).read_bytes()

    return build


def module_text(
    on_book: str,
    *,
    data: str = "",
    on_fill: str = "",
    on_shutdown: str = "i32.const 0x26000",
    on_heartbeat: str = "i32.const 0x26000",
    alloc: str = "",
    pages: int = 8,
    head: str = "",
) -> str:
    """Return a module with the exports of SDK 0.4.0; at 0x26000 lies an empty list of actions."""
    bump = "local.get 0 i32.const 7 i32.add i32.const -8 i32.and i32.add global.set $next"
    alloc = alloc or f"global.get $next global.get $next {bump}"
    return f"""(module
      {head}
      (memory (export "memory") {pages})
      (global $next (mut i32) (i32.const 0x60000))
      (global $calls (mut i32) (i32.const 0))
      (func (export "algo_on_book_v3") (param i32 i32) (result i32) (local $n i32) {on_book})
      (func (export "algo_on_heartbeat") (param i32) (result i32) {on_heartbeat})
      (func (export "algo_on_nbbo") (param i32 i32 i32) (result i32) i32.const 0x26000)
      (func (export "algo_on_message") (param i64 i32 i32 i32) (result i32) i32.const 0x26000)
      (func (export "algo_on_fill") (param i32 i32) {on_fill})
      (func (export "algo_on_reject") (param i32))
      (func (export "algo_on_shutdown") (param i32) (result i32) {on_shutdown})
      (func (export "algo_alloc") (param i32) (result i32) {alloc})
      {data})"""


def pack_actions(actions: Sequence[Action]) -> bytes:
    """Return a WasmActions block."""
    packed = b"".join(
        struct.pack("<QQqbBBBBB2x", oid & (2**64 - 1), px, qty, side, kind, order_type, 0, 0, 0)
        for oid, px, qty, side, kind, order_type in actions
    )
    return struct.pack("<II", len(actions), 0) + packed.ljust(512, b"\0")


def scripted_text(script: Mapping[int, Sequence[Action]]) -> str:
    """Return a module that answers its n-th book callback (from 0) with the n-th entry of a script."""
    last = max(script, default=-1) + 1
    blocks = b"".join(pack_actions(script.get(n, ())) for n in range(last + 1))
    text = "".join(f"\\{byte:02x}" for byte in blocks)
    on_book = f"""
      global.get $calls i32.const {last} i32.lt_u
      if global.get $calls local.set $n global.get $calls i32.const 1 i32.add global.set $calls
      else i32.const {last} local.set $n end
      local.get $n i32.const 520 i32.mul i32.const 0x26100 i32.add"""
    return module_text(on_book, data=f'(data (i32.const 0x26100) "{text}")')


def events_of(rows: Sequence[tuple[Any, ...]]) -> np.ndarray[Any, Any]:
    """Return events from (exchange time, receive time, kind, price, size[, last of packet]), counted from START_NS."""
    events = np.zeros(len(rows), TAPE_DTYPE)
    for event, row in zip(events, rows, strict=True):
        exchange_ns, receive_ns, kind, px, sz, *last = row
        event["exchange_ns"], event["receive_ns"] = START_NS + exchange_ns, START_NS + receive_ns
        event["kind"], event["px_1e9"], event["sz_1e8"] = kind, px * UNIT_PX, sz * UNIT_SZ
        event["flags"] = LAST_OF_PACKET if not last or last[0] else 0
    return events


@pytest.fixture
def algo_text() -> Callable[..., str]:
    """Return the text of a module of SDK 0.4.0's shape."""
    return module_text


@pytest.fixture
def wat() -> Callable[..., bytes]:
    """Compile a module of SDK 0.4.0's shape around the text of its callbacks."""
    return lambda *args, **kwargs: bytes(wasmtime.wat2wasm(module_text(*args, **kwargs)))


@pytest.fixture
def play() -> Callable[..., ReplayResult]:
    """Run a script (or a given module) over rows; limits are wide and latencies 10 ns unless told otherwise."""

    def run(
        rows: Sequence[tuple[Any, ...]],
        script: Mapping[int, Sequence[Action]] | bytes,
        *,
        instrument: Mapping[str, Any] | None = None,
        risk: Mapping[str, Any] | None = None,
        plain: bool = False,
        **settings: Any,
    ) -> ReplayResult:
        wasm = script if isinstance(script, bytes) else bytes(wasmtime.wat2wasm(scripted_text(script)))
        facts: dict[str, Any] = {
            "venue": "test",
            "symbol": "BTC-USD",
            "tick_size_1e9": UNIT_PX,
            "lot_size_1e8": UNIT_SZ,
        }
        info = TapeInfo(instrument=Instrument(**facts | dict(instrument or {})), importer="test", importer_version="1")
        limits: dict[str, Any] = {
            "max_position_1e8": 10**15,
            "max_order_notional_1e9": 10**18,
            "max_order_rate": 10**6,
        }
        latency = {f"{a}_{w}_ns": 10 for a in ("place", "cancel", "amend") for w in ("entry", "response")}
        return run_replay(
            wasm,
            Tape(events_of(rows), info),
            config=MmConfig(),
            risk=MmRiskLimits(**limits | dict(risk or {})),
            settings=ReplaySettings(**{"off_market_bps": 0} | latency | settings),
            plain=plain,
        )

    return run

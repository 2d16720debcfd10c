"""An algo that keeps every table busy: takes, quotes, cancels and leaves orders lying, on every book of one symbol."""

from __future__ import annotations

from typing import Final

import numpy as np
import wasmtime

from bundles.mm_types import MmConfig, MmRiskLimits
from evals.market.schema import Instrument
from evals.market.source import TapeSource
from evals.market.synthetic import DEFAULT_INSTRUMENT, DEFAULT_START_NS, synthetic_tape
from evals.market.tape import Tape
from evals.replay import ReplayResult, ReplaySettings, run_replay
from tests.evals.conftest import module_text

CONFIG: Final = MmConfig()
RISK: Final = MmRiskLimits(max_position_1e8=10**15, max_order_notional_1e9=10**18, max_order_rate=10**6)
DRAWN: Final = ReplaySettings(
    latency_model="lognormal",
    burst_ppm=200_000,
    queue_model="power",
    place_entry_ns=3_000_000,
    maker_adverse_enabled=True,
    self_impact_enabled=True,
)
"""Settings under which everything that could be random is drawn."""

_LOT: Final = DEFAULT_INSTRUMENT.lot_size_1e8
_TICK: Final = DEFAULT_INSTRUMENT.tick_size_1e9
_LIST: Final = 0x26100
_EMPTY: Final = 0x26000
_FIRST_ASK, _SYMBOL_ID = 320, 642
_FAR_ORDERS: Final = 20
LIMIT, IOC, POST_ONLY = 0, 2, 4


def _action(number: int, order_id: str, px: str, side: int, kind: int, order_type: int) -> str:
    """Return the text that writes an action of one lot into the list."""
    at = _LIST + 8 + 32 * number
    packed = (side & 0xFF) | kind << 8 | order_type << 16
    return f"""
      (i64.store (i32.const {at}) {order_id})
      (i64.store (i32.const {at + 8}) {px})
      (i64.store (i32.const {at + 16}) (i64.const {_LOT}))
      (i64.store (i32.const {at + 24}) (i64.const {packed}))"""


def _numbered(offset: int) -> str:
    """Return the id of an order of this call; those of one call before are 4 less."""
    return f"(i64.extend_i32_u (i32.add (i32.mul (global.get $calls) (i32.const 4)) (i32.const {offset})))"


def busy_algo(*, first_symbol_only: bool = False, far_orders: int = _FAR_ORDERS) -> bytes:
    """Return the module; with ``first_symbol_only`` it looks at symbol ids and leaves all but the first alone.

    ``far_orders`` are left lying to the end.
    """
    ignore = f"""
      (if (i32.gt_u (i32.load16_u offset={_SYMBOL_ID} (local.get 0)) (i32.const 1))
        (then (return (i32.const {_EMPTY}))))"""
    best_bid, best_ask = "(i64.load (local.get 0))", f"(i64.load offset={_FIRST_ASK} (local.get 0))"
    odd = "(i32.and (global.get $calls) (i32.const 1))"
    on_book = f"""
      {ignore if first_symbol_only else ""}
      (global.set $calls (i32.add (global.get $calls) (i32.const 1)))
      (i64.store (i32.const {_LIST}) (select (i64.const 4) (i64.const 3)
        (i32.le_u (global.get $calls) (i32.const {far_orders}))))
      (if {odd} (then {_action(0, _numbered(1), best_ask, 1, 0, IOC)})
        (else {_action(0, _numbered(1), best_bid, -1, 0, IOC)}))
      {_action(1, _numbered(-2), "(i64.const 0)", 0, 1, 0)}
      {_action(2, _numbered(2), best_bid, 1, 0, POST_ONLY)}
      {_action(3, _numbered(3), f"(i64.sub {best_bid} (i64.const {200 * _TICK}))", 1, 0, LIMIT)}
      (i32.const {_LIST})"""
    return bytes(wasmtime.wat2wasm(module_text(on_book)))


def market(seed: int = 7, *, venue: str = "kraken", symbol: str = "BTC-USD", seconds: int = 40, days: int = 1) -> Tape:
    """Return a synthetic tape; over several days it is cut at their beginnings from one that goes through."""
    instrument = Instrument.model_validate(
        DEFAULT_INSTRUMENT.model_dump(mode="json") | {"venue": venue, "symbol": symbol}
    )
    tape = synthetic_tape(seed, duration_s=seconds, packets_per_s=50, instrument=instrument)
    if days == 1:
        return tape
    events = tape.events.copy()
    # Every n-th part of the rows happens on a day of its own.
    part = np.minimum(np.arange(len(events)) * days // len(events), days - 1)
    starts = events["receive_ns"][np.searchsorted(part, np.arange(days))]
    for name in ("exchange_ns", "receive_ns"):
        events[name] += part * 86_400_000_000_000 - (starts[part] - DEFAULT_START_NS) // 2
    return Tape(events, tape.info)


def replay(
    tapes: TapeSource | list[TapeSource],
    wasm: bytes | None = None,
    settings: ReplaySettings = DRAWN,
    risk: MmRiskLimits = RISK,
    seed: int = 42,
) -> ReplayResult:
    """Run the algo."""
    return run_replay(wasm or busy_algo(), tapes, config=CONFIG, risk=risk, settings=settings, seed=seed)

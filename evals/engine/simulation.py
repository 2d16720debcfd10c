"""Sets a run up, drives the loop, gives it room when it asks, and turns a kernel's failure code into an error."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numba
import numpy as np

from bundles.mm_types import MmRiskLimits
from evals.engine import layout, loop
from evals.engine.layout import Int64s, Records
from evals.engine.memory import FUEL_BUCKETS, RunMemory
from evals.errors import AlgoFailure, AlgoProtocolError, TapeError
from evals.market.schema import TAPE_DTYPE, Instrument
from evals.wasm import abi, native
from evals.wasm.host import Instance, Interrupted

STEPS_PER_SLICE: Final = 2_000_000
"""Loop steps between two returns to Python, for progress and Ctrl-C."""

_LARGEST_RATE: Final = 1 << 20
"""Order rates above this behave like this."""

_NEVER_AGO: Final = -(2**62)


@dataclass(frozen=True)
class Latencies:
    """Nanoseconds from the algo to the exchange and back, by kind of action: place, cancel, amend."""

    entry_ns: tuple[int, int, int]
    response_ns: tuple[int, int, int]


@dataclass(frozen=True)
class Outcome:
    """What a run left behind; the arrays are exactly as long as what happened."""

    failure: AlgoFailure | None
    interrupted: bool
    run_s: float
    """Wall-clock seconds of the run itself, without compiling."""
    fills: Records
    orders: Records
    equity: Records
    run: Any
    account: Any
    fuel_counts: Int64s


def simulate(
    instance: Instance,
    events: Records,
    instrument: Instrument,
    risk: MmRiskLimits,
    latencies: Latencies,
    *,
    equity_interval_ns: int,
    fuel_per_callback: int,
    wall_clock_limit_s: float,
    progress: Callable[[float], None] | None = None,
) -> Outcome:
    """Run an algo over the events of a tape.

    Raises:
        TapeError: if the events are empty, not in receive order, or not of the tape's columns.

    """
    events = _checked(events)
    memory = _set_up(instance, events, instrument, risk, latencies, equity_interval_ns, fuel_per_callback)
    _compile(memory.sim)
    net = threading.Timer(wall_clock_limit_s, instance.interrupt)
    net.daemon = True
    failure: AlgoFailure | None = None
    interrupted = False
    started = time.perf_counter()
    net.start()
    try:
        loop.start(memory.sim)
        _drive(memory, progress)
        if not loop.finish(memory.sim):
            failure = _failure(instance, memory.sim["run"])
    except Interrupted:
        interrupted = True
    finally:
        net.cancel()
    sim = memory.sim.copy()
    return Outcome(
        failure=failure,
        interrupted=interrupted,
        run_s=time.perf_counter() - started,
        fills=memory.log("fills"),
        orders=memory.log("orders"),
        equity=memory.log("equity"),
        run=sim["run"],
        account=sim["account"],
        fuel_counts=memory.tables["fuel_counts"],
    )


def nothing_happened(failure: AlgoFailure) -> Outcome:
    """Return the outcome of an algo that broke before the first event."""
    return Outcome(
        failure=failure,
        interrupted=False,
        run_s=0.0,
        fills=np.zeros(0, layout.FILL_LOG),
        orders=np.zeros(0, layout.ORDER_LOG),
        equity=np.zeros(0, layout.EQUITY_LOG),
        run=np.zeros(1, layout.RUN)[0],
        account=np.zeros(1, layout.ACCOUNT)[0],
        fuel_counts=np.zeros(FUEL_BUCKETS, np.int64),
    )


def _compile(sim: Any) -> None:
    """Compile the kernels, or load them, before the wall-clock net is up: it is there for the algo."""
    signature: tuple[Any, ...] = (numba.typeof(sim),)  # type: ignore[no-untyped-call]
    kernels: tuple[tuple[Any, tuple[Any, ...]], ...] = (
        (loop.start, ()),
        (loop.advance, (numba.int64,)),
        (loop.finish, ()),
    )
    for kernel, more in kernels:
        kernel.compile(signature + more)


def _drive(memory: RunMemory, progress: Callable[[float], None] | None) -> None:
    while True:
        why = loop.advance(memory.sim, STEPS_PER_SLICE)
        if why == layout.FULL:
            memory.make_room()
        elif why != layout.RUNNING:
            return
        elif progress is not None:
            progress(float(memory.sim["run"]["packet_at"]) / float(memory.sim["tape_rows"]))


def _checked(events: Records) -> Records:
    if events.dtype.names != TAPE_DTYPE.names:
        raise TypeError(f"events have the columns {events.dtype.names}; a tape has {TAPE_DTYPE.names}")
    if len(events) == 0:
        raise TapeError("The tape is empty: there is nothing to replay. Choose a window that holds data.")
    backward = np.flatnonzero(np.diff(events["receive_ns"]) < 0)
    if len(backward):
        raise TapeError(
            f"Row {backward[0] + 1} was received before the row above it. Import the data again: "
            "a tape is in receive order."
        )
    if events.dtype == TAPE_DTYPE and events.dtype.isalignedstruct and events.flags.carray:
        return events
    # One layout for all callers: the kernels are compiled for exactly one.
    copy = np.zeros(len(events), TAPE_DTYPE)
    for name in TAPE_DTYPE.names or ():
        copy[name] = events[name]
    return copy


def _set_up(
    instance: Instance,
    events: Records,
    instrument: Instrument,
    risk: MmRiskLimits,
    latencies: Latencies,
    equity_interval_ns: int,
    fuel_per_callback: int,
) -> RunMemory:
    memory = RunMemory()
    memory.sim["rules"] = _rules(instrument, risk, latencies, equity_interval_ns, fuel_per_callback)
    _write_facts(instance.state(), instrument, risk)
    memory.attach("words", instance.words)
    memory.attach("host", instance.host)
    memory.attach("log", instance.log)
    memory.attach("tape", events)
    memory.sim["tape_rows"] = len(events)
    exchange_ns = events["exchange_ns"]
    if not np.all(exchange_ns[1:] >= exchange_ns[:-1]):
        memory.attach("exchange_order", np.argsort(exchange_ns, kind="stable").astype(np.int64))
    memory.attach("order_times", np.full(min(risk.max_order_rate, _LARGEST_RATE), _NEVER_AGO, np.int64))
    return memory


def _rules(instrument: Instrument, risk: MmRiskLimits, latencies: Latencies, equity_interval_ns: int, fuel: int) -> Any:
    rules = np.zeros(1, layout.RULES)
    row = rules[0]
    for name in (
        "tick_size_1e9",
        "lot_size_1e8",
        "min_qty_1e8",
        "min_notional_1e9",
        "contract_size_1e8",
        "maker_fee_ppm",
    ):
        row[name] = getattr(instrument, name)
    row["taker_fee_ppm"] = instrument.taker_fee_ppm
    row["inverse"] = instrument.contract == "inverse"
    for name in (
        "max_position_1e8",
        "max_order_notional_1e9",
        "max_order_rate",
        "max_daily_loss_1e9",
        "max_price_deviation_bps",
    ):
        row[name] = getattr(risk, name)
    row["entry_ns"][:3] = latencies.entry_ns
    row["response_ns"][:3] = latencies.response_ns
    row["equity_interval_ns"] = equity_interval_ns
    row["fuel_per_callback"] = fuel
    return row


def _write_facts(state: Any, instrument: Instrument, risk: MmRiskLimits) -> None:
    """Write what the algo is told once: the symbol's rules, its own limits and the symbol's name (cut to 16 bytes)."""
    symbol, limits = state["symbol"], state["risk"]
    symbol["tick_size_1e9"] = instrument.tick_size_1e9
    symbol["lot_size_1e8"] = instrument.lot_size_1e8
    symbol["min_qty_1e8"] = instrument.min_qty_1e8
    symbol["min_notional_1e9"] = instrument.min_notional_1e9
    symbol["price_precision"] = _decimals(instrument.tick_size_1e9, 9)
    symbol["qty_precision"] = _decimals(instrument.lot_size_1e8, 8)
    limits["max_position_1e8"] = risk.max_position_1e8
    limits["max_daily_loss_1e9"] = risk.max_daily_loss_1e9
    limits["max_order_notional_1e9"] = risk.max_order_notional_1e9
    limits["max_order_rate"] = risk.max_order_rate
    name = instrument.symbol.encode()[: abi.SYMBOL_NAME_BYTES]
    state["symbol_name"][: len(name)] = np.frombuffer(name, np.uint8)


def _decimals(step: int, scale: int) -> int:
    """Return how many decimals a step of 10^-scale units needs."""
    decimals = scale
    while decimals > 0 and step % 10 == 0:
        step //= 10
        decimals -= 1
    return decimals


def _failure(instance: Instance, run: Any) -> AlgoFailure:
    callback = native.CALLBACKS[int(run["failed_callback"])]
    place: dict[str, Any] = {
        "callback": callback,
        "event_index": int(run["event_index"]),
        "fuel_used": int(run["failed_fuel"]),
    }
    value, code = int(run["failed_value"]), int(run["failure"])
    if code == layout.BAD_POINTER:
        return AlgoProtocolError(f"The algo returned {value:#x}, which is no place for a list of actions", **place)
    if code == layout.TOO_MANY_ACTIONS:
        return AlgoProtocolError(f"The algo returned {value} actions; at most {abi.MAX_ACTIONS} are allowed", **place)
    if code == layout.UNKNOWN_ACTION:
        return AlgoProtocolError(f"The algo returned an action of the unknown kind {value}", **place)
    return instance.failure(code, callback, int(run["event_index"]), int(run["failed_fuel"]))

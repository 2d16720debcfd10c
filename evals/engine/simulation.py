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
from evals.engine.books import new_book, with_room
from evals.engine.gateway import fuel_bucket
from evals.engine.layout import Exchange, Guest, Int64s, Records, Sim
from evals.errors import AlgoFailure, AlgoProtocolError, TapeError
from evals.market.schema import TAPE_DTYPE, Instrument
from evals.wasm import abi, native
from evals.wasm.host import Instance, Interrupted

STEPS_PER_SLICE: Final = 2_000_000
"""Loop steps between two returns to Python, for progress and Ctrl-C."""

_LARGEST_RATE: Final = 1 << 20
"""Order rates above this behave like this."""

_FIRST_ROOM: Final = 4_096
_FUEL_BUCKETS: Final = int(fuel_bucket.py_func(2**63 - 1)) + 1  # type: ignore[attr-defined]
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
    sim = _set_up(instance, events, instrument, risk, latencies, equity_interval_ns, fuel_per_callback)
    net = threading.Timer(wall_clock_limit_s, instance.interrupt)
    net.daemon = True
    failure: AlgoFailure | None = None
    interrupted = False
    _compile(sim)
    started = time.perf_counter()
    net.start()
    try:
        loop.start(sim)
        sim, alive = _drive(sim, progress)
        if not loop.finish(sim) or not alive:
            failure = _failure(instance, sim.exchange.run[0])
    except Interrupted:
        interrupted = True
    finally:
        net.cancel()
    run = sim.exchange.run[0]
    return Outcome(
        failure=failure,
        interrupted=interrupted,
        run_s=time.perf_counter() - started,
        fills=sim.exchange.fills[: run["fills"]].copy(),
        orders=sim.exchange.orders[: run["orders"]].copy(),
        equity=sim.exchange.equity[: run["samples"]].copy(),
        run=run,
        account=sim.exchange.account[0],
        fuel_counts=sim.guest.fuel_counts,
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
        fuel_counts=np.zeros(_FUEL_BUCKETS, np.int64),
    )


def _compile(sim: Sim) -> None:
    """Compile the kernels, or load them, before the wall-clock net is up: it is there for the algo."""
    loop.advance(sim, 0)
    loop.finish.compile((numba.typeof(sim),))  # type: ignore[attr-defined]


def _drive(sim: Sim, progress: Callable[[float], None] | None) -> tuple[Sim, bool]:
    while True:
        why = loop.advance(sim, STEPS_PER_SLICE)
        if why == layout.FULL:
            sim = _with_more_room(sim)
        elif why == layout.RUNNING:
            if progress is not None:
                progress(float(sim.exchange.run[0]["packet_at"]) / len(sim.tape))
        else:
            return sim, why == layout.ENDED


def _checked(events: Records) -> Records:
    if events.dtype.names != TAPE_DTYPE.names:
        raise TypeError(f"events have the columns {events.dtype.names}; a tape has {TAPE_DTYPE.names}")
    if len(events) == 0:
        raise TapeError("The tape is empty: there is nothing to replay. Choose a window that holds data.")
    backward = np.flatnonzero(np.diff(events["receive_ns"]) < 0)
    if len(backward):
        raise TapeError(f"Row {backward[0] + 1} was received before the row above it. Import the data again: a tape is in receive order.")
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
) -> Sim:
    rules = _rules(instrument, risk, latencies, equity_interval_ns, fuel_per_callback)
    _write_facts(instance.state(), instrument, risk)
    exchange_ns = events["exchange_ns"]
    in_order = bool(np.all(exchange_ns[1:] >= exchange_ns[:-1]))
    exchange = Exchange(
        rules=rules,
        run=np.zeros(1, layout.RUN),
        account=np.zeros(1, layout.ACCOUNT),
        book=new_book(_FIRST_ROOM),
        slots=np.zeros(layout.MAX_ORDERS, layout.SLOT),
        resting=np.zeros(layout.MAX_ORDERS, np.int64),
        fills=np.zeros(_FIRST_ROOM, layout.FILL_LOG),
        orders=np.zeros(_FIRST_ROOM, layout.ORDER_LOG),
        equity=np.zeros(_FIRST_ROOM, layout.EQUITY_LOG),
        answers=np.zeros(_FIRST_ROOM, layout.MESSAGE),
    )
    guest = Guest(
        words=instance.words,
        host=instance.host,
        log=instance.log,
        book=new_book(_FIRST_ROOM),
        account=np.zeros(1, layout.ACCOUNT),
        open_slots=np.zeros(layout.MAX_ORDERS, np.int64),
        inbox=np.zeros((abi.MAX_ACTIONS, 4), np.int64),
        refused=np.zeros((abi.MAX_ACTIONS, 2), np.int64),
        order_times=np.full(min(risk.max_order_rate, _LARGEST_RATE), _NEVER_AGO, np.int64),
        fuel_counts=np.zeros(_FUEL_BUCKETS, np.int64),
    )
    order = np.empty(0, np.int64) if in_order else np.argsort(exchange_ns, kind="stable").astype(np.int64)
    return Sim(tape=events, exchange_order=order, exchange=exchange, guest=guest, requests=np.zeros(_FIRST_ROOM, layout.MESSAGE))


def _rules(instrument: Instrument, risk: MmRiskLimits, latencies: Latencies, equity_interval_ns: int, fuel: int) -> Records:
    rules = np.zeros(1, layout.RULES)
    row = rules[0]
    for name in ("tick_size_1e9", "lot_size_1e8", "min_qty_1e8", "min_notional_1e9", "contract_size_1e8", "maker_fee_ppm"):
        row[name] = getattr(instrument, name)
    row["taker_fee_ppm"] = instrument.taker_fee_ppm
    row["inverse"] = instrument.contract == "inverse"
    for name in ("max_position_1e8", "max_order_notional_1e9", "max_order_rate", "max_daily_loss_1e9", "max_price_deviation_bps"):
        row[name] = getattr(risk, name)
    row["entry_ns"][:3] = latencies.entry_ns
    row["response_ns"][:3] = latencies.response_ns
    row["equity_interval_ns"] = equity_interval_ns
    row["fuel_per_callback"] = fuel
    return rules


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


def _with_more_room(sim: Sim) -> Sim:
    """Return the same run with twice the room wherever less than half is left; queues are moved to their beginning."""
    exchange, guest, run = sim.exchange, sim.guest, sim.exchange.run[0]
    deepest = max(int(exchange.book.depth.max()), int(guest.book.depth.max()))
    packet = int(run["packet_end"] - run["packet_at"]) + 2
    sweep = deepest + packet + _FIRST_ROOM // 4
    answers = _queue(exchange.answers, run, "answers", sweep)
    requests = _queue(sim.requests, run, "requests", sweep)
    exchange = exchange._replace(
        book=with_room(exchange.book, packet + _FIRST_ROOM // 4),
        fills=_grown(exchange.fills, int(run["fills"]), sweep),
        orders=_grown(exchange.orders, int(run["orders"]), sweep),
        equity=_grown(exchange.equity, int(run["samples"]), sweep),
        answers=answers,
    )
    guest = guest._replace(book=with_room(guest.book, packet + _FIRST_ROOM // 4))
    return sim._replace(exchange=exchange, guest=guest, requests=requests)


def _grown(log: Records, used: int, room: int) -> Records:
    if used + room <= len(log):
        return log
    larger = np.zeros(2 * len(log) + room, log.dtype)
    larger[:used] = log[:used]
    return larger


def _queue(queue: Records, run: Any, name: str, room: int) -> Records:
    head, tail = int(run[f"{name}_head"]), int(run[f"{name}_tail"])
    waiting = queue[head:tail].copy()
    run[f"{name}_head"], run[f"{name}_tail"] = 0, len(waiting)
    larger = np.zeros(max(len(queue), 2 * (len(waiting) + room)), queue.dtype)
    larger[: len(waiting)] = waiting
    return larger


def _failure(instance: Instance, run: Any) -> AlgoFailure:
    callback = native.CALLBACKS[int(run["failed_callback"])]
    place: dict[str, Any] = {"callback": callback, "event_index": int(run["event_index"]), "fuel_used": int(run["failed_fuel"])}
    value, code = int(run["failed_value"]), int(run["failure"])
    if code == layout.BAD_POINTER:
        return AlgoProtocolError(f"The algo returned {value:#x}, which is no place for a list of actions", **place)
    if code == layout.TOO_MANY_ACTIONS:
        return AlgoProtocolError(f"The algo returned {value} actions; at most {abi.MAX_ACTIONS} are allowed", **place)
    if code == layout.UNKNOWN_ACTION:
        return AlgoProtocolError(f"The algo returned an action of the unknown kind {value}", **place)
    return instance.failure(code, callback, int(run["event_index"]), int(run["failed_fuel"]))

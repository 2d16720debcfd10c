"""Sets a run up, drives the loop, gives it rows and room when it asks, and turns a failure code into an error."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numba
import numpy as np

from bundles.mm_types import MmRiskLimits
from evals.engine import entries, layout
from evals.engine.books import move_window
from evals.engine.features import no_features
from evals.engine.feeding import Feed
from evals.engine.layout import NEVER, Int64s, Records
from evals.engine.logs import RunLogs
from evals.engine.markets import Market, Place, write_rules
from evals.engine.memory import FUEL_BUCKETS, RunMemory
from evals.engine.settings import ReplaySettings
from evals.errors import AlgoFailure, AlgoProtocolError, TapeError
from evals.market.schema import Instrument
from evals.wasm import abi, native
from evals.wasm.host import Instance
from evals.wasm.watch import Interrupted, Watch

STEPS_PER_SLICE: Final = 1_000_000
"""Loop steps between two returns to Python, for progress and Ctrl-C."""

_LARGEST_RATE: Final = 1 << 20
"""Order rates above this behave like this."""

_NEVER_AGO: Final = -(2**62)


@dataclass(frozen=True)
class Outcome:
    """What a run left behind, besides the logs."""

    failure: AlgoFailure | None
    interrupted: bool
    run_s: float
    """Wall-clock seconds of the run itself, without compiling."""
    run: Any
    symbols: Any
    assets: Any
    fuel_counts: Int64s
    rows: int
    packets: int
    first_ns: int
    last_ns: int
    """Rows and packets read, first and last receive time."""
    mail: dict[str, int]
    """Messages from other instances: how many were ``received``, and how many ``missed`` since the run was over."""


class Simulation:
    """One algo over the tapes of its market.

    Raises:
        TapeError: if a tape is empty.

    """

    def __init__(
        self,
        instance: Instance,
        market: Market,
        risk: MmRiskLimits,
        settings: ReplaySettings,
        seed: int,
        logs: RunLogs,
        trace: Int64s | None = None,
    ) -> None:
        self.instance = instance
        self._failure: AlgoFailure | None = None
        self._over = False
        self._received = self._missed = 0
        self._settings = settings
        self.memory = RunMemory(len(market.symbols), len(market.assets), logs)
        self._set_up(market, risk, seed, trace)
        self._feeds = [
            Feed(asset, place.source) for asset, place in zip(self.memory.assets, market.assets, strict=True)
        ]
        _compile(self.memory)
        for feed in self._feeds:
            feed.start()
            if feed.rows == 0:
                raise TapeError("The tape is empty: there is nothing to replay. Choose a window that holds data.")
        self.memory.sim["run"]["first_ns"] = min(feed.happened_ns for feed in self._feeds)

    @property
    def first_ns(self) -> int:
        """When the first row of all tapes was received."""
        return min(feed.first_ns for feed in self._feeds)

    @property
    def rows(self) -> int:
        """How many rows were read so far."""
        return sum(feed.rows for feed in self._feeds)

    def run(self, progress: Callable[[int], None] | None = None) -> Outcome:
        """Run to the end of the tapes; ``progress`` is told how many rows were read so far.

        Raises:
            KeyboardInterrupt: at Ctrl-C.

        """
        started = time.perf_counter()
        interrupted = False
        try:
            with Watch(self._settings.wall_clock_limit_s, self.instance.interrupt):
                self.start()
                while self.attend(entries.advance(self.memory.address, STEPS_PER_SLICE)):
                    if progress is not None:
                        progress(self.rows)
                self.finish()
        except Interrupted:
            interrupted = True
        return self.outcome(time.perf_counter() - started, interrupted=interrupted)

    def start(self) -> None:
        """Set the clocks."""
        entries.start(self.memory.address)

    def attend(self, why: int) -> bool:
        """Give the loop what it stopped for; False if the tapes have ended or the algo broke.

        Raises:
            TapeError: if a tape is not in receive order.

        """
        run = self.memory.sim["run"]
        if why == layout.FULL:
            self.memory.make_room()
        elif why == layout.NEEDS_ROWS:
            self._feeds[run["wanted"]].hand_over(int(run["reader"]))
            if all(feed.exhausted for feed in self._feeds):
                run["last_ns"] = max(feed.last_ns for feed in self._feeds)
        elif why == layout.DISORDERED:
            row = int(self.memory.assets[run["wanted"]]["packet_row"])
            raise TapeError(
                f"Row {row} was received before the row above it. Import the data again: a tape is in receive order."
            )
        return why not in {layout.ENDED, layout.FAILED}

    def finish(self) -> None:
        """Call on_shutdown and close the books of the run."""
        self.memory.make_room()
        if not entries.finish(self.memory.address):
            self._failure = self._why_it_failed()
        self._over = True

    def deliver(self, mail: Records) -> None:
        """Take messages, rows of MAIL in order of their time; who is over or has no on_message misses them."""
        if self._over or not self.instance.takes_messages:
            self._missed += len(mail)
            return
        sim = self.memory.sim
        head, tail = int(sim["mail_head"]), int(sim["mail_tail"])
        waiting = np.concatenate([self.memory.tables["mail"][head:tail], mail])
        self._received += head
        self.memory.attach("mail", waiting)
        sim["mail_head"], sim["mail_tail"] = 0, len(waiting)

    def outcome(self, run_s: float, *, interrupted: bool) -> Outcome:
        """Return what the run leaves behind; it is over, after some seconds."""
        self.memory.flush()
        head, tail = (self.memory.sim[name] for name in ("mail_head", "mail_tail"))
        return Outcome(
            failure=self._failure,
            interrupted=interrupted,
            run_s=run_s,
            run=self.memory.sim.copy()["run"],
            symbols=self.memory.symbols.copy(),
            assets=self.memory.assets.copy(),
            fuel_counts=self.memory.tables["fuel_counts"],
            rows=self.rows,
            packets=int(self.memory.assets["packets_seen"].sum()),
            first_ns=min(feed.first_ns for feed in self._feeds),
            last_ns=max(feed.last_ns for feed in self._feeds),
            mail={"received": self._received + int(head), "missed": self._missed + int(tail - head)},
        )

    def _set_up(self, market: Market, risk: MmRiskLimits, seed: int, trace: Int64s | None) -> None:
        memory, instance, settings = self.memory, self.instance, self._settings
        sim = memory.sim
        sim["run"]["last_ns"] = sim["run"]["until_ns"] = NEVER
        sim["run"]["housekeeping_ns"] = NEVER
        sim["equity_interval_ns"] = settings.equity_interval_ns
        sim["fuel_per_callback"] = settings.fuel_per_callback
        sim["orders_limit"] = settings.max_actions
        sim["primary"] = market.primary
        sim["words"], sim["host"], sim["log"] = (
            instance.words.ctypes.data,
            instance.host.ctypes.data,
            instance.outgoing.words.ctypes.data,
        )
        for index, place in enumerate(market.assets):
            asset = memory.assets[index]
            asset["index"], asset["symbol"], asset["home"] = index, place.symbol, place.home
            asset["venue_id"] = place.venue_id
            asset["book_word"] = instance.books[index] // 8
            asset["book"]["tick_size_1e9"] = place.instrument.tick_size_1e9
            asset["book"]["ticks_per_1e9"] = 1.0 / place.instrument.tick_size_1e9
            write_rules(memory, index, place, settings, seed, trace)
            if place.home and instance.facts.reads_features:
                memory.keep(asset, "features", index, no_features())
        for index, symbol in enumerate(market.symbols):
            record = memory.symbols[index]
            record["symbol_id"], record["home"] = symbol.symbol_id, symbol.home
            record["first_asset"], record["assets"] = symbol.first_asset, symbol.assets
            record["state_word"] = instance.states[index] // 8
            record["paused_day"] = -1
            record["known"]["session_day"] = -1
            for name in layout.LIMITS.names or ():
                record["limits"][name] = getattr(risk, name)
            ring = np.full(min(risk.max_order_rate, _LARGEST_RATE), _NEVER_AGO, np.int64)
            memory.keep(record, "order_times", index, ring)
            record["order_times_room"] = len(ring)
            _write_facts(instance.state(index), market.assets[symbol.home], symbol.symbol_id, risk)

    def _why_it_failed(self) -> AlgoFailure:
        run = self.memory.sim["run"]
        callback = native.CALLBACKS[int(run["failed_callback"])]
        place: dict[str, Any] = {
            "callback": callback,
            "event_index": int(run["event_row"]),
            "fuel_used": int(run["failed_fuel"]),
        }
        value, code = int(run["failed_value"]), int(run["failure"])
        if code == layout.BAD_POINTER:
            return AlgoProtocolError(f"The algo returned {value:#x}, which is no place for a list of actions", **place)
        if code == layout.TOO_MANY_ACTIONS:
            return AlgoProtocolError(
                f"The algo returned {value} actions; at most {abi.MAX_ACTIONS} are allowed", **place
            )
        if code == layout.UNKNOWN_ACTION:
            return AlgoProtocolError(f"The algo returned an action of the unknown kind {value}", **place)
        if code == layout.LOG_FULL:
            return AlgoProtocolError(
                f"The algo has sent {value:,} actions, as many as a run keeps. Raise max_actions in the settings if it "
                "is meant to",
                **place,
            )
        return self.instance.failure(code, callback, int(run["event_row"]), int(run["failed_fuel"]))


def nothing_happened(failure: AlgoFailure | None) -> Outcome:
    """Return the outcome of an algo that broke before the first event; without a failure, its time was up by then."""
    return Outcome(
        failure=failure,
        interrupted=failure is None,
        run_s=0.0,
        run=np.zeros(1, layout.RUN)[0],
        symbols=np.zeros(1, layout.SYMBOL),
        assets=np.zeros(1, layout.ASSET),
        fuel_counts=np.zeros(FUEL_BUCKETS, np.int64),
        rows=0,
        packets=0,
        first_ns=0,
        last_ns=0,
        mail={"received": 0, "missed": 0},
    )


def _compile(memory: RunMemory) -> None:
    """Compile the kernels, or load them, before the wall-clock net is up: it is there for the algo."""
    entries.compile_entries()
    kernel: Any = move_window
    kernel.compile((numba.typeof(memory.assets[0]["book"]), numba.int64))  # type: ignore[no-untyped-call]


def _write_facts(state: Any, place: Place, symbol_id: int, risk: MmRiskLimits) -> None:
    """Write what the algo is told once: the symbol's rules, its own limits and the symbol's name (cut to 16 bytes)."""
    instrument: Instrument = place.instrument
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
    state["symbol_id"] = symbol_id
    name = instrument.symbol.encode()[: abi.SYMBOL_NAME_BYTES]
    state["symbol_name"][: len(name)] = np.frombuffer(name, np.uint8)


def _decimals(step: int, scale: int) -> int:
    """Return how many decimals a step of 10^-scale units needs."""
    decimals = scale
    while decimals > 0 and step % 10 == 0:
        step //= 10
        decimals -= 1
    return decimals

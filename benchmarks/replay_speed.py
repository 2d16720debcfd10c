"""How fast a tape is replayed, beside hftbacktest with the same maker on the same tape, and where the time goes.

`make bench` runs it and writes BENCHMARKS.md. Both engines run on one core, in turn, several times; the machine is
rarely quiet, so the best run of each is compared with the best of the other, and the medians are printed as well.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import wasmtime

from bundles.errors import UnreachableError
from bundles.mm_types import MmConfig, MmRiskLimits
from bundles.toolchain import build_wasm, find_toolchain
from evals.engine.logs import RunLogs
from evals.engine.markets import market_of
from evals.engine.settings import ReplaySettings
from evals.engine.simulation import Simulation
from evals.market.binance import import_binance
from evals.market.gdax import import_gdax
from evals.market.schema import TapeInfo
from evals.market.source import Columns
from evals.market.tape import Tape, TapeFiles, write_tape
from evals.replay import run_replay
from evals.wasm import native
from evals.wasm.host import Instance
from sequence.sample import fetch_sample

ROOT = Path(__file__).resolve().parent.parent
PEER = ROOT / "benchmarks" / "peer" / "quote.py"
RAW = ROOT.parent / "shared" / "market-data" / "raw" / "binance-2024-08-08"
QTY_1E8 = 1_000_000
LIMIT_1E8 = 100_000_000
OFFSET_TICKS = 1
SECOND_NS = 1_000_000_000


@dataclass(frozen=True)
class Repeated:
    """A tape that is played again and again, later and later, without being held more than once."""

    tape: Tape
    times: int

    @property
    def info(self) -> TapeInfo:
        """What the tape says about itself."""
        return self.tape.info

    @property
    def rows(self) -> int:
        """Rows of all repetitions."""
        return self.times * len(self.tape.events)

    def events(self) -> np.ndarray[Any, Any]:
        """All repetitions in one array."""
        span_ns = int(np.ptp(self.tape.events["receive_ns"])) + SECOND_NS
        parts = []
        for turn in range(self.times):
            part = self.tape.events.copy()
            for clock in ("exchange_ns", "receive_ns"):
                part[clock] += turn * span_ns
            parts.append(part)
        return np.concatenate(parts)

    def chunks(self) -> Iterator[Columns]:
        """See :class:`evals.market.source.TapeSource`."""
        yield from Tape(self.events(), self.tape.info).chunks()


@dataclass
class Runs:
    """Seconds of several runs of one thing over some rows."""

    rows: int
    seconds: list[float] = field(default_factory=list)

    @property
    def best(self) -> float:
        """Millions of rows a second in the best run."""
        return self.rows / min(self.seconds) / 1e6

    @property
    def median(self) -> float:
        """Millions of rows a second in the median run."""
        return self.rows / statistics.median(self.seconds) / 1e6

    @property
    def ns(self) -> float:
        """Nanoseconds a row in the best run."""
        return min(self.seconds) / self.rows * 1e9


def main() -> None:
    """Measure, print, and write BENCHMARKS.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=20_000_000, help="rows of the repeated tape, at least")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--no-peer", action="store_true")
    parser.add_argument("--write", type=Path, help="write the report there as well")
    options = parser.parse_args()
    wasm = _quoter()
    lines = _heading()
    for name, tape in _tapes(options.events):
        lines += _compare(name, tape, wasm, options)
    lines += _start_up()
    print("\n".join(lines))
    if options.write:
        options.write.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _heading() -> list[str]:
    packages = ", ".join(f"{name} {version(name)}" for name in ("numba", "numpy", "wasmtime", "pyarrow"))
    return [
        "# Benchmarks",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, written by `make bench`. {_processor()}, {os.cpu_count()} cores,",
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, {packages}.",
        "",
        "Both engines run the same maker (`benchmarks/quoter`, `benchmarks/peer/quote.py`) with a decision on every",
        "packet, the risk-averse queue, whole fills (there both mean the same, see docs/fidelity.md) and 1 ms latency",
        "each way, on one core, in turn. Ours is Rust compiled to WASM with the published SDK, sandboxed and metered;",
        "hftbacktest's is compiled by Numba into the process, with its fastest book (ROI vector), driven by `elapse`.",
        "Millions of tape rows a second: the best run, and in brackets the median.",
        "",
    ]


def _tapes(events: int) -> list[tuple[str, Repeated]]:
    found: list[tuple[str, Tape]] = []
    try:
        found.append(("GDAX BTC-USD 2018-07-13", import_gdax(*fetch_sample(ROOT / ".cache" / "sample"))))
    except UnreachableError as error:
        print(f"Without the GDAX sample: {error}", file=sys.stderr)
    spot = [RAW / f"spot_btcusdt_{day}.gz" for day in ("20240808", "20240809")]
    if all(path.exists() for path in spot):
        found.append(("Binance spot BTC-USDT 2024-08-08", import_binance(spot, market="spot")))
    return [(name, Repeated(tape, -(-events // len(tape.events)))) for name, tape in found]


def _compare(name: str, tape: Repeated, wasm: bytes, options: argparse.Namespace) -> list[str]:
    print(f"{name}: {tape.rows:,} rows", file=sys.stderr)
    whole = Tape(tape.events(), tape.info)
    ours, books, idle = Runs(tape.rows), Runs(tape.rows), Runs(tape.rows)
    peer = Runs(tape.rows)
    _replay(whole, wasm)
    for _ in range(options.rounds):
        if not options.no_peer:
            peer.seconds += _peer_seconds(tape)
        ours.seconds += [_replay(whole, wasm) for _ in range(2)]
        books.seconds.append(_replay(whole, wasm, callbacks=False))
        idle.seconds.append(_replay(whole, _idle()))
    decode, one, two = Runs(tape.rows), Runs(tape.rows), Runs(2 * tape.rows)
    with tempfile.TemporaryDirectory() as folder:
        files = TapeFiles(write_tape(Path(folder), whole))
        for _ in range(options.rounds):
            decode.seconds.append(_seconds(lambda: sum(len(chunk) for chunk in files.chunks())))
    for _ in range(options.rounds):
        one.seconds.append(_seconds(lambda: _replay(whole, wasm)))
        two.seconds.append(_two_at_once(whole, wasm))
    lines = [f"## {name}, {tape.times} times: {tape.rows:,} rows", "", "| | M rows/s | ns/row |", "|---|---:|---:|"]
    lines += [
        _row("decode the parquet file", decode),
        _row("books, queues and clocks, no callbacks", books),
        _row("the same and an algo that does nothing", idle),
        _row("**the maker**", ours),
    ]
    if not options.no_peer:
        lines.append(_row("hftbacktest, the maker", peer))
    lines += ["", f"Two tapes on two cores: {two.best / one.best:.2f} times the throughput of one, set-up included."]
    if not options.no_peer:
        lines.append(f"**{ours.best / peer.best:.2f} times hftbacktest** (medians: {ours.median / peer.median:.2f}).")
    lines += [
        f"Of {ours.ns:.0f} ns a row: {books.ns:.0f} for books and clocks, {idle.ns - books.ns:.0f} for calling the "
        f"algo, {ours.ns - idle.ns:.0f} for its thinking and its orders.",
        "",
    ]
    return lines


def _row(name: str, runs: Runs) -> str:
    return f"| {name} | {runs.best:.2f} ({runs.median:.2f}) | {runs.ns:.0f} |"


def _limits() -> MmRiskLimits:
    return MmRiskLimits(max_position_1e8=10**15, max_order_notional_1e9=10**18, max_order_rate=10**6)


def _replay(tape: Tape, wasm: bytes, *, callbacks: bool = True) -> float:
    """Return the seconds of the run itself, as hftbacktest's are measured too: without setting it up."""
    config = MmConfig(min_spread_bps=OFFSET_TICKS, quote_size_1e8=QTY_1E8, max_position_1e8=LIMIT_1E8)
    settings = ReplaySettings(partial_fills=False)
    if callbacks:
        result = run_replay(wasm, tape, config=config, risk=_limits(), settings=settings)
        if result.status != "completed":
            sys.exit(f"The run {result.status}: {result.detail}")
        return result.timings["run"]
    instance = Instance(
        wasm, fuel_per_callback=settings.fuel_per_callback, memory_limit_bytes=settings.memory_limit_bytes
    )
    for flag in (native.HAS_BOOK, native.HAS_NBBO, native.HAS_HEARTBEAT):
        instance.host[flag] = 0
    return Simulation(instance, market_of([tape]), _limits(), settings, 42, RunLogs()).run().run_s


def _two_at_once(tape: Tape, wasm: bytes) -> float:
    threads = [threading.Thread(target=_replay, args=(tape, wasm)) for _ in range(2)]

    def both() -> None:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return _seconds(both)


def _seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _peer_seconds(tape: Repeated) -> list[float]:
    """Run hftbacktest in its own environment; return the seconds of its runs."""
    instrument = tape.info.instrument
    facts = {"tick_size_1e9": instrument.tick_size_1e9, "lot_size_1e8": instrument.lot_size_1e8}
    with tempfile.TemporaryDirectory() as folder:
        rows = Path(folder) / "tape.npy"
        np.save(rows, tape.tape.events)
        arguments = {
            "--offset-ticks": OFFSET_TICKS,
            "--qty-lots": QTY_1E8 // instrument.lot_size_1e8,
            "--limit-lots": LIMIT_1E8 // instrument.lot_size_1e8,
            "--repeat": tape.times,
            "--runs": 2,
            "--exchange": "whole",
        }
        command = [str(ROOT / ".venv-peer/bin/python"), str(PEER), str(rows), json.dumps(facts)]
        command += [str(part) for pair in arguments.items() for part in pair]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    seconds: list[float] = json.loads(done.stdout)["wall_s"]
    return seconds


def _quoter() -> bytes:
    environ = {**os.environ, "CARGO_TARGET_DIR": str(ROOT / ".cache/target")}
    return build_wasm(ROOT / "benchmarks" / "quoter", find_toolchain(), environ=environ).read_bytes()


def _idle() -> bytes:
    """Return an algo of SDK 0.1's shape that answers every book with no action."""
    return bytes(
        wasmtime.wat2wasm(
            '(module (memory (export "memory") 17) (global $free (mut i32) (i32.const 0x101000))'
            '(func (export "algo_on_book") (param i32 i32) (result i32) i32.const 0x100000)'
            '(func (export "algo_on_fill") (param i32 i32)) (func (export "algo_on_reject") (param i32))'
            '(func (export "algo_on_shutdown") (param i32) (result i32) i32.const 0x100000)'
            '(func (export "algo_alloc") (param i32) (result i32) global.get $free global.get $free local.get 0'
            " i32.const 7 i32.add i32.const -8 i32.and i32.add global.set $free))"
        )
    )


def _start_up() -> list[str]:
    lines = ["## Start-up", "", "| command | seconds, median of 10 |", "|---|---:|"]
    for arguments in (["--help"], ["bundle", "list"]):
        runs = [_command(arguments) for _ in range(11)]
        lines.append(f"| `sequence {' '.join(arguments)}` | {statistics.median(runs[1:]):.3f} |")
    return lines


def _command(arguments: list[str]) -> float:
    sequence = Path(sys.executable).with_name("sequence")
    return _seconds(lambda: subprocess.run([sequence, *arguments], check=True, capture_output=True, cwd=ROOT / "docs"))


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()

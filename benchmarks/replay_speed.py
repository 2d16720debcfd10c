"""How fast a tape is replayed with a WASM algo called on every packet, and how fast the command starts.

`make bench` runs it. Every figure is the median of several runs on this machine, on one core; the first run of each,
which compiles or loads kernels, is not counted.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from importlib.metadata import version
from pathlib import Path

import numpy as np

from bundles.errors import UnreachableError
from bundles.mm_types import MmConfig, MmRiskLimits
from bundles.toolchain import build_wasm, find_toolchain
from evals.market.gdax import import_gdax
from evals.market.synthetic import synthetic_tape
from evals.market.tape import Tape
from evals.replay import ReplaySettings, run_replay
from sequence.sample import fetch_sample
from sequence.templates import start_project

RUNS = 5
LEAST_EVENTS = 2_000_000
ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Measure and print."""
    print(f"Machine: {_processor()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}")
    packages = ", ".join(f"{name} {version(name)}" for name in ("numba", "numpy", "wasmtime"))
    print(f"Versions: Python {platform.python_version()}, {packages}\n")
    with tempfile.TemporaryDirectory() as folder:
        wasm = build_wasm(start_project("bench-mm", Path(folder)), find_toolchain()).read_bytes()
    print(f"{'tape':<34}{'events':>10}{'callbacks':>11}{'million events/s':>18}{'ns/event':>10}")
    for name, tape in _tapes():
        _measure(name, tape, wasm)
    print(f"\n{'command':<44}{'seconds':>8}")
    for arguments in (["--help"], ["bundle", "list"]):
        seconds = [_start_up(arguments) for _ in range(RUNS * 2 + 1)][1:]
        print(f"{'sequence ' + ' '.join(arguments):<44}{statistics.median(seconds):>8.3f}")


def _tapes() -> list[tuple[str, Tape]]:
    try:
        real = _repeated(import_gdax(*fetch_sample(ROOT / ".cache" / "sample")))
        tapes = [("GDAX BTC-USD, 9.7 min, repeated", real)]
    except UnreachableError as error:
        print(f"Without the real sample: {error}", file=sys.stderr)
        tapes = []
    return [*tapes, ("synthetic", _repeated(synthetic_tape(7, duration_s=600)))]


def _repeated(tape: Tape) -> Tape:
    """Append a tape to itself, later and later, until it is long enough."""
    events = tape.events
    span_ns = int(events["receive_ns"][-1] - events["receive_ns"][0]) + 1_000_000_000
    parts = []
    for turn in range(-(-LEAST_EVENTS // len(events))):
        part = events.copy()
        for clock in ("exchange_ns", "receive_ns"):
            part[clock] += turn * span_ns
        parts.append(part)
    return Tape(events=np.concatenate(parts), info=tape.info)


def _measure(name: str, tape: Tape, wasm: bytes) -> None:
    speeds, callbacks = [], 0
    for turn in range(RUNS + 1):
        result = run_replay(wasm, tape, config=MmConfig(), risk=MmRiskLimits(), settings=ReplaySettings())
        if result.status != "completed":
            sys.exit(f"{name}: the run {result.status}: {result.detail}")
        if turn:
            speeds.append(result.timings["events_per_s"])
        callbacks = int(result.metrics["callbacks"] or 0)
    speed = statistics.median(speeds)
    print(f"{name:<34}{len(tape.events):>10,}{callbacks:>11,}{speed / 1e6:>18.2f}{1e9 / speed:>10.0f}")


def _start_up(arguments: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(
        [Path(sys.executable).with_name("sequence"), *arguments], check=True, capture_output=True, cwd=ROOT / "docs"
    )
    return time.perf_counter() - began


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()

"""Ctrl-C ends an algo that loops within its fuel at once, whoever handles the signal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from evals.replay import ReplayResult
from evals.wasm.watch import Watch
from tests.evals.hostile.modules import FOREVER, ROWS, algo

Play = Callable[..., ReplayResult]

RUN = """
import signal, sys, threading
from pathlib import Path
from bundles.mm_types import MmConfig, MmRiskLimits
from evals.market.tape import read_tape
from evals.market.synthetic import synthetic_tape
from evals.replay import ReplaySettings, run_replay

handler, where, honest, endless = sys.argv[1:]
if handler == "command":
    from sequence import interrupts
    interrupts.install()
elif handler == "deaf":
    signal.signal(signal.SIGINT, lambda *_: None)
tape = synthetic_tape(7, duration_s=5)

def run(path):
    settings = ReplaySettings(fuel_per_callback=2**52, wall_clock_limit_s=60)
    plain = where == "plain"
    run_replay(Path(path).read_bytes(), tape, config=MmConfig(), risk=MmRiskLimits(), settings=settings, plain=plain)

run(honest)
print("ready", flush=True)
try:
    run(endless)
except KeyboardInterrupt:
    if handler == "command":
        interrupts.settle()
    restored = signal.set_wakeup_fd(-1) == -1
    print("interrupted", restored, threading.active_count(), flush=True)
    sys.exit(130)
"""


@pytest.mark.parametrize("handler", ["python", "command", "deaf"])
@pytest.mark.parametrize("where", ["on_book", "algo_alloc", "plain"])
def test_ctrl_c_ends_an_endless_loop_at_once(tmp_path: Path, handler: str, where: str) -> None:
    (tmp_path / "honest.wasm").write_bytes(algo())
    (tmp_path / "endless.wasm").write_bytes(algo(**{"alloc" if where == "algo_alloc" else "on_book": FOREVER}))
    process = subprocess.Popen(
        [sys.executable, "-c", RUN, handler, where, str(tmp_path / "honest.wasm"), str(tmp_path / "endless.wasm")],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.7)
        process.send_signal(signal.SIGINT)
        sent = time.monotonic()
        out, err = process.communicate(timeout=30)
    assert time.monotonic() - sent < 3
    assert out == "interrupted True 1\n", err
    assert process.returncode == 130


def test_another_thread_has_the_limit_only(play: Play) -> None:
    results: list[ReplayResult] = []
    loop = algo(on_book=FOREVER)
    thread = threading.Thread(
        target=lambda: results.append(play(ROWS, loop, fuel_per_callback=2**52, wall_clock_limit_s=1))
    )
    thread.start()
    thread.join()
    assert results[0].status == "interrupted"


def test_signals_reach_whoever_listened_before() -> None:
    """An event loop's own descriptor gets what came in while it was replaced."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    before = signal.set_wakeup_fd(writer)
    former = signal.signal(signal.SIGUSR1, lambda *_: None)
    try:
        with Watch(60, lambda: None):
            os.kill(os.getpid(), signal.SIGUSR1)
        assert os.read(reader, 10) == bytes([signal.SIGUSR1])
        assert signal.set_wakeup_fd(writer) == writer
    finally:
        signal.signal(signal.SIGUSR1, former)
        signal.set_wakeup_fd(before)
        os.close(reader)
        os.close(writer)

"""One reading for several runs: everybody gets every row, at their own pace, and every fault."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from bundles.mm_types import MmConfig
from evals.market.schema import TapeInfo
from evals.market.source import Columns
from evals.market.synthetic import synthetic_tape
from evals.market.tape import Tape
from evals.replay import run_replay
from evals.shadow import ShadowSettings
from evals.shadowing.beside import Algo, run_beside
from evals.shadowing.sharing import SharedTape, Stopped
from tests.evals.shadow.conftest import CONFIG, RISK


class Counted:
    """A tape in small chunks that counts how far it was read, and may break."""

    def __init__(self, tape: Tape, chunk_rows: int = 500, breaks_at: int = -1) -> None:
        self._tape, self._chunk_rows, self._breaks_at = tape, chunk_rows, breaks_at
        self.read = 0
        self.reading = threading.Lock()

    @property
    def info(self) -> TapeInfo:
        return self._tape.info

    def chunks(self) -> Iterator[Columns]:
        for number, chunk in enumerate(self._tape.chunks(self._chunk_rows)):
            assert self.reading.acquire(blocking=False), "two read at once"
            if number == self._breaks_at:
                self.reading.release()
                raise OSError("the disk is gone")
            self.read += 1
            self.reading.release()
            yield chunk


def rows_of(chunks: Iterator[Columns]) -> Any:
    return np.concatenate([chunk.receive_ns for chunk in chunks])


def test_every_reader_gets_every_row_and_the_tape_is_read_once() -> None:
    tape = synthetic_tape(1, duration_s=60)
    source = Counted(tape)
    shared = SharedTape(source, 3)
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda number: rows_of(shared.reader(number).chunks()), range(3)))
    assert source.read == -(-len(tape.events) // 500) > 10
    for each in found:
        assert each.tobytes() == np.ascontiguousarray(tape.events["receive_ns"]).tobytes()


def test_who_is_ahead_waits_but_not_for_ever_and_not_for_who_has_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evals.shadowing.sharing._PATIENCE_S", 0.01)
    source = Counted(synthetic_tape(1, duration_s=60), chunk_rows=100)
    shared = SharedTape(source, 2)
    taken = 0
    for _ in shared.reader(0).chunks():
        taken += 1
        if taken == 30:
            shared.reader(1).leave()
    assert taken == source.read > 60
    assert shared._waiting.keys() == {0}, "nothing is kept for who has left"


def test_a_fault_comes_to_every_reader_after_the_rows_before_it() -> None:
    shared = SharedTape(Counted(synthetic_tape(1, duration_s=60), breaks_at=3), 2)
    for number in (0, 1):
        taken: list[Columns] = []
        with pytest.raises(OSError, match="the disk is gone"):
            taken.extend(shared.reader(number).chunks())
        first = shared.reader(number)
        with pytest.raises(OSError, match="the disk is gone"):
            next(first.chunks())


def test_stopping_lets_waiting_readers_go() -> None:
    held = threading.Event()

    class Endless(Counted):
        def chunks(self) -> Iterator[Columns]:
            held.wait(10)
            yield from super().chunks()

    shared = SharedTape(Endless(synthetic_tape(1, duration_s=10)), 2)
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(rows_of, shared.reader(number).chunks()) for number in (0, 1)]
        shared.stop()
        held.set()
        assert all(isinstance(each.exception(timeout=10), Stopped) for each in waiting)


def test_runs_beside_each_other_are_those_of_replays(
    compiled_algo: Callable[[str], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also over several tapes, in small chunks, where each reads on at another time."""
    monkeypatch.setattr("evals.shadowing.sharing._AHEAD_CHUNKS", 2)
    monkeypatch.setattr("evals.shadowing.sharing._PATIENCE_S", 0.01)
    one = synthetic_tape(1, duration_s=30)
    rename = {"symbol": "ETH-USD"}
    other = synthetic_tape(2, duration_s=40, instrument=one.info.instrument.model_copy(update=rename))
    algos = [Algo(compiled_algo("maker"), MmConfig(**CONFIG | {"min_spread_bps": bps}), RISK) for bps in (1, 2)]
    tapes = [Counted(tape, chunk_rows=64) for tape in (one, other)]
    found = run_beside(*algos, tapes, settings=ShadowSettings(), seed=5)
    for algo, result in zip(algos, found, strict=True):
        assert result is not None
        alone = run_replay(
            algo.wasm, [one, other], config=algo.config, risk=algo.risk, settings=ShadowSettings(), seed=5
        )
        assert result.result_digest == alone.result_digest
        assert alone.metrics["fills"]


@pytest.mark.parametrize("breaks_at", [0, 5])
def test_a_fault_of_the_tape_ends_both_runs(compiled_algo: Callable[[str], bytes], breaks_at: int) -> None:
    algo = Algo(compiled_algo("maker"), MmConfig(**CONFIG), RISK)
    told: list[str] = []
    with pytest.raises(OSError, match="the disk is gone"):
        run_beside(
            algo,
            algo,
            [Counted(synthetic_tape(1, duration_s=60), breaks_at=breaks_at)],
            settings=ShadowSettings(),
            seed=5,
            abandon=lambda: told.append("abandoned"),
        )
    assert told == ["abandoned"]

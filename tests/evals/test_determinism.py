"""docs/determinism.md, guarantee by guarantee: one result digest and one set of metrics, whatever runs it and how."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evals.engine.memory import RunMemory
from evals.market.datasets import build_dataset, load_dataset, open_dataset
from evals.market.schema import TapeInfo
from evals.market.source import Columns, TapeSource
from evals.market.tape import Tape, write_tape
from evals.replay import ReplayResult
from tests.evals.engine.busy_algo import DRAWN, market, replay

ROOT = Path(__file__).parents[2]

AGAIN = """
import json
from tests.evals.engine.busy_algo import market, replay
result = replay([market(7), market(8, symbol="ETH-USD")])
print(json.dumps([result.result_digest, result.metrics]))
"""


@dataclass(frozen=True)
class Chunked:
    """A tape handed over in chunks of so many rows."""

    tape: Tape
    rows: int

    @property
    def info(self) -> TapeInfo:
        return self.tape.info

    def chunks(self) -> Iterator[Columns]:
        return self.tape.chunks(self.rows)


def outcome(result: ReplayResult) -> tuple[str, dict[str, Any]]:
    assert result.status == "completed", result.detail
    return result.result_digest, result.metrics


@pytest.fixture(scope="module")
def tapes() -> list[TapeSource]:
    return [market(7), market(8, symbol="ETH-USD")]


@pytest.fixture(scope="module")
def expected(tapes: list[TapeSource]) -> tuple[str, dict[str, Any]]:
    first = outcome(replay(tapes))
    figures = first[1]
    assert figures["fills"] > 500
    assert figures["maker_fills"] > 10, "a run that does nothing proves nothing"
    assert figures["cancels"] > 500
    return first


def test_again_in_the_same_process(tapes: list[TapeSource], expected: tuple[str, dict[str, Any]]) -> None:
    assert outcome(replay(tapes)) == expected


@pytest.mark.parametrize(("hash_seed", "threads"), [("0", "1"), ("4711", "2")])
def test_processes_hash_seeds_and_numba_threads(
    expected: tuple[str, dict[str, Any]], tmp_path: Path, hash_seed: str, threads: str
) -> None:
    environ = {"PYTHONHASHSEED": hash_seed, "NUMBA_NUM_THREADS": threads, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", AGAIN],
        cwd=tmp_path,
        env=os.environ | environ,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [expected[0], expected[1]]


@pytest.mark.parametrize("steps", [1, 17, 1_000])
def test_batch_sizes(
    monkeypatch: pytest.MonkeyPatch, tapes: list[TapeSource], expected: tuple[str, dict[str, Any]], steps: int
) -> None:
    monkeypatch.setattr("evals.engine.simulation.STEPS_PER_SLICE", steps)
    assert outcome(replay(tapes)) == expected


@pytest.mark.parametrize("rows", [(1, 1), (2, 1_000_000), (97, 5)])
def test_chunk_sizes(expected: tuple[str, dict[str, Any]], rows: tuple[int, int]) -> None:
    chunked = [Chunked(market(7), rows[0]), Chunked(market(8, symbol="ETH-USD"), rows[1])]
    assert outcome(replay(list(chunked))) == expected


def test_a_first_packet_over_many_chunks_does_not_move_the_heartbeat() -> None:
    assert outcome(replay(Chunked(market(), 1))) == outcome(replay(market()))


def test_threads(tapes: list[TapeSource], expected: tuple[str, dict[str, Any]]) -> None:
    """Several replays at once: of the same tapes, and others between them."""
    alone = outcome(replay(market(3)))
    with ThreadPoolExecutor(6) as pool:
        runs = [pool.submit(replay, tapes if n % 2 else market(3)) for n in range(6)]
        assert [outcome(run.result()) for run in runs] == [alone, expected] * 3


def test_order_of_assets() -> None:
    """An algo that does not look at symbol ids cannot tell in which order the tapes were listed."""
    assets = [market(1), market(2, symbol="ETH-USD"), market(3, symbol="ADA-USD")]
    assert len({outcome(replay(list(order)))[0] for order in itertools.permutations(assets)}) == 1


@pytest.mark.parametrize("chunk_rows", [16, 1 << 16])
def test_streamed_from_files_and_held_in_memory(tmp_path: Path, chunk_rows: int) -> None:
    tape = market(5, days=3)
    paths = write_tape(tmp_path, tape)
    assert len(paths) == 3
    dataset = build_dataset(tmp_path, "kraken", "BTC-USD")
    streamed = outcome(replay(open_dataset(tmp_path, dataset, chunk_rows)))
    assert streamed == outcome(replay(tape)) == outcome(replay(load_dataset(tmp_path, dataset)))


def test_initial_sizes_of_tables(
    monkeypatch: pytest.MonkeyPatch, tapes: list[TapeSource], expected: tuple[str, dict[str, Any]]
) -> None:
    """Every table begins as small as the loop's own margin allows, and grows on the way."""
    grown = Counter[str]()

    def counted(method: str, label: Any) -> None:
        inner = getattr(RunMemory, method)

        def spy(self: RunMemory, *arguments: Any) -> Any:
            grown[label(arguments)] += 1
            return inner(self, *arguments)

        monkeypatch.setattr(RunMemory, method, spy)

    counted("_new_log", lambda arguments: arguments[0])
    counted("_new_queue", lambda arguments: arguments[1])
    counted("_double_changes", lambda _arguments: "changes")
    counted("_new_far", lambda _arguments: "far")
    for name, size in {"_LOG_ROOM": 400, "_QUEUE_ROOM": 1, "_FAR_ROOM": 2, "_CHANGES_ROOM": 1}.items():
        monkeypatch.setattr(f"evals.engine.memory.{name}", size)
    assert outcome(replay(tapes)) == expected
    assert grown["changes"] > 2
    assert grown["fills"] > 1
    assert grown["orders"] > 1
    assert grown["requests"] > 2
    assert grown["answers"] > 2


def test_the_digest_tells_runs_apart() -> None:
    """One lot more in some rows of the tape, one ns of latency, another seed: each is another result."""
    changed = market(7).events.copy()
    changed["sz_1e8"][np.flatnonzero(changed["sz_1e8"])[5:400]] += 1_000
    runs = [
        replay(market(7)),
        replay(Tape(changed, market(7).info)),
        replay(market(7), settings=DRAWN.model_copy(update={"place_entry_ns": DRAWN.place_entry_ns + 1})),
        replay(market(7), seed=43),
    ]
    assert len({run.result_digest for run in runs}) == len(runs)

"""Candidate and incumbent over the same tapes: each in its own market, on one reading of the data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

from evals.replay import ReplayResult, run_replay
from evals.shadowing.sharing import SharedReader, SharedTape

if TYPE_CHECKING:
    from bundles.mm_types import MmConfig, MmRiskLimits
    from evals.engine.layout import Int64s
    from evals.engine.settings import ReplaySettings
    from evals.market.source import TapeSource


@dataclass(frozen=True)
class Algo:
    """What a bundle runs: module, configuration and limits."""

    wasm: bytes
    config: MmConfig
    risk: MmRiskLimits


def run_beside(
    candidate: Algo,
    incumbent: Algo | None,
    tapes: Sequence[TapeSource],
    *,
    settings: ReplaySettings,
    seed: int,
    trace: Int64s | None = None,
    progress: Callable[[str], None] | None = None,
    abandon: Callable[[], None] = lambda: None,
) -> tuple[ReplayResult, ReplayResult | None]:
    """Run both with the same settings and seed; neither meets the other's orders.

    The candidate runs in the calling thread and the incumbent in another one. Nothing but chunks of the tape passes
    between them, so the results are those of two replays. Without an incumbent only the candidate runs. ``abandon`` is
    called when an error ends one run, so that sources which wait for data let the other go.

    Raises:
        As `run_replay`.

    """

    def run(algo: Algo, sources: Sequence[TapeSource], told: Callable[[str], None] | None) -> ReplayResult:
        return run_replay(
            algo.wasm,
            sources,
            config=algo.config,
            risk=algo.risk,
            settings=settings,
            seed=seed,
            trace=trace,
            progress=told,
        )

    if incumbent is None:
        return run(candidate, tapes, progress), None
    shared = [SharedTape(tape, 2) for tape in tapes]

    def run_on(number: int, algo: Algo, told: Callable[[str], None] | None) -> ReplayResult:
        readers: list[SharedReader] = [tape.reader(number) for tape in shared]
        try:
            return run(algo, readers, told)
        finally:
            for reader in readers:
                reader.leave()

    with ThreadPoolExecutor(1, "incumbent") as pool:
        other = pool.submit(run_on, 1, incumbent, None)
        try:
            return run_on(0, candidate, progress), other.result()
        except BaseException:
            abandon()
            for tape in shared:
                tape.stop()
            raise

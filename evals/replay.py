"""Replay: run a bundle over recorded market data and record what came out under a digest that anyone can reproduce.

The result digest is SHA-256 over: status, seed, every fill, every action with its outcome, every equity sample, the
final accounts and the fuel of every callback (by bucket). Logs and timings are not part of it.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

from bundles.canonical import short_id
from bundles.errors import InvalidInputError
from bundles.evidence import Coverage, EngineFingerprint, Evaluation, EvaluationInputs, RunStatus
from bundles.manifests import EdgeBundle
from evals.engine.fingerprint import engine_digest
from evals.engine.settings import QueueModel, ReplaySettings
from evals.errors import AlgoFailure
from evals.evaluation import Engine, Findings, record

if TYPE_CHECKING:
    from bundles.catalog import Catalog
    from bundles.mm_types import MmConfig, MmRiskLimits
    from bundles.runners import Runner
    from evals.engine.layout import Int64s, Records
    from evals.engine.logs import RowFile, RunLogs
    from evals.engine.simulation import Outcome, Simulation
    from evals.market.source import TapeSource
    from evals.metrics import RunTotals
    from evals.wasm.outgoing import LogLine

ENGINE_NAME: Final = "kernel-replay"
ENGINE_VERSION: Final = "2"
_TELL_EVERY_S: Final = 1.0


@dataclass(frozen=True)
class ReplayResult:
    """What one run showed."""

    status: RunStatus
    detail: str
    result_digest: str
    metrics: dict[str, int | float | None]
    coverage: Coverage
    rows: dict[str, RowFile]
    """The run's logs by name: ``fills``, ``orders`` and ``equity``."""
    timings: dict[str, float]
    """Seconds of ``prepare`` (module and kernels) and ``run``, and ``events_per_s``; never part of the evidence."""
    logs: tuple[LogLine, ...]
    """The first 64 lines that the algo logged and the last 1,024."""
    log_lines: int
    """How many it logged; those between the two were let go."""
    messages: dict[str, int]
    """Messages to other instances: ``sent``; dropped as ``unknown_receiver``, ``too_long``, ``out_of_range`` (of the
    memory) or ``flood``. Messages from them: ``received``, or ``missed`` because the run was over."""

    @property
    def logs_dropped(self) -> int:
        """How many log lines were let go; they stood after the first 64."""
        return self.log_lines - len(self.logs)

    @property
    def fills(self) -> Records:
        """All fills, rows of FILL_LOG in `evals.engine.layout`."""
        return self.rows["fills"].load()

    @property
    def orders(self) -> Records:
        """All actions, rows of ORDER_LOG."""
        return self.rows["orders"].load()

    @property
    def equity(self) -> Records:
        """All equity samples, rows of EQUITY_LOG."""
        return self.rows["equity"].load()


def engine_fingerprint() -> EngineFingerprint:
    """Return what executes a bundle here: results are comparable only under the same fingerprint."""
    return EngineFingerprint(
        name=ENGINE_NAME,
        version=ENGINE_VERSION,
        source=engine_digest(),
        runtime={"wasmtime": version("wasmtime")},
    )


def run_replay(
    wasm: bytes,
    tape: TapeSource | Sequence[TapeSource],
    *,
    config: MmConfig,
    risk: MmRiskLimits,
    settings: ReplaySettings | None = None,
    seed: int = 42,
    progress: Callable[[str], None] | None = None,
    trace: Int64s | None = None,
    plain: bool = False,
) -> ReplayResult:
    """Run an algo over a tape, or over several as one timeline.

    With several tapes, symbols are numbered 1, 2, ... as they are first listed, and the first venue listed of a symbol
    is the one whose book on_book shows. ``trace`` has rows of (time, entry, response) in ns for recorded latencies.
    ``plain`` calls the algo through Python: slow, and the same result.

    An algo that breaks does not raise: the run has the status ``failed`` then, and what happened until that moment.

    Raises:
        InvalidModuleError: if the bytes are not an algo.
        TapeError: if a tape is empty or not in receive order.
        InvalidInputError: for tapes that do not go together.

    """
    settings = settings or ReplaySettings()
    run = _Run(wasm, tape, config, risk, settings, seed, trace, plain=plain)
    if run.simulation is None:
        return run.result(run.broken)
    return run.result(run.simulation.run(_telling(progress)))


@dataclass(frozen=True)
class MeshMember:
    """One algo among several that send each other messages: its label, its market, its account's limits."""

    label: str
    wasm: bytes
    tape: TapeSource | Sequence[TapeSource]
    config: MmConfig
    risk: MmRiskLimits
    plain: bool = False


def replay_mesh(
    members: Sequence[MeshMember],
    *,
    latency_ns: int,
    settings: ReplaySettings | None = None,
    seed: int = 42,
    progress: Callable[[str], None] | None = None,
) -> list[ReplayResult]:
    """Run several algos side by side; all that they share is time, and messages that take ``latency_ns``.

    Each has orders and an account of its own, and a market of its own too: if two trade the same asset, neither meets
    the other's orders. The wall-clock limit holds for all together. Members that break do not stop the others.

    Raises:
        InvalidInputError: for labels that cannot be, or a latency that is not positive.
        InvalidModuleError, TapeError: as :func:`run_replay`.

    """
    from evals.engine.mesh import places_of, run_mesh

    settings = settings or ReplaySettings()
    places = places_of([member.label for member in members], latency_ns)
    runs = {
        each.label: _Run(each.wasm, each.tape, each.config, each.risk, settings, seed, plain=each.plain)
        for each in members
    }
    simulations = {label: run.simulation for label, run in runs.items() if run.simulation is not None}
    for label, simulation in simulations.items():
        simulation.instance.join_mesh(places[label])
    limit_s = settings.wall_clock_limit_s
    outcomes = run_mesh(simulations, latency_ns, wall_clock_limit_s=limit_s, progress=_telling(progress))
    return [run.result(outcomes.get(label, run.broken)) for label, run in runs.items()]


def evaluate_replay(
    catalog: Catalog,
    *,
    bundle: str,
    dataset: str | Sequence[str],
    data_root: Path,
    settings: ReplaySettings | None = None,
    seed: int = 42,
    runner: Runner,
    now_ns: int,
    force: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Replay a registered edge bundle on registered datasets and record the evaluation; see `evaluation.record`.

    Raises:
        InvalidInputError: if the bundle is not an edge bundle. NotFoundError, IntegrityError: as `evaluation.record`.

    """
    manifest = edge_bundle(catalog, bundle)
    datasets = [catalog.dataset(name) for name in ([dataset] if isinstance(dataset, str) else dataset)]
    inputs = EvaluationInputs(
        kind="replay",
        bundle=manifest.digest(),
        datasets=tuple(each.digest() for each in datasets),
        settings=(settings or ReplaySettings()).as_json(),
        seed=seed,
        engine=engine_fingerprint(),
    )
    return record(catalog, inputs, data_root=data_root, runner=runner, now_ns=now_ns, force=force, progress=progress)


def _execute(
    catalog: Catalog, inputs: EvaluationInputs, data_root: Path, progress: Callable[[str], None] | None
) -> Findings:
    from evals.metrics import validation_metrics

    datasets = [catalog.dataset(short_id("data", each)) for each in inputs.datasets]
    settings = ReplaySettings.model_validate(inputs.settings)
    if progress is not None:
        where = ", ".join(each.dataset_id for each in datasets)
        progress(f"Replaying {short_id('bun', inputs.bundle)} on {where}")
    result = _replayed(catalog, inputs, settings, data_root, progress)
    tape_figures = validation_metrics(*(each.validation for each in datasets))
    return Findings(
        status=result.status,
        detail=result.detail,
        result_digest=result.result_digest,
        coverage=result.coverage,
        metrics=result.metrics | _band(catalog, inputs, settings, data_root, result, progress) | tape_figures,
        outputs={name: log_as_parquet(rows) for name, rows in result.rows.items()},
        validation={name.removeprefix("tape_"): int(figure or 0) for name, figure in tape_figures.items()},
    )


def _result(catalog: Catalog, inputs: EvaluationInputs, data_root: Path, progress: Callable[[str], None] | None) -> str:
    return _replayed(catalog, inputs, ReplaySettings.model_validate(inputs.settings), data_root, progress).result_digest


def _band(
    catalog: Catalog,
    inputs: EvaluationInputs,
    settings: ReplaySettings,
    data_root: Path,
    result: ReplayResult,
    progress: Callable[[str], None] | None,
) -> dict[str, int | float | None]:
    """Run the same inputs under every other queue model; an algo that broke has no band."""
    if not settings.queue_band or result.status != "completed":
        return {}
    from evals.metrics import band

    runs: dict[str, dict[str, int | float | None]] = {settings.queue_model: result.metrics}
    for model in get_args(QueueModel):
        if model not in runs:
            if progress is not None:
                progress(f"Queue model {model}")
            other = settings.model_copy(update={"queue_model": model})
            runs[model] = _replayed(catalog, inputs, other, data_root, None).metrics
    return band(runs)


def _replayed(
    catalog: Catalog,
    inputs: EvaluationInputs,
    settings: ReplaySettings,
    data_root: Path,
    progress: Callable[[str], None] | None,
) -> ReplayResult:
    from evals.latency_trace import parse_trace
    from evals.market.datasets import open_dataset

    manifest = edge_bundle(catalog, short_id("bun", inputs.bundle))
    tapes = [open_dataset(data_root, catalog.dataset(short_id("data", each))) for each in inputs.datasets]
    trace = None if settings.latency_trace is None else parse_trace(catalog.blob(settings.latency_trace), "The trace")
    return run_replay(
        catalog.blob(manifest.wasm.digest),
        tapes,
        config=manifest.config,
        risk=manifest.risk_limits,
        settings=settings,
        seed=inputs.seed,
        progress=progress,
        trace=trace,
    )


def edge_bundle(catalog: Catalog, bundle: str) -> EdgeBundle:
    """Return a bundle that holds an algo; InvalidInputError if it is of another kind."""
    manifest = catalog.bundle(bundle)
    if not isinstance(manifest, EdgeBundle):
        raise InvalidInputError(
            f"{bundle} is a bundle of kind {manifest.kind}; only edge bundles hold an algo to replay."
        )
    return manifest


def _telling(progress: Callable[[str], None] | None) -> Callable[[int], None] | None:
    if progress is None:
        return None
    told_s = time.monotonic()

    def tell(rows: int) -> None:
        nonlocal told_s
        if time.monotonic() - told_s >= _TELL_EVERY_S:
            told_s = time.monotonic()
            progress(f"Replayed {rows:,} events")

    return tell


class _Run:
    """One algo before and after its run: set up for the simulation, and what is made of the outcome."""

    def __init__(
        self,
        wasm: bytes,
        tape: TapeSource | Sequence[TapeSource],
        config: MmConfig,
        risk: MmRiskLimits,
        settings: ReplaySettings,
        seed: int,
        trace: Int64s | None = None,
        *,
        plain: bool = False,
    ) -> None:
        # Numba and wasmtime load only when something is run: the command starts without them.
        from evals.engine.logs import RunLogs
        from evals.engine.markets import market_of
        from evals.engine.simulation import Simulation, nothing_happened
        from evals.metrics import Metrics
        from evals.wasm.host import Instance
        from evals.wasm.watch import Interrupted

        self._started = time.perf_counter()
        self._settings, self._seed = settings, seed
        market = market_of(tape if isinstance(tape, Sequence) else (tape,))
        self._measured = Metrics(
            [place.instrument for place in market.assets], settings.capital_1e9, settings.equity_interval_ns
        )
        self._logs = RunLogs(self._measured)
        self.simulation: Simulation | None = None
        self.broken = nothing_happened(None)
        """The outcome if there is no simulation, because the algo did not even give the host memory."""
        try:
            instance = Instance(
                wasm,
                fuel_per_callback=settings.fuel_per_callback,
                memory_limit_bytes=settings.memory_limit_bytes,
                wall_clock_limit_s=settings.wall_clock_limit_s,
                symbols=len(market.symbols),
                assets=len(market.assets),
                plain=plain,
            )
        except AlgoFailure as failure:
            self.broken = nothing_happened(failure)
            return
        except Interrupted:
            return
        self.simulation = Simulation(instance, market, risk, settings, seed, self._logs, trace)
        instance.write_config(config, self.simulation.first_ns)

    def result(self, outcome: Outcome) -> ReplayResult:
        """Sum up."""
        status: RunStatus = "interrupted" if outcome.interrupted else "failed" if outcome.failure else "completed"
        detail = str(outcome.failure or "")
        if outcome.interrupted:
            detail = f"The wall-clock limit of {self._settings.wall_clock_limit_s} s ended the run"
        said = None if self.simulation is None else self.simulation.instance.outgoing
        log_lines = 0 if said is None else said.line_count
        return ReplayResult(
            status=status,
            detail=detail,
            result_digest=_result_digest(status, self._seed, outcome, self._logs),
            metrics=self._measured.finish(_totals(outcome, log_lines)),
            coverage=Coverage(
                first_ns=outcome.first_ns, last_ns=outcome.last_ns, events=outcome.rows, packets=outcome.packets
            ),
            rows=self._logs.files,
            timings={
                "prepare": time.perf_counter() - self._started - outcome.run_s,
                "run": outcome.run_s,
                "events_per_s": outcome.rows / outcome.run_s if outcome.run_s else 0.0,
            },
            logs=() if said is None else said.lines(),
            log_lines=log_lines,
            messages={} if said is None else said.counts() | outcome.mail,
        )


def _totals(outcome: Outcome, log_lines: int) -> RunTotals:
    from evals.engine.gateway import fuel_of_bucket
    from evals.metrics import RunTotals

    run, assets = outcome.run, outcome.assets
    return RunTotals(
        trapped=outcome.failure is not None,
        callbacks=int(run["callbacks"]),
        fuel_counts=outcome.fuel_counts,
        fuel_of_bucket=fuel_of_bucket,
        fuel_max=int(run["fuel_max"]),
        duration_ns=int(run["last_ns"] - run["first_ns"]),
        both_sides_ns=int(assets["both_sides_ns"].max()),
        at_touch_ns=int(assets["at_touch_ns"].max()),
        max_abs_position_1e8=int(outcome.symbols["max_abs_position_1e8"].max()),
        off_market_trades=int(assets["off_market_trades"].sum()),
        off_market_volume_1e8=int(assets["off_market_1e8"].sum()),
        log_lines=log_lines,
    )


def _result_digest(status: str, seed: int, outcome: Outcome, logs: RunLogs) -> str:
    digest = hashlib.sha256(f"{ENGINE_NAME} {ENGINE_VERSION} {status} {seed}\n".encode())
    for name, rows in logs.files.items():
        digest.update(f"{name} {len(rows)}\n".encode() + rows.digest())
    for content in (outcome.symbols["account"].tobytes(), outcome.fuel_counts.tobytes()):
        digest.update(f"{len(content)}\n".encode() + content)
    return f"sha256:{digest.hexdigest()}"


def log_as_parquet(rows: RowFile) -> bytes:
    """Write a log as parquet: the same rows give the same bytes."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    names: tuple[str, ...] = rows.dtype.names or ()
    schema = pa.schema([(name, pa.from_numpy_dtype(rows.dtype[name])) for name in names])
    sink = io.BytesIO()
    # Without dictionaries these columns are written in half the time, into three fifths of the bytes.
    with pq.ParquetWriter(sink, schema, compression="zstd", version="2.6", use_dictionary=False) as writer:
        for piece in rows.pieces():
            writer.write_table(pa.table({name: pa.array(piece[name].copy()) for name in names}, schema=schema))
    return sink.getvalue()


REPLAY: Final = Engine(engine_fingerprint, _execute, _result)

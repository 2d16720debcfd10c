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

from pydantic import JsonValue

from bundles.canonical import digest_of, short_id
from bundles.errors import InvalidInputError
from bundles.evidence import Coverage, EngineFingerprint, Evaluation, EvaluationInputs, RunStatus
from bundles.manifests import BlobRef, EdgeBundle
from evals.engine.fingerprint import engine_digest
from evals.engine.settings import QueueModel, ReplaySettings
from evals.errors import AlgoFailure

if TYPE_CHECKING:
    from bundles.catalog import Catalog
    from bundles.mm_types import MmConfig, MmRiskLimits
    from evals.engine.layout import Int64s, Records
    from evals.engine.logs import RowFile, RunLogs
    from evals.engine.simulation import Outcome
    from evals.market.source import TapeSource
    from evals.metrics import Metrics, RunTotals
    from evals.wasm.host import LogLine

ENGINE_NAME: Final = "kernel-replay"
ENGINE_VERSION: Final = "2"

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
) -> ReplayResult:
    """Run an algo over a tape, or over several as one timeline.

    With several tapes, symbols are numbered 1, 2, ... as they are first listed, and the first venue listed of a symbol
    is the one whose book on_book shows. ``trace`` has rows of (time, entry, response) in ns for recorded latencies.

    An algo that breaks does not raise: the run has the status ``failed`` then, and what happened until that moment.

    Raises:
        InvalidModuleError: if the bytes are not an algo.
        TapeError: if a tape is empty or not in receive order.
        InvalidInputError: for tapes that do not go together.

    """
    # Numba and wasmtime load only when something is run: the command starts without them.
    from evals.engine.logs import RunLogs  # noqa: PLC0415
    from evals.engine.markets import market_of  # noqa: PLC0415
    from evals.engine.simulation import Simulation, nothing_happened  # noqa: PLC0415
    from evals.metrics import Metrics  # noqa: PLC0415
    from evals.wasm.host import Instance  # noqa: PLC0415

    settings = settings or ReplaySettings()
    started = time.perf_counter()
    market = market_of(tape if isinstance(tape, Sequence) else (tape,))
    measured = Metrics(
        [place.instrument for place in market.assets], settings.capital_1e9, settings.equity_interval_ns
    )
    logs = RunLogs(measured)
    try:
        instance = Instance(
            wasm,
            fuel_per_callback=settings.fuel_per_callback,
            memory_limit_bytes=settings.memory_limit_bytes,
            symbols=len(market.symbols),
            assets=len(market.assets),
        )
    except AlgoFailure as failure:
        outcome = nothing_happened(failure)
        return _result(outcome, logs, measured, settings, seed, time.perf_counter() - started, ())
    simulation = Simulation(instance, market, risk, settings, seed, logs, trace)
    instance.write_config(config, simulation.first_ns)
    outcome = simulation.run(None if progress is None else lambda rows: progress(f"Replayed {rows:,} events"))
    return _result(outcome, logs, measured, settings, seed, time.perf_counter() - started, instance.logs())


def evaluate_replay(
    catalog: Catalog,
    *,
    bundle: str,
    dataset: str | Sequence[str],
    data_root: Path,
    settings: ReplaySettings | None = None,
    seed: int = 42,
    runner: str,
    now_ns: int,
    force: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Replay a registered bundle on registered datasets and record the evaluation.

    The same inputs return the first record without running anything, unless ``force`` runs them again.

    Raises:
        NotFoundError: if the bundle, its WASM or a dataset is not in the store, or a partition is not below the
        data root. InvalidInputError: if the bundle is not an edge bundle. IntegrityError: if a partition's bytes are
        not the dataset's, or a repeated run gave another result.

    """
    settings = settings or ReplaySettings()
    manifest = _edge_bundle(catalog, bundle)
    datasets = [catalog.dataset(name) for name in ([dataset] if isinstance(dataset, str) else dataset)]
    inputs = EvaluationInputs(
        kind="replay",
        bundle=manifest.digest(),
        datasets=tuple(each.digest() for each in datasets),
        settings=_as_json(settings),
        seed=seed,
        engine=engine_fingerprint(),
    )
    known = [e for e in catalog.evaluations(manifest.bundle_id) if e.eval_id == inputs.eval_id]
    if known and not force:
        return known[0]
    if progress is not None:
        progress(f"Replaying {manifest.bundle_id} on {', '.join(each.dataset_id for each in datasets)}")
    result = _run(catalog, inputs, settings, data_root, progress)
    outputs = {name: _parquet(rows) for name, rows in result.rows.items()}
    from evals.metrics import validation_metrics  # noqa: PLC0415

    tape_figures = validation_metrics(*(each.validation for each in datasets))
    evaluation = Evaluation(
        inputs=inputs,
        status=result.status,
        status_detail=result.detail,
        result_digest=result.result_digest,
        coverage=result.coverage,
        metrics=result.metrics | _band(catalog, inputs, settings, data_root, result, progress) | tape_figures,
        outputs={name: BlobRef(digest=digest_of(b), size_bytes=len(b)) for name, b in outputs.items()},
        validation={name.removeprefix("tape_"): int(figure or 0) for name, figure in tape_figures.items()},
    )
    catalog.record_evaluation(evaluation, outputs.values(), runner=runner, now_ns=now_ns, again=bool(known))
    return evaluation


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
    from evals.metrics import band  # noqa: PLC0415

    runs = {settings.queue_model: result.metrics}
    for model in get_args(QueueModel):
        if model not in runs:
            if progress is not None:
                progress(f"Queue model {model}")
            other = settings.model_copy(update={"queue_model": model})
            runs[model] = _run(catalog, inputs, other, data_root, None).metrics
    return band(runs)


def verify_evaluation(catalog: Catalog, eval_id: str, data_root: Path) -> tuple[bool, str, str]:
    """Run a recorded replay again; return whether the result is the same, the digest then and the digest now.

    Raises:
        InvalidInputError: if it is not a replay, or another engine made it: their results cannot be compared.

    """
    evaluation = catalog.evaluation(eval_id)
    inputs = evaluation.inputs
    if inputs.kind != "replay":
        raise InvalidInputError(f"{evaluation.eval_id} is a {inputs.kind} evaluation; only a replay can be run again.")
    if inputs.engine != engine_fingerprint():
        raise InvalidInputError(
            f"{evaluation.eval_id} was made by engine {inputs.engine.digest()}, "
            f"this one is {engine_fingerprint().digest()}. "
            "Verify it with the release that made it."
        )
    result = _run(catalog, inputs, ReplaySettings.model_validate(inputs.settings), data_root, None)
    return result.result_digest == evaluation.result_digest, evaluation.result_digest, result.result_digest


def _run(
    catalog: Catalog,
    inputs: EvaluationInputs,
    settings: ReplaySettings,
    data_root: Path,
    progress: Callable[[str], None] | None,
) -> ReplayResult:
    from evals.latency_trace import parse_trace  # noqa: PLC0415 -- pyarrow loads only when something is run
    from evals.market.datasets import open_dataset  # noqa: PLC0415

    manifest = _edge_bundle(catalog, short_id("bun", inputs.bundle))
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


def _edge_bundle(catalog: Catalog, bundle: str) -> EdgeBundle:
    manifest = catalog.bundle(bundle)
    if not isinstance(manifest, EdgeBundle):
        raise InvalidInputError(
            f"{bundle} is a bundle of kind {manifest.kind}; only edge bundles hold an algo to replay."
        )
    return manifest


def _as_json(settings: ReplaySettings) -> dict[str, JsonValue]:
    document: dict[str, JsonValue] = settings.model_dump(mode="json")
    return document


def _result(
    outcome: Outcome,
    logs: RunLogs,
    measured: Metrics,
    settings: ReplaySettings,
    seed: int,
    seconds: float,
    lines: tuple[LogLine, ...],
) -> ReplayResult:
    status: RunStatus = "interrupted" if outcome.interrupted else "failed" if outcome.failure else "completed"
    detail = str(outcome.failure or "")
    if outcome.interrupted:
        detail = f"The wall-clock limit of {settings.wall_clock_limit_s} s ended the run"
    return ReplayResult(
        status=status,
        detail=detail,
        result_digest=_result_digest(status, seed, outcome, logs),
        metrics=measured.finish(_totals(outcome, len(lines))),
        coverage=Coverage(
            first_ns=outcome.first_ns, last_ns=outcome.last_ns, events=outcome.rows, packets=outcome.packets
        ),
        rows=logs.files,
        timings={
            "prepare": seconds - outcome.run_s,
            "run": outcome.run_s,
            "events_per_s": outcome.rows / outcome.run_s if outcome.run_s else 0.0,
        },
        logs=lines,
    )


def _totals(outcome: Outcome, log_lines: int) -> RunTotals:
    from evals.engine.gateway import fuel_of_bucket  # noqa: PLC0415
    from evals.metrics import RunTotals  # noqa: PLC0415

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


def _parquet(rows: RowFile) -> bytes:
    """Write a log as parquet: the same rows give the same bytes."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    names: tuple[str, ...] = rows.dtype.names or ()
    schema = pa.schema([(name, pa.from_numpy_dtype(rows.dtype[name])) for name in names])
    sink = io.BytesIO()
    with pq.ParquetWriter(sink, schema, compression="zstd", version="2.6") as writer:
        for piece in rows.pieces():
            writer.write_table(pa.table({name: pa.array(piece[name].copy()) for name in names}, schema=schema))
    return sink.getvalue()

"""Replay: run a bundle over recorded market data and record what came out under a digest that anyone can reproduce.

The result digest is SHA-256 over: status, seed, every fill, every action with its outcome, every equity sample, the
final account and the fuel of every callback (by bucket). Logs and timings are not part of it.
"""

from __future__ import annotations

import hashlib
import io
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import Field, JsonValue

from bundles.canonical import Document, Int64, digest_of, short_id
from bundles.errors import InvalidInputError
from bundles.evidence import Coverage, EngineFingerprint, Evaluation, EvaluationInputs, RunStatus
from bundles.manifests import BlobRef, EdgeBundle
from evals.engine.fingerprint import engine_digest
from evals.errors import AlgoFailure, TapeError

if TYPE_CHECKING:
    from bundles.catalog import Catalog
    from bundles.mm_types import MmConfig, MmRiskLimits
    from evals.engine.layout import Records
    from evals.engine.simulation import Outcome
    from evals.market.tape import Tape
    from evals.wasm.host import LogLine

ENGINE_NAME: Final = "kernel-replay"
ENGINE_VERSION: Final = "1"

_Nanoseconds = Annotated[Int64, Field(ge=0, lt=3_600_000_000_000)]


class ReplaySettings(Document):
    """How a replay is run. Latencies are one way: entry from the algo to the exchange, response back."""

    place_entry_ns: _Nanoseconds = 1_000_000
    cancel_entry_ns: _Nanoseconds = 1_000_000
    amend_entry_ns: _Nanoseconds = 1_000_000
    place_response_ns: _Nanoseconds = 1_000_000
    cancel_response_ns: _Nanoseconds = 1_000_000
    amend_response_ns: _Nanoseconds = 1_000_000
    fuel_per_callback: Annotated[Int64, Field(gt=0, lt=2**53)] = 10_000_000
    memory_limit_bytes: Annotated[int, Field(ge=2**20, le=2**30, multiple_of=65_536)] = 64 * 2**20
    capital_1e9: Annotated[Int64, Field(gt=0)] = 100_000_000_000_000
    equity_interval_ns: Annotated[Int64, Field(ge=1_000_000)] = 1_000_000_000
    wall_clock_limit_s: Annotated[int, Field(gt=0, le=86_400)] = 3_600


@dataclass(frozen=True)
class ReplayResult:
    """What one run showed. The arrays have the dtypes FILL_LOG, ORDER_LOG and EQUITY_LOG of `evals.engine.layout`."""

    status: RunStatus
    detail: str
    result_digest: str
    metrics: dict[str, int | float | None]
    coverage: Coverage
    fills: Records
    orders: Records
    equity: Records
    timings: dict[str, float]
    """Seconds of ``prepare`` (module and kernels) and ``run``, and ``events_per_s``; never part of the evidence."""
    logs: tuple[LogLine, ...]


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
    tape: Tape,
    *,
    config: MmConfig,
    risk: MmRiskLimits,
    settings: ReplaySettings | None = None,
    seed: int = 42,
    progress: Callable[[str], None] | None = None,
) -> ReplayResult:
    """Run an algo over a tape.

    An algo that breaks does not raise: the run has the status ``failed`` then, and what happened until that moment.

    Raises:
        InvalidModuleError: if the bytes are not an algo.
        TapeError: if the tape is empty or not in receive order.

    """
    # Numba and wasmtime load only when something is run: the command starts without them.
    from evals.engine.simulation import Latencies, nothing_happened, simulate  # noqa: PLC0415
    from evals.wasm.host import Instance  # noqa: PLC0415

    settings = settings or ReplaySettings()
    if len(tape.events) == 0:
        raise TapeError("The tape is empty: there is nothing to replay. Choose a window that holds data.")
    started = time.perf_counter()
    try:
        instance = Instance(
            wasm, fuel_per_callback=settings.fuel_per_callback, memory_limit_bytes=settings.memory_limit_bytes
        )
    except AlgoFailure as failure:
        return _result(nothing_happened(failure), tape, settings, seed, time.perf_counter() - started, ())
    instance.write_config(config, int(tape.events["receive_ns"][0]))
    latencies = Latencies(
        (settings.place_entry_ns, settings.cancel_entry_ns, settings.amend_entry_ns),
        (settings.place_response_ns, settings.cancel_response_ns, settings.amend_response_ns),
    )
    outcome = simulate(
        instance,
        tape.events,
        tape.info.instrument,
        risk,
        latencies,
        equity_interval_ns=settings.equity_interval_ns,
        fuel_per_callback=settings.fuel_per_callback,
        wall_clock_limit_s=settings.wall_clock_limit_s,
        progress=None if progress is None else lambda done: progress(f"Replayed {done:.0%}"),
    )
    return _result(outcome, tape, settings, seed, time.perf_counter() - started, instance.logs())


def evaluate_replay(
    catalog: Catalog,
    *,
    bundle: str,
    dataset: str,
    data_root: Path,
    settings: ReplaySettings | None = None,
    seed: int = 42,
    runner: str,
    now_ns: int,
    force: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Replay a registered bundle on a registered dataset and record the evaluation.

    The same inputs return the first record without running anything, unless ``force`` runs them again.

    Raises:
        NotFoundError: if the bundle, its WASM or the dataset is not in the store, or a partition is not below the
        data root. InvalidInputError: if the bundle is not an edge bundle. IntegrityError: if a partition's bytes are
        not the dataset's, or a repeated run gave another result.

    """
    settings = settings or ReplaySettings()
    manifest = _edge_bundle(catalog, bundle)
    inputs = EvaluationInputs(
        kind="replay",
        bundle=manifest.digest(),
        datasets=(catalog.dataset(dataset).digest(),),
        settings=_as_json(settings),
        seed=seed,
        engine=engine_fingerprint(),
    )
    known = [e for e in catalog.evaluations(manifest.bundle_id) if e.eval_id == inputs.eval_id]
    if known and not force:
        return known[0]
    if progress is not None:
        progress(f"Replaying {manifest.bundle_id} on {dataset}")
    result = _run(catalog, inputs, settings, data_root, progress)
    outputs = {name: _parquet(getattr(result, name)) for name in ("fills", "orders", "equity")}
    evaluation = Evaluation(
        inputs=inputs,
        status=result.status,
        status_detail=result.detail,
        result_digest=result.result_digest,
        coverage=result.coverage,
        metrics=result.metrics,
        outputs={name: BlobRef(digest=digest_of(b), size_bytes=len(b)) for name, b in outputs.items()},
        validation=catalog.dataset(dataset).validation,
    )
    catalog.record_evaluation(evaluation, outputs.values(), runner=runner, now_ns=now_ns, again=bool(known))
    return evaluation


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
    from evals.market.datasets import load_dataset  # noqa: PLC0415 -- pyarrow loads only when something is run

    manifest = _edge_bundle(catalog, short_id("bun", inputs.bundle))
    tape = load_dataset(data_root, catalog.dataset(short_id("data", inputs.datasets[0])))
    return run_replay(
        catalog.blob(manifest.wasm.digest),
        tape,
        config=manifest.config,
        risk=manifest.risk_limits,
        settings=settings,
        seed=inputs.seed,
        progress=progress,
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
    outcome: Outcome, tape: Tape, settings: ReplaySettings, seed: int, seconds: float, logs: tuple[LogLine, ...]
) -> ReplayResult:
    status: RunStatus = "interrupted" if outcome.interrupted else "failed" if outcome.failure else "completed"
    detail = str(outcome.failure or "")
    if outcome.interrupted:
        detail = f"The wall-clock limit of {settings.wall_clock_limit_s} s ended the run"
    return ReplayResult(
        status=status,
        detail=detail,
        result_digest=_result_digest(status, seed, outcome),
        metrics=_metrics(outcome, tape, settings),
        coverage=_coverage(tape),
        fills=outcome.fills,
        orders=outcome.orders,
        equity=outcome.equity,
        timings={
            "prepare": seconds - outcome.run_s,
            "run": outcome.run_s,
            "events_per_s": len(tape.events) / outcome.run_s if outcome.run_s else 0.0,
        },
        logs=logs,
    )


def _coverage(tape: Tape) -> Coverage:
    from evals.market.schema import LAST_OF_PACKET  # noqa: PLC0415

    events = tape.events
    ends = events["flags"] & LAST_OF_PACKET > 0
    return Coverage(
        first_ns=int(events["receive_ns"][0]),
        last_ns=int(events["receive_ns"][-1]),
        events=len(events),
        packets=int(ends.sum()) + int(not ends[-1]),
    )


def _metrics(outcome: Outcome, tape: Tape, settings: ReplaySettings) -> dict[str, int | float | None]:
    from evals.engine.gateway import fuel_of_bucket  # noqa: PLC0415
    from evals.metrics import Measured, compute  # noqa: PLC0415

    run = outcome.run
    return compute(
        Measured(
            fills=outcome.fills,
            orders=outcome.orders,
            equity=outcome.equity,
            instrument=tape.info.instrument,
            capital_1e9=settings.capital_1e9,
            trapped=outcome.failure is not None,
            callbacks=int(run["callbacks"]),
            fuel_counts=outcome.fuel_counts,
            fuel_of_bucket=fuel_of_bucket,
            fuel_max=int(run["fuel_max"]),
            duration_ns=int(run["last_ns"] - run["first_ns"]),
            both_sides_ns=int(run["both_sides_ns"]),
            at_touch_ns=int(run["at_touch_ns"]),
            max_abs_position_1e8=int(run["max_abs_position_1e8"]),
        )
    )


def _result_digest(status: str, seed: int, outcome: Outcome) -> str:
    digest = hashlib.sha256(f"{ENGINE_NAME} {ENGINE_VERSION} {status} {seed}\n".encode())
    for array in (outcome.fills, outcome.orders, outcome.equity, outcome.account, outcome.fuel_counts):
        content = array.tobytes()
        digest.update(f"{len(content)}\n".encode())
        digest.update(content)
    return f"sha256:{digest.hexdigest()}"


def _parquet(records: Records) -> bytes:
    """Write a structured array as parquet: the same records give the same bytes."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    names: tuple[str, ...] = records.dtype.names or ()
    table: Any = pa.table({name: pa.array(records[name].copy()) for name in names})
    sink = io.BytesIO()
    pq.write_table(table, sink, compression="zstd", version="2.6")
    return sink.getvalue()

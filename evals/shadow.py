"""Shadow: run a bundle beside the one that it would replace, over the same data, and record how the two differ.

Orders are simulated and never sent. The result digest is SHA-256 over the status, the result digests of both runs and
what either earned in each interval. docs/shadow.md has the formulas.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final, get_args

from bundles.canonical import digest_of, short_id
from bundles.errors import InvalidInputError
from bundles.evidence import Coverage, EngineFingerprint, Evaluation, EvaluationInputs, MetricValue
from bundles.incumbents import FLAT
from evals.engine.fingerprint import engine_digest, sources_digest
from evals.engine.settings import QueueModel
from evals.evaluation import Engine, Findings, keep, record
from evals.replay import edge_bundle, run_replay
from evals.shadowing.findings import ENGINE_NAME, ENGINE_VERSION, Pair, findings_of, pair_of
from evals.shadowing.incumbents import Incumbent, incumbent_of
from evals.shadowing.settings import RecordedSettings, ShadowSettings
from evals.statistics.looks import look_of

if TYPE_CHECKING:
    from bundles.catalog import Catalog
    from bundles.evidence import Dataset
    from bundles.manifests import EdgeBundle
    from bundles.runners import Runner
    from evals.engine.layout import Int64s
    from evals.market.source import TapeSource
    from evals.replay import ReplayResult
    from evals.shadowing.beside import Algo
    from evals.shadowing.following import FollowedTape, FollowRules

__all__ = ["SHADOW", "ShadowSettings", "engine_fingerprint", "evaluate_shadow", "evaluate_shadow_live"]


def engine_fingerprint() -> EngineFingerprint:
    """Return what executes a shadow evaluation here: results are comparable only under the same fingerprint."""
    around = sources_digest("evals/shadow.py", "evals/shadowing", "evals/statistics")
    return EngineFingerprint(
        name=ENGINE_NAME,
        version=ENGINE_VERSION,
        source=digest_of(f"{engine_digest()} {around}".encode()),
        runtime={name: version(name) for name in ("numpy", "wasmtime")},
    )


def evaluate_shadow(
    catalog: Catalog,
    *,
    bundle: str,
    dataset: str | Sequence[str],
    incumbent: str | None = None,
    data_root: Path,
    settings: ShadowSettings | None = None,
    seed: int = 42,
    runner: Runner,
    now_ns: int,
    force: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Run a registered edge bundle beside an incumbent on registered datasets and record the evaluation.

    ``incumbent`` is a bundle's id or a unique prefix, ``flat`` for the baseline that never trades, or None for the
    bundle that holds the next rung (see `evals.shadowing.incumbents`). Asked for again with the same incumbent, data
    and settings, it returns the first record, see `evaluation.record`.

    Raises:
        InvalidInputError: if either bundle holds no algo, or a trace of latencies is missing or none.
        RefusedError: if the incumbent is in quarantine.
        NotFoundError, IntegrityError: as `evaluation.record`.

    """
    manifest = edge_bundle(catalog, bundle)
    datasets = [catalog.dataset(name) for name in ([dataset] if isinstance(dataset, str) else dataset)]
    if not datasets:
        raise InvalidInputError("No dataset is named. Name at least one to run the bundle on.")
    settings = settings or ShadowSettings()
    chosen = incumbent_of(catalog, manifest, incumbent, now_ns=now_ns)
    _trace(catalog, settings)
    inputs = _inputs(catalog, manifest, chosen, datasets, settings, seed)
    return record(catalog, inputs, data_root=data_root, runner=runner, now_ns=now_ns, force=force, progress=progress)


def evaluate_shadow_live(
    catalog: Catalog,
    *,
    bundle: str,
    tapes: Sequence[tuple[str, str]],
    rules: FollowRules,
    incumbent: str | None = None,
    data_root: Path,
    settings: ShadowSettings | None = None,
    seed: int = 42,
    runner: Runner,
    clock: Callable[[], int] = time.time_ns,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Run a bundle beside an incumbent over a feed that is still being written, and record the evaluation.

    ``tapes`` are (venue, symbol). Both runs go on at the pace at which partitions appear below the data root. What was
    consumed is registered as datasets, and the evaluation is the one that :func:`evaluate_shadow` would make of them.
    If data are late or missing it is ``interrupted``, with the reason: it counts for nothing.

    Raises:
        As :func:`evaluate_shadow`; TapeError for partitions that are no tapes or that validation refuses.

    """
    from evals.shadowing.following import follow

    manifest = edge_bundle(catalog, bundle)
    settings = settings or ShadowSettings()
    chosen = incumbent_of(catalog, manifest, incumbent, now_ns=clock())
    trace = _trace(catalog, settings)
    followed = follow(data_root, tapes, rules)
    if progress is not None:
        progress(f"Following {', '.join(' '.join(tape) for tape in tapes)} for {manifest.bundle_id}")
    pair = None
    if all(tape.wait() for tape in followed):
        # The limit is there for algos; the feed has limits of its own.
        span_s = (rules.until_ns - min(rules.from_ns, clock())) // 10**9 + round(rules.timeout_s)
        patient = settings.model_copy(update={"wall_clock_limit_s": settings.wall_clock_limit_s + span_s})
        runs = _run(
            catalog, manifest, chosen.manifest, followed, patient, seed, trace, progress, abandon=followed[0].abandon
        )
        for tape in followed:
            tape.finish()
        pair = pair_of(*runs, fault=_fault(followed))
    datasets = [dataset for tape in followed if (dataset := tape.dataset()) is not None]
    for each in datasets:
        catalog.register_dataset(each)
    inputs = _inputs(catalog, manifest, chosen, datasets, settings, seed, fault=_fault(followed))
    recorded = RecordedSettings.model_validate(inputs.settings)
    if pair is None:
        found = _nothing(recorded.fault)
    else:
        found = findings_of(pair, recorded, datasets, seed, _band(catalog, inputs, recorded, data_root, pair, progress))
    return keep(catalog, inputs, found, runner=runner, now_ns=clock())


def _fault(followed: Sequence[FollowedTape]) -> str:
    return " ".join(tape.fault for tape in followed if tape.fault)


def _inputs(
    catalog: Catalog,
    manifest: EdgeBundle,
    incumbent: Incumbent,
    datasets: Sequence[Dataset],
    settings: ShadowSettings,
    seed: int,
    fault: str = "",
) -> EvaluationInputs:
    """Return the inputs; those of the record, if the same was evaluated before, when the store held less."""
    from evals.statistics.trials import trials_of

    inputs = EvaluationInputs(
        kind="shadow",
        bundle=manifest.digest(),
        datasets=tuple(each.digest() for each in datasets),
        settings=settings.as_json() | incumbent.as_settings() | ({"fault": fault} if fault else {}),
        seed=seed,
        engine=engine_fingerprint(),
    )
    looked = look_of(catalog, inputs)
    if "trials" in looked.settings:
        return looked
    counted = trials_of(catalog, manifest.bundle_id).settings()
    return looked.model_copy(update={"settings": looked.settings | counted})


def _execute(
    catalog: Catalog, inputs: EvaluationInputs, data_root: Path, progress: Callable[[str], None] | None
) -> Findings:
    settings = RecordedSettings.model_validate(inputs.settings)
    datasets = [catalog.dataset(short_id("data", each)) for each in inputs.datasets]
    if progress is not None:
        other = FLAT if settings.incumbent == FLAT else short_id("bun", settings.incumbent)
        where = ", ".join(each.dataset_id for each in datasets)
        progress(f"Running {short_id('bun', inputs.bundle)} beside {other} on {where}")
    pair = _pair(catalog, inputs, settings, data_root, progress)
    band = _band(catalog, inputs, settings, data_root, pair, progress)
    return findings_of(pair, settings, datasets, inputs.seed, band)


def _result(catalog: Catalog, inputs: EvaluationInputs, data_root: Path, progress: Callable[[str], None] | None) -> str:
    settings = RecordedSettings.model_validate(inputs.settings)
    return _pair(catalog, inputs, settings, data_root, progress).digest()


def _pair(
    catalog: Catalog,
    inputs: EvaluationInputs,
    settings: RecordedSettings,
    data_root: Path,
    progress: Callable[[str], None] | None,
) -> Pair:
    candidate = edge_bundle(catalog, short_id("bun", inputs.bundle))
    tapes = _tapes(catalog, inputs, data_root)
    trace = _trace(catalog, settings)
    runs = _run(catalog, candidate, settings.incumbent, tapes, settings, inputs.seed, trace, progress)
    if progress is not None:
        progress("Comparing what both did")
    return pair_of(*runs, fault=settings.fault)


def _run(
    catalog: Catalog,
    candidate: EdgeBundle,
    incumbent: str,
    tapes: Sequence[TapeSource],
    settings: ShadowSettings,
    seed: int,
    trace: Int64s | None,
    progress: Callable[[str], None] | None,
    abandon: Callable[[], None] = lambda: None,
) -> tuple[ReplayResult, ReplayResult | None]:
    from evals.engine.markets import market_of
    from evals.shadowing.beside import run_beside

    market_of(tapes)  # refuses tapes that do not go together before anything runs
    other = None if incumbent == FLAT else edge_bundle(catalog, short_id("bun", incumbent))
    return run_beside(
        _algo(catalog, candidate),
        None if other is None else _algo(catalog, other),
        tapes,
        settings=settings,
        seed=seed,
        trace=trace,
        progress=progress,
        abandon=abandon,
    )


def _band(
    catalog: Catalog,
    inputs: EvaluationInputs,
    settings: RecordedSettings,
    data_root: Path,
    pair: Pair,
    progress: Callable[[str], None] | None,
) -> dict[str, MetricValue]:
    """Run the candidate under every other queue model, if the settings ask for that and it did not break."""
    if not settings.queue_band or pair.status != "completed":
        return {}
    from evals.metrics import band

    manifest = edge_bundle(catalog, short_id("bun", inputs.bundle))
    algo, trace = _algo(catalog, manifest), _trace(catalog, settings)
    runs: dict[str, dict[str, MetricValue]] = {settings.queue_model: pair.candidate.metrics}
    for model in get_args(QueueModel):
        if model not in runs:
            if progress is not None:
                progress(f"Queue model {model}")
            runs[model] = run_replay(
                algo.wasm,
                _tapes(catalog, inputs, data_root),
                config=algo.config,
                risk=algo.risk,
                settings=settings.model_copy(update={"queue_model": model}),
                seed=inputs.seed,
                trace=trace,
            ).metrics
    return band(runs)


def _nothing(fault: str) -> Findings:
    """Return what is recorded if no data came at all."""
    return Findings(
        status="interrupted",
        detail=fault,
        result_digest=digest_of(f"{ENGINE_NAME} {ENGINE_VERSION} interrupted\n".encode()),
        coverage=Coverage(first_ns=0, last_ns=0, events=0, packets=0),
        metrics={},
    )


def _tapes(catalog: Catalog, inputs: EvaluationInputs, data_root: Path) -> list[TapeSource]:
    from evals.market.datasets import open_dataset

    return [open_dataset(data_root, catalog.dataset(short_id("data", each))) for each in inputs.datasets]


def _algo(catalog: Catalog, manifest: EdgeBundle) -> Algo:
    from evals.shadowing.beside import Algo

    return Algo(catalog.blob(manifest.wasm.digest), manifest.config, manifest.risk_limits)


def _trace(catalog: Catalog, settings: ShadowSettings) -> Int64s | None:
    """Return the recorded latencies, if the settings name some."""
    if settings.latency_model != "recorded":
        return None
    from evals.latency_trace import parse_trace

    if settings.latency_trace is None:
        raise InvalidInputError("The latency model is 'recorded', but no trace of latencies was given. Name one.")
    return parse_trace(catalog.blob(settings.latency_trace), f"The trace {settings.latency_trace}")


SHADOW: Final = Engine(engine_fingerprint, _execute, _result)

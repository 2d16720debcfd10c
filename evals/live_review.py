"""Live review: what a deployment really did against its replay twin, on the same window of the same market.

The evidence is a recording (see `evals.recordings`) and the tape of the book beside it. Realised figures are taken with
a replay's own formulas; the twin is the bundle replayed on that window; between the two stand the share of fills that
they have in common, their prices, and the drift of profit with its bounds.

A recording with gaps gives no figure that rests on the whole of it: gates say inconclusive. A trap that was recorded
fails the evaluation, whatever else is known.

The result digest is SHA-256 over: status, seed, the twin's own result digest, the realised fills, actions and equity,
the matches, the differences of each interval, the events and the number of gaps.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pydantic import JsonValue

from bundles.canonical import digest_of, short_id
from bundles.errors import IntegrityError, InvalidInputError
from bundles.evidence import Dataset, EngineFingerprint, Evaluation, EvaluationInputs, MetricValue, RunStatus
from evals.engine.settings import ReplaySettings
from evals.evaluation import Engine, Findings, Progress, record
from evals.replay import ReplayResult, edge_bundle, run_replay

if TYPE_CHECKING:
    from bundles.catalog import Catalog
    from bundles.manifests import EdgeBundle
    from bundles.runners import Runner
    from evals.market.source import TapeSource
    from evals.recordings.gaps import Gap
    from evals.recordings.marking import Realised
    from evals.recordings.matching import Matches
    from evals.recordings.reading import Recording
    from evals.recordings.schema import RecordingDocument

ENGINE_NAME: Final = "kernel-live-review"
ENGINE_VERSION: Final = "1"

_SOURCES: Final = ("evals/live_review.py", "evals/recordings", "evals/statistics", "evals/market/book.py")
_PREFIX: Final = "recording"
"""Settings of this name, or that begin with it, name the recording's files; all others are the twin's."""

_ALLOWED_OUTSIDE_NS: Final = 10_000_000_000
"""How far a fill's time, by the exchange's clock, may lie outside the window, which is by the edge's."""

TWIN_NAMES: Final = (
    "net_pnl_1e9",
    "fees_1e9",
    "return_bps",
    "max_drawdown_1e9",
    "max_drawdown_pct",
    "sharpe",
    "fills",
    "maker_fills",
    "volume_notional_1e9",
    "max_abs_position_1e8",
    "quote_uptime",
    "order_to_trade",
    "markout_100ms_bps",
    "markout_1s_bps",
    "markout_10s_bps",
    "risk_breaches",
    "traps",
)
"""The twin's metrics that are shown beside the realised ones, as ``twin_<name>``."""

UNKNOWN_NAMES: Final = frozenset(
    {
        "callbacks",
        "log_lines",
        "fuel_p50",
        "fuel_p99",
        "fuel_max",
        "time_at_touch",
        "off_market_trades",
        "off_market_volume_1e8",
        "fills_queue_front",
        "fills_trade_through",
        "fills_crossed_book",
        "queue_ahead_mean_1e8",
        "queue_ahead_p50_1e8",
        "spread_pnl_1e9",
        "inventory_pnl_1e9",
        "adverse_share_100ms",
        "adverse_share_1s",
        "adverse_share_10s",
    }
)
"""Metrics of a replay that a recording cannot tell: nobody outside of the exchange saw the queue, nor the very moment
of a fill between two changes of the book."""


def fingerprint() -> EngineFingerprint:
    """Return what reviews a recording here."""
    from importlib.metadata import version  # noqa: PLC0415

    from evals.engine.fingerprint import engine_digest, sources_digest  # noqa: PLC0415

    return EngineFingerprint(
        name=ENGINE_NAME,
        version=ENGINE_VERSION,
        source=digest_of(f"{engine_digest()} {sources_digest(*_SOURCES)}".encode()),
        runtime={"wasmtime": version("wasmtime")},
    )


def evaluate_live_review(
    catalog: Catalog,
    *,
    bundle: str,
    recording: Path,
    dataset: str | Sequence[str],
    data_root: Path,
    settings: ReplaySettings | None = None,
    seed: int = 42,
    runner: Runner,
    now_ns: int,
    force: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Review the recording in a folder against the twin of its bundle, and record the evaluation.

    ``settings`` are the twin's; their capital is replaced by the recording's, and there is no band over queue models.

    Raises:
        NotFoundError: if the bundle, the dataset or a file of the recording is not there.
        IntegrityError: if a file is not the one that the recording names.
        InvalidInputError: for a recording that is malformed, of another bundle, market or window than given.

    """
    from evals.recordings.reading import read_folder  # noqa: PLC0415 -- pyarrow loads only when something is run

    manifest = edge_bundle(catalog, bundle)
    datasets = [catalog.dataset(name) for name in ([dataset] if isinstance(dataset, str) else dataset)]
    found, files = read_folder(recording)
    _check(found, manifest, datasets, str(recording))
    twin = (settings or ReplaySettings()).model_copy(update={"queue_band": False, "capital_1e9": _capital(found)})
    named: dict[str, JsonValue] = {_setting_of(name): digest_of(content) for name, content in files.items()}
    inputs = EvaluationInputs(
        kind="live-review",
        bundle=manifest.digest(),
        datasets=tuple(each.digest() for each in datasets),
        settings=twin.as_json() | named,
        seed=seed,
        engine=fingerprint(),
    )
    for content in files.values():
        catalog.put_blob(content)
    return record(catalog, inputs, data_root=data_root, runner=runner, now_ns=now_ns, force=force, progress=progress)


def _setting_of(file_name: str) -> str:
    return file_name.partition(".")[0] if file_name == "recording.json" else f"{_PREFIX}_{file_name.partition('.')[0]}"


def _capital(recording: Recording) -> int:
    from evals.recordings.schema import EdgeRecording  # noqa: PLC0415

    assert isinstance(recording.document, EdgeRecording)  # noqa: S101 -- checked by _check
    return recording.document.capital_1e9


def _check(recording: Recording, manifest: EdgeBundle, datasets: Sequence[Dataset], where: str) -> None:
    """Refuse a recording that is not of this bundle, or of another market or time than the dataset."""
    from evals.recordings.schema import EdgeRecording  # noqa: PLC0415

    document = recording.document
    if not isinstance(document, EdgeRecording):
        raise InvalidInputError(f"{where} is the recording of a policy; {manifest.bundle_id} is an algo.")
    _check_bundle(document, manifest.digest(), where)
    if len(datasets) != 1:
        raise InvalidInputError(
            f"{len(datasets)} datasets were given; the account of a recording is on one venue. Give the dataset of "
            f"{document.venue} {document.symbol}."
        )
    dataset = datasets[0]
    if (dataset.venue, dataset.symbol) != (document.venue, document.symbol):
        raise InvalidInputError(
            f"{where} was recorded on {document.venue} {document.symbol}; dataset {dataset.dataset_id} is of "
            f"{dataset.venue} {dataset.symbol}. Give the dataset of the same market."
        )
    _check_window(recording, dataset, where)


def _check_bundle(document: RecordingDocument, digest: str, where: str) -> None:
    if document.bundle != digest:
        raise InvalidInputError(
            f"{where} was recorded of bundle {document.bundle}, not of {digest}. "
            f"Review {short_id('bun', document.bundle)} with it."
        )


def window_of(recording: Recording) -> tuple[int, int]:
    """Return from when to when a deployment lived, by the edge's clock: from the first event or action to the last.

    Raises:
        InvalidInputError: if there is neither.

    """
    times = [rows["at_ns"] for name, rows in recording.rows.items() if name in {"actions", "events"} and len(rows)]
    if not times:
        raise InvalidInputError("The recording holds neither events nor actions: it has no window to review.")
    return min(int(each[0]) for each in times), max(int(each[-1]) for each in times)


def _check_window(recording: Recording, dataset: Dataset, where: str) -> None:
    from evals.market.rules import utc  # noqa: PLC0415

    start_ns, end_ns = window_of(recording)
    first_ns, last_ns = dataset.partitions[0].first_ns, dataset.partitions[-1].last_ns
    if start_ns < first_ns or end_ns > last_ns:
        raise InvalidInputError(
            f"{where} lasts from {utc(start_ns)} to {utc(end_ns)}; dataset {dataset.dataset_id} covers only "
            f"{utc(first_ns)} to {utc(last_ns)}. Give a dataset that covers the whole window."
        )
    for name in ("fills", "children"):
        rows = recording.rows.get(name, ())
        for row in rows:
            if not start_ns - _ALLOWED_OUTSIDE_NS <= row["at_ns"] <= end_ns + _ALLOWED_OUTSIDE_NS:
                raise InvalidInputError(
                    f"{where}: {name}, row with seq {row['seq']}, happened at {utc(int(row['at_ns']))}, outside of the "
                    f"window {utc(start_ns)} to {utc(end_ns)}. Times of fills are the exchange's, in ns since 1970."
                )


@dataclass(frozen=True, eq=False)
class Review:
    """What came of a review, before it is put into words."""

    recording: Recording
    gaps: list[Gap]
    realised: Realised
    twin: ReplayResult
    matches: Matches
    differences: Any
    """Rows of (at_ns, realised_1e9, twin_1e9): what both equities changed by in each interval."""
    settings: ReplaySettings
    seed: int
    tape: TapeSource

    @property
    def status(self) -> RunStatus:
        """Whether the bundle broke, live or in its twin; a twin that was cut short says nothing."""
        if self.twin.status == "interrupted":
            return "interrupted"
        return "failed" if self.traps or self.twin.status == "failed" else "completed"

    @property
    def traps(self) -> int:
        """How often the deployment broke."""
        from evals.recordings.schema import TRAP  # noqa: PLC0415

        return self.count(TRAP)

    def count(self, kind: int) -> int:
        """How many events of a kind were recorded."""
        return int((self.recording.rows["events"]["kind"] == kind).sum())

    @property
    def detail(self) -> str:
        """What people should know of it."""
        from evals.recordings.gaps import tell  # noqa: PLC0415

        twin = f"The twin: {self.twin.detail}" if self.twin.detail else ""
        trapped = f"The deployment trapped {self.traps} time{'s' if self.traps > 1 else ''}" if self.traps else ""
        return ". ".join(filter(None, (trapped, tell(self.gaps), self.apart, twin)))

    @property
    def apart(self) -> str:
        """Why the twin is none: it began otherwise, or ran under another configuration."""
        from evals.recordings.schema import CONFIG, EdgeRecording  # noqa: PLC0415

        document = self.recording.document
        assert isinstance(document, EdgeRecording)  # noqa: S101 -- only these are reviewed so
        if document.start_position_1e8:
            return "The deployment began with a position; a twin begins with none, so the two are not compared"
        if self.count(CONFIG):
            return "The configuration changed meanwhile; the twin ran under the bundle's, so the two are not compared"
        return ""

    def digest(self) -> str:
        """Return the digest of the result; integers only."""
        digest = hashlib.sha256(f"{ENGINE_NAME} {ENGINE_VERSION} {self.status} {self.seed}\n".encode())
        digest.update(f"{self.twin.result_digest} {len(self.gaps)}\n".encode())
        logs = {
            "fills": self.realised.fills,
            "orders": self.realised.orders,
            "equity": self.realised.equity,
            "matches": self.matches.rows,
            "differences": self.differences,
            "events": self.recording.rows["events"],
        }
        for name, rows in logs.items():
            digest.update(f"{name} {len(rows)}\n".encode() + rows.tobytes())
        return f"sha256:{digest.hexdigest()}"


def review(
    recording: Recording,
    wasm: bytes,
    manifest: EdgeBundle,
    tape: TapeSource,
    *,
    settings: ReplaySettings,
    seed: int,
    trace: Any = None,
    progress: Callable[[str], None] | None = None,
) -> Review:
    """Review a recording against its twin on its window of a tape."""
    from evals.recordings.gaps import gaps_of  # noqa: PLC0415
    from evals.recordings.marking import realised  # noqa: PLC0415
    from evals.recordings.matching import match_fills  # noqa: PLC0415
    from evals.recordings.window import WindowTape  # noqa: PLC0415

    window = WindowTape(tape, *window_of(recording))
    twin = run_replay(
        wasm,
        window,
        config=manifest.config,
        risk=manifest.risk_limits,
        settings=settings,
        seed=seed,
        progress=progress,
        trace=trace,
    )
    found = realised(recording, window, settings.equity_interval_ns)
    return Review(
        recording=recording,
        gaps=gaps_of(recording),
        realised=found,
        twin=twin,
        matches=match_fills(found.fills, twin.fills, window.info.instrument.tick_size_1e9),
        differences=differences(found.equity, twin.equity),
        settings=settings,
        seed=seed,
        tape=window,
    )


def differences(realised: Any, twin: Any) -> Any:
    """Return what both equities changed by from sample to sample, as far as both have samples at the same times."""
    import numpy as np  # noqa: PLC0415

    count = min(len(realised), len(twin))
    same = realised["exchange_ns"][:count] == twin["exchange_ns"][:count]
    count = count if same.all() else int(same.argmin())
    rows = np.zeros(count, [("at_ns", "<i8"), ("realised_1e9", "<i8"), ("twin_1e9", "<i8")])
    rows["at_ns"] = realised["exchange_ns"][:count]
    for column, log in (("realised_1e9", realised), ("twin_1e9", twin)):
        rows[column] = np.diff(log["equity_1e9"][:count], prepend=0)
    return rows


def metrics_of(done: Review) -> dict[str, MetricValue]:
    """Return every metric by name. What rests on something that is missing is None."""
    twin = done.twin.metrics
    known = _realised_metrics(done)
    history = _history(done)
    compared = _comparison(done, known)
    if done.gaps:
        known, history, compared = (dict.fromkeys(each) for each in (known, history, compared))
    return {
        "recording_gaps": len(done.gaps),
        **history,
        **known,
        **compared,
        "fuel_p99": twin["fuel_p99"],
        **{f"twin_{name}": twin[name] for name in TWIN_NAMES},
    }


def _realised_metrics(done: Review) -> dict[str, MetricValue]:
    """Take the metrics of a replay on what really happened."""
    import numpy as np  # noqa: PLC0415

    from evals.metrics import Metrics, RunTotals  # noqa: PLC0415
    from evals.recordings.schema import LIMIT_BREACH, EdgeRecording  # noqa: PLC0415

    found, document = done.realised, done.recording.document
    assert isinstance(document, EdgeRecording)  # noqa: S101 -- only these are reviewed so
    measured = Metrics([done.tape.info.instrument], document.capital_1e9, done.settings.equity_interval_ns)
    measured.add_fills(found.fills)
    measured.add_orders(found.orders)
    measured.add_equity(found.equity)
    held = found.fills["position_1e8"]
    totals = RunTotals(
        trapped=False,
        callbacks=0,
        fuel_counts=np.zeros(1, np.int64),
        fuel_of_bucket=int,
        fuel_max=0,
        duration_ns=found.last_ns - found.first_ns,
        both_sides_ns=found.both_sides_ns,
        at_touch_ns=0,
        max_abs_position_1e8=max(abs(document.start_position_1e8), int(np.abs(held).max()) if len(held) else 0),
        off_market_trades=0,
        off_market_volume_1e8=0,
        log_lines=0,
    )
    metrics = {name: value for name, value in measured.finish(totals).items() if name not in UNKNOWN_NAMES}
    breaches = metrics["risk_breaches"]
    assert isinstance(breaches, int)  # noqa: S101 -- a count
    return metrics | {"traps": done.traps, "risk_breaches": breaches + done.count(LIMIT_BREACH)}


def _history(done: Review) -> dict[str, MetricValue]:
    from evals.recordings.schema import CONFIG, HALT, LIMIT_BREACH  # noqa: PLC0415

    return {
        "halts": done.count(HALT),
        "halted_s": _halted_ns(done.recording.rows["events"]) / 1e9,
        "limit_breaches": done.count(LIMIT_BREACH),
        "config_changes": done.count(CONFIG),
    }


def _halted_ns(events: Any) -> int:
    """Return how long the deployment was halted: from a halt to the next resume, or to the last event."""
    from evals.recordings.schema import HALT, RESUME, STOP  # noqa: PLC0415

    halted_ns, since_ns = 0, None
    for kind, at_ns in zip(events["kind"].tolist(), events["at_ns"].tolist(), strict=True):
        if kind == HALT and since_ns is None:
            since_ns = at_ns
        elif kind in {RESUME, STOP} and since_ns is not None:
            halted_ns, since_ns = halted_ns + at_ns - since_ns, None
    return halted_ns if since_ns is None else halted_ns + int(events["at_ns"][-1]) - since_ns


def _comparison(done: Review, known: dict[str, MetricValue]) -> dict[str, MetricValue]:
    """Set the realised against the twin; None where the twin is none, or broke."""
    from evals.statistics.paired import compare_paired  # noqa: PLC0415

    capital_1e9 = done.settings.capital_1e9
    rows = done.differences
    drift = compare_paired(rows["realised_1e9"] - rows["twin_1e9"], capital_1e9=capital_1e9, look=1, seed=done.seed)
    now, then = known["markout_1s_bps"], done.twin.metrics["markout_1s_bps"]
    metrics: dict[str, MetricValue] = {
        **drift.metrics("pnl_drift"),
        "comparison": drift.comparison,
        "compared_intervals": len(rows),
        "fill_match": done.matches.fill_match,
        "unmatched_fills": done.matches.unmatched,
        "unmatched_twin_fills": done.matches.unmatched_twin,
        "slippage_bps": done.matches.slippage_bps,
        "markout_drift_1s_bps": None if now is None or then is None else now - then,
    }
    whole = len(rows) == len(done.realised.equity) and done.twin.status == "completed"
    return metrics if whole and not done.apart else dict.fromkeys(metrics)


def _execute(catalog: Catalog, inputs: EvaluationInputs, data_root: Path, progress: Progress | None) -> Findings:
    from evals.metrics import validation_metrics  # noqa: PLC0415

    datasets = [catalog.dataset(short_id("data", each)) for each in inputs.datasets]
    done = _reviewed(catalog, inputs, data_root, progress)
    tape_figures = validation_metrics(*(each.validation for each in datasets))
    return Findings(
        status=done.status,
        detail=done.detail,
        result_digest=done.digest(),
        coverage=done.twin.coverage,
        metrics=metrics_of(done) | tape_figures,
        outputs=_outputs(done),
        validation={name.removeprefix("tape_"): int(figure or 0) for name, figure in tape_figures.items()},
    )


def _result(catalog: Catalog, inputs: EvaluationInputs, data_root: Path) -> str:
    return _reviewed(catalog, inputs, data_root, None).digest()


def _reviewed(catalog: Catalog, inputs: EvaluationInputs, data_root: Path, progress: Progress | None) -> Review:
    from evals.latency_trace import parse_trace  # noqa: PLC0415
    from evals.market.datasets import open_dataset  # noqa: PLC0415
    from evals.recordings.reading import read_header, read_recording  # noqa: PLC0415

    manifest = edge_bundle(catalog, short_id("bun", inputs.bundle))
    dataset = catalog.dataset(short_id("data", inputs.datasets[0]))
    named = {name: str(value) for name, value in inputs.settings.items() if name.startswith(_PREFIX)}
    settings = ReplaySettings.model_validate({k: v for k, v in inputs.settings.items() if k not in named})
    document = read_header(catalog.blob(named[_PREFIX]), "The recording")

    def fetch(name: str, digest: str) -> bytes:
        if named.get(_setting_of(name)) != digest:
            raise IntegrityError(f"The inputs do not name the file {name} of the recording by {digest}.")
        return catalog.blob(digest)

    recording = read_recording(document, fetch)
    _check(recording, manifest, [dataset], "The recording")
    if progress is not None:
        progress(f"Reviewing {document.deployment} against its twin on {dataset.dataset_id}")
    trace = None if settings.latency_trace is None else parse_trace(catalog.blob(settings.latency_trace), "The trace")
    return review(
        recording,
        catalog.blob(manifest.wasm.digest),
        manifest,
        open_dataset(data_root, dataset),
        settings=settings,
        seed=inputs.seed,
        trace=trace,
        progress=progress,
    )


def _outputs(done: Review) -> dict[str, bytes]:
    from evals.recordings.schema import HEARTBEAT  # noqa: PLC0415
    from evals.replay import log_as_parquet  # noqa: PLC0415

    logs = {
        "fills": done.realised.fills,
        "orders": done.realised.orders,
        "equity": done.realised.equity,
        "matches": done.matches.rows,
        "differences": done.differences,
    }
    events = done.recording.rows["events"]
    return {
        **{name: rows_as_parquet(rows) for name, rows in logs.items()},
        **{f"twin_{name}": log_as_parquet(rows) for name, rows in done.twin.rows.items()},
        "events": rows_as_parquet(
            events[events["kind"] != HEARTBEAT],
            detail=[
                done.recording.details.get(row, "") for row, kind in enumerate(events["kind"]) if kind != HEARTBEAT
            ],
        ),
    }


def rows_as_parquet(rows: Any, **texts: Sequence[str]) -> bytes:
    """Write structured rows, with columns of text beside them, as parquet: the same rows give the same bytes."""
    import pyarrow as pa  # noqa: PLC0415
    import pyarrow.parquet as pq  # noqa: PLC0415

    columns = {name: pa.array(rows[name].copy()) for name in rows.dtype.names}
    columns |= {name: pa.array(list(text), pa.string()) for name, text in texts.items()}
    sink = io.BytesIO()
    pq.write_table(pa.table(columns), sink, compression="zstd", version="2.6")
    return sink.getvalue()


LIVE_REVIEW: Final = Engine(fingerprint, _execute, _result)

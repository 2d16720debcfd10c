"""Live review: what a deployment really did against its replay twin, on the same window of the same market.

The evidence is a recording (see `evals.recordings`) and the tape of the book beside it. Realised figures are taken with
a replay's own formulas; the twin is the bundle replayed on that window; between the two stand the share of fills that
they have in common, their prices, and the drift of profit with its bounds.

A recording with gaps gives no figure that rests on the whole of it: gates say inconclusive. A trap that was recorded
fails the evaluation, whatever else is known.

The result digest is SHA-256 over: status, seed, the twin's own result digest, the number of gaps, the realised fills,
actions and equity, the matches, the differences of each interval, and the events.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import JsonValue

from bundles.canonical import digest_of, short_id
from bundles.errors import IntegrityError, InvalidInputError
from bundles.evidence import Dataset, EngineFingerprint, Evaluation, EvaluationInputs
from bundles.manifests import Bundle, EdgeBundle
from bundles.models import model_digests
from evals.engine.fingerprint import engine_digest, sources_digest
from evals.engine.settings import ReplaySettings
from evals.evaluation import Engine, Findings, Progress, record
from evals.replay import edge_bundle
from evals.routing.given import check_same_models
from evals.routing.settings import RoutingSettings
from evals.statistics.looks import LOOK, look_of

if TYPE_CHECKING:
    from bundles.catalog import Catalog
    from bundles.runners import Runner
    from evals.parents.orders import ParentOrders
    from evals.recordings.policies import PolicyReview
    from evals.recordings.reading import Recording
    from evals.recordings.review import Review
    from evals.recordings.schema import EdgeRecording

_SOURCES: Final = ("evals/foreign_parquet.py", "evals/live_review.py", "evals/recordings", "evals/statistics")
_PREFIX: Final = "recording"
"""Settings of this name, or that begin with it, name the recording's files; all others are the twin's, beside the
digests of a policy's models."""


def engine_fingerprint() -> EngineFingerprint:
    """Return what reviews a recording here."""
    from evals.recordings.review import NAME, VERSION

    return EngineFingerprint(
        name=NAME,
        version=VERSION,
        source=digest_of(f"{engine_digest()} {sources_digest(*_SOURCES)}".encode()),
        runtime={name: version(name) for name in ("numpy", "wasmtime")},
    )


def evaluate_live_review(
    catalog: Catalog,
    *,
    bundle: str,
    recording: Path,
    dataset: str | Sequence[str],
    data_root: Path,
    settings: ReplaySettings | RoutingSettings | None = None,
    seed: int = 42,
    runner: Runner,
    now_ns: int,
    force: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Review the recording in a folder against the replay of its bundle, and record the evaluation.

    ``settings`` are the replay's: of an algo ReplaySettings, whose capital is replaced by the recording's and which run
    without the band over queue models; of a policy RoutingSettings. A policy needs one dataset for each venue of the
    recording, in its order.

    Raises:
        NotFoundError: if the bundle, a dataset or a file of the recording is not there.
        IntegrityError: if a file is not the one that the recording names.
        InvalidInputError: for a recording that is malformed, or of another bundle, market or window than given.

    """
    from evals.recordings.reading import read_folder

    manifest = catalog.bundle(bundle)
    datasets = [catalog.dataset(name) for name in ([dataset] if isinstance(dataset, str) else dataset)]
    found, files = read_folder(recording)
    edge = isinstance(manifest, EdgeBundle)
    check = _checked_algo if edge else _checked_policy
    named: dict[str, JsonValue] = {_setting_of(name): digest_of(content) for name, content in files.items()}
    inputs = EvaluationInputs(
        kind="live-review",
        bundle=manifest.digest(),
        datasets=tuple(each.digest() for each in datasets),
        settings=check(found, manifest, datasets, str(recording), settings) | model_digests(catalog, manifest) | named,
        seed=seed,
        engine=engine_fingerprint() if edge else policy_fingerprint(),
    )
    for content in files.values():
        catalog.put_blob(content)
    return record(
        catalog,
        look_of(catalog, inputs),
        data_root=data_root,
        runner=runner,
        now_ns=now_ns,
        force=force,
        progress=progress,
    )


def _checked_algo(
    recording: Recording,
    manifest: Bundle,
    datasets: Sequence[Dataset],
    where: str,
    settings: ReplaySettings | RoutingSettings | None,
) -> dict[str, JsonValue]:
    """Return the settings of a twin; refuse what does not go with the recording."""
    from evals.recordings.checks import check_market

    document = _edge_document(recording, manifest, where)
    check_market(recording, [document.venue], datasets, where)
    chosen = settings or ReplaySettings()
    if not isinstance(chosen, ReplaySettings):
        raise InvalidInputError(f"{manifest.bundle_id} is an algo; its twin has ReplaySettings.")
    return chosen.model_copy(update={"queue_band": False, "capital_1e9": document.capital_1e9}).as_json()


def _checked_policy(
    recording: Recording,
    manifest: Bundle,
    datasets: Sequence[Dataset],
    where: str,
    settings: ReplaySettings | RoutingSettings | None,
) -> dict[str, JsonValue]:
    """Return the settings of a policy's replay; refuse what does not go with the recording."""
    _parents_of(recording, manifest, datasets, where)
    chosen = settings or RoutingSettings()
    if not isinstance(chosen, RoutingSettings):
        raise InvalidInputError(f"{manifest.bundle_id} is a policy; its replay has RoutingSettings.")
    return {"routing": chosen.as_json()}


def _parents_of(recording: Recording, manifest: Bundle, datasets: Sequence[Dataset], where: str) -> ParentOrders:
    """Return the parent orders of a recording of this policy; refuse any other."""
    from evals.parents.parquet import read_parents
    from evals.recordings.checks import check_bundle, check_market
    from evals.recordings.policies import check_children
    from evals.recordings.schema import PolicyRecording

    document = recording.document
    if not isinstance(document, PolicyRecording):
        raise InvalidInputError(f"{where} is the recording of an algo, and {manifest.bundle_id} is a policy.")
    check_bundle(recording, manifest.digest(), where)
    check_market(recording, document.venues, datasets, where)
    parents = read_parents(recording.parents or b"", symbol=document.symbol, name=f"{where}: parents.parquet")
    check_children(recording, parents, where)
    return parents


def _edge_document(recording: Recording, manifest: Bundle, where: str) -> EdgeRecording:
    """Return the document of a recording of this algo; refuse any other."""
    from evals.recordings.checks import check_bundle
    from evals.recordings.schema import EdgeRecording

    if not isinstance(recording.document, EdgeRecording):
        raise InvalidInputError(f"{where} is the recording of a policy, and {manifest.bundle_id} is an algo.")
    check_bundle(recording, manifest.digest(), where)
    return recording.document


def _setting_of(file_name: str) -> str:
    """Return under which setting a file of the recording is named."""
    stem = file_name.partition(".")[0]
    return stem if stem == _PREFIX else f"{_PREFIX}_{stem}"


def _execute(catalog: Catalog, inputs: EvaluationInputs, data_root: Path, progress: Progress | None) -> Findings:
    from evals.metrics import validation_metrics
    from evals.recordings.figures import metrics_of

    done = _reviewed(catalog, inputs, data_root, progress)
    datasets = [catalog.dataset(short_id("data", each)) for each in inputs.datasets]
    tape_figures = validation_metrics(*(each.validation for each in datasets))
    return Findings(
        status=done.status,
        detail=done.detail,
        result_digest=done.digest(),
        coverage=done.twin.coverage,
        metrics=metrics_of(done) | tape_figures,
        outputs=done.outputs(),
        validation={name.removeprefix("tape_"): int(figure or 0) for name, figure in tape_figures.items()},
    )


def _result(catalog: Catalog, inputs: EvaluationInputs, data_root: Path, progress: Progress | None) -> str:
    return _reviewed(catalog, inputs, data_root, progress).digest()


def _reviewed(catalog: Catalog, inputs: EvaluationInputs, data_root: Path, progress: Progress | None) -> Review:
    from evals.latency_trace import parse_trace
    from evals.market.datasets import open_dataset
    from evals.recordings.checks import check_market
    from evals.recordings.review import review

    manifest = edge_bundle(catalog, short_id("bun", inputs.bundle))
    datasets = [catalog.dataset(short_id("data", each)) for each in inputs.datasets]
    recording, rest = recording_of(catalog, inputs)
    document = _edge_document(recording, manifest, "The recording")
    check_market(recording, [document.venue], datasets, "The recording")
    look = int(str(rest.pop(LOOK, 1)))
    settings = ReplaySettings.model_validate(rest)
    if progress is not None:
        progress(f"Reviewing {document.deployment} against its twin on {datasets[0].dataset_id}")
    trace = None if settings.latency_trace is None else parse_trace(catalog.blob(settings.latency_trace), "The trace")
    return review(
        recording,
        document,
        manifest,
        catalog.blob(manifest.wasm.digest),
        open_dataset(data_root, datasets[0]),
        settings=settings,
        seed=inputs.seed,
        look=look,
        trace=trace,
        progress=progress,
    )


def recording_of(catalog: Catalog, inputs: EvaluationInputs) -> tuple[Recording, dict[str, JsonValue]]:
    """Read a recording back from the store; return it with the settings that are not about it.

    Raises:
        IntegrityError: if the inputs do not name all of its files.

    """
    from evals.recordings.reading import read_header, read_recording

    named = {name: str(value) for name, value in inputs.settings.items() if name.startswith(_PREFIX)}

    def fetch(name: str, digest: str) -> bytes:
        if named.get(_setting_of(name)) != digest:
            raise IntegrityError(f"The inputs do not name the recording's file {name} as {digest}. Review it anew.")
        return catalog.blob(digest)

    document = read_header(catalog.blob(named[_PREFIX]), "The recording")
    rest = {name: value for name, value in inputs.settings.items() if name not in named}
    return read_recording(document, fetch), rest


def policy_fingerprint() -> EngineFingerprint:
    """Return what reviews a policy's recording here."""
    from evals.assignment import SOURCES as POLICY_SOURCES
    from evals.recordings.policies import NAME, VERSION

    return EngineFingerprint(
        name=NAME,
        version=VERSION,
        source=digest_of(f"{engine_digest()} {sources_digest(*_SOURCES, *POLICY_SOURCES)}".encode()),
        runtime={"numpy": version("numpy")},
    )


def _execute_policy(catalog: Catalog, inputs: EvaluationInputs, data_root: Path, progress: Progress | None) -> Findings:
    from evals.metrics import validation_metrics
    from evals.recordings.policies import policy_metrics

    done = _reviewed_policy(catalog, inputs, data_root, progress)
    datasets = [catalog.dataset(short_id("data", each)) for each in inputs.datasets]
    tape_figures = validation_metrics(*(each.validation for each in datasets))
    return Findings(
        status=done.status,
        detail=done.detail,
        result_digest=done.digest(),
        coverage=done.coverage,
        metrics=policy_metrics(done) | tape_figures,
        outputs=done.outputs(),
        validation={name.removeprefix("tape_"): int(figure or 0) for name, figure in tape_figures.items()},
    )


def _reviewed_policy(
    catalog: Catalog, inputs: EvaluationInputs, data_root: Path, progress: Progress | None
) -> PolicyReview:
    from evals.market.datasets import open_dataset
    from evals.recordings.policies import review_policy

    check_same_models(catalog, inputs)
    manifest = catalog.manifest(inputs.bundle)
    datasets = [catalog.dataset(short_id("data", each)) for each in inputs.datasets]
    recording, rest = recording_of(catalog, inputs)
    parents = _parents_of(recording, manifest, datasets, "The recording")
    if progress is not None:
        progress(f"Reviewing {recording.document.deployment} against the replay of {len(parents):,} parent orders")
    return review_policy(
        catalog,
        manifest.bundle_id,
        recording,
        parents,
        [open_dataset(data_root, each) for each in datasets],
        settings=RoutingSettings.model_validate(rest.get("routing", {})),
        seed=inputs.seed,
        look=int(str(rest.get(LOOK, 1))),
        progress=progress,
    )


LIVE_REVIEW: Final = Engine(engine_fingerprint, _execute, _result)
"""What reviews algos."""

POLICY_REVIEW: Final = Engine(policy_fingerprint, _execute_policy)
"""What reviews routing and assignment policies."""

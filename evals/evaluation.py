"""What every kind of evaluation has in common: run its inputs, record what came of them, run them again.

A kind is an :class:`Engine`: what executes inputs, and the fingerprint under which results can be compared. Which one
executes which inputs stands in :func:`engine_of`, and nowhere else.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeAlias

from bundles.canonical import digest_of, short_id
from bundles.descent import demote_on_failure
from bundles.errors import IntegrityError, InvalidInputError
from bundles.evidence import Coverage, EngineFingerprint, Evaluation, EvaluationInputs, MetricValue, RunStatus
from bundles.manifests import BlobRef

if TYPE_CHECKING:
    from bundles.catalog import Catalog
    from bundles.runners import Runner

Progress: TypeAlias = Callable[[str], None]
"""Takes a line for whoever waits."""

_ROUNDING: Final = 1e-6
"""How far figures of two machines may lie apart: searches in the statistics end within 1e-8 of their aim."""
_SHOWN: Final = 3


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What one execution of an evaluation's inputs came to."""

    status: RunStatus
    detail: str = ""
    result_digest: str
    coverage: Coverage
    metrics: Mapping[str, MetricValue]
    outputs: Mapping[str, bytes] = field(default_factory=dict)
    """Parquet files by name."""
    validation: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Engine:
    """What executes the inputs of one kind of evaluation.

    ``execute`` gives whatever shows the result; ``result`` only the digest, where that can be had for less.
    """

    fingerprint: Callable[[], EngineFingerprint]
    execute: Callable[[Catalog, EvaluationInputs, Path, Progress | None], Findings]
    result: Callable[[Catalog, EvaluationInputs, Path, Progress | None], str] | None = None


def engine_of(catalog: Catalog, inputs: EvaluationInputs) -> Engine:
    """Return what executes some inputs.

    Raises:
        InvalidInputError: if bundles of that kind have no such evaluation.

    """
    # Each engine loads only when it runs: together they import Numba, pyarrow and wasmtime.
    target = catalog.manifest(inputs.bundle).kind
    match inputs.kind, target:
        case "replay", "edge":
            from evals.replay import REPLAY

            return REPLAY
        case "shadow", "edge":
            from evals.shadow import SHADOW

            return SHADOW
        case "replay" | "sandbox", "sor":
            from evals.routing.evaluating import ROUTING

            return ROUTING
        case "replay" | "sandbox", "assignment":
            from evals.assignment import ASSIGNMENT

            return ASSIGNMENT
        case "live-review", "edge":
            from evals.live_review import LIVE_REVIEW

            return LIVE_REVIEW
        case "live-review", "sor" | "assignment":
            from evals.live_review import POLICY_REVIEW

            return POLICY_REVIEW
    raise InvalidInputError(
        f"{short_id('bun', inputs.bundle)} is a bundle of kind {target}; such bundles have no {inputs.kind} evaluation."
    )


def record(
    catalog: Catalog,
    inputs: EvaluationInputs,
    *,
    data_root: Path,
    runner: Runner,
    now_ns: int,
    force: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """Execute inputs and record the evaluation, signed by its runner.

    The same inputs return the first record without running anything, unless ``force`` runs them again. What the policy
    says of a bundle whose later evaluation fails is done at once.

    Raises:
        NotFoundError: if the bundle, a blob or a dataset is not in the store, or a partition not below the data root.
        IntegrityError: if a partition's bytes are not the dataset's, or a repeated run gave another result.

    """
    bundle_id = short_id("bun", inputs.bundle)
    known = [each for each in catalog.evaluations(bundle_id) if each.eval_id == inputs.eval_id]
    if known and not force:
        demote_on_failure(catalog, bundle_id, now_ns=now_ns)
        return known[0]
    found = engine_of(catalog, inputs).execute(catalog, inputs, data_root, progress)
    return keep(catalog, inputs, found, runner=runner, now_ns=now_ns, again=bool(known))


def keep(
    catalog: Catalog, inputs: EvaluationInputs, found: Findings, *, runner: Runner, now_ns: int, again: bool = False
) -> Evaluation:
    """Record what inputs came to, signed by the runner that executed them, and do what the policy says of it.

    Raises:
        NotFoundError, IntegrityError: as `Catalog.record_evaluation`, to which ``again`` goes.

    """
    evaluation = Evaluation(
        inputs=inputs,
        status=found.status,
        status_detail=found.detail,
        result_digest=found.result_digest,
        coverage=found.coverage,
        metrics=dict(found.metrics),
        outputs={name: BlobRef(digest=digest_of(b), size_bytes=len(b)) for name, b in found.outputs.items()},
        validation=dict(found.validation),
    )
    catalog.record_evaluation(evaluation, found.outputs.values(), runner=runner, now_ns=now_ns, again=again)
    demote_on_failure(catalog, catalog.bundle_of(evaluation), now_ns=now_ns)
    return evaluation


def verify_evaluation(
    catalog: Catalog, eval_id: str, data_root: Path, *, progress: Progress | None = None
) -> tuple[bool, str, str]:
    """Execute a recorded evaluation again; return whether the result is the same, the digest then and the digest now.

    Raises:
        InvalidInputError: if another engine made it: their results cannot be compared.

    """
    evaluation = catalog.evaluation(eval_id)
    inputs, engine = evaluation.inputs, _same_engine(catalog, evaluation)
    if engine.result is not None:
        now = engine.result(catalog, inputs, data_root, progress)
    else:
        now = engine.execute(catalog, inputs, data_root, progress).result_digest
    return now == evaluation.result_digest, evaluation.result_digest, now


def _same_engine(catalog: Catalog, evaluation: Evaluation) -> Engine:
    """Return the engine that made an evaluation; InvalidInputError if this is another."""
    engine, made_by = engine_of(catalog, evaluation.inputs), evaluation.inputs.engine
    if made_by != engine.fingerprint():
        raise InvalidInputError(
            f"{evaluation.eval_id} was made by engine {made_by.digest()}, this one is {engine.fingerprint().digest()}. "
            "Verify it with the release that made it."
        )
    return engine


def attest_evaluation(
    catalog: Catalog, eval_id: str, data_root: Path, *, runner: Runner, now_ns: int, progress: Progress | None = None
) -> tuple[bool, str, str]:
    """Execute a recorded evaluation again and sign what came of it, the same or not; returns as `verify_evaluation`.

    Whoever attests vouches for the whole record, so figures are compared as well: gates judge them, and the result
    digest does not cover what statistics made of it.

    Raises:
        InvalidInputError: as `verify_evaluation`.
        IntegrityError: if the result is the same, but not the figures that the record shows of it; nothing is signed.

    """
    evaluation = catalog.evaluation(eval_id)
    found = _same_engine(catalog, evaluation).execute(catalog, evaluation.inputs, data_root, progress)
    same = found.result_digest == evaluation.result_digest
    if same:
        _check_figures(evaluation, found)
    catalog.attest(evaluation, found.result_digest, runner=runner, now_ns=now_ns)
    return same, evaluation.result_digest, found.result_digest


def _check_figures(evaluation: Evaluation, found: Findings) -> None:
    then, now = evaluation.metrics, found.metrics
    other = [name for name in sorted({*then, *now}) if not _is_same(then.get(name), now.get(name))]
    other += [name for name in ("status", "coverage") if getattr(evaluation, name) != getattr(found, name)]
    if other:
        raise IntegrityError(
            f"{evaluation.eval_id} comes to the same result, but its record shows other figures of it: "
            f"{', '.join(f'{name} {then.get(name)} for {now.get(name)}' for name in other[:_SHOWN])}"
            f"{', …' if len(other) > _SHOWN else ''}. It is not attested. Find out who recorded it, and evaluate anew."
        )


def _is_same(then: MetricValue, now: MetricValue) -> bool:
    if (isinstance(then, float) and isinstance(now, int | float)) or (isinstance(now, float) and isinstance(then, int)):
        # Statistics are of floats, whose last digits may be another machine's.
        return math.isclose(then, now, rel_tol=_ROUNDING, abs_tol=_ROUNDING)
    return then == now

"""Evaluations of policies: recorded parent orders under a routing or an assignment policy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bundles.assignment import AssignmentModel
from bundles.errors import InvalidInputError
from bundles.manifests import AssignmentBundle, Bundle, SorBundle
from bundles.routing import read_model
from evals.routing.given import PolicyKind

if TYPE_CHECKING:
    from bundles.catalog import Catalog
    from bundles.evidence import Evaluation
    from bundles.runners import Runner
    from evals.evaluation import Progress
    from evals.routing.settings import FaultPlan, RoutingSettings


def evaluate_policy(
    catalog: Catalog,
    *,
    kind: PolicyKind,
    bundle: str,
    dataset: Sequence[str],
    parents: bytes | Path,
    data_root: Path,
    settings: RoutingSettings | None = None,
    faults: FaultPlan | None = None,
    seed: int = 42,
    runner: Runner,
    now_ns: int,
    force: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """Execute parent orders under a registered policy and record the evaluation.

    ``dataset`` are one for each venue; ``parents`` are a file of parent orders, or its content; ``faults`` are for the
    sandbox.

    Raises:
        InvalidInputError: if the bundle is an algo, and for whatever the two kinds of policy refuse before a run.
        NotFoundError, IntegrityError: as `evaluation.record`.

    """
    # Numba and pyarrow load only when something is run.
    manifest = catalog.bundle(bundle)
    if isinstance(manifest, SorBundle):
        from evals.routing.evaluating import evaluate_routing as evaluate  # noqa: PLC0415
    elif isinstance(manifest, AssignmentBundle):
        from evals.assignment import evaluate_assignment as evaluate  # noqa: PLC0415
    else:
        raise InvalidInputError(
            f"{manifest.bundle_id} is a bundle of kind {manifest.kind}; parent orders are executed by policies. "
            "Replay it with `sequence backtest --bundle`, or run it in shadow."
        )
    return evaluate(
        catalog,
        kind=kind,
        bundle=manifest.bundle_id,
        dataset=dataset,
        parents=parents,
        data_root=data_root,
        settings=settings,
        faults=faults,
        seed=seed,
        runner=runner,
        now_ns=now_ns,
        force=force,
        progress=progress,
    )


def learns_volume(catalog: Catalog, manifest: Bundle) -> bool:
    """Tell whether a bundle slices orders by a curve of volume, which it learns from earlier days."""
    if isinstance(manifest, AssignmentBundle):
        return read_model(catalog, manifest.artifact, AssignmentModel).slicing_policy == "vwap"
    return isinstance(manifest, SorBundle) and manifest.slicing_policy == "vwap"

"""Evaluations of policies: recorded parent orders under a routing or an assignment policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from bundles.assignment import AssignmentModel
from bundles.errors import InvalidInputError, NotFoundError
from bundles.manifests import AssignmentBundle, Bundle, SorBundle
from bundles.routing import RoutingModel, read_model
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
        from evals.routing.evaluating import evaluate_routing as evaluate
    elif isinstance(manifest, AssignmentBundle):
        from evals.assignment import evaluate_assignment as evaluate
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


@dataclass(frozen=True)
class Needs:
    """What market data an evaluation of a bundle needs."""

    venues: tuple[str, ...] = ()
    """Those that its models know; empty if it names none."""
    learns_volume: bool = False
    """Whether it slices orders by a curve of volume, which it learns from earlier days."""


def needs_of(catalog: Catalog, manifest: Bundle) -> Needs:
    """Return what market data a bundle needs, as far as its models can be read; its evaluation says what is wrong."""
    try:
        if isinstance(manifest, AssignmentBundle):
            model = read_model(catalog, manifest.artifact, AssignmentModel)
            slicings, routing = {model.slicing_policy, model.edge_slicing}, model.routing_model
        elif isinstance(manifest, SorBundle):
            slicings, routing = {manifest.slicing_policy}, manifest.routing_model
        else:
            return Needs()
        venues = tuple(each.venue for each in read_model(catalog, routing, RoutingModel).venues)
    except (InvalidInputError, NotFoundError):
        return Needs()
    return Needs(venues, "vwap" in slicings)

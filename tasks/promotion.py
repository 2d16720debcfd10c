"""Steps of a promotion. Whether a bundle moves is decided in `bundles.promotion`, each time afresh from the store."""

from __future__ import annotations

import time
from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE

from bundles.approvals import Approval
from bundles.ladder import Decision
from bundles.manifests import EdgeBundle
from bundles.promotion import Promotion, check, promote
from tasks.places import open_catalog


@task(task_run_name="check {bundle} for {stage}", cache_policy=NO_CACHE)
def check_promotion(
    bundle: str,
    target: str,
    stage: str,
    evaluations: Sequence[str],
    approvals: Sequence[Approval],
    *,
    notes: str,
    store: str | None,
) -> Decision:
    """Decide what would happen to a promotion now; writes nothing."""
    return check(
        open_catalog(store),
        bundle=bundle,
        target=target,
        stage=stage,
        evaluations=evaluations,
        approvals=approvals,
        notes=notes,
        now_ns=time.time_ns(),
    )


@task(task_run_name="record {bundle} at {stage}", cache_policy=NO_CACHE)
def record_promotion(
    bundle: str,
    target: str,
    stage: str,
    evaluations: Sequence[str],
    approvals: Sequence[Approval],
    *,
    notes: str,
    requested_by: str,
    store: str | None,
) -> Promotion:
    """Decide again and, if every condition is met, write the promotion to the ledger; once, however often asked."""
    return promote(
        open_catalog(store),
        bundle=bundle,
        target=target,
        stage=stage,
        evaluations=evaluations,
        approvals=approvals,
        notes=notes,
        requested_by=requested_by,
        now_ns=time.time_ns(),
    )


@task(task_run_name="list promoted bundles", cache_policy=NO_CACHE)
def promoted_bundles(*, store: str | None) -> list[str]:
    """Return the ids of the edge bundles that stand at stage replay or higher."""
    catalog = open_catalog(store)
    return [
        bundle
        for bundle in catalog.bundle_ids()
        if isinstance(catalog.bundle(bundle), EdgeBundle) and catalog.ledger.state(bundle).stage != "research"
    ]

"""The evaluations that a broken glass skipped: those of an algo are run as soon as it is broken."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from bundles.catalog import Catalog
    from bundles.evidence import Dataset
    from sequence.cli.session import Session


def evaluate_skipped(session: Session, bundle_id: str) -> None:
    """Replay an algo on the newest market data at hand, above replay also in shadow; tell what cannot be done here."""
    owed, root = "The evaluation that was skipped is owed:", session.settings.data_root
    run = f"sequence backtest --bundle {bundle_id} --dataset ID"
    try:
        if session.catalog.bundle(bundle_id).kind != "edge":
            session.say(
                f"{owed} a policy needs parent orders. Run it: "
                f"sequence eval sandbox --bundle {bundle_id} --dataset ID --parents FILE"
            )
            return
        dataset = _newest_dataset(session.catalog, root)
        if dataset is None:
            session.say(
                f"{owed} no registered dataset lies below {root}. Import one (sequence data import), then: {run}"
            )
            return
        where = f"{dataset.venue} {dataset.symbol}"
        session.say(f"Running what was skipped, on {dataset.dataset_id} ({where})")
        _evaluate(session, bundle_id, dataset)
    except Exception as error:  # noqa: BLE001 -- the promotion is recorded, and this does not change what came of it
        session.say(f"{owed} {error}\nRun it: {run}")


def _newest_dataset(catalog: Catalog, data_root: Path) -> Dataset | None:
    """Return the registered dataset with the latest events whose files all lie below a folder."""
    held = [
        each
        for each in catalog.datasets()
        if all((data_root / partition.key).is_file() for partition in each.partitions)
    ]
    return max(held, key=lambda each: (max(part.last_ns for part in each.partitions), each.dataset_id), default=None)


def _evaluate(session: Session, bundle_id: str, dataset: Dataset) -> None:
    from bundles.judging import judge
    from evals.replay import evaluate_replay
    from evals.shadow import evaluate_shadow

    stage = session.catalog.ledger.state(bundle_id).stage_at(time.time_ns())
    for evaluate in (evaluate_replay,) if stage == "replay" else (evaluate_replay, evaluate_shadow):
        evaluation = evaluate(
            session.catalog,
            bundle=bundle_id,
            dataset=dataset.dataset_id,
            data_root=session.settings.data_root,
            runner=session.runner,
            now_ns=time.time_ns(),
            progress=session.progress,
        )
        told, kind = judge(session.catalog, evaluation).told, evaluation.inputs.kind
        session.say(f"Recorded {evaluation.eval_id} ({kind}): {told}. See: sequence eval show {evaluation.eval_id}")

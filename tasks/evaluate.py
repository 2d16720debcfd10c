"""Steps that judge a bundle: run the replay, derive the verdict."""

from __future__ import annotations

import time
from pathlib import Path

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from bundles.evidence import Evaluation
from bundles.gates import GateResult
from bundles.promotion import judge
from evals.engine.settings import ReplaySettings
from evals.replay import evaluate_replay
from tasks.places import open_catalog


@task(task_run_name="replay {bundle} on {dataset}", cache_policy=NO_CACHE)
def run_replay_evaluation(
    bundle: str,
    dataset: str | list[str],
    *,
    data: Path,
    seed: int,
    runner: str,
    force: bool,
    store: str | None,
    settings: ReplaySettings | None = None,
) -> Evaluation:
    """Replay a bundle on datasets and record the evaluation; the same inputs return the first record unless forced."""
    log = get_run_logger()
    evaluation = evaluate_replay(
        open_catalog(store),
        bundle=bundle,
        dataset=dataset,
        data_root=data,
        settings=settings,
        seed=seed,
        runner=runner,
        now_ns=time.time_ns(),
        force=force,
        progress=log.info,
    )
    log.info("%s: %s, result %s", evaluation.eval_id, evaluation.status, evaluation.result_digest)
    return evaluation


@task(task_run_name="judge", cache_policy=NO_CACHE)
def judge_evaluation(evaluation: Evaluation, *, store: str | None) -> GateResult:
    """Derive the verdict from the metrics and the policy of the store."""
    return judge(open_catalog(store), evaluation)

"""Steps that judge a bundle: run the replay, run it a second time elsewhere, derive the verdict."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from bundles.evidence import Evaluation
from bundles.gates import GateResult
from bundles.promotion import judge
from evals.engine.settings import ReplaySettings
from evals.evaluation import attest_evaluation
from evals.replay import evaluate_replay
from tasks.places import open_catalog, worker


@task(task_run_name="replay {bundle} on {dataset}", cache_policy=NO_CACHE)
def run_replay_evaluation(
    bundle: str,
    dataset: str | list[str],
    *,
    data: Path,
    seed: int,
    force: bool,
    store: str,
    settings: ReplaySettings | None = None,
) -> Evaluation:
    """Replay a bundle on datasets and record the evaluation, signed by this worker.

    The same inputs return the first record unless forced.
    """
    log = get_run_logger()
    runner = worker()
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
    log.info("%s: %s, result %s (%s)", evaluation.eval_id, evaluation.status, evaluation.result_digest, runner.name)
    return evaluation


@dataclass(frozen=True, slots=True)
class Execution:
    """What this worker came to that executed an evaluation's inputs again."""

    eval_id: str
    runner: str
    recorded: str
    result: str


@task(task_run_name="execute {evaluation} again", cache_policy=NO_CACHE)
def execute_again(evaluation: str, *, data: Path, store: str) -> Execution:
    """Run a recorded replay again and record, signed by this worker, what came of it, be it the same or not."""
    catalog, runner = open_catalog(store), worker()
    name = catalog.resolve_evaluation(evaluation)
    _, recorded, result = attest_evaluation(catalog, name, data, runner=runner, now_ns=time.time_ns())
    get_run_logger().info("%s: %s came to result %s", name, runner.name, result)
    return Execution(name, runner.name, recorded, result)


@task(task_run_name="judge", cache_policy=NO_CACHE)
def judge_evaluation(evaluation: Evaluation, *, store: str) -> GateResult:
    """Derive the verdict from the metrics and the policy in force."""
    return judge(open_catalog(store), evaluation)

"""Steps that judge a bundle: run an evaluation, run it a second time elsewhere, derive the verdict."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypedDict

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from bundles.catalog import Catalog
from bundles.evidence import Evaluation
from bundles.judging import Judgement, judge
from bundles.runners import Runner
from evals.engine.settings import ReplaySettings
from evals.evaluation import attest_evaluation
from evals.live_review import evaluate_live_review
from evals.policies import evaluate_policy
from evals.replay import evaluate_replay
from evals.routing.given import PolicyKind
from evals.routing.settings import FaultPlan, RoutingSettings
from evals.shadow import evaluate_shadow
from evals.shadowing.settings import ShadowSettings
from tasks.places import open_catalog, worker, worker_name


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
    return _told(
        evaluate_replay(
            open_catalog(store), bundle=bundle, dataset=dataset, settings=settings, **_run(data, seed, force=force)
        )
    )


@task(task_run_name="shadow {bundle} on {dataset}", cache_policy=NO_CACHE)
def run_shadow_evaluation(
    bundle: str,
    dataset: str | list[str],
    *,
    incumbent: str | None,
    data: Path,
    seed: int,
    force: bool,
    store: str,
    settings: ShadowSettings | None = None,
) -> Evaluation:
    """Run an algo beside the incumbent and record the evaluation, signed by this worker."""
    return _told(
        evaluate_shadow(
            open_catalog(store),
            bundle=bundle,
            dataset=dataset,
            incumbent=incumbent,
            settings=settings,
            **_run(data, seed, force=force),
        )
    )


@task(task_run_name="{kind} of {bundle}", cache_policy=NO_CACHE)
def run_policy_evaluation(
    kind: PolicyKind,
    bundle: str,
    datasets: list[str],
    *,
    parents: str,
    data: Path,
    seed: int,
    force: bool,
    store: str,
    settings: RoutingSettings | None = None,
    faults: FaultPlan | None = None,
) -> Evaluation:
    """Execute parent orders under a policy and record the evaluation, signed by this worker."""
    catalog = open_catalog(store)
    return _told(
        evaluate_policy(
            catalog,
            kind=kind,
            bundle=bundle,
            dataset=datasets,
            parents=_orders(catalog, parents),
            settings=settings,
            faults=faults,
            **_run(data, seed, force=force),
        )
    )


@task(task_run_name="live review of {bundle}", cache_policy=NO_CACHE)
def run_live_review(
    bundle: str, dataset: str | list[str], *, recording: str, data: Path, seed: int, force: bool, store: str
) -> Evaluation:
    """Compare a deployment's recording with its replay and record the evaluation, signed by this worker."""
    return _told(
        evaluate_live_review(
            open_catalog(store),
            bundle=bundle,
            dataset=dataset,
            recording=Path(recording),
            **_run(data, seed, force=force),
        )
    )


def _orders(catalog: Catalog, parents: str) -> bytes | Path:
    """Return parent orders: from the store if a digest is given, else the file of that name."""
    return catalog.blob(parents) if parents.startswith("sha256:") else Path(parents)


class _Run(TypedDict):
    """What every kind of evaluation is given."""

    data_root: Path
    seed: int
    runner: Runner
    now_ns: int
    force: bool
    progress: Callable[[str], None]


def _run(data: Path, seed: int, *, force: bool) -> _Run:
    return _Run(
        data_root=data,
        seed=seed,
        runner=worker(),
        now_ns=time.time_ns(),
        force=force,
        progress=get_run_logger().info,
    )


def _told(evaluation: Evaluation) -> Evaluation:
    about = (evaluation.eval_id, evaluation.status, evaluation.result_digest, worker_name())
    get_run_logger().info("%s: %s, result %s (%s)", *about)
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
    log = get_run_logger().info
    _, recorded, result = attest_evaluation(catalog, name, data, runner=runner, now_ns=time.time_ns(), progress=log)
    log("%s: %s came to result %s", name, runner.name, result)
    return Execution(name, runner.name, recorded, result)


@task(task_run_name="judge", cache_policy=NO_CACHE)
def judge_evaluation(evaluation: Evaluation, *, store: str) -> Judgement:
    """Derive the verdicts from the metrics and the policy in force."""
    return judge(open_catalog(store), evaluation)

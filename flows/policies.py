"""Flow `policy-evaluation`: parent orders under a routing or assignment policy, by replay or in the sandbox."""

from __future__ import annotations

from typing import Annotated

from prefect import flow

from evals.routing.given import PolicyKind
from evals.routing.settings import FaultPlan, RoutingSettings
from flows.forms import titled
from flows.judging import Judged, judged
from tasks.evaluate import run_policy_evaluation
from tasks.places import data_root


@flow(
    name="policy-evaluation",
    flow_run_name="{kind} of {bundle}",
    description="Executes recorded parent orders under a routing or assignment policy, by replay or in the sandbox.",
)
def policy_evaluation(
    bundle: Annotated[str, titled("Bundle")],
    datasets: Annotated[list[str], titled("Datasets")],
    parents: Annotated[str, titled("Parent orders")],
    kind: Annotated[PolicyKind, titled("Kind")] = "sandbox",
    seed: Annotated[int, titled("Seed")] = 42,
    force: Annotated[bool, titled("Run again")] = False,
    data: Annotated[str, titled("Tapes")] = "",
    store: Annotated[str, titled("Store")] = "",
    settings: Annotated[RoutingSettings | None, titled("Execution")] = None,
    faults: Annotated[FaultPlan | None, titled("Faults")] = None,
) -> Judged:
    """Evaluate a routing or an assignment policy.

    The record is signed by the worker that runs the flow, with its own key (SEQUENCE_RUNNER, SEQUENCE_RUNNER_KEY).

    Args:
        bundle: Id of the policy's bundle, or a unique prefix of it.
        datasets: Ids of the datasets, one for each venue, all of one symbol.
        parents: Parent orders: a parquet file on the worker, or the digest (sha256:…) under which the store has them.
        kind: replay (on the books as received) or sandbox (late, in queues, with rejects and stale venues).
        seed: Seed of the faults and of everything else that is random.
        force: Run again although a record of the same inputs exists; the results must be equal.
        data: Folder of the tapes. Empty: SEQUENCE_DATA of the worker.
        store: Address of the store (file:///… or s3://bucket/prefix). Empty: SEQUENCE_STORE of the worker.
        settings: Slices, benchmarks and the like. None: the defaults.
        faults: Rejects, partial fills, stale venues and latency bursts of the sandbox. None: the defaults.

    """
    return judged(
        lambda: run_policy_evaluation(
            kind,
            bundle,
            datasets,
            parents=parents,
            data=data_root(data),
            seed=seed,
            force=force,
            store=store,
            settings=settings,
            faults=faults,
        ),
        store=store,
    )

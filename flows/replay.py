"""Flow `replay-evaluation`: one bundle on one timeline of datasets, with verdict, metrics and report."""

from __future__ import annotations

from typing import Annotated

from prefect import flow

from evals.engine.settings import ReplaySettings
from flows.forms import titled
from flows.judging import Judged, judged
from tasks.evaluate import run_replay_evaluation
from tasks.places import data_root


@flow(
    name="replay-evaluation",
    flow_run_name="replay {bundle} on {dataset}",
    description="Replays a bundle on recorded market data and judges it by the policy's gate.",
)
def replay_evaluation(
    bundle: Annotated[str, titled("Bundle")],
    dataset: Annotated[str | list[str], titled("Dataset")],
    seed: Annotated[int, titled("Seed")] = 42,
    force: Annotated[bool, titled("Run again")] = False,
    data: Annotated[str, titled("Tapes")] = "",
    store: Annotated[str, titled("Store")] = "",
    settings: Annotated[ReplaySettings | None, titled("Simulation")] = None,
) -> Judged:
    """Evaluate a bundle by replay.

    The record is signed by the worker that runs the flow, with its own key (SEQUENCE_RUNNER, SEQUENCE_RUNNER_KEY).

    Args:
        bundle: Id of the bundle, or a unique prefix of it.
        dataset: Id of the dataset, or a unique prefix of it; a list for several symbols or venues as one timeline.
        seed: Seed of everything random in the simulation.
        force: Run again although a record of the same inputs exists; the results must be equal.
        data: Folder of the tapes. Empty: SEQUENCE_DATA of the worker.
        store: Address of the store (file:///… or s3://bucket/prefix). Empty: SEQUENCE_STORE of the worker.
        settings: Latencies, queue model and the like. None: the defaults.

    """
    return judged(
        lambda: run_replay_evaluation(
            bundle,
            dataset,
            data=data_root(data),
            seed=seed,
            force=force,
            store=store,
            settings=settings,
        ),
        store=store,
    )

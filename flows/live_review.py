"""Flow `live-review`: what a deployment really did, beside its replay on the same recorded market."""

from __future__ import annotations

from typing import Annotated

from prefect import flow

from flows.forms import titled
from flows.judging import Judged, judged
from tasks.evaluate import run_live_review
from tasks.places import data_root


@flow(
    name="live-review",
    flow_run_name="live review of {bundle}",
    description="Compares what a deployment really did with its replay on the market data recorded beside it.",
)
def live_review(
    bundle: Annotated[str, titled("Bundle")],
    dataset: Annotated[str | list[str], titled("Dataset")],
    recording: Annotated[str, titled("Recording")],
    seed: Annotated[int, titled("Seed")] = 42,
    force: Annotated[bool, titled("Run again")] = False,
    data: Annotated[str, titled("Tapes")] = "",
    store: Annotated[str, titled("Store")] = "",
) -> Judged:
    """Review a deployment.

    The record is signed by the worker that runs the flow, with its own key (SEQUENCE_RUNNER, SEQUENCE_RUNNER_KEY).

    Args:
        bundle: Id of the bundle that was deployed, or a unique prefix of it.
        dataset: Id of the dataset with the book that the deployment recorded; a list for several venues.
        recording: Folder of the deployment's recording (recording.json, actions, fills, events) on the worker.
        seed: Seed of everything random in the replay twin.
        force: Run again although a record of the same inputs exists; the results must be equal.
        data: Folder of the tapes. Empty: SEQUENCE_DATA of the worker.
        store: Address of the store (file:///… or s3://bucket/prefix). Empty: SEQUENCE_STORE of the worker.

    """
    return judged(
        lambda: run_live_review(
            bundle, dataset, recording=recording, data=data_root(data), seed=seed, force=force, store=store
        ),
        store=store,
    )

"""Flow `shadow-evaluation`: an algo beside the one that it wants to replace, on the same window."""

from __future__ import annotations

from typing import Annotated

from prefect import flow

from evals.shadowing.settings import ShadowSettings
from flows.forms import titled
from flows.judging import Judged, judged
from tasks.evaluate import run_shadow_evaluation
from tasks.places import data_root


@flow(
    name="shadow-evaluation",
    flow_run_name="shadow {bundle} on {dataset}",
    description="Runs an algo beside the incumbent over the same market data and says whether it is better.",
)
def shadow_evaluation(
    bundle: Annotated[str, titled("Bundle")],
    dataset: Annotated[str | list[str], titled("Dataset")],
    incumbent: Annotated[str, titled("Incumbent")] = "",
    seed: Annotated[int, titled("Seed")] = 42,
    force: Annotated[bool, titled("Run again")] = False,
    data: Annotated[str, titled("Tapes")] = "",
    store: Annotated[str, titled("Store")] = "",
    settings: Annotated[ShadowSettings | None, titled("Simulation")] = None,
) -> Judged:
    """Evaluate an algo against the incumbent; its orders are simulated, never sent.

    The record is signed by the worker that runs the flow, with its own key (SEQUENCE_RUNNER, SEQUENCE_RUNNER_KEY).

    Args:
        bundle: Id of the candidate, or a unique prefix of it.
        dataset: Id of the dataset, or a unique prefix of it; a list for several symbols or venues as one timeline.
        incumbent: Id of the bundle to beat, or flat for not trading. Empty: the bundle that holds the next rung.
        seed: Seed of everything random in the simulation.
        force: Run again although a record of the same inputs exists; the results must be equal.
        data: Folder of the tapes. Empty: SEQUENCE_DATA of the worker.
        store: Address of the store (file:///… or s3://bucket/prefix). Empty: SEQUENCE_STORE of the worker.
        settings: Latencies, queue model and the like. None: the defaults.

    """
    return judged(
        lambda: run_shadow_evaluation(
            bundle,
            dataset,
            incumbent=incumbent or None,
            data=data_root(data),
            seed=seed,
            force=force,
            store=store,
            settings=settings,
        ),
        store=store,
    )

"""Flow `attest-evaluation`: this worker executes a recorded evaluation again and signs what it came to."""

from __future__ import annotations

from typing import Annotated

from prefect import flow
from pydantic import BaseModel

from bundles.errors import IntegrityError, LadderError
from flows.forms import titled
from flows.outcome import completed, failed
from tasks.evaluate import execute_again
from tasks.places import data_root


class Attested(BaseModel):
    """Which runner came to the recorded result too."""

    eval_id: str
    runner: str
    result: str


@flow(
    name="attest-evaluation",
    flow_run_name="execute {evaluation} again",
    description="Executes a recorded evaluation on this worker and signs the result: a second runner's word on it.",
)
def attest_evaluation(
    evaluation: Annotated[str, titled("Evaluation")],
    data: Annotated[str, titled("Tapes")] = "",
    store: Annotated[str, titled("Store")] = "",
) -> Attested:
    """Execute an evaluation a second time.

    Args:
        evaluation: Id of the evaluation, or a unique prefix of it.
        data: Folder of the tapes. Empty: SEQUENCE_DATA of the worker.
        store: Address of the store (file:///… or s3://bucket/prefix). Empty: SEQUENCE_STORE of the worker.

    """
    try:
        done = execute_again(evaluation, data=data_root(data), store=store)
    except LadderError as error:
        stopped: Attested = failed(error)
        return stopped
    if done.result != done.recorded:
        differs: Attested = failed(
            IntegrityError(
                f"{done.eval_id}: {done.runner} came to result {done.result}, the record says {done.recorded}. "
                "Find out why before trusting either; until then nothing is promoted on it."
            )
        )
        return differs
    attested = Attested(eval_id=done.eval_id, runner=done.runner, result=done.result)
    return completed(attested, f"{done.eval_id}: {done.runner} came to the same result")

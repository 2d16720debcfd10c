"""Flow `checkpoint`: this worker signs the heads of all ledgers, so that what is taken away later is missed."""

from __future__ import annotations

from typing import Annotated

from prefect import flow

from bundles.errors import LadderError
from flows.forms import titled
from flows.outcome import completed, failed
from tasks.checkpoints import sign_checkpoint


@flow(
    name="checkpoint",
    description="Signs what the store holds now: a ledger, or the end of one, that is taken away later is missed.",
)
def checkpoint(store: Annotated[str, titled("Store")] = "") -> int | None:
    """Sign a checkpoint.

    Args:
        store: Address of the store (file:///… or s3://bucket/prefix). Empty: SEQUENCE_STORE of the worker.

    """
    try:
        made = sign_checkpoint(store=store)
    except LadderError as error:
        stopped: int | None = failed(error)
        return stopped
    return completed(made, f"checkpoint {made} is signed" if made else "nothing has changed since the last checkpoint")

"""Step that signs what the store holds, so that what is taken away later is missed."""

from __future__ import annotations

import time

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from bundles.checkpoints import make_checkpoint
from tasks.places import open_catalog, worker


@task(task_run_name="sign a checkpoint", cache_policy=NO_CACHE)
def sign_checkpoint(*, store: str) -> int | None:
    """Record a checkpoint signed by this worker; return its number, None if nothing has changed since the last one."""
    made = make_checkpoint(open_catalog(store), worker(), now_ns=time.time_ns())
    get_run_logger().info("checkpoint %s", made or "not needed: nothing has changed since the last one")
    return made

"""Wakes the flow runs that wait on a promotion request, with an answer that was given elsewhere."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Literal

from bundles.settings import load_settings

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient


def resume_waiting_runs(
    request_id: str, *, decision: Literal["approve", "deny", "check again"], approver: str, notes: str, signature: str
) -> int:
    """Resume the suspended and paused runs of `promote` that wait on a request; return how many took the answer.

    The runs bring it to the store, where it counts once, and look what has become of the request; with "check again"
    (after a runner's word, say) they only look. Without an address of Prefect's API (PREFECT_API_URL, or
    prefect_api_url in config.toml) nothing can wait.
    """
    known = load_settings().prefect_api_url
    if known:
        os.environ.setdefault("PREFECT_API_URL", known)
    # Prefect reads its settings when it is imported.
    from prefect.client.orchestration import get_client
    from prefect.settings import get_current_settings

    if not get_current_settings().api.url:
        return 0  # the client would start a server of its own
    with get_client(sync_client=True) as client:
        return resume_runs(
            client, request_id, {"decision": decision, "approver": approver, "notes": notes, "signature": signature}
        )


def resume_runs(client: SyncPrefectClient, request_id: str, answer: dict[str, str]) -> int:
    """Resume, with an answer, the runs that wait on a request; return how many took it."""
    from prefect.client.schemas.filters import (
        FlowRunFilter,
        FlowRunFilterState,
        FlowRunFilterStateType,
        FlowRunFilterTags,
    )
    from prefect.client.schemas.objects import StateType
    from prefect.client.schemas.responses import SetStateStatus

    from flows.question import REQUEST_TAG

    waiting = client.read_flow_runs(
        flow_run_filter=FlowRunFilter(
            tags=FlowRunFilterTags(all_=[f"{REQUEST_TAG}{request_id}"]),
            state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.PAUSED])),
        )
    )
    answers = [client.resume_flow_run(run.id, run_input=dict(answer)) for run in waiting]
    return sum(each.status == SetStateStatus.ACCEPT for each in answers)

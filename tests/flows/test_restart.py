"""A request that waits for approval outlives everything that runs: it is in the database, not in a process."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from tests.flows.up import Prefect, free_port, kill, prefect_alone, serving, wait_until

if TYPE_CHECKING:
    from tests.flows.conftest import Ladder

RITA = "risk@example.com"


def test_a_suspended_promotion_outlives_a_crash_of_server_and_runner(ladder: Ladder, tmp_path: Path) -> None:
    bundle = ladder.bundle()
    evaluation = ladder.evaluated(bundle).eval_id
    home, prefect = tmp_path / "prefect", Prefect(free_port())
    home.mkdir()
    with prefect_alone(home, prefect) as server, serving(home, ladder.store, prefect) as runner:
        run = prefect.start(
            "promote", {"bundle": bundle, "evaluations": [evaluation], "requested_by": ladder.author, "stage": "replay"}
        )
        prefect.wait_for_state(run, "Suspended")
        wait_until(lambda: bool(prefect.question(run)), "the question was never written")  # after the state
        kill(runner)
        kill(server)
    assert not prefect.is_healthy()

    with prefect_alone(home, prefect):
        assert prefect.state(run) == "Suspended"
        assert "risk_breaches 0 == 0" in prefect.question(run).replace("\\", "")
        # Answered while nobody serves: the answer waits, too.
        answered = prefect.ask(
            f"/flow_runs/{run}/resume", {"run_input": {"decision": "approve", "approver": RITA, "notes": "after all"}}
        )
        assert answered["status"] == "ACCEPT", answered
        time.sleep(1)
        assert ladder.stage(bundle) == "research"
        with serving(home, ladder.store, prefect):
            prefect.wait_for_state(run, "Completed")
    assert ladder.stage(bundle) == "replay"
    (approval,) = ladder.state(bundle).promotions[-1].request.approvals
    assert (approval.approver, approval.notes) == (RITA, "after all")

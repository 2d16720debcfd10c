"""The deployed flow `promote`: it suspends itself at each question, and its body runs again at each answer."""

from __future__ import annotations

import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest

from bundles.errors import NotFoundError
from bundles.promotion import answer, complete
from bundles.statements import PromotionStatement
from tests.bundles.conftest import FIRST, OTTO, RITA, SECOND, TOM, Person
from tests.flows.conftest import Deployed, Ladder, Run, signed, strict_policy

if TYPE_CHECKING:
    from pathlib import Path

    from bundles.catalog import Catalog

pytestmark = pytest.mark.usefixtures("prefect_server")


def tell_store(ladder: Ladder, person: Person, statement: PromotionStatement) -> None:
    """Approve with a signature in another terminal."""
    word = person.says(statement).model_copy(update={"notes": "from a terminal"})
    answer(ladder.catalog, statement.request_id, "approve", word, now_ns=time.time_ns())


def test_two_signed_answers_promote_and_every_step_is_told(ladder: Ladder, deployed: Deployed) -> None:
    from prefect.client.schemas.actions import ArtifactCreate

    ladder.govern(strict_policy())
    bundle = ladder.bundle()
    evaluation = ladder.evaluated(bundle).eval_id
    shown_before = ArtifactCreate(key=f"gate-{evaluation.replace('_', '-')}", type="markdown", data="passes replay")
    page = deployed.client.create_artifact(shown_before)
    run = deployed.start(ladder, bundle, evaluation, notes="ready")
    assert run.go() == "Suspended"
    statement = ladder.asked(bundle)
    question = run.question()
    assert signed_by_command(question) == statement.canonical()
    for shown in (
        f"sequence approve {statement.request_id}",
        evaluation,
        FIRST.name,
        "0 of 2 signed approvals",
        "ready",
        f"/v2/artifacts/artifact/{page.id})",
    ):
        assert shown in question
    assert run.answer(**signed(RITA, statement, notes="read it")) == "Suspended"
    assert "rita@example.com (signed): read it" in run.question()
    assert run.answer(**signed(TOM, statement)) == "Completed"
    (promoted,) = ladder.state(bundle).promotions
    assert run.state.message == f"{bundle} is at stage replay (ledger entry {promoted.seq})"
    assert [each.approver for each in promoted.request.approvals] == [RITA.name, TOM.name]
    assert deployed.events() == ["requested", "approved", "approved", "promoted"]
    assert deployed.told[0]["payload"]["request"] == statement.request_id
    assert deployed.told[0]["resource"]["prefect.resource.id"] == f"sequence.bundle.{bundle}"

    entries = ladder.state(bundle).entries
    run.force("Scheduled")
    assert run.go() == "Completed", "a run that is run again finds what it did"
    assert ladder.state(bundle).entries == entries
    assert_on_the_event_stream(run.client, bundle, {"requested", "approved", "promoted"})


def signed_by_command(question: str) -> bytes:
    """Return what the command in a question hands to ssh-keygen."""
    command = question.partition("printf")[2].partition("| ssh-keygen")[0]
    return subprocess.run(["sh", "-c", f"printf{command[:-2]}"], capture_output=True, check=True).stdout


def assert_on_the_event_stream(client: Any, bundle: str, wanted: set[str]) -> None:
    """Wait until Prefect's server knows events of a bundle."""
    asked = {"filter": {"resource": {"id": [f"sequence.bundle.{bundle}"]}}}
    deadline = time.monotonic() + 60
    while True:
        found = client.request("POST", "/events/filter", json=asked).json()["events"]
        if wanted <= {each["event"].removeprefix("sequence.promotion.") for each in found}:
            return
        assert time.monotonic() < deadline, found
        time.sleep(0.2)


def test_answers_given_elsewhere_are_seen_when_the_run_wakes(ladder: Ladder, deployed: Deployed) -> None:
    from flows.answering import resume_waiting_runs

    ladder.govern(strict_policy())
    bundle = ladder.bundle()
    run = deployed.start(ladder, bundle, ladder.evaluated(bundle).eval_id)
    run.go()
    statement = ladder.asked(bundle)
    tell_store(ladder, RITA, statement)
    assert run.answer(decision="check again", approver="anyone") == "Suspended"
    assert "1 of 2 signed approvals" in run.question()
    tell_store(ladder, TOM, statement)
    assert ladder.stage(bundle) == "replay", "whoever brings the last approval makes the promotion"
    resumed = resume_waiting_runs(
        statement.request_id,
        decision="approve",
        approver=TOM.name,
        notes="from a terminal",
        signature=TOM.sign(statement.canonical()),
    )
    assert resumed == 1
    assert run.go() == "Completed"
    assert deployed.events() == ["requested", "approved", "promoted"]


def test_a_denial_that_counts_ends_the_run_and_one_that_does_not_asks_again(ladder: Ladder, deployed: Deployed) -> None:
    ladder.govern(strict_policy())
    bundle = ladder.bundle()
    run = deployed.start(ladder, bundle, ladder.evaluated(bundle).eval_id)
    run.go()
    statement = ladder.asked(bundle)
    assert run.answer(decision="deny", approver=RITA.name) == "Suspended"
    assert "typed, the policy asks for a signature" in run.question()
    assert run.answer(**signed(RITA, statement, decision="deny", notes="too wild")) == "Denied"
    assert f"denied by {RITA.name}: too wild" in (run.state.message or "")
    assert deployed.events() == ["requested", "answer-refused", "denied"]
    assert ladder.stage(bundle) == "research"


def test_a_denial_elsewhere_ends_the_run_and_opens_no_other_request(ladder: Ladder, deployed: Deployed) -> None:
    bundle = ladder.bundle()
    run = deployed.start(ladder, bundle, ladder.evaluated(bundle).eval_id)
    run.go()
    statement = ladder.asked(bundle)
    word = Person("anyone").says(statement.saying("deny"), signed=False, notes="not today")
    answer(ladder.catalog, statement.request_id, "deny", word, now_ns=time.time_ns())
    form = {"decision": "deny", "approver": "anyone", "notes": "not today"}
    assert run.answer(**form) == "Denied", "as a terminal that recorded it wakes the run"
    assert deployed.events() == ["requested", "denied"]
    assert "not today" in (run.state.message or "")
    assert len(ladder.state(bundle).requests) == 1


def attest_by_hand(
    catalog: Catalog, eval_id: str, _data: Path, *, runner: Any, now_ns: int, progress: Any
) -> tuple[bool, str, str]:
    evaluation = catalog.evaluation(eval_id)
    catalog.attest(evaluation, evaluation.result_digest, runner=runner, now_ns=now_ns)
    return True, evaluation.result_digest, evaluation.result_digest


def test_a_missing_runner_is_this_worker_if_it_may(
    ladder: Ladder, deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tasks.evaluate

    ladder.govern(strict_policy(runners=2))
    bundle = ladder.bundle()
    evaluation = ladder.evaluated(bundle, runner=SECOND).eval_id
    monkeypatch.setattr(tasks.evaluate, "attest_evaluation", attest_by_hand)
    run = deployed.start(ladder, bundle, evaluation)
    assert run.go() == "Suspended"
    assert "--attest" not in run.question(), "nothing but people is missing any more"
    assert {each.runner for each in ladder.state(bundle).executions_of(evaluation)} == {FIRST.name, SECOND.name}


def test_a_run_waits_for_a_runner_elsewhere_and_fails_neither_for_it_nor_for_its_own_attempt(
    ladder: Ladder, deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tasks.evaluate

    def no_tape(*_args: object, **_kwargs: object) -> Any:
        raise NotFoundError("the tape is not here. Import it.")

    monkeypatch.setattr(tasks.evaluate, "attest_evaluation", no_tape)
    third = Person("runner-4@example.com")
    ladder.govern(strict_policy(runners=2), **{third.name: ("runner",)})
    bundle = ladder.bundle()
    record = ladder.evaluated(bundle, runner=SECOND)
    run = deployed.start(ladder, bundle, record.eval_id)
    assert run.go() == "Suspended"
    statement = ladder.asked(bundle)
    for person in (RITA, TOM):
        tell_store(ladder, person, statement)
    assert run.answer(decision="check again", approver="me") == "Suspended"
    question = run.question()
    assert f"sequence eval verify {record.eval_id} --attest" in question
    assert "Nobody needs to approve any more" in question
    ladder.catalog.attest(record, record.result_digest, runner=FIRST, now_ns=time.time_ns())
    assert run.answer(decision="check again", approver="me") == "Completed"
    assert ladder.stage(bundle) == "replay"


@pytest.mark.long
def test_another_result_of_a_runner_refuses_what_was_approved(
    ladder: Ladder, deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tasks.evaluate

    def differ(
        catalog: Catalog, eval_id: str, _data: Path, *, runner: Any, now_ns: int, progress: Any
    ) -> tuple[bool, str, str]:
        evaluation, other = catalog.evaluation(eval_id), f"sha256:{'0' * 64}"
        catalog.attest(evaluation, other, runner=runner, now_ns=now_ns)
        return False, evaluation.result_digest, other

    monkeypatch.setattr(tasks.evaluate, "attest_evaluation", differ)
    ladder.govern(strict_policy(runners=2))
    bundle = ladder.bundle()
    run = deployed.start(ladder, bundle, ladder.evaluated(bundle, runner=SECOND).eval_id)
    assert run.go() == "Refused"
    assert "came to another result" in (run.state.message or "")
    assert ladder.stage(bundle) == "research"


def test_breaking_the_glass_takes_one_signature_and_starts_what_it_skipped(
    ladder: Ladder, deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    import flows.promote
    import tasks.evaluate

    def worthless(*_args: object, **_kwargs: object) -> Any:
        raise NotFoundError("the tape has gone. Import it again.")

    for name in ("evaluate_replay", "evaluate_shadow"):
        monkeypatch.setattr(tasks.evaluate, name, worthless)
    monkeypatch.setattr(flows.promote, "newest_day", lambda *_args, **_kwargs: ladder.day())
    ladder.govern()
    bundle = ladder.bundle()
    run = deployed.start(ladder, bundle, stage="live", break_glass=True, glass_hours=2, notes="the feed burns")
    assert run.go() == "Suspended"
    assert "BREAK THE GLASS" in run.question()
    statement = ladder.asked(bundle)
    assert run.answer(**signed(RITA, statement)) == "Suspended", "risk may approve, not break"
    assert "holds none of the roles break-glass" in run.question()
    assert run.answer(**signed(OTTO, statement, notes="confirmed by phone")) == "Completed"
    assert ladder.stage(bundle) == "live"
    told = run.state.message or ""
    assert told.count("the tape has gone") == 2, "a failing evaluation leaves the promotion as it is"
    assert "live-review: no recording of its deployment" in told
    assert deployed.events() == ["requested", "answer-refused", "approved", "promoted", "glass-broken"]


def test_breaking_the_glass_without_a_reason_is_refused_before_anybody_is_asked(
    ladder: Ladder, deployed: Deployed
) -> None:
    ladder.govern()
    run = deployed.start(ladder, ladder.bundle(), stage="live", break_glass=True)
    assert run.go() == "Refused"
    assert "needs notes" in (run.state.message or "")


@pytest.mark.long
def test_two_runs_wait_on_one_request(ladder: Ladder, deployed: Deployed) -> None:
    bundle = ladder.bundle()
    evaluation = ladder.evaluated(bundle).eval_id
    runs: list[Run] = [deployed.start(ladder, bundle, evaluation) for _ in range(2)]
    assert [run.go() for run in runs] == ["Suspended", "Suspended"]
    (request,) = ladder.state(bundle).requests
    assert runs[0].answer(decision="approve", approver=RITA.name) == "Completed"
    assert complete(ladder.catalog, request.id, now_ns=time.time_ns()).decision == "promoted"
    assert runs[1].answer(decision="check again", approver="me") == "Completed"
    assert len(ladder.state(bundle).promotions) == 1

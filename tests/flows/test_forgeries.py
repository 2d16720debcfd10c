"""Whoever reaches Prefect's API can send anything: none of it moves a bundle, and each attempt can be seen."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from bundles.canonical import digest_of
from bundles.catalog import blob_key
from bundles.evidence import Evaluation
from bundles.runners import Runner
from bundles.statements import PromotionStatement, Statement
from tests.bundles.conftest import AUTHOR, FIRST, OTTO, RITA, STRANGER, TOM, UNLISTED, Person, roster_of
from tests.flows.conftest import PEOPLE, Deployed, Ladder, Run, signed, strict_policy

pytestmark = pytest.mark.usefixtures("prefect_server")


def nothing_moved(ladder: Ladder, bundle: str) -> bool:
    state = ladder.state(bundle)
    return ladder.stage(bundle) == "research" and not state.promotions


@pytest.fixture
def waiting(ladder: Ladder, deployed: Deployed) -> Iterator[tuple[str, Run, PromotionStatement]]:
    """A bundle that waits for two signed approvals, the run that waits, and what is to be signed."""
    ladder.govern(strict_policy())
    bundle = ladder.bundle()
    run = deployed.start(ladder, bundle, ladder.evaluated(bundle).eval_id)
    assert run.go() == "Suspended"
    yield bundle, run, ladder.asked(bundle)
    assert nothing_moved(ladder, bundle)
    assert "promoted" not in deployed.events()


Waiting = tuple[str, Run, PromotionStatement]


def turned_down(ladder: Ladder, deployed: Deployed, waiting: Waiting, forged: list[tuple[str, dict[str, Any]]]) -> None:
    """Send answers that do not count; each is asked again, with the reason, and told."""
    bundle, run, _ = waiting
    for number, (reason, form) in enumerate(forged, start=1):
        assert run.answer(**form) == "Suspended"
        assert reason in run.question(), form
        assert reason in deployed.told[-1]["payload"]["unmet"][0]
        assert deployed.events().count("answer-refused") == number
    assert len({str(each["id"]) for each in deployed.told}) == len(deployed.told), "each attempt is an event of its own"
    assert not ladder.state(bundle).requests[0].approvals


def test_approvals_by_the_author_of_other_things_and_said_twice_do_not_count(
    ladder: Ladder, deployed: Deployed, waiting: Waiting, caplog: pytest.LogCaptureFixture
) -> None:
    _, run, statement = waiting
    other = ladder.bundle(levels=2)
    elsewhere = deployed.start(ladder, other, ladder.evaluated(other).eval_id)
    elsewhere.go()
    forged: list[tuple[str, dict[str, Any]]] = [
        ("typed, the policy asks for a signature", {"decision": "approve", "approver": RITA.name}),
        ("is the author of the bundle", signed(AUTHOR, statement)),
        # Of other things, all by the right person with the right key.
        ("does not verify", signed(RITA, ladder.asked(other))),
        ("does not verify", signed(RITA, statement.model_copy(update={"stage": "live"}))),
        ("does not verify", signed(RITA, statement.model_copy(update={"policy": digest_of(b"lenient")}))),
        ("does not verify", signed(RITA, statement.model_copy(update={"entry": statement.entry - 1}))),
    ]
    turned_down(ladder, deployed, waiting, forged)
    assert caplog.text.count("does not count") == len(forged)
    assert run.answer(**signed(RITA, statement)) == "Suspended"
    assert run.answer(**signed(RITA, statement, approver="Rita@EXAMPLE.com", notes="me too")) == "Suspended"
    assert "counts once" in deployed.objections()
    assert "1 of 2 signed approvals" in run.question()


@pytest.mark.long
def test_more_answers_that_do_not_count(ladder: Ladder, deployed: Deployed, waiting: Waiting) -> None:
    _, _, statement = waiting
    forged: list[tuple[str, dict[str, Any]]] = [
        ("cannot be the name of a person", {"decision": "approve", "approver": ""}),
        ("which can change how a record looks", signed(RITA, statement, notes="\u202eon")),
        ("is the author of the bundle", signed(AUTHOR, statement, approver=" AUTHOR@Example.com ")),
        ("has no key in the roster", signed(STRANGER, statement)),
        ("is in the roster under another name", signed(TOM, statement, approver=RITA.name)),
        ("does not verify", {**signed(RITA, statement), "signature": "-----BEGIN SSH SIGNATURE-----\nAAAA"}),
        ("does not verify", signed(RITA, statement, decision="deny") | {"decision": "approve"}),
        ("holds none of the roles", signed(OTTO, statement)),
    ]
    turned_down(ladder, deployed, waiting, forged)


def test_run_input_that_no_form_gives_is_turned_down(deployed: Deployed, waiting: Waiting) -> None:
    _, run, statement = waiting
    good = signed(RITA, statement)
    for form in (good | {"stage": "live"}, good | {"signature": 7}, good | {"decision": "force"}, {}):
        assert run.resume(**form) == "REJECT"
    # Past the form: straight into where answers are kept, and the run is sent on its way.
    for value in (good | {"promoted": True}, good | {"approver": ["rita"]}, [good]):
        response = run.state.state_details.run_input_keyset["response"]
        run.client.create_flow_run_input(run.id, response, json.dumps(value))
        run.force("Scheduled")
        assert run.go() == "Suspended"
        assert "woken without an answer" in run.question()
        assert deployed.events()[-1] == "answer-refused"


@pytest.mark.parametrize("state", ["Completed", pytest.param("Running", marks=pytest.mark.long), "Scheduled"])
def test_a_forced_state_is_only_a_state(deployed: Deployed, waiting: Waiting, ladder: Ladder, state: str) -> None:
    bundle, run, statement = waiting
    run.force(state)
    assert nothing_moved(ladder, bundle)
    if state == "Scheduled":
        assert run.go() == "Suspended"
        assert "woken without an answer" in run.question()
        return
    assert run.state.message == "forged", "what the flow says of a promotion is missing"
    assert run.resume(**signed(RITA, statement)) == "ABORT"
    assert deployed.events() == ["requested"]


@pytest.mark.long
def test_a_tag_that_leads_to_another_request_is_not_followed(
    ladder: Ladder, deployed: Deployed, waiting: Waiting
) -> None:
    bundle, run, _ = waiting
    other = ladder.bundle(levels=2)
    elsewhere = deployed.start(ladder, other, ladder.evaluated(other).eval_id)
    elsewhere.go()
    strange = ladder.asked(other).request_id
    run.client.update_flow_run(run.id, tags=[f"request:{strange}"])
    assert run.answer(**signed(RITA, ladder.asked(other))) == "Suspended"
    assert not ladder.state(other).requests[0].approvals
    assert ladder.asked(bundle).request_id in run.question()


def test_an_edited_record_stops_the_run(ladder: Ladder, deployed: Deployed, waiting: Waiting) -> None:
    bundle, run, statement = waiting
    assert run.answer(**signed(RITA, statement)) == "Suspended"
    entry = ladder.state(bundle).evaluated[0]
    path = ladder.folder / "store" / blob_key(entry.record)
    content = path.read_bytes()
    path.chmod(0o600)
    path.write_bytes(content.replace(b"12340000000", b"92340000000"))
    assert path.read_bytes() != content
    assert run.answer(**signed(TOM, statement)) == "Failed"
    assert "were changed" in (run.state.message or "")
    path.write_bytes(content)


class Impostor(Runner):
    """Signs in a listed runner's name, with a key that is not that runner's."""

    def sign(self, statement: Statement) -> str:
        return STRANGER.sign(statement.canonical(), statement.namespace)


def test_evidence_that_nobody_listed_vouches_for_is_refused(ladder: Ladder, deployed: Deployed) -> None:
    ladder.govern(strict_policy())
    reasons = {
        UNLISTED: "is not a runner of the roster",
        Impostor(FIRST.name): "is not in the roster",
        Runner(FIRST.name): "is not signed",
    }
    for number, (runner, reason) in enumerate(reasons.items()):
        bundle = ladder.bundle(levels=number + 1)
        run = deployed.start(ladder, bundle, ladder.evaluated(bundle, runner=runner).eval_id)
        assert run.go() == "Refused"
        assert reason in (run.state.message or "")
        assert nothing_moved(ladder, bundle)
    assert deployed.events() == ["refused"] * 3


def test_an_invented_record_is_refused(ladder: Ladder, deployed: Deployed) -> None:
    """Written to the store beside the ledger, by somebody who knows the layout."""
    ladder.govern(strict_policy())
    bundle, other = ladder.bundle(), ladder.bundle(levels=2)
    model = ladder.evaluated(other)
    inputs = model.inputs.model_copy(update={"bundle": ladder.catalog.bundle(bundle).digest()})
    invented = Evaluation.model_validate(model.model_copy(update={"inputs": inputs}).model_dump())
    ladder.catalog.put_blob(invented.canonical())
    ladder.catalog.store.put_if_absent(f"refs/evaluations/{invented.eval_id}", invented.digest().encode())
    for name, reason in (
        (invented.eval_id, "is not in the ledger"),
        (model.eval_id, "judges another bundle"),
        ("eval_0123456789abcdef", "is not in the store"),
    ):
        run = deployed.start(ladder, bundle, name)
        assert run.go() == "Refused"
        assert reason in (run.state.message or "")
    assert nothing_moved(ladder, bundle)
    assert deployed.events() == ["refused"] * 3


@pytest.mark.long
def test_approvals_of_an_earlier_request_do_not_serve_the_next(
    ladder: Ladder, deployed: Deployed, waiting: Waiting
) -> None:
    bundle, run, earlier = waiting
    run.answer(**signed(RITA, earlier))
    assert run.answer(**signed(TOM, earlier, decision="deny")) == "Denied"
    again = deployed.start(ladder, bundle, *earlier.evaluations)
    assert again.go() == "Suspended"
    assert again.answer(**signed(RITA, earlier)) == "Suspended"
    assert "does not verify" in again.question()
    assert "0 of 2" in again.question()


def test_another_policy_voids_the_request_and_what_was_signed(
    ladder: Ladder, deployed: Deployed, waiting: Waiting
) -> None:
    _, run, statement = waiting
    assert run.answer(**signed(RITA, statement)) == "Suspended"
    ladder.set_policy(strict_policy(name="stricter"))
    assert run.answer(**signed(TOM, statement)) == "Refused"
    assert "void" in (run.state.message or "")
    assert "void" in deployed.objections()


def test_a_request_whose_time_is_over_takes_no_answer(
    ladder: Ladder, deployed: Deployed, waiting: Waiting, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tasks.promotion

    _, run, statement = waiting
    assert run.answer(**signed(RITA, statement)) == "Suspended"
    now_ns = time.time_ns
    monkeypatch.setattr(tasks.promotion.time, "time_ns", lambda: now_ns() + 73 * 3_600 * 10**9)
    assert run.answer(**signed(TOM, statement)) == "Refused"
    assert "its time is over" in (run.state.message or "")
    assert "its time is over" in deployed.objections()


def test_a_revoked_key_speaks_no_more_not_even_for_what_it_said(
    ladder: Ladder, deployed: Deployed, waiting: Waiting
) -> None:
    _, run, statement = waiting
    assert run.answer(**signed(RITA, statement)) == "Suspended"
    ladder.set_roster(roster_of({name: roles for name, roles in PEOPLE.items() if name != RITA.name}))
    assert run.answer(**signed(TOM, statement)) == "Suspended"
    question = run.question()
    assert "rita@example.com has no key in the roster" in question
    assert "1 of 2 signed approvals" in question
    assert run.answer(**signed(RITA, statement, notes="again")) == "Suspended"
    assert Person(RITA.name).name in deployed.objections()

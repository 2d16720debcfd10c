"""Promotions through a store: what moves a bundle, what does not, and that races and reruns record it once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from bundles.audit import verify
from bundles.canonical import digest_of
from bundles.descent import (
    demote,
    demote_on_failure,
    quarantine,
    release,
    release_statement,
    review,
    review_statement,
    roll_back,
)
from bundles.entries import Promoted
from bundles.errors import IntegrityError, InvalidInputError, NotFoundError, RefusedError
from bundles.governance import in_force, set_policy, set_roster
from bundles.ledger import Head, head_key
from bundles.policy import default_policy
from bundles.promotion import Outcome, Wish, answer, ask, check, complete
from bundles.stages import STAGES
from bundles.store import ObjectStore
from tests.bundles.conftest import (
    AUTHOR,
    DAY_NS,
    FIRST,
    GRETA,
    NOW_NS,
    OLGA,
    OTTO,
    PEOPLE,
    RITA,
    SECOND,
    STRANGER,
    TOM,
    Person,
    World,
    roster_of,
)

HOUR_NS = 3_600 * 10**9


def last_body(world: World) -> Promoted:
    body = world.catalog.ledger.history(world.bundle_id)[-1].body
    assert isinstance(body, Promoted)
    return body


def kinds(world: World) -> list[str]:
    return [entry.kind for entry in world.catalog.ledger.history(world.bundle_id)]


def stage(world: World, now_ns: int = NOW_NS) -> str:
    return world.catalog.ledger.state(world.bundle_id).stage_at(now_ns)


def assert_refused(world: World, outcome: Outcome, *texts: str, at: str = "research") -> None:
    assert outcome.decision == "refused"
    assert (outcome.stage, outcome.ledger_seq) == (at, None)
    for text in texts:
        assert any(text in line for line in outcome.unmet), outcome.unmet
    assert stage(world) == at


def test_up_the_whole_ladder_on_every_store(store: ObjectStore) -> None:
    climb_to_the_top(store, "edge")


@pytest.mark.parametrize("kind", ["sor", "assignment"])
def test_policies_climb_their_own_ladder(directory_store: ObjectStore, kind: str) -> None:
    climb_to_the_top(directory_store, kind)


def climb_to_the_top(store: ObjectStore, kind: str) -> None:
    world = World(store, kind).begin()
    world.sign()
    for number, wanted in enumerate(STAGES[kind][1:]):
        rule = default_policy().rule(kind, wanted)
        assert rule
        now_ns = NOW_NS + 4 * number * DAY_NS
        name = world.evaluate(rule.evidence, number=number, day=number, now_ns=now_ns, attested_by=SECOND)
        outcome = world.promote(wanted, name, by=(RITA, TOM), now_ns=now_ns)
        assert (outcome.decision, outcome.stage, outcome.unmet) == ("promoted", wanted, ())
        assert last_body(world).request == outcome.request
        assert world.catalog.request(outcome.request or "").policy == default_policy().digest()
        count = rule.approvals.count
        assert kinds(world)[-2 - count :] == ["requested", *["approved"] * count, "promoted"]
    report = verify(store)
    assert (report.problems, report.unfinished) == ((), ())


def test_check_decides_the_same_and_writes_nothing(world: World) -> None:
    name = world.evaluate("replay")
    keys = list(world.store.list(""))
    wish = Wish(bundle=world.bundle_id[:10], target="edge", stage="replay", evaluations=(name[:11],))
    assert check(world.catalog, wish, now_ns=NOW_NS).decision == "pending"
    refused = check(world.catalog, world.wish("live", name), now_ns=NOW_NS)
    assert refused.decision == "refused"
    assert list(world.store.list("")) == keys


def test_a_request_waits_and_is_opened_once(world: World) -> None:
    name = world.evaluate("replay")
    first = world.ask("replay", name)
    assert (first.decision, first.stage, first.ledger_seq) == ("pending", "research", None)
    assert "0 of 1 approval" in first.unmet[0]
    again = world.ask("replay", name, by="somebody else", now_ns=NOW_NS + HOUR_NS)
    assert again.request == first.request
    assert kinds(world) == ["registered", "evaluated", "requested"]
    assert complete(world.catalog, (first.request or "")[:12], now_ns=NOW_NS).decision == "pending"


def test_a_refused_wish_opens_no_request(world: World) -> None:
    assert world.ask("replay").request is None
    assert kinds(world) == ["registered"]


def test_a_typed_name_is_enough_for_replay(world: World) -> None:
    name = world.evaluate("replay")
    outcome = world.promote("replay", name, by=(Person("Someone New"),), signed=False)
    assert outcome.decision == "promoted"
    request = world.catalog.ledger.state(world.bundle_id).promotions[-1].request
    assert [each.approver for each in request.approvals] == ["Someone New"]


def test_a_denial_ends_the_request_and_a_new_one_may_be_opened(world: World) -> None:
    name = world.evaluate("replay")
    request = world.ask("replay", name).request or ""
    outcome = world.deny(request, TOM)
    assert_refused(world, outcome, f"denied by {TOM.name}")
    with pytest.raises(RefusedError) as caught:
        world.approve(request, RITA)
    assert f"has ended: denied by {TOM.name}" in caught.value.unmet[0]
    again = world.ask("replay", name).request or ""
    assert again != request
    assert world.approve(again, RITA).decision == "promoted"


def test_a_denial_must_be_signed_where_approvals_must(world: World) -> None:
    request, _ = request_for_live(world)
    with pytest.raises(RefusedError) as caught:
        world.deny(request, STRANGER, signed=False)
    assert "is typed" in caught.value.unmet[0]
    statement = world.catalog.request(request)
    with pytest.raises(RefusedError, match="does not count"):
        answer(world.catalog, request, "deny", RITA.says(statement), now_ns=NOW_NS)
    assert world.deny(request, OLGA).decision == "refused", "to stop something needs no role"


def request_for_live(world: World) -> tuple[str, int]:
    """Bring the bundle to shadow and ask for live; returns the request and the time."""
    world.sign()
    replay = world.evaluate("replay", number=1)
    world.promote("replay", replay)
    shadow = world.evaluate("shadow", number=2, day=1)
    world.promote("shadow", shadow)
    now_ns = NOW_NS + DAY_NS
    live = world.evaluate("shadow", number=3, day=2, attested_by=SECOND, now_ns=now_ns)
    outcome = world.ask("live", live, now_ns=now_ns)
    assert outcome.decision == "pending", outcome.unmet
    return outcome.request or "", now_ns


def test_answers_that_do_not_count_are_refused_and_leave_no_trace(world: World) -> None:
    request, now_ns = request_for_live(world)
    statement = world.catalog.request(request)
    other = world.evaluate("replay", number=1)
    before = sorted(world.store.list(""))
    for wrong, reason in {
        AUTHOR.says(statement): "is the author",
        RITA.says(statement, signed=False): "is typed",
        STRANGER.says(statement): STRANGER.name,
        OTTO.says(statement): "holds none of the roles",
        Person(RITA.name, key_of=STRANGER.name).says(statement): "key",
        RITA.says(statement.model_copy(update={"stage": "scaled"})): "does not verify",
        RITA.says(statement.model_copy(update={"evaluations": (other,)})): "does not verify",
        RITA.says(statement.model_copy(update={"bundle": digest_of(b"")})): "does not verify",
        RITA.says(statement.model_copy(update={"policy": digest_of(b"")})): "does not verify",
        RITA.says(statement.model_copy(update={"verdict": digest_of(b"")})): "does not verify",
        RITA.says(statement.model_copy(update={"entry": statement.entry - 1})): "does not verify",
        RITA.says(statement.saying("deny")): "does not verify",
    }.items():
        with pytest.raises(RefusedError) as caught:
            answer(world.catalog, request, "approve", wrong, now_ns=now_ns)
        assert any(reason in line for line in caught.value.unmet), caught.value.unmet
    assert sorted(world.store.list("")) == before
    assert world.approve(request, RITA, now_ns=now_ns).decision == "pending"
    again = world.approve(request, RITA, now_ns=now_ns)
    assert again.decision == "pending"
    assert any("1 of 2" in line for line in again.unmet)
    assert world.approve(request, TOM, now_ns=now_ns).decision == "promoted"


def test_an_approval_is_not_brought_again_after_a_demotion(world: World) -> None:
    request, now_ns = request_for_live(world)
    statement = world.catalog.request(request)
    for person in (RITA, TOM):
        outcome = world.approve(request, person, now_ns=now_ns)
    assert outcome.decision == "promoted"
    demote(world.catalog, world.bundle_id, stage="shadow", notes="why", operator="op", now_ns=now_ns)
    later_ns = now_ns + DAY_NS
    with pytest.raises(RefusedError) as caught:
        answer(world.catalog, request, "approve", RITA.says(statement), now_ns=later_ns)
    assert "has ended" in caught.value.unmet[0]
    opened = world.ask("live", *statement.evaluations, now_ns=later_ns)
    assert opened.decision == "pending"
    with pytest.raises(RefusedError) as caught:
        answer(world.catalog, opened.request or "", "approve", RITA.says(statement), now_ns=later_ns)
    assert "does not verify" in caught.value.unmet[0]


@pytest.mark.parametrize("change", ["policy", "evidence", "time", "roster"])
def test_a_request_is_void_when_what_it_rests_on_changes(world: World, change: str) -> None:
    request, now_ns = request_for_live(world)
    world.approve(request, RITA, now_ns=now_ns)
    if change == "policy":
        renamed = default_policy().model_copy(update={"name": "renamed"})
        set_policy(world.catalog, renamed, by=GRETA.name, now_ns=now_ns, more=[governs(world, renamed)])
    elif change == "evidence":
        world.evaluate("shadow", number=5, day=4, now_ns=now_ns, metrics={"fills": 1})
    elif change == "time":
        now_ns += 73 * HOUR_NS
    else:
        without = roster_of({name: roles for name, roles in PEOPLE.items() if name != RITA.name})
        set_roster(world.catalog, without, by=GRETA.name, now_ns=now_ns, more=[governs(world, without)])
    if change == "roster":
        outcome = world.approve(request, TOM, now_ns=now_ns)
        assert outcome.decision == "pending"
        assert any(RITA.name in line for line in outcome.unmet)
    else:
        with pytest.raises(RefusedError) as caught:
            world.approve(request, TOM, now_ns=now_ns)
        wanted = "revokes the ones before it" if change == "evidence" else "is void"
        assert wanted in " ".join(caught.value.unmet)
    assert stage(world, now_ns) == "shadow"


def test_nobody_gets_to_live_with_a_bundle_in_another_s_name(world: World) -> None:
    """Rita registers her own bundle as the author's, and would approve it."""
    world.promote("replay", world.evaluate("replay", number=1))
    world.promote("shadow", world.evaluate("shadow", number=2, day=1))
    now_ns = NOW_NS + DAY_NS
    live = world.evaluate("shadow", number=3, day=2, attested_by=SECOND, now_ns=now_ns)
    refused = world.ask("live", live, now_ns=now_ns)
    assert refused.unmet[0] == (
        f"{AUTHOR.name} has not signed the bundle as its author; let the author sign it: "
        f"sequence bundle sign {world.bundle_id}"
    )
    for person, name, reason in ((RITA, RITA.name, "is the author"), (RITA, AUTHOR.name, "does not count")):
        with pytest.raises(RefusedError, match=reason):
            world.sign(person, name)
    assert world.sign()
    assert world.sign() is None
    assert world.ask("live", live, now_ns=now_ns).decision == "pending"
    assert verify(world.store).problems == ()


def test_a_missing_runner_is_waited_for(world: World) -> None:
    request, now_ns = request_for_live(world)
    world.deny(request, OLGA, now_ns=now_ns)
    alone = world.evaluate("shadow", number=7, day=5, now_ns=now_ns)
    outcome = world.promote("live", alone, by=(RITA, TOM), now_ns=now_ns)
    assert (outcome.decision, outcome.waits_for_runners) == ("pending", (alone,))
    record = world.catalog.evaluation(alone)
    assert world.catalog.attest(record, record.result_digest, runner=FIRST, now_ns=now_ns)
    assert complete(world.catalog, outcome.request or "", now_ns=now_ns).decision == "pending"
    assert world.catalog.attest(record, record.result_digest, runner=SECOND, now_ns=now_ns)
    assert world.catalog.attest(record, record.result_digest, runner=SECOND, now_ns=now_ns) is None
    assert complete(world.catalog, outcome.request or "", now_ns=now_ns).decision == "promoted"


def test_without_evaluation(world: World) -> None:
    assert_refused(world, world.promote("replay"), "no evaluation is named")
    for missing in ("eval_001", "eval_run_001", "eval_0123456789abcdef"):
        assert_refused(world, world.promote("replay", missing), f"evaluation {missing} is not in the store")


def test_with_the_evaluation_of_another_bundle(world: World) -> None:
    other = world.register(1)
    name = world.evaluate("replay", bundle=world.catalog.bundle(other))
    assert_refused(world, world.promote("replay", name), "judges another bundle")


def test_with_a_failed_evaluation(world: World) -> None:
    name = world.evaluate("replay", metrics={"max_drawdown_pct": 7.5, "traps": 2})
    assert_refused(world, world.promote("replay", name), "max_drawdown_pct 7.5 <= 2", "traps 2 == 0")


def test_past_a_stage_with_everything_else_wrong_lists_everything(world: World) -> None:
    name = world.evaluate("replay", metrics={"traps": 1})
    outcome = world.promote("live", name, by=(AUTHOR,), signed=False)
    assert_refused(world, outcome, "promote it to replay next", "asks for shadow", "0 of 2")


def break_glass(world: World, to_stage: str = "live", **changed) -> Outcome:
    facts = {"by": (OTTO,), "break_glass": True, "notes": "venue moved its gateway"}
    return world.promote(to_stage, **(facts | changed))


def test_break_glass_without_notes_or_for_too_long(world: World) -> None:
    assert_refused(world, break_glass(world, notes=" "), "needs notes")
    with pytest.raises(InvalidInputError, match="from 1 to 24"):
        break_glass(world, glass_hours=25)
    with pytest.raises(InvalidInputError, match="for breaking the glass only"):
        world.ask("replay", glass_hours=2)
    assert kinds(world) == ["registered"]


def test_a_broken_glass_is_recorded_as_such_and_ends_by_itself(world: World) -> None:
    outcome = break_glass(world)
    assert (outcome.decision, outcome.stage) == ("promoted", "live")
    state = world.catalog.ledger.state(world.bundle_id)
    assert state.promotions[-1].request.statement.break_glass
    assert state.promotions[-1].request.notes == "venue moved its gateway"
    assert [glass.bundle for glass in in_force(world.catalog).glasses] == [world.bundle_id]
    assert [stage(world, NOW_NS + hours * HOUR_NS) for hours in (3, 5)] == ["live", "research"]
    again = break_glass(world, by=(), now_ns=NOW_NS + HOUR_NS)
    assert again.ledger_seq == outcome.ledger_seq
    report = verify(world.store)
    assert (report.problems, report.unfinished) == ((), ())


def reviewed(world: World, person: Person, verdict="ratify", **changed) -> object:
    statement = review_statement(world.catalog, world.bundle_id, verdict)
    facts = {"verdict": verdict, "notes": "read it", "reviewer": person.name, "key": None, "now_ns": NOW_NS}
    signature = person.sign(statement.canonical())
    return review(world.catalog, world.bundle_id, **(facts | {"signature": signature} | changed))


def test_a_broken_glass_owes_two_reviews_before_the_same_algo_goes_up(world: World) -> None:
    heir = world.register(1)
    break_glass(world)
    for bundle in (world.bundle_id, heir):
        name = world.evaluate("replay", number=1, bundle=world.catalog.bundle(bundle))
        outcome = ask(world.catalog, world.wish("replay", name, bundle=bundle), requested_by="op", now_ns=NOW_NS)
        assert outcome.decision == "refused"
        assert f"the glass was broken for {world.bundle_id}" in outcome.unmet[0]
    for person, reason in ((OTTO, "broke the glass"), (AUTHOR, "is the author"), (STRANGER, "holds none")):
        with pytest.raises(RefusedError) as caught:
            reviewed(world, person)
        assert any(reason in line for line in caught.value.unmet)
    with pytest.raises(RefusedError) as caught:
        reviewed(world, RITA, signature="")
    assert "is typed" in caught.value.unmet[0]
    first = reviewed(world, RITA)
    assert reviewed(world, RITA) == first, "said again, as after a crash, it counts once"
    assert "1 of 2 reviewers" in world.ask("replay", name).unmet[0]
    reviewed(world, OLGA)
    assert stage(world) == "live", "a ratified glass still lasts its hours"
    with pytest.raises(RefusedError, match="owes a review"):
        reviewed(world, TOM)
    name = world.evaluate("replay", number=2)
    assert world.promote("replay", name).decision == "promoted"
    assert verify(world.store).problems == ()


def test_a_reviewer_may_take_the_lent_stage_away(world: World) -> None:
    break_glass(world)
    reviewed(world, RITA, "demote")
    assert stage(world) == "research"
    assert verify(world.store).problems == ()


def test_down_and_up_again(world: World) -> None:
    request, now_ns = request_for_live(world)
    down = {"notes": "spread blew out", "operator": "op", "now_ns": now_ns}
    with pytest.raises(RefusedError, match="not below"):
        demote(world.catalog, world.bundle_id, stage="shadow", **down)
    with pytest.raises(RefusedError, match="no stage sandbox"):
        demote(world.catalog, world.bundle_id, stage="sandbox", **down)
    with pytest.raises(InvalidInputError, match="Say why"):
        demote(world.catalog, world.bundle_id, stage="replay", **(down | {"notes": " "}))
    change = roll_back(world.catalog, world.bundle_id, **down)
    assert (change.stage_before, change.stage) == ("shadow", "replay")
    with pytest.raises(RefusedError) as caught:
        world.approve(request, RITA, now_ns=now_ns)
    assert "void: entry" in caught.value.unmet[0]
    demote(world.catalog, world.bundle_id, stage="research", **down)
    with pytest.raises(RefusedError, match="no promotion to undo"):
        roll_back(world.catalog, world.bundle_id, **down)
    assert verify(world.store).problems == ()


def test_quarantine_stops_everything_until_it_is_released(world: World) -> None:
    request, now_ns = request_for_live(world)
    change = quarantine(world.catalog, world.bundle_id, notes="odd quotes", operator="op", now_ns=now_ns)
    assert change.ledger_seq
    again = quarantine(world.catalog, world.bundle_id, notes="odd quotes", operator="op", now_ns=now_ns)
    assert again.ledger_seq is None
    assert complete(world.catalog, request, now_ns=now_ns).decision == "refused"
    name = world.evaluate("shadow", number=9, day=9, attested_by=SECOND, now_ns=now_ns)
    assert "is in quarantine" in world.ask("live", name, now_ns=now_ns).unmet[0]
    glass = break_glass(world, now_ns=now_ns)
    assert glass.decision == "refused"
    statement = release_statement(world.catalog, world.bundle_id)
    freed = {"notes": "found the cause", "now_ns": now_ns, "key": None}
    for person, signature in ((OLGA, ""), (OTTO, OTTO.sign(statement.canonical())), (AUTHOR, "")):
        with pytest.raises(RefusedError, match="stays in quarantine"):
            release(world.catalog, world.bundle_id, operator=person.name, signature=signature, **freed)
    release(world.catalog, world.bundle_id, operator=OLGA.name, signature=OLGA.sign(statement.canonical()), **freed)
    assert world.ask("live", name, now_ns=now_ns).decision == "pending"
    assert verify(world.store).problems == ()


def test_de_risking_works_on_a_record_that_does_not_verify(world: World, tmp_path) -> None:
    name = world.evaluate("replay")
    world.promote("replay", name)
    for blob in (tmp_path / "store" / "cas").rglob("*"):
        if blob.is_file():
            blob.write_bytes(b"lost")
    with pytest.raises(IntegrityError):
        world.ask("shadow", name)
    roll_back(world.catalog, world.bundle_id, notes="fire", operator="op", now_ns=NOW_NS)
    quarantine(world.catalog, world.bundle_id, notes="fire", operator="op", now_ns=NOW_NS)
    assert stage(world) == "research"


def test_a_later_failing_evaluation_demotes_where_the_policy_says_so(world: World) -> None:
    request, now_ns = request_for_live(world)
    for person in (RITA, TOM):
        world.approve(request, person, now_ns=now_ns)
    assert stage(world) == "live"
    assert demote_on_failure(world.catalog, world.bundle_id, now_ns=now_ns) is None
    world.evaluate("replay", number=20, now_ns=now_ns, metrics={"traps": 1})
    assert demote_on_failure(world.catalog, world.bundle_id, now_ns=now_ns) is None, "replay demotes nobody"
    world.evaluate("shadow", number=21, day=8, now_ns=now_ns, metrics={"fills": 2})
    change = demote_on_failure(world.catalog, world.bundle_id, now_ns=now_ns)
    assert change is not None
    assert (change.stage_before, change.stage) == ("live", "shadow")
    assert demote_on_failure(world.catalog, world.bundle_id, now_ns=now_ns) is None
    assert verify(world.store).problems == ()


def governs(world: World, document, person: Person = GRETA):
    from bundles.governance import statement_for

    return person.says(statement_for(world.catalog, document))


def test_once_somebody_governs_policy_and_roster_need_their_signature(world: World) -> None:
    policy = default_policy().model_copy(update={"name": "looser"})
    for by, more in (("mallory", []), (GRETA.name, []), ("mallory", [governs(world, policy, RITA)])):
        with pytest.raises(RefusedError) as caught:
            set_policy(world.catalog, policy, by=by, now_ns=NOW_NS, more=more)
        assert caught.value.unmet
    assert in_force(world.catalog).policy == default_policy()
    nobody = roster_of({name: roles for name, roles in PEOPLE.items() if name != GRETA.name})
    with pytest.raises(RefusedError) as caught:
        set_roster(world.catalog, nobody, by=GRETA.name, now_ns=NOW_NS, more=[governs(world, nobody)])
    assert "nobody would hold the roles governance" in " ".join(caught.value.unmet)


def test_rerun_returns_the_entry_that_was_written(world: World) -> None:
    name = world.evaluate("replay")
    first = world.promote("replay", name)
    second = world.promote("replay", name, by=(), now_ns=NOW_NS + 5)
    assert second.ledger_seq == first.ledger_seq
    assert (second.decision, second.stage, second.unmet) == ("promoted", "replay", ())
    other = world.evaluate("replay", number=3)
    assert_refused(world, world.promote("replay", other), "already; the next stage is shadow", at="replay")


def test_unknown_bundle_and_nameless_request(world: World) -> None:
    with pytest.raises(NotFoundError, match="bun_000000"):
        ask(world.catalog, world.wish("replay", bundle="bun_000000"), requested_by="x", now_ns=0)
    with pytest.raises(NotFoundError, match="No promotion request prm_0000000000000000"):
        complete(world.catalog, "prm_0000000000000000", now_ns=0)
    with pytest.raises(InvalidInputError, match="who asks"):
        world.ask("replay", by=" ")


def test_racing_promoters_with_different_evidence_do_not_both_win(directory_store: ObjectStore) -> None:
    world = World(directory_store).begin()
    first = world.evaluate("replay", number=1)
    last = world.evaluate("replay", number=2)

    def race(number: int) -> Outcome | RefusedError:
        names = (last,) if number % 2 else (first, last)
        try:
            return World(directory_store).promote("replay", *names, notes=str(number))
        except RefusedError as error:
            return error

    with ThreadPoolExecutor(16) as pool:
        outcomes = list(pool.map(race, range(16)))
    assert kinds(world).count("promoted") == 1
    won = {each.ledger_seq for each in outcomes if isinstance(each, Outcome) and each.decision == "promoted"}
    assert len(won) == 1


def test_racing_recorders_keep_one_chain(racing_store: ObjectStore) -> None:
    world = World(racing_store).begin()

    def record(number: int) -> str:
        return World(racing_store).evaluate("replay", number=number)

    with ThreadPoolExecutor(8) as pool:
        names = set(pool.map(record, range(8)))
    entries = world.catalog.ledger.history(world.bundle_id)
    assert [entry.seq for entry in entries] == list(range(1, 10))
    assert all(after.previous == before.digest() for before, after in pairwise(entries))
    assert {each.eval_id for each in world.catalog.evaluations(world.bundle_id)} == names


def test_an_entry_that_the_ladder_does_not_allow_stops_everything_after(world: World) -> None:
    """Somebody with access to the store writes a well-formed entry by hand."""
    name = world.evaluate("replay", number=1)
    request = world.ask("replay", name).request or ""
    world.evaluate("replay", number=2, metrics={"traps": 1})
    forged = Promoted(request=request, from_stage="research", stage="replay", governance=1)
    world.catalog.ledger.append(world.bundle_id, actor="mallory", at_ns=NOW_NS, draft=lambda _: (None, forged))
    assert stage(world) == "replay"
    shadow = world.evaluate("shadow", number=5)
    with pytest.raises(IntegrityError, match=r"does not allow this promotion.*0 of 1 approval"):
        world.promote("shadow", shadow)
    problems = verify(world.store).problems
    assert len(problems) == 1
    assert problems[0].startswith(f"ledger/{world.bundle_id}/00000005.json: the ladder does not allow")


def test_the_head_tells_lists_how_the_bundle_stands(world: World) -> None:
    request, _ = request_for_live(world)
    content = world.store.get(head_key(world.bundle_id))
    standing = Head.model_validate_json(content).standing
    assert standing is not None
    assert (standing.earned, standing.requests, standing.strategy) == ("shadow", (request,), "mm-pro")

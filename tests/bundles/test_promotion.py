"""Promotions through a store: what moves a bundle, what does not, and that races and reruns record it once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import pytest

from bundles.audit import verify
from bundles.catalog import Catalog
from bundles.entries import Promoted
from bundles.errors import IntegrityError, InvalidInputError, NotFoundError
from bundles.policy import default_policy
from bundles.promotion import check, promote
from bundles.stages import STAGES
from bundles.store import ObjectStore
from tests.bundles.conftest import AUTHOR, NOW_NS, OTTO, RITA, TOM, Person, World


def last_body(world: World) -> Promoted:
    body = world.catalog.ledger.history(world.bundle_id)[-1].body
    assert isinstance(body, Promoted)
    return body


def assert_refused(world: World, promotion, *texts: str, stage: str = "research") -> None:
    assert promotion.decision == "refused"
    assert (promotion.stage, promotion.ledger_seq) == (stage, None)
    for text in texts:
        assert any(text in line for line in promotion.unmet), promotion.unmet
    assert world.catalog.ledger.state(world.bundle_id).stage == stage


def test_up_the_whole_ladder_on_every_store(store: ObjectStore) -> None:
    climb_to_the_top(store, "edge")


@pytest.mark.parametrize("kind", ["sor", "assignment"])
def test_policies_climb_their_own_ladder(directory_store: ObjectStore, kind: str) -> None:
    climb_to_the_top(directory_store, kind)


def climb_to_the_top(store: ObjectStore, kind: str) -> None:
    world = World(store, kind).begin()
    for number, stage in enumerate(STAGES[kind][1:]):
        rule = default_policy().rule(kind, stage)
        assert rule
        name = world.evaluate(rule.evidence, number=number, day=number)
        promotion = world.promote(stage, name, by=(RITA, TOM))
        assert (promotion.decision, promotion.stage, promotion.unmet) == ("promoted", stage, ())
        assert promotion.ledger_seq == 3 + 2 * number
        assert last_body(world).statement.policy == default_policy().digest()
    report = verify(store)
    assert (report.problems, report.unfinished, report.entries) == ((), (), 9)


def test_check_decides_the_same_and_writes_nothing(world: World) -> None:
    name = world.evaluate("replay")
    keys = list(world.store.list(""))
    approval = RITA.approve(world.statement("replay", name))
    request = {
        "bundle": world.bundle_id[:10],
        "target": "edge",
        "stage": "replay",
        "evaluations": [name[:11]],
        "now_ns": NOW_NS,
    }
    assert check(world.catalog, approvals=[approval], **request).decision == "promoted"
    assert check(world.catalog, **request).decision == "pending"
    assert check(world.catalog, **request | {"stage": "live"}).decision == "refused"
    assert list(world.store.list("")) == keys


def test_pending_records_nothing(world: World) -> None:
    name = world.evaluate("replay")
    promotion = world.promote("replay", name, by=())
    assert (promotion.decision, promotion.stage, promotion.ledger_seq) == ("pending", "research", None)
    assert "0 of 1 approval" in promotion.unmet[0]


def test_a_typed_name_is_enough_for_replay(world: World) -> None:
    name = world.evaluate("replay")
    promotion = world.promote("replay", name, by=(Person("Someone New"),), signed=False)
    assert promotion.decision == "promoted"
    assert last_body(world).approvals[0].approver == "Someone New"


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
    promotion = world.promote("live", name, by=(AUTHOR,), signed=False)
    assert_refused(world, promotion, "promote it to replay next", "asks for shadow", "is the author", "1 of 2")


def test_break_glass_without_approver_or_notes(world: World) -> None:
    promotion = world.promote("live", by=(), break_glass=True, notes="")
    assert_refused(world, promotion, "needs an approver", "needs notes")


def test_break_glass_is_recorded_as_such(world: World) -> None:
    promotion = world.promote("live", by=(OTTO,), break_glass=True, notes="venue moved its gateway")
    assert (promotion.decision, promotion.stage) == ("promoted", "live")
    body = last_body(world)
    assert body.statement.break_glass
    assert (body.from_stage, body.notes) == ("research", "venue moved its gateway")
    assert verify(world.store).problems == ()


@pytest.mark.parametrize("changed", ["bundle", "stage", "evaluation", "policy", "verdict"])
def test_an_approval_counts_for_what_was_approved_only(world: World, changed: str) -> None:
    name, again = world.evaluate("replay", number=1), None
    world.register(1)
    statement = world.statement("replay", name)
    other = statement
    if changed == "bundle":
        other = statement.model_copy(update={"bundle": world.catalog.bundle(world.catalog.bundle_ids()[0]).digest()})
        if other == statement:
            other = statement.model_copy(
                update={"bundle": world.catalog.bundle(world.catalog.bundle_ids()[1]).digest()}
            )
    elif changed == "stage":
        other = statement.model_copy(update={"stage": "shadow"})
    elif changed == "evaluation":
        again = world.evaluate("replay", number=2)
    elif changed == "policy":
        world.catalog.install_policy(default_policy().model_copy(update={"name": "renamed"}))
    else:
        other = statement.model_copy(update={"verdict": statement.policy})
    promotion = world.promote("replay", again or name, approvals=[RITA.approve(other)])
    assert_refused(world, promotion, f"approval of {RITA.name} is for another")


def test_an_approval_does_not_survive_an_unchanged_digest_with_another_signature(world: World) -> None:
    name = world.evaluate("replay")
    statement = world.statement("replay", name)
    stolen = RITA.approve(statement.model_copy(update={"stage": "shadow"})).model_copy(
        update={"statement": statement.digest()}
    )
    assert_refused(world, world.promote("replay", name, approvals=[stolen]), "does not verify")


def test_rerun_returns_the_entry_that_was_written(world: World) -> None:
    name = world.evaluate("replay")
    first = world.promote("replay", name)
    second = world.promote("replay", name, by=(), now_ns=NOW_NS + 5)
    assert second.ledger_seq == first.ledger_seq
    assert (second.decision, second.stage, second.unmet) == ("promoted", "replay", ())
    other = world.evaluate("replay", number=3)
    assert_refused(world, world.promote("replay", other), "already; the next stage is shadow", stage="replay")


def test_unknown_bundle_and_nameless_request(world: World) -> None:
    with pytest.raises(NotFoundError, match="bun_000000"):
        promote(
            world.catalog,
            bundle="bun_000000",
            target="edge",
            stage="replay",
            evaluations=[],
            now_ns=0,
            requested_by="x",
        )
    with pytest.raises(InvalidInputError, match="who asks"):
        world.promote("replay", requested_by=" ")


def test_racing_promoters_leave_one_entry(directory_store: ObjectStore) -> None:
    world = World(directory_store).begin()
    name = world.evaluate("replay")

    def ask(number: int):
        mine = World(directory_store)
        mine.catalog = Catalog(directory_store)
        return mine.promote("replay", name, notes=f"request {number}", now_ns=NOW_NS + number)

    with ThreadPoolExecutor(16) as pool:
        promotions = list(pool.map(ask, range(16)))
    assert {each.decision for each in promotions} == {"promoted"}
    assert {each.ledger_seq for each in promotions} == {3}
    assert [entry.kind for entry in world.catalog.ledger.history(world.bundle_id)] == [
        "registered",
        "evaluated",
        "promoted",
    ]
    assert verify(directory_store).problems == ()


def test_racing_promoters_with_different_evidence_do_not_both_win(directory_store: ObjectStore) -> None:
    world = World(directory_store).begin()
    first = world.evaluate("replay", number=1)
    last = world.evaluate("replay", number=2)

    def ask(number: int):
        names = (last,) if number % 2 else (first, last)
        return World(directory_store).promote("replay", *names, notes=str(number))

    with ThreadPoolExecutor(16) as pool:
        promotions = list(pool.map(ask, range(16)))
    assert sorted({each.decision for each in promotions}) == ["promoted", "refused"]
    assert {each.ledger_seq for each in promotions if each.decision == "promoted"} == {4}
    assert sum(each.decision == "promoted" for each in promotions) == 8


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
    name = world.evaluate("replay", metrics={"traps": 1})
    statement = world.statement("replay", name)
    forged = Promoted(
        from_stage="research",
        statement=statement,
        approvals=(RITA.approve(statement),),
        roster=world.catalog.roster().digest(),
        notes="",
    )
    world.catalog.keep_policy(default_policy())
    world.catalog.ledger._append(world.bundle_id, "mallory", NOW_NS, lambda _: (None, forged))
    assert world.catalog.ledger.state(world.bundle_id).stage == "replay"
    shadow = world.evaluate("shadow", number=5)
    with pytest.raises(IntegrityError, match=r"does not allow this promotion.*traps 1 == 0"):
        world.promote("shadow", shadow)
    problems = verify(world.store).problems
    assert len(problems) == 1
    assert problems[0].startswith(f"ledger/{world.bundle_id}/00000003.json: the ladder does not allow")

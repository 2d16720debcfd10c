"""Which stage's rules judge an evaluation that people are shown: the one that it could take away, or helps to reach."""

from __future__ import annotations

import pytest

from bundles.canonical import short_id
from bundles.descent import demote, demote_on_failure
from bundles.evidence import Coverage
from bundles.judging import judge, judge_each, judged_at
from bundles.policy import default_policy
from bundles.stages import STAGES
from bundles.store import ObjectStore
from tests.bundles.conftest import DAY_NS, NOW_NS, OTTO, RITA, S_NS, SECOND, TOM, World, bundle_of, evaluation_of

TEN_MINUTES = Coverage(first_ns=20 * DAY_NS, last_ns=20 * DAY_NS + 600 * S_NS, events=2_000_000, packets=1_000_000)
"""Too little for every stage above replay."""
TOO_WEAK_FOR_LIVE = {"edge": {"fills": 50}, "sor": {"fill_ratio": 0.92}, "assignment": {"regret_bps_upper95": 2.5}}
"""What fails the rules of live and not those of the stage below."""


def climbed(store: ObjectStore, kind: str, stage: str) -> tuple[World, int]:
    """Return a world whose bundle earned a stage, and the time when it did."""
    world, now_ns = World(store, kind).begin(), NOW_NS
    world.sign()
    for number, rung in enumerate(STAGES[kind][1 : STAGES[kind].index(stage) + 1]):
        rule = default_policy().rule(kind, rung)
        assert rule
        now_ns = NOW_NS + 4 * number * DAY_NS
        name = world.evaluate(rule.evidence, number=number, day=number, now_ns=now_ns, attested_by=SECOND)
        assert world.promote(rung, name, by=(RITA, TOM), now_ns=now_ns).decision == "promoted"
    return world, now_ns


@pytest.mark.parametrize(
    ("target", "kind", "first"),
    [
        ("edge", "replay", ("replay", "replay", "replay", "replay", "replay")),
        ("edge", "shadow", ("shadow", "shadow", "shadow", "live", "live")),
        ("sor", "sandbox", ("sandbox", "sandbox", "sandbox", "live", "live")),
        ("assignment", "live-review", ("scaled", "scaled", "scaled", "scaled", "scaled")),
    ],
)
def test_the_stage_held_comes_first_then_the_next_then_the_highest_below(
    target: str, kind: str, first: tuple[str, ...]
) -> None:
    evaluation = evaluation_of(bundle_of(target), kind)
    found = [judged_at(stood, evaluation, default_policy(), target) for stood in STAGES[target]]
    assert tuple(each.stage for each in found) == first
    for each in found:
        assert each.told == f"passes {each.stage}" == each.reasoned
        assert {each.stage, *(other.stage for other in each.others)} == set(first)
    assert judged_at(None, evaluation, default_policy(), target).stage == first[0]


def test_a_kind_that_no_stage_takes_is_inconclusive() -> None:
    told = judged_at("live", evaluation_of(bundle_of("edge"), "sandbox"), default_policy(), "edge")
    assert (told.told, told.stage, told.rule, told.others) == ("inconclusive", "", None, ())
    assert told.unmet == ("no stage of the edge ladder takes sandbox evaluations under default",)


@pytest.mark.parametrize("stage", ["live", "scaled"])
@pytest.mark.parametrize("kind", sorted(STAGES))
def test_the_verdict_says_why_a_bundle_fell(directory_store: ObjectStore, kind: str, stage: str) -> None:
    world, now_ns = climbed(directory_store, kind, stage)
    below = STAGES[kind][2]
    rule = default_policy().rule(kind, "live")
    assert rule
    weak = {"metrics": TOO_WEAK_FOR_LIVE[kind], "coverage": TEN_MINUTES}
    name = world.evaluate(rule.evidence, number=20, now_ns=now_ns, **weak)
    before = judge(world.catalog, world.catalog.evaluation(name))
    change = demote_on_failure(world.catalog, world.bundle_id, now_ns=now_ns)
    assert change is not None
    assert (change.stage_before, change.stage) == (stage, below)
    told = judge(world.catalog, world.catalog.evaluation(name))
    assert told == before, "the fall does not change of what the evaluation speaks"
    assert told.told == "fails live"
    assert told.reasoned.startswith("fails live: ")
    assert next(iter(TOO_WEAK_FOR_LIVE[kind])) in told.reasoned
    assert [other.reasoned.partition(":")[0] for other in told.others] == [f"inconclusive for {below}"]
    assert told.others[0].unmet == ("duration_s 600 >= 3600",)


def test_a_bundle_is_judged_where_it_stood_at_the_latest_mention(world: World) -> None:
    world, now_ns = climbed(world.store, "edge", "shadow")
    name = world.evaluate("shadow", number=30, day=9, now_ns=now_ns)
    evaluation = world.catalog.evaluation(name)
    assert judge(world.catalog, evaluation).stage == "shadow"
    glass = world.promote("live", break_glass=True, glass_hours=4, notes="fire", by=(OTTO,), now_ns=now_ns)
    assert glass.decision == "promoted"
    assert judge(world.catalog, evaluation).stage == "shadow"
    world.evaluate("shadow", number=30, day=9, now_ns=now_ns, again=True)
    assert judge(world.catalog, evaluation).stage == "live"
    demote(world.catalog, world.bundle_id, stage="research", notes="away", operator="op", now_ns=now_ns)
    assert judge(world.catalog, evaluation).stage == "live"


def test_what_no_ledger_holds_is_judged_for_the_lowest_stage(directory_store: ObjectStore) -> None:
    world, now_ns = climbed(directory_store, "edge", "live")
    cut = evaluation_of(world.bundle, "shadow", number=40, status="interrupted", status_detail="gap in the feed")
    world.catalog.record_evaluation(cut, [b"fills 40"], runner=SECOND, now_ns=now_ns)
    told = judge(world.catalog, cut)
    assert told.told == "inconclusive for shadow"


def test_many_are_judged_as_one_by_one(directory_store: ObjectStore) -> None:
    world, _ = climbed(directory_store, "edge", "live")
    other = world.register(1)
    world.evaluate("replay", number=50, bundle=bundle_of("edge", 1))
    found = world.catalog.evaluations()
    assert {short_id("bun", each.inputs.bundle) for each in found} == {world.bundle_id, other}
    assert judge_each(world.catalog, found) == [judge(world.catalog, each) for each in found]

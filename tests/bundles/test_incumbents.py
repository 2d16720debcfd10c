"""Live is reached by beating who is live now, not who was when the evaluation was asked for."""

from __future__ import annotations

import pytest

from bundles.audit import verify
from bundles.descent import demote
from bundles.incumbents import FLAT, holder_of_next_rung
from bundles.promotion import Outcome
from bundles.verification import Verifier
from tests.bundles.conftest import NOW_NS, OTTO, RITA, S_NS, SECOND, TOM, World, edge_bundle, evaluation_of

DAY_NS = 86_400 * S_NS
CANDIDATE, RIVAL, OTHER = range(3)
SECOND_DAY_NS = NOW_NS + 2 * DAY_NS


def turn_to(world: World, number: int) -> World:
    world.bundle = edge_bundle(number)
    world.bundle_id = world.bundle.bundle_id
    return world


def climb(world: World, number: int) -> World:
    """Register a bundle that is signed by its author, and take it to shadow."""
    turn_to(world, number).register(number)
    world.sign()
    for stage in ("replay", "shadow"):
        seen = world.evaluate(stage, number=number, attested_by=SECOND)
        assert world.promote(stage, seen, by=(RITA, TOM)).decision == "promoted"
    return world


def against(world: World, number: int, incumbent: str, *, seed: int = 50, now_ns: int = SECOND_DAY_NS) -> str:
    """Record a shadow evaluation of a later day against an incumbent."""
    turn_to(world, number)
    inputs = evaluation_of(world.bundle, "shadow", number=seed).inputs
    settings = {**inputs.settings, "incumbent": incumbent, "incumbent_by": "ladder"}
    inputs = inputs.model_copy(update={"settings": settings})
    return world.evaluate("shadow", number=seed, day=1, inputs=inputs, attested_by=SECOND, now_ns=now_ns)


def ask_for_live(world: World, number: int, evaluation: str, *, now_ns: int = SECOND_DAY_NS) -> Outcome:
    return turn_to(world, number).promote("live", evaluation, by=(RITA, TOM), now_ns=now_ns)


@pytest.fixture
def shadows(world: World) -> World:
    """Return a store in which three algos of one strategy stand at shadow."""
    for number in (CANDIDATE, RIVAL, OTHER):
        climb(world, number)
    return world


def test_evidence_against_nobody_ends_when_somebody_is_live(shadows: World) -> None:
    evaluation = against(shadows, CANDIDATE, FLAT)
    assert turn_to(shadows, CANDIDATE).ask("live", evaluation, now_ns=SECOND_DAY_NS).decision == "pending"
    assert ask_for_live(shadows, RIVAL, against(shadows, RIVAL, FLAT)).decision == "promoted"
    late = ask_for_live(shadows, CANDIDATE, evaluation)
    assert late.decision == "refused", "though it was asked for before"
    rival = edge_bundle(RIVAL)
    assert f"compares with the flat baseline, but {rival.bundle_id} is the one to beat now" in "; ".join(late.unmet)
    better = against(shadows, CANDIDATE, rival.digest(), seed=51)
    assert ask_for_live(shadows, CANDIDATE, better).decision == "promoted"
    assert verify(shadows.store).problems == ()


def test_who_beat_an_algo_that_fell_since_need_not_beat_nobody(shadows: World) -> None:
    assert ask_for_live(shadows, RIVAL, against(shadows, RIVAL, FLAT)).decision == "promoted"
    evaluation = against(shadows, CANDIDATE, edge_bundle(RIVAL).digest())
    fallen = edge_bundle(RIVAL).bundle_id
    demote(shadows.catalog, fallen, stage="shadow", operator="olga", notes="too slow", now_ns=SECOND_DAY_NS)
    assert ask_for_live(shadows, CANDIDATE, evaluation).decision == "promoted"


def test_an_algo_of_a_lower_rung_is_not_the_one_to_beat(shadows: World) -> None:
    assert ask_for_live(shadows, RIVAL, against(shadows, RIVAL, FLAT)).decision == "promoted"
    easier = against(shadows, CANDIDATE, edge_bundle(OTHER).digest())
    assert f"compares with {edge_bundle(OTHER).bundle_id}" in "; ".join(
        ask_for_live(shadows, CANDIDATE, easier).unmet
    ), "which was the ladder's choice while the candidate stood at replay"


def test_a_lent_stage_is_not_stood_on_by_its_own_holder(shadows: World) -> None:
    turn_to(shadows, CANDIDATE)
    lent = shadows.promote("live", by=(OTTO,), break_glass=True, notes="no choice", now_ns=SECOND_DAY_NS)
    assert lent.decision == "promoted"
    for bundle, expected in ((CANDIDATE, None), (RIVAL, edge_bundle(CANDIDATE))):
        name = edge_bundle(bundle).bundle_id
        found = holder_of_next_rung(shadows.catalog, Verifier(shadows.catalog), name, now_ns=SECOND_DAY_NS)
        assert found == expected

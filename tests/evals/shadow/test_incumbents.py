"""Whom a candidate is compared with, if it names nobody: who holds the rung that it wants next."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundles.descent import demote, quarantine
from bundles.entries import Promoted, Requested
from bundles.errors import IntegrityError
from bundles.manifests import EdgeBundle
from bundles.statements import PromotionStatement
from bundles.store import open_store
from evals.shadowing.incumbents import Incumbent, incumbent_of
from tests.bundles.conftest import NOW_NS, OTTO, S_NS, World, edge_bundle

CANDIDATE = 9
LATER_NS = NOW_NS + 3_600 * S_NS


@pytest.fixture
def world(tmp_path: Path) -> World:
    """Return a store in which bundle 9 stands at replay."""
    world = World(open_store((tmp_path / "store").as_uri())).begin()
    put(world, CANDIDATE, "replay")
    return world


def put(world: World, number: int, stage: str, *, at_ns: int = NOW_NS) -> str:
    """Register a bundle and promote it up to a stage, step by step."""
    world.bundle = edge_bundle(number)
    world.bundle_id = world.bundle.bundle_id
    world.register(number)
    for rung in ("replay", "shadow")[: ("research", "replay", "shadow").index(stage)]:
        evaluation = world.evaluate(rung, now_ns=at_ns)
        assert world.promote(rung, evaluation, now_ns=at_ns).decision == "promoted"
    assert world.catalog.ledger.state(world.bundle_id).stage_at(at_ns) == stage
    return world.bundle_id


def chosen(world: World, number: int = CANDIDATE, *, at_ns: int = LATER_NS) -> str:
    candidate = edge_bundle(number)
    assert isinstance(candidate, EdgeBundle)
    return incumbent_of(world.catalog, candidate, None, now_ns=at_ns).manifest


def test_without_anyone_above_the_baseline_is_flat(world: World) -> None:
    put(world, 1, "research")
    put(world, 2, "replay")
    assert chosen(world) == "flat"


def test_who_holds_the_next_rung_is_the_incumbent(world: World) -> None:
    put(world, 1, "replay")
    holder = put(world, 2, "shadow")
    assert chosen(world) == world.catalog.bundle(holder).digest()
    assert chosen(world, 2) == "flat", "nobody stands above it, and nobody is its own incumbent"
    put(world, 3, "research")
    assert chosen(world, 3) in {edge_bundle(n).digest() for n in (1, CANDIDATE)}, "the rung after research is replay"


def lend(world: World, number: int, stage: str) -> None:
    world.bundle = edge_bundle(number)
    world.bundle_id = world.bundle.bundle_id
    world.register(number)
    assert world.promote(stage, by=(OTTO,), break_glass=True, notes="they left us no choice").decision == "promoted"


def test_a_rung_above_stands_in_for_one_that_nobody_holds(world: World) -> None:
    lend(world, 1, "live")
    assert chosen(world) == edge_bundle(1).digest(), "also where a broken glass lends the stage"
    assert chosen(world, at_ns=LATER_NS + 24 * 3_600 * S_NS) == "flat", "but not when it is over"


def test_the_next_rung_comes_before_those_above(world: World) -> None:
    put(world, 2, "shadow")
    lend(world, 1, "live")
    assert chosen(world) == edge_bundle(2).digest()
    assert chosen(world, 2) == edge_bundle(1).digest()


def test_the_last_one_to_come_counts_then_the_id(world: World) -> None:
    put(world, 1, "shadow", at_ns=NOW_NS + S_NS)
    put(world, 2, "shadow", at_ns=NOW_NS)
    assert chosen(world) == edge_bundle(1).digest()
    put(world, 3, "shadow", at_ns=NOW_NS + S_NS)
    first = min(edge_bundle(1), edge_bundle(3), key=lambda each: each.bundle_id)
    assert chosen(world) == first.digest()


@pytest.mark.parametrize("fate", ["quarantined", "demoted"])
def test_who_was_taken_down_is_not_chosen(world: World, fate: str) -> None:
    put(world, 1, "shadow")
    last = put(world, 2, "shadow", at_ns=NOW_NS + S_NS)
    if fate == "quarantined":
        quarantine(world.catalog, last, operator="olga", notes="it misbehaved", now_ns=NOW_NS + 2 * S_NS)
    else:
        demote(world.catalog, last, stage="replay", operator="olga", notes="it misbehaved", now_ns=NOW_NS + 2 * S_NS)
    assert chosen(world) == edge_bundle(1).digest()


def test_another_strategy_is_no_incumbent(world: World) -> None:
    holder = world.catalog.bundle(put(world, 1, "shadow"))
    candidate = edge_bundle(CANDIDATE).model_copy(update={"strategy": "mm-lite"})
    assert isinstance(candidate, EdgeBundle)
    world.catalog.register_bundle(candidate, author="quant", now_ns=NOW_NS)
    assert incumbent_of(world.catalog, candidate, None, now_ns=LATER_NS) == Incumbent("flat", "ladder")
    asked = incumbent_of(world.catalog, candidate, holder.bundle_id[:12], now_ns=LATER_NS)
    assert asked == Incumbent(holder.digest(), "request")
    assert incumbent_of(world.catalog, candidate, "flat", now_ns=LATER_NS).by == "ladder"


def test_a_promotion_that_nobody_granted_does_not_lower_the_bar(world: World) -> None:
    forged = put(world, 1, "research")
    ledger = world.catalog.ledger
    statement = PromotionStatement(
        bundle=edge_bundle(1).digest(),
        target="edge",
        stage="shadow",
        evaluations=(),
        verdict="sha256:" + "0" * 64,
        policy="sha256:" + "0" * 64,
        entry=2,
        follows=ledger.state(forged).last.digest(),
    )
    promoted = Promoted(request=statement.request_id, from_stage="research", stage="shadow", governance=1)
    for body in (Requested(statement=statement, notes=""), promoted):
        ledger.append(forged, actor="mallory", at_ns=NOW_NS, draft=lambda _, body=body: (None, body))  # type: ignore[misc]
    assert ledger.state(forged).stage_at(LATER_NS) == "shadow"
    with pytest.raises(IntegrityError, match=forged):
        chosen(world)

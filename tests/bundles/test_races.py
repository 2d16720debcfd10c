"""Sixteen promoters of one bundle at once: one request, one promotion, one answer for everybody."""

from __future__ import annotations

import multiprocessing
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from bundles.audit import verify
from bundles.promotion import Outcome
from bundles.store import ObjectStore, open_store
from tests.bundles.conftest import NOW_NS, OTTO, RITA, TOM, S3Server, World

RACERS = 16


def climb(world: World, number: int, stage: str, evaluation: str) -> Outcome:
    """Ask and approve as one of many: half of them are Rita, half are Tom."""
    person = (RITA, TOM)[number % 2]
    return world.promote(stage, evaluation, by=(person,), notes="", now_ns=NOW_NS + number)


def race(store: ObjectStore, number: int, run: Callable[[int], Any]) -> tuple[Outcome, ...]:
    """Let sixteen start together on a fresh bundle of a store; check what they left, and return what they were told."""
    start = threading.Barrier(RACERS)

    def racer(who: int) -> Any:
        start.wait()
        return run(who)

    with ThreadPoolExecutor(RACERS) as pool:
        return tuple(pool.map(racer, range(RACERS)))


def assert_one_promotion(store: ObjectStore, bundle_id: str, told: tuple[Outcome, ...], stage: str) -> None:
    kinds = Counter(entry.kind for entry in World(store).catalog.ledger.history(bundle_id))
    assert (kinds["requested"], kinds["promoted"]) == (1, 1), kinds
    assert kinds["approved"] <= 2
    assert {(each.decision, each.stage) for each in told} == {("promoted", stage)}
    assert len({(each.request, each.ledger_seq) for each in told}) == 1


def run_races(store: ObjectStore, races: int) -> None:
    world = World(store).begin()
    for number in range(races):
        bundle_id = world.register(number)
        name = world.evaluate("replay", bundle=world.catalog.bundle(bundle_id))

        def run(who: int, bundle_id: str = bundle_id, name: str = name) -> Outcome:
            mine = World(store)
            mine.bundle_id = bundle_id
            return climb(mine, who, "replay", name)

        assert_one_promotion(store, bundle_id, race(store, number, run), "replay")
    assert verify(store).problems == ()


def test_a_few_races(racing_store: ObjectStore) -> None:
    run_races(racing_store, 3)


@pytest.mark.long
def test_two_hundred_races_on_a_directory(directory_store: ObjectStore) -> None:
    run_races(directory_store, 200)


@pytest.mark.long
def test_fifty_races_on_seaweedfs(seaweedfs_server: S3Server) -> None:
    run_races(seaweedfs_server.open_empty(), 50)


def test_two_approvals_race_for_live(directory_store: ObjectStore) -> None:
    """Whoever brings the last of two approvals makes the promotion; both may think that they are the one."""
    world = World(directory_store).begin()
    world.sign()
    world.promote("replay", world.evaluate("replay"))
    world.promote("shadow", world.evaluate("shadow", number=1))
    from tests.bundles.conftest import DAY_NS, SECOND

    later = NOW_NS + 2 * DAY_NS
    name = world.evaluate("shadow", number=2, day=3, attested_by=SECOND, now_ns=later)
    request = world.ask("live", name, now_ns=later).request
    assert request

    def run(who: int) -> Outcome:
        return World(directory_store).approve(request, (RITA, TOM)[who % 2], now_ns=later + who)

    told = race(directory_store, 0, run)
    assert {each.decision for each in told} <= {"promoted", "pending"}
    assert len({each.ledger_seq for each in told if each.decision == "promoted"}) == 1
    kinds = Counter(entry.kind for entry in world.catalog.ledger.history(world.bundle_id))
    assert (kinds["promoted"], kinds["approved"], kinds["requested"]) == (3, 4, 3)
    assert verify(directory_store).problems == ()


def test_racing_breakers_of_the_glass_break_it_once(directory_store: ObjectStore) -> None:
    world = World(directory_store).begin()

    def run(who: int) -> Outcome:
        return World(directory_store).promote(
            "live", by=(OTTO,), break_glass=True, notes="the venue moved", now_ns=NOW_NS + who
        )

    told = race(directory_store, 0, run)
    assert_one_promotion(directory_store, world.bundle_id, told, "live")
    broken = [entry for entry in world.catalog.ledger.history("governance") if entry.kind == "glass-broken"]
    assert len(broken) == 1
    assert verify(directory_store).problems == ()


@pytest.mark.long
def test_races_of_processes(directory_store: ObjectStore) -> None:
    world = World(directory_store).begin()
    context = multiprocessing.get_context("fork")
    for number in range(20):
        bundle_id = world.register(number)
        name = world.evaluate("replay", bundle=world.catalog.bundle(bundle_id))
        start, told = context.Barrier(RACERS), context.SimpleQueue()
        racers = [
            context.Process(target=_climb_alone, args=(directory_store.url, bundle_id, name, who, start, told))
            for who in range(RACERS)
        ]
        for each in racers:
            each.start()
        said = [told.get() for _ in racers]
        for each in racers:
            each.join()
        assert set(said) == {("promoted", "replay", said[0][2], said[0][3])}
        kinds = Counter(entry.kind for entry in world.catalog.ledger.history(bundle_id))
        assert (kinds["requested"], kinds["promoted"]) == (1, 1), kinds
    assert verify(directory_store).problems == ()


def _climb_alone(url: str, bundle_id: str, name: str, who: int, start: Any, told: Any) -> None:
    world = World(open_store(url))
    world.bundle_id = bundle_id
    start.wait()
    try:
        outcome = climb(world, who, "replay", name)
    except Exception as error:  # noqa: BLE001 -- the parent compares what everybody was told
        told.put((repr(error), "", None, None))
    else:
        told.put((outcome.decision, outcome.stage, outcome.request, outcome.ledger_seq))

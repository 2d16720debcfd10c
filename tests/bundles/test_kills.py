"""The process dies at every store call of every command: nothing is lost, nothing half done counts, and the same
command run again ends where an undisturbed run ends, byte for byte."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from bundles.audit import verify
from bundles.checkpoints import make_checkpoint
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
from bundles.governance import set_policy, set_roster
from bundles.policy import default_policy
from bundles.store import ObjectStore, open_store
from tests.bundles.conftest import (
    DAY_NS,
    FIRST,
    GRETA,
    NOW_NS,
    OLGA,
    OTTO,
    PEOPLE,
    RITA,
    ROSTER,
    SECOND,
    TOM,
    Crash,
    CrashingStore,
    Person,
    World,
    roster_of,
)

LATER_NS = NOW_NS + 2 * DAY_NS
STRICTER = default_policy().model_copy(update={"name": "stricter"})
WIDER = roster_of(PEOPLE | {"nina@example.com": ("risk",)})

Step = Callable[[World], object]


# What was there before


def governed(world: World) -> None:
    set_roster(world.catalog, ROSTER, by=GRETA.name, now_ns=NOW_NS)


def registered(world: World) -> None:
    world.begin()


def evaluated(world: World) -> None:
    registered(world)
    world.evaluate("replay")


def asked(world: World) -> None:
    evaluated(world)
    world.ask("replay", replay_of(world))


def at_shadow(world: World) -> None:
    evaluated(world)
    world.promote("replay", replay_of(world))
    world.promote("shadow", world.evaluate("shadow", number=1))


def almost_live(world: World) -> None:
    at_shadow(world)
    world.sign()
    name = world.evaluate("shadow", number=2, day=3, attested_by=SECOND, now_ns=LATER_NS)
    world.promote("live", name, by=(RITA,), now_ns=LATER_NS)


def at_live(world: World) -> None:
    almost_live(world)
    world.approve(any_request(world, "live"), TOM, now_ns=LATER_NS)


def glass_asked(world: World) -> None:
    evaluated(world)
    world.ask("live", break_glass=True, notes="the venue moved its gateway")


def glass_broken(world: World) -> None:
    glass_asked(world)
    world.approve(any_request(world, "live"), OTTO)


def half_reviewed(world: World) -> None:
    glass_broken(world)
    reviewed_by(TOM)(world)


def quarantined(world: World) -> None:
    at_shadow(world)
    world.ask("live", notes="too early")
    quarantine(world.catalog, world.bundle_id, notes="fills look odd", operator="operator", now_ns=LATER_NS)


# What is done then


def compile_and_register(world: World) -> None:
    world.begin()


def evaluate(world: World) -> None:
    world.evaluate("replay")


def sign_it(world: World) -> None:
    world.sign()


def attest(world: World) -> None:
    record = world.catalog.evaluation(replay_of(world))
    world.catalog.attest(record, record.result_digest, runner=SECOND, now_ns=NOW_NS)


def ask(world: World) -> None:
    assert world.ask("replay", replay_of(world)).decision == "pending"


def promote(world: World) -> None:
    assert world.promote("replay", replay_of(world)).decision == "promoted"


def approve(world: World) -> None:
    assert world.approve(any_request(world, "replay"), RITA).decision == "promoted"


def approve_live(world: World) -> None:
    assert world.approve(any_request(world, "live"), TOM, now_ns=LATER_NS).decision == "promoted"


def deny(world: World) -> None:
    assert world.deny(any_request(world, "replay"), RITA).decision == "refused"


def break_the_glass(world: World) -> None:
    outcome = world.promote("live", by=(OTTO,), break_glass=True, notes="the venue moved its gateway")
    assert (outcome.decision, outcome.stage) == ("promoted", "live")


def reviewed_by(person: Person, verdict: str = "ratify") -> Step:
    def step(world: World) -> None:
        state = world.catalog.ledger.state(world.bundle_id)
        said: Any = verdict
        signature = ""
        if state.debts:
            signature = person.sign(review_statement(world.catalog, world.bundle_id, said).canonical())
        review(
            world.catalog,
            world.bundle_id,
            verdict=said,
            notes="looked",
            reviewer=person.name,
            key=None,
            signature=signature,
            now_ns=LATER_NS,
        )

    return step


def demote_it(world: World) -> None:
    demote(world.catalog, world.bundle_id, stage="replay", notes="slow", operator="operator", now_ns=LATER_NS)


def roll_it_back(world: World) -> None:
    roll_back(world.catalog, world.bundle_id, notes="slow", operator="operator", now_ns=LATER_NS)


def quarantine_it(world: World) -> None:
    quarantine(world.catalog, world.bundle_id, notes="odd", operator="operator", now_ns=LATER_NS)


def release_it(world: World) -> None:
    signature = ""
    if world.catalog.ledger.state(world.bundle_id).quarantine:
        signature = OLGA.sign(release_statement(world.catalog, world.bundle_id).canonical())
    release(
        world.catalog,
        world.bundle_id,
        notes="explained",
        operator=OLGA.name,
        key=None,
        signature=signature,
        now_ns=LATER_NS,
    )


def fail_and_fall(world: World) -> None:
    world.evaluate("shadow", number=7, day=9, metrics={"traps": 1}, now_ns=LATER_NS)
    demote_on_failure(world.catalog, world.bundle_id, now_ns=LATER_NS)


def sign_checkpoint(world: World) -> None:
    make_checkpoint(world.catalog, FIRST, now_ns=LATER_NS)


def put_policy_into_force(world: World) -> None:
    with key_file(GRETA) as key:
        set_policy(world.catalog, STRICTER, by=GRETA.name, now_ns=LATER_NS, key=key)


def put_roster_into_force(world: World) -> None:
    with key_file(GRETA) as key:
        set_roster(world.catalog, WIDER, by=GRETA.name, now_ns=LATER_NS, key=key)


@contextmanager
def key_file(person: Person) -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        path = Path(folder, "key")
        path.write_bytes(person.key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption()))
        path.chmod(0o600)
        yield path


def replay_of(world: World) -> str:
    found = world.catalog.ledger.state(world.bundle_id).latest("replay")
    assert found
    return found.evaluation


def any_request(world: World, stage: str) -> str:
    """The last request for a stage, be it open or ended."""
    requests = world.catalog.ledger.state(world.bundle_id).requests
    return next(each.id for each in reversed(requests) if each.statement.stage == stage)


COMMANDS: dict[str, tuple[Step, Step]] = {
    "compile-register": (governed, compile_and_register),
    "evaluate": (registered, evaluate),
    "attest": (evaluated, attest),
    "sign": (registered, sign_it),
    "ask": (evaluated, ask),
    "promote": (evaluated, promote),
    "approve": (asked, approve),
    "approve-live": (almost_live, approve_live),
    "deny": (asked, deny),
    "break-glass": (evaluated, break_the_glass),
    "review": (half_reviewed, reviewed_by(RITA)),
    "review-demote": (glass_broken, reviewed_by(RITA, "demote")),
    "demote": (at_live, demote_it),
    "roll-back": (at_live, roll_it_back),
    "quarantine": (asked, quarantine_it),
    "release": (quarantined, release_it),
    "fail-and-fall": (at_live, fail_and_fall),
    "checkpoint": (at_live, sign_checkpoint),
    "set-policy": (asked, put_policy_into_force),
    "set-roster": (asked, put_roster_into_force),
}


# The sweep


class Bench:
    """Makes stores that hold the same, of one kind."""

    def __init__(self, empty: Callable[[], ObjectStore]) -> None:
        self._empty = empty

    def holding(self, objects: dict[str, bytes]) -> ObjectStore:
        store = self._empty()
        for key, content in objects.items():
            if key.startswith("heads/"):
                store.compare_and_swap(key, content, None)
            else:
                store.put_if_absent(key, content)
        return store


def sweep(bench: Bench, command: str, *, every: int) -> tuple[int, int]:
    """Kill at the calls 1, 1 + every, …; returns how many calls the command makes and how many deaths it had."""
    before, act = COMMANDS[command]
    prepared = bench.holding({})
    before(World(prepared))
    given = contents(prepared)
    undisturbed = bench.holding(given)
    act(World(undisturbed))
    wanted = contents(undisturbed)
    assert wanted != given
    assert verify(undisturbed).problems == ()

    deaths, call = 0, 1
    while True:
        died = [dies(bench, given, wanted, act, call, after=after) for after in (False, True)]
        if not any(died):
            return call, deaths
        deaths += sum(died)
        call += every


def dies(bench: Bench, given: dict[str, bytes], wanted: dict[str, bytes], act: Step, call: int, *, after: bool) -> bool:
    store = bench.holding(given)
    crashing: Any = CrashingStore(store, call, after=after)
    try:
        act(World(crashing))
    except Crash:
        pass
    else:
        return False
    where = f"call {call}, {'after' if after else 'before'} the effect"
    assert verify(store).problems == (), where
    left = contents(store)
    assert all(left.get(key) == content for key, content in given.items() if not key.startswith("heads/")), where
    act(World(store))
    assert contents(store) == wanted, where
    report = verify(store)
    assert (report.problems, report.unfinished) == ((), ()), where
    return True


def contents(store: ObjectStore) -> dict[str, bytes]:
    return {key: store.get(key) for key in store.list("")}


@pytest.fixture
def directories(tmp_path: Path) -> Iterator[Bench]:
    made: list[Path] = []

    def empty() -> ObjectStore:
        if len(made) > 1:  # keeps the disk small; the first two are looked at again
            shutil.rmtree(made.pop(), ignore_errors=True)
        made.append(tmp_path / f"store-{len(made)}-{os.urandom(4).hex()}")
        return open_store(made[-1].as_uri())

    return Bench(empty)


@pytest.mark.parametrize("command", COMMANDS)
def test_killed_now_and_then(directories: Bench, command: str) -> None:
    calls, deaths = sweep(directories, command, every=19)
    assert deaths >= 2 * (calls // 19)


@pytest.mark.long
@pytest.mark.parametrize("command", COMMANDS)
def test_killed_at_every_call_on_a_directory(directories: Bench, command: str) -> None:
    calls, deaths = sweep(directories, command, every=1)
    assert deaths == 2 * (calls - 1)


@pytest.mark.long
@pytest.mark.parametrize("kind", ["moto", "seaweedfs"])
@pytest.mark.parametrize("command", COMMANDS)
def test_killed_at_every_call_on_s3(request: pytest.FixtureRequest, command: str, kind: str) -> None:
    calls, deaths = sweep(Bench(request.getfixturevalue(f"{kind}_server").open_empty), command, every=1)
    assert deaths == 2 * (calls - 1)


@pytest.mark.long
@pytest.mark.parametrize("command", ["compile-register", "evaluate", "approve", "break-glass", "set-policy"])
def test_processes_that_are_really_killed(directories: Bench, command: str) -> None:
    before, act = COMMANDS[command]
    prepared = directories.holding({})
    before(World(prepared))
    given = contents(prepared)
    undisturbed = directories.holding(given)
    act(World(undisturbed))
    wanted = contents(undisturbed)
    call, code = 0, -signal.SIGKILL
    while code == -signal.SIGKILL:
        call += 1
        store = directories.holding(given)
        process = multiprocessing.get_context("fork").Process(target=_dies_for_real, args=(store, act, call))
        process.start()
        process.join()
        code = process.exitcode or 0
        assert verify(store).problems == ()
        act(World(store))
        assert contents(store) == wanted, call
    assert code == 0
    assert call > 10


def _dies_for_real(store: ObjectStore, act: Step, call: int) -> None:
    crashing: Any = CrashingStore(store, call, after=bool(call % 2))
    try:
        act(World(crashing))
    except Crash:
        os.kill(os.getpid(), signal.SIGKILL)

"""Whatever is changed, removed, swapped, copied or put back in a store of fifty bundles with full histories is found
and named."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from bundles.audit import verify
from bundles.checkpoints import make_checkpoint
from bundles.compile import compile_edge
from bundles.descent import demote, quarantine, release, release_statement, review, review_statement
from bundles.governance import set_policy, set_roster, statement_for
from bundles.ledger import head_key
from bundles.mm_types import MmConfig, MmRiskLimits
from bundles.policy import default_policy
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
    TOM,
    World,
    roster_of,
    wasm,
)
from tests.bundles.faults import MemoryStore

# A store with a past


def full_history(world: World, number: int, now_ns: int) -> None:
    """Everything that can happen to a bundle, in two days."""
    artifact = f"art_{number:03d}"
    world.catalog.register_artifact(artifact, {"notes.md": b"# %d\n" % number}, note="why")
    bundle = compile_edge(
        wasm(number), sdk_abi="0.4.0", artifact=artifact, risk_limits=MmRiskLimits(), config=MmConfig()
    )
    world.bundle, world.bundle_id = bundle, bundle.bundle_id
    world.catalog.register_bundle(bundle, author=AUTHOR.name, blobs=[wasm(number)], now_ns=now_ns)
    world.sign(now_ns=now_ns)
    seed = 10 * number
    world.promote("replay", world.evaluate("replay", number=seed, now_ns=now_ns), now_ns=now_ns)
    first = world.evaluate("shadow", number=seed + 1, now_ns=now_ns)
    refused = world.ask("shadow", first, now_ns=now_ns)
    world.deny(refused.request or "", TOM, now_ns=now_ns)
    world.promote("shadow", first, now_ns=now_ns)
    now_ns += DAY_NS
    later = world.evaluate("shadow", number=seed + 2, day=3, attested_by=SECOND, now_ns=now_ns)
    world.promote("live", later, by=(RITA, TOM), now_ns=now_ns)
    demote(world.catalog, world.bundle_id, stage="replay", notes="slow", operator="op", now_ns=now_ns)
    world.promote("scaled", by=(OTTO,), break_glass=True, notes="fire", now_ns=now_ns)
    for person in (RITA, TOM):
        signature = person.sign(review_statement(world.catalog, world.bundle_id, "ratify").canonical())
        review(
            world.catalog,
            world.bundle_id,
            verdict="ratify",
            notes="read",
            reviewer=person.name,
            key=None,
            signature=signature,
            now_ns=now_ns,
        )
    quarantine(world.catalog, world.bundle_id, notes="odd", operator="op", now_ns=now_ns)
    release(
        world.catalog,
        world.bundle_id,
        notes="explained",
        operator=OLGA.name,
        key=None,
        signature=OLGA.sign(release_statement(world.catalog, world.bundle_id).canonical()),
        now_ns=now_ns,
    )
    world.ask("live", later, now_ns=now_ns)  # stays open


def store_with_a_past(bundles: int) -> MemoryStore:
    store = MemoryStore()
    world = World(store).begin()
    now_ns = NOW_NS
    for number in range(bundles):
        full_history(world, number, now_ns)
        now_ns += DAY_NS
        if number % 4 == 1:
            document: Any = roster_of(PEOPLE | {f"new-{number}@example.com": ("risk",)})
            setter: Any = set_roster
            if number % 8 == 5:
                document, setter = default_policy().model_copy(update={"name": f"policy-{number}"}), set_policy
            word = GRETA.says(statement_for(world.catalog, document))
            setter(world.catalog, document, by=GRETA.name, now_ns=now_ns, more=[word])
        if number == bundles - 1 or number % 4 == 3:
            make_checkpoint(world.catalog, FIRST, now_ns=now_ns)
    return store


def checked(bundles: int) -> MemoryStore:
    store = store_with_a_past(bundles)
    report = verify(store)
    assert (report.problems, report.unfinished) == ((), ())
    everything = b"".join(store.objects.values())
    assert [kind for kind in KINDS if f'"kind":"{kind}"'.encode() not in everything] == []
    return store


@pytest.fixture(scope="module")
def short_past() -> MemoryStore:
    return checked(8)


KINDS = [
    *("registered", "evaluated", "attested", "requested", "approved", "denied", "promoted", "demoted", "quarantined"),
    *("released", "reviewed", "policy-set", "roster-set", "glass-broken", "checkpoint"),
]


# What is done to it


@dataclass
class Trial:
    """A store of one's own, chance, and the keys that were touched."""

    store: MemoryStore
    chance: random.Random
    past: MemoryStore

    def key(self, beginning: str = "") -> str:
        """A key of any kind, each kind as likely as the others."""
        kinds = sorted({kind_of(key) for key in self.store.objects if key.startswith(beginning)})
        kind = self.chance.choice(kinds)
        return self.chance.choice(sorted(key for key in self.store.objects if kind_of(key) == kind))


def kind_of(key: str) -> str:
    parts = key.split("/")
    if parts[0] == "heads":
        return f"head of {parts[2].split('_')[0]}"
    if parts[0] == "ledger":
        return f"entry of {parts[1].split('_')[0]}"
    return "/".join(parts[:2])


def change_a_byte(trial: Trial) -> list[str]:
    key = trial.key()
    content = bytearray(trial.store.objects[key])
    place = trial.chance.randrange(len(content))
    content[place] ^= trial.chance.randrange(1, 256)
    trial.store.objects[key] = bytes(content)
    return [key]


def remove(trial: Trial) -> list[str]:
    key = trial.key()
    del trial.store.objects[key]
    return [key]


def swap(trial: Trial) -> list[str]:
    while True:
        one, other = trial.key(), trial.key()
        objects = trial.store.objects
        if objects[one] != objects[other]:
            objects[one], objects[other] = objects[other], objects[one]
            return [one, other]


def swap_of_one_kind(trial: Trial) -> list[str]:
    while True:
        one = trial.key()
        other = trial.chance.choice(sorted(key for key in trial.store.objects if kind_of(key) == kind_of(one)))
        objects = trial.store.objects
        if objects[one] != objects[other]:
            objects[one], objects[other] = objects[other], objects[one]
            return [one, other]


def truncate(trial: Trial) -> list[str]:
    key = trial.key()
    content = trial.store.objects[key]
    trial.store.objects[key] = content[: trial.chance.randrange(len(content))]
    return [key]


def append_a_byte(trial: Trial) -> list[str]:
    key = trial.key()
    trial.store.objects[key] += bytes([trial.chance.choice([0, 10, 32, 255, 125])])
    return [key]


def copy_to_another_name(trial: Trial) -> list[str]:
    """A blob under another digest, an entry as the next one, a reference or head under another id."""
    key = trial.key()
    folder, _, name = key.rpartition("/")
    digits = "".join(trial.chance.choice("0123456789abcdef") for _ in name)
    if key.startswith("ledger/"):
        last = max(each for each in trial.store.objects if each.startswith(folder))
        other = f"{folder}/{int(last[-13:-5]) + 1:08d}.json"
    elif key.startswith("cas/"):
        other = f"{folder}/{digits}"
    else:
        other = f"{folder}/{name.split('_')[0]}_{digits[:16]}"
    trial.store.objects[other] = trial.store.objects[key]
    return [other]


def put_a_head_back(trial: Trial) -> list[str]:
    """An older version, of any age but the last, which a crash leaves as well."""
    key = trial.chance.choice(sorted(key for key in trial.past.superseded if len(trial.past.superseded[key]) > 1))
    trial.store.objects[key] = trial.chance.choice(trial.past.superseded[key][:-1])
    return [key]


def put_a_head_back_by_one(trial: Trial) -> list[str]:
    """As a crash leaves it, but a checkpoint has seen the newer one; nothing has seen the checkpoints' own."""
    key = trial.chance.choice(sorted(set(trial.past.superseded) - {head_key("checkpoints")}))
    trial.store.objects[key] = trial.past.superseded[key][-1]
    return [key]


def cut_the_end_off(trial: Trial) -> list[str]:
    """The last entries, and the head as it was before them; a checkpoint has seen more."""
    name = trial.chance.choice([key for key in trial.past.superseded if "bun_" in key]).rpartition("/")[2]
    entries = sorted(trial.store.list(f"ledger/{name}/"))
    cut = trial.chance.randrange(1, len(entries) - 1)
    for key in entries[-cut:]:
        del trial.store.objects[key]
    trial.store.objects[head_key(name)] = trial.past.superseded[head_key(name)][-cut]
    return [*entries[-cut:], head_key(name)]


def remove_a_bundle(trial: Trial) -> list[str]:
    """Ledger, head and reference, and with them all that happened."""
    name = trial.key("refs/bundles/").rpartition("/")[2]
    touched = [key for key in trial.store.objects if name in key]
    for key in touched:
        del trial.store.objects[key]
    return touched


TAMPERINGS: tuple[Callable[[Trial], list[str]], ...] = (
    change_a_byte,
    remove,
    swap,
    swap_of_one_kind,
    truncate,
    append_a_byte,
    copy_to_another_name,
    put_a_head_back,
    put_a_head_back_by_one,
    cut_the_end_off,
    remove_a_bundle,
)


def run_trial(past: MemoryStore, tamper: Callable[[Trial], list[str]], seed: int) -> None:
    trial = Trial(past.copy(), random.Random(f"{tamper.__name__} {seed}"), past)
    touched = tamper(trial)
    report = verify(trial.store)
    said = "\n".join(report.problems)
    assert any(is_named(key, said) for key in touched), (tamper.__name__, seed, touched, report)


def is_named(key: str, said: str) -> bool:
    """Tell whether a report names a key, the digest in it, or the id in it."""
    if key.startswith("cas/"):
        return key in said or key.removeprefix("cas/sha256/").replace("/", "") in said
    return key in said or key.rpartition("/")[2] in said


@pytest.mark.parametrize("tamper", TAMPERINGS, ids=lambda tamper: tamper.__name__)
def test_tampering_is_found_and_named(short_past: MemoryStore, tamper: Callable[[Trial], list[str]]) -> None:
    for seed in range(6):
        run_trial(short_past, tamper, seed)


@pytest.mark.long
def test_a_thousand_tamperings() -> None:
    past = checked(50)
    for seed in range(100, 1100):
        run_trial(past, TAMPERINGS[seed % len(TAMPERINGS)], seed)

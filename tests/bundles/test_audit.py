"""Tampering is named, crashes are survived."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from bundles.audit import verify
from bundles.canonical import digest_of
from bundles.checkpoints import make_checkpoint
from bundles.descent import review, review_statement
from bundles.entries import LedgerEntry, PolicySet
from bundles.errors import IntegrityError, NotFoundError, UnreachableError
from bundles.ledger import Head, Ledger, entry_key, head_key
from bundles.policy import default_policy
from bundles.state import fold
from bundles.statements import GovernanceStatement
from bundles.store import ObjectStore, open_store
from tests.bundles.conftest import (
    FIRST,
    GRETA,
    NOW_NS,
    OTTO,
    RITA,
    SECOND,
    TOM,
    Crash,
    CrashingStore,
    SigningRunner,
    World,
    dataset,
    edge_bundle,
)

CHECKER = SigningRunner(FIRST.name)


def enforce(world: World) -> None:
    """Put a policy into force by a signature that is made in memory."""
    firm = default_policy().model_copy(update={"name": "firm"})
    world.catalog.keep_policy(firm)

    def draft(history: Sequence[LedgerEntry]) -> tuple[None, PolicySet | None]:
        if any(isinstance(entry.body, PolicySet) for entry in history):
            return None, None
        sets = GovernanceStatement(
            sets="policy", document=firm.digest(), entry=len(history) + 1, follows=history[-1].digest()
        )
        return None, PolicySet(policy=firm.digest(), approvals=(GRETA.says(sets),))

    world.catalog.ledger.append("governance", actor=GRETA.name, at_ns=NOW_NS, draft=draft)


def climb(world: World) -> World:
    """Two promotions, a broken glass with one review, a denied and an open request, a policy, a second bundle."""
    world.begin()
    world.catalog.register_dataset(dataset(1))
    replay = world.evaluate("replay", number=1)
    world.promote("replay", replay)
    shadow = world.evaluate("shadow", number=2, attested_by=SECOND)
    world.promote("shadow", shadow)
    world.promote("live", by=(OTTO,), break_glass=True, notes="the venue changed its fees")
    word = review_statement(world.catalog, world.bundle_id, "ratify")
    said = {"verdict": "ratify", "notes": "", "reviewer": TOM.name, "key": None, "now_ns": NOW_NS}
    review(world.catalog, world.bundle_id, signature=TOM.sign(word.canonical()), **said)  # type: ignore[arg-type]
    enforce(world)
    world.evaluate("replay", number=3)
    world.register(1)
    return world


@pytest.fixture(scope="module")
def climbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("climbed")
    climb(World(open_store(root.as_uri())))
    return root


@pytest.fixture
def copy(climbed: Path, tmp_path: Path) -> Path:
    shutil.copytree(climbed, tmp_path / "copy")
    return tmp_path / "copy"


def keys_of(root: Path) -> list[str]:
    return sorted(open_store(root.as_uri()).list(""))


def test_a_sound_store_has_no_problems(store: ObjectStore) -> None:
    climb(World(store))
    read: list[int] = []
    report = verify(store, read.append)
    assert (report.problems, report.unfinished) == ((), ())
    assert report.entries == 19
    assert report.objects == len(list(store.list("")))
    assert read == list(range(1, sum(key.startswith("cas/") for key in store.list("")) + 1))


def test_an_empty_store_is_sound(tmp_path: Path) -> None:
    report = verify(open_store(tmp_path.as_uri()))
    assert (report.problems, report.entries, report.objects) == ((), 0, 0)


def test_a_store_that_is_not_there_does_not_verify(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"There is no store at .*absent"):
        verify(open_store((tmp_path / "absent").as_uri()))
    assert not (tmp_path / "absent").exists()
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        store = open_store(path.as_uri())
        for use in (
            lambda store=store: verify(store),
            lambda store=store: list(store.list("")),
            lambda store=store: store.get_versioned("refs/x"),
            lambda store=store: store.put_if_absent("refs/x", b""),
        ):
            with pytest.raises(UnreachableError, match=path.name):
                use()


def test_a_rollback_is_not_laundered(copy: Path) -> None:
    """Entries and the head are taken away, then somebody asks for a promotion that is refused."""
    bundle_id = edge_bundle().bundle_id
    store = open_store(copy.as_uri())
    for seq in (15, 14, 13, 12):
        (copy / entry_key(bundle_id, seq)).unlink()
        (copy / head_key(bundle_id)).unlink(missing_ok=True)
        for use in (
            World(store).register,
            lambda: World(store).promote("live"),
            lambda: World(store).evaluate("shadow", number=9),
        ):
            with pytest.raises(IntegrityError, match=f"{head_key(bundle_id)} is missing"):
                use()
        assert not (copy / head_key(bundle_id)).exists()
        assert any(head_key(bundle_id) in problem for problem in verify(store).problems)


def test_a_head_lags_by_one_entry_at_most(copy: Path) -> None:
    bundle_id = edge_bundle().bundle_id
    store = open_store(copy.as_uri())
    entries = Ledger(store).history(bundle_id)
    for seq in (14, 13):
        standing = fold(entries[:seq]).standing()
        head = Head(seq=seq, entry=entries[seq - 1].digest(), standing=standing)
        (copy / head_key(bundle_id)).write_bytes(head.canonical())
        if seq == 14:
            report = verify(store)
            assert report.problems == ()
            assert [head_key(bundle_id) in text for text in report.unfinished] == [True]
            World(store).register()
            assert Head.model_validate_json((copy / head_key(bundle_id)).read_bytes()).seq == 15
        else:
            assert any("remembers entry 13 only" in problem for problem in verify(store).problems)
            with pytest.raises(IntegrityError, match="15 entries"):
                World(store).register()


def test_a_reader_that_is_overtaken_by_many_writers_sees_no_tampering(directory_store: ObjectStore) -> None:
    world = World(directory_store).begin()

    class Overtaken:
        def __getattr__(self, name: str) -> Any:
            return getattr(directory_store, name)

        def list(self, prefix: str) -> Iterator[str]:
            for number in range(3):
                world.evaluate("replay", number=number)
            return directory_store.list(prefix)

    assert len(Ledger(Overtaken()).history(world.bundle_id)) == 4  # type: ignore[arg-type]


def test_any_flipped_byte_is_named(copy: Path) -> None:
    choose = random.Random(7)
    for key in keys_of(copy):
        path = copy / key
        content = path.read_bytes()
        for place in {0, len(content) - 1, *(choose.randrange(len(content)) for _ in range(2))}:
            flipped = bytearray(content)
            flipped[place] ^= 1 << choose.randrange(8)
            path.write_bytes(flipped)
            problems = verify(open_store(copy.as_uri())).problems
            assert any(key in problem for problem in problems), (key, place, problems)
        path.write_bytes(content)
    assert verify(open_store(copy.as_uri())).problems == ()


def test_a_name_that_cannot_be_one_is_named_with_its_entry(copy: Path) -> None:
    for key in (entry_key("governance", 1), entry_key(edge_bundle().bundle_id, 1)):
        content = (copy / key).read_bytes()
        (copy / key).write_bytes(content.replace(b"@example.com", b"%example.com", 1))
        assert any(key in problem for problem in verify(open_store(copy.as_uri())).problems)
        (copy / key).write_bytes(content)


@pytest.mark.parametrize("with_checkpoint", [False, True])
def test_any_removed_object_is_named(copy: Path, with_checkpoint: bool) -> None:
    """What a crash might have left is unfinished; what a checkpoint has seen is a problem."""
    store = open_store(copy.as_uri())
    if with_checkpoint:
        make_checkpoint(World(store).catalog, CHECKER, now_ns=NOW_NS)
    for key in keys_of(copy):
        content = (copy / key).read_bytes()
        (copy / key).unlink()
        report = verify(store)
        found = report.problems if with_checkpoint and "checkpoints" not in key else report.problems + report.unfinished
        assert any(key in text for text in found), (key, report)
        (copy / key).write_bytes(content)
    assert (verify(store).problems, verify(store).unfinished) == ((), ())


def test_any_two_swapped_objects_are_named(copy: Path) -> None:
    choose = random.Random(3)
    store, keys = open_store(copy.as_uri()), keys_of(copy)
    make_checkpoint(World(store).catalog, CHECKER, now_ns=NOW_NS)
    alike = [(one, two) for one in keys for two in keys if one < two and one.split("/")[:2] == two.split("/")[:2]]
    for first, second in choose.sample(alike, 40):
        one, two = (copy / first).read_bytes(), (copy / second).read_bytes()
        if one == two:
            continue
        (copy / first).write_bytes(two)
        (copy / second).write_bytes(one)
        problems = verify(store).problems
        assert any(first in text or second in text for text in problems), (first, second, problems)
        (copy / first).write_bytes(one)
        (copy / second).write_bytes(two)


def test_swapped_entries_are_named(copy: Path) -> None:
    bundle_id = edge_bundle().bundle_id
    first, second = copy / entry_key(bundle_id, 2), copy / entry_key(bundle_id, 4)
    one, two = first.read_bytes(), second.read_bytes()
    first.write_bytes(two)
    second.write_bytes(one)
    problems = verify(open_store(copy.as_uri())).problems
    assert any(entry_key(bundle_id, 2) in problem for problem in problems)


def test_a_history_replaced_by_a_shorter_one_is_noticed(copy: Path) -> None:
    """Even if whoever does it removes the head as well."""
    bundle_id = edge_bundle().bundle_id
    for seq in range(4, 16):
        (copy / entry_key(bundle_id, seq)).unlink()
    store = open_store(copy.as_uri())
    with pytest.raises(IntegrityError, match="00000004"):
        World(store).catalog.ledger.state(bundle_id)
    (copy / head_key(bundle_id)).unlink()
    assert head_key(bundle_id) in " ".join(verify(store).problems)
    for seq in (2, 3):
        (copy / entry_key(bundle_id, seq)).unlink()
    assert "does not know it" in " ".join(verify(store).problems)


@pytest.mark.parametrize("change", ["seq", "ledger", "previous", "stage", "actor"])
def test_a_changed_last_entry_is_named(copy: Path, change: str) -> None:
    bundle_id = edge_bundle().bundle_id
    path = copy / entry_key(bundle_id, 15)
    entry = LedgerEntry.model_validate_json(path.read_bytes())
    updates = {
        "seq": {"seq": 16},
        "ledger": {"ledger": edge_bundle(1).bundle_id},
        "previous": {"previous": digest_of(b"")},
        "stage": {"body": entry.body.model_copy(update={"evaluation_kind": "shadow"})},
        "actor": {"actor": "nobody"},
    }
    path.write_bytes(entry.model_copy(update=updates[change]).canonical())
    assert any(entry_key(bundle_id, 15) in problem for problem in verify(open_store(copy.as_uri())).problems)


def test_keys_that_nobody_writes_are_named(copy: Path) -> None:
    store = open_store(copy.as_uri())
    for key in ("notes/todo.txt", "refs/promotions/x", "heads/other", "ledger/bun_x/00000001.json", "cas/md5/x"):
        store.put_if_absent(key, b"x")
        assert any(problem.startswith(key) for problem in verify(store).problems)
    assert World(store).catalog.bundle_ids()


STEPS: dict[str, Callable[[World], object]] = {
    "register": lambda world: world.begin(),
    "record": lambda world: world.evaluate("replay"),
    "set policy": enforce,
    "checkpoint": lambda world: make_checkpoint(world.catalog, CHECKER, now_ns=NOW_NS),
}


@pytest.mark.parametrize("after", [False, True], ids=["before its effect", "after its effect"])
@pytest.mark.parametrize("step", list(STEPS))
def test_a_crash_at_any_call_is_survived(tmp_path: Path, step: str, after: bool) -> None:
    def prepared(root: Path) -> ObjectStore:
        store = open_store(root.as_uri())
        if step != "register":
            world = World(store).begin()
            if step == "promote":
                world.evaluate("replay")
        return store

    def run(store: ObjectStore) -> None:
        STEPS[step](World(store))

    prepared(tmp_path / "before")
    shutil.copytree(tmp_path / "before", tmp_path / "whole") if (tmp_path / "before").exists() else None
    whole = open_store((tmp_path / "whole").as_uri())
    run(whole)
    wanted = {key: whole.get(key) for key in whole.list("")}

    for dies_at in range(1, 1000):
        root = tmp_path / str(dies_at)
        if (tmp_path / "before").exists():
            shutil.copytree(tmp_path / "before", root)
        store = open_store(root.as_uri())
        try:
            run(CrashingStore(store, dies_at, after=after))  # type: ignore[arg-type]
        except Crash:
            crashed = True
        else:
            crashed = False
        if root.exists():
            report = verify(store)
            assert report.problems == (), (dies_at, report.problems)
        run(store)
        report = verify(store)
        assert (report.problems, report.unfinished) == ((), ()), dies_at
        assert {key: store.get(key) for key in store.list("")} == wanted
        if not crashed:
            assert dies_at > 3
            return
    pytest.fail("the step never ended")


def test_two_crashes_in_a_row_are_survived(directory_store: ObjectStore) -> None:
    """The second run dies where the first did not: it repairs the head before it adds another entry."""
    world = World(directory_store).begin()
    for dies_at in range(1, 30):
        for name in ("replay", "shadow"):
            mine = World(CrashingStore(directory_store, dies_at, after=True))  # type: ignore[arg-type]
            try:
                mine.evaluate(name, number=dies_at)
            except Crash:
                assert verify(directory_store).problems == ()
    for dies_at in range(1, 30):
        for name in ("replay", "shadow"):
            world.evaluate(name, number=dies_at)
    report = verify(directory_store)
    assert (report.problems, report.unfinished, report.entries) == ((), (), 60)
    latest = world.evaluate("replay", number=1, again=True)
    assert world.promote("replay", latest, by=(RITA,), now_ns=NOW_NS + 1).decision == "promoted"

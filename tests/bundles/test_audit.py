"""Tampering is named, crashes are survived."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bundles.audit import verify
from bundles.canonical import digest_of
from bundles.entries import LedgerEntry
from bundles.errors import IntegrityError, NotFoundError, UnreachableError
from bundles.ledger import Head, Ledger, entry_key, head_key
from bundles.store import ObjectStore, open_store
from tests.bundles.conftest import NOW_NS, OTTO, RITA, Crash, CrashingStore, World, edge_bundle


def climb(world: World) -> World:
    """Two promotions, three evaluations of which one was repeated, and a second bundle."""
    world.begin()
    replay = world.evaluate("replay", number=1)
    world.promote("replay", replay)
    shadow = world.evaluate("shadow", number=2)
    world.promote("shadow", shadow)
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
    assert report.entries == 7
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
    for seq in (6, 5, 4, 3):
        (copy / entry_key(bundle_id, seq)).unlink()
        (copy / head_key(bundle_id)).unlink(missing_ok=True)
        for use in (
            World(store).register,
            lambda: World(store).promote("live"),
            lambda: World(store).evaluate("shadow"),
        ):
            with pytest.raises(IntegrityError, match=f"{head_key(bundle_id)} is missing"):
                use()
        assert not (copy / head_key(bundle_id)).exists()
        assert any(head_key(bundle_id) in problem for problem in verify(store).problems)


def test_a_head_lags_by_one_entry_at_most(copy: Path) -> None:
    bundle_id = edge_bundle().bundle_id
    store = open_store(copy.as_uri())
    for seq in (5, 4):
        digest = digest_of((copy / entry_key(bundle_id, seq)).read_bytes())
        (copy / head_key(bundle_id)).write_bytes(Head(seq=seq, entry=digest).canonical())
        if seq == 5:
            assert verify(store).problems == ()
            World(store).register()
            assert Head.model_validate_json((copy / head_key(bundle_id)).read_bytes()).seq == 6
        else:
            assert any("remembers entry 4 only" in problem for problem in verify(store).problems)
            with pytest.raises(IntegrityError, match="6 entries"):
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
        for place in {0, len(content) - 1, *(choose.randrange(len(content)) for _ in range(6))}:
            flipped = bytearray(content)
            flipped[place] ^= 1 << choose.randrange(8)
            path.write_bytes(flipped)
            problems = verify(open_store(copy.as_uri())).problems
            assert any(key in problem for problem in problems), (key, place, problems)
        path.write_bytes(content)
    assert verify(open_store(copy.as_uri())).problems == ()


def test_any_removed_object_is_named(copy: Path) -> None:
    optional = {"heads/roster"}  # without a roster nobody is on it; entries hold the digest of the one they used
    for key in keys_of(copy):
        content = (copy / key).read_bytes()
        (copy / key).unlink()
        report = verify(open_store(copy.as_uri()))
        named = [text for text in (*report.problems, *report.unfinished) if key in text]
        assert named or key in optional or unreferenced(copy, key, content), (key, report)
        (copy / key).write_bytes(content)


def unreferenced(root: Path, key: str, content: bytes) -> bool:
    """Tell whether nothing in the store mentions a blob: removing it loses nothing."""
    digest = digest_of(content).encode()
    return key.startswith("cas/") and not any(digest in (root / other).read_bytes() for other in keys_of(root))


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
    for seq in (4, 5, 6):
        (copy / entry_key(bundle_id, seq)).unlink()
    store = open_store(copy.as_uri())
    with pytest.raises(IntegrityError, match="00000004"):
        World(store).catalog.ledger.state(bundle_id)
    (copy / head_key(bundle_id)).unlink()
    assert head_key(bundle_id) in " ".join(verify(store).problems)
    for seq in (2, 3):
        (copy / entry_key(bundle_id, seq)).unlink()
    assert "does not know this record" in " ".join(verify(store).problems)


@pytest.mark.parametrize("change", ["seq", "bundle", "previous", "stage", "actor"])
def test_a_changed_last_entry_is_named(copy: Path, change: str) -> None:
    bundle_id = edge_bundle().bundle_id
    path = copy / entry_key(bundle_id, 6)
    entry = LedgerEntry.model_validate_json(path.read_bytes())
    updates = {
        "seq": {"seq": 7},
        "bundle": {"bundle": edge_bundle(1).bundle_id},
        "previous": {"previous": digest_of(b"")},
        "stage": {"body": entry.body.model_copy(update={"evaluation_kind": "shadow"})},
        "actor": {"actor": "nobody"},
    }
    path.write_bytes(entry.model_copy(update=updates[change]).canonical())
    assert any(entry_key(bundle_id, 6) in problem for problem in verify(open_store(copy.as_uri())).problems)


def test_keys_that_nobody_writes_are_named(copy: Path) -> None:
    store = open_store(copy.as_uri())
    for key in ("notes/todo.txt", "refs/promotions/x", "heads/other", "ledger/bun_x/00000001.json", "cas/md5/x"):
        store.put_if_absent(key, b"x")
        assert any(problem.startswith(key) for problem in verify(store).problems)
    assert World(store).catalog.bundle_ids()


STEPS: dict[str, Callable[[World], object]] = {
    "register": lambda world: world.begin(),
    "record": lambda world: world.evaluate("replay"),
    "promote": lambda world: world.promote("replay", world.bundle_eval),  # type: ignore[attr-defined]
    "break glass": lambda world: world.promote("live", by=(OTTO,), break_glass=True, notes="why"),
    "install policy": lambda world: world.catalog.install_policy(
        world.catalog.policy().model_copy(update={"name": "firm"})
    ),
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

    from tests.bundles.conftest import evaluation_of

    def run(store: ObjectStore) -> None:
        world = World(store)
        world.bundle_eval = evaluation_of(world.bundle, "replay").eval_id  # type: ignore[attr-defined]
        STEPS[step](world)

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
    assert (report.problems, report.unfinished, report.entries) == ((), (), 59)
    latest = world.evaluate("replay", number=1, again=True)
    assert world.promote("replay", latest, by=(RITA,), now_ns=NOW_NS + 1).decision == "promoted"

"""A promotion rests on bytes that are there and unchanged; otherwise nothing is decided and nothing is written."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bundles.canonical import digest_of
from bundles.catalog import Catalog, blob_key
from bundles.errors import IntegrityError
from bundles.promotion import check
from bundles.store import ObjectStore
from tests.bundles.conftest import NOW_NS, OTTO, World, dataset, evaluation_of, wasm

ROOT = "store"


def keys_of(world: World) -> dict[str, bytes]:
    return {key: world.store.get(key) for key in world.store.list("")}


def grounds(world: World) -> dict[str, str]:
    output = evaluation_of(world.bundle, "replay").outputs["fills"]
    return {
        "module": blob_key(digest_of(wasm())),
        "artifact": blob_key(world.catalog.artifact("art_research").digest()),
        "artifact reference": "refs/artifacts/art_research",
        "artifact file": blob_key(digest_of(b"# why\n")),
        "dataset": blob_key(dataset().digest()),
        "dataset reference": f"refs/datasets/{dataset().dataset_id}",
        "output": blob_key(output.digest),
    }


@pytest.mark.parametrize("damage", ["flip", "remove"])
@pytest.mark.parametrize(
    "what", ["module", "artifact", "artifact reference", "artifact file", "dataset", "dataset reference", "output"]
)
def test_nothing_is_promoted_on_lost_or_changed_bytes(world: World, tmp_path: Path, what: str, damage: str) -> None:
    name = world.evaluate("replay")
    key = grounds(world)[what]
    path = tmp_path / ROOT / key
    if damage == "flip":
        path.write_bytes(bytes([path.read_bytes()[0] ^ 1]) + path.read_bytes()[1:])
    else:
        path.unlink()
    before = keys_of(world)
    with pytest.raises(IntegrityError, match=rf"{key}.*(?s:.*)Restore"):
        world.promote("replay", name)
    with pytest.raises(IntegrityError, match=key):
        check(world.catalog, world.wish("replay", name), now_ns=NOW_NS)
    assert keys_of(world) == before


def test_every_lost_thing_is_named_at_once(world: World, tmp_path: Path) -> None:
    name = world.evaluate("replay")
    lost = [grounds(world)[what] for what in ("module", "artifact file", "dataset", "output")]
    for key in lost:
        (tmp_path / ROOT / key).unlink()
    with pytest.raises(IntegrityError) as caught:
        world.promote("replay", name)
    assert all(key in str(caught.value) for key in lost)


def test_breaking_the_glass_does_not_promote_lost_bytes(world: World, tmp_path: Path) -> None:
    (tmp_path / ROOT / blob_key(digest_of(wasm()))).unlink()
    with pytest.raises(IntegrityError, match=blob_key(digest_of(wasm()))):
        world.promote("live", by=(OTTO,), break_glass=True, notes="why")


def test_what_an_artifact_grew_out_of_counts(directory_store: ObjectStore, tmp_path: Path) -> None:
    catalog = Catalog(directory_store)
    catalog.register_artifact("art_parent", {"data": b"parent"})
    catalog.register_artifact("art_research", {}, parents=["art_parent", "art_parent"])
    world = World(directory_store)
    catalog.register_dataset(dataset())
    world.register()
    name = world.evaluate("replay")
    (tmp_path / ROOT / blob_key(digest_of(b"parent"))).unlink()
    with pytest.raises(IntegrityError, match=blob_key(digest_of(b"parent"))):
        world.promote("replay", name, signed=False)


class Counting:
    """Counts how often each key is read."""

    def __init__(self, store: ObjectStore) -> None:
        self._store, self.reads = store, Counter[str]()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def get_versioned(self, key: str) -> tuple[bytes, str] | None:
        self.reads[key] += 1
        return self._store.get_versioned(key)


def test_each_blob_is_read_once(world: World) -> None:
    names = [world.evaluate("replay", number=number) for number in range(3)]
    counting = Counting(world.store)
    check(Catalog(counting), world.wish("replay", *names), now_ns=NOW_NS)  # type: ignore[arg-type]
    blobs = [key for what, key in grounds(world).items() if "reference" not in what]
    assert {key: counting.reads[key] for key in blobs} == dict.fromkeys(blobs, 1)


def test_a_promotion_that_is_not_made_writes_nothing(world: World) -> None:
    name = world.evaluate("replay")
    before = keys_of(world)
    assert world.promote("live", name).decision == "refused"
    assert keys_of(world) == before
    assert world.ask("replay", name).decision == "pending"
    waiting = keys_of(world)
    assert world.ask("replay", name).decision == "pending"
    assert keys_of(world) == waiting
    assert world.promote("replay", name).decision == "promoted"
    after = keys_of(world)
    assert world.promote("replay", name).decision == "promoted"
    assert keys_of(world) == after

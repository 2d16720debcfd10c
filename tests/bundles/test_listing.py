"""Lists say what the ledgers say, and ask a bucket for little."""

from __future__ import annotations

from typing import Any

import pytest

from bundles.checkpoints import make_checkpoint
from bundles.errors import IntegrityError
from bundles.ledger import head_key
from bundles.listing import standings
from bundles.store import ObjectStore
from bundles.store.s3 import S3Store
from tests.bundles.conftest import FIRST, NOW_NS, OTTO, S3Server, World


def populate(world: World) -> World:
    world.begin()
    for number in range(1, 8):
        world.register(number)
    return world


def change(world: World) -> None:
    """Move one bundle after the checkpoint, by breaking the glass, and open a request."""
    world.promote("replay", world.evaluate("replay"))
    world.promote("live", by=(OTTO,), break_glass=True, notes="why")
    world.ask("shadow", world.evaluate("shadow", bundle=world.bundle))


@pytest.mark.parametrize("with_checkpoint", [False, True])
def test_lists_say_what_ledgers_say(store: ObjectStore, with_checkpoint: bool) -> None:
    world = populate(World(store))
    if with_checkpoint:
        make_checkpoint(world.catalog, FIRST, now_ns=NOW_NS)
    change(world)
    found = standings(world.catalog)
    assert list(found) == world.catalog.bundle_ids()
    assert found == {name: world.catalog.ledger.state(name).standing() for name in found}
    assert found[world.bundle_id].stage_at(NOW_NS) == "live"


def test_a_list_reads_only_heads_that_changed_since_the_checkpoint(moto_server: S3Server) -> None:
    store = moto_server.open_empty()
    assert isinstance(store, S3Store)
    world = populate(World(store))
    make_checkpoint(world.catalog, FIRST, now_ns=NOW_NS)
    asked: list[str] = []

    def count(model: Any, **_rest: Any) -> None:
        asked.append(model.name)

    def three_at_once(params: dict[str, Any], **_rest: Any) -> None:
        params["MaxKeys"] = 3

    events = store._client.meta.events
    events.register("before-parameter-build.s3.ListObjectsV2", three_at_once)
    events.register("before-call.s3", count)
    assert len(standings(world.catalog)) == 8
    assert sorted(asked) == ["GetObject"] * 3 + ["ListObjectsV2"] * 3  # head, entry, heads; 8 keys in pages of 3
    asked.clear()
    change(world)
    asked.clear()
    standings(world.catalog)
    assert sorted(asked) == ["GetObject"] * 4 + ["ListObjectsV2"] * 3


def test_a_head_that_is_no_head_is_named(world: World) -> None:
    key = head_key("bun_0000000000000000")
    for content in (b"x", b"[]", b"{}", b'{"standing":null}', b'{"standing":{"earned":"live"}}'):
        world.store.compare_and_swap(key, content, (world.store.get_versioned(key) or (b"", None))[1])
        with pytest.raises(IntegrityError, match=key):
            standings(world.catalog)

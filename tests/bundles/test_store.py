"""One behaviour suite for every kind of store."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bundles.errors import (
    ConflictError,
    InvalidInputError,
    NameTakenError,
    NotFoundError,
    UnreachableError,
)
from bundles.store import ObjectStore, open_store

THREADS = 16


def in_threads(work: Callable[[int], object]) -> list[object]:
    def guarded(number: int) -> object:
        try:
            return work(number)
        except (NameTakenError, ConflictError) as error:
            return type(error)

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(guarded, range(THREADS)))


def test_creates_once_and_tells_equal_from_other_content(store: ObjectStore) -> None:
    assert store.put_if_absent("refs/bundles/bun_1", b"one") is True
    assert store.put_if_absent("refs/bundles/bun_1", b"one") is False
    with pytest.raises(NameTakenError, match="refs/bundles/bun_1"):
        store.put_if_absent("refs/bundles/bun_1", b"two")
    assert store.get("refs/bundles/bun_1") == b"one"


def test_missing_keys(store: ObjectStore) -> None:
    store.put_if_absent("a/b", b"x")
    for key in ("a/c", "a", "z/z/z"):
        with pytest.raises(NotFoundError, match=key):
            store.get(key)
        assert store.get_versioned(key) is None


def test_swaps_only_from_the_expected_version(store: ObjectStore) -> None:
    first = store.compare_and_swap("heads/policy", b"one", None)
    with pytest.raises(ConflictError, match="heads/policy"):
        store.compare_and_swap("heads/policy", b"other", None)
    assert store.get_versioned("heads/policy") == (b"one", first)
    second = store.compare_and_swap("heads/policy", b"two", first)
    with pytest.raises(ConflictError):
        store.compare_and_swap("heads/policy", b"other", first)
    with pytest.raises(ConflictError):
        store.compare_and_swap("heads/absent", b"x", second)
    assert store.get_versioned("heads/policy") == (b"two", second)
    assert store.get_versioned("heads/absent") is None


def test_lists_by_prefix(store: ObjectStore) -> None:
    keys = [
        "refs/bundles/bun_a1",
        "refs/bundles/bun_a2",
        "refs/bundles/bun_b1",
        "refs/bundles-old/x",
        "refs/x",
        "a-b",
        "a/b",
    ]
    for key in keys:
        store.put_if_absent(key, key.encode())
    assert sorted(store.list("")) == sorted(keys)
    assert sorted(store.list("refs/bundles/")) == keys[:3]
    assert sorted(store.list("refs/bundles/bun_a")) == keys[:2]
    assert sorted(store.list("refs/bundles")) == ["refs/bundles-old/x", *keys[:3]]
    assert list(store.list("nothing/here")) == []


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 5 * 2**20 + 1])
def test_keeps_content_of_any_size(store: ObjectStore, size: int) -> None:
    content = bytes(range(251)) * (size // 251 + 1)
    content = content[:size]
    store.put_if_absent("cas/x", content)
    store.compare_and_swap("heads/x", content, None)
    assert store.get("cas/x") == store.get("heads/x") == content


@pytest.mark.parametrize(
    "key", ["", "/", "/etc/passwd", "a//b", "../x", "a/../b", "a/.", ".hidden", "a/.tmp", "a b", "é", "a\n", "a/"]
)
def test_refuses_keys_that_could_lead_elsewhere(store: ObjectStore, key: str) -> None:
    for use in (
        lambda: store.get(key),
        lambda: store.get_versioned(key),
        lambda: store.put_if_absent(key, b"x"),
        lambda: store.compare_and_swap(key, b"x", None),
    ):
        with pytest.raises(InvalidInputError):
            use()
    if key not in {"", "a/"}:
        with pytest.raises(InvalidInputError):
            list(store.list(key))
    assert list(store.list("")) == []


def test_one_of_many_writers_creates(racing_store: ObjectStore) -> None:
    results = in_threads(lambda number: racing_store.put_if_absent("ledger/b/00000001.json", b"%d" % number))
    assert sorted(map(str, results)) == sorted(["True", *[str(NameTakenError)] * (THREADS - 1)])
    assert racing_store.get("ledger/b/00000001.json") == b"%d" % results.index(True)


def test_equal_writers_all_succeed_and_one_creates(racing_store: ObjectStore) -> None:
    results = in_threads(lambda _: racing_store.put_if_absent("cas/sha256/ab/cd", b"same"))
    assert results.count(True) == 1
    assert results.count(False) == THREADS - 1


def test_one_of_many_swappers_wins_each_round(racing_store: ObjectStore) -> None:
    version = None
    for turn in range(3):
        results = in_threads(
            lambda number, turn=turn, version=version: racing_store.compare_and_swap(
                "heads/policy", b"%d %d" % (turn, number), version
            )
        )
        winners = [number for number, result in enumerate(results) if result is not ConflictError]
        assert len(winners) == 1
        found = racing_store.get_versioned("heads/policy")
        assert found is not None
        content, version = found
        assert content == b"%d %d" % (turn, winners[0])


def test_counts_no_swap_twice(racing_store: ObjectStore) -> None:
    racing_store.compare_and_swap("heads/count", b"0", None)

    def add_one(_: int) -> None:
        while True:
            found = racing_store.get_versioned("heads/count")
            assert found is not None
            try:
                racing_store.compare_and_swap("heads/count", b"%d" % (int(found[0]) + 1), found[1])
            except ConflictError:
                continue
            return

    in_threads(add_one)
    assert racing_store.get("heads/count") == b"%d" % THREADS


def test_two_stores_on_one_place_see_the_same(store: ObjectStore) -> None:
    store.put_if_absent("a/b", b"x")
    other = open_store(store.url, s3_endpoint=getattr(store, "_endpoint", None))
    assert other.get("a/b") == b"x"
    assert other.url == store.url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/var/store",
        "file://",
        "file:///",
        "file://host/x",
        "s3://",
        "http://x/y",
        "s3://key:secret@bucket/x",
        "file:///a?b",
    ],
)
def test_refuses_addresses_it_does_not_know(url: str) -> None:
    with pytest.raises(InvalidInputError, match="file:///absolute/path") as caught:
        open_store(url)
    assert "secret" not in str(caught.value)


def test_reading_creates_no_directory(tmp_path: Path) -> None:
    store = open_store((tmp_path / "none").as_uri())
    assert list(store.list("")) == []
    assert store.get_versioned("heads/policy") is None
    assert not (tmp_path / "none").exists()


def test_leaves_no_temporary_files(world: object, tmp_path: Path) -> None:
    assert list((tmp_path / "store" / ".tmp").iterdir()) == []


def test_names_a_directory_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    store = open_store((tmp_path / "file" / "store").as_uri())
    with pytest.raises(UnreachableError, match="file/store"):
        store.put_if_absent("a", b"x")


NAMES = st.from_regex(r"[a-z_-][a-z.-]{0,2}", fullmatch=True)


@settings(max_examples=25, deadline=None)
@given(
    keys=st.sets(st.lists(NAMES, min_size=2, max_size=2).map("/".join), max_size=12),
    prefix=st.text("abc/._-", max_size=4),
)
def test_directory_lists_as_a_flat_name_space(
    tmp_path_factory: pytest.TempPathFactory, keys: set[str], prefix: str
) -> None:
    store = open_store(tmp_path_factory.mktemp("flat").as_uri())
    for key in keys:
        store.put_if_absent(key, b"x")
    try:
        listed = list(store.list(prefix))
    except InvalidInputError:
        return
    assert listed == sorted(key for key in keys if key.startswith(prefix))

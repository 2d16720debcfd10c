"""Names and what they lead to, on every kind of store."""

from __future__ import annotations

import pytest

from bundles.canonical import digest_of, short_id
from bundles.catalog import Catalog, blob_key
from bundles.errors import (
    AmbiguousIdError,
    IntegrityError,
    InvalidInputError,
    MalformedDocumentError,
    NameTakenError,
    NotFoundError,
)
from bundles.governance import in_force, set_policy, statement_for
from bundles.policy import default_policy
from bundles.runners import Runner
from bundles.store import ObjectStore
from tests.bundles.conftest import (
    AUTHOR,
    FIRST,
    GRETA,
    NOW_NS,
    ROSTER,
    World,
    bundle_of,
    dataset,
    edge_bundle,
    evaluation_of,
    outputs_of,
    wasm,
)


class CountingStore:
    """Counts the calls that read an object."""

    def __init__(self, store: ObjectStore) -> None:
        self._store, self.reads = store, 0

    def __getattr__(self, name: str) -> object:
        self.reads += name in {"get", "get_versioned"}
        return getattr(self._store, name)


def test_everything_registered_is_found_again(store: ObjectStore) -> None:
    world = World(store).begin()
    catalog = world.catalog
    eval_id = world.evaluate("replay")
    assert catalog.artifacts() == [catalog.artifact("art_research")]
    assert catalog.blob(catalog.artifact("art_research").files["notes.md"].digest) == b"# why\n"
    assert catalog.bundle_ids() == [world.bundle_id]
    assert catalog.bundle(world.bundle_id) == world.bundle
    assert catalog.datasets() == [catalog.dataset(dataset().dataset_id)] == [dataset()]
    assert catalog.evaluations() == catalog.evaluations(world.bundle_id) == [catalog.evaluation(eval_id)]
    assert (in_force(catalog).roster, in_force(catalog).policy) == (ROSTER, default_policy())


@pytest.mark.parametrize("kind", ["edge", "sor", "assignment"])
def test_each_kind_of_bundle_comes_back_as_its_kind(directory_store: ObjectStore, kind: str) -> None:
    world = World(directory_store, kind).begin()
    assert world.catalog.bundle(world.bundle_id) == bundle_of(kind)


def test_registering_again_changes_nothing(world: World) -> None:
    before = {key: world.store.get(key) for key in world.store.list("")}
    world.begin()
    world.catalog.register_bundle(world.bundle, author="someone else", now_ns=NOW_NS + 1)
    world.evaluate("replay")
    world.evaluate("replay")
    after = {key: world.store.get(key) for key in world.store.list("")}
    assert {key: after[key] for key in before if not key.startswith("heads/ledger")} == {
        key: content for key, content in before.items() if not key.startswith("heads/ledger")
    }
    assert world.catalog.ledger.state(world.bundle_id).author == AUTHOR.name
    assert [entry.kind for entry in world.catalog.ledger.history(world.bundle_id)] == ["registered", "evaluated"]


def test_ids_are_found_by_unique_prefix(world: World) -> None:
    for number in range(1, 40):
        world.register(number)
    ids = world.catalog.bundle_ids()
    assert len(ids) == 40
    for bundle_id in ids:
        assert world.catalog.resolve_bundle(bundle_id[:10]) == bundle_id
        assert world.catalog.resolve_bundle(bundle_id) == bundle_id
    for short in (
        "bun_",
        "bun_" + ids[0][4:9],
        ids[0][4:],
        "eval_" + ids[0][4:],
        ids[0] + "0",
        "bun_ABCDEF",
        "bun_../../x",
        "",
    ):
        with pytest.raises(InvalidInputError, match="bun_"):
            world.catalog.resolve_bundle(short)
    with pytest.raises(NotFoundError, match="No bundle bun_000000"):
        world.catalog.bundle("bun_000000")


def test_a_prefix_that_fits_several_lists_them(world: World) -> None:
    twin = world.bundle_id[:12] + "ffffffff"
    world.store.put_if_absent(f"refs/bundles/{twin}", digest_of(b"").encode())
    with pytest.raises(AmbiguousIdError) as caught:
        world.catalog.bundle(world.bundle_id[:10])
    assert twin in str(caught.value)
    assert world.bundle_id in str(caught.value)


def test_an_artifact_id_never_moves(world: World) -> None:
    with pytest.raises(NameTakenError, match="art_research is bound to other content"):
        world.catalog.register_artifact("art_research", {"notes.md": b"# changed\n"})
    child = world.catalog.register_artifact("art_child", {}, parents=["art_research"])
    assert child.parents == ("art_research",)
    before = sorted(world.store.list(""))
    with pytest.raises(NameTakenError, match="art_research"):
        world.catalog.register_artifact("art_research", {"other.md": b"never kept\n"}, note="other")
    assert sorted(world.store.list("")) == before
    with pytest.raises(NotFoundError, match="art_none"):
        world.catalog.register_artifact("art_x", {}, parents=["art_none"])
    with pytest.raises(MalformedDocumentError, match="id: "):
        world.catalog.register_artifact("research", {})
    assert [each.id for each in world.catalog.artifacts()] == ["art_child", "art_research"]


def test_a_bundle_needs_its_artifact_and_its_module(directory_store: ObjectStore) -> None:
    catalog = Catalog(directory_store)
    with pytest.raises(NotFoundError, match="art_research"):
        catalog.register_bundle(edge_bundle(), author="a", blobs=[wasm()], now_ns=NOW_NS)
    catalog.register_artifact("art_research", {})
    with pytest.raises(NotFoundError, match="WASM module"):
        catalog.register_bundle(edge_bundle(), author="a", now_ns=NOW_NS)
    with pytest.raises(InvalidInputError, match="author"):
        catalog.register_bundle(edge_bundle(), author=" ", blobs=[wasm()], now_ns=NOW_NS)
    assert catalog.bundle_ids() == []
    with pytest.raises(NotFoundError):
        catalog.ledger.state(edge_bundle().bundle_id)


def test_an_evaluation_needs_bundle_dataset_and_outputs(world: World) -> None:
    for evaluation, outputs, reason in (
        (evaluation_of(edge_bundle(1), "replay"), outputs_of(evaluation_of(edge_bundle(1), "replay")), "No bundle"),
        (evaluation_of(world.bundle, "replay"), [], "output fills"),
    ):
        with pytest.raises(NotFoundError, match=reason):
            world.catalog.record_evaluation(evaluation, outputs, runner=FIRST, now_ns=NOW_NS)
    inputs = evaluation_of(world.bundle, "replay").inputs.model_copy(update={"datasets": (dataset(1).digest(),)})
    with pytest.raises(NotFoundError, match="No dataset"):
        world.evaluate("replay", inputs=inputs)
    assert world.catalog.evaluations() == []


def test_another_outcome_of_the_same_inputs_is_refused(world: World) -> None:
    eval_id = world.evaluate("replay")
    for again in (False, True):
        with pytest.raises(IntegrityError, match="result_digest differ"):
            world.evaluate("replay", result_digest=digest_of(b"other"), again=again)
    assert world.catalog.evaluation(eval_id).result_digest == digest_of(b"result 0")
    assert len(world.catalog.ledger.history(world.bundle_id)) == 2


def test_an_evaluation_made_again_becomes_the_latest(world: World) -> None:
    first, second = world.evaluate("replay", number=1), world.evaluate("replay", number=2)
    assert [each.eval_id for each in world.catalog.evaluations(world.bundle_id)] == [first, second]
    world.evaluate("replay", number=1, again=True)
    assert [each.eval_id for each in world.catalog.evaluations(world.bundle_id)] == [second, first]
    assert [entry.seq for entry in world.catalog.ledger.history(world.bundle_id)] == [1, 2, 3, 4]


def test_an_interrupted_run_does_not_bind_its_id(world: World) -> None:
    eval_id = world.evaluate("replay", status="interrupted")
    with pytest.raises(NotFoundError):
        world.catalog.evaluation(eval_id)
    assert world.evaluate("replay") == eval_id
    assert world.catalog.evaluation(eval_id).status == "completed"


def test_listing_reads_no_objects(world: World) -> None:
    counting = CountingStore(world.store)
    catalog = Catalog(counting)  # type: ignore[arg-type]
    for number in range(1, 5):
        world.register(number)
    assert len(catalog.bundle_ids()) == 5
    assert catalog.resolve_bundle(world.bundle_id[:10]) == world.bundle_id
    assert counting.reads == 0


def test_a_changed_blob_is_noticed_and_named(world: World, tmp_path) -> None:
    digest = world.bundle.digest()
    path = tmp_path / "store" / blob_key(digest)
    path.write_bytes(path.read_bytes().replace(b"mm-pro", b"mm-pra"))
    for read in (lambda: world.catalog.blob(digest), lambda: world.catalog.bundle(world.bundle_id)):
        with pytest.raises(IntegrityError, match=blob_key(digest)):
            read()
    with pytest.raises(IntegrityError, match=blob_key(digest)):
        world.catalog.put_blob(world.bundle.canonical())
    path.unlink()
    with pytest.raises(IntegrityError, match="is missing"):
        world.catalog.bundle(world.bundle_id)


def test_a_reference_to_another_document_is_noticed(world: World, tmp_path) -> None:
    other = world.register(1)
    path = tmp_path / "store" / "refs" / "bundles"
    (path / world.bundle_id).write_bytes((path / other).read_bytes())
    with pytest.raises(IntegrityError, match=f"{world.bundle_id} leads to {other}"):
        world.catalog.bundle(world.bundle_id)
    (path / world.bundle_id).write_bytes(b"sha256:x")
    with pytest.raises(IntegrityError, match="does not hold a digest"):
        world.catalog.bundle(world.bundle_id)


def test_a_policy_is_in_force_once_installed(world: World) -> None:
    stricter = default_policy().model_copy(update={"name": "stricter"})
    for wanted, entry in ((stricter, 2), (stricter, None), (default_policy(), 3)):
        word = GRETA.says(statement_for(world.catalog, wanted))
        assert set_policy(world.catalog, wanted, by=GRETA.name, now_ns=NOW_NS, more=[word]) == entry
        assert in_force(world.catalog).policy == wanted
    assert in_force(world.catalog, 2).policy == stricter
    assert world.catalog.policy(f"pol_{stricter.digest()[7:15]}") == stricter


def test_a_changed_reference_of_a_derived_id_is_tampering(world: World, tmp_path) -> None:
    world.catalog.keep_policy(default_policy())
    eval_id = world.evaluate("replay")
    policy_id = short_id("pol", default_policy().digest())
    for key, again in {
        f"refs/policies/{policy_id}": lambda: world.catalog.keep_policy(default_policy()),
        f"refs/datasets/{dataset().dataset_id}": lambda: world.catalog.register_dataset(dataset()),
        f"refs/bundles/{world.bundle_id}": world.register,
        f"refs/evaluations/{eval_id}": lambda: world.evaluate("replay"),
    }.items():
        path = tmp_path / "store" / key
        content = path.read_bytes()
        path.write_bytes(ROSTER.digest().encode())
        with pytest.raises(IntegrityError, match=key if "evaluations" not in key else blob_key(ROSTER.digest())):
            again()
        path.write_bytes(content)


def test_a_lost_blob_that_something_refers_to_is_tampering(world: World, tmp_path) -> None:
    record = world.catalog.evaluation(world.evaluate("replay"))
    for digest, read in {
        record.outputs["fills"].digest: lambda: world.catalog.blob(record.outputs["fills"].digest),
        record.digest(): lambda: world.catalog.evaluations(world.bundle_id),
        ROSTER.digest(): lambda: in_force(world.catalog),
    }.items():
        (tmp_path / "store" / blob_key(digest)).unlink()
        with pytest.raises(IntegrityError, match=rf"{blob_key(digest)} is missing .*Restore the store from a backup"):
            read()


@pytest.mark.parametrize("name", ["\u3164", ".", "x" * 255])
def test_who_acts_has_a_name(world: World, name: str) -> None:
    before = sorted(world.store.list(""))
    evaluation = evaluation_of(world.bundle, "replay")
    with pytest.raises(InvalidInputError, match="name of a person"):
        world.catalog.register_bundle(bundle_of("sor"), author=name, now_ns=NOW_NS)
    with pytest.raises(InvalidInputError, match="name of a person"):
        world.catalog.record_evaluation(evaluation, outputs_of(evaluation), runner=Runner(name), now_ns=NOW_NS)
    with pytest.raises(InvalidInputError, match="name of a person"):
        world.ask("replay", by=name)
    assert sorted(world.store.list("")) == before

"""What a checkpoint has seen cannot be taken away unnoticed, chain and head and all."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bundles.audit import AuditReport, verify
from bundles.canonical import read_document
from bundles.catalog import ref_key
from bundles.checkpoints import CheckpointExport, export_checkpoint, make_checkpoint
from bundles.entries import CHECKPOINT_LEDGER
from bundles.errors import IntegrityError, NotFoundError, RefusedError
from bundles.ledger import Head, Ledger, entry_key, head_key
from bundles.runners import Runner
from bundles.state import fold
from bundles.store import ObjectStore, open_store
from tests.bundles.conftest import FIRST, NOW_NS, SECOND, UNLISTED, Person, SigningRunner, World, edge_bundle

OTHER = edge_bundle(1).bundle_id


@pytest.fixture
def root(tmp_path: Path) -> Path:
    world = World(open_store((tmp_path / "store").as_uri())).begin()
    world.promote("replay", world.evaluate("replay"))
    world.register(1)
    checkpoint(world)
    return tmp_path / "store"


def checkpoint(world: World, signer: Runner = FIRST) -> int | None:
    return make_checkpoint(world.catalog, signer, now_ns=NOW_NS)


def at(root: Path) -> World:
    return World(open_store(root.as_uri()))


def audited(root: Path) -> AuditReport:
    return verify(open_store(root.as_uri()))


def cut(root: Path, name: str, length: int) -> None:
    """Take entries off the end and put the head back, as somebody would who knows this product."""
    entries = Ledger(open_store(root.as_uri())).history(name)
    for entry in entries[length:]:
        (root / entry_key(name, entry.seq)).unlink()
    head = Head(seq=length, entry=entries[length - 1].digest(), standing=fold(entries[:length]).standing())
    (root / head_key(name)).write_bytes(head.canonical())


def test_a_checkpoint_is_made_only_if_there_is_something_to_say(directory_store: ObjectStore) -> None:
    world = World(directory_store)
    assert checkpoint(world) is None
    world.begin()
    assert (checkpoint(world), checkpoint(world), checkpoint(world, SECOND)) == (1, None, None)
    world.register(1)
    assert checkpoint(world, SECOND) == 2
    report = verify(directory_store)
    assert (report.problems, report.unfinished, report.remarks, report.checkpoints) == ((), (), (), 2)


def test_a_removed_chain_is_named(root: Path) -> None:
    shutil.rmtree(root / "ledger" / OTHER)
    for key in (head_key(OTHER), ref_key("bundles", OTHER)):
        (root / key).unlink()
    problems = audited(root).problems
    for key in (entry_key(OTHER, 1), ref_key("bundles", OTHER)):
        assert any(text.startswith(f"{key}: missing, but checkpoint 1 has seen it") for text in problems)


def test_a_tail_that_is_cut_off_with_its_head_put_back_is_named(root: Path) -> None:
    name = edge_bundle().bundle_id
    cut(root, name, 4)
    problems = audited(root).problems
    assert any(text.startswith(entry_key(name, 5)) for text in problems)


def test_a_chain_that_is_written_anew_is_named(root: Path) -> None:
    shutil.rmtree(root / "ledger" / OTHER)
    (root / head_key(OTHER)).unlink()
    world = at(root)
    world.catalog.register_bundle(edge_bundle(1), author="somebody else", now_ns=NOW_NS)
    assert any(f"{entry_key(OTHER, 1)}: is not what checkpoint 1 has seen" in text for text in audited(root).problems)
    with pytest.raises(IntegrityError, match=f"Checkpoint 1 has seen .*{head_key(OTHER)}"):
        checkpoint(world)


def test_an_artifact_that_was_replaced_is_named(root: Path) -> None:
    world, key = at(root), ref_key("artifacts", "art_research")
    (root / key).unlink()
    world.catalog.register_artifact("art_research", {"notes.md": b"# other\n"}, note="second")
    assert any(text.startswith(f"{key}: leads elsewhere") for text in audited(root).problems)


def test_what_a_checkpoint_has_seen_is_not_unfinished(root: Path) -> None:
    (root / head_key(OTHER)).unlink()
    report = audited(root)
    assert any(text.startswith(f"{head_key(OTHER)}: missing, but checkpoint 1") for text in report.problems)
    assert report.unfinished == ()


def test_only_listed_signers_make_checkpoints(root: Path) -> None:
    world = at(root)
    world.register(2)
    for signer, reason in ((UNLISTED, "holds neither the role"), (Runner(FIRST.name), "did not sign")):
        with pytest.raises(RefusedError) as refused:
            checkpoint(world, signer)
        assert any(reason in text for text in refused.value.unmet)
    assert checkpoint(world) == 2


def test_a_forged_checkpoint_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Forger(SigningRunner):
        def sign(self, statement: object) -> str:
            return Person("stranger").sign(statement.canonical(), statement.namespace)  # type: ignore[attr-defined]

    world = at(root)
    world.register(2)
    monkeypatch.setattr("bundles.checkpoints.signer_problem", lambda *_: None)
    assert checkpoint(world, Forger(FIRST.name)) == 2
    monkeypatch.undo()
    where = entry_key(CHECKPOINT_LEDGER, 2)
    assert any(text.startswith(where) and "not in the roster" in text for text in audited(root).problems)


def test_without_a_roster_nobody_vouches_and_the_report_says_so(directory_store: ObjectStore) -> None:
    world = World(directory_store)
    world.catalog.register_artifact("art_research", {})
    assert checkpoint(world, UNLISTED) == 1
    report = verify(directory_store)
    assert report.problems == ()
    assert ["nobody vouches" in text for text in report.remarks] == [True]


def test_a_checkpoint_kept_elsewhere_finds_that_the_whole_store_was_put_back(root: Path, tmp_path: Path) -> None:
    shutil.copytree(root, tmp_path / "earlier")
    world = at(root)
    world.register(2)
    checkpoint(world)
    kept = read_document(CheckpointExport, export_checkpoint(world.catalog).canonical(), "kept")
    assert verify(world.store, against=kept).problems == ()
    earlier = open_store((tmp_path / "earlier").as_uri())
    assert verify(earlier).problems == ()
    problems = verify(earlier, against=kept).problems
    assert any(text.startswith(f"{entry_key(edge_bundle(2).bundle_id, 1)}: missing") for text in problems)
    assert any(text.startswith(f"{entry_key(CHECKPOINT_LEDGER, 2)}: missing") for text in problems)


def test_a_changed_export_is_refused(root: Path) -> None:
    kept = export_checkpoint(at(root).catalog)
    changed = kept.model_copy(update={"checkpoint": kept.checkpoint.replace('"earned":"replay"', '"earned":"scaled"')})
    assert any("was changed" in text for text in verify(at(root).store, against=changed).problems)


def test_there_is_no_export_before_the_first_checkpoint(directory_store: ObjectStore) -> None:
    with pytest.raises(NotFoundError, match="sequence audit checkpoint"):
        export_checkpoint(World(directory_store).catalog)

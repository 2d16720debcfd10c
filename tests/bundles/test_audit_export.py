"""An export tells what changed and proves it, with nothing but itself and the roster."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import pytest

from bundles.audit.export import Export, as_csv, export, verify_export
from bundles.audit.page import as_html
from bundles.canonical import read_document
from bundles.errors import IntegrityError, NotFoundError
from bundles.ledger import entry_key
from bundles.roster import Roster
from bundles.store import ObjectStore, open_store
from tests.bundles.conftest import GRETA, NOW_NS, OTTO, PEOPLE, RITA, ROSTER, TOM, Person, World, roster_of

FORMULA = '=HYPERLINK("http://example.com") <script>alert(1)</script>'


@pytest.fixture
def world(directory_store: ObjectStore) -> World:
    world = World(directory_store).begin()
    world.register(1)
    replay = world.evaluate("replay")
    request = world.ask("replay", replay, notes=FORMULA).request
    assert request
    world.approve(request, RITA)
    world.promote("live", by=(OTTO,), break_glass=True, notes="the venue changed its fees")
    return world


def problems(found: Export, roster: Roster = ROSTER) -> str:
    return "\n".join(verify_export(found, "export.json", roster, has_roles=True).problems)


def test_one_promotion_verifies_with_nothing_but_the_file_and_the_roster(world: World) -> None:
    request = world.catalog.ledger.state(world.bundle_id).promotions[0].request.id
    made = export(world.catalog, promotion=request[:12], now_ns=NOW_NS)
    found = read_document(Export, made.canonical(), "export.json")
    report = verify_export(found, "export.json", ROSTER, has_roles=True)
    assert (report.problems, report.remarks) == ((), ())
    assert found.bundles == (world.bundle_id,)
    assert [change.what for change in found.review.changes] == [
        "registered: edge bundle, strategy mm-pro",
        "promoted: research to replay",
    ]
    (word,), (evidence,) = found.review.changes[1].approved_by, found.review.changes[1].evidence
    assert (word.person, word.roles, word.key[:7]) == (RITA.name, ("risk",), "SHA256:")
    assert (evidence.verdict, evidence.kind, evidence.metrics["fills"]) == ("pass", "replay", 1_000)


def test_any_changed_object_of_a_file_is_found(world: World) -> None:
    made = export(world.catalog, now_ns=NOW_NS)
    assert problems(made) == ""
    for key, text in made.objects.items():
        changed = text.replace("1", "2", 1) if "1" in text else text[:-1]
        assert problems(made.model_copy(update={"objects": made.objects | {key: changed}})), key
        if not key.startswith("heads/"):  # entries alone prove what they hold; a head is for those that might follow
            assert problems(made.model_copy(update={"objects": {k: v for k, v in made.objects.items() if k != key}})), (
                key
            )


@pytest.mark.parametrize("said", ['"earned":"', '"stage":"', '"until_ns":"', '"strategy":"', '"wasm":"sha256:'])
def test_a_head_that_shows_another_standing_is_found(world: World, said: str) -> None:
    made = export(world.catalog, now_ns=NOW_NS)
    key = f"heads/ledger/{world.bundle_id}"
    before, _, after = made.objects[key].partition(said)
    changed = before + said + ("2" if after[0] != "2" else "3") + after[1:]
    assert key in problems(made.model_copy(update={"objects": made.objects | {key: changed}}))


def test_a_review_that_tells_something_else_than_its_proof_is_found(world: World) -> None:
    made = export(world.catalog, now_ns=NOW_NS)
    changes = made.review.changes
    for review in (
        made.review.model_copy(update={"changes": changes[:-1]}),
        made.review.model_copy(update={"changes": (changes[0].model_copy(update={"made_by": "tom"}), *changes[1:])}),
        made.review.model_copy(update={"powers": ()}),
    ):
        assert "tells what its proof does not give" in problems(made.model_copy(update={"review": review}))


def test_another_roster_is_found(world: World) -> None:
    made = export(world.catalog, now_ns=NOW_NS)
    fewer = {name: roles for name, roles in PEOPLE.items() if name != TOM.name}
    assert "other keys" in problems(made, roster_of(fewer))
    assert "other roles" in problems(made, roster_of(PEOPLE | {TOM.name: ("risk",)}))
    impostor = ROSTER.allowed_signers.replace(RITA.public, Person("mallory").public)
    assert "other keys" in problems(made, ROSTER.model_copy(update={"allowed_signers": impostor}))
    unknown = verify_export(made, "export.json", Roster(allowed_signers=ROSTER.allowed_signers), has_roles=False)
    assert (unknown.problems, ["--roles" in text for text in unknown.remarks]) == ((), [True])


def test_what_does_not_verify_is_not_exported(world: World) -> None:
    key = entry_key(world.bundle_id, 2)
    content, version = world.store.get_versioned(key) or (b"", "")
    world.store.compare_and_swap(key, content.replace(b"runner-1", b"runner-2"), version)
    with pytest.raises(IntegrityError, match=key):
        export(world.catalog, now_ns=NOW_NS)


def test_an_open_request_is_no_promotion(tmp_path: Path) -> None:
    world = World(open_store((tmp_path / "open").as_uri())).begin()
    request = world.ask("replay", world.evaluate("replay")).request
    with pytest.raises(NotFoundError, match=f"No promotion was made on {request}"):
        export(world.catalog, promotion=request, now_ns=NOW_NS)


def test_the_table_has_a_line_for_each_change_and_no_formulas(world: World) -> None:
    made = export(world.catalog, now_ns=NOW_NS)
    rows = list(csv.DictReader(io.StringIO(as_csv(made.review))))
    assert len(rows) == len(made.review.changes)
    promoted = next(row for row in rows if row["what"] == "promoted: research to replay")
    assert promoted["notes"] == f"'{FORMULA}"
    assert RITA.name in promoted["approved_by"]
    assert promoted["policy"].startswith("default (sha256:")


def test_the_page_needs_nothing_from_elsewhere_and_shows_what_people_wrote_as_text(world: World) -> None:
    page = as_html(export(world.catalog, now_ns=NOW_NS).review)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r"(src|href)=|url\(|@import", page)
    for text in (world.bundle_id, RITA.name, "glass broken until", "quarantine a bundle", GRETA.name):
        assert text in page

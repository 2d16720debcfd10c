"""`sequence audit` as people type it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from bundles.ledger import head_key
from bundles.store import open_store
from sequence.cli import main
from tests.bundles.conftest import PEOPLE, ROSTER, World


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setenv("SEQUENCE_RUNNER_KEY", str(tmp_path / "runner_key"))
    monkeypatch.setenv("SEQUENCE_STORE", (tmp_path / "store").as_uri())
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    world = World(open_store((tmp_path / "store").as_uri())).begin()
    world.promote("replay", world.evaluate("replay"))
    return world


def audit(*arguments: str, exit_code: int = 0) -> Result:
    result = CliRunner().invoke(main, ["audit", *arguments])
    assert result.exit_code == exit_code, result.output
    return result


def test_verify_names_what_is_lost_and_exits_7(world: World, tmp_path: Path) -> None:
    assert "Verdict: verifies" in audit("verify").output
    key = head_key(world.bundle_id)
    (tmp_path / "store" / key).unlink()
    document = json.loads(audit("verify", "--json", exit_code=7).stdout)
    assert any(key in problem for problem in document["problems"])
    assert "Verdict: does not verify" in audit("verify", exit_code=7).output


def test_an_exported_promotion_verifies_without_the_store(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = world.catalog.ledger.state(world.bundle_id).promotions[0].request.id
    Path("allowed_signers").write_text(ROSTER.allowed_signers)
    Path("roles.yaml").write_text(json.dumps({"roles": PEOPLE}))
    audit("export", "--promotion", request, "--out", "promotion.json")
    monkeypatch.setenv("SEQUENCE_STORE", (tmp_path / "nowhere").as_uri())
    given = ("--file", "promotion.json", "--roster", "allowed_signers", "--roles", "roles.yaml")
    assert "Verdict: verifies" in audit("verify", *given).output
    text = Path("promotion.json").read_text()
    Path("promotion.json").write_text(text.replace("rita@example.com", "nora@example.com"))
    assert "Verdict: does not verify" in audit("verify", *given, exit_code=7).output


@pytest.mark.parametrize("form", ["json", "csv", "html"])
def test_an_export_is_written(world: World, form: str) -> None:
    document = json.loads(audit("export", world.bundle_id[:12], "--format", form, "--out", "review", "--json").stdout)
    assert (document["bundles"], document["changes"]) == ([world.bundle_id], 3)
    assert world.bundle_id in Path("review").read_text()


def test_a_checkpoint_is_refused_to_who_is_not_listed(world: World) -> None:
    assert "holds neither the role checkpoint nor runner" in audit("checkpoint", exit_code=3).output


def test_a_checkpoint_can_be_kept_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEQUENCE_RUNNER_KEY", str(tmp_path / "runner_key"))
    monkeypatch.setenv("SEQUENCE_STORE", (tmp_path / "store").as_uri())
    monkeypatch.chdir(tmp_path)
    world = World(open_store((tmp_path / "store").as_uri()))
    world.catalog.register_artifact("art_research", {})
    world.register()
    assert "Checkpoint: 1, signed by" in audit("checkpoint", "--out", "kept.json").output
    assert "Checkpoint: nothing has changed" in audit("checkpoint").output
    assert "Verdict: verifies" in audit("verify", "--against", "kept.json").output
    (tmp_path / "store" / head_key(world.bundle_id)).unlink()
    assert "remember entry 1" in audit("verify", "--against", "kept.json", exit_code=7).output


@pytest.mark.parametrize(
    "arguments",
    [("--file", "x"), ("--roster", "x"), ("--roles", "x"), ("--file", "x", "--roster", "y", "--against", "z")],
)
def test_options_that_do_not_go_together(arguments: tuple[str, ...]) -> None:
    audit("verify", *arguments, exit_code=2)

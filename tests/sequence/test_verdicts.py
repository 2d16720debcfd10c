"""A bundle at live that fails the rules of live in shadow, where those of shadow are inconclusive: what one is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from bundles.catalog import Catalog
from bundles.descent import demote_on_failure
from bundles.evidence import Coverage, Evaluation
from bundles.runners import Runner
from bundles.store import open_store
from tests.bundles.conftest import dataset, edge_bundle, evaluation_of
from tests.sequence.conftest import DIGEST, Command, Firm

S_NS = 10**9
UNMET = {
    "shadow": ["duration_s 600 >= 3600"],
    "live": ["duration_s 600 >= 21600", "fills 50 >= 100"],
}


@pytest.fixture
def fallen(sequence: Command, firm: Firm, bundle: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return a bundle that a broken glass lends live, and let whoever evaluates it in shadow find it too weak."""
    glass = ("--break-glass", "--notes", "fire", "--key", firm.key("otto"))
    sequence(*sequence.promotion(bundle, *glass, stage="live", approver="otto@firm"))
    catalog = Catalog(open_store((tmp_path / "store").as_uri()))

    def found(_catalog: object, *, now_ns: int, **_given: object) -> Evaluation:
        weak = evaluation_of(edge_bundle(), "shadow", metrics={"fills": 50})
        catalog.register_dataset(dataset())
        inputs = weak.inputs.model_copy(update={"bundle": catalog.bundle(bundle).digest()})
        seen = Coverage(first_ns=0, last_ns=600 * S_NS, events=2_000_000, packets=1_000_000)
        weak = weak.model_copy(update={"inputs": inputs, "coverage": seen, "outputs": {}, "result_digest": DIGEST})
        catalog.record_evaluation(weak, [], runner=Runner("tests"), now_ns=now_ns)
        demote_on_failure(catalog, bundle, now_ns=now_ns)
        return weak

    monkeypatch.setattr("evals.shadow.evaluate_shadow", found)
    return bundle


def test_the_verdict_is_that_of_the_stage_which_was_lost(sequence: Command, fallen: str) -> None:
    run = (
        "eval",
        "shadow",
        "--bundle",
        fallen,
        "--dataset",
        "data_123456",
        "--report",
        sequence.folder / "report.html",
    )
    done = sequence(*run)
    assert "was at stage live; the policy demotes it" in " ".join(done.stderr.split())
    (listed,) = sequence.json("eval", "list", "--bundle", fallen)
    assert listed["verdict"] == "fail"
    assert listed["verdicts"] == [
        {"stage": "live", "verdict": "fail", "unmet": UNMET["live"]},
        {"stage": "shadow", "verdict": "inconclusive", "unmet": UNMET["shadow"]},
    ]
    shown = sequence("eval", "show", listed["eval_id"])
    for text in (done.stdout, shown.stdout):
        lines = text.splitlines()
        assert "Verdict: fails live" in lines
        assert "  FAILS: fills 50 >= 100" in lines
        assert f"Also: inconclusive for shadow: {UNMET['shadow'][0]}" in lines
    assert sequence("eval", "list").stdout.endswith(" shadow " + fallen + " fails live\n")
    for document in (sequence.json("eval", "show", listed["eval_id"]), sequence.json(*run)):
        assert (document["verdict"], document["verdicts"]) == (listed["verdict"], listed["verdicts"])
        assert [check["text"] for check in document["checks"] if check["ok"] is False and not check["dry_run"]] == (
            UNMET["live"]
        )
    page = (sequence.folder / "report.html").read_text(encoding="utf-8")
    assert '<span class="verdict fail">fails live</span>' in page
    assert "Not met for live: duration_s 600 &gt;= 21600; fills 50 &gt;= 100." in page
    assert "Also inconclusive for shadow: duration_s 600 &gt;= 3600." in page

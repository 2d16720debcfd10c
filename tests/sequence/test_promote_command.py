"""`sequence bundle promote`: decisions, exit codes, broken glass, on evaluations made by hand."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Command, Firm

Evaluate = Callable[..., str]


def test_a_passing_evaluation_and_an_approver_promote(sequence: Command, bundle: str, evaluate: Evaluate) -> None:
    passing = evaluate(bundle)
    arguments = sequence.promotion(bundle[:10], "--eval-run", passing[:11], "--notes", "Passed", approver="jane@firm")
    outcome = sequence.json(*arguments)
    assert {name: outcome[name] for name in ("decision", "stage", "unmet", "ledger_seq")} == {
        "decision": "promoted",
        "stage": "replay",
        "unmet": [],
        "ledger_seq": 5,
    }
    statement = json.loads(outcome["statement"])
    assert (statement["kind"], statement["stage"], statement["evaluations"]) == (
        "promotion-statement",
        "replay",
        [passing],
    )
    assert {"text": "max_drawdown_pct 0.1 <= 2", "ok": True, "dry_run": False} in outcome["checks"]
    again = sequence.json(*arguments)
    assert (again["ledger_seq"], again["request"]) == (5, outcome["request"])
    lines = sequence(*arguments).stdout.splitlines()
    assert lines == [
        f"Bundle ID: {bundle}",
        "Decision: promoted",
        "Stage: replay",
        "Ledger entry: 5",
        f"Request: {outcome['request']}",
    ]
    assert "Stage: replay" in sequence("bundle", "show", bundle).stdout
    history = sequence("bundle", "history", bundle).stdout
    assert "research to replay, approved by jane@firm (typed): Passed" in history
    assert sequence("bundle", "list", "--all").stdout.endswith(" replay -\n")
    assert "Verdict: verifies" in sequence("audit", "verify").stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "no evaluation is named"),
        (["--eval-run", "eval_0123456789abcdef"], "is not in the store"),
        (["--break-glass", "--notes", ""], "needs notes"),
    ],
)
def test_refusals_exit_3_and_list_every_condition(
    sequence: Command, bundle: str, arguments: list[str], expected: str
) -> None:
    given = sequence.promotion(bundle, *arguments, approver="jane@firm")
    outcome = sequence.json(*given, exit_code=3)
    assert outcome["decision"] == "refused"
    assert (outcome["stage"], outcome["ledger_seq"], outcome["request"]) == ("research", None, None)
    assert any(expected in condition for condition in outcome["unmet"])
    lines = sequence(*given, exit_code=3).stdout.splitlines()
    assert [line.removeprefix("Unmet: ") for line in lines if line.startswith("Unmet: ")] == outcome["unmet"]
    assert sequence.json("requests") == []


def test_failed_foreign_and_skipping_promotions_are_refused(
    sequence: Command, bundle: str, evaluate: Evaluate, algo: Path
) -> None:
    other = sequence.json("bundle", "compile-edge", "--wasm", algo, "--artifact", "art_abc123", "--strategy", "x")
    foreign = evaluate(other["bundle_id"])
    failed = evaluate(bundle, max_drawdown_pct=50.0)

    def unmet(*arguments: str, approver: str = "jane@firm", **choices: Any) -> str:
        given = sequence.promotion(bundle, *arguments, approver=approver, **choices)
        return "\n".join(sequence.json(*given, exit_code=3)["unmet"])

    assert "max_drawdown_pct 50 <= 2" in unmet("--eval-run", failed)
    assert "judges another bundle" in unmet("--eval-run", foreign)
    both = unmet("--eval-run", foreign, "--eval-run", failed, stage="live", approver="quant@firm")
    assert "stages cannot be skipped" in both
    assert "judges another bundle" in both
    assert "is the author of the bundle" in both


def test_without_an_approver_the_request_waits(sequence: Command, bundle: str, evaluate: Evaluate) -> None:
    arguments = sequence.promotion(bundle, "--eval-run", evaluate(bundle))
    asked = sequence(*arguments, exit_code=3)
    assert "Decision: pending" in asked.stdout
    outcome = sequence.json(*arguments, exit_code=3)
    assert (outcome["decision"], outcome["stage"], outcome["ledger_seq"]) == ("pending", "research", None)
    assert f"Request: {outcome['request']}\n" in asked.stdout, "asking again finds the same request"
    assert f"sequence approve {outcome['request']}" in asked.stderr
    assert f"Open request: {outcome['request']}" in sequence("bundle", "show", bundle).stdout


def test_the_authors_own_approval_is_refused_and_the_request_stays_open(
    sequence: Command, bundle: str, evaluate: Evaluate
) -> None:
    given = sequence.promotion(bundle, "--eval-run", evaluate(bundle), approver="quant@firm")
    refused = sequence.json(*given, exit_code=3)
    assert refused["decision"] == "refused"
    assert any("is the author" in condition for condition in refused["unmet"])
    assert any("0 of 1 approval" in condition for condition in refused["unmet"])
    assert (
        f"The request stays open. To approve: sequence approve {refused['request']}"
        in sequence(*given, exit_code=3).stderr
    )
    assert [each["request"] for each in sequence.json("requests")] == [refused["request"]]


def test_the_glass_is_broken_with_approver_notes_and_signature_only(sequence: Command, bundle: str, firm: Firm) -> None:
    def urgent(*more: str | Path, **choices: Any) -> list[str | Path]:
        return sequence.promotion(bundle, "--break-glass", *more, stage="live", **choices)

    nobody = sequence.json(*urgent("--notes", "fire"), exit_code=3)
    assert nobody["unmet"] == ["breaking the glass needs an approver; give --approver"]
    nothing = "\n".join(sequence.json(*urgent(), exit_code=3)["unmet"])
    assert "needs an approver" in nothing
    assert "needs notes" in nothing
    silent = sequence.json(*urgent("--key", firm.key("otto"), approver="otto@firm"), exit_code=3)
    assert any("needs notes" in condition for condition in silent["unmet"])
    assert sequence.json("requests") == []
    wrong = sequence.json(*urgent("--notes", "fire", "--key", firm.key("jane"), approver="jane@firm"), exit_code=3)
    assert any("none of the roles break-glass" in condition for condition in wrong["unmet"])
    typed = sequence.json(*urgent("--notes", "fire", approver="otto@firm"), exit_code=3)
    assert any("--key PATH" in condition for condition in typed["unmet"])

    done = sequence(
        *urgent("--notes", "fire", "--hours", "2", "--key", firm.key("otto"), approver="otto@firm"), exit_code=0
    )
    assert "Decision: promoted\nStage: live\n" in done.stdout
    assert "The evaluation that was skipped is owed: no registered dataset" in done.stderr
    (listed,) = sequence.json("bundle", "list", "--all")
    assert (listed["stage"], listed["earned_stage"], listed["review_owed"]) == ("live", "research", True)
    note = f" live BREAK-GLASS until {listed['broken_glass_until']}, REVIEW OWED\n"
    assert sequence("bundle", "list", "--all").stdout.endswith(note)
    shown = sequence("bundle", "show", bundle).stdout
    assert f"BREAK-GLASS: until {listed['broken_glass_until']}, then research\n" in shown
    assert "REVIEW OWED: the glass was broken" in shown
    history = sequence("bundle", "history", bundle).stdout
    assert f"BREAK-GLASS until {listed['broken_glass_until']}: research to live, approved by otto@firm" in history
    assert "BREAK-GLASS: live for 2 h: fire" in history


def test_the_key_at_hand_signs_where_a_signature_is_asked_for(
    sequence: Command, bundle: str, firm: Firm, evaluate: Evaluate, tmp_path: Path
) -> None:
    firm.owns("jane", tmp_path / "home")
    given = sequence.promotion(bundle, "--eval-run", evaluate(bundle), approver="jane@firm")
    outcome = sequence.json(*given, exit_code=3)
    assert outcome["decision"] == "pending"
    assert any("0 of 1 signed approval by trading" in condition for condition in outcome["unmet"])
    assert "approved jane@firm" in sequence("bundle", "history", bundle).stdout
    assert "Approvals: 1/2 (jane@firm)" in sequence("requests").stdout


def test_no_prefect_is_imported(sequence: Command, bundle: str, evaluate: Evaluate) -> None:
    arguments = sequence.promotion(bundle, "--eval-run", evaluate(bundle), approver="jane@firm")
    done = sequence.process(*arguments, environ={"PYTHONPROFILEIMPORTTIME": "1"})
    assert done.returncode == 0, done.stderr
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in done.stderr.splitlines() if "|" in line}
    assert "bundles" in imported
    assert not imported & {"prefect", "numba", "pandas", "boto3"}
